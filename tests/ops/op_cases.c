#include "op_cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Maker {
    FblContext *ctx;
    FblOp op;
    OpCases *cases;
    FblGraph *graph; // of the case in work
} Maker;

static void begin(Maker *m) { m->graph = fbl_graph_create(m->ctx, "train"); }

static void end(Maker *m, FblNodeId y, OpBound bound, const char *what, ...) {
    char text[200];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    const char *name = fbl_arena_printf(fbl_context_arena(m->ctx), "%s %s", fbl_op_info(m->op)->text, text);
    if (y == FBL_NO_NODE) {
        fprintf(stderr, "the case `%s` is malformed\n", name);
        fbl_diag_flush(m->ctx, stderr, false);
        exit(1);
    }
    fbl_graph_root(m->graph, FBL_ROOT_OUTPUT, fbl_intern(m->ctx, "y"), y);
    OpCase one = {name, m->graph, bound};
    FBL_PUSH(fbl_context_arena(m->ctx), m->cases->items, m->cases->count, m->cases->capacity, one);
}

// "abc" with extents {2, 3, 4}: axes a=2, b=3, c=4.
static FblType type_of(Maker *m, FblDtype dtype, const char *axes, const int64_t *extents) {
    FblType type = fbl_type_scalar(dtype);
    for (int i = 0; axes[i]; i++) {
        fbl_type_add_axis(&type, fbl_intern_n(m->ctx, axes + i, 1), extents[i]);
    }
    return type;
}

static FblNodeId leaf_of(Maker *m, const char *symbol, const FblType *type) { return fbl_graph_leaf(m->graph, FBL_OP_INPUT, symbol, type, FBL_NO_LOC); }

static FblNodeId leaf(Maker *m, const char *symbol, FblDtype dtype, const char *axes, const int64_t *extents) {
    FblType type = type_of(m, dtype, axes, extents);
    return leaf_of(m, symbol, &type);
}

static FblNodeId label(Maker *m, const char *symbol, char axis, int64_t extent, const char *axes, const int64_t *extents) {
    FblType type = type_of(m, FBL_I32, axes, extents);
    type.index_axis = fbl_intern_n(m->ctx, &axis, 1);
    type.index_extent = extent;
    return leaf_of(m, symbol, &type);
}

static FblAttr attr_axes(Maker *m, const char *axes) {
    FblAttr attr = {.name_count = (int32_t)strlen(axes)};
    for (int i = 0; axes[i]; i++) {
        attr.names[i] = fbl_intern_n(m->ctx, axes + i, 1);
    }
    return attr;
}

static FblNodeId add(Maker *m, const FblNodeId *inputs, int count, const FblAttr *attr, const FblType *given) {
    return fbl_graph_add(m->graph, m->op, inputs, count, attr, given, FBL_NO_LOC);
}

// Extents of axes a, b, c: odd, all one, a mixture, and many elements.
static const int64_t EXTENTS[][3] = {{3, 5, 7}, {1, 1, 1}, {1, 17, 1}, {129, 3, 67}, {2, 4097, 1}, {16, 8, 32}};
enum { EXTENT_COUNT = sizeof EXTENTS / sizeof EXTENTS[0] };
#define EACH_EXTENT(e) for (const int64_t *e = EXTENTS[0]; e < EXTENTS[EXTENT_COUNT - 1] + 3; e += 3)

// ------------------------------------------------------------------------------------------------------- pointwise

// The operand in the op's domain.
static FblNodeId domain(Maker *m, FblNodeId x, int position) {
    const FblOp root[] = {FBL_OP_LOG, FBL_OP_LOG1P, FBL_OP_SQRT};
    bool positive = m->op == FBL_OP_POW && position == 0;
    for (size_t i = 0; i < sizeof root / sizeof root[0]; i++) {
        positive |= m->op == root[i];
    }
    if (!positive && !((m->op == FBL_OP_DIV || m->op == FBL_OP_MOD) && position == 1)) {
        return x;
    }
    FblNodeId square = fbl_graph_binary(m->graph, FBL_OP_MUL, x, x, FBL_NO_LOC);
    return fbl_graph_binary(m->graph, FBL_OP_ADD, square, fbl_graph_const(m->graph, FBL_F32, 0.25, FBL_NO_LOC), FBL_NO_LOC);
}

static bool takes_bool_alone(FblOp op) { return op == FBL_OP_NOT || op == FBL_OP_AND || op == FBL_OP_OR; }

static void pointwise(Maker *m) {
    static const char *const axes[3] = {"ab", "bc", "ca"};
    int arity = fbl_op_info(m->op)->arity;
    FblDtype last = takes_bool_alone(m->op) ? FBL_F32 : FBL_BOOL;
    EACH_EXTENT(e) {
        for (FblDtype dtype = FBL_F32; dtype <= last; dtype++) {
            begin(m);
            FblNodeId inputs[3];
            for (int i = 0; i < arity; i++) {
                const int64_t operand[2] = {e[i], e[(i + 1) % 3]};
                FblDtype own = takes_bool_alone(m->op) || (m->op == FBL_OP_SELECT && i == 0) ? FBL_BOOL : dtype;
                const char symbol[2] = {(char)('p' + i), 0};
                inputs[i] = leaf(m, symbol, own, axes[i], operand);
                if (own == FBL_F32) {
                    inputs[i] = domain(m, inputs[i], i);
                } else if ((m->op == FBL_OP_LOG || m->op == FBL_OP_SQRT || m->op == FBL_OP_LOG1P || m->op == FBL_OP_POW) && i == 0) {
                    inputs[i] = fbl_graph_binary(m->graph, FBL_OP_MAX, inputs[i], fbl_graph_const(m->graph, FBL_I32, 1, FBL_NO_LOC), FBL_NO_LOC);
                }
            }
            FblDtype result = fbl_graph_type(m->graph, inputs[arity - 1])->dtype;
            if (m->op == FBL_OP_CAST) {
                for (FblDtype to = FBL_F32; to <= FBL_BOOL; to++) {
                    begin(m);
                    const int64_t operand[2] = {e[0], e[1]};
                    FblNodeId x = leaf(m, "p", dtype, "ab", operand);
                    end(m, fbl_graph_cast(m->graph, x, to, FBL_NO_LOC), OP_EXACT, "%s to %s [%d, %d]", fbl_dtype_name(dtype), fbl_dtype_name(to), (int)e[0], (int)e[1]);
                }
                continue;
            }
            FblType given = type_of(m, result, "cab", (const int64_t[]){e[2], e[0], e[1]});
            FblNodeId y = add(m, inputs, arity, NULL, m->op == FBL_OP_BROADCAST ? &given : NULL);
            bool exact = y != FBL_NO_NODE && fbl_graph_type(m->graph, y)->dtype != FBL_F32;
            end(m, y, exact ? OP_EXACT : OP_ROUNDED, "%s [%d, %d, %d]", fbl_dtype_name(dtype), (int)e[0], (int)e[1], (int)e[2]);
        }
    }
}

// ------------------------------------------------------------------------------------------------------- reductions, scans

static void reductions(Maker *m) {
    static const char *const over[] = {"a", "b", "c", "ab", "ca", "abc"};
    EACH_EXTENT(e) {
        for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
            if (m->op == FBL_OP_ARGMAX && strlen(over[i]) > 1) {
                continue;
            }
            for (FblDtype dtype = FBL_F32; dtype <= FBL_BOOL; dtype++) {
                begin(m);
                FblNodeId x = leaf(m, "x", dtype, "abc", e);
                FblAttr attr = attr_axes(m, over[i]);
                end(m, add(m, &x, 1, &attr, NULL), m->op == FBL_OP_SUM && dtype == FBL_F32 ? OP_SUMMED : OP_EXACT, "%s over %s [%d, %d, %d]",
                    fbl_dtype_name(dtype), over[i], (int)e[0], (int)e[1], (int)e[2]);
            }
        }
    }
}

static void scans(Maker *m) {
    EACH_EXTENT(e) {
        for (int i = 0; i < 3; i++) {
            for (int descending = 0; descending <= (m->op == FBL_OP_ARGSORT); descending++) {
                begin(m);
                FblNodeId x = leaf(m, "x", FBL_F32, "abc", e);
                const char axis[2] = {"abc"[i], 0};
                FblAttr attr = attr_axes(m, axis);
                attr.i[0] = descending;
                end(m, add(m, &x, 1, &attr, NULL), m->op == FBL_OP_CUMSUM ? OP_SUMMED : OP_EXACT, "along %s%s [%d, %d, %d]", axis, descending ? ", descending" : "",
                    (int)e[0], (int)e[1], (int)e[2]);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------------- contractions

static void contracts(Maker *m) {
    // Axes of both operands and those summed: products of matrices, batched, outer, with vectors, over two axes.
    static const struct {
        const char *a, *b, *over;
    } forms[] = {{"ab", "bc", "b"}, {"ab", "cb", "b"}, {"ba", "bc", "b"}, {"abc", "cbd", "c"}, {"abc", "bc", "bc"}, {"ab", "b", "b"}, {"ab", "ab", "ab"}};
    static const int64_t extents[][4] = {{3, 5, 7, 2}, {1, 1, 1, 1}, {17, 1, 9, 4}, {64, 100, 33, 5}, {1, 2049, 3, 1}, {32, 64, 48, 16}};
    for (size_t e = 0; e < sizeof extents / sizeof extents[0]; e++) {
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
            begin(m);
            int64_t of[2][4];
            for (int k = 0; k < 4; k++) {
                of[0][k] = k < (int)strlen(forms[f].a) ? extents[e][forms[f].a[k] - 'a'] : 0;
                of[1][k] = k < (int)strlen(forms[f].b) ? extents[e][forms[f].b[k] - 'a'] : 0;
            }
            FblNodeId inputs[2] = {leaf(m, "p", FBL_F32, forms[f].a, of[0]), leaf(m, "q", FBL_F32, forms[f].b, of[1])};
            FblAttr attr = attr_axes(m, forms[f].over);
            end(m, add(m, inputs, 2, &attr, NULL), OP_SUMMED, "%s, %s over %s [%d, %d, %d, %d]", forms[f].a, forms[f].b, forms[f].over, (int)extents[e][0],
                (int)extents[e][1], (int)extents[e][2], (int)extents[e][3]);
        }
    }
}

// batch, channels, height, width, output channels, kernel, stride, padding, dilation (each of height and width), groups.
static const int CONVS[][14] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},    {2, 3, 7, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1},     {1, 16, 9, 9, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {3, 8, 8, 8, 24, 3, 3, 2, 2, 1, 1, 1, 1, 1},   {2, 17, 6, 11, 33, 1, 1, 1, 1, 0, 0, 1, 1, 1},   {2, 16, 10, 10, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1},
    {1, 3, 23, 21, 16, 7, 7, 2, 2, 3, 3, 1, 1, 1}, {2, 6, 9, 8, 4, 3, 2, 1, 3, 2, 0, 2, 1, 2},      {2, 8, 7, 7, 8, 3, 3, 1, 1, 1, 1, 1, 1, 8},
    {1, 4, 5, 6, 4, 5, 5, 1, 1, 2, 2, 1, 1, 1},    {5, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},    {2, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {1, 5, 12, 40, 7, 3, 3, 1, 1, 0, 0, 1, 1, 1},  {2, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 4},    {1, 2, 3, 3, 2, 3, 3, 1, 1, 2, 2, 1, 1, 1},
    {9, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}};

static void convolutions(Maker *m) {
    for (size_t i = 0; i < sizeof CONVS / sizeof CONVS[0]; i++) {
        const int *c = CONVS[i];
        int64_t oh = (c[2] + 2 * c[9] - c[11] * (c[5] - 1) - 1) / c[7] + 1, ow = (c[3] + 2 * c[10] - c[12] * (c[6] - 1) - 1) / c[8] + 1;
        const int64_t x[4] = {c[0], c[1], c[2], c[3]}, y[4] = {c[0], c[4], oh, ow}, w[4] = {c[4], c[1] / c[13], c[5], c[6]};
        begin(m);
        FblAttr attr = attr_axes(m, "nchw");
        for (int k = 0; k < 7; k++) {
            attr.i[k] = c[7 + k];
        }
        FblType type_x = type_of(m, FBL_F32, "nchw", x), type_w = type_of(m, FBL_F32, "ocij", w);
        type_w.axes[1].name = fbl_intern(m->ctx, "k");
        FblNodeId inputs[2];
        const FblType *given = NULL;
        if (m->op == FBL_OP_CONV2D_DATA_GRAD) {
            inputs[0] = leaf(m, "g", FBL_F32, "nchw", y);
            inputs[1] = leaf_of(m, "w", &type_w);
            given = &type_x;
        } else {
            inputs[0] = leaf_of(m, "x", &type_x);
            inputs[1] = m->op == FBL_OP_CONV2D ? leaf_of(m, "w", &type_w) : leaf(m, "g", FBL_F32, "nchw", y);
            given = m->op == FBL_OP_CONV2D ? NULL : &type_w;
        }
        end(m, add(m, inputs, 2, &attr, given), OP_SUMMED, "x [%d, %d, %d, %d] to %d channels, kernel %d x %d, stride %d, %d, pad %d, %d, dilation %d, %d, %d groups", c[0],
            c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13]);
    }
}

// ------------------------------------------------------------------------------------------------------- windows

// batch, channels, height, width, kernel, stride, padding (each of height and width), padding counted.
static const int POOLS[][11] = {{1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1}, {2, 3, 7, 5, 2, 2, 2, 2, 0, 0, 1},  {2, 8, 9, 9, 3, 3, 2, 2, 1, 1, 1},
                                {1, 16, 8, 8, 3, 3, 2, 2, 1, 1, 0}, {1, 5, 6, 11, 3, 2, 1, 3, 1, 0, 0}, {3, 16, 32, 32, 2, 2, 2, 2, 0, 0, 1},
                                {2, 24, 7, 7, 7, 7, 7, 7, 0, 0, 1}};

static void windows(Maker *m) {
    for (size_t i = 0; i < sizeof POOLS / sizeof POOLS[0]; i++) {
        const int *p = POOLS[i];
        const int64_t x[4] = {p[0], p[1], p[2], p[3]};
        const int64_t y[4] = {p[0], p[1], (p[2] + 2 * p[8] - p[4]) / p[6] + 1, (p[3] + 2 * p[9] - p[5]) / p[7] + 1};
        begin(m);
        FblAttr attr = attr_axes(m, "hw");
        for (int k = 0; k < 7; k++) {
            attr.i[k] = p[4 + k];
        }
        FblType type_x = type_of(m, FBL_F32, "nchw", x);
        bool back = m->op == FBL_OP_MAX_POOL_GRAD || m->op == FBL_OP_AVG_POOL_GRAD;
        FblNodeId inputs[2] = {back ? leaf(m, "g", FBL_F32, "nchw", y) : leaf_of(m, "x", &type_x)};
        int count = 1;
        if (m->op == FBL_OP_MAX_POOL_GRAD) { // winners that are inside the image come from an image
            FblNodeId image = leaf_of(m, "signed", &type_x);
            inputs[count++] = fbl_graph_add(m->graph, FBL_OP_MAX_POOL_INDEX, &image, 1, &attr, NULL, FBL_NO_LOC);
        }
        bool summed = m->op == FBL_OP_AVG_POOL || m->op == FBL_OP_AVG_POOL_GRAD || m->op == FBL_OP_MAX_POOL_GRAD;
        end(m, add(m, inputs, count, &attr, back ? &type_x : NULL), summed ? OP_SUMMED : OP_EXACT, "[%d, %d, %d, %d], window %d x %d, stride %d, %d, pad %d, %d", p[0], p[1],
            p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]);
    }
}

// ------------------------------------------------------------------------------------------------------- shape, index, draws

static void shapes(Maker *m) {
    EACH_EXTENT(e) {
        begin(m);
        FblNodeId x = leaf(m, "x", FBL_F32, "abc", e), y = FBL_NO_NODE;
        FblAttr attr = {.name_count = 1, .names = {fbl_intern(m->ctx, "b")}};
        FblType given = *fbl_graph_type(m->graph, x);
        if (m->op == FBL_OP_SLICE) {
            attr.i[FBL_SLICE_START] = e[1] - 1;
            attr.i[FBL_SLICE_STEP] = e[1] > 2 ? -2 : -1;
            attr.i[FBL_SLICE_COUNT] = e[1] > 2 ? (e[1] + 1) / 2 : 1;
            y = add(m, &x, 1, &attr, NULL);
        } else if (m->op == FBL_OP_PAD) {
            attr.i[FBL_PAD_LOW] = 2;
            attr.i[FBL_PAD_HIGH] = 1;
            attr.i[FBL_PAD_INTERIOR] = 1;
            attr.value = -3;
            y = add(m, &x, 1, &attr, NULL);
        } else if (m->op == FBL_OP_CONCAT) {
            const int64_t other[3] = {e[2], e[1] + 2, e[0]};
            FblNodeId inputs[3] = {x, leaf(m, "y", FBL_I32, "cba", other), x};
            y = add(m, inputs, 3, &attr, NULL);
        } else if (m->op == FBL_OP_RENAME) {
            attr = (FblAttr){.name_count = 4, .split = 2, .names = {fbl_intern(m->ctx, "a"), fbl_intern(m->ctx, "b"), fbl_intern(m->ctx, "d"), fbl_intern(m->ctx, "a")}};
            y = add(m, &x, 1, &attr, NULL);
        } else if (m->op == FBL_OP_JOIN) {
            attr = (FblAttr){.name_count = 3, .split = 2, .names = {fbl_intern(m->ctx, "c"), fbl_intern(m->ctx, "a"), fbl_intern(m->ctx, "d")}};
            y = add(m, &x, 1, &attr, NULL);
        } else { // split: an extent of 3 times e[1]
            const int64_t joined[2] = {e[0], 3 * e[1]};
            x = leaf(m, "z", FBL_F32, "ab", joined);
            attr = (FblAttr){.name_count = 3, .split = 1, .names = {fbl_intern(m->ctx, "b"), fbl_intern(m->ctx, "p"), fbl_intern(m->ctx, "q")}};
            given = type_of(m, FBL_F32, "apq", (const int64_t[]){e[0], 3, e[1]});
            y = add(m, &x, 1, &attr, &given);
        }
        end(m, y, OP_EXACT, "[%d, %d, %d]", (int)e[0], (int)e[1], (int)e[2]);
    }
}

static void gathers(Maker *m) {
    EACH_EXTENT(e) {
        for (int form = 0; form < 3; form++) {
            begin(m);
            // Rows picked per element of a, from a vector, and along the gathered axis itself.
            const int64_t index[2] = {e[0], e[2]};
            FblNodeId x = form == 1 ? leaf(m, "x", FBL_F32, "b", e + 1) : leaf(m, "x", FBL_F32, "abc", e);
            FblNodeId inputs[2] = {x, form == 2 ? label(m, "index", 'b', e[1], "ba", (const int64_t[]){e[1] + 1, e[0]})
                                                : label(m, "index", 'b', e[1], form == 0 ? "a" : "ac", index)};
            FblAttr attr = attr_axes(m, "b");
            end(m, add(m, inputs, 2, &attr, NULL), OP_EXACT, "form %d [%d, %d, %d]", form, (int)e[0], (int)e[1], (int)e[2]);
        }
    }
}

static void draws(Maker *m) {
    FblAttr attr = {.i = {5}};
    if (m->op == FBL_OP_BETA) {
        begin(m);
        FblNodeId inputs[2] = {fbl_graph_const(m->graph, FBL_F32, 0.75, FBL_NO_LOC), fbl_graph_const(m->graph, FBL_F32, 2, FBL_NO_LOC)};
        end(m, add(m, inputs, 2, &attr, NULL), OP_ROUNDED, "0.75, 2");
        return;
    }
    EACH_EXTENT(e) {
        begin(m);
        FblType type = type_of(m, FBL_F32, "abc", e);
        if (m->op == FBL_OP_IOTA) {
            type = type_of(m, FBL_I32, "b", e + 1);
            type.index_axis = type.axes[0].name;
            type.index_extent = type.axes[0].extent;
        }
        FblNodeId y = add(m, NULL, 0, &attr, &type);
        // Read in another order than it is numbered, and beside an operand.
        FblNodeId x = leaf(m, "x", FBL_F32, "cba", (const int64_t[]){e[2], e[1], e[0]});
        end(m, fbl_graph_binary(m->graph, FBL_OP_ADD, x, y, FBL_NO_LOC), OP_ROUNDED, "[%d, %d, %d]", (int)e[0], (int)e[1], (int)e[2]);
    }
}

static void constants(Maker *m) {
    for (FblDtype dtype = FBL_F32; dtype <= FBL_BOOL; dtype++) {
        begin(m);
        FblNodeId x = leaf(m, "x", FBL_F32, "abc", EXTENTS[0]);
        FblNodeId y = fbl_graph_const(m->graph, dtype, dtype == FBL_F32 ? -2.5 : 1, FBL_NO_LOC);
        end(m, fbl_graph_binary(m->graph, FBL_OP_ADD, x, y, FBL_NO_LOC), OP_ROUNDED, "%s", fbl_dtype_name(dtype));
    }
}

void op_cases_of(FblContext *ctx, FblOp op, OpCases *out_cases) {
    Maker m = {ctx, op, out_cases, NULL};
    switch (fbl_op_info(op)->op_class) {
    case FBL_CLASS_LEAF:
        if (op == FBL_OP_CONST) {
            constants(&m);
        } else if (op == FBL_OP_IOTA || op == FBL_OP_UNIFORM) {
            draws(&m);
        }
        return;
    case FBL_CLASS_POINTWISE: pointwise(&m); return;
    case FBL_CLASS_REDUCE: reductions(&m); return;
    case FBL_CLASS_CONTRACT: op == FBL_OP_CONTRACT ? contracts(&m) : convolutions(&m); return;
    case FBL_CLASS_WINDOW: windows(&m); return;
    case FBL_CLASS_SHAPE: shapes(&m); return;
    case FBL_CLASS_INDEX: op == FBL_OP_GATHER ? gathers(&m) : draws(&m); return;
    case FBL_CLASS_SCAN: scans(&m); return;
    case FBL_CLASS_COLLECTIVE: return; // between devices: tests/passes/test_shard.c
    }
}

void op_case_inputs(const FblGraph *graph, uint64_t seed, bool absolute, FblBindings *out_leaves) {
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        if (node->op != FBL_OP_INPUT) {
            continue;
        }
        FblTensor tensor;
        if (fbl_tensor_create(&node->type, &tensor) != FBL_OK) {
            abort();
        }
        int64_t count = fbl_type_elements(&node->type);
        bool fold = absolute && strcmp(node->attr.names[0], "signed") != 0;
        for (int64_t i = 0; i < count; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint32_t bits = (uint32_t)(seed >> 33);
            double value = (float)((double)bits / 1073741824.0 - 1); // [-1, 1)
            if (node->type.dtype == FBL_BOOL) {
                value = bits & 1;
            } else if (node->type.index_axis) {
                value = (double)(bits % (uint64_t)node->type.index_extent);
            } else if (node->type.dtype == FBL_I32) {
                value = (double)(bits % 15) - 7;
            } else {
                value = (float)(2.5 * value);
            }
            tensor.data[i] = fold && value < 0 ? -value : value;
        }
        if (fbl_bindings_set(out_leaves, node->attr.names[0], tensor) != FBL_OK) {
            abort();
        }
    }
}

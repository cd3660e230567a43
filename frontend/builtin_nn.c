#include "frontend/sema.h"

#include <inttypes.h>
#include <string.h>

// One number for both directions, or (height, width).
static bool pair(FblBuiltinCall *c, int arg, int64_t fallback, int64_t *out) {
    FblVal v = c->args[arg];
    out[0] = out[1] = fallback;
    if (v.kind == FBL_VAL_NONE) {
        return true;
    }
    const char *what = fbl_arena_printf(c->b->arena, "`%s` of `%s`", c->builtin->params[arg].name, c->builtin->name);
    if (v.kind == FBL_VAL_SEQ && v.seq.count == 2) {
        return fbl_val_to_int(c->b, v.seq.items[0], c->locs[arg], what, &out[0]) &&
               fbl_val_to_int(c->b, v.seq.items[1], c->locs[arg], what, &out[1]);
    }
    if (!fbl_val_to_int(c->b, v, c->locs[arg], what, &out[0])) {
        return false;
    }
    out[1] = out[0];
    return true;
}

static bool f32_image(FblBuiltinCall *c, FblNodeId *out, const char *const *needed, int count) {
    FblBuild *b = c->b;
    if (c->args[0].kind != FBL_VAL_TENSOR) {
        fbl_build_error(b, "E0116", c->locs[0], "`%s` needs a tensor, found %s", c->builtin->name,
                        fbl_val_describe(b, c->args[0]));
        return false;
    }
    *out = fbl_build_cast(b, c->args[0].node, FBL_F32, c->loc);
    if (*out == FBL_NO_NODE) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        FblVal axis = fbl_val_axis(fbl_intern(b->ctx, needed[i]), 0, FBL_NO_LOC);
        if (fbl_axis_in(b, axis, fbl_graph_type(b->graph, *out), c->locs[0]) < 0) {
            return false;
        }
    }
    return true;
}

// The axes of an image besides channel, height and width, made one: conv2d takes exactly one.
typedef struct Batch {
    FblName name;       // NULL when there was none
    FblType before;     // the type of the image as it came
    FblName joined[FBL_MAX_RANK];
    int32_t count;
} Batch;

static FblNodeId join_batch(FblBuiltinCall *c, FblNodeId x, Batch *batch) {
    FblBuild *b = c->b;
    const FblType *type = fbl_graph_type(b->graph, x);
    batch->before = *type;
    batch->count = 0;
    for (int i = 0; i < type->rank; i++) {
        const char *name = type->axes[i].name;
        if (strcmp(name, "channel") != 0 && strcmp(name, "height") != 0 && strcmp(name, "width") != 0) {
            batch->joined[batch->count++] = name;
        }
    }
    if (batch->count == 1) {
        batch->name = batch->joined[0];
        return x;
    }
    if (batch->count == 0) {
        FblType given = *type;
        batch->name = fbl_intern(b->ctx, "batch");
        fbl_type_add_axis(&given, batch->name, 1);
        return fbl_build_add(b, FBL_OP_BROADCAST, &x, 1, NULL, &given, c->loc);
    }
    batch->name = fbl_intern(b->ctx, "all_batches");
    FblAttr attr = {.name_count = batch->count + 1, .split = batch->count};
    memcpy(attr.names, batch->joined, sizeof(FblName) * (size_t)batch->count);
    attr.names[batch->count] = batch->name;
    return fbl_build_add(b, FBL_OP_JOIN, &x, 1, &attr, NULL, c->loc);
}

static FblNodeId split_batch(FblBuiltinCall *c, FblNodeId x, const Batch *batch) {
    FblBuild *b = c->b;
    if (batch->count == 1) {
        return x;
    }
    if (batch->count == 0) {
        return fbl_build_add(b, FBL_OP_SUM, &x, 1, &(FblAttr){.name_count = 1, .names = {batch->name}}, NULL, c->loc);
    }
    FblAttr attr = {.name_count = batch->count + 1, .split = 1};
    FblType given = {.dtype = FBL_F32};
    attr.names[0] = batch->name;
    for (int32_t i = 0; i < batch->count; i++) {
        attr.names[i + 1] = batch->joined[i];
        int at = fbl_type_find(&batch->before, batch->joined[i]);
        fbl_type_add_axis(&given, batch->joined[i], batch->before.axes[at].extent);
    }
    return fbl_build_add(b, FBL_OP_SPLIT, &x, 1, &attr, &given, c->loc);
}

static FblVal conv2d(FblBuiltinCall *c) {
    static const char *const needed[] = {"channel", "height", "width"};
    FblBuild *b = c->b;
    FblNodeId x;
    int64_t stride[2];
    int64_t pad[2];
    int64_t dilation[2];
    int64_t groups[2];
    Batch batch;
    if (!f32_image(c, &x, needed, 3) || !pair(c, 2, 1, stride) || !pair(c, 3, 0, pad) || !pair(c, 4, 1, dilation) ||
        !pair(c, 5, 1, groups)) {
        return FBL_POISON;
    }
    FblNodeId weight = fbl_val_to_f32(b, c->args[1], c->locs[1]);
    x = join_batch(c, x, &batch);
    FblAttr attr = {.name_count = 4};
    attr.names[0] = batch.name;
    for (int i = 0; i < 3; i++) {
        attr.names[i + 1] = fbl_intern(b->ctx, needed[i]);
    }
    attr.i[FBL_CONV_STRIDE_H] = stride[0];
    attr.i[FBL_CONV_STRIDE_W] = stride[1];
    attr.i[FBL_CONV_PAD_H] = pad[0];
    attr.i[FBL_CONV_PAD_W] = pad[1];
    attr.i[FBL_CONV_DILATION_H] = dilation[0];
    attr.i[FBL_CONV_DILATION_W] = dilation[1];
    attr.i[FBL_CONV_GROUPS] = groups[0];
    FblNodeId y = fbl_build_add(b, FBL_OP_CONV2D, (FblNodeId[]){x, weight}, 2, &attr, NULL, c->loc);
    return fbl_val_node(split_batch(c, y, &batch));
}

// PyTorch's ceil mode: a last window that starts inside the input or its left padding counts.
static void ceil_extent(FblAxis *axis, int64_t kernel, int64_t stride, int64_t pad) {
    int64_t up = (axis->extent + 2 * pad - kernel + stride - 1) / stride + 1;
    if ((up - 1) * stride >= axis->extent + pad) {
        up--;
    }
    axis->extent = up;
}

static FblVal pool(FblBuiltinCall *c) {
    static const char *const needed[] = {"height", "width"};
    FblBuild *b = c->b;
    FblNodeId x;
    int64_t kernel[2];
    int64_t stride[2];
    int64_t padding[2];
    bool ceil_mode = false;
    bool count_pad = true;
    if (!f32_image(c, &x, needed, 2) || !pair(c, 1, 1, kernel) || !pair(c, 2, kernel[0], stride) ||
        !pair(c, 3, 0, padding) ||
        (c->args[4].kind != FBL_VAL_NONE && !fbl_val_to_bool(b, c->args[4], c->locs[4], "`ceil`", &ceil_mode)) ||
        (c->args[5].kind != FBL_VAL_NONE && !fbl_val_to_bool(b, c->args[5], c->locs[5], "`count_pad`", &count_pad))) {
        return FBL_POISON;
    }
    if (c->args[2].kind == FBL_VAL_NONE) {
        stride[1] = kernel[1];
    }
    FblAttr attr = {.name_count = 2};
    FblType given = *fbl_graph_type(b->graph, x);
    for (int d = 0; d < 2; d++) {
        attr.names[d] = fbl_intern(b->ctx, needed[d]);
        attr.i[FBL_POOL_KERNEL_H + d] = kernel[d];
        attr.i[FBL_POOL_STRIDE_H + d] = stride[d];
        attr.i[FBL_POOL_PAD_H + d] = padding[d];
        FblAxis *axis = &given.axes[fbl_type_find(&given, attr.names[d])];
        bool sane = stride[d] > 0 && stride[d] < INT32_MAX && kernel[d] > 0 && kernel[d] < INT32_MAX &&
                    padding[d] >= 0 && padding[d] < INT32_MAX && axis->extent > 0;
        ceil_mode = ceil_mode && sane; // otherwise the inference says what is wrong
        if (ceil_mode) {
            ceil_extent(axis, kernel[d], stride[d], padding[d]);
        }
    }
    attr.i[FBL_POOL_COUNT_PAD] = count_pad;
    return fbl_val_node(
        fbl_build_add(b, (FblOp)c->builtin->tag, &x, 1, &attr, ceil_mode ? &given : NULL, c->loc));
}

// ------------------------------------------------------------------------------------------------ initialisers

static FblVal fan_fill(FblBuiltinCall *c) {
    FblVal v = {.kind = FBL_VAL_INIT, .init = {.kind = (FblFillKind)c->builtin->tag}};
    if (c->args[0].kind == FBL_VAL_NONE) {
        return v;
    }
    const char *word = c->args[0].kind == FBL_VAL_STRING ? c->args[0].string : "";
    v.init.fan_out = strcmp(word, "out") == 0;
    if (!v.init.fan_out && strcmp(word, "in") != 0) {
        fbl_build_error(c->b, "E0147", c->locs[0], "`fan` is `in` or `out`");
        return FBL_POISON;
    }
    return v;
}

static FblVal two_number_fill(FblBuiltinCall *c) {
    FblVal v = {.kind = FBL_VAL_INIT, .init = {.kind = (FblFillKind)c->builtin->tag}};
    bool normal = v.init.kind == FBL_FILL_NORMAL;
    v.init.a = 0;
    v.init.b = 1;
    for (int i = 0; i < 2; i++) {
        const char *what = fbl_arena_printf(c->b->arena, "`%s` of `%s`", c->builtin->params[i].name, c->builtin->name);
        if (c->args[i].kind != FBL_VAL_NONE &&
            !fbl_val_to_real(c->b, c->args[i], c->locs[i], what, i == 0 ? &v.init.a : &v.init.b)) {
            return FBL_POISON;
        }
    }
    if (normal ? v.init.b < 0 : v.init.b < v.init.a) {
        fbl_build_error(c->b, "E0147", c->loc, "%s",
                        normal ? "a standard deviation can't be negative" : "the low end lies above the high one");
        return FBL_POISON;
    }
    return v;
}

static FblVal constant_fill(FblBuiltinCall *c) {
    return (FblVal){.kind = FBL_VAL_INIT, .init = {.kind = FBL_FILL_CONSTANT, .a = c->builtin->tag}};
}

#define FAN {{"fan", FBL_ARG_WORD, true}}

const FblBuiltin fbl_builtins_nn[] = {
    {"conv2d_op",
     conv2d,
     0,
     {{"x", FBL_ARG_VALUE, false},
      {"weight", FBL_ARG_VALUE, false},
      {"stride", FBL_ARG_VALUE, true},
      {"pad", FBL_ARG_VALUE, true},
      {"dilation", FBL_ARG_VALUE, true},
      {"groups", FBL_ARG_VALUE, true}}},
    {"max_pool_op",
     pool,
     FBL_OP_MAX_POOL,
     {{"x", FBL_ARG_VALUE, false},
      {"kernel", FBL_ARG_VALUE, false},
      {"stride", FBL_ARG_VALUE, true},
      {"pad", FBL_ARG_VALUE, true},
      {"ceil", FBL_ARG_VALUE, true},
      {"count_pad", FBL_ARG_VALUE, true}}},
    {"avg_pool_op",
     pool,
     FBL_OP_AVG_POOL,
     {{"x", FBL_ARG_VALUE, false},
      {"kernel", FBL_ARG_VALUE, false},
      {"stride", FBL_ARG_VALUE, true},
      {"pad", FBL_ARG_VALUE, true},
      {"ceil", FBL_ARG_VALUE, true},
      {"count_pad", FBL_ARG_VALUE, true}}},
    {"kaiming_normal", fan_fill, FBL_FILL_KAIMING_NORMAL, FAN},
    {"kaiming_uniform", fan_fill, FBL_FILL_KAIMING_UNIFORM, FAN},
    {"xavier_normal", fan_fill, FBL_FILL_XAVIER_NORMAL, {{0}}},
    {"xavier_uniform", fan_fill, FBL_FILL_XAVIER_UNIFORM, {{0}}},
    {"normal", two_number_fill, FBL_FILL_NORMAL, {{"mean", FBL_ARG_VALUE, true}, {"std", FBL_ARG_VALUE, true}}},
    {"uniform", two_number_fill, FBL_FILL_UNIFORM, {{"low", FBL_ARG_VALUE, true}, {"high", FBL_ARG_VALUE, true}}},
    {"zeros", constant_fill, 0, {{0}}},
    {"ones", constant_fill, 1, {{0}}},
    {0},
};

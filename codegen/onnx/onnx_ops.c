// The ONNX nodes of every operation that has an equal there.
#include <string.h>

#include "codegen/onnx/onnx_build.h"

static const FblNode *node_of(const FblOnnx *o) { return &o->graph->nodes[o->at]; }
static const FblType *input_type(const FblOnnx *o, int i) { return &o->graph->nodes[node_of(o)->inputs[i]].type; }
static const char *input_name(const FblOnnx *o, int i) { return o->names[node_of(o)->inputs[i]]; }

static const char *cast(FblOnnx *o, const char *x, FblDtype from, FblDtype to, const char *out) {
    if (from == to) {
        return out ? fbl_onnx_unary(o, "Identity", x, out) : x;
    }
    const char *made = fbl_onnx_unary(o, "Cast", x, out);
    fbl_onnx_int(o, "to", fbl_onnx_dtype(to));
    return made;
}

static const char *transpose(FblOnnx *o, const char *x, const int64_t *order, int rank, const char *out) {
    bool same = true;
    for (int i = 0; i < rank; i++) {
        same &= order[i] == i;
    }
    if (same) {
        return out ? fbl_onnx_unary(o, "Identity", x, out) : x;
    }
    const char *made = fbl_onnx_unary(o, "Transpose", x, out);
    fbl_onnx_ints(o, "perm", order, (size_t)rank);
    return made;
}

// Where the axes of `type` stand in `from`.
static void order_of(const FblType *type, const FblType *from, int64_t *out) {
    for (int i = 0; i < type->rank; i++) {
        out[i] = fbl_type_find(from, type->axes[i].name);
    }
}

// `x` of type `from` with its dimensions in the order of `to`, and unit dimensions for the axes of `to` after its first that
// it lacks: what ONNX's broadcasting wants.
static const char *align(FblOnnx *o, const char *x, const FblType *from, const FblType *to) {
    int64_t order[FBL_MAX_RANK], missing[FBL_MAX_RANK];
    int rank = 0, first = -1, gaps = 0;
    for (int i = 0; i < to->rank; i++) {
        int at = fbl_type_find(from, to->axes[i].name);
        if (at >= 0) {
            first = first < 0 ? i : first;
            order[rank++] = at;
        } else if (first >= 0) {
            missing[gaps++] = i - first;
        }
    }
    x = transpose(o, x, order, rank, NULL);
    return gaps ? fbl_onnx_binary(o, "Unsqueeze", x, fbl_onnx_list(o, missing, (size_t)gaps), NULL) : x;
}

static const char *operand(FblOnnx *o, int i, FblDtype dtype) {
    return align(o, cast(o, input_name(o, i), input_type(o, i)->dtype, dtype, NULL), input_type(o, i), &node_of(o)->type);
}

// The number of an axis as part of a shape; the batch's then is fixed.
static int64_t number(FblOnnx *o, const FblAxis *axis) {
    o->fixed_batch |= strcmp(axis->name, "batch") == 0;
    return axis->extent;
}

// ------------------------------------------------------------------------------------------------------- pointwise

static const char *const SIMPLE[FBL_OP_COUNT] = {
    [FBL_OP_NEG] = "Neg",   [FBL_OP_ABS] = "Abs",   [FBL_OP_EXP] = "Exp",         [FBL_OP_LOG] = "Log",  [FBL_OP_SQRT] = "Sqrt",
    [FBL_OP_SIN] = "Sin",   [FBL_OP_COS] = "Cos",   [FBL_OP_TANH] = "Tanh",       [FBL_OP_ERF] = "Erf",  [FBL_OP_SIGMOID] = "Sigmoid",
    [FBL_OP_FLOOR] = "Floor", [FBL_OP_NOT] = "Not", [FBL_OP_ADD] = "Add",         [FBL_OP_SUB] = "Sub",  [FBL_OP_MUL] = "Mul",
    [FBL_OP_DIV] = "Div",   [FBL_OP_POW] = "Pow",   [FBL_OP_MIN] = "Min",         [FBL_OP_MAX] = "Max",  [FBL_OP_EQ] = "Equal",
    [FBL_OP_NE] = "Equal",  [FBL_OP_LT] = "Less",   [FBL_OP_LE] = "LessOrEqual",  [FBL_OP_AND] = "And",  [FBL_OP_OR] = "Or"};

// The type in which a pointwise op computes.
static FblDtype computing_type(const FblOnnx *o) {
    const FblNode *node = node_of(o);
    if (node->op == FBL_OP_NOT || node->op == FBL_OP_AND || node->op == FBL_OP_OR) {
        return FBL_BOOL;
    }
    if (node->type.dtype != FBL_BOOL) {
        return node->type.dtype;
    }
    FblDtype common = FBL_I32;
    for (int i = 0; i < node->input_count; i++) {
        common = input_type(o, i)->dtype == FBL_F32 ? FBL_F32 : common;
    }
    return common;
}

static void pointwise(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    FblDtype dtype = computing_type(o);
    if (node->op == FBL_OP_CAST) {
        cast(o, input_name(o, 0), input_type(o, 0)->dtype, node->type.dtype, out);
    } else if (node->op == FBL_OP_STOP_GRADIENT) {
        fbl_onnx_unary(o, "Identity", input_name(o, 0), out);
    } else if (node->op == FBL_OP_SELECT) {
        const char *inputs[] = {operand(o, 0, FBL_BOOL), operand(o, 1, dtype), operand(o, 2, dtype), NULL};
        fbl_onnx_node(o, "Where", inputs, out);
    } else if (node->op == FBL_OP_BROADCAST) {
        int64_t shape[FBL_MAX_RANK];
        for (int i = 0; i < node->type.rank; i++) {
            shape[i] = fbl_type_find(input_type(o, 0), node->type.axes[i].name) >= 0 ? 1 : number(o, &node->type.axes[i]);
        }
        fbl_onnx_binary(o, "Expand", operand(o, 0, dtype), fbl_onnx_list(o, shape, (size_t)node->type.rank), out);
    } else if (node->op == FBL_OP_EXPM1) {
        fbl_onnx_binary(o, "Sub", fbl_onnx_unary(o, "Exp", operand(o, 0, dtype), NULL), fbl_onnx_scalar(o, FBL_F32, 1), out);
    } else if (node->op == FBL_OP_LOG1P) {
        fbl_onnx_unary(o, "Log", fbl_onnx_binary(o, "Add", operand(o, 0, dtype), fbl_onnx_scalar(o, FBL_F32, 1), NULL), out);
    } else if (node->op == FBL_OP_MOD && dtype == FBL_F32) {
        const char *a = operand(o, 0, dtype), *b = operand(o, 1, dtype);
        const char *whole = fbl_onnx_unary(o, "Floor", fbl_onnx_binary(o, "Div", a, b, NULL), NULL);
        fbl_onnx_binary(o, "Sub", a, fbl_onnx_binary(o, "Mul", b, whole, NULL), out);
    } else if (dtype == FBL_I32 && (node->op == FBL_OP_DIV || node->op == FBL_OP_MOD)) {
        fbl_onnx_refuse(o, "integer division rounds otherwise there");
    } else if (SIMPLE[node->op] && node->input_count == 1) {
        fbl_onnx_unary(o, SIMPLE[node->op], operand(o, 0, dtype), out);
    } else if (SIMPLE[node->op]) {
        bool negated = node->op == FBL_OP_NE;
        const char *made = fbl_onnx_binary(o, SIMPLE[node->op], operand(o, 0, dtype), operand(o, 1, dtype), negated ? NULL : out);
        if (negated) {
            fbl_onnx_unary(o, "Not", made, out);
        }
    } else {
        fbl_onnx_refuse(o, "there is no such operation");
    }
}

// ------------------------------------------------------------------------------------------------------- reductions, contractions

static void reduction(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *type = input_type(o, 0);
    int64_t axes[FBL_MAX_RANK];
    for (int32_t i = 0; i < node->attr.name_count; i++) {
        axes[i] = fbl_type_find(type, node->attr.names[i]);
    }
    const char *x = cast(o, input_name(o, 0), type->dtype, type->dtype == FBL_BOOL ? (node->op == FBL_OP_SUM ? FBL_F32 : FBL_I32) : type->dtype, NULL);
    if (node->op == FBL_OP_ARGMAX) {
        const char *index = fbl_onnx_unary(o, "ArgMax", x, NULL);
        fbl_onnx_int(o, "axis", axes[0]);
        fbl_onnx_int(o, "keepdims", 0);
        fbl_onnx_unary(o, "Cast", index, out);
        fbl_onnx_int(o, "to", FBL_ONNX_INT32);
    } else if (node->attr.name_count == 0) {
        fbl_onnx_unary(o, "Identity", x, out);
    } else {
        const char *op = node->op == FBL_OP_SUM ? "ReduceSum" : node->op == FBL_OP_REDUCE_MAX ? "ReduceMax" : "ReduceMin";
        fbl_onnx_binary(o, op, x, fbl_onnx_list(o, axes, (size_t)node->attr.name_count), out);
        fbl_onnx_int(o, "keepdims", 0);
    }
}

// An Einsum with a letter for every axis.
static void contract(FblOnnx *o, const char *out) {
    FblName letters[3 * FBL_MAX_RANK];
    int count = 0;
    char equation[64];
    size_t length = 0;
    const FblType *types[] = {input_type(o, 0), input_type(o, 1), &node_of(o)->type};
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < types[t]->rank; i++) {
            int at = 0;
            while (at < count && letters[at] != types[t]->axes[i].name) {
                at++;
            }
            if (at == count) {
                letters[count++] = types[t]->axes[i].name;
            }
            equation[length++] = (char)('a' + at);
        }
        for (const char *sign = t == 0 ? "," : t == 1 ? "->" : ""; *sign; sign++) {
            equation[length++] = *sign;
        }
    }
    equation[length] = 0;
    const char *inputs[] = {cast(o, input_name(o, 0), types[0]->dtype, FBL_F32, NULL), cast(o, input_name(o, 1), types[1]->dtype, FBL_F32, NULL), NULL};
    fbl_onnx_node(o, "Einsum", inputs, out);
    fbl_onnx_string(o, "equation", fbl_arena_strndup(o->arena, equation, length));
}

// Orders that bring the axes named to the given places, all others before them, and back.
static void bring(const FblType *type, const FblName *names, int count, int64_t *there, int64_t *back) {
    int rank = 0;
    for (int i = 0; i < type->rank; i++) {
        bool named = false;
        for (int k = 0; k < count; k++) {
            named |= type->axes[i].name == names[k];
        }
        if (!named) {
            there[rank++] = i;
        }
    }
    for (int k = 0; k < count; k++) {
        there[rank++] = fbl_type_find(type, names[k]);
    }
    for (int i = 0; i < rank; i++) {
        back[there[i]] = i;
    }
}

static void convolution(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *type = input_type(o, 0);
    const int64_t *a = node->attr.i;
    int64_t there[FBL_MAX_RANK], back[FBL_MAX_RANK];
    bring(type, node->attr.names, 4, there, back);
    const char *y = fbl_onnx_binary(o, "Conv", transpose(o, input_name(o, 0), there, 4, NULL), input_name(o, 1), NULL);
    fbl_onnx_ints(o, "strides", (const int64_t[]){a[FBL_CONV_STRIDE_H], a[FBL_CONV_STRIDE_W]}, 2);
    fbl_onnx_ints(o, "pads", (const int64_t[]){a[FBL_CONV_PAD_H], a[FBL_CONV_PAD_W], a[FBL_CONV_PAD_H], a[FBL_CONV_PAD_W]}, 4);
    fbl_onnx_ints(o, "dilations", (const int64_t[]){a[FBL_CONV_DILATION_H], a[FBL_CONV_DILATION_W]}, 2);
    fbl_onnx_int(o, "group", a[FBL_CONV_GROUPS]);
    transpose(o, y, back, 4, out);
}

static void pool(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *type = input_type(o, 0);
    const int64_t *a = node->attr.i;
    if (type->rank != 4 || (node->op != FBL_OP_MAX_POOL && node->op != FBL_OP_AVG_POOL)) {
        fbl_onnx_refuse(o, type->rank != 4 ? "it pools other than images of four axes" : "it belongs to a derivative");
        return;
    }
    int64_t there[FBL_MAX_RANK], back[FBL_MAX_RANK];
    bring(type, node->attr.names, 2, there, back);
    const char *y = fbl_onnx_unary(o, node->op == FBL_OP_MAX_POOL ? "MaxPool" : "AveragePool", transpose(o, input_name(o, 0), there, 4, NULL), NULL);
    fbl_onnx_ints(o, "kernel_shape", (const int64_t[]){a[FBL_POOL_KERNEL_H], a[FBL_POOL_KERNEL_W]}, 2);
    fbl_onnx_ints(o, "strides", (const int64_t[]){a[FBL_POOL_STRIDE_H], a[FBL_POOL_STRIDE_W]}, 2);
    fbl_onnx_ints(o, "pads", (const int64_t[]){a[FBL_POOL_PAD_H], a[FBL_POOL_PAD_W], a[FBL_POOL_PAD_H], a[FBL_POOL_PAD_W]}, 4);
    bool up = false;
    for (int d = 0; d < 2; d++) {
        int64_t extent = type->axes[fbl_type_find(type, node->attr.names[d])].extent, made = node->type.axes[fbl_type_find(&node->type, node->attr.names[d])].extent;
        up |= made > (extent + 2 * a[FBL_POOL_PAD_H + d] - a[FBL_POOL_KERNEL_H + d]) / a[FBL_POOL_STRIDE_H + d] + 1;
    }
    fbl_onnx_int(o, "ceil_mode", up);
    if (node->op == FBL_OP_AVG_POOL) {
        fbl_onnx_int(o, "count_include_pad", a[FBL_POOL_COUNT_PAD]);
    }
    transpose(o, y, back, 4, out);
}

// ------------------------------------------------------------------------------------------------------- shape and index

// Reshape to the node's type from dimensions of which the first `kept` are the result's.
static void reshape(FblOnnx *o, const char *x, int kept, const char *out) {
    const FblType *type = &node_of(o)->type;
    int64_t shape[FBL_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        shape[i] = i < kept ? 0 : number(o, &type->axes[i]); // 0: as the input has it
    }
    fbl_onnx_binary(o, "Reshape", x, fbl_onnx_list(o, shape, (size_t)type->rank), out);
}

static void slice_or_pad(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *type = input_type(o, 0);
    const int64_t *a = node->attr.i;
    int64_t axis = fbl_type_find(type, node->attr.names[0]);
    if (node->op == FBL_OP_SLICE) {
        int64_t end = a[FBL_SLICE_START] + (a[FBL_SLICE_COUNT] - 1) * a[FBL_SLICE_STEP] + (a[FBL_SLICE_STEP] > 0 ? 1 : -1);
        end = end < 0 ? INT64_MIN / 2 : end; // before the first element
        const int64_t start = a[FBL_SLICE_START], step = a[FBL_SLICE_STEP];
        const char *inputs[] = {input_name(o, 0), fbl_onnx_list(o, &start, 1), fbl_onnx_list(o, &end, 1), fbl_onnx_list(o, &axis, 1), fbl_onnx_list(o, &step, 1), NULL};
        fbl_onnx_node(o, "Slice", inputs, out);
        return;
    }
    if (a[FBL_PAD_INTERIOR] != 0) {
        fbl_onnx_refuse(o, "there is no padding between elements");
        return;
    }
    int64_t pads[2 * FBL_MAX_RANK] = {0};
    pads[axis] = a[FBL_PAD_LOW];
    pads[type->rank + axis] = a[FBL_PAD_HIGH];
    const char *inputs[] = {input_name(o, 0), fbl_onnx_list(o, pads, 2 * (size_t)type->rank), fbl_onnx_scalar(o, type->dtype, node->attr.value), NULL};
    fbl_onnx_node(o, "Pad", inputs, out);
}

static void concat(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const char **inputs = FBL_NEW_ARRAY(o->arena, const char *, node->input_count + 1);
    for (int32_t i = 0; i < node->input_count; i++) {
        inputs[i] = operand(o, i, node->type.dtype);
    }
    fbl_onnx_node(o, "Concat", inputs, out);
    fbl_onnx_int(o, "axis", fbl_type_find(&node->type, node->attr.names[0]));
}

static void join(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *type = input_type(o, 0);
    int64_t order[FBL_MAX_RANK];
    int rank = 0, place = fbl_type_find(&node->type, node->attr.names[node->attr.split]);
    for (int i = 0; i < node->type.rank; i++) {
        if (i == place) {
            for (int32_t k = 0; k < node->attr.split; k++) {
                order[rank++] = fbl_type_find(type, node->attr.names[k]);
            }
        } else {
            order[rank++] = fbl_type_find(type, node->type.axes[i].name);
        }
    }
    reshape(o, transpose(o, input_name(o, 0), order, rank, NULL), place, out);
}

static void gather(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    const FblType *x = input_type(o, 0), *index = input_type(o, 1);
    int axis = fbl_type_find(x, node->attr.names[0]);
    FblType made = {.dtype = x->dtype};
    for (int i = 0; i < x->rank; i++) {
        if (i != axis) {
            fbl_type_add_axis(&made, x->axes[i].name, x->axes[i].extent);
            if (fbl_type_find(index, x->axes[i].name) >= 0) {
                fbl_onnx_refuse(o, "its index shares axes with what it indexes");
                return;
            }
            continue;
        }
        for (int k = 0; k < index->rank; k++) {
            fbl_type_add_axis(&made, index->axes[k].name, index->axes[k].extent);
        }
    }
    int64_t order[FBL_MAX_RANK];
    order_of(&node->type, &made, order);
    const char *picked = fbl_onnx_binary(o, "Gather", input_name(o, 0), input_name(o, 1), NULL);
    fbl_onnx_int(o, "axis", axis);
    transpose(o, picked, order, node->type.rank, out);
}

void fbl_onnx_op(FblOnnx *o, const char *out) {
    const FblNode *node = node_of(o);
    switch (node->op) {
    case FBL_OP_CONTRACT: contract(o, out); return;
    case FBL_OP_CONV2D: convolution(o, out); return;
    case FBL_OP_SLICE:
    case FBL_OP_PAD: slice_or_pad(o, out); return;
    case FBL_OP_CONCAT: concat(o, out); return;
    case FBL_OP_RENAME: fbl_onnx_unary(o, "Identity", input_name(o, 0), out); return;
    case FBL_OP_SPLIT: reshape(o, input_name(o, 0), fbl_type_find(input_type(o, 0), node->attr.names[0]), out); return;
    case FBL_OP_JOIN: join(o, out); return;
    case FBL_OP_GATHER: gather(o, out); return;
    case FBL_OP_CUMSUM: {
        const int64_t axis = fbl_type_find(input_type(o, 0), node->attr.names[0]);
        const char *x = cast(o, input_name(o, 0), input_type(o, 0)->dtype, node->type.dtype, NULL);
        fbl_onnx_binary(o, "CumSum", x, fbl_onnx_list(o, &axis, 1), out);
        return;
    }
    default: break;
    }
    switch (fbl_op_info(node->op)->op_class) {
    case FBL_CLASS_POINTWISE: pointwise(o, out); return;
    case FBL_CLASS_REDUCE: reduction(o, out); return;
    case FBL_CLASS_WINDOW: pool(o, out); return;
    default: fbl_onnx_refuse(o, "there is no such operation"); return;
    }
}

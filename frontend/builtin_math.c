#include "frontend/sema.h"

#include <math.h>

static bool number_or_tensor(FblBuiltinCall *c, int arg) {
    FblVal v = c->args[arg];
    if (v.kind == FBL_VAL_TENSOR || v.kind == FBL_VAL_INT || fbl_val_is_number(v)) {
        return true;
    }
    FblDiag *diag = fbl_build_error(c->b, "E0116", c->locs[arg], "`%s` needs a tensor or a number, found %s",
                                    c->builtin->name, fbl_val_describe(c->b, v));
    if (v.kind == FBL_VAL_AXIS) {
        fbl_diag_hint(c->b->ctx, diag, "extent(x, %s) is its length in x", v.axis.name);
    }
    return false;
}

static double fold(int op, double x) {
    switch (op) {
    case FBL_OP_EXP:
        return exp(x);
    case FBL_OP_EXPM1:
        return expm1(x);
    case FBL_OP_LOG:
        return log(x);
    case FBL_OP_LOG1P:
        return log1p(x);
    case FBL_OP_SQRT:
        return sqrt(x);
    case FBL_OP_SIN:
        return sin(x);
    case FBL_OP_COS:
        return cos(x);
    case FBL_OP_TANH:
        return tanh(x);
    case FBL_OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case FBL_OP_ERF:
        return erf(x);
    default:
        return x;
    }
}

static FblVal unary(FblBuiltinCall *c) {
    if (!number_or_tensor(c, 0)) {
        return FBL_POISON;
    }
    if (fbl_val_is_number(c->args[0])) {
        double x = fbl_val_number(c->args[0]);
        double y = fold(c->builtin->tag, x);
        if (!isfinite(y) && isfinite(x)) {
            fbl_build_error(c->b, "E0118", c->loc, "%s(%g) is no real number", c->builtin->name, x);
            return FBL_POISON;
        }
        return fbl_val_real(y);
    }
    return fbl_val_node(fbl_build_unary(c->b, (FblOp)c->builtin->tag, fbl_val_to_f32(c->b, c->args[0], c->locs[0]), c->loc));
}

// abs and floor keep whole numbers whole.
static FblVal keeping(FblBuiltinCall *c) {
    FblVal x = c->args[0];
    if (!number_or_tensor(c, 0)) {
        return FBL_POISON;
    }
    bool is_abs = c->builtin->tag == FBL_OP_ABS;
    if (x.kind == FBL_VAL_REAL) {
        return fbl_val_real(is_abs ? fabs(x.real) : floor(x.real));
    }
    if (fbl_val_is_number(x)) {
        return is_abs && x.integer < 0 ? fbl_arith_unary(c->b, FBL_UNARY_NEG, x, c->loc) : fbl_val_int(x.integer);
    }
    FblNodeId node = fbl_val_to_node(c->b, x, FBL_F32, c->locs[0]);
    if (node == FBL_NO_NODE) {
        return FBL_POISON;
    }
    FblDtype dtype = fbl_graph_type(c->b->graph, node)->dtype == FBL_I32 ? FBL_I32 : FBL_F32;
    return fbl_val_node(
        fbl_build_unary(c->b, (FblOp)c->builtin->tag, fbl_build_cast(c->b, node, dtype, c->loc), c->loc));
}

static FblVal stop_gradient(FblBuiltinCall *c) {
    if (!number_or_tensor(c, 0) || c->args[0].kind != FBL_VAL_TENSOR) {
        return number_or_tensor(c, 0) ? c->args[0] : FBL_POISON;
    }
    if (fbl_val_type(c->b, c->args[0])->dtype != FBL_F32) {
        return c->args[0];
    }
    return fbl_val_node(fbl_build_unary(c->b, FBL_OP_STOP_GRADIENT, c->args[0].node, c->loc));
}

static FblVal to_float(FblBuiltinCall *c) {
    if (!number_or_tensor(c, 0)) {
        return FBL_POISON;
    }
    if (c->args[0].kind != FBL_VAL_TENSOR) {
        return c->args[0].symbolic ? c->args[0] : fbl_val_real(fbl_val_number(c->args[0]));
    }
    return fbl_val_node(fbl_build_cast(c->b, c->args[0].node, FBL_F32, c->loc));
}

static FblVal to_int(FblBuiltinCall *c) {
    if (!number_or_tensor(c, 0)) {
        return FBL_POISON;
    }
    if (c->args[0].kind == FBL_VAL_TENSOR) {
        return fbl_val_node(fbl_build_cast(c->b, c->args[0].node, FBL_I32, c->loc));
    }
    if (c->args[0].kind == FBL_VAL_REAL) {
        double x = trunc(c->args[0].real);
        if (!(fabs(x) < 9e15)) {
            fbl_build_error(c->b, "E0118", c->loc, "int(%g) is too large", c->args[0].real);
            return FBL_POISON;
        }
        return fbl_val_int((int64_t)x);
    }
    return c->args[0].symbolic ? c->args[0] : fbl_val_int(c->args[0].integer);
}

// -------------------------------------------------------------------------------------------------- reductions

static FblVal all_axes(FblBuild *b, const FblType *type) {
    FblVal seq = {.kind = FBL_VAL_SEQ};
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, type->rank);
    for (int i = 0; i < type->rank; i++) {
        seq.seq.items[seq.seq.count++] = fbl_val_axis(type->axes[i].name, type->axes[i].extent, FBL_NO_LOC);
    }
    return seq;
}

static FblVal reduce(FblBuiltinCall *c, FblOp op, int over_arg) {
    FblBuild *b = c->b;
    FblVal x = c->args[0];
    if (!number_or_tensor(c, 0)) {
        return FBL_POISON;
    }
    FblType scalar = fbl_type_scalar(FBL_F32);
    const FblType *type = x.kind == FBL_VAL_TENSOR ? fbl_val_type(b, x) : &scalar;
    FblVal over = c->args[over_arg].kind == FBL_VAL_NONE ? all_axes(b, type) : c->args[over_arg];
    FblAttr attr = {0};
    if (!fbl_axes_names(b, over, type, c->locs[over_arg], attr.names, &attr.name_count)) {
        return FBL_POISON;
    }
    if (attr.name_count == 0) {
        return x;
    }
    FblNodeId node = x.node;
    if (type->dtype == FBL_BOOL || type->index_axis != NULL) {
        node = fbl_build_cast(b, node, type->dtype == FBL_BOOL ? FBL_F32 : FBL_I32, c->loc);
    }
    return fbl_val_node(fbl_build_add(b, op, &node, 1, &attr, NULL, c->loc));
}

static FblVal sum(FblBuiltinCall *c) { return reduce(c, FBL_OP_SUM, 1); }

static FblVal minmax(FblBuiltinCall *c) {
    bool max = c->builtin->tag;
    bool pair = c->args[1].kind != FBL_VAL_NONE;
    if (pair && c->args[2].kind != FBL_VAL_NONE) {
        fbl_build_error(c->b, "E0155", c->loc, "`%s` takes either two values or one and `over=`", c->builtin->name);
        return FBL_POISON;
    }
    if (pair) {
        return number_or_tensor(c, 0) && number_or_tensor(c, 1)
                   ? fbl_arith_minmax(c->b, max, c->args[0], c->args[1], c->loc)
                   : FBL_POISON;
    }
    return reduce(c, max ? FBL_OP_REDUCE_MAX : FBL_OP_REDUCE_MIN, 2);
}

static bool tensor_arg(FblBuiltinCall *c, int arg) {
    if (c->args[arg].kind == FBL_VAL_TENSOR) {
        return true;
    }
    fbl_build_error(c->b, "E0116", c->locs[arg], "`%s` needs a tensor, found %s", c->builtin->name,
                    fbl_val_describe(c->b, c->args[arg]));
    return false;
}

// argmax, cumsum, argsort: along one axis.
static FblVal along_axis(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    bool descending = false;
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    int at = fbl_axis_in(b, c->args[1], fbl_val_type(b, c->args[0]), c->locs[1]);
    if (at < 0 || (c->args[2].kind != FBL_VAL_NONE &&
                   !fbl_val_to_bool(b, c->args[2], c->locs[2], "`descending`", &descending))) {
        return FBL_POISON;
    }
    FblAttr attr = {.name_count = 1};
    attr.names[0] = fbl_val_type(b, c->args[0])->axes[at].name;
    attr.i[0] = descending;
    FblNodeId x = c->args[0].node;
    if (fbl_val_type(b, c->args[0])->dtype != FBL_F32) {
        x = fbl_build_cast(b, x, FBL_I32, c->loc);
    }
    return fbl_val_node(fbl_build_add(b, (FblOp)c->builtin->tag, &x, 1, &attr, NULL, c->loc));
}

static FblVal contract(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    if (!tensor_arg(c, 0) || !tensor_arg(c, 1)) {
        return FBL_POISON;
    }
    FblAttr attr = {0};
    FblName unused[FBL_MAX_RANK];
    int32_t count;
    if (!fbl_axes_names(b, c->args[2], fbl_val_type(b, c->args[0]), c->locs[2], attr.names, &attr.name_count) ||
        !fbl_axes_names(b, c->args[2], fbl_val_type(b, c->args[1]), c->locs[2], unused, &count)) {
        return FBL_POISON;
    }
    FblNodeId p = fbl_build_cast(b, c->args[0].node, FBL_F32, c->loc);
    FblNodeId q = fbl_build_cast(b, c->args[1].node, FBL_F32, c->loc);
    return fbl_val_node(fbl_build_add(b, FBL_OP_CONTRACT, (FblNodeId[]){p, q}, 2, &attr, NULL, c->loc));
}

// -------------------------------------------------------------------------------------------------- randomness

static bool may_draw(FblBuiltinCall *c) {
    if (c->b->frame->pure || c->b->frame->symbol == NULL) {
        FblDiag *diag = fbl_build_error(c->b, "E0156", c->loc, "a fn can't draw random numbers");
        fbl_diag_hint(c->b->ctx, diag, "make it a layer, or pass the numbers in");
        return false;
    }
    return true;
}

static FblVal uniform_like(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    if (!may_draw(c) || !tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    FblType type = *fbl_val_type(b, c->args[0]);
    type.dtype = FBL_F32;
    type.index_axis = NULL;
    type.index_extent = 0;
    FblAttr attr = {0};
    attr.i[0] = ++b->streams;
    return fbl_val_node(fbl_build_add(b, FBL_OP_UNIFORM, NULL, 0, &attr, &type, c->loc));
}

static FblVal beta(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    if (!may_draw(c) || !number_or_tensor(c, 0) || !number_or_tensor(c, 1)) {
        return FBL_POISON;
    }
    FblNodeId p = fbl_val_to_f32(b, c->args[0], c->loc);
    FblNodeId q = fbl_val_to_f32(b, c->args[1], c->loc);
    FblAttr attr = {0};
    attr.i[0] = ++b->streams;
    return fbl_val_node(fbl_build_add(b, FBL_OP_BETA, (FblNodeId[]){p, q}, 2, &attr, NULL, c->loc));
}

#define X {{"x", FBL_ARG_VALUE, false}}

const FblBuiltin fbl_builtins_math[] = {
    {"exp", unary, FBL_OP_EXP, X},
    {"expm1", unary, FBL_OP_EXPM1, X},
    {"log", unary, FBL_OP_LOG, X},
    {"log1p", unary, FBL_OP_LOG1P, X},
    {"sqrt", unary, FBL_OP_SQRT, X},
    {"sin", unary, FBL_OP_SIN, X},
    {"cos", unary, FBL_OP_COS, X},
    {"tanh", unary, FBL_OP_TANH, X},
    {"sigmoid", unary, FBL_OP_SIGMOID, X},
    {"erf", unary, FBL_OP_ERF, X},
    {"abs", keeping, FBL_OP_ABS, X},
    {"floor", keeping, FBL_OP_FLOOR, X},
    {"stop_gradient", stop_gradient, 0, X},
    {"float", to_float, 0, X},
    {"int", to_int, 0, X},
    {"sum", sum, 0, {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, true}}},
    {"max", minmax, 1, {{"a", FBL_ARG_VALUE, false}, {"b", FBL_ARG_VALUE, true}, {"over", FBL_ARG_AXES, true}}},
    {"min", minmax, 0, {{"a", FBL_ARG_VALUE, false}, {"b", FBL_ARG_VALUE, true}, {"over", FBL_ARG_AXES, true}}},
    {"argmax", along_axis, FBL_OP_ARGMAX, {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}}},
    {"cumsum", along_axis, FBL_OP_CUMSUM, {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}}},
    {"argsort",
     along_axis,
     FBL_OP_ARGSORT,
     {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}, {"descending", FBL_ARG_VALUE, true}}},
    {"contract",
     contract,
     0,
     {{"a", FBL_ARG_VALUE, false}, {"b", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}}},
    {"uniform_like", uniform_like, 0, X},
    {"beta", beta, 0, {{"a", FBL_ARG_VALUE, false}, {"b", FBL_ARG_VALUE, false}}},
    {0},
};

#include "frontend/sema.h"

#include <math.h>

// A power x^n is written out as multiplications up to this n; beyond it `pow`, which is right for whole n too.
#define MAX_UNROLLED_POWER 64

// ------------------------------------------------------------------------------------------ compile-time numbers

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static bool int_power(int64_t x, int64_t n, int64_t *out) {
    int64_t result = 1;
    for (; n > 0; n--) {
        if (__builtin_mul_overflow(result, x, &result)) {
            return false;
        }
        if (result == 0 || result == 1) {
            break;
        }
        if (result == -1 && x == -1) { // (-1)^n
            result = n % 2 == 0 ? 1 : -1;
            break;
        }
    }
    *out = result;
    return true;
}

// Both whole: whole results where they fit, else reals.
static bool fold_ints(FblBinaryOp op, int64_t x, int64_t y, FblVal *out) {
    int64_t r;
    switch (op) {
    case FBL_BINARY_ADD:
        if (__builtin_add_overflow(x, y, &r)) {
            return false;
        }
        break;
    case FBL_BINARY_SUB:
        if (__builtin_sub_overflow(x, y, &r)) {
            return false;
        }
        break;
    case FBL_BINARY_MUL:
        if (__builtin_mul_overflow(x, y, &r)) {
            return false;
        }
        break;
    case FBL_BINARY_DIV:
        if (x == INT64_MIN || x % y != 0) {
            return false;
        }
        r = x / y;
        break;
    case FBL_BINARY_IDIV:
        if (x == INT64_MIN) {
            return false;
        }
        r = floor_div(x, y);
        break;
    case FBL_BINARY_MOD:
        if (x == INT64_MIN) {
            return false;
        }
        r = x - y * floor_div(x, y);
        break;
    case FBL_BINARY_POW:
        if (y < 0 || !int_power(x, y, &r)) {
            return false;
        }
        break;
    default:
        return false;
    }
    *out = fbl_val_int(r);
    return true;
}

static bool is_comparison(FblBinaryOp op) { return op >= FBL_BINARY_EQ && op <= FBL_BINARY_GE; }

static bool compare(FblBinaryOp op, double x, double y) {
    switch (op) {
    case FBL_BINARY_EQ:
        return x == y;
    case FBL_BINARY_NE:
        return x != y;
    case FBL_BINARY_LT:
        return x < y;
    case FBL_BINARY_LE:
        return x <= y;
    case FBL_BINARY_GT:
        return x > y;
    default:
        return x >= y;
    }
}

static FblVal fold(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y, FblLoc loc) {
    double p = fbl_val_number(x);
    double q = fbl_val_number(y);
    if (is_comparison(op)) {
        return fbl_val_bool(compare(op, p, q));
    }
    if ((op == FBL_BINARY_DIV || op == FBL_BINARY_IDIV || op == FBL_BINARY_MOD) && q == 0) {
        fbl_build_error(b, "E0117", loc, "division by zero");
        return FBL_POISON;
    }
    FblVal out;
    if (x.kind != FBL_VAL_REAL && y.kind != FBL_VAL_REAL && fold_ints(op, x.integer, y.integer, &out)) {
        return out;
    }
    switch (op) {
    case FBL_BINARY_ADD:
        return fbl_val_real(p + q);
    case FBL_BINARY_SUB:
        return fbl_val_real(p - q);
    case FBL_BINARY_MUL:
        return fbl_val_real(p * q);
    case FBL_BINARY_DIV:
        return fbl_val_real(p / q);
    case FBL_BINARY_IDIV:
        return fbl_val_real(floor(p / q));
    case FBL_BINARY_MOD:
        return fbl_val_real(p - q * floor(p / q));
    case FBL_BINARY_POW:
        if (p == 0 && q < 0) {
            fbl_build_error(b, "E0117", loc, "division by zero: 0 to the power of %g", q);
            return FBL_POISON;
        }
        if (p < 0 && q != floor(q)) {
            fbl_build_error(b, "E0118", loc, "%g to the power of %g is no real number", p, q);
            return FBL_POISON;
        }
        return fbl_val_real(pow(p, q));
    default:
        return FBL_POISON;
    }
}

// ------------------------------------------------------------------------------------------------------ tensors

static FblDtype dtype_of(FblBuild *b, FblVal v) {
    if (v.kind == FBL_VAL_TENSOR) {
        return fbl_val_type(b, v)->dtype;
    }
    return v.kind == FBL_VAL_BOOL ? FBL_BOOL : v.kind == FBL_VAL_INT && !v.symbolic ? FBL_I32 : FBL_F32;
}

// The common number type: bools count as 0 and 1; a whole literal beside f32 is f32.
static FblDtype common(FblBuild *b, FblVal x, FblVal y) {
    FblDtype p = dtype_of(b, x);
    FblDtype q = dtype_of(b, y);
    if (p == FBL_F32 || q == FBL_F32 || (p == FBL_BOOL && q == FBL_BOOL)) {
        return FBL_F32;
    }
    // A bool beside a whole literal: the literal is f32 as all literals are, unless a tensor of integers is there.
    bool integers = (x.kind == FBL_VAL_TENSOR && p == FBL_I32) || (y.kind == FBL_VAL_TENSOR && q == FBL_I32);
    return integers ? FBL_I32 : FBL_F32;
}

static FblNodeId operand(FblBuild *b, FblVal v, FblDtype dtype, FblLoc loc) {
    return fbl_build_cast(b, fbl_val_to_node(b, v, dtype, loc), dtype, loc);
}

static FblNodeId power_by_squaring(FblBuild *b, FblNodeId x, int64_t n, FblLoc loc) {
    FblNodeId result = FBL_NO_NODE;
    for (FblNodeId square = x;;) {
        if (n & 1) {
            result = result == FBL_NO_NODE ? square : fbl_build_binary(b, FBL_OP_MUL, result, square, loc);
        }
        n >>= 1;
        if (n == 0) {
            return result;
        }
        square = fbl_build_binary(b, FBL_OP_MUL, square, square, loc);
    }
}

static FblVal power(FblBuild *b, FblVal x, FblVal y, FblLoc loc) {
    FblNodeId base = fbl_val_to_f32(b, x, loc);
    if (base == FBL_NO_NODE) {
        return FBL_POISON;
    }
    double n = fbl_val_is_number(y) ? fbl_val_number(y) : 0.5;
    if (n == floor(n) && fabs(n) <= MAX_UNROLLED_POWER) {
        if (n == 0) {
            FblNodeId one = fbl_build_const(b, FBL_F32, 1, loc);
            return fbl_val_node(
                fbl_build_add(b, FBL_OP_BROADCAST, &one, 1, NULL, fbl_graph_type(b->graph, base), loc));
        }
        FblNodeId result = power_by_squaring(b, base, (int64_t)fabs(n), loc);
        return fbl_val_node(n > 0 ? result
                                  : fbl_build_binary(b, FBL_OP_DIV, fbl_build_const(b, FBL_F32, 1, loc), result, loc));
    }
    return fbl_val_node(fbl_build_binary(b, FBL_OP_POW, base, fbl_val_to_f32(b, y, loc), loc));
}

static FblVal tensor_compare(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y, FblLoc loc) {
    FblNodeId p;
    FblNodeId q;
    const FblType *tx = x.kind == FBL_VAL_TENSOR ? fbl_val_type(b, x) : NULL;
    const FblType *ty = y.kind == FBL_VAL_TENSOR ? fbl_val_type(b, y) : NULL;
    bool equality = op == FBL_BINARY_EQ || op == FBL_BINARY_NE;
    if (equality && tx != NULL && ty != NULL && tx->index_axis != NULL && ty->index_axis != NULL) {
        p = x.node; // labels with labels: the inference checks that they index the same axis
        q = y.node;
    } else {
        FblDtype dtype = common(b, x, y);
        p = operand(b, x, dtype, loc);
        q = operand(b, y, dtype, loc);
    }
    switch (op) {
    case FBL_BINARY_EQ:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_EQ, p, q, loc));
    case FBL_BINARY_NE:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_NE, p, q, loc));
    case FBL_BINARY_LT:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_LT, p, q, loc));
    case FBL_BINARY_LE:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_LE, p, q, loc));
    case FBL_BINARY_GT:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_LT, q, p, loc));
    default:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_LE, q, p, loc));
    }
}

static bool is_numeric(FblVal v) { return v.kind == FBL_VAL_TENSOR || v.kind == FBL_VAL_INT || fbl_val_is_number(v); }

static FblNodeId truth(FblBuild *b, FblVal v, FblLoc loc) {
    if (v.kind == FBL_VAL_BOOL) {
        return fbl_build_const(b, FBL_BOOL, (double)v.integer, loc);
    }
    if (v.kind == FBL_VAL_TENSOR && fbl_val_type(b, v)->dtype == FBL_BOOL) {
        return v.node;
    }
    FblDiag *diag =
        fbl_build_error(b, "E0119", loc, "a condition must be true or false, found %s", fbl_val_describe(b, v));
    fbl_diag_hint(b->ctx, diag, "compare it: x != 0, x > 0");
    return FBL_NO_NODE;
}

static FblVal logic(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y, FblLoc loc) {
    bool both = op == FBL_BINARY_AND;
    if (x.kind == FBL_VAL_BOOL && y.kind == FBL_VAL_BOOL) {
        return fbl_val_bool(both ? x.integer && y.integer : x.integer || y.integer);
    }
    FblNodeId p = truth(b, x, loc);
    FblNodeId q = p == FBL_NO_NODE ? p : truth(b, y, loc);
    return fbl_val_node(fbl_build_binary(b, both ? FBL_OP_AND : FBL_OP_OR, p, q, loc));
}

static FblVal compare_strings(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y) {
    bool equal = fbl_intern(b->ctx, x.string) == fbl_intern(b->ctx, y.string);
    return fbl_val_bool(equal == (op == FBL_BINARY_EQ));
}

FblVal fbl_arith_binary(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y, FblLoc loc) {
    if (x.kind == FBL_VAL_POISON || y.kind == FBL_VAL_POISON) {
        return FBL_POISON;
    }
    if (op == FBL_BINARY_AND || op == FBL_BINARY_OR) {
        return logic(b, op, x, y, loc);
    }
    bool equality = op == FBL_BINARY_EQ || op == FBL_BINARY_NE;
    if (equality && x.kind == FBL_VAL_STRING && y.kind == FBL_VAL_STRING) {
        return compare_strings(b, op, x, y);
    }
    if (equality && x.kind == FBL_VAL_AXIS && y.kind == FBL_VAL_AXIS) {
        return fbl_val_bool((x.axis.name == y.axis.name) == (op == FBL_BINARY_EQ));
    }
    if (!is_numeric(x) || !is_numeric(y)) {
        FblVal bad = is_numeric(x) ? y : x;
        FblDiag *diag = fbl_build_error(b, "E0116", loc, "`%s` needs numbers or tensors, found %s",
                                        fbl_binary_op_text(op), fbl_val_describe(b, bad));
        if (bad.kind == FBL_VAL_AXIS) {
            fbl_diag_hint(b->ctx, diag, "extent(x, %s) is its length in x", bad.axis.name);
        }
        return FBL_POISON;
    }
    if (fbl_val_is_number(x) && fbl_val_is_number(y)) {
        return fold(b, op, x, y, loc);
    }
    if (x.kind != FBL_VAL_TENSOR && y.kind != FBL_VAL_TENSOR) { // a symbolic number is among them
        if (is_comparison(op)) {
            if (equality && x.symbolic && y.symbolic && x.integer == y.integer) {
                return fbl_val_bool(op == FBL_BINARY_EQ);
            }
            FblVal unknown = x.symbolic ? x : y;
            FblDiag *diag = fbl_build_error(b, "E0120", loc, "%s isn't known here, so it can't be compared",
                                            fbl_val_describe(b, unknown));
            fbl_diag_hint(b->ctx, diag, "give extents with --set AXIS=N, or in the signature");
            return FBL_POISON;
        }
        return fbl_symbolic_op(b, (int)op, x, y);
    }
    if (is_comparison(op)) {
        return tensor_compare(b, op, x, y, loc);
    }
    if (op == FBL_BINARY_POW) {
        return power(b, x, y, loc);
    }
    FblDtype dtype = op == FBL_BINARY_DIV ? FBL_F32 : common(b, x, y);
    FblNodeId p = operand(b, x, dtype, loc);
    FblNodeId q = operand(b, y, dtype, loc);
    switch (op) {
    case FBL_BINARY_ADD:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_ADD, p, q, loc));
    case FBL_BINARY_SUB:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_SUB, p, q, loc));
    case FBL_BINARY_MUL:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_MUL, p, q, loc));
    case FBL_BINARY_DIV:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_DIV, p, q, loc));
    case FBL_BINARY_IDIV: {
        FblNodeId quotient = fbl_build_binary(b, FBL_OP_DIV, p, q, loc);
        return fbl_val_node(dtype == FBL_I32 ? quotient : fbl_build_unary(b, FBL_OP_FLOOR, quotient, loc));
    }
    default:
        return fbl_val_node(fbl_build_binary(b, FBL_OP_MOD, p, q, loc));
    }
}

FblVal fbl_arith_unary(FblBuild *b, FblUnaryOp op, FblVal x, FblLoc loc) {
    if (x.kind == FBL_VAL_POISON) {
        return x;
    }
    if (op == FBL_UNARY_NOT) {
        return x.kind == FBL_VAL_BOOL ? fbl_val_bool(!x.integer)
                                      : fbl_val_node(fbl_build_unary(b, FBL_OP_NOT, truth(b, x, loc), loc));
    }
    if (x.kind == FBL_VAL_REAL) {
        return fbl_val_real(-x.real);
    }
    if (x.kind == FBL_VAL_TENSOR) {
        FblDtype dtype = fbl_val_type(b, x)->dtype == FBL_I32 ? FBL_I32 : FBL_F32;
        return fbl_val_node(fbl_build_unary(b, FBL_OP_NEG, operand(b, x, dtype, loc), loc));
    }
    return fbl_arith_binary(b, FBL_BINARY_SUB, fbl_val_int(0), x, loc);
}

FblVal fbl_arith_select(FblBuild *b, FblVal condition, FblVal x, FblVal y, FblLoc loc) {
    if (condition.kind == FBL_VAL_POISON || x.kind == FBL_VAL_POISON || y.kind == FBL_VAL_POISON) {
        return FBL_POISON;
    }
    if (condition.kind == FBL_VAL_BOOL) {
        return condition.integer ? x : y;
    }
    FblNodeId c = truth(b, condition, loc);
    FblDtype p = dtype_of(b, x);
    FblDtype q = dtype_of(b, y);
    bool labels = x.kind == FBL_VAL_TENSOR && y.kind == FBL_VAL_TENSOR && p == FBL_I32 && q == FBL_I32;
    FblDtype dtype = p == FBL_BOOL && q == FBL_BOOL ? FBL_BOOL : common(b, x, y);
    FblNodeId t = labels ? x.node : operand(b, x, dtype, loc);
    FblNodeId f = labels ? y.node : operand(b, y, dtype, loc);
    return fbl_val_node(fbl_build_add(b, FBL_OP_SELECT, (FblNodeId[]){c, t, f}, 3, NULL, NULL, loc));
}

FblVal fbl_arith_minmax(FblBuild *b, bool max, FblVal x, FblVal y, FblLoc loc) {
    if (x.kind == FBL_VAL_POISON || y.kind == FBL_VAL_POISON) {
        return FBL_POISON;
    }
    if (fbl_val_is_number(x) && fbl_val_is_number(y)) {
        double p = fbl_val_number(x);
        double q = fbl_val_number(y);
        return isnan(p) || (!isnan(q) && (max ? p >= q : p <= q)) ? x : y;
    }
    if (!is_numeric(x) || !is_numeric(y)) {
        return fbl_arith_binary(b, FBL_BINARY_ADD, x, y, loc); // says what is wrong
    }
    if (x.kind != FBL_VAL_TENSOR && y.kind != FBL_VAL_TENSOR) {
        return x.symbolic && y.symbolic && x.integer == y.integer ? x : fbl_symbolic_op(b, max ? FBL_SYMBOLIC_MAX : FBL_SYMBOLIC_MIN, x, y);
    }
    FblDtype dtype = common(b, x, y);
    FblNodeId p = operand(b, x, dtype, loc);
    FblNodeId q = operand(b, y, dtype, loc);
    return fbl_val_node(fbl_build_binary(b, max ? FBL_OP_MAX : FBL_OP_MIN, p, q, loc));
}

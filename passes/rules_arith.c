// Rules on arithmetic, logic and broadcasting: pointwise ops.
#include <math.h>

#include "ir/interp.h"
#include "passes/rewrite.h"

static FblDtype dtype_of(const FblRewrite *rw, FblNodeId id) {
    return fbl_rewrite_node(rw, id)->type.dtype;
}

static bool is_negative_zero(double value) {
    return value == 0 && signbit(value);
}

// Operand `index` of node if it has op `op`, else NULL.
static const FblNode *operand(const FblRewrite *rw, const FblNode *node, int32_t index, FblOp op) {
    const FblNode *in = fbl_rewrite_node(rw, node->inputs[index]);
    return in->op == op ? in : NULL;
}

// Any pointwise op
// -------------------------------------------------------------------------------------------------------

FblNodeId fbl_rule_fold(FblRewrite *rw, const FblNode *node) {
    if (fbl_op_info(node->op)->op_class != FBL_CLASS_POINTWISE || node->type.rank != 0 ||
        node->op == FBL_OP_BROADCAST || node->op == FBL_OP_STOP_GRADIENT || node->type.index_axis != NULL) {
        return FBL_NO_NODE;
    }
    double args[3] = {0};
    FblDtype input = dtype_of(rw, node->inputs[0]);
    for (int32_t k = 0; k < node->input_count; k++) {
        if (!fbl_is_const(rw, node->inputs[k], &args[k])) {
            return FBL_NO_NODE;
        }
        input = dtype_of(rw, node->inputs[k]) == FBL_F32 ? FBL_F32 : input;
    }
    double value = fbl_interp_scalar(node->op, node->type.dtype, input, args);
    // What is not finite stays visible as the operation that made it. Integers wrap nowhere.
    bool fits = node->type.dtype == FBL_F32 ? isfinite((float)value)
                                            : value >= INT32_MIN && value <= INT32_MAX && value == floor(value);
    return fits ? fbl_rw_const(rw, node->type.dtype, value) : FBL_NO_NODE;
}

// The operands with one level of broadcast taken off.
static int strip_broadcasts(const FblRewrite *rw, const FblNode *node, FblNodeId *out) {
    int stripped = 0;
    for (int32_t k = 0; k < node->input_count; k++) {
        const FblNode *in = operand(rw, node, k, FBL_OP_BROADCAST);
        out[k] = in != NULL ? in->inputs[0] : node->inputs[k];
        stripped += in != NULL;
    }
    return stripped;
}

static bool pointwise(const FblNode *node) {
    return fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE && node->op != FBL_OP_BROADCAST &&
           node->input_count <= 3;
}

FblNodeId fbl_rule_pull_broadcast(FblRewrite *rw, const FblNode *node) {
    FblNodeId inner[3];
    if (!pointwise(node) || strip_broadcasts(rw, node, inner) == 0) {
        return FBL_NO_NODE;
    }
    int covered = 0;
    for (int a = 0; a < node->type.rank; a++) {
        bool found = false;
        for (int32_t k = 0; k < node->input_count; k++) {
            found = found || fbl_type_find(&fbl_rewrite_node(rw, inner[k])->type, node->type.axes[a].name) >= 0;
        }
        covered += found;
    }
    if (covered == node->type.rank) {
        return FBL_NO_NODE;
    }
    FblType scalar = fbl_type_scalar(node->type.dtype);
    FblNodeId small =
        fbl_rw_add(rw, node->op, inner, node->input_count, &node->attr, node->op == FBL_OP_CAST ? &scalar : NULL);
    return fbl_rw_as(rw, small, &node->type);
}

// Whether op over these operands has exactly the type of `node`.
static bool type_stays(const FblRewrite *rw, const FblNode *node, const FblNodeId *inputs) {
    const FblType *types[3];
    FblType type;
    for (int32_t k = 0; k < node->input_count; k++) {
        types[k] = &fbl_rewrite_node(rw, inputs[k])->type;
    }
    FblStatus status =
        fbl_infer(fbl_rewrite_context(rw), node->op, types, node->input_count, &node->attr, NULL, FBL_NO_LOC, &type);
    return status == FBL_OK && fbl_type_equal(&type, &node->type);
}

FblNodeId fbl_rule_absorb_broadcast(FblRewrite *rw, const FblNode *node) {
    if (!pointwise(node) || node->input_count < 2) {
        return FBL_NO_NODE;
    }
    for (int32_t k = 0; k < node->input_count; k++) {
        const FblNode *in = operand(rw, node, k, FBL_OP_BROADCAST);
        if (in == NULL) {
            continue;
        }
        FblNodeId inputs[3];
        for (int32_t j = 0; j < node->input_count; j++) {
            inputs[j] = j == k ? in->inputs[0] : node->inputs[j];
        }
        if (type_stays(rw, node, inputs)) {
            return fbl_rw_add(rw, node->op, inputs, node->input_count, NULL, NULL);
        }
        if (node->op == FBL_OP_ADD || node->op == FBL_OP_MUL) { // the other order may keep the order of the axes
            FblNodeId swapped[2] = {inputs[1], inputs[0]};
            if (type_stays(rw, node, swapped)) {
                return fbl_rw_add(rw, node->op, swapped, 2, NULL, NULL);
            }
        }
    }
    return FBL_NO_NODE;
}

// Sums and differences
// ------------------------------------------------------------------------------------------------------

static bool never_negative_zero(const FblRewrite *rw, FblNodeId id, int depth) {
    const FblNode *node = fbl_rewrite_node(rw, id);
    if (node->type.dtype != FBL_F32) {
        return true;
    }
    switch (node->op) {
    case FBL_OP_CONST:
        return !is_negative_zero(node->attr.value);
    case FBL_OP_ABS:
    case FBL_OP_EXP:
    case FBL_OP_SIGMOID:
    case FBL_OP_UNIFORM:
        return true;
    case FBL_OP_CAST:
        return dtype_of(rw, node->inputs[0]) != FBL_F32;
    case FBL_OP_MUL:
        return node->inputs[0] == node->inputs[1];
    case FBL_OP_BROADCAST:
        return depth > 0 && never_negative_zero(rw, node->inputs[0], depth - 1);
    case FBL_OP_ADD: // -0 only as the sum of two
        return depth > 0 && (never_negative_zero(rw, node->inputs[0], depth - 1) ||
                             never_negative_zero(rw, node->inputs[1], depth - 1));
    case FBL_OP_SELECT:
        return depth > 0 && never_negative_zero(rw, node->inputs[1], depth - 1) &&
               never_negative_zero(rw, node->inputs[2], depth - 1);
    default:
        return false;
    }
}

FblNodeId fbl_rule_add_zero(FblRewrite *rw, const FblNode *node) {
    for (int32_t k = 0; k < 2; k++) {
        double value;
        FblNodeId other = node->inputs[1 - k];
        if (fbl_is_splat(rw, node->inputs[k], &value) && value == 0 &&
            (is_negative_zero(value) || never_negative_zero(rw, other, 4))) {
            return fbl_rw_as(rw, other, &node->type);
        }
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_add_same(FblRewrite *rw, const FblNode *node) {
    if (node->inputs[0] != node->inputs[1] || node->type.dtype != FBL_F32) {
        return FBL_NO_NODE;
    }
    return fbl_rw_binary(rw, FBL_OP_MUL, node->inputs[0], fbl_rw_const(rw, FBL_F32, 2));
}

FblNodeId fbl_rule_add_neg(FblRewrite *rw, const FblNode *node) {
    const FblNode *second = operand(rw, node, 1, FBL_OP_NEG);
    if (second != NULL) {
        return fbl_rw_binary(rw, FBL_OP_SUB, node->inputs[0], second->inputs[0]);
    }
    const FblNode *first = operand(rw, node, 0, FBL_OP_NEG);
    FblNodeId swapped[2] = {node->inputs[1], first != NULL ? first->inputs[0] : FBL_NO_NODE};
    return first != NULL && type_stays(rw, node, swapped) ? fbl_rw_add(rw, FBL_OP_SUB, swapped, 2, NULL, NULL)
                                                          : FBL_NO_NODE;
}

FblNodeId fbl_rule_sub_zero(FblRewrite *rw, const FblNode *node) {
    double value;
    bool fires = fbl_is_splat(rw, node->inputs[1], &value) && value == 0 &&
                 (!is_negative_zero(value) || node->type.dtype != FBL_F32);
    return fires ? fbl_rw_as(rw, node->inputs[0], &node->type) : FBL_NO_NODE;
}

FblNodeId fbl_rule_sub_neg(FblRewrite *rw, const FblNode *node) {
    const FblNode *second = operand(rw, node, 1, FBL_OP_NEG);
    return second != NULL ? fbl_rw_binary(rw, FBL_OP_ADD, node->inputs[0], second->inputs[0]) : FBL_NO_NODE;
}

// Products and quotients
// ---------------------------------------------------------------------------------------------------

// The operand beside a splat of `wanted`, or FBL_NO_NODE.
static FblNodeId beside(const FblRewrite *rw, const FblNode *node, double wanted) {
    for (int32_t k = 0; k < 2; k++) {
        double value;
        if (fbl_is_splat(rw, node->inputs[k], &value) && value == wanted) {
            return node->inputs[1 - k];
        }
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_mul_one(FblRewrite *rw, const FblNode *node) {
    return fbl_rw_as(rw, beside(rw, node, 1), &node->type);
}

FblNodeId fbl_rule_mul_minus_one(FblRewrite *rw, const FblNode *node) {
    FblNodeId x = beside(rw, node, -1);
    return x == FBL_NO_NODE ? x : fbl_rw_as(rw, fbl_rw_unary(rw, FBL_OP_NEG, x), &node->type);
}

FblNodeId fbl_rule_mul_neg(FblRewrite *rw, const FblNode *node) {
    const FblNode *first = operand(rw, node, 0, FBL_OP_NEG);
    const FblNode *second = operand(rw, node, 1, FBL_OP_NEG);
    double value;
    if (first != NULL && second != NULL) {
        return fbl_rw_binary(rw, FBL_OP_MUL, first->inputs[0], second->inputs[0]);
    }
    if (first != NULL && node->type.dtype == FBL_F32 && fbl_is_const(rw, node->inputs[1], &value)) {
        return fbl_rw_binary(rw, FBL_OP_MUL, first->inputs[0], fbl_rw_const(rw, FBL_F32, -value));
    }
    if (second != NULL && node->type.dtype == FBL_F32 && fbl_is_const(rw, node->inputs[0], &value)) {
        return fbl_rw_binary(rw, FBL_OP_MUL, fbl_rw_const(rw, FBL_F32, -value), second->inputs[0]);
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_div_one(FblRewrite *rw, const FblNode *node) {
    double value;
    bool fires = fbl_is_splat(rw, node->inputs[1], &value) && value == 1;
    return fires ? fbl_rw_as(rw, node->inputs[0], &node->type) : FBL_NO_NODE;
}

// The reciprocal of a power of two is exact, and so x / c and x * (1 / c) round the same number.
FblNodeId fbl_rule_div_power_of_two(FblRewrite *rw, const FblNode *node) {
    double value;
    int exponent;
    if (node->type.dtype != FBL_F32 || !fbl_is_splat(rw, node->inputs[1], &value) || !isfinite(value) ||
        fabs(frexp(value, &exponent)) != 0.5 || exponent < -120 || exponent > 120 || value == 1) {
        return FBL_NO_NODE;
    }
    FblNodeId factor = fbl_rw_const(rw, FBL_F32, 1 / value);
    return fbl_rw_as(rw, fbl_rw_binary(rw, FBL_OP_MUL, node->inputs[0], factor), &node->type);
}

FblNodeId fbl_rule_neg_neg(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, 0, FBL_OP_NEG);
    return in != NULL ? in->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_neg_scale(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, 0, FBL_OP_MUL);
    if (in == NULL || node->type.dtype != FBL_F32) {
        return FBL_NO_NODE;
    }
    for (int32_t k = 0; k < 2; k++) {
        double value;
        if (fbl_is_const(rw, in->inputs[k], &value)) {
            FblNodeId inputs[2] = {in->inputs[0], in->inputs[1]};
            inputs[k] = fbl_rw_const(rw, FBL_F32, -value);
            return fbl_rw_add(rw, FBL_OP_MUL, inputs, 2, NULL, NULL);
        }
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_abs_sign(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = fbl_rewrite_node(rw, node->inputs[0]);
    if (in->op == FBL_OP_ABS) {
        return node->inputs[0];
    }
    return in->op == FBL_OP_NEG ? fbl_rw_unary(rw, FBL_OP_ABS, in->inputs[0]) : FBL_NO_NODE;
}

FblNodeId fbl_rule_floor_floor(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = fbl_rewrite_node(rw, node->inputs[0]);
    return in->op == FBL_OP_FLOOR || in->type.dtype == FBL_I32 ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_extremum_same(FblRewrite *rw, const FblNode *node) {
    (void)rw;
    return node->inputs[0] == node->inputs[1] ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_pow_small(FblRewrite *rw, const FblNode *node) {
    double exponent;
    if (!fbl_is_splat(rw, node->inputs[1], &exponent) || exponent != floor(exponent) || fabs(exponent) > 32) {
        return FBL_NO_NODE;
    }
    FblNodeId base = node->inputs[0];
    if (dtype_of(rw, base) != FBL_F32) {
        FblType f32 = fbl_type_scalar(FBL_F32);
        base = fbl_rw_add(rw, FBL_OP_CAST, &base, 1, NULL, &f32);
    }
    FblNodeId result = FBL_NO_NODE;
    for (int n = (int)fabs(exponent); n > 0; n /= 2) { // square and multiply
        if (n % 2 == 1) {
            result = result == FBL_NO_NODE ? base : fbl_rw_binary(rw, FBL_OP_MUL, result, base);
        }
        if (n > 1) {
            base = fbl_rw_binary(rw, FBL_OP_MUL, base, base);
        }
    }
    if (result == FBL_NO_NODE) {
        result = fbl_rw_const(rw, FBL_F32, 1);
    } else if (exponent < 0) {
        result = fbl_rw_binary(rw, FBL_OP_DIV, fbl_rw_const(rw, FBL_F32, 1), result);
    }
    return fbl_rw_as(rw, result, &node->type);
}

// Logic, selects, casts
// -----------------------------------------------------------------------------------------------------

FblNodeId fbl_rule_not_not(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = fbl_rewrite_node(rw, node->inputs[0]);
    switch (in->op) {
    case FBL_OP_NOT:
        return in->inputs[0];
    case FBL_OP_EQ: // false with a NaN, so its negation is the true of `!=`
        return fbl_rw_binary(rw, FBL_OP_NE, in->inputs[0], in->inputs[1]);
    case FBL_OP_NE:
        return fbl_rw_binary(rw, FBL_OP_EQ, in->inputs[0], in->inputs[1]);
    default: // not (a < b) is no b <= a: with a NaN both are false
        return FBL_NO_NODE;
    }
}

FblNodeId fbl_rule_logic_const(FblRewrite *rw, const FblNode *node) {
    if (node->inputs[0] == node->inputs[1]) {
        return node->inputs[0];
    }
    bool neutral = node->op == FBL_OP_AND;
    for (int32_t k = 0; k < 2; k++) {
        double value;
        if (fbl_is_splat(rw, node->inputs[k], &value)) {
            FblNodeId other = node->inputs[1 - k];
            bool decides = (value != 0) != neutral;
            return fbl_rw_as(rw, decides ? fbl_rw_const(rw, FBL_BOOL, value) : other, &node->type);
        }
    }
    return FBL_NO_NODE;
}

// A branch as the whole select: promoted and repeated as the select would.
static FblNodeId branch_as(FblRewrite *rw, FblNodeId branch, const FblType *type) {
    FblType dtype = fbl_type_scalar(type->dtype);
    if (dtype_of(rw, branch) != type->dtype) {
        branch = fbl_rw_add(rw, FBL_OP_CAST, &branch, 1, NULL, &dtype);
    }
    return fbl_rw_as(rw, branch, type);
}

FblNodeId fbl_rule_select_const(FblRewrite *rw, const FblNode *node) {
    double condition;
    if (!fbl_is_splat(rw, node->inputs[0], &condition)) {
        return FBL_NO_NODE;
    }
    return branch_as(rw, node->inputs[condition != 0 ? 1 : 2], &node->type);
}

FblNodeId fbl_rule_select_same(FblRewrite *rw, const FblNode *node) {
    double a;
    double b;
    bool same = node->inputs[1] == node->inputs[2];
    if (!same && fbl_is_const(rw, node->inputs[1], &a) && fbl_is_const(rw, node->inputs[2], &b)) {
        same = a == b && signbit(a) == signbit(b) && dtype_of(rw, node->inputs[1]) == dtype_of(rw, node->inputs[2]);
    }
    return same ? branch_as(rw, node->inputs[1], &node->type) : FBL_NO_NODE;
}

FblNodeId fbl_rule_select_not(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, 0, FBL_OP_NOT);
    FblNodeId inputs[3] = {in != NULL ? in->inputs[0] : FBL_NO_NODE, node->inputs[2], node->inputs[1]};
    return in != NULL && type_stays(rw, node, inputs) ? fbl_rw_add(rw, FBL_OP_SELECT, inputs, 3, NULL, NULL)
                                                      : FBL_NO_NODE;
}

FblNodeId fbl_rule_select_nested(FblRewrite *rw, const FblNode *node) {
    for (int32_t k = 1; k < 3; k++) {
        const FblNode *in = operand(rw, node, k, FBL_OP_SELECT);
        if (in != NULL && in->inputs[0] == node->inputs[0]) {
            FblNodeId inputs[3] = {node->inputs[0], node->inputs[1], node->inputs[2]};
            inputs[k] = in->inputs[k];
            return type_stays(rw, node, inputs) ? fbl_rw_add(rw, FBL_OP_SELECT, inputs, 3, NULL, NULL) : FBL_NO_NODE;
        }
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_cast_same(FblRewrite *rw, const FblNode *node) {
    (void)rw; // the engine keeps the cast where it drops the axis that an i32 indexes: then the types differ
    return node->inputs[0];
}

FblNodeId fbl_rule_cast_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, 0, FBL_OP_CAST);
    if (in == NULL) {
        return FBL_NO_NODE;
    }
    FblDtype from = dtype_of(rw, in->inputs[0]);
    if (from != FBL_BOOL && from != in->type.dtype) {
        return FBL_NO_NODE;
    }
    return fbl_rw_add(rw, FBL_OP_CAST, in->inputs, 1, NULL, &node->type);
}

FblNodeId fbl_rule_stop_gradient_after(FblRewrite *rw, const FblNode *node) {
    return fbl_rewrite_keeps_stop_gradient(rw) ? FBL_NO_NODE : node->inputs[0];
}

FblNodeId fbl_rule_broadcast_same(FblRewrite *rw, const FblNode *node) {
    (void)rw; // another order of the axes is another type
    return node->inputs[0];
}

FblNodeId fbl_rule_broadcast_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, 0, FBL_OP_BROADCAST);
    return in != NULL ? fbl_rw_as(rw, in->inputs[0], &node->type) : FBL_NO_NODE;
}

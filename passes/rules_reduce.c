// Rules on reductions and contractions.
#include "passes/rewrite.h"

static const FblNode *node_at(const FblRewrite *rw, FblNodeId id) {
    return fbl_rewrite_node(rw, id);
}

static FblNodeId reduce(FblRewrite *rw, FblOp op, FblNodeId x, const FblName *names, int32_t count) {
    FblAttr attr = {.name_count = count};
    for (int32_t i = 0; i < count; i++) {
        attr.names[i] = names[i];
    }
    return count == 0 ? x : fbl_rw_add(rw, op, &x, 1, &attr, NULL);
}

FblNodeId fbl_rule_reduce_nothing(FblRewrite *rw, const FblNode *node) {
    (void)rw;
    return node->attr.name_count == 0 ? node->inputs[0] : FBL_NO_NODE;
}

// Parts the reduced axes into those that the broadcast's operand has, and the number of repeats along the others.
// False when an extent is symbolic or nothing simplifies.
static bool part_axes(const FblRewrite *rw, const FblNode *node, const FblNode *broadcast, FblAttr *out_kept,
                      int64_t *out_repeats) {
    const FblType *inner = &node_at(rw, broadcast->inputs[0])->type;
    *out_repeats = 1;
    out_kept->name_count = 0;
    for (int32_t i = 0; i < node->attr.name_count; i++) {
        FblName name = node->attr.names[i];
        if (fbl_type_find(inner, name) >= 0) {
            out_kept->names[out_kept->name_count++] = name;
            continue;
        }
        int64_t extent = broadcast->type.axes[fbl_type_find(&broadcast->type, name)].extent;
        if (extent < 0 || !fbl_mul_i64(*out_repeats, extent, out_repeats)) {
            return false;
        }
    }
    return true;
}

FblNodeId fbl_rule_sum_broadcast(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = node_at(rw, node->inputs[0]);
    FblAttr kept;
    int64_t repeats;
    if (in->op != FBL_OP_BROADCAST || !part_axes(rw, node, in, &kept, &repeats) ||
        (node->type.dtype == FBL_I32 && repeats > INT32_MAX)) {
        return FBL_NO_NODE;
    }
    FblNodeId value = reduce(rw, FBL_OP_SUM, in->inputs[0], kept.names, kept.name_count);
    FblNodeId count = fbl_rw_const(rw, node->type.dtype, (double)repeats);
    return fbl_rw_as(rw, fbl_rw_binary(rw, FBL_OP_MUL, value, count), &node->type);
}

FblNodeId fbl_rule_extremum_broadcast(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = node_at(rw, node->inputs[0]);
    FblAttr kept;
    int64_t repeats;
    if (in->op != FBL_OP_BROADCAST || in->type.dtype == FBL_BOOL || !part_axes(rw, node, in, &kept, &repeats)) {
        return FBL_NO_NODE;
    }
    return fbl_rw_as(rw, reduce(rw, node->op, in->inputs[0], kept.names, kept.name_count), &node->type);
}

FblNodeId fbl_rule_reduce_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = node_at(rw, node->inputs[0]);
    if (in->op != node->op) {
        return FBL_NO_NODE;
    }
    FblName names[FBL_MAX_RANK]; // distinct axes of one tensor
    int32_t count = 0;
    for (int32_t i = 0; i < in->attr.name_count; i++) {
        names[count++] = in->attr.names[i];
    }
    for (int32_t i = 0; i < node->attr.name_count; i++) {
        names[count++] = node->attr.names[i];
    }
    return reduce(rw, node->op, in->inputs[0], names, count);
}

FblNodeId fbl_rule_sum_neg(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = node_at(rw, node->inputs[0]);
    if (in->op != FBL_OP_NEG) {
        return FBL_NO_NODE;
    }
    return fbl_rw_unary(rw, FBL_OP_NEG, reduce(rw, FBL_OP_SUM, in->inputs[0], node->attr.names, node->attr.name_count));
}

FblNodeId fbl_rule_sum_factor(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = node_at(rw, node->inputs[0]);
    const FblName *names = node->attr.names;
    int32_t count = node->attr.name_count;
    if ((in->op != FBL_OP_MUL && in->op != FBL_OP_DIV) || node->type.dtype != FBL_F32) {
        return FBL_NO_NODE;
    }
    for (int32_t k = in->op == FBL_OP_DIV ? 1 : 0; k < 2; k++) {
        FblNodeId inputs[2] = {in->inputs[0], in->inputs[1]};
        if (fbl_type_lacks(&node_at(rw, inputs[k])->type, names, count) &&
            node_at(rw, inputs[1 - k])->type.dtype == FBL_F32) {
            inputs[1 - k] = reduce(rw, FBL_OP_SUM, inputs[1 - k], names, count);
            return fbl_rw_add(rw, in->op, inputs, 2, NULL, NULL);
        }
    }
    return FBL_NO_NODE;
}

// Deviations from a mean
// ----------------------------------------------------------------------------------------------------

// The number of elements summed over, or -1.
static int64_t elements_over(const FblType *type, const FblName *names, int32_t count) {
    int64_t product = 1;
    for (int32_t i = 0; i < count; i++) {
        int at = fbl_type_find(type, names[i]);
        if (at < 0 || type->axes[at].extent < 0 || !fbl_mul_i64(product, type->axes[at].extent, &product)) {
            return -1;
        }
    }
    return product;
}

static bool same_names(const FblAttr *a, const FblName *names, int32_t count) {
    if (a->name_count != count) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        bool found = false;
        for (int32_t j = 0; j < count; j++) {
            found = found || a->names[i] == names[j];
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

// Whether `mean` is the mean of x over exactly the named axes: sum(x) / n, or sum(x) * (1 / n) with n a power of two.
static bool is_mean_of(const FblRewrite *rw, FblNodeId mean, FblNodeId x, const FblName *names, int32_t count) {
    const FblNode *node = node_at(rw, mean);
    if (node->op == FBL_OP_BROADCAST) {
        node = node_at(rw, node->inputs[0]);
    }
    if (node->op != FBL_OP_DIV && node->op != FBL_OP_MUL) {
        return false;
    }
    const FblNode *sum = node_at(rw, node->inputs[0]);
    double c;
    if (sum->op != FBL_OP_SUM || sum->inputs[0] != x || !same_names(&sum->attr, names, count) ||
        !fbl_is_splat(rw, node->inputs[1], &c)) {
        return false;
    }
    double n = (double)elements_over(&node_at(rw, x)->type, names, count);
    return n > 0 && (node->op == FBL_OP_DIV ? c == n : c * n == 1);
}

// Whether `id` is a deviation from a mean over the axes, times or over things that lack them: it sums to 0.
static bool is_centered(const FblRewrite *rw, FblNodeId id, const FblName *names, int32_t count) {
    for (int depth = 0; depth < 16; depth++) {
        const FblNode *node = node_at(rw, id);
        if (node->op == FBL_OP_NEG) {
            id = node->inputs[0];
        } else if (node->op == FBL_OP_MUL && fbl_type_lacks(&node_at(rw, node->inputs[1])->type, names, count)) {
            id = node->inputs[0];
        } else if (node->op == FBL_OP_MUL && fbl_type_lacks(&node_at(rw, node->inputs[0])->type, names, count)) {
            id = node->inputs[1];
        } else if (node->op == FBL_OP_DIV && fbl_type_lacks(&node_at(rw, node->inputs[1])->type, names, count)) {
            id = node->inputs[0];
        } else {
            return node->op == FBL_OP_SUB && (is_mean_of(rw, node->inputs[1], node->inputs[0], names, count) ||
                                              is_mean_of(rw, node->inputs[0], node->inputs[1], names, count));
        }
    }
    return false;
}

// `id` without its centered terms, FBL_NO_NODE when nothing is left; *changed when a term went.
static FblNodeId drop_centered(FblRewrite *rw, FblNodeId id, const FblName *names, int32_t count, int depth,
                               bool *changed) {
    if (is_centered(rw, id, names, count)) {
        *changed = true;
        return FBL_NO_NODE;
    }
    const FblNode *node = node_at(rw, id);
    if (depth == 0 || (node->op != FBL_OP_ADD && node->op != FBL_OP_SUB)) {
        return id;
    }
    bool here = false;
    FblNodeId a = drop_centered(rw, node->inputs[0], names, count, depth - 1, &here);
    FblNodeId b = drop_centered(rw, node->inputs[1], names, count, depth - 1, &here);
    if (!here) {
        return id;
    }
    *changed = true;
    if (b == FBL_NO_NODE) {
        return a;
    }
    if (a == FBL_NO_NODE) {
        return node->op == FBL_OP_SUB ? fbl_rw_unary(rw, FBL_OP_NEG, b) : b;
    }
    return fbl_rw_binary(rw, node->op, a, b);
}

FblNodeId fbl_rule_sum_centered(FblRewrite *rw, const FblNode *node) {
    bool changed = false;
    const FblName *names = node->attr.names;
    int32_t count = node->attr.name_count;
    if (node->type.dtype != FBL_F32 || count == 0) {
        return FBL_NO_NODE;
    }
    FblType summand = node_at(rw, node->inputs[0])->type;
    FblNodeId rest = drop_centered(rw, node->inputs[0], names, count, 6, &changed);
    if (!changed) {
        return FBL_NO_NODE;
    }
    if (rest == FBL_NO_NODE) {
        return fbl_rw_as(rw, fbl_rw_const(rw, FBL_F32, 0), &node->type);
    }
    return reduce(rw, FBL_OP_SUM, fbl_rw_as(rw, rest, &summand), names, count);
}

FblNodeId fbl_rule_contract_outer(FblRewrite *rw, const FblNode *node) {
    return node->attr.name_count == 0 ? fbl_rw_binary(rw, FBL_OP_MUL, node->inputs[0], node->inputs[1]) : FBL_NO_NODE;
}

// Rules on slices, pads, concatenations, renames, splits, joins and gathers.
#include <string.h>

#include "passes/rewrite.h"

static const FblNode *operand(const FblRewrite *rw, const FblNode *node, FblOp op) {
    const FblNode *in = fbl_rewrite_node(rw, node->inputs[0]);
    return in->op == op ? in : NULL;
}

static int64_t extent_of(const FblRewrite *rw, FblNodeId id, FblName axis) {
    const FblType *type = &fbl_rewrite_node(rw, id)->type;
    return type->axes[fbl_type_find(type, axis)].extent;
}

static FblNodeId slice(FblRewrite *rw, FblNodeId x, FblName axis, int64_t start, int64_t step, int64_t count) {
    FblAttr attr = {.i = {start, count == 1 ? 1 : step, count}, .names = {axis}, .name_count = 1};
    return fbl_rw_add(rw, FBL_OP_SLICE, &x, 1, &attr, NULL);
}

FblNodeId fbl_rule_slice_whole(FblRewrite *rw, const FblNode *node) {
    const int64_t *i = node->attr.i;
    bool whole = i[FBL_SLICE_START] == 0 && (i[FBL_SLICE_STEP] == 1 || i[FBL_SLICE_COUNT] == 1) &&
                 i[FBL_SLICE_COUNT] == extent_of(rw, node->inputs[0], node->attr.names[0]);
    return whole ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_slice_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_SLICE);
    if (in == NULL || in->attr.names[0] != node->attr.names[0]) {
        return FBL_NO_NODE;
    }
    const int64_t *outer = node->attr.i;
    const int64_t *inner = in->attr.i;
    int64_t step;
    if (__builtin_mul_overflow(outer[FBL_SLICE_STEP], inner[FBL_SLICE_STEP], &step)) {
        return FBL_NO_NODE; // only slices of one element have such steps
    }
    int64_t start = inner[FBL_SLICE_START] + outer[FBL_SLICE_START] * inner[FBL_SLICE_STEP];
    return slice(rw, in->inputs[0], node->attr.names[0], start, step, outer[FBL_SLICE_COUNT]);
}

// The first and last element of a slice in order of position.
static void slice_range(const int64_t *i, int64_t *out_low, int64_t *out_high) {
    int64_t first = i[FBL_SLICE_START];
    int64_t last = i[FBL_SLICE_COUNT] == 1 ? first : first + (i[FBL_SLICE_COUNT] - 1) * i[FBL_SLICE_STEP];
    *out_low = first < last ? first : last;
    *out_high = first < last ? last : first;
}

FblNodeId fbl_rule_slice_pad(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_PAD);
    FblName axis = node->attr.names[0];
    if (in == NULL || in->attr.names[0] != axis) {
        return FBL_NO_NODE;
    }
    int64_t extent = extent_of(rw, in->inputs[0], axis);
    int64_t gap = in->attr.i[FBL_PAD_INTERIOR] + 1;
    int64_t pad = in->attr.i[FBL_PAD_LOW];
    int64_t count = node->attr.i[FBL_SLICE_COUNT];
    int64_t step = count == 1 ? gap : node->attr.i[FBL_SLICE_STEP];
    int64_t low;
    int64_t high;
    slice_range(node->attr.i, &low, &high);
    if (low < pad || high > pad + (extent - 1) * gap || step % gap != 0 || (low - pad) % gap != 0) {
        return FBL_NO_NODE;
    }
    return slice(rw, in->inputs[0], axis, (node->attr.i[FBL_SLICE_START] - pad) / gap, step / gap, count);
}

FblNodeId fbl_rule_slice_concat(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_CONCAT);
    FblName axis = node->attr.names[0];
    if (in == NULL || in->attr.names[0] != axis) {
        return FBL_NO_NODE;
    }
    int64_t low;
    int64_t high;
    int64_t offset = 0;
    slice_range(node->attr.i, &low, &high);
    for (int32_t k = 0; k < in->input_count; k++) {
        int64_t extent = extent_of(rw, in->inputs[k], axis);
        if (low >= offset && high < offset + extent) {
            return slice(rw, in->inputs[k], axis, node->attr.i[FBL_SLICE_START] - offset, node->attr.i[FBL_SLICE_STEP],
                         node->attr.i[FBL_SLICE_COUNT]);
        }
        offset += extent;
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rule_slice_broadcast(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_BROADCAST);
    if (in == NULL) {
        return FBL_NO_NODE;
    }
    FblNodeId x = in->inputs[0];
    if (fbl_type_find(&fbl_rewrite_node(rw, x)->type, node->attr.names[0]) >= 0) {
        x = fbl_rw_add(rw, FBL_OP_SLICE, &x, 1, &node->attr, NULL);
    }
    return fbl_rw_as(rw, x, &node->type);
}

FblNodeId fbl_rule_pad_nothing(FblRewrite *rw, const FblNode *node) {
    const int64_t *i = node->attr.i;
    bool nothing = i[FBL_PAD_LOW] == 0 && i[FBL_PAD_HIGH] == 0 &&
                   (i[FBL_PAD_INTERIOR] == 0 || extent_of(rw, node->inputs[0], node->attr.names[0]) == 1);
    return nothing ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_pad_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_PAD);
    if (in == NULL || in->attr.names[0] != node->attr.names[0] || node->attr.i[FBL_PAD_INTERIOR] != 0 ||
        memcmp(&in->attr.value, &node->attr.value, sizeof node->attr.value) != 0) {
        return FBL_NO_NODE;
    }
    FblAttr attr = in->attr;
    attr.i[FBL_PAD_LOW] += node->attr.i[FBL_PAD_LOW];
    attr.i[FBL_PAD_HIGH] += node->attr.i[FBL_PAD_HIGH];
    return fbl_rw_add(rw, FBL_OP_PAD, in->inputs, 1, &attr, NULL);
}

FblNodeId fbl_rule_concat_one(FblRewrite *rw, const FblNode *node) {
    (void)rw;
    return node->input_count == 1 ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_rename_same(FblRewrite *rw, const FblNode *node) {
    (void)rw;
    for (int32_t i = 0; i < node->attr.split; i++) {
        if (node->attr.names[i] != node->attr.names[node->attr.split + i]) {
            return FBL_NO_NODE;
        }
    }
    return node->inputs[0];
}

static FblName renamed(const FblAttr *attr, FblName name) {
    for (int32_t i = 0; i < attr->split; i++) {
        if (attr->names[i] == name) {
            return attr->names[attr->split + i];
        }
    }
    return name;
}

FblNodeId fbl_rule_rename_chain(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_RENAME);
    if (in == NULL) {
        return FBL_NO_NODE;
    }
    const FblType *type = &fbl_rewrite_node(rw, in->inputs[0])->type;
    FblAttr attr = {0};
    for (int pass = 0; pass < 2; pass++) { // the old names, then the new ones
        for (int i = 0; i < type->rank; i++) {
            FblName old = type->axes[i].name;
            FblName new = renamed(&node->attr, renamed(&in->attr, old));
            if (old != new) {
                attr.names[attr.name_count++] = pass == 0 ? old : new;
            }
        }
        attr.split = pass == 0 ? attr.name_count : attr.split;
    }
    return attr.name_count == 0 ? in->inputs[0] : fbl_rw_add(rw, FBL_OP_RENAME, in->inputs, 1, &attr, NULL);
}

// A split lists the axis and then its parts, a join the parts and then the axis.
static bool undoes(const FblAttr *split, const FblAttr *join) {
    int32_t parts = join->split;
    bool same = split->name_count == parts + 1 && split->names[0] == join->names[parts];
    for (int32_t i = 0; same && i < parts; i++) {
        same = split->names[1 + i] == join->names[i];
    }
    return same;
}

FblNodeId fbl_rule_split_join(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_JOIN);
    return in != NULL && undoes(&node->attr, &in->attr) ? in->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_join_split(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_SPLIT);
    return in != NULL && undoes(&in->attr, &node->attr) ? in->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_gather_iota(FblRewrite *rw, const FblNode *node) {
    const FblNode *index = fbl_rewrite_node(rw, node->inputs[1]);
    return index->op == FBL_OP_IOTA && index->type.axes[0].name == node->attr.names[0] ? node->inputs[0] : FBL_NO_NODE;
}

FblNodeId fbl_rule_gather_broadcast(FblRewrite *rw, const FblNode *node) {
    const FblNode *in = operand(rw, node, FBL_OP_BROADCAST);
    if (in == NULL || fbl_type_find(&fbl_rewrite_node(rw, in->inputs[0])->type, node->attr.names[0]) >= 0) {
        return FBL_NO_NODE;
    }
    return fbl_rw_as(rw, in->inputs[0], &node->type);
}

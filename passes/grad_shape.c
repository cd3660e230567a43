// Derivatives of reductions, shape ops, indexing and scans.
#include "passes/grad_rules.h"

static FblNodeId in(const FblGrad *grad, int32_t index) {
    return grad->node->inputs[index];
}

static const FblType *type_of(const FblGrad *grad, FblNodeId id) {
    return fbl_graph_type(grad->graph, id);
}

// give() repeats the share along the axes that were summed away.
void fbl_grad_sum(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
}

// For maximum and minimum: every element that equals the extremum gets an even part.
void fbl_grad_reduce_max(FblGrad *grad) {
    FblNodeId hit = fbl_emit_binary(grad, FBL_OP_EQ, in(grad, 0), grad->id);
    FblNodeId mask = fbl_graph_cast(grad->graph, hit, FBL_F32, grad->loc);
    const FblAttr *attr = &grad->node->attr;
    FblNodeId count = fbl_graph_reduce(grad->graph, FBL_OP_SUM, mask, attr->names, attr->name_count, grad->loc);
    FblNodeId part = fbl_emit_binary(grad, FBL_OP_DIV, grad->g, count);
    fbl_grad_give(grad, 0, fbl_emit_select(grad, hit, part, fbl_emit_const(grad, 0)));
}

// Elements go back to where they were taken from, with zeros between and around.
void fbl_grad_slice(FblGrad *grad) {
    const FblAttr *attr = &grad->node->attr;
    FblName axis = attr->names[0];
    int64_t start = attr->i[FBL_SLICE_START];
    int64_t step = attr->i[FBL_SLICE_STEP];
    int64_t count = attr->i[FBL_SLICE_COUNT];
    int64_t extent = fbl_emit_extent(grad, in(grad, 0), axis);
    FblNodeId share = grad->g;
    int64_t last = start + (count - 1) * step;
    if (step < 0) {
        share = fbl_emit_slice(grad, share, axis, count - 1, -1, count);
        int64_t first = last;
        last = start;
        start = first;
        step = -step;
    }
    fbl_grad_give(grad, 0, fbl_emit_pad(grad, share, axis, start, extent - 1 - last, step - 1));
}

void fbl_grad_pad(FblGrad *grad) {
    const FblAttr *attr = &grad->node->attr;
    FblName axis = attr->names[0];
    int64_t extent = fbl_emit_extent(grad, in(grad, 0), axis);
    int64_t low = attr->i[FBL_PAD_LOW];
    fbl_grad_give(grad, 0, fbl_emit_slice(grad, grad->g, axis, low, attr->i[FBL_PAD_INTERIOR] + 1, extent));
}

void fbl_grad_concat(FblGrad *grad) {
    FblName axis = grad->node->attr.names[0];
    int64_t offset = 0;
    for (int32_t k = 0; k < grad->node->input_count && grad->status == FBL_OK; k++) {
        int64_t extent = fbl_emit_extent(grad, in(grad, k), axis);
        if (fbl_grad_wants(grad, k)) {
            fbl_grad_give(grad, k, fbl_emit_slice(grad, grad->g, axis, offset, 1, extent));
        }
        offset += extent;
    }
}

void fbl_grad_rename(FblGrad *grad) {
    FblAttr attr = grad->node->attr;
    for (int32_t i = 0; i < attr.split; i++) {
        FblName from = attr.names[i];
        attr.names[i] = attr.names[attr.split + i];
        attr.names[attr.split + i] = from;
    }
    fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_RENAME, grad->g, FBL_NO_NODE, &attr, NULL));
}

// split: attr = axis, then the parts; join: the parts, then the axis.
void fbl_grad_split(FblGrad *grad) {
    const FblAttr *forward = &grad->node->attr;
    int32_t parts = forward->name_count - 1;
    FblAttr attr = {.name_count = forward->name_count, .split = parts};
    for (int32_t i = 0; i < parts; i++) {
        attr.names[i] = forward->names[1 + i];
    }
    attr.names[parts] = forward->names[0];
    fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_JOIN, grad->g, FBL_NO_NODE, &attr, NULL));
}

void fbl_grad_join(FblGrad *grad) {
    const FblAttr *forward = &grad->node->attr;
    int32_t parts = forward->split;
    FblAttr attr = {.name_count = forward->name_count, .split = 1};
    attr.names[0] = forward->names[parts];
    const FblType *x = type_of(grad, in(grad, 0));
    const FblType *have = type_of(grad, grad->g);
    FblType type = fbl_type_scalar(have->dtype);
    for (int32_t i = 0; i < have->rank; i++) {
        if (have->axes[i].name != attr.names[0]) {
            fbl_type_add_axis(&type, have->axes[i].name, have->axes[i].extent);
            continue;
        }
        for (int32_t k = 0; k < parts; k++) {
            attr.names[1 + k] = forward->names[k];
            fbl_type_add_axis(&type, forward->names[k], x->axes[fbl_type_find(x, forward->names[k])].extent);
        }
    }
    fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_SPLIT, grad->g, FBL_NO_NODE, &attr, &type));
}

// The derivative of a running sum at i collects g from i on: a running sum from the other end.
void fbl_grad_cumsum(FblGrad *grad) {
    FblName axis = grad->node->attr.names[0];
    FblNodeId flipped = fbl_emit_flip(grad, grad->g, axis);
    FblNodeId sums = fbl_emit_node(grad, FBL_OP_CUMSUM, flipped, FBL_NO_NODE, &grad->node->attr, NULL);
    fbl_grad_give(grad, 0, fbl_emit_flip(grad, sums, axis));
}

// An axis name made from `base` that neither type uses.
static FblName fresh_axis(FblGrad *grad, FblName base, const FblType *a, const FblType *b) {
    FblContext *ctx = grad->graph->ctx;
    for (int i = 1;; i++) {
        FblName name = fbl_intern(ctx, fbl_arena_printf(fbl_context_arena(ctx), "%s_from%d", base, i));
        if (fbl_type_find(a, name) < 0 && fbl_type_find(b, name) < 0) {
            return name;
        }
    }
}

// y = x at index along `axis`. The share at k is the sum of g over every place whose index is k, written as a sum of
// selects: fusion turns it into one pass, and no scatter is needed. The index's other axes either stay (x has them too)
// or are summed by give(). A permutation made by argsort is undone by gathering with its inverse, which costs no
// square.
void fbl_grad_gather(FblGrad *grad) {
    FblNodeId x = in(grad, 0);
    FblNodeId index = in(grad, 1);
    FblName axis = grad->node->attr.names[0];
    int64_t extent = fbl_emit_extent(grad, x, axis);
    if (grad->status != FBL_OK) {
        return;
    }
    const FblNode *index_node = fbl_graph_node(grad->graph, index);
    bool keeps_axis = fbl_type_find(&index_node->type, axis) >= 0;
    if (index_node->op == FBL_OP_ARGSORT && index_node->attr.names[0] == axis) {
        FblAttr sort = {.names = {axis}, .name_count = 1};
        FblNodeId inverse = fbl_emit_node(grad, FBL_OP_ARGSORT, index, FBL_NO_NODE, &sort, NULL);
        fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_GATHER, grad->g, inverse, &grad->node->attr, NULL));
        return;
    }
    FblNodeId g = grad->g;
    FblNodeId place = fbl_emit_iota(grad, axis, extent);
    if (keeps_axis) { // the axis means two things: places in x and places in y; give the latter another name
        FblName fresh = fresh_axis(grad, axis, &index_node->type, type_of(grad, x));
        index = fbl_emit_rename(grad, index, axis, fresh);
        g = fbl_emit_rename(grad, g, axis, fresh);
    }
    FblNodeId hit = fbl_emit_binary(grad, FBL_OP_EQ, index, place);
    fbl_grad_give(grad, 0, fbl_emit_select(grad, hit, g, fbl_emit_const(grad, 0)));
}

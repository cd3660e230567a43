#include <math.h>

#include "passes/lower_internal.h"

// The position along spatial axis d (0 height, 1 width) of tap `tap` of window `at`.
static int32_t tap_position(FblKBuild *b, const FblNode *node, int d, int32_t at, int32_t tap) {
    int32_t start = fbl_ix_scale(b, at, node->attr.i[FBL_POOL_STRIDE_H + d]);
    return fbl_ix_add_const(b, fbl_ix_add(b, start, tap), -node->attr.i[FBL_POOL_PAD_H + d]);
}

// The window along axis d whose tap `tap` is `position`; the condition that there is one joins *guard.
static int32_t window_of(FblKBuild *b, const FblNode *node, int d, int32_t position, int32_t tap, int64_t windows,
                         int32_t *guard) {
    int64_t stride = node->attr.i[FBL_POOL_STRIDE_H + d];
    int32_t start = fbl_ix_add_const(b, fbl_ix_add(b, position, fbl_ix_scale(b, tap, -1)),
                                     node->attr.i[FBL_POOL_PAD_H + d]);
    int32_t at = fbl_ix_div(b, start, stride);
    *guard = fbl_kb_and(b, *guard, fbl_ix_is_zero(b, fbl_ix_mod(b, start, stride)));
    *guard = fbl_kb_and(b, *guard, fbl_ix_in_range(b, at, 0, windows));
    return at;
}

static int32_t index_op(FblKBuild *b, FblOp op, int32_t x, int32_t y, int64_t low, int64_t high) {
    if (op == FBL_OP_MIN && b->affine[x].high <= b->affine[y].low) {
        return x;
    }
    if (op == FBL_OP_MAX && b->affine[x].low >= b->affine[y].high) {
        return x;
    }
    int32_t id = fbl_kb_op(b, op, FBL_I32, x, y, -1);
    b->affine[id].low = low;
    b->affine[id].high = high;
    return id;
}

// The number of elements that window `at` averages over along axis d, of an input of `extent`.
static int32_t span(FblKBuild *b, const FblNode *node, int d, int32_t at, int64_t extent) {
    int64_t pad = node->attr.i[FBL_POOL_PAD_H + d];
    int64_t kernel = node->attr.i[FBL_POOL_KERNEL_H + d];
    bool count_pad = node->attr.i[FBL_POOL_COUNT_PAD] != 0;
    int64_t limit = count_pad ? extent + pad : extent;
    int32_t begin = fbl_ix_add_const(b, fbl_ix_scale(b, at, node->attr.i[FBL_POOL_STRIDE_H + d]), -pad);
    int32_t end = index_op(b, FBL_OP_MIN, fbl_ix_add_const(b, begin, kernel), fbl_ix_const(b, limit), 0, limit);
    if (!count_pad) {
        begin = index_op(b, FBL_OP_MAX, begin, fbl_ix_const(b, 0), 0, extent);
    }
    return fbl_ix_add(b, end, fbl_ix_scale(b, begin, -1));
}

// The divisor of the mean at window (h, w), as f32.
static int32_t divisor(FblKBuild *b, const FblNode *node, int32_t h, int32_t w, int64_t height, int64_t width) {
    int32_t spans[2] = {span(b, node, 0, h, height), span(b, node, 1, w, width)};
    double x;
    double y;
    if (fbl_kb_is_const(b, spans[0], &x) && fbl_kb_is_const(b, spans[1], &y)) {
        return fbl_kb_const(b, FBL_F32, x * y);
    }
    return fbl_kb_cast(b, fbl_kb_op(b, FBL_OP_MUL, FBL_I32, spans[0], spans[1], -1), FBL_F32);
}

int32_t fbl_scope_window_element(FblScope *scope, const FblNode *node, const int32_t *index, const int32_t *taps,
                                 FblOp *out_op, FblDtype *out_dtype) {
    FblKBuild *b = scope->build;
    const FblGraph *graph = scope->lower->graph;
    const FblType *type = &graph->nodes[node->inputs[0]].type;
    int32_t x[FBL_MAX_RANK];
    int at[2];
    int out[2];
    int32_t guard = -1;
    for (int i = 0; i < type->rank; i++) {
        x[i] = index[fbl_type_find(&node->type, type->axes[i].name)];
    }
    for (int d = 0; d < 2; d++) {
        at[d] = fbl_type_find(type, node->attr.names[d]);
        out[d] = fbl_type_find(&node->type, node->attr.names[d]);
    }
    *out_op = FBL_OP_SUM;
    *out_dtype = FBL_F32;
    if (node->op == FBL_OP_MAX_POOL || node->op == FBL_OP_MAX_POOL_INDEX || node->op == FBL_OP_AVG_POOL) {
        for (int d = 0; d < 2; d++) {
            x[at[d]] = tap_position(b, node, d, index[out[d]], taps[d]);
            guard = fbl_kb_and(b, guard, fbl_ix_in_range(b, x[at[d]], 0, type->axes[at[d]].extent));
        }
        if (node->op != FBL_OP_AVG_POOL) {
            *out_op = node->op == FBL_OP_MAX_POOL ? FBL_OP_REDUCE_MAX : FBL_OP_ARGMAX;
            *out_dtype = node->type.dtype;
        }
        double outside = node->op == FBL_OP_AVG_POOL ? 0 : -INFINITY;
        return fbl_scope_guarded(scope, node->inputs[0], x, guard, fbl_kb_const(b, FBL_F32, outside));
    }
    // The adjoints: for each element the windows that have it as tap (taps[0], taps[1]).
    for (int d = 0; d < 2; d++) {
        x[at[d]] = window_of(b, node, d, index[out[d]], taps[d], type->axes[at[d]].extent, &guard);
    }
    int32_t zero = fbl_kb_const(b, FBL_F32, 0);
    if (node->op == FBL_OP_AVG_POOL_GRAD) {
        int32_t g = fbl_scope_guarded(scope, node->inputs[0], x, guard, zero);
        int32_t by = divisor(b, node, x[at[0]], x[at[1]], node->type.axes[out[0]].extent,
                             node->type.axes[out[1]].extent);
        double constant;
        if (fbl_kb_is_const(b, by, &constant)) {
            return fbl_kb_op(b, FBL_OP_DIV, FBL_F32, g, by, -1);
        }
        // Where no window is, the divisor may be anything.
        if (guard >= 0) {
            by = fbl_kb_op(b, FBL_OP_SELECT, FBL_F32, guard, by, fbl_kb_const(b, FBL_F32, 1));
        }
        return fbl_kb_op(b, FBL_OP_DIV, FBL_F32, g, by, -1);
    }
    const FblType *index_type = &graph->nodes[node->inputs[1]].type;
    int32_t y[FBL_MAX_RANK];
    for (int i = 0; i < index_type->rank; i++) {
        y[i] = x[fbl_type_find(type, index_type->axes[i].name)];
    }
    int32_t winner = fbl_scope_guarded(scope, node->inputs[1], y, guard, fbl_kb_const(b, FBL_I32, -1));
    int32_t tap = fbl_ix_add(b, fbl_ix_scale(b, taps[0], node->attr.i[FBL_POOL_KERNEL_W]), taps[1]);
    int32_t g = fbl_scope_guarded(scope, node->inputs[0], x, guard, zero);
    return fbl_kb_op(b, FBL_OP_SELECT, FBL_F32, fbl_kb_op(b, FBL_OP_EQ, FBL_BOOL, winner, tap, -1), g, zero);
}

int32_t fbl_scope_window_finish(FblScope *scope, const FblNode *node, const int32_t *index, int32_t result) {
    const FblType *type = &scope->lower->graph->nodes[node->inputs[0]].type;
    int64_t extents[2];
    int32_t at[2];
    for (int d = 0; d < 2; d++) {
        extents[d] = type->axes[fbl_type_find(type, node->attr.names[d])].extent;
        at[d] = index[fbl_type_find(&node->type, node->attr.names[d])];
    }
    int32_t by = divisor(scope->build, node, at[0], at[1], extents[0], extents[1]);
    return fbl_kb_op(scope->build, FBL_OP_DIV, FBL_F32, result, by, -1);
}

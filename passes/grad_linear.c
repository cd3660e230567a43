// Derivatives of contractions, convolutions and windows. All are linear in each operand, so each adjoint is an op of
// the same family and the family is closed: conv2d and its two adjoints differentiate into one another.
#include "passes/grad_rules.h"
#include "passes/rebuild.h"

static FblNodeId in(const FblGrad *grad, int32_t index) {
    return grad->node->inputs[index];
}

static const FblType *type_of(const FblGrad *grad, FblNodeId id) {
    return fbl_graph_type(grad->graph, id);
}

// The adjoint as a tensor with exactly the node's axis order: for operands that are read by position.
static FblNodeId ordered(FblGrad *grad) {
    return fbl_rebuild_as(grad->graph, grad->g, &grad->node->type, grad->loc);
}

// y = sum over S of a b. The share of a is the product of g and b summed over the axes of b that a lacks; those are
// outer axes of b, hence also axes of g.
static void contract_share(FblGrad *grad, int32_t index) {
    if (!fbl_grad_wants(grad, index)) {
        return;
    }
    FblNodeId other = in(grad, 1 - index);
    const FblType *mine = type_of(grad, in(grad, index));
    const FblType *theirs = type_of(grad, other);
    FblAttr attr = {0};
    for (int32_t i = 0; i < theirs->rank; i++) {
        if (fbl_type_find(mine, theirs->axes[i].name) < 0) {
            attr.names[attr.name_count++] = theirs->axes[i].name;
        }
    }
    FblNodeId share = attr.name_count == 0 ? fbl_emit_binary(grad, FBL_OP_MUL, grad->g, other)
                                           : fbl_emit_node(grad, FBL_OP_CONTRACT, grad->g, other, &attr, NULL);
    fbl_grad_give(grad, index, share);
}

void fbl_grad_contract(FblGrad *grad) {
    contract_share(grad, 0);
    contract_share(grad, 1);
}

void fbl_grad_conv2d(FblGrad *grad) {
    FblNodeId x = in(grad, 0);
    FblNodeId weight = in(grad, 1);
    const FblAttr *attr = &grad->node->attr;
    if (fbl_grad_wants(grad, 0)) {
        fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_CONV2D_DATA_GRAD, grad->g, weight, attr, type_of(grad, x)));
    }
    if (fbl_grad_wants(grad, 1)) {
        fbl_grad_give(grad, 1, fbl_emit_node(grad, FBL_OP_CONV2D_WEIGHT_GRAD, x, grad->g, attr, type_of(grad, weight)));
    }
}

// (p, weight) -> shape of x. h is the adjoint of the result.
void fbl_grad_conv2d_data_grad(FblGrad *grad) {
    FblNodeId p = in(grad, 0);
    FblNodeId weight = in(grad, 1);
    const FblAttr *attr = &grad->node->attr;
    if (fbl_grad_wants(grad, 0)) {
        fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_CONV2D, grad->g, weight, attr, NULL));
    }
    if (fbl_grad_wants(grad, 1)) {
        fbl_grad_give(grad, 1, fbl_emit_node(grad, FBL_OP_CONV2D_WEIGHT_GRAD, grad->g, p, attr, type_of(grad, weight)));
    }
}

// (x, p) -> shape of the weight.
void fbl_grad_conv2d_weight_grad(FblGrad *grad) {
    FblNodeId x = in(grad, 0);
    FblNodeId p = in(grad, 1);
    const FblAttr *attr = &grad->node->attr;
    FblNodeId h = ordered(grad);
    if (fbl_grad_wants(grad, 0)) {
        fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_CONV2D_DATA_GRAD, p, h, attr, type_of(grad, x)));
    }
    if (fbl_grad_wants(grad, 1)) {
        fbl_grad_give(grad, 1, fbl_emit_node(grad, FBL_OP_CONV2D, x, h, attr, NULL));
    }
}

void fbl_grad_max_pool(FblGrad *grad) {
    const FblAttr *attr = &grad->node->attr;
    FblNodeId x = in(grad, 0);
    FblNodeId index = fbl_emit_node(grad, FBL_OP_MAX_POOL_INDEX, x, FBL_NO_NODE, attr, &grad->node->type);
    fbl_grad_give(grad, 0, fbl_emit_node(grad, FBL_OP_MAX_POOL_GRAD, grad->g, index, attr, type_of(grad, x)));
}

// One spatial axis of a window: pads so that every tap of every window exists.
static FblNodeId pad_for_taps(FblGrad *grad, FblNodeId x, FblName axis, int64_t windows, int64_t stride, int64_t kernel,
                              int64_t pad) {
    int64_t extent = fbl_emit_extent(grad, x, axis);
    int64_t reach = (windows - 1) * stride + kernel - pad - extent;
    return fbl_emit_pad(grad, x, axis, pad, reach > 0 ? reach : 0, 0);
}

// (p, index) -> p at the winning taps. Its adjoint reads each window's winning tap: a strided slice for each tap, kept
// where the index names that tap.
void fbl_grad_max_pool_grad(FblGrad *grad) {
    FblNodeId p = in(grad, 0);
    FblNodeId index = in(grad, 1);
    const FblAttr *attr = &grad->node->attr;
    FblName height = attr->names[0];
    FblName width = attr->names[1];
    int64_t rows = fbl_emit_extent(grad, p, height);
    int64_t columns = fbl_emit_extent(grad, p, width);
    const int64_t *a = attr->i;
    FblNodeId padded =
        pad_for_taps(grad, grad->g, height, rows, a[FBL_POOL_STRIDE_H], a[FBL_POOL_KERNEL_H], a[FBL_POOL_PAD_H]);
    padded = pad_for_taps(grad, padded, width, columns, a[FBL_POOL_STRIDE_W], a[FBL_POOL_KERNEL_W], a[FBL_POOL_PAD_W]);
    if (grad->status != FBL_OK) {
        return;
    }
    FblNodeId share = fbl_emit_const(grad, 0);
    for (int64_t i = 0; i < a[FBL_POOL_KERNEL_H]; i++) {
        FblNodeId row = fbl_emit_slice(grad, padded, height, i, a[FBL_POOL_STRIDE_H], rows);
        for (int64_t j = 0; j < a[FBL_POOL_KERNEL_W]; j++) {
            FblNodeId tap = fbl_emit_slice(grad, row, width, j, a[FBL_POOL_STRIDE_W], columns);
            double number = (double)(i * a[FBL_POOL_KERNEL_W] + j);
            FblNodeId here =
                fbl_emit_binary(grad, FBL_OP_EQ, index, fbl_graph_const(grad->graph, FBL_I32, number, grad->loc));
            share = fbl_emit_select(grad, here, tap, share);
        }
    }
    fbl_grad_give(grad, 0, share);
}

void fbl_grad_avg_pool(FblGrad *grad) {
    FblNodeId x = in(grad, 0);
    fbl_grad_give(grad, 0,
                  fbl_emit_node(grad, FBL_OP_AVG_POOL_GRAD, grad->g, FBL_NO_NODE, &grad->node->attr, type_of(grad, x)));
}

void fbl_grad_avg_pool_grad(FblGrad *grad) {
    fbl_grad_give(
        grad, 0,
        fbl_emit_node(grad, FBL_OP_AVG_POOL, grad->g, FBL_NO_NODE, &grad->node->attr, type_of(grad, in(grad, 0))));
}

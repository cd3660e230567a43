// Which values lie in memory in half precision (FblLowerOptions.storage).
//
// Activations and their gradients: f32 values over the batch and a spatial axis of a convolution that a function keeps to
// itself. They are most of what a step moves, a network is trained to bear noise in them, and each is one value of
// many that sums average over. Everything else stays f32:
//   - parameters, their gradients, optimizer slots, states, inputs and outputs: they lie outside of the arena or are exact;
//   - results of reductions: statistics and partial sums have few elements and many that depend on them;
//   - what has no spatial axis: features, logits, numbers a channel, the loss;
//   - operands and results of library functions.
#include "passes/lower_internal.h"

// Whether the type has the batch axis and a spatial axis of some convolution.
static bool has_pixels(const FblLower *lower, const FblType *type) {
    for (size_t i = 0; i < lower->quad_count; i++) {
        const FblName *axes = lower->quads[i].axes; // batch, channel, height, width
        if (fbl_type_find(type, axes[0]) >= 0 && (fbl_type_find(type, axes[2]) >= 0 || fbl_type_find(type, axes[3]) >= 0)) {
            return true;
        }
    }
    return false;
}

static bool is_activation(const FblLower *lower, FblNodeId id) {
    const FblNode *node = &lower->graph->nodes[id];
    const FblNodePlan *plan = &lower->nodes[id];
    return plan->kept && plan->root < 0 && !plan->dense && !fbl_lower_is_leaf(node->op) && node->type.dtype == FBL_F32 &&
           fbl_op_info(node->op)->op_class != FBL_CLASS_REDUCE && has_pixels(lower, &node->type);
}

void fbl_lower_storage(FblLower *lower) {
    bool half = fbl_dtype_is_half(lower->options->storage);
    for (size_t id = 0; id < lower->graph->count; id++) {
        const FblNode *node = &lower->graph->nodes[id];
        FblNodePlan *plan = &lower->nodes[id];
        plan->storage = half && is_activation(lower, (FblNodeId)id) ? lower->options->storage : node->type.dtype;
        plan->bytes = fbl_type_elements(&node->type) * fbl_dtype_bytes(plan->storage);
    }
}

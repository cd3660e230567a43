#include "cli/cost.h"

static double elements_of(const FblGraph *graph, FblNodeId id) { return (double)fbl_type_elements(&graph->nodes[id].type); }

// Multiply-adds of a convolution: one per output element and weight of its output channel.
static double conv_work(double outputs, const FblType *weight) {
    return 2 * outputs * (double)fbl_type_elements(weight) / (double)(weight->axes[0].extent ? weight->axes[0].extent : 1);
}

static double node_flops(const FblGraph *graph, const FblNode *node) {
    double elements = (double)fbl_type_elements(&node->type);
    switch (node->op) {
    case FBL_OP_CONV2D: return conv_work(elements, &graph->nodes[node->inputs[1]].type);
    case FBL_OP_CONV2D_DATA_GRAD: return conv_work(elements_of(graph, node->inputs[0]), &graph->nodes[node->inputs[1]].type);
    case FBL_OP_CONV2D_WEIGHT_GRAD: return conv_work(elements_of(graph, node->inputs[1]), &node->type);
    case FBL_OP_CONTRACT: {
        const FblType *a = &graph->nodes[node->inputs[0]].type;
        for (int i = 0; i < node->attr.name_count; i++) {
            int at = fbl_type_find(a, node->attr.names[i]);
            elements *= at < 0 ? 1 : (double)a->axes[at].extent;
        }
        return 2 * elements;
    }
    case FBL_OP_MAX_POOL:
    case FBL_OP_AVG_POOL: return elements * (double)(node->attr.i[FBL_POOL_KERNEL_H] * node->attr.i[FBL_POOL_KERNEL_W]);
    case FBL_OP_BROADCAST:
    case FBL_OP_CAST:
    case FBL_OP_STOP_GRADIENT: return 0;
    default: break;
    }
    switch (fbl_op_info(node->op)->op_class) {
    case FBL_CLASS_POINTWISE: return elements;
    case FBL_CLASS_REDUCE: return elements_of(graph, node->inputs[0]);
    case FBL_CLASS_SCAN: return elements;
    default: return 0;
    }
}

bool fbl_graph_symbolic(const FblGraph *graph) {
    for (size_t i = 0; i < graph->count; i++) {
        if (fbl_type_elements(&graph->nodes[i].type) < 0) {
            return true;
        }
    }
    return false;
}

double fbl_graph_flops(const FblGraph *graph) {
    if (fbl_graph_symbolic(graph)) {
        return -1;
    }
    double total = 0;
    for (size_t i = 0; i < graph->count; i++) {
        total += node_flops(graph, &graph->nodes[i]);
    }
    return total;
}

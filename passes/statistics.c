#include "passes/statistics.h"

#include <math.h>

FblNodeId fbl_strip_broadcast(const FblGraph *graph, FblNodeId id) {
    while (graph->nodes[id].op == FBL_OP_BROADCAST) {
        id = graph->nodes[id].inputs[0];
    }
    return id;
}

static bool is_number(const FblGraph *graph, FblNodeId id, double value) {
    const FblNode *node = &graph->nodes[fbl_strip_broadcast(graph, id)];
    return node->op == FBL_OP_CONST && fabs(node->attr.value - value) <= 1e-7 * fabs(value);
}

FblNodeId fbl_mean_of(const FblGraph *graph, FblNodeId id, int64_t count) {
    const FblNode *node = &graph->nodes[id];
    if (node->op == FBL_OP_DIV && is_number(graph, node->inputs[1], (double)count)) {
        return fbl_strip_broadcast(graph, node->inputs[0]);
    }
    for (int i = 0; i < 2 && node->op == FBL_OP_MUL; i++) {
        if (is_number(graph, node->inputs[i], 1.0 / (double)count)) {
            return fbl_strip_broadcast(graph, node->inputs[1 - i]);
        }
    }
    return FBL_NO_NODE;
}

bool fbl_sums_over(const FblNode *node, const FblName *axes, int32_t count) {
    bool all = node->op == FBL_OP_SUM && node->attr.name_count == count;
    for (int32_t i = 0; i < count && all; i++) {
        bool found = false;
        for (int32_t k = 0; k < count; k++) {
            found |= node->attr.names[k] == axes[i];
        }
        all = found;
    }
    return all;
}

bool fbl_squared_difference(const FblGraph *graph, FblNodeId id, FblNodeId *out_x, FblNodeId *out_mean) {
    const FblNode *product = &graph->nodes[id];
    if (product->op != FBL_OP_MUL || product->inputs[0] != product->inputs[1] || graph->nodes[product->inputs[0]].op != FBL_OP_SUB) {
        return false;
    }
    const FblNode *centred = &graph->nodes[product->inputs[0]];
    *out_x = centred->inputs[0];
    *out_mean = fbl_strip_broadcast(graph, centred->inputs[1]);
    const FblType *type = &graph->nodes[*out_x].type;
    return type->dtype == FBL_F32 && fbl_type_same_axes(type, &centred->type);
}

#include "ir/graph.h"

static FblStatus wrong(const FblGraph *graph, size_t id, const char *what) {
    const FblNode *node = &graph->nodes[id];
    const char *op = (unsigned)node->op < FBL_OP_COUNT ? fbl_op_info(node->op)->text : "?";
    fbl_error(graph->ctx, "E0230", node->loc, "graph `%s`, %%%zu = %s: %s", graph->name, id, op, what);
    return FBL_INTERNAL;
}

static FblStatus verify_node(const FblGraph *graph, size_t id) {
    const FblNode *node = &graph->nodes[id];
    const FblType *small[8];
    const FblType **types = small;
    FblType inferred;
    if ((unsigned)node->op >= FBL_OP_COUNT) {
        return wrong(graph, id, "no such operation");
    }
    if (node->input_count < 0) {
        return wrong(graph, id, "a negative number of operands");
    }
    if (node->input_count > 8) {
        types = FBL_NEW_ARRAY(graph->arena, const FblType *, node->input_count);
    }
    for (int32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] < 0 || (size_t)node->inputs[i] >= id) {
            return wrong(graph, id, "an operand doesn't come before the node");
        }
        types[i] = &graph->nodes[node->inputs[i]].type;
    }
    if (fbl_infer(graph->ctx, node->op, types, node->input_count, &node->attr, &node->type, node->loc, &inferred) !=
        FBL_OK) {
        return wrong(graph, id, "the operands don't fit");
    }
    if (!fbl_type_equal(&inferred, &node->type)) {
        return wrong(
            graph, id,
            fbl_arena_printf(fbl_context_arena(graph->ctx), "the type is %s where %s follows from the operands",
                             fbl_type_string(graph->ctx, &node->type), fbl_type_string(graph->ctx, &inferred)));
    }
    if (node->origin < FBL_NO_NODE || node->origin >= (FblNodeId)graph->count) {
        return wrong(graph, id, "the origin is no node of the graph");
    }
    return FBL_OK;
}

FblStatus fbl_graph_verify(const FblGraph *graph) {
    for (size_t i = 0; i < graph->count; i++) {
        FBL_TRY(verify_node(graph, i));
    }
    for (size_t i = 0; i < graph->root_count; i++) {
        const FblRoot *root = &graph->roots[i];
        if (root->name == NULL || root->node < 0 || (size_t)root->node >= graph->count) {
            fbl_error(graph->ctx, "E0230", FBL_NO_LOC, "graph `%s`: the root `%s` is no node of the graph", graph->name,
                      root->name == NULL ? "?" : root->name);
            return FBL_INTERNAL;
        }
        for (size_t j = 0; j < i; j++) {
            if (graph->roots[j].kind == root->kind && graph->roots[j].name == root->name) {
                fbl_error(graph->ctx, "E0230", graph->nodes[root->node].loc, "graph `%s`: the root `%s` stands twice",
                          graph->name, root->name);
                return FBL_INTERNAL;
            }
        }
    }
    return FBL_OK;
}

#include "passes/rebuild.h"

bool fbl_op_type_given(FblOp op) {
    switch (op) {
    case FBL_OP_BROADCAST:
    case FBL_OP_CAST:
    case FBL_OP_SPLIT:
    case FBL_OP_CONV2D_DATA_GRAD:
    case FBL_OP_CONV2D_WEIGHT_GRAD:
    case FBL_OP_MAX_POOL: // its type says whether the last window was rounded up
    case FBL_OP_MAX_POOL_INDEX:
    case FBL_OP_AVG_POOL:
    case FBL_OP_MAX_POOL_GRAD:
    case FBL_OP_AVG_POOL_GRAD:
    case FBL_OP_ALL_GATHER:
        return true;
    default:
        return fbl_op_info(op)->op_class == FBL_CLASS_LEAF;
    }
}

FblGraph *fbl_rebuild_begin(const FblGraph *from) {
    FblGraph *to = fbl_graph_create(from->ctx, from->name);
    fbl_graph_reserve(to, from->count + 1);
    return to;
}

FblNodeId *fbl_rebuild_map(const FblGraph *from) {
    FblNodeId *map = FBL_NEW_ARRAY(from->arena, FblNodeId, from->count + 1);
    for (size_t i = 0; i < from->count; i++) {
        map[i] = FBL_NO_NODE;
    }
    return map;
}

FblNodeId fbl_rebuild_add(FblGraph *to, const FblNode *like, const FblNodeId *inputs, const FblNodeId *map) {
    FblNodeId id = fbl_graph_add(to, like->op, inputs, like->input_count, &like->attr,
                                 fbl_op_type_given(like->op) ? &like->type : NULL, like->loc);
    if (id == FBL_NO_NODE) {
        return FBL_NO_NODE;
    }
    to->nodes[id].path = like->path;
    to->nodes[id].origin = like->origin == FBL_NO_NODE ? FBL_NO_NODE : map[like->origin];
    return id;
}

FblNodeId fbl_rebuild_copy(FblGraph *to, const FblGraph *from, FblNodeId id, FblNodeId *map) {
    const FblNode *node = fbl_graph_node(from, id);
    FblNodeId *inputs = FBL_NEW_ARRAY(from->arena, FblNodeId, node->input_count);
    for (int32_t i = 0; i < node->input_count; i++) {
        inputs[i] = map[node->inputs[i]];
    }
    map[id] = fbl_rebuild_add(to, node, inputs, map);
    return map[id];
}

FblStatus fbl_rebuild_roots(FblGraph *to, const FblGraph *from, const FblNodeId *map) {
    for (size_t i = 0; i < from->root_count; i++) {
        const FblRoot *root = &from->roots[i];
        if (map[root->node] == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        fbl_graph_root(to, root->kind, root->name, map[root->node]);
    }
    return FBL_OK;
}

FblNodeId fbl_rebuild_as(FblGraph *graph, FblNodeId id, const FblType *type, FblLoc loc) {
    if (id == FBL_NO_NODE || fbl_type_equal(fbl_graph_type(graph, id), type)) {
        return id;
    }
    FblType wanted = *type; // the caller's may point into the node array, which can move
    return fbl_graph_broadcast(graph, id, &wanted, loc);
}

bool *fbl_graph_live(const FblGraph *graph) {
    bool *live = FBL_NEW_ARRAY(graph->arena, bool, graph->count + 1);
    for (size_t i = 0; i < graph->root_count; i++) {
        live[graph->roots[i].node] = true;
    }
    for (size_t i = graph->count; i-- > 0;) {
        const FblNode *node = &graph->nodes[i];
        for (int32_t k = 0; live[i] && k < node->input_count; k++) {
            live[node->inputs[k]] = true;
        }
    }
    return live;
}

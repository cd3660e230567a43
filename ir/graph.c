#include "ir/graph.h"

#include <string.h>

static const FblOpInfo op_infos[FBL_OP_COUNT] = {
#define FBL_OP(ENUM, text_, arity_, class_, attr_, grad_, doc_)                                                        \
    [FBL_OP_##ENUM] = {                                                                                                \
        .text = text_, .arity = arity_, .op_class = FBL_CLASS_##class_, .attr = FBL_ATTR_##attr_, .doc = doc_},
#include "ir/ops.def"
#undef FBL_OP
};

const FblOpInfo *fbl_op_info(FblOp op) {
    return &op_infos[op];
}

FblGraph *fbl_graph_create(FblContext *ctx, const char *name) {
    FblGraph *graph = FBL_NEW(fbl_context_arena(ctx), FblGraph);
    graph->ctx = ctx;
    graph->arena = fbl_context_scratch_open(ctx);
    graph->name = fbl_intern(ctx, name);
    return graph;
}

void fbl_graph_discard(FblGraph *graph) {
    if (graph == NULL) {
        return;
    }
    fbl_context_scratch_close(graph->arena);
    *graph = (FblGraph){.ctx = graph->ctx, .name = graph->name};
}

void fbl_graph_reserve(FblGraph *graph, size_t count) {
    if (count <= graph->capacity) {
        return;
    }
    FblNode *nodes = FBL_NEW_ARRAY(graph->arena, FblNode, count);
    if (graph->count > 0) {
        memcpy(nodes, graph->nodes, graph->count * sizeof *nodes);
    }
    graph->nodes = nodes;
    graph->capacity = count;
}

// Copies only the fields that the kind uses, so that equal attributes are equal bytes (passes hash and compare them).
static void copy_attr(FblAttr *to, const FblAttr *from, FblAttrKind kind) {
    static const struct {
        int8_t ints, names; // names: -1 as counted by name_count
        bool value;
    } fields[FBL_ATTR_COUNT] = {
        [FBL_ATTR_VALUE] = {0, 0, true},   [FBL_ATTR_SYMBOL] = {0, 1, false}, [FBL_ATTR_STREAM] = {1, 0, false},
        [FBL_ATTR_AXES] = {0, -1, false},  [FBL_ATTR_CONV] = {7, 4, false},   [FBL_ATTR_POOL] = {7, 2, false},
        [FBL_ATTR_SLICE] = {3, 1, false},  [FBL_ATTR_PAD] = {3, 1, true},     [FBL_ATTR_RENAME] = {0, -1, false},
        [FBL_ATTR_SPLIT] = {0, -1, false}, [FBL_ATTR_JOIN] = {0, -1, false},  [FBL_ATTR_SORT] = {1, 1, false},
    };
    memset(to, 0, sizeof *to);
    for (int i = 0; i < fields[kind].ints; i++) {
        to->i[i] = from->i[i];
    }
    to->name_count = fields[kind].names < 0 ? from->name_count : fields[kind].names;
    for (int i = 0; i < to->name_count; i++) {
        to->names[i] = from->names[i];
    }
    if (kind == FBL_ATTR_RENAME || kind == FBL_ATTR_SPLIT || kind == FBL_ATTR_JOIN) {
        to->split = from->split;
    }
    if (fields[kind].value) {
        to->value = from->value;
    }
}

FblNodeId fbl_graph_add(FblGraph *graph, FblOp op, const FblNodeId *inputs, int32_t input_count, const FblAttr *attr,
                        const FblType *given, FblLoc loc) {
    FblArena *arena = graph->arena;
    const FblType *small[8];
    const FblType **types = small;
    if (input_count > 8) {
        types = FBL_NEW_ARRAY(arena, const FblType *, input_count);
    }
    for (int32_t i = 0; i < input_count; i++) {
        if (inputs[i] == FBL_NO_NODE) {
            return FBL_NO_NODE;
        }
    }
    for (int32_t i = 0; i < input_count; i++) {
        if (inputs[i] < 0 || (size_t)inputs[i] >= graph->count) {
            fbl_error(graph->ctx, "E0207", loc, "operand %d of `%s` is no node of the graph", (int)i + 1,
                      fbl_op_info(op)->text);
            return FBL_NO_NODE;
        }
        types[i] = &graph->nodes[inputs[i]].type;
    }
    FblNode node = {.op = op, .input_count = input_count, .loc = loc, .origin = FBL_NO_NODE};
    if (fbl_infer(graph->ctx, op, types, input_count, attr, given, loc, &node.type) != FBL_OK) {
        return FBL_NO_NODE;
    }
    if (graph->count >= INT32_MAX) {
        fbl_error(graph->ctx, "E0207", loc, "the graph has too many nodes");
        return FBL_NO_NODE;
    }
    if (attr != NULL) {
        copy_attr(&node.attr, attr, fbl_op_info(op)->attr);
    } else {
        memset(&node.attr, 0, sizeof node.attr);
    }
    node.inputs = FBL_NEW_ARRAY(arena, FblNodeId, input_count);
    for (int32_t i = 0; i < input_count; i++) {
        node.inputs[i] = inputs[i];
    }
    FBL_PUSH(arena, graph->nodes, graph->count, graph->capacity, node);
    return (FblNodeId)graph->count - 1;
}

FblNodeId fbl_graph_const(FblGraph *graph, FblDtype dtype, double value, FblLoc loc) {
    FblAttr attr = {.value = value};
    FblType type = fbl_type_scalar(dtype);
    return fbl_graph_add(graph, FBL_OP_CONST, NULL, 0, &attr, &type, loc);
}

FblNodeId fbl_graph_unary(FblGraph *graph, FblOp op, FblNodeId x, FblLoc loc) {
    return fbl_graph_add(graph, op, &x, 1, NULL, NULL, loc);
}

FblNodeId fbl_graph_binary(FblGraph *graph, FblOp op, FblNodeId a, FblNodeId b, FblLoc loc) {
    return fbl_graph_add(graph, op, (FblNodeId[]){a, b}, 2, NULL, NULL, loc);
}

FblNodeId fbl_graph_select(FblGraph *graph, FblNodeId condition, FblNodeId a, FblNodeId b, FblLoc loc) {
    return fbl_graph_add(graph, FBL_OP_SELECT, (FblNodeId[]){condition, a, b}, 3, NULL, NULL, loc);
}

FblNodeId fbl_graph_reduce(FblGraph *graph, FblOp op, FblNodeId x, const FblName *axes, int32_t count, FblLoc loc) {
    FblAttr attr = {.name_count = count};
    if (count < 0 || count > FBL_MAX_RANK) {
        fbl_error(graph->ctx, "E0207", loc, "`%s` over %d axes", fbl_op_info(op)->text, (int)count);
        return FBL_NO_NODE;
    }
    for (int32_t i = 0; i < count; i++) {
        attr.names[i] = axes[i];
    }
    return fbl_graph_add(graph, op, &x, 1, &attr, NULL, loc);
}

FblNodeId fbl_graph_broadcast(FblGraph *graph, FblNodeId x, const FblType *type, FblLoc loc) {
    return fbl_graph_add(graph, FBL_OP_BROADCAST, &x, 1, NULL, type, loc);
}

FblNodeId fbl_graph_cast(FblGraph *graph, FblNodeId x, FblDtype dtype, FblLoc loc) {
    FblType type = fbl_type_scalar(dtype);
    return fbl_graph_add(graph, FBL_OP_CAST, &x, 1, NULL, &type, loc);
}

FblNodeId fbl_graph_leaf(FblGraph *graph, FblOp op, const char *symbol, const FblType *type, FblLoc loc) {
    FblAttr attr = {.name_count = 1};
    attr.names[0] = fbl_intern(graph->ctx, symbol);
    return fbl_graph_add(graph, op, NULL, 0, &attr, type, loc);
}

void fbl_graph_root(FblGraph *graph, FblRootKind kind, FblName name, FblNodeId node) {
    if (node == FBL_NO_NODE) { // its mistake has been reported
        return;
    }
    FblRoot root = {kind, name, node};
    FBL_PUSH(graph->arena, graph->roots, graph->root_count, graph->root_capacity, root);
}

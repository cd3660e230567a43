#include "passes/loss_scale.h"

#include <float.h>
#include <string.h>

#include "passes/rebuild.h"

static const struct {
    const char *path;
    double initial;
} STATES[] = {{FBL_LOSS_SCALE_STATE, FBL_LOSS_SCALE_INITIAL}, {FBL_GOOD_STEPS_STATE, 0}, {FBL_SKIPPED_STATE, 0}, {FBL_APPLIED_STATE, 1}};
enum { STATE_COUNT = sizeof STATES / sizeof STATES[0] };

static FblNodeId state(FblGraph *graph, const char *path) {
    FblType type = fbl_type_scalar(FBL_F32);
    return fbl_graph_leaf(graph, FBL_OP_STATE, fbl_intern(graph->ctx, path), &type, FBL_NO_LOC);
}

static FblNodeId number(FblGraph *graph, double value) { return fbl_graph_const(graph, FBL_F32, value, FBL_NO_LOC); }

static FblNodeId binary(FblGraph *graph, FblOp op, FblNodeId a, FblNodeId b) { return fbl_graph_binary(graph, op, a, b, FBL_NO_LOC); }

static FblNodeId choose(FblGraph *graph, FblNodeId condition, FblNodeId a, FblNodeId b) { return fbl_graph_select(graph, condition, a, b, FBL_NO_LOC); }

static FblNodeId input_of(const FblGraph *graph, FblName name) {
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].op == FBL_OP_INPUT && graph->nodes[i].attr.names[0] == name) {
            return (FblNodeId)i;
        }
    }
    return FBL_NO_NODE;
}

// The optimizer with its results chosen between the new ones and what was there.
static FblStatus guard_optimizer(FblModule *module) {
    const FblGraph *from = module->optimizer;
    FblGraph *to = fbl_rebuild_begin(from);
    FblNodeId *map = fbl_rebuild_map(from);
    FblNodeId applied = binary(to, FBL_OP_LT, number(to, 0), state(to, FBL_APPLIED_STATE));
    FblName t = fbl_intern(module->ctx, "t");
    for (size_t i = 0; i < from->count; i++) {
        if (fbl_rebuild_copy(to, from, (FblNodeId)i, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        const FblNode *node = &from->nodes[i];
        if (node->op == FBL_OP_INPUT && node->attr.names[0] == t) {
            FblNodeId count = node->type.dtype == FBL_F32 ? map[i] : fbl_graph_cast(to, map[i], FBL_F32, node->loc);
            count = binary(to, FBL_OP_SUB, count, state(to, FBL_SKIPPED_STATE));
            map[i] = node->type.dtype == FBL_F32 ? count : fbl_graph_cast(to, count, node->type.dtype, node->loc);
        }
    }
    for (size_t r = 0; r < from->root_count; r++) {
        const FblRoot *root = &from->roots[r];
        FblNodeId before = input_of(from, root->name), value = map[root->node];
        if (root->kind == FBL_ROOT_UPDATE && before != FBL_NO_NODE) {
            value = choose(to, applied, value, map[before]);
            value = fbl_rebuild_as(to, value, &from->nodes[root->node].type, from->nodes[root->node].loc);
        }
        if (value == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        fbl_graph_root(to, root->kind, root->name, value);
    }
    module->optimizer = to;
    return FBL_OK;
}

FblStatus fbl_loss_scale_add(FblModule *module) {
    FblContext *ctx = module->ctx;
    for (int i = 0; i < STATE_COUNT; i++) {
        FblName path = fbl_intern(ctx, STATES[i].path);
        const FblParam *other = fbl_param_find(&module->states, path);
        other = other ? other : fbl_param_find(&module->params, path);
        if (other) {
            return fbl_error(ctx, "E0304", other->loc, "the program has a tensor `%s`, a name that the loss scaling of f16 needs", path);
        }
        FblParam param = {.path = path, .type = fbl_type_scalar(FBL_F32), .init = {FBL_INIT_CONSTANT, STATES[i].initial, 0}, .loc = FBL_NO_LOC};
        FBL_PUSH(fbl_context_arena(ctx), module->states.items, module->states.count, module->states.capacity, param);
    }
    return guard_optimizer(module);
}

FblGraph *fbl_loss_scale_graph(FblContext *ctx, int64_t elements) {
    FblGraph *graph = fbl_graph_create(ctx, "optimizer");
    FblName axis = fbl_intern(ctx, "param");
    FblType flat = fbl_type_scalar(FBL_F32);
    fbl_type_add_axis(&flat, axis, elements);
    FblNodeId g = fbl_graph_leaf(graph, FBL_OP_INPUT, fbl_intern(ctx, "g"), &flat, FBL_NO_LOC);
    // The largest magnitude; a NaN wins, and is not at most the largest number.
    FblNodeId largest = fbl_graph_reduce(graph, FBL_OP_REDUCE_MAX, fbl_graph_unary(graph, FBL_OP_ABS, g, FBL_NO_LOC), &axis, 1, FBL_NO_LOC);
    FblNodeId finite = binary(graph, FBL_OP_LE, largest, number(graph, (double)FLT_MAX));
    FblNodeId applied = fbl_graph_cast(graph, finite, FBL_F32, FBL_NO_LOC);
    FblNodeId scale = state(graph, FBL_LOSS_SCALE_STATE), skipped = state(graph, FBL_SKIPPED_STATE), zero = number(graph, 0), one = number(graph, 1);
    FblNodeId good = binary(graph, FBL_OP_ADD, state(graph, FBL_GOOD_STEPS_STATE), one);
    FblNodeId enough = binary(graph, FBL_OP_LE, number(graph, FBL_LOSS_SCALE_STEPS), good);
    FblNodeId larger = binary(graph, FBL_OP_MIN, binary(graph, FBL_OP_MUL, scale, number(graph, 2)), number(graph, FBL_LOSS_SCALE_MOST));
    FblNodeId smaller = binary(graph, FBL_OP_MUL, scale, number(graph, 0.5));
    const FblNodeId values[STATE_COUNT] = {
        choose(graph, finite, choose(graph, enough, larger, scale), smaller),
        choose(graph, finite, choose(graph, enough, zero, good), zero),
        binary(graph, FBL_OP_ADD, skipped, binary(graph, FBL_OP_SUB, one, applied)),
        applied,
    };
    for (int i = 0; i < STATE_COUNT; i++) {
        fbl_graph_root(graph, FBL_ROOT_UPDATE, fbl_intern(ctx, STATES[i].path), values[i]);
    }
    return graph;
}

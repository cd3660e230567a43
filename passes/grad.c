#include "passes/grad.h"

#include <string.h>

#include "passes/grad_rules.h"
#include "passes/loss_scale.h"
#include "passes/rebuild.h"

static FblGradRule *const RULES[FBL_OP_COUNT] = {
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) [FBL_OP_##ENUM] = fbl_grad_##grad,
#include "ir/ops.def"
#undef FBL_OP
};

FblGradRule *fbl_grad_rule(FblOp op) {
    return RULES[op];
}

bool fbl_grad_passes(FblOp op) {
    return RULES[op] != fbl_grad_none && RULES[op] != fbl_grad_zero;
}

// Integer and logical results and leaves: nothing to do, nothing arrives here.
void fbl_grad_none(FblGrad *grad) {
    (void)grad;
}

// The derivative is zero everywhere: no share.
void fbl_grad_zero(FblGrad *grad) {
    (void)grad;
}

void fbl_grad_undefined(FblGrad *grad) {
    fbl_grad_fail(grad, "it has no derivative");
}

// Which leaves are differentiated
// ---------------------------------------------------------------------------------------

static const char *const TRAINER_INPUTS[] = {
    "class_count", "test_class_count", "epoch", "epochs", "step", "steps", "rate", "mix"};

bool fbl_grad_input_wanted(const FblModule *module, FblName name, const FblType *type) {
    if (type->dtype != FBL_F32) {
        return false;
    }
    for (size_t i = 0; i < sizeof TRAINER_INPUTS / sizeof *TRAINER_INPUTS; i++) {
        if (strcmp(name, TRAINER_INPUTS[i]) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        if (module->hypers[i].name == name) {
            return false;
        }
    }
    return true;
}

static bool leaf_wanted(const FblModule *module, const FblGradOptions *options, const FblNode *node) {
    FblName name = node->attr.names[0];
    if (node->op == FBL_OP_PARAM) {
        const FblParam *param = fbl_param_find(&module->params, name);
        return param == NULL || param->trainable;
    }
    return node->op == FBL_OP_INPUT && options->wrt_inputs && fbl_grad_input_wanted(module, name, &node->type);
}

// Fills both arrays: `reaches` ignores derivatives and asks only for a dependence on a wanted leaf; `wanted` asks for a
// differentiable one.
static void mark_paths(const FblModule *module, const FblGradOptions *options, const FblGraph *graph, bool *reaches,
                       bool *wanted) {
    for (size_t i = 0; i < graph->count; i++) {
        const FblNode *node = &graph->nodes[i];
        reaches[i] = wanted[i] = leaf_wanted(module, options, node);
        bool passes = node->type.dtype == FBL_F32 && fbl_grad_passes(node->op);
        for (int32_t k = 0; k < node->input_count; k++) {
            reaches[i] = reaches[i] || reaches[node->inputs[k]];
            wanted[i] = wanted[i] || (passes && wanted[node->inputs[k]]);
        }
    }
}

// E0301: walks down from the loss through nodes that depend on a wanted leaf and notes where the derivative stops.
static FblStatus no_path(const FblGraph *graph, FblNodeId loss, const bool *reaches, const FblGradOptions *options,
                         bool any_leaf) {
    FblContext *ctx = graph->ctx;
    FblDiag *diag =
        fbl_diag(ctx, FBL_ERROR, "E0301", graph->nodes[loss].loc, "the loss has no derivative with respect to any %s",
                 options->wrt_inputs ? "parameter or float input" : "trainable parameter");
    if (!reaches[loss]) {
        if (any_leaf || options->wrt_inputs) {
            fbl_diag_hint(ctx, diag, "its value does not depend on any of them");
        } else {
            fbl_diag_hint(ctx, diag, "nothing is trainable: there are no parameters, or all of them are frozen");
        }
        return FBL_USER;
    }
    bool *on_path = FBL_NEW_ARRAY(fbl_context_arena(ctx), bool, graph->count + 1);
    on_path[loss] = true;
    int notes = 0;
    for (size_t i = (size_t)loss + 1; i-- > 0;) {
        const FblNode *node = &graph->nodes[i];
        if (!on_path[i] || !reaches[i]) {
            continue;
        }
        const char *text = fbl_op_info(node->op)->text;
        const char *via = node->path != NULL ? node->path : "";
        const char *in = node->path != NULL ? " in " : "";
        if (node->type.dtype != FBL_F32) {
            if (notes++ < 4) {
                fbl_diag_note(ctx, diag, node->loc, "a path ends here: the result of `%s`%s%s is %s", text, in, via,
                              node->type.dtype == FBL_BOOL ? "a truth value" : "an integer");
            }
        } else if (!fbl_grad_passes(node->op)) {
            if (notes++ < 4) {
                fbl_diag_note(ctx, diag, node->loc, "a path ends here: the derivative of `%s`%s%s is 0", text, in, via);
            }
        } else {
            for (int32_t k = 0; k < node->input_count; k++) {
                on_path[node->inputs[k]] = true;
            }
        }
    }
    return FBL_USER;
}

// Services for rules
// ------------------------------------------------------------------------------------------------------

void fbl_grad_fail(FblGrad *grad, const char *reason) {
    if (grad->status != FBL_OK) {
        return;
    }
    FblContext *ctx = grad->graph->ctx;
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0302", grad->loc, "the derivative of `%s` cannot be formed: %s",
                             fbl_op_info(grad->node->op)->text, reason);
    if (grad->node->path != NULL) {
        fbl_diag_note(ctx, diag, grad->loc, "on the path from the loss through %s", grad->node->path);
    }
    grad->status = FBL_USER;
}

void fbl_grad_give(FblGrad *grad, int32_t index, FblNodeId share) {
    FblNodeId target = grad->node->inputs[index];
    if (!grad->wanted[target] || grad->status != FBL_OK) {
        return;
    }
    FblGraph *graph = grad->graph;
    if (share != FBL_NO_NODE) {
        FblType have = *fbl_graph_type(graph, share);
        FblType want = *fbl_graph_type(graph, target);
        FblName extra[FBL_MAX_RANK];
        int32_t count = 0;
        bool missing = false;
        for (int32_t i = 0; i < have.rank; i++) {
            if (fbl_type_find(&want, have.axes[i].name) < 0) {
                extra[count++] = have.axes[i].name;
            }
        }
        for (int32_t i = 0; i < want.rank; i++) {
            missing = missing || fbl_type_find(&have, want.axes[i].name) < 0;
        }
        if (count > 0) {
            share = fbl_graph_reduce(graph, FBL_OP_SUM, share, extra, count, grad->loc);
        }
        if (missing) {
            share = fbl_graph_broadcast(graph, share, &want, grad->loc);
        }
        if (grad->adjoints[target] != FBL_NO_NODE) {
            share = fbl_graph_binary(graph, FBL_OP_ADD, grad->adjoints[target], share, grad->loc);
        }
    }
    if (share == FBL_NO_NODE) { // inference has said why; derivative rules of our own must not get here
        grad->status = FBL_INTERNAL;
        return;
    }
    grad->adjoints[target] = share;
}

FblNodeId fbl_emit_unary(FblGrad *grad, FblOp op, FblNodeId x) {
    return fbl_graph_unary(grad->graph, op, x, grad->loc);
}

FblNodeId fbl_emit_binary(FblGrad *grad, FblOp op, FblNodeId a, FblNodeId b) {
    return fbl_graph_binary(grad->graph, op, a, b, grad->loc);
}

FblNodeId fbl_emit_const(FblGrad *grad, double value) {
    return fbl_graph_const(grad->graph, FBL_F32, value, grad->loc);
}

FblNodeId fbl_emit_scale(FblGrad *grad, FblNodeId x, double factor) {
    return fbl_emit_binary(grad, FBL_OP_MUL, x, fbl_emit_const(grad, factor));
}

FblNodeId fbl_emit_select(FblGrad *grad, FblNodeId condition, FblNodeId a, FblNodeId b) {
    return fbl_graph_select(grad->graph, condition, a, b, grad->loc);
}

FblNodeId fbl_emit_node(FblGrad *grad, FblOp op, FblNodeId a, FblNodeId b, const FblAttr *attr, const FblType *given) {
    FblNodeId inputs[2] = {a, b};
    int32_t count = fbl_op_info(op)->arity;
    FblType copy = given != NULL ? *given : (FblType){0}; // `given` may lie in the node array, which can move
    FblAttr attr_copy = *attr;
    return fbl_graph_add(grad->graph, op, inputs, count, &attr_copy, given != NULL ? &copy : NULL, grad->loc);
}

FblNodeId fbl_emit_slice(FblGrad *grad, FblNodeId x, FblName axis, int64_t start, int64_t step, int64_t count) {
    FblAttr attr = {.i = {start, step, count}, .names = {axis}, .name_count = 1};
    return fbl_emit_node(grad, FBL_OP_SLICE, x, FBL_NO_NODE, &attr, NULL);
}

FblNodeId fbl_emit_pad(FblGrad *grad, FblNodeId x, FblName axis, int64_t low, int64_t high, int64_t interior) {
    if (low == 0 && high == 0 && interior == 0) {
        return x;
    }
    FblAttr attr = {.i = {low, high, interior}, .names = {axis}, .name_count = 1};
    return fbl_emit_node(grad, FBL_OP_PAD, x, FBL_NO_NODE, &attr, NULL);
}

FblNodeId fbl_emit_rename(FblGrad *grad, FblNodeId x, FblName from, FblName to) {
    FblAttr attr = {.names = {from, to}, .name_count = 2, .split = 1};
    return fbl_emit_node(grad, FBL_OP_RENAME, x, FBL_NO_NODE, &attr, NULL);
}

FblNodeId fbl_emit_flip(FblGrad *grad, FblNodeId x, FblName axis) {
    int64_t extent = fbl_emit_extent(grad, x, axis);
    return fbl_emit_slice(grad, x, axis, extent - 1, -1, extent);
}

FblNodeId fbl_emit_iota(FblGrad *grad, FblName axis, int64_t extent) {
    FblType type = fbl_type_scalar(FBL_I32);
    fbl_type_add_axis(&type, axis, extent);
    type.index_axis = axis;
    type.index_extent = extent;
    return fbl_graph_add(grad->graph, FBL_OP_IOTA, NULL, 0, NULL, &type, grad->loc);
}

int64_t fbl_emit_extent(FblGrad *grad, FblNodeId x, FblName axis) {
    if (x == FBL_NO_NODE) {
        return 1;
    }
    const FblType *type = fbl_graph_type(grad->graph, x);
    int at = fbl_type_find(type, axis);
    if (at < 0 || type->axes[at].extent < 0) {
        fbl_grad_fail(grad, "an extent is not known");
        return 1;
    }
    return type->axes[at].extent;
}

// The pass
// -----------------------------------------------------------------------------------------------------------------

static FblStatus find_loss(const FblGraph *graph, FblNodeId *out_loss) {
    for (size_t i = 0; i < graph->root_count; i++) {
        const FblRoot *root = &graph->roots[i];
        if (root->kind == FBL_ROOT_OUTPUT && strcmp(root->name, "loss") == 0) {
            const FblType *type = fbl_graph_type(graph, root->node);
            if (type->rank != 0 || type->dtype != FBL_F32) {
                return fbl_error(graph->ctx, "E0303", graph->nodes[root->node].loc,
                                 "the loss must be one number, but it is %s", fbl_type_string(graph->ctx, type));
            }
            *out_loss = root->node;
            return FBL_OK;
        }
    }
    return fbl_error(graph->ctx, "E0303", FBL_NO_LOC, "the program has no loss to differentiate");
}

static void mark_new(FblGraph *graph, size_t from, FblNodeId origin) {
    const char *path = graph->nodes[origin].path;
    for (size_t i = from; i < graph->count; i++) {
        graph->nodes[i].origin = origin;
        graph->nodes[i].path = path;
    }
}

static FblNodeId loss_scale(FblGraph *graph, FblLoc loc) {
    FblType scalar = fbl_type_scalar(FBL_F32);
    return fbl_graph_leaf(graph, FBL_OP_STATE, fbl_intern(graph->ctx, FBL_LOSS_SCALE_STATE), &scalar, loc);
}

static FblStatus backward(FblGraph *graph, FblNodeId loss, bool scaled, const bool *wanted, FblNodeId *adjoints) {
    size_t mark = graph->count;
    FblLoc place = graph->nodes[loss].loc;
    adjoints[loss] = scaled ? loss_scale(graph, place) : fbl_graph_const(graph, FBL_F32, 1, place);
    mark_new(graph, mark, loss);
    for (FblNodeId id = loss; id >= 0; id--) {
        if (!wanted[id] || adjoints[id] == FBL_NO_NODE) {
            continue;
        }
        FblNode node = graph->nodes[id]; // a copy: adding nodes may move the array
        mark = graph->count;
        FblGrad grad = {.graph = graph,
                        .adjoints = adjoints,
                        .wanted = wanted,
                        .node = &node,
                        .id = id,
                        .g = adjoints[id],
                        .loc = node.loc,
                        .status = FBL_OK};
        RULES[node.op](&grad);
        FBL_TRY(grad.status);
        mark_new(graph, mark, id);
    }
    return FBL_OK;
}

static FblNodeId zeros(FblGraph *graph, const FblType *type, FblLoc loc) {
    FblType wanted = *type;
    FblNodeId zero = fbl_graph_const(graph, FBL_F32, 0, loc);
    return wanted.rank == 0 ? zero : fbl_graph_broadcast(graph, zero, &wanted, loc);
}

static FblStatus add_roots(const FblModule *module, const FblGradOptions *options, FblGraph *graph, bool scaled, size_t forward,
                           const FblNodeId *adjoints) {
    for (size_t i = 0; i < forward; i++) {
        FblNode node = graph->nodes[i];
        if (!leaf_wanted(module, options, &node)) {
            continue;
        }
        FblNodeId value = adjoints[i];
        size_t mark = graph->count;
        if (value == FBL_NO_NODE) {
            if (!options->wrt_inputs) {
                continue;
            }
            value = zeros(graph, &node.type, node.loc);
        }
        if (scaled && value != FBL_NO_NODE) {
            FblNodeId one = fbl_graph_const(graph, FBL_F32, 1, node.loc);
            value = fbl_graph_binary(graph, FBL_OP_MUL, value, fbl_graph_binary(graph, FBL_OP_DIV, one, loss_scale(graph, node.loc), node.loc), node.loc);
        }
        value = fbl_rebuild_as(graph, value, &node.type, node.loc);
        if (value == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        mark_new(graph, mark, (FblNodeId)i);
        fbl_graph_root(graph, FBL_ROOT_GRAD, node.attr.names[0], value);
    }
    return FBL_OK;
}

FblStatus fbl_pass_grad(FblModule *module, const FblGradOptions *options) {
    const FblGraph *old = module->train;
    if (old == NULL) {
        return FBL_OK;
    }
    FblNodeId loss = FBL_NO_NODE;
    FBL_TRY(find_loss(old, &loss));
    FblArena *arena = old->arena;
    bool *reaches = FBL_NEW_ARRAY(arena, bool, old->count + 1);
    bool *wanted = FBL_NEW_ARRAY(arena, bool, old->count + 1);
    mark_paths(module, options, old, reaches, wanted);
    if (!wanted[loss]) {
        bool any_leaf = false;
        for (size_t i = 0; i < old->count; i++) {
            any_leaf = any_leaf || leaf_wanted(module, options, &old->nodes[i]);
        }
        return no_path(old, loss, reaches, options, any_leaf);
    }

    FblGraph *graph = fbl_rebuild_begin(old);
    FblNodeId *map = fbl_rebuild_map(old);
    FblNodeId *adjoints = FBL_NEW_ARRAY(arena, FblNodeId, old->count + 1);
    for (size_t i = 0; i < old->count; i++) {
        if (fbl_rebuild_copy(graph, old, (FblNodeId)i, map) != (FblNodeId)i) {
            return FBL_INTERNAL;
        }
        adjoints[i] = FBL_NO_NODE;
    }
    FBL_TRY(fbl_rebuild_roots(graph, old, map));
    bool scaled = options->scale_loss && module->optimizer;
    if (scaled) {
        FBL_TRY(fbl_loss_scale_add(module));
    }
    FBL_TRY(backward(graph, loss, scaled, wanted, adjoints));
    FBL_TRY(add_roots(module, options, graph, scaled, old->count, adjoints));
    module->train = graph;
    return FBL_OK;
}

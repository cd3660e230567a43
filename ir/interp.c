#include "ir/interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/interp_internal.h"
#include "ir/text.h"

typedef FblStatus (*Hook)(FblEval *e);

static const Hook hooks[FBL_OP_COUNT] = {
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) [FBL_OP_##ENUM] = fbl_interp_##ENUM,
#include "ir/ops.def"
#undef FBL_OP
};

// Tensors and bindings
// ---------------------------------------------------------------------------------------------------

FblStatus fbl_tensor_create(const FblType *type, FblTensor *out_tensor) {
    int64_t elements = fbl_type_elements(type);
    out_tensor->type = *type;
    out_tensor->data = NULL;
    if (elements < 0 || (uint64_t)elements > SIZE_MAX / sizeof(double) / 2) {
        return FBL_NOMEM;
    }
    out_tensor->data = calloc(elements == 0 ? 1 : (size_t)elements, sizeof(double));
    return out_tensor->data == NULL ? FBL_NOMEM : FBL_OK;
}

void fbl_tensor_free(FblTensor *tensor) {
    free(tensor->data);
    tensor->data = NULL;
}

FblTensor *fbl_bindings_find(FblBindings *bindings, FblName name) {
    for (size_t i = 0; i < bindings->count; i++) {
        if (bindings->items[i].name == name) {
            return &bindings->items[i].tensor;
        }
    }
    return NULL;
}

FblStatus fbl_bindings_set(FblBindings *bindings, FblName name, FblTensor tensor) {
    FblTensor *old = fbl_bindings_find(bindings, name);
    if (old != NULL) {
        fbl_tensor_free(old);
        *old = tensor;
        return FBL_OK;
    }
    if (bindings->count == bindings->capacity) {
        size_t capacity = bindings->capacity == 0 ? 16 : bindings->capacity * 2;
        FblBinding *items = realloc(bindings->items, capacity * sizeof *items);
        if (items == NULL) {
            fbl_tensor_free(&tensor);
            return FBL_NOMEM;
        }
        bindings->items = items;
        bindings->capacity = capacity;
    }
    bindings->items[bindings->count++] = (FblBinding){name, tensor};
    return FBL_OK;
}

void fbl_bindings_free(FblBindings *bindings) {
    for (size_t i = 0; i < bindings->count; i++) {
        fbl_tensor_free(&bindings->items[i].tensor);
    }
    free(bindings->items);
    *bindings = (FblBindings){0};
}

// Walks
// ------------------------------------------------------------------------------------------------------------------

int64_t fbl_type_stride(const FblType *type, int index) {
    int64_t stride = 1;
    for (int i = index + 1; i < type->rank; i++) {
        stride *= type->axes[i].extent;
    }
    return stride;
}

void fbl_walk_init(FblWalk *walk, const FblType *type) {
    memset(walk, 0, sizeof *walk);
    walk->rank = type->rank;
    for (int i = 0; i < type->rank; i++) {
        walk->extent[i] = type->axes[i].extent;
        walk->done |= walk->extent[i] <= 0;
    }
}

void fbl_walk_operand(FblWalk *walk, int slot, const FblType *type, const FblType *operand) {
    for (int i = 0; i < type->rank; i++) {
        int at = fbl_type_find(operand, type->axes[i].name);
        walk->stride[slot][i] = at < 0 ? 0 : fbl_type_stride(operand, at);
    }
}

void fbl_walk_next(FblWalk *walk) {
    for (int i = walk->rank - 1; i >= 0; i--) {
        for (int slot = 0; slot < FBL_WALK_OPERANDS; slot++) {
            walk->offset[slot] += walk->stride[slot][i];
        }
        if (++walk->index[i] < walk->extent[i]) {
            return;
        }
        for (int slot = 0; slot < FBL_WALK_OPERANDS; slot++) {
            walk->offset[slot] -= walk->stride[slot][i] * walk->extent[i];
        }
        walk->index[i] = 0;
    }
    walk->done = true;
}

// Evaluation
// -------------------------------------------------------------------------------------------------------------

// "[batch=3, class=2]" of the element with this row-major number.
static const char *position(FblContext *ctx, const FblType *type, int64_t element) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(ctx));
    for (int i = 0; i < type->rank; i++) {
        int64_t index = element / fbl_type_stride(type, i) % type->axes[i].extent;
        fbl_text_printf(&text, "%s%s=%lld", i == 0 ? " at [" : ", ", type->axes[i].name, (long long)index);
    }
    fbl_text_printf(&text, "%s", type->rank > 0 ? "]" : "");
    return text.data == NULL ? "" : text.data;
}

static FblStatus check_finite(const FblEval *e, size_t id) {
    const FblNode *node = e->node;
    int64_t elements = fbl_type_elements(&node->type);
    if (node->type.dtype != FBL_F32) {
        return FBL_OK;
    }
    for (int64_t i = 0; i < elements; i++) {
        double value = e->out->data[i];
        if (isfinite(value)) {
            continue;
        }
        FblContext *ctx = e->graph->ctx;
        bool backward = node->origin != FBL_NO_NODE;
        FblDiag *diag = fbl_diag(
            ctx, FBL_ERROR, "E0242", node->loc, "%s: `%s` (%%%zu) gives %s%s%s%s", backward ? "backward" : "forward",
            fbl_op_info(node->op)->text, id, isnan(value) ? "NaN" : (value < 0 ? "-infinity" : "infinity"),
            position(ctx, &node->type, i), node->path == NULL ? "" : " in ", node->path == NULL ? "" : node->path);
        if (backward) {
            const FblNode *origin = fbl_graph_node(e->graph, node->origin);
            fbl_diag_note(ctx, diag, origin->loc, "in the gradient of `%s` (%%%d)", fbl_op_info(origin->op)->text,
                          (int)node->origin);
        }
        return FBL_USER;
    }
    return FBL_OK;
}

static void round_f32(const FblNode *node, FblTensor *tensor) {
    int64_t elements = fbl_type_elements(&node->type);
    if (node->type.dtype == FBL_F32) {
        for (int64_t i = 0; i < elements; i++) {
            tensor->data[i] = (double)(float)tensor->data[i];
        }
    }
}

// `values` are those of one shard.
static FblStatus evaluate(FblEval *e, size_t id, FblTensor *values) {
    const FblTensor *small[8];
    const FblTensor **in = small;
    FblStatus status;
    if (e->node->input_count > 8) {
        in = calloc((size_t)e->node->input_count, sizeof *in);
        if (in == NULL) {
            return FBL_NOMEM;
        }
    }
    for (int32_t i = 0; i < e->node->input_count; i++) {
        in[i] = &values[e->node->inputs[i]];
    }
    e->in = in;
    e->out = &values[id];
    status = fbl_tensor_create(&e->node->type, e->out);
    if (status == FBL_OK) {
        status = hooks[e->node->op](e);
    }
    if (status == FBL_OK && e->options->round_f32) {
        round_f32(e->node, e->out);
    }
    if (status == FBL_OK && e->options->check_finite) {
        status = check_finite(e, id);
    }
    if (in != small) {
        free(in);
    }
    return status;
}

// How often each node's value is still read: by needed nodes and, once more, by the roots. 0: not needed.
static void count_uses(const FblGraph *graph, int32_t *uses) {
    for (size_t i = 0; i < graph->root_count; i++) {
        uses[graph->roots[i].node]++;
    }
    for (size_t i = graph->count; i-- > 0;) {
        for (int32_t j = 0; uses[i] > 0 && j < graph->nodes[i].input_count; j++) {
            uses[graph->nodes[i].inputs[j]]++;
        }
    }
}

static FblStatus copy_roots(const FblGraph *graph, const FblTensor *values, FblBindings *outputs) {
    for (size_t i = 0; i < graph->root_count; i++) {
        const FblRoot *root = &graph->roots[i];
        const FblTensor *value = &values[root->node];
        FblTensor copy;
        FblName name = root->name;
        if (root->kind == FBL_ROOT_GRAD) {
            name = fbl_intern(graph->ctx, fbl_arena_printf(fbl_context_arena(graph->ctx), "grad.%s", root->name));
        }
        FBL_TRY(fbl_tensor_create(&value->type, &copy));
        memcpy(copy.data, value->data, (size_t)fbl_type_elements(&value->type) * sizeof(double));
        FBL_TRY(fbl_bindings_set(outputs, name, copy));
    }
    return FBL_OK;
}

// Every node for all shards before the next one, so that collectives see the operands of all.
static FblStatus run_nodes(FblEval *e, FblBindings *leaves, FblTensor *const *values, int32_t *uses) {
    const FblGraph *graph = e->graph;
    FblTensor *operands = calloc((size_t)e->shard_count, sizeof *operands);
    FblStatus status = operands == NULL ? FBL_NOMEM : FBL_OK;
    e->shards = operands;
    for (size_t id = 0; id < graph->count && status == FBL_OK; id++) {
        if (uses[id] == 0) {
            continue;
        }
        e->node = &graph->nodes[id];
        if (fbl_type_elements(&e->node->type) < 0) {
            status = fbl_error(graph->ctx, "E0205", e->node->loc, "%s can't be computed while an extent is unknown",
                               fbl_type_string(graph->ctx, &e->node->type));
        }
        for (int s = 0; s < e->shard_count && e->node->input_count > 0; s++) {
            operands[s] = values[s][e->node->inputs[0]];
        }
        for (int s = 0; s < e->shard_count && status == FBL_OK; s++) {
            e->leaves = &leaves[s];
            status = evaluate(e, id, values[s]);
        }
        for (int32_t i = 0; i < e->node->input_count && status == FBL_OK; i++) {
            FblNodeId input = e->node->inputs[i];
            if (--uses[input] == 0) {
                for (int s = 0; s < e->shard_count; s++) {
                    fbl_tensor_free(&values[s][input]);
                }
            }
        }
    }
    free(operands);
    return status;
}

FblStatus fbl_interp_shards(const FblGraph *graph, int count, FblBindings *leaves, const FblInterpOptions *options, FblBindings *outputs) {
    FblTensor **values = calloc((size_t)count, sizeof *values);
    int32_t *uses = calloc(graph->count + 1, sizeof *uses);
    FblEval e = {.graph = graph, .options = options, .shard_count = count};
    FblStatus status = values == NULL || uses == NULL ? FBL_NOMEM : FBL_OK;
    for (int s = 0; s < count && status == FBL_OK; s++) {
        values[s] = calloc(graph->count + 1, sizeof **values);
        status = values[s] == NULL ? FBL_NOMEM : FBL_OK;
    }
    if (status == FBL_OK) {
        count_uses(graph, uses);
        status = run_nodes(&e, leaves, values, uses);
    }
    for (int s = 0; s < count && status == FBL_OK; s++) {
        status = copy_roots(graph, values[s], &outputs[s]);
    }
    for (int s = 0; s < count && values != NULL && values[s] != NULL; s++) {
        for (size_t i = 0; i < graph->count; i++) {
            fbl_tensor_free(&values[s][i]);
        }
        free(values[s]);
    }
    free(values);
    free(uses);
    return status;
}

FblStatus fbl_interp_run(const FblGraph *graph, FblBindings *leaves, const FblInterpOptions *options,
                         FblBindings *outputs) {
    return fbl_interp_shards(graph, 1, leaves, options, outputs);
}

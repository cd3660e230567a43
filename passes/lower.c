#include "passes/lower.h"

#include <stdio.h>
#include <string.h>

#include "ir/kernel_text.h"
#include "passes/algorithm.h"
#include "passes/loss_scale.h"
#include "passes/lower_internal.h"

#define ALIGNMENT 64
// Ranges of an optimizer group are padded to this many bytes, so that its kernel has whole chunks to share out.
#define GROUP_ALIGNMENT 16384

typedef struct Builder {
    FblContext *ctx;
    FblArena *arena;   // of the plan
    FblArena *scratch; // of the function at work, where its graph, groups and kernels lie
    FblModule *module; // NULL for a single graph
    const FblLowerOptions *options;
    FblPlan *plan;
    size_t kernel_capacity, function_capacity;
    const char **identities; // per plan kernel
    size_t identity_capacity;
    int64_t inputs, outputs; // bytes used of the regions
} Builder;

static int64_t tensor_bytes(const FblType *type) { return fbl_type_elements(type) * fbl_dtype_bytes(type->dtype); }

// The plan's kernel with this identity: a copy of `kernel` where there was none.
static int32_t share_kernel(Builder *b, const FblKernel *kernel) {
    FblText text;
    fbl_text_init(&text, b->scratch);
    fbl_kernel_print_to(&text, kernel, false);
    for (size_t i = 0; i < b->plan->kernel_count; i++) {
        if (strcmp(b->identities[i], text.data) == 0) {
            return (int32_t)i;
        }
    }
    size_t count = b->plan->kernel_count;
    b->identities = fbl_arena_grow(b->arena, b->identities, count, &b->identity_capacity, sizeof *b->identities);
    b->identities[count] = fbl_arena_strndup(b->arena, text.data, text.length);
    FBL_PUSH(b->arena, b->plan->kernels, b->plan->kernel_count, b->kernel_capacity, fbl_kernel_copy(b->arena, kernel));
    return (int32_t)count;
}

static const FblPlanTensor *find_tensor(const FblPlanTensor *tensors, size_t count, FblName name) {
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].name == name) {
            return &tensors[i];
        }
    }
    return NULL;
}

// One graph on its way to a plan function.
typedef struct Work {
    Builder *b;
    FblLower lower;
    FblPlanFunction *function;
    size_t input_capacity, output_capacity;
    FblNodeId *update_roots; // nodes whose values are copied to STATES at the end
    FblName *update_names;
    size_t update_count;
} Work;

static FblPlanTensor *add_tensor(Builder *b, FblPlanTensor **list, size_t *count, size_t *capacity, FblName name, const FblType *type, FblRegion region, int64_t *used) {
    FblPlanTensor tensor = {.name = name, .type = *type, .region = region, .offset = *used};
    *used += fbl_align_up(tensor_bytes(type), ALIGNMENT);
    *list = fbl_arena_grow(b->arena, *list, *count, capacity, sizeof **list);
    (*list)[*count] = tensor;
    return &(*list)[(*count)++];
}

// Inputs of which each device reads only its share: nothing but gathers by the numbers of the share, along the first axis.
static bool *divided_inputs(const Work *w) {
    const FblGraph *graph = w->lower.graph;
    bool *divided = FBL_NEW_ARRAY(w->b->scratch, bool, graph->count + 1), *otherwise = FBL_NEW_ARRAY(w->b->scratch, bool, graph->count + 1);
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        for (int32_t i = 0; i < node->input_count; i++) {
            const FblNode *leaf = &graph->nodes[node->inputs[i]], *index = node->op == FBL_OP_GATHER && i == 0 ? &graph->nodes[node->inputs[1]] : NULL;
            bool share = index && index->op == FBL_OP_INPUT && fbl_shard_is_input(index->attr.names[0]) && leaf->type.axes[0].name == node->attr.names[0];
            *(share ? &divided[node->inputs[i]] : &otherwise[node->inputs[i]]) = true;
        }
    }
    for (size_t id = 0; id < graph->count; id++) {
        divided[id] = divided[id] && !otherwise[id];
    }
    return divided;
}

// Where leaves lie.
static FblStatus place_leaves(Work *w) {
    Builder *b = w->b;
    FblPlanFunction *f = w->function;
    const bool *divided = divided_inputs(w);
    for (size_t id = 0; id < w->lower.graph->count; id++) {
        const FblNode *node = &w->lower.graph->nodes[id];
        FblNodePlan *plan = &w->lower.nodes[id];
        if (!fbl_lower_is_leaf(node->op)) {
            continue;
        }
        FblName name = node->attr.names[0];
        const FblPlanTensor *tensor = NULL;
        if (b->module && node->op == FBL_OP_PARAM) {
            tensor = find_tensor(b->plan->params, b->plan->param_count, name);
        } else if (b->module && node->op == FBL_OP_STATE) {
            tensor = find_tensor(b->plan->states, b->plan->state_count, name);
        }
        if (!tensor) {
            tensor = find_tensor(f->inputs, f->input_count, name);
        }
        if (!tensor) {
            FblPlanTensor *input = add_tensor(b, &f->inputs, &f->input_count, &w->input_capacity, name, &node->type, FBL_REGION_INPUTS, &b->inputs);
            input->divided = divided[id] && node->op == FBL_OP_INPUT;
            tensor = input;
        }
        if (!fbl_type_equal(&tensor->type, &node->type)) {
            fbl_error(b->ctx, "E0405", node->loc, "`%s` is used as %s and as %s", name, fbl_type_string(b->ctx, &tensor->type), fbl_type_string(b->ctx, &node->type));
            return FBL_INTERNAL;
        }
        plan->region = tensor->region;
        plan->offset = tensor->offset;
    }
    return FBL_OK;
}

// Where roots are stored.
static void place_roots(Work *w) {
    Builder *b = w->b;
    FblPlanFunction *f = w->function;
    const FblGraph *graph = w->lower.graph;
    w->update_roots = FBL_NEW_ARRAY(b->arena, FblNodeId, graph->root_count + 1);
    w->update_names = FBL_NEW_ARRAY(b->arena, FblName, graph->root_count + 1);
    for (size_t r = 0; r < graph->root_count; r++) {
        const FblRoot *root = &graph->roots[r];
        FblNodePlan *plan = &w->lower.nodes[root->node];
        const FblType *type = &graph->nodes[root->node].type;
        const FblPlanTensor *param = b->module && root->kind == FBL_ROOT_GRAD ? find_tensor(b->plan->params, b->plan->param_count, root->name) : NULL;
        if (param) {
            plan->region = FBL_REGION_GRADS;
            plan->offset = param->offset;
        } else if (b->module && root->kind == FBL_ROOT_UPDATE) {
            plan->region = FBL_REGION_ARENA;
            w->update_roots[w->update_count] = root->node;
            w->update_names[w->update_count++] = root->name;
        } else {
            const char *name = root->kind == FBL_ROOT_GRAD ? fbl_arena_printf(b->arena, "grad.%s", root->name) : root->name;
            const FblPlanTensor *tensor = add_tensor(b, &f->outputs, &f->output_count, &w->output_capacity, fbl_intern(b->ctx, name), type, FBL_REGION_OUTPUTS, &b->outputs);
            plan->region = FBL_REGION_OUTPUTS;
            plan->offset = tensor->offset;
        }
    }
}

// Launches between which each stored value is alive.
static void find_lives(Work *w) {
    FblLower *lower = &w->lower;
    for (size_t id = 0; id < lower->graph->count; id++) {
        lower->nodes[id].first = -1;
    }
    for (size_t g = 0; g < lower->group_count; g++) {
        const FblGroup *group = &lower->groups[g];
        for (size_t i = 0; i < (size_t)group->kernel->buffer_count; i++) {
            FblNodePlan *plan = &lower->nodes[group->buffer_nodes[i]];
            // A chain's launches may all be under way at once.
            if (plan->first < 0) {
                plan->first = group->chain_first;
            }
            plan->last = group->chain_last;
        }
    }
    for (size_t i = 0; i < w->update_count; i++) {
        lower->nodes[w->update_roots[i]].last = (int32_t)lower->group_count;
    }
}

static FblStatus lower_groups(Work *w) {
    for (size_t g = 0; g < w->lower.group_count; g++) {
        switch (w->lower.groups[g].kind) {
        case FBL_KERNEL_LOOPS: FBL_TRY(fbl_lower_loops(&w->lower, (int32_t)g)); break;
        case FBL_KERNEL_CONTRACTION: FBL_TRY(fbl_lower_contraction(&w->lower, (int32_t)g)); break;
        case FBL_KERNEL_LIBRARY: FBL_TRY(fbl_lower_library(&w->lower, (int32_t)g)); break;
        }
    }
    fbl_lower_chains(&w->lower);
    fbl_lower_overlap(&w->lower);
    return FBL_OK;
}

// A kernel that copies `elements` elements.
static FblKernel *copy_kernel(Builder *b, FblDtype dtype, int64_t elements) {
    FblKernel *kernel = FBL_NEW(b->scratch, FblKernel);
    kernel->kind = FBL_KERNEL_LOOPS;
    kernel->name = fbl_arena_printf(b->scratch, "copy_%lld", (long long)elements);
    kernel->note = "state update";
    kernel->loops[0] = (FblKLoop){elements, "element"};
    kernel->loop_count = 1;
    kernel->vector_loop = 0;
    kernel->buffers = FBL_NEW_ARRAY(b->scratch, FblKernelBuffer, 2);
    for (int i = 0; i < 2; i++) {
        kernel->buffers[i] = (FblKernelBuffer){.dtype = dtype, .rank = 1, .extents = {elements}, .is_output = i == 1, .alias = -1};
    }
    kernel->buffer_count = 2;
    FblKBuild build;
    fbl_kb_init(&build, b->scratch, kernel);
    fbl_kb_scope(&build);
    int32_t index = fbl_ix_loop(&build, 0);
    FblKInstr load;
    memset(&load, 0, sizeof load);
    load.kind = FBL_K_LOAD;
    load.dtype = dtype;
    load.args[0] = load.args[1] = load.args[2] = load.guard = load.otherwise = -1;
    memset(load.index, 0xff, sizeof load.index);
    load.index[0] = index;
    int32_t value = fbl_kb_instr(&build, &load);
    kernel->instrs = build.instrs;
    kernel->instr_count = (int32_t)build.count;
    kernel->stages = FBL_NEW(b->scratch, FblKStage);
    kernel->stage_count = 1;
    FblKStage *stage = kernel->stages;
    stage->loops = FBL_NEW(b->scratch, int32_t);
    stage->loop_count = 1;
    stage->last = kernel->instr_count;
    stage->stores = FBL_NEW(b->scratch, FblKStore);
    stage->store_count = 1;
    memset(stage->stores[0].index, 0xff, sizeof stage->stores[0].index);
    stage->stores[0].buffer = 1;
    stage->stores[0].value = value;
    stage->stores[0].guard = -1;
    stage->stores[0].index[0] = index;
    kernel->bytes = 2 * elements * fbl_dtype_bytes(dtype);
    return kernel;
}

static void add_launches(Work *w) {
    Builder *b = w->b;
    FblPlanFunction *f = w->function;
    FblLower *lower = &w->lower;
    f->launches = FBL_NEW_ARRAY(b->arena, FblLaunch, lower->group_count + w->update_count + 1);
    for (size_t g = 0; g < lower->group_count; g++) {
        const FblGroup *group = &lower->groups[g];
        FblLaunch *launch = &f->launches[f->launch_count++];
        launch->kernel = share_kernel(b, group->kernel);
        launch->note = group->kernel->note ? fbl_arena_strndup(b->arena, group->kernel->note, strlen(group->kernel->note)) : NULL;
        launch->chain = group->chain;
        launch->loc = lower->graph->nodes[group->anchor].loc;
        launch->bindings = FBL_NEW_ARRAY(b->arena, FblPlanBinding, group->kernel->buffer_count + 1);
        for (int32_t i = 0; i < group->kernel->buffer_count; i++) {
            const FblNodePlan *plan = &lower->nodes[group->buffer_nodes[i]];
            launch->bindings[i] = (FblPlanBinding){plan->region, plan->offset};
        }
    }
    for (size_t i = 0; i < w->update_count; i++) {
        const FblPlanTensor *state = find_tensor(b->plan->states, b->plan->state_count, w->update_names[i]);
        const FblNodePlan *plan = &lower->nodes[w->update_roots[i]];
        if (!state) {
            continue;
        }
        FblLaunch *launch = &f->launches[f->launch_count++];
        FblKernel *kernel = copy_kernel(b, state->type.dtype, fbl_type_elements(&state->type));
        launch->kernel = share_kernel(b, kernel);
        launch->note = kernel->note;
        launch->loc = lower->graph->nodes[w->update_roots[i]].loc;
        launch->bindings = FBL_NEW_ARRAY(b->arena, FblPlanBinding, 2);
        launch->bindings[0] = (FblPlanBinding){plan->region, plan->offset};
        launch->bindings[1] = (FblPlanBinding){state->region, state->offset};
    }
}

// Gradients of shards of the batch are summed where they lie, all neighbours at once: a GRAD root that is an all_reduce of its own gets
// what that would sum, and is marked in the returned array, as a parameter of the plan. `out` borrows the nodes of `graph`.
static bool *take_sums(Builder *b, const FblGraph *graph, FblGraph *out) {
    bool *summed = FBL_NEW_ARRAY(b->arena, bool, b->plan->param_count + 1);
    bool *used = FBL_NEW_ARRAY(graph->arena, bool, graph->count + 1);
    *out = *graph;
    out->roots = FBL_NEW_ARRAY(b->arena, FblRoot, graph->root_count + 1);
    memcpy(out->roots, graph->roots, graph->root_count * sizeof *out->roots);
    for (size_t id = 0; id < graph->count; id++) {
        for (int32_t i = 0; i < graph->nodes[id].input_count; i++) {
            used[graph->nodes[id].inputs[i]] = true;
        }
    }
    for (size_t r = 0; r < graph->root_count; r++) {
        const FblNode *node = &graph->nodes[graph->roots[r].node];
        const FblPlanTensor *param = find_tensor(b->plan->params, b->plan->param_count, graph->roots[r].name);
        if (graph->roots[r].kind == FBL_ROOT_GRAD && param && node->op == FBL_OP_ALL_REDUCE && !used[graph->roots[r].node]) {
            out->roots[r].node = node->inputs[0];
            summed[param - b->plan->params] = true;
        }
    }
    return summed;
}

// Behind the other launches: one all_reduce in place for each run of neighbours in GRADS that are to be summed.
static void add_sums(Work *w, const bool *summed) {
    Builder *b = w->b;
    FblPlanFunction *f = w->function;
    const FblPlan *plan = b->plan;
    FblLaunch *all = FBL_NEW_ARRAY(b->arena, FblLaunch, f->launch_count + plan->param_count + 1);
    memcpy(all, f->launches, f->launch_count * sizeof *all);
    f->launches = all;
    for (size_t i = 0; i < plan->param_count;) {
        size_t first = i;
        while (i < plan->param_count && summed[i]) {
            i++;
        }
        if (i == first) {
            i++;
            continue;
        }
        int64_t start = plan->params[first].offset, elements = (plan->params[i - 1].offset + fbl_align_up(tensor_bytes(&plan->params[i - 1].type), ALIGNMENT) - start) / 4;
        FblKernel *kernel = FBL_NEW(b->scratch, FblKernel);
        kernel->kind = FBL_KERNEL_LIBRARY;
        kernel->library_op = FBL_OP_ALL_REDUCE;
        kernel->name = fbl_arena_printf(b->scratch, "all_reduce_%lld", (long long)elements);
        kernel->vector_loop = -1;
        kernel->ints[0] = elements;
        kernel->ints[1] = b->options->devices;
        kernel->buffers = FBL_NEW_ARRAY(b->scratch, FblKernelBuffer, 2);
        kernel->buffers[0] = (FblKernelBuffer){.rank = 1, .extents = {elements}, .alias = -1};
        kernel->buffers[1] = (FblKernelBuffer){.rank = 1, .extents = {elements}, .is_output = true, .alias = 0};
        kernel->buffer_count = 2;
        kernel->bytes = 2 * 4 * elements;
        FblLaunch *launch = &f->launches[f->launch_count++];
        *launch = (FblLaunch){.kernel = share_kernel(b, kernel), .note = "the sum of the gradients"};
        launch->bindings = FBL_NEW_ARRAY(b->arena, FblPlanBinding, 2);
        launch->bindings[0] = launch->bindings[1] = (FblPlanBinding){FBL_REGION_GRADS, start};
    }
}

static FblStatus start_work(Work *w, Builder *b, const FblGraph *graph, FblPlanFunction *function) {
    b->scratch = fbl_context_scratch_open(b->ctx);
    *w = (Work){.b = b, .function = function};
    FblLower *lower = &w->lower;
    lower->ctx = b->ctx;
    lower->arena = b->scratch;
    lower->options = b->options;
    lower->lanes = b->options->vector_bytes / 4;
    FBL_TRY(fbl_lower_prepare(b->ctx, graph, b->options, &lower->graph));
    lower->nodes = FBL_NEW_ARRAY(b->scratch, FblNodePlan, lower->graph->count + 1);
    for (size_t id = 0; id < lower->graph->count; id++) {
        lower->nodes[id].root = -1;
    }
    for (size_t r = 0; r < lower->graph->root_count; r++) {
        lower->nodes[lower->graph->roots[r].node].root = (int32_t)r;
    }
    return FBL_OK;
}

// Drops what led to the function; its kernels are in the plan.
static void end_work(Work *w) {
    fbl_graph_discard(w->lower.graph);
    if (!w->b->options->report) { // whose notes lie there
        fbl_context_scratch_close(w->b->scratch);
    }
}

static FblPlanFunction *add_function(Builder *b, const char *name) {
    FblPlanFunction function = {.name = fbl_intern(b->ctx, name)};
    FBL_PUSH(b->arena, b->plan->functions, b->plan->function_count, b->function_capacity, function);
    return &b->plan->functions[b->plan->function_count - 1];
}

static FblStatus lower_function(Builder *b, const FblGraph *graph) {
    Work w;
    FblPlanFunction *function = add_function(b, graph->name);
    FblGraph parts;
    const bool *summed = b->module && b->options->devices > 1 ? take_sums(b, graph, &parts) : NULL;
    FBL_TRY(start_work(&w, b, summed ? &parts : graph, function));
    FBL_TRY(place_leaves(&w));
    fbl_lower_keep(&w.lower);
    fbl_lower_layouts(&w.lower);
    fbl_lower_storage(&w.lower);
    place_roots(&w);
    FBL_TRY(fbl_lower_groups(&w.lower));
    fbl_lower_schedule(&w.lower);
    FBL_TRY(lower_groups(&w));
    find_lives(&w);
    FBL_TRY(fbl_lower_memory(&w.lower, &function->arena_bytes, &function->lower_bound_bytes));
    add_launches(&w);
    if (summed) {
        add_sums(&w, summed);
    }
    int64_t *arena = &b->plan->region_bytes[FBL_REGION_ARENA];
    *arena = function->arena_bytes > *arena ? function->arena_bytes : *arena;
    if (b->options->report) {
        FblLowerReport *report = b->options->report;
        for (size_t i = 0; i < w.lower.note_count; i++) {
            FBL_PUSH(b->arena, report->notes, report->note_count, report->note_capacity, w.lower.notes[i]);
        }
    }
    end_work(&w);
    return FBL_OK;
}

// Parameters in the order of their groups, the frozen ones last; *out_ends[g] is where group g's padded range ends.
static void place_params(Builder *b, int64_t *starts, int64_t *ends) {
    FblModule *module = b->module;
    FblPlan *plan = b->plan;
    plan->params = FBL_NEW_ARRAY(b->arena, FblPlanTensor, module->params.count + 1);
    int64_t at = 0;
    for (size_t g = 0; g <= module->recipe.group_count; g++) {
        bool frozen = g == module->recipe.group_count;
        if (!frozen) {
            starts[g] = at;
        }
        for (size_t i = 0; i < module->params.count; i++) {
            const FblParam *param = &module->params.items[i];
            if (frozen ? !param->trainable : param->trainable && (size_t)param->group == g) {
                plan->params[plan->param_count++] = (FblPlanTensor){.name = param->path, .type = param->type, .region = FBL_REGION_PARAMS, .offset = at};
                at += fbl_align_up(tensor_bytes(&param->type), ALIGNMENT);
            }
        }
        if (!frozen) {
            at = fbl_align_up(at, at - starts[g] >= 4 * GROUP_ALIGNMENT ? GROUP_ALIGNMENT : ALIGNMENT);
            ends[g] = at;
        }
    }
    int64_t trained = module->recipe.group_count > 0 ? ends[module->recipe.group_count - 1] : at;
    plan->region_bytes[FBL_REGION_PARAMS] = at;
    plan->region_bytes[FBL_REGION_GRADS] = trained;
    plan->region_bytes[FBL_REGION_SLOTS] = trained * module->slot_count;
    plan->states = FBL_NEW_ARRAY(b->arena, FblPlanTensor, module->states.count + 1);
    at = 0;
    for (size_t i = 0; i < module->states.count; i++) {
        const FblParam *state = &module->states.items[i];
        plan->states[plan->state_count++] = (FblPlanTensor){.name = state->path, .type = state->type, .region = FBL_REGION_STATES, .offset = at};
        at += fbl_align_up(tensor_bytes(&state->type), ALIGNMENT);
    }
    plan->region_bytes[FBL_REGION_STATES] = at;
}

// The optimizer's graph for one group's range, its scalars under the group's names.
static FblGraph *optimizer_for(Builder *b, int64_t elements, int group) {
    const FblGraph *from = b->module->optimizer;
    FblGraph *to = FBL_NEW(b->arena, FblGraph);
    *to = *from;
    to->nodes = FBL_NEW_ARRAY(b->arena, FblNode, from->count);
    memcpy(to->nodes, from->nodes, from->count * sizeof *to->nodes);
    FblName axis = fbl_intern(b->ctx, "param");
    for (size_t id = 0; id < to->count; id++) {
        FblNode *node = &to->nodes[id];
        int at = fbl_type_find(&node->type, axis);
        if (at >= 0) {
            node->type.axes[at].extent = elements;
        }
        if (node->op == FBL_OP_INPUT && (strcmp(node->attr.names[0], "rate") == 0 || strcmp(node->attr.names[0], "weight_decay") == 0)) {
            node->attr.names[0] = fbl_intern(b->ctx, fbl_arena_printf(b->arena, "%s.%d", node->attr.names[0], group));
        }
    }
    return to;
}

static int slot_number(FblName name) {
    int slot;
    return sscanf(name, "slot.%d", &slot) == 1 ? slot : -1;
}

// Region and offset of the optimizer's tensor `name` for the range that starts at `start`; false for scalars.
static bool optimizer_place(const Builder *b, FblName name, int64_t start, FblRegion *region, int64_t *offset) {
    int slot = slot_number(name);
    *region = strcmp(name, "w") == 0 ? FBL_REGION_PARAMS : strcmp(name, "g") == 0 ? FBL_REGION_GRADS : FBL_REGION_SLOTS;
    *offset = start + (slot > 0 ? slot * b->plan->region_bytes[FBL_REGION_GRADS] : 0);
    return slot >= 0 || *region != FBL_REGION_SLOTS;
}

// An output of the optimizer is written over the input of the same name: each element is read only to compute itself.
static void alias_in_place(const FblLower *lower, FblGroup *group) {
    FblKernel *kernel = group->kernel;
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        for (int32_t k = 0; kernel->buffers[i].is_output && k < kernel->buffer_count; k++) {
            const FblNodePlan *out = &lower->nodes[group->buffer_nodes[i]], *in = &lower->nodes[group->buffer_nodes[k]];
            if (!kernel->buffers[k].is_output && out->region == in->region && out->offset == in->offset) {
                kernel->buffers[i].alias = k;
            }
        }
    }
}

// Memory and launches of a graph that goes behind what the function has already.
static FblStatus append_to_function(Work *w) {
    Builder *b = w->b;
    FblPlanFunction *function = w->function;
    int64_t bytes, bound;
    find_lives(w);
    FBL_TRY(fbl_lower_memory(&w->lower, &bytes, &bound));
    FblLaunch *before = function->launches;
    size_t before_count = function->launch_count;
    function->launches = NULL;
    function->launch_count = 0;
    add_launches(w);
    FblLaunch *all = FBL_NEW_ARRAY(b->arena, FblLaunch, before_count + function->launch_count + 1);
    if (before_count > 0) {
        memcpy(all, before, before_count * sizeof *all);
    }
    memcpy(all + before_count, function->launches, function->launch_count * sizeof *all);
    function->launches = all;
    function->launch_count += before_count;
    function->arena_bytes = bytes > function->arena_bytes ? bytes : function->arena_bytes;
    function->lower_bound_bytes = bound > function->lower_bound_bytes ? bound : function->lower_bound_bytes;
    int64_t *arena = &b->plan->region_bytes[FBL_REGION_ARENA];
    *arena = bytes > *arena ? bytes : *arena;
    end_work(w);
    return FBL_OK;
}

static FblStatus lower_optimizer_group(Builder *b, FblPlanFunction *function, int group, int64_t start, int64_t end, size_t *input_capacity) {
    Work w;
    FBL_TRY(start_work(&w, b, optimizer_for(b, (end - start) / 4, group), function));
    FblLower *lower = &w.lower;
    FblLowerOptions fused = *b->options; // even when nothing else is: in place over flat regions it must be one kernel
    fused.fuse = true;
    lower->options = &fused;
    w.input_capacity = *input_capacity;
    for (size_t id = 0; id < lower->graph->count; id++) {
        const FblNode *node = &lower->graph->nodes[id];
        FblNodePlan *plan = &lower->nodes[id];
        FblName name = fbl_lower_is_leaf(node->op) ? node->attr.names[0] : NULL;
        if (!name || optimizer_place(b, name, start, &plan->region, &plan->offset)) {
            continue;
        }
        bool state = node->op == FBL_OP_STATE;
        const FblPlanTensor *tensor = state ? find_tensor(b->plan->states, b->plan->state_count, name) : find_tensor(function->inputs, function->input_count, name);
        if (!tensor) {
            tensor = add_tensor(b, &function->inputs, &function->input_count, &w.input_capacity, name, &node->type, FBL_REGION_INPUTS, &b->inputs);
        }
        plan->region = tensor->region;
        plan->offset = tensor->offset;
    }
    *input_capacity = w.input_capacity;
    fbl_lower_keep(lower);
    fbl_lower_layouts(lower);
    fbl_lower_storage(lower);
    for (size_t r = 0; r < lower->graph->root_count; r++) {
        FblNodePlan *plan = &lower->nodes[lower->graph->roots[r].node];
        optimizer_place(b, lower->graph->roots[r].name, start, &plan->region, &plan->offset);
    }
    FBL_TRY(fbl_lower_groups(lower));
    size_t large = 0;
    for (size_t g = 0; g < lower->group_count; g++) {
        large += lower->groups[g].outer_rank > 0;
    }
    if (large != 1) {
        fbl_error(b->ctx, "E0406", FBL_NO_LOC, "the optimizer's update must be one elementwise kernel");
        return FBL_INTERNAL;
    }
    FBL_TRY(lower_groups(&w));
    for (size_t g = 0; g < lower->group_count; g++) {
        alias_in_place(lower, &lower->groups[g]);
    }
    return append_to_function(&w);
}

// The scaling of the loss, over all gradients at once, before the groups.
static FblStatus lower_loss_scale(Builder *b, FblPlanFunction *function) {
    Work w;
    FblGraph *graph = fbl_loss_scale_graph(b->ctx, b->plan->region_bytes[FBL_REGION_GRADS] / 4);
    FBL_TRY(start_work(&w, b, graph, function));
    fbl_graph_discard(graph);
    FblLower *lower = &w.lower;
    for (size_t id = 0; id < lower->graph->count; id++) {
        const FblNode *node = &lower->graph->nodes[id];
        if (fbl_lower_is_leaf(node->op)) {
            const FblPlanTensor *tensor = node->op == FBL_OP_STATE ? find_tensor(b->plan->states, b->plan->state_count, node->attr.names[0]) : NULL;
            lower->nodes[id].region = tensor ? tensor->region : FBL_REGION_GRADS;
            lower->nodes[id].offset = tensor ? tensor->offset : 0;
        }
    }
    fbl_lower_keep(lower);
    fbl_lower_layouts(lower);
    fbl_lower_storage(lower);
    place_roots(&w);
    FBL_TRY(fbl_lower_groups(lower));
    FBL_TRY(lower_groups(&w));
    return append_to_function(&w);
}

static void start_builder(Builder *b, FblContext *ctx, FblModule *module, const FblLowerOptions *options) {
    *b = (Builder){.ctx = ctx, .arena = fbl_context_arena(ctx), .module = module, .options = options};
    b->plan = FBL_NEW(b->arena, FblPlan);
    b->plan->vector_bytes = options->vector_bytes;
}

static FblStatus finish_builder(Builder *b, FblPlan **out_plan) {
    b->plan->region_bytes[FBL_REGION_INPUTS] = b->inputs;
    b->plan->region_bytes[FBL_REGION_OUTPUTS] = b->outputs;
    FBL_TRY(fbl_plan_verify(b->ctx, b->plan));
    *out_plan = b->plan;
    return FBL_OK;
}

FblStatus fbl_lower_module(FblModule *module, const FblLowerOptions *options, FblPlan **out_plan) {
    Builder b;
    FBL_TRY(fbl_conv_check_setting(module->ctx, options->conv));
    start_builder(&b, module->ctx, module, options);
    size_t groups = module->recipe.group_count;
    int64_t *starts = FBL_NEW_ARRAY(b.arena, int64_t, groups + 1), *ends = FBL_NEW_ARRAY(b.arena, int64_t, groups + 1);
    place_params(&b, starts, ends);
    if (options->with_train && module->train) {
        FBL_TRY(lower_function(&b, module->train));
    }
    if (options->with_eval && module->eval) {
        FBL_TRY(lower_function(&b, module->eval));
    }
    if (options->with_optimizer && module->optimizer) {
        FblPlanFunction *function = add_function(&b, "optimizer");
        size_t input_capacity = 0;
        if (find_tensor(b.plan->states, b.plan->state_count, fbl_intern(module->ctx, FBL_LOSS_SCALE_STATE)) && b.plan->region_bytes[FBL_REGION_GRADS] > 0) {
            FBL_TRY(lower_loss_scale(&b, function));
        }
        for (size_t g = 0; g < groups; g++) {
            if (ends[g] > starts[g]) {
                FBL_TRY(lower_optimizer_group(&b, function, (int)g, starts[g], ends[g], &input_capacity));
            }
        }
    }
    return finish_builder(&b, out_plan);
}

FblStatus fbl_lower_graph(const FblGraph *graph, const FblLowerOptions *options, FblPlan **out_plan) {
    Builder b;
    FBL_TRY(fbl_conv_check_setting(graph->ctx, options->conv));
    start_builder(&b, graph->ctx, NULL, options);
    FBL_TRY(lower_function(&b, graph));
    return finish_builder(&b, out_plan);
}

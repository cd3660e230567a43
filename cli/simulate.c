#include "cli/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

static FblName name_of(FblSimulation *sim, const char *format, const char *a, int k) {
    return fbl_intern(sim->ctx, fbl_arena_printf(fbl_context_arena(sim->ctx), format, a, k));
}

static FblName grad_name(FblSimulation *sim, const char *param) { return name_of(sim, "grad.%s", param, 0); }

static FblStatus init_list(FblSimulation *sim, const FblParamList *list) {
    for (size_t i = 0; i < list->count; i++) {
        FblTensor tensor;
        FBL_TRY(fbl_tensor_create(&list->items[i].type, &tensor));
        fbl_init_tensor(&list->items[i], sim->seed, tensor.data);
        FBL_TRY(fbl_bindings_set(&sim->state, list->items[i].path, tensor));
    }
    return FBL_OK;
}

// Copies sim->state into the store's memory.
static void upload(FblSimulation *sim, const FblPlanTensor *tensors, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const FblTensor *tensor = fbl_bindings_find(&sim->state, tensors[i].name);
        if (tensor) {
            fbl_exec_set_tensor(sim->exec, &tensors[i], tensor->data);
        }
    }
}

static FblStatus upload_state(FblSimulation *sim) {
    if (!sim->exec) {
        return FBL_OK;
    }
    upload(sim, sim->built.plan->params, sim->built.plan->param_count);
    upload(sim, sim->built.plan->states, sim->built.plan->state_count);
    return fbl_store_push(sim->ctx, sim->store, -1);
}

FblStatus fbl_simulation_init(FblSimulation *sim, FblContext *ctx, FblDriver *driver, FblModule *module, uint64_t seed) {
    memset(sim, 0, sizeof *sim);
    sim->ctx = ctx;
    sim->module = module;
    sim->driver = driver;
    sim->seed = seed;
    sim->epoch.epochs = module->recipe.epochs;
    sim->epoch.steps = 1;
    FBL_TRY(init_list(sim, &module->params));
    FBL_TRY(init_list(sim, &module->states));
    if (driver) {
        FblLowerOptions options = fbl_driver_lower_options(driver);
        options.with_eval = false;
        options.with_optimizer = module->optimizer != NULL;
        FBL_TRY(fbl_driver_compile(driver, module, &options, &sim->built));
        FBL_TRY(fbl_driver_load(driver, &sim->built));
        FBL_TRY(fbl_driver_store(driver, &sim->built, &sim->store));
        FBL_TRY(fbl_driver_exec(driver, &sim->built, sim->store, &sim->exec));
        FBL_TRY(upload_state(sim));
    }
    return FBL_OK;
}

void fbl_simulation_deinit(FblSimulation *sim) {
    fbl_bindings_free(&sim->batch);
    fbl_bindings_free(&sim->state);
    fbl_bindings_free(&sim->results);
    fbl_exec_destroy(sim->exec);
    fbl_store_destroy(sim->store);
    if (sim->built.codes) {
        fbl_built_deinit(&sim->built);
    }
}

static FblStatus set_list(FblSimulation *sim, const FblParamList *list, const FblTensorFile *file, const char *path, bool strict) {
    FblStatus status = FBL_OK;
    for (size_t i = 0; i < list->count; i++) {
        FblTensor tensor;
        bool found;
        FBL_TRY(fbl_tensor_from_file(sim->ctx, file, path, list->items[i].path, &list->items[i].type, &tensor, &found));
        if (found) {
            FBL_TRY(fbl_bindings_set(&sim->state, list->items[i].path, tensor));
        } else if (strict) {
            status = fbl_error(sim->ctx, "E0733", list->items[i].loc, "%s has no tensor `%s`", path, list->items[i].path);
        }
    }
    return status;
}

FblStatus fbl_simulation_weights(FblSimulation *sim, const FblTensorFile *file, const char *path, bool strict) {
    FBL_TRY(set_list(sim, &sim->module->params, file, path, strict));
    FBL_TRY(set_list(sim, &sim->module->states, file, path, strict));
    return upload_state(sim);
}

static FblStatus add_scalar(FblBindings *bindings, FblName name, double value) {
    FblType type = fbl_type_scalar(FBL_F32);
    FblTensor tensor;
    FBL_TRY(fbl_tensor_create(&type, &tensor));
    tensor.data[0] = value;
    return fbl_bindings_set(bindings, name, tensor);
}

// Everything in `values` that function `name` of the plan has as an input.
static void push_inputs(FblSimulation *sim, const char *function_name, const FblBindings *values) {
    int function = fbl_exec_function(sim->exec, function_name);
    for (size_t i = 0; function >= 0 && i < values->count; i++) {
        const FblPlanTensor *tensor = fbl_exec_input(sim->exec, function, values->items[i].name);
        if (tensor) {
            fbl_exec_set_tensor(sim->exec, tensor, values->items[i].tensor.data);
        }
    }
}

FblStatus fbl_simulation_begin(FblSimulation *sim) {
    FblModule *module = sim->module;
    FBL_TRY(fbl_epoch_values(module, &sim->epoch, &sim->batch));
    for (size_t id = 0; id < module->train->count; id++) {
        const FblNode *node = &module->train->nodes[id];
        double value;
        if (node->op == FBL_OP_INPUT && node->type.rank == 0 && fbl_epoch_scalar(module, &sim->epoch, node->attr.names[0], &value)) {
            FBL_TRY(add_scalar(&sim->batch, node->attr.names[0], value));
        }
        if (node->op == FBL_OP_INPUT && strcmp(node->attr.names[0], "class_count") == 0 && sim->epoch.class_count) {
            FblTensor tensor;
            FBL_TRY(fbl_tensor_create(&node->type, &tensor));
            memcpy(tensor.data, sim->epoch.class_count, (size_t)sim->epoch.classes * sizeof(double));
            FBL_TRY(fbl_bindings_set(&sim->batch, node->attr.names[0], tensor));
        }
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        FBL_TRY(add_scalar(&sim->batch, module->hypers[i].name, module->hypers[i].value));
    }
    const FblTensor *rate = fbl_bindings_find(&sim->batch, fbl_intern(sim->ctx, "rate"));
    double base_rate = rate ? rate->data[0] : 0;
    for (size_t g = 0; g < module->recipe.group_count; g++) {
        const FblOptimizerGroup *group = &module->recipe.groups[g];
        FBL_TRY(add_scalar(&sim->batch, name_of(sim, "%s.%d", "rate", (int)g), base_rate * group->rate_scale));
        FBL_TRY(add_scalar(&sim->batch, name_of(sim, "%s.%d", "weight_decay", (int)g), group->weight_decay));
    }
    if (sim->exec) {
        push_inputs(sim, "train", &sim->batch);
        push_inputs(sim, "optimizer", &sim->batch);
    }
    return FBL_OK;
}

// The optimizer graph for a tensor of `elements` elements.
static FblGraph *resized_optimizer(FblSimulation *sim, int64_t elements) {
    const FblGraph *from = sim->module->optimizer;
    FblArena *arena = fbl_context_arena(sim->ctx);
    FblGraph *to = FBL_NEW(arena, FblGraph);
    *to = *from;
    to->nodes = FBL_NEW_ARRAY(arena, FblNode, from->count);
    memcpy(to->nodes, from->nodes, from->count * sizeof *to->nodes);
    for (size_t id = 0; id < to->count; id++) {
        int at = fbl_type_find(&to->nodes[id].type, fbl_intern(sim->ctx, "param"));
        if (at >= 0) {
            to->nodes[id].type.axes[at].extent = elements;
        }
    }
    return to;
}

static FblStatus copy_flat(FblSimulation *sim, FblBindings *to, const char *name, const FblTensor *tensor) {
    FblType type = fbl_type_scalar(FBL_F32);
    fbl_type_add_axis(&type, fbl_intern(sim->ctx, "param"), fbl_type_elements(&tensor->type));
    FblTensor copy;
    FBL_TRY(fbl_tensor_create(&type, &copy));
    memcpy(copy.data, tensor->data, (size_t)fbl_type_elements(&tensor->type) * sizeof(double));
    return fbl_bindings_set(to, fbl_intern(sim->ctx, name), copy);
}

static FblStatus interpret_update(FblSimulation *sim, const FblParam *param, const FblTensor *grad, int64_t step) {
    FblModule *module = sim->module;
    FblBindings leaves = {0}, outputs = {0};
    FblTensor *value = fbl_bindings_find(&sim->state, param->path);
    int64_t elements = fbl_type_elements(&param->type);
    const FblOptimizerGroup *group = &module->recipe.groups[param->group];
    const FblTensor *rate = fbl_bindings_find(&sim->batch, fbl_intern(sim->ctx, "rate"));
    FblStatus status = copy_flat(sim, &leaves, "w", value);
    for (size_t i = 0; status == FBL_OK && i < module->hyper_count; i++) {
        status = add_scalar(&leaves, module->hypers[i].name, module->hypers[i].value);
    }
    if (status == FBL_OK) {
        status = copy_flat(sim, &leaves, "g", grad);
    }
    if (status == FBL_OK) {
        status = add_scalar(&leaves, fbl_intern(sim->ctx, "rate"), (rate ? rate->data[0] : 0) * group->rate_scale);
    }
    if (status == FBL_OK) {
        status = add_scalar(&leaves, fbl_intern(sim->ctx, "weight_decay"), group->weight_decay);
    }
    if (status == FBL_OK) {
        status = add_scalar(&leaves, fbl_intern(sim->ctx, "t"), (double)(step + 1));
    }
    for (int k = 0; status == FBL_OK && k < module->slot_count; k++) {
        FblName key = name_of(sim, "slot.%2$d.%1$s", param->path, k);
        if (!fbl_bindings_find(&sim->state, key)) {
            FblTensor zero;
            status = fbl_tensor_create(&param->type, &zero);
            if (status == FBL_OK) {
                status = fbl_bindings_set(&sim->state, key, zero);
            }
        }
        if (status == FBL_OK) {
            status = copy_flat(sim, &leaves, name_of(sim, "%s.%d", "slot", k), fbl_bindings_find(&sim->state, key));
        }
    }
    if (status == FBL_OK) {
        status = fbl_interp_run(resized_optimizer(sim, elements), &leaves, &(FblInterpOptions){.seed = sim->seed, .step = (uint64_t)step}, &outputs);
    }
    if (status == FBL_OK) {
        memcpy(fbl_bindings_find(&sim->state, param->path)->data, fbl_bindings_find(&outputs, fbl_intern(sim->ctx, "w"))->data, (size_t)elements * sizeof(double));
        for (int k = 0; k < module->slot_count; k++) {
            FblTensor *slot = fbl_bindings_find(&sim->state, name_of(sim, "slot.%2$d.%1$s", param->path, k));
            memcpy(slot->data, fbl_bindings_find(&outputs, name_of(sim, "%s.%d", "slot", k))->data, (size_t)elements * sizeof(double));
        }
    }
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&outputs);
    return status;
}

// Leaves of the train graph: batch tensors and state, borrowed (the map must not be freed with its tensors).
static FblStatus interpret_step(FblSimulation *sim, int64_t step, double *out_loss) {
    FblModule *module = sim->module;
    fbl_bindings_free(&sim->results);
    memset(&sim->results, 0, sizeof sim->results);
    size_t total = sim->batch.count + sim->state.count;
    FblBindings leaves = {calloc(total + 1, sizeof(FblBinding)), 0, total + 1};
    if (!leaves.items) {
        fbl_out_of_memory();
    }
    memcpy(leaves.items, sim->batch.items, sim->batch.count * sizeof *leaves.items);
    if (sim->state.count) {
        memcpy(leaves.items + sim->batch.count, sim->state.items, sim->state.count * sizeof *leaves.items);
    }
    leaves.count = total;
    FblStatus status = fbl_interp_run(module->train, &leaves, &(FblInterpOptions){.seed = sim->seed, .step = (uint64_t)step}, &sim->results);
    free(leaves.items);
    if (status != FBL_OK) {
        return status;
    }
    const FblTensor *loss = fbl_bindings_find(&sim->results, fbl_intern(sim->ctx, "loss"));
    *out_loss = loss ? loss->data[0] : 0;
    for (size_t i = 0; i < module->states.count; i++) {
        FblTensor *next = fbl_bindings_find(&sim->results, module->states.items[i].path);
        FblTensor *state = fbl_bindings_find(&sim->state, module->states.items[i].path);
        if (next && state) {
            memcpy(state->data, next->data, (size_t)fbl_type_elements(&state->type) * sizeof(double));
        }
    }
    return FBL_OK;
}

FblStatus fbl_simulation_step(FblSimulation *sim, int64_t step, double *out_loss) {
    if (!sim->exec) {
        FBL_TRY(add_scalar(&sim->batch, fbl_intern(sim->ctx, "step"), (double)step));
        return interpret_step(sim, step, out_loss);
    }
    int train = fbl_exec_function(sim->exec, "train");
    fbl_exec_set_scalar(sim->exec, train, "step", (double)step);
    fbl_exec_call(sim->exec, train, sim->seed, (uint64_t)step, NULL);
    FBL_TRY(fbl_exec_wait(sim->ctx, sim->exec));
    FBL_TRY(fbl_store_pull(sim->ctx, sim->store, -1));
    const FblPlanTensor *loss = fbl_exec_output(sim->exec, train, "loss");
    *out_loss = loss ? (double)*(const float *)fbl_exec_address(sim->exec, loss) : 0;
    return FBL_OK;
}

FblStatus fbl_simulation_update(FblSimulation *sim, int64_t step) {
    FblModule *module = sim->module;
    if (sim->exec) {
        int optimizer = fbl_exec_function(sim->exec, "optimizer");
        if (optimizer >= 0) {
            fbl_exec_set_scalar(sim->exec, optimizer, "t", (double)(step + 1));
            fbl_exec_call(sim->exec, optimizer, sim->seed, (uint64_t)step, NULL);
            FBL_TRY(fbl_exec_wait(sim->ctx, sim->exec));
        }
        return fbl_store_pull(sim->ctx, sim->store, -1);
    }
    for (size_t i = 0; module->optimizer && i < module->params.count; i++) {
        const FblParam *param = &module->params.items[i];
        const FblTensor *grad = fbl_bindings_find(&sim->results, grad_name(sim, param->path));
        if (param->trainable && grad) {
            FBL_TRY(interpret_update(sim, param, grad, step));
        }
    }
    return FBL_OK;
}

static void dump_memory(FblSimulation *sim, FblDump *dump, const char *name, const FblPlanTensor *tensor) {
    double *values = fbl_doubles_from_memory(&tensor->type, fbl_exec_address(sim->exec, tensor));
    fbl_dump_add(dump, name, &tensor->type, values);
    free(values);
}

void fbl_simulation_dump_results(FblSimulation *sim, FblDump *dump) {
    const FblGraph *train = sim->module->train;
    for (size_t i = 0; i < train->root_count; i++) {
        const FblRoot *root = &train->roots[i];
        bool grad = root->kind == FBL_ROOT_GRAD;
        if (root->kind == FBL_ROOT_UPDATE || strcmp(root->name, "loss") == 0) {
            continue;
        }
        FblName name = grad ? grad_name(sim, root->name) : root->name;
        if (!sim->exec) {
            const FblTensor *tensor = fbl_bindings_find(&sim->results, name);
            if (tensor) {
                fbl_dump_add(dump, name, &tensor->type, tensor->data);
            }
            continue;
        }
        const FblPlanTensor *output = fbl_exec_output(sim->exec, fbl_exec_function(sim->exec, "train"), name);
        if (output) {
            dump_memory(sim, dump, name, output);
        }
        for (size_t p = 0; grad && !output && p < sim->built.plan->param_count; p++) {
            FblPlanTensor tensor = sim->built.plan->params[p];
            if (tensor.name == root->name) {
                tensor.region = FBL_REGION_GRADS;
                dump_memory(sim, dump, name, &tensor);
            }
        }
    }
}

void fbl_simulation_dump_state(FblSimulation *sim, FblDump *dump) {
    const FblParamList *lists[2] = {&sim->module->params, &sim->module->states};
    for (int k = 0; k < 2 && !sim->exec; k++) {
        for (size_t i = 0; i < lists[k]->count; i++) {
            const FblTensor *tensor = fbl_bindings_find(&sim->state, lists[k]->items[i].path);
            fbl_dump_add(dump, lists[k]->items[i].path, &tensor->type, tensor->data);
        }
    }
    for (size_t i = 0; sim->exec && i < sim->built.plan->param_count; i++) {
        dump_memory(sim, dump, sim->built.plan->params[i].name, &sim->built.plan->params[i]);
    }
    for (size_t i = 0; sim->exec && i < sim->built.plan->state_count; i++) {
        dump_memory(sim, dump, sim->built.plan->states[i].name, &sim->built.plan->states[i]);
    }
}

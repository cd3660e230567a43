#include "runtime/trainer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/weights_table.h"

uint64_t fbl_train_stage_seed(uint64_t seed, int64_t stage) {
    return seed + (uint64_t)stage * 0x9E3779B97F4A7C15u; // odd: no two stages share a seed
}

FblStatus fbl_train_init_weights(FblContext *ctx, const FblTrainPrograms *programs, uint64_t seed) {
    const FblPlan *plan = fbl_exec_plan(programs->main);
    const FblModule *module = programs->module;
    for (int kind = 0; kind < 2; kind++) {
        const FblPlanTensor *tensors = kind == 0 ? plan->params : plan->states;
        size_t count = kind == 0 ? plan->param_count : plan->state_count;
        for (size_t i = 0; i < count; i++) {
            FblName path = fbl_intern(ctx, tensors[i].name);
            const FblParam *param = fbl_param_find(kind == 0 ? &module->params : &module->states, path);
            int64_t elements = fbl_type_elements(&tensors[i].type);
            double *values = malloc((size_t)(elements + 1) * sizeof *values);
            if (!values || !param) {
                free(values);
                fbl_error(ctx, "E0710", FBL_NO_LOC, "`%s` cannot be initialised", path);
                return values ? FBL_INTERNAL : FBL_NOMEM;
            }
            fbl_init_tensor(param, seed, values);
            fbl_exec_set_tensor(programs->main, &tensors[i], values);
            free(values);
        }
    }
    return fbl_store_push(ctx, programs->store, -1);
}

static const char *shape_string(FblContext *ctx, int rank, const int64_t *shape) {
    FblArena *arena = fbl_context_arena(ctx);
    const char *text = "";
    for (int i = 0; i < rank; i++) {
        text = fbl_arena_printf(arena, "%s%s%lld", text, i ? ", " : "", (long long)shape[i]);
    }
    return fbl_arena_printf(arena, "[%s]", text);
}

// Reads `tensor` of the file into `type` at `memory`.
static FblStatus read_tensor(FblContext *ctx, const FblFileTensor *tensor, const char *path, const FblType *type, void *memory) {
    bool same = tensor->rank == type->rank;
    for (int i = 0; same && i < tensor->rank; i++) {
        same = tensor->shape[i] == type->axes[i].extent;
    }
    if (!same) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0712", FBL_NO_LOC, "%s: `%s` has the shape %s, the program declares %s", path, tensor->name,
                                 shape_string(ctx, tensor->rank, tensor->shape), fbl_type_string(ctx, type));
        fbl_diag_hint(ctx, diag, "`reinit = [\"%s\"]` in the recipe starts it anew", tensor->name);
        return FBL_USER;
    }
    int64_t count = fbl_type_elements(type);
    bool read = type->dtype == FBL_F32 ? fbl_file_tensor_to_f32(tensor, memory, count) : fbl_file_tensor_to_i32(tensor, memory, count);
    return read ? FBL_OK : fbl_error(ctx, "E0712", FBL_NO_LOC, "%s: `%s` does not fit %s", path, tensor->name, fbl_type_string(ctx, type));
}

static bool starts_anew(const FblModule *module, const char *name) {
    const FblValue *reinit = &module->recipe.reinit;
    for (size_t i = 0; i < reinit->count; i++) {
        if (reinit->items[i].kind == FBL_VALUE_STRING && strcmp(reinit->items[i].string, name) == 0) {
            return true;
        }
    }
    return false;
}

// What the table says of a tensor of the program: NULL where it was set.
static const char *fate_of(FblContext *ctx, const FblModule *module, const FblFileTensor *from, const char *name, FblStatus read) {
    if (starts_anew(module, name)) {
        return from ? "starts anew: `reinit` names it" : "starts anew: `reinit` names it, and it is not in the file";
    }
    if (!from) {
        return "starts anew: not in the file";
    }
    return read == FBL_OK ? NULL : fbl_arena_printf(fbl_context_arena(ctx), "not set: %s in the file", shape_string(ctx, from->rank, from->shape));
}

FblStatus fbl_train_load_weights(FblContext *ctx, const FblTrainPrograms *programs, const FblTensorFile *file, const char *path, FILE *report) {
    const FblPlan *plan = fbl_exec_plan(programs->main);
    FblStatus status = FBL_OK;
    size_t total = plan->param_count + plan->state_count, used = 0;
    FblWeightRow *rows = FBL_NEW_ARRAY(fbl_context_arena(ctx), FblWeightRow, total + 1);
    for (size_t i = 0; i < total; i++) {
        const FblPlanTensor *to = i < plan->param_count ? &plan->params[i] : &plan->states[i - plan->param_count];
        const FblFileTensor *from = fbl_tensor_file_find(file, to->name);
        FblStatus one = FBL_OK;
        if (from && !starts_anew(programs->module, to->name)) {
            used++;
            one = read_tensor(ctx, from, path, &to->type, fbl_exec_address(programs->main, to));
            status = status == FBL_OK ? one : status;
        }
        rows[i] = (FblWeightRow){to->name, fbl_type_string(ctx, &to->type), fate_of(ctx, programs->module, from, to->name, one)};
    }
    if (used == 0) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0713", FBL_NO_LOC, "%s has none of the program's %zu tensors", path, total);
        fbl_diag_hint(ctx, diag, "names are matched as written in the .fbl file, for example `%s`", total ? plan->params[0].name : "?");
        return FBL_USER;
    }
    if (report) {
        fbl_weights_table(report, path, rows, total, file);
    }
    return status == FBL_OK ? fbl_store_push(ctx, programs->store, -1) : status;
}

// The name of slot `slot` of a parameter in a checkpoint.
static const char *slot_name(FblContext *ctx, const FblModule *module, const char *param, int slot) {
    static const char *const adam[] = {"mean", "variance"};
    const char *kind = module->slot_count == 1 ? "momentum" : slot < 2 ? adam[slot] : "slot";
    return fbl_arena_printf(fbl_context_arena(ctx), "opt.%s.%s", param, kind);
}

static bool has_slots(FblContext *ctx, const FblModule *module, const FblPlanTensor *tensor) {
    const FblParam *param = fbl_param_find(&module->params, fbl_intern(ctx, tensor->name));
    return param && param->trainable;
}

static uint8_t *slot_address(const FblTrainPrograms *programs, const FblPlanTensor *tensor, int slot) {
    return programs->store->regions[FBL_REGION_SLOTS] + (int64_t)slot * fbl_exec_plan(programs->main)->region_bytes[FBL_REGION_GRADS] + tensor->offset;
}

static void describe(FblFileTensor *out, const char *name, const FblType *type, const void *data) {
    int64_t shape[FBL_FILE_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        shape[i] = type->axes[i].extent;
    }
    fbl_file_tensor_init(out, name, type->dtype == FBL_F32 ? FBL_FILE_F32 : FBL_FILE_I32, type->rank, shape, data);
}

FblStatus fbl_train_tensors(FblContext *ctx, const FblTrainPrograms *programs, bool with_slots, FblFileTensor **out_tensors, size_t *out_count) {
    const FblPlan *plan = fbl_exec_plan(programs->main);
    const FblModule *module = programs->module;
    FBL_TRY(fbl_store_pull(ctx, programs->store, -1));
    size_t most = plan->state_count + plan->param_count * (size_t)(1 + (with_slots ? module->slot_count : 0)) + 2, n = 0;
    FblFileTensor *tensors = calloc(most, sizeof *tensors);
    if (!tensors) {
        return FBL_NOMEM;
    }
    for (size_t i = 0; i < plan->param_count; i++) {
        describe(&tensors[n++], plan->params[i].name, &plan->params[i].type, fbl_exec_address(programs->main, &plan->params[i]));
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        describe(&tensors[n++], plan->states[i].name, &plan->states[i].type, fbl_exec_address(programs->main, &plan->states[i]));
    }
    for (int slot = 0; with_slots && slot < module->slot_count; slot++) {
        for (size_t i = 0; i < plan->param_count; i++) {
            if (has_slots(ctx, module, &plan->params[i])) {
                describe(&tensors[n++], slot_name(ctx, module, plan->params[i].name, slot), &plan->params[i].type, slot_address(programs, &plan->params[i], slot));
            }
        }
    }
    *out_tensors = tensors;
    *out_count = n;
    return FBL_OK;
}

static FblStatus load_one(FblContext *ctx, const FblTensorFile *file, const char *path, const char *name, const FblType *type, void *memory) {
    const FblFileTensor *tensor = fbl_tensor_file_find(file, name);
    if (!tensor) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0711", FBL_NO_LOC, "%s has no tensor `%s`", path, name);
        fbl_diag_hint(ctx, diag, "the checkpoint is of another program");
        return FBL_USER;
    }
    return read_tensor(ctx, tensor, path, type, memory);
}

// A checkpoint of a run without loss scaling has none of its states: they start as in a new run.
static bool starts_scaling(FblContext *ctx, const FblTrainPrograms *programs, const FblTensorFile *file, const FblPlanTensor *state) {
    const FblParam *param = fbl_param_find(&programs->module->states, fbl_intern(ctx, state->name));
    if (!param || !fbl_loss_scale_is_state(state->name) || fbl_tensor_file_find(file, state->name)) {
        return false;
    }
    double value;
    fbl_init_tensor(param, 0, &value);
    fbl_exec_set_tensor(programs->main, state, &value);
    return true;
}

FblStatus fbl_train_load_checkpoint(FblContext *ctx, const FblTrainPrograms *programs, const FblTensorFile *file, const char *path) {
    const FblPlan *plan = fbl_exec_plan(programs->main);
    for (size_t i = 0; i < plan->param_count; i++) {
        const FblPlanTensor *tensor = &plan->params[i];
        FBL_TRY(load_one(ctx, file, path, tensor->name, &tensor->type, fbl_exec_address(programs->main, tensor)));
        bool slots = programs->store->bytes[FBL_REGION_SLOTS] > 0 && has_slots(ctx, programs->module, tensor);
        for (int slot = 0; slots && slot < programs->module->slot_count; slot++) {
            const char *name = slot_name(ctx, programs->module, tensor->name, slot);
            FBL_TRY(load_one(ctx, file, path, name, &tensor->type, slot_address(programs, tensor, slot)));
        }
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        const FblPlanTensor *tensor = &plan->states[i];
        if (starts_scaling(ctx, programs, file, tensor)) {
            continue;
        }
        FBL_TRY(load_one(ctx, file, path, tensor->name, &tensor->type, fbl_exec_address(programs->main, tensor)));
    }
    return fbl_store_push(ctx, programs->store, -1);
}

const FblPlanTensor *fbl_trainer_loss_scale(const FblPlan *plan) {
    for (size_t i = 0; i < plan->state_count; i++) {
        if (strcmp(plan->states[i].name, FBL_LOSS_SCALE_STATE) == 0) {
            return &plan->states[i];
        }
    }
    return NULL;
}

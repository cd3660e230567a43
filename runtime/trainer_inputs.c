#include "runtime/trainer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

// "rate.2" or "rate" for `stem` "rate": the group; -1 for another name.
static int64_t group_of(const char *name, const char *stem) {
    size_t length = strlen(stem);
    if (strncmp(name, stem, length) != 0 || (name[length] != 0 && name[length] != '.')) {
        return -1;
    }
    return name[length] == 0 ? 0 : strtoll(name + length + 1, NULL, 10);
}

static bool optimizer_scalar(const FblModule *module, FblBindings *values, FblName name, double *out) {
    int64_t group = group_of(name, "rate");
    if (group >= 0 && group < (int64_t)module->recipe.group_count) {
        const FblTensor *rate = fbl_bindings_find(values, fbl_intern(module->ctx, "rate"));
        *out = (rate ? rate->data[0] : 0) * module->recipe.groups[group].rate_scale;
        return true;
    }
    group = group_of(name, "weight_decay");
    if (group >= 0 && group < (int64_t)module->recipe.group_count) {
        *out = module->recipe.groups[group].weight_decay;
        return true;
    }
    return false;
}

void fbl_trainer_set_epoch(FblContext *ctx, const FblExec *exec, const char *function, const FblModule *module, const FblEpochInputs *epoch,
                           FblBindings *values) {
    int f = fbl_exec_function(exec, function);
    if (f < 0) {
        return;
    }
    const FblPlanFunction *plan = &fbl_exec_plan(exec)->functions[f];
    for (size_t i = 0; i < plan->input_count; i++) {
        const FblPlanTensor *input = &plan->inputs[i];
        FblName name = fbl_intern(ctx, input->name);
        const FblTensor *hoisted = fbl_bindings_find(values, name);
        double value;
        if (hoisted && fbl_type_elements(&hoisted->type) == fbl_type_elements(&input->type)) {
            fbl_exec_set_tensor(exec, input, hoisted->data);
        } else if (input->type.rank == 0 && (fbl_epoch_scalar(module, epoch, name, &value) || optimizer_scalar(module, values, name, &value))) {
            fbl_exec_set_tensor(exec, input, &value);
        } else if (strcmp(name, "class_count") == 0 && epoch->class_count && fbl_type_elements(&input->type) == epoch->classes) {
            fbl_exec_set_tensor(exec, input, epoch->class_count);
        }
    }
}

void fbl_trainer_set_images(const FblExec *exec, int function, int64_t at, const float *images, int64_t count) {
    const FblPlanTensor *input = fbl_exec_input(exec, function, "image");
    if (input) {
        int64_t one = fbl_type_elements(&input->type) / input->type.axes[0].extent;
        fbl_exec_write(exec, input, at * one * (int64_t)sizeof(float), images, count * one * (int64_t)sizeof(float));
    }
}

void fbl_trainer_set_labels(const FblExec *exec, int function, const char *name, const int32_t *labels, int64_t count) {
    const FblPlanTensor *input = fbl_exec_input(exec, function, name);
    if (input) {
        fbl_exec_write(exec, input, 0, labels, count * (int64_t)sizeof(int32_t));
    }
}

FblStatus fbl_trainer_check_image(FblContext *ctx, const FblExec *exec, const char *function, int32_t height, int32_t width, int64_t *out_batch) {
    int f = fbl_exec_function(exec, function);
    const FblPlanTensor *image = f < 0 ? NULL : fbl_exec_input(exec, f, "image");
    if (!image) {
        return fbl_error(ctx, "E0714", FBL_NO_LOC, "the model takes no input `image`, so there is nothing to train it on");
    }
    const FblType *type = &image->type;
    int64_t batch = type->rank > 0 ? type->axes[0].extent : 0;
    bool fits = type->dtype == FBL_F32 && type->rank == 4 && strcmp(type->axes[0].name, "batch") == 0 &&
                type->axes[1].extent == 3 && type->axes[2].extent == height && type->axes[3].extent == width;
    if (!fits) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0714", FBL_NO_LOC, "the data are f32[batch, channel=3, height=%d, width=%d], the model takes %s",
                                 height, width, fbl_type_string(ctx, type));
        fbl_diag_hint(ctx, diag, "`augment` decides the size of the images");
        return FBL_USER;
    }
    *out_batch = batch;
    return FBL_OK;
}

FblStatus fbl_trainer_find_scores(FblContext *ctx, const FblExec *exec, const char *function, const FblModule *module, int64_t classes,
                                  const FblPlanTensor **out_score) {
    const char *name = module->recipe.predict ? module->recipe.predict : "score";
    int f = fbl_exec_function(exec, function);
    const FblPlanTensor *score = f < 0 ? NULL : fbl_exec_output(exec, f, name);
    if (!score) {
        return fbl_error(ctx, "E0715", module->recipe.loc, "the model has no output `%s` to evaluate", name);
    }
    const FblType *type = &score->type;
    int batch_at = type->rank == 2 && strcmp(type->axes[1].name, "batch") == 0 ? 1 : 0;
    if (type->dtype != FBL_F32 || type->rank != 2 || strcmp(type->axes[batch_at].name, "batch") != 0 || type->axes[1 - batch_at].extent != classes) {
        return fbl_error(ctx, "E0715", module->recipe.loc, "`%s` must be f32[batch, class=%lld] to be evaluated, it is %s", name, (long long)classes,
                         fbl_type_string(ctx, type));
    }
    *out_score = score;
    return FBL_OK;
}

void fbl_trainer_scores(const FblExec *exec, const FblPlanTensor *score, int64_t classes, float *out) {
    fbl_trainer_scores_at(fbl_exec_address(exec, score), score, classes, out);
}

void fbl_trainer_scores_at(const float *data, const FblPlanTensor *score, int64_t classes, float *out) {
    int64_t total = fbl_type_elements(&score->type), batch = total / classes;
    if (strcmp(score->type.axes[0].name, "batch") == 0) {
        memcpy(out, data, (size_t)total * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < batch; i++) {
        for (int64_t c = 0; c < classes; c++) {
            out[i * classes + c] = data[c * batch + i];
        }
    }
}

bool fbl_trainer_has_nonfinite(const uint8_t *data, int64_t bytes) {
    const float *values = (const float *)(const void *)data;
    float sum = 0; // x - x is 0 for finite x, NaN otherwise: one pass without branches
    for (int64_t i = 0; i < bytes / 4; i++) {
        float zero = values[i] - values[i];
        sum = zero == 0 ? sum : 1.0f;
    }
    return sum != 0;
}

// The tensor of `type` at `data` as doubles.
static FblStatus to_binding(FblBindings *leaves, FblName name, const FblType *type, const uint8_t *data) {
    FblTensor tensor;
    FBL_TRY(fbl_tensor_create(type, &tensor));
    int64_t count = fbl_type_elements(type);
    for (int64_t i = 0; i < count; i++) {
        switch (type->dtype) {
        case FBL_F32: tensor.data[i] = (double)((const float *)(const void *)data)[i]; break;
        case FBL_I32: tensor.data[i] = (double)((const int32_t *)(const void *)data)[i]; break;
        case FBL_BOOL: tensor.data[i] = data[i]; break;
        default: break; // no tensor has another type
        }
    }
    return fbl_bindings_set(leaves, name, tensor);
}

// The leaves of the train graph as device `shard` of `count` sees them.
static FblStatus step_leaves(FblContext *ctx, const FblModule *module, const FblExec *exec, const uint8_t *states_before, int64_t shard, int64_t count, FblBindings *leaves) {
    const FblPlan *plan = fbl_exec_plan(exec);
    const FblPlanFunction *train = &plan->functions[fbl_exec_function(exec, "train")];
    for (size_t i = 0; i < train->input_count; i++) {
        FBL_TRY(to_binding(leaves, fbl_intern(ctx, train->inputs[i].name), &train->inputs[i].type, fbl_exec_address(exec, &train->inputs[i])));
    }
    for (size_t i = 0; i < plan->param_count; i++) {
        FBL_TRY(to_binding(leaves, fbl_intern(ctx, plan->params[i].name), &plan->params[i].type, fbl_exec_address(exec, &plan->params[i])));
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        FBL_TRY(to_binding(leaves, fbl_intern(ctx, plan->states[i].name), &plan->states[i].type, states_before + plan->states[i].offset));
    }
    for (size_t id = 0; id < module->train->count; id++) {
        const FblNode *node = &module->train->nodes[id];
        bool leaf = node->op == FBL_OP_INPUT || node->op == FBL_OP_PARAM || node->op == FBL_OP_STATE;
        if (leaf && !fbl_bindings_find(leaves, node->attr.names[0])) { // the compiled step does not read it
            FblTensor zeros;
            FBL_TRY(fbl_tensor_create(&node->type, &zeros));
            FBL_TRY(fbl_bindings_set(leaves, node->attr.names[0], zeros));
        }
    }
    for (size_t i = 0; i < leaves->count; i++) {
        int64_t length = fbl_shard_is_input(leaves->items[i].name) ? fbl_type_elements(&leaves->items[i].tensor.type) : 0;
        for (int64_t k = 0; k < length && count > 1; k++) {
            leaves->items[i].tensor.data[k] = (double)(shard * length + k);
        }
    }
    return FBL_OK;
}

void fbl_trainer_blame(FblContext *ctx, const FblModule *module, const FblExec *exec, const uint8_t *states_before, uint64_t seed, uint64_t step) {
    int64_t count = fbl_plan_devices(fbl_exec_plan(exec));
    FblBindings *leaves = calloc((size_t)count, sizeof *leaves), *outputs = calloc((size_t)count, sizeof *outputs);
    if (!leaves || !outputs) {
        fbl_out_of_memory();
    }
    FblStatus status = FBL_OK;
    for (int64_t s = 0; s < count && status == FBL_OK; s++) {
        status = step_leaves(ctx, module, exec, states_before, s, count, &leaves[s]);
    }
    if (status == FBL_OK) {
        FblInterpOptions options = {.seed = seed, .step = step, .round_f32 = true, .check_finite = true};
        status = fbl_interp_shards(module->train, (int)count, leaves, &options, outputs);
        if (status == FBL_OK) {
            fbl_diag(ctx, FBL_NOTE, "E0717", FBL_NO_LOC, "the reference interpreter finds every value of this step finite: the overflow comes from "
                                                         "the order of sums in single precision");
        }
    }
    for (int64_t s = 0; s < count; s++) {
        fbl_bindings_free(&leaves[s]);
        fbl_bindings_free(&outputs[s]);
    }
    free(leaves);
    free(outputs);
}

#include "runtime/trainer_internal.h"

#include <math.h>
#include <stdlib.h>

// Mean cross-entropy of plain scores, in double.
static double cross_entropy(const float *scores, const int32_t *labels, int64_t count, int64_t classes) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *row = scores + i * classes;
        double highest = (double)row[0], total = 0;
        for (int64_t c = 1; c < classes; c++) {
            highest = (double)row[c] > highest ? (double)row[c] : highest;
        }
        for (int64_t c = 0; c < classes; c++) {
            total += exp((double)row[c] - highest);
        }
        sum += log(total) + highest - (double)row[labels[i]];
    }
    return count ? sum / (double)count : 0;
}

static FblStatus run_batches(FblContext *ctx, const FblEvalOptions *options, FblLoader *loader, const FblPlanTensor *score, int64_t batch_size,
                             FblMetrics *metrics, float *scores) {
    FblExec *exec = options->programs.main;
    int function = fbl_exec_function(exec, "eval");
    for (;;) {
        const FblBatch *batch;
        FBL_TRY(fbl_loader_next(ctx, loader, &batch));
        if (!batch) {
            return FBL_OK;
        }
        // The program has a fixed batch: rows beyond the last image repeat the first one and are not counted.
        fbl_trainer_set_images(exec, function, 0, batch->images, batch->size);
        for (int64_t i = batch->size; i < batch_size; i++) {
            fbl_trainer_set_images(exec, function, i, batch->images, 1);
        }
        fbl_exec_call(exec, function, options->programs.module->recipe.seed, 0, NULL);
        fbl_trainer_scores(exec, score, options->classes, scores);
        fbl_metrics_add(metrics, scores, batch->labels, batch->size);
        fbl_metrics_add_loss(metrics, cross_entropy(scores, batch->labels, batch->size, options->classes), batch->size);
    }
}

FblStatus fbl_train_evaluate(FblContext *ctx, const FblEvalOptions *options, FblMetrics *metrics) {
    FblExec *exec = options->programs.main;
    const FblModule *module = options->programs.module;
    int32_t height, width;
    int64_t batch;
    const FblPlanTensor *score;
    FBL_TRY(fbl_transform_check(ctx, &options->transform, options->data, &height, &width));
    FBL_TRY(fbl_trainer_check_image(ctx, exec, "eval", height, width, &batch));
    FBL_TRY(fbl_trainer_find_scores(ctx, exec, "eval", module, options->classes, &score));
    FblEpochInputs epoch = {options->epoch, module->recipe.epochs, 1, options->class_count, options->classes};
    FblBindings values = {0};
    FblLoader *loader = NULL;
    float *scores = malloc((size_t)(batch * options->classes) * sizeof *scores);
    FblStatus status = scores ? fbl_epoch_values(module, &epoch, &values) : FBL_NOMEM;
    if (status == FBL_OK) {
        fbl_trainer_set_epoch(ctx, exec, "eval", module, &epoch, &values);
        FblLoaderOptions loading = {.data = options->data, .transform = options->transform, .sampler = {.kind = FBL_SAMPLER_SEQUENTIAL},
                                    .batch = batch, .epochs = 1, .workers = options->workers};
        status = fbl_loader_create(ctx, &loading, &loader);
    }
    if (status == FBL_OK) {
        status = run_batches(ctx, options, loader, score, batch, metrics, scores);
        fbl_loader_destroy(loader);
    }
    fbl_bindings_free(&values);
    free(scores);
    return status;
}

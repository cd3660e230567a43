#include "runtime/trainer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

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

// Adds the Euclidean length of each image's feature to its class.
static void add_feature_norms(const FblExec *exec, int function, const int32_t *labels, int64_t count, double *sums) {
    const FblPlanTensor *feature = fbl_exec_output(exec, function, "feature");
    if (!feature || feature->type.dtype != FBL_F32 || feature->type.rank < 2 || strcmp(feature->type.axes[0].name, "batch") != 0) {
        return;
    }
    int64_t width = fbl_type_elements(&feature->type) / feature->type.axes[0].extent;
    const float *data = fbl_exec_address(exec, feature);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t k = 0; k < width; k++) {
            double x = (double)data[i * width + k];
            sum += x * x;
        }
        sums[labels[i]] += sqrt(sum);
    }
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
        FBL_TRY(fbl_exec_wait(ctx, exec));
        fbl_trainer_scores(exec, score, options->classes, scores);
        fbl_metrics_add(metrics, scores, batch->labels, batch->size);
        if (options->feature_norm) {
            add_feature_norms(exec, function, batch->labels, batch->size, options->feature_norm);
        }
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
    if (options->feature_norm) {
        memset(options->feature_norm, 0, (size_t)options->classes * sizeof *options->feature_norm);
    }
    if (status == FBL_OK) {
        status = run_batches(ctx, options, loader, score, batch, metrics, scores);
        fbl_loader_destroy(loader);
    }
    for (int64_t c = 0; status == FBL_OK && options->feature_norm && c < options->classes; c++) {
        int64_t images = 0;
        for (int64_t k = 0; k < options->classes; k++) {
            images += metrics->confusion[c * options->classes + k];
        }
        options->feature_norm[c] /= images ? (double)images : 1;
    }
    fbl_bindings_free(&values);
    free(scores);
    return status;
}

static void add_number(cJSON *object, const char *name, double value) {
    cJSON_AddItemToObject(object, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

char *fbl_metrics_json(const FblMetrics *metrics, char *const *class_names, const double *feature_norm) {
    FblMetricsSummary summary = fbl_metrics_summary(metrics);
    cJSON *root = cJSON_CreateObject();
    add_number(root, "top1", summary.top1);
    add_number(root, "top5", summary.top5);
    add_number(root, "many", summary.many);
    add_number(root, "medium", summary.medium);
    add_number(root, "few", summary.few);
    add_number(root, "loss", summary.loss);
    cJSON *per_class = cJSON_AddArrayToObject(root, "per_class");
    cJSON *counts = metrics->train_count ? cJSON_AddArrayToObject(root, "class_count") : NULL;
    cJSON *names = class_names ? cJSON_AddArrayToObject(root, "names") : NULL;
    cJSON *norms = feature_norm ? cJSON_AddArrayToObject(root, "feature_norm") : NULL;
    cJSON *confusion = metrics->classes <= 200 ? cJSON_AddArrayToObject(root, "confusion") : NULL;
    for (int32_t c = 0; c < metrics->classes; c++) {
        double accuracy = fbl_metrics_class_accuracy(metrics, c);
        cJSON_AddItemToArray(per_class, isfinite(accuracy) ? cJSON_CreateNumber(accuracy) : cJSON_CreateNull());
        if (counts) {
            cJSON_AddItemToArray(counts, cJSON_CreateNumber((double)metrics->train_count[c]));
        }
        if (names) {
            cJSON_AddItemToArray(names, cJSON_CreateString(class_names[c]));
        }
        if (norms) {
            cJSON_AddItemToArray(norms, cJSON_CreateNumber(isfinite(feature_norm[c]) ? feature_norm[c] : 0));
        }
        cJSON *row = confusion ? cJSON_CreateArray() : NULL;
        for (int32_t k = 0; row && k < metrics->classes; k++) {
            cJSON_AddItemToArray(row, cJSON_CreateNumber((double)metrics->confusion[(int64_t)c * metrics->classes + k]));
        }
        if (row) {
            cJSON_AddItemToArray(confusion, row);
        }
    }
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

#include "runtime/trainer_eval_device.h"
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

// The output `feature` where it has an image a row, else NULL.
static const FblPlanTensor *find_feature(const FblExec *exec, int function) {
    const FblPlanTensor *feature = fbl_exec_output(exec, function, "feature");
    bool rows = feature && feature->type.dtype == FBL_F32 && feature->type.rank >= 2 && strcmp(feature->type.axes[0].name, "batch") == 0;
    return rows ? feature : NULL;
}

// Adds the Euclidean length of each image's feature to its class.
static void add_feature_norms(const FblPlanTensor *feature, const float *data, const int32_t *labels, int64_t count, double *sums) {
    int64_t width = fbl_type_elements(&feature->type) / feature->type.axes[0].extent;
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t k = 0; k < width; k++) {
            double x = (double)data[i * width + k];
            sum += x * x;
        }
        sums[labels[i]] += sqrt(sum);
    }
}

// What one evaluation works with.
typedef struct Run {
    const FblEvalOptions *options;
    FblExec *exec;
    int function;
    const FblPlanTensor *score, *feature; // feature NULL: its lengths are not wanted or there is none
    int64_t batch;
    FblMetrics *metrics;
    float *scores; // [batch][classes]
} Run;

// Adds a batch's outputs, as they lie in memory, to the metrics.
static void add_batch(const Run *run, const float *score, const float *feature, const int32_t *labels, int64_t count) {
    const FblEvalOptions *options = run->options;
    fbl_trainer_scores_at(score, run->score, options->classes, run->scores);
    fbl_metrics_add(run->metrics, run->scores, labels, count);
    if (run->feature) {
        add_feature_norms(run->feature, feature, labels, count, options->feature_norm);
    }
    fbl_metrics_add_loss(run->metrics, cross_entropy(run->scores, labels, count, options->classes), count);
}

// The program has a fixed batch: rows beyond the last image repeat the first one and are not counted.
static void set_batch(const Run *run, const FblBatch *batch) {
    fbl_trainer_set_images(run->exec, run->function, 0, batch->images, batch->size);
    for (int64_t i = batch->size; i < run->batch; i++) {
        fbl_trainer_set_images(run->exec, run->function, i, batch->images, 1);
    }
}

static FblStatus run_batches(FblContext *ctx, const Run *run, FblLoader *loader) {
    FblExec *exec = run->exec;
    for (;;) {
        const FblBatch *batch;
        FBL_TRY(fbl_loader_next(ctx, loader, &batch));
        if (!batch) {
            return FBL_OK;
        }
        set_batch(run, batch);
        fbl_exec_call(exec, run->function, run->options->programs.module->recipe.seed, 0, NULL);
        FBL_TRY(fbl_exec_wait(ctx, exec));
        add_batch(run, fbl_exec_address(exec, run->score), run->feature ? fbl_exec_address(exec, run->feature) : NULL, batch->labels, batch->size);
    }
}

// On a GPU: the next batches are under way while one is counted. `loader` is NULL where the images are held there.
static FblStatus run_ahead(FblContext *ctx, const Run *run, FblEvalDevice *device, FblLoader *loader) {
    FBL_TRY(fbl_eval_device_begin(ctx, device));
    for (bool more = true;;) {
        while (more && fbl_eval_device_has_room(device)) {
            const FblBatch *batch = NULL;
            if (loader) {
                FBL_TRY(fbl_loader_next(ctx, loader, &batch));
                if (batch) {
                    set_batch(run, batch);
                }
                more = batch != NULL;
            } else {
                more = fbl_eval_device_has_images(device);
            }
            FBL_TRY(more ? fbl_eval_device_ask(ctx, device, batch) : FBL_OK);
        }
        FblEvalBatch done;
        if (!fbl_eval_device_under_way(device)) {
            return FBL_OK;
        }
        FBL_TRY(fbl_eval_device_read(ctx, device, &done));
        add_batch(run, done.score, done.feature, done.labels, done.size);
    }
}

// Loader where one is needed, and all batches.
static FblStatus run_all(FblContext *ctx, const Run *run, int32_t height, int32_t width) {
    const FblEvalOptions *options = run->options;
    FblEvalDevice *device = options->kept ? *options->kept : NULL;
    FblLoader *loader = NULL;
    FblStatus status = FBL_OK;
    if (!device) {
        FblEvalDeviceOptions wanted = {&options->programs, options->data, &options->transform, run->function, run->score, run->feature, height, width, run->batch};
        status = fbl_eval_device_open(ctx, &wanted, &device);
    }
    if (status == FBL_OK && !(device && fbl_eval_device_holds(device))) {
        FblLoaderOptions loading = {.data = options->data, .transform = options->transform, .sampler = {.kind = FBL_SAMPLER_SEQUENTIAL},
                                    .batch = run->batch, .epochs = 1, .workers = options->workers};
        status = fbl_loader_create(ctx, &loading, &loader);
    }
    if (status == FBL_OK) {
        status = device ? run_ahead(ctx, run, device, loader) : run_batches(ctx, run, loader);
    }
    if (loader) {
        fbl_loader_destroy(loader);
    }
    if (options->kept) {
        *options->kept = device;
    } else {
        fbl_eval_device_close(device);
    }
    return status;
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
    float *scores = malloc((size_t)(batch * options->classes) * sizeof *scores);
    FblStatus status = scores ? fbl_epoch_values(module, &epoch, &values) : FBL_NOMEM;
    if (status == FBL_OK) {
        fbl_trainer_set_epoch(ctx, exec, "eval", module, &epoch, &values);
    }
    if (options->feature_norm) {
        memset(options->feature_norm, 0, (size_t)options->classes * sizeof *options->feature_norm);
    }
    if (status == FBL_OK) {
        int function = fbl_exec_function(exec, "eval");
        Run run = {options, exec, function, score, options->feature_norm ? find_feature(exec, function) : NULL, batch, metrics, scores};
        status = run_all(ctx, &run, height, width);
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

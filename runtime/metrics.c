#include "runtime/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

FblStatus fbl_metrics_init(FblMetrics *metrics, int32_t classes, const int64_t *train_count) {
    *metrics = (FblMetrics){.classes = classes};
    size_t n = (size_t)classes;
    metrics->confusion = calloc(n * n, sizeof *metrics->confusion);
    metrics->top5_by_class = calloc(n, sizeof *metrics->top5_by_class);
    int64_t *counts = train_count != NULL ? malloc(n * sizeof *counts) : NULL;
    if (metrics->confusion == NULL || metrics->top5_by_class == NULL || (train_count != NULL && counts == NULL)) {
        free(counts);
        fbl_metrics_deinit(metrics);
        return FBL_NOMEM;
    }
    if (train_count != NULL) {
        memcpy(counts, train_count, n * sizeof *counts);
    }
    metrics->train_count = counts;
    return FBL_OK;
}

void fbl_metrics_deinit(FblMetrics *metrics) {
    free(metrics->confusion);
    free(metrics->top5_by_class);
    free((void *)metrics->train_count);
    *metrics = (FblMetrics){0};
}

void fbl_metrics_reset(FblMetrics *metrics) {
    size_t n = (size_t)metrics->classes;
    memset(metrics->confusion, 0, n * n * sizeof *metrics->confusion);
    memset(metrics->top5_by_class, 0, n * sizeof *metrics->top5_by_class);
    metrics->count = metrics->top1 = metrics->top5 = metrics->loss_count = 0;
    metrics->loss_sum = 0;
}

// Does class a rank before class b? NaN ranks above numbers, ties go to the lower number.
static bool ranks_before(const float *row, int32_t a, int32_t b) {
    bool nan_a = isnan(row[a]) != 0;
    bool nan_b = isnan(row[b]) != 0;
    if (nan_a != nan_b) {
        return nan_a;
    }
    return nan_a || row[a] == row[b] ? a < b : row[a] > row[b];
}

void fbl_metrics_add(FblMetrics *metrics, const float *scores, const int32_t *labels, int64_t count) {
    int32_t classes = metrics->classes;
    for (int64_t i = 0; i < count; i++) {
        const float *row = scores + i * classes;
        int32_t label = labels[i];
        assert(label >= 0 && label < classes);
        int32_t best = 0;
        int32_t before = 0;
        for (int32_t c = 0; c < classes; c++) {
            best = ranks_before(row, c, best) ? c : best;
            before += ranks_before(row, c, label);
        }
        bool lost = isnan(row[label]) != 0;
        metrics->confusion[(int64_t)label * classes + best]++;
        metrics->count++;
        metrics->top1 += before == 0 && !lost;
        metrics->top5 += before < 5 && !lost;
        metrics->top5_by_class[label] += before < 5 && !lost;
        // A NaN score of the right class would otherwise sit on the diagonal.
        if (lost && best == label) {
            int32_t other = label == 0 && classes > 1 ? 1 : 0;
            metrics->confusion[(int64_t)label * classes + best]--;
            metrics->confusion[(int64_t)label * classes + other]++;
        }
    }
}

void fbl_metrics_add_loss(FblMetrics *metrics, double mean_loss, int64_t count) {
    metrics->loss_sum += mean_loss * (double)count;
    metrics->loss_count += count;
}

static int64_t class_images(const FblMetrics *metrics, int32_t c) {
    int64_t images = 0;
    for (int32_t k = 0; k < metrics->classes; k++) {
        images += metrics->confusion[(int64_t)c * metrics->classes + k];
    }
    return images;
}

double fbl_metrics_class_accuracy(const FblMetrics *metrics, int32_t c) {
    int64_t images = class_images(metrics, c);
    return images == 0 ? (double)NAN : (double)metrics->confusion[(int64_t)c * metrics->classes + c] / (double)images;
}

FblMetricsSummary fbl_metrics_summary(const FblMetrics *metrics) {
    double sum[4] = {0}; // many, medium, few, all
    int64_t used[4] = {0};
    for (int32_t c = 0; c < metrics->classes; c++) {
        double accuracy = fbl_metrics_class_accuracy(metrics, c);
        if (isnan(accuracy)) {
            continue;
        }
        sum[3] += accuracy;
        used[3]++;
        if (metrics->train_count != NULL) {
            int64_t n = metrics->train_count[c];
            int group = n > 100 ? 0 : n >= 20 ? 1 : 2;
            sum[group] += accuracy;
            used[group]++;
        }
    }
    double mean[4];
    for (int g = 0; g < 4; g++) {
        mean[g] = used[g] == 0 ? (double)NAN : sum[g] / (double)used[g];
    }
    double count = (double)metrics->count;
    bool none = metrics->count == 0;
    return (FblMetricsSummary){
        .loss = metrics->loss_count == 0 ? (double)NAN : metrics->loss_sum / (double)metrics->loss_count,
        .top1 = none ? (double)NAN : (double)metrics->top1 / count,
        .top5 = none ? (double)NAN : (double)metrics->top5 / count,
        .many = mean[0],
        .medium = mean[1],
        .few = mean[2],
        .class_mean = mean[3],
    };
}

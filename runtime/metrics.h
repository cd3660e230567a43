// What a classifier got right: top-1, top-5, per class, confusion, and by how often a class was seen in training.
//
// Many, medium and few shot are the classes with more than 100, 20 to 100 and fewer than 20 training images; a group's
// accuracy is the mean over its classes of the per-class accuracy (classes without test images are left out), the
// convention of the field. Ties count by class number: of equal scores the lower class ranks first; NaN ranks above all
// numbers, and an image whose own class scores NaN is wrong.
// Ownership: init/deinit pair. Threads: one at a time.
#ifndef FBL_RUNTIME_METRICS_H
#define FBL_RUNTIME_METRICS_H

#include "base/context.h"

typedef struct FblMetrics {
    int32_t classes;
    int64_t count;              // images added
    int64_t top1, top5;         // of these right
    double loss_sum;            // of loss * images
    int64_t loss_count;         // images with a loss
    int64_t *confusion;         // [classes][classes]: row = true class, column = predicted
    int64_t *top5_by_class;     // [classes]
    const int64_t *train_count; // [classes] a copy; NULL when unknown
} FblMetrics;

// Fractions in 0..1; NAN where nothing was counted.
typedef struct FblMetricsSummary {
    double loss, top1, top5;
    double many, medium, few;
    double class_mean; // mean of per-class accuracy over classes with test images
} FblMetricsSummary;

// train_count may be NULL. It is copied.
FblStatus fbl_metrics_init(FblMetrics *metrics, int32_t classes, const int64_t *train_count);
void fbl_metrics_deinit(FblMetrics *metrics);
void fbl_metrics_reset(FblMetrics *metrics);

// Adds `count` rows of scores [count][classes]. Labels outside 0..classes-1 are a bug of the caller (asserted).
void fbl_metrics_add(FblMetrics *metrics, const float *scores, const int32_t *labels, int64_t count);

// Adds a mean loss over `count` images.
void fbl_metrics_add_loss(FblMetrics *metrics, double mean_loss, int64_t count);

FblMetricsSummary fbl_metrics_summary(const FblMetrics *metrics);

// Accuracy of class c (NAN without test images).
double fbl_metrics_class_accuracy(const FblMetrics *metrics, int32_t c);

#endif

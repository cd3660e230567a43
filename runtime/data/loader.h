// Batches prepared ahead by worker threads, always delivered in the same order with the same content.
//
// Ownership: the loader owns the batches it lends; the data set must outlive it. Threads: one consumer.
#ifndef FBL_RUNTIME_DATA_LOADER_H
#define FBL_RUNTIME_DATA_LOADER_H

#include "runtime/data/augment.h"
#include "runtime/data/sampler.h"

typedef struct FblLoader FblLoader;

typedef struct FblLoaderOptions {
    const FblDataset *data;
    FblTransform transform;
    FblSampler sampler;
    int64_t batch; // images in a batch; the last one of an epoch holds what is left
    uint64_t seed;
    int64_t first_epoch; // start here, for resuming
    int64_t first_step;  // batch within first_epoch
    int64_t epochs;      // deliver epochs first_epoch .. epochs - 1
    int workers;         // threads; 0 means 1
    int depth;           // batches prepared ahead; 0 means 3
    double mixup_alpha;  // > 0: mix pairs of images, weight from Beta(alpha, alpha), one weight a batch (cutmix: in `transform`)
} FblLoaderOptions;

typedef struct FblBatch {
    int64_t epoch;
    int64_t step;  // within the epoch
    int64_t steps; // in the epoch
    int64_t size;  // images in this batch
    int32_t height, width;
    const float *images;    // [size][3][height][width], aligned to 64 bytes
    const int32_t *labels;  // [size]
    const int32_t *labels2; // mixup: the labels of the partners, else equal to labels
    float lambda;           // mixup: weight of `labels` (1 without mixup)
    const int64_t *indices; // [size] the images' numbers in the data set
} FblBatch;

// Starts the threads. Fails with a diagnostic when the transform does not fit the data.
FblStatus fbl_loader_create(FblContext *ctx, const FblLoaderOptions *options, FblLoader **out_loader);
void fbl_loader_destroy(FblLoader *loader);

// Batches in an epoch, without and with a loader.
int64_t fbl_loader_steps(const FblLoader *loader);
int64_t fbl_loader_steps_for(const FblSampler *sampler, const FblDataset *data, int64_t batch);

// Images that could not be used and were replaced or left out, as far as the batches delivered tell (see FblBadImages). A
// warning E0815 names each. Batches are smaller where images were left out.
int64_t fbl_loader_bad_images(const FblLoader *loader);

// The next batch, valid until the following call; *out_batch is NULL after the last one. An unreadable image file gives
// a diagnostic that names it.
FblStatus fbl_loader_next(FblContext *ctx, FblLoader *loader, const FblBatch **out_batch);

#endif

// From u8 images to normalised f32 batches: crops, flips, colours, mean and deviation.
//
// Every random choice is a function of (seed, epoch, position in the epoch), so results do not depend on the number of
// loader threads and a resumed run continues exactly. Ownership: plain values. Threads: no state.
#ifndef FBL_RUNTIME_DATA_AUGMENT_H
#define FBL_RUNTIME_DATA_AUGMENT_H

#include "runtime/data/dataset.h"
#include "runtime/data/image.h"

typedef enum FblAugmentKind {
    FBL_AUGMENT_RANDOM_CROP,         // pad with black by `pad` on every side, cut size x size
    FBL_AUGMENT_RANDOM_FLIP,         // mirrored left to right with probability one half
    FBL_AUGMENT_RANDOM_RESIZED_CROP, // area scale .08-1, aspect 3/4-4/3, resized to size x size
    FBL_AUGMENT_RESIZE,              // shorter side to `size`
    FBL_AUGMENT_CENTER_CROP,         // cut size x size from the middle
    FBL_AUGMENT_COLOR_JITTER,        // amount: brightness, contrast, saturation, hue; in an order drawn for each image
    FBL_AUGMENT_CUTOUT,              // `count` black squares of `size`, their middles anywhere in the picture
    FBL_AUGMENT_AUTO_AUGMENT,        // AutoAugment's policy for CIFAR-10
    FBL_AUGMENT_RAND_AUGMENT,        // `count` operations at `size` of 31 levels
} FblAugmentKind;

typedef struct FblAugment {
    FblAugmentKind kind;
    int32_t size;
    int32_t pad;
    int32_t count;
    double amount[4];
} FblAugment;

#define FBL_AUGMENT_MAX 8

// Applied in order; then (v / 255 - mean) / std per channel.
typedef struct FblTransform {
    FblAugment ops[FBL_AUGMENT_MAX];
    int count;
    float mean[3];
    float std[3]; // each must be positive; a zeroed FblTransform means mean 0, std 1
    double cutmix_alpha; // of whole batches: > 0: a rectangle of each image comes from another one (see mixup.h)
} FblTransform;

// Checks that `transform` fits `data` and says what size it yields: every image must come out at one size.
FblStatus fbl_transform_check(FblContext *ctx, const FblTransform *transform, const FblDataset *data,
                              int32_t *out_height, int32_t *out_width);

// The transform of the test split that belongs to `train`: the same normalisation, no randomness; where the training
// transform cuts out of large images, the shorter side becomes size * 256 / 224 and the middle is cut.
FblTransform fbl_transform_for_test(const FblTransform *train, const FblDataset *test);

// Precomputed per-channel values of all 256 levels.
typedef struct FblNormTable {
    float value[3][256];
} FblNormTable;
void fbl_norm_table_make(const FblTransform *transform, FblNormTable *out);

// Writes image `index` of `data` to out[3][height][width] (the size fbl_transform_check gave). `position` is the
// image's place in the epoch's order. FBL_USER or FBL_IO with error->text when an image file cannot be used.
FblStatus fbl_transform_apply(const FblTransform *transform, const FblNormTable *table, const FblDataset *data,
                              int64_t index, uint64_t seed, int64_t epoch, int64_t position, int32_t height,
                              int32_t width, float *out, FblImageError *error);

#endif

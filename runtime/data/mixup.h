// Mixup: pairs of images of a batch, blended with one weight. Cutmix: one rectangle of each image taken from its partner.
//
// The weight and the pairing are functions of (seed, epoch, batch). Threads: no state.
#ifndef FBL_RUNTIME_DATA_MIXUP_H
#define FBL_RUNTIME_DATA_MIXUP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/data/random.h"

typedef struct FblRectangle {
    int32_t left, top, width, height;
} FblRectangle;

// A draw from Beta(alpha, alpha), alpha > 0; in [0, 1].
double fbl_mixup_beta(FblRandom *random, double alpha);

// The weight of the first image, and for each of the `size` images its partner.
float fbl_mixup_draw(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, double alpha, int64_t size,
                     int32_t *out_partner);

// The rectangle of cutmix (Yun et al. 2019) for images of height x width, and the partners. The share of the rectangle is
// 1 - Beta(alpha, alpha), its middle is anywhere and its outside is cut off. Returns the share that is left to the own
// image, counted in pixels. When `or_mixup`, half of the batches get none: then the result is -1.
float fbl_cutmix_draw(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, double alpha, bool or_mixup, int64_t size,
                      int32_t height, int32_t width, int32_t *out_partner, FblRectangle *out_rectangle);

#endif

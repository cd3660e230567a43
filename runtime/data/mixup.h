// Mixup: pairs of images of a batch, blended with one weight.
//
// The weight and the pairing are functions of (seed, epoch, batch). Threads: no state.
#ifndef FBL_RUNTIME_DATA_MIXUP_H
#define FBL_RUNTIME_DATA_MIXUP_H

#include <stdint.h>

#include "runtime/data/random.h"

// A draw from Beta(alpha, alpha), alpha > 0; in [0, 1].
double fbl_random_beta(FblRandom *random, double alpha);

// The weight of the first image, and for each of the `size` images its partner.
float fbl_mixup_draw(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, double alpha, int64_t size,
                     int32_t *out_partner);

#endif

// Random sequences of the data side: words of Philox, numbered by their use.
//
// The streams lie above those that compiled programs draw from, so a seed can be shared. Threads: no state.
#ifndef FBL_RUNTIME_DATA_RANDOM_H
#define FBL_RUNTIME_DATA_RANDOM_H

#include "base/philox.h"

enum {
    FBL_STREAM_SHUFFLE = 0x70000000,
    FBL_STREAM_SAMPLE = 0x70000001,
    FBL_STREAM_AUGMENT = 0x70000002,
    FBL_STREAM_MIXUP = 0x70000003,
    FBL_STREAM_CUTMIX = 0x70000004,
};

// A sequence that is read in order from word `next` on.
typedef struct FblRandom {
    uint64_t seed, step, next;
    uint32_t stream;
} FblRandom;

static inline uint32_t fbl_random_next(FblRandom *random) {
    return fbl_random_u32(random->seed, random->stream, random->step, random->next++);
}

#define FBL_WINDOW_FN static inline
#include "runtime/data/window.inc" // fbl_random_below

// Uniform in (0, 1) with 53 bits.
static inline double fbl_random_unit(FblRandom *random) {
    uint64_t high = fbl_random_next(random);
    uint64_t low = fbl_random_next(random);
    return ((double)(((high << 32) | low) >> 12) + 0.5) * 0x1p-52;
}

#endif

// The parts of numpy that published data splits depend on, bit for bit: the legacy generator and argsort's ties.
//
// Ownership: plain values. Threads: no shared state.
#ifndef FBL_RUNTIME_DATA_NUMPY_H
#define FBL_RUNTIME_DATA_NUMPY_H

#include <stdint.h>

// MT19937 as np.random.seed(integer) leaves it.
typedef struct FblNumpyRandom {
    uint32_t key[624];
    int position;
} FblNumpyRandom;

void fbl_numpy_seed(FblNumpyRandom *random, uint32_t seed);
uint32_t fbl_numpy_next(FblNumpyRandom *random);

// np.random.shuffle of a one-dimensional array of fewer than 2^32 elements.
void fbl_numpy_shuffle(FblNumpyRandom *random, int64_t *items, int64_t count);

// np.argsort(values) with its default kind, which is not stable: equal values come in the order numpy's introsort
// leaves them in (numpy up to 1.24, and later versions without the AVX-512 sort).
void fbl_numpy_argsort(const int64_t *values, int64_t count, int64_t *out_order);

#endif

// Philox4x32-10, the counter-based generator behind every random number of the project (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). The same (seed, stream, step, index) gives the same bits on every target.
#ifndef FBL_BASE_PHILOX_H
#define FBL_BASE_PHILOX_H

#include <stdint.h>

typedef struct FblPhilox {
    uint32_t v[4];
} FblPhilox;

static inline FblPhilox fbl_philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (FblPhilox){{c0, c1, c2, c3}};
}

// The word for element `index` of random site `stream` at training step `step`: word index%4 of the block index/4.
// Counter = (index/4 low, stream, step low, step high), key = the two halves of the seed.
static inline uint32_t fbl_random_u32(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index) {
    FblPhilox block = fbl_philox((uint32_t)(index >> 2), stream, (uint32_t)step, (uint32_t)(step >> 32),
                                 (uint32_t)seed, (uint32_t)(seed >> 32));
    return block.v[index & 3];
}

// A 32-bit word as a uniform number strictly inside (0, 1): (w >> 9 + 0.5) / 2^23. Exact in f32: 23 bits and the half
// fill its 24; one bit more would round the largest words up to 1.
static inline float fbl_uniform_f32(uint32_t word) { return ((float)(word >> 9) + 0.5f) * 0x1p-23f; }

#endif

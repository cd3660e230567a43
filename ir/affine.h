// Where a load or a store of a kernel lies in its buffer, as far as that is a plain way through memory: a base and a step a loop.
// Ownership: plain values. Threads: no state.
#ifndef FBL_IR_AFFINE_H
#define FBL_IR_AFFINE_H

#include "ir/kernel.h"

// An element as base + sum of step[l] * loop l.
typedef struct FblAffine {
    int64_t base, step[FBL_KERNEL_MAX_LOOPS];
} FblAffine;

// The element of a buffer of f32 or halves at `index`, from its strides. False for another type, and for an index that is not affine.
bool fbl_affine_place(const FblKernel *kernel, int32_t buffer, const int32_t *index, FblAffine *out);

// The same for instruction `id`; false when it is no unguarded load.
bool fbl_affine_load(const FblKernel *kernel, int32_t id, int32_t *out_buffer, FblAffine *out);

#endif

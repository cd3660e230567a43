// Numbers from the Beta distribution (mixup's weight), drawn from Philox: the interpreter and the run time share them.
//
// Threads: no state.
#ifndef FBL_BASE_BETA_H
#define FBL_BASE_BETA_H

#include <stdint.h>

// One number from Beta(a, b), in [0, 1], a function of (seed, stream, step). NaN unless a and b are positive and
// finite.
double fbl_random_beta(uint64_t seed, uint32_t stream, uint64_t step, double a, double b);

#endif

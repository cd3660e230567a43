// Which algorithm computes a convolution: a cost model per shape, or what `--conv` says.
//
// Ownership: nothing is kept. Threads: any.
#ifndef FBL_PASSES_ALGORITHM_H
#define FBL_PASSES_ALGORITHM_H

#include "base/context.h"
#include "ir/kernel.h"

// `setting`: auto (or NULL), direct, winograd2 or winograd4. E0403 for another word.
FblStatus fbl_conv_check_setting(FblContext *ctx, const char *setting);

// Estimated work of the contraction by `algorithm`, in multiply-adds of vectors of `lanes` f32; for a contraction that has
// the algorithm.
double fbl_conv_cost(const FblContraction *contraction, FblConvAlgorithm algorithm, int32_t lanes);

// Sets the contraction's algorithm and, of a weight gradient, its chunks, from shapes and setting alone. A setting that the
// contraction does not have leaves the direct form; `auto` takes the cheapest.
void fbl_conv_choose(FblContraction *contraction, const char *setting, int32_t lanes);

#endif

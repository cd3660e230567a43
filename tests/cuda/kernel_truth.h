// What a launch of a kernel must store, computed from the kernel itself in the plainest way: scalar code in f32, one rounding an
// instruction; factors of contractions rounded as the target rounds them; sums in double. The input is the memory that the launch under
// test reads, so nothing of earlier launches' rounding is in the comparison.
//
// Ownership: stated per function. Threads: one.
#ifndef FBL_TESTS_CUDA_KERNEL_TRUTH_H
#define FBL_TESTS_CUDA_KERNEL_TRUTH_H

#include "codegen/cuda/cuda_target.h"

// The nearest number with `bits` significant bits that is a multiple of 2^least and, beyond `largest`, infinite. Ties go to even, or
// away from zero.
double kernel_truth_nearest(double x, int bits, int least, double largest, bool away);
// A factor of a contraction as a target of this precision multiplies it: f32 as it is; tf32 11 bits, ties away; bf16 8 bits and f16 11,
// ties to even.
double kernel_truth_factor(FblCudaPrecision precision, double x);

// Element `i` of memory of a type.
double kernel_truth_element(FblDtype dtype, const void *memory, int64_t i);

// buffers[] are the kernel's, before the launch; they are only read. out[b] for every output gets an array of the buffer's elements (malloc'ed, the
// caller's): what the launch leaves there, elements that it does not store included; NULL for inputs. False, with nothing in out[], for
// kernels of a library, which are single ops.
bool kernel_truth(const FblKernel *kernel, void *const *buffers, FblCudaPrecision precision, uint64_t seed, uint64_t step, double **out);
// Compares what a launch left in buffer `b` with what it must: distance in the Euclidean norm, relative to what it must be, allowed for
// buffers of f32 and of halves (or sums of halves that the kernel itself rounds); integers and truths exactly. Says what is wrong. *worst becomes the largest distance seen.
bool kernel_truth_check(const FblKernel *kernel, int32_t b, const void *got, const double *want, double allowed_f32, double allowed_half, double *worst);

#endif

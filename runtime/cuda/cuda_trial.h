// Several codes of one kernel side by side on the GPU: do they compute the same, and how long does each take?
//
// Ownership: everything in the options is borrowed for the call. Threads: one caller.
#ifndef FBL_RUNTIME_CUDA_CUDA_TRIAL_H
#define FBL_RUNTIME_CUDA_CUDA_TRIAL_H

#include "runtime/cuda/cuda_device.h"

typedef enum FblCudaVerdict {
    FBL_CUDA_TRIAL_RIGHT,
    FBL_CUDA_TRIAL_WRONG,   // an element differs from the first code's by more than rounding explains
    FBL_CUDA_TRIAL_REFUSED, // the GPU does not take or start the code (too many registers, too much shared memory)
} FblCudaVerdict;

typedef struct FblCudaTrialResult {
    FblCudaVerdict verdict;
    double microseconds; // of one run, all phases: the median of several groups, between the groups of the others
    double difference;   // WRONG: the largest one, in units of what is allowed
} FblCudaTrialResult;

typedef struct FblCudaTrialOptions {
    FblCudaDevice *device;
    const FblKernel *kernel;
    const FblKernelCode *codes; // the first is what the others are compared with
    size_t count;
    double tolerance; // of an element: this times (its size and the buffer's root mean square)
    double library_tolerance; // the same for codes with a library
    int64_t compare_bytes; // of each output at its beginning and at its end; 0: all of it
    bool timed;            // else only the verdicts are found
} FblCudaTrialOptions;

// A code with a library (FblKernelCode.library) runs that. Inputs are random: tensors of two dimensions and more from (-1, 1), vectors and scalars (scales, variances, counts) from
// (0.5, 1.5), integers 0. Every code runs on the same inputs into memory filled with NaN. results[count]; all REFUSED when the
// buffers do not fit into the free memory. FBL_DEVICE with E0645 when a code faults: the GPU is of no use afterwards.
FblStatus fbl_cuda_trial(FblContext *ctx, const FblCudaTrialOptions *options, FblCudaTrialResult *out_results);

#endif

// The driver's side for --target cuda: reading the target, compiling kernels with NVRTC, opening the GPU.
//
// Ownership: part of a driver. Threads: fbl_driver_cuda_compile from any number at once, the others as the context.
#ifndef FBL_CLI_DRIVER_CUDA_H
#define FBL_CLI_DRIVER_CUDA_H

#include "codegen/cuda/cuda_target.h"
#include "runtime/cuda/cuda_device.h"

struct FblDriver;

typedef struct FblDriverCuda {
    FblCudaOptions options;
    char identity[48];     // "cuda sm_90 tf32": keys the kernel cache and compiled files
    FblCudaDevice *device; // NULL until it is needed
} FblDriverCuda;

// Sets *out_cuda for a target "cuda" (the GPU's own architecture: opens it) or "cuda:sm_90", NULL for "cpu". E0649 for
// other targets and for precisions that do not exist.
FblStatus fbl_driver_cuda_create(FblContext *ctx, const char *target, const char *precision, FblDriverCuda **out_cuda);
void fbl_driver_cuda_destroy(FblDriverCuda *cuda);

// Opens the GPU that the code is for, once.
FblStatus fbl_driver_cuda_device(FblContext *ctx, FblDriverCuda *cuda, FblDevice **out_device);

// Whether kernels can be compiled here: E0648 with FBL_UNSUPPORTED when NVRTC is missing.
FblStatus fbl_driver_cuda_check(FblContext *ctx);

#define FBL_CUDA_UNIT 8 // kernels in a translation unit: more save little, and each kernel's code is kept with all of its unit's

// Kernels to machine code, as one translation unit; each of out_codes[count] gets a copy of the image. Messages go to `error`, as
// in codegen/target.h. No two of the kernels may have the same name.
FblStatus fbl_driver_cuda_compile(const FblDriverCuda *cuda, FblKernel *const *kernels, size_t count, FblKernelCode *const *out_codes, char *error, size_t error_size);

// The kernels of runtime/cuda/session_source.h.
FblStatus fbl_driver_cuda_session(const FblDriverCuda *cuda, FblKernelCode *out_code, char *error, size_t error_size);

// Its CUDA C (form 'c'), PTX ('p') or cubin ('b'); malloc'ed, texts end with a zero that *out_size does not count.
FblStatus fbl_driver_cuda_emit(const FblDriverCuda *cuda, const FblKernel *kernel, char form, char **out_text, size_t *out_size, char *error, size_t error_size);

#endif

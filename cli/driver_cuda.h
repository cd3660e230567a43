// The driver's side for --target cuda: reading the target, compiling kernels with NVRTC, opening the GPU.
//
// Ownership: part of a driver. Threads: fbl_driver_cuda_compile from any number at once, the others as the context.
#ifndef FBL_CLI_DRIVER_CUDA_H
#define FBL_CLI_DRIVER_CUDA_H

#include "codegen/cuda/cuda_target.h"
#include "passes/options.h"
#include "runtime/cuda/cuda_device.h"

struct FblDriver;

typedef struct FblDriverCuda {
    FblCudaOptions options;
    char target[48];       // "cuda sm_90 tf32"
    char identity[80];     // the same with a digest of the tuned tiles, where there are any: keys compiled files
    FblCudaTune tune;      // what options.tune points to: the bundled table, overruled by the user's
    FblCudaTune own;       // the user's rows alone, which --tune=search adds to
    int gpus;              // that share a step's batch
    double search_start;   // of --tune=search, in seconds; 0: not begun
    FblCudaDevice *device; // NULL until it is needed
    bool libraries[FBL_LIBRARY_COUNT]; // which may be used (cli/library.h sets it)
} FblDriverCuda;

// Sets *out_cuda for a target "cuda" (the GPU's own architecture: opens it) or "cuda:sm_90", NULL for "cpu". E0649 for
// other targets and for precisions that do not exist, E0651 for a line of --tune-file, E0652 for --tune. Reads target, precision,
// gemm, tune and tune_file of the options.
FblStatus fbl_driver_cuda_create(FblContext *ctx, const FblPassOptions *options, FblDriverCuda **out_cuda);
void fbl_driver_cuda_destroy(FblDriverCuda *cuda);

// The tiles that a compiled file was made with, as fbl_driver_cuda_tiles gave them, take the place of all others.
FblStatus fbl_driver_cuda_use_tiles(FblContext *ctx, FblDriverCuda *cuda, const char *path, const char *text);
// The tuned tiles for this architecture and precision, sorted, without comments: with the program and the build they determine the code.
const char *fbl_driver_cuda_tiles(FblContext *ctx, const FblDriverCuda *cuda);
// Sets cuda->identity after the tiles have changed.
void fbl_driver_cuda_name(FblContext *ctx, FblDriverCuda *cuda);
// The library that the kernel is left to, if it has an algorithm that is right: what options.tune says, else cuBLASLt for products that need no array
// but of weights.
FblLibraryKind fbl_driver_cuda_library(const FblDriverCuda *cuda, const FblKernel *kernel);
// What the code of a kernel depends on besides its text and the build: the target, the tile that was tuned for it, and the library that it is left to.
void fbl_driver_cuda_key(const FblDriverCuda *cuda, const FblKernel *kernel, char out[FBL_CUDA_TUNE_TEXT + 64]);

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

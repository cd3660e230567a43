// Kernels as CUDA C: what the code generator for NVIDIA GPUs offers to the rest. Needs no GPU, no driver and no CUDA
// headers; the text is for NVRTC (codegen/cuda/nvrtc.h).
//
// A translation unit is fbl_cuda_preamble() followed by the text of any number of kernels. Each kernel becomes one
// `extern "C" __global__` entry point a phase; the phases of a kernel run one after the other on one stream. Every entry
// point takes the same parameters: one pointer a kernel buffer, in order (device memory, at least 16-byte aligned), then
// the workspace (only where workspace_bytes > 0, 256-byte aligned, contents undefined before phase 0 and after the last), then
// a pointer to FblScalars in device memory:
//     struct FblScalars { unsigned long long seed, step; };
// then, where the phase has any, its tensor maps, encoded for the memory they name, by value.
// Results depend on the kernel, the options and the inputs alone: no atomics, every sum in a fixed order.
// Ownership: stated per function. Threads: any number at once.
#ifndef FBL_CODEGEN_CUDA_CUDA_TARGET_H
#define FBL_CODEGEN_CUDA_CUDA_TARGET_H

#include "codegen/cuda/tune.h"
#include "codegen/target.h"
#include "ir/library_work.h"

// The arithmetic of contractions (convolutions and matrix products). Sums are always f32; F32 multiplies in f32; TF32,
// BF16 and F16 round both factors to that format first (to nearest, ties of TF32 away from zero, of the others to even)
// and multiply on tensor cores.
typedef enum FblCudaPrecision { FBL_CUDA_F32, FBL_CUDA_TF32, FBL_CUDA_BF16, FBL_CUDA_F16 } FblCudaPrecision;

// Which instructions multiply on tensor cores: MMA a warp's mma.sync; WGMMA, where there are (sm_90; bf16, f16, and tf32 except weight
// gradients), a warpgroup's wgmma, elsewhere MMA; TMA is WGMMA whose factors the copy engine brings where it can. AUTO is MMA.
typedef enum FblCudaGemm { FBL_CUDA_GEMM_AUTO, FBL_CUDA_GEMM_MMA, FBL_CUDA_GEMM_WGMMA, FBL_CUDA_GEMM_TMA } FblCudaGemm;

typedef struct FblCudaOptions {
    int32_t arch; // compute capability times ten: 75, 80, 86, 89, 90, 100, ...
    FblCudaPrecision precision;
    const FblCudaTune *tune; // tuned tiles; NULL: the cost model chooses
    FblCudaGemm gemm;
    FblLibraryKind library; // the phases around this library's call are generated too, where it can do the kernel
} FblCudaOptions;

typedef struct FblCudaPhase {
    char symbol[112];
    uint32_t grid[3], block[3];
    uint32_t shared_bytes; // dynamic shared memory; above 48 KiB the function's attribute must be raised
    int32_t map_count;     // this phase's further parameters: encoded tensor maps, by value
    FblTensorMap maps[FBL_GPU_MAX_MAPS];
} FblCudaPhase;

typedef struct FblCudaSource {
    char *text; // malloc'ed: the kernel's device functions and entry points, without the preamble
    int32_t phases;
    FblCudaPhase phase[FBL_KERNEL_MAX_PHASES];
    int64_t workspace_bytes;
    int32_t before, after; // phases around a library's call, as FblKernelCode has them
    FblCudaPhase around[FBL_ARRAY_COUNT];
    bool specific; // needs the features of the very architecture: sm_90a
} FblCudaSource;

// In what contractions multiply: F32 for TF32 as well, whose rounding is the multiplication's.
static inline FblDtype fbl_cuda_factors(FblCudaPrecision precision) { return precision == FBL_CUDA_BF16 ? FBL_BF16 : precision == FBL_CUDA_F16 ? FBL_F16 : FBL_F32; }

// Text that precedes the kernels of a translation unit: types, Philox, conversions, PTX wrappers. Static storage.
const char *fbl_cuda_preamble(void);

// The source of one kernel; free it with fbl_cuda_source_free. FBL_UNSUPPORTED with a message in `error` for what an
// architecture cannot do (below 75; tensor core formats before 80), FBL_NOMEM.
FblStatus fbl_cuda_emit(const FblKernel *kernel, const FblCudaOptions *options, FblCudaSource *out_source, char *error,
                        size_t error_size);
void fbl_cuda_source_free(FblCudaSource *source);

// A contraction in the table of tuned tiles, and up to `max` tiles worth measuring for it, the cost model's own first (*out_count of
// them; choices may be NULL). False for a kernel that has no tile.
bool fbl_cuda_problem(const FblKernel *kernel, const FblCudaOptions *options, FblCudaProblem *out_problem, FblCudaChoice *choices, size_t max, size_t *out_count);

#endif

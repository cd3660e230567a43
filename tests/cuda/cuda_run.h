// Runs the CUDA form of plans on the CPU: sources from the code generator, compiled by the system's C++ compiler against
// tests/cuda/shim.h, loaded with dlopen.
//
// Ownership: the functions' own; a CudaRun holds code for all plans that were added. Threads: one.
#ifndef FBL_TESTS_CUDA_CUDA_RUN_H
#define FBL_TESTS_CUDA_CUDA_RUN_H

#include "codegen/cuda/cuda_target.h"
#include "ir/plan.h"

typedef struct CudaKernel {
    const FblKernel *kernel;
    FblCudaSource source;
} CudaKernel;

typedef struct CudaRun {
    FblCudaOptions options;
    CudaKernel *kernels;
    size_t count, capacity;
    void *library;
    const unsigned long long *multiply_adds; // that the tensor cores have done
    void (*launch)(const char *, void (*)(void **), void **, const uint32_t *, const uint32_t *, uint32_t, uint64_t);
} CudaRun;

// Whether there is a C++ compiler (the one named by FBL_CXX, else c++).
bool cuda_run_possible(void);
void cuda_run_init(CudaRun *run, const FblCudaOptions *options);
// Emits a kernel, or every kernel of `plan`. Exits with a message on failure.
void cuda_run_add_kernel(CudaRun *run, const FblKernel *kernel);
void cuda_run_add(CudaRun *run, const FblPlan *plan);
// Compiles and loads what was added. Exits with a message on failure.
void cuda_run_build(CudaRun *run);
void cuda_run_free(CudaRun *run);

// Runs a kernel that was added on copies of `buffers` that end where they end, so that an address sanitizer sees each step
// outside; outputs are copied back. `order`: seed of the threads' order, 0: as numbered.
void cuda_run_kernel(const CudaRun *run, const FblKernel *kernel, void *const *buffers, uint64_t seed, uint64_t step, uint64_t order);

// Memory for the regions of a plan, zeroed; a pattern that is a NaN for the arena.
void cuda_run_regions(const FblPlan *plan, uint8_t *regions[FBL_REGION_COUNT]);
// Runs a function of a plan that was added, launch by launch as cuda_run_kernel.
void cuda_run_function(const CudaRun *run, const FblPlan *plan, size_t function, uint8_t *const regions[FBL_REGION_COUNT], uint64_t seed, uint64_t step,
                       uint64_t order);

#endif

// Evaluation on the GPU, several batches under way at once: the host asks for batches and reads their outputs some batches
// later, so that neither waits for the other.
//
// Images are those of a set that is held on the GPU, in order; or the host writes them into the inputs (fbl_exec_write)
// before it asks for a batch, and their copies overlap with the batch before.
// Ownership: everything in the options is borrowed and must outlive the evaluation, but for the transform. Threads: one caller.
#ifndef FBL_RUNTIME_CUDA_CUDA_EVAL_H
#define FBL_RUNTIME_CUDA_CUDA_EVAL_H

#include "runtime/cuda/cuda_held.h"

#define FBL_CUDA_EVAL_AHEAD 4   // batches asked for before the oldest one is read
#define FBL_CUDA_EVAL_OUTPUTS 2

typedef struct FblCudaEval FblCudaEval;

typedef struct FblCudaEvalOptions {
    FblCudaDevice *device;
    const FblKernelCode *kernels; // fbl_session_source compiled for the device
    FblDeviceExec *exec;
    const FblPlan *plan;
    int function;
    const FblPlanTensor *outputs[FBL_CUDA_EVAL_OUTPUTS]; // to be brought back; NULL: none
    const FblDataset *data;       // to be held on the GPU; NULL: images come from the host
    const FblTransform *transform; // of crops in the middle only
    int32_t height, width;        // that the transform yields
    int64_t batch;
} FblCudaEvalOptions;

FblStatus fbl_cuda_eval_create(FblContext *ctx, const FblCudaEvalOptions *options, FblCudaEval **out_eval);
void fbl_cuda_eval_destroy(FblCudaEval *eval);

// Before the first batch of the set. Nothing may be under way.
FblStatus fbl_cuda_eval_begin(FblContext *ctx, FblCudaEval *eval);
// Asks for the next batch; at most FBL_CUDA_EVAL_AHEAD may be asked for and not read. Rows beyond the last image of a held set repeat
// the first image of the batch.
FblStatus fbl_cuda_eval_ask(FblContext *ctx, FblCudaEval *eval, uint64_t seed);
// Waits for the oldest batch that was not read; out_data[] are its outputs as they lie in memory, valid until the next ask.
FblStatus fbl_cuda_eval_read(FblContext *ctx, FblCudaEval *eval, const float *out_data[FBL_CUDA_EVAL_OUTPUTS]);

#endif

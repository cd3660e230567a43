// Training steps that follow one another on the GPU without the host: scalars, images of a resident data set, forward, loss,
// backward, optimizer and the step's numbers as one CUDA graph. The host uploads the order of an epoch, asks for steps, and reads
// their numbers some steps later.
//
// Images that are not resident are written into the inputs by the host before each step (fbl_exec_write); their copies
// overlap with the step before.
// Ownership: everything in the options is borrowed and must outlive the session. Threads: one caller.
#ifndef FBL_RUNTIME_CUDA_CUDA_SESSION_H
#define FBL_RUNTIME_CUDA_CUDA_SESSION_H

#include "runtime/cuda/cuda_exec.h"
#include "runtime/data/augment.h"

typedef struct FblCudaSession FblCudaSession;

// One program: the functions of an executor at one batch size.
typedef struct FblCudaSessionPart {
    FblDeviceExec *exec; // NULL: there is no such part
    const FblPlan *plan;
    int train; // function numbers
    const FblPlanTensor *score; // the output that is ranked, f32 over batch and class in either order
} FblCudaSessionPart;

typedef struct FblCudaSessionOptions {
    FblCudaDevice *device;
    const FblKernelCode *kernels;      // fbl_session_source compiled for the device
    FblCudaSessionPart parts[2];       // at the full batch; at the size of an epoch's last one
    int optimizer;                     // function of parts[0], -1: none
    FblDevicePtr gradients;            // the store's region GRADS
    int64_t gradient_bytes;
    const FblDataset *data;            // to be held on the device; NULL: images come from the host
    const FblTransform *transform;
    int32_t height, width;             // that the transform yields
    int64_t batch, steps, length;      // images in a full batch, steps and images of an epoch
    int64_t classes;
    double mixup_alpha;                // held sets are mixed on the GPU: mixup with this alpha and cutmix with the transform's, 0: none
} FblCudaSessionOptions;

FblStatus fbl_cuda_session_create(FblContext *ctx, const FblCudaSessionOptions *options, FblCudaSession **out_session);
void fbl_cuda_session_destroy(FblCudaSession *session);

// Before the steps of an epoch, from step `first` on: order[length] are image numbers (read when images are resident).
// Waits for the steps before.
FblStatus fbl_cuda_session_begin(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch, int64_t first, int64_t global_step, const int64_t *order);

// Asks for the next step, with parts[part].
FblStatus fbl_cuda_session_step(FblContext *ctx, FblCudaSession *session, int part);

typedef struct FblCudaRecord {
    float loss;
    int32_t right; // images whose label had the highest score
    int32_t bad;   // a gradient is not finite
    int32_t unused;
} FblCudaRecord;

// Waits for step `step` of the epoch, which was asked for, and gives its numbers.
FblStatus fbl_cuda_session_record(FblContext *ctx, FblCudaSession *session, int64_t step, FblCudaRecord *out_record);

#endif

// A data set held on the GPU, and what its kernels (session_kernels.cuh) read: shared by training and evaluation.
//
// Ownership: stated per function. Threads: one caller.
#ifndef FBL_RUNTIME_CUDA_CUDA_HELD_H
#define FBL_RUNTIME_CUDA_CUDA_HELD_H

#include "runtime/cuda/cuda_exec.h"
#include "runtime/data/augment.h"

#define FBL_CUDA_IMAGE_THREADS 256 // of the block that cuts an image

// The same structures as in session_kernels.cuh.
typedef struct FblCudaState {
    uint64_t seed, epoch, step;
    int64_t epoch_step, batch;
    int32_t bad, unused;
} FblCudaState;

typedef struct FblCudaShape {
    int32_t images, height, width, source_height, source_width;
    int32_t ops, kind[FBL_AUGMENT_MAX], size[FBL_AUGMENT_MAX], pad[FBL_AUGMENT_MAX];
    int32_t classes, score_image, score_class;
    int32_t step_is_float, t_is_float;
} FblCudaShape;

typedef struct FblCudaMix {
    float weight;
    int32_t cut, top, left, height, width;
} FblCudaMix;

typedef struct FblCudaHeld {
    FblDevicePtr pixels, labels, order, table; // 0: nothing is held
    int32_t *order_host;
    int64_t length;
} FblCudaHeld;

// Whether images of `data` can be held and augmented there: in memory, not much against the GPU's, crops and flips only
// with at most one crop (the CPU's path for windows), mixed or not.
bool fbl_cuda_can_hold(const FblCudaDevice *device, const FblDataset *data, const FblTransform *transform);

// Copies the set to the GPU, with room for an order of `length` images. Release in any case.
FblStatus fbl_cuda_hold(FblContext *ctx, FblCudaDevice *device, const FblDataset *data, const FblTransform *transform, int64_t length, FblCudaHeld *out_held);
void fbl_cuda_held_release(FblCudaDevice *device, FblCudaHeld *held);
// order[length] are image numbers. Waits for the work before.
FblStatus fbl_cuda_held_order(FblContext *ctx, FblCudaDevice *device, FblCudaHeld *held, const int64_t *order);

// The set's extents and the transform in a shape.
void fbl_cuda_shape_set(FblCudaShape *shape, const FblDataset *data, const FblTransform *transform);

// The tensor `name` of a list, or NULL; where it lies in an executor's memory (0 for NULL).
const FblPlanTensor *fbl_cuda_tensor(const FblPlanTensor *tensors, size_t count, const char *name);
FblDevicePtr fbl_cuda_address(const FblDeviceExec *exec, const FblPlanTensor *tensor);

#endif

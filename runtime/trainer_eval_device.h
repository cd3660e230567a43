// Batches of an evaluation on a GPU, several under way at once. Private to runtime/trainer*.c.
//
// Test sets that fit are held on the GPU from the first evaluation on; others come from the loader, whose batches are copied
// while the batch before runs.
// Ownership: open and close; borrows the programs, the data and the tensors. Threads: one caller.
#ifndef FBL_RUNTIME_TRAINER_EVAL_DEVICE_H
#define FBL_RUNTIME_TRAINER_EVAL_DEVICE_H

#include "runtime/trainer.h"

typedef struct FblEvalDevice FblEvalDevice;

typedef struct FblEvalDeviceOptions {
    const FblTrainPrograms *programs;
    const FblDataset *data;
    const FblTransform *transform;
    int function;
    const FblPlanTensor *score, *feature; // feature NULL: not wanted
    int32_t height, width;
    int64_t batch;
} FblEvalDeviceOptions;

// *out_device is NULL on the CPU.
FblStatus fbl_eval_device_open(FblContext *ctx, const FblEvalDeviceOptions *options, FblEvalDevice **out_device);
// fbl_eval_device_close is in trainer.h.

// Whether no loader is needed.
bool fbl_eval_device_holds(const FblEvalDevice *device);

// Before the first batch. Nothing may be under way.
FblStatus fbl_eval_device_begin(FblContext *ctx, FblEvalDevice *device);
// Batches asked for and not read; whether another one may be asked for; held sets: whether there is one.
int64_t fbl_eval_device_under_way(const FblEvalDevice *device);
bool fbl_eval_device_has_room(const FblEvalDevice *device);
bool fbl_eval_device_has_images(const FblEvalDevice *device);
// The next batch: of the held set (batch NULL), or the one whose images are in the inputs.
FblStatus fbl_eval_device_ask(FblContext *ctx, FblEvalDevice *device, const FblBatch *batch);

typedef struct FblEvalBatch {
    const float *score, *feature; // as they lie in memory; feature NULL: not wanted
    const int32_t *labels;        // [size]
    int64_t size;
} FblEvalBatch;
// Waits for the oldest batch under way; valid until the next ask.
FblStatus fbl_eval_device_read(FblContext *ctx, FblEvalDevice *device, FblEvalBatch *out_batch);

#endif

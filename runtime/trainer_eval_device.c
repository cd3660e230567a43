#include "runtime/trainer_eval_device.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/cuda_eval.h"

struct FblEvalDevice {
    const FblDataset *data;
    int64_t batch;
    FblCudaEval *eval;
    uint64_t seed;
    bool holds;
    int64_t asked, read; // batches
    int64_t sizes[FBL_CUDA_EVAL_AHEAD];
    int32_t *labels; // [FBL_CUDA_EVAL_AHEAD][batch]
};

FblStatus fbl_eval_device_open(FblContext *ctx, const FblEvalDeviceOptions *options, FblEvalDevice **out_device) {
    const FblTrainPrograms *programs = options->programs;
    *out_device = NULL;
    if (!programs->store->device || !programs->session_code || !programs->session_code->object) {
        return FBL_OK;
    }
    FblCudaDevice *cuda = (FblCudaDevice *)programs->store->device;
    FblEvalDevice *device = calloc(1, sizeof *device);
    if (!device) {
        fbl_out_of_memory();
    }
    *device = (FblEvalDevice){.data = options->data, .batch = options->batch, .seed = programs->module->recipe.seed, .holds = fbl_cuda_can_hold(cuda, options->data, options->transform)};
    device->labels = calloc((size_t)options->batch * FBL_CUDA_EVAL_AHEAD + 1, sizeof *device->labels);
    if (!device->labels) {
        fbl_out_of_memory();
    }
    FblCudaEvalOptions eval = {.device = cuda, .kernels = programs->session_code, .exec = fbl_exec_remote(programs->main), .plan = fbl_exec_plan(programs->main),
                               .function = options->function, .outputs = {options->score, options->feature}, .data = device->holds ? options->data : NULL,
                               .transform = options->transform, .height = options->height, .width = options->width, .batch = options->batch};
    FblStatus status = fbl_cuda_eval_create(ctx, &eval, &device->eval);
    if (status != FBL_OK) {
        fbl_eval_device_close(device);
        return status;
    }
    *out_device = device;
    return FBL_OK;
}

void fbl_eval_device_close(FblEvalDevice *device) {
    if (device) {
        fbl_cuda_eval_destroy(device->eval);
        free(device->labels);
        free(device);
    }
}

bool fbl_eval_device_holds(const FblEvalDevice *device) { return device->holds; }

FblStatus fbl_eval_device_begin(FblContext *ctx, FblEvalDevice *device) {
    device->asked = device->read = 0;
    return fbl_cuda_eval_begin(ctx, device->eval);
}

int64_t fbl_eval_device_under_way(const FblEvalDevice *device) { return device->asked - device->read; }

bool fbl_eval_device_has_room(const FblEvalDevice *device) { return device->asked - device->read < FBL_CUDA_EVAL_AHEAD; }

bool fbl_eval_device_has_images(const FblEvalDevice *device) { return device->asked * device->batch < device->data->count; }

FblStatus fbl_eval_device_ask(FblContext *ctx, FblEvalDevice *device, const FblBatch *batch) {
    int64_t slot = device->asked % FBL_CUDA_EVAL_AHEAD, first = device->asked * device->batch, left = device->data->count - first;
    int64_t size = batch ? batch->size : left < device->batch ? left : device->batch;
    device->sizes[slot] = size;
    memcpy(device->labels + slot * device->batch, batch ? batch->labels : device->data->labels + first, (size_t)size * sizeof *device->labels);
    device->asked++;
    return fbl_cuda_eval_ask(ctx, device->eval, device->seed);
}

FblStatus fbl_eval_device_read(FblContext *ctx, FblEvalDevice *device, FblEvalBatch *out_batch) {
    int64_t slot = device->read++ % FBL_CUDA_EVAL_AHEAD;
    const float *data[FBL_CUDA_EVAL_OUTPUTS];
    FBL_TRY(fbl_cuda_eval_read(ctx, device->eval, data));
    *out_batch = (FblEvalBatch){data[0], data[1], device->labels + slot * device->batch, device->sizes[slot]};
    return FBL_OK;
}

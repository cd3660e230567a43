#include "runtime/trainer_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/cuda_held.h"
#include "runtime/cuda/cuda_session.h"
#include "runtime/trainer_internal.h"

struct FblTrainDevice {
    const FblTrainOptions *options;
    FblCudaSession *session;
    bool holds, mixes;
    uint64_t seed;
    int64_t batch, steps, length;
    int64_t *order;
    int64_t epoch, next, oldest; // steps of the epoch: to be asked for, to be read
};

static FblStatus open_session(FblContext *ctx, FblTrainDevice *device, FblCudaDevice *cuda) {
    const FblTrainOptions *options = device->options;
    const FblTrainPrograms *programs = &options->programs;
    FblCudaSessionOptions session = {.device = cuda, .kernels = programs->session_code, .optimizer = fbl_exec_function(programs->main, "optimizer"),
                                     .gradients = programs->store->remote[FBL_REGION_GRADS], .gradient_bytes = programs->store->bytes[FBL_REGION_GRADS],
                                     .data = device->holds ? options->train : NULL, .transform = &options->transform, .batch = device->batch,
                                     .steps = device->steps, .length = device->length, .classes = options->train->classes, .mixup_alpha = options->mixup_alpha};
    FBL_TRY(fbl_transform_check(ctx, &options->transform, options->train, &session.height, &session.width));
    FblExec *execs[2] = {programs->main, programs->tail};
    const FblModule *modules[2] = {programs->module, programs->tail_module};
    for (int p = 0; p < 2 && execs[p]; p++) {
        session.parts[p] = (FblCudaSessionPart){fbl_exec_remote(execs[p]), fbl_exec_plan(execs[p]), fbl_exec_function(execs[p], "train"), NULL};
        FBL_TRY(fbl_trainer_find_scores(ctx, execs[p], "train", modules[p], session.classes, &session.parts[p].score));
    }
    return fbl_cuda_session_create(ctx, &session, &device->session);
}

FblStatus fbl_train_device_open(FblContext *ctx, const FblTrainOptions *options, uint64_t seed, int64_t batch, int64_t steps, FblTrainDevice **out_device) {
    const FblTrainPrograms *programs = &options->programs;
    *out_device = NULL;
    int train = fbl_exec_function(programs->main, "train");
    if (!programs->store->device || !programs->session_code || options->check_finite || !fbl_exec_input(programs->main, train, "label")) {
        return FBL_OK;
    }
    FblCudaDevice *cuda = (FblCudaDevice *)programs->store->device;
    FblTrainDevice *device = calloc(1, sizeof *device);
    if (!device) {
        fbl_out_of_memory();
    }
    device->options = options;
    device->seed = seed;
    device->batch = batch;
    device->steps = steps;
    device->length = fbl_sampler_length(&options->sampler, options->train);
    const FblPlanTensor *mix = fbl_exec_input(programs->main, train, "mix"); // the kernel writes a float
    device->mixes = options->mixup_alpha > 0 || options->transform.cutmix_alpha > 0;
    device->holds = fbl_cuda_can_hold(cuda, options->train, &options->transform) && !(device->mixes && mix && mix->type.dtype != FBL_F32);
    device->order = calloc((size_t)device->length + 1, sizeof *device->order);
    if (!device->order) {
        fbl_out_of_memory();
    }
    FblStatus status = open_session(ctx, device, cuda);
    if (status != FBL_OK) {
        fbl_train_device_close(device);
        return status;
    }
    *out_device = device;
    return FBL_OK;
}

void fbl_train_device_close(FblTrainDevice *device) {
    if (device) {
        fbl_cuda_session_destroy(device->session);
        free(device->order);
        free(device);
    }
}

bool fbl_train_device_holds_images(const FblTrainDevice *device) { return device->holds; }

int64_t fbl_train_device_under_way(const FblTrainDevice *device) { return device->next - device->oldest; }

FblStatus fbl_train_device_begin(FblContext *ctx, FblTrainDevice *device, int64_t epoch, int64_t epoch_step, int64_t global_step) {
    const FblTrainOptions *options = device->options;
    device->epoch = epoch;
    device->next = device->oldest = epoch_step;
    if (device->holds) {
        FBL_TRY(fbl_sampler_order(&options->sampler, options->train, device->seed, epoch, device->order));
        const FblExec *execs[2] = {options->programs.main, options->programs.tail};
        for (int p = 0; p < 2 && execs[p] && !device->mixes; p++) { // without mixup the first label has all the weight
            fbl_exec_set_scalar(execs[p], fbl_exec_function(execs[p], "train"), "mix", 1);
        }
    }
    return fbl_cuda_session_begin(ctx, device->session, device->seed, epoch, epoch_step, global_step, device->order);
}

static int64_t batch_size(const FblTrainDevice *device, int64_t step) {
    int64_t left = device->length - step * device->batch;
    return left < device->batch ? left : device->batch;
}

FblStatus fbl_train_device_ask(FblContext *ctx, FblTrainDevice *device, FblLoader *loader) {
    const FblTrainPrograms *programs = &device->options->programs;
    int part = batch_size(device, device->next) == device->batch ? 0 : 1;
    if (!device->holds) {
        const FblExec *exec = part ? programs->tail : programs->main;
        int train = fbl_exec_function(exec, "train");
        const FblBatch *batch;
        FBL_TRY(fbl_loader_next(ctx, loader, &batch));
        fbl_trainer_set_images(exec, train, 0, batch->images, batch->size);
        fbl_trainer_set_labels(exec, train, "label", batch->labels, batch->size);
        fbl_trainer_set_labels(exec, train, "label2", batch->labels2, batch->size);
        fbl_exec_set_scalar(exec, train, "mix", (double)batch->lambda);
    }
    FBL_TRY(fbl_cuda_session_step(ctx, device->session, part));
    device->next++;
    return FBL_OK;
}

FblStatus fbl_train_device_read(FblContext *ctx, FblTrainDevice *device, FblTrainStep *out_step) {
    FblCudaRecord record;
    FBL_TRY(fbl_cuda_session_record(ctx, device->session, device->oldest, &record));
    *out_step = (FblTrainStep){device->oldest, batch_size(device, device->oldest), (double)record.loss, record.right, isfinite(record.loss) && !record.bad};
    device->oldest++;
    return FBL_OK;
}

#include "runtime/cuda/cuda_eval.h"

#include <stdlib.h>

#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cuda_group.h"

struct FblCudaEval {
    FblCudaEvalOptions options;
    FblCudaEval *peers[FBL_CUDA_MAX_GPUS]; // the same on all devices of the group, itself included
    int peer_count;
    FblCuHandle module;
    FblCudaHeld held;
    FblDevicePtr state, shape;
    FblCudaCall images, next;
    uint8_t *results; // pinned: FBL_CUDA_EVAL_AHEAD times `bytes`
    int64_t bytes, offsets[FBL_CUDA_EVAL_OUTPUTS];
    FblCuHandle events[FBL_CUDA_EVAL_AHEAD]; // of batch b: [b % FBL_CUDA_EVAL_AHEAD], when its outputs are on the host
    int64_t asked, read;
};

static int64_t bytes_of(const FblPlanTensor *tensor) { return tensor ? fbl_type_elements(&tensor->type) * (int64_t)sizeof(float) : 0; }

// Image numbers in order, the last batch filled up with its first image.
static FblStatus set_order(FblContext *ctx, FblCudaEval *eval) {
    const FblCudaEvalOptions *o = &eval->options;
    int64_t *order = malloc((size_t)eval->held.length * sizeof *order + 8);
    if (!order) {
        fbl_out_of_memory();
    }
    for (int64_t i = 0; i < eval->held.length; i++) {
        order[i] = i < o->data->count ? i : i / o->batch * o->batch;
    }
    FblStatus status = fbl_cuda_held_order(ctx, o->device, &eval->held, order);
    free(order);
    return status;
}

static FblStatus hold(FblContext *ctx, FblCudaEval *eval) {
    const FblCudaEvalOptions *o = &eval->options;
    const FblCudaApi *api = &o->device->api;
    const FblPlanFunction *function = &o->plan->functions[o->function];
    FblDevicePtr image = fbl_cuda_address(o->exec, fbl_cuda_tensor(function->inputs, function->input_count, "image"));
    FblCudaShape shape = {.images = (int32_t)o->batch, .height = o->height, .width = o->width};
    FblCuHandle images, next;
    fbl_cuda_shape_set(&shape, o->data, o->transform);
    FBL_TRY(fbl_cuda_hold(ctx, o->device, o->data, o->transform, (o->data->count + o->batch - 1) / o->batch * o->batch, &eval->held));
    FBL_TRY(set_order(ctx, eval));
    FBL_TRY(fbl_cuda_allocate(ctx, o->device, (int64_t)sizeof(FblCudaState), "the evaluation", &eval->state));
    FBL_TRY(fbl_cuda_allocate(ctx, o->device, (int64_t)sizeof shape, "the evaluation", &eval->shape));
    FBL_TRY(fbl_cuda_upload(ctx, o->device, eval->shape, &shape, (int64_t)sizeof shape));
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->module_load(&eval->module, o->kernels->object), "loading the evaluation's kernels"));
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->module_function(&images, eval->module, "fbl_session_images"), "finding a kernel"));
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->module_function(&next, eval->module, "fbl_session_next"), "finding a kernel"));
    fbl_cuda_call_set(&eval->images, images, (uint32_t)o->batch, FBL_CUDA_IMAGE_THREADS,
             (FblDevicePtr[]){eval->state, eval->shape, eval->held.pixels, eval->held.labels, eval->held.order, eval->held.table, image, 0, 0, 0, 0, 0}, 12);
    fbl_cuda_call_set(&eval->next, next, 1, 32, &eval->state, 1);
    return FBL_OK;
}

static FblStatus prepare(FblContext *ctx, FblCudaEval *eval) {
    const FblCudaEvalOptions *o = &eval->options;
    const FblCudaApi *api = &o->device->api;
    void *host = NULL;
    for (int i = 0; i < FBL_CUDA_EVAL_OUTPUTS; i++) {
        eval->offsets[i] = eval->bytes;
        eval->bytes += (bytes_of(o->outputs[i]) + 63) / 64 * 64;
    }
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->host_alloc(&host, (size_t)eval->bytes * FBL_CUDA_EVAL_AHEAD + 64, 0), "allocating pinned memory"));
    eval->results = host;
    for (int e = 0; e < FBL_CUDA_EVAL_AHEAD; e++) {
        FBL_TRY(fbl_cuda_check(ctx, o->device, api->event_create(&eval->events[e], FBL_CU_EVENT_DISABLE_TIMING), "making an event"));
    }
    return o->data ? hold(ctx, eval) : FBL_OK;
}

static FblStatus create_one(FblContext *ctx, const FblCudaEvalOptions *options, FblCudaEval **out_eval) {
    FblCudaEval *eval = calloc(1, sizeof *eval);
    if (!eval) {
        fbl_out_of_memory();
    }
    eval->options = *options;
    eval->peers[0] = eval;
    eval->peer_count = 1;
    *out_eval = eval;
    FblStatus status = prepare(ctx, eval);
    eval->options.transform = NULL; // it may be gone from here on
    return status;
}

FblStatus fbl_cuda_eval_create(FblContext *ctx, const FblCudaEvalOptions *options, FblCudaEval **out_eval) {
    FblCudaDevice *first = options->device;
    FblCudaEval *eval = NULL;
    FblStatus status = create_one(ctx, options, &eval);
    for (int d = 1; d < fbl_cuda_devices(first) && status == FBL_OK; d++) {
        FblCudaEvalOptions own = *options;
        own.device = fbl_cuda_peer(first, d);
        own.exec = fbl_cuda_exec_peer(options->exec, d);
        fbl_cuda_use(own.device);
        status = create_one(ctx, &own, &eval->peers[d]);
        eval->peer_count = d + 1;
    }
    fbl_cuda_use(first);
    *out_eval = eval;
    if (status != FBL_OK) {
        fbl_cuda_eval_destroy(eval);
        *out_eval = NULL;
    }
    return status;
}

static void destroy_one(FblCudaEval *eval) {
    FblCudaDevice *device = eval->options.device;
    fbl_cuda_use(device);
    device->api.stream_wait(device->stream);
    for (int e = 0; e < FBL_CUDA_EVAL_AHEAD; e++) {
        if (eval->events[e]) {
            device->api.event_destroy(eval->events[e]);
        }
    }
    if (eval->results) {
        device->api.host_free(eval->results);
    }
    if (eval->module) {
        device->api.module_unload(eval->module);
    }
    fbl_cuda_held_release(device, &eval->held);
    fbl_cuda_release(device, eval->state);
    fbl_cuda_release(device, eval->shape);
    free(eval);
}

void fbl_cuda_eval_destroy(FblCudaEval *eval) {
    if (!eval) {
        return;
    }
    FblCudaDevice *first = eval->options.device;
    for (int d = eval->peer_count - 1; d >= 0; d--) {
        if (eval->peers[d]) {
            destroy_one(eval->peers[d]);
        }
    }
    fbl_cuda_use(first);
}

FblStatus fbl_cuda_eval_begin(FblContext *ctx, FblCudaEval *eval) {
    FblCudaState state = {.batch = eval->options.batch};
    FblStatus status = FBL_OK;
    eval->asked = eval->read = 0;
    for (int d = 0; d < eval->peer_count && eval->state && status == FBL_OK; d++) {
        const FblCudaEval *peer = eval->peers[d];
        fbl_cuda_use(peer->options.device);
        status = fbl_cuda_upload(ctx, peer->options.device, peer->state, &state, (int64_t)sizeof state);
    }
    fbl_cuda_use(eval->options.device);
    return status;
}

// The next images of a held set into the inputs of all devices.
static FblCuResult cut_images(FblCudaEval *eval) {
    FblCuResult result = FBL_CU_SUCCESS;
    for (int d = 0; d < eval->peer_count && result == FBL_CU_SUCCESS; d++) {
        const FblCudaEval *peer = eval->peers[d];
        result = fbl_cuda_use(peer->options.device);
        result = result ? result : fbl_cuda_call_launch(peer->options.device, &peer->images);
        result = result ? result : fbl_cuda_call_launch(peer->options.device, &peer->next);
    }
    fbl_cuda_use(eval->options.device);
    return result;
}

FblStatus fbl_cuda_eval_ask(FblContext *ctx, FblCudaEval *eval, uint64_t seed) {
    const FblCudaEvalOptions *o = &eval->options;
    const FblCudaApi *api = &o->device->api;
    FblCuResult result = o->data ? cut_images(eval) : FBL_CU_SUCCESS;
    if (result == FBL_CU_SUCCESS) {
        fbl_cuda_exec_call(o->exec, o->function, seed, 0, NULL);
    }
    uint8_t *to = eval->results + eval->asked % FBL_CUDA_EVAL_AHEAD * eval->bytes;
    for (int i = 0; i < FBL_CUDA_EVAL_OUTPUTS && result == FBL_CU_SUCCESS; i++) {
        if (o->outputs[i]) {
            result = api->copy_down(to + eval->offsets[i], fbl_cuda_address(o->exec, o->outputs[i]), (size_t)bytes_of(o->outputs[i]), o->device->stream);
        }
    }
    result = result ? result : api->event_record(eval->events[eval->asked % FBL_CUDA_EVAL_AHEAD], o->device->stream);
    eval->asked++;
    return fbl_cuda_exec_blame(ctx, o->exec, o->function, result);
}

FblStatus fbl_cuda_eval_read(FblContext *ctx, FblCudaEval *eval, const float *out_data[FBL_CUDA_EVAL_OUTPUTS]) {
    const FblCudaEvalOptions *o = &eval->options;
    int64_t slot = eval->read++ % FBL_CUDA_EVAL_AHEAD;
    FBL_TRY(fbl_cuda_exec_blame(ctx, o->exec, o->function, o->device->api.event_wait(eval->events[slot])));
    for (int i = 0; i < FBL_CUDA_EVAL_OUTPUTS; i++) {
        out_data[i] = o->outputs[i] ? (const float *)(const void *)(eval->results + slot * eval->bytes + eval->offsets[i]) : NULL;
    }
    return FBL_OK;
}

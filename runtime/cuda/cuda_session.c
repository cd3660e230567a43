#include "runtime/cuda/cuda_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cuda_held.h"
#include "runtime/cuda/session_source.h"
#include "runtime/data/mixup.h"

extern const unsigned char fbl_session_source_bytes[]; // made by cmake/cuda.cmake from the files themselves

const char *fbl_session_source(void) { return (const char *)fbl_session_source_bytes; }

enum { BEGIN, IMAGES, CHECK, ROWS, END, KERNELS };
static const char *const symbols[KERNELS] = {"fbl_session_begin", "fbl_session_images", "fbl_session_check", "fbl_session_rows", "fbl_session_end"};

#define CHECK_THREADS 256
#define EVENTS 64 // steps that may be under way

typedef struct Part {
    FblCudaCall calls[KERNELS];
    FblDevicePtr shape;
    FblCuHandle graph; // NULL before the part's second step
    bool probed;
} Part;

struct FblCudaSession {
    FblCudaSessionOptions options;
    FblCuHandle module;
    FblDevicePtr state, right, records, mixes, partners; // mixes 0: images are not mixed
    FblCudaMix *mixes_host;
    int32_t *partners_host;
    FblCudaHeld held;
    FblCudaRecord *host; // pinned: records as they come back
    Part parts[2];
    FblCuHandle events[EVENTS]; // of step s: [s % EVENTS], when its record is on the host
    int64_t next;               // step of the epoch to be asked for
};

static FblStatus allocate(FblContext *ctx, FblCudaSession *session, int64_t bytes, const char *what, FblDevicePtr *out) {
    return fbl_cuda_ops.allocate(ctx, &session->options.device->base, bytes, what, out);
}

static FblStatus upload(FblContext *ctx, FblCudaSession *session, FblDevicePtr to, const void *from, int64_t bytes) {
    return fbl_cuda_ops.upload(ctx, &session->options.device->base, to, from, bytes);
}

static FblDevicePtr address(const FblCudaSessionPart *part, const FblPlanTensor *tensor) { return fbl_cuda_address(part->exec, tensor); }

static FblDevicePtr input(const FblCudaSessionPart *part, int function, const char *name, const FblPlanTensor **out_tensor) {
    const FblPlanFunction *f = function < 0 ? NULL : &part->plan->functions[function];
    const FblPlanTensor *tensor = f ? fbl_cuda_tensor(f->inputs, f->input_count, name) : NULL;
    if (out_tensor) {
        *out_tensor = tensor;
    }
    return address(part, tensor);
}

static FblStatus prepare_part(FblContext *ctx, FblCudaSession *session, int number) {
    const FblCudaSessionOptions *o = &session->options;
    const FblCudaSessionPart *from = &o->parts[number], *whole = &o->parts[0];
    Part *part = &session->parts[number];
    if (!from->exec) {
        return FBL_OK;
    }
    FblCuHandle functions[KERNELS];
    for (int k = 0; k < KERNELS; k++) {
        FBL_TRY(fbl_cuda_check(ctx, o->device, o->device->api.module_function(&functions[k], session->module, symbols[k]), "finding a kernel"));
    }
    const FblPlanFunction *train = &from->plan->functions[from->train];
    const FblPlanTensor *step_input, *t_input;
    FblDevicePtr image = input(from, from->train, "image", NULL), label = input(from, from->train, "label", NULL), label2 = input(from, from->train, "label2", NULL);
    FblDevicePtr mix = input(from, from->train, "mix", NULL);
    FblDevicePtr step = input(from, from->train, "step", &step_input), t = input(whole, o->optimizer, "t", &t_input);
    int batch_axis = strcmp(from->score->type.axes[0].name, "batch") == 0 ? 0 : 1;
    FblCudaShape shape = {.images = (int32_t)from->score->type.axes[batch_axis].extent, .height = o->height, .width = o->width, .classes = (int32_t)o->classes,
                   .step_is_float = step_input && step_input->type.dtype == FBL_F32, .t_is_float = t_input && t_input->type.dtype == FBL_F32};
    shape.score_image = batch_axis == 0 ? shape.classes : 1;
    shape.score_class = batch_axis == 0 ? 1 : shape.images;
    if (o->data) {
        fbl_cuda_shape_set(&shape, o->data, o->transform);
    }
    FBL_TRY(allocate(ctx, session, (int64_t)sizeof shape, "the session", &part->shape));
    FBL_TRY(upload(ctx, session, part->shape, &shape, (int64_t)sizeof shape));
    FblDevicePtr loss = address(from, fbl_cuda_tensor(train->outputs, train->output_count, "loss")), scores = address(from, from->score);
    FblDevicePtr optimizer = o->optimizer >= 0 ? fbl_cuda_exec_scalars(whole->exec) : 0;
    uint32_t images = (uint32_t)shape.images, check_blocks = 4 * (uint32_t)o->device->multiprocessors;
    fbl_cuda_call_set(&part->calls[BEGIN], functions[BEGIN], 1, 32, (FblDevicePtr[]){session->state, part->shape, fbl_cuda_exec_scalars(from->exec), optimizer, step, t}, 6);
    fbl_cuda_call_set(&part->calls[IMAGES], functions[IMAGES], images, FBL_CUDA_IMAGE_THREADS,
             (FblDevicePtr[]){session->state, part->shape, session->held.pixels, session->held.labels, session->held.order, session->held.table, image, label, label2, session->mixes, session->partners, mix}, 12);
    FblDevicePtr least, scale = address(whole, fbl_cuda_tensor(whole->plan->states, whole->plan->state_count, FBL_LOSS_SCALE_STATE));
    const double least_value = FBL_LOSS_SCALE_LEAST;
    memcpy(&least, &least_value, sizeof least);
    fbl_cuda_call_set(&part->calls[CHECK], functions[CHECK], check_blocks, CHECK_THREADS, (FblDevicePtr[]){session->state, o->gradients, (FblDevicePtr)(o->gradient_bytes / 4), scale, least}, 5);
    fbl_cuda_call_set(&part->calls[ROWS], functions[ROWS], images, 32, (FblDevicePtr[]){part->shape, scores, label, session->right}, 4);
    fbl_cuda_call_set(&part->calls[END], functions[END], 1, 32, (FblDevicePtr[]){session->state, part->shape, loss, session->right, session->records}, 5);
    return FBL_OK;
}

static bool mixes(const FblCudaSessionOptions *o) { return o->data && (o->mixup_alpha > 0 || o->transform->cutmix_alpha > 0); }

static FblStatus allocate_mixes(FblContext *ctx, FblCudaSession *session) {
    const FblCudaSessionOptions *o = &session->options;
    if (!mixes(o)) {
        return FBL_OK;
    }
    session->mixes_host = calloc((size_t)o->steps + 1, sizeof *session->mixes_host);
    session->partners_host = calloc((size_t)o->length + 1, sizeof *session->partners_host);
    if (!session->mixes_host || !session->partners_host) {
        fbl_out_of_memory();
    }
    FBL_TRY(allocate(ctx, session, o->steps * (int64_t)sizeof *session->mixes_host, "how batches are mixed", &session->mixes));
    return allocate(ctx, session, o->length * 4, "how batches are mixed", &session->partners);
}

// What the loader would draw for every batch of the epoch (runtime/data/loader.c).
static FblStatus draw_mixes(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch) {
    const FblCudaSessionOptions *o = &session->options;
    for (int64_t step = 0; step < o->steps; step++) {
        FblCudaMix *mix = &session->mixes_host[step];
        int32_t *partners = session->partners_host + step * o->batch;
        int64_t left = o->length - step * o->batch, size = left < o->batch ? left : o->batch;
        FblRectangle r = {0};
        float weight = -1;
        if (o->transform->cutmix_alpha > 0) {
            weight = fbl_cutmix_draw(seed, epoch, step, o->batch, o->transform->cutmix_alpha, o->mixup_alpha > 0, size, o->height, o->width, partners, &r);
        }
        bool cut = weight >= 0;
        if (!cut) {
            weight = fbl_mixup_draw(seed, epoch, step, o->batch, o->mixup_alpha, size, partners);
        }
        *mix = (FblCudaMix){weight, cut, r.top, r.left, r.height, r.width};
    }
    FBL_TRY(upload(ctx, session, session->mixes, session->mixes_host, o->steps * (int64_t)sizeof *session->mixes_host));
    return upload(ctx, session, session->partners, session->partners_host, o->length * 4);
}

static FblStatus prepare(FblContext *ctx, FblCudaSession *session) {
    const FblCudaSessionOptions *o = &session->options;
    const FblCudaApi *api = &o->device->api;
    void *host = NULL;
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->module_load(&session->module, o->kernels->object), "loading the session's kernels"));
    FBL_TRY(fbl_cuda_check(ctx, o->device, api->host_alloc(&host, (size_t)o->steps * sizeof *session->host + 64, 0), "allocating pinned memory"));
    session->host = host;
    for (int i = 0; i < EVENTS; i++) {
        FBL_TRY(fbl_cuda_check(ctx, o->device, api->event_create(&session->events[i], FBL_CU_EVENT_DISABLE_TIMING), "making an event"));
    }
    FBL_TRY(allocate(ctx, session, (int64_t)sizeof(FblCudaState), "the session", &session->state));
    FBL_TRY(allocate(ctx, session, (o->batch + 32) * 4, "the session", &session->right));
    FBL_TRY(allocate(ctx, session, o->steps * (int64_t)sizeof *session->host, "the session", &session->records));
    if (o->data) {
        FBL_TRY(fbl_cuda_hold(ctx, o->device, o->data, o->transform, o->length, &session->held));
        FBL_TRY(allocate_mixes(ctx, session));
    }
    FBL_TRY(prepare_part(ctx, session, 0));
    return prepare_part(ctx, session, 1);
}

FblStatus fbl_cuda_session_create(FblContext *ctx, const FblCudaSessionOptions *options, FblCudaSession **out_session) {
    FblCudaSession *session = calloc(1, sizeof *session);
    *out_session = NULL;
    if (!session) {
        fbl_out_of_memory();
    }
    session->options = *options;
    FblStatus status = prepare(ctx, session);
    if (status != FBL_OK) {
        fbl_cuda_session_destroy(session);
        return status;
    }
    *out_session = session;
    return FBL_OK;
}

void fbl_cuda_session_destroy(FblCudaSession *session) {
    if (!session) {
        return;
    }
    FblDevice *device = &session->options.device->base;
    const FblCudaApi *api = &session->options.device->api;
    api->stream_wait(session->options.device->stream);
    for (int p = 0; p < 2; p++) {
        if (session->parts[p].graph) {
            api->graph_exec_destroy(session->parts[p].graph);
        }
        fbl_cuda_ops.release(device, session->parts[p].shape);
    }
    for (int i = 0; i < EVENTS; i++) {
        if (session->events[i]) {
            api->event_destroy(session->events[i]);
        }
    }
    FblDevicePtr memory[] = {session->state, session->right, session->records, session->mixes, session->partners};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        fbl_cuda_ops.release(device, memory[i]);
    }
    if (session->host) {
        api->host_free(session->host);
    }
    if (session->module) {
        api->module_unload(session->module);
    }
    fbl_cuda_held_release(session->options.device, &session->held);
    free(session->mixes_host);
    free(session->partners_host);
    free(session);
}

FblStatus fbl_cuda_session_begin(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch, int64_t first, int64_t global_step, const int64_t *order) {
    FblCudaState state = {.seed = seed, .epoch = (uint64_t)epoch, .step = (uint64_t)global_step, .epoch_step = first, .batch = session->options.batch};
    session->next = first;
    if (session->options.data) {
        FBL_TRY(fbl_cuda_held_order(ctx, session->options.device, &session->held, order));
        FBL_TRY(mixes(&session->options) ? draw_mixes(ctx, session, seed, epoch) : FBL_OK);
    }
    return upload(ctx, session, session->state, &state, (int64_t)sizeof state);
}

static FblCuResult launch(FblCudaSession *session, Part *part, int kernel) {
    return fbl_cuda_call_launch(session->options.device, &part->calls[kernel]);
}

// The whole step onto the work stream. `probe`: the functions' launches are waited for one by one.
static FblCuResult enqueue(FblCudaSession *session, int number, bool probe) {
    const FblCudaSessionOptions *o = &session->options;
    const FblCudaSessionPart *from = &o->parts[number];
    Part *part = &session->parts[number];
    FblCuResult (*run)(FblDeviceExec *, int) = probe ? fbl_cuda_exec_probe : fbl_cuda_exec_enqueue;
    FblCuResult result = launch(session, part, BEGIN);
    if (o->data) {
        result = result ? result : launch(session, part, IMAGES);
    }
    result = result ? result : run(from->exec, from->train);
    result = result ? result : launch(session, part, CHECK);
    result = result ? result : launch(session, part, ROWS);
    if (o->optimizer >= 0) {
        result = result ? result : run(o->parts[0].exec, o->optimizer);
    }
    return result ? result : launch(session, part, END);
}

static FblCuResult capture(FblCudaSession *session, int number) {
    const FblCudaApi *api = &session->options.device->api;
    FblCuHandle stream = session->options.device->stream, graph = NULL;
    FblCuResult result = api->capture_begin(stream, FBL_CU_CAPTURE_THREAD_LOCAL);
    if (result != FBL_CU_SUCCESS) {
        return result;
    }
    result = enqueue(session, number, false);
    FblCuResult ended = api->capture_end(stream, &graph);
    result = result ? result : ended;
    result = result ? result : api->graph_instantiate(&session->parts[number].graph, graph, 0);
    if (graph) {
        api->graph_destroy(graph);
    }
    return result;
}

static FblCuResult run_step(FblCudaSession *session, int number) {
    const FblCudaSessionOptions *o = &session->options;
    const FblCudaApi *api = &o->device->api;
    Part *part = &session->parts[number];
    FblCuResult result = fbl_cuda_exec_flush(o->parts[number].exec);
    if (number != 0) { // the optimizer's inputs belong to the first part
        result = result ? result : fbl_cuda_exec_flush(o->parts[0].exec);
    }
    if (result != FBL_CU_SUCCESS) {
        return result;
    }
    if (!part->probed || o->device->sync) {
        part->probed = true;
        result = enqueue(session, number, true);
    } else {
        result = part->graph ? FBL_CU_SUCCESS : capture(session, number);
        result = result ? result : api->graph_launch(part->graph, o->device->stream);
    }
    FblDevicePtr record = session->records + (FblDevicePtr)session->next * sizeof *session->host;
    result = result ? result : api->copy_down(&session->host[session->next], record, sizeof *session->host, o->device->stream);
    return result ? result : api->event_record(session->events[session->next % EVENTS], o->device->stream);
}

FblStatus fbl_cuda_session_step(FblContext *ctx, FblCudaSession *session, int part) {
    FblCuResult result = run_step(session, part);
    FBL_TRY(fbl_cuda_exec_blame(ctx, session->options.parts[part].exec, session->options.parts[part].train, result));
    session->next++;
    return FBL_OK;
}

FblStatus fbl_cuda_session_record(FblContext *ctx, FblCudaSession *session, int64_t step, FblCudaRecord *out_record) {
    const FblCudaSessionOptions *o = &session->options;
    FblCuResult result = o->device->api.event_wait(session->events[step % EVENTS]);
    FBL_TRY(fbl_cuda_exec_blame(ctx, o->parts[0].exec, o->parts[0].train, result));
    *out_record = session->host[step];
    return FBL_OK;
}

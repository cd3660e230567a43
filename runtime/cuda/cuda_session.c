#include "runtime/cuda/cuda_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cuda_group.h"
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
    FblCuHandle graphs[FBL_CUDA_MAX_GPUS]; // on every device; NULL before the part's second step
    bool probed;
} Part;

struct FblCudaSession {
    FblCudaSessionOptions options;
    FblCudaSession *peers[FBL_CUDA_MAX_GPUS]; // the same on all devices of the group, itself included
    int peer_count;
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
    return fbl_cuda_allocate(ctx, session->options.device, bytes, what, out);
}

static FblStatus upload(FblContext *ctx, FblCudaSession *session, FblDevicePtr to, const void *from, int64_t bytes) {
    return fbl_cuda_upload(ctx, session->options.device, to, from, bytes);
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

static FblStatus create_one(FblContext *ctx, const FblCudaSessionOptions *options, FblCudaSession **out_session) {
    FblCudaSession *session = calloc(1, sizeof *session);
    if (!session) {
        fbl_out_of_memory();
    }
    session->options = *options;
    session->peers[0] = session;
    session->peer_count = 1;
    *out_session = session;
    return prepare(ctx, session);
}

FblStatus fbl_cuda_session_create(FblContext *ctx, const FblCudaSessionOptions *options, FblCudaSession **out_session) {
    FblCudaDevice *first = options->device;
    FblCudaSession *session = NULL;
    FblStatus status = create_one(ctx, options, &session);
    for (int d = 1; d < fbl_cuda_devices(first) && status == FBL_OK; d++) {
        FblCudaSessionOptions own = *options;
        own.device = fbl_cuda_peer(first, d);
        own.gradients = fbl_cuda_mirror(first, options->gradients, d);
        for (int p = 0; p < 2; p++) {
            own.parts[p].exec = own.parts[p].exec ? fbl_cuda_exec_peer(own.parts[p].exec, d) : NULL;
        }
        fbl_cuda_use(own.device);
        status = create_one(ctx, &own, &session->peers[d]);
        session->peer_count = d + 1;
    }
    fbl_cuda_use(first);
    *out_session = session;
    if (status != FBL_OK) {
        fbl_cuda_session_destroy(session);
        *out_session = NULL;
    }
    return status;
}

static void destroy_one(FblCudaSession *session) {
    FblCudaDevice *device = session->options.device;
    const FblCudaApi *api = &device->api;
    fbl_cuda_use(device);
    api->stream_wait(device->stream);
    for (int p = 0; p < 2; p++) {
        fbl_cuda_release(device, session->parts[p].shape);
    }
    for (int i = 0; i < EVENTS; i++) {
        if (session->events[i]) {
            api->event_destroy(session->events[i]);
        }
    }
    FblDevicePtr memory[] = {session->state, session->right, session->records, session->mixes, session->partners};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        fbl_cuda_release(device, memory[i]);
    }
    if (session->host) {
        api->host_free(session->host);
    }
    if (session->module) {
        api->module_unload(session->module);
    }
    fbl_cuda_held_release(device, &session->held);
    free(session->mixes_host);
    free(session->partners_host);
    free(session);
}

void fbl_cuda_session_destroy(FblCudaSession *session) {
    if (!session) {
        return;
    }
    FblCudaDevice *first = session->options.device;
    for (int p = 0; p < 2; p++) {
        fbl_cuda_graphs_destroy(first, session->parts[p].graphs);
    }
    for (int d = session->peer_count - 1; d >= 0; d--) {
        if (session->peers[d]) {
            destroy_one(session->peers[d]);
        }
    }
    fbl_cuda_use(first);
}

static FblStatus begin_one(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch, int64_t first, int64_t global_step, const int64_t *order) {
    FblCudaState state = {.seed = seed, .epoch = (uint64_t)epoch, .step = (uint64_t)global_step, .epoch_step = first, .batch = session->options.batch};
    session->next = first;
    if (session->options.data) {
        FBL_TRY(fbl_cuda_held_order(ctx, session->options.device, &session->held, order));
        FBL_TRY(mixes(&session->options) ? draw_mixes(ctx, session, seed, epoch) : FBL_OK);
    }
    return upload(ctx, session, session->state, &state, (int64_t)sizeof state);
}

FblStatus fbl_cuda_session_begin(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch, int64_t first, int64_t global_step, const int64_t *order) {
    FblStatus status = FBL_OK;
    for (int d = 0; d < session->peer_count && status == FBL_OK; d++) {
        fbl_cuda_use(session->peers[d]->options.device);
        status = begin_one(ctx, session->peers[d], seed, epoch, first, global_step, order);
    }
    fbl_cuda_use(session->options.device);
    return status;
}

// Kernels [first, last] of the session, on all devices.
static FblCuResult launch(FblCudaSession *session, int number, int first, int last) {
    FblCuResult result = FBL_CU_SUCCESS;
    for (int d = 0; d < session->peer_count; d++) {
        const FblCudaSession *peer = session->peers[d];
        fbl_cuda_use(peer->options.device);
        for (int kernel = first; kernel <= last && result == FBL_CU_SUCCESS; kernel++) {
            result = kernel == IMAGES && !peer->options.data ? FBL_CU_SUCCESS : fbl_cuda_call_launch(peer->options.device, &peer->parts[number].calls[kernel]);
        }
    }
    fbl_cuda_use(session->options.device);
    return result;
}

// The whole step onto the work streams. `probe`: the functions' launches are waited for one by one.
static FblCuResult enqueue(FblCudaSession *session, int number, bool probe) {
    const FblCudaSessionOptions *o = &session->options;
    const FblCudaSessionPart *from = &o->parts[number];
    FblCuResult (*run)(FblDeviceExec *, int) = probe ? fbl_cuda_exec_probe : fbl_cuda_exec_enqueue;
    FblCuResult result = launch(session, number, BEGIN, IMAGES);
    result = result ? result : run(from->exec, from->train);
    result = result ? result : launch(session, number, CHECK, ROWS);
    if (o->optimizer >= 0) {
        result = result ? result : run(o->parts[0].exec, o->optimizer);
    }
    return result ? result : launch(session, number, END, END);
}

typedef struct Enqueue {
    FblCudaSession *session;
    int number;
} Enqueue;

static FblCuResult enqueue_captured(void *arg) {
    const Enqueue *what = arg;
    return enqueue(what->session, what->number, false);
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
        result = part->graphs[0] ? FBL_CU_SUCCESS : fbl_cuda_graphs_capture(o->device, enqueue_captured, &(Enqueue){session, number}, part->graphs);
        result = result ? result : fbl_cuda_graphs_launch(o->device, part->graphs);
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

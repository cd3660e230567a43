#include "runtime/cuda/cuda_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/session_source.h"

extern const unsigned char fbl_session_source_bytes[]; // made by cmake/cuda.cmake from the files themselves

const char *fbl_session_source(void) { return (const char *)fbl_session_source_bytes; }

// The same structures as in session_kernels.cuh.
typedef struct State {
    uint64_t seed, epoch, step;
    int64_t epoch_step, batch;
    int32_t bad, unused;
} State;

typedef struct Shape {
    int32_t images, height, width, source_height, source_width;
    int32_t ops, kind[FBL_AUGMENT_MAX], size[FBL_AUGMENT_MAX], pad[FBL_AUGMENT_MAX];
    int32_t classes, score_image, score_class;
    int32_t step_is_float, t_is_float;
} Shape;
_Static_assert(FBL_AUGMENT_MAX == 8, "as in session_kernels.cuh");

enum { BEGIN, IMAGES, CHECK, ROWS, END, KERNELS };
static const char *const symbols[KERNELS] = {"fbl_session_begin", "fbl_session_images", "fbl_session_check", "fbl_session_rows", "fbl_session_end"};

#define MAX_ARGUMENTS 9
#define IMAGE_THREADS 256
#define CHECK_THREADS 256
#define EVENTS 64 // steps that may be under way

// A session kernel with its arguments; parameters[i] points at values[i].
typedef struct Call {
    FblCuHandle function;
    uint32_t blocks, threads;
    FblDevicePtr values[MAX_ARGUMENTS];
    void *parameters[MAX_ARGUMENTS];
} Call;

typedef struct Part {
    Call calls[KERNELS];
    FblDevicePtr shape;
    FblCuHandle graph; // NULL before the part's second step
    bool probed;
} Part;

struct FblCudaSession {
    FblCudaSessionOptions options;
    FblCuHandle module;
    FblDevicePtr state, pixels, labels, order, table, right, records;
    FblCudaRecord *host; // pinned: records as they come back
    int32_t *order_host;
    Part parts[2];
    FblCuHandle events[EVENTS]; // of step s: [s % EVENTS], when its record is on the host
    int64_t next;               // step of the epoch to be asked for
};

bool fbl_cuda_session_can_hold(const FblCudaDevice *device, const FblDataset *data, const FblTransform *transform) {
    int crops = 0;
    for (int i = 0; i < transform->count; i++) {
        FblAugmentKind kind = transform->ops[i].kind;
        if (kind != FBL_AUGMENT_RANDOM_CROP && kind != FBL_AUGMENT_RANDOM_FLIP && kind != FBL_AUGMENT_CENTER_CROP) {
            return false;
        }
        crops += kind != FBL_AUGMENT_RANDOM_FLIP;
    }
    size_t free_bytes = 0, total = 0;
    if (!data->pixels || crops > 1 || transform->cutmix_alpha > 0 || data->count > INT32_MAX || device->api.memory_info(&free_bytes, &total) != FBL_CU_SUCCESS) {
        return false;
    }
    return (double)data->count * 3 * data->height * data->width < 0.25 * (double)free_bytes;
}

static FblStatus allocate(FblContext *ctx, FblCudaSession *session, int64_t bytes, const char *what, FblDevicePtr *out) {
    return fbl_cuda_ops.allocate(ctx, &session->options.device->base, bytes, what, out);
}

static FblStatus upload(FblContext *ctx, FblCudaSession *session, FblDevicePtr to, const void *from, int64_t bytes) {
    return fbl_cuda_ops.upload(ctx, &session->options.device->base, to, from, bytes);
}

static const FblPlanTensor *find(const FblPlanTensor *tensors, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0) {
            return &tensors[i];
        }
    }
    return NULL;
}

static FblDevicePtr address(const FblCudaSessionPart *part, const FblPlanTensor *tensor) {
    return tensor ? fbl_cuda_exec_region(part->exec, tensor->region) + (FblDevicePtr)tensor->offset : 0;
}

static FblDevicePtr input(const FblCudaSessionPart *part, int function, const char *name, const FblPlanTensor **out_tensor) {
    const FblPlanFunction *f = function < 0 ? NULL : &part->plan->functions[function];
    const FblPlanTensor *tensor = f ? find(f->inputs, f->input_count, name) : NULL;
    if (out_tensor) {
        *out_tensor = tensor;
    }
    return address(part, tensor);
}

static void set_call(Part *part, FblCuHandle function, int kernel, uint32_t blocks, uint32_t threads, const FblDevicePtr *values, int count) {
    Call *call = &part->calls[kernel];
    call->function = function;
    call->blocks = blocks;
    call->threads = threads;
    for (int i = 0; i < count; i++) {
        call->values[i] = values[i];
        call->parameters[i] = &call->values[i];
    }
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
    FblDevicePtr step = input(from, from->train, "step", &step_input), t = input(whole, o->optimizer, "t", &t_input);
    int batch_axis = strcmp(from->score->type.axes[0].name, "batch") == 0 ? 0 : 1;
    Shape shape = {.images = (int32_t)from->score->type.axes[batch_axis].extent, .height = o->height, .width = o->width, .classes = (int32_t)o->classes,
                   .step_is_float = step_input && step_input->type.dtype == FBL_F32, .t_is_float = t_input && t_input->type.dtype == FBL_F32};
    shape.score_image = batch_axis == 0 ? shape.classes : 1;
    shape.score_class = batch_axis == 0 ? 1 : shape.images;
    if (o->data) {
        shape.source_height = o->data->height;
        shape.source_width = o->data->width;
        shape.ops = o->transform->count;
        for (int i = 0; i < shape.ops; i++) {
            shape.kind[i] = (int32_t)o->transform->ops[i].kind;
            shape.size[i] = o->transform->ops[i].size;
            shape.pad[i] = o->transform->ops[i].pad;
        }
    }
    FBL_TRY(allocate(ctx, session, (int64_t)sizeof shape, "the session", &part->shape));
    FBL_TRY(upload(ctx, session, part->shape, &shape, (int64_t)sizeof shape));
    FblDevicePtr loss = address(from, find(train->outputs, train->output_count, "loss")), scores = address(from, from->score);
    FblDevicePtr optimizer = o->optimizer >= 0 ? fbl_cuda_exec_scalars(whole->exec) : 0;
    uint32_t images = (uint32_t)shape.images, check_blocks = 4 * (uint32_t)o->device->multiprocessors;
    set_call(part, functions[BEGIN], BEGIN, 1, 32, (FblDevicePtr[]){session->state, part->shape, fbl_cuda_exec_scalars(from->exec), optimizer, step, t}, 6);
    set_call(part, functions[IMAGES], IMAGES, images, IMAGE_THREADS,
             (FblDevicePtr[]){session->state, part->shape, session->pixels, session->labels, session->order, session->table, image, label, label2}, 9);
    set_call(part, functions[CHECK], CHECK, check_blocks, CHECK_THREADS, (FblDevicePtr[]){session->state, o->gradients, (FblDevicePtr)(o->gradient_bytes / 4)}, 3);
    set_call(part, functions[ROWS], ROWS, images, 32, (FblDevicePtr[]){part->shape, scores, label, session->right}, 4);
    set_call(part, functions[END], END, 1, 32, (FblDevicePtr[]){session->state, part->shape, loss, session->right, session->records}, 5);
    return FBL_OK;
}

static FblStatus hold_data(FblContext *ctx, FblCudaSession *session) {
    const FblDataset *data = session->options.data;
    FblNormTable table;
    fbl_norm_table_make(session->options.transform, &table);
    int64_t pixels = data->count * 3 * data->height * data->width;
    FBL_TRY(allocate(ctx, session, pixels, "the data set", &session->pixels));
    FBL_TRY(allocate(ctx, session, data->count * 4, "the labels", &session->labels));
    FBL_TRY(allocate(ctx, session, (int64_t)sizeof table, "the table of levels", &session->table));
    FBL_TRY(allocate(ctx, session, session->options.length * 4, "the order of an epoch", &session->order));
    FBL_TRY(upload(ctx, session, session->pixels, data->pixels, pixels));
    FBL_TRY(upload(ctx, session, session->labels, data->labels, data->count * 4));
    session->order_host = malloc((size_t)session->options.length * 4 + 4);
    if (!session->order_host) {
        fbl_out_of_memory();
    }
    return upload(ctx, session, session->table, &table, (int64_t)sizeof table);
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
    FBL_TRY(allocate(ctx, session, (int64_t)sizeof(State), "the session", &session->state));
    FBL_TRY(allocate(ctx, session, (o->batch + 32) * 4, "the session", &session->right));
    FBL_TRY(allocate(ctx, session, o->steps * (int64_t)sizeof *session->host, "the session", &session->records));
    if (o->data) {
        FBL_TRY(hold_data(ctx, session));
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
    FblDevicePtr memory[] = {session->state, session->pixels, session->labels, session->order, session->table, session->right, session->records};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        fbl_cuda_ops.release(device, memory[i]);
    }
    if (session->host) {
        api->host_free(session->host);
    }
    if (session->module) {
        api->module_unload(session->module);
    }
    free(session->order_host);
    free(session);
}

FblStatus fbl_cuda_session_begin(FblContext *ctx, FblCudaSession *session, uint64_t seed, int64_t epoch, int64_t first, int64_t global_step, const int64_t *order) {
    State state = {.seed = seed, .epoch = (uint64_t)epoch, .step = (uint64_t)global_step, .epoch_step = first, .batch = session->options.batch};
    session->next = first;
    if (session->options.data) {
        for (int64_t i = 0; i < session->options.length; i++) {
            session->order_host[i] = (int32_t)order[i];
        }
        FBL_TRY(upload(ctx, session, session->order, session->order_host, session->options.length * 4));
    }
    return upload(ctx, session, session->state, &state, (int64_t)sizeof state);
}

static FblCuResult launch(FblCudaSession *session, Part *part, int kernel) {
    const Call *call = &part->calls[kernel];
    return session->options.device->api.launch(call->function, call->blocks, 1, 1, call->threads, 1, 1, 0, session->options.device->stream, (void **)call->parameters, NULL);
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

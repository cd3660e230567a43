#include "runtime/cuda/cudnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/library_work.h"
#include "runtime/cuda/cudnn_api.h"
#include "runtime/cuda/load.h"

#define PROPOSALS 64 // of one heuristic that are looked at
#define KNOBS ((FBL_GPU_ALGORITHM - 2) / 2)
#define KEPT (16 + KNOBS) // descriptors of one plan
#define ALIGNMENT 16      // of buffers and arrays

struct FblCudnn {
    FblDnnApi api;
    void *handle;
    char version[24];
};

// Descriptors that are made for one another and dropped together.
typedef struct Made {
    const FblDnnApi *api;
    void *items[KEPT];
    int count;
    bool failed; // something was not made or not taken: all that follows does nothing
} Made;

struct FblDnnCall {
    FblCudaDevice *device;
    Made made;
    void *plan, *pack;
};

// An engine with its knobs, as FblGpuLibrary.algorithm has it: index, number of knobs, then type and value of each.
typedef struct Engine {
    int64_t index;
    int64_t knobs;
    int32_t types[KNOBS];
    int64_t values[KNOBS];
} Engine;

bool fbl_cudnn_open(FblCudaDevice *device) {
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so", "/usr/local/cuda/lib64/libcudnn.so", NULL};
    static const char *const symbols[] = {
#define FBL_DNN(field, symbol, result, parameters) symbol,
        FBL_DNN_FUNCTIONS(FBL_DNN)
#undef FBL_DNN
            NULL};
    if (device->dnn || *device->dnn_why) {
        return device->dnn != NULL;
    }
    FblCudnn *dnn = calloc(1, sizeof *dnn);
    if (!dnn) {
        fbl_out_of_memory();
    }
    FblLoad load = {"FBL_CUDNN", names, symbols, (void **)&dnn->api, device->dnn_why, sizeof device->dnn_why};
    int status = 0;
    if (!fbl_cuda_load(&load) || (status = dnn->api.create(&dnn->handle)) != FBL_DNN_SUCCESS) {
        if (status) {
            snprintf(device->dnn_why, sizeof device->dnn_why, "it does not start (status %d)", status);
        }
        free(dnn);
        return false;
    }
    size_t version = dnn->api.version(), major = version < 10000 ? version / 1000 : version / 10000; // 8902 for 8.9.2, 91900 for 9.19.0
    size_t rest = version < 10000 ? version % 1000 : version % 10000;
    snprintf(dnn->version, sizeof dnn->version, "%zu.%zu.%zu", major, rest / 100, rest % 100);
    if (dnn->api.set_stream(dnn->handle, device->stream) != FBL_DNN_SUCCESS) {
        snprintf(device->dnn_why, sizeof device->dnn_why, "it does not take the stream");
        fbl_cudnn_close(dnn);
        return false;
    }
    device->dnn = dnn;
    return true;
}

void fbl_cudnn_close(FblCudnn *dnn) {
    if (dnn) {
        dnn->api.destroy(dnn->handle);
        free(dnn);
    }
}

static void *make(Made *made, int type) {
    void *descriptor = NULL;
    if (made->failed || made->count == KEPT || made->api->make(type, &descriptor) != FBL_DNN_SUCCESS) {
        made->failed = true;
        return NULL;
    }
    made->items[made->count++] = descriptor;
    return descriptor;
}

static void drop(Made *made) {
    while (made->count > 0) {
        made->api->drop(made->items[--made->count]);
    }
}

static void set(Made *made, void *descriptor, int name, int type, int64_t count, const void *values) {
    made->failed = made->failed || made->api->set(descriptor, name, type, count, values) != FBL_DNN_SUCCESS;
}

static void set_number(Made *made, void *descriptor, int name, int64_t value) { set(made, descriptor, name, FBL_DNN_TYPE_INT64, 1, &value); }

static void set_choice(Made *made, void *descriptor, int name, int type, int value) { set(made, descriptor, name, type, 1, &value); }

static void set_descriptor(Made *made, void *descriptor, int name, void *other) { set(made, descriptor, name, FBL_DNN_TYPE_DESCRIPTOR, 1, &other); }

static void finalize(Made *made, void *descriptor) { made->failed = made->failed || made->api->finalize(descriptor) != FBL_DNN_SUCCESS; }

// A tensor with its channels last in memory. `id`: what the pack calls it.
static void *make_tensor(Made *made, const FblConvolutionTensor *tensor, int64_t id) {
    const int64_t *e = tensor->extents;
    const int64_t strides[4] = {e[1] * e[2] * e[3], 1, e[3] * e[1], e[1]};
    void *descriptor = make(made, FBL_DNN_TENSOR);
    set_number(made, descriptor, FBL_DNN_TENSOR_ID, id);
    set_number(made, descriptor, FBL_DNN_TENSOR_ALIGNMENT, ALIGNMENT);
    set_choice(made, descriptor, FBL_DNN_TENSOR_DATA_TYPE, FBL_DNN_TYPE_DATA_TYPE,
               tensor->dtype == FBL_BF16  ? FBL_DNN_BFLOAT16
               : tensor->dtype == FBL_F16 ? FBL_DNN_HALF
                                          : FBL_DNN_FLOAT);
    set(made, descriptor, FBL_DNN_TENSOR_EXTENTS, FBL_DNN_TYPE_INT64, 4, e);
    set(made, descriptor, FBL_DNN_TENSOR_STRIDES, FBL_DNN_TYPE_INT64, 4, strides);
    finalize(made, descriptor);
    return descriptor;
}

// The convolution as a graph of one operation on tensors 1 (x), 2 (weight) and 3 (y).
static void *make_graph(Made *made, const FblCudnn *dnn, const FblConvolution *convolution) {
    static const int types[] = {[FBL_CONV_FORWARD] = FBL_DNN_FORWARD, [FBL_CONV_DATA_GRAD] = FBL_DNN_DATA_GRAD, [FBL_CONV_WEIGHT_GRAD] = FBL_DNN_WEIGHT_GRAD};
    static const int firsts[] = {[FBL_CONV_FORWARD] = FBL_DNN_FORWARD_ALPHA, [FBL_CONV_DATA_GRAD] = FBL_DNN_DATA_GRAD_ALPHA, [FBL_CONV_WEIGHT_GRAD] = FBL_DNN_WEIGHT_GRAD_ALPHA};
    const FblContraction *c = &convolution->shape;
    const int64_t padding[2] = {c->pad_h, c->pad_w}, strides[2] = {c->stride_h, c->stride_w}, dilations[2] = {c->dilation_h, c->dilation_w};
    const float one = 1, zero = 0;
    void *shape = make(made, FBL_DNN_CONVOLUTION);
    set_number(made, shape, FBL_DNN_CONVOLUTION_DIMENSIONS, 2);
    set_choice(made, shape, FBL_DNN_CONVOLUTION_COMPUTE, FBL_DNN_TYPE_DATA_TYPE, FBL_DNN_FLOAT);
    set_choice(made, shape, FBL_DNN_CONVOLUTION_MODE, FBL_DNN_TYPE_CONVOLUTION_MODE, FBL_DNN_CROSS_CORRELATION);
    set(made, shape, FBL_DNN_CONVOLUTION_PADDING_BEFORE, FBL_DNN_TYPE_INT64, 2, padding);
    set(made, shape, FBL_DNN_CONVOLUTION_PADDING_AFTER, FBL_DNN_TYPE_INT64, 2, padding);
    set(made, shape, FBL_DNN_CONVOLUTION_STRIDES, FBL_DNN_TYPE_INT64, 2, strides);
    set(made, shape, FBL_DNN_CONVOLUTION_DILATIONS, FBL_DNN_TYPE_INT64, 2, dilations);
    finalize(made, shape);
    void *x = make_tensor(made, &convolution->x, 1), *weight = make_tensor(made, &convolution->weight, 2), *y = make_tensor(made, &convolution->y, 3);
    int first = firsts[c->kind];
    void *operation = make(made, types[c->kind]);
    set(made, operation, first, FBL_DNN_TYPE_FLOAT, 1, &one);
    set(made, operation, first + 1, FBL_DNN_TYPE_FLOAT, 1, &zero);
    set_descriptor(made, operation, first + 2, shape);
    set_descriptor(made, operation, first + 3, weight);
    set_descriptor(made, operation, first + 4, x);
    set_descriptor(made, operation, first + 5, y);
    finalize(made, operation);
    void *graph = make(made, FBL_DNN_GRAPH);
    set(made, graph, FBL_DNN_GRAPH_HANDLE, FBL_DNN_TYPE_HANDLE, 1, &dnn->handle);
    set_descriptor(made, graph, FBL_DNN_GRAPH_OPERATIONS, operation);
    finalize(made, graph);
    return graph;
}

// The engine's plan for the graph, and the workspace that it needs.
static void *make_plan(Made *made, const FblCudnn *dnn, void *graph, const Engine *with, int64_t *out_workspace) {
    void *engine = make(made, FBL_DNN_ENGINE), *knobs[KNOBS];
    set_descriptor(made, engine, FBL_DNN_ENGINE_GRAPH, graph);
    set_number(made, engine, FBL_DNN_ENGINE_INDEX, with->index);
    finalize(made, engine);
    for (int64_t k = 0; k < with->knobs; k++) {
        knobs[k] = make(made, FBL_DNN_KNOB);
        set_choice(made, knobs[k], FBL_DNN_KNOB_TYPE, FBL_DNN_TYPE_KNOB, with->types[k]);
        set_number(made, knobs[k], FBL_DNN_KNOB_VALUE, with->values[k]);
        finalize(made, knobs[k]);
    }
    void *config = make(made, FBL_DNN_CONFIG);
    set_descriptor(made, config, FBL_DNN_CONFIG_ENGINE, engine);
    if (with->knobs > 0) {
        set(made, config, FBL_DNN_CONFIG_KNOBS, FBL_DNN_TYPE_DESCRIPTOR, with->knobs, knobs);
    }
    finalize(made, config);
    void *plan = make(made, FBL_DNN_PLAN);
    set(made, plan, FBL_DNN_PLAN_HANDLE, FBL_DNN_TYPE_HANDLE, 1, &dnn->handle);
    set_descriptor(made, plan, FBL_DNN_PLAN_CONFIG, config);
    finalize(made, plan);
    int64_t count = 0;
    *out_workspace = 0;
    made->failed = made->failed || made->api->get(plan, FBL_DNN_PLAN_WORKSPACE, FBL_DNN_TYPE_INT64, 1, &count, out_workspace) != FBL_DNN_SUCCESS || count != 1;
    return plan;
}

// Whether what an engine says of its numbers is what the precision asks for.
static bool is_exact(const int *notes, int64_t count, const FblConvolution *convolution, int32_t precision) {
    bool plain_f32 = convolution->factors == FBL_F32 && precision == 0; // FBL_CUDA_F32: tensor cores would round the factors
    for (int64_t n = 0; n < count; n++) {
        bool bad = notes[n] == FBL_DNN_NOTE_NONDETERMINISTIC || notes[n] == FBL_DNN_NOTE_REDUCED_PRECISION || notes[n] == FBL_DNN_NOTE_DOWN_CONVERT ||
                   notes[n] == FBL_DNN_NOTE_FFT || notes[n] == FBL_DNN_NOTE_WINOGRAD || (notes[n] == FBL_DNN_NOTE_TENSOR_CORE && plain_f32);
        if (bad) {
            return false;
        }
    }
    return true;
}

// Reads a proposal: its engine and knobs. False for one that is not exact, or has more knobs than can be recorded.
static bool read_proposal(const FblDnnApi *api, void *config, const FblConvolution *convolution, int32_t precision, Engine *out) {
    Made made = {.api = api};
    int notes[32];
    int64_t count = 0, noted = 0;
    void *engine = make(&made, FBL_DNN_ENGINE), *knobs[KNOBS + 1] = {NULL}; // one more than there may be, to see that there are no more
    for (int k = 0; k <= KNOBS; k++) {
        knobs[k] = make(&made, FBL_DNN_KNOB);
    }
    memset(out, 0, sizeof *out);
    bool ok = !made.failed && api->get(config, FBL_DNN_CONFIG_ENGINE, FBL_DNN_TYPE_DESCRIPTOR, 1, &count, &engine) == FBL_DNN_SUCCESS && count == 1 &&
              api->get(engine, FBL_DNN_ENGINE_INDEX, FBL_DNN_TYPE_INT64, 1, &count, &out->index) == FBL_DNN_SUCCESS && count == 1 &&
              api->get(engine, FBL_DNN_ENGINE_NOTES, FBL_DNN_TYPE_NUMERICAL_NOTE, 32, &noted, notes) == FBL_DNN_SUCCESS && noted <= 32 &&
              is_exact(notes, noted, convolution, precision);
    ok = ok && api->get(config, FBL_DNN_CONFIG_KNOBS, FBL_DNN_TYPE_DESCRIPTOR, KNOBS + 1, &out->knobs, knobs) == FBL_DNN_SUCCESS && out->knobs >= 0 && out->knobs <= KNOBS;
    for (int64_t k = 0; ok && k < out->knobs; k++) {
        ok = api->get(knobs[k], FBL_DNN_KNOB_TYPE, FBL_DNN_TYPE_KNOB, 1, &count, &out->types[k]) == FBL_DNN_SUCCESS && count == 1 &&
             api->get(knobs[k], FBL_DNN_KNOB_VALUE, FBL_DNN_TYPE_INT64, 1, &count, &out->values[k]) == FBL_DNN_SUCCESS && count == 1;
    }
    drop(&made);
    return ok;
}

static void record(const FblCudnn *dnn, const Engine *engine, int32_t precision, int64_t workspace, FblGpuLibrary *out) {
    *out = (FblGpuLibrary){.used = true, .kind = FBL_LIBRARY_CUDNN, .precision = precision, .workspace_bytes = workspace};
    out->algorithm[0] = (uint64_t)engine->index;
    out->algorithm[1] = (uint64_t)engine->knobs;
    int at = snprintf(out->name, sizeof out->name, "cuDNN %s: engine %lld", dnn->version, (long long)engine->index);
    for (int64_t k = 0; k < engine->knobs; k++) {
        out->algorithm[2 + 2 * k] = (uint64_t)engine->types[k];
        out->algorithm[3 + 2 * k] = (uint64_t)engine->values[k];
        if (at < (int)sizeof out->name) {
            at += snprintf(out->name + at, sizeof out->name - (size_t)at, "%s %d=%lld", k ? "," : ", knobs", engine->types[k], (long long)engine->values[k]);
        }
    }
}

// The first proposal of a heuristic that is exact and has a plan within the limit.
static bool choose_from(const FblCudnn *dnn, const FblConvolution *convolution, int32_t precision, int mode, FblGpuLibrary *out) {
    const FblDnnApi *api = &dnn->api;
    Made made = {.api = api};
    void *graph = make_graph(&made, dnn, convolution), *heuristic = make(&made, FBL_DNN_HEURISTIC), *configs[PROPOSALS] = {NULL};
    set_descriptor(&made, heuristic, FBL_DNN_HEURISTIC_GRAPH, graph);
    set_choice(&made, heuristic, FBL_DNN_HEURISTIC_MODE, FBL_DNN_TYPE_HEURISTIC_MODE, mode);
    finalize(&made, heuristic);
    bool ok = !made.failed, found = false;
    int64_t count = 0;
    for (int p = 0; ok && p < PROPOSALS; p++) { // not kept in `made`, which has room for one plan
        ok = api->make(FBL_DNN_CONFIG, &configs[p]) == FBL_DNN_SUCCESS;
    }
    ok = ok && api->get(heuristic, FBL_DNN_HEURISTIC_RESULTS, FBL_DNN_TYPE_DESCRIPTOR, PROPOSALS, &count, configs) == FBL_DNN_SUCCESS;
    for (int64_t p = 0; ok && !found && p < count && p < PROPOSALS; p++) {
        Engine engine;
        Made trial = {.api = api};
        int64_t workspace;
        if (read_proposal(api, configs[p], convolution, precision, &engine)) {
            make_plan(&trial, dnn, graph, &engine, &workspace);
            found = !trial.failed && workspace >= 0 && workspace <= FBL_CUDNN_WORKSPACE;
            if (found) {
                record(dnn, &engine, precision, workspace, out);
            }
        }
        drop(&trial);
    }
    for (int p = 0; p < PROPOSALS; p++) {
        if (configs[p]) {
            api->drop(configs[p]);
        }
    }
    drop(&made);
    return found;
}

bool fbl_cudnn_choose(FblCudaDevice *device, const FblConvolution *convolution, int32_t precision, FblGpuLibrary *out) {
    memset(out, 0, sizeof *out);
    return fbl_cudnn_open(device) && (choose_from(device->dnn, convolution, precision, FBL_DNN_HEURISTIC_A, out) ||
                                      choose_from(device->dnn, convolution, precision, FBL_DNN_HEURISTIC_FALLBACK, out));
}

static bool recorded_engine(const FblGpuLibrary *library, Engine *out) {
    *out = (Engine){.index = (int64_t)library->algorithm[0], .knobs = (int64_t)library->algorithm[1]};
    if (out->knobs < 0 || out->knobs > KNOBS) {
        return false;
    }
    for (int64_t k = 0; k < out->knobs; k++) {
        out->types[k] = (int32_t)library->algorithm[2 + 2 * k];
        out->values[k] = (int64_t)library->algorithm[3 + 2 * k];
    }
    return true;
}

bool fbl_cudnn_prepare(FblCudaDevice *device, const FblConvolution *convolution, const FblGpuLibrary *library, const FblDevicePtr *buffers, FblDevicePtr workspace,
                       FblDnnCall **out_call) {
    Engine engine;
    *out_call = NULL;
    if (!recorded_engine(library, &engine) || !fbl_cudnn_open(device)) {
        return false;
    }
    FblDnnCall *call = calloc(1, sizeof *call);
    if (!call) {
        fbl_out_of_memory();
    }
    call->device = device;
    call->made.api = &device->dnn->api;
    Made *made = &call->made;
    const FblConvolutionTensor *tensors[3] = {&convolution->x, &convolution->weight, &convolution->y};
    static const int64_t ids[3] = {1, 2, 3};
    void *pointers[3], *space = (void *)(uintptr_t)workspace;
    int64_t needed = 0;
    for (int t = 0; t < 3; t++) {
        pointers[t] = (void *)(uintptr_t)buffers[tensors[t]->buffer];
    }
    call->plan = make_plan(made, device->dnn, make_graph(made, device->dnn, convolution), &engine, &needed);
    call->pack = make(made, FBL_DNN_PACK);
    set(made, call->pack, FBL_DNN_PACK_IDS, FBL_DNN_TYPE_INT64, 3, ids);
    set(made, call->pack, FBL_DNN_PACK_POINTERS, FBL_DNN_TYPE_POINTER, 3, pointers);
    set(made, call->pack, FBL_DNN_PACK_WORKSPACE, FBL_DNN_TYPE_POINTER, 1, &space);
    finalize(made, call->pack);
    if (made->failed || needed < 0 || needed > library->workspace_bytes) {
        fbl_cudnn_destroy(call);
        return false;
    }
    *out_call = call;
    return true;
}

void fbl_cudnn_destroy(FblDnnCall *call) {
    if (call) {
        drop(&call->made);
        free(call);
    }
}

FblCuResult fbl_cudnn_launch(FblDnnCall *call) {
    const FblCudnn *dnn = call->device->dnn;
    return dnn->api.execute(dnn->handle, call->plan, call->pack) == FBL_DNN_SUCCESS ? FBL_CU_SUCCESS : FBL_CU_UNKNOWN;
}

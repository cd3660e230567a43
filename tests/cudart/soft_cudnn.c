// cuDNN without NVIDIA: the descriptors and entry points that runtime/cuda/cudnn.c uses, with convolutions as plain loops in double on the CPU, on the
// streams of soft_driver.c (FBL_CUDA_DRIVER). Loaded by FBL_CUDNN.
// Descriptors are checked as the library's reference asks: attributes of the right type and number, set before and read after finalizing, all required
// ones there, extents of a convolution that fit each other. A tensor is read and written by the strides that its descriptor has.
// Its engines: 0 sums from the back in double, 1 is not deterministic, 2 rounds factors in f32 (tensor cores), 3 (one knob, 5) sums from the front in double, 4 sums in float.
// The heuristic proposes 1, 2, 3, 0 in this order, the one for fallbacks 4. Halves go to halves, and in engine 3 to f32 too.
// FBL_SOFT_DNN is a list of comma-separated settings: start, the library does not start; none, no heuristic proposes anything; engine=N, the heuristic
// proposes N alone; refuse, plans are refused; wrong, a channel of the result is 4 % off; report=FILE, a line a convolution that is computed.
// Threads: one caller.
#include <stdio.h>

#include "runtime/cuda/cudnn_api.h"
#include "tests/cudart/soft_library.h"

#define EXPORT __attribute__((visibility("default")))
enum { NOT_INITIALIZED = 1001, BAD_PARAM = 2000, NOT_SUPPORTED = 3000, EXECUTION_FAILED = 5000 };
enum { MOST_ATTRIBUTES = 12, MOST_VALUES = 8, WORKSPACE = 1000 };

typedef struct Attribute {
    int name, type;
    int64_t count;
    union {
        int32_t i32[MOST_VALUES];
        int64_t i64[MOST_VALUES];
        float f32[MOST_VALUES];
        void *pointer[MOST_VALUES];
    } as;
} Attribute;

typedef struct Descriptor {
    int type;
    bool finalized;
    int count;
    Attribute attributes[MOST_ATTRIBUTES];
} Descriptor;

// Nothing but its stream. Another GPU has another one.
typedef struct Handle {
    uint64_t tag; // HANDLE while it lives
    void *stream;
} Handle;

#define HANDLE 0x48616e646c653137u
static bool is_handle(const Handle *handle) { return handle && handle->tag == HANDLE; }

static const char *text_setting(const char *name) { return soft_listed("FBL_SOFT_DNN", name); }

// ------------------------------------------------------------------------------------------------------ attributes

// What an attribute must be: of which descriptor, of which type, how many values at least and at most.
typedef struct Rule {
    int descriptor, name, type, least, most;
    bool required;
} Rule;

static const Rule rules[] = {
    {FBL_DNN_TENSOR, FBL_DNN_TENSOR_ID, FBL_DNN_TYPE_INT64, 1, 1, true},
    {FBL_DNN_TENSOR, FBL_DNN_TENSOR_ALIGNMENT, FBL_DNN_TYPE_INT64, 1, 1, true},
    {FBL_DNN_TENSOR, FBL_DNN_TENSOR_DATA_TYPE, FBL_DNN_TYPE_DATA_TYPE, 1, 1, true},
    {FBL_DNN_TENSOR, FBL_DNN_TENSOR_EXTENTS, FBL_DNN_TYPE_INT64, 4, 4, true},
    {FBL_DNN_TENSOR, FBL_DNN_TENSOR_STRIDES, FBL_DNN_TYPE_INT64, 4, 4, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_COMPUTE, FBL_DNN_TYPE_DATA_TYPE, 1, 1, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_MODE, FBL_DNN_TYPE_CONVOLUTION_MODE, 1, 1, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_DIMENSIONS, FBL_DNN_TYPE_INT64, 1, 1, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_DILATIONS, FBL_DNN_TYPE_INT64, 2, 2, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_STRIDES, FBL_DNN_TYPE_INT64, 2, 2, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_PADDING_BEFORE, FBL_DNN_TYPE_INT64, 2, 2, true},
    {FBL_DNN_CONVOLUTION, FBL_DNN_CONVOLUTION_PADDING_AFTER, FBL_DNN_TYPE_INT64, 2, 2, true},
    {FBL_DNN_GRAPH, FBL_DNN_GRAPH_HANDLE, FBL_DNN_TYPE_HANDLE, 1, 1, true},
    {FBL_DNN_GRAPH, FBL_DNN_GRAPH_OPERATIONS, FBL_DNN_TYPE_DESCRIPTOR, 1, 1, true},
    {FBL_DNN_HEURISTIC, FBL_DNN_HEURISTIC_GRAPH, FBL_DNN_TYPE_DESCRIPTOR, 1, 1, true},
    {FBL_DNN_HEURISTIC, FBL_DNN_HEURISTIC_MODE, FBL_DNN_TYPE_HEURISTIC_MODE, 1, 1, true},
    {FBL_DNN_ENGINE, FBL_DNN_ENGINE_GRAPH, FBL_DNN_TYPE_DESCRIPTOR, 1, 1, true},
    {FBL_DNN_ENGINE, FBL_DNN_ENGINE_INDEX, FBL_DNN_TYPE_INT64, 1, 1, true},
    {FBL_DNN_KNOB, FBL_DNN_KNOB_TYPE, FBL_DNN_TYPE_KNOB, 1, 1, true},
    {FBL_DNN_KNOB, FBL_DNN_KNOB_VALUE, FBL_DNN_TYPE_INT64, 1, 1, true},
    {FBL_DNN_CONFIG, FBL_DNN_CONFIG_ENGINE, FBL_DNN_TYPE_DESCRIPTOR, 1, 1, true},
    {FBL_DNN_CONFIG, FBL_DNN_CONFIG_KNOBS, FBL_DNN_TYPE_DESCRIPTOR, 1, MOST_VALUES, false},
    {FBL_DNN_PLAN, FBL_DNN_PLAN_HANDLE, FBL_DNN_TYPE_HANDLE, 1, 1, true},
    {FBL_DNN_PLAN, FBL_DNN_PLAN_CONFIG, FBL_DNN_TYPE_DESCRIPTOR, 1, 1, true},
    {FBL_DNN_PACK, FBL_DNN_PACK_IDS, FBL_DNN_TYPE_INT64, 3, 3, true},
    {FBL_DNN_PACK, FBL_DNN_PACK_POINTERS, FBL_DNN_TYPE_POINTER, 3, 3, true},
    {FBL_DNN_PACK, FBL_DNN_PACK_WORKSPACE, FBL_DNN_TYPE_POINTER, 1, 1, true},
};

static bool is_operation(int type) { return type == FBL_DNN_FORWARD || type == FBL_DNN_DATA_GRAD || type == FBL_DNN_WEIGHT_GRAD; }

// Operations have their attributes in one order from here on: alpha, beta, convolution, w, x, y.
static int first_of(int type) { return type == FBL_DNN_FORWARD ? FBL_DNN_FORWARD_ALPHA : type == FBL_DNN_DATA_GRAD ? FBL_DNN_DATA_GRAD_ALPHA : FBL_DNN_WEIGHT_GRAD_ALPHA; }

static size_t bytes_of(int type) {
    return type == FBL_DNN_TYPE_INT64 || type == FBL_DNN_TYPE_HANDLE || type == FBL_DNN_TYPE_POINTER || type == FBL_DNN_TYPE_DESCRIPTOR ? 8 : 4;
}

static const Attribute *find(const Descriptor *d, int name) {
    for (int i = 0; d && i < d->count; i++) {
        if (d->attributes[i].name == name) {
            return &d->attributes[i];
        }
    }
    return NULL;
}

// The values of an attribute; of one that is not there: zeros.
static const Attribute *of(const Descriptor *d, int name) {
    static const Attribute absent;
    const Attribute *a = find(d, name);
    return a ? a : &absent;
}

static bool allowed(const Descriptor *d, int name, int type, int64_t count) {
    if (is_operation(d->type)) {
        int at = name - first_of(d->type);
        return at >= 0 && at < 6 && count == 1 && type == (at < 2 ? FBL_DNN_TYPE_FLOAT : FBL_DNN_TYPE_DESCRIPTOR);
    }
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        if (rules[r].descriptor == d->type && rules[r].name == name) {
            return type == rules[r].type && count >= rules[r].least && count <= rules[r].most;
        }
    }
    return false;
}

static const Descriptor *inner(const Descriptor *d, int name) {
    const Attribute *a = find(d, name);
    return a ? a->as.pointer[0] : NULL;
}

static bool complete(const Descriptor *d) {
    for (int at = 0; is_operation(d->type) && at < 6; at++) {
        const Descriptor *other = at < 2 ? NULL : inner(d, first_of(d->type) + at);
        if (at < 2 ? !find(d, first_of(d->type) + at) : !other || !other->finalized || other->type != (at == 2 ? FBL_DNN_CONVOLUTION : FBL_DNN_TENSOR)) {
            return false;
        }
    }
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        const Attribute *a = rules[r].descriptor == d->type ? find(d, rules[r].name) : NULL;
        if (rules[r].descriptor == d->type && rules[r].required && !a) {
            return false;
        }
        for (int64_t v = 0; a && a->type == FBL_DNN_TYPE_DESCRIPTOR && v < a->count; v++) {
            const Descriptor *other = a->as.pointer[v];
            if (!other || !other->finalized) {
                return false;
            }
        }
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------- convolutions

typedef struct Tensor {
    SoftType type;
    int64_t id, extent[4], stride[4];
} Tensor;

typedef struct Convolution {
    int operation;
    Tensor w, x, y;
    int64_t padding[2], stride[2], dilation[2];
    int64_t engine;
    void *W, *X, *Y;
} Convolution;

static Tensor tensor_of(const Descriptor *d) {
    Tensor t = {.id = of(d, FBL_DNN_TENSOR_ID)->as.i64[0]};
    int type = of(d, FBL_DNN_TENSOR_DATA_TYPE)->as.i32[0];
    t.type = type == FBL_DNN_BFLOAT16 ? SOFT_BF16 : type == FBL_DNN_HALF ? SOFT_F16 : SOFT_F32;
    memcpy(t.extent, of(d, FBL_DNN_TENSOR_EXTENTS)->as.i64, sizeof t.extent);
    memcpy(t.stride, of(d, FBL_DNN_TENSOR_STRIDES)->as.i64, sizeof t.stride);
    return t;
}

static Convolution convolution_of(const Descriptor *graph) {
    const Descriptor *operation = inner(graph, FBL_DNN_GRAPH_OPERATIONS);
    int first = first_of(operation->type);
    const Descriptor *shape = inner(operation, first + 2);
    Convolution c = {.operation = operation->type, .w = tensor_of(inner(operation, first + 3)), .x = tensor_of(inner(operation, first + 4)), .y = tensor_of(inner(operation, first + 5))};
    memcpy(c.padding, of(shape, FBL_DNN_CONVOLUTION_PADDING_BEFORE)->as.i64, sizeof c.padding);
    memcpy(c.stride, of(shape, FBL_DNN_CONVOLUTION_STRIDES)->as.i64, sizeof c.stride);
    memcpy(c.dilation, of(shape, FBL_DNN_CONVOLUTION_DILATIONS)->as.i64, sizeof c.dilation);
    return c;
}

// Whether there is such a convolution: types and extents.
static bool exists(const Descriptor *graph) {
    const Descriptor *operation = inner(graph, FBL_DNN_GRAPH_OPERATIONS);
    if (!operation || !is_operation(operation->type)) {
        return false;
    }
    const Descriptor *shape = inner(operation, first_of(operation->type) + 2);
    Convolution c = convolution_of(graph);
    bool right = of(shape, FBL_DNN_CONVOLUTION_COMPUTE)->as.i32[0] == FBL_DNN_FLOAT && of(shape, FBL_DNN_CONVOLUTION_MODE)->as.i32[0] == FBL_DNN_CROSS_CORRELATION &&
                 of(operation, first_of(operation->type))->as.f32[0] == 1.0f && of(operation, first_of(operation->type) + 1)->as.f32[0] == 0.0f;
    right = right && memcmp(of(shape, FBL_DNN_CONVOLUTION_PADDING_AFTER)->as.i64, c.padding, sizeof c.padding) == 0;
    for (int d = 0; d < 2; d++) {
        int64_t reach = c.dilation[d] * (c.w.extent[2 + d] - 1) + 1;
        right = right && c.y.extent[2 + d] == (c.x.extent[2 + d] + 2 * c.padding[d] - reach) / c.stride[d] + 1;
    }
    int64_t groups = c.w.extent[1] > 0 ? c.x.extent[1] / c.w.extent[1] : 0;
    return right && c.x.extent[0] == c.y.extent[0] && c.y.extent[1] == c.w.extent[0] && groups > 0 && groups * c.w.extent[1] == c.x.extent[1] && c.y.extent[1] % groups == 0;
}

// Whether an engine computes it: operands of one type, the result of that type; from halves to f32 only engine 3.
static bool supports(int64_t engine, const Convolution *c) {
    const Tensor *result = c->operation == FBL_DNN_FORWARD ? &c->y : c->operation == FBL_DNN_DATA_GRAD ? &c->x : &c->w;
    const Tensor *a = result == &c->x ? &c->y : &c->x, *b = result == &c->w ? &c->y : &c->w;
    return engine >= 0 && engine <= 4 && a->type == b->type && (result->type == a->type || (result->type == SOFT_F32 && engine == 3));
}

// An element as an engine multiplies it: tensor cores round f32 to 11 significant bits.
static double factor(const Convolution *c, const Tensor *t, const void *data, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
    double value = soft_get(t->type, data, i0 * t->stride[0] + i1 * t->stride[1] + i2 * t->stride[2] + i3 * t->stride[3]);
    int exponent;
    double fraction = frexp(value, &exponent);
    return c->engine == 2 && t->type == SOFT_F32 ? ldexp(nearbyint(ldexp(fraction, 11)), exponent - 11) : value;
}

// Adds the products of one result in an order that the engine has.
typedef struct Sum {
    double back[4096], total;
    float single;
    int64_t engine;
    int count;
} Sum;

static void add(Sum *sum, double product) {
    if (sum->engine == 0 && sum->count < 4096) {
        sum->back[sum->count++] = product;
    } else {
        sum->total += product;
    }
    sum->single += (float)product;
}

static double finish(Sum *sum) {
    while (sum->count > 0) {
        sum->total += sum->back[--sum->count];
    }
    return sum->engine == 4 ? (double)sum->single : sum->total;
}

// The product of every (pixel of y, tap, channel) that has a pixel of x, for the one result at (a, b, c, d).
static double result_at(const Convolution *c, int64_t a, int64_t b, int64_t d2, int64_t d3) {
    Sum sum; // `back` is large and needs no zeros
    sum.total = 0;
    sum.single = 0;
    sum.count = 0;
    sum.engine = c->engine;
    int64_t cg = c->w.extent[1], og = c->y.extent[1] / (c->x.extent[1] / cg);
    bool forward = c->operation == FBL_DNN_FORWARD, data = c->operation == FBL_DNN_DATA_GRAD;
    int64_t n0 = forward || data ? a : 0, n1 = forward || data ? a + 1 : c->x.extent[0];
    int64_t o0 = forward ? b : data ? b / cg * og : a, o1 = forward ? b + 1 : data ? o0 + og : a + 1;
    for (int64_t n = n0; n < n1; n++) {
        for (int64_t o = o0; o < o1; o++) {
            int64_t i0 = forward ? 0 : data ? b % cg : b, i1 = forward ? cg : i0 + 1;
            for (int64_t kh = forward || data ? 0 : d2; kh < (forward || data ? c->w.extent[2] : d2 + 1); kh++) {
                for (int64_t kw = forward || data ? 0 : d3; kw < (forward || data ? c->w.extent[3] : d3 + 1); kw++) {
                    for (int64_t oh = forward ? d2 : 0; oh < (forward ? d2 + 1 : c->y.extent[2]); oh++) {
                        int64_t h = oh * c->stride[0] - c->padding[0] + kh * c->dilation[0];
                        if (h < 0 || h >= c->x.extent[2] || (data && h != d2)) {
                            continue;
                        }
                        for (int64_t ow = forward ? d3 : 0; ow < (forward ? d3 + 1 : c->y.extent[3]); ow++) {
                            int64_t w = ow * c->stride[1] - c->padding[1] + kw * c->dilation[1];
                            if (w < 0 || w >= c->x.extent[3] || (data && w != d3)) {
                                continue;
                            }
                            for (int64_t i = i0; i < i1; i++) {
                                double x = data ? 0 : factor(c, &c->x, c->X, n, o / og * cg + i, h, w), weight = forward || data ? factor(c, &c->w, c->W, o, i, kh, kw) : 0;
                                double y = forward ? 0 : factor(c, &c->y, c->Y, n, o, oh, ow);
                                add(&sum, forward ? x * weight : data ? y * weight : x * y);
                            }
                        }
                    }
                }
            }
        }
    }
    return finish(&sum);
}

static void run(void *argument) {
    const Convolution *c = argument;
    const Tensor *r = c->operation == FBL_DNN_FORWARD ? &c->y : c->operation == FBL_DNN_DATA_GRAD ? &c->x : &c->w;
    void *to = r == &c->y ? c->Y : r == &c->x ? c->X : c->W;
    bool wrong = text_setting("wrong") != NULL;
    for (int64_t a = 0; a < r->extent[0]; a++) {
        for (int64_t b = 0; b < r->extent[1]; b++) {
            for (int64_t d2 = 0; d2 < r->extent[2]; d2++) {
                for (int64_t d3 = 0; d3 < r->extent[3]; d3++) {
                    double value = result_at(c, a, b, d2, d3);
                    soft_put(r->type, to, a * r->stride[0] + b * r->stride[1] + d2 * r->stride[2] + d3 * r->stride[3], wrong && b == 0 ? value * 1.04 : value);
                }
            }
        }
    }
    const char *report = text_setting("report");
    FILE *out = report ? fopen(report, "a") : NULL;
    if (out) {
        static const char *const types[] = {"f32", "f16", "bf16"};
        fprintf(out, "engine %lld %s %lldx%lldx%lldx%lld by %lldx%lldx%lldx%lld s%lld p%lld of %s to %s\n", (long long)c->engine,
                r == &c->y   ? "forward"
                : r == &c->x ? "data gradient"
                             : "weight gradient",
                (long long)c->x.extent[0], (long long)c->x.extent[1], (long long)c->x.extent[2], (long long)c->x.extent[3], (long long)c->w.extent[0], (long long)c->w.extent[1],
                (long long)c->w.extent[2], (long long)c->w.extent[3], (long long)c->stride[0], (long long)c->padding[0], types[r == &c->x ? c->y.type : c->x.type], types[r->type]);
        fclose(out);
    }
}

// ---------------------------------------------------------------------------------------------------- entry points

EXPORT int cudnnCreate(Handle **handle);
EXPORT int cudnnCreate(Handle **handle) {
    *handle = text_setting("start") ? NULL : calloc(1, sizeof **handle);
    if (*handle) {
        (*handle)->tag = HANDLE;
    }
    return *handle ? FBL_DNN_SUCCESS : NOT_INITIALIZED;
}
EXPORT int cudnnDestroy(Handle *handle);
EXPORT int cudnnDestroy(Handle *handle) {
    if (!is_handle(handle)) {
        return BAD_PARAM;
    }
    handle->tag = 0;
    free(handle);
    return FBL_DNN_SUCCESS;
}
EXPORT size_t cudnnGetVersion(void);
EXPORT size_t cudnnGetVersion(void) { return 91900; }
EXPORT int cudnnSetStream(Handle *handle, void *stream);
EXPORT int cudnnSetStream(Handle *handle, void *stream) {
    if (!is_handle(handle)) {
        return BAD_PARAM;
    }
    handle->stream = stream;
    return FBL_DNN_SUCCESS;
}
EXPORT int cudnnBackendCreateDescriptor(int type, void **descriptor);
EXPORT int cudnnBackendCreateDescriptor(int type, void **descriptor) {
    Descriptor *made = calloc(1, sizeof *made);
    made->type = type;
    *descriptor = made;
    return FBL_DNN_SUCCESS;
}
EXPORT int cudnnBackendDestroyDescriptor(void *descriptor);
EXPORT int cudnnBackendDestroyDescriptor(void *descriptor) {
    free(descriptor);
    return FBL_DNN_SUCCESS;
}
EXPORT int cudnnBackendSetAttribute(Descriptor *d, int name, int type, int64_t count, const void *values);
EXPORT int cudnnBackendSetAttribute(Descriptor *d, int name, int type, int64_t count, const void *values) {
    if (!d || d->finalized || !allowed(d, name, type, count) || d->count == MOST_ATTRIBUTES || find(d, name)) {
        return BAD_PARAM;
    }
    Attribute *a = &d->attributes[d->count++];
    *a = (Attribute){.name = name, .type = type, .count = count};
    memcpy(&a->as, values, (size_t)count * bytes_of(type));
    return FBL_DNN_SUCCESS;
}
EXPORT int cudnnBackendFinalize(Descriptor *d);
EXPORT int cudnnBackendFinalize(Descriptor *d) {
    if (!d || d->finalized || !complete(d)) {
        return BAD_PARAM;
    }
    if (d->type == FBL_DNN_GRAPH && !exists(d)) {
        return BAD_PARAM;
    }
    if (d->type == FBL_DNN_PLAN) {
        const Descriptor *config = inner(d, FBL_DNN_PLAN_CONFIG), *engine = inner(config, FBL_DNN_CONFIG_ENGINE);
        Convolution c = convolution_of(inner(engine, FBL_DNN_ENGINE_GRAPH));
        int64_t index = of(engine, FBL_DNN_ENGINE_INDEX)->as.i64[0];
        const Descriptor *knob = inner(config, FBL_DNN_CONFIG_KNOBS);
        bool knobs = (index == 3) == (knob != NULL) && (!knob || (of(knob, FBL_DNN_KNOB_TYPE)->as.i32[0] == 7 && of(knob, FBL_DNN_KNOB_VALUE)->as.i64[0] == 5));
        if (text_setting("refuse") || !supports(index, &c) || !knobs) {
            return NOT_SUPPORTED;
        }
    }
    d->finalized = true;
    return FBL_DNN_SUCCESS;
}

// What the library fills in: descriptors that the caller has made.
static bool give(Descriptor *to, int name, int type, const void *value) {
    return to && cudnnBackendSetAttribute(to, name, type, 1, value) == FBL_DNN_SUCCESS;
}

static int get_proposals(const Descriptor *d, int64_t most, int64_t *count, void **out) {
    static const int64_t usual[] = {1, 2, 3, 0}, fallback[] = {4};
    bool last = of(d, FBL_DNN_HEURISTIC_MODE)->as.i32[0] == FBL_DNN_HEURISTIC_FALLBACK;
    const char *one = text_setting("engine");
    int64_t own = one ? strtoll(one, NULL, 10) : 0, have = text_setting("none") ? 0 : last || one ? 1 : 4;
    const int64_t *engines = one ? &own : last ? fallback : usual;
    *count = have < most ? have : most;
    for (int64_t p = 0; p < *count; p++) {
        Descriptor *engine, *knob; // live as long as the process, as a captured graph may
        void *graph = of(d, FBL_DNN_HEURISTIC_GRAPH)->as.pointer[0];
        int32_t type = 7;
        int64_t value = 5;
        cudnnBackendCreateDescriptor(FBL_DNN_ENGINE, (void **)&engine);
        cudnnBackendCreateDescriptor(FBL_DNN_KNOB, (void **)&knob);
        if (!give(engine, FBL_DNN_ENGINE_GRAPH, FBL_DNN_TYPE_DESCRIPTOR, &graph) || !give(engine, FBL_DNN_ENGINE_INDEX, FBL_DNN_TYPE_INT64, &engines[p]) ||
            cudnnBackendFinalize(engine) != FBL_DNN_SUCCESS || !give(knob, FBL_DNN_KNOB_TYPE, FBL_DNN_TYPE_KNOB, &type) ||
            !give(knob, FBL_DNN_KNOB_VALUE, FBL_DNN_TYPE_INT64, &value) || cudnnBackendFinalize(knob) != FBL_DNN_SUCCESS ||
            !give(out[p], FBL_DNN_CONFIG_ENGINE, FBL_DNN_TYPE_DESCRIPTOR, &engine) ||
            (engines[p] == 3 && !give(out[p], FBL_DNN_CONFIG_KNOBS, FBL_DNN_TYPE_DESCRIPTOR, &knob)) || cudnnBackendFinalize(out[p]) != FBL_DNN_SUCCESS) {
            return BAD_PARAM;
        }
    }
    return FBL_DNN_SUCCESS;
}

EXPORT int cudnnBackendGetAttribute(Descriptor *d, int name, int type, int64_t most, int64_t *count, void *values);
EXPORT int cudnnBackendGetAttribute(Descriptor *d, int name, int type, int64_t most, int64_t *count, void *values) {
    if (!d || !d->finalized) {
        return BAD_PARAM;
    }
    if (d->type == FBL_DNN_HEURISTIC && name == FBL_DNN_HEURISTIC_RESULTS && type == FBL_DNN_TYPE_DESCRIPTOR) {
        return get_proposals(d, most, count, values);
    }
    if (d->type == FBL_DNN_ENGINE && name == FBL_DNN_ENGINE_NOTES && type == FBL_DNN_TYPE_NUMERICAL_NOTE && most > 0) {
        int64_t engine = of(d, FBL_DNN_ENGINE_INDEX)->as.i64[0];
        *count = engine == 1 || engine == 2;
        *(int *)values = engine == 1 ? FBL_DNN_NOTE_NONDETERMINISTIC : FBL_DNN_NOTE_TENSOR_CORE;
        return FBL_DNN_SUCCESS;
    }
    if (d->type == FBL_DNN_PLAN && name == FBL_DNN_PLAN_WORKSPACE && type == FBL_DNN_TYPE_INT64 && most > 0) {
        *count = 1;
        *(int64_t *)values = WORKSPACE;
        return FBL_DNN_SUCCESS;
    }
    const Attribute *a = find(d, name);
    if (d->type == FBL_DNN_CONFIG && name == FBL_DNN_CONFIG_KNOBS && !a) {
        *count = 0;
        return FBL_DNN_SUCCESS;
    }
    if (!a || a->type != type) {
        return BAD_PARAM;
    }
    *count = a->count < most ? a->count : most;
    for (int64_t v = 0; v < *count; v++) {
        if (type == FBL_DNN_TYPE_DESCRIPTOR) {
            *((Descriptor **)values)[v] = *(const Descriptor *)a->as.pointer[v]; // into the caller's own
        }
    }
    if (type != FBL_DNN_TYPE_DESCRIPTOR) {
        memcpy(values, &a->as, (size_t)*count * bytes_of(type));
    }
    return FBL_DNN_SUCCESS;
}
EXPORT int cudnnBackendExecute(Handle *handle, Descriptor *plan, Descriptor *pack);
EXPORT int cudnnBackendExecute(Handle *handle, Descriptor *plan, Descriptor *pack) {
    if (!is_handle(handle) || !plan || !pack || !plan->finalized || !pack->finalized || plan->type != FBL_DNN_PLAN || pack->type != FBL_DNN_PACK) {
        return BAD_PARAM;
    }
    if (of(plan, FBL_DNN_PLAN_HANDLE)->as.pointer[0] != handle) {
        return BAD_PARAM; // a plan of another GPU
    }
    const Descriptor *engine = inner(inner(plan, FBL_DNN_PLAN_CONFIG), FBL_DNN_CONFIG_ENGINE);
    Convolution *c = malloc(sizeof *c); // lives as long as the process: a captured graph may run it again
    *c = convolution_of(inner(engine, FBL_DNN_ENGINE_GRAPH));
    c->engine = of(engine, FBL_DNN_ENGINE_INDEX)->as.i64[0];
    unsigned char *workspace = of(pack, FBL_DNN_PACK_WORKSPACE)->as.pointer[0];
    for (int t = 0; t < 3; t++) {
        int64_t id = of(pack, FBL_DNN_PACK_IDS)->as.i64[t];
        void *data = of(pack, FBL_DNN_PACK_POINTERS)->as.pointer[t];
        *(id == c->x.id ? &c->X : id == c->w.id ? &c->W : &c->Y) = data;
        if (!data || (uintptr_t)data % (uintptr_t)of(inner(inner(inner(engine, FBL_DNN_ENGINE_GRAPH), FBL_DNN_GRAPH_OPERATIONS), first_of(c->operation) + 3), FBL_DNN_TENSOR_ALIGNMENT)->as.i64[0] != 0) {
            return EXECUTION_FAILED;
        }
    }
    if (!workspace || !c->X || !c->W || !c->Y) {
        return EXECUTION_FAILED;
    }
    return soft_enqueue(handle->stream, run, c, "cudnn") ? FBL_DNN_SUCCESS : EXECUTION_FAILED;
}

// A CUDA driver without a GPU: the part of the driver API that runtime/cuda uses, on the CPU. Loaded in place of libcuda.so.1 by
// FBL_CUDA_DRIVER; soft_nvrtc.c in the same library makes its "cubins", which are shared objects of kernels compiled against
// tests/cuda/shim.h.
//
// It refuses what the driver's reference forbids: calls before cuInit or on a thread without a context, handles that were destroyed or are
// of another kind, launches beyond the limits of an architecture, more than 48 KiB of shared memory that was not asked for, calls that a
// capture does not survive, times of events without timing; and it ends the process where a program would not notice: memory or modules
// that are freed while work under way uses them, things that are left when the context goes.
//
// Work on a stream is done as late as the API allows - when something waits for it - so that a missing wait shows: pinned
// memory that is written too early, numbers that are read too early.
// FBL_SOFT_GPU in the environment is a list of comma-separated settings: no_device; devices=2; version=11040; arch=60; second_arch=80;
// memory=BYTES in all; fault=N, the N-th kernel (from 1) faults; eager=N, work on the N-th stream (from 1) is done as early as the API
// allows, so that work that overtakes another stream's shows.
// FBL_SOFT_CHARGE makes events tell a time that is made up: TILE=MICROSECONDS, separated by semicolons, is what a kernel costs
// whose tuned tile (the comment in its header) contains TILE; the first that fits counts, and any other kernel costs 1000; the calls of libraries (softLaunchLibrary) have the tile `cublaslt` or `cudnn`.
// Threads: one caller at a time.
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "soft.h"
#include "tests/cuda/soft_map.h"

#define EXPORT __attribute__((visibility("default")))
#define DEFAULT_SHARED 49152
enum { NO_TIMING = 2 }; // CU_EVENT_DISABLE_TIMING

static bool started;
static int retained[SOFT_DEVICES]; // of the primary contexts
static int made;         // streams so far
static size_t objects[SOFT_DEVICES]; // modules, events, streams and graphs that are alive
static _Thread_local int current = -1; // the device whose context this thread has
static _Thread_local int captures;     // streams that this thread has begun to capture; its address names the thread

static int architecture(void) { return (int)soft_setting("arch", 90); }

static bool live(const void *handle, Tag tag) { return handle && ((const Handle *)handle)->tag == tag; }

static int devices(void) { return soft_setting("no_device", 0) ? 0 : (int)soft_setting("devices", 1); }

static void *make(size_t size, Tag tag) {
    Handle *object = calloc(1, size);
    if (!object) {
        abort();
    }
    *object = (Handle){tag, current};
    objects[current] += tag != FUNCTION;
    return object;
}

static void kill_object(void *handle) {
    Handle *object = handle;
    object->tag = DEAD;
    objects[object->device]--;
}

// Whether a call may be made at all.
static int enter(void) { return !started ? NOT_INITIALIZED : current < 0 || retained[current] == 0 ? INVALID_CONTEXT : soft_sticky; }

static int spoil(Stream *stream) {
    stream->invalidated = true;
    return CAPTURE_UNSUPPORTED;
}

// The same for calls that a capture on this thread does not survive.
static int enter_outside(void) {
    int result = enter();
    if (result != SUCCESS || captures == 0) {
        return result;
    }
    for (Stream *stream = soft_streams; stream; stream = stream->next) {
        if (stream->capturer == &captures) {
            spoil(stream);
        }
    }
    return CAPTURE_UNSUPPORTED;
}

// The same for work on a stream. The legacy default stream is none that the program may use.
static int enter_stream(const Stream *stream) {
    int result = enter();
    return result != SUCCESS ? result : !live(stream, STREAM) || stream->handle.device != current ? INVALID_HANDLE : stream->invalidated ? CAPTURE_INVALIDATED : SUCCESS;
}

static Op *add(Stream *stream) { return soft_push(stream->capturing ? stream->capturing : &stream->queue); }

static int added(Stream *stream) {
    soft_added(stream);
    return soft_sticky;
}
EXPORT int cuInit(unsigned flags);
EXPORT int cuInit(unsigned flags) {
    started = flags == 0;
    return started ? SUCCESS : INVALID_VALUE;
}
EXPORT int cuDriverGetVersion(int *version);
EXPORT int cuDriverGetVersion(int *version) {
    *version = (int)soft_setting("version", 13000);
    return SUCCESS;
}
EXPORT int cuDeviceGetCount(int *count);
EXPORT int cuDeviceGetCount(int *count) {
    *count = started ? devices() : 0;
    return !started ? NOT_INITIALIZED : *count ? SUCCESS : NO_DEVICE;
}
EXPORT int cuDeviceGet(int *device, int ordinal);
EXPORT int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return !started ? NOT_INITIALIZED : ordinal >= 0 && ordinal < devices() ? SUCCESS : INVALID_VALUE;
}
EXPORT int cuDeviceGetName(char *name, int length, int device);
EXPORT int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "Soft GPU");
    return started && device >= 0 && device < devices() ? SUCCESS : INVALID_VALUE;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device);
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int arch = device == 1 ? (int)soft_setting("second_arch", architecture()) : architecture();
    if (!started || device < 0 || device >= devices()) {
        return INVALID_VALUE;
    }
    switch (attribute) {
    case 16: *value = 2; return SUCCESS;
    case 75: *value = arch / 10; return SUCCESS;
    case 76: *value = arch % 10; return SUCCESS;
    default: return INVALID_VALUE;
    }
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device);
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (!started || device < 0 || device >= devices()) {
        return INVALID_VALUE;
    }
    retained[device]++;
    *context = &retained[device];
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int device);
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    if (device < 0 || device >= devices() || retained[device] == 0) {
        return INVALID_CONTEXT;
    }
    if (--retained[device] == 0 && !soft_sticky && (objects[device] > 0 || soft_blocks(device) > 0)) {
        char text[120];
        snprintf(text, sizeof text, "the context goes, but %zu modules, events, streams and graphs and %zu allocations are left", objects[device], soft_blocks(device));
        soft_violation(text);
    }
    return SUCCESS;
}
EXPORT int cuCtxSetCurrent(void *context);
EXPORT int cuCtxSetCurrent(void *context) {
    int *which = context;
    if (!started || (context && (which < retained || which >= retained + SOFT_DEVICES || *which == 0))) {
        return INVALID_CONTEXT;
    }
    current = context ? (int)(which - retained) : -1;
    return SUCCESS;
}
// Memory ------------------------------------------------------------------------------------------------------------
EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total);
EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *total = (size_t)soft_setting("memory", 8e9);
    *free_bytes = *total > soft_used ? *total - soft_used : 0;
    return enter();
}
EXPORT int cuMemAlloc_v2(Address *address, size_t bytes);
EXPORT int cuMemAlloc_v2(Address *address, size_t bytes) {
    void *memory = NULL;
    int result = enter_outside();
    result = result ? result : bytes == 0 ? INVALID_VALUE : soft_allocate(&memory, bytes, false, current);
    *address = (Address)(uintptr_t)memory;
    return result;
}
EXPORT int cuMemFree_v2(Address address);
EXPORT int cuMemFree_v2(Address address) {
    int result = enter_outside();
    return result ? result : soft_release((void *)(uintptr_t)address, false);
}
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags);
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    int result = enter_outside();
    return result ? result : flags || bytes == 0 ? INVALID_VALUE : soft_allocate(memory, bytes, true, current);
}
EXPORT int cuMemFreeHost(void *memory);
EXPORT int cuMemFreeHost(void *memory) {
    int result = enter_outside();
    return result ? result : soft_release(memory, true);
}
EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream) {
    void *target = (void *)(uintptr_t)to;
    bool pinned = soft_inside_pinned(from, bytes);
    int result = enter_stream(stream);
    if (result != SUCCESS || !soft_inside(target, bytes, current)) {
        return result ? result : INVALID_VALUE;
    }
    if (stream->capturing && !pinned) {
        return spoil(stream);
    }
    Op *op = add(stream);
    *op = (Op){.kind = COPY, .to = target, .from = from, .bytes = bytes};
    if (!pinned) { // the driver has taken pageable memory when the call returns
        op->owned = malloc(bytes + 1);
        memcpy(op->owned, from, bytes);
        op->from = op->owned;
    }
    return added(stream);
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream) {
    bool pinned = soft_inside_pinned(to, bytes);
    int result = enter_stream(stream);
    if (result != SUCCESS || !soft_inside((void *)(uintptr_t)from, bytes, current)) {
        return result ? result : INVALID_VALUE;
    }
    if (stream->capturing && !pinned) {
        return spoil(stream);
    }
    *add(stream) = (Op){.kind = COPY, .to = to, .from = (void *)(uintptr_t)from, .bytes = bytes};
    if (!pinned) {
        soft_drain(stream, SIZE_MAX);
    }
    return added(stream);
}
EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream) {
    int result = enter_stream(stream);
    bool apart = to + bytes <= from || from + bytes <= to;
    if (result != SUCCESS || !apart || !soft_inside((void *)(uintptr_t)from, bytes, current) || !soft_inside((void *)(uintptr_t)to, bytes, current)) {
        return result ? result : INVALID_VALUE;
    }
    *add(stream) = (Op){.kind = COPY, .to = (void *)(uintptr_t)to, .from = (void *)(uintptr_t)from, .bytes = bytes};
    return added(stream);
}
EXPORT int cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Stream *stream);
EXPORT int cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Stream *stream) {
    int result = enter_stream(stream);
    if (result != SUCCESS || !soft_inside((void *)(uintptr_t)to, bytes, current)) {
        return result ? result : INVALID_VALUE;
    }
    *add(stream) = (Op){.kind = FILL, .to = (void *)(uintptr_t)to, .value = value, .bytes = bytes};
    return added(stream);
}
// Modules and kernels -----------------------------------------------------------------------------------------------

// The size of an ELF file from its header: the section headers come last.
static size_t image_size(const void *image) {
    const Elf64_Ehdr *head = image;
    return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 ? head->e_shoff + (size_t)head->e_shnum * head->e_shentsize : 0;
}

// Machine code for sm_80 runs on sm_86, that for sm_90 on no sm_100, that for sm_90a on sm_90 alone.
static bool runs_here(const char *target) {
    int arch = target ? (int)strtol(target, NULL, 10) : 0, here = architecture();
    return target && (target[strlen(target) - 1] == 'a' ? arch == here : arch / 10 == here / 10 && arch <= here);
}
EXPORT int cuModuleLoadData(Module **module, const void *image);
EXPORT int cuModuleLoadData(Module **module, const void *image) {
    const char *temporary = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/soft_cuda_XXXXXX", temporary && *temporary ? temporary : "/tmp");
    int result = enter_outside();
    size_t size = image && result == SUCCESS ? image_size(image) : 0;
    int file = size ? mkstemp(path) : -1;
    if (file < 0) {
        return result ? result : INVALID_IMAGE;
    }
    bool written = write(file, image, size) == (ssize_t)size;
    close(file);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    unlink(path);
    void *launch = library ? dlsym(library, "shim_launch") : NULL;
    if (!launch || !runs_here(dlsym(library, "soft_target"))) {
        return launch ? NO_BINARY : INVALID_IMAGE;
    }
    *module = make(sizeof **module, MODULE);
    (*module)->library = library;
    memcpy(&(*module)->launch, &launch, sizeof launch);
    return SUCCESS;
}
EXPORT int cuModuleUnload(Module *module);
EXPORT int cuModuleUnload(Module *module) {
    int result = enter_outside();
    if (result != SUCCESS || !live(module, MODULE)) {
        return result ? result : INVALID_HANDLE;
    }
    for (Stream *stream = soft_streams; stream; stream = stream->next) {
        if (stream->handle.device == module->handle.device && stream->done < stream->queue.count) {
            soft_violation("a module is unloaded while work is under way");
        }
    }
    for (Function *function = module->functions; function; function = function->next) {
        function->handle.tag = DEAD;
    }
    dlclose(module->library);
    kill_object(module);
    return SUCCESS;
}
EXPORT int cuModuleGetFunction(Function **function, Module *module, const char *name);
EXPORT int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    int result = enter();
    if (result != SUCCESS || !live(module, MODULE)) {
        return result ? result : INVALID_HANDLE;
    }
    for (*function = module->functions; *function; *function = (*function)->next) {
        if (strcmp((*function)->name, name) == 0) {
            return SUCCESS;
        }
    }
    char symbol[200];
    snprintf(symbol, sizeof symbol, "soft_call_%s", name);
    void *call = dlsym(module->library, symbol);
    snprintf(symbol, sizeof symbol, "soft_kernel_%s", name);
    const SoftKernel *kernel = dlsym(module->library, symbol);
    snprintf(symbol, sizeof symbol, "soft_tile_%s", name);
    const char *tile = dlsym(module->library, symbol);
    if (!call || !kernel || kernel->count > MAX_ARGUMENTS) {
        return NOT_FOUND;
    }
    *function = make(sizeof **function, FUNCTION); // lives as long as its module, as nobody owns functions in the API
    (*function)->module = module;
    (*function)->kernel = kernel;
    (*function)->charge = soft_charge_of(tile);
    (*function)->most_shared = DEFAULT_SHARED - kernel->shared;
    (*function)->next = module->functions;
    module->functions = *function;
    snprintf((*function)->name, sizeof (*function)->name, "%s", name);
    memcpy(&(*function)->call, &call, sizeof call);
    return SUCCESS;
}
// Shared memory of a block that can be asked for.
static int most_shared(void) {
    int arch = architecture();
    return 1024 * (arch < 80 ? 64 : arch == 86 || arch == 89 || arch >= 120 ? 99 : arch < 90 ? 163 : 227);
}
EXPORT int cuFuncSetAttribute(Function *function, int attribute, int value);
EXPORT int cuFuncSetAttribute(Function *function, int attribute, int value) {
    int result = enter();
    if (result != SUCCESS || !live(function, FUNCTION)) {
        return result ? result : INVALID_HANDLE;
    }
    if (attribute != 8 || value < 0 || value + function->kernel->shared > most_shared()) {
        return INVALID_VALUE;
    }
    function->most_shared = value;
    return SUCCESS;
}
static bool map_possible(const void *map, const void *address) {
    return enter() == SUCCESS && architecture() >= 90 && (uintptr_t)map % 128 == 0 && soft_inside(address, 1, current);
}
EXPORT int cuTensorMapEncodeTiled(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps,
                                  int interleave, int swizzle, int promotion, int fill);
EXPORT int cuTensorMapEncodeTiled(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps,
                                  int interleave, int swizzle, int promotion, int fill) {
    return map_possible(map, address) ? soft_map_tiled(map, format, rank, address, extents, strides, box, steps, interleave, swizzle, promotion, fill) : INVALID_VALUE;
}
EXPORT int cuTensorMapEncodeIm2col(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, const int *upper,
                                   uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill);
EXPORT int cuTensorMapEncodeIm2col(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, const int *upper,
                                   uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
    return map_possible(map, address) ? soft_map_pixels(map, format, rank, address, extents, strides, lower, upper, channels, pixels, steps, interleave, swizzle, promotion, fill)
                                      : INVALID_VALUE;
}
EXPORT int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream *stream,
                          void **parameters, void **extra);
EXPORT int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream *stream,
                          void **parameters, void **extra) {
    int result = enter_stream(stream);
    if (result != SUCCESS || !live(function, FUNCTION) || function->handle.device != current) {
        return result ? result : INVALID_HANDLE;
    }
    bool grid = gx >= 1 && gx <= INT32_MAX && gy >= 1 && gy <= 65535 && gz >= 1 && gz <= 65535;
    bool block = bx >= 1 && bx <= 1024 && by >= 1 && by <= 1024 && bz >= 1 && bz <= 64 && (uint64_t)bx * by * bz <= 1024;
    if (extra || !grid || !block || (int64_t)shared > function->most_shared) {
        return INVALID_VALUE;
    }
    if (bx * by * bz > (unsigned)function->kernel->most_threads) {
        return OUT_OF_RESOURCES;
    }
    Op *op = add(stream);
    *op = (Op){.kind = LAUNCH, .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    for (int i = 0, map = 0; i < function->kernel->count; i++) {
        int size = function->kernel->sizes[i];
        memcpy(size > 8 ? (void *)op->maps[map++] : &op->arguments[i], parameters[i], size > 8 ? 128 : 8);
    }
    return added(stream);
}
// For libraries of tests: soft_library.h.
EXPORT int softLaunchLibrary(Stream *stream, void (*function)(void *), void *argument, const char *tile);
EXPORT int softLaunchLibrary(Stream *stream, void (*function)(void *), void *argument, const char *tile) {
    int result = enter_stream(stream);
    if (result == SUCCESS) {
        *add(stream) = (Op){.kind = HOST, .host = function, .to = argument, .tile = tile};
        result = added(stream);
    }
    return result;
}
void soft_meet(Stream *stream, SoftMeeting *meeting, int rank) {
    meeting->streams[rank] = stream;
    *add(stream) = (Op){.kind = MEET, .meeting = meeting, .rank = rank};
    soft_added(stream);
}
// Streams and graphs ------------------------------------------------------------------------------------------------
EXPORT int cuStreamCreate(Stream **stream, unsigned flags);
EXPORT int cuStreamCreate(Stream **stream, unsigned flags) {
    int result = enter_outside();
    if (result != SUCCESS || flags > 1) {
        return result ? result : INVALID_VALUE;
    }
    *stream = make(sizeof **stream, STREAM);
    (*stream)->number = (unsigned)++made;
    (*stream)->next = soft_streams;
    soft_streams = *stream;
    return SUCCESS;
}
EXPORT int cuStreamDestroy_v2(Stream *stream);
EXPORT int cuStreamDestroy_v2(Stream *stream) {
    int result = enter_outside();
    if (result != SUCCESS || !live(stream, STREAM)) {
        return result ? result : INVALID_HANDLE;
    }
    soft_drain(stream, SIZE_MAX);
    for (Stream **at = &soft_streams; *at; at = &(*at)->next) {
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    }
    free(stream->queue.ops);
    stream->queue = (Graph){0};
    kill_object(stream);
    return soft_sticky;
}
EXPORT int cuStreamSynchronize(Stream *stream);
EXPORT int cuStreamSynchronize(Stream *stream) {
    int result = enter_outside();
    if (result != SUCCESS || !live(stream, STREAM)) {
        return result ? result : INVALID_HANDLE;
    }
    soft_drain(stream, SIZE_MAX);
    return soft_sticky;
}
EXPORT int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags);
EXPORT int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    int result = enter_stream(stream);
    if (result != SUCCESS || !live(event, EVENT) || flags) {
        return result ? result : !live(event, EVENT) ? INVALID_HANDLE : INVALID_VALUE;
    }
    if (stream->capturing || event->captured) { // one captured stream is all that is known here
        if (stream->capturing) {
            stream->invalidated = true;
        }
        return CAPTURE_ISOLATION;
    }
    if (event->stream) {
        *add(stream) = (Op){.kind = WAIT, .event = event, .number = event->recorded};
    }
    return added(stream);
}
EXPORT int cuStreamBeginCapture_v2(Stream *stream, int mode);
EXPORT int cuStreamBeginCapture_v2(Stream *stream, int mode) {
    int result = enter_stream(stream);
    if (result != SUCCESS || mode != 1) { // of this thread's calls, as another mode would forbid calls of others
        return result ? result : INVALID_VALUE;
    }
    if (stream->capturing) {
        return CAPTURE_UNSUPPORTED;
    }
    stream->capturing = make(sizeof(Graph), GRAPH_MADE);
    stream->capturer = &captures;
    captures++;
    return SUCCESS;
}
EXPORT int cuStreamEndCapture(Stream *stream, Graph **graph);
EXPORT int cuStreamEndCapture(Stream *stream, Graph **graph) {
    int result = enter();
    *graph = NULL;
    if (result != SUCCESS || !live(stream, STREAM)) {
        return result ? result : INVALID_HANDLE;
    }
    if (stream->capturer != &captures) {
        return stream->capturing ? CAPTURE_WRONG_THREAD : INVALID_VALUE;
    }
    Graph *made_graph = stream->capturing;
    bool invalidated = stream->invalidated;
    stream->capturing = NULL;
    stream->capturer = NULL;
    captures--;
    stream->invalidated = false;
    if (invalidated) {
        kill_object(made_graph);
        return CAPTURE_INVALIDATED;
    }
    *graph = made_graph;
    return SUCCESS;
}
EXPORT int cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long flags);
EXPORT int cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long flags) {
    int result = enter_outside();
    if (result != SUCCESS || !live(graph, GRAPH_MADE)) {
        return result ? result : INVALID_HANDLE;
    }
    if (flags) {
        return INVALID_VALUE;
    }
    *exec = make(sizeof **exec, GRAPH_READY);
    for (size_t i = 0; i < graph->count; i++) {
        *soft_push(*exec) = graph->ops[i];
    }
    return SUCCESS;
}
EXPORT int cuGraphLaunch(Graph *exec, Stream *stream);
EXPORT int cuGraphLaunch(Graph *exec, Stream *stream) {
    int result = enter_stream(stream);
    if (result != SUCCESS || !live(exec, GRAPH_READY)) {
        return result ? result : INVALID_HANDLE;
    }
    if (stream->capturing) {
        return spoil(stream);
    }
    for (size_t i = 0; i < exec->count; i++) {
        *add(stream) = exec->ops[i];
    }
    return added(stream);
}
EXPORT int cuGraphExecDestroy(Graph *exec);
EXPORT int cuGraphExecDestroy(Graph *exec) {
    int result = enter();
    if (result != SUCCESS || !live(exec, GRAPH_READY)) {
        return result ? result : INVALID_HANDLE;
    }
    free(exec->ops); // one under way has a copy
    kill_object(exec);
    return soft_sticky;
}
EXPORT int cuGraphDestroy(Graph *graph);
EXPORT int cuGraphDestroy(Graph *graph) {
    int result = enter();
    if (result != SUCCESS || !live(graph, GRAPH_MADE)) {
        return result ? result : INVALID_HANDLE;
    }
    free(graph->ops);
    kill_object(graph);
    return SUCCESS;
}
// Events ------------------------------------------------------------------------------------------------------------
EXPORT int cuEventCreate(Event **event, unsigned flags);
EXPORT int cuEventCreate(Event **event, unsigned flags) {
    int result = enter();
    if (result != SUCCESS || (flags & ~(unsigned)NO_TIMING)) {
        return result ? result : INVALID_VALUE;
    }
    *event = make(sizeof **event, EVENT);
    (*event)->flags = flags;
    return SUCCESS;
}
EXPORT int cuEventRecord(Event *event, Stream *stream);
EXPORT int cuEventRecord(Event *event, Stream *stream) {
    int result = enter_stream(stream);
    if (result != SUCCESS || !live(event, EVENT)) {
        return result ? result : INVALID_HANDLE;
    }
    event->captured = stream->capturing != NULL;
    if (!event->captured) {
        event->stream = stream;
        *add(stream) = (Op){.kind = RECORD, .event = event, .number = ++event->recorded};
    }
    return added(stream);
}
EXPORT int cuEventSynchronize(Event *event);
EXPORT int cuEventSynchronize(Event *event) {
    int result = enter_outside();
    if (result != SUCCESS || !live(event, EVENT)) {
        return result ? result : INVALID_HANDLE;
    }
    if (event->captured) {
        return CAPTURED_EVENT;
    }
    while (event->stream && event->completed < event->recorded && event->stream->done < event->stream->queue.count && !soft_sticky) {
        soft_drain(event->stream, event->stream->done + 1);
    }
    return soft_sticky;
}
EXPORT int cuEventElapsedTime(float *milliseconds, Event *start, Event *end);
EXPORT int cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    int result = enter_outside();
    if (result != SUCCESS || !live(start, EVENT) || !live(end, EVENT) || ((start->flags | end->flags) & NO_TIMING) || start->recorded == 0 || end->recorded == 0) {
        return result ? result : INVALID_HANDLE;
    }
    if (start->completed < start->recorded || end->completed < end->recorded) {
        return NOT_READY;
    }
    if (getenv("FBL_SOFT_CHARGE")) {
        *milliseconds = (float)((end->charged - start->charged) / 1e3);
        return SUCCESS;
    }
    *milliseconds = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 + (double)(end->time.tv_nsec - start->time.tv_nsec) / 1e6);
    return SUCCESS;
}
EXPORT int cuEventDestroy_v2(Event *event);
EXPORT int cuEventDestroy_v2(Event *event) {
    int result = enter();
    if (result != SUCCESS || !live(event, EVENT)) {
        return result ? result : INVALID_HANDLE;
    }
    kill_object(event); // records and waits under way keep its memory
    return SUCCESS;
}
// Errors ------------------------------------------------------------------------------------------------------------

static const struct {
    int error;
    const char *name, *text;
} errors[] = {{SUCCESS, "CUDA_SUCCESS", "no error"},
              {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
              {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
              {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
              {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
              {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
              {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
              {NO_BINARY, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
              {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
              {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
              {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
              {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
              {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
              {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
              {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
              {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
              {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
              {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
              {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"}};

static int find_error(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].error == error) {
            return (int)i;
        }
    }
    return -1;
}
EXPORT int cuGetErrorName(int error, const char **name);
EXPORT int cuGetErrorName(int error, const char **name) {
    int at = find_error(error);
    *name = at < 0 ? NULL : errors[at].name;
    return at < 0 ? INVALID_VALUE : SUCCESS;
}
EXPORT int cuGetErrorString(int error, const char **text);
EXPORT int cuGetErrorString(int error, const char **text) {
    int at = find_error(error);
    *text = at < 0 ? NULL : errors[at].text;
    return at < 0 ? INVALID_VALUE : SUCCESS;
}

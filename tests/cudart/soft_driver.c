// A CUDA driver without a GPU: the part of the driver API that runtime/cuda uses, on the CPU. Loaded in place of libcuda.so.1 by
// FBL_CUDA_DRIVER; soft_nvrtc.c in the same library makes its "cubins", which are shared objects of kernels compiled against
// tests/cuda/shim.h.
//
// Work on a stream is done as late as the API allows - when something waits for it - so that a missing wait shows: pinned
// memory that is written too early, numbers that are read too early.
// FBL_SOFT_GPU in the environment is a list of comma-separated settings: no_device; version=11040; arch=60;
// memory=BYTES in all; fault=N, the N-th kernel (from 1) faults.
// FBL_SOFT_CHARGE makes events tell a time that is made up: TILE=MICROSECONDS, separated by semicolons, is what a kernel costs
// whose tuned tile (the comment in its header) contains TILE; the first that fits counts, and any other kernel costs 1000; the library's products (cuLaunchHostFunc) have the tile `cublaslt`.
// Threads: one caller.
#include <dlfcn.h>
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/cuda/soft_map.h"

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_IMAGE = 200, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, CAPTURE = 900 };
#define MAX_ARGUMENTS 64
#define MAX_MAPS 2 // tensor maps among the arguments

typedef unsigned long long Address;

typedef struct Module {
    void *library;
    void (*launch)(const char *, void (*)(void **), void **, const uint32_t *, const uint32_t *, uint32_t, uint64_t);
} Module;

typedef struct Function {
    Module *module;
    char name[160];
    void (*call)(void **);
    int count;
    double charge; // microseconds, made up
    const int *sizes; // of the arguments
} Function;

typedef struct Stream Stream;

typedef struct Event {
    Stream *stream;
    uint64_t recorded, completed; // numbers of records asked for and reached
    struct timespec time;
    double charged; // microseconds of kernels before it
} Event;

typedef enum OpKind { LAUNCH, COPY, FILL, RECORD, WAIT, GRAPH, HOST } OpKind;

typedef struct Graph Graph;

typedef struct Op {
    OpKind kind;
    Function *function;
    uint32_t grid[3], block[3], shared;
    uint64_t arguments[MAX_ARGUMENTS];
    unsigned char maps[MAX_MAPS][128]; // arguments that are longer: tensor maps, in order
    void *to;
    const void *from;
    void *owned; // a copy of pageable memory, freed afterwards
    size_t bytes;
    unsigned char value;
    Event *event;
    uint64_t number; // of the event's record
    Graph *graph;
    void (*host)(void *); // called with `to`
} Op;

struct Graph {
    Op *ops;
    size_t count, capacity;
};

struct Stream {
    Graph queue;
    size_t done;
    Graph *capturing;
    Stream *next;
};

typedef struct Block {
    void *memory;
    size_t bytes;
    bool pinned;
    struct Block *next;
} Block;

static Stream *streams;
static Block *blocks;
static size_t used;
static int sticky;        // after a fault everything fails
static uint64_t launches; // kernels run so far
static double charged;    // microseconds that they were charged

static double setting(const char *name, double otherwise) {
    const char *all = getenv("FBL_SOFT_GPU");
    size_t length = strlen(name);
    for (const char *at = all; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, length) == 0 && (at[length] == '=' || at[length] == ',' || at[length] == 0)) {
            return at[length] == '=' ? strtod(at + length + 1, NULL) : 1;
        }
    }
    return otherwise;
}

static Op *push(Graph *graph) {
    if (graph->count == graph->capacity) {
        graph->capacity = graph->capacity ? 2 * graph->capacity : 64;
        graph->ops = realloc(graph->ops, graph->capacity * sizeof *graph->ops);
        if (!graph->ops) {
            abort();
        }
    }
    Op *op = &graph->ops[graph->count++];
    memset(op, 0, sizeof *op);
    return op;
}

static void drain(Stream *stream, size_t until);
static double charge_of(const char *tile);

static void run_op(Op *op) {
    switch (op->kind) {
    case LAUNCH: {
        if (++launches == (uint64_t)setting("fault", 0)) {
            sticky = ILLEGAL_ADDRESS;
        }
        charged += op->function->charge;
        void *pointers[MAX_ARGUMENTS];
        _Alignas(128) unsigned char maps[MAX_MAPS][128];
        memcpy(maps, op->maps, sizeof maps);
        for (int i = 0, map = 0; i < op->function->count; i++) {
            pointers[i] = op->function->sizes[i] > 8 ? (void *)maps[map++] : &op->arguments[i];
        }
        if (!sticky) {
            op->function->module->launch(op->function->name, op->function->call, pointers, op->grid, op->block, op->shared, 0);
        }
        break;
    }
    case HOST:
        charged += charge_of("cublaslt");
        op->host(op->to);
        break;
    case COPY: memmove(op->to, op->from, op->bytes); break;
    case FILL: memset(op->to, op->value, op->bytes); break;
    case RECORD:
        op->event->completed = op->number;
        op->event->charged = charged;
        clock_gettime(CLOCK_MONOTONIC, &op->event->time);
        break;
    case WAIT:
        while (op->event->completed < op->number && op->event->stream->done < op->event->stream->queue.count) {
            drain(op->event->stream, op->event->stream->done + 1);
        }
        break;
    case GRAPH:
        for (size_t i = 0; i < op->graph->count; i++) {
            run_op(&op->graph->ops[i]);
        }
        break;
    }
    free(op->owned);
    op->owned = NULL;
}

static void drain(Stream *stream, size_t until) {
    while (stream->done < until && stream->done < stream->queue.count) {
        Op op = stream->queue.ops[stream->done++];
        if (!sticky) {
            run_op(&op);
        }
    }
    if (stream->done == stream->queue.count) {
        stream->done = stream->queue.count = 0;
    }
}

static void drain_all(void) {
    for (Stream *stream = streams; stream; stream = stream->next) {
        drain(stream, SIZE_MAX);
    }
}

static Op *add(Stream *stream) { return push(stream->capturing ? stream->capturing : &stream->queue); }

static Block *find_block(const void *memory) {
    for (Block *block = blocks; block; block = block->next) {
        if ((const uint8_t *)memory >= (uint8_t *)block->memory && (const uint8_t *)memory < (uint8_t *)block->memory + block->bytes) {
            return block;
        }
    }
    return NULL;
}

static bool inside(const void *memory, size_t bytes, bool pinned) {
    const Block *block = find_block(memory);
    return block && block->pinned == pinned && (const uint8_t *)memory + bytes <= (uint8_t *)block->memory + block->bytes;
}

static int allocate(void **out, size_t bytes, bool pinned) {
    if (!pinned && (double)used + (double)bytes > setting("memory", 8e9)) {
        return OUT_OF_MEMORY;
    }
    Block *block = calloc(1, sizeof *block);
    size_t size = (bytes + 511) / 256 * 256;
    block->memory = aligned_alloc(256, size);
    if (!block->memory) {
        free(block);
        return OUT_OF_MEMORY;
    }
    memset(block->memory, 0xff, size); // NaN to who reads before writing
    block->bytes = bytes;
    block->pinned = pinned;
    block->next = blocks;
    blocks = block;
    used += pinned ? 0 : bytes;
    *out = block->memory;
    return SUCCESS;
}

static int release(void *memory) {
    drain_all();
    for (Block **at = &blocks; *at; at = &(*at)->next) {
        if ((*at)->memory == memory) {
            Block *block = *at;
            *at = block->next;
            used -= block->pinned ? 0 : block->bytes;
            free(block->memory);
            free(block);
            return sticky;
        }
    }
    return INVALID_VALUE;
}

EXPORT int cuInit(unsigned flags);
EXPORT int cuInit(unsigned flags) { return flags == 0 ? SUCCESS : INVALID_VALUE; }
EXPORT int cuDriverGetVersion(int *version);
EXPORT int cuDriverGetVersion(int *version) {
    *version = (int)setting("version", 13000);
    return SUCCESS;
}
EXPORT int cuDeviceGetCount(int *count);
EXPORT int cuDeviceGetCount(int *count) {
    *count = setting("no_device", 0) == 0;
    return *count ? SUCCESS : NO_DEVICE;
}
EXPORT int cuDeviceGet(int *device, int ordinal);
EXPORT int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}
EXPORT int cuDeviceGetName(char *name, int length, int device);
EXPORT int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    snprintf(name, (size_t)length, "Soft GPU");
    return SUCCESS;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device);
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    int arch = (int)setting("arch", 90);
    switch (attribute) {
    case 16: *value = 2; return SUCCESS;
    case 75: *value = arch / 10; return SUCCESS;
    case 76: *value = arch % 10; return SUCCESS;
    default: return INVALID_VALUE;
    }
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device);
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    *context = &streams;
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int device);
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    return SUCCESS;
}
EXPORT int cuCtxSetCurrent(void *context);
EXPORT int cuCtxSetCurrent(void *context) { return context == &streams ? SUCCESS : INVALID_VALUE; }
EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total);
EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *total = (size_t)setting("memory", 8e9);
    *free_bytes = *total > used ? *total - used : 0;
    return SUCCESS;
}
EXPORT int cuMemAlloc_v2(Address *address, size_t bytes);
EXPORT int cuMemAlloc_v2(Address *address, size_t bytes) {
    void *memory = NULL;
    int result = bytes == 0 ? INVALID_VALUE : allocate(&memory, bytes, false);
    *address = (Address)(uintptr_t)memory;
    return result;
}
EXPORT int cuMemFree_v2(Address address);
EXPORT int cuMemFree_v2(Address address) { return release((void *)(uintptr_t)address); }
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags);
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) { return flags ? INVALID_VALUE : allocate(memory, bytes, true); }
EXPORT int cuMemFreeHost(void *memory);
EXPORT int cuMemFreeHost(void *memory) { return release(memory); }

EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream) {
    void *target = (void *)(uintptr_t)to;
    if (!inside(target, bytes, false)) {
        return INVALID_VALUE;
    }
    Op *op = add(stream);
    *op = (Op){.kind = COPY, .to = target, .from = from, .bytes = bytes};
    if (!inside(from, bytes, true)) { // the driver has taken pageable memory when the call returns
        op->owned = malloc(bytes);
        memcpy(op->owned, from, bytes);
        op->from = op->owned;
    }
    return sticky;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream) {
    if (!inside((void *)(uintptr_t)from, bytes, false)) {
        return INVALID_VALUE;
    }
    *add(stream) = (Op){.kind = COPY, .to = to, .from = (void *)(uintptr_t)from, .bytes = bytes};
    if (!stream->capturing && !inside(to, bytes, true)) {
        drain(stream, SIZE_MAX);
    }
    return sticky;
}
EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream);
EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream) {
    if (!inside((void *)(uintptr_t)from, bytes, false) || !inside((void *)(uintptr_t)to, bytes, false)) {
        return INVALID_VALUE;
    }
    *add(stream) = (Op){.kind = COPY, .to = (void *)(uintptr_t)to, .from = (void *)(uintptr_t)from, .bytes = bytes};
    return sticky;
}
EXPORT int cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Stream *stream);
EXPORT int cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Stream *stream) {
    if (!inside((void *)(uintptr_t)to, bytes, false)) {
        return INVALID_VALUE;
    }
    *add(stream) = (Op){.kind = FILL, .to = (void *)(uintptr_t)to, .value = value, .bytes = bytes};
    return sticky;
}

// The size of an ELF file from its header: the section headers come last.
static size_t image_size(const void *image) {
    const Elf64_Ehdr *head = image;
    return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 ? head->e_shoff + (size_t)head->e_shnum * head->e_shentsize : 0;
}

EXPORT int cuModuleLoadData(Module **module, const void *image);
EXPORT int cuModuleLoadData(Module **module, const void *image) {
    char path[] = "/tmp/soft_cuda_XXXXXX";
    size_t size = image ? image_size(image) : 0;
    int file = size ? mkstemp(path) : -1;
    if (file < 0) {
        return INVALID_IMAGE;
    }
    bool written = write(file, image, size) == (ssize_t)size;
    close(file);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    unlink(path);
    void *launch = library ? dlsym(library, "shim_launch") : NULL;
    if (!launch) {
        return INVALID_IMAGE;
    }
    *module = calloc(1, sizeof **module);
    (*module)->library = library;
    memcpy(&(*module)->launch, &launch, sizeof launch);
    return sticky;
}
EXPORT int cuModuleUnload(Module *module);
EXPORT int cuModuleUnload(Module *module) {
    drain_all();
    dlclose(module->library);
    free(module);
    return sticky;
}
static double charge_of(const char *tile) {
    const char *all = getenv("FBL_SOFT_CHARGE");
    for (const char *at = all ? all : ""; *at;) {
        size_t item = strcspn(at, ";"), name = strcspn(at, "=");
        char wanted[200];
        if (name < item && name < sizeof wanted) {
            snprintf(wanted, sizeof wanted, "%.*s", (int)name, at);
            if (tile && *tile && strstr(tile, wanted)) {
                return strtod(at + name + 1, NULL);
            }
        }
        at += item + (at[item] == ';');
    }
    return 1000;
}

EXPORT int cuModuleGetFunction(Function **function, Module *module, const char *name);
EXPORT int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    char symbol[200];
    snprintf(symbol, sizeof symbol, "soft_call_%s", name);
    void *call = dlsym(module->library, symbol);
    snprintf(symbol, sizeof symbol, "soft_sizes_%s", name);
    const int *sizes = dlsym(module->library, symbol);
    snprintf(symbol, sizeof symbol, "soft_count_%s", name);
    const int *count = dlsym(module->library, symbol);
    snprintf(symbol, sizeof symbol, "soft_tile_%s", name);
    const char *tile = dlsym(module->library, symbol);
    if (!call || !count || *count > MAX_ARGUMENTS) {
        return NOT_FOUND;
    }
    *function = calloc(1, sizeof **function); // lives as long as the process, as nobody owns functions in the API
    (*function)->module = module;
    (*function)->count = *count;
    (*function)->charge = charge_of(tile);
    (*function)->sizes = sizes;
    snprintf((*function)->name, sizeof (*function)->name, "%s", name);
    memcpy(&(*function)->call, &call, sizeof call);
    return sticky;
}
EXPORT int cuFuncSetAttribute(Function *function, int attribute, int value);
EXPORT int cuFuncSetAttribute(Function *function, int attribute, int value) { return function && attribute == 8 && value <= 227 * 1024 ? SUCCESS : INVALID_VALUE; }

EXPORT int cuTensorMapEncodeTiled(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps,
                                  int interleave, int swizzle, int promotion, int fill);
EXPORT int cuTensorMapEncodeTiled(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps,
                                  int interleave, int swizzle, int promotion, int fill) {
    bool fine = (uintptr_t)map % 128 == 0 && inside(address, 1, false);
    return fine ? soft_map_tiled(map, format, rank, address, extents, strides, box, steps, interleave, swizzle, promotion, fill) : INVALID_VALUE;
}
EXPORT int cuTensorMapEncodeIm2col(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, const int *upper,
                                   uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill);
EXPORT int cuTensorMapEncodeIm2col(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, const int *upper,
                                   uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
    bool fine = (uintptr_t)map % 128 == 0 && inside(address, 1, false);
    return fine ? soft_map_pixels(map, format, rank, address, extents, strides, lower, upper, channels, pixels, steps, interleave, swizzle, promotion, fill) : INVALID_VALUE;
}

EXPORT int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream *stream,
                          void **parameters, void **extra);
EXPORT int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream *stream,
                          void **parameters, void **extra) {
    if (extra || gx * gy * gz == 0 || bx * by * bz == 0 || bx * by * bz > 1024) {
        return INVALID_VALUE;
    }
    Op *op = add(stream);
    *op = (Op){.kind = LAUNCH, .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    for (int i = 0, map = 0; i < function->count; i++) {
        memcpy(function->sizes[i] > 8 ? (void *)op->maps[map++] : &op->arguments[i], parameters[i], function->sizes[i] > 8 ? 128 : 8);
    }
    return sticky;
}

// For libraries of tests: soft_cublaslt.c.
EXPORT int cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *argument);
EXPORT int cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *argument) {
    *add(stream) = (Op){.kind = HOST, .host = function, .to = argument};
    return sticky;
}

EXPORT int cuStreamCreate(Stream **stream, unsigned flags);
EXPORT int cuStreamCreate(Stream **stream, unsigned flags) {
    (void)flags;
    *stream = calloc(1, sizeof **stream);
    (*stream)->next = streams;
    streams = *stream;
    return sticky;
}
EXPORT int cuStreamDestroy_v2(Stream *stream);
EXPORT int cuStreamDestroy_v2(Stream *stream) {
    drain(stream, SIZE_MAX);
    for (Stream **at = &streams; *at; at = &(*at)->next) {
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    }
    free(stream->queue.ops);
    free(stream);
    return sticky;
}
EXPORT int cuStreamSynchronize(Stream *stream);
EXPORT int cuStreamSynchronize(Stream *stream) {
    if (stream->capturing) {
        return CAPTURE;
    }
    drain(stream, SIZE_MAX);
    return sticky;
}
EXPORT int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags);
EXPORT int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    if (flags || stream->capturing) {
        return INVALID_VALUE;
    }
    if (event->stream) {
        *add(stream) = (Op){.kind = WAIT, .event = event, .number = event->recorded};
    }
    return sticky;
}
EXPORT int cuStreamBeginCapture_v2(Stream *stream, int mode);
EXPORT int cuStreamBeginCapture_v2(Stream *stream, int mode) {
    (void)mode;
    if (stream->capturing) {
        return CAPTURE;
    }
    stream->capturing = calloc(1, sizeof(Graph));
    return sticky;
}
EXPORT int cuStreamEndCapture(Stream *stream, Graph **graph);
EXPORT int cuStreamEndCapture(Stream *stream, Graph **graph) {
    *graph = stream->capturing;
    stream->capturing = NULL;
    return *graph ? sticky : CAPTURE;
}
EXPORT int cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long flags);
EXPORT int cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long flags) {
    if (flags || !graph) {
        return INVALID_VALUE;
    }
    *exec = calloc(1, sizeof **exec);
    for (size_t i = 0; i < graph->count; i++) {
        *push(*exec) = graph->ops[i];
    }
    return sticky;
}
EXPORT int cuGraphLaunch(Graph *exec, Stream *stream);
EXPORT int cuGraphLaunch(Graph *exec, Stream *stream) {
    *add(stream) = (Op){.kind = GRAPH, .graph = exec};
    return sticky;
}
EXPORT int cuGraphExecDestroy(Graph *exec);
EXPORT int cuGraphExecDestroy(Graph *exec) {
    drain_all();
    free(exec->ops);
    free(exec);
    return sticky;
}
EXPORT int cuGraphDestroy(Graph *graph);
EXPORT int cuGraphDestroy(Graph *graph) {
    free(graph->ops);
    free(graph);
    return sticky;
}
EXPORT int cuEventCreate(Event **event, unsigned flags);
EXPORT int cuEventCreate(Event **event, unsigned flags) {
    (void)flags;
    *event = calloc(1, sizeof **event);
    return sticky;
}
EXPORT int cuEventRecord(Event *event, Stream *stream);
EXPORT int cuEventRecord(Event *event, Stream *stream) {
    event->stream = stream;
    *add(stream) = (Op){.kind = RECORD, .event = event, .number = ++event->recorded};
    return sticky;
}
EXPORT int cuEventSynchronize(Event *event);
EXPORT int cuEventSynchronize(Event *event) {
    while (event->stream && event->completed < event->recorded && event->stream->done < event->stream->queue.count && !sticky) {
        drain(event->stream, event->stream->done + 1);
    }
    return sticky;
}
EXPORT int cuEventQuery(Event *event);
EXPORT int cuEventQuery(Event *event) { return event->completed < event->recorded ? NOT_READY : sticky; }
EXPORT int cuEventElapsedTime(float *milliseconds, Event *start, Event *end);
EXPORT int cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    if (start->completed < start->recorded || end->completed < end->recorded) {
        return NOT_READY;
    }
    if (getenv("FBL_SOFT_CHARGE")) {
        *milliseconds = (float)((end->charged - start->charged) / 1e3);
        return sticky;
    }
    *milliseconds = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 + (double)(end->time.tv_nsec - start->time.tv_nsec) / 1e6);
    return sticky;
}
EXPORT int cuEventDestroy_v2(Event *event);
EXPORT int cuEventDestroy_v2(Event *event) {
    if (event->stream) {
        cuEventSynchronize(event);
    }
    free(event);
    return sticky;
}

static const struct {
    int error;
    const char *name, *text;
} errors[] = {{SUCCESS, "CUDA_SUCCESS", "no error"},
              {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
              {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
              {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
              {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
              {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
              {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}};

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

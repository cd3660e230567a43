#include "runtime/cuda/cuda_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/load.h"
#include "runtime/cuda/nccl_api.h"

// Memory that all devices hold.
typedef struct Mirror {
    int64_t bytes;
    FblDevicePtr addresses[FBL_CUDA_MAX_GPUS];
    struct Mirror *next;
} Mirror;

struct FblCudaGroup {
    int count;
    FblCudaDevice *devices[FBL_CUDA_MAX_GPUS];
    void *communicators[FBL_CUDA_MAX_GPUS];
    FblNcclApi nccl;
    Mirror *mirrors;
    char why[256];
};

int fbl_cuda_devices(const FblCudaDevice *device) { return device->group ? device->group->count : 1; }

FblCudaDevice *fbl_cuda_peer(FblCudaDevice *device, int shard) { return shard == 0 ? device : device->group->devices[shard]; }

FblCuResult fbl_cuda_use(const FblCudaDevice *device) { return device->group ? device->api.context_set(device->context) : FBL_CU_SUCCESS; }

const char *fbl_cuda_group_why(const FblCudaDevice *first) { return first->group ? first->group->why : ""; }

// Opening
// -----------------------------------------------------------------------------------------------------------------------------

static FblStatus load_nccl(FblContext *ctx, FblCudaGroup *group) {
    static const char *const names[] = {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2", NULL};
    static const char *const symbols[] = {
#define FBL_NCCL(field, symbol, result, parameters) symbol,
        FBL_NCCL_FUNCTIONS(FBL_NCCL)
#undef FBL_NCCL
            NULL};
    FblLoad load = {.variable = "FBL_NCCL", .names = names, .symbols = symbols, .slots = (void **)&group->nccl, .why = group->why, .why_size = sizeof group->why};
    if (fbl_cuda_load(&load)) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0662", FBL_NO_LOC, "several GPUs need NCCL, which was not found: %s", group->why);
    fbl_diag_hint(ctx, diag, "libnccl.so.2 comes as a package of its own beside the CUDA toolkit; FBL_NCCL=/path/to/libnccl.so.2 names it; without --gpus one GPU does everything");
    return FBL_DEVICE;
}

static FblStatus connect(FblContext *ctx, FblCudaGroup *group) {
    FBL_TRY(load_nccl(ctx, group));
    // A ring adds in an order that the ring fixes, so that runs repeat bit for bit; a choice of the user's comes first.
    setenv("NCCL_ALGO", "Ring", 0);
    int ordinals[FBL_CUDA_MAX_GPUS];
    for (int d = 0; d < group->count; d++) {
        ordinals[d] = group->devices[d]->ordinal;
    }
    int result = group->nccl.init_all(group->communicators, group->count, ordinals);
    if (result != FBL_NCCL_SUCCESS) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0663", FBL_NO_LOC, "NCCL cannot connect %d GPUs: %s", group->count, group->nccl.error_text(result));
        fbl_diag_hint(ctx, diag, "NCCL_DEBUG=WARN in the environment makes it say more");
        memset(group->communicators, 0, sizeof group->communicators);
        return FBL_DEVICE;
    }
    return fbl_cuda_check(ctx, group->devices[0], fbl_cuda_use(group->devices[0]), "going back to the first GPU");
}

FblStatus fbl_cuda_group_open(FblContext *ctx, FblCudaDevice *first, int count) {
    int have = 0;
    FBL_TRY(fbl_cuda_check(ctx, first, first->api.device_count(&have), "counting the GPUs"));
    if (count > have || count > FBL_CUDA_MAX_GPUS) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0660", FBL_NO_LOC, "--gpus %d: the CUDA driver finds %d GPU%s", count, have, have == 1 ? "" : "s");
        fbl_diag_hint(ctx, diag, "`nvidia-smi` shows what the driver sees; CUDA_VISIBLE_DEVICES may hide some");
        return FBL_DEVICE;
    }
    FblCudaGroup *group = calloc(1, sizeof *group);
    if (!group) {
        fbl_out_of_memory();
    }
    first->group = group;
    group->devices[0] = first;
    group->count = 1;
    for (int d = 1; d < count; d++) {
        FBL_TRY(fbl_cuda_open_peer(ctx, first, d, &group->devices[d]));
        group->count++;
        if (group->devices[d]->native_arch != first->native_arch) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0661", FBL_NO_LOC, "--gpus %d: %s is sm_%d and %s is sm_%d", count, first->name, first->native_arch, group->devices[d]->name,
                                     group->devices[d]->native_arch);
            fbl_diag_hint(ctx, diag, "GPUs that share a step must be of one kind, so that all compute the same bits; CUDA_VISIBLE_DEVICES chooses which are used");
            return FBL_DEVICE;
        }
    }
    return connect(ctx, group);
}

void fbl_cuda_group_close(FblCudaGroup *group) {
    if (!group) {
        return;
    }
    for (int d = group->count - 1; d >= 0; d--) {
        if (group->communicators[d]) {
            fbl_cuda_use(group->devices[d]);
            group->nccl.destroy(group->communicators[d]);
        }
    }
    for (int d = group->count - 1; d > 0; d--) {
        fbl_cuda_use(group->devices[d]);
        group->devices[d]->group = NULL;
        fbl_cuda_close(group->devices[d]);
    }
    fbl_cuda_use(group->devices[0]);
    while (group->mirrors) {
        Mirror *mirror = group->mirrors;
        group->mirrors = mirror->next;
        free(mirror);
    }
    free(group);
}

// Memory
// ------------------------------------------------------------------------------------------------------------------------------

static Mirror *find_mirror(const FblCudaGroup *group, FblDevicePtr address) {
    for (Mirror *mirror = group->mirrors; mirror; mirror = mirror->next) {
        if (address >= mirror->addresses[0] && address < mirror->addresses[0] + (FblDevicePtr)mirror->bytes) {
            return mirror;
        }
    }
    return NULL;
}

FblDevicePtr fbl_cuda_mirror(const FblCudaDevice *first, FblDevicePtr address, int shard) {
    const Mirror *mirror = first->group && shard > 0 ? find_mirror(first->group, address) : NULL;
    return mirror ? mirror->addresses[shard] + (address - mirror->addresses[0]) : address;
}

FblStatus fbl_cuda_group_allocate(FblContext *ctx, FblCudaDevice *first, int64_t bytes, const char *what, FblDevicePtr *out_address) {
    FblCudaGroup *group = first->group;
    *out_address = 0;
    if (bytes <= 0) {
        return FBL_OK;
    }
    Mirror *mirror = calloc(1, sizeof *mirror);
    if (!mirror) {
        fbl_out_of_memory();
    }
    FblStatus status = FBL_OK;
    for (int d = 0; d < group->count && status == FBL_OK; d++) {
        fbl_cuda_use(group->devices[d]);
        status = fbl_cuda_allocate(ctx, group->devices[d], bytes, what, &mirror->addresses[d]);
    }
    mirror->bytes = bytes;
    mirror->next = group->mirrors;
    group->mirrors = mirror;
    fbl_cuda_use(first);
    if (status != FBL_OK) {
        fbl_cuda_group_release(first, mirror->addresses[0]);
        return status;
    }
    *out_address = mirror->addresses[0];
    return FBL_OK;
}

void fbl_cuda_group_release(FblCudaDevice *first, FblDevicePtr address) {
    FblCudaGroup *group = first->group;
    for (Mirror **at = &group->mirrors; *at; at = &(*at)->next) {
        Mirror *mirror = *at;
        if (mirror->addresses[0] == address) {
            for (int d = 0; d < group->count; d++) {
                fbl_cuda_use(group->devices[d]);
                fbl_cuda_release(group->devices[d], mirror->addresses[d]);
            }
            *at = mirror->next;
            free(mirror);
            break;
        }
    }
    fbl_cuda_use(first);
}

FblStatus fbl_cuda_group_upload(FblContext *ctx, FblCudaDevice *first, FblDevicePtr to, const void *from, int64_t bytes) {
    FblCudaGroup *group = first->group;
    FblStatus status = FBL_OK;
    for (int d = 0; d < group->count && status == FBL_OK; d++) {
        fbl_cuda_use(group->devices[d]);
        status = fbl_cuda_upload(ctx, group->devices[d], fbl_cuda_mirror(first, to, d), from, bytes);
    }
    fbl_cuda_use(first);
    return status;
}

// Graphs
// ------------------------------------------------------------------------------------------------------------------------------

FblCuResult fbl_cuda_graphs_capture(FblCudaDevice *first, FblCuResult (*enqueue)(void *arg), void *arg, FblCuHandle *out_graphs) {
    int count = fbl_cuda_devices(first), begun = 0;
    FblCuResult result = FBL_CU_SUCCESS;
    for (; begun < count && result == FBL_CU_SUCCESS; begun++) {
        const FblCudaDevice *device = fbl_cuda_peer(first, begun);
        result = fbl_cuda_use(device);
        result = result ? result : device->api.capture_begin(device->stream, FBL_CU_CAPTURE_THREAD_LOCAL);
        if (result != FBL_CU_SUCCESS) {
            break; // this one was not begun
        }
    }
    fbl_cuda_use(first);
    result = result ? result : enqueue(arg);
    FblCuHandle graphs[FBL_CUDA_MAX_GPUS] = {0};
    for (int d = 0; d < begun; d++) { // a capture that was begun must be ended in any case, and all before anything else is done
        const FblCudaDevice *device = fbl_cuda_peer(first, d);
        fbl_cuda_use(device);
        FblCuResult ended = device->api.capture_end(device->stream, &graphs[d]);
        result = result ? result : ended;
    }
    for (int d = 0; d < count; d++) {
        const FblCudaDevice *device = fbl_cuda_peer(first, d);
        fbl_cuda_use(device);
        out_graphs[d] = NULL;
        result = result ? result : device->api.graph_instantiate(&out_graphs[d], graphs[d], 0);
        if (graphs[d]) {
            device->api.graph_destroy(graphs[d]);
        }
    }
    fbl_cuda_use(first);
    if (result != FBL_CU_SUCCESS) {
        fbl_cuda_graphs_destroy(first, out_graphs);
    }
    return result;
}

FblCuResult fbl_cuda_graphs_launch(FblCudaDevice *first, const FblCuHandle *graphs) {
    FblCuResult result = FBL_CU_SUCCESS;
    for (int d = 0; d < fbl_cuda_devices(first) && result == FBL_CU_SUCCESS; d++) {
        const FblCudaDevice *device = fbl_cuda_peer(first, d);
        result = fbl_cuda_use(device);
        result = result ? result : device->api.graph_launch(graphs[d], device->stream);
    }
    fbl_cuda_use(first);
    return result;
}

void fbl_cuda_graphs_destroy(FblCudaDevice *first, FblCuHandle *graphs) {
    for (int d = 0; d < fbl_cuda_devices(first); d++) {
        if (graphs[d]) {
            const FblCudaDevice *device = fbl_cuda_peer(first, d);
            fbl_cuda_use(device);
            device->api.graph_exec_destroy(graphs[d]);
            graphs[d] = NULL;
        }
    }
    fbl_cuda_use(first);
}

// Collectives
// -------------------------------------------------------------------------------------------------------------------------

static int64_t buffer_bytes(const FblKernel *kernel, int buffer) {
    int64_t elements = kernel->ints[0] * (buffer == 1 && kernel->library_op == FBL_OP_ALL_GATHER ? kernel->ints[1] : 1);
    return elements * fbl_dtype_bytes(kernel->buffers[buffer].dtype);
}

static bool overlap(FblDevicePtr a, int64_t a_bytes, FblDevicePtr b, int64_t b_bytes) { return a < b + (FblDevicePtr)b_bytes && b < a + (FblDevicePtr)a_bytes; }

bool fbl_cuda_collective_independent(const FblCudaCollective *collective, const FblCudaCollective *others, size_t count) {
    int64_t in = buffer_bytes(collective->kernel, 0), out = buffer_bytes(collective->kernel, 1);
    for (size_t i = 0; i < count; i++) {
        const FblCudaCollective *other = &others[i];
        int64_t other_in = buffer_bytes(other->kernel, 0), other_out = buffer_bytes(other->kernel, 1);
        if (overlap(collective->to, out, other->from, other_in) || overlap(collective->to, out, other->to, other_out) || overlap(collective->from, in, other->to, other_out)) {
            return false;
        }
    }
    return true;
}

// One device's part. Addresses of device memory are what the library takes as pointers.
static int ask(const FblCudaGroup *group, int shard, const FblCudaCollective *collective) {
    const FblKernel *kernel = collective->kernel;
    const void *from = (const void *)(uintptr_t)collective->from;
    void *to = (void *)(uintptr_t)collective->to, *communicator = group->communicators[shard], *stream = group->devices[shard]->stream;
    if (kernel->library_op == FBL_OP_ALL_GATHER) {
        return group->nccl.all_gather(from, to, (size_t)buffer_bytes(kernel, 0), FBL_NCCL_INT8, communicator, stream);
    }
    return group->nccl.all_reduce(from, to, (size_t)kernel->ints[0], kernel->buffers[0].dtype == FBL_F32 ? FBL_NCCL_FLOAT32 : FBL_NCCL_INT32, FBL_NCCL_SUM, communicator, stream);
}

FblCuResult fbl_cuda_collectives(FblCudaDevice *first, const FblCudaCollective *const *collectives, size_t count) {
    FblCudaGroup *group = first->group;
    int result = group ? group->nccl.group_start() : 1;
    bool started = result == FBL_NCCL_SUCCESS;
    if (!group) { // a program for several devices on one
        return FBL_CU_INVALID_VALUE;
    }
    for (size_t i = 0; i < count && result == FBL_NCCL_SUCCESS; i++) {
        for (int d = 0; d < group->count && result == FBL_NCCL_SUCCESS; d++) {
            fbl_cuda_use(group->devices[d]);
            result = ask(group, d, &collectives[d][i]);
        }
    }
    int ended = started ? group->nccl.group_end() : result;
    fbl_cuda_use(first);
    result = result != FBL_NCCL_SUCCESS ? result : ended;
    if (result != FBL_NCCL_SUCCESS) {
        snprintf(group->why, sizeof group->why, "NCCL: %s", group->nccl.error_text(result));
        return FBL_CU_UNKNOWN;
    }
    return FBL_CU_SUCCESS;
}

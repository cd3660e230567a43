#include "runtime/cuda/cuda_exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cuda_group.h"
#include "runtime/cuda/cuda_map.h"
#include "runtime/cuda/library.h"

#define SLOTS 2             // of staged inputs: one is filled while the other is copied
#define SCALARS_BYTES 64    // {seed, step} behind the inputs, so that they travel with them
#define OVERLAP_BYTES 65536 // copies from this size on go by the copy stream

// One phase of one launch with its arguments.
typedef struct Launch {
    FblCuHandle function;
    const FblGpuPhase *shape;
    void **parameters; // into FblDeviceExec.values
    FblLibraryCall *call; // instead of all phases: the library's; NULL: a kernel
    FblCudaCollective collective; // instead of all phases, where its kernel is set
    int32_t number;    // in the plan's function
} Launch;

typedef struct Function {
    Launch *launches;
    size_t count;
    FblCuHandle graphs[FBL_CUDA_MAX_GPUS]; // on every device; NULL before the second call
    bool probed;       // it ran once with every launch checked
} Function;

typedef struct Range {
    int64_t offset, bytes;
} Range;

// Inputs on their way: written by the host, copied to `device`, from there into the INPUTS region.
typedef struct Slot {
    uint8_t *host; // pinned
    FblDevicePtr device;
    FblCuHandle copied, used; // events: `device` is complete; `host` and `device` may be written again
    bool busy;
} Slot;

struct FblDeviceExec {
    FblCudaDevice *device;
    FblDeviceExec *peers[FBL_CUDA_MAX_GPUS]; // the same on all devices of the group, itself included
    int peer_count, shard; // and which of them it is
    const FblPlan *plan;
    FblDevicePtr regions[FBL_REGION_COUNT], workspace, library_workspace;
    size_t refused[FBL_LIBRARY_COUNT]; // launches whose recorded algorithm the library does not take
    int64_t bytes;
    FblCuHandle *modules; // per kernel
    bool *shared;         // per kernel: its module is an earlier kernel's
    Function *functions;
    FblDevicePtr *values; // arguments of all launches
    void **parameters;    // their addresses
    uint8_t *maps;        // encoded tensor maps of all launches
    size_t map_count;     // made so far
    Slot slots[SLOTS];
    int slot; // being filled
    Range *ranges;
    size_t range_count, range_capacity;
    FblCuResult failed; // the first failure since the last wait
    int failed_function;
    int32_t failed_launch; // -1: not known
};

static void write_one(FblDeviceExec *exec, int64_t offset, const void *data, int64_t bytes);

static int64_t round_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

static bool own_region(int region) { return region == FBL_REGION_ARENA || region == FBL_REGION_INPUTS || region == FBL_REGION_OUTPUTS; }

static int64_t scalars_at(const FblPlan *plan) { return round_up(plan->region_bytes[FBL_REGION_INPUTS]); }

// Images in a batch of the plan: the extent of the axis `batch` of some input; 0 when there is none.
static int64_t batch_of(const FblPlan *plan) {
    for (size_t f = 0; f < plan->function_count; f++) {
        for (size_t i = 0; i < plan->functions[f].input_count; i++) {
            const FblType *type = &plan->functions[f].inputs[i].type;
            for (int a = 0; a < type->rank; a++) {
                if (strcmp(type->axes[a].name, "batch") == 0) {
                    return type->axes[a].extent;
                }
            }
        }
    }
    return 0;
}

// What the executor needs against what is free, before anything is allocated: says which batch would fit.
static FblStatus check_room(FblContext *ctx, FblCudaDevice *device, const FblPlan *plan, int64_t workspace) {
    size_t free_bytes = 0, total = 0;
    FBL_TRY(fbl_cuda_check(ctx, device, device->api.memory_info(&free_bytes, &total), "asking for the free memory"));
    int64_t inputs = plan->region_bytes[FBL_REGION_INPUTS];
    int64_t need = plan->region_bytes[FBL_REGION_ARENA] + plan->region_bytes[FBL_REGION_OUTPUTS] + (1 + SLOTS) * inputs + workspace;
    if (need <= (int64_t)free_bytes) {
        return FBL_OK;
    }
    int64_t batch = batch_of(plan);
    int64_t fits = batch > 0 && need > 0 ? (int64_t)((double)free_bytes / (double)need * (double)batch) : 0;
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0644", FBL_NO_LOC,
                             "not enough memory on %s: the step needs %.1f MB besides the model's state, %.1f of %.1f MB are free", device->name, (double)need / 1e6,
                             (double)free_bytes / 1e6, (double)total / 1e6);
    if (fits > 0) {
        fbl_diag_hint(ctx, diag, "about %lld images a batch fit instead of %lld (--batch %lld)", (long long)fits, (long long)batch, (long long)fits);
    } else {
        fbl_diag_hint(ctx, diag, "not even one image fits; other programs on this GPU may hold its memory");
    }
    return FBL_NOMEM;
}

static FblStatus allocate(FblContext *ctx, FblDeviceExec *exec, int64_t bytes, const char *what, FblDevicePtr *out) {
    exec->bytes += bytes;
    return fbl_cuda_allocate(ctx, exec->device, bytes, what, out);
}

static FblStatus create_slots(FblContext *ctx, FblDeviceExec *exec) {
    const FblCudaApi *api = &exec->device->api;
    int64_t bytes = scalars_at(exec->plan) + SCALARS_BYTES;
    for (int s = 0; s < SLOTS; s++) {
        Slot *slot = &exec->slots[s];
        void *host = NULL;
        FBL_TRY(fbl_cuda_check(ctx, exec->device, api->host_alloc(&host, (size_t)bytes, 0), "allocating pinned memory"));
        slot->host = host;
        FBL_TRY(allocate(ctx, exec, bytes, "the inputs", &slot->device));
        FBL_TRY(fbl_cuda_check(ctx, exec->device, api->event_create(&slot->copied, FBL_CU_EVENT_DISABLE_TIMING), "making an event"));
        FBL_TRY(fbl_cuda_check(ctx, exec->device, api->event_create(&slot->used, FBL_CU_EVENT_DISABLE_TIMING), "making an event"));
    }
    return FBL_OK;
}

// Kernels that were compiled together have equal images, which are loaded once.
static FblCuHandle loaded_before(const FblDeviceExec *exec, const FblKernelCode *codes, size_t kernel) {
    for (size_t k = kernel; k-- > 0;) {
        if (codes[k].object && codes[k].object_size == codes[kernel].object_size && memcmp(codes[k].object, codes[kernel].object, codes[k].object_size) == 0) {
            return exec->modules[k];
        }
    }
    return NULL;
}

static FblStatus load_kernels(FblContext *ctx, FblDeviceExec *exec, const FblKernelCode *codes) {
    FblCudaDevice *device = exec->device;
    for (size_t k = 0; k < exec->plan->kernel_count; k++) {
        if (fbl_kernel_is_collective(exec->plan->kernels[k])) {
            continue;
        }
        exec->modules[k] = loaded_before(exec, codes, k);
        exec->shared[k] = exec->modules[k] != NULL;
        FblCuResult result = exec->modules[k] ? FBL_CU_SUCCESS : codes[k].object ? device->api.module_load(&exec->modules[k], codes[k].object) : FBL_CU_INVALID_IMAGE;
        if (result != FBL_CU_SUCCESS) {
            char text[256];
            fbl_cuda_error_text(&device->api, result, text);
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0646", FBL_NO_LOC, "%s does not take the code of kernel %s: %s", device->name, exec->plan->kernels[k]->name, text);
            bool other = result == FBL_CU_NO_BINARY_FOR_GPU || result == FBL_CU_INVALID_IMAGE;
            fbl_diag_hint(ctx, diag, other ? "it was compiled for sm_%d; --target cuda compiles for the GPU's own architecture" : "code for sm_%d", device->arch);
            return FBL_DEVICE;
        }
    }
    return FBL_OK;
}

// The library's call for a launch, where its kernel has a recorded one that the library takes.
static FblLibraryCall *library_call(FblDeviceExec *exec, const FblLaunch *launch, const FblKernelCode *code, const FblDevicePtr *buffers) {
    FblLibraryPlace place = {exec->modules[launch->kernel], buffers, exec->library_workspace, fbl_cuda_exec_scalars(exec)};
    FblLibraryCall *call = NULL;
    if (code->library.used && !fbl_library_prepare(exec->device, exec->plan->kernels[launch->kernel], code, &place, &call)) {
        int32_t kind = code->library.kind;
        exec->refused[kind > FBL_LIBRARY_NONE && kind < FBL_LIBRARY_COUNT ? kind : FBL_LIBRARY_CUBLASLT]++;
    }
    return call;
}

// A phase with tensor maps has parameters of its own: the launch's (from `first` to `end`), then the maps of its memory.
static FblStatus resolve_maps(FblContext *ctx, FblDeviceExec *exec, const FblKernel *kernel, const FblKernelCode *code, int32_t phase, void **first, void **end, Launch *out,
                              void ***parameters) {
    out->parameters = *parameters;
    for (void **at = first; at < end; at++) {
        *(*parameters)++ = *at;
    }
    for (int32_t m = 0; m < code->gpu[phase].map_count; m++) {
        uint8_t *to = exec->maps + exec->map_count++ * FBL_TENSOR_MAP_BYTES;
        FblCuResult result = fbl_cuda_map_encode(&exec->device->api, &code->gpu[phase].maps[m], kernel, *first, exec->workspace, code->workspace_bytes, to);
        FBL_TRY(fbl_cuda_check(ctx, exec->device, result, "making a tensor map"));
        *(*parameters)++ = to;
    }
    return FBL_OK;
}

static FblStatus resolve_launch(FblContext *ctx, FblDeviceExec *exec, const FblLaunch *launch, const FblKernelCode *code, int32_t number, Launch *out, FblDevicePtr **at,
                                void ***parameters, size_t *out_count) {
    const FblKernel *kernel = exec->plan->kernels[launch->kernel];
    void **first = *parameters;
    const FblDevicePtr *buffers = *at;
    for (int32_t b = 0; b < kernel->buffer_count; b++) {
        *(*at) = exec->regions[launch->bindings[b].region] + (FblDevicePtr)launch->bindings[b].offset;
        *(*parameters)++ = (*at)++;
    }
    if (code->workspace_bytes > 0) {
        *(*at) = exec->workspace;
        *(*parameters)++ = (*at)++;
    }
    *(*at) = fbl_cuda_exec_scalars(exec);
    *(*parameters)++ = (*at)++;
    void **end = *parameters;
    if (fbl_kernel_is_collective(kernel)) {
        *out_count = 1;
        out[0] = (Launch){.number = number, .collective = {kernel, buffers[0], buffers[1]}};
        return FBL_OK;
    }
    FblLibraryCall *call = library_call(exec, launch, code, buffers);
    *out_count = call ? 1 : (size_t)code->phases;
    if (call) {
        out[0] = (Launch){.number = number, .call = call};
        return FBL_OK;
    }
    for (int32_t p = 0; p < code->phases; p++) {
        out[p] = (Launch){.shape = &code->gpu[p], .parameters = first, .number = number};
        FBL_TRY(fbl_cuda_check(ctx, exec->device, fbl_cuda_entry(&exec->device->api, exec->modules[launch->kernel], &code->gpu[p], &out[p].function), "finding a kernel"));
        if (code->gpu[p].map_count > 0) {
            FBL_TRY(resolve_maps(ctx, exec, kernel, code, p, first, end, &out[p], parameters));
        }
    }
    return FBL_OK;
}

static FblStatus resolve(FblContext *ctx, FblDeviceExec *exec, const FblKernelCode *codes) {
    const FblPlan *plan = exec->plan;
    size_t values = 0, maps = 0, further = 0;
    for (size_t f = 0; f < plan->function_count; f++) {
        for (size_t k = 0; k < plan->functions[f].launch_count; k++) {
            int32_t kernel = plan->functions[f].launches[k].kernel;
            size_t own = (size_t)plan->kernels[kernel]->buffer_count + 2;
            values += own;
            for (int32_t p = 0; p < codes[kernel].phases; p++) {
                size_t count = (size_t)codes[kernel].gpu[p].map_count;
                maps += count;
                further += count ? own + count : 0;
            }
        }
    }
    FblDevicePtr *at = exec->values = calloc(values + 1, sizeof *exec->values);
    void **parameters = exec->parameters = calloc(values + further + 1, sizeof *exec->parameters);
    exec->maps = aligned_alloc(FBL_TENSOR_MAP_ALIGN, (maps + 1) * FBL_TENSOR_MAP_BYTES);
    exec->functions = calloc(plan->function_count + 1, sizeof *exec->functions);
    if (!at || !parameters || !exec->maps || !exec->functions) {
        fbl_out_of_memory();
    }
    for (size_t f = 0; f < plan->function_count; f++) {
        Function *function = &exec->functions[f];
        function->launches = calloc(plan->functions[f].launch_count * FBL_KERNEL_MAX_PHASES + 1, sizeof *function->launches);
        if (!function->launches) {
            fbl_out_of_memory();
        }
        for (size_t k = 0; k < plan->functions[f].launch_count; k++) {
            const FblLaunch *launch = &plan->functions[f].launches[k];
            const FblKernelCode *code = &codes[launch->kernel];
            size_t count = 0;
            FblStatus status = resolve_launch(ctx, exec, launch, code, (int32_t)k, &function->launches[function->count], &at, &parameters, &count);
            function->count += count;
            FBL_TRY(status);
        }
    }
    for (int kind = FBL_LIBRARY_NONE + 1; kind < FBL_LIBRARY_COUNT; kind++) {
        if (exec->refused[kind]) {
            const char *why = fbl_library_why(exec->device, (FblLibraryKind)kind);
            FblDiag *diag = fbl_diag(ctx, FBL_NOTE, "E0654", FBL_NO_LOC, "%zu %s run on fblc's own kernels instead of %s, which they were compiled with", exec->refused[kind],
                                     fbl_library_items((FblLibraryKind)kind), fbl_library_name((FblLibraryKind)kind));
            fbl_diag_hint(ctx, diag, "%s; the results may differ in the last bits", *why ? why : "the library refuses the recorded algorithm");
        }
    }
    return FBL_OK;
}

static FblStatus create(FblContext *ctx, FblDeviceExec *exec, const FblDeviceExecOptions *options) {
    const FblPlan *plan = exec->plan;
    int64_t workspace = 0, library = 0;
    for (size_t k = 0; k < plan->kernel_count; k++) {
        const FblKernelCode *code = &options->codes[k];
        workspace = code->workspace_bytes > workspace ? code->workspace_bytes : workspace;
        int64_t bytes = fbl_library_workspace(plan->kernels[k], code);
        library = bytes > library ? bytes : library;
    }
    FBL_TRY(check_room(ctx, exec->device, plan, workspace + library));
    for (int region = 0; region < FBL_REGION_COUNT; region++) {
        exec->regions[region] = options->regions[region];
        if (own_region(region)) {
            int64_t bytes = region == FBL_REGION_INPUTS ? scalars_at(plan) + SCALARS_BYTES : plan->region_bytes[region];
            FBL_TRY(allocate(ctx, exec, bytes, "the step", &exec->regions[region]));
        }
    }
    FBL_TRY(allocate(ctx, exec, workspace, "the kernels' workspace", &exec->workspace));
    FBL_TRY(allocate(ctx, exec, library, "the library's workspace", &exec->library_workspace));
    FBL_TRY(create_slots(ctx, exec));
    // Memory is cleared on the work stream; the copy stream, which knows nothing of it, must not fill a slot before.
    FBL_TRY(fbl_cuda_check(ctx, exec->device, exec->device->api.stream_wait(exec->device->stream), "clearing memory"));
    exec->modules = calloc(plan->kernel_count + 1, sizeof *exec->modules);
    exec->shared = calloc(plan->kernel_count + 1, sizeof *exec->shared);
    if (!exec->modules || !exec->shared) {
        fbl_out_of_memory();
    }
    FBL_TRY(load_kernels(ctx, exec, options->codes));
    return resolve(ctx, exec, options->codes);
}

static FblStatus create_one(FblContext *ctx, FblCudaDevice *device, int shard, const FblDeviceExecOptions *options, FblDeviceExec **out_exec) {
    FblDeviceExec *exec = calloc(1, sizeof *exec);
    if (!exec) {
        fbl_out_of_memory();
    }
    *exec = (FblDeviceExec){.device = device, .plan = options->plan, .failed_launch = -1, .peer_count = 1, .shard = shard};
    exec->peers[0] = exec;
    *out_exec = exec;
    return create(ctx, exec, options);
}

// The numbers of a device's share of the batch, which it reads as inputs.
static void write_shares(FblDeviceExec *exec, int shard, int count) {
    for (size_t f = 0; f < exec->plan->function_count; f++) {
        const FblPlanFunction *function = &exec->plan->functions[f];
        for (size_t i = 0; i < function->input_count; i++) {
            const FblPlanTensor *input = &function->inputs[i];
            int64_t length = fbl_type_elements(&input->type);
            if (!fbl_shard_is_input(input->name) || input->type.index_extent != length * count) {
                continue;
            }
            int32_t *numbers = malloc((size_t)length * sizeof *numbers + 4);
            if (!numbers) {
                fbl_out_of_memory();
            }
            for (int64_t k = 0; k < length; k++) {
                numbers[k] = (int32_t)(shard * length + k);
            }
            write_one(exec, input->offset, numbers, length * (int64_t)sizeof *numbers);
            free(numbers);
        }
    }
}

FblStatus fbl_cuda_exec_create(FblContext *ctx, FblDevice *device, const FblDeviceExecOptions *options, FblDeviceExec **out_exec) {
    FblCudaDevice *first = (FblCudaDevice *)device;
    int64_t wanted = fbl_plan_devices(options->plan);
    if (wanted > 1 && wanted != fbl_cuda_devices(first)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0666", FBL_NO_LOC, "the program was compiled for %lld GPUs, not for %d", (long long)wanted, fbl_cuda_devices(first));
        fbl_diag_hint(ctx, diag, "--gpus %lld", (long long)wanted);
        return FBL_USER;
    }
    FblDeviceExec *exec = NULL;
    FblStatus status = create_one(ctx, first, 0, options, &exec);
    for (int d = 1; d < fbl_cuda_devices(first) && status == FBL_OK; d++) {
        FblDevicePtr regions[FBL_REGION_COUNT];
        for (int region = 0; region < FBL_REGION_COUNT; region++) {
            regions[region] = fbl_cuda_mirror(first, options->regions[region], d);
        }
        FblDeviceExecOptions own = *options;
        own.regions = regions;
        status = fbl_cuda_check(ctx, first, fbl_cuda_use(fbl_cuda_peer(first, d)), "going to another GPU");
        status = status == FBL_OK ? create_one(ctx, fbl_cuda_peer(first, d), d, &own, &exec->peers[d]) : status;
        exec->peer_count = d + 1;
    }
    fbl_cuda_use(first);
    for (int d = 0; d < exec->peer_count && status == FBL_OK; d++) {
        write_shares(exec->peers[d], d, exec->peer_count);
    }
    if (status != FBL_OK) {
        fbl_cuda_exec_destroy(exec);
        return status;
    }
    *out_exec = exec;
    return FBL_OK;
}

FblDeviceExec *fbl_cuda_exec_peer(FblDeviceExec *exec, int shard) { return exec->peers[shard]; }

static void destroy_one(FblDeviceExec *exec) {
    const FblCudaApi *api = &exec->device->api;
    fbl_cuda_use(exec->device);
    api->stream_wait(exec->device->stream);
    api->stream_wait(exec->device->copy_stream);
    for (size_t f = 0; exec->functions && f < exec->plan->function_count; f++) {
        for (size_t k = 0; k < exec->functions[f].count; k++) {
            fbl_library_destroy(exec->functions[f].launches[k].call);
        }
        free(exec->functions[f].launches);
    }
    for (size_t k = 0; exec->modules && k < exec->plan->kernel_count; k++) {
        if (exec->modules[k] && !exec->shared[k]) {
            api->module_unload(exec->modules[k]);
        }
    }
    for (int s = 0; s < SLOTS; s++) {
        Slot *slot = &exec->slots[s];
        fbl_cuda_release(exec->device, slot->device);
        if (slot->host) {
            api->host_free(slot->host);
        }
        if (slot->copied) {
            api->event_destroy(slot->copied);
        }
        if (slot->used) {
            api->event_destroy(slot->used);
        }
    }
    for (int region = 0; region < FBL_REGION_COUNT; region++) {
        if (own_region(region)) {
            fbl_cuda_release(exec->device, exec->regions[region]);
        }
    }
    fbl_cuda_release(exec->device, exec->workspace);
    fbl_cuda_release(exec->device, exec->library_workspace);
    free(exec->functions);
    free(exec->modules);
    free(exec->shared);
    free(exec->values);
    free(exec->parameters);
    free(exec->maps);
    free(exec->ranges);
    free(exec);
}

void fbl_cuda_exec_destroy(FblDeviceExec *exec) {
    if (!exec) {
        return;
    }
    FblCudaDevice *first = exec->device;
    for (size_t f = 0; exec->functions && f < exec->plan->function_count; f++) {
        fbl_cuda_graphs_destroy(first, exec->functions[f].graphs);
    }
    for (int d = exec->peer_count - 1; d >= 0; d--) {
        if (exec->peers[d]) {
            destroy_one(exec->peers[d]);
        }
    }
    fbl_cuda_use(first);
}

FblDevicePtr fbl_cuda_exec_region(const FblDeviceExec *exec, int region) { return exec->regions[region]; }

int64_t fbl_cuda_exec_bytes(const FblDeviceExec *exec) { return exec->bytes; }

FblDevicePtr fbl_cuda_exec_scalars(const FblDeviceExec *exec) { return exec->regions[FBL_REGION_INPUTS] + (FblDevicePtr)scalars_at(exec->plan); }

static void fail(FblDeviceExec *exec, FblCuResult result, int function, int32_t launch) {
    if (result != FBL_CU_SUCCESS && exec->failed == FBL_CU_SUCCESS) {
        exec->failed = result;
        exec->failed_function = function;
        exec->failed_launch = launch;
    }
}

static void write_one(FblDeviceExec *exec, int64_t offset, const void *data, int64_t bytes) {
    Slot *slot = &exec->slots[exec->slot];
    if (slot->busy) { // its last copy may still be under way
        fail(exec, exec->device->api.event_wait(slot->used), -1, -1);
        slot->busy = false;
    }
    memcpy(slot->host + offset, data, (size_t)bytes);
    Range *last = exec->range_count ? &exec->ranges[exec->range_count - 1] : NULL;
    if (last && offset >= last->offset && offset <= last->offset + last->bytes) {
        int64_t end = offset + bytes > last->offset + last->bytes ? offset + bytes : last->offset + last->bytes;
        last->bytes = end - last->offset;
        return;
    }
    if (exec->range_count == exec->range_capacity) {
        exec->range_capacity = exec->range_capacity ? 2 * exec->range_capacity : 16;
        exec->ranges = realloc(exec->ranges, exec->range_capacity * sizeof *exec->ranges);
        if (!exec->ranges) {
            fbl_out_of_memory();
        }
    }
    exec->ranges[exec->range_count++] = (Range){offset, bytes};
}

static FblCuResult flush_one(FblDeviceExec *exec) {
    if (exec->range_count == 0) {
        return FBL_CU_SUCCESS;
    }
    const FblCudaApi *api = &exec->device->api;
    Slot *slot = &exec->slots[exec->slot];
    FblCuHandle work = exec->device->stream;
    FblDevicePtr inputs = exec->regions[FBL_REGION_INPUTS];
    FblCuResult result = FBL_CU_SUCCESS;
    bool overlapped = false;
    // Large tensors go to the slot's own device memory while the step before still reads the inputs.
    for (size_t i = 0; i < exec->range_count && result == FBL_CU_SUCCESS; i++) {
        Range r = exec->ranges[i];
        if (r.bytes >= OVERLAP_BYTES) {
            result = api->copy_up(slot->device + (FblDevicePtr)r.offset, slot->host + r.offset, (size_t)r.bytes, exec->device->copy_stream);
            overlapped = true;
        }
    }
    if (overlapped && result == FBL_CU_SUCCESS) {
        result = api->event_record(slot->copied, exec->device->copy_stream);
        result = result ? result : api->stream_wait_event(work, slot->copied, 0);
    }
    // In the order of writing: a later write to the same place wins.
    for (size_t i = 0; i < exec->range_count && result == FBL_CU_SUCCESS; i++) {
        Range r = exec->ranges[i];
        FblDevicePtr to = inputs + (FblDevicePtr)r.offset;
        result = r.bytes >= OVERLAP_BYTES ? api->copy_within(to, slot->device + (FblDevicePtr)r.offset, (size_t)r.bytes, work)
                                          : api->copy_up(to, slot->host + r.offset, (size_t)r.bytes, work);
    }
    result = result ? result : api->event_record(slot->used, work);
    slot->busy = true;
    exec->slot = (exec->slot + 1) % SLOTS;
    exec->range_count = 0;
    return result;
}

static FblCuResult launch_one(FblDeviceExec *exec, const Launch *launch) {
    const FblGpuPhase *s = launch->shape;
    if (launch->call) {
        return fbl_library_launch(launch->call);
    }
    return exec->device->api.launch(launch->function, s->grid[0], s->grid[1], s->grid[2], s->block[0], s->block[1], s->block[2], s->shared_bytes, exec->device->stream,
                                    launch->parameters, NULL);
}

// What is done behind a launch of a device: number `k` of its function, and its result.
typedef FblCuResult After(FblDeviceExec *exec, int function, size_t k, void *state);

static FblCuResult finish_launch(FblDeviceExec *exec, int function, size_t k, FblCuResult result, After *after, void *state) {
    result = result || !after ? result : after(exec, function, k, state);
    fail(exec, result, function, exec->functions[function].launches[k].number);
    return result;
}

// The collectives that come next on all devices, as many as may be under way at once.
static FblCuResult run_collectives(FblDeviceExec *exec, int function, size_t *at, After *after, void *state) {
    const FblCudaCollective *parts[FBL_CUDA_MAX_GPUS];
    const Function *f = &exec->functions[function];
    size_t most = f->count - at[0], count = 0;
    FblCudaCollective *all = calloc(most * (size_t)exec->peer_count, sizeof *all);
    if (!all) {
        fbl_out_of_memory();
    }
    while (count < most && f->launches[at[0] + count].collective.kernel && fbl_cuda_collective_independent(&f->launches[at[0] + count].collective, all, count)) {
        for (int d = 0; d < exec->peer_count; d++) {
            all[(size_t)d * most + count] = exec->peers[d]->functions[function].launches[at[d] + count].collective;
        }
        count++;
    }
    for (int d = 0; d < exec->peer_count; d++) {
        parts[d] = all + (size_t)d * most;
    }
    FblCuResult result = fbl_cuda_collectives(exec->device, parts, count);
    free(all);
    for (int d = 0; d < exec->peer_count; d++) {
        FblDeviceExec *peer = exec->peers[d];
        fbl_cuda_use(peer->device);
        for (size_t k = 0; k < count; k++) {
            result = finish_launch(peer, function, at[d] + k, result, after, state);
        }
        at[d] += count;
    }
    return result;
}

// All launches of a function on all devices: those up to the next collective device by device, then the collective on all.
static FblCuResult run(FblDeviceExec *exec, int function, After *after, void *state) {
    size_t at[FBL_CUDA_MAX_GPUS] = {0};
    FblCuResult result = FBL_CU_SUCCESS;
    for (;;) {
        for (int d = 0; d < exec->peer_count && result == FBL_CU_SUCCESS; d++) {
            FblDeviceExec *peer = exec->peers[d];
            const Function *f = &peer->functions[function];
            fbl_cuda_use(peer->device);
            for (; at[d] < f->count && !f->launches[at[d]].collective.kernel && result == FBL_CU_SUCCESS; at[d]++) {
                result = finish_launch(peer, function, at[d], launch_one(peer, &f->launches[at[d]]), after, state);
            }
        }
        if (result != FBL_CU_SUCCESS || at[0] == exec->functions[function].count) {
            break;
        }
        result = run_collectives(exec, function, at, after, state);
    }
    fbl_cuda_use(exec->device);
    return result;
}

FblCuResult fbl_cuda_exec_enqueue(FblDeviceExec *exec, int function) { return run(exec, function, NULL, NULL); }

static FblCuResult wait_for_launch(FblDeviceExec *exec, int function, size_t k, void *state) {
    (void)function;
    (void)k;
    (void)state;
    return exec->device->api.stream_wait(exec->device->stream);
}

FblCuResult fbl_cuda_exec_probe(FblDeviceExec *exec, int function) {
    exec->functions[function].probed = true;
    return run(exec, function, wait_for_launch, NULL);
}

typedef struct Enqueue {
    FblDeviceExec *exec;
    int function;
} Enqueue;

static FblCuResult enqueue(void *arg) {
    const Enqueue *what = arg;
    return fbl_cuda_exec_enqueue(what->exec, what->function);
}

// Events behind the launches of the first device.
static FblCuResult record_event(FblDeviceExec *exec, int function, size_t k, void *state) {
    (void)function;
    FblCuHandle *events = state;
    return exec->shard > 0 ? FBL_CU_SUCCESS : exec->device->api.event_record(events[k + 1], exec->device->stream);
}

// Each launch of the first device timed by events. The time of a launch is that of all its phases.
static FblCuResult time_launches(FblDeviceExec *exec, int function, int64_t *nanoseconds) {
    const FblCudaApi *api = &exec->device->api;
    const Function *f = &exec->functions[function];
    FblCuHandle *events = calloc(f->count + 1, sizeof *events);
    if (!events) {
        fbl_out_of_memory();
    }
    FblCuResult result = FBL_CU_SUCCESS;
    for (size_t k = 0; k <= f->count && result == FBL_CU_SUCCESS; k++) {
        result = api->event_create(&events[k], 0);
    }
    result = result ? result : api->event_record(events[0], exec->device->stream);
    result = result ? result : run(exec, function, record_event, events);
    result = result ? result : api->stream_wait(exec->device->stream);
    memset(nanoseconds, 0, (exec->plan->functions[function].launch_count + 1) * sizeof *nanoseconds);
    for (size_t k = 0; k < f->count && result == FBL_CU_SUCCESS; k++) {
        float milliseconds = 0;
        result = api->event_elapsed(&milliseconds, events[k], events[k + 1]);
        nanoseconds[f->launches[k].number] += (int64_t)((double)milliseconds * 1e6);
    }
    for (size_t k = 0; k <= f->count; k++) {
        if (events[k]) {
            api->event_destroy(events[k]);
        }
    }
    free(events);
    return result;
}

// The divided input that a range lies in, or NULL.
static const FblPlanTensor *divided_input(const FblPlan *plan, int64_t offset, int64_t bytes) {
    for (size_t f = 0; f < plan->function_count; f++) {
        for (size_t i = 0; i < plan->functions[f].input_count; i++) {
            const FblPlanTensor *input = &plan->functions[f].inputs[i];
            int64_t size = fbl_type_elements(&input->type) * fbl_dtype_bytes(input->type.dtype);
            if (input->divided && offset >= input->offset && offset + bytes <= input->offset + size) {
                return input;
            }
        }
    }
    return NULL;
}

// Of a divided input each device gets its share only.
void fbl_cuda_exec_write(FblDeviceExec *exec, int64_t offset, const void *data, int64_t bytes) {
    const FblPlanTensor *input = exec->peer_count > 1 ? divided_input(exec->plan, offset, bytes) : NULL;
    int64_t share = input ? fbl_type_elements(&input->type) * fbl_dtype_bytes(input->type.dtype) / exec->peer_count : 0;
    for (int d = 0; d < exec->peer_count; d++) {
        int64_t from = offset, to = offset + bytes;
        if (input) {
            int64_t first = input->offset + d * share;
            from = from < first ? first : from;
            to = to > first + share ? first + share : to;
        }
        if (from < to) {
            write_one(exec->peers[d], from, (const uint8_t *)data + (from - offset), to - from);
        }
    }
}

FblCuResult fbl_cuda_exec_flush(FblDeviceExec *exec) {
    FblCuResult result = FBL_CU_SUCCESS;
    for (int d = 0; d < exec->peer_count && result == FBL_CU_SUCCESS; d++) {
        result = fbl_cuda_use(exec->peers[d]->device);
        result = result ? result : flush_one(exec->peers[d]);
    }
    fbl_cuda_use(exec->device);
    return result;
}

void fbl_cuda_exec_call(FblDeviceExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds) {
    if (exec->failed != FBL_CU_SUCCESS) {
        return;
    }
    Function *f = &exec->functions[function];
    uint64_t scalars[2] = {seed, step};
    fbl_cuda_exec_write(exec, scalars_at(exec->plan), scalars, sizeof scalars);
    FblCuResult result = fbl_cuda_exec_flush(exec);
    if (result != FBL_CU_SUCCESS) {
        fail(exec, result, function, -1);
    } else if (!f->probed || exec->device->sync) {
        result = fbl_cuda_exec_probe(exec, function);
        if (nanoseconds) {
            memset(nanoseconds, 0, (exec->plan->functions[function].launch_count + 1) * sizeof *nanoseconds);
        }
    } else if (nanoseconds) {
        fail(exec, time_launches(exec, function, nanoseconds), function, -1);
    } else {
        // Captured once; later calls are one launch a device.
        result = f->graphs[0] ? FBL_CU_SUCCESS : fbl_cuda_graphs_capture(exec->device, enqueue, &(Enqueue){exec, function}, f->graphs);
        result = result ? result : fbl_cuda_graphs_launch(exec->device, f->graphs);
        fail(exec, result, function, -1);
    }
}

FblStatus fbl_cuda_exec_blame(FblContext *ctx, FblDeviceExec *exec, int function, FblCuResult result) {
    for (int d = 1; d < exec->peer_count; d++) { // what failed on another device
        fail(exec, exec->peers[d]->failed, exec->peers[d]->failed_function, exec->peers[d]->failed_launch);
    }
    fail(exec, result, function, -1);
    if (exec->failed == FBL_CU_SUCCESS) {
        return FBL_OK;
    }
    char text[256];
    fbl_cuda_error_text(&exec->device->api, exec->failed, text);
    if (exec->failed == FBL_CU_UNKNOWN && *fbl_cuda_group_why(exec->device)) {
        snprintf(text, sizeof text, "%s", fbl_cuda_group_why(exec->device));
    }
    const FblPlanFunction *f = exec->failed_function >= 0 ? &exec->plan->functions[exec->failed_function] : NULL;
    exec->device->lost = true;
    if (f && exec->failed_launch >= 0) {
        const FblLaunch *launch = &f->launches[exec->failed_launch];
        const FblKernel *kernel = exec->plan->kernels[launch->kernel];
        const char *note = launch->note ? launch->note : kernel->note;
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0645", launch->loc, "kernel %s of `%s` failed on %s: %s", kernel->name, f->name, exec->device->name, text);
        fbl_diag_hint(ctx, diag, "it computes %s; this is a bug of fblc or a fault of the GPU", note ? note : "no line of the source");
    } else {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0645", FBL_NO_LOC, "a kernel of `%s` failed on %s: %s", f ? f->name : "the step", exec->device->name, text);
        fbl_diag_hint(ctx, diag, "FBL_CUDA_SYNC=1 in the environment runs the kernels one by one, which names it");
    }
    exec->failed = FBL_CU_SUCCESS;
    exec->failed_launch = -1;
    return FBL_DEVICE;
}

FblStatus fbl_cuda_exec_wait(FblContext *ctx, FblDeviceExec *exec) {
    if (exec->device->lost) {
        return FBL_DEVICE; // said already
    }
    FblCuResult result = exec->failed;
    for (int d = 0; d < exec->peer_count && result == FBL_CU_SUCCESS; d++) {
        const FblCudaDevice *device = exec->peers[d]->device;
        result = fbl_cuda_use(device);
        result = result ? result : device->api.stream_wait(device->stream);
    }
    fbl_cuda_use(exec->device);
    return fbl_cuda_exec_blame(ctx, exec, -1, result);
}

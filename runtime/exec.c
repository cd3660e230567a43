#include "runtime/exec.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "runtime/exec_steps.h"

#define ALIGNMENT 64

// A launch with everything resolved to addresses.
typedef struct Launch {
    void **buffers; // kernel buffers, then the workspace when there is one
    int32_t kernel;
} Launch;

struct FblExec {
    const FblPlan *plan;
    const FblKernelCode *codes;
    const FblCpuModule *code;
    FblPool *pool;
    uint8_t *regions[FBL_REGION_COUNT]; // own and borrowed
    uint8_t *workspace;
    uint8_t **scratch; // per thread
    int threads;
    int64_t bytes;
    Launch **launches; // per function
    FblSteps *steps;   // per function
    FblDevice *device; // NULL: the CPU; else regions hold the host's copies of INPUTS and OUTPUTS
    FblDeviceExec *remote;
};

static bool shared_region(int region) {
    return region == FBL_REGION_PARAMS || region == FBL_REGION_GRADS || region == FBL_REGION_SLOTS || region == FBL_REGION_STATES;
}

static FblStatus allocate(FblContext *ctx, int64_t bytes, const char *what, uint8_t **out) {
    *out = NULL;
    if (bytes < 0 || bytes > (int64_t)1 << 46) {
        fbl_error(ctx, "E0611", FBL_NO_LOC, "%s would take more memory than any machine has", what);
        return FBL_NOMEM;
    }
    size_t size = ((size_t)bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *out = aligned_alloc(ALIGNMENT, size);
    if (!*out) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0611", FBL_NO_LOC, "not enough memory: %s needs %.1f MB", what, (double)bytes / 1e6);
        fbl_diag_hint(ctx, diag, "a smaller batch needs less (--batch N)");
        return FBL_NOMEM;
    }
    memset(*out, 0, size);
    return FBL_OK;
}

FblStatus fbl_store_create(FblContext *ctx, const FblPlan *plan, FblStore **out_store) { return fbl_store_create_on(ctx, plan, NULL, out_store); }

FblStatus fbl_store_create_on(FblContext *ctx, const FblPlan *plan, FblDevice *device, FblStore **out_store) {
    FblStore *store = calloc(1, sizeof *store);
    if (!store) {
        fbl_out_of_memory();
    }
    store->device = device;
    for (int region = 0; region < FBL_REGION_COUNT; region++) {
        if (shared_region(region)) {
            FblStatus status = allocate(ctx, plan->region_bytes[region], "the model's state", &store->regions[region]);
            if (status == FBL_OK && device) {
                status = device->ops->allocate(ctx, device, plan->region_bytes[region], "the model's state", &store->remote[region]);
            }
            if (status != FBL_OK) {
                fbl_store_destroy(store);
                return status;
            }
            store->bytes[region] = plan->region_bytes[region];
        }
    }
    *out_store = store;
    return FBL_OK;
}

void fbl_store_destroy(FblStore *store) {
    if (store) {
        for (int region = 0; region < FBL_REGION_COUNT; region++) {
            free(store->regions[region]);
            if (store->device) {
                store->device->ops->release(store->device, store->remote[region]);
            }
        }
        free(store);
    }
}

FblStatus fbl_store_push(FblContext *ctx, FblStore *store, int region) {
    for (int r = 0; store->device && r < FBL_REGION_COUNT; r++) {
        if (shared_region(r) && (region < 0 || region == r)) {
            FBL_TRY(store->device->ops->upload(ctx, store->device, store->remote[r], store->regions[r], store->bytes[r]));
        }
    }
    return FBL_OK;
}

FblStatus fbl_store_pull(FblContext *ctx, FblStore *store, int region) {
    for (int r = 0; store->device && r < FBL_REGION_COUNT; r++) {
        if (shared_region(r) && (region < 0 || region == r)) {
            FBL_TRY(store->device->ops->download(ctx, store->device, store->regions[r], store->remote[r], store->bytes[r]));
        }
    }
    return FBL_OK;
}

static void resolve_launches(FblExec *exec) {
    const FblPlan *plan = exec->plan;
    exec->launches = calloc(plan->function_count + 1, sizeof *exec->launches);
    if (!exec->launches) {
        fbl_out_of_memory();
    }
    for (size_t f = 0; f < plan->function_count; f++) {
        const FblPlanFunction *function = &plan->functions[f];
        exec->launches[f] = calloc(function->launch_count + 1, sizeof *exec->launches[f]);
        if (!exec->launches[f]) {
            fbl_out_of_memory();
        }
        for (size_t k = 0; k < function->launch_count; k++) {
            const FblLaunch *launch = &function->launches[k];
            const FblKernel *kernel = plan->kernels[launch->kernel];
            Launch *out = &exec->launches[f][k];
            out->kernel = launch->kernel;
            out->buffers = calloc((size_t)kernel->buffer_count + 1, sizeof *out->buffers);
            if (!out->buffers) {
                fbl_out_of_memory();
            }
            for (int32_t b = 0; b < kernel->buffer_count; b++) {
                out->buffers[b] = exec->regions[launch->bindings[b].region] + launch->bindings[b].offset;
            }
            out->buffers[kernel->buffer_count] = exec->workspace + exec->steps[f].workspace[k];
        }
    }
}

FblStatus fbl_exec_create(FblContext *ctx, const FblExecOptions *options, FblExec **out_exec) {
    FblExec *exec = calloc(1, sizeof *exec);
    if (!exec) {
        fbl_out_of_memory();
    }
    exec->plan = options->plan;
    exec->codes = options->codes;
    exec->code = options->code;
    exec->pool = options->pool;
    exec->device = options->store->device;
    exec->threads = exec->device ? 0 : fbl_pool_threads(options->pool);
    exec->scratch = calloc((size_t)exec->threads + 1, sizeof *exec->scratch);
    if (!exec->scratch) {
        fbl_out_of_memory();
    }
    FblStatus status = FBL_OK;
    for (int region = 0; region < FBL_REGION_COUNT && status == FBL_OK; region++) {
        if (shared_region(region)) {
            exec->regions[region] = options->store->regions[region];
            if (options->plan->region_bytes[region] > options->store->bytes[region]) {
                fbl_error(ctx, "E0612", FBL_NO_LOC, "two plans of one program disagree about the size of its state");
                status = FBL_INTERNAL;
            }
        } else if (!exec->device || region != FBL_REGION_ARENA) {
            status = allocate(ctx, options->plan->region_bytes[region], "the step", &exec->regions[region]);
            exec->bytes += options->plan->region_bytes[region];
        }
    }
    if (status == FBL_OK && exec->device) {
        FblDeviceExecOptions remote = {exec->plan, exec->codes, options->store->remote};
        status = exec->device->ops->exec_create(ctx, exec->device, &remote, &exec->remote);
    }
    int64_t workspace = 0, scratch = 0;
    for (size_t k = 0; !exec->device && k < exec->plan->kernel_count; k++) {
        scratch = exec->codes[k].scratch_bytes > scratch ? exec->codes[k].scratch_bytes : scratch;
    }
    exec->steps = calloc(exec->plan->function_count + 1, sizeof *exec->steps);
    if (!exec->steps) {
        fbl_out_of_memory();
    }
    for (size_t f = 0; !exec->device && f < exec->plan->function_count; f++) {
        fbl_steps_build(exec->plan, &exec->plan->functions[f], exec->codes, exec->code, exec->threads, &exec->steps[f]);
        workspace = exec->steps[f].workspace_bytes > workspace ? exec->steps[f].workspace_bytes : workspace;
    }
    if (status == FBL_OK && !exec->device) {
        status = allocate(ctx, workspace, "the kernels' workspace", &exec->workspace);
        exec->bytes += workspace;
    }
    for (int t = 0; t < exec->threads && status == FBL_OK; t++) {
        status = allocate(ctx, scratch, "the kernels' scratch", &exec->scratch[t]);
        exec->bytes += scratch;
    }
    if (status != FBL_OK) {
        fbl_exec_destroy(exec);
        return status;
    }
    if (!exec->device) {
        resolve_launches(exec);
    }
    *out_exec = exec;
    return FBL_OK;
}

void fbl_exec_destroy(FblExec *exec) {
    if (!exec) {
        return;
    }
    if (exec->remote) {
        exec->device->ops->exec_destroy(exec->remote);
    }
    for (int region = 0; region < FBL_REGION_COUNT; region++) {
        if (!shared_region(region)) {
            free(exec->regions[region]);
        }
    }
    for (int t = 0; t < exec->threads; t++) {
        free(exec->scratch[t]);
    }
    for (size_t f = 0; exec->launches && f < exec->plan->function_count; f++) {
        for (size_t k = 0; k < exec->plan->functions[f].launch_count; k++) {
            free(exec->launches[f][k].buffers);
        }
        free(exec->launches[f]);
    }
    free(exec->launches);
    for (size_t f = 0; exec->steps && f < exec->plan->function_count; f++) {
        fbl_steps_free(&exec->steps[f]);
    }
    free(exec->steps);
    free(exec->scratch);
    free(exec->workspace);
    free(exec);
}

int fbl_exec_function(const FblExec *exec, const char *name) {
    for (size_t f = 0; f < exec->plan->function_count; f++) {
        if (strcmp(exec->plan->functions[f].name, name) == 0) {
            return (int)f;
        }
    }
    return -1;
}

const FblPlan *fbl_exec_plan(const FblExec *exec) { return exec->plan; }

void *fbl_exec_address(const FblExec *exec, const FblPlanTensor *tensor) {
    return exec->regions[tensor->region] + tensor->offset;
}

static const FblPlanTensor *find_tensor(const FblPlanTensor *tensors, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0) {
            return &tensors[i];
        }
    }
    return NULL;
}

const FblPlanTensor *fbl_exec_input(const FblExec *exec, int function, const char *name) {
    const FblPlanFunction *f = &exec->plan->functions[function];
    return find_tensor(f->inputs, f->input_count, name);
}

const FblPlanTensor *fbl_exec_output(const FblExec *exec, int function, const char *name) {
    const FblPlanFunction *f = &exec->plan->functions[function];
    return find_tensor(f->outputs, f->output_count, name);
}

static void send(const FblExec *exec, const FblPlanTensor *tensor, int64_t offset, int64_t bytes) {
    if (exec->remote && tensor->region == FBL_REGION_INPUTS) {
        exec->device->ops->exec_write(exec->remote, tensor->offset + offset, exec->regions[tensor->region] + tensor->offset + offset, bytes);
    }
}

void fbl_exec_write(const FblExec *exec, const FblPlanTensor *tensor, int64_t offset, const void *data, int64_t bytes) {
    memcpy((uint8_t *)fbl_exec_address(exec, tensor) + offset, data, (size_t)bytes);
    send(exec, tensor, offset, bytes);
}

void fbl_exec_set_tensor(const FblExec *exec, const FblPlanTensor *tensor, const double *values) {
    int64_t count = fbl_type_elements(&tensor->type);
    void *at = fbl_exec_address(exec, tensor);
    for (int64_t i = 0; i < count; i++) {
        switch (tensor->type.dtype) {
        case FBL_F32: ((float *)at)[i] = (float)values[i]; break;
        case FBL_I32: ((int32_t *)at)[i] = (int32_t)values[i]; break;
        case FBL_BOOL: ((uint8_t *)at)[i] = values[i] != 0; break;
        default: break; // no tensor has another type
        }
    }
    send(exec, tensor, 0, count * fbl_dtype_bytes(tensor->type.dtype));
}

void fbl_exec_set_scalar(const FblExec *exec, int function, const char *name, double value) {
    const FblPlanTensor *tensor = fbl_exec_input(exec, function, name);
    if (tensor && tensor->type.rank == 0) {
        fbl_exec_set_tensor(exec, tensor, &value);
    }
}

static int64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef struct Job {
    const FblExec *exec;
    const FblStep *step;
    const Launch *launches;
    uint64_t seed, step_number;
    int64_t *nanoseconds; // per launch, processor time of the first thread; or NULL
} Job;

static void run_part(const Job *job, const FblStepPart *part, int64_t begin, int64_t end, int thread) {
    const Launch *launch = &job->launches[part->launch];
    FblKernelArgs args = {launch->buffers, job->exec->scratch[thread], job->seed, job->step_number, job->exec->plan->kernels[launch->kernel]};
    if (job->nanoseconds && thread == 0) {
        int64_t start = now(CLOCK_THREAD_CPUTIME_ID);
        part->fn(&args, begin, end);
        job->nanoseconds[part->launch] += now(CLOCK_THREAD_CPUTIME_ID) - start;
    } else {
        part->fn(&args, begin, end);
    }
}

static void run_share(const Job *job, int64_t share, int thread) {
    const FblStep *step = job->step;
    for (int64_t piece = 0; piece < step->pieces; piece++) {
        for (int32_t k = 0; k < step->part_count; k++) {
            const FblStepPart *part = &step->parts[k];
            if (piece + part->pieces >= step->pieces) { // all pieces of a fine part, the last of a coarse one
                int64_t at = part->pieces == 1 ? share : share * part->pieces + piece;
                run_part(job, part, at * part->items, (at + 1) * part->items, thread);
            }
        }
    }
}

static void run_job(void *arg, int64_t begin, int64_t end, int thread) {
    const Job *job = arg;
    const FblStep *step = job->step;
    for (int64_t share = begin; step->shares && share < end; share++) {
        run_share(job, share, thread);
    }
    int64_t at = 0;
    for (int32_t k = 0; !step->shares && k < step->part_count; k++) {
        const FblStepPart *part = &step->parts[k];
        int64_t from = begin > at ? begin - at : 0, to = end - at < part->items ? end - at : part->items;
        if (from < to) {
            run_part(job, part, from, to, thread);
        }
        at += part->items;
    }
}

void fbl_exec_call(FblExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds) {
    if (exec->remote) {
        exec->device->ops->exec_call(exec->remote, function, seed, step, nanoseconds);
        return;
    }
    const FblSteps *steps = &exec->steps[function];
    size_t launches = exec->plan->functions[function].launch_count;
    Job job = {exec, NULL, exec->launches[function], seed, step, nanoseconds};
    int64_t begin = 0;
    if (nanoseconds) {
        memset(nanoseconds, 0, (launches + 1) * sizeof *nanoseconds);
        begin = now(CLOCK_MONOTONIC);
    }
    for (size_t k = 0; k < steps->count; k++) {
        job.step = &steps->items[k];
        fbl_pool_run(exec->pool, run_job, &job, job.step->items);
    }
    if (nanoseconds) {
        nanoseconds[launches] = now(CLOCK_MONOTONIC) - begin;
        for (size_t k = 0; k < launches; k++) {
            nanoseconds[launches] -= nanoseconds[k];
        }
    }
}

FblStatus fbl_exec_wait(FblContext *ctx, FblExec *exec) {
    if (!exec->remote) {
        return FBL_OK;
    }
    FBL_TRY(exec->device->ops->exec_wait(ctx, exec->remote));
    FblDevicePtr outputs = exec->device->ops->exec_region(exec->remote, FBL_REGION_OUTPUTS);
    return exec->device->ops->download(ctx, exec->device, exec->regions[FBL_REGION_OUTPUTS], outputs, exec->plan->region_bytes[FBL_REGION_OUTPUTS]);
}

FblDeviceExec *fbl_exec_remote(const FblExec *exec) { return exec->remote; }

int64_t fbl_exec_bytes(const FblExec *exec) { return exec->bytes + (exec->remote ? exec->device->ops->exec_bytes(exec->remote) : 0); }

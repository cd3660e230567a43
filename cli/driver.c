#include "cli/driver.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/build_id.h"
#include "base/diag.h"
#include "base/io.h"
#include "cli/library.h"
#include "cli/tune.h"

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool bf16_on_cpu(const FblDriver *driver) { return !driver->cuda && strcmp(driver->passes.precision, "bf16") == 0; }

static FblStatus check_conv(FblDriver *driver) {
    if (!bf16_on_cpu(driver) || strncmp(driver->passes.conv, "winograd", 8) != 0) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(driver->ctx, FBL_ERROR, "E0506", FBL_NO_LOC, "--conv=%s has no form with factors in bf16", driver->passes.conv);
    fbl_diag_hint(driver->ctx, diag, "--conv=auto and --conv=direct have: rounded to bf16, the transforms of Winograd's forms would lose too much");
    return FBL_USER;
}

static FblStatus create_parts(FblDriver *driver, int threads) {
    FblContext *ctx = driver->ctx;
    const FblPassOptions *passes = &driver->passes;
    int cores = fbl_cpu_count();
    driver->threads = threads > 0 ? threads : cores;
    if (driver->threads > cores) {
        fbl_diag(ctx, FBL_WARNING, "E0503", FBL_NO_LOC, "%d threads on %d cores: they will wait for each other", driver->threads, cores);
    }
    FBL_TRY(fbl_driver_cuda_create(ctx, passes, &driver->cuda));
    FBL_TRY(fbl_pool_create(driver->threads, driver->threads <= cores, &driver->pool));
    FBL_TRY(fbl_cpu_target_create(ctx, &(FblCpuOptions){.vector_bytes = passes->vector_bytes, .opt_level = 2, .precision = driver->cuda ? "f32" : passes->precision, .emulate_bf16 = passes->emulate_bf16}, &driver->target));
    FBL_TRY(check_conv(driver));
    driver->cache = fbl_cache_open(NULL);
    return fbl_manager_create(ctx, passes, NULL, &driver->manager);
}

FblStatus fbl_driver_init(FblDriver *driver, FblContext *ctx, const FblPassOptions *passes, int threads) {
    *driver = (FblDriver){.ctx = ctx, .passes = *passes};
    FblStatus status = create_parts(driver, threads);
    if (status != FBL_OK) {
        fbl_driver_deinit(driver);
    }
    return status;
}

void fbl_driver_deinit(FblDriver *driver) {
    if (driver->manager) {
        fbl_manager_report(driver->manager);
    }
    if (driver->pool) {
        fbl_pool_destroy(driver->pool);
    }
    fbl_cpu_target_destroy(driver->target);
    fbl_driver_cuda_destroy(driver->cuda);
    fbl_cache_close(driver->cache);
    memset(driver, 0, sizeof *driver);
}

FblStatus fbl_driver_optimize(FblDriver *driver, FblModule *module) {
    FBL_TRY(fbl_manager_run(driver->manager, module));
    if (fbl_manager_stopped(driver->manager)) {
        return fbl_error(driver->ctx, "E0408", FBL_NO_LOC, "stopped after the pass `%s`, as asked: nothing was compiled", driver->passes.stop_after);
    }
    return FBL_OK;
}

FblStatus fbl_driver_check_batch(FblDriver *driver, const FblModule *module) {
    int64_t gpus = driver->passes.gpus, batch = module->recipe.batch, below = batch / gpus * gpus;
    if (batch % gpus == 0) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(driver->ctx, FBL_ERROR, "E0665", FBL_NO_LOC, "a batch of %lld images cannot be divided evenly among %lld GPUs", (long long)batch, (long long)gpus);
    if (below > 0) {
        fbl_diag_hint(driver->ctx, diag, "one of %lld or %lld can (--batch N)", (long long)below, (long long)(below + gpus));
    } else {
        fbl_diag_hint(driver->ctx, diag, "one of %lld can (--batch N)", (long long)gpus);
    }
    return FBL_USER;
}

const char *fbl_driver_identity(const FblDriver *driver) { return driver->cuda ? driver->cuda->identity : fbl_cpu_target_identity(driver->target); }

// Tensor cores round factors to half precision anyway: what only kernels exchange is then stored so too.
static FblDtype storage_of(const FblDriverCuda *cuda) {
    return !cuda ? FBL_F32 : cuda->options.precision == FBL_CUDA_BF16 ? FBL_BF16 : cuda->options.precision == FBL_CUDA_F16 ? FBL_F16 : FBL_F32;
}

FblLowerOptions fbl_driver_lower_options(FblDriver *driver) {
    return (FblLowerOptions){.vector_bytes = fbl_cpu_target_vector_bytes(driver->target),
                             .fuse = driver->passes.fuse,
                             .block_layouts = driver->passes.block_layouts,
                             .conv = bf16_on_cpu(driver) ? "direct" : driver->passes.conv,
                             .channels_last = driver->cuda != NULL,
                             .epilogue_sums = driver->cuda != NULL && driver->passes.epilogue_sums,
                             .storage = storage_of(driver->cuda),
                             .devices = (int32_t)driver->passes.gpus,
                             .with_train = true,
                             .with_eval = true,
                             .with_optimizer = true};
}

// The shared state of the threads that compile a plan's kernels.
typedef struct CompileJob {
    const FblDriver *driver;
    FblPlan *plan;
    const FblHash *keys;
    FblKernelCode *codes;
    bool *fresh; // compiled here
    atomic_size_t next, compiled, cached;
    atomic_int failed; // the kernel that failed plus one
    FblStatus failure; // how
    bool *there; // GPU: what needs no compiling
    size_t *missing, missing_count, unit; // GPU: the others, and how many are compiled together
    char error[1024];  // of that kernel
} CompileJob;

static bool compiled_before(const FblDriver *driver, const FblHash *key) {
    for (size_t i = 0; i < driver->compiled_count; i++) {
        if (memcmp(driver->compiled[i].bytes, key->bytes, sizeof key->bytes) == 0) {
            return true;
        }
    }
    return false;
}

// Notes the first failure of a kernel.
static void note_failure(CompileJob *job, size_t kernel, FblStatus status, const char *error) {
    int none = 0;
    if (atomic_compare_exchange_strong(&job->failed, &none, (int)kernel + 1)) {
        job->failure = status;
        memcpy(job->error, error, sizeof job->error);
    }
}

static bool take_cached(CompileJob *job, size_t i) {
    if (!fbl_cache_get(job->driver->cache, &job->keys[i], &job->codes[i])) {
        return false;
    }
    atomic_fetch_add(compiled_before(job->driver, &job->keys[i]) ? &job->compiled : &job->cached, 1);
    return true;
}

static void keep(CompileJob *job, size_t i) {
    atomic_fetch_add(&job->compiled, 1);
    job->fresh[i] = true;
    fbl_cache_put(job->driver->cache, &job->keys[i], &job->codes[i]);
}

static void compile_some(void *arg, int64_t begin, int64_t end, int thread) {
    (void)begin;
    (void)end;
    (void)thread;
    CompileJob *job = arg;
    for (;;) {
        size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->plan->kernel_count || atomic_load(&job->failed)) {
            return;
        }
        if (take_cached(job, i)) {
            continue;
        }
        char error[1024];
        FblStatus status = fbl_cpu_compile(job->driver->target, job->plan->kernels[i], &job->codes[i], error, sizeof error);
        if (status != FBL_OK) {
            note_failure(job, i, status, error);
            return;
        }
        keep(job, i);
    }
}

// Translation units of a GPU: job->missing in runs of job->unit.
static void compile_units(void *arg, int64_t begin, int64_t end, int thread) {
    (void)begin;
    (void)end;
    (void)thread;
    CompileJob *job = arg;
    for (;;) {
        size_t first = atomic_fetch_add(&job->next, job->unit), count = 0;
        FblKernel *kernels[FBL_CUDA_UNIT];
        FblKernelCode *codes[FBL_CUDA_UNIT];
        for (; count < job->unit && first + count < job->missing_count; count++) {
            kernels[count] = job->plan->kernels[job->missing[first + count]];
            codes[count] = &job->codes[job->missing[first + count]];
        }
        if (count == 0 || atomic_load(&job->failed)) {
            return;
        }
        char error[1024] = "";
        FblStatus status = fbl_driver_cuda_compile(job->driver->cuda, kernels, count, codes, error, sizeof error);
        if (status != FBL_OK) {
            note_failure(job, job->missing[first], status, error);
            return;
        }
        for (size_t k = 0; k < count; k++) {
            keep(job, job->missing[first + k]);
        }
    }
}

// Kernels that are cached, or need no code. On all threads, as images are large and their digests checked.
static void find_cached(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    CompileJob *job = arg;
    for (int64_t i = begin; i < end; i++) {
        bool collective = fbl_kernel_is_collective(job->plan->kernels[i]);
        if (collective) {
            job->codes[i].phases = 1; // of the runtime's
        }
        job->there[i] = collective || take_cached(job, (size_t)i);
    }
}

static void compile_for_gpu(FblDriver *driver, CompileJob *job) {
    job->there = FBL_NEW_ARRAY(fbl_context_arena(driver->ctx), bool, job->plan->kernel_count + 1);
    job->missing = FBL_NEW_ARRAY(fbl_context_arena(driver->ctx), size_t, job->plan->kernel_count + 1);
    fbl_pool_run(driver->pool, find_cached, job, (int64_t)job->plan->kernel_count);
    for (size_t i = 0; i < job->plan->kernel_count; i++) {
        if (!job->there[i]) {
            job->missing[job->missing_count++] = i;
        }
    }
    size_t share = job->missing_count / (2 * (size_t)driver->threads); // enough units for every thread
    job->unit = share < 1 ? 1 : share > FBL_CUDA_UNIT ? FBL_CUDA_UNIT : share;
    fbl_pool_run(driver->pool, compile_units, job, driver->threads);
}

// What determines a kernel's code: the build of the generator, the target, and the kernel without names and places.
static FblHash kernel_key(FblDriver *driver, const FblKernel *kernel) {
    const char *text = fbl_kernel_print(driver->ctx, kernel, false);
    char gpu[FBL_CUDA_TUNE_TEXT + 64];
    if (driver->cuda) {
        fbl_driver_cuda_key(driver->cuda, kernel, gpu);
    }
    const char *all = fbl_arena_printf(fbl_context_arena(driver->ctx), "%s\n%s\n%s", fbl_build_id(driver->ctx),
                                       driver->cuda ? gpu : fbl_driver_identity(driver), text);
    return fbl_hash(all, strlen(all));
}

static FblStatus dump_text(FblDriver *driver, const FblKernel *kernel, const char *suffix, const char *text) {
    const char *folder = fbl_path_join(driver->ctx, driver->passes.dump_dir, "kernels");
    FBL_TRY(fbl_make_dirs(driver->ctx, folder));
    FblSpan span = {text, strlen(text)};
    const char *name = fbl_arena_printf(fbl_context_arena(driver->ctx), "%s.%s", kernel->name, suffix);
    return fbl_write_file_atomic(driver->ctx, fbl_path_join(driver->ctx, folder, name), &span, 1);
}

// --dump-dir: kernels/NAME.kernel, and .ll and .s or .cu.
static FblStatus dump_kernel(FblDriver *driver, const FblKernel *kernel) {
    FBL_TRY(dump_text(driver, kernel, "kernel", fbl_kernel_print(driver->ctx, kernel, true)));
    if (driver->cuda) {
        char *text, error[1024] = "";
        size_t size;
        if (fbl_driver_cuda_emit(driver->cuda, kernel, 'c', &text, &size, error, sizeof error) != FBL_OK) {
            fbl_error(driver->ctx, "E0504", FBL_NO_LOC, "kernel %s: %s", kernel->name, error);
            return FBL_INTERNAL;
        }
        FblStatus status = dump_text(driver, kernel, "cu", text);
        free(text);
        return status;
    }
    for (int assembly = 0; assembly < 2 && kernel->kind != FBL_KERNEL_LIBRARY; assembly++) {
        char *text, error[1024] = "";
        if (fbl_cpu_emit_text(driver->target, kernel, assembly, &text, error, sizeof error) != FBL_OK) {
            fbl_error(driver->ctx, "E0504", FBL_NO_LOC, "kernel %s: %s", kernel->name, error);
            return FBL_INTERNAL;
        }
        FblStatus status = dump_text(driver, kernel, assembly ? "s" : "ll", text);
        free(text);
        FBL_TRY(status);
    }
    return FBL_OK;
}

FblStatus fbl_driver_compile_plan(FblDriver *driver, FblPlan *plan, FblBuilt *out_built) {
    memset(out_built, 0, sizeof *out_built);
    FBL_TRY(fbl_driver_library_open(driver));
    FBL_TRY(fbl_driver_tune(driver, plan));
    double start = now_ms();
    out_built->plan = plan;
    out_built->codes = calloc(plan->kernel_count + 1, sizeof *out_built->codes);
    if (!out_built->codes) {
        fbl_out_of_memory();
    }
    FblHash *keys = FBL_NEW_ARRAY(fbl_context_arena(driver->ctx), FblHash, plan->kernel_count + 1);
    for (size_t i = 0; i < plan->kernel_count; i++) {
        keys[i] = kernel_key(driver, plan->kernels[i]);
    }
    CompileJob job = {.driver = driver, .plan = plan, .keys = keys, .codes = out_built->codes};
    job.fresh = FBL_NEW_ARRAY(fbl_context_arena(driver->ctx), bool, plan->kernel_count + 1);
    if (driver->cuda) {
        compile_for_gpu(driver, &job);
    } else {
        fbl_pool_run(driver->pool, compile_some, &job, driver->threads);
    }
    for (size_t i = 0; i < plan->kernel_count; i++) {
        if (job.fresh[i]) {
            FBL_PUSH(fbl_context_arena(driver->ctx), driver->compiled, driver->compiled_count, driver->compiled_capacity, keys[i]);
        }
    }
    out_built->compiled = atomic_load(&job.compiled);
    out_built->cached = atomic_load(&job.cached);
    malloc_trim(0); // what compiling took goes back to the system before there are tensors
    out_built->milliseconds = now_ms() - start;
    int failed = atomic_load(&job.failed);
    if (failed) {
        const FblKernel *kernel = plan->kernels[failed - 1];
        FblStatus missing = driver->cuda ? fbl_driver_cuda_check(driver->ctx) : FBL_OK;
        if (missing != FBL_OK) {
            fbl_built_deinit(out_built);
            return missing;
        }
        if (job.failure == FBL_UNSUPPORTED) {
            fbl_error(driver->ctx, "E0650", FBL_NO_LOC, "kernel %s (%s): %s", kernel->name, kernel->note ? kernel->note : "no source line", job.error);
            fbl_built_deinit(out_built);
            return FBL_UNSUPPORTED;
        }
        FblDiag *diag = fbl_diag(driver->ctx, FBL_ERROR, "E0504", FBL_NO_LOC, "kernel %s could not be compiled: %s", kernel->name, job.error);
        fbl_diag_hint(driver->ctx, diag, "this is a bug of fblc; the kernel came from %s", kernel->note ? kernel->note : "no source line");
        fbl_built_deinit(out_built);
        return FBL_INTERNAL;
    }
    FblStatus library = fbl_driver_library(driver, plan, out_built->codes);
    if (library != FBL_OK) {
        fbl_built_deinit(out_built);
        return library;
    }
    for (size_t i = 0; *driver->passes.dump_dir && i < plan->kernel_count; i++) {
        FBL_TRY(dump_kernel(driver, plan->kernels[i]));
    }
    return FBL_OK;
}

FblStatus fbl_driver_compile(FblDriver *driver, FblModule *module, const FblLowerOptions *what, FblBuilt *out_built) {
    double start = now_ms();
    FblPlan *plan;
    memset(out_built, 0, sizeof *out_built);
    FBL_TRY(fbl_manager_lower(driver->manager, module, what, &plan));
    double lowered = now_ms() - start;
    FBL_TRY(fbl_driver_compile_plan(driver, plan, out_built));
    out_built->milliseconds += lowered;
    return FBL_OK;
}

FblStatus fbl_driver_load(FblDriver *driver, FblBuilt *built) {
    if (driver->cuda) {
        return FBL_OK;
    }
    double start = now_ms();
    FBL_TRY(fbl_cpu_load(driver->ctx, driver->target, built->plan->kernels, built->codes, built->plan->kernel_count, &built->code));
    built->milliseconds += now_ms() - start;
    return FBL_OK;
}

void fbl_built_deinit(FblBuilt *built) {
    for (size_t i = 0; built->codes && i < built->plan->kernel_count; i++) {
        fbl_kernel_code_free(&built->codes[i]);
    }
    free(built->codes);
    fbl_cpu_unload(built->code);
    memset(built, 0, sizeof *built);
}

FblStatus fbl_driver_device(FblDriver *driver) {
    FblDevice *device;
    return driver->cuda ? fbl_driver_cuda_device(driver->ctx, driver->cuda, &device) : FBL_OK;
}

FblStatus fbl_driver_session(FblDriver *driver, FblKernelCode *out_code) {
    memset(out_code, 0, sizeof *out_code);
    if (!driver->cuda) {
        return FBL_OK;
    }
    const char *all = fbl_arena_printf(fbl_context_arena(driver->ctx), "%s\n%s\nsession", fbl_build_id(driver->ctx), driver->cuda->target);
    FblHash key = fbl_hash(all, strlen(all));
    if (fbl_cache_get(driver->cache, &key, out_code)) {
        return FBL_OK;
    }
    char error[1024] = "";
    if (fbl_driver_cuda_session(driver->cuda, out_code, error, sizeof error) != FBL_OK) {
        FBL_TRY(fbl_driver_cuda_check(driver->ctx));
        fbl_error(driver->ctx, "E0504", FBL_NO_LOC, "the kernels of the session could not be compiled: %s", error);
        return FBL_INTERNAL;
    }
    fbl_cache_put(driver->cache, &key, out_code);
    return FBL_OK;
}

FblStatus fbl_driver_store(FblDriver *driver, const FblBuilt *built, FblStore **out_store) {
    FblDevice *device = NULL;
    if (driver->cuda) {
        FBL_TRY(fbl_driver_cuda_device(driver->ctx, driver->cuda, &device));
    }
    return fbl_store_create_on(driver->ctx, built->plan, device, out_store);
}

FblStatus fbl_driver_exec(FblDriver *driver, const FblBuilt *built, FblStore *store, FblExec **out_exec) {
    FblExecOptions options = {.plan = built->plan, .codes = built->codes, .code = built->code, .store = store, .pool = driver->pool};
    return fbl_exec_create(driver->ctx, &options, out_exec);
}

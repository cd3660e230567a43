#include "cli/tune.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/library.h"
#include "runtime/cuda/cuda_trial.h"
#include "runtime/cuda/library.h"

enum { CANDIDATES = 64 }; // of a problem, at most

typedef struct Problem {
    FblCudaProblem problem;
    const FblKernel *kernel; // the one that stands for all with this problem: the first
    double work;             // multiply-adds of all launches
    size_t number;           // of the kernel in the plan
} Problem;

typedef struct ProblemList {
    Problem *items;
    size_t count, capacity;
} ProblemList;

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_work(const void *a, const void *b) {
    const Problem *x = a, *y = b;
    return x->work != y->work ? (x->work < y->work) - (x->work > y->work) : (x->number > y->number) - (x->number < y->number);
}

static void collect(FblDriver *driver, const FblPlan *plan, ProblemList *out) {
    FblArena *arena = fbl_context_arena(driver->ctx);
    double *work = FBL_NEW_ARRAY(arena, double, plan->kernel_count + 1);
    for (size_t f = 0; f < plan->function_count; f++) {
        for (size_t k = 0; k < plan->functions[f].launch_count; k++) {
            int32_t kernel = plan->functions[f].launches[k].kernel;
            work[kernel] += (double)plan->kernels[kernel]->flops;
        }
    }
    for (size_t k = 0; k < plan->kernel_count; k++) {
        Problem one = {.kernel = plan->kernels[k], .work = work[k], .number = k};
        if (!fbl_cuda_problem(one.kernel, &driver->cuda->options, &one.problem, NULL, 0, NULL) || fbl_cuda_tune_find(&driver->cuda->tune, &one.problem)) {
            continue;
        }
        size_t i = 0;
        while (i < out->count && fbl_cuda_problem_compare(&out->items[i].problem, &one.problem) != 0) {
            i++;
        }
        if (i < out->count) {
            out->items[i].work += one.work;
        } else {
            FBL_PUSH(arena, out->items, out->count, out->capacity, one);
        }
    }
    if (out->count) {
        qsort(out->items, out->count, sizeof *out->items, by_work);
    }
}

// Candidates of one problem, compiled on all threads.
typedef struct Compile {
    FblDriver *driver;
    const Problem *problem;
    const FblCudaChoice *choices;
    FblKernelCode *codes; // without an object where it failed
    size_t count;
    atomic_size_t next;
    char error[1024]; // of the first choice
} Compile;

static void compile_some(void *arg, int64_t begin, int64_t end, int thread) {
    (void)begin;
    (void)end;
    (void)thread;
    Compile *job = arg;
    for (;;) {
        size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->count) {
            return;
        }
        FblCudaTuneRow row = {job->problem->problem, job->choices[i], ""};
        FblCudaTune only = {&row, 1, 1};
        FblDriverCuda with = *job->driver->cuda;
        if (i > 0) { // the first is what the cost model does by itself
            with.options.tune = &only;
        }
        char error[1024] = "";
        FblKernel *kernel = (FblKernel *)job->problem->kernel;
        FblKernelCode *code = &job->codes[i];
        if (fbl_driver_cuda_compile(&with, &kernel, 1, &code, error, sizeof error) != FBL_OK && i == 0) {
            memcpy(job->error, error, sizeof error);
        }
    }
}

// How far two results may be apart: the sum's order differs, and tensor cores cut what does not fit behind the last bit of their
// sums (four or eight products at a time), always towards zero. Random rounding of k additions grows with the root of k, cutting
// with k; inputs are random with mean zero, so results are of the size of the root of k, as the bound assumes.
static double tolerance_of(const FblCudaProblem *problem, const FblContraction *c) {
    double k = c->kind == FBL_MATMUL           ? (double)c->k
               : c->kind == FBL_CONV_FORWARD   ? (double)(c->c / c->groups * c->kh * c->kw)
               : c->kind == FBL_CONV_DATA_GRAD ? (double)(c->o / c->groups * c->kh * c->kw)
                                               : (double)c->n * (double)(c->oh * c->ow);
    return 0x1p-24 * (32 + 8 * sqrt(k) + (problem->precision == FBL_CUDA_F32 ? 0 : k / 4));
}

static FblStatus save(FblDriver *driver) {
    static const char head[] = "# Tiles of contractions, measured by fblc on this machine; codegen/cuda/tune.h explains the lines.\n";
    const char *text = fbl_cuda_tune_print(driver->ctx, &driver->cuda->own, 0, 0, true);
    FblSpan spans[2] = {{head, sizeof head - 1}, {text, strlen(text)}};
    return fbl_write_file_atomic(driver->ctx, driver->passes.tune_file, spans, 2);
}

// A candidate that computes something else.
static void warn_wrong(FblContext *ctx, const Problem *problem, const FblCudaChoice *choice, const FblKernelCode *code, double difference) {
    char problem_text[FBL_CUDA_TUNE_TEXT], choice_text[FBL_CUDA_TUNE_TEXT];
    fbl_cuda_problem_print(&problem->problem, problem_text);
    fbl_cuda_choice_print(choice, choice_text);
    FblDiag *diag = code->library.used ? fbl_diag(ctx, FBL_WARNING, "E0655", FBL_NO_LOC, "%s gives another result than the default for `%s` and is not used", code->library.name, problem_text)
                                       : fbl_diag(ctx, FBL_WARNING, "E0653", FBL_NO_LOC, "the tile `%s` gives another result than the default for `%s` and is not used",
                                                  choice_text, problem_text);
    fbl_diag_hint(ctx, diag, code->library.used ? "the largest difference is %.3g times what rounding explains" : "the largest difference is %.3g times what rounding explains; this is a bug of fblc or a fault of the GPU",
                  difference);
}

static FblStatus judge(FblDriver *driver, const Problem *problem, const FblCudaChoice *choices, const FblKernelCode *codes, const FblCudaTrialResult *results, size_t count,
                       bool *out_faster) {
    FblContext *ctx = driver->ctx;
    FblArena *arena = fbl_context_arena(ctx);
    size_t best = 0, tried = 0;
    for (size_t k = 1; k < count; k++) {
        if (results[k].verdict == FBL_CUDA_TRIAL_WRONG) {
            warn_wrong(ctx, problem, &choices[k], &codes[k], results[k].difference);
        } else if (results[k].verdict == FBL_CUDA_TRIAL_RIGHT) {
            tried++;
            best = best == 0 || results[k].microseconds < results[best].microseconds ? k : best;
        }
    }
    double own = results[0].microseconds, other = best ? results[best].microseconds : own;
    bool faster = best && other < (1 - FBL_TUNE_MARGIN) * own;
    const char *note = faster ? fbl_arena_printf(arena, "%.2f us instead of %.2f, %s", other, own, driver->cuda->device->name)
                       : best ? fbl_arena_printf(arena, "%.2f us, the best of %zu others %.2f, %s", own, tried, other, driver->cuda->device->name)
                              : fbl_arena_printf(arena, "%.2f us, nothing to compare with, %s", own, driver->cuda->device->name);
    FblCudaChoice choice = faster ? choices[best] : (FblCudaChoice){FBL_CUDA_VARIANT_DEFAULT, 0, 0, 0, 0, 0, 0, 0};
    fbl_cuda_tune_set(ctx, &driver->cuda->own, &problem->problem, &choice, note);
    fbl_cuda_tune_set(ctx, &driver->cuda->tune, &problem->problem, &choice, note);
    *out_faster = faster;
    return save(driver);
}

// The libraries as further candidates, where they do such kernels; each has the default's code beside it.
static void add_libraries(const FblDriver *driver, const Problem *problem, FblCudaChoice *choices, FblGpuLibrary *libraries, size_t *count, double *tolerance) {
    static const FblCudaVariant variants[] = {FBL_CUDA_VARIANT_LIBRARY, FBL_CUDA_VARIANT_CUDNN};
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        FblLibraryWork work;
        FblCudaPrecision precision = (FblCudaPrecision)problem->problem.precision;
        FblCudaChoice choice = {.variant = variants[v]};
        FblLibraryKind kind = fbl_cuda_choice_library(&choice);
        if (driver->cuda->libraries[kind] && fbl_library_work(problem->kernel, kind, fbl_cuda_factors(precision), &work) &&
            fbl_library_choose(driver->cuda->device, &work, (int32_t)precision, &libraries[*count])) {
            choices[*count] = choice;
            *tolerance = fmax(*tolerance, fbl_driver_library_tolerance(&work, precision));
            ++*count;
        }
    }
}

// Compiles and times the tiles of one problem. *out_faster: another tile than the default won.
static FblStatus search_one(FblDriver *driver, const Problem *problem, bool *out_faster) {
    FblCudaChoice choices[CANDIDATES + FBL_LIBRARY_COUNT];
    FblKernelCode codes[CANDIDATES + FBL_LIBRARY_COUNT] = {0};
    FblCudaTrialResult results[CANDIDATES + FBL_LIBRARY_COUNT];
    FblGpuLibrary libraries[CANDIDATES + FBL_LIBRARY_COUNT] = {0};
    double tolerance = tolerance_of(&problem->problem, &problem->kernel->contraction), library_tolerance = tolerance;
    FblCudaProblem same;
    int64_t most = driver->passes.tune_tiles;
    size_t count = 0;
    *out_faster = false;
    fbl_cuda_problem(problem->kernel, &driver->cuda->options, &same, choices, most < 2 ? 2 : most > CANDIDATES ? CANDIDATES : (size_t)most, &count);
    add_libraries(driver, problem, choices, libraries, &count, &library_tolerance);
    Compile job = {.driver = driver, .problem = problem, .choices = choices, .codes = codes, .count = count};
    fbl_pool_run(driver->pool, compile_some, &job, driver->threads);
    FblStatus status = FBL_OK;
    if (codes[0].object) { // else compiling the plan says what is wrong
        for (size_t k = 0; k < count; k++) {
            codes[k].library = libraries[k];
        }
        FblCudaTrialOptions options = {driver->cuda->device, problem->kernel, codes, count, tolerance, library_tolerance, 0, true};
        status = fbl_cuda_trial(driver->ctx, &options, results);
        if (status == FBL_OK && results[0].verdict == FBL_CUDA_TRIAL_RIGHT) {
            status = judge(driver, problem, choices, codes, results, count, out_faster);
        }
    }
    for (size_t k = 0; k < count; k++) {
        fbl_kernel_code_free(&codes[k]);
    }
    return status;
}

FblStatus fbl_driver_tune(FblDriver *driver, const FblPlan *plan) {
    if (!driver->cuda || strcmp(driver->passes.tune, "search") != 0) {
        return FBL_OK;
    }
    ProblemList problems = {0};
    collect(driver, plan, &problems);
    if (problems.count == 0) {
        return FBL_OK;
    }
    FblDevice *device;
    FBL_TRY(fbl_driver_cuda_check(driver->ctx));
    FBL_TRY(fbl_driver_cuda_device(driver->ctx, driver->cuda, &device));
    FBL_TRY(fbl_driver_library_open(driver));
    double start = now_seconds();
    driver->cuda->search_start = driver->cuda->search_start > 0 ? driver->cuda->search_start : start;
    size_t done = 0, faster = 0;
    FblStatus status = FBL_OK;
    for (; done < problems.count && status == FBL_OK; done++) {
        bool better = false;
        if (driver->passes.tune_seconds > 0 && now_seconds() - driver->cuda->search_start > (double)driver->passes.tune_seconds) {
            break;
        }
        status = search_one(driver, &problems.items[done], &better);
        faster += better;
    }
    fbl_driver_cuda_name(driver->ctx, driver->cuda);
    if (status == FBL_OK) {
        fprintf(stderr, "tiles of %zu of %zu contractions searched in %.1f s: %zu faster than the default; %s\n", done, problems.count, now_seconds() - start, faster,
                driver->passes.tune_file);
    }
    return status;
}

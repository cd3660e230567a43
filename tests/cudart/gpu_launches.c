// A train step on a GPU, launch by launch: each is given the memory that the ones before left there, and what it stores is compared with
// what it must (tests/cuda/kernel_truth.h). gpu_launches FILE PRECISION BATCH [GEMM]. Products are fblc's own kernels, not a library's; every
// launch runs twice, by itself and as a graph, with the same bits, unless it reads what it writes. Needs no test library, so that it goes to GPU
// machines beside the program. Exit: 0 all right, 1 a wrong launch, 3 no GPU.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/driver.h"
#include "frontend/build.h"
#include "tests/cuda/kernel_truth.h"
#include "tests/cuda/step_case.h"

enum { SEED = 5, STEP = 7 };

// Wider than on the CPU (tests/cuda/test_cuda_step.c), where the arithmetic of bodies is the truth's to the bit: the GPU fuses
// multiplications with additions, so that 1e-7 of a body's value may round a factor to its neighbour: with probability 1e-7 / 2^-11, by
// 2^-11, which is 7e-6 of the norm; of bf16 twice that. A factor that is not rounded is off by 2e-4 and more.
#define ALLOWED_F32 4e-5
#define ALLOWED_HALF 2e-4

typedef struct Step {
    FblDriver driver;
    FblModule *module;
    FblBuilt built;
    FblCudaPrecision precision;
    FblPlan split;                    // each launch a function of its own
    FblDevicePtr regions[FBL_REGION_COUNT];
    FblDeviceExec *exec;
    int checked, wrong;
    double worst[2]; // of contractions, of other kernels
} Step;

static FblStatus prepare(Step *step, const char *path, int64_t batch) {
    FblContext *ctx = step->driver.ctx;
    FblProgram *program;
    FBL_TRY(fbl_program_load(ctx, &(FblProgramOptions){.path = path}, &program));
    FBL_TRY(fbl_program_build(program, &(FblBuildOptions){.batch = batch, .class_extent = 10}, &step->module));
    FBL_TRY(fbl_driver_optimize(&step->driver, step->module));
    FblLowerOptions lower = fbl_driver_lower_options(&step->driver);
    lower.with_train = true;
    FBL_TRY(fbl_driver_compile(&step->driver, step->module, &lower, &step->built));
    FBL_TRY(fbl_driver_device(&step->driver));
    const FblPlan *plan = step->built.plan;
    const FblPlanFunction *train = &plan->functions[0];
    step->split = *plan;
    step->split.function_count = train->launch_count;
    step->split.functions = calloc(train->launch_count + 1, sizeof *step->split.functions);
    if (!step->split.functions) {
        fbl_out_of_memory();
    }
    for (size_t i = 0; i < train->launch_count; i++) {
        step->split.functions[i] = *train;
        step->split.functions[i].launches = &train->launches[i];
        step->split.functions[i].launch_count = 1;
    }
    FblDevice *device = &step->driver.cuda->device->base;
    for (int r = FBL_REGION_PARAMS; r <= FBL_REGION_STATES; r++) {
        FBL_TRY(device->ops->allocate(ctx, device, plan->region_bytes[r], "the step", &step->regions[r]));
    }
    return device->ops->exec_create(ctx, device, &(FblDeviceExecOptions){&step->split, step->built.codes, step->regions}, &step->exec);
}

// The leaves' values, from the host to where the plan has them.
static FblStatus fill(Step *step) {
    FblContext *ctx = step->driver.ctx;
    FblDevice *device = &step->driver.cuda->device->base;
    const FblPlan *plan = step->built.plan;
    FblBindings leaves = {0};
    uint8_t *regions[FBL_REGION_COUNT] = {NULL};
    step_case_fill(step->module, &leaves);
    for (int r = 0; r < FBL_REGION_COUNT; r++) {
        regions[r] = calloc((size_t)plan->region_bytes[r] + 64, 1);
        if (!regions[r]) {
            fbl_out_of_memory();
        }
    }
    for (size_t i = 0; i < plan->param_count; i++) {
        step_case_place(regions, &plan->params[i], &leaves);
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        step_case_place(regions, &plan->states[i], &leaves);
    }
    for (size_t i = 0; i < plan->functions[0].input_count; i++) {
        step_case_place(regions, &plan->functions[0].inputs[i], &leaves);
    }
    FblStatus status = FBL_OK;
    for (int r = FBL_REGION_PARAMS; r <= FBL_REGION_STATES && status == FBL_OK; r++) {
        status = device->ops->upload(ctx, device, step->regions[r], regions[r], plan->region_bytes[r]);
    }
    device->ops->exec_write(step->exec, 0, regions[FBL_REGION_INPUTS], plan->region_bytes[FBL_REGION_INPUTS]);
    for (int r = 0; r < FBL_REGION_COUNT; r++) {
        free(regions[r]);
    }
    fbl_bindings_free(&leaves);
    return status;
}

static size_t bytes_of(const FblKernelBuffer *buffer) {
    size_t bytes = (size_t)fbl_dtype_bytes(buffer->dtype);
    for (int32_t d = 0; d < buffer->rank; d++) {
        bytes *= (size_t)buffer->extents[d];
    }
    return bytes;
}

// All buffers of a launch as the GPU has them.
static FblStatus download(Step *step, const FblLaunch *launch, void **buffers) {
    FblDevice *device = &step->driver.cuda->device->base;
    const FblKernel *kernel = step->built.plan->kernels[launch->kernel];
    for (int32_t b = 0; b < kernel->buffer_count; b++) {
        const FblPlanBinding *at = &launch->bindings[b];
        bool own = at->region >= FBL_REGION_PARAMS && at->region <= FBL_REGION_STATES;
        FblDevicePtr base = own ? step->regions[at->region] : device->ops->exec_region(step->exec, at->region);
        FBL_TRY(device->ops->download(step->driver.ctx, device, buffers[b], base + (FblDevicePtr)at->offset, (int64_t)bytes_of(&kernel->buffers[b])));
    }
    return FBL_OK;
}

static FblStatus call(Step *step, size_t number, const FblLaunch *launch, void **buffers) {
    const FblDeviceOps *ops = step->driver.cuda->device->base.ops;
    ops->exec_call(step->exec, (int)number, SEED, STEP, NULL);
    FBL_TRY(ops->exec_wait(step->driver.ctx, step->exec));
    return download(step, launch, buffers);
}

static FblStatus check_launch(Step *step, size_t number) {
    const FblLaunch *launch = &step->built.plan->functions[0].launches[number];
    const FblKernel *kernel = step->built.plan->kernels[launch->kernel];
    size_t count = (size_t)kernel->buffer_count;
    void **buffers = calloc(2 * count + 1, sizeof *buffers);
    double **want = calloc(count + 1, sizeof *want);
    bool in_place = false, right = true;
    if (!buffers || !want) {
        fbl_out_of_memory();
    }
    for (size_t b = 0; b < count; b++) {
        in_place = in_place || kernel->buffers[b].alias >= 0;
        for (size_t twice = 0; twice < 2; twice++) {
            if (!(buffers[twice * count + b] = malloc(bytes_of(&kernel->buffers[b]) + 1))) {
                fbl_out_of_memory();
            }
        }
    }
    FblStatus status = number == 0 ? FBL_OK : download(step, launch, buffers);
    if (number == 0) { // the inputs are on their way: they come with the first call
        status = call(step, number, launch, buffers);
    }
    bool known = status == FBL_OK && kernel_truth(kernel, buffers, step->precision, SEED, STEP, want);
    status = status == FBL_OK ? call(step, number, launch, buffers) : status;
    if (status == FBL_OK && !in_place) {
        status = call(step, number, launch, buffers + count);
    }
    for (size_t b = 0; b < count && status == FBL_OK; b++) {
        if (known && want[b]) {
            right = kernel_truth_check(kernel, (int32_t)b, buffers[b], want[b], ALLOWED_F32, ALLOWED_HALF, &step->worst[kernel->kind != FBL_KERNEL_CONTRACTION]) && right;
        }
        if (!in_place && memcmp(buffers[b], buffers[count + b], bytes_of(&kernel->buffers[b])) != 0) {
            fprintf(stderr, "kernel %s leaves other bits in buffer %zu when it runs again\n", kernel->name, b);
            right = false;
        }
    }
    step->checked += known;
    step->wrong += !right;
    for (size_t b = 0; b < count; b++) {
        free(buffers[b]);
        free(buffers[count + b]);
        free(want[b]);
    }
    free(buffers);
    free(want);
    return status;
}

static FblStatus run(Step *step, char **argv) {
    FBL_TRY(prepare(step, argv[1], atoi(argv[3])));
    FBL_TRY(fill(step));
    for (size_t i = 0; i < step->split.function_count; i++) {
        FBL_TRY(check_launch(step, i));
    }
    return FBL_OK;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: gpu_launches FILE PRECISION BATCH [GEMM]\n");
        return 2;
    }
    FblContext *ctx = fbl_context_create();
    FblPassOptions passes = fbl_options_default();
    passes.target = "cuda";
    passes.precision = argv[2];
    passes.library_gemm = passes.library_conv = "off";
    passes.gemm = argc == 5 ? argv[4] : passes.gemm;
    Step step = {0};
    for (int i = 0; i < 4; i++) {
        step.precision = strcmp(argv[2], names[i]) == 0 ? (FblCudaPrecision)i : step.precision;
    }
    FblStatus status = fbl_driver_init(&step.driver, ctx, &passes, 1);
    if (status == FBL_OK) {
        status = run(&step, argv);
        FblDevice *device = step.driver.cuda->device ? &step.driver.cuda->device->base : NULL;
        if (step.exec) {
            device->ops->exec_destroy(step.exec);
        }
        for (int r = FBL_REGION_PARAMS; device && r <= FBL_REGION_STATES; r++) {
            device->ops->release(device, step.regions[r]);
        }
        printf("%d of %zu launches checked, %d wrong; worst distance: contractions %.3g, others %.3g\n", step.checked, step.split.function_count, step.wrong, step.worst[0], step.worst[1]);
        fbl_built_deinit(&step.built);
        free(step.split.functions);
        fbl_driver_deinit(&step.driver);
    }
    fbl_diag_flush(ctx, stderr, false);
    fbl_context_destroy(ctx);
    return status != FBL_OK ? fbl_status_exit_code(status) : step.wrong > 0 || step.checked == 0;
}

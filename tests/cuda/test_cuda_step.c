// A whole train step of a program as generated CUDA C, run on the CPU: every launch against what it must make of the memory that it
// reads (kernel_truth.h), tightly; the outputs, every gradient and every new state of the whole against the double-precision
// interpreter; then the optimizer against its formula; and the same bits with the threads shuffled.
// test_cuda_step FILE PRECISION BATCH [wgmma|tma]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_run.h"
#include "frontend/build.h"
#include "ir/interp.h"
#include "kernel_truth.h"
#include "passes/lower.h"
#include "passes/manager.h"
#include "step_case.h"

#define SEED 5
#define STEP 7

_Noreturn static void give_up(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static void check(FblContext *ctx, FblStatus status) {
    fbl_diag_flush(ctx, stderr, false);
    if (status != FBL_OK) {
        give_up("failed", fbl_status_name(status));
    }
}

static void load(const FblPlan *plan, FblBindings *leaves, uint8_t *regions[FBL_REGION_COUNT]) {
    cuda_run_regions(plan, regions);
    for (size_t i = 0; i < plan->param_count; i++) {
        step_case_place(regions, &plan->params[i], leaves);
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        step_case_place(regions, &plan->states[i], leaves);
    }
    for (size_t i = 0; i < plan->functions[0].input_count; i++) {
        step_case_place(regions, &plan->functions[0].inputs[i], leaves);
    }
}

// Distance relative to the wanted tensor, in the Euclidean norm.
static double distance(const float *got, const FblTensor *want) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < fbl_type_elements(&want->type); i++) {
        difference += (got[i] - want->data[i]) * (got[i] - want->data[i]);
        norm += want->data[i] * want->data[i];
    }
    return sqrt(difference) / (sqrt(norm) + 1e-12);
}

static int compare(const char *kind, const char *name, const float *got, const FblTensor *want, double allowed, double *worst) {
    double d = distance(got, want);
    *worst = d > *worst ? d : *worst;
    if (!(d <= allowed)) {
        fprintf(stderr, "%s %s differs from the interpreter's by %.3g of its norm, allowed is %.3g\n", kind, name, d, allowed);
        return 1;
    }
    return 0;
}

// What launches store against what they must, worst distance of a buffer relative to its norm, by what the kernel is.
typedef struct Launches {
    double contraction, other;
    size_t checked;
} Launches;

// Relative to the norm of what a launch must store. Sums of some thousand f32 products in another order than the truth's, which are in
// double: a few 1e-7. A half that is stored rounds to its neighbour where the sum before it was off: with probability 1e-6 / 2^-8 and
// then by 2^-8, which is 6e-5 of the norm. Factors that are cut off instead of rounded move sums by 9e-4 (tf32, f16), and tf32 ties that
// go to even by 1.5e-5.
#define ALLOWED_F32 2e-6
#define ALLOWED_HALF 1e-4

// As cuda_run_function of function 0, with every launch checked.
static int run_checked(const CudaRun *run, const FblPlan *plan, uint8_t *const regions[FBL_REGION_COUNT], FblCudaPrecision precision, Launches *launches) {
    const FblPlanFunction *f = &plan->functions[0];
    int failed = 0;
    for (size_t i = 0; i < f->launch_count; i++) {
        const FblKernel *kernel = plan->kernels[f->launches[i].kernel];
        double *worst = kernel->kind == FBL_KERNEL_CONTRACTION ? &launches->contraction : &launches->other, *want[64] = {NULL};
        void *buffers[64];
        if (kernel->buffer_count > 64) {
            give_up(kernel->name, "more buffers than the test takes");
        }
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            buffers[b] = regions[f->launches[i].bindings[b].region] + f->launches[i].bindings[b].offset;
        }
        bool known = kernel_truth(kernel, buffers, precision, SEED, STEP, want);
        cuda_run_kernel(run, kernel, buffers, SEED, STEP, 0);
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            failed |= known && want[b] && !kernel_truth_check(kernel, b, buffers[b], want[b], ALLOWED_F32, ALLOWED_HALF, worst);
            free(want[b]);
        }
        launches->checked += known;
    }
    return failed;
}

// sgd with momentum as in docs: v = momentum v + g + decay w; w = w - rate v, from v = 0.
static int check_optimizer(const CudaRun *run, const FblPlan *plan, size_t function, uint8_t *regions[FBL_REGION_COUNT]) {
    const FblPlanFunction *f = &plan->functions[function];
    double rate = 0.05, decay = 0.0002, momentum = 0.9;
    int64_t count = plan->region_bytes[FBL_REGION_PARAMS] / 4;
    for (size_t i = 0; i < f->input_count; i++) {
        double value = strncmp(f->inputs[i].name, "rate", 4) == 0 ? rate : strncmp(f->inputs[i].name, "weight_decay", 12) == 0 ? decay : momentum;
        *(float *)(regions[f->inputs[i].region] + f->inputs[i].offset) = (float)value;
    }
    float *w = (float *)regions[FBL_REGION_PARAMS], *g = (float *)regions[FBL_REGION_GRADS], *before = malloc((size_t)count * 4 + 4);
    if (!before) {
        give_up("out of memory", "parameters");
    }
    memcpy(before, w, (size_t)count * 4);
    memset(regions[FBL_REGION_SLOTS], 0, (size_t)plan->region_bytes[FBL_REGION_SLOTS]);
    cuda_run_function(run, plan, function, regions, SEED, STEP, 3);
    int wrong = 0, moved = 0;
    for (int64_t i = 0; i < count && wrong < 5; i++) {
        double want = before[i] - rate * (g[i] + decay * before[i]);
        if (!(fabs(w[i] - want) <= 4e-7 * (fabs(want) + rate * fabs((double)g[i])))) { // a few roundings
            fprintf(stderr, "parameter %lld moved to %.9g instead of %.9g\n", (long long)i, w[i], want);
            wrong++;
        }
        moved += w[i] != before[i];
    }
    free(before);
    return wrong > 0 || moved == 0;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    // Of the whole step, relative to a tensor's norm. f32: some tens of roundings in a row. Factors of 11 bits (8 for bf16): outputs and running
    // statistics are off by one such rounding or less. Gradients are off by more, whatever the arithmetic: a rounding of
    // relative size r switches the fraction r or so of the ReLUs, the ones near zero, and each switches its gradient whole;
    // over L = 20 layers that is about sqrt(L r) of the norm, 0.14 for r = 1e-3. With bf16 and f16 activations are stored so as
    // well, which rounds every layer once more. An interpreter that rounds the same factors would come no nearer: a sum that is off by
    // 1e-7 rounds some factors to the other neighbour, and after a few layers all roundings differ. That launches round as they must is
    // what run_checked sees; here it is whether they are put together rightly.
    static const double allowed[] = {2e-5, 2.5e-1, 6e-1, 2.5e-1};
    static const double allowed_forward[] = {2e-6, 1e-3, 8e-3, 1e-3};
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: test_cuda_step FILE PRECISION BATCH [wgmma|tma]\n");
        return 2;
    }
    if (!cuda_run_possible()) {
        printf("skipped: no C++ compiler\n");
        return 77;
    }
    FblCudaOptions target = {.arch = argc == 5 ? 90 : 80, .gemm = argc < 5 ? FBL_CUDA_GEMM_AUTO : strcmp(argv[4], "tma") == 0 ? FBL_CUDA_GEMM_TMA : FBL_CUDA_GEMM_WGMMA};
    for (int i = 0; i < 4; i++) {
        target.precision = strcmp(argv[2], names[i]) == 0 ? (FblCudaPrecision)i : target.precision;
    }
    FblContext *ctx = fbl_context_create();
    FblProgram *program;
    FblModule *module;
    FblPlan *plan;
    FblPassOptions passes = fbl_options_default();
    passes.target = "cuda:sm_80"; // f16 scales the loss; gradients come out unscaled
    passes.precision = argv[2];
    FblLowerOptions options = {.vector_bytes = 32, .fuse = true, .block_layouts = true, .channels_last = true, .epilogue_sums = true, .with_train = true, .with_optimizer = true,
                               .storage = target.precision == FBL_CUDA_BF16 ? FBL_BF16 : target.precision == FBL_CUDA_F16 ? FBL_F16 : FBL_F32};
    FblBuildOptions build = {.batch = atoi(argv[3]), .class_extent = 10};
    check(ctx, fbl_program_load(ctx, &(FblProgramOptions){.path = argv[1]}, &program));
    check(ctx, fbl_program_build(program, &build, &module));
    check(ctx, fbl_passes_run(module, &passes));
    check(ctx, fbl_lower_module(module, &options, &plan));
    CudaRun run;
    cuda_run_init(&run, &target);
    cuda_run_add(&run, plan);
    cuda_run_build(&run);

    FblBindings leaves = {0}, results = {0};
    step_case_fill(module, &leaves);
    check(ctx, fbl_interp_run(module->train, &leaves, &(FblInterpOptions){.seed = SEED, .step = STEP}, &results));
    uint8_t *regions[FBL_REGION_COUNT], *shuffled[FBL_REGION_COUNT];
    load(plan, &leaves, regions);
    load(plan, &leaves, shuffled);
    Launches launches = {0};
    int failed = run_checked(&run, plan, regions, target.precision, &launches);
    cuda_run_function(&run, plan, 0, shuffled, SEED, STEP, 99);
    printf("%zu of %zu launches checked; worst distance: contractions %.3g, others %.3g\n", launches.checked, plan->functions[0].launch_count, launches.contraction, launches.other);
    failed |= 2 * launches.checked < plan->functions[0].launch_count;
    for (int r = FBL_REGION_GRADS; r < FBL_REGION_COUNT; r++) {
        if (memcmp(regions[r], shuffled[r], (size_t)plan->region_bytes[r]) != 0) {
            fprintf(stderr, "another order of the threads gives another result (region %d): a race\n", r);
            failed = 1;
        }
    }
    double worst[3] = {0, 0, 0};
    size_t count = 0;
    for (size_t i = 0; i < results.count; i++) {
        const FblBinding *want = &results.items[i];
        for (size_t k = 0; k < plan->param_count; k++) {
            if (strncmp(want->name, "grad.", 5) == 0 && strcmp(want->name + 5, plan->params[k].name) == 0) {
                const float *got = (const float *)(regions[FBL_REGION_GRADS] + plan->params[k].offset);
                failed |= compare("the gradient of", want->name + 5, got, &want->tensor, allowed[target.precision], &worst[0]);
                count++;
            }
        }
        for (size_t k = 0; k < plan->state_count; k++) {
            if (want->name == plan->states[k].name && plan->states[k].type.dtype == FBL_F32) {
                const float *got = (const float *)(regions[FBL_REGION_STATES] + plan->states[k].offset);
                failed |= compare("the state", want->name, got, &want->tensor, allowed_forward[target.precision], &worst[1]);
                count++;
            }
        }
        for (size_t k = 0; k < plan->functions[0].output_count; k++) {
            const FblPlanTensor *output = &plan->functions[0].outputs[k];
            if (want->name == output->name && output->type.dtype == FBL_F32) {
                failed |= compare("the output", want->name, (const float *)(regions[output->region] + output->offset), &want->tensor,
                                  allowed_forward[target.precision], &worst[2]);
                count++;
            }
        }
    }
    printf("%zu tensors; worst distance: gradients %.3g, states %.3g, outputs %.3g\n", count, worst[0], worst[1], worst[2]);
    failed |= count < plan->param_count + 1;
    failed |= check_optimizer(&run, plan, 1, regions);
    for (int r = 0; r < FBL_REGION_COUNT; r++) {
        free(regions[r]);
        free(shuffled[r]);
    }
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&results);
    cuda_run_free(&run);
    fbl_context_destroy(ctx);
    return failed;
}

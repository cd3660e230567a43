#include "runtime/exec_steps.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/integer.h"

#define ALIGNMENT 64
// So many shares a thread that an uneven division hardly matters.
#define MANY_SHARES 8

typedef struct Build {
    const FblPlan *plan;
    const FblPlanFunction *function;
    const FblKernelCode *codes;
    const FblCpuModule *code;
    int threads;
    FblSteps *steps;
} Build;

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) {
        fbl_out_of_memory();
    }
    return memory;
}

static const FblKernel *kernel_of(const Build *b, size_t launch) { return b->plan->kernels[b->function->launches[launch].kernel]; }

static const FblKernelCode *code_of(const Build *b, size_t launch) { return &b->codes[b->function->launches[launch].kernel]; }

static FblStep *new_step(Build *b, size_t parts, bool shares) {
    FblStep *step = &b->steps->items[b->steps->count++];
    *step = (FblStep){.parts = zeroed(parts, sizeof *step->parts), .shares = shares, .pieces = 1};
    return step;
}

static void add_part(Build *b, FblStep *step, size_t launch, int32_t phase, int64_t items, int64_t pieces) {
    FblKernelFn fn = fbl_cpu_entry(b->code, (size_t)b->function->launches[launch].kernel, phase);
    step->parts[step->part_count++] = (FblStepPart){(int32_t)launch, fn, items, pieces};
    step->items += step->shares ? 0 : items;
}

static bool is_weight_grad(const FblKernel *kernel) {
    return kernel->kind == FBL_KERNEL_CONTRACTION && kernel->contraction.kind == FBL_CONV_WEIGHT_GRAD;
}

// The phase of a launch that walks the images.
static int32_t image_phase(const Build *b, size_t launch) { return is_weight_grad(kernel_of(b, launch)) ? 0 : code_of(b, launch)->phases - 1; }

// The greatest number of equal shares into which the images of all launches of [first, end) divide, weight gradients being
// left out when `fine`; 0 when a launch does not divide.
static int64_t division_of(const Build *b, size_t first, size_t end, bool fine) {
    int64_t shares = 0;
    for (size_t k = first; k < end; k++) {
        const FblKernel *kernel = kernel_of(b, k);
        const FblKernelCode *code = code_of(b, k);
        int64_t groups = kernel->kind == FBL_KERNEL_LOOPS ? fbl_kernel_images(kernel) : code->image_groups;
        if (groups < 1 || code->phases > 2 || code->items[image_phase(b, k)] % groups != 0) {
            return 0;
        }
        shares = fine && is_weight_grad(kernel) ? shares : fbl_gcd(groups, shares);
    }
    return shares;
}

// Shares of a chain; 0 when it can't be divided, or not so that all threads have something to do.
static int64_t shares_of(const Build *b, size_t first, size_t end) {
    int64_t shares = division_of(b, first, end, false);
    return shares % b->threads == 0 || shares >= (int64_t)MANY_SHARES * b->threads ? shares : 0;
}

static void add_shares(Build *b, size_t first, size_t end, int64_t shares) {
    FblStep *step = new_step(b, end - first, true);
    int64_t fine = division_of(b, first, end, true);
    step->items = shares;
    step->pieces = fine > 0 ? fine / shares : 1;
    for (int coarse = 0; coarse < 2; coarse++) {
        for (size_t k = first; k < end; k++) {
            int64_t pieces = coarse ? 1 : step->pieces;
            if (is_weight_grad(kernel_of(b, k)) == coarse) {
                add_part(b, step, k, image_phase(b, k), code_of(b, k)->items[image_phase(b, k)] / shares / pieces, pieces);
            }
        }
    }
}

static void add_chain(Build *b, size_t first, size_t end, int64_t shares) {
    size_t before = 0, after = 0;
    for (size_t k = first; k < end; k++) {
        before += code_of(b, k)->phases > 1 && image_phase(b, k) == 1;
        after += code_of(b, k)->phases > 1 && image_phase(b, k) == 0;
    }
    FblStep *step = before ? new_step(b, before, false) : NULL;
    for (size_t k = first; k < end && step; k++) {
        if (image_phase(b, k) == 1) {
            add_part(b, step, k, 0, code_of(b, k)->items[0], 1);
        }
    }
    add_shares(b, first, end, shares);
    step = after ? new_step(b, after, false) : NULL;
    for (size_t k = first; k < end && step; k++) {
        if (code_of(b, k)->phases > 1 && image_phase(b, k) == 0) {
            add_part(b, step, k, 1, code_of(b, k)->items[1], 1);
        }
    }
}

void fbl_steps_build(const FblPlan *plan, const FblPlanFunction *function, const FblKernelCode *codes, const FblCpuModule *code, int threads, FblSteps *out_steps) {
    Build b = {plan, function, codes, code, threads, out_steps};
    *out_steps = (FblSteps){.items = zeroed(FBL_KERNEL_MAX_PHASES * function->launch_count + 1, sizeof *out_steps->items),
                            .workspace = zeroed(function->launch_count + 1, sizeof *out_steps->workspace)};
    size_t end;
    for (size_t first = 0; first < function->launch_count; first = end) {
        int32_t chain = function->launches[first].chain;
        for (end = first + 1; end < function->launch_count && chain > 0 && function->launches[end].chain == chain; end++) {
        }
        int64_t shares = chain > 0 ? shares_of(&b, first, end) : 0;
        if (shares > 0) {
            add_chain(&b, first, end, shares);
        }
        int64_t at = 0;
        for (size_t k = first; k < end; k++) {
            const FblKernelCode *own = code_of(&b, k);
            for (int32_t phase = 0; shares == 0 && phase < own->phases; phase++) {
                add_part(&b, new_step(&b, 1, false), k, phase, own->items[phase], 1);
            }
            out_steps->workspace[k] = shares > 0 ? at : 0;
            int64_t past = out_steps->workspace[k] + (own->workspace_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            at = shares > 0 ? past : 0;
            out_steps->workspace_bytes = past > out_steps->workspace_bytes ? past : out_steps->workspace_bytes;
        }
    }
}

void fbl_steps_free(FblSteps *steps) {
    for (size_t i = 0; i < steps->count; i++) {
        free(steps->items[i].parts);
    }
    free(steps->items);
    free(steps->workspace);
}

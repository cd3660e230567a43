// How an executor runs the launches of a function: a list of steps, each between two barriers of the pool.
//
// A launch alone gives one step a phase. A chain (FblLaunch.chain) gives up to three: what its kernels do before they look
// at images (packing weights), then share after share of the images through all its kernels in order, then what they do
// with all images (adding up a weight gradient). Which items run is the same either way, so results are too.
// Ownership: a list owns its memory, borrows plan, codes and code. Threads: read-only after building. Private to exec.c.
#ifndef FBL_RUNTIME_EXEC_STEPS_H
#define FBL_RUNTIME_EXEC_STEPS_H

#include "codegen/target.h"
#include "ir/plan.h"

typedef struct FblStepPart {
    int32_t launch; // index in the function
    FblKernelFn fn;
    int64_t items; // of one piece of a share, or of the whole phase
    int64_t pieces; // of a share: 1, or the step's
} FblStepPart;

typedef struct FblStep {
    FblStepPart *parts;
    int32_t part_count;
    // An item of the step is a share of the images, which every part does in order; else the parts' items follow one another.
    // Weight gradients divide more coarsely than the rest (each share has sums of its own) and nothing in the chain waits for
    // them: the other parts run `pieces` times a share, for a piece of it, then the weight gradients for all of it.
    bool shares;
    int64_t pieces;
    int64_t items; // shares, or the sum of the parts' items
} FblStep;

typedef struct FblSteps {
    FblStep *items;
    size_t count;
    int64_t *workspace; // per launch: offset of its workspace
    int64_t workspace_bytes;
} FblSteps;

void fbl_steps_build(const FblPlan *plan, const FblPlanFunction *function, const FblKernelCode *codes, const FblCpuModule *code, int threads, FblSteps *out_steps);
void fbl_steps_free(FblSteps *steps);

#endif

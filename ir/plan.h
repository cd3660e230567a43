// Level 3, the plan: ordered launches over memory regions with fixed offsets.
//
// Ownership: in the context's arena. Threads: read-only after building.
#ifndef FBL_IR_PLAN_H
#define FBL_IR_PLAN_H

#include "ir/kernel.h"
#include "ir/module.h"

// Memory regions. The runtime allocates each once (64-byte aligned) for all functions of a program.
//   ARENA   temporaries of one function call; contents undefined between calls (each function has its own layout of it)
//   PARAMS  parameters, f32, in files' row-major order, each at FblPlanTensor.offset (64-byte aligned, gaps zero): flat
//   GRADS   gradients of the trained parameters, which come first, at the same offsets
//   SLOTS   optimizer slots: slot_count copies of the shape of GRADS, one after another
//   STATES  running statistics and other state
//   INPUTS  what the runtime fills before a call: image, label, hoisted data, scalars
//   OUTPUTS what it reads after a call: loss, score, feature
typedef enum FblRegion { FBL_REGION_ARENA, FBL_REGION_PARAMS, FBL_REGION_GRADS, FBL_REGION_SLOTS, FBL_REGION_STATES, FBL_REGION_INPUTS, FBL_REGION_OUTPUTS, FBL_REGION_COUNT } FblRegion;

// A named tensor in a region: row-major in the axis order of its type.
typedef struct FblPlanTensor {
    FblName name;
    FblType type;
    FblRegion region;
    int64_t offset; // bytes
    bool divided;   // of an input: each device reads only its share of the first axis (passes/shard.h)
} FblPlanTensor;

typedef struct FblPlanBinding {
    FblRegion region;
    int64_t offset;
} FblPlanBinding;

typedef struct FblLaunch {
    int32_t kernel; // index into FblPlan.kernels
    FblPlanBinding *bindings; // one per kernel buffer
    FblLoc loc;
    const char *note; // as FblKernel.note, of this launch
    // 0, or the number of a chain: consecutive launches with equally many images (fbl_kernel_images) that meet only in
    // buffers divided by image, at the same place. They may run one after another for a share of the images at a time,
    // which keeps that share in a core's cache, or one after another as a whole.
    int32_t chain;
} FblLaunch;

// One callable function: "train", "eval", "optimizer".
typedef struct FblPlanFunction {
    FblName name;
    FblLaunch *launches;
    size_t launch_count;
    FblPlanTensor *inputs; // region INPUTS
    size_t input_count;
    FblPlanTensor *outputs; // region OUTPUTS
    size_t output_count;
    int64_t arena_bytes;       // what this function needs
    int64_t lower_bound_bytes; // its largest live set
} FblPlanFunction;

typedef struct FblPlan {
    FblKernel **kernels; // distinct by identity
    size_t kernel_count;
    FblPlanFunction *functions;
    size_t function_count;
    FblPlanTensor *params; // region PARAMS; the trainable ones of one optimizer group are contiguous
    size_t param_count;
    FblPlanTensor *states; // region STATES
    size_t state_count;
    int64_t region_bytes[FBL_REGION_COUNT];
    int64_t vector_bytes; // that layouts were chosen for
} FblPlan;

// On how many devices at once the plan runs: as its collectives say.
int64_t fbl_plan_devices(const FblPlan *plan);

const char *fbl_plan_print(FblContext *ctx, const FblPlan *plan); // includes its kernels
FblStatus fbl_plan_read(FblContext *ctx, uint32_t file, FblPlan **out_plan);
// Kernels verify; bindings lie inside their regions and match buffer sizes; no two live temporaries overlap; inputs
// are defined before use. A failure is FBL_INTERNAL with a diagnostic.
FblStatus fbl_plan_verify(FblContext *ctx, const FblPlan *plan);

#endif

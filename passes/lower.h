// From a differentiated, hoisted module to a plan: layouts, fusion, kernels, schedule, memory.
//
// Ownership: the plan lives in the module's context. Threads: as the context.
#ifndef FBL_PASSES_LOWER_H
#define FBL_PASSES_LOWER_H

#include "ir/plan.h"

typedef struct FblLowerOptions {
    int32_t vector_bytes; // of the target: 64, 32 or 16
    bool fuse;            // false: one kernel a node (for tests that isolate ops)
    bool block_layouts;   // false: every tensor row-major in its type's axis order
    bool with_train, with_eval, with_optimizer;
} FblLowerOptions;

FblStatus fbl_lower_module(FblModule *module, const FblLowerOptions *options, FblPlan **out_plan);

// Lowers one graph alone to a one-function plan (tests): parameters and states become INPUTS, all roots become OUTPUTS
// ("grad.NAME" for GRAD roots, the name for others).
FblStatus fbl_lower_graph(const FblGraph *graph, const FblLowerOptions *options, FblPlan **out_plan);

#endif

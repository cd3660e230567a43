// From a differentiated, hoisted module to a plan: layouts, fusion, kernels, schedule, memory.
//
// Ownership: the plan lives in the module's context. Threads: as the context.
#ifndef FBL_PASSES_LOWER_H
#define FBL_PASSES_LOWER_H

#include "ir/plan.h"

// Why a value goes through memory instead of being computed where it is used; for `fblc explain`.
typedef struct FblFuseNote {
    FblName function;          // "train", ...
    const char *producer;      // "conv2d at resnet_cifar.fbl:12"
    const char *consumer;
    const char *reason;
    int64_t bytes;             // of the value
} FblFuseNote;

typedef struct FblLowerReport {
    FblFuseNote *notes;
    size_t note_count, note_capacity;
} FblLowerReport;

typedef struct FblLowerOptions {
    int32_t vector_bytes; // of the target: 64, 32 or 16
    bool fuse;            // false: one kernel a node (for tests that isolate ops)
    bool block_layouts;   // false: every tensor row-major in its type's axis order
    const char *conv;     // how convolutions are computed, see passes/algorithm.h; NULL: auto
    bool channels_last;   // images as batch, height, width, channel instead of in blocks of channels (CUDA)
    bool epilogue_sums;   // sums over the pixels of a convolution's result begin in its kernel (CUDA)
    // How activations and their gradients lie in memory: FBL_BF16 or FBL_F16, else f32 (passes/storage.c says which these
    // are). Everything that is computed with stays f32.
    FblDtype storage;
    int32_t devices;      // that share a step's batch (passes/shard.h); 0 and 1: one
    bool with_train, with_eval, with_optimizer;
    FblLowerReport *report; // NULL, or where fusion notes are added
} FblLowerOptions;

FblStatus fbl_lower_module(FblModule *module, const FblLowerOptions *options, FblPlan **out_plan);

// Lowers one graph alone to a one-function plan (tests): parameters and states become INPUTS, all roots become OUTPUTS
// ("grad.NAME" for GRAD roots, the name for others).
FblStatus fbl_lower_graph(const FblGraph *graph, const FblLowerOptions *options, FblPlan **out_plan);

#endif

// Reverse-mode differentiation of the train graph. The backward pass is ordinary graph nodes behind the forward ones.
//
// Ownership: graphs live in the context's arena. Threads: as the context.
#ifndef FBL_PASSES_GRAD_H
#define FBL_PASSES_GRAD_H

#include "ir/module.h"

typedef struct FblGradOptions {
    // Also differentiate with respect to every f32 INPUT other than class counts, trainer scalars and hyper-parameters;
    // what is not reached then gets a gradient of zeros instead of none.
    bool wrt_inputs;
    bool scale_loss; // passes/loss_scale.h; only where the module has an optimizer
} FblGradOptions;

// Replaces module->train by a copy (same node ids) with gradient nodes appended, and adds a GRAD root of the leaf's own
// type for every trainable parameter (and input, see the options) that OUTPUT "loss" depends on differentiably.
// Gradient nodes have the place and path of the forward node that they belong to, and its id as origin. FBL_USER with
// E0301 when no wanted leaf is reached (the diagnostic shows where each path ends), E0302 when a derivative cannot be
// formed, E0303 when the loss is missing or no f32 scalar. A module without a train graph is left alone.
FblStatus fbl_pass_grad(FblModule *module, const FblGradOptions *options);

// Whether fbl_pass_grad would differentiate with respect to the INPUT of this name and type under wrt_inputs.
bool fbl_grad_input_wanted(const FblModule *module, FblName name, const FblType *type);

#endif

// Dynamic scaling of the loss for gradients in f16, as graph nodes: nothing of it needs the host.
//
// f16 has no numbers below 6e-8 and few bits below 6e-5, where many gradients lie. The derivative of the loss with respect to
// itself is therefore S instead of 1, so that every gradient on the way is S times as large; parameters' gradients are
// multiplied by 1 / S, in f32, exactly (S is a power of two). Where S was too large a gradient is not finite: that step changes
// no parameter and no optimizer slot, and S is halved. After enough good steps in a row S is doubled. The constants are the
// usual ones of mixed-precision training (Micikevicius et al. 2018, "Mixed Precision Training", and what frameworks start with).
// Four scalar states hold this (FBL_LOSS_SCALE_STATE and its like in ir/module.h), so that checkpoints do.
// Ownership: graphs and names in the module's context. Threads: as the context.
#ifndef FBL_PASSES_LOSS_SCALE_H
#define FBL_PASSES_LOSS_SCALE_H

#include "ir/module.h"

#define FBL_LOSS_SCALE_INITIAL 65536.0
#define FBL_LOSS_SCALE_STEPS 2000.0    // good steps in a row after which S is doubled
#define FBL_LOSS_SCALE_MOST 16777216.0 // 2^24: S stays where products with it are far from the limits of f32

// Adds the states to the module and makes its optimizer graph hold everything still where FBL_APPLIED_STATE is 0, and not count
// skipped steps in "t". E0304 (FBL_USER) when the program has a tensor of such a name.
FblStatus fbl_loss_scale_add(FblModule *module);

// What runs before the optimizer, over all gradients as one tensor "g" of `elements` numbers: UPDATE roots of the four states.
FblGraph *fbl_loss_scale_graph(FblContext *ctx, int64_t elements);

#endif

// The always-correct form of a contraction: a LOOPS kernel with one reduction stage.
#ifndef FBL_CODEGEN_CPU_GENERIC_CONTRACT_H
#define FBL_CODEGEN_CPU_GENERIC_CONTRACT_H

#include "ir/kernel.h"

// A LOOPS kernel in `arena` that computes what the contraction `kernel` does, over the same buffers. bf16: with the
// factors of the products rounded so.
const FblKernel *fbl_generic_contraction(FblArena *arena, const FblKernel *kernel, bool bf16);

#endif

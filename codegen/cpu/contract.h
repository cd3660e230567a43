// Register-blocked contractions: direct convolutions and matrix products.
#ifndef FBL_CODEGEN_CPU_CONTRACT_H
#define FBL_CODEGEN_CPU_CONTRACT_H

#include "codegen/cpu/emit.h"

// Emits e->kernel (a contraction) into e->module and fills e->code (phases, items, scratch, workspace). Returns false,
// having emitted nothing, for cases it leaves to fbl_generic_contraction.
bool fbl_emit_contraction(FblEmit *e);

#endif

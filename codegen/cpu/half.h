// f32 values in half precision, as kernels' buffers may store them: bf16 (the upper half of an f32) and f16 (IEEE binary16).
//
// Rounding is to the nearest, ties to even; infinities stay, NaN stays NaN, f16's values beyond 65504 become infinities and
// its denormal numbers are kept. f16 uses the processor's conversions (F16C) where they are, else integer operations that
// give the same bits (but for a NaN's lower ones), so that no library function is called.
// Ownership and threads: as FblEmit.
#ifndef FBL_CODEGEN_CPU_HALF_H
#define FBL_CODEGEN_CPU_HALF_H

#include "codegen/cpu/emit.h"

// `bits` (i16, or a vector of them) of type `from` as f32.
LLVMValueRef fbl_emit_from_half(FblEmit *e, FblDtype from, LLVMValueRef bits);
// `value` (f32, or a vector) as the i16 that memory of type `to` holds.
LLVMValueRef fbl_emit_to_half(FblEmit *e, FblDtype to, LLVMValueRef value);

#endif

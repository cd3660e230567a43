// Arrays beside a contraction's buffers, for libraries that want plain memory where a kernel has bodies: an operand evaluated for every
// index, or the accumulated result before the epilogue. And the LOOPS kernels that fill an array from a kernel's buffers, or go on from it.
//
// An array is dense. Images lie as [n, h, w, c], weights as [o, kh, kw, c], operands of a matmul as their loops: [batch, m, k], [batch, k, n].
// Ownership: kernels are made in the caller's arena and share names with the one they come from. Threads: no state.
#ifndef FBL_IR_LIBRARY_ARRAY_H
#define FBL_IR_LIBRARY_ARRAY_H

#include "ir/kernel.h"

// Which body an array stands for.
enum { FBL_ARRAY_OPERAND_0, FBL_ARRAY_OPERAND_1, FBL_ARRAY_RESULT, FBL_ARRAY_COUNT };

#define FBL_ARRAY_MAX_ELEMENTS ((int64_t)1 << 30) // also keeps positions inside an int

// The array's stride in elements along each loop of the body, in the order of FblKBody.loops; returns its elements, 0 when there would be
// more than FBL_ARRAY_MAX_ELEMENTS, or when the body's loops are not those of the contraction. `kernel` is a CONTRACTION.
int64_t fbl_array_strides(const FblKernel *kernel, int array, int64_t out_strides[4]);

// Operand 0 or 1 into its array. The kernel has the buffers of `kernel` and then the array, of `dtype` (F32, BF16, F16), as its only output.
FblKernel *fbl_array_pack(FblArena *arena, const FblKernel *kernel, int array, FblDtype dtype);
// The epilogue, which finds the accumulated values in the array of `dtype` behind the buffers of `kernel`.
FblKernel *fbl_array_finish(FblArena *arena, const FblKernel *kernel, FblDtype dtype);

#endif

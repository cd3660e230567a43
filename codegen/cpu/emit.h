// Emission of scalar bodies as LLVM IR: shared by LOOPS kernels and contractions.
//
// An instruction's value is a scalar, an affine integer (a scalar base plus a constant step per lane), or a vector of
// `width` lanes. What does not vary along the lanes stays scalar, so a load whose address is uniform is one scalar load,
// unit-step addresses become vector loads, and all else gathers.
// Ownership: an FblEmit lives for one kernel. Threads: one thread per FblEmit.
#ifndef FBL_CODEGEN_CPU_EMIT_H
#define FBL_CODEGEN_CPU_EMIT_H

#include <llvm-c/Core.h>

#include "codegen/cpu/cpu_target.h"
#include "codegen/target.h"

// A value during emission.
typedef struct FblVal {
    LLVMValueRef v; // NULL: not emitted yet
    bool vec;       // v is a vector of FblEnv.width lanes
    int64_t step;   // !vec, i32 only: lane k holds v + k * step
    int64_t align;  // i32 only: v (lane 0) is known to be a multiple of this (0 stands for "v is 0"); at least 1 otherwise
} FblVal;

typedef struct FblEmit {
    const FblCpuTarget *target;
    const FblKernel *kernel;
    FblKernelCode *code;
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMValueRef fn;
    LLVMBasicBlockRef entry; // for allocas
    LLVMTypeRef f32, i32, i64, i8, i1, ptr;
    int width;              // f32 lanes of the target's vectors
    LLVMValueRef begin, end; // i64 work items
    LLVMValueRef *buffers;  // base pointers, kernel->buffer_count
    LLVMValueRef workspace; // the extra buffer, when the contraction asked for one
    LLVMValueRef scratch;   // per thread
    LLVMValueRef seed, step; // i64
    unsigned invariant_kind; // metadata kind "invariant.load"
} FblEmit;

// Where and how a body is evaluated.
typedef struct FblEnv {
    int width;         // lanes of vector values here; 1: everything is scalar
    LLVMValueRef mask; // <width x i1> of the active lanes; NULL: all
    FblVal loops[FBL_KERNEL_MAX_LOOPS]; // current values by loop number
    FblVal acc;        // for FBL_K_ACC
    FblVal *values;    // by instruction, kernel->instr_count; v == NULL: not yet
    FblVal *results;   // by reduction number
} FblEnv;

// Starts function `name` (phase entry point) in e->module: loads the arguments; leaves the builder at its body.
void fbl_emit_function(FblEmit *e, const char *name);

// Emits instructions [first, last) whose values are still missing in env->values.
void fbl_emit_instrs(FblEmit *e, FblEnv *env, int32_t first, int32_t last);
// Emits one instruction, its operands being there.
void fbl_emit_instr(FblEmit *e, FblEnv *env, int32_t id);
void fbl_emit_store(FblEmit *e, FblEnv *env, const FblKStore *store);

// env->values[id] as a value of `dtype`, converted as the graph converts operands; a vector when `vec`.
LLVMValueRef fbl_emit_as(FblEmit *e, FblEnv *env, int32_t id, FblDtype dtype, bool vec);

// Types and constants. lanes 1: scalar types.
LLVMTypeRef fbl_emit_type(FblEmit *e, FblDtype dtype, int lanes);
LLVMValueRef fbl_emit_f32(FblEmit *e, double value, int lanes);
LLVMValueRef fbl_emit_i32(FblEmit *e, int64_t value);
LLVMValueRef fbl_emit_i64(FblEmit *e, int64_t value);
LLVMValueRef fbl_emit_splat(FblEmit *e, LLVMValueRef scalar, int lanes);
// <0, 1, ..., lanes-1> as i32.
LLVMValueRef fbl_emit_lanes(FblEmit *e, int lanes);
// The lanes below `count` (a constant) as a mask.
LLVMValueRef fbl_emit_mask(FblEmit *e, int lanes, int64_t count);
// An alloca in the entry block.
LLVMValueRef fbl_emit_alloca(FblEmit *e, LLVMTypeRef type);
// a * b + c, fused where the target fuses.
LLVMValueRef fbl_emit_fma(FblEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
// Calls an intrinsic overloaded on `types`.
LLVMValueRef fbl_emit_intrinsic(FblEmit *e, const char *name, LLVMTypeRef *types, unsigned type_count,
                                LLVMValueRef *args, unsigned arg_count);
// Lets a product, or the sum of a reduction, be fused with the other (FMA); never reassociated.
LLVMValueRef fbl_emit_contractable(LLVMValueRef value);

// A counted loop from `from` while below `to` (i64) by the constant `step`, known to run at least once: begin positions
// the builder in the body; end closes it.
typedef struct FblLoopState {
    LLVMValueRef index; // i64 phi
    LLVMBasicBlockRef head;
    LLVMValueRef to;
    int64_t step;
} FblLoopState;
FblLoopState fbl_emit_loop_begin(FblEmit *e, LLVMValueRef from, LLVMValueRef to, int64_t step);
void fbl_emit_loop_end(FblEmit *e, FblLoopState *loop);

// Elementwise functions in f32 (codegen/cpu/math.c), on scalars or vectors; accuracy stated there.
LLVMValueRef fbl_emit_exp(FblEmit *e, LLVMValueRef x);
LLVMValueRef fbl_emit_expm1(FblEmit *e, LLVMValueRef x);
LLVMValueRef fbl_emit_log(FblEmit *e, LLVMValueRef x);
LLVMValueRef fbl_emit_log1p(FblEmit *e, LLVMValueRef x);
LLVMValueRef fbl_emit_tanh(FblEmit *e, LLVMValueRef x);
LLVMValueRef fbl_emit_sigmoid(FblEmit *e, LLVMValueRef x);
// Lane by lane through the C library: sin, cos, erf, pow.
LLVMValueRef fbl_emit_libm(FblEmit *e, const char *name, LLVMValueRef *args, unsigned count);

// Whole kernels. Contractions: returns false, having emitted nothing, when it declines the case.
FblStatus fbl_emit_loops_kernel(FblEmit *e);

#endif

#include "codegen/cpu/emit.h"

#include <string.h>

LLVMTypeRef fbl_emit_type(FblEmit *e, FblDtype dtype, int lanes) {
    LLVMTypeRef scalar = dtype == FBL_F32 ? e->f32 : dtype == FBL_I32 ? e->i32 : e->i1;
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

LLVMValueRef fbl_emit_i32(FblEmit *e, int64_t value) { return LLVMConstInt(e->i32, (unsigned long long)value, 1); }

LLVMValueRef fbl_emit_i64(FblEmit *e, int64_t value) { return LLVMConstInt(e->i64, (unsigned long long)value, 1); }

LLVMValueRef fbl_emit_splat(FblEmit *e, LLVMValueRef scalar, int lanes) {
    if (lanes == 1) {
        return scalar;
    }
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef parts[64];
        for (int i = 0; i < lanes; i++) {
            parts[i] = scalar;
        }
        return LLVMConstVector(parts, (unsigned)lanes);
    }
    LLVMValueRef first = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, fbl_emit_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, first, LLVMGetPoison(type),
                                  LLVMConstNull(LLVMVectorType(e->i32, (unsigned)lanes)), "");
}

LLVMValueRef fbl_emit_f32(FblEmit *e, double value, int lanes) {
    return fbl_emit_splat(e, LLVMConstReal(e->f32, value), lanes);
}

LLVMValueRef fbl_emit_lanes(FblEmit *e, int lanes) {
    LLVMValueRef parts[64];
    for (int i = 0; i < lanes; i++) {
        parts[i] = fbl_emit_i32(e, i);
    }
    return LLVMConstVector(parts, (unsigned)lanes);
}

LLVMValueRef fbl_emit_mask(FblEmit *e, int lanes, int64_t count) {
    LLVMValueRef parts[64];
    for (int i = 0; i < lanes; i++) {
        parts[i] = LLVMConstInt(e->i1, i < count, 0);
    }
    return LLVMConstVector(parts, (unsigned)lanes);
}

LLVMValueRef fbl_emit_alloca(FblEmit *e, LLVMTypeRef type) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMValueRef first = LLVMGetFirstInstruction(e->entry);
    if (first) {
        LLVMPositionBuilderBefore(e->b, first);
    } else {
        LLVMPositionBuilderAtEnd(e->b, e->entry);
    }
    LLVMValueRef slot = LLVMBuildAlloca(e->b, type, "");
    LLVMPositionBuilderAtEnd(e->b, here);
    return slot;
}

LLVMValueRef fbl_emit_intrinsic(FblEmit *e, const char *name, LLVMTypeRef *types, unsigned type_count,
                                LLVMValueRef *args, unsigned arg_count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->module, id, types, type_count);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->ctx, id, types, type_count);
    return LLVMBuildCall2(e->b, type, fn, args, arg_count, "");
}

LLVMValueRef fbl_emit_fma(FblEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return fbl_emit_intrinsic(e, "llvm.fmuladd", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

LLVMValueRef fbl_emit_contractable(LLVMValueRef value) {
    if (LLVMIsAInstruction(value) && LLVMCanValueUseFastMathFlags(value)) {
        LLVMSetFastMathFlags(value, LLVMFastMathAllowContract);
    }
    return value;
}

FblLoopState fbl_emit_loop_begin(FblEmit *e, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef head = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "loop");
    LLVMBuildBr(e->b, head);
    LLVMPositionBuilderAtEnd(e->b, head);
    LLVMValueRef index = LLVMBuildPhi(e->b, e->i64, "i");
    LLVMAddIncoming(index, &from, &before, 1);
    return (FblLoopState){index, head, to, step};
}

void fbl_emit_loop_end(FblEmit *e, FblLoopState *loop) {
    LLVMValueRef next = LLVMBuildNSWAdd(e->b, loop->index, fbl_emit_i64(e, loop->step), "next");
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, next, loop->to, "more");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "done");
    LLVMBuildCondBr(e->b, more, loop->head, after);
    LLVMAddIncoming(loop->index, &next, &latch, 1);
    LLVMPositionBuilderAtEnd(e->b, after);
}

static void add_string_attribute(FblEmit *e, const char *key, const char *value) {
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(e->ctx, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

// A field of FblKernelArgs at byte `offset`. The struct never changes during a call.
static LLVMValueRef load_field(FblEmit *e, LLVMValueRef base, int64_t offset, LLVMTypeRef type, const char *name) {
    LLVMValueRef index = fbl_emit_i64(e, offset);
    LLVMValueRef address = LLVMBuildGEP2(e->b, e->i8, base, &index, 1, "");
    LLVMValueRef value = LLVMBuildLoad2(e->b, type, address, name);
    LLVMSetMetadata(value, e->invariant_kind, LLVMMetadataAsValue(e->ctx, LLVMMDNodeInContext2(e->ctx, NULL, 0)));
    return value;
}

void fbl_emit_function(FblEmit *e, const char *name) {
    LLVMTypeRef params[3] = {e->ptr, e->i64, e->i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->ctx), params, 3, 0);
    e->fn = LLVMAddFunction(e->module, name, type);
    add_string_attribute(e, "target-cpu", e->target->cpu);
    add_string_attribute(e, "target-features", e->target->features);
    const char *bits = e->target->vector_bytes == 64 ? "512" : e->target->vector_bytes == 32 ? "256" : "128";
    add_string_attribute(e, "prefer-vector-width", bits);
    add_string_attribute(e, "min-legal-vector-width", bits);
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->ctx, nounwind, 0));

    e->entry = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "entry");
    LLVMBasicBlockRef args_block = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "args");
    LLVMPositionBuilderAtEnd(e->b, args_block);
    LLVMValueRef args = LLVMGetParam(e->fn, 0);
    e->begin = LLVMGetParam(e->fn, 1);
    e->end = LLVMGetParam(e->fn, 2);
    LLVMValueRef table = load_field(e, args, (int64_t)offsetof(FblKernelArgs, buffers), e->ptr, "buffers");
    e->scratch = load_field(e, args, (int64_t)offsetof(FblKernelArgs, scratch), e->ptr, "scratch");
    e->seed = load_field(e, args, (int64_t)offsetof(FblKernelArgs, seed), e->i64, "seed");
    e->step = load_field(e, args, (int64_t)offsetof(FblKernelArgs, step), e->i64, "step");
    for (int32_t i = 0; i < e->kernel->buffer_count; i++) {
        e->buffers[i] = load_field(e, table, i * (int64_t)sizeof(void *), e->ptr, "buffer");
    }
    e->workspace = NULL;
    if (e->code->workspace_bytes > 0) {
        e->workspace = load_field(e, table, e->kernel->buffer_count * (int64_t)sizeof(void *), e->ptr, "workspace");
    }
    // Allocas go into `entry`, which ends by jumping here; see fbl_emit_alloca.
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildBr(e->b, args_block);
    LLVMPositionBuilderAtEnd(e->b, args_block);
}

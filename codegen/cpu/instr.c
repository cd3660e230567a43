// One body instruction at a time: operand conversion, arithmetic, the analysis of what varies along the lanes.
#include "codegen/cpu/emit.h"

#include <math.h>

#include "base/integer.h"
#include "codegen/cpu/half.h"

static FblVal uniform(LLVMValueRef v) { return (FblVal){v, false, 0, 1}; }
static FblVal vector(LLVMValueRef v) { return (FblVal){v, true, 0, 1}; }

// The value as a vector of env->width lanes (or a scalar when that is 1), without conversion.
static LLVMValueRef lanes_of(FblEmit *e, FblEnv *env, const FblVal *value) {
    if (value->vec || env->width == 1) {
        return value->v;
    }
    LLVMValueRef base = fbl_emit_splat(e, value->v, env->width);
    if (value->step == 0) {
        return base;
    }
    LLVMValueRef lanes = LLVMBuildMul(e->b, fbl_emit_lanes(e, env->width),
                                      fbl_emit_splat(e, fbl_emit_i32(e, value->step), env->width), "");
    return LLVMBuildAdd(e->b, base, lanes, "");
}

static LLVMValueRef convert(FblEmit *e, LLVMValueRef v, FblDtype from, FblDtype to, int lanes) {
    if (from == to) {
        return v;
    }
    LLVMTypeRef type = fbl_emit_type(e, to, lanes);
    if (to == FBL_F32) {
        return from == FBL_BOOL ? LLVMBuildUIToFP(e->b, v, type, "") : LLVMBuildSIToFP(e->b, v, type, "");
    }
    if (to == FBL_I32) {
        if (from == FBL_BOOL) {
            return LLVMBuildZExt(e->b, v, type, "");
        }
        LLVMTypeRef types[2] = {type, LLVMTypeOf(v)}; // saturating, NaN gives 0
        return fbl_emit_intrinsic(e, "llvm.fptosi.sat", types, 2, &v, 1);
    }
    return from == FBL_F32 ? LLVMBuildFCmp(e->b, LLVMRealUNE, v, LLVMConstNull(LLVMTypeOf(v)), "")
                           : LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

LLVMValueRef fbl_emit_as(FblEmit *e, FblEnv *env, int32_t id, FblDtype dtype, bool vec) {
    const FblVal *value = &env->values[id];
    FblDtype from = e->kernel->instrs[id].dtype;
    if (!vec && !value->vec) {
        return convert(e, value->v, from, dtype, 1);
    }
    if (value->vec || value->step != 0) {
        return convert(e, lanes_of(e, env, value), from, dtype, env->width);
    }
    return fbl_emit_splat(e, convert(e, value->v, from, dtype, 1), env->width);
}

// The constant that all lanes of an integer hold, or 0.
static int64_t constant_of(LLVMValueRef v) {
    if (LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind) {
        if (!LLVMIsConstant(v)) {
            return 0;
        }
        v = LLVMGetAggregateElement(v, 0); // constant vectors here are splats or lane numbers, which start with 0
    }
    return v && LLVMIsAConstantInt(v) ? LLVMConstIntGetSExtValue(v) : 0;
}

// a / b rounded down, or a - b * that; both 0 where b is 0. The machine's division would trap there and at the one
// quotient that overflows, so such divisors are replaced by 1.
static LLVMValueRef floor_divide(FblEmit *e, LLVMValueRef a, LLVMValueRef b, bool remainder) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type), divisor = b;
    bool vector_type = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    LLVMValueRef one = fbl_emit_splat(e, fbl_emit_i32(e, 1), vector_type ? (int)LLVMGetVectorSize(type) : 1);
    int64_t constant = constant_of(b);
    if (constant > 0 && (constant & (constant - 1)) == 0) {
        int64_t shift = 0;
        while (((int64_t)1 << shift) < constant) {
            shift++;
        }
        if (remainder) {
            return LLVMBuildAnd(e->b, a, LLVMBuildSub(e->b, b, one, ""), "");
        }
        return LLVMBuildAShr(e->b, a, LLVMBuildMul(e->b, one, fbl_emit_splat(e, fbl_emit_i32(e, shift), vector_type ? (int)LLVMGetVectorSize(type) : 1), ""), "");
    }
    LLVMValueRef is_zero = NULL, is_minus_one = NULL;
    if (constant <= 0) {
        is_zero = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, "");
        is_minus_one = LLVMBuildICmp(e->b, LLVMIntEQ, b, LLVMBuildSub(e->b, zero, one, ""), "");
        divisor = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, is_zero, is_minus_one, ""), one, b, "");
    }
    LLVMValueRef q = LLVMBuildSDiv(e->b, a, divisor, "");
    LLVMValueRef r = LLVMBuildSub(e->b, a, LLVMBuildMul(e->b, q, divisor, ""), "");
    LLVMValueRef off = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntNE, r, zero, ""),
                                    LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, divisor, ""), zero, ""), "");
    if (remainder) {
        return LLVMBuildSelect(e->b, off, LLVMBuildAdd(e->b, r, divisor, ""), r, "");
    }
    q = LLVMBuildSub(e->b, q, LLVMBuildZExt(e->b, off, type, ""), "");
    if (is_zero) {
        q = LLVMBuildSelect(e->b, is_minus_one, LLVMBuildNeg(e->b, a, ""), q, "");
        q = LLVMBuildSelect(e->b, is_zero, zero, q, "");
    }
    return q;
}

// Integer arithmetic on uniform and affine values keeps them so where it can; returns false when vectors are needed.
static bool affine_op(FblEmit *e, FblOp op, const FblVal *a, const FblVal *b, int width, FblVal *out) {
    bool constant = LLVMIsAConstantInt(b->v) != NULL;
    int64_t c = constant ? LLVMConstIntGetSExtValue(b->v) : 0;
    if (op == FBL_OP_ADD) {
        *out = (FblVal){LLVMBuildAdd(e->b, a->v, b->v, ""), false, a->step + b->step, fbl_gcd(a->align, b->align)};
        return true;
    }
    if (op == FBL_OP_SUB) {
        *out = (FblVal){LLVMBuildSub(e->b, a->v, b->v, ""), false, a->step - b->step, fbl_gcd(a->align, b->align)};
        return true;
    }
    if (op == FBL_OP_MUL && (constant || LLVMIsAConstantInt(a->v)) && (a->step == 0 || b->step == 0)) {
        const FblVal *x = constant ? a : b;
        int64_t k = constant ? c : LLVMConstIntGetSExtValue(a->v);
        int64_t align = x->align == 0 || k == 0 ? 0 : x->align * (k < 0 ? -k : k);
        if (align > INT32_MAX) {
            align = fbl_gcd(align, (int64_t)1 << 30);
        }
        *out = (FblVal){LLVMBuildMul(e->b, a->v, b->v, ""), false, x->step * k, align};
        return true;
    }
    // Division of lanes that stay inside one block of the divisor: base / c is the same for all.
    bool inside = constant && c > 0 && a->step == 1 && fbl_gcd(a->align, c) % width == 0;
    if (op == FBL_OP_DIV && inside) {
        *out = uniform(floor_divide(e, a->v, b->v, false));
        if (a->align == 0) {
            out->align = 0;
        }
        return true;
    }
    if (op == FBL_OP_MOD && inside) {
        *out = (FblVal){floor_divide(e, a->v, b->v, true), false, 1, fbl_gcd(a->align, c)};
        return true;
    }
    return false;
}

static LLVMValueRef integer_binary(FblEmit *e, FblOp op, LLVMValueRef a, LLVMValueRef b) {
    switch (op) {
    case FBL_OP_ADD: return LLVMBuildAdd(e->b, a, b, "");
    case FBL_OP_SUB: return LLVMBuildSub(e->b, a, b, "");
    case FBL_OP_MUL: return LLVMBuildMul(e->b, a, b, "");
    case FBL_OP_DIV: return floor_divide(e, a, b, false);
    case FBL_OP_MOD: return floor_divide(e, a, b, true);
    case FBL_OP_MIN: return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, b, ""), a, b, "");
    case FBL_OP_MAX: return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, a, b, ""), a, b, "");
    default: return NULL;
    }
}

// MIN and MAX: a NaN operand wins, as in the interpreter.
static LLVMValueRef real_extreme(FblEmit *e, LLVMRealPredicate better, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef take_a = LLVMBuildOr(e->b, LLVMBuildFCmp(e->b, better, a, b, ""),
                                      LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, ""), "");
    return LLVMBuildSelect(e->b, take_a, a, b, "");
}

static LLVMValueRef call_real(FblEmit *e, const char *name, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return fbl_emit_intrinsic(e, name, &type, 1, &x, 1);
}

static LLVMValueRef real_binary(FblEmit *e, FblOp op, LLVMValueRef a, LLVMValueRef b) {
    switch (op) {
    // Sums are not fused with the products that they add: a value that another kernel computes again, to compare it with a
    // maximum or with 0, must have the same bits there, whatever code is around it. Reductions do fuse (loops.c).
    case FBL_OP_ADD: return LLVMBuildFAdd(e->b, a, b, "");
    case FBL_OP_SUB: return LLVMBuildFSub(e->b, a, b, "");
    case FBL_OP_MUL: return fbl_emit_contractable(LLVMBuildFMul(e->b, a, b, ""));
    case FBL_OP_DIV: return LLVMBuildFDiv(e->b, a, b, "");
    case FBL_OP_MOD: {
        LLVMValueRef q = call_real(e, "llvm.floor", LLVMBuildFDiv(e->b, a, b, ""));
        return LLVMBuildFSub(e->b, a, LLVMBuildFMul(e->b, b, q, ""), "");
    }
    case FBL_OP_POW: return fbl_emit_libm(e, "powf", (LLVMValueRef[]){a, b}, 2);
    case FBL_OP_MIN: return real_extreme(e, LLVMRealOLT, a, b);
    case FBL_OP_MAX: return real_extreme(e, LLVMRealOGT, a, b);
    default: return NULL;
    }
}

static LLVMValueRef real_unary(FblEmit *e, FblOp op, LLVMValueRef x) {
    switch (op) {
    case FBL_OP_NEG: return LLVMBuildFNeg(e->b, x, "");
    case FBL_OP_ABS: return call_real(e, "llvm.fabs", x);
    case FBL_OP_EXP: return fbl_emit_exp(e, x);
    case FBL_OP_EXPM1: return fbl_emit_expm1(e, x);
    case FBL_OP_LOG: return fbl_emit_log(e, x);
    case FBL_OP_LOG1P: return fbl_emit_log1p(e, x);
    case FBL_OP_SQRT: return call_real(e, "llvm.sqrt", x);
    case FBL_OP_SIN: return fbl_emit_libm(e, "sinf", &x, 1);
    case FBL_OP_COS: return fbl_emit_libm(e, "cosf", &x, 1);
    case FBL_OP_ERF: return fbl_emit_libm(e, "erff", &x, 1);
    case FBL_OP_TANH: return fbl_emit_tanh(e, x);
    case FBL_OP_SIGMOID: return fbl_emit_sigmoid(e, x);
    case FBL_OP_FLOOR: return call_real(e, "llvm.floor", x);
    default: return x; // CAST, STOP_GRADIENT, BROADCAST of an already converted operand
    }
}

static LLVMValueRef integer_unary(FblEmit *e, FblOp op, LLVMValueRef x) {
    if (op == FBL_OP_NEG) {
        return LLVMBuildNeg(e->b, x, "");
    }
    if (op == FBL_OP_ABS) {
        LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, x, LLVMConstNull(LLVMTypeOf(x)), "");
        return LLVMBuildSelect(e->b, negative, LLVMBuildNeg(e->b, x, ""), x, "");
    }
    return x;
}

static LLVMValueRef compare(FblEmit *e, FblOp op, LLVMValueRef a, LLVMValueRef b, bool real) {
    static const LLVMRealPredicate reals[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT, LLVMRealOLE};
    static const LLVMIntPredicate ints[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE};
    int k = op == FBL_OP_EQ ? 0 : op == FBL_OP_NE ? 1 : op == FBL_OP_LT ? 2 : 3;
    return real ? LLVMBuildFCmp(e->b, reals[k], a, b, "") : LLVMBuildICmp(e->b, ints[k], a, b, "");
}

static FblVal emit_op(FblEmit *e, FblEnv *env, const FblKInstr *instr) {
    const FblKInstr *instrs = e->kernel->instrs;
    int arity = fbl_op_info(instr->op)->arity;
    bool vec = false, affine = false, all_i32 = true;
    for (int k = 0; k < arity; k++) {
        const FblVal *value = &env->values[instr->args[k]];
        vec |= value->vec;
        affine |= !value->vec && value->step != 0;
        all_i32 &= instrs[instr->args[k]].dtype == FBL_I32;
    }
    if (all_i32 && arity == 2 && instr->dtype == FBL_I32 && !vec) {
        FblVal out;
        if (affine_op(e, instr->op, &env->values[instr->args[0]], &env->values[instr->args[1]], env->width, &out)) {
            return out;
        }
    }
    vec |= affine;
    LLVMValueRef result;
    switch (instr->op) {
    case FBL_OP_SELECT: {
        // A uniform condition keeps the scalar form of llvm's select on vectors.
        const FblVal *condition = &env->values[instr->args[0]];
        bool scalar_condition = !condition->vec && condition->step == 0;
        LLVMValueRef c = fbl_emit_as(e, env, instr->args[0], FBL_BOOL, vec && !scalar_condition);
        result = LLVMBuildSelect(e->b, c, fbl_emit_as(e, env, instr->args[1], instr->dtype, vec),
                                 fbl_emit_as(e, env, instr->args[2], instr->dtype, vec), "");
        break;
    }
    case FBL_OP_EQ:
    case FBL_OP_NE:
    case FBL_OP_LT:
    case FBL_OP_LE: {
        bool real = instrs[instr->args[0]].dtype == FBL_F32 || instrs[instr->args[1]].dtype == FBL_F32;
        FblDtype common = real ? FBL_F32 : FBL_I32;
        result = compare(e, instr->op, fbl_emit_as(e, env, instr->args[0], common, vec),
                         fbl_emit_as(e, env, instr->args[1], common, vec), real);
        break;
    }
    case FBL_OP_AND:
        result = LLVMBuildAnd(e->b, fbl_emit_as(e, env, instr->args[0], FBL_BOOL, vec), fbl_emit_as(e, env, instr->args[1], FBL_BOOL, vec), "");
        break;
    case FBL_OP_OR:
        result = LLVMBuildOr(e->b, fbl_emit_as(e, env, instr->args[0], FBL_BOOL, vec), fbl_emit_as(e, env, instr->args[1], FBL_BOOL, vec), "");
        break;
    case FBL_OP_NOT:
        result = LLVMBuildNot(e->b, fbl_emit_as(e, env, instr->args[0], FBL_BOOL, vec), "");
        break;
    default: {
        LLVMValueRef a = fbl_emit_as(e, env, instr->args[0], instr->dtype, vec);
        LLVMValueRef b = arity > 1 ? fbl_emit_as(e, env, instr->args[1], instr->dtype, vec) : NULL;
        if (instr->dtype == FBL_F32) {
            result = b ? real_binary(e, instr->op, a, b) : real_unary(e, instr->op, a);
        } else {
            result = b ? integer_binary(e, instr->op, a, b) : integer_unary(e, instr->op, a);
        }
        break;
    }
    }
    return vec ? vector(result) : uniform(result);
}

// The address of an element: scalar part in elements (i64), constant step per lane, and a vector part when general.
typedef struct Address {
    LLVMValueRef base;    // i64
    int64_t step;         // per lane
    LLVMValueRef offsets; // <width x i64> to add, or NULL
} Address;

static Address address_of(FblEmit *e, FblEnv *env, int32_t buffer, const int32_t *index) {
    const FblKernelBuffer *info = &e->kernel->buffers[buffer];
    Address address = {fbl_emit_i64(e, 0), 0, NULL};
    int64_t stride = 1;
    for (int32_t d = info->rank - 1; d >= 0; d--) {
        const FblVal *value = &env->values[index[d]];
        if (value->vec) {
            LLVMTypeRef wide = LLVMVectorType(e->i64, (unsigned)env->width);
            LLVMValueRef part = LLVMBuildMul(e->b, LLVMBuildSExt(e->b, value->v, wide, ""),
                                             fbl_emit_splat(e, fbl_emit_i64(e, stride), env->width), "");
            address.offsets = address.offsets ? LLVMBuildAdd(e->b, address.offsets, part, "") : part;
        } else {
            LLVMValueRef part = LLVMBuildMul(e->b, LLVMBuildSExt(e->b, value->v, e->i64, ""), fbl_emit_i64(e, stride), "");
            address.base = LLVMBuildAdd(e->b, address.base, part, "");
            address.step += value->step * stride;
        }
        stride *= info->extents[d];
    }
    return address;
}

static int64_t buffer_elements(const FblKernelBuffer *buffer) {
    int64_t elements = 1;
    for (int32_t d = 0; d < buffer->rank; d++) {
        elements *= buffer->extents[d];
    }
    return elements;
}

// Memory type: bools are bytes, halves are 16 bits.
static LLVMTypeRef memory_type(FblEmit *e, FblDtype dtype, int lanes) {
    LLVMTypeRef scalar = dtype == FBL_F32 ? e->f32 : dtype == FBL_I32 ? e->i32 : dtype == FBL_BOOL ? e->i8 : LLVMInt16TypeInContext(e->ctx);
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

static LLVMValueRef element_pointer(FblEmit *e, FblDtype dtype, int32_t buffer, LLVMValueRef index) {
    return LLVMBuildGEP2(e->b, memory_type(e, dtype, 1), e->buffers[buffer], &index, 1, "");
}

static LLVMValueRef lane_pointers(FblEmit *e, FblEnv *env, FblDtype dtype, int32_t buffer, const Address *address) {
    LLVMValueRef steps[64];
    for (int i = 0; i < env->width; i++) {
        steps[i] = fbl_emit_i64(e, i * address->step);
    }
    LLVMValueRef index = LLVMBuildAdd(e->b, fbl_emit_splat(e, address->base, env->width),
                                      LLVMConstVector(steps, (unsigned)env->width), "");
    if (address->offsets) {
        index = LLVMBuildAdd(e->b, index, address->offsets, "");
    }
    return LLVMBuildGEP2(e->b, memory_type(e, dtype, 1), e->buffers[buffer], &index, 1, "");
}

static LLVMValueRef and_masks(FblEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return !a ? b : !b ? a : LLVMBuildAnd(e->b, a, b, "");
}

static LLVMValueRef from_memory(FblEmit *e, FblDtype dtype, LLVMValueRef v) {
    if (fbl_dtype_is_half(dtype)) {
        return fbl_emit_from_half(e, dtype, v);
    }
    return dtype == FBL_BOOL ? LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef to_memory(FblEmit *e, FblDtype dtype, LLVMValueRef v, int lanes) {
    if (fbl_dtype_is_half(dtype)) {
        return fbl_emit_to_half(e, dtype, v);
    }
    return dtype == FBL_BOOL ? LLVMBuildZExt(e->b, v, memory_type(e, dtype, lanes), "") : v;
}

// A buffer that no output of this kernel may overlap never changes while the kernel runs.
static bool never_written(const FblKernel *kernel, int32_t buffer) {
    if (kernel->buffers[buffer].is_output) {
        return false;
    }
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        if (kernel->buffers[i].is_output && kernel->buffers[i].alias == buffer) {
            return false;
        }
    }
    return true;
}

static LLVMValueRef aligned_to_element(LLVMValueRef load, FblDtype dtype) {
    LLVMSetAlignment(load, (unsigned)fbl_dtype_bytes(dtype));
    return load;
}

static void mark_invariant(FblEmit *e, int32_t buffer, LLVMValueRef load) {
    if (never_written(e->kernel, buffer)) {
        LLVMSetMetadata(load, e->invariant_kind, LLVMMetadataAsValue(e->ctx, LLVMMDNodeInContext2(e->ctx, NULL, 0)));
    }
}

static FblVal emit_load(FblEmit *e, FblEnv *env, const FblKInstr *instr) {
    Address address = address_of(e, env, instr->a, instr->index);
    FblDtype dtype = e->kernel->buffers[instr->a].dtype, kind = instr->dtype; // in memory, of the value
    const FblVal *guard = instr->guard >= 0 ? &env->values[instr->guard] : NULL;
    bool guard_varies = guard && (guard->vec || guard->step != 0);
    bool varies = address.step != 0 || address.offsets;
    if (!varies && !guard_varies) {
        LLVMValueRef index = address.base;
        if (guard) {
            index = LLVMBuildSelect(e->b, guard->v, index, fbl_emit_i64(e, 0), ""); // element 0 always exists
        }
        LLVMValueRef load = LLVMBuildLoad2(e->b, memory_type(e, dtype, 1), element_pointer(e, dtype, instr->a, index), "");
        mark_invariant(e, instr->a, aligned_to_element(load, dtype));
        LLVMValueRef v = from_memory(e, dtype, load);
        if (!guard) {
            return uniform(v);
        }
        const FblVal *other = instr->otherwise >= 0 ? &env->values[instr->otherwise] : NULL;
        bool vec = other && (other->vec || other->step != 0);
        LLVMValueRef fallback = other ? fbl_emit_as(e, env, instr->otherwise, kind, vec) : LLVMConstNull(LLVMTypeOf(v));
        if (vec) {
            return vector(LLVMBuildSelect(e->b, guard->v, fbl_emit_splat(e, v, env->width), fallback, ""));
        }
        return uniform(LLVMBuildSelect(e->b, guard->v, v, fallback, ""));
    }
    LLVMTypeRef type = memory_type(e, dtype, env->width);
    LLVMValueRef fallback = instr->otherwise >= 0 ? fbl_emit_as(e, env, instr->otherwise, kind, true)
                                                  : LLVMConstNull(fbl_emit_type(e, kind, env->width));
    LLVMValueRef v;
    bool contiguous = address.step == 1 && !address.offsets;
    LLVMValueRef mask = env->mask;
    if (guard && guard_varies) {
        mask = and_masks(e, mask, lanes_of(e, env, guard));
    }
    if (contiguous && !guard_varies && !mask && (!guard || buffer_elements(&e->kernel->buffers[instr->a]) >= env->width)) {
        LLVMValueRef index = address.base;
        if (guard) {
            index = LLVMBuildSelect(e->b, guard->v, index, fbl_emit_i64(e, 0), "");
        }
        LLVMValueRef load = LLVMBuildLoad2(e->b, type, element_pointer(e, dtype, instr->a, index), "");
        mark_invariant(e, instr->a, aligned_to_element(load, dtype));
        v = from_memory(e, dtype, load);
        if (guard) {
            v = LLVMBuildSelect(e->b, guard->v, v, fallback, "");
        }
        return vector(v);
    }
    if (guard && !guard_varies) {
        mask = and_masks(e, mask, fbl_emit_splat(e, guard->v, env->width));
    }
    if (!mask) {
        mask = fbl_emit_mask(e, env->width, env->width);
    }
    LLVMValueRef align = fbl_emit_i32(e, fbl_dtype_bytes(dtype));
    LLVMValueRef zero = LLVMConstNull(type);
    if (contiguous) {
        LLVMTypeRef types[2] = {type, e->ptr};
        LLVMValueRef args[4] = {element_pointer(e, dtype, instr->a, address.base), align, mask, zero};
        v = fbl_emit_intrinsic(e, "llvm.masked.load", types, 2, args, 4);
    } else {
        LLVMTypeRef types[2] = {type, LLVMVectorType(e->ptr, (unsigned)env->width)};
        LLVMValueRef args[4] = {lane_pointers(e, env, dtype, instr->a, &address), align, mask, zero};
        v = fbl_emit_intrinsic(e, "llvm.masked.gather", types, 2, args, 4);
    }
    v = from_memory(e, dtype, v);
    if (guard) {
        LLVMValueRef condition = guard_varies ? lanes_of(e, env, guard) : guard->v;
        v = LLVMBuildSelect(e->b, condition, v, fallback, "");
    }
    return vector(v);
}

// Philox4x32-10 (base/philox.h) on <lanes> element indices; returns the uniform number.
static LLVMValueRef emit_uniform(FblEmit *e, LLVMValueRef index, int32_t stream, int lanes) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef wide = lanes == 1 ? e->i64 : LLVMVectorType(e->i64, (unsigned)lanes);
    LLVMTypeRef narrow = fbl_emit_type(e, FBL_I32, lanes);
    LLVMValueRef high32 = fbl_emit_splat(e, fbl_emit_i64(e, 32), lanes);
    LLVMValueRef step_low = fbl_emit_splat(e, LLVMBuildTrunc(b, e->step, e->i32, ""), lanes);
    LLVMValueRef step_high = fbl_emit_splat(e, LLVMBuildTrunc(b, LLVMBuildLShr(b, e->step, fbl_emit_i64(e, 32), ""), e->i32, ""), lanes);
    LLVMValueRef k0 = fbl_emit_splat(e, LLVMBuildTrunc(b, e->seed, e->i32, ""), lanes);
    LLVMValueRef k1 = fbl_emit_splat(e, LLVMBuildTrunc(b, LLVMBuildLShr(b, e->seed, fbl_emit_i64(e, 32), ""), e->i32, ""), lanes);
    LLVMValueRef two = fbl_emit_splat(e, fbl_emit_i32(e, 2), lanes);
    LLVMValueRef c0 = LLVMBuildLShr(b, index, two, "");
    LLVMValueRef c1 = fbl_emit_splat(e, fbl_emit_i32(e, stream), lanes);
    LLVMValueRef c2 = step_low, c3 = step_high;
    LLVMValueRef m0 = fbl_emit_splat(e, LLVMConstInt(e->i64, 0xD2511F53u, 0), lanes);
    LLVMValueRef m1 = fbl_emit_splat(e, LLVMConstInt(e->i64, 0xCD9E8D57u, 0), lanes);
    for (int round = 0; round < 10; round++) {
        LLVMValueRef p0 = LLVMBuildMul(b, LLVMBuildZExt(b, c0, wide, ""), m0, "");
        LLVMValueRef p1 = LLVMBuildMul(b, LLVMBuildZExt(b, c2, wide, ""), m1, "");
        LLVMValueRef h0 = LLVMBuildTrunc(b, LLVMBuildLShr(b, p0, high32, ""), narrow, "");
        LLVMValueRef h1 = LLVMBuildTrunc(b, LLVMBuildLShr(b, p1, high32, ""), narrow, "");
        LLVMValueRef n0 = LLVMBuildXor(b, LLVMBuildXor(b, h1, c1, ""), k0, "");
        LLVMValueRef n2 = LLVMBuildXor(b, LLVMBuildXor(b, h0, c3, ""), k1, "");
        c1 = LLVMBuildTrunc(b, p1, narrow, "");
        c3 = LLVMBuildTrunc(b, p0, narrow, "");
        c0 = n0;
        c2 = n2;
        k0 = LLVMBuildAdd(b, k0, fbl_emit_splat(e, LLVMConstInt(e->i32, 0x9E3779B9u, 0), lanes), "");
        k1 = LLVMBuildAdd(b, k1, fbl_emit_splat(e, LLVMConstInt(e->i32, 0xBB67AE85u, 0), lanes), "");
    }
    LLVMValueRef lane = LLVMBuildAnd(b, index, fbl_emit_splat(e, fbl_emit_i32(e, 3), lanes), "");
    LLVMValueRef word = c3;
    LLVMValueRef parts[3] = {c2, c1, c0};
    for (int k = 0; k < 3; k++) {
        LLVMValueRef is = LLVMBuildICmp(b, LLVMIntEQ, lane, fbl_emit_splat(e, fbl_emit_i32(e, 2 - k), lanes), "");
        word = LLVMBuildSelect(b, is, parts[k], word, "");
    }
    LLVMValueRef top = LLVMBuildLShr(b, word, fbl_emit_splat(e, fbl_emit_i32(e, 9), lanes), "");
    LLVMValueRef real = LLVMBuildSIToFP(b, top, fbl_emit_type(e, FBL_F32, lanes), "");
    real = LLVMBuildFAdd(b, real, fbl_emit_f32(e, 0.5, lanes), "");
    return LLVMBuildFMul(b, real, fbl_emit_f32(e, 0x1p-23, lanes), "");
}

void fbl_emit_instr(FblEmit *e, FblEnv *env, int32_t id) {
    const FblKInstr *instr = &e->kernel->instrs[id];
    FblVal *out = &env->values[id];
    switch (instr->kind) {
    case FBL_K_CONST:
        *out = uniform(instr->dtype == FBL_F32 ? LLVMConstReal(e->f32, (float)instr->value)
                                               : LLVMConstInt(fbl_emit_type(e, instr->dtype, 1), (unsigned long long)(int64_t)instr->value, 1));
        if (instr->dtype == FBL_I32) {
            out->align = instr->value < 0 ? -(int64_t)instr->value : (int64_t)instr->value;
        }
        break;
    case FBL_K_LOOP: *out = env->loops[instr->a]; break;
    case FBL_K_LOAD: *out = emit_load(e, env, instr); break;
    case FBL_K_OP: *out = emit_op(e, env, instr); break;
    case FBL_K_RESULT: *out = env->results[instr->a]; break;
    case FBL_K_ACC: *out = env->acc; break;
    case FBL_K_UNIFORM: {
        const FblVal *index = &env->values[instr->args[0]];
        bool vec = index->vec || index->step != 0;
        LLVMValueRef v = emit_uniform(e, vec ? lanes_of(e, env, index) : index->v, instr->a, vec ? env->width : 1);
        *out = vec ? vector(v) : uniform(v);
        break;
    }
    case FBL_K_ROUND: {
        bool vec = env->values[instr->args[0]].vec;
        LLVMValueRef v = fbl_emit_from_half(e, (FblDtype)instr->a, fbl_emit_to_half(e, (FblDtype)instr->a, fbl_emit_as(e, env, instr->args[0], FBL_F32, vec)));
        *out = vec ? vector(v) : uniform(v);
        break;
    }
    }
}

void fbl_emit_instrs(FblEmit *e, FblEnv *env, int32_t first, int32_t last) {
    for (int32_t id = first; id < last; id++) {
        if (!env->values[id].v) {
            fbl_emit_instr(e, env, id);
        }
    }
}

void fbl_emit_store(FblEmit *e, FblEnv *env, const FblKStore *store) {
    FblDtype dtype = e->kernel->buffers[store->buffer].dtype;
    Address address = address_of(e, env, store->buffer, store->index);
    const FblVal *guard = store->guard >= 0 ? &env->values[store->guard] : NULL;
    bool guard_varies = guard && (guard->vec || guard->step != 0);
    bool varies = address.step != 0 || address.offsets;
    if (!varies) {
        LLVMBasicBlockRef after = NULL;
        LLVMValueRef v = to_memory(e, dtype, fbl_emit_as(e, env, store->value, fbl_dtype_value(dtype), false), 1);
        if (guard) {
            LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "store");
            after = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "stored");
            LLVMBuildCondBr(e->b, guard->v, then, after);
            LLVMPositionBuilderAtEnd(e->b, then);
        }
        aligned_to_element(LLVMBuildStore(e->b, v, element_pointer(e, dtype, store->buffer, address.base)), dtype);
        if (guard) {
            LLVMBuildBr(e->b, after);
            LLVMPositionBuilderAtEnd(e->b, after);
        }
        return;
    }
    LLVMValueRef v = to_memory(e, dtype, fbl_emit_as(e, env, store->value, fbl_dtype_value(dtype), true), env->width);
    LLVMValueRef mask = env->mask;
    if (guard) {
        mask = and_masks(e, mask, guard_varies ? lanes_of(e, env, guard) : fbl_emit_splat(e, guard->v, env->width));
    }
    bool contiguous = address.step == 1 && !address.offsets;
    if (contiguous && !mask) {
        aligned_to_element(LLVMBuildStore(e->b, v, element_pointer(e, dtype, store->buffer, address.base)), dtype);
        return;
    }
    if (!mask) {
        mask = fbl_emit_mask(e, env->width, env->width);
    }
    LLVMValueRef align = fbl_emit_i32(e, fbl_dtype_bytes(dtype));
    LLVMTypeRef types[2] = {LLVMTypeOf(v), contiguous ? e->ptr : LLVMVectorType(e->ptr, (unsigned)env->width)};
    LLVMValueRef where = contiguous ? element_pointer(e, dtype, store->buffer, address.base)
                                    : lane_pointers(e, env, dtype, store->buffer, &address);
    LLVMValueRef args[4] = {v, where, align, mask};
    fbl_emit_intrinsic(e, contiguous ? "llvm.masked.store" : "llvm.masked.scatter", types, 2, args, 4);
}

#include "codegen/cpu/half.h"

#include <string.h>

static int lanes_in(LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

static LLVMTypeRef many(LLVMTypeRef type, int lanes) { return lanes == 1 ? type : LLVMVectorType(type, (unsigned)lanes); }

// A constant of as many lanes.
static LLVMValueRef word(FblEmit *e, int64_t value, int lanes) { return fbl_emit_splat(e, LLVMConstInt(e->i32, (uint32_t)value, 0), lanes); }

static LLVMTypeRef short_type(FblEmit *e, int lanes) { return many(LLVMInt16TypeInContext(e->ctx), lanes); }

static bool converts_f16(const FblEmit *e) { return strstr(e->target->features, "+f16c") != NULL; }

// binary16 -> binary32. Exponent and fraction move to their places and the exponent's bias is made good. Where the exponent
// is all ones it becomes all ones; where it is 0 the number is 2^-14 * fraction: as a normal number 2^-14 * (1 + fraction),
// less 2^-14, which is exact.
static LLVMValueRef widen_f16(FblEmit *e, LLVMValueRef bits) {
    int lanes = lanes_in(bits);
    LLVMBuilderRef b = e->b;
    LLVMTypeRef ints = fbl_emit_type(e, FBL_I32, lanes), reals = fbl_emit_type(e, FBL_F32, lanes);
    LLVMValueRef x = LLVMBuildZExt(b, bits, ints, "");
    LLVMValueRef sign = LLVMBuildShl(b, LLVMBuildAnd(b, x, word(e, 0x8000, lanes), ""), word(e, 16, lanes), "");
    LLVMValueRef moved = LLVMBuildShl(b, LLVMBuildAnd(b, x, word(e, 0x7fff, lanes), ""), word(e, 13, lanes), "");
    LLVMValueRef exponent = LLVMBuildAnd(b, moved, word(e, 0x0f800000, lanes), "");
    LLVMValueRef normal = LLVMBuildAdd(b, moved, word(e, (127 - 15) << 23, lanes), "");
    LLVMValueRef special = LLVMBuildAdd(b, normal, word(e, (128 - 16) << 23, lanes), "");
    LLVMValueRef small = LLVMBuildBitCast(b, LLVMBuildAdd(b, normal, word(e, 1 << 23, lanes), ""), reals, "");
    small = LLVMBuildBitCast(b, LLVMBuildFSub(b, small, fbl_emit_f32(e, 0x1p-14, lanes), ""), ints, "");
    LLVMValueRef r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntEQ, exponent, word(e, 0x0f800000, lanes), ""), special, normal, "");
    r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntEQ, exponent, word(e, 0, lanes), ""), small, r, "");
    return LLVMBuildBitCast(b, LLVMBuildOr(b, r, sign, ""), reals, "");
}

// binary32 -> binary16. Normal results: add half a unit less one, and one more where the last bit that stays is odd, then cut;
// a carry into the exponent is right. Below 2^-14 the unit is 2^-24, that of f32 in [0.5, 1): adding 0.5 rounds, and the
// fraction that is left is the result.
static LLVMValueRef narrow_f16(FblEmit *e, LLVMValueRef value) {
    int lanes = lanes_in(value);
    LLVMBuilderRef b = e->b;
    LLVMTypeRef ints = fbl_emit_type(e, FBL_I32, lanes), reals = fbl_emit_type(e, FBL_F32, lanes);
    LLVMValueRef x = LLVMBuildBitCast(b, value, ints, "");
    LLVMValueRef size = LLVMBuildAnd(b, x, word(e, 0x7fffffff, lanes), "");
    LLVMValueRef sign = LLVMBuildAnd(b, LLVMBuildLShr(b, x, word(e, 16, lanes), ""), word(e, 0x8000, lanes), "");
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, size, word(e, 13, lanes), ""), word(e, 1, lanes), "");
    LLVMValueRef normal = LLVMBuildAdd(b, LLVMBuildAdd(b, size, odd, ""), word(e, ((15 - 127) * (1 << 23)) + 0xfff, lanes), "");
    normal = LLVMBuildLShr(b, normal, word(e, 13, lanes), "");
    LLVMValueRef small = LLVMBuildFAdd(b, LLVMBuildBitCast(b, size, reals, ""), fbl_emit_f32(e, 0.5, lanes), "");
    small = LLVMBuildSub(b, LLVMBuildBitCast(b, small, ints, ""), word(e, 0x3f000000, lanes), "");
    LLVMValueRef nan = LLVMBuildOr(b, LLVMBuildAnd(b, LLVMBuildLShr(b, size, word(e, 13, lanes), ""), word(e, 0x3ff, lanes), ""), word(e, 0x7e00, lanes), "");
    LLVMValueRef r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntULT, size, word(e, 0x38800000, lanes), ""), small, normal, "");
    r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntUGE, size, word(e, 0x477ff000, lanes), ""), word(e, 0x7c00, lanes), r, ""); // 65520
    r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntUGT, size, word(e, 0x7f800000, lanes), ""), nan, r, "");
    return LLVMBuildTrunc(b, LLVMBuildOr(b, r, sign, ""), short_type(e, lanes), "");
}

LLVMValueRef fbl_emit_from_half(FblEmit *e, FblDtype from, LLVMValueRef bits) {
    int lanes = lanes_in(bits);
    if (from == FBL_BF16) {
        LLVMValueRef x = LLVMBuildShl(e->b, LLVMBuildZExt(e->b, bits, fbl_emit_type(e, FBL_I32, lanes), ""), word(e, 16, lanes), "");
        return LLVMBuildBitCast(e->b, x, fbl_emit_type(e, FBL_F32, lanes), "");
    }
    if (!converts_f16(e)) {
        return widen_f16(e, bits);
    }
    LLVMValueRef half = LLVMBuildBitCast(e->b, bits, many(LLVMHalfTypeInContext(e->ctx), lanes), "");
    return LLVMBuildFPExt(e->b, half, fbl_emit_type(e, FBL_F32, lanes), "");
}

LLVMValueRef fbl_emit_to_half(FblEmit *e, FblDtype to, LLVMValueRef value) {
    int lanes = lanes_in(value);
    LLVMBuilderRef b = e->b;
    if (to == FBL_F16) {
        return converts_f16(e) ? LLVMBuildBitCast(b, LLVMBuildFPTrunc(b, value, many(LLVMHalfTypeInContext(e->ctx), lanes), ""), short_type(e, lanes), "") : narrow_f16(e, value);
    }
    // As above: half a unit less one, one more where the last bit that stays is odd. A NaN becomes a quiet one.
    LLVMValueRef x = LLVMBuildBitCast(b, value, fbl_emit_type(e, FBL_I32, lanes), ""), sixteen = word(e, 16, lanes);
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, x, sixteen, ""), word(e, 1, lanes), "");
    LLVMValueRef r = LLVMBuildAdd(b, LLVMBuildAdd(b, x, odd, ""), word(e, 0x7fff, lanes), "");
    LLVMValueRef nan = LLVMBuildOr(b, x, word(e, 0x400000, lanes), "");
    r = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealUNO, value, value, ""), nan, r, "");
    return LLVMBuildTrunc(b, LLVMBuildLShr(b, r, sixteen, ""), short_type(e, lanes), "");
}

// Factors in bf16: rounding, pairs of them in words of 32 bits, and the multiply-add of pairs.
#include "codegen/cpu/contract_internal.h"
#include "codegen/cpu/half.h"

int64_t fbl_factors_per_word(const FblEmit *e) { return e->target->bf16 == FBL_BF16_OFF ? 1 : 2; }

static int lanes_of(LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

static LLVMTypeRef type_of(LLVMTypeRef scalar, int lanes) { return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes); }

static LLVMValueRef words(FblEmit *e, uint32_t value, int lanes) { return fbl_emit_splat(e, LLVMConstInt(e->i32, value, 0), lanes); }

LLVMValueRef fbl_emit_bf16(FblEmit *e, LLVMValueRef x) {
    if (e->target->bf16 == FBL_BF16_INSTRUCTION) {
        int lanes = lanes_of(x);
        LLVMTypeRef half = type_of(LLVMInt16TypeInContext(e->ctx), lanes);
        return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, x, type_of(LLVMBFloatTypeInContext(e->ctx), lanes), ""), half, "");
    }
    return fbl_emit_to_half(e, FBL_BF16, x);
}

static const char *sized(FblEmit *e, const char *const names[3]) { return names[e->width == 16 ? 2 : e->width == 8 ? 1 : 0]; }

LLVMValueRef fbl_emit_pairs(FblEmit *e, LLVMValueRef first, LLVMValueRef second) {
    int lanes = lanes_of(first);
    if (e->target->bf16 == FBL_BF16_INSTRUCTION) {
        static const char *const names[3] = {"llvm.x86.avx512bf16.cvtne2ps2bf16.128", "llvm.x86.avx512bf16.cvtne2ps2bf16.256", "llvm.x86.avx512bf16.cvtne2ps2bf16.512"};
        // The second argument fills the lower half of the result.
        LLVMValueRef halves = fbl_emit_intrinsic(e, sized(e, names), NULL, 0, (LLVMValueRef[]){second, first}, 2), order[64];
        for (int i = 0; i < 2 * lanes; i++) {
            order[i] = fbl_emit_i32(e, i % 2 ? lanes + i / 2 : i / 2);
        }
        LLVMValueRef pairs = LLVMBuildShuffleVector(e->b, halves, LLVMGetPoison(LLVMTypeOf(halves)), LLVMConstVector(order, (unsigned)(2 * lanes)), "");
        return LLVMBuildBitCast(e->b, pairs, LLVMTypeOf(first), "");
    }
    LLVMTypeRef word = type_of(e->i32, lanes);
    LLVMValueRef low = LLVMBuildZExt(e->b, fbl_emit_to_half(e, FBL_BF16, first), word, "");
    LLVMValueRef high = LLVMBuildZExt(e->b, fbl_emit_to_half(e, FBL_BF16, second), word, "");
    high = LLVMBuildShl(e->b, high, words(e, 16, lanes), "");
    return LLVMBuildBitCast(e->b, LLVMBuildOr(e->b, low, high, ""), LLVMTypeOf(first), "");
}

LLVMValueRef fbl_emit_halves(FblEmit *e, LLVMValueRef base, LLVMValueRef offset) {
    return LLVMBuildInBoundsGEP2(e->b, LLVMInt16TypeInContext(e->ctx), base, &offset, 1, "");
}

void fbl_emit_store_halves(FblEmit *e, LLVMValueRef value, LLVMValueRef address) { LLVMSetAlignment(LLVMBuildStore(e->b, value, address), 2); }

// The second (upper) or first factors of the pairs as f32: bf16 is the upper half of an f32.
static LLVMValueRef factors(FblEmit *e, LLVMValueRef pairs, bool second) {
    int lanes = lanes_of(pairs);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, pairs, type_of(e->i32, lanes), "");
    bits = second ? LLVMBuildAnd(e->b, bits, words(e, 0xffff0000u, lanes), "") : LLVMBuildShl(e->b, bits, words(e, 16, lanes), "");
    return LLVMBuildBitCast(e->b, bits, LLVMTypeOf(pairs), "");
}

LLVMValueRef fbl_emit_multiply_add(FblEmit *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef sum) {
    if (e->target->bf16 == FBL_BF16_OFF) {
        return fbl_emit_fma(e, x, y, sum);
    }
    if (e->target->bf16 == FBL_BF16_INSTRUCTION) {
        static const char *const names[3] = {"llvm.x86.avx512bf16.dpbf16ps.128", "llvm.x86.avx512bf16.dpbf16ps.256", "llvm.x86.avx512bf16.dpbf16ps.512"};
        LLVMTypeRef type = LLVMVectorType(LLVMBFloatTypeInContext(e->ctx), 2 * (unsigned)e->width);
        x = LLVMBuildBitCast(e->b, x, type, "");
        y = LLVMBuildBitCast(e->b, y, type, "");
        return fbl_emit_intrinsic(e, sized(e, names), NULL, 0, (LLVMValueRef[]){sum, x, y}, 3);
    }
    LLVMTypeRef type = LLVMTypeOf(sum);
    for (int second = 1; second >= 0; second--) {
        sum = fbl_emit_intrinsic(e, "llvm.fma", &type, 1, (LLVMValueRef[]){factors(e, x, second), factors(e, y, second), sum}, 3);
    }
    return sum;
}

void fbl_emit_pair_pixels(FblEmit *e, LLVMValueRef at, int64_t rows, int64_t width, int64_t stride, int64_t count, int64_t step, int64_t apart) {
    // Words [0, whole) have both of their pixels.
    int64_t whole = width > apart ? (width - apart - 1) / step + 1 : 0;
    whole = whole < count ? whole : count;
    FblCarryLoop row, word, part;
    fbl_carry_begin(e, &row, fbl_emit_i64(e, 0), fbl_emit_i64(e, rows), 1, NULL, 0);
    LLVMValueRef line = fbl_emit_floats(e, at, fbl_emit_scaled(e, row.index, width * stride));
    for (int half = 0; half < 2; half++) {
        int64_t from = half ? whole : 0, to = half ? count : whole;
        if (from == to) {
            continue;
        }
        fbl_carry_begin(e, &word, fbl_emit_i64(e, from), fbl_emit_i64(e, to), 1, NULL, 0);
        fbl_carry_begin(e, &part, fbl_emit_i64(e, 0), fbl_emit_i64(e, stride), e->width, NULL, 0);
        LLVMValueRef pixel = fbl_emit_floats(e, line, fbl_emit_sum(e, fbl_emit_scaled(e, word.index, step * stride), part.index));
        LLVMValueRef first = fbl_emit_load_floats(e, pixel, e->width);
        LLVMValueRef second = half ? fbl_emit_f32(e, 0, e->width) : fbl_emit_load_floats(e, fbl_emit_floats_at(e, pixel, apart * stride), e->width);
        LLVMValueRef to_at = fbl_emit_floats(e, line, fbl_emit_sum(e, fbl_emit_scaled(e, word.index, stride), part.index));
        fbl_emit_store_floats(e, fbl_emit_pairs(e, first, second), to_at);
        fbl_carry_end(e, &part, NULL);
        fbl_carry_end(e, &word, NULL);
    }
    fbl_carry_end(e, &row, NULL);
}

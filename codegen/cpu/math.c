// Elementary functions in f32 as straight-line vector code. Measured against the C library in double over all exponents
// by tests/codegen: exp, log 2 ulp; expm1, log1p, sigmoid, tanh 4 ulp; results below the normal range are exact to one
// unit of the smallest denormal.
#include "codegen/cpu/emit.h"

#include <math.h>
#include <stdio.h>

typedef LLVMValueRef V;

static int lanes_of(V x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

static LLVMTypeRef int_type(FblEmit *e, V x) {
    int lanes = lanes_of(x);
    return lanes == 1 ? e->i32 : LLVMVectorType(e->i32, (unsigned)lanes);
}

static V real(FblEmit *e, V like, double value) { return fbl_emit_f32(e, value, lanes_of(like)); }
static V integer(FblEmit *e, V like, int64_t value) { return fbl_emit_splat(e, fbl_emit_i32(e, value), lanes_of(like)); }
static V call1(FblEmit *e, const char *name, V x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return fbl_emit_intrinsic(e, name, &type, 1, &x, 1);
}
static V less(FblEmit *e, V a, V b) { return LLVMBuildFCmp(e->b, LLVMRealOLT, a, b, ""); }
static V choose(FblEmit *e, V c, V a, V b) { return LLVMBuildSelect(e->b, c, a, b, ""); }

// c[0] + c[1] x + ... by Horner's rule.
static V polynomial(FblEmit *e, V x, const double *c, int count) {
    V sum = real(e, x, c[count - 1]);
    for (int i = count - 2; i >= 0; i--) {
        sum = fbl_emit_fma(e, sum, x, real(e, x, c[i]));
    }
    return sum;
}

// 2^n for an integer vector with n in [-126, 127], by building the exponent field.
static V power_of_two(FblEmit *e, V n, V like) {
    V bits = LLVMBuildShl(e->b, LLVMBuildAdd(e->b, n, integer(e, like, 127), ""), integer(e, like, 23), "");
    return LLVMBuildBitCast(e->b, bits, LLVMTypeOf(like), "");
}

// x = n ln2 + r with |r| <= ln2/2; returns r, and n as integers. x within [-104, 89].
static V reduce_exponent(FblEmit *e, V x, V *out_n) {
    V n = call1(e, "llvm.rint", LLVMBuildFMul(e->b, x, real(e, x, 1.4426950408889634), ""));
    V r = fbl_emit_fma(e, n, real(e, x, -0.693359375), x);
    r = fbl_emit_fma(e, n, real(e, x, 2.12194440e-4), r);
    *out_n = LLVMBuildFPToSI(e->b, n, int_type(e, x), "");
    return r;
}

V fbl_emit_exp(FblEmit *e, V x) {
    V low = real(e, x, -104.0), high = real(e, x, 89.0);
    V clamped = choose(e, less(e, x, low), low, choose(e, less(e, high, x), high, x));
    V is_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    clamped = choose(e, is_nan, real(e, x, 0), clamped);
    V n;
    V r = reduce_exponent(e, clamped, &n);
    static const double c[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040};
    V p = polynomial(e, r, c, 8);
    // Two factors, so that neither leaves the exponent range: 2^128 gives inf and 2^-149 a denormal.
    V half = LLVMBuildAShr(e->b, n, integer(e, x, 1), "");
    V rest = LLVMBuildSub(e->b, n, half, "");
    p = LLVMBuildFMul(e->b, LLVMBuildFMul(e->b, p, power_of_two(e, half, x), ""), power_of_two(e, rest, x), "");
    return choose(e, is_nan, x, p);
}

V fbl_emit_expm1(FblEmit *e, V x) {
    static const double c[] = {1.0,        1.0 / 2,    1.0 / 6,     1.0 / 24,     1.0 / 120,
                               1.0 / 720,  1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800};
    V small = LLVMBuildFMul(e->b, x, polynomial(e, x, c, 10), "");
    V large = LLVMBuildFSub(e->b, fbl_emit_exp(e, x), real(e, x, 1), "");
    return choose(e, less(e, call1(e, "llvm.fabs", x), real(e, x, 0.6)), small, large);
}

V fbl_emit_log(FblEmit *e, V x) {
    // Denormals are scaled up; then x = 2^k m with m in [sqrt(1/2), sqrt(2)).
    V tiny = less(e, x, real(e, x, 1.17549435e-38));
    V scaled = choose(e, tiny, LLVMBuildFMul(e->b, x, real(e, x, 0x1p25), ""), x);
    V bits = LLVMBuildBitCast(e->b, scaled, int_type(e, x), "");
    V shifted = LLVMBuildSub(e->b, bits, integer(e, x, 0x3f3504f3), "");
    V k = LLVMBuildAShr(e->b, shifted, integer(e, x, 23), "");
    V m_bits = LLVMBuildSub(e->b, bits, LLVMBuildShl(e->b, k, integer(e, x, 23), ""), "");
    V m = LLVMBuildBitCast(e->b, m_bits, LLVMTypeOf(x), "");
    V kf = LLVMBuildSIToFP(e->b, k, LLVMTypeOf(x), "");
    kf = choose(e, tiny, LLVMBuildFSub(e->b, kf, real(e, x, 25), ""), kf);
    // log m = 2 atanh(s), s = (m-1)/(m+1), as f - s (f - R) with f = m - 1, h = f^2/2 (Sun's fdlibm form).
    V f = LLVMBuildFSub(e->b, m, real(e, x, 1), "");
    V s = LLVMBuildFDiv(e->b, f, LLVMBuildFAdd(e->b, f, real(e, x, 2), ""), "");
    V z = LLVMBuildFMul(e->b, s, s, "");
    static const double c[] = {2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11};
    V ratio = LLVMBuildFMul(e->b, z, polynomial(e, z, c, 5), "");
    V h = LLVMBuildFMul(e->b, LLVMBuildFMul(e->b, f, f, ""), real(e, x, 0.5), "");
    V tail = fbl_emit_fma(e, s, LLVMBuildFAdd(e->b, h, ratio, ""), LLVMBuildFMul(e->b, kf, real(e, x, 9.0580006145e-06), ""));
    V result = LLVMBuildFSub(e->b, f, LLVMBuildFSub(e->b, h, tail, ""), "");
    result = fbl_emit_fma(e, kf, real(e, x, 0.69313812256), result);
    V infinite = LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, INFINITY), "");
    result = choose(e, infinite, x, result);
    V zero = LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, 0), "");
    result = choose(e, zero, real(e, x, -INFINITY), result);
    V bad = LLVMBuildFCmp(e->b, LLVMRealULT, x, real(e, x, 0), ""); // negative or NaN
    return choose(e, bad, real(e, x, NAN), result);
}

V fbl_emit_log1p(FblEmit *e, V x) {
    // With u = fl(1 + x), log1p(x) = log(u) x / (u - 1): the rounding of u cancels (Kahan).
    V one = real(e, x, 1);
    V u = LLVMBuildFAdd(e->b, x, one, "");
    V d = LLVMBuildFSub(e->b, u, one, "");
    V log_u = fbl_emit_log(e, u);
    V exact = LLVMBuildFCmp(e->b, LLVMRealOEQ, d, real(e, x, 0), "");
    V safe = choose(e, exact, one, d);
    V result = LLVMBuildFMul(e->b, log_u, LLVMBuildFDiv(e->b, x, safe, ""), "");
    result = choose(e, exact, x, result);
    V limit = LLVMBuildOr(e->b, LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, INFINITY), ""),
                          LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, -1), ""), "");
    return choose(e, limit, log_u, result);
}

V fbl_emit_tanh(FblEmit *e, V x) {
    V magnitude = call1(e, "llvm.fabs", x);
    V big = less(e, real(e, x, 10), magnitude);
    V t = fbl_emit_expm1(e, LLVMBuildFAdd(e->b, choose(e, big, real(e, x, 10), magnitude), choose(e, big, real(e, x, 10), magnitude), ""));
    V r = LLVMBuildFDiv(e->b, t, LLVMBuildFAdd(e->b, t, real(e, x, 2), ""), "");
    r = choose(e, big, real(e, x, 1), r);
    LLVMTypeRef type = LLVMTypeOf(x);
    return fbl_emit_intrinsic(e, "llvm.copysign", &type, 1, (V[]){r, x}, 2);
}

V fbl_emit_sigmoid(FblEmit *e, V x) {
    V t = fbl_emit_exp(e, LLVMBuildFNeg(e->b, call1(e, "llvm.fabs", x), ""));
    V r = LLVMBuildFDiv(e->b, real(e, x, 1), LLVMBuildFAdd(e->b, t, real(e, x, 1), ""), "");
    V negative = less(e, x, real(e, x, 0));
    return choose(e, negative, LLVMBuildFMul(e->b, t, r, ""), r);
}

V fbl_emit_libm(FblEmit *e, const char *name, V *args, unsigned count) {
    LLVMTypeRef types[2] = {e->f32, e->f32};
    LLVMTypeRef type = LLVMFunctionType(e->f32, types, count, 0);
    V fn = LLVMGetNamedFunction(e->module, name);
    if (!fn) {
        fn = LLVMAddFunction(e->module, name, type);
    }
    int lanes = lanes_of(args[0]);
    if (lanes == 1) {
        return LLVMBuildCall2(e->b, type, fn, args, count, "");
    }
    V result = LLVMGetPoison(LLVMTypeOf(args[0]));
    for (int i = 0; i < lanes; i++) {
        V parts[2];
        for (unsigned k = 0; k < count; k++) {
            parts[k] = LLVMBuildExtractElement(e->b, args[k], fbl_emit_i32(e, i), "");
        }
        V one = LLVMBuildCall2(e->b, type, fn, parts, count, "");
        result = LLVMBuildInsertElement(e->b, result, one, fbl_emit_i32(e, i), "");
    }
    return result;
}

// Precedes every generated kernel: words, Philox, conversions, reductions across threads, and the PTX that kernels use.
// No includes, so that compilation is quick. With FBL_SHIM defined the device's own part comes from tests/cuda/shim.h,
// which runs the same kernels on a CPU.
struct FblScalars {
    unsigned long long seed, step;
};

#ifndef FBL_SHIM
#define FBL_DEVICE static __device__ __forceinline__
#define FBL_DEVICE_MEMBER __device__ __forceinline__
#define FBL_DYNAMIC_SHARED extern __shared__ __align__(16) unsigned int fbl_shared[]
#define FBL_INF __int_as_float(0x7f800000)
#define FBL_NAN __int_as_float(0x7fffffff)

// To i32 toward zero, saturating, NaN to 0: what the machine's conversion does.
FBL_DEVICE int fbl_to_int(float x) { return __float2int_rz(x); }
FBL_DEVICE unsigned fbl_bits(float x) { return __float_as_uint(x); }
FBL_DEVICE float fbl_float(unsigned bits) { return __uint_as_float(bits); }
FBL_DEVICE unsigned fbl_shuffle_xor(unsigned v, int lanes) { return __shfl_xor_sync(0xffffffffu, v, lanes); }
FBL_DEVICE unsigned fbl_shuffle_up(unsigned v, int lanes) { return __shfl_up_sync(0xffffffffu, v, lanes); }
FBL_DEVICE unsigned fbl_shuffle_from(unsigned v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }

// Nearest, ties away from zero: the only rounding of tf32 that the machine has.
FBL_DEVICE unsigned fbl_to_tf32(unsigned bits) {
    unsigned r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(__uint_as_float(bits)));
    return r;
}
// Half precision: bf16 is the upper half of an f32, f16 the machine's; nearest, ties to even. Two numbers in one word have
// `low` in the lower half.
#if __CUDA_ARCH__ >= 800
FBL_DEVICE unsigned short fbl_to_bf16(float x) {
    unsigned short r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return r;
}
FBL_DEVICE unsigned fbl_pack_bf16(float low, float high) {
    unsigned r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
#else
FBL_DEVICE unsigned short fbl_to_bf16(float x) {
    unsigned bits = __float_as_uint(x);
    return (unsigned short)((x != x ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
FBL_DEVICE unsigned fbl_pack_bf16(float low, float high) { return fbl_to_bf16(low) | (unsigned)fbl_to_bf16(high) << 16; }
#endif
FBL_DEVICE unsigned short fbl_to_f16(float x) {
    unsigned short r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return r;
}
FBL_DEVICE unsigned fbl_pack_f16(float low, float high) {
    unsigned r;
    asm("{ .reg .f16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b}; }" : "=r"(r) : "f"(low), "f"(high));
    return r;
}

FBL_DEVICE float fbl_from_bf16(unsigned short h) { return __uint_as_float((unsigned)h << 16); }
FBL_DEVICE float fbl_from_f16(unsigned short h) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
    return r;
}

// c += a * b on one warp's 16x8 tile: operands as PTX lays them out for mma.sync.
FBL_DEVICE void fbl_mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FBL_DEVICE void fbl_mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FBL_DEVICE void fbl_mma_f16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 8 x 8 halves each, turned around: lane 8 j + r points at row r of matrix j in shared memory (16 aligned bytes), lane l gets of
// each matrix the elements (2 (l % 4), l / 4) and, in the upper half, (2 (l % 4) + 1, l / 4).
FBL_DEVICE void fbl_turn4(unsigned (&r)[4], const unsigned short *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}
FBL_DEVICE void fbl_turn2(unsigned (&r)[2], const unsigned short *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"((unsigned)__cvta_generic_to_shared(row)) : "memory");
}

#if __CUDA_ARCH__ >= 800
// Copies 16 bytes to shared memory in the background, or zeros when not `inside` (then `from` is not read).
FBL_DEVICE void fbl_copy_async(unsigned *to, const float *from, bool inside) {
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = inside ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}
// The same for 8 bytes.
FBL_DEVICE void fbl_copy_async8(unsigned *to, const float *from, bool inside) {
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = inside ? 8 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}
FBL_DEVICE void fbl_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `left` of this thread's newest groups are under way.
template <int left> FBL_DEVICE void fbl_copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory"); }
#else
FBL_DEVICE void fbl_copy_async(unsigned *to, const float *from, bool inside) {
    *(float4 *)to = inside ? *(const float4 *)from : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}
FBL_DEVICE void fbl_copy_commit() {}
template <int left> FBL_DEVICE void fbl_copy_wait() {}
#endif
#endif // FBL_SHIM

// Two words of two halves.
FBL_DEVICE float4 fbl_widen_bf16(unsigned x, unsigned y) {
    return make_float4(fbl_float(x << 16), fbl_float(x & 0xffff0000u), fbl_float(y << 16), fbl_float(y & 0xffff0000u));
}
FBL_DEVICE float4 fbl_widen_f16(unsigned x, unsigned y) {
    return make_float4(fbl_from_f16((unsigned short)x), fbl_from_f16((unsigned short)(x >> 16)), fbl_from_f16((unsigned short)y), fbl_from_f16((unsigned short)(y >> 16)));
}
// Four neighbours in half precision, aligned to 8 bytes.
FBL_DEVICE float4 fbl_load_bf16(const unsigned short *from) {
    const uint2 v = *(const uint2 *)from;
    return fbl_widen_bf16(v.x, v.y);
}
FBL_DEVICE float4 fbl_load_f16(const unsigned short *from) {
    const uint2 v = *(const uint2 *)from;
    return fbl_widen_f16(v.x, v.y);
}
FBL_DEVICE void fbl_store_bf16(unsigned short *to, float4 v) { *(uint2 *)to = make_uint2(fbl_pack_bf16(v.x, v.y), fbl_pack_bf16(v.z, v.w)); }
FBL_DEVICE void fbl_store_f16(unsigned short *to, float4 v) { *(uint2 *)to = make_uint2(fbl_pack_f16(v.x, v.y), fbl_pack_f16(v.z, v.w)); }

// Eight neighbours: two accesses, each aligned to its size; halves aligned to 16 bytes: one.
template <typename T> struct FblPair {
    T low, high;
};
FBL_DEVICE FblPair<float4> fbl_load8_bf16(const unsigned short *from) {
    const uint4 v = *(const uint4 *)from;
    return {fbl_widen_bf16(v.x, v.y), fbl_widen_bf16(v.z, v.w)};
}
FBL_DEVICE FblPair<float4> fbl_load8_f16(const unsigned short *from) {
    const uint4 v = *(const uint4 *)from;
    return {fbl_widen_f16(v.x, v.y), fbl_widen_f16(v.z, v.w)};
}
FBL_DEVICE void fbl_store8_bf16(unsigned short *to, const FblPair<float4> &v) {
    *(uint4 *)to = make_uint4(fbl_pack_bf16(v.low.x, v.low.y), fbl_pack_bf16(v.low.z, v.low.w), fbl_pack_bf16(v.high.x, v.high.y), fbl_pack_bf16(v.high.z, v.high.w));
}
FBL_DEVICE void fbl_store8_f16(unsigned short *to, const FblPair<float4> &v) {
    *(uint4 *)to = make_uint4(fbl_pack_f16(v.low.x, v.low.y), fbl_pack_f16(v.low.z, v.low.w), fbl_pack_f16(v.high.x, v.high.y), fbl_pack_f16(v.high.z, v.high.w));
}
FBL_DEVICE FblPair<float4> fbl_load44_bf16(const unsigned short *from) { return {fbl_load_bf16(from), fbl_load_bf16(from + 4)}; }
FBL_DEVICE FblPair<float4> fbl_load44_f16(const unsigned short *from) { return {fbl_load_f16(from), fbl_load_f16(from + 4)}; }
FBL_DEVICE void fbl_store44_bf16(unsigned short *to, const FblPair<float4> &v) {
    fbl_store_bf16(to, v.low);
    fbl_store_bf16(to + 4, v.high);
}
FBL_DEVICE void fbl_store44_f16(unsigned short *to, const FblPair<float4> &v) {
    fbl_store_f16(to, v.low);
    fbl_store_f16(to + 4, v.high);
}

// Philox4x32-10 as in base/philox.h: element `index` of random site `stream` at the scalars' step, inside (0, 1).
FBL_DEVICE unsigned fbl_random_word(const FblScalars *scalars, unsigned stream, unsigned long long index) {
    unsigned c0 = (unsigned)(index >> 2), c1 = stream;
    unsigned c2 = (unsigned)scalars->step, c3 = (unsigned)(scalars->step >> 32);
    unsigned k0 = (unsigned)scalars->seed, k1 = (unsigned)(scalars->seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned long long p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
        unsigned n0 = (unsigned)(p1 >> 32) ^ c1 ^ k0, n2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
        c1 = (unsigned)p1;
        c3 = (unsigned)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    unsigned lane = (unsigned)index & 3u;
    return lane == 0 ? c0 : lane == 1 ? c1 : lane == 2 ? c2 : c3;
}
FBL_DEVICE float fbl_uniform(const FblScalars *scalars, unsigned stream, int index) {
    return ((float)(int)(fbl_random_word(scalars, stream, (unsigned)index) >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

// Quotient rounded down and its remainder; 0 where b is 0; the one quotient that overflows wraps.
FBL_DEVICE int fbl_div(int a, int b) {
    if (b == 0) {
        return 0;
    }
    if (b == -1) {
        return (int)(0u - (unsigned)a);
    }
    int q = a / b;
    return q - (a % b != 0 && (a ^ b) < 0);
}
FBL_DEVICE int fbl_mod(int a, int b) {
    if (b == 0 || b == -1) {
        return 0;
    }
    int r = a % b;
    return r != 0 && (r ^ b) < 0 ? r + b : r;
}
FBL_DEVICE float fbl_fmod(float a, float b) { return a - b * floorf(a / b); }
FBL_DEVICE float fbl_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
// A NaN wins.
FBL_DEVICE float fbl_min(float a, float b) { return a < b || a != a ? a : b; }
FBL_DEVICE float fbl_max(float a, float b) { return a > b || a != a ? a : b; }
FBL_DEVICE int fbl_imin(int a, int b) { return a < b ? a : b; }
FBL_DEVICE int fbl_imax(int a, int b) { return a > b ? a : b; }

// Reductions. How two partial results of a kind combine, and their form as words.
struct FblSum {
    float v;
    FBL_DEVICE_MEMBER void take(const FblSum &o) { v += o.v; }
};
struct FblMax {
    float v;
    FBL_DEVICE_MEMBER void take(const FblMax &o) { v = fbl_max(v, o.v); }
};
struct FblMin {
    float v;
    FBL_DEVICE_MEMBER void take(const FblMin &o) { v = fbl_min(v, o.v); }
};
struct FblIntSum {
    int v;
    FBL_DEVICE_MEMBER void take(const FblIntSum &o) { v = (int)((unsigned)v + (unsigned)o.v); }
};
struct FblIntMax {
    int v;
    FBL_DEVICE_MEMBER void take(const FblIntMax &o) { v = fbl_imax(v, o.v); }
};
struct FblIntMin {
    int v;
    FBL_DEVICE_MEMBER void take(const FblIntMin &o) { v = fbl_imin(v, o.v); }
};
// The larger value, a NaN before any number, at equality the smaller index.
struct FblArgmax {
    float v;
    int index;
    FBL_DEVICE_MEMBER void take(const FblArgmax &o) {
        bool nan = v != v, other = o.v != o.v;
        bool better = nan || other ? other && (!nan || o.index < index) : o.v > v || (o.v == v && o.index < index);
        if (better) {
            v = o.v;
            index = o.index;
        }
    }
};

// Several results of a thread at once.
template <typename T, int N> struct FblMany {
    T v[N];
    FBL_DEVICE_MEMBER void take(const FblMany &o) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            v[i].take(o.v[i]);
        }
    }
    FBL_DEVICE_MEMBER T all() { // in a balanced tree
#pragma unroll
        for (int half = N / 2; half >= 1; half /= 2) {
#pragma unroll
            for (int i = 0; i < half; i++) {
                v[i].take(v[i + half]);
            }
        }
        return v[0];
    }
};

// The sum over four threads of a warp that are eight apart, in a fixed tree; all of them get it.
FBL_DEVICE float fbl_sum_shares(float v) {
    v += fbl_float(fbl_shuffle_xor(fbl_bits(v), 8));
    return v + fbl_float(fbl_shuffle_xor(fbl_bits(v), 16));
}

// Combines the partial results of the TY threads that share a column (thread = ty * TX + tx), in an order fixed by TX and
// TY; all of them get the result. Every thread of the block calls it; `shared` holds TX * ceil(TX * TY / 32) of T.
template <typename T, int TX, int TY> FBL_DEVICE void fbl_reduce(T &value, void *shared) {
    if (TY == 1) {
        return;
    }
    if (TX < 32) {
#pragma unroll
        for (int step = TX; step < 32 && step < TX * TY; step *= 2) {
            T other;
            unsigned words[sizeof(T) / 4], theirs[sizeof(T) / 4];
            *(T *)words = value;
#pragma unroll
            for (int i = 0; i < (int)(sizeof(T) / 4); i++) {
                theirs[i] = fbl_shuffle_xor(words[i], step);
            }
            other = *(T *)theirs;
            // The lower lane's part comes first on both sides, so that both get the same bits.
            if (threadIdx.x & step) {
                other.take(value);
                value = other;
            } else {
                value.take(other);
            }
        }
    }
    constexpr int rows = TX < 32 ? (TX * TY + 31) / 32 : TY;
    if (rows > 1) {
        T *parts = (T *)shared;
        int tx = threadIdx.x % TX, row = TX < 32 ? threadIdx.x / 32 : threadIdx.x / TX;
        if (TX >= 32 || threadIdx.x % 32 < TX) {
            parts[row * TX + tx] = value;
        }
        __syncthreads();
        // A balanced tree over the rows.
#pragma unroll
        for (int half = rows / 2; half >= 1; half /= 2) {
            for (int i = row; i < half; i += rows) {
                if (TX >= 32 || threadIdx.x % 32 < TX) {
                    parts[i * TX + tx].take(parts[(i + half) * TX + tx]);
                }
            }
            __syncthreads();
        }
        value = parts[tx];
        __syncthreads();
    }
}

// Doubles between the lanes of a warp.
FBL_DEVICE double fbl_join(unsigned low, unsigned high) {
    union {
        unsigned long long bits;
        double value;
    } u;
    u.bits = (unsigned long long)high << 32 | low;
    return u.value;
}
FBL_DEVICE void fbl_halves(double v, unsigned *low, unsigned *high) {
    union {
        double value;
        unsigned long long bits;
    } u;
    u.value = v;
    *low = (unsigned)u.bits;
    *high = (unsigned)(u.bits >> 32);
}
FBL_DEVICE double fbl_shuffle_up_double(double v, int lanes) {
    unsigned low, high;
    fbl_halves(v, &low, &high);
    low = fbl_shuffle_up(low, lanes);
    high = fbl_shuffle_up(high, lanes);
    return fbl_join(low, high);
}
FBL_DEVICE double fbl_shuffle_from_double(double v, int lane) {
    unsigned low, high;
    fbl_halves(v, &low, &high);
    low = fbl_shuffle_from(low, lane);
    high = fbl_shuffle_from(high, lane);
    return fbl_join(low, high);
}

// One number from Beta(a, b), as base/beta.c draws it.
FBL_DEVICE double fbl_beta_uniform(const FblScalars *scalars, unsigned stream, unsigned long long *index) {
    unsigned long long high = fbl_random_word(scalars, stream, *index);
    unsigned long long low = fbl_random_word(scalars, stream, *index + 1);
    *index += 2;
    return ((double)((high << 32 | low) >> 12) + 0.5) * (1.0 / 4503599627370496.0);
}
static __device__ double fbl_beta_gamma(const FblScalars *scalars, unsigned stream, unsigned long long *index, double shape) {
    double boost = 0.0;
    if (shape < 1.0) {
        boost = log(fbl_beta_uniform(scalars, stream, index)) / shape;
        shape += 1.0;
    }
    double d = shape - 1.0 / 3, c = 1.0 / sqrt(9.0 * d);
    for (int attempt = 0; attempt < 1000; attempt++) {
        double u = fbl_beta_uniform(scalars, stream, index), w = fbl_beta_uniform(scalars, stream, index);
        double x = sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * w), v = 1.0 + c * x;
        if (v <= 0.0) {
            continue;
        }
        v = v * v * v;
        if (log(fbl_beta_uniform(scalars, stream, index)) < 0.5 * x * x + d - d * v + d * log(v)) {
            return log(d) + log(v) + boost;
        }
    }
    return log(d) + boost;
}
static __device__ double fbl_beta(const FblScalars *scalars, unsigned stream, double a, double b) {
    unsigned long long index = 0;
    if (!(a > 0.0 && a <= 1.7976931348623157e308 && b > 0.0 && b <= 1.7976931348623157e308)) {
        return FBL_NAN;
    }
    double x = fbl_beta_gamma(scalars, stream, &index, a);
    double y = fbl_beta_gamma(scalars, stream, &index, b);
    return 1.0 / (1.0 + exp(y - x));
}

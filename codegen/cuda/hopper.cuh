// Hopper's part of the preamble: asynchronous barriers, tensor maps and warpgroup products, as PTX. Follows preamble.cuh; empty
// unless the unit is compiled for sm_90a. Addresses are those of shared memory, in bytes. tests/cuda/shim_hopper.h does the
// same on a CPU.
#if defined(FBL_SHIM)
#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)
FBL_DEVICE unsigned fbl_shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
// As fbl_copy_async, 16 bytes to an address.
FBL_DEVICE void fbl_copy_async_to(unsigned to, const void *from, bool inside) {
    int bytes = inside ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

// Barriers in shared memory, 8 bytes each: a phase ends when `count` threads have arrived and all announced bytes have come.
FBL_DEVICE void fbl_barrier_init(unsigned barrier, unsigned count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
// Before the __syncthreads after the last init: the copy engine sees the barriers too.
FBL_DEVICE void fbl_barrier_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
FBL_DEVICE void fbl_barrier_arrive(unsigned barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }
// Arrives, and announces bytes.
FBL_DEVICE void fbl_barrier_expect(unsigned barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Waits for the end of the phase of this parity; the one before the first has parity 1. A wait without end is a fault, told by the
// driver, and no program that hangs.
FBL_DEVICE void fbl_barrier_wait(unsigned barrier, unsigned parity) {
    unsigned done, tries = 0;
    do {
        if (++tries == 1u << 26) {
            asm volatile("trap;");
        }
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    } while (!done);
}

// This thread's writes to shared memory become visible to the tensor cores' own reads.
FBL_DEVICE void fbl_fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// An encoded tensor map, a parameter of the kernel. A box, or a run of pixels, goes to shared memory in the background; its bytes count
// at the barrier. One thread asks for a whole copy.
struct __align__(128) FblMap {
    unsigned long long words[16];
};
FBL_DEVICE void fbl_map_tile(unsigned to, const FblMap *map, unsigned barrier, int x, int y, int z) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to), "l"(map), "r"(barrier), "r"(x),
                 "r"(y), "r"(z)
                 : "memory");
}
FBL_DEVICE void fbl_map_pixels(unsigned to, const FblMap *map, unsigned barrier, int c, int w, int h, int n, int tap_w, int tap_h) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to), "l"(map),
                 "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n), "h"((unsigned short)tap_w), "h"((unsigned short)tap_h)
                 : "memory");
}

// Where a factor of a warpgroup product lies: strides in bytes, swizzle 1, 2, 3 for rows of 128, 64, 32 bytes.
FBL_DEVICE unsigned long long fbl_wgmma_factor(unsigned address, unsigned leading, unsigned stride, unsigned swizzle) {
    return (unsigned long long)((address & 0x3ffffu) >> 4) | (unsigned long long)(leading >> 4) << 16 | (unsigned long long)(stride >> 4) << 32 | (unsigned long long)swizzle << 62;
}
FBL_DEVICE void fbl_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
FBL_DEVICE void fbl_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most `left` groups are under way.
template <int left> FBL_DEVICE void fbl_wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory"); }
// Sums are not to be moved across this point by the compiler, which does not know that products run on.
template <int count> FBL_DEVICE void fbl_wgmma_hold(float (&d)[count]) {
#pragma unroll
    for (int i = 0; i < count; i++) {
        asm volatile("" : "+f"(d[i])::"memory");
    }
}

// d += a * b, 64 rows and 2 * count columns, in the background; transposed factors (1) lie along their rows or columns in memory,
// others along the sum.
#define FBL_REGISTERS_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define FBL_REGISTERS_16 \
    FBL_REGISTERS_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define FBL_REGISTERS_32 \
    FBL_REGISTERS_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FBL_REGISTERS_64 \
    FBL_REGISTERS_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FBL_REGISTERS_128 \
    FBL_REGISTERS_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95" \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FBL_SUMS_8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define FBL_SUMS_16(i) FBL_SUMS_8(i), FBL_SUMS_8(i + 8)
#define FBL_SUMS_32(i) FBL_SUMS_16(i), FBL_SUMS_16(i + 16)
#define FBL_SUMS_64(i) FBL_SUMS_32(i), FBL_SUMS_32(i + 32)
#define FBL_SUMS_128(i) FBL_SUMS_64(i), FBL_SUMS_64(i + 64)
#define FBL_WGMMA(columns, count, a, b, turn_a, turn_b)                                                                                          \
    template <int TA, int TB> FBL_DEVICE void fbl_wgmma_bf16(float (&d)[count], unsigned long long x, unsigned long long y) {                    \
        asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" FBL_REGISTERS_##count \
                     "}, " a ", " b ", p, 1, 1, " turn_a ", " turn_b "; }"                                                                        \
                     : FBL_SUMS_##count(0)                                                                                                       \
                     : "l"(x), "l"(y), "n"(TA), "n"(TB));                                                                                         \
    }                                                                                                                                            \
    template <int TA, int TB> FBL_DEVICE void fbl_wgmma_f16(float (&d)[count], unsigned long long x, unsigned long long y) {                     \
        asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.f16.f16 {" FBL_REGISTERS_##count  \
                     "}, " a ", " b ", p, 1, 1, " turn_a ", " turn_b "; }"                                                                        \
                     : FBL_SUMS_##count(0)                                                                                                       \
                     : "l"(x), "l"(y), "n"(TA), "n"(TB));                                                                                         \
    }                                                                                                                                            \
    template <int TA, int TB> FBL_DEVICE void fbl_wgmma_tf32(float (&d)[count], unsigned long long x, unsigned long long y) {                    \
        asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n" #columns "k8.f32.tf32.tf32 {" FBL_REGISTERS_##count \
                     "}, " a ", " b ", p, 1, 1; }"                                                                                               \
                     : FBL_SUMS_##count(0)                                                                                                       \
                     : "l"(x), "l"(y));                                                                                                          \
    }
FBL_WGMMA(16, 8, "%8", "%9", "%10", "%11")
FBL_WGMMA(32, 16, "%16", "%17", "%18", "%19")
FBL_WGMMA(64, 32, "%32", "%33", "%34", "%35")
FBL_WGMMA(128, 64, "%64", "%65", "%66", "%67")
FBL_WGMMA(256, 128, "%128", "%129", "%130", "%131")
#endif

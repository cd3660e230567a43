// Runs generated CUDA C on a CPU: C++, included before codegen/cuda/preamble.cuh with FBL_SHIM defined.
//
// Every thread of a block is a fiber with a stack of its own; it runs until it waits for its block (__syncthreads) or its
// warp (shuffles, mma). Threads are resumed in an order shuffled by a seed, anew in every round, so that a missing barrier
// shows as a wrong result for some seed. Copies in the background (cp.async) land only when they are waited for; until then
// their destination holds NaN. Dynamic shared memory starts as NaN. A barrier that not all threads reach, or a warp function
// that not all lanes reach, ends the process with a message.
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define FBL_DEVICE static inline
#define FBL_DEVICE_MEMBER inline
#define FBL_DYNAMIC_SHARED
#define FBL_INF INFINITY
#define FBL_NAN NAN

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline uchar4 make_uchar4(int x, int y, int z, int w) { return {(unsigned char)x, (unsigned char)y, (unsigned char)z, (unsigned char)w}; }

#define SHIM_THREADS 1024
#define SHIM_STACK (96 * 1024)
#define SHIM_SHARED (228 * 1024)
#define SHIM_PENDING 128

enum ShimState { SHIM_READY, SHIM_BLOCK, SHIM_WARP, SHIM_BARRIER, SHIM_DONE };
enum ShimOp { SHIM_XOR, SHIM_UP, SHIM_FROM, SHIM_TURN, SHIM_TF32, SHIM_BF16, SHIM_F16, SHIM_WGMMA, SHIM_WGMMA_FENCE, SHIM_WGMMA_COMMIT, SHIM_WGMMA_WAIT };

struct ShimCopy {
    unsigned *to;
    const float *from;
    bool inside;
    int group, bytes;
};

// A warpgroup product that was issued: formats and descriptors.
struct ShimProduct {
    ShimOp format;
    unsigned long long a, b;
    bool turn_a, turn_b, done;
    int group;
};

struct ShimThread {
    ShimState state;
    ShimOp op;
    unsigned value, result;
    int lanes;
    float *c;
    const unsigned *a, *b;
    unsigned *turned; // SHIM_TURN: `lanes` words
    const unsigned short *row;
    int group; // copies committed so far
    int pending_count;
    ShimCopy pending[SHIM_PENDING];
    bool unfenced;             // copies have landed that the tensor cores may not see yet
    unsigned barrier, parity; // what it waits for
    ShimProduct product;
    struct { unsigned x, y, z; } index;
#if defined(__x86_64__)
    void *stack_pointer;
#else
    ucontext_t context;
#endif
};

struct ShimDim { unsigned x, y, z; };
// Shared memory starts at some address that is aligned to 16 bytes only, as kernels may assume no more.
#define SHIM_BASE 1024u
alignas(1024) static unsigned shim_window[SHIM_SHARED / 4 + 4];
static unsigned *const fbl_shared = shim_window + 4;
static ShimThread shim_threads[SHIM_THREADS];
static ShimThread *shim_now;
static unsigned char *shim_stacks;
static struct ShimStacksEnd {
    ~ShimStacksEnd() { std::free(shim_stacks); } // when the library is closed
} shim_stacks_end;
static ShimDim blockIdx, gridDim, blockDim;
static void (*shim_call)(void **);
static void **shim_arguments;
static const char *shim_name;
static uint64_t shim_random; // 0: threads in order
extern "C" unsigned long long shim_multiply_adds; // of the tensor cores, since the library was loaded
unsigned long long shim_multiply_adds;
#define threadIdx (shim_now->index)

[[noreturn]] static void shim_fail(const char *what) {
    std::fprintf(stderr, "%s: %s (block %u %u %u)\n", shim_name, what, blockIdx.x, blockIdx.y, blockIdx.z);
    std::abort();
}

// Switching ---------------------------------------------------------------------------------------------------------

#if defined(__x86_64__)
static void *shim_scheduler;
extern "C" void shim_switch(void **save, void *load) __attribute__((visibility("hidden")));
asm(".text\n.hidden shim_switch\n.globl shim_switch\nshim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
static void shim_to_scheduler() { shim_switch(&shim_now->stack_pointer, shim_scheduler); }
static void shim_to_thread(ShimThread *thread) {
    shim_now = thread;
    shim_switch(&shim_scheduler, thread->stack_pointer);
}
#else
static ucontext_t shim_scheduler;
static void shim_to_scheduler() { swapcontext(&shim_now->context, &shim_scheduler); }
static void shim_to_thread(ShimThread *thread) {
    shim_now = thread;
    swapcontext(&shim_scheduler, &thread->context);
}
#endif

static void shim_end();
static void shim_main() {
    shim_call(shim_arguments);
    if (shim_now->pending_count > 0) {
        shim_fail("a thread ended with copies under way");
    }
    shim_end();
    shim_now->state = SHIM_DONE;
    shim_to_scheduler();
}

static void shim_prepare(int number) {
    ShimThread *thread = &shim_threads[number];
    unsigned char *stack = shim_stacks + (size_t)number * SHIM_STACK;
    thread->state = SHIM_READY;
    thread->group = thread->pending_count = 0;
    thread->unfenced = false;
    thread->index = {(unsigned)number % blockDim.x, (unsigned)number / blockDim.x % blockDim.y, (unsigned)number / blockDim.x / blockDim.y};
#if defined(__x86_64__)
    void **top = (void **)(stack + SHIM_STACK - 64); // after `ret` the stack is aligned as after a call
    *--top = nullptr;
    *--top = (void *)shim_main;
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    thread->stack_pointer = top;
#else
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = stack;
    thread->context.uc_stack.ss_size = SHIM_STACK;
    thread->context.uc_link = nullptr;
    makecontext(&thread->context, shim_main, 0);
#endif
}

// What threads wait for ---------------------------------------------------------------------------------------------

static inline void __syncthreads() {
    shim_now->state = SHIM_BLOCK;
    shim_to_scheduler();
}

static unsigned shim_shuffle(ShimOp op, unsigned value, int lanes) {
    shim_now->op = op;
    shim_now->value = value;
    shim_now->lanes = lanes;
    shim_now->state = SHIM_WARP;
    shim_to_scheduler();
    return shim_now->result;
}
static inline unsigned fbl_shuffle_xor(unsigned v, int lanes) { return shim_shuffle(SHIM_XOR, v, lanes); }
static inline unsigned fbl_shuffle_up(unsigned v, int lanes) { return shim_shuffle(SHIM_UP, v, lanes); }
static inline unsigned fbl_shuffle_from(unsigned v, int lane) { return shim_shuffle(SHIM_FROM, v, lane); }

static void shim_mma(ShimOp op, float *c, const unsigned *a, const unsigned *b) {
    shim_now->op = op;
    shim_now->c = c;
    shim_now->a = a;
    shim_now->b = b;
    shim_now->state = SHIM_WARP;
    shim_to_scheduler();
}
static inline void fbl_mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { shim_mma(SHIM_TF32, c, a, b); }
static inline void fbl_mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { shim_mma(SHIM_BF16, c, a, b); }
static inline void fbl_mma_f16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { shim_mma(SHIM_F16, c, a, b); }

static void shim_turn(unsigned *turned, int count, const unsigned short *row) {
    shim_now->op = SHIM_TURN;
    shim_now->turned = turned;
    shim_now->lanes = count;
    shim_now->row = row;
    shim_now->state = SHIM_WARP;
    shim_to_scheduler();
}
static inline void fbl_turn4(unsigned (&r)[4], const unsigned short *row) { shim_turn(r, 4, row); }
static inline void fbl_turn2(unsigned (&r)[2], const unsigned short *row) { shim_turn(r, 2, row); }

// Numbers -----------------------------------------------------------------------------------------------------------

static inline unsigned fbl_bits(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
static inline float fbl_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
static inline int fbl_to_int(float x) { return x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : (int)x; }
static inline unsigned fbl_to_tf32(unsigned bits) { return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu; }

static inline unsigned shim_bf16(float x) {
    unsigned bits = fbl_bits(x);
    if (x != x) {
        return 0x7fff;
    }
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
// Nearest, ties to even, by the value itself: a half's spacing is 2^-24 below 2^-14, else 2^(e-10).
static inline unsigned shim_f16(float x) {
    unsigned sign = fbl_bits(x) >> 16 & 0x8000u;
    double m = std::fabs((double)x);
    if (x != x) {
        return 0x7fff;
    }
    if (m >= 65520.0 || m == 0) {
        return sign | (m == 0 ? 0 : 0x7c00u);
    }
    int e = 0;
    std::frexp(m, &e); // m = f * 2^e, f in [0.5, 1)
    e = e - 1 < -14 ? -14 : e - 1;
    double steps = std::nearbyint(std::ldexp(m, 10 - e)); // 1024..2048 for normal numbers
    return sign | (unsigned)((e + 14) * 1024 + (int)steps);
}
static float shim_f16_value(unsigned h) {
    int e = (int)(h >> 10 & 31), f = (int)(h & 1023);
    double v = e == 31 ? (f ? NAN : INFINITY) : e ? std::ldexp(1024 + f, e - 25) : std::ldexp(f, -24);
    return (float)(h & 0x8000u ? -v : v);
}
static inline float shim_from_f16(unsigned h) {
    static float table[65536]; // of all, since factors are looked up one by one
    static bool made;
    if (!made) {
        for (unsigned i = 0; i < 65536; i++) {
            table[i] = shim_f16_value(i);
        }
        made = true;
    }
    return table[h & 0xffffu];
}
static inline float fbl_from_bf16(unsigned short h) { return fbl_float((unsigned)h << 16); }
static inline float fbl_from_f16(unsigned short h) { return shim_from_f16(h); }
static inline unsigned short fbl_to_bf16(float x) { return (unsigned short)shim_bf16(x); }
static inline unsigned short fbl_to_f16(float x) { return (unsigned short)shim_f16(x); }
static inline unsigned fbl_pack_bf16(float low, float high) { return shim_bf16(low) | shim_bf16(high) << 16; }
static inline unsigned fbl_pack_f16(float low, float high) { return shim_f16(low) | shim_f16(high) << 16; }

// Copies in the background ------------------------------------------------------------------------------------------

static inline void shim_copy(unsigned *to, const float *from, bool inside, int bytes) {
    if (shim_now->pending_count == SHIM_PENDING) {
        shim_fail("more copies under way than the shim keeps");
    }
    if ((uintptr_t)to % bytes != 0 || (inside && (uintptr_t)from % bytes != 0)) {
        shim_fail("a copy that is not aligned to its size");
    }
    std::memset(to, 0xff, bytes);
    shim_now->pending[shim_now->pending_count++] = {to, from, inside, shim_now->group, bytes};
}
static inline void fbl_copy_async(unsigned *to, const float *from, bool inside) { shim_copy(to, from, inside, 16); }
static inline void fbl_copy_async8(unsigned *to, const float *from, bool inside) { shim_copy(to, from, inside, 8); }
static inline void fbl_copy_commit() { shim_now->group++; }
template <int left> static inline void fbl_copy_wait() {
    int kept = 0;
    for (int i = 0; i < shim_now->pending_count; i++) {
        ShimCopy copy = shim_now->pending[i];
        if (copy.group < shim_now->group - left) {
            if (copy.inside) {
                std::memcpy(copy.to, copy.from, copy.bytes);
            } else {
                std::memset(copy.to, 0, copy.bytes);
            }
            shim_now->unfenced = true;
        } else {
            shim_now->pending[kept++] = copy;
        }
    }
    shim_now->pending_count = kept;
}

// The scheduler -----------------------------------------------------------------------------------------------------

static float shim_factor(ShimOp op, unsigned word, int half) {
    unsigned bits = word >> (16 * half) & 0xffffu;
    return op == SHIM_TF32 ? fbl_float(word & ~0x1fffu) : op == SHIM_BF16 ? fbl_float(bits << 16) : shim_from_f16(bits);
}

// One 16x8 tile: lane = 4 * g + t holds a words (g, t) (g+8, t) (g, t+4) (g+8, t+4), b words (t, g) (t+4, g), and c at
// (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1); a word is one factor (tf32) or two neighbours.
static void shim_do_mma(ShimThread *warp) {
    ShimOp op = warp[0].op;
    int halves = op == SHIM_TF32 ? 1 : 2, factors = 8 * halves;
    shim_multiply_adds += 16 * 8 * factors;
    float a[16][16], b[8][16];
    for (int word = 0; word < 8; word++) {
        for (int half = 0; half < halves; half++) {
            for (int row = 0; row < 16; row++) {
                a[row][word * halves + half] = shim_factor(op, warp[4 * (row % 8) + word % 4].a[row / 8 + 2 * (word / 4)], half);
            }
            for (int column = 0; column < 8; column++) {
                b[column][word * halves + half] = shim_factor(op, warp[4 * column + word % 4].b[word / 4], half);
            }
        }
    }
    for (int row = 0; row < 16; row++) {
        for (int column = 0; column < 8; column++) {
            double sum = 0;
            for (int k = 0; k < factors; k++) {
                sum += (double)a[row][k] * b[column][k];
            }
            float *c = &warp[4 * (row % 8) + column / 2].c[2 * (row / 8) + column % 2];
            *c = (float)(*c + sum);
        }
    }
}

static void shim_do_turn(ShimThread *warp) {
    for (int lane = 0; lane < 32; lane++) {
        for (int j = 0; j < warp[lane].lanes; j++) {
            const unsigned short *first = warp[8 * j + 2 * (lane % 4)].row, *second = warp[8 * j + 2 * (lane % 4) + 1].row;
            if ((uintptr_t)first % 16 != 0 || (uintptr_t)second % 16 != 0) {
                shim_fail("a row of a matrix that is not aligned to 16 bytes");
            }
            warp[lane].turned[j] = first[lane / 4] | (unsigned)second[lane / 4] << 16;
        }
    }
}

#include "soft_map.h"
#include "shim_hopper.h"

static void shim_do_warp(ShimThread *warp) {
    for (int lane = 1; lane < 32; lane++) {
        if (warp[lane].op != warp[0].op) {
            shim_fail("the lanes of a warp call different functions");
        }
    }
    if (warp[0].op >= SHIM_WGMMA) {
        shim_do_wgmma(warp, &shim_warps[(warp - shim_threads) / 32]);
    } else if (warp[0].op >= SHIM_TF32) {
        shim_do_mma(warp);
    } else if (warp[0].op == SHIM_TURN) {
        shim_do_turn(warp);
    }
    for (int lane = 0; lane < 32; lane++) {
        int by = warp[lane].lanes;
        int from = warp[lane].op == SHIM_XOR ? lane ^ by : warp[lane].op == SHIM_UP ? (lane >= by ? lane - by : lane) : by;
        warp[lane].result = warp[0].op >= SHIM_TURN ? 0 : warp[from & 31].value;
        warp[lane].state = SHIM_READY;
    }
}

static unsigned shim_below(unsigned n) {
    shim_random = shim_random * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((shim_random >> 33) % n);
}

static void shim_block(int count) {
    static int order[SHIM_THREADS];
    for (int i = 0; i < count; i++) {
        shim_prepare(i);
        order[i] = i;
    }
    std::memset(shim_window, 0xff, sizeof shim_window);
    for (ShimWarp &warp : shim_warps) {
        warp.fenced = warp.flying = false;
        warp.group = warp.count = 0;
    }
    for (;;) {
        bool progress = false;
        for (int i = count - 1; i > 0 && shim_random != 0; i--) {
            int k = (int)shim_below((unsigned)i + 1), swap = order[i];
            order[i] = order[k];
            order[k] = swap;
        }
        for (int i = 0; i < count; i++) {
            ShimThread *thread = &shim_threads[order[i]];
            if (thread->state == SHIM_BARRIER && shim_barrier_done(thread->barrier, thread->parity)) {
                thread->state = SHIM_READY;
            }
            if (thread->state == SHIM_READY) {
                shim_to_thread(thread);
                progress = true;
            }
        }
        int done = 0, at_block = 0;
        for (int warp = 0; warp < count; warp += 32) {
            int waiting = 0;
            for (int lane = warp; lane < warp + 32 && lane < count; lane++) {
                waiting += shim_threads[lane].state == SHIM_WARP;
                done += shim_threads[lane].state == SHIM_DONE;
                at_block += shim_threads[lane].state == SHIM_BLOCK;
            }
            if (waiting == 32) {
                shim_do_warp(&shim_threads[warp]);
                progress = true;
            }
        }
        if (done == count) {
            if (shim_transfer_count > 0) {
                shim_fail("a block ended with transfers under way");
            }
            return;
        }
        progress = shim_land_some(false) || progress;
        if (at_block + done == count) {
            for (int i = 0; i < count; i++) {
                shim_threads[i].state = shim_threads[i].state == SHIM_BLOCK ? SHIM_READY : SHIM_DONE;
            }
            progress = true;
        }
        if (!progress && !shim_land_some(true)) {
            shim_fail("threads wait for others that never come");
        }
    }
}

// What -fsanitize=alignment traps at (shim_flags.h).
static void shim_trap(int) { shim_fail("an access that is not aligned to its size"); }

// Runs `call` (which passes `arguments` to a kernel) over a grid. Seed 0: threads in order.
extern "C" void shim_launch(const char *name, void (*call)(void **), void **arguments, const uint32_t *grid, const uint32_t *block, uint32_t shared_bytes,
                            uint64_t seed) {
    shim_name = name;
    if (!shim_stacks) {
        shim_stacks = (unsigned char *)std::malloc((size_t)SHIM_THREADS * SHIM_STACK);
    }
    int count = (int)(block[0] * block[1] * block[2]);
    if (!shim_stacks || count > SHIM_THREADS || shared_bytes > SHIM_SHARED || grid[1] > 65535 || grid[2] > 65535) {
        shim_fail("a launch that no device accepts");
    }
    std::signal(SIGILL, shim_trap); // x86
    std::signal(SIGTRAP, shim_trap);
    shim_call = call;
    shim_arguments = arguments;
    shim_random = seed;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++) {
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++) {
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) {
                shim_block(count);
            }
        }
    }
}

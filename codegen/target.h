// What a code generator offers to the rest: kernels in, machine code out, code loaded and called.
//
// The CPU backend compiles each kernel to its own object file (so that each is cached by content) and loads them with
// ORC. Ownership and threads: stated per function.
#ifndef FBL_CODEGEN_TARGET_H
#define FBL_CODEGEN_TARGET_H

#include "codegen/tensor_map.h"
#include "ir/kernel.h"
#include "ir/library_array.h"

// What a kernel function is called with. buffers[i] is the base of buffer i of the kernel. scratch is per thread,
// FblKernelCode.scratch_bytes long, 64-byte aligned, contents undefined.
typedef struct FblKernelArgs {
    void *const *buffers;
    void *scratch;
    uint64_t seed, step; // for random numbers
    const FblKernel *kernel; // the kernel that is called
} FblKernelArgs;

// Does work items [begin, end). Items of one phase are independent; a kernel of several phases is called for all items of
// phase 0, then (after a barrier) of phase 1, ... with shared workspace buffers in args->buffers after the kernel's own.
typedef void (*FblKernelFn)(const FblKernelArgs *args, int64_t begin, int64_t end);

#define FBL_KERNEL_MAX_PHASES 3
#define FBL_GPU_MAX_MAPS 2

// How a GPU runs one phase of a kernel.
typedef struct FblGpuPhase {
    char symbol[112]; // the entry point in the kernel's image
    uint32_t grid[3], block[3];
    uint32_t shared_bytes; // dynamic shared memory
    int32_t map_count;     // tensor maps, which the entry point takes by value after all other parameters
    FblTensorMap maps[FBL_GPU_MAX_MAPS];
} FblGpuPhase;

// What a library does instead of the kernel's own code (ir/library_work.h): its algorithm as the library chose it, recorded so that
// later runs use the same one. The kernel's own code is there as well, for where the library is missing or refuses.
#define FBL_GPU_ALGORITHM 32
typedef struct FblGpuLibrary {
    bool used;
    int32_t kind;          // FblLibraryKind
    int32_t precision;     // FblCudaPrecision
    uint64_t algorithm[FBL_GPU_ALGORITHM]; // the library's own: cublasLtMatmulAlgo_t in the first 8
    int64_t workspace_bytes; // of the library's, behind the arrays
    char name[112]; // for people: "cuBLASLt 13.0.2: algorithm 66, tile 20, stages 5, 1 split"
} FblGpuLibrary;

// The compiled form of one kernel. For the CPU: a relocatable object that defines `symbol` (and symbol_1, symbol_2 for
// later phases). For a GPU: an image with an entry point a phase, which `gpu` names; symbol, items and scratch are unused.
typedef struct FblKernelCode {
    uint8_t *object; // ELF or cubin; malloc'ed; NULL for library kernels done by a C function
    size_t object_size;
    char symbol[96];
    int32_t phases;
    FblGpuPhase gpu[FBL_KERNEL_MAX_PHASES];
    FblGpuLibrary library;
    // Phases around a library's call, of the same image: `before` of them fill arrays, those behind them go on from the result. They take the
    // kernel's buffers, then their array, then the scalars. There may be some though no library is used.
    int32_t before, after;
    FblGpuPhase around[FBL_ARRAY_COUNT];
    int64_t items[FBL_KERNEL_MAX_PHASES]; // work items per phase
    int64_t scratch_bytes;   // per thread
    int64_t workspace_bytes; // shared by all threads of the launch, passed as one extra buffer at the end; 0: none
    // Convolutions, of the phase that walks the images (FORWARD and DATA_GRAD: the last; WEIGHT_GRAD: the first): its items
    // are this many runs of equal length, in order, one for each run of n / image_groups images. 0: they have no such order.
    // LOOPS kernels always have one run an image of fbl_kernel_images.
    int64_t image_groups;
} FblKernelCode;

void fbl_kernel_code_free(FblKernelCode *code);

typedef struct FblCpuOptions {
    const char *cpu;      // LLVM CPU name; NULL: the host's
    const char *features; // LLVM features; NULL: the host's
    int32_t vector_bytes; // 0: the widest that cpu/features allow (64, 32, 16)
    int32_t opt_level;    // 0..3, default 2
    const char *precision; // of contractions; NULL or "f32", "bf16"
    bool emulate_bf16;     // bf16 without the instruction for it, to the same sums; nothing for other precisions
} FblCpuOptions;

// A description of code generation for one CPU kind. Read-only after creation: kernels may be compiled from many threads
// at once (each call makes its own LLVM context).
typedef struct FblCpuTarget FblCpuTarget;

// E0501 for a width that does not exist, E0506 for a precision that the processor has not; a note (E0507) when it lacks AVX2.
FblStatus fbl_cpu_target_create(FblContext *ctx, const FblCpuOptions *options, FblCpuTarget **out_target);
void fbl_cpu_target_destroy(FblCpuTarget *target);
// "x86_64 znver3 avx2 v32 llvm19.1", with " bf16" or " bf16-emulated" at the end: part of cache keys and of .fblx files.
const char *fbl_cpu_target_identity(const FblCpuTarget *target);
int32_t fbl_cpu_target_vector_bytes(const FblCpuTarget *target);

// Compiles one kernel. Messages go to `error` (a buffer of `error_size`), since contexts are not shared between threads.
FblStatus fbl_cpu_compile(const FblCpuTarget *target, const FblKernel *kernel, FblKernelCode *out_code, char *error, size_t error_size);
// The textual forms for --emit and dumps (malloc'ed, caller frees): LLVM IR, or assembly.
FblStatus fbl_cpu_emit_text(const FblCpuTarget *target, const FblKernel *kernel, bool assembly, char **out_text, char *error, size_t error_size);

// A loaded set of kernels: owns executable memory.
typedef struct FblCpuModule FblCpuModule;
// Loads codes[0..count) (library kernels included: kernels[i] says which); the objects may be freed afterwards.
FblStatus fbl_cpu_load(FblContext *ctx, const FblCpuTarget *target, FblKernel *const *kernels, const FblKernelCode *codes, size_t count, FblCpuModule **out_module);
void fbl_cpu_unload(FblCpuModule *module);
// The entry point of kernel `index`, phase `phase`.
FblKernelFn fbl_cpu_entry(const FblCpuModule *module, size_t index, int32_t phase);

#endif

// The inside of the CUDA code generator: scalar bodies as C statements, on one element or on four or eight neighbours at once.
//
// A body is evaluated with `lanes` 1, 4 or 8. With more than one, one loop (the lane loop) stands for so many consecutive values
// that start at a multiple of their number; an instruction is then uniform (one C variable), affine (one variable and a constant
// step a lane), or has a C expression a lane. Loads and stores of four neighbours in memory become 16-byte accesses, of eight
// one (halves) or two.
// Ownership: strings live in the emission's arena. Threads: one per FblCudaEmit.
#ifndef FBL_CODEGEN_CUDA_EMIT_H
#define FBL_CODEGEN_CUDA_EMIT_H

#include "codegen/cuda/cuda_target.h"
#include "ir/text.h"

#define FBL_CUDA_LANES 4     // of contractions and of kernels that have no halves
#define FBL_CUDA_MAX_LANES 8 // of others

typedef struct FblCudaEmit {
    FblArena *arena;
    FblText text;
    const FblKernel *kernel;
    const FblCudaOptions *options;
    FblCudaSource *source;
    const char *name; // of the kernel as an identifier
    int blocks;       // of the next entry point that a multiprocessor has at once, which limits registers; 0: as they come
    const char *maps; // further parameters of the next entry point, ", const ..."; NULL: none
    char *error;
    size_t error_size;
} FblCudaEmit;

// A value during emission.
typedef struct FblCudaVal {
    bool needed, emitted;
    bool lanes;         // an expression a lane
    int8_t depth;       // 0: depends on no inner loop
    int64_t step;       // !lanes, i32: lane k is name[0] + k * step
    int64_t align;      // i32, at lane 0: a multiple of this (0: is 0)
    int64_t low, high;  // i32: range over all lanes
    const char *name[FBL_CUDA_MAX_LANES];
} FblCudaVal;

typedef struct FblCudaBody {
    FblCudaEmit *e;
    int lanes;
    int32_t lane_loop;                       // -1: none
    int lane_align;                          // the lane loop's first value is a multiple of this: `lanes`, or more
    const char *loops[FBL_KERNEL_MAX_LOOPS]; // C expression of each loop's value
    uint32_t inner;                          // loops that are inner, as bits
    const char *acc[FBL_CUDA_MAX_LANES];     // FBL_K_ACC
    bool lane_results;                       // FBL_K_RESULT number r is r<r>_<lane>, else r<r>
    FblCudaVal *values;                      // per instruction
    int indent;                              // levels of four spaces
} FblCudaBody;

void fbl_cuda_body_init(FblCudaBody *body, FblCudaEmit *e, int lanes, int32_t lane_loop);
// Marks an instruction, or all that a store reads, as needed, with everything they depend on.
void fbl_cuda_body_need(FblCudaBody *body, int32_t id);
void fbl_cuda_body_need_store(FblCudaBody *body, const FblKStore *store);
// Statements for needed instructions of `depth` that are not emitted yet; a depth of 1 means all.
void fbl_cuda_body_emit(FblCudaBody *body, int depth);
// A C expression for a lane of an emitted instruction, converted to `dtype` as the graph converts operands.
const char *fbl_cuda_body_lane(FblCudaBody *body, int32_t id, int lane, FblDtype dtype);
// A store; `guard` is a further C condition, or NULL.
void fbl_cuda_body_store(FblCudaBody *body, const FblKStore *store, const char *guard);
// Whether the load `id` reads four neighbours that are 16-byte aligned, and its address as a C expression of elements
// ("12 * n + c"): what a copy in the background needs. The load's indices must be emitted.
bool fbl_cuda_body_contiguous(FblCudaBody *body, int32_t id, const char **out_address);
// The same for a load of four or more neighbours of type `dtype` that start at a multiple of lane_align elements.
bool fbl_cuda_body_run(FblCudaBody *body, int32_t id, FblDtype dtype, const char **out_address);

// Statements at a depth of indentation.
void fbl_cuda_line(FblCudaEmit *e, int indent, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *fbl_cuda_ctype(FblDtype dtype);
// "const float *__restrict__ b0, float *__restrict__ b1, ..." for all buffers, and "b0, b1, ...": with scalars at the end.
const char *fbl_cuda_parameters(FblCudaEmit *e, bool workspace);
const char *fbl_cuda_arguments(FblCudaEmit *e);
// The header of entry point number `phase` with its bounds; leaves the text after the opening brace.
void fbl_cuda_begin_entry(FblCudaEmit *e, int32_t phase, bool workspace, uint32_t threads, const uint32_t grid[3]);

static inline int64_t fbl_cuda_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fbl_cuda_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fbl_cuda_max(int64_t a, int64_t b) { return a > b ? a : b; }
// The least power of two that is not below x.
int64_t fbl_cuda_pow2(int64_t x);
// Multiprocessors of a usual device of an architecture: what grids are cut for.
int64_t fbl_cuda_processors(int32_t arch);

FblStatus fbl_cuda_emit_loops(FblCudaEmit *e);
FblStatus fbl_cuda_emit_library(FblCudaEmit *e);
FblStatus fbl_cuda_emit_contraction(FblCudaEmit *e);
// The phases around a library's call (options->library), behind the kernel's own.
FblStatus fbl_cuda_emit_around(FblCudaEmit *e);

#endif

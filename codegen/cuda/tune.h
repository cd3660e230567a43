// The table of tuned tiles: for an architecture and a problem (a contraction by its shape, arithmetic and operands) the tile
// that was measured to be the fastest. A text of lines, which people may read and edit:
//
//   sm_90 tf32 conv n64 c16 h32 w32 o16 k3x3 s1x1 p1x1 d1x1 g1 packed packed : mma 128x64x32 by 4x2 stages 3 splits 1  # 12.3 us
//   sm_90 tf32 matmul z1 m64 n10 k64 plain plain : default  # 5.1 us; the best other tile 5.0 us
//
// kinds conv, conv_data, conv_weight (extents of FblContraction: batch, channels, height, width, output channels, kernel,
// stride, padding, dilation, groups) and matmul (batch, m, n, k); then how the operands of rows and of columns come into
// shared memory: plain (as they lie), packed (evaluated once before) or computed (evaluated on the way). After the colon the
// tile: variant, rows x columns x sum, the variant's own division of the block, tiles in shared memory at once, runs that the
// sum is cut into; or `default`, the choice of the cost model, or `cublaslt` or `cudnn`, a library instead of a kernel. `#` begins a comment, which stays with its line.
// Ownership: a table and its texts live in the context that read it. Threads: look-ups from any number at once.
#ifndef FBL_CODEGEN_CUDA_TUNE_H
#define FBL_CODEGEN_CUDA_TUNE_H

#include "base/context.h"
#include "ir/library_work.h"

// How a block multiplies. codegen/cuda/contract_tile.c has a row for each: what it can do and the tiles that it has.
typedef enum FblCudaVariant {
    FBL_CUDA_VARIANT_DEFAULT, // the cost model's choice
    FBL_CUDA_VARIANT_LIBRARY, // cuBLASLt does the product (ir/product.h); where it cannot, the cost model's choice
    FBL_CUDA_VARIANT_CUDNN,   // cuDNN does the convolution (ir/convolution.h); likewise
    FBL_CUDA_VARIANT_FMA,     // f32 multiply-adds; division: results a thread
    FBL_CUDA_VARIANT_MMA,     // mma.sync on tensor cores; division: warps
    FBL_CUDA_VARIANT_WGMMA,   // wgmma on tensor cores (contract_wgmma.h); division: warpgroups by 1
    FBL_CUDA_VARIANT_TMA,     // the same, fed by the copy engine
    FBL_CUDA_VARIANT_COUNT
} FblCudaVariant;

typedef struct FblCudaChoice {
    FblCudaVariant variant;
    int32_t bm, bn, bk, by_m, by_n, stages, splits; // all 0 for the default and the libraries
} FblCudaChoice;

typedef enum FblCudaWay { FBL_CUDA_PLAIN, FBL_CUDA_PACKED, FBL_CUDA_COMPUTED, FBL_CUDA_WAY_COUNT } FblCudaWay;

#define FBL_CUDA_PROBLEM_EXTENTS 14

typedef struct FblCudaProblem {
    int32_t arch, precision; // as FblCudaOptions has them
    FblContractionKind kind;
    int64_t extents[FBL_CUDA_PROBLEM_EXTENTS]; // in the order of the text; 0 past the kind's own
    FblCudaWay ways[2];
} FblCudaProblem;

typedef struct FblCudaTuneRow {
    FblCudaProblem problem;
    FblCudaChoice choice;
    const char *note; // the comment without its `#`, "" when there is none
} FblCudaTuneRow;

typedef struct FblCudaTune {
    FblCudaTuneRow *rows; // by architecture, precision, kind, extents, ways; no problem twice
    size_t count, capacity;
} FblCudaTune;

#define FBL_CUDA_TUNE_MAX_FILE ((size_t)16 << 20)
#define FBL_CUDA_TUNE_TEXT 400 // a line without its comment fits

// The table that comes with fblc. Static storage.
const char *fbl_cuda_tune_bundled(void);

// Adds the rows of source file `file` of the context; its rows replace equal problems that `tune` has already. E0651 at the
// line for what does not read, a tile that no variant has, or a problem that the file has twice; `tune` is then unchanged.
FblStatus fbl_cuda_tune_read(FblContext *ctx, uint32_t file, FblCudaTune *tune);

// Adds or replaces a row; the note is copied.
void fbl_cuda_tune_set(FblContext *ctx, FblCudaTune *tune, const FblCudaProblem *problem, const FblCudaChoice *choice, const char *note);
// NULL when the table has no such problem.
const FblCudaTuneRow *fbl_cuda_tune_find(const FblCudaTune *tune, const FblCudaProblem *problem);

// The rows of `arch` and `precision` (arch 0: all) in canonical form, sorted; without comments unless `notes`. In the arena.
const char *fbl_cuda_tune_print(FblContext *ctx, const FblCudaTune *tune, int32_t arch, int32_t precision, bool notes);
// Their order in the table: below, equal to or above 0.
int fbl_cuda_problem_compare(const FblCudaProblem *a, const FblCudaProblem *b);
// A problem or choice as in a line.
void fbl_cuda_problem_print(const FblCudaProblem *problem, char out[FBL_CUDA_TUNE_TEXT]);
void fbl_cuda_choice_print(const FblCudaChoice *choice, char out[FBL_CUDA_TUNE_TEXT]);

// The library that a choice names, or none.
FblLibraryKind fbl_cuda_choice_library(const FblCudaChoice *choice);
// contract_tile.c: whether some variant has this tile (the default and the libraries always), for whatever problem.
bool fbl_cuda_choice_known(const FblCudaChoice *choice);

#endif

// Contractions by wgmma (Hopper): a block has warpgroups that multiply, 64 rows each, and one that brings factors into a ring of
// stages in shared memory; barriers in shared memory say which stages are full and which may be filled again.
//
// Both factors are read from memory in the format of the product, in whole pieces of 16 bytes: a buffer that holds an image so is
// read where it lies, all else is packed first (phase 0). In shared memory a factor is rows of `span` bytes whose pieces are exchanged (the swizzles of PTX):
//   along the sum  a row of the tile is 128 bytes of the sum (bk factors): 128 / span blocks of all rows follow one another
//   turned         (bf16, f16) an index of the sum is span / 2 rows of the tile; blocks of all bk indices follow one another
// span is 128, but for images that the copy engine brings: a copy is of one tap, so span is at most a tap's channels.
// Ownership and threads: as FblCudaProduct.
#ifndef FBL_CODEGEN_CUDA_CONTRACT_WGMMA_H
#define FBL_CODEGEN_CUDA_CONTRACT_WGMMA_H

#include "codegen/cuda/contract_internal.h"

#define FBL_CUDA_WARPGROUP 128 // threads

// How a packed factor lies in the workspace. Channels (or the inner dimension of a matrix) are padded with zeros to whole pieces.
//   IMAGE    [n][h][w][group][padded]
//   WEIGHTS  [group][row][tap][padded]
//   MATRIX   [batch][line][padded]: lines are rows of the tile, or, turned, indices of the sum
typedef enum FblCudaForm { FBL_CUDA_IMAGE, FBL_CUDA_WEIGHTS, FBL_CUDA_MATRIX } FblCudaForm;

typedef struct FblCudaFactor {
    FblCudaOperand *o;
    FblCudaForm form;
    bool turned;              // memory runs along rows of the product
    int64_t rows, tile;       // of the product; of a block
    int64_t h, w;             // IMAGE
    int64_t lines;            // MATRIX
    int64_t channels, padded; // along memory, of a group
    int64_t elements;         // of the packed array
    int32_t buffer;           // that is read where it lies; -1: packed
    int64_t bytes;            // of a stage
    bool engine;              // the copy engine brings it, by a tensor map
    int64_t span;             // bytes of a row in shared memory
} FblCudaFactor;

typedef struct FblCudaWide {
    FblCudaProduct *p;
    int64_t size, piece; // bytes of a factor; factors in 16 bytes
    int64_t consumers;   // warpgroups that multiply
    bool engine;         // the copy engine brings what it can
    FblCudaFactor factor[2];
} FblCudaWide;

// contract_wgmma.c: how `product` looks as one by wgmma, in *own and *wide; false where it cannot be. Whether it can have a tile of
// the given rows and columns in `splits` runs, with so many stages (0: as fit), and the whole tile; its estimated clocks.
bool fbl_cuda_wide_open(const FblCudaProduct *product, FblCudaVariant variant, FblCudaProduct *own, FblCudaWide *wide);
bool fbl_cuda_wide_fit(const FblCudaWide *wide, FblCudaTile *tile, int64_t stages, int64_t splits);
double fbl_cuda_wide_clocks(const FblCudaWide *wide, const FblCudaTile *tile);

// contract_wgmma_load.c: how the factors lie; the phase that packs them; the variables that the loading threads keep
// (`t`: number of the thread), and the copies of one `step` into `stage`.
void fbl_cuda_wide_plan(FblCudaWide *wide);
void fbl_cuda_wide_pack(FblCudaWide *wide);
void fbl_cuda_wide_setup(FblCudaWide *wide, const FblCudaFactor *f);
void fbl_cuda_wide_fetch(FblCudaWide *wide, const FblCudaFactor *f);
// contract_wgmma_map.c: whether the copy engine can bring a factor, and its span; its tensor map (the tile is chosen); the variables
// and the copies as above, for one thread.
void fbl_cuda_wide_plan_map(FblCudaWide *wide, FblCudaFactor *f);
FblTensorMap fbl_cuda_wide_map(const FblCudaWide *wide, const FblCudaFactor *f);
void fbl_cuda_wide_map_setup(FblCudaWide *wide, const FblCudaFactor *f);
void fbl_cuda_wide_map_fetch(FblCudaWide *wide, const FblCudaFactor *f);

#endif

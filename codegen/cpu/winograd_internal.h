// Shared parts of the Winograd emitters: the linear maps of the tiles and the products of transformed tiles.
//
// A result tile of m x m (m 2 or 4) needs an input tile of (m + 2) x (m + 2). With the maps B (input), G (weight) and A
// (output), applied to rows and columns:
//   forward, data gradient   y  = A' ((G w G') * (B' x B)) A     the products summed over input channels
//   weight gradient          dw = G' ((B' x B) * (A dy A')) G    the products summed over tiles: the adjoint of the above
// The maps are those of Toom and Cook as used by Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", for
// the points 0, 1, -1 (m 2) and 0, 3/4, -3/4, 3/2, -3/2 (m 4), written so that shared terms are computed once.
// Ownership: everything lives for one emission. Threads: as FblEmit.
#ifndef FBL_CODEGEN_CPU_WINOGRAD_INTERNAL_H
#define FBL_CODEGEN_CPU_WINOGRAD_INTERNAL_H

#include "codegen/cpu/contract_internal.h"

#define FBL_WINOGRAD_SIDE_MAX 6

typedef enum FblWinogradMap {
    FBL_WINOGRAD_INPUT,    // B': m + 2 -> m + 2
    FBL_WINOGRAD_WEIGHT,   // G:  3     -> m + 2
    FBL_WINOGRAD_OUTPUT,   // A': m + 2 -> m
    FBL_WINOGRAD_GRADIENT, // A:  m     -> m + 2
    FBL_WINOGRAD_SUMS      // G': m + 2 -> 3
} FblWinogradMap;

// Vectors in memory: element (row, column) at base + row * row_step + column * column_step floats.
typedef struct FblWinogradPlace {
    LLVMValueRef base;
    int64_t row_step, column_step;
} FblWinogradPlace;

// Applies the map to the rows and columns of one square of vectors. With `add` the results are added to what is there.
void fbl_winograd_transform(FblEmit *e, FblWinogradMap map, int m, const FblWinogradPlace *from, const FblWinogradPlace *to, bool add);

// `rows` scalars times `vecs` vectors in registers, summed over `steps` (i64, at least one, a multiple of `unroll`), into c:
// c[row][vec] = sum over s of a[s * a_step + row * a_row] * b[s * b_step + vec * lanes].
typedef struct FblWinogradProduct {
    LLVMValueRef a, b, c, steps;
    int64_t unroll;
    int64_t a_step, a_row, b_step, c_row;
    int64_t vecs;
} FblWinogradProduct;
// All of the tiling's rows: tiles of p and of p - 1 rows.
void fbl_winograd_product(FblEmit *e, const FblTiling *tiling, const FblWinogradProduct *product);

// Loops over packed tiles of one image: tiles_h x tiles_w squares of side `side` with distance `m`, `channels` floats a pixel
// (a multiple of the vector), transformed by `map` to to[position][tile][channel]. position_step and tile_step in floats.
typedef struct FblWinogradTiles {
    FblWinogradMap map;
    int m;
    int64_t tiles_h, tiles_w, row_floats, channels, distance;
    int64_t position_step, tile_step;
} FblWinogradTiles;
void fbl_winograd_tiles(FblEmit *e, const FblWinogradTiles *tiles, LLVMValueRef packed, LLVMValueRef to);

// Floats between positions so that the same place of all positions does not fall into one set of the cache.
int64_t fbl_winograd_spread(int64_t floats);

#endif

// Contractions as matrix products on tiles: how a convolution or matmul is seen as rows x columns x sum, which tile a block
// does, and how operands come into shared memory.
//
//   kind          rows (M)         columns (N)         sum (K)              one product a
//   FORWARD       pixels of y      o of the group      taps x channels      group
//   DATA_GRAD     pixels of dx     c of the group      taps x channels of g group, part
//   WEIGHT_GRAD   o of the group   taps x channels     pixels of y          group
//   MATMUL        m                n                   k                    batch
// A data gradient of a strided convolution is one product a part (contract_part.c): the pixels of one residue modulo the stride,
// with the taps that hit them.
// Channels beside taps are padded to a multiple of 4, so that four neighbours never cross a tap.
// Ownership: everything lives for one emission. Threads: as FblCudaEmit.
#ifndef FBL_CODEGEN_CUDA_CONTRACT_INTERNAL_H
#define FBL_CODEGEN_CUDA_CONTRACT_INTERNAL_H

#include "codegen/cuda/emit.h"
#include "codegen/cuda/tune.h"

// A block's work: bm x bn results, bk of the sum at a time.
typedef struct FblCudaTile {
    FblCudaVariant variant;
    int64_t bm, bn, bk;
    int64_t warps_m, warps_n; // tensor cores: warps in the block; wgmma: warpgroups that multiply, 1
    int64_t tm, tn;           // multiply-adds: results a thread
    int64_t threads, stages;  // stages: tiles in shared memory at once
    int64_t splits, per_split; // the sum is cut into `splits` runs of `per_split` steps of bk
    int64_t shared_bytes;
} FblCudaTile;

// An operand on its way into shared memory, in quads: four neighbours along the sum (rows == false), or along the rows.
// A word of shared memory is one f32, or two halves that are neighbours along the sum. Word (row, w) of a tile lies at
// row * (words + 4) + w, or, when quads lie along the rows, at w * (rows + 8) + row: free of bank conflicts either way.
// Buffers of the factors' own half precision are copied as they lie, in runs of 8 (or 4) halves. Along the sum that gives the
// same words; along the rows half (k, row) lies at k * (rows + 8) + row, and ldmatrix turns 8 x 8 of them around.
typedef struct FblCudaOperand {
    char name; // 'a' (rows of the product) or 'b' (columns)
    const FblKBody *body;
    int number;        // of the kernel's operands
    bool rows;
    int lane_at;       // position in the body of the loop along a quad
    bool quad;         // the body is evaluated on four lanes at once; else one by one, with a limit
    bool async;        // a plain load of 16 bytes: copied in the background
    bool direct;       // halves in memory (a buffer's, or packed) that are factors as they are; async too
    int run;           // neighbours in a unit of work: 4, or 8 halves
    bool packed;       // evaluated once, into the workspace, before the product: its quads are then plain there
    int64_t packed_at, packed_runs; // floats into the workspace; runs of pack_lanes
    int pack_lanes;    // neighbours that a thread packs: 8 halves where all are whole, else 4
    int64_t tile;      // rows of the tile: bm or bn
    int64_t units;     // pieces of work of all threads for one tile: quads, or pairs of quads of halves along rows
    int64_t passes;    // ... and of one thread
    int64_t words;     // of shared memory a stage
} FblCudaOperand;

// An axis of a data gradient: `parts` is the stride, or 1 where the axis is not cut; the taps of a part are `hop` apart, and
// from one to the next the row of y goes back by `move`.
typedef struct FblCudaAxis {
    int64_t extent, y_extent, taps, stride, pad, dilation;
    int64_t parts, hop, move;
} FblCudaAxis;

// What all blocks of a product with a tile do together: steps of bk.
typedef struct FblCudaWork {
    int64_t blocks, steps;
} FblCudaWork;

typedef struct FblCudaProduct {
    FblCudaEmit *e;
    const FblContraction *c;
    int64_t m, n, k, z;     // k: padded sum; m and k: of the largest part
    int64_t parts;          // products of each of the z
    FblCudaAxis axis[2];    // of a data gradient: height, width
    int64_t row_k;          // packed weights of a row: k, of all parts
    int64_t group_c, group_o, padded; // channels a group; padded channels beside taps
    int64_t columns;        // n rounded up to 4: a row of partial sums
    int64_t partial_at;     // where partial sums start in the workspace, in floats: after packed operands
    int32_t phase;          // of the product: 1 after packing, else 0
    bool tensor, halves;    // tensor cores; 16-bit factors
    FblCudaTile tile;
    FblCudaOperand operand[2]; // a, b
    bool store_quad;        // the epilogue is evaluated on four neighbouring columns at once
} FblCudaProduct;

// The function that packs two floats into a word of halves.
static inline const char *fbl_cuda_pack_function(const FblCudaProduct *p) { return p->e->options->precision == FBL_CUDA_BF16 ? "fbl_pack_bf16" : "fbl_pack_f16"; }
static inline int64_t fbl_cuda_words(const FblCudaProduct *p) { return p->halves ? p->tile.bk / 2 : p->tile.bk; } // along the sum
// Words of a tile of `rows` rows.
static inline int64_t fbl_cuda_tile_words(int64_t rows, int64_t words, bool along_rows) { return along_rows ? words * (rows + 8) : rows * (words + 4); }

// contract.c: the epilogue as a device function, and a call of it for `acc` at row m and column n of product z; the loop over
// results that lie in shared memory as rows of bn + 4 floats; the phase that adds partial sums.
void fbl_cuda_epilogue_function(FblCudaProduct *p);
void fbl_cuda_call_epilogue(FblCudaProduct *p, int indent);
void fbl_cuda_store_results(FblCudaProduct *p);
// Code that adds `runs` partial results in their order to `acc`; the first is at the pointer `from` (C expressions both).
void fbl_cuda_add_runs(FblCudaProduct *p, int indent, const char *from, const char *runs);
// contract_sums.c: the kernel's stages over parts of rows, if any, for a tile of rows x columns in shared memory at `results` as rows of
// columns + 4 floats; m0, n0, z and tid are its place and the thread. The phase that adds partial sums, with them.
void fbl_cuda_emit_sums(FblCudaProduct *p, int64_t rows, int64_t columns, int64_t threads);
void fbl_cuda_emit_finish_sums(FblCudaProduct *p);
// A comment: what is multiplied in which tiles.
void fbl_cuda_describe_product(FblCudaProduct *p, const char *how);
void fbl_cuda_emit_finish(FblCudaProduct *p);
// contract_wgmma.c: the product by wgmma. `variant` is WGMMA or TMA, with a `tile` (of that variant and product), or with NULL the cost model's
// tile. False, with nothing emitted, where it cannot be.
bool fbl_cuda_emit_wgmma(const FblCudaProduct *p, FblCudaVariant variant, const FblCudaTile *tile);

// contract_tile.c: sets p->tile, to what the table of tuned tiles (options->tune) has for this problem where that fits,
// else to the tile with the least estimated time. Operands are prepared. True: from the table.
bool fbl_cuda_choose_tile(FblCudaProduct *p);
// Whether the product can be done with this tile, and the tile. A tile of the table may need more shared memory than there
// is, or a kind of arithmetic that the product has not.
bool fbl_cuda_tile_of(const FblCudaProduct *p, const FblCudaChoice *choice, FblCudaTile *out_tile);
// Whether the tile's rows are whole parts of those that the kernel reduces over.
bool fbl_cuda_has_parts(const FblCudaProduct *p, const FblCudaTile *t);
// Up to `max` tiles worth measuring, the model's own first; returns their number.
size_t fbl_cuda_tile_candidates(const FblCudaProduct *p, FblCudaChoice *out, size_t max);
// What the product is in the table.
FblCudaProblem fbl_cuda_problem_of(const FblCudaProduct *p);
// Shared memory that one block may have, in bytes.
int64_t fbl_cuda_shared_limit(int32_t arch);
// Blocks that a multiprocessor has at once, by shared memory and 128 registers a thread: the model counts on it, and kernels are
// compiled so. Not for wgmma.
int64_t fbl_cuda_resident(const FblCudaProduct *p, const FblCudaTile *t);
#define FBL_CUDA_PARTIAL_LIMIT ((int64_t)64 << 20) // bytes of partial sums
// contract_part.c: parts, m, k, row_k and axes of a convolution whose k and padded channels are known; the work of a tile.
void fbl_cuda_part_plan(FblCudaProduct *p);
FblCudaWork fbl_cuda_part_work(const FblCudaProduct *p, const FblCudaTile *t);
// Variables of the part whose number the C expression `part` is, where there are several; then, as C expressions, its rows, its
// sum and the steps of that. The place of a block: n0, m0, z, its part, and the steps [first, last) that are its; blocks without
// rows or steps end here.
void fbl_cuda_part_enter(FblCudaProduct *p, int indent, const char *part);
const char *fbl_cuda_part_rows(const FblCudaProduct *p);
const char *fbl_cuda_part_sum(const FblCudaProduct *p);
const char *fbl_cuda_part_steps(const FblCudaProduct *p);
void fbl_cuda_block_place(FblCudaProduct *p);
// What tap 0 of a part adds to a pixel's place in it to give the row of y, along axis d, as a C expression; the least and the largest
// that any tap of any part adds.
const char *fbl_cuda_part_base(const FblCudaProduct *p, int d);
void fbl_cuda_part_reach(const FblCudaProduct *p, int d, int64_t *out_least, int64_t *out_most);
// Of a forward convolution or data gradient: the result's indices "n, channel, h, w" at row m; a_n[i], a_h[i], a_w[i] of row m for
// fbl_cuda_pixel_at_tap, which makes h and w from them, kh and kw, and returns whether k and they are inside.
const char *fbl_cuda_pixel_of_row(FblCudaProduct *p, const char *channel);
void fbl_cuda_pixel_setup(FblCudaProduct *p, int indent);
const char *fbl_cuda_pixel_at_tap(FblCudaProduct *p, int indent);
// Variables tap, channel, kh and kw of a convolution's sum index; kh and kw count the taps of a part. The weights' own tap along
// axis d; where (tap, channel c) lies in a row of packed weights.
void fbl_cuda_tap_of(FblCudaProduct *p, int indent, const char *index, const char *channel);
const char *fbl_cuda_weight_tap(const FblCudaProduct *p, int d);
const char *fbl_cuda_weight_at(const FblCudaProduct *p);
// contract_load.c: device functions of the operands' bodies; code that moves the next tile.
void fbl_cuda_operand_prepare(FblCudaProduct *p, FblCudaOperand *o);
int fbl_cuda_operand_pack_lanes(const FblCudaProduct *p, const FblCudaOperand *o);
void fbl_cuda_operand_functions(FblCudaProduct *p, FblCudaOperand *o);
void fbl_cuda_operand_setup(FblCudaProduct *p, const FblCudaOperand *o);
void fbl_cuda_operand_fetch(FblCudaProduct *p, const FblCudaOperand *o);
void fbl_cuda_operand_put(FblCudaProduct *p, const FblCudaOperand *o);
// Lines of the variable v: what a call of the operand's function gives, four or eight neighbours; and its store, as factors (halves, or
// f32 as they are), as element `at` of the packed operand.
void fbl_cuda_pack_value(FblCudaProduct *p, const FblCudaOperand *o, const char *call);
void fbl_cuda_pack_halves(FblCudaProduct *p, const FblCudaOperand *o, const char *at);
// contract_pack.c: phase 0, which evaluates packed operands, in the format of the product (two halves a word for bf16 and
// f16); where a packed quad lies as a C expression of the variables that the fetch has (images: n, c, h, w, of the rows of a weight gradient n, row, oh,
// ow; weights: row, k, with parts also kh, kw, c).
void fbl_cuda_pack_plan(FblCudaProduct *p);
int64_t fbl_cuda_pack_padded(const FblCudaProduct *p, const FblCudaOperand *o); // channels of a group with padding
void fbl_cuda_pack_emit(FblCudaProduct *p);
const char *fbl_cuda_packed_address(FblCudaProduct *p, const FblCudaOperand *o, const char *n);

#endif

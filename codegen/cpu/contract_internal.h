// Shared parts of the contraction emitters: loops that carry values in registers, tile choice, evaluation of bodies and
// packing of operands.
//
// Every contraction runs on packed operands. An image operand is packed as [row][column][channel] with its padding, so
// that a pixel's channels are contiguous; weights as [output-channel vector][chunk][kh][kw][input channel][lane].
// With factors in bf16 what is summed together is packed in pairs: a word of 32 bits holds two neighbours along the summed
// dimension, the first in its lower half, and takes the place of a float in these forms. An odd number of neighbours is
// filled up with a zero.
// Ownership: everything lives for one emission. Threads: as FblEmit.
#ifndef FBL_CODEGEN_CPU_CONTRACT_INTERNAL_H
#define FBL_CODEGEN_CPU_CONTRACT_INTERNAL_H

#include "codegen/cpu/emit.h"

#define FBL_CARRY_MAX 40

// A counted loop that runs at least once and carries values in SSA form. A loop of one round emits no branch.
typedef struct FblCarryLoop {
    LLVMValueRef index; // i64
    LLVMBasicBlockRef head;
    LLVMValueRef to;
    int64_t step;
    bool single;
    int count;
    LLVMValueRef phis[FBL_CARRY_MAX];
} FblCarryLoop;

// values[0..count) are the initial values; replaced by the values inside the body.
void fbl_carry_begin(FblEmit *e, FblCarryLoop *loop, LLVMValueRef from, LLVMValueRef to, int64_t step, LLVMValueRef *values, int count);
// values are those at the end of the body and, afterwards, the loop's results.
void fbl_carry_end(FblEmit *e, FblCarryLoop *loop, LLVMValueRef *values);

// How `rows` scalars times `vecs` vectors are cut into register tiles: `big` tiles of `p` rows then `small` tiles of
// p - 1; `k_tiles` of `k` vectors, then one of `k_rest` when not 0.
typedef struct FblTiling {
    int64_t p, big, small;
    int64_t k, k_tiles, k_rest;
} FblTiling;
// For `registers` vector registers, of which a step needs `step_registers` a vector, and one more for all.
FblTiling fbl_tiling_choose(int64_t rows, int64_t vecs, int registers, int step_registers);
// The choice for f32 factors, or for pairs on a processor that multiplies pairs: it depends on nothing but the width, so that
// what follows from it (how sums are cut) is the same where pairs are emulated.
FblTiling fbl_tiling_for_width(int64_t rows, int64_t vecs, int width);
// The choice for the code that fbl_emit_multiply_add becomes.
FblTiling fbl_tiling_for_target(const FblEmit *e, int64_t rows, int64_t vecs);

// The largest divisor of `count` that is at most `limit`.
int64_t fbl_largest_divisor(int64_t count, int64_t limit);

// i64 arithmetic with constants folded, and pointers to f32.
LLVMValueRef fbl_emit_scaled(FblEmit *e, LLVMValueRef value, int64_t scale);
LLVMValueRef fbl_emit_sum(FblEmit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef fbl_emit_smaller(FblEmit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef fbl_emit_floats(FblEmit *e, LLVMValueRef base, LLVMValueRef offset);
LLVMValueRef fbl_emit_floats_at(FblEmit *e, LLVMValueRef base, int64_t offset);
LLVMValueRef fbl_emit_load_floats(FblEmit *e, LLVMValueRef address, int lanes);
void fbl_emit_store_floats(FblEmit *e, LLVMValueRef value, LLVMValueRef address);
// Fills `count` floats with zeros.
void fbl_emit_zero_floats(FblEmit *e, LLVMValueRef base, int64_t count);

// Factors in bf16 (bf16.c). fbl_factors_per_word: 2 when the target has them, else 1.
int64_t fbl_factors_per_word(const FblEmit *e);
// Two vectors of f32, rounded to bf16 (nearest even; NaN stays NaN), as a vector of pairs; its type is that of `first`.
LLVMValueRef fbl_emit_pairs(FblEmit *e, LLVMValueRef first, LLVMValueRef second);
// A vector of f32 rounded to bf16, as a vector of i16.
LLVMValueRef fbl_emit_bf16(FblEmit *e, LLVMValueRef x);
// The address of half word `offset` (i64) from `base`; stores there are aligned to 2 bytes.
LLVMValueRef fbl_emit_halves(FblEmit *e, LLVMValueRef base, LLVMValueRef offset);
void fbl_emit_store_halves(FblEmit *e, LLVMValueRef value, LLVMValueRef address);
// sum + x * y on vectors of f32 (fused where the target fuses), or on vectors of pairs sum + x[1] * y[1] + x[0] * y[0]: two
// fused multiply-adds in this order, as VDPBF16PS is documented (Intel 64 and IA-32 Software Developer's Manual, volume 2),
// by that instruction or by code that does the same but for denormals: the instruction takes them as zeros and flushes
// denormal results, the code does not.
LLVMValueRef fbl_emit_multiply_add(FblEmit *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef sum);
// Turns the packed floats of `rows` rows of pixels into pairs of pixels, in place. Word q of a row's pixels [0, count) becomes
// the pair of the pixels q * step and q * step + apart; a pixel from `width` on is a zero. `stride` floats a pixel, a
// multiple of the vector; a row is width * stride floats. count * step - step < width.
void fbl_emit_pair_pixels(FblEmit *e, LLVMValueRef at, int64_t rows, int64_t width, int64_t stride, int64_t count, int64_t step, int64_t apart);

// A body with an environment of its own.
typedef struct FblBodyEval {
    FblEmit *e;
    const FblKBody *body;
    FblEnv env;
} FblBodyEval;
void fbl_body_open(FblBodyEval *eval, FblEmit *e, const FblKBody *body);
void fbl_body_close(FblBodyEval *eval);
// Sets loop `position` of the body to an i64 value; step is that between lanes.
void fbl_body_loop(FblBodyEval *eval, int position, LLVMValueRef value, int64_t step, int64_t align);
// Evaluates anew with `mask` (NULL: all lanes) and returns the operand's value in f32, a vector.
LLVMValueRef fbl_body_value(FblBodyEval *eval, LLVMValueRef mask);
// Evaluates the epilogue with the accumulated vector `acc` and stores.
void fbl_body_store(FblBodyEval *eval, LLVMValueRef mask, LLVMValueRef acc);
// Whether memory lies along loop `column` of the body rather than along `channel`: then vectors should, too.
bool fbl_body_along(const FblKernel *kernel, const FblKBody *body, int column, int channel);

// An image operand to pack. For matrices (loops batch, m, k or so) the rows of the matrix are folded into an image of
// `w` columns; fold_m is their true number, else 0.
typedef struct FblImage {
    const FblKBody *body;
    int n_at, c_at, h_at, w_at; // loop positions in the body; h_at -1: folded into w_at
    int64_t c, h, w;            // source extents
    LLVMValueRef c_first;       // first source channel, a multiple of the vector; NULL: 0
    int64_t fold_m;
    int64_t width, pad;         // packed columns; source column = packed column - pad
    int64_t stride;             // floats, or pairs, per packed pixel
    bool pairs;                 // pack neighbouring channels as pairs in bf16; then c_first is NULL and all channels are packed
    int64_t row_step, column_step; // of the source between packed rows and columns; 0 stands for 1. Above 1: no padding
} FblImage;
// Packs `rows` rows (a constant) into `to`, the first being source row `first` (i64, may be outside: zeros).
void fbl_pack_rows(FblEmit *e, const FblImage *image, LLVMValueRef to, LLVMValueRef n, LLVMValueRef first, int64_t rows);

// The epilogue applied to accumulated rows, [column][lane] for one vector of output channels. A buffer of rows needs room
// for a further width * width floats past its end, which may be read.
typedef struct FblResult {
    FblEmit *e;
    LLVMValueRef n;   // the image or matrix, i64
    int64_t columns;  // of a row
    int64_t fold_m;   // as in FblImage
    int64_t tail;     // channels of the last vector when it is not full, else 0
    int64_t vectors;  // of output channels, in all
    FblBodyEval eval; // set by open
} FblResult;
void fbl_result_open(FblResult *result);
void fbl_result_close(FblResult *result);
// Rows [from, to) (i64, at least one) of output-channel vector `vector`; row `from` is at `acc`.
void fbl_result_rows(FblResult *result, LLVMValueRef acc, int64_t row_floats, LLVMValueRef vector, LLVMValueRef from, LLVMValueRef to);

bool fbl_emit_conv(FblEmit *e);        // FORWARD, DATA_GRAD, MATMUL
bool fbl_emit_weight_grad(FblEmit *e); // WEIGHT_GRAD
// Phase 1 of a weight gradient: an item is a vector of output channels and an input channel; it adds the `chunks` partial
// sums of the workspace, each [output-channel vector][kh][kw][input channel][lane], in order and runs the epilogue.
void fbl_emit_weight_totals(FblEmit *e, int64_t chunks);

// The Winograd forms, for the contraction's algorithm.
bool fbl_emit_winograd_conv(FblEmit *e);
bool fbl_emit_winograd_weight_grad(FblEmit *e);

#endif

// Winograd convolution, forward and data gradient.
//
// Phase 0 transforms the weights once per launch. Phase 1 takes a strip of tiles per item - some rows of tiles of one
// image, or all tiles of several small images - and packs its input with padding, transforms it, multiplies position by
// position for a block of output-channel vectors, transforms these products back into rows and runs the epilogue on them.
// The strip is chosen so that what is in between stays in the second-level cache.
// The data gradient is the forward form with weights turned around and their channels exchanged.
#include <stdio.h>

#include "codegen/cpu/winograd_internal.h"

#define STRIP_BYTES (224 * 1024)
#define STRIP_TILES 48

typedef struct WinogradConv {
    FblEmit *e;
    const FblContraction *c;
    int m, side;
    int64_t positions;
    int64_t in, out, vectors; // channels; vectors of output channels
    int64_t in_h, in_w, out_h, out_w, pad_h, pad_w;
    int64_t tiles_w, strip, strips; // tiles a row; rows of tiles a strip; strips an image
    int64_t images, groups;         // images a strip; groups of images
    int64_t tiles;                  // a strip
    int64_t packed_rows, packed_floats, position_in, position_acc, line_floats;
    FblTiling tiling;
    FblImage image;
    LLVMValueRef transformed, acc, line; // parts of the scratch memory
} WinogradConv;

// Floats between the positions of a block of `vecs` vectors of weights.
static int64_t weight_position(const WinogradConv *v, int64_t vecs) { return fbl_winograd_spread(v->in * vecs * v->e->width); }

static void choose_strips(WinogradConv *v) {
    int64_t rows = (v->out_h + v->m - 1) / v->m;
    int64_t tile_bytes = 4 * v->positions * (v->image.stride + fbl_tiling_for_width(STRIP_TILES, v->vectors, v->e->width).k * v->e->width);
    int64_t limit = STRIP_BYTES / tile_bytes;
    limit = limit < 12 ? 12 : limit > STRIP_TILES ? STRIP_TILES : limit;
    int64_t per_strip = limit / v->tiles_w;
    per_strip = per_strip < 1 ? 1 : per_strip;
    v->strips = (rows + per_strip - 1) / per_strip;
    v->strip = (rows + v->strips - 1) / v->strips;
    v->strips = (rows + v->strip - 1) / v->strip;
    int64_t images = v->strips == 1 ? limit / (v->strip * v->tiles_w) : 1;
    images = images < 1 ? 1 : images > v->c->n ? v->c->n : images;
    v->groups = (v->c->n + images - 1) / images;
    v->images = (v->c->n + v->groups - 1) / v->groups;
    v->groups = (v->c->n + v->images - 1) / v->images;
    v->tiles = v->images * v->strip * v->tiles_w;
}

static bool init(WinogradConv *v, FblEmit *e) {
    const FblContraction *c = &e->kernel->contraction;
    bool forward = c->kind == FBL_CONV_FORWARD;
    int m = c->algorithm == FBL_CONV_WINOGRAD2 ? 2 : 4;
    *v = (WinogradConv){.e = e, .c = c, .m = m, .side = m + 2, .positions = (m + 2) * (m + 2)};
    v->in = forward ? c->c : c->o;
    v->out = forward ? c->o : c->c;
    v->in_h = forward ? c->h : c->oh;
    v->in_w = forward ? c->w : c->ow;
    v->out_h = forward ? c->oh : c->h;
    v->out_w = forward ? c->ow : c->w;
    v->pad_h = forward ? c->pad_h : 2 - c->pad_h;
    v->pad_w = forward ? c->pad_w : 2 - c->pad_w;
    v->vectors = (v->out + e->width - 1) / e->width;
    v->tiles_w = (v->out_w + m - 1) / m;
    int64_t in_stride = (v->in + e->width - 1) / e->width * e->width;
    v->image = (FblImage){.body = &e->kernel->operands[0], .n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3, .c = v->in, .h = v->in_h, .w = v->in_w,
                          .width = v->tiles_w * m + 2, .pad = v->pad_w, .stride = in_stride};
    if (v->image.width * in_stride > ((int64_t)1 << 22) || v->in * v->vectors > ((int64_t)1 << 21)) {
        return false;
    }
    choose_strips(v);
    v->tiling = fbl_tiling_for_width(v->tiles, v->vectors, e->width);
    v->packed_rows = v->strip * m + 2;
    v->packed_floats = v->packed_rows * v->image.width * in_stride;
    v->position_in = fbl_winograd_spread(v->tiles * in_stride);
    v->position_acc = fbl_winograd_spread(v->tiles * v->tiling.k * e->width);
    v->line_floats = v->tiles_w * m * e->width;
    return true;
}

// Floats before the block of vectors that begins at `vector` (a multiple of tiling.k, i64).
static LLVMValueRef block_start(const WinogradConv *v, LLVMValueRef vector) {
    int64_t block = v->positions * weight_position(v, v->tiling.k);
    return fbl_emit_scaled(v->e, LLVMBuildUDiv(v->e->b, vector, fbl_emit_i64(v->e, v->tiling.k), ""), block);
}

// The 3 x 3 vectors of weights from input channel `channel` to output-channel vector `vector`, transformed into the block.
static void emit_weight(WinogradConv *v, FblBodyEval *eval, LLVMValueRef vector, LLVMValueRef channel, LLVMValueRef to, int64_t vecs, LLVMValueRef mask) {
    FblEmit *e = v->e;
    bool forward = v->c->kind == FBL_CONV_FORWARD;
    fbl_body_loop(eval, forward ? 0 : 1, fbl_emit_scaled(e, vector, e->width), 1, e->width);
    fbl_body_loop(eval, forward ? 1 : 0, channel, 0, 1);
    FblCarryLoop tap;
    fbl_carry_begin(e, &tap, fbl_emit_i64(e, 0), fbl_emit_i64(e, 9), 1, NULL, 0);
    LLVMValueRef from = forward ? tap.index : LLVMBuildSub(e->b, fbl_emit_i64(e, 8), tap.index, "");
    fbl_body_loop(eval, 2, LLVMBuildUDiv(e->b, from, fbl_emit_i64(e, 3), ""), 0, 1);
    fbl_body_loop(eval, 3, LLVMBuildURem(e->b, from, fbl_emit_i64(e, 3), ""), 0, 1);
    fbl_emit_store_floats(e, fbl_body_value(eval, mask), fbl_emit_floats(e, e->scratch, fbl_emit_scaled(e, tap.index, e->width)));
    fbl_carry_end(e, &tap, NULL);
    FblWinogradPlace source = {e->scratch, 3 * e->width, e->width};
    FblWinogradPlace target = {fbl_emit_floats(e, to, fbl_emit_scaled(e, channel, vecs * e->width)), v->side * weight_position(v, vecs), weight_position(v, vecs)};
    fbl_winograd_transform(e, FBL_WINOGRAD_WEIGHT, v->m, &source, &target, false);
}

// Workspace: [block of vectors][position][input channel][vector of the block][lane]. An item is an output-channel vector
// and an input channel.
static void emit_weights(WinogradConv *v) {
    FblEmit *e = v->e;
    fbl_emit_function(e, e->code->symbol);
    FblBodyEval eval;
    fbl_body_open(&eval, e, &e->kernel->operands[1]);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef channel = LLVMBuildURem(e->b, items.index, fbl_emit_i64(e, v->in), "");
    LLVMValueRef vector = LLVMBuildUDiv(e->b, items.index, fbl_emit_i64(e, v->in), "");
    LLVMValueRef inside = LLVMBuildURem(e->b, vector, fbl_emit_i64(e, v->tiling.k), "");
    LLVMValueRef block = fbl_emit_floats(e, e->workspace, fbl_emit_sum(e, block_start(v, vector), fbl_emit_scaled(e, inside, e->width)));
    // Three kinds of vectors: of a whole block, of the last shorter block, and the last one when it is not full.
    int64_t whole = v->tiling.k_tiles * v->tiling.k, tail = v->out % e->width;
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "weight_done");
    for (int kind = 0; kind < 3; kind++) {
        int64_t last = v->vectors - (tail != 0);
        int64_t from = kind == 0 ? 0 : kind == 1 ? whole : last, to = kind == 0 ? (whole < last ? whole : last) : kind == 1 ? last : v->vectors;
        if (from >= to) {
            continue;
        }
        LLVMBasicBlockRef here = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "weight"), other = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "other");
        LLVMValueRef below = LLVMBuildICmp(e->b, LLVMIntSLT, vector, fbl_emit_i64(e, to), "");
        LLVMValueRef above = LLVMBuildICmp(e->b, LLVMIntSGE, vector, fbl_emit_i64(e, from), "");
        LLVMBuildCondBr(e->b, LLVMBuildAnd(e->b, below, above, ""), here, other);
        LLVMPositionBuilderAtEnd(e->b, here);
        int64_t vecs = from < whole ? v->tiling.k : v->tiling.k_rest;
        emit_weight(v, &eval, vector, channel, block, vecs, kind == 2 ? fbl_emit_mask(e, e->width, tail) : NULL);
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, other);
    }
    LLVMBuildBr(e->b, done);
    LLVMPositionBuilderAtEnd(e->b, done);
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
    fbl_body_close(&eval);
}

// Products of all positions for `vecs` vectors of output channels.
static void emit_products(WinogradConv *v, int64_t vecs, LLVMValueRef weights) {
    FblEmit *e = v->e;
    int64_t unroll = fbl_largest_divisor(v->in, 4);
    FblWinogradProduct product = {.steps = fbl_emit_i64(e, v->in), .unroll = unroll == 1 && v->in <= 7 ? v->in : unroll, .a_step = 1, .a_row = v->image.stride,
                                  .b_step = vecs * e->width, .c_row = vecs * e->width, .vecs = vecs};
    FblCarryLoop position;
    fbl_carry_begin(e, &position, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->positions), 1, NULL, 0);
    product.a = fbl_emit_floats(e, v->transformed, fbl_emit_scaled(e, position.index, v->position_in));
    product.b = fbl_emit_floats(e, weights, fbl_emit_scaled(e, position.index, weight_position(v, vecs)));
    product.c = fbl_emit_floats(e, v->acc, fbl_emit_scaled(e, position.index, v->position_acc));
    fbl_winograd_product(e, &v->tiling, &product);
    fbl_carry_end(e, &position, NULL);
}

// Transforms the products of one row of tiles of one image back, vector by vector, and runs the epilogue.
static void emit_row(WinogradConv *v, FblResult *result, int64_t vecs, LLVMValueRef vector, LLVMValueRef tile, LLVMValueRef y) {
    FblEmit *e = v->e;
    FblCarryLoop j, x;
    LLVMValueRef end = fbl_emit_smaller(e, fbl_emit_sum(e, y, fbl_emit_i64(e, v->m)), fbl_emit_i64(e, v->out_h));
    fbl_carry_begin(e, &j, fbl_emit_i64(e, 0), fbl_emit_i64(e, vecs), 1, NULL, 0);
    fbl_carry_begin(e, &x, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->tiles_w), 1, NULL, 0);
    LLVMValueRef at = fbl_emit_sum(e, fbl_emit_scaled(e, fbl_emit_sum(e, tile, x.index), vecs), j.index);
    FblWinogradPlace from = {fbl_emit_floats(e, v->acc, fbl_emit_scaled(e, at, e->width)), v->side * v->position_acc, v->position_acc};
    FblWinogradPlace to = {fbl_emit_floats(e, v->line, fbl_emit_scaled(e, x.index, v->m * e->width)), v->line_floats, e->width};
    fbl_winograd_transform(e, FBL_WINOGRAD_OUTPUT, v->m, &from, &to, false);
    fbl_carry_end(e, &x, NULL);
    fbl_result_rows(result, v->line, v->line_floats, fbl_emit_sum(e, vector, j.index), y, end);
    fbl_carry_end(e, &j, NULL);
}

// One block of output-channel vectors of the strip.
static void emit_block(WinogradConv *v, int64_t vecs, LLVMValueRef vector, LLVMValueRef first_image, LLVMValueRef image_count, LLVMValueRef first_row) {
    FblEmit *e = v->e;
    emit_products(v, vecs, fbl_emit_floats(e, e->workspace, block_start(v, vector)));
    FblResult result = {.e = e, .columns = v->out_w, .tail = v->out % e->width, .vectors = v->vectors};
    fbl_result_open(&result);
    FblCarryLoop image, row;
    LLVMValueRef rows = LLVMBuildSub(e->b, fbl_emit_i64(e, (v->out_h + v->m - 1) / v->m), first_row, "");
    fbl_carry_begin(e, &image, fbl_emit_i64(e, 0), image_count, 1, NULL, 0);
    result.n = fbl_emit_sum(e, first_image, image.index);
    fbl_carry_begin(e, &row, fbl_emit_i64(e, 0), fbl_emit_smaller(e, rows, fbl_emit_i64(e, v->strip)), 1, NULL, 0);
    LLVMValueRef tile = fbl_emit_scaled(e, fbl_emit_sum(e, fbl_emit_scaled(e, image.index, v->strip), row.index), v->tiles_w);
    emit_row(v, &result, vecs, vector, tile, fbl_emit_scaled(e, fbl_emit_sum(e, first_row, row.index), v->m));
    fbl_carry_end(e, &row, NULL);
    fbl_carry_end(e, &image, NULL);
    fbl_result_close(&result);
}

static void emit_items(WinogradConv *v) {
    FblEmit *e = v->e;
    char name[112];
    snprintf(name, sizeof name, "%s_1", e->code->symbol);
    fbl_emit_function(e, name);
    v->transformed = e->scratch;
    v->acc = fbl_emit_floats_at(e, v->transformed, v->positions * v->position_in);
    v->line = fbl_emit_floats_at(e, v->acc, v->positions * v->position_acc);
    LLVMValueRef packed = v->acc; // the input is needed until the products begin
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef strips = fbl_emit_i64(e, v->strips);
    LLVMValueRef first_row = fbl_emit_scaled(e, LLVMBuildURem(e->b, items.index, strips, ""), v->strip);
    LLVMValueRef first_image = fbl_emit_scaled(e, LLVMBuildUDiv(e->b, items.index, strips, ""), v->images);
    LLVMValueRef count = fbl_emit_i64(e, 1);
    if (v->images > 1) {
        count = fbl_emit_smaller(e, LLVMBuildSub(e->b, fbl_emit_i64(e, v->c->n), first_image, ""), fbl_emit_i64(e, v->images));
    }
    FblWinogradTiles tiles = {.map = FBL_WINOGRAD_INPUT, .m = v->m, .tiles_h = v->strip, .tiles_w = v->tiles_w, .row_floats = v->image.width * v->image.stride,
                              .channels = v->image.stride, .distance = v->m, .position_step = v->position_in, .tile_step = v->image.stride};
    FblCarryLoop image, block;
    fbl_carry_begin(e, &image, fbl_emit_i64(e, 0), count, 1, NULL, 0);
    LLVMValueRef source_row = fbl_emit_sum(e, fbl_emit_scaled(e, first_row, v->m), fbl_emit_i64(e, -v->pad_h));
    fbl_pack_rows(e, &v->image, packed, fbl_emit_sum(e, first_image, image.index), source_row, v->packed_rows);
    fbl_winograd_tiles(e, &tiles, packed, fbl_emit_floats(e, v->transformed, fbl_emit_scaled(e, image.index, v->strip * v->tiles_w * v->image.stride)));
    fbl_carry_end(e, &image, NULL);
    const FblTiling *t = &v->tiling;
    if (t->k_tiles > 0) {
        fbl_carry_begin(e, &block, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->k_tiles * t->k), t->k, NULL, 0);
        emit_block(v, t->k, block.index, first_image, count, first_row);
        fbl_carry_end(e, &block, NULL);
    }
    if (t->k_rest > 0) {
        emit_block(v, t->k_rest, fbl_emit_i64(e, t->k_tiles * t->k), first_image, count, first_row);
    }
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
}

bool fbl_emit_winograd_conv(FblEmit *e) {
    WinogradConv v;
    if (!init(&v, e)) {
        return false;
    }
    FblKernelCode *code = e->code;
    const FblTiling *t = &v.tiling;
    code->phases = 2;
    code->items[0] = v.vectors * v.in;
    code->items[1] = v.groups * v.strips;
    code->image_groups = v.c->n % v.images == 0 ? v.groups : 0;
    code->workspace_bytes = 4 * v.positions * (t->k_tiles * weight_position(&v, t->k) + (t->k_rest ? weight_position(&v, t->k_rest) : 0));
    int64_t after = v.positions * v.position_acc + v.m * v.line_floats + e->width * e->width;
    int64_t scratch = v.positions * v.position_in + (after > v.packed_floats ? after : v.packed_floats);
    int64_t taps = 9 * e->width;
    code->scratch_bytes = 4 * (scratch > taps ? scratch : taps);
    emit_weights(&v);
    emit_items(&v);
    return true;
}

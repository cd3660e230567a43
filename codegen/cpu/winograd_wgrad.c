// Winograd weight gradient.
//
// Phase 0: an item is a fixed chunk of the images. Strip by strip it transforms the tiles of both operands, multiplies
// position by position, input channels times output-channel vectors summed over the strip's tiles, transforms a block of
// these sums back to the 3 x 3 taps and adds them to its part of the workspace. Phase 1 adds the chunks in order.
#include "codegen/cpu/winograd_internal.h"

#define MAX_CHUNKS 16
#define STRIP_BYTES (288 * 1024)
#define STRIP_TILES 64
#define MIN_TILES 32
#define BLOCK_CHANNELS 16

typedef struct WinogradSums {
    FblEmit *e;
    const FblContraction *c;
    int m, side;
    int64_t positions, chunks, vectors;
    int64_t tiles_h, tiles_w, strip, strips, images, tiles; // as in the forward form
    int64_t block;                                         // input channels at once
    int64_t position_x, position_g, position_sums;
    int64_t vector_floats, chunk_floats;
    FblTiling tiling;
    FblImage x, g;
    LLVMValueRef x_at, g_at, sums, partial, image_count;
} WinogradSums;

static void choose_strips(WinogradSums *v) {
    int64_t tile_bytes = 4 * v->positions * (v->x.stride + v->g.stride);
    int64_t limit = STRIP_BYTES / tile_bytes;
    limit = limit < MIN_TILES ? MIN_TILES : limit > STRIP_TILES ? STRIP_TILES : limit;
    int64_t per_strip = limit / v->tiles_w;
    per_strip = per_strip < 1 ? 1 : per_strip;
    v->strips = (v->tiles_h + per_strip - 1) / per_strip;
    v->strip = (v->tiles_h + v->strips - 1) / v->strips;
    v->strips = (v->tiles_h + v->strip - 1) / v->strip;
    int64_t per_chunk = (v->c->n + v->chunks - 1) / v->chunks;
    int64_t images = v->strips == 1 ? limit / (v->strip * v->tiles_w) : 1;
    images = images < 1 ? 1 : images > per_chunk ? per_chunk : images;
    int64_t groups = (per_chunk + images - 1) / images;
    v->images = (per_chunk + groups - 1) / groups;
    v->tiles = v->images * v->strip * v->tiles_w;
}

static bool init(WinogradSums *v, FblEmit *e) {
    const FblContraction *c = &e->kernel->contraction;
    int m = c->algorithm == FBL_CONV_WINOGRAD2 ? 2 : 4;
    *v = (WinogradSums){.e = e, .c = c, .m = m, .side = m + 2, .positions = (m + 2) * (m + 2)};
    v->chunks = c->chunks > 0 ? c->chunks : MAX_CHUNKS;
    v->chunks = v->chunks < c->n ? v->chunks : c->n;
    v->vectors = (c->o + e->width - 1) / e->width;
    v->tiles_h = (c->oh + m - 1) / m;
    v->tiles_w = (c->ow + m - 1) / m;
    v->vector_floats = 9 * c->c * e->width;
    v->chunk_floats = v->vectors * v->vector_floats;
    v->x = (FblImage){.body = &e->kernel->operands[0], .n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3, .c = c->c, .h = c->h, .w = c->w,
                      .width = v->tiles_w * m + 2, .pad = c->pad_w, .stride = (c->c + e->width - 1) / e->width * e->width};
    v->g = (FblImage){.body = &e->kernel->operands[1], .n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3, .c = c->o, .h = c->oh, .w = c->ow,
                      .width = v->tiles_w * m, .pad = 0, .stride = v->vectors * e->width};
    if (v->x.width * v->x.stride > ((int64_t)1 << 22) || v->g.width * v->g.stride > ((int64_t)1 << 22) || v->chunk_floats * v->chunks > ((int64_t)1 << 29)) {
        return false;
    }
    choose_strips(v);
    v->block = fbl_largest_divisor(c->c, BLOCK_CHANNELS);
    v->block = v->block < 8 ? c->c : v->block;
    v->tiling = fbl_tiling_for_width(v->block, v->vectors, e->width);
    v->position_x = fbl_winograd_spread(v->tiles * v->x.stride);
    v->position_g = fbl_winograd_spread(v->tiles * v->g.stride);
    v->position_sums = fbl_winograd_spread(v->block * v->tiling.k * e->width);
    return true;
}

static int64_t packed_floats(const WinogradSums *v, const FblImage *image, int64_t halo) {
    return (v->strip * v->m + halo) * image->width * image->stride;
}

// Packs and transforms one operand's strip of one image. `halo`: rows that tiles overlap.
static void emit_operand(WinogradSums *v, const FblImage *image, FblWinogradMap map, int64_t halo, int64_t position_step, LLVMValueRef n, LLVMValueRef first_row,
                         LLVMValueRef to) {
    FblEmit *e = v->e;
    fbl_pack_rows(e, image, v->sums, n, first_row, v->strip * v->m + halo);
    FblWinogradTiles tiles = {.map = map, .m = v->m, .tiles_h = v->strip, .tiles_w = v->tiles_w, .row_floats = image->width * image->stride, .channels = image->stride,
                              .distance = v->m, .position_step = position_step, .tile_step = image->stride};
    fbl_winograd_tiles(e, &tiles, v->sums, to);
}

// Sums of `vecs` vectors of output channels from `vector` and one block of input channels from `channel`, transformed back.
static void emit_block(WinogradSums *v, int64_t vecs, LLVMValueRef vector, LLVMValueRef channel) {
    FblEmit *e = v->e;
    int64_t unroll = fbl_largest_divisor(v->strip * v->tiles_w, 4);
    FblWinogradProduct product = {.steps = fbl_emit_scaled(e, v->image_count, v->strip * v->tiles_w), .unroll = unroll, .a_step = v->x.stride, .a_row = 1,
                                  .b_step = v->g.stride, .c_row = vecs * e->width, .vecs = vecs};
    FblCarryLoop position, c, j;
    fbl_carry_begin(e, &position, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->positions), 1, NULL, 0);
    LLVMValueRef x = fbl_emit_floats(e, v->x_at, fbl_emit_scaled(e, position.index, v->position_x));
    LLVMValueRef g = fbl_emit_floats(e, v->g_at, fbl_emit_scaled(e, position.index, v->position_g));
    product.a = fbl_emit_floats(e, x, channel);
    product.b = fbl_emit_floats(e, g, fbl_emit_scaled(e, vector, e->width));
    product.c = fbl_emit_floats(e, v->sums, fbl_emit_scaled(e, position.index, v->position_sums));
    fbl_winograd_product(e, &v->tiling, &product);
    fbl_carry_end(e, &position, NULL);
    fbl_carry_begin(e, &j, fbl_emit_i64(e, 0), fbl_emit_i64(e, vecs), 1, NULL, 0);
    fbl_carry_begin(e, &c, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->block), 1, NULL, 0);
    LLVMValueRef from = fbl_emit_scaled(e, fbl_emit_sum(e, fbl_emit_scaled(e, c.index, vecs), j.index), e->width);
    LLVMValueRef to = fbl_emit_sum(e, fbl_emit_scaled(e, fbl_emit_sum(e, vector, j.index), v->vector_floats),
                                   fbl_emit_scaled(e, fbl_emit_sum(e, channel, c.index), e->width));
    FblWinogradPlace source = {fbl_emit_floats(e, v->sums, from), v->side * v->position_sums, v->position_sums};
    FblWinogradPlace target = {fbl_emit_floats(e, v->partial, to), 3 * v->c->c * e->width, v->c->c * e->width};
    fbl_winograd_transform(e, FBL_WINOGRAD_SUMS, v->m, &source, &target, true);
    fbl_carry_end(e, &c, NULL);
    fbl_carry_end(e, &j, NULL);
}

// All blocks of one strip of `image_count` images.
static void emit_strip(WinogradSums *v, LLVMValueRef first_image, LLVMValueRef first_tile_row) {
    FblEmit *e = v->e;
    const FblTiling *t = &v->tiling;
    FblCarryLoop image, vector, channel;
    fbl_carry_begin(e, &image, fbl_emit_i64(e, 0), v->image_count, 1, NULL, 0);
    LLVMValueRef n = fbl_emit_sum(e, first_image, image.index), row = fbl_emit_scaled(e, first_tile_row, v->m);
    LLVMValueRef tile = fbl_emit_scaled(e, image.index, v->strip * v->tiles_w);
    emit_operand(v, &v->x, FBL_WINOGRAD_INPUT, 2, v->position_x, n, fbl_emit_sum(e, row, fbl_emit_i64(e, -v->c->pad_h)),
                 fbl_emit_floats(e, v->x_at, fbl_emit_scaled(e, tile, v->x.stride)));
    emit_operand(v, &v->g, FBL_WINOGRAD_GRADIENT, 0, v->position_g, n, row, fbl_emit_floats(e, v->g_at, fbl_emit_scaled(e, tile, v->g.stride)));
    fbl_carry_end(e, &image, NULL);
    fbl_carry_begin(e, &channel, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->c->c), v->block, NULL, 0);
    if (t->k_tiles > 0) {
        fbl_carry_begin(e, &vector, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->k_tiles * t->k), t->k, NULL, 0);
        emit_block(v, t->k, vector.index, channel.index);
        fbl_carry_end(e, &vector, NULL);
    }
    if (t->k_rest > 0) {
        emit_block(v, t->k_rest, fbl_emit_i64(e, t->k_tiles * t->k), channel.index);
    }
    fbl_carry_end(e, &channel, NULL);
}

static void emit_chunks(WinogradSums *v) {
    FblEmit *e = v->e;
    const FblContraction *c = v->c;
    fbl_emit_function(e, e->code->symbol);
    v->x_at = e->scratch;
    v->g_at = fbl_emit_floats_at(e, v->x_at, v->positions * v->position_x);
    v->sums = fbl_emit_floats_at(e, v->g_at, v->positions * v->position_g); // packed operands before
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    v->partial = fbl_emit_floats(e, e->workspace, fbl_emit_scaled(e, items.index, v->chunk_floats));
    fbl_emit_zero_floats(e, v->partial, v->chunk_floats);
    LLVMValueRef count = fbl_emit_i64(e, v->chunks);
    LLVMValueRef first = LLVMBuildUDiv(e->b, fbl_emit_scaled(e, items.index, c->n), count, "");
    LLVMValueRef last = LLVMBuildUDiv(e->b, fbl_emit_scaled(e, fbl_emit_sum(e, items.index, fbl_emit_i64(e, 1)), c->n), count, "");
    FblCarryLoop images, strips;
    fbl_carry_begin(e, &images, first, last, v->images, NULL, 0);
    v->image_count = fbl_emit_smaller(e, LLVMBuildSub(e->b, last, images.index, ""), fbl_emit_i64(e, v->images));
    if (v->images == 1) {
        v->image_count = fbl_emit_i64(e, 1);
    }
    fbl_carry_begin(e, &strips, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->strips), 1, NULL, 0);
    emit_strip(v, images.index, fbl_emit_scaled(e, strips.index, v->strip));
    fbl_carry_end(e, &strips, NULL);
    fbl_carry_end(e, &images, NULL);
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
}

bool fbl_emit_winograd_weight_grad(FblEmit *e) {
    WinogradSums v;
    if (!init(&v, e)) {
        return false;
    }
    FblKernelCode *code = e->code;
    code->phases = 2;
    code->items[0] = v.chunks;
    code->image_groups = v.c->n % v.chunks == 0 ? v.chunks : 0;
    code->items[1] = v.vectors * v.c->c;
    code->workspace_bytes = v.chunks * v.chunk_floats * 4;
    int64_t shared = v.positions * v.position_sums, x = packed_floats(&v, &v.x, 2), g = packed_floats(&v, &v.g, 0);
    shared = shared > x ? shared : x;
    shared = shared > g ? shared : g;
    code->scratch_bytes = 4 * (v.positions * (v.position_x + v.position_g) + shared);
    emit_chunks(&v);
    fbl_emit_weight_totals(e, v.chunks);
    return true;
}

// Weight gradient of a convolution: for every tap, input channels times output-channel vectors held in registers and
// summed over the pixels of a group of images.
//
// Phase 0: an item is a fixed chunk of the images and a range of the output or input channels; it packs the images and sums into
// its own part of the workspace, [output-channel vector][kh][kw][input channel][lane]. Ranges are so small that their sums
// stay in a core's cache, and there are no more chunks than it takes to have work for all threads: each chunk of large
// weights costs memory traffic that few pixels can't hide. Phase 1: an item is a vector of output channels and an input
// channel; it adds the chunks in order and hands the sums to the epilogue body.
#include <stdio.h>
#include <string.h>

#include "codegen/cpu/contract_internal.h"

#define STRIP_BYTES (128 * 1024)
#define MAX_CHUNKS 16
#define MIN_ITEMS 16
#define RANGE_BYTES (256 * 1024)
#define FEW_PIXELS 400
#define GROUP_PIXELS 256

typedef struct WeightGrad {
    FblEmit *e;
    const FblContraction *c;
    int64_t chunks, in_group, out_group, vectors, all_vectors;
    // Ranges of the channels, those of the input or those of the output, of which there are more. With several ranges there
    // is one group and no partial vector. Then vectors of output channels and input channels of one range.
    int64_t ranges, range, in_range;
    bool by_input;
    int64_t images;                    // packed together
    int64_t strip, strips, strip_rows; // output rows at once; packed input rows for them
    int64_t vector_floats, chunk_floats;
    int64_t x_stride_h, x_stride_w; // of the packed x between output pixels
    int64_t per_word;               // 2: neighbouring output pixels of a row are summed as pairs
    FblTiling tiling;
    FblImage x, g;
    int64_t x_floats, g_floats; // of one packed image strip
    LLVMValueRef x_at, g_at, partial, image_count, row_count, first_vector, first_channel; // of the item's range
} WeightGrad;

// Ranges and chunks from the size of the weights.
static void divide(WeightGrad *v) {
    const FblContraction *c = v->c;
    int64_t bytes = v->vectors * v->vector_floats * 4;
    v->by_input = v->in_group > v->out_group;
    bool whole = c->groups == 1 && v->out_group % v->e->width == 0 && v->in_group % v->e->width == 0 && c->oh * c->ow < FEW_PIXELS;
    int64_t units = v->by_input ? v->in_group / v->e->width : v->vectors;
    v->ranges = 1;
    while (whole && v->ranges < MIN_ITEMS && bytes / v->ranges > RANGE_BYTES && units % (2 * v->ranges) == 0 && units / (2 * v->ranges) >= 4) {
        v->ranges *= 2;
    }
    v->range = v->by_input ? v->vectors : v->vectors / v->ranges;
    v->in_range = v->by_input ? v->in_group / v->ranges : v->in_group;
    v->chunks = c->chunks > 0 ? c->chunks : MAX_CHUNKS;
    v->chunks = v->chunks < c->n ? v->chunks : c->n;
    while (v->chunks % 2 == 0 && v->chunks / 2 * v->ranges >= MIN_ITEMS) {
        v->chunks /= 2;
    }
}

static bool init(WeightGrad *v, FblEmit *e) {
    const FblContraction *c = &e->kernel->contraction;
    *v = (WeightGrad){.e = e, .c = c};
    v->per_word = fbl_factors_per_word(e);
    v->in_group = c->c / c->groups;
    v->out_group = c->o / c->groups;
    if (c->groups > 1 && (v->in_group % e->width != 0 || v->out_group % e->width != 0)) {
        return false;
    }
    v->vectors = (v->out_group + e->width - 1) / e->width;
    v->all_vectors = v->vectors * c->groups;
    v->vector_floats = c->kh * c->kw * v->in_group * e->width;
    v->chunk_floats = v->all_vectors * v->vector_floats;
    divide(v);
    v->tiling = fbl_tiling_for_target(e, v->in_range, v->range);
    v->x = (FblImage){.body = &e->kernel->operands[0], .n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3, .c = v->by_input ? c->c / v->ranges : c->c, .h = c->h, .w = c->w,
                      .width = (c->ow - 1) * c->stride_w + (c->kw - 1) * c->dilation_w + 1, .pad = c->pad_w,
                      .stride = ((v->by_input ? c->c / v->ranges : c->c) + e->width - 1) / e->width * e->width};
    v->g = (FblImage){.body = &e->kernel->operands[1], .n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3, .c = c->groups * v->out_group / (v->by_input ? 1 : v->ranges), .h = c->oh, .w = c->ow,
                      .width = c->ow, .pad = 0, .stride = v->all_vectors / (v->by_input ? 1 : v->ranges) * e->width};
    // A 1x1 window touches only the pixels that the stride does: the others are not packed.
    v->x_stride_h = c->stride_h;
    v->x_stride_w = c->stride_w;
    if (c->kh == 1 && c->kw == 1 && c->pad_h == 0 && c->pad_w == 0) {
        v->x_stride_h = v->x_stride_w = 1;
        v->x.row_step = c->stride_h;
        v->x.column_step = c->stride_w;
        v->x.width = c->ow;
    }
    int64_t halo = (c->kh - 1) * c->dilation_h + 1;
    int64_t x_row = v->x.width * v->x.stride, g_row = v->g.width * v->g.stride;
    if (x_row * (halo + 1) > ((int64_t)1 << 26) || g_row > ((int64_t)1 << 26) || v->chunk_floats * v->chunks > ((int64_t)1 << 29)) {
        return false;
    }
    int64_t rows = (STRIP_BYTES / 4 - x_row * (halo - 1)) / (x_row * v->x_stride_h + g_row);
    rows = rows < 1 ? 1 : rows > c->oh ? c->oh : rows;
    v->strips = (c->oh + rows - 1) / rows;
    v->strip = (c->oh + v->strips - 1) / v->strips;
    v->strips = (c->oh + v->strip - 1) / v->strip;
    v->strip_rows = (v->strip - 1) * v->x_stride_h + halo;
    v->x_floats = v->strip_rows * x_row;
    v->g_floats = v->strip * g_row;
    // Small images go several at a time, so that register tiles are loaded and stored seldom.
    int64_t per_chunk = (c->n + v->chunks - 1) / v->chunks;
    v->images = 1;
    while (v->images < per_chunk && v->images * v->strip * c->ow < GROUP_PIXELS && (v->images + 1) * (v->x_floats + v->g_floats) * 4 <= STRIP_BYTES) {
        v->images++;
    }
    return true;
}

// Tile of p input channels from `channel` and k vectors from `vector`, of group `group`, at tap (i, j).
static void emit_tile(WeightGrad *v, int64_t p, int64_t k, LLVMValueRef group, LLVMValueRef vector, LLVMValueRef channel, LLVMValueRef i, LLVMValueRef j) {
    FblEmit *e = v->e;
    const FblContraction *c = v->c;
    LLVMValueRef local = fbl_emit_sum(e, fbl_emit_scaled(e, group, v->vectors), vector); // within the range
    LLVMValueRef global = v->by_input || v->ranges == 1 ? local : fbl_emit_sum(e, v->first_vector, local);
    LLVMValueRef in_channel = v->by_input && v->ranges > 1 ? fbl_emit_sum(e, v->first_channel, channel) : channel;
    LLVMValueRef tap = fbl_emit_sum(e, fbl_emit_scaled(e, i, c->kw), j);
    LLVMValueRef at = fbl_emit_sum(e, fbl_emit_scaled(e, global, v->vector_floats),
                                   fbl_emit_scaled(e, fbl_emit_sum(e, fbl_emit_scaled(e, tap, v->in_group), in_channel), e->width));
    LLVMValueRef partial = fbl_emit_floats(e, v->partial, at);
    LLVMValueRef values[FBL_CARRY_MAX];
    int count = (int)(p * k);
    for (int64_t a = 0; a < p; a++) {
        for (int64_t b = 0; b < k; b++) {
            values[a * k + b] = fbl_emit_load_floats(e, fbl_emit_floats_at(e, partial, a * e->width + b * v->vector_floats), e->width);
        }
    }
    LLVMValueRef x_offset = fbl_emit_sum(e, fbl_emit_scaled(e, i, c->dilation_h * v->x.width * v->x.stride), fbl_emit_scaled(e, j, c->dilation_w * v->x.stride));
    x_offset = fbl_emit_sum(e, x_offset, fbl_emit_sum(e, fbl_emit_scaled(e, group, v->in_group), channel));
    LLVMValueRef x_tap = fbl_emit_floats(e, v->x_at, x_offset);
    LLVMValueRef g_tap = fbl_emit_floats(e, v->g_at, fbl_emit_scaled(e, local, e->width));
    int64_t words = (c->ow + v->per_word - 1) / v->per_word;
    int64_t unroll = fbl_largest_divisor(words, 8), x_step = v->per_word * v->x_stride_w * v->x.stride;
    FblCarryLoop image, row, column;
    fbl_carry_begin(e, &image, fbl_emit_i64(e, 0), v->image_count, 1, values, count);
    LLVMValueRef x_image = fbl_emit_floats(e, x_tap, fbl_emit_scaled(e, image.index, v->x_floats));
    LLVMValueRef g_image = fbl_emit_floats(e, g_tap, fbl_emit_scaled(e, image.index, v->g_floats));
    fbl_carry_begin(e, &row, fbl_emit_i64(e, 0), v->row_count, 1, values, count);
    values[count] = fbl_emit_floats(e, x_image, fbl_emit_scaled(e, row.index, v->x_stride_h * v->x.width * v->x.stride));
    values[count + 1] = fbl_emit_floats(e, g_image, fbl_emit_scaled(e, row.index, v->g.width * v->g.stride));
    fbl_carry_begin(e, &column, fbl_emit_i64(e, 0), fbl_emit_i64(e, words), unroll, values, count + 2);
    for (int64_t u = 0; u < unroll; u++) {
        LLVMValueRef vectors[8];
        for (int64_t b = 0; b < k; b++) {
            vectors[b] = fbl_emit_load_floats(e, fbl_emit_floats_at(e, values[count + 1], u * v->g.stride + b * e->width), e->width);
        }
        for (int64_t a = 0; a < p; a++) {
            LLVMValueRef x = fbl_emit_splat(e, fbl_emit_load_floats(e, fbl_emit_floats_at(e, values[count], u * x_step + a), 1), e->width);
            for (int64_t b = 0; b < k; b++) {
                values[a * k + b] = fbl_emit_multiply_add(e, x, vectors[b], values[a * k + b]);
            }
        }
    }
    values[count] = fbl_emit_floats_at(e, values[count], unroll * x_step);
    values[count + 1] = fbl_emit_floats_at(e, values[count + 1], unroll * v->g.stride);
    fbl_carry_end(e, &column, values);
    fbl_carry_end(e, &row, values);
    fbl_carry_end(e, &image, values);
    for (int64_t a = 0; a < p; a++) {
        for (int64_t b = 0; b < k; b++) {
            fbl_emit_store_floats(e, values[a * k + b], fbl_emit_floats_at(e, partial, a * e->width + b * v->vector_floats));
        }
    }
}

// All taps and input channels for k vectors.
static void emit_block(WeightGrad *v, int64_t k, LLVMValueRef group, LLVMValueRef vector) {
    FblEmit *e = v->e;
    const FblTiling *t = &v->tiling;
    FblCarryLoop channel, i, j;
    for (int part = 0; part < 2; part++) {
        int64_t p = part ? t->p - 1 : t->p;
        int64_t from = part ? t->big * t->p : 0, to = part ? v->in_range : t->big * t->p;
        if (from == to) {
            continue;
        }
        fbl_carry_begin(e, &channel, fbl_emit_i64(e, from), fbl_emit_i64(e, to), p, NULL, 0);
        fbl_carry_begin(e, &i, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->c->kh), 1, NULL, 0);
        fbl_carry_begin(e, &j, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->c->kw), 1, NULL, 0);
        emit_tile(v, p, k, group, vector, channel.index, i.index, j.index);
        fbl_carry_end(e, &j, NULL);
        fbl_carry_end(e, &i, NULL);
        fbl_carry_end(e, &channel, NULL);
    }
}

static void pack_images(WeightGrad *v, LLVMValueRef first_image, LLVMValueRef y0) {
    FblEmit *e = v->e;
    FblCarryLoop image;
    LLVMValueRef first_row = LLVMBuildSub(e->b, fbl_emit_scaled(e, y0, v->c->stride_h), fbl_emit_i64(e, v->c->pad_h), "");
    fbl_carry_begin(e, &image, fbl_emit_i64(e, 0), v->image_count, 1, NULL, 0);
    LLVMValueRef n = fbl_emit_sum(e, first_image, image.index);
    LLVMValueRef x = fbl_emit_floats(e, v->x_at, fbl_emit_scaled(e, image.index, v->x_floats));
    LLVMValueRef g = fbl_emit_floats(e, v->g_at, fbl_emit_scaled(e, image.index, v->g_floats));
    fbl_pack_rows(e, &v->x, x, n, first_row, v->strip_rows);
    fbl_pack_rows(e, &v->g, g, n, y0, v->strip);
    if (v->per_word == 2) {
        // Which pixels of x are neighbours depends on the tap, so each begins a pair: with what the next output pixel reads.
        fbl_emit_pair_pixels(e, x, v->strip_rows, v->x.width, v->x.stride, v->x.width, 1, v->x_stride_w);
        fbl_emit_pair_pixels(e, g, v->strip, v->g.width, v->g.stride, (v->g.width + 1) / 2, 2, 1);
    }
    fbl_carry_end(e, &image, NULL);
}

// Zeros for the item's range.
static void zero_sums(WeightGrad *v) {
    FblEmit *e = v->e;
    if (!v->by_input || v->ranges == 1) {
        LLVMValueRef at = v->ranges == 1 ? v->partial : fbl_emit_floats(e, v->partial, fbl_emit_scaled(e, v->first_vector, v->vector_floats));
        fbl_emit_zero_floats(e, at, v->chunk_floats / v->ranges);
        return;
    }
    FblCarryLoop row; // a vector and a tap
    LLVMValueRef base = fbl_emit_floats(e, v->partial, fbl_emit_scaled(e, v->first_channel, e->width));
    fbl_carry_begin(e, &row, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->vectors * v->c->kh * v->c->kw), 1, NULL, 0);
    fbl_emit_zero_floats(e, fbl_emit_floats(e, base, fbl_emit_scaled(e, row.index, v->in_group * e->width)), v->in_range * e->width);
    fbl_carry_end(e, &row, NULL);
}

static void emit_chunks(WeightGrad *v) {
    FblEmit *e = v->e;
    const FblContraction *c = v->c;
    fbl_emit_function(e, e->code->symbol);
    v->x_at = e->scratch;
    v->g_at = fbl_emit_floats_at(e, e->scratch, v->images * v->x_floats);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef ranges = fbl_emit_i64(e, v->ranges);
    LLVMValueRef chunk = v->ranges == 1 ? items.index : LLVMBuildUDiv(e->b, items.index, ranges, "");
    LLVMValueRef range = v->ranges == 1 ? fbl_emit_i64(e, 0) : LLVMBuildURem(e->b, items.index, ranges, "");
    v->partial = fbl_emit_floats(e, e->workspace, fbl_emit_scaled(e, chunk, v->chunk_floats));
    LLVMValueRef count = fbl_emit_i64(e, v->chunks);
    LLVMValueRef first = LLVMBuildUDiv(e->b, fbl_emit_scaled(e, chunk, c->n), count, "");
    LLVMValueRef last = LLVMBuildUDiv(e->b, fbl_emit_scaled(e, fbl_emit_sum(e, chunk, fbl_emit_i64(e, 1)), c->n), count, "");
    v->first_vector = fbl_emit_scaled(e, range, v->range);
    v->first_channel = fbl_emit_scaled(e, range, v->in_range);
    if (v->ranges > 1 && v->by_input) {
        v->x.c_first = v->first_channel;
    } else if (v->ranges > 1) {
        v->g.c_first = fbl_emit_scaled(e, v->first_vector, e->width);
    }
    zero_sums(v);
    FblCarryLoop images, strips, group, block;
    fbl_carry_begin(e, &images, first, last, v->images, NULL, 0);
    v->image_count = fbl_emit_smaller(e, LLVMBuildSub(e->b, last, images.index, ""), fbl_emit_i64(e, v->images));
    if (v->images == 1) {
        v->image_count = fbl_emit_i64(e, 1);
    }
    fbl_carry_begin(e, &strips, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->strips), 1, NULL, 0);
    LLVMValueRef y0 = fbl_emit_scaled(e, strips.index, v->strip);
    v->row_count = fbl_emit_smaller(e, LLVMBuildSub(e->b, fbl_emit_i64(e, c->oh), y0, ""), fbl_emit_i64(e, v->strip));
    pack_images(v, images.index, y0);
    fbl_carry_begin(e, &group, fbl_emit_i64(e, 0), fbl_emit_i64(e, c->groups), 1, NULL, 0);
    const FblTiling *t = &v->tiling;
    if (t->k_tiles > 0) {
        fbl_carry_begin(e, &block, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->k_tiles * t->k), t->k, NULL, 0);
        emit_block(v, t->k, group.index, block.index);
        fbl_carry_end(e, &block, NULL);
    }
    if (t->k_rest > 0) {
        emit_block(v, t->k_rest, group.index, fbl_emit_i64(e, t->k_tiles * t->k));
    }
    fbl_carry_end(e, &group, NULL);
    fbl_carry_end(e, &strips, NULL);
    fbl_carry_end(e, &images, NULL);
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
}

bool fbl_emit_weight_grad(FblEmit *e) {
    WeightGrad v;
    if (!init(&v, e)) {
        return false;
    }
    FblKernelCode *code = e->code;
    code->phases = 2;
    code->items[0] = v.chunks * v.ranges;
    code->image_groups = v.c->n % v.chunks == 0 ? v.chunks : 0;
    code->items[1] = v.all_vectors * v.in_group;
    code->workspace_bytes = v.chunks * v.chunk_floats * 4;
    code->scratch_bytes = v.images * (v.x_floats + v.g_floats) * 4;
    emit_chunks(&v);
    fbl_emit_weight_totals(e, v.chunks);
    return true;
}

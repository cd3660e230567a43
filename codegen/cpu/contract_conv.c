// Convolution forward, data gradient and matrix product as one form: output pixels times output-channel vectors held in
// registers, summed over taps and input channels.
//
// Phase 0 packs the weights once per launch; phase 1 takes an (image, strip of rows) per item: packs the strip's input,
// runs the register tiles into a small buffer of accumulated vectors and hands those to the epilogue body.
// The data gradient of stride s is s*s such forms ("phases" of an axis below), one for each residue of the position.
#include <stdio.h>
#include <string.h>

#include "base/integer.h"
#include "codegen/cpu/contract_internal.h"

#define MAX_PHASES 4
#define STRIP_BYTES (96 * 1024)
#define WEIGHT_BYTES (20 * 1024)
#define FOLD_COLUMNS 32

// Outputs at positions t * phases + residue: taps at padded input positions t * in_stride + in0 + j * in_step.
typedef struct AxisPhase {
    int64_t taps, in0, weight0, outs;
} AxisPhase;

typedef struct Axis {
    int64_t out, phases, in_stride, pad, in_step, weight_step;
    int64_t low, high; // smallest and largest in0 + j * in_step
    int64_t width;     // padded extent
    AxisPhase phase[MAX_PHASES];
} Axis;

typedef struct Conv {
    FblEmit *e;
    const FblContraction *c;
    Axis rows, cols;
    int64_t kh, kw, images, groups;
    int64_t in_group, in_all, out_group, out_all; // channels
    int64_t vectors, all_vectors;                 // of output channels: per group, in all
    int64_t in_words;                             // packed words of a group's input channels: floats, or pairs
    int64_t chunk, chunks;                        // input words summed at once
    int64_t strip, strips, strip_rows, acc_rows;
    int64_t fold_m;
    int64_t weight_floats; // of one packed vector of output channels
    FblTiling tiling;
    FblImage image;
    // The operand of a 1x1 window may be read where it lies, see lies_in_blocks; then floats between pixels and between blocks
    // of channels, and else of the packed image (plane unused).
    bool in_place;
    int64_t pixel, plane;
    LLVMValueRef acc, n, y0, y1;
} Conv;

static void axis_bounds(Axis *axis) {
    bool first = true;
    for (int64_t r = 0; r < axis->phases; r++) {
        const AxisPhase *p = &axis->phase[r];
        if (p->taps == 0 || p->outs == 0) {
            continue;
        }
        int64_t last = p->in0 + (p->taps - 1) * axis->in_step;
        int64_t low = p->in0 < last ? p->in0 : last, high = p->in0 < last ? last : p->in0;
        axis->low = first || low < axis->low ? low : axis->low;
        axis->high = first || high > axis->high ? high : axis->high;
        int64_t end = (p->outs - 1) * axis->in_stride + high + 1;
        axis->width = first || end > axis->width ? end : axis->width;
        first = false;
    }
    axis->width = first ? 1 : axis->width;
}

static Axis axis_forward(int64_t out, int64_t k, int64_t stride, int64_t pad, int64_t dilation) {
    Axis axis = {.out = out, .phases = 1, .in_stride = stride, .pad = pad, .in_step = dilation, .weight_step = 1};
    axis.phase[0] = (AxisPhase){k, 0, 0, out};
    axis_bounds(&axis);
    return axis;
}

// dx[y] sums g[(y + pad - k dilation) / stride] over the taps k where that is whole.
static Axis axis_gradient(int64_t out, int64_t k, int64_t stride, int64_t pad, int64_t dilation) {
    int64_t common = fbl_gcd(stride, dilation);
    Axis axis = {.out = out, .phases = stride, .in_stride = 1, .in_step = -(dilation / common), .weight_step = stride / common};
    for (int64_t r = 0; r < stride; r++) {
        AxisPhase *p = &axis.phase[r];
        p->outs = out > r ? (out - r + stride - 1) / stride : 0;
        for (int64_t tap = 0; tap < k; tap++) {
            if ((r + pad - tap * dilation) % stride == 0) {
                if (p->taps++ == 0) {
                    p->weight0 = tap;
                    p->in0 = (r + pad - tap * dilation) / stride;
                }
            }
        }
    }
    axis_bounds(&axis);
    // Shift, so that no packed position is negative; columns that no output reads are not packed.
    axis.pad = -axis.low;
    for (int64_t r = 0; r < stride; r++) {
        axis.phase[r].in0 += axis.pad;
    }
    axis_bounds(&axis);
    return axis;
}

static void conv_scratch(Conv *v) {
    const Axis *rows = &v->rows;
    int64_t row_bytes = v->cols.width * v->image.stride * 4;
    int64_t limit = STRIP_BYTES / row_bytes;
    int64_t per_strip = (limit - (rows->high - rows->low + 1)) / rows->in_stride + 1;
    per_strip = per_strip < 1 ? 1 : per_strip;
    int64_t steps = (rows->out + rows->phases - 1) / rows->phases; // in units of whole phases
    int64_t strips = (steps + per_strip - 1) / per_strip;
    int64_t per = (steps + strips - 1) / strips;
    v->strip = per * rows->phases;
    v->strips = (rows->out + v->strip - 1) / v->strip;
    v->strip_rows = (per - 1) * rows->in_stride + rows->high - rows->low + 1;
    v->acc_rows = v->chunks > 1 ? v->strip : 1;
}

// Whether instruction `id` is the loop `loop`, or with an op (DIV, MOD) that by the constant `by`.
static bool is_index(const FblKernel *kernel, int32_t id, int32_t loop, FblOp op, int64_t by) {
    const FblKInstr *instr = &kernel->instrs[id];
    if (by == 0) {
        return instr->kind == FBL_K_LOOP && instr->a == loop;
    }
    const FblKInstr *divisor = &kernel->instrs[instr->kind == FBL_K_OP ? instr->args[1] : id];
    return instr->kind == FBL_K_OP && instr->op == op && is_index(kernel, instr->args[0], loop, op, 0) && divisor->kind == FBL_K_CONST && divisor->value == (double)by;
}

// Whether the first operand is a plain load of f32 [n][c / width][h][w][c % width]: a pixel's vector of channels is contiguous
// there already, so packing would only copy.
static bool lies_in_blocks(const FblEmit *e) {
    const FblKernel *kernel = e->kernel;
    const FblKBody *body = &kernel->operands[0];
    const FblKInstr *load = &kernel->instrs[body->value];
    if (load->kind != FBL_K_LOAD || load->guard >= 0) {
        return false;
    }
    const FblKernelBuffer *buffer = &kernel->buffers[load->a];
    const int32_t *loops = body->loops, *at = load->index;
    return buffer->dtype == FBL_F32 && buffer->rank == 5 && buffer->extents[4] == e->width && is_index(kernel, at[0], loops[0], FBL_OP_DIV, 0) &&
           is_index(kernel, at[1], loops[1], FBL_OP_DIV, e->width) && is_index(kernel, at[2], loops[2], FBL_OP_DIV, 0) &&
           is_index(kernel, at[3], loops[3], FBL_OP_DIV, 0) && is_index(kernel, at[4], loops[1], FBL_OP_MOD, e->width);
}

static bool conv_init(Conv *v, FblEmit *e) {
    const FblContraction *c = &e->kernel->contraction;
    *v = (Conv){.e = e, .c = c};
    int64_t source_h, source_w;
    if (c->kind == FBL_MATMUL) {
        v->fold_m = c->m;
        int64_t columns = c->m;
        if (columns > FOLD_COLUMNS) {
            int64_t divisor = fbl_largest_divisor(c->m, FOLD_COLUMNS);
            columns = divisor >= 12 ? divisor : 24;
        }
        source_h = (c->m + columns - 1) / columns;
        source_w = columns;
        v->rows = axis_forward(source_h, 1, 1, 0, 1);
        v->cols = axis_forward(source_w, 1, 1, 0, 1);
        v->kh = v->kw = v->groups = 1;
        v->images = c->n_batch;
        v->in_all = c->k;
        v->out_all = c->n_;
        v->image = (FblImage){.n_at = 0, .c_at = 2, .h_at = -1, .w_at = 1, .fold_m = c->m};
    } else {
        bool point = c->kind == FBL_CONV_FORWARD && c->kh == 1 && c->kw == 1 && c->pad_h == 0 && c->pad_w == 0;
        v->kh = c->kh;
        v->kw = c->kw;
        v->images = c->n;
        v->groups = c->groups;
        v->image = (FblImage){.n_at = 0, .c_at = 1, .h_at = 2, .w_at = 3};
        if (point) {
            // A 1x1 window touches only the pixels that the stride does: the others are not packed.
            v->rows = axis_forward(c->oh, 1, 1, 0, 1);
            v->cols = axis_forward(c->ow, 1, 1, 0, 1);
            v->image.row_step = c->stride_h;
            v->image.column_step = c->stride_w;
            v->in_all = c->c;
            v->out_all = c->o;
            source_h = c->h;
            source_w = c->w;
        } else if (c->kind == FBL_CONV_FORWARD) {
            v->rows = axis_forward(c->oh, c->kh, c->stride_h, c->pad_h, c->dilation_h);
            v->cols = axis_forward(c->ow, c->kw, c->stride_w, c->pad_w, c->dilation_w);
            v->in_all = c->c;
            v->out_all = c->o;
            source_h = c->h;
            source_w = c->w;
        } else {
            if (c->stride_h > MAX_PHASES || c->stride_w > MAX_PHASES) {
                return false;
            }
            v->rows = axis_gradient(c->h, c->kh, c->stride_h, c->pad_h, c->dilation_h);
            v->cols = axis_gradient(c->w, c->kw, c->stride_w, c->pad_w, c->dilation_w);
            v->in_all = c->o;
            v->out_all = c->c;
            source_h = c->oh;
            source_w = c->ow;
        }
    }
    v->in_group = v->in_all / v->groups;
    v->out_group = v->out_all / v->groups;
    if (v->groups > 1 && (v->in_group % e->width != 0 || v->out_group % e->width != 0)) {
        return false;
    }
    v->vectors = (v->out_group + e->width - 1) / e->width;
    v->all_vectors = v->vectors * v->groups;
    int64_t widest = 0;
    for (int64_t r = 0; r < v->cols.phases; r++) {
        widest = v->cols.phase[r].outs > widest ? v->cols.phase[r].outs : widest;
    }
    v->tiling = fbl_tiling_for_target(e, widest, v->vectors);
    int64_t per_word = fbl_factors_per_word(e);
    v->in_words = (v->in_group + per_word - 1) / per_word;
    v->chunk = v->in_words;
    int64_t fits = WEIGHT_BYTES / (v->kh * v->kw * fbl_tiling_for_width(widest, v->vectors, e->width).k * e->width * 4);
    if (fits < v->in_words) {
        int64_t divisor = fbl_largest_divisor(v->in_words, fits < 8 ? 8 : fits);
        v->chunk = divisor >= 8 ? divisor : v->in_words;
    }
    v->chunks = v->in_words / v->chunk;
    v->weight_floats = v->kh * v->kw * v->in_words * e->width;
    FblImage *image = &v->image;
    image->body = &e->kernel->operands[0];
    image->c = v->in_all;
    image->h = source_h;
    image->w = source_w;
    image->width = v->cols.width;
    image->pad = v->cols.pad;
    image->stride = (v->in_all + e->width - 1) / e->width * e->width / per_word;
    image->pairs = per_word == 2;
    if (image->width * image->stride * (v->kh + 1) > ((int64_t)1 << 26) || v->weight_floats > ((int64_t)1 << 28)) {
        return false;
    }
    conv_scratch(v);
    v->in_place = c->kind != FBL_MATMUL && v->kh == 1 && v->kw == 1 && c->stride_h == 1 && c->stride_w == 1 && c->pad_h == 0 && c->pad_w == 0 && per_word == 1 &&
                  v->chunk % e->width == 0 && lies_in_blocks(e);
    v->pixel = v->in_place ? e->width : image->stride;
    v->plane = v->in_place ? source_h * source_w * e->width : v->chunk;
    return true;
}

// ---- phase 0: weights ----

// Sets the summed channel of the weights' body, counted within the group of `vector`.
static void set_weight_channel(Conv *v, FblBodyEval *eval, LLVMValueRef vector, LLVMValueRef channel) {
    FblEmit *e = v->e;
    if (v->c->kind == FBL_CONV_DATA_GRAD) {
        LLVMValueRef group = LLVMBuildUDiv(e->b, vector, fbl_emit_i64(e, v->vectors), "");
        fbl_body_loop(eval, 0, fbl_emit_sum(e, fbl_emit_scaled(e, group, v->in_group), channel), 0, 1);
    } else {
        fbl_body_loop(eval, 1, channel, 0, 1);
    }
}

// Word `word` of the summed channels.
static LLVMValueRef weight_words(Conv *v, FblBodyEval *eval, LLVMValueRef vector, LLVMValueRef word, LLVMValueRef mask) {
    FblEmit *e = v->e;
    LLVMValueRef channel = fbl_emit_scaled(e, word, fbl_factors_per_word(e));
    set_weight_channel(v, eval, vector, channel);
    LLVMValueRef first = fbl_body_value(eval, mask);
    if (fbl_factors_per_word(e) == 1) {
        return first;
    }
    LLVMValueRef next = fbl_emit_sum(e, channel, fbl_emit_i64(e, 1)), last = fbl_emit_i64(e, v->in_group - 1);
    set_weight_channel(v, eval, vector, v->in_group % 2 ? fbl_emit_smaller(e, next, last) : next);
    LLVMValueRef second = fbl_body_value(eval, mask);
    if (v->in_group % 2) {
        second = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLE, next, last, ""), second, fbl_emit_f32(e, 0, e->width), "");
    }
    return fbl_emit_pairs(e, first, second);
}

static void pack_weight_vector(Conv *v, FblBodyEval *eval, LLVMValueRef vector, LLVMValueRef word, LLVMValueRef to, LLVMValueRef mask) {
    FblEmit *e = v->e;
    if (v->c->kind == FBL_CONV_DATA_GRAD) {
        LLVMValueRef local = LLVMBuildURem(e->b, vector, fbl_emit_i64(e, v->vectors), "");
        fbl_body_loop(eval, 1, fbl_emit_scaled(e, local, e->width), 1, e->width);
    } else {
        fbl_body_loop(eval, v->c->kind == FBL_MATMUL ? 2 : 0, fbl_emit_scaled(e, vector, e->width), 1, e->width);
    }
    FblCarryLoop h, w;
    fbl_carry_begin(e, &h, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->kh), 1, NULL, 0);
    fbl_carry_begin(e, &w, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->kw), 1, NULL, 0);
    if (v->c->kind != FBL_MATMUL) {
        fbl_body_loop(eval, 2, h.index, 0, 1);
        fbl_body_loop(eval, 3, w.index, 0, 1);
    }
    LLVMValueRef tap = fbl_emit_sum(e, fbl_emit_scaled(e, h.index, v->kw), w.index);
    fbl_emit_store_floats(e, weight_words(v, eval, vector, word, mask), fbl_emit_floats(e, to, fbl_emit_scaled(e, tap, v->chunk * e->width)));
    fbl_carry_end(e, &w, NULL);
    fbl_carry_end(e, &h, NULL);
}

static void emit_weights(Conv *v) {
    FblEmit *e = v->e;
    fbl_emit_function(e, e->code->symbol);
    FblBodyEval eval;
    fbl_body_open(&eval, e, &e->kernel->operands[1]);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef word = LLVMBuildURem(e->b, items.index, fbl_emit_i64(e, v->in_words), "");
    LLVMValueRef all = LLVMBuildUDiv(e->b, items.index, fbl_emit_i64(e, v->in_words), "");
    LLVMValueRef vector = LLVMBuildURem(e->b, all, fbl_emit_i64(e, v->all_vectors), "");
    if (v->c->kind == FBL_MATMUL) {
        fbl_body_loop(&eval, 0, LLVMBuildUDiv(e->b, all, fbl_emit_i64(e, v->all_vectors), ""), 0, 1);
    }
    LLVMValueRef chunk = LLVMBuildUDiv(e->b, word, fbl_emit_i64(e, v->chunk), "");
    LLVMValueRef inside = LLVMBuildURem(e->b, word, fbl_emit_i64(e, v->chunk), "");
    LLVMValueRef at = fbl_emit_sum(e, fbl_emit_scaled(e, all, v->weight_floats), fbl_emit_scaled(e, chunk, v->kh * v->kw * v->chunk * e->width));
    LLVMValueRef to = fbl_emit_floats(e, e->workspace, fbl_emit_sum(e, at, fbl_emit_scaled(e, inside, e->width)));
    int64_t tail = v->out_group % e->width;
    if (tail == 0) {
        pack_weight_vector(v, &eval, vector, word, to, NULL);
    } else {
        LLVMBasicBlockRef full = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "full");
        LLVMBasicBlockRef part = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "part");
        LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "packed");
        LLVMValueRef last = LLVMBuildICmp(e->b, LLVMIntEQ, vector, fbl_emit_i64(e, v->all_vectors - 1), "");
        LLVMBuildCondBr(e->b, last, part, full);
        LLVMPositionBuilderAtEnd(e->b, full);
        pack_weight_vector(v, &eval, vector, word, to, NULL);
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, part);
        pack_weight_vector(v, &eval, vector, word, to, fbl_emit_mask(e, e->width, tail));
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, done);
    }
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
    fbl_body_close(&eval);
}

// ---- phase 1 ----

// One register tile: p pixels from `in`, k vectors of output channels from `weights`; sums into `acc`.
static void emit_tile(Conv *v, int64_t p, int64_t k, int64_t residue, LLVMValueRef in, LLVMValueRef weights, LLVMValueRef taps_h, LLVMValueRef acc) {
    FblEmit *e = v->e;
    int64_t pixel = v->cols.in_stride * v->pixel, plane = v->acc_rows * v->cols.out * e->width;
    int64_t acc_pixel = v->cols.phases * e->width;
    int count = (int)(p * k);
    LLVMValueRef values[FBL_CARRY_MAX];
    for (int64_t i = 0; i < p; i++) {
        for (int64_t j = 0; j < k; j++) {
            values[i * k + j] = v->chunks == 1 ? fbl_emit_f32(e, 0, e->width)
                                               : fbl_emit_load_floats(e, fbl_emit_floats_at(e, acc, i * acc_pixel + j * plane), e->width);
        }
    }
    int64_t tap_floats = v->chunk * e->width;
    int64_t unroll = fbl_largest_divisor(v->chunk, 4);
    if (unroll == 1 && v->chunk <= 7) {
        unroll = v->chunk;
    }
    int64_t block = v->in_place ? e->width : v->chunk; // channels that lie side by side
    unroll = v->in_place ? 8 < block ? 8 : block : unroll;
    FblCarryLoop h, w, blocks, c;
    fbl_carry_begin(e, &h, fbl_emit_i64(e, 0), taps_h, 1, values, count);
    LLVMValueRef in_h = fbl_emit_floats(e, in, fbl_emit_scaled(e, h.index, v->rows.in_step * v->image.width * v->image.stride));
    LLVMValueRef weight_h = fbl_emit_floats(e, weights, fbl_emit_scaled(e, h.index, v->rows.weight_step * v->kw * tap_floats));
    fbl_carry_begin(e, &w, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->cols.phase[residue].taps), 1, values, count);
    LLVMValueRef in_w = fbl_emit_floats(e, in_h, fbl_emit_scaled(e, w.index, v->cols.in_step * v->image.stride));
    values[count] = fbl_emit_floats(e, weight_h, fbl_emit_scaled(e, w.index, v->cols.weight_step * tap_floats));
    fbl_carry_begin(e, &blocks, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->chunk / block), 1, values, count + 1);
    LLVMValueRef in_block = v->in_place ? fbl_emit_floats(e, in_w, fbl_emit_scaled(e, blocks.index, v->plane)) : in_w;
    fbl_carry_begin(e, &c, fbl_emit_i64(e, 0), fbl_emit_i64(e, block), unroll, values, count + 1);
    LLVMValueRef in_c = fbl_emit_floats(e, in_block, c.index);
    for (int64_t u = 0; u < unroll; u++) {
        LLVMValueRef vectors[8];
        for (int64_t j = 0; j < k; j++) {
            vectors[j] = fbl_emit_load_floats(e, fbl_emit_floats_at(e, values[count], u * e->width + j * v->weight_floats), e->width);
        }
        for (int64_t i = 0; i < p; i++) {
            LLVMValueRef x = fbl_emit_splat(e, fbl_emit_load_floats(e, fbl_emit_floats_at(e, in_c, u + i * pixel), 1), e->width);
            for (int64_t j = 0; j < k; j++) {
                values[i * k + j] = fbl_emit_multiply_add(e, x, vectors[j], values[i * k + j]);
            }
        }
    }
    values[count] = fbl_emit_floats_at(e, values[count], unroll * e->width);
    fbl_carry_end(e, &c, values);
    fbl_carry_end(e, &blocks, values);
    fbl_carry_end(e, &w, values);
    fbl_carry_end(e, &h, values);
    for (int64_t i = 0; i < p; i++) {
        for (int64_t j = 0; j < k; j++) {
            fbl_emit_store_floats(e, values[i * k + j], fbl_emit_floats_at(e, acc, i * acc_pixel + j * plane));
        }
    }
}

// constants[phase] for a phase number known only at run time.
static LLVMValueRef by_phase(Conv *v, LLVMValueRef phase, const int64_t *constants) {
    FblEmit *e = v->e;
    LLVMValueRef value = fbl_emit_i64(e, constants[0]);
    for (int64_t r = 1; r < v->rows.phases; r++) {
        LLVMValueRef is = LLVMBuildICmp(e->b, LLVMIntEQ, phase, fbl_emit_i64(e, r), "");
        value = LLVMBuildSelect(e->b, is, fbl_emit_i64(e, constants[r]), value, "");
    }
    return value;
}

// All columns of one row with a known residue: register tiles, or zeros where no tap falls.
static void emit_residue(Conv *v, int64_t residue, int64_t k, LLVMValueRef in, LLVMValueRef weights, LLVMValueRef taps_h, LLVMValueRef acc) {
    FblEmit *e = v->e;
    const AxisPhase *phase = &v->cols.phase[residue];
    if (phase->outs == 0) {
        return;
    }
    int64_t acc_pixel = v->cols.phases * e->width;
    LLVMValueRef acc_base = fbl_emit_floats_at(e, acc, residue * e->width);
    FblCarryLoop loop;
    if (phase->taps == 0) {
        if (v->chunks == 1) {
            fbl_carry_begin(e, &loop, fbl_emit_i64(e, 0), fbl_emit_i64(e, phase->outs), 1, NULL, 0);
            for (int64_t j = 0; j < k; j++) {
                LLVMValueRef at = fbl_emit_floats_at(e, acc_base, j * v->acc_rows * v->cols.out * e->width);
                fbl_emit_store_floats(e, fbl_emit_f32(e, 0, e->width), fbl_emit_floats(e, at, fbl_emit_scaled(e, loop.index, acc_pixel)));
            }
            fbl_carry_end(e, &loop, NULL);
        }
        return;
    }
    int64_t tiles = (phase->outs + v->tiling.p - 1) / v->tiling.p;
    int64_t tall = (phase->outs + tiles - 1) / tiles;
    int64_t small = tall * tiles - phase->outs, from = 0;
    weights = fbl_emit_floats_at(e, weights, phase->weight0 * v->chunk * e->width);
    in = fbl_emit_floats_at(e, in, phase->in0 * v->pixel);
    for (int part = 0; part < 2; part++) {
        int64_t p = part ? tall - 1 : tall;
        int64_t to = part ? phase->outs : (tiles - small) * tall;
        if (from == to) {
            continue;
        }
        fbl_carry_begin(e, &loop, fbl_emit_i64(e, from), fbl_emit_i64(e, to), p, NULL, 0);
        emit_tile(v, p, k, residue, fbl_emit_floats(e, in, fbl_emit_scaled(e, loop.index, v->cols.in_stride * v->pixel)), weights, taps_h,
                  fbl_emit_floats(e, acc_base, fbl_emit_scaled(e, loop.index, acc_pixel)));
        fbl_carry_end(e, &loop, NULL);
        from = to;
    }
}

// Accumulates output row y for k vectors from `vector` (over all groups) and input channels from `channel`.
static void emit_row(Conv *v, int64_t k, LLVMValueRef y, LLVMValueRef vector, LLVMValueRef group, LLVMValueRef chunk) {
    FblEmit *e = v->e;
    const Axis *rows = &v->rows;
    int64_t taps[MAX_PHASES] = {0}, in0[MAX_PHASES] = {0}, weight0[MAX_PHASES] = {0};
    bool some_empty = false;
    for (int64_t r = 0; r < rows->phases; r++) {
        taps[r] = rows->phase[r].taps;
        in0[r] = rows->phase[r].in0;
        weight0[r] = rows->phase[r].weight0;
        some_empty |= taps[r] == 0;
    }
    LLVMValueRef local = LLVMBuildSub(e->b, y, v->y0, ""), phase = NULL;
    LLVMValueRef acc = v->chunks == 1 ? v->acc : fbl_emit_floats(e, v->acc, fbl_emit_scaled(e, local, v->cols.out * e->width));
    if (rows->phases > 1) {
        phase = LLVMBuildURem(e->b, local, fbl_emit_i64(e, rows->phases), "");
        local = LLVMBuildUDiv(e->b, local, fbl_emit_i64(e, rows->phases), "");
    }
    LLVMValueRef taps_h = by_phase(v, phase, taps);
    LLVMBasicBlockRef done = NULL;
    if (some_empty) {
        LLVMBasicBlockRef some = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "taps");
        LLVMBasicBlockRef none = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "none");
        done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "row_done");
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, taps_h, fbl_emit_i64(e, 0), ""), none, some);
        LLVMPositionBuilderAtEnd(e->b, none);
        for (int64_t j = 0; j < k && v->chunks == 1; j++) {
            fbl_emit_zero_floats(e, fbl_emit_floats_at(e, acc, j * v->acc_rows * v->cols.out * e->width), v->cols.out * e->width);
        }
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, some);
    }
    LLVMValueRef line = fbl_emit_sum(e, fbl_emit_scaled(e, local, rows->in_stride), fbl_emit_sum(e, by_phase(v, phase, in0), fbl_emit_i64(e, -rows->low)));
    LLVMValueRef at = fbl_emit_sum(e, fbl_emit_scaled(e, line, v->image.width * v->image.stride),
                                   fbl_emit_sum(e, fbl_emit_scaled(e, group, v->in_words), fbl_emit_scaled(e, chunk, v->chunk)));
    LLVMValueRef in = fbl_emit_floats(e, e->scratch, at);
    if (v->in_place) {
        LLVMValueRef first = fbl_emit_sum(e, fbl_emit_scaled(e, group, v->in_group / e->width), fbl_emit_scaled(e, chunk, v->chunk / e->width));
        first = fbl_emit_sum(e, fbl_emit_scaled(e, v->n, v->in_all / e->width), first);
        at = fbl_emit_sum(e, fbl_emit_scaled(e, first, v->plane), fbl_emit_scaled(e, y, v->image.width * v->pixel));
        in = fbl_emit_floats(e, e->buffers[e->kernel->instrs[e->kernel->operands[0].value].a], at);
    }
    LLVMValueRef batch = v->c->kind == FBL_MATMUL ? v->n : fbl_emit_i64(e, 0);
    LLVMValueRef index = fbl_emit_sum(e, fbl_emit_scaled(e, batch, v->all_vectors), vector);
    LLVMValueRef tap = fbl_emit_sum(e, fbl_emit_scaled(e, chunk, v->kh), by_phase(v, phase, weight0));
    LLVMValueRef offset = fbl_emit_sum(e, fbl_emit_scaled(e, index, v->weight_floats), fbl_emit_scaled(e, tap, v->kw * v->chunk * e->width));
    LLVMValueRef weights = fbl_emit_floats(e, e->workspace, offset);
    for (int64_t r = 0; r < v->cols.phases; r++) {
        emit_residue(v, r, k, in, weights, taps_h, acc);
    }
    if (some_empty) {
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, done);
    }
}

// The epilogue over rows [from, to) of k vectors.
static void emit_results(Conv *v, int64_t k, LLVMValueRef from, LLVMValueRef to, LLVMValueRef vector) {
    FblEmit *e = v->e;
    FblResult result = {.e = e, .n = v->n, .columns = v->cols.out, .fold_m = v->fold_m, .tail = v->out_group % e->width, .vectors = v->all_vectors};
    fbl_result_open(&result);
    FblCarryLoop j;
    fbl_carry_begin(e, &j, fbl_emit_i64(e, 0), fbl_emit_i64(e, k), 1, NULL, 0);
    LLVMValueRef plane = fbl_emit_floats(e, v->acc, fbl_emit_scaled(e, j.index, v->acc_rows * v->cols.out * e->width));
    fbl_result_rows(&result, plane, v->cols.out * e->width, fbl_emit_sum(e, vector, j.index), from, to);
    fbl_carry_end(e, &j, NULL);
    fbl_result_close(&result);
}

// All rows of the strip for k vectors of output channels from `vector` of the group.
static void emit_block(Conv *v, int64_t k, LLVMValueRef group, LLVMValueRef vector) {
    FblEmit *e = v->e;
    LLVMValueRef global = fbl_emit_sum(e, fbl_emit_scaled(e, group, v->vectors), vector);
    FblCarryLoop chunk, y;
    if (v->chunks == 1) {
        fbl_carry_begin(e, &y, v->y0, v->y1, 1, NULL, 0);
        emit_row(v, k, y.index, global, group, fbl_emit_i64(e, 0));
        emit_results(v, k, y.index, fbl_emit_sum(e, y.index, fbl_emit_i64(e, 1)), global);
        fbl_carry_end(e, &y, NULL);
        return;
    }
    fbl_emit_zero_floats(e, v->acc, k * v->acc_rows * v->cols.out * e->width);
    fbl_carry_begin(e, &chunk, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->chunks), 1, NULL, 0);
    fbl_carry_begin(e, &y, v->y0, v->y1, 1, NULL, 0);
    emit_row(v, k, y.index, global, group, chunk.index);
    fbl_carry_end(e, &y, NULL);
    fbl_carry_end(e, &chunk, NULL);
    emit_results(v, k, v->y0, v->y1, global);
}

static int64_t packed_floats(const Conv *v) { return v->in_place ? 0 : v->strip_rows * v->image.width * v->image.stride; }

static void emit_items(Conv *v) {
    FblEmit *e = v->e;
    char name[112];
    snprintf(name, sizeof name, "%s_1", e->code->symbol);
    fbl_emit_function(e, name);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef strips = fbl_emit_i64(e, v->strips);
    LLVMValueRef strip = LLVMBuildURem(e->b, items.index, strips, "");
    v->n = LLVMBuildUDiv(e->b, items.index, strips, "");
    v->y0 = fbl_emit_scaled(e, strip, v->strip);
    v->y1 = fbl_emit_smaller(e, fbl_emit_sum(e, v->y0, fbl_emit_i64(e, v->strip)), fbl_emit_i64(e, v->rows.out));
    v->acc = fbl_emit_floats_at(e, e->scratch, packed_floats(v));
    int64_t row_step = v->image.row_step > 1 ? v->image.row_step : 1;
    LLVMValueRef first = fbl_emit_scaled(e, strip, v->strip / v->rows.phases * v->rows.in_stride * row_step);
    first = fbl_emit_sum(e, first, fbl_emit_i64(e, v->rows.low - v->rows.pad));
    if (!v->in_place) {
        fbl_pack_rows(e, &v->image, e->scratch, v->n, first, v->strip_rows);
    }
    FblCarryLoop group, block;
    fbl_carry_begin(e, &group, fbl_emit_i64(e, 0), fbl_emit_i64(e, v->groups), 1, NULL, 0);
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
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
}

bool fbl_emit_conv(FblEmit *e) {
    Conv v;
    if (!conv_init(&v, e)) {
        return false;
    }
    FblKernelCode *code = e->code;
    int64_t batches = v.c->kind == FBL_MATMUL ? v.images : 1;
    code->phases = 2;
    code->items[0] = batches * v.all_vectors * v.in_words;
    code->items[1] = v.images * v.strips;
    code->image_groups = v.images;
    code->workspace_bytes = batches * v.all_vectors * v.weight_floats * 4;
    int64_t acc = v.tiling.k * v.acc_rows * v.cols.out * e->width + e->width * e->width;
    code->scratch_bytes = (packed_floats(&v) + acc) * 4;
    emit_weights(&v);
    emit_items(&v);
    return true;
}

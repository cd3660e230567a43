// Bodies evaluated in vectors, and the packing of image operands.
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "codegen/cpu/contract_internal.h"

void fbl_body_open(FblBodyEval *eval, FblEmit *e, const FblKBody *body) {
    memset(eval, 0, sizeof *eval);
    eval->e = e;
    eval->body = body;
    eval->env.width = e->width;
    eval->env.values = calloc((size_t)e->kernel->instr_count + 1, sizeof *eval->env.values);
    if (!eval->env.values) {
        fbl_out_of_memory();
    }
}

void fbl_body_close(FblBodyEval *eval) { free(eval->env.values); }

void fbl_body_loop(FblBodyEval *eval, int position, LLVMValueRef value, int64_t step, int64_t align) {
    LLVMValueRef narrow = LLVMBuildTrunc(eval->e->b, value, eval->e->i32, "");
    eval->env.loops[eval->body->loops[position]] = (FblVal){narrow, false, step, align};
}

static void evaluate(FblBodyEval *eval, LLVMValueRef mask) {
    memset(eval->env.values, 0, (size_t)eval->e->kernel->instr_count * sizeof *eval->env.values);
    eval->env.mask = mask;
    fbl_emit_instrs(eval->e, &eval->env, eval->body->first, eval->body->last);
}

LLVMValueRef fbl_body_value(FblBodyEval *eval, LLVMValueRef mask) {
    evaluate(eval, mask);
    return fbl_emit_as(eval->e, &eval->env, eval->body->value, FBL_F32, true);
}

void fbl_body_store(FblBodyEval *eval, LLVMValueRef mask, LLVMValueRef acc) {
    eval->env.acc = (FblVal){acc, true, 0, 1};
    evaluate(eval, mask);
    for (int32_t i = 0; i < eval->body->store_count; i++) {
        fbl_emit_store(eval->e, &eval->env, &eval->body->stores[i]);
    }
}

// Which of the two loops the instruction depends on: bit 0 `column`, bit 1 `channel`.
static int depends(const FblKernel *kernel, int32_t id, int32_t column, int32_t channel, int depth) {
    const FblKInstr *instr = &kernel->instrs[id];
    if (instr->kind == FBL_K_LOOP) {
        return (instr->a == column) | (instr->a == channel) << 1;
    }
    int found = 0;
    if (instr->kind == FBL_K_OP && depth < 8) {
        int arity = fbl_op_info(instr->op)->arity;
        for (int k = 0; k < arity; k++) {
            found |= depends(kernel, instr->args[k], column, channel, depth + 1);
        }
    }
    return found;
}

bool fbl_body_along(const FblKernel *kernel, const FblKBody *body, int column, int channel) {
    int columns = 0, channels = 0;
    for (int32_t i = 0; i < body->store_count; i++) {
        int32_t rank = kernel->buffers[body->stores[i].buffer].rank;
        int found = rank > 0 ? depends(kernel, body->stores[i].index[rank - 1], body->loops[column], body->loops[channel], 0) : 0;
        columns += found == 1;
        channels += found == 2;
    }
    for (int32_t id = body->first; id < body->last; id++) {
        const FblKInstr *instr = &kernel->instrs[id];
        int32_t rank = instr->kind == FBL_K_LOAD ? kernel->buffers[instr->a].rank : 0;
        if (rank > 1) { // vectors of per-channel numbers are small: they don't decide
            int found = depends(kernel, instr->index[rank - 1], body->loops[column], body->loops[channel], 0);
            columns += found == 1;
            channels += found == 2;
        }
    }
    return columns > channels;
}

// Positions of the pixel: source row and column as i64.
static void set_pixel(FblBodyEval *eval, const FblImage *image, LLVMValueRef row, LLVMValueRef column, int64_t step) {
    FblEmit *e = eval->e;
    if (image->h_at >= 0) {
        int64_t apart = image->column_step > 1 ? image->column_step : 1;
        fbl_body_loop(eval, image->h_at, row, 0, 1);
        fbl_body_loop(eval, image->w_at, fbl_emit_scaled(e, column, apart), step * apart, 1);
        return;
    }
    LLVMValueRef m = fbl_emit_sum(e, fbl_emit_scaled(e, row, image->w), column);
    if (image->fold_m % image->w != 0 && step == 0) {
        m = fbl_emit_smaller(e, m, fbl_emit_i64(e, image->fold_m - 1)); // rows past the end: any value does
    }
    fbl_body_loop(eval, image->w_at, m, step, 1);
}

static LLVMValueRef source_channel(FblEmit *e, const FblImage *image, LLVMValueRef channel) {
    return image->c_first ? fbl_emit_sum(e, image->c_first, channel) : channel;
}

// Where a channel of a column lies in the packed row, in floats or, of pairs, in half words.
static LLVMValueRef packed_channel(FblEmit *e, const FblImage *image, LLVMValueRef column, LLVMValueRef channel) {
    LLVMValueRef pixel = fbl_emit_sum(e, column, fbl_emit_i64(e, image->pad));
    return fbl_emit_sum(e, fbl_emit_scaled(e, pixel, image->stride * (image->pairs ? 2 : 1)), channel);
}

// Columns [from, from + count) of one row, vectors along the channels.
static void pack_channels(FblBodyEval *eval, const FblImage *image, LLVMValueRef to, LLVMValueRef row, int64_t from, int64_t count) {
    FblEmit *e = eval->e;
    int64_t full = image->c / e->width * e->width;
    for (int tail = 0; tail < 2; tail++) {
        int64_t begin = tail ? full : 0, end = tail ? image->c : full;
        if (begin == end) {
            continue;
        }
        FblCarryLoop channels, columns;
        fbl_carry_begin(e, &channels, fbl_emit_i64(e, begin), fbl_emit_i64(e, end), e->width, NULL, 0);
        fbl_body_loop(eval, image->c_at, source_channel(e, image, channels.index), 1, e->width);
        fbl_carry_begin(e, &columns, fbl_emit_i64(e, from), fbl_emit_i64(e, from + count), 1, NULL, 0);
        set_pixel(eval, image, row, columns.index, 0);
        LLVMValueRef mask = tail ? fbl_emit_mask(e, e->width, end - begin) : NULL;
        LLVMValueRef value = fbl_body_value(eval, mask);
        LLVMValueRef at = packed_channel(e, image, columns.index, channels.index);
        if (image->pairs) {
            value = mask ? LLVMBuildSelect(e->b, mask, value, fbl_emit_f32(e, 0, e->width), "") : value; // the last pair may be half full
            fbl_emit_store_halves(e, fbl_emit_bf16(e, value), fbl_emit_halves(e, to, at));
        } else {
            fbl_emit_store_floats(e, value, fbl_emit_floats(e, to, at));
        }
        fbl_carry_end(e, &columns, NULL);
        fbl_carry_end(e, &channels, NULL);
    }
}

// The same with vectors along the columns, whose lanes go to different pixels.
static void pack_columns(FblBodyEval *eval, const FblImage *image, LLVMValueRef to, LLVMValueRef row, int64_t from, int64_t count) {
    FblEmit *e = eval->e;
    int64_t full = count / e->width * e->width;
    FblCarryLoop channels, columns;
    fbl_carry_begin(e, &channels, fbl_emit_i64(e, 0), fbl_emit_i64(e, image->c), 1, NULL, 0);
    fbl_body_loop(eval, image->c_at, source_channel(e, image, channels.index), 0, 1);
    for (int tail = 0; tail < 2; tail++) {
        int64_t begin = tail ? full : 0, end = tail ? count : full;
        if (begin == end) {
            continue;
        }
        fbl_carry_begin(e, &columns, fbl_emit_i64(e, from + begin), fbl_emit_i64(e, from + end), e->width, NULL, 0);
        set_pixel(eval, image, row, columns.index, 1);
        LLVMValueRef mask = tail ? fbl_emit_mask(e, e->width, end - begin) : NULL;
        if (image->h_at < 0 && image->fold_m % image->w != 0) {
            LLVMValueRef left = LLVMBuildSub(e->b, fbl_emit_i64(e, image->fold_m), fbl_emit_sum(e, fbl_emit_scaled(e, row, image->w), columns.index), "");
            LLVMValueRef lanes = fbl_emit_splat(e, LLVMBuildTrunc(e->b, left, e->i32, ""), e->width);
            LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntSLT, fbl_emit_lanes(e, e->width), lanes, "");
            mask = mask ? LLVMBuildAnd(e->b, mask, inside, "") : inside;
        }
        LLVMValueRef value = fbl_body_value(eval, mask);
        LLVMValueRef at = packed_channel(e, image, columns.index, channels.index);
        LLVMValueRef base = image->pairs ? fbl_emit_halves(e, to, at) : fbl_emit_floats(e, to, at);
        value = image->pairs ? fbl_emit_bf16(e, value) : value;
        for (int i = 0; i < e->width && begin + i < (tail ? end : end + 1); i++) {
            LLVMValueRef lane = LLVMBuildExtractElement(e->b, value, fbl_emit_i32(e, i), "");
            LLVMValueRef address = fbl_emit_floats_at(e, base, i * image->stride);
            if (image->pairs) {
                fbl_emit_store_halves(e, lane, address);
            } else {
                fbl_emit_store_floats(e, lane, address);
            }
        }
        fbl_carry_end(e, &columns, NULL);
    }
    fbl_carry_end(e, &channels, NULL);
    if (image->pairs && image->c % 2) { // the other half of the last pair
        fbl_carry_begin(e, &columns, fbl_emit_i64(e, from), fbl_emit_i64(e, from + count), 1, NULL, 0);
        LLVMValueRef at = packed_channel(e, image, columns.index, fbl_emit_i64(e, image->c));
        fbl_emit_store_halves(e, LLVMConstInt(LLVMInt16TypeInContext(e->ctx), 0, 0), fbl_emit_halves(e, to, at));
        fbl_carry_end(e, &columns, NULL);
    }
}

void fbl_pack_rows(FblEmit *e, const FblImage *image, LLVMValueRef to, LLVMValueRef n, LLVMValueRef first, int64_t rows) {
    FblBodyEval eval;
    fbl_body_open(&eval, e, image->body);
    if (image->n_at >= 0) {
        fbl_body_loop(&eval, image->n_at, n, 0, 1);
    }
    // Packed columns [left, right) have a source.
    int64_t left = image->pad > 0 ? image->pad : 0;
    int64_t apart = image->column_step > 1 ? image->column_step : 1;
    int64_t columns = (image->w + apart - 1) / apart;
    int64_t right = image->pad + columns < image->width ? image->pad + columns : image->width;
    left = left < image->width ? left : image->width;
    right = right > left ? right : left;
    int64_t row_floats = image->width * image->stride;

    FblCarryLoop loop;
    fbl_carry_begin(e, &loop, fbl_emit_i64(e, 0), fbl_emit_i64(e, rows), 1, NULL, 0);
    LLVMValueRef row = fbl_emit_sum(e, first, fbl_emit_scaled(e, loop.index, image->row_step > 1 ? image->row_step : 1));
    LLVMValueRef line = fbl_emit_floats(e, to, fbl_emit_scaled(e, loop.index, row_floats));
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULT, row, fbl_emit_i64(e, image->h), "");
    LLVMBasicBlockRef full = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "row");
    LLVMBasicBlockRef empty = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "padding");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "packed");
    LLVMBuildCondBr(e->b, inside, full, empty);
    LLVMPositionBuilderAtEnd(e->b, empty);
    fbl_emit_zero_floats(e, line, row_floats);
    LLVMBuildBr(e->b, done);
    LLVMPositionBuilderAtEnd(e->b, full);
    if (left > 0) {
        fbl_emit_zero_floats(e, line, left * image->stride);
    }
    if (right > left) {
        if (fbl_body_along(e->kernel, image->body, image->w_at, image->c_at)) {
            pack_columns(&eval, image, line, row, left - image->pad, right - left);
        } else {
            pack_channels(&eval, image, line, row, left - image->pad, right - left);
        }
    }
    if (right < image->width) {
        fbl_emit_zero_floats(e, fbl_emit_floats_at(e, line, right * image->stride), (image->width - right) * image->stride);
    }
    LLVMBuildBr(e->b, done);
    LLVMPositionBuilderAtEnd(e->b, done);
    fbl_carry_end(e, &loop, NULL);
    fbl_body_close(&eval);
}

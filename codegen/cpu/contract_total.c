// The last phase of a weight gradient: partial sums of groups of images, added in a fixed order, and the epilogue.
#include <stdio.h>

#include "codegen/cpu/contract_internal.h"

typedef struct Totals {
    FblEmit *e;
    const FblContraction *c;
    int64_t chunks, in_group, out_group, all_vectors, vector_floats, chunk_floats;
} Totals;

// Sums the chunks of one (vector, input channel) for all taps and stores.
static void emit_total(const Totals *v, FblBodyEval *eval, LLVMValueRef vector, LLVMValueRef channel, LLVMValueRef mask) {
    FblEmit *e = v->e;
    const FblContraction *c = v->c;
    FblCarryLoop i, j, chunk;
    fbl_body_loop(eval, 0, fbl_emit_scaled(e, vector, e->width), 1, e->width);
    fbl_body_loop(eval, 1, channel, 0, 1);
    fbl_carry_begin(e, &i, fbl_emit_i64(e, 0), fbl_emit_i64(e, c->kh), 1, NULL, 0);
    fbl_carry_begin(e, &j, fbl_emit_i64(e, 0), fbl_emit_i64(e, c->kw), 1, NULL, 0);
    LLVMValueRef tap = fbl_emit_sum(e, fbl_emit_scaled(e, i.index, c->kw), j.index);
    LLVMValueRef at = fbl_emit_sum(e, fbl_emit_scaled(e, vector, v->vector_floats),
                                   fbl_emit_scaled(e, fbl_emit_sum(e, fbl_emit_scaled(e, tap, v->in_group), channel), e->width));
    LLVMValueRef base = fbl_emit_floats(e, e->workspace, at);
    LLVMValueRef sum = fbl_emit_load_floats(e, base, e->width);
    if (v->chunks > 1) {
        fbl_carry_begin(e, &chunk, fbl_emit_i64(e, 1), fbl_emit_i64(e, v->chunks), 1, &sum, 1);
        LLVMValueRef part = fbl_emit_load_floats(e, fbl_emit_floats(e, base, fbl_emit_scaled(e, chunk.index, v->chunk_floats)), e->width);
        sum = LLVMBuildFAdd(e->b, sum, part, "");
        fbl_carry_end(e, &chunk, &sum);
    }
    fbl_body_loop(eval, 2, i.index, 0, 1);
    fbl_body_loop(eval, 3, j.index, 0, 1);
    fbl_body_store(eval, mask, sum);
    fbl_carry_end(e, &j, NULL);
    fbl_carry_end(e, &i, NULL);
}

void fbl_emit_weight_totals(FblEmit *e, int64_t chunks) {
    const FblContraction *c = &e->kernel->contraction;
    Totals all = {.e = e, .c = c, .chunks = chunks, .in_group = c->c / c->groups, .out_group = c->o / c->groups}, *v = &all;
    v->vector_floats = c->kh * c->kw * v->in_group * e->width;
    v->all_vectors = (v->out_group + e->width - 1) / e->width * c->groups;
    v->chunk_floats = v->all_vectors * v->vector_floats;
    char name[112];
    snprintf(name, sizeof name, "%s_1", e->code->symbol);
    fbl_emit_function(e, name);
    FblBodyEval eval;
    fbl_body_open(&eval, e, &e->kernel->epilogue);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef channel = LLVMBuildURem(e->b, items.index, fbl_emit_i64(e, v->in_group), "");
    LLVMValueRef vector = LLVMBuildUDiv(e->b, items.index, fbl_emit_i64(e, v->in_group), "");
    int64_t tail = v->out_group % e->width;
    if (tail == 0) {
        emit_total(v, &eval, vector, channel, NULL);
    } else {
        LLVMBasicBlockRef full = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "full");
        LLVMBasicBlockRef part = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "part");
        LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "stored");
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, vector, fbl_emit_i64(e, v->all_vectors - 1), ""), part, full);
        LLVMPositionBuilderAtEnd(e->b, full);
        emit_total(v, &eval, vector, channel, NULL);
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, part);
        emit_total(v, &eval, vector, channel, fbl_emit_mask(e, e->width, tail));
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, done);
    }
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
    fbl_body_close(&eval);
}

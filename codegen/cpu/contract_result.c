// The epilogue over accumulated rows: shared by the direct and the Winograd forms.
#include "codegen/cpu/contract_internal.h"

void fbl_result_open(FblResult *v) { fbl_body_open(&v->eval, v->e, &v->e->kernel->epilogue); }

void fbl_result_close(FblResult *v) { fbl_body_close(&v->eval); }

static void set_result(FblResult *v, LLVMValueRef out, int64_t out_step, LLVMValueRef y, LLVMValueRef x, int64_t x_step) {
    FblEmit *e = v->e;
    fbl_body_loop(&v->eval, 0, v->n, 0, 1);
    int64_t align = out_step ? e->width : 1;
    if (v->fold_m) {
        fbl_body_loop(&v->eval, 1, fbl_emit_sum(e, fbl_emit_scaled(e, y, v->columns), x), x_step, 1);
        fbl_body_loop(&v->eval, 2, out, out_step, align);
        return;
    }
    fbl_body_loop(&v->eval, 1, out, out_step, align);
    fbl_body_loop(&v->eval, 2, y, 0, 1);
    fbl_body_loop(&v->eval, 3, x, x_step, 1);
}

// The epilogue over one row of one vector of output channels, of which `channels` exist.
static void emit_result_row(FblResult *v, LLVMValueRef acc, LLVMValueRef vector, LLVMValueRef y, int64_t channels) {
    FblEmit *e = v->e;
    LLVMValueRef out = fbl_emit_scaled(e, vector, e->width);
    LLVMValueRef limit = fbl_emit_i64(e, v->columns);
    bool ragged = v->fold_m && v->fold_m % v->columns != 0;
    if (ragged) {
        limit = fbl_emit_smaller(e, limit, LLVMBuildSub(e->b, fbl_emit_i64(e, v->fold_m), fbl_emit_scaled(e, y, v->columns), ""));
    }
    FblCarryLoop x, o;
    if (!fbl_body_along(e->kernel, v->eval.body, v->fold_m ? 1 : 3, v->fold_m ? 2 : 1)) {
        fbl_carry_begin(e, &x, fbl_emit_i64(e, 0), limit, 1, NULL, 0);
        set_result(v, out, 1, y, x.index, 0);
        LLVMValueRef sum = fbl_emit_load_floats(e, fbl_emit_floats(e, acc, fbl_emit_scaled(e, x.index, e->width)), e->width);
        fbl_body_store(&v->eval, channels < e->width ? fbl_emit_mask(e, e->width, channels) : NULL, sum);
        fbl_carry_end(e, &x, NULL);
        return;
    }
    // Memory lies along the columns: vectors along them, picked from the accumulated ones.
    int64_t full = ragged ? 0 : v->columns / e->width * e->width;
    fbl_carry_begin(e, &o, fbl_emit_i64(e, 0), fbl_emit_i64(e, channels), 1, NULL, 0);
    for (int tail = 0; tail < 2; tail++) {
        int64_t begin = tail ? full : 0, end = tail ? v->columns : full;
        if (begin == end) {
            continue;
        }
        fbl_carry_begin(e, &x, fbl_emit_i64(e, begin), tail ? limit : fbl_emit_i64(e, end), e->width, NULL, 0);
        LLVMValueRef mask = NULL;
        if (tail) {
            LLVMValueRef left = LLVMBuildTrunc(e->b, LLVMBuildSub(e->b, limit, x.index, ""), e->i32, "");
            mask = LLVMBuildICmp(e->b, LLVMIntSLT, fbl_emit_lanes(e, e->width), fbl_emit_splat(e, left, e->width), "");
        }
        LLVMValueRef base = fbl_emit_floats(e, acc, fbl_emit_sum(e, fbl_emit_scaled(e, x.index, e->width), o.index));
        LLVMValueRef sum = fbl_emit_f32(e, 0, e->width);
        for (int i = 0; i < e->width; i++) { // the buffer has room for a whole vector past the row
            LLVMValueRef one = fbl_emit_load_floats(e, fbl_emit_floats_at(e, base, (int64_t)i * e->width), 1);
            sum = LLVMBuildInsertElement(e->b, sum, one, fbl_emit_i32(e, i), "");
        }
        set_result(v, fbl_emit_sum(e, out, o.index), 0, y, x.index, 1);
        fbl_body_store(&v->eval, mask, sum);
        fbl_carry_end(e, &x, NULL);
    }
    fbl_carry_end(e, &o, NULL);
}

void fbl_result_rows(FblResult *v, LLVMValueRef acc, int64_t row_floats, LLVMValueRef vector, LLVMValueRef from, LLVMValueRef to) {
    FblEmit *e = v->e;
    FblCarryLoop y;
    fbl_carry_begin(e, &y, from, to, 1, NULL, 0);
    LLVMValueRef row = fbl_emit_floats(e, acc, fbl_emit_scaled(e, LLVMBuildSub(e->b, y.index, from, ""), row_floats));
    if (v->tail == 0) {
        emit_result_row(v, row, vector, y.index, e->width);
    } else {
        LLVMBasicBlockRef full = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "full");
        LLVMBasicBlockRef part = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "part");
        LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "stored");
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, vector, fbl_emit_i64(e, v->vectors - 1), ""), part, full);
        LLVMPositionBuilderAtEnd(e->b, full);
        emit_result_row(v, row, vector, y.index, e->width);
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, part);
        emit_result_row(v, row, vector, y.index, v->tail);
        LLVMBuildBr(e->b, done);
        LLVMPositionBuilderAtEnd(e->b, done);
    }
    fbl_carry_end(e, &y, NULL);
}

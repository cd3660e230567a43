// Carried loops, tile choice and small arithmetic of the contraction emitters.
#include "codegen/cpu/contract_internal.h"

void fbl_carry_begin(FblEmit *e, FblCarryLoop *loop, LLVMValueRef from, LLVMValueRef to, int64_t step, LLVMValueRef *values, int count) {
    loop->to = to;
    loop->step = step;
    loop->count = count;
    loop->single = LLVMIsAConstantInt(from) && LLVMIsAConstantInt(to) &&
                   LLVMConstIntGetSExtValue(from) + step >= LLVMConstIntGetSExtValue(to);
    if (loop->single) {
        loop->index = from;
        return;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    loop->head = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "loop");
    LLVMBuildBr(e->b, loop->head);
    LLVMPositionBuilderAtEnd(e->b, loop->head);
    loop->index = LLVMBuildPhi(e->b, e->i64, "");
    LLVMAddIncoming(loop->index, &from, &before, 1);
    for (int i = 0; i < count; i++) {
        loop->phis[i] = LLVMBuildPhi(e->b, LLVMTypeOf(values[i]), "");
        LLVMAddIncoming(loop->phis[i], &values[i], &before, 1);
        values[i] = loop->phis[i];
    }
}

void fbl_carry_end(FblEmit *e, FblCarryLoop *loop, LLVMValueRef *values) {
    if (loop->single) {
        return;
    }
    LLVMValueRef next = LLVMBuildNSWAdd(e->b, loop->index, fbl_emit_i64(e, loop->step), "");
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, next, loop->to, "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "after");
    LLVMBuildCondBr(e->b, more, loop->head, after);
    LLVMAddIncoming(loop->index, &next, &latch, 1);
    for (int i = 0; i < loop->count; i++) {
        LLVMAddIncoming(loop->phis[i], &values[i], &latch, 1);
    }
    LLVMPositionBuilderAtEnd(e->b, after);
}

// Half-cycles of one step of a p x k tile: two multiply-adds and two loads a cycle, four cycles of latency, and a share
// of the loop's own instructions.
static double step_cost(int64_t p, int64_t k) {
    double work = (double)(p * k), loads = (double)(p + k);
    double cost = work > loads ? work : loads;
    return (cost > 8 ? cost : 8) + 0.5;
}

FblTiling fbl_tiling_choose(int64_t rows, int64_t vecs, int registers, int step_registers) {
    FblTiling best = {0};
    double best_cost = 0;
    for (int64_t k = 1; k <= 7 && k <= vecs; k++) {
        for (int64_t p = 1; p <= rows && p * k + step_registers * k + 1 <= registers; p++) {
            int64_t tiles = (rows + p - 1) / p;
            int64_t tall = (rows + tiles - 1) / tiles;
            int64_t small = tall * tiles - rows;
            FblTiling t = {tall, tiles - small, small, k, vecs / k, vecs % k};
            double cost = (double)t.k_tiles * ((double)t.big * step_cost(tall, k) + (double)small * step_cost(tall - 1, k));
            if (t.k_rest) {
                cost += (double)t.big * step_cost(tall, t.k_rest) + (double)small * step_cost(tall - 1, t.k_rest);
            }
            // Each further kind of tile is more code.
            cost *= 1 + 0.01 * ((small != 0) + (t.k_rest != 0));
            if (best.p == 0 || cost < best_cost) {
                best = t;
                best_cost = cost;
            }
        }
    }
    return best;
}

FblTiling fbl_tiling_for_width(int64_t rows, int64_t vecs, int width) { return fbl_tiling_choose(rows, vecs, width == 16 ? 32 : 16, 1); }

FblTiling fbl_tiling_for_target(const FblEmit *e, int64_t rows, int64_t vecs) {
    // Emulated, both halves of a vector of pairs are at hand, and the host has what registers AVX2 has.
    return e->target->bf16 == FBL_BF16_EMULATED ? fbl_tiling_choose(rows, vecs, 15, 2) : fbl_tiling_for_width(rows, vecs, e->width);
}

int64_t fbl_largest_divisor(int64_t count, int64_t limit) {
    for (int64_t d = limit < count ? limit : count; d > 1; d--) {
        if (count % d == 0) {
            return d;
        }
    }
    return 1;
}

LLVMValueRef fbl_emit_scaled(FblEmit *e, LLVMValueRef value, int64_t scale) {
    return scale == 1 ? value : LLVMBuildNSWMul(e->b, value, fbl_emit_i64(e, scale), "");
}

LLVMValueRef fbl_emit_sum(FblEmit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildNSWAdd(e->b, a, b, ""); }

LLVMValueRef fbl_emit_smaller(FblEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef fbl_emit_floats(FblEmit *e, LLVMValueRef base, LLVMValueRef offset) {
    return LLVMBuildInBoundsGEP2(e->b, e->f32, base, &offset, 1, "");
}

LLVMValueRef fbl_emit_floats_at(FblEmit *e, LLVMValueRef base, int64_t offset) {
    return offset == 0 ? base : fbl_emit_floats(e, base, fbl_emit_i64(e, offset));
}

LLVMValueRef fbl_emit_load_floats(FblEmit *e, LLVMValueRef address, int lanes) {
    LLVMValueRef load = LLVMBuildLoad2(e->b, fbl_emit_type(e, FBL_F32, lanes), address, "");
    LLVMSetAlignment(load, 4);
    return load;
}

void fbl_emit_store_floats(FblEmit *e, LLVMValueRef value, LLVMValueRef address) {
    LLVMSetAlignment(LLVMBuildStore(e->b, value, address), 4);
}

void fbl_emit_zero_floats(FblEmit *e, LLVMValueRef base, int64_t count) {
    int64_t full = count / e->width * e->width;
    FblCarryLoop loop;
    if (full > 0) {
        fbl_carry_begin(e, &loop, fbl_emit_i64(e, 0), fbl_emit_i64(e, full), e->width, NULL, 0);
        fbl_emit_store_floats(e, fbl_emit_f32(e, 0, e->width), fbl_emit_floats(e, base, loop.index));
        fbl_carry_end(e, &loop, NULL);
    }
    if (full < count) {
        fbl_carry_begin(e, &loop, fbl_emit_i64(e, full), fbl_emit_i64(e, count), 1, NULL, 0);
        fbl_emit_store_floats(e, fbl_emit_f32(e, 0, 1), fbl_emit_floats(e, base, loop.index));
        fbl_carry_end(e, &loop, NULL);
    }
}

// LOOPS kernels: work items around stages. The vector loop is made innermost of its stage (or, when it is an outer loop,
// wraps the whole item); every instruction is emitted at the shallowest loop where its operands are available.
//
// Reductions use a fixed number of accumulators, combined in a fixed tree: the result depends on the shapes alone.
#include "codegen/cpu/emit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COPIES 4          // independent accumulators that hide the latency of the add
#define COPY_LIMIT 48         // bodies above this many instructions are not copied

typedef struct Accumulator {
    LLVMValueRef value; // alloca
    LLVMValueRef index; // alloca, ARGMAX only
} Accumulator;

typedef struct StageEmit {
    FblEmit *e;
    FblEnv *env;
    const FblKStage *stage;
    int32_t order[FBL_KERNEL_MAX_LOOPS]; // inner loops as emitted, the vector loop last
    int32_t count;
    bool vector_inner;
    int copies;
    int8_t *depth;     // per instruction: 0 outside all inner loops; -1 when this stage doesn't need it
    Accumulator *accs; // reduce_count * MAX_COPIES
} StageEmit;

static double identity_of(FblOp op) {
    return op == FBL_OP_SUM ? 0.0 : op == FBL_OP_REDUCE_MIN ? INFINITY : -INFINITY;
}

// The neutral element of a reduction; integers use their extremes.
static LLVMValueRef identity(FblEmit *e, const FblKReduce *reduce, int lanes) {
    double value = identity_of(reduce->op);
    FblDtype dtype = reduce->op == FBL_OP_ARGMAX ? FBL_F32 : reduce->dtype;
    if (dtype == FBL_F32) {
        return fbl_emit_f32(e, value, lanes);
    }
    int64_t extreme = value > 0 ? INT32_MAX : value < 0 ? INT32_MIN : 0;
    return fbl_emit_splat(e, fbl_emit_i32(e, extreme), lanes);
}

static LLVMValueRef combine(FblEmit *e, FblOp op, FblDtype dtype, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef builder = e->b;
    if (op == FBL_OP_SUM) {
        return dtype == FBL_F32 ? fbl_emit_contractable(LLVMBuildFAdd(builder, a, b, "")) : LLVMBuildAdd(builder, a, b, "");
    }
    LLVMValueRef take;
    if (dtype == FBL_F32) {
        LLVMRealPredicate better = op == FBL_OP_REDUCE_MIN ? LLVMRealOLT : LLVMRealOGT;
        take = LLVMBuildOr(builder, LLVMBuildFCmp(builder, better, a, b, ""), LLVMBuildFCmp(builder, LLVMRealUNO, a, a, ""), "");
    } else {
        take = LLVMBuildICmp(builder, op == FBL_OP_REDUCE_MIN ? LLVMIntSLT : LLVMIntSGT, a, b, "");
    }
    return LLVMBuildSelect(builder, take, a, b, "");
}

// ARGMAX: (value, index) pairs; the larger value, at equality the smaller index.
static void combine_pair(FblEmit *e, LLVMValueRef *value, LLVMValueRef *index, LLVMValueRef v, LLVMValueRef i) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef larger = LLVMBuildFCmp(b, LLVMRealOGT, v, *value, "");
    LLVMValueRef tie = LLVMBuildAnd(b, LLVMBuildFCmp(b, LLVMRealOEQ, v, *value, ""), LLVMBuildICmp(b, LLVMIntSLT, i, *index, ""), "");
    LLVMValueRef take = LLVMBuildOr(b, larger, tie, "");
    *value = LLVMBuildSelect(b, take, v, *value, "");
    *index = LLVMBuildSelect(b, take, i, *index, "");
}

static int depth_in_stage(const StageEmit *s, int32_t loop) {
    for (int32_t k = 0; k < s->count; k++) {
        if (s->order[k] == loop) {
            return k + 1;
        }
    }
    return 0;
}

static void need(StageEmit *s, int32_t id) {
    if (id >= 0) {
        s->depth[id] = 0;
    }
}

// Marks what the stage's stores and reductions reach, then gives each the deepest loop it depends on.
static void find_depths(StageEmit *s) {
    const FblKernel *kernel = s->e->kernel;
    int32_t operands[FBL_KERNEL_MAX_DIMS + 5];
    memset(s->depth, -1, (size_t)kernel->instr_count);
    for (int32_t k = 0; k < s->stage->store_count; k++) {
        const FblKStore *store = &s->stage->stores[k];
        need(s, store->value);
        need(s, store->guard);
        for (int32_t d = 0; d < kernel->buffers[store->buffer].rank; d++) {
            need(s, store->index[d]);
        }
    }
    for (int32_t k = 0; k < s->stage->reduce_count; k++) {
        need(s, s->stage->reduces[k].value);
    }
    for (int32_t id = kernel->instr_count - 1; id >= 0; id--) {
        if (s->depth[id] == 0) {
            int count = fbl_kernel_operands(kernel, &kernel->instrs[id], operands);
            for (int k = 0; k < count; k++) {
                need(s, operands[k]);
            }
        }
    }
    for (int32_t id = 0; id < kernel->instr_count; id++) {
        const FblKInstr *instr = &kernel->instrs[id];
        if (s->depth[id] < 0) {
            continue;
        }
        int depth = instr->kind == FBL_K_LOOP ? depth_in_stage(s, instr->a) : 0;
        int count = fbl_kernel_operands(kernel, instr, operands);
        for (int k = 0; k < count; k++) {
            if (operands[k] >= 0 && s->depth[operands[k]] > depth) {
                depth = s->depth[operands[k]];
            }
        }
        s->depth[id] = (int8_t)depth;
    }
}

static void emit_at_depth(StageEmit *s, int depth) {
    for (int32_t id = 0; id < s->e->kernel->instr_count; id++) {
        if (s->depth[id] == depth && !s->env->values[id].v) {
            fbl_emit_instr(s->e, s->env, id);
        }
    }
}

// Forgets values that belong to loops at `depth` and deeper.
static void forget(StageEmit *s, int depth) {
    for (int32_t id = 0; id < s->e->kernel->instr_count; id++) {
        if (s->depth[id] >= depth) {
            s->env->values[id].v = NULL;
        }
    }
}

// Row-major index over the stage's loops in their declared order.
static LLVMValueRef linear_index(StageEmit *s, int lanes) {
    FblEmit *e = s->e;
    LLVMValueRef sum = fbl_emit_splat(e, fbl_emit_i32(e, 0), lanes);
    int64_t stride = 1;
    for (int32_t k = s->stage->loop_count - 1; k >= 0; k--) {
        const FblVal *loop = &s->env->loops[s->stage->loops[k]];
        LLVMValueRef index = fbl_emit_splat(e, loop->v, lanes);
        if (lanes > 1 && loop->step != 0) {
            index = LLVMBuildAdd(e->b, index, fbl_emit_lanes(e, lanes), "");
        }
        sum = LLVMBuildAdd(e->b, sum, LLVMBuildMul(e->b, index, fbl_emit_splat(e, fbl_emit_i32(e, stride), lanes), ""), "");
        stride *= s->e->kernel->loops[s->stage->loops[k]].extent;
    }
    return sum;
}

// The innermost body with accumulator set `copy`.
static void emit_body(StageEmit *s, int copy) {
    FblEmit *e = s->e;
    FblEnv *env = s->env;
    forget(s, s->count > 0 ? s->count : 1);
    emit_at_depth(s, s->count);
    for (int32_t k = 0; k < s->stage->store_count; k++) {
        fbl_emit_store(e, env, &s->stage->stores[k]);
    }
    for (int32_t k = 0; k < s->stage->reduce_count; k++) {
        const FblKReduce *reduce = &s->stage->reduces[k];
        Accumulator *acc = &s->accs[k * MAX_COPIES + copy];
        bool vec = env->width > 1;
        FblDtype dtype = reduce->op == FBL_OP_ARGMAX ? FBL_F32 : reduce->dtype;
        LLVMTypeRef type = fbl_emit_type(e, dtype, env->width);
        LLVMValueRef v = fbl_emit_as(e, env, reduce->value, dtype, vec);
        if (env->mask && s->vector_inner) {
            v = LLVMBuildSelect(e->b, env->mask, v, identity(e, reduce, env->width), "");
        }
        LLVMValueRef old = LLVMBuildLoad2(e->b, type, acc->value, "");
        if (reduce->op == FBL_OP_ARGMAX) {
            LLVMValueRef old_index = LLVMBuildLoad2(e->b, fbl_emit_type(e, FBL_I32, env->width), acc->index, "");
            combine_pair(e, &old, &old_index, v, linear_index(s, env->width));
            LLVMBuildStore(e->b, old_index, acc->index);
            LLVMBuildStore(e->b, old, acc->value);
        } else {
            LLVMBuildStore(e->b, combine(e, reduce->op, dtype, old, v), acc->value);
        }
    }
}

static FblVal loop_value(FblEmit *e, LLVMValueRef index64, int64_t offset, bool lanes, int width) {
    LLVMValueRef v = LLVMBuildTrunc(e->b, index64, e->i32, "");
    if (offset) {
        v = LLVMBuildAdd(e->b, v, fbl_emit_i32(e, offset), "");
    }
    return (FblVal){v, false, lanes ? 1 : 0, lanes ? width : 1};
}

static FblVal constant_index(FblEmit *e, int64_t index, bool lanes) {
    return (FblVal){fbl_emit_i32(e, index), false, lanes ? 1 : 0, index};
}

// The innermost loop: `copies` bodies at a time, then what is left, then a masked tail of the vector loop.
static void emit_innermost(StageEmit *s, int32_t loop) {
    FblEmit *e = s->e;
    FblEnv *env = s->env;
    int64_t extent = e->kernel->loops[loop].extent;
    bool lanes = s->vector_inner;
    int64_t unit = lanes ? env->width : 1;
    int64_t chunk = unit * s->copies;
    int64_t main_end = extent / chunk * chunk;
    if (main_end > chunk) {
        FblLoopState state = fbl_emit_loop_begin(e, fbl_emit_i64(e, 0), fbl_emit_i64(e, main_end), chunk);
        for (int copy = 0; copy < s->copies; copy++) {
            env->loops[loop] = loop_value(e, state.index, copy * unit, lanes, env->width);
            emit_body(s, copy);
        }
        fbl_emit_loop_end(e, &state);
    } else {
        main_end = 0;
    }
    int copy = 0;
    for (int64_t at = main_end; at < extent; at += unit) {
        env->loops[loop] = constant_index(e, at, lanes);
        bool tail = at + unit > extent;
        if (tail) {
            env->mask = fbl_emit_mask(e, env->width, extent - at);
        }
        emit_body(s, copy);
        if (tail) {
            env->mask = NULL;
        }
        copy = (copy + 1) % s->copies;
    }
}

static void emit_nest(StageEmit *s, int32_t level) {
    FblEmit *e = s->e;
    if (s->count == 0) {
        emit_body(s, 0);
        return;
    }
    int32_t loop = s->order[level];
    if (level == s->count - 1) {
        emit_innermost(s, loop);
        return;
    }
    int64_t extent = e->kernel->loops[loop].extent;
    FblLoopState state = {0};
    if (extent > 1) {
        state = fbl_emit_loop_begin(e, fbl_emit_i64(e, 0), fbl_emit_i64(e, extent), 1);
        s->env->loops[loop] = loop_value(e, state.index, 0, false, 1);
    } else {
        s->env->loops[loop] = constant_index(e, 0, false);
    }
    forget(s, level + 1);
    emit_at_depth(s, level + 1);
    emit_nest(s, level + 1);
    if (extent > 1) {
        fbl_emit_loop_end(e, &state);
    }
}

// Halves the lanes until one is left.
static LLVMValueRef across_lanes(FblEmit *e, const FblKReduce *reduce, LLVMValueRef v, int lanes) {
    while (lanes > 1) {
        lanes /= 2;
        LLVMValueRef low[64], high[64];
        for (int i = 0; i < lanes; i++) {
            low[i] = fbl_emit_i32(e, i);
            high[i] = fbl_emit_i32(e, i + lanes);
        }
        LLVMValueRef poison = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef a = LLVMBuildShuffleVector(e->b, v, poison, LLVMConstVector(low, (unsigned)lanes), "");
        LLVMValueRef b = LLVMBuildShuffleVector(e->b, v, poison, LLVMConstVector(high, (unsigned)lanes), "");
        v = combine(e, reduce->op, reduce->dtype, a, b);
    }
    return LLVMBuildExtractElement(e->b, v, fbl_emit_i32(e, 0), "");
}

static void finish_reduction(StageEmit *s, int32_t k) {
    FblEmit *e = s->e;
    FblEnv *env = s->env;
    const FblKReduce *reduce = &s->stage->reduces[k];
    const Accumulator *accs = &s->accs[k * MAX_COPIES];
    bool argmax = reduce->op == FBL_OP_ARGMAX;
    FblDtype dtype = argmax ? FBL_F32 : reduce->dtype;
    LLVMTypeRef type = fbl_emit_type(e, dtype, env->width);
    LLVMTypeRef index_type = fbl_emit_type(e, FBL_I32, env->width);
    LLVMValueRef values[MAX_COPIES], indices[MAX_COPIES];
    for (int copy = 0; copy < s->copies; copy++) {
        values[copy] = LLVMBuildLoad2(e->b, type, accs[copy].value, "");
        indices[copy] = argmax ? LLVMBuildLoad2(e->b, index_type, accs[copy].index, "") : NULL;
    }
    for (int half = s->copies / 2; half >= 1; half /= 2) {
        for (int i = 0; i < half; i++) {
            if (argmax) {
                combine_pair(e, &values[i], &indices[i], values[i + half], indices[i + half]);
            } else {
                values[i] = combine(e, reduce->op, dtype, values[i], values[i + half]);
            }
        }
    }
    bool to_scalar = s->vector_inner && env->width > 1;
    LLVMValueRef result = values[0];
    if (argmax) {
        result = indices[0];
        if (to_scalar) {
            LLVMValueRef best = LLVMBuildExtractElement(e->b, values[0], fbl_emit_i32(e, 0), "");
            result = LLVMBuildExtractElement(e->b, indices[0], fbl_emit_i32(e, 0), "");
            for (int i = 1; i < env->width; i++) {
                combine_pair(e, &best, &result, LLVMBuildExtractElement(e->b, values[0], fbl_emit_i32(e, i), ""),
                             LLVMBuildExtractElement(e->b, indices[0], fbl_emit_i32(e, i), ""));
            }
        }
    } else if (to_scalar) {
        result = across_lanes(e, reduce, values[0], env->width);
    }
    env->results[reduce->result] = (FblVal){result, !to_scalar && env->width > 1, 0, 1};
}

static void emit_stage(FblEmit *e, FblEnv *env, const FblKStage *stage, int8_t *depth, Accumulator *accs) {
    const FblKernel *kernel = e->kernel;
    StageEmit s = {.e = e, .env = env, .stage = stage, .depth = depth, .accs = accs};
    bool outer_vector = kernel->vector_loop >= 0 && kernel->vector_loop < kernel->outer_count;
    for (int32_t k = 0; k < stage->loop_count; k++) {
        if (stage->loops[k] != kernel->vector_loop) {
            s.order[s.count++] = stage->loops[k];
        }
    }
    if (s.count < stage->loop_count) {
        s.order[s.count++] = kernel->vector_loop;
        s.vector_inner = true;
    }
    env->width = outer_vector || s.vector_inner ? e->width : 1;
    s.copies = stage->reduce_count > 0 && stage->last - stage->first <= COPY_LIMIT && s.count > 0 ? MAX_COPIES : 1;
    if (s.count > 0 && kernel->loops[s.order[s.count - 1]].extent < 2 * (s.vector_inner ? env->width : 1)) {
        s.copies = 1;
    }
    find_depths(&s);
    emit_at_depth(&s, 0);
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        const FblKReduce *reduce = &stage->reduces[k];
        FblDtype dtype = reduce->op == FBL_OP_ARGMAX ? FBL_F32 : reduce->dtype;
        for (int copy = 0; copy < s.copies; copy++) {
            Accumulator *acc = &accs[k * MAX_COPIES + copy];
            acc->value = fbl_emit_alloca(e, fbl_emit_type(e, dtype, env->width));
            LLVMBuildStore(e->b, identity(e, reduce, env->width), acc->value);
            if (reduce->op == FBL_OP_ARGMAX) {
                acc->index = fbl_emit_alloca(e, fbl_emit_type(e, FBL_I32, env->width));
                LLVMBuildStore(e->b, fbl_emit_splat(e, fbl_emit_i32(e, INT32_MAX), env->width), acc->index);
            }
        }
    }
    emit_nest(&s, 0);
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        finish_reduction(&s, k);
    }
    forget(&s, 1);
}

static void emit_stages(FblEmit *e, FblEnv *env, int8_t *depth, Accumulator *accs) {
    memset(env->values, 0, (size_t)e->kernel->instr_count * sizeof *env->values);
    for (int32_t k = 0; k < e->kernel->stage_count; k++) {
        emit_stage(e, env, &e->kernel->stages[k], depth, accs);
    }
}

FblStatus fbl_emit_loops_kernel(FblEmit *e) {
    const FblKernel *kernel = e->kernel;
    int32_t vector_outer = kernel->vector_loop >= 0 && kernel->vector_loop < kernel->outer_count ? kernel->vector_loop : -1;
    e->code->phases = 1;
    e->code->items[0] = fbl_kernel_items(kernel);
    size_t reduces = 1;
    for (int32_t k = 0; k < kernel->stage_count; k++) {
        if ((size_t)kernel->stages[k].reduce_count > reduces) {
            reduces = (size_t)kernel->stages[k].reduce_count;
        }
    }
    FblEnv env = {.width = 1};
    env.values = calloc((size_t)kernel->instr_count + 1, sizeof *env.values);
    env.results = calloc((size_t)kernel->result_count + 1, sizeof *env.results);
    int8_t *depth = calloc((size_t)kernel->instr_count + 1, 1);
    Accumulator *accs = calloc(reduces * MAX_COPIES, sizeof *accs);
    if (!env.values || !env.results || !depth || !accs) {
        fbl_out_of_memory();
    }

    fbl_emit_function(e, e->code->symbol);
    FblLoopState items = fbl_emit_loop_begin(e, e->begin, e->end, 1);
    LLVMValueRef rest = items.index;
    for (int32_t k = kernel->outer_count - 1; k >= 0; k--) {
        if (k == vector_outer) {
            continue;
        }
        LLVMValueRef extent = fbl_emit_i64(e, kernel->loops[k].extent);
        bool first = k == 0 || (k == 1 && vector_outer == 0);
        LLVMValueRef index = first ? rest : LLVMBuildURem(e->b, rest, extent, "");
        rest = first ? rest : LLVMBuildUDiv(e->b, rest, extent, "");
        env.loops[k] = kernel->loops[k].extent == 1 ? constant_index(e, 0, false) : loop_value(e, index, 0, false, 1);
    }
    if (vector_outer < 0) {
        emit_stages(e, &env, depth, accs);
    } else {
        int64_t extent = kernel->loops[vector_outer].extent;
        int64_t full = extent / e->width * e->width;
        if (full > e->width) {
            FblLoopState state = fbl_emit_loop_begin(e, fbl_emit_i64(e, 0), fbl_emit_i64(e, full), e->width);
            env.loops[vector_outer] = loop_value(e, state.index, 0, true, e->width);
            emit_stages(e, &env, depth, accs);
            fbl_emit_loop_end(e, &state);
        } else if (full == e->width) {
            env.loops[vector_outer] = constant_index(e, 0, true);
            emit_stages(e, &env, depth, accs);
        }
        if (full < extent) {
            env.loops[vector_outer] = constant_index(e, full, true);
            env.mask = fbl_emit_mask(e, e->width, extent - full);
            emit_stages(e, &env, depth, accs);
            env.mask = NULL;
        }
    }
    fbl_emit_loop_end(e, &items);
    LLVMBuildRetVoid(e->b);
    free(env.values);
    free(env.results);
    free(depth);
    free(accs);
    return FBL_OK;
}

#include <string.h>

#include "ir/kernel.h"

typedef struct Check {
    FblContext *ctx;
    const FblKernel *kernel;
    uint32_t scope;    // loops that the current code may use, as bits
    int64_t *low, *high; // per instruction: range of an i32, or the whole line
} Check;

static FblStatus bad(const Check *c, const char *what, int32_t number) {
    fbl_error(c->ctx, "E0410", FBL_NO_LOC, "kernel %s: %s (%d)", c->kernel->name ? c->kernel->name : "", what, number);
    return FBL_INTERNAL;
}

static bool is_instr(int32_t id, int32_t before) { return id >= 0 && id < before; }

// Range of an i32 instruction from its operands'.
static void find_range(const Check *c, int32_t id) {
    const FblKInstr *instr = &c->kernel->instrs[id];
    int64_t low = INT32_MIN, high = INT32_MAX;
    if (instr->kind == FBL_K_CONST && instr->dtype == FBL_I32) {
        low = high = (int64_t)instr->value;
    } else if (instr->kind == FBL_K_LOOP) {
        low = 0;
        high = c->kernel->loops[instr->a].extent - 1;
    } else if (instr->kind == FBL_K_OP && instr->dtype == FBL_I32 && fbl_op_info(instr->op)->arity == 2) {
        int64_t a = c->low[instr->args[0]], b = c->high[instr->args[0]], x = c->low[instr->args[1]], y = c->high[instr->args[1]];
        bool known = a > INT32_MIN && b < INT32_MAX && x > INT32_MIN && y < INT32_MAX;
        if (known && instr->op == FBL_OP_ADD) {
            low = a + x;
            high = b + y;
        } else if (known && instr->op == FBL_OP_SUB) {
            low = a - y;
            high = b - x;
        } else if (known && instr->op == FBL_OP_MUL && x == y) {
            low = x >= 0 ? a * x : b * x;
            high = x >= 0 ? b * x : a * x;
        } else if (known && instr->op == FBL_OP_DIV && x == y && x > 0 && a >= 0) {
            low = a / x;
            high = b / x;
        } else if (instr->op == FBL_OP_MOD && x == y && x > 0 && x < INT32_MAX) {
            low = 0;
            high = x - 1;
        } else if (instr->op == FBL_OP_MIN) {
            low = a < x ? a : x;
            high = b < y ? b : y;
        } else if (instr->op == FBL_OP_MAX) {
            low = a > x ? a : x;
            high = b > y ? b : y;
        }
    }
    c->low[id] = low < INT32_MIN ? INT32_MIN : low;
    c->high[id] = high > INT32_MAX ? INT32_MAX : high;
}

// Indices are i32 instructions before `before`; an unguarded one whose range is known lies inside.
static FblStatus check_place(const Check *c, int32_t buffer, const int32_t *index, int32_t before, bool guarded) {
    if (buffer < 0 || buffer >= c->kernel->buffer_count) {
        return bad(c, "no such buffer", buffer);
    }
    const FblKernelBuffer *info = &c->kernel->buffers[buffer];
    for (int32_t d = 0; d < info->rank; d++) {
        if (!is_instr(index[d], before) || c->kernel->instrs[index[d]].dtype != FBL_I32) {
            return bad(c, "an index is no i32 instruction before its use", index[d]);
        }
        int64_t low = c->low[index[d]], high = c->high[index[d]];
        if (!guarded && low > INT32_MIN && high < INT32_MAX && (low < 0 || high >= info->extents[d])) {
            return bad(c, "an index leaves its buffer", index[d]);
        }
    }
    return FBL_OK;
}

static FblStatus check_instr(Check *c, int32_t id) {
    const FblKernel *kernel = c->kernel;
    const FblKInstr *instr = &kernel->instrs[id];
    if (instr->dtype > FBL_BOOL || instr->kind > FBL_K_ROUND) {
        return bad(c, "an instruction of no known kind", id);
    }
    switch (instr->kind) {
    case FBL_K_CONST:
        if (instr->dtype != FBL_F32 && !(instr->value >= INT32_MIN && instr->value <= INT32_MAX)) {
            return bad(c, "a constant that its type can't hold", id);
        }
        break;
    case FBL_K_LOOP:
        if (instr->dtype != FBL_I32 || instr->a < 0 || instr->a >= kernel->loop_count) {
            return bad(c, "no such loop", id);
        }
        break;
    case FBL_K_LOAD:
        if ((instr->guard >= 0 && (!is_instr(instr->guard, id) || kernel->instrs[instr->guard].dtype != FBL_BOOL)) ||
            (instr->otherwise >= 0 && !is_instr(instr->otherwise, id))) {
            return bad(c, "a load with a wrong guard", id);
        }
        FBL_TRY(check_place(c, instr->a, instr->index, id, instr->guard >= 0));
        if (fbl_dtype_value(kernel->buffers[instr->a].dtype) != instr->dtype || kernel->buffers[instr->a].is_output) {
            return bad(c, "a load of another type, or from an output", id);
        }
        break;
    case FBL_K_OP:
        if (instr->op >= FBL_OP_COUNT || fbl_op_info(instr->op)->op_class != FBL_CLASS_POINTWISE) {
            return bad(c, "an op that is not pointwise", id);
        }
        for (int k = 0; k < fbl_op_info(instr->op)->arity; k++) {
            if (!is_instr(instr->args[k], id)) {
                return bad(c, "an operand after its use", id);
            }
        }
        break;
    case FBL_K_RESULT:
        if (instr->a < 0 || instr->a >= kernel->result_count) {
            return bad(c, "no such reduction", id);
        }
        break;
    case FBL_K_ACC:
        if (kernel->kind != FBL_KERNEL_CONTRACTION || instr->dtype != FBL_F32) {
            return bad(c, "an accumulator outside of a contraction", id);
        }
        break;
    case FBL_K_UNIFORM:
        if (!is_instr(instr->args[0], id) || kernel->instrs[instr->args[0]].dtype != FBL_I32 || instr->dtype != FBL_F32) {
            return bad(c, "a random number without an index", id);
        }
        break;
    case FBL_K_ROUND:
        if (!is_instr(instr->args[0], id) || kernel->instrs[instr->args[0]].dtype != FBL_F32 || instr->dtype != FBL_F32 || !fbl_dtype_is_half((FblDtype)instr->a)) {
            return bad(c, "a rounding of no real number, or to no half precision", id);
        }
        break;
    }
    find_range(c, id);
    return FBL_OK;
}

static FblStatus check_stores(Check *c, const FblKStore *stores, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const FblKStore *store = &stores[i];
        int32_t all = c->kernel->instr_count;
        if (!is_instr(store->value, all) || (store->guard >= 0 && (!is_instr(store->guard, all) || c->kernel->instrs[store->guard].dtype != FBL_BOOL))) {
            return bad(c, "a store of no value", i);
        }
        FBL_TRY(check_place(c, store->buffer, store->index, all, store->guard >= 0));
        if (!c->kernel->buffers[store->buffer].is_output || fbl_dtype_value(c->kernel->buffers[store->buffer].dtype) != c->kernel->instrs[store->value].dtype) {
            return bad(c, "a store into an input, or of another type", i);
        }
    }
    return FBL_OK;
}

// Instructions [first, last) use only loops in scope and earlier results.
static FblStatus check_range(const Check *c, int32_t first, int32_t last, const bool *results) {
    const FblKernel *kernel = c->kernel;
    if (first < 0 || last < first || last > kernel->instr_count) {
        return bad(c, "a range outside of the instructions", first);
    }
    for (int32_t id = first; id < last; id++) {
        const FblKInstr *instr = &kernel->instrs[id];
        if (instr->kind == FBL_K_LOOP && !(c->scope >> instr->a & 1)) {
            return bad(c, "a loop outside of which its index is used", id);
        }
        if (instr->kind == FBL_K_RESULT && (!results || !results[instr->a])) {
            return bad(c, "a reduction read before it is finished", id);
        }
    }
    return FBL_OK;
}

// The reductions of a stage, which are finished behind it.
static FblStatus check_reduces(const Check *c, int32_t number, bool *results) {
    const FblKernel *kernel = c->kernel;
    const FblKStage *stage = &kernel->stages[number];
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        const FblKReduce *reduce = &stage->reduces[k];
        bool known = reduce->op == FBL_OP_SUM || reduce->op == FBL_OP_REDUCE_MAX || reduce->op == FBL_OP_REDUCE_MIN || reduce->op == FBL_OP_ARGMAX;
        if (!known || !is_instr(reduce->value, kernel->instr_count) || reduce->result < 0 || reduce->result >= kernel->result_count || results[reduce->result]) {
            return bad(c, "a reduction that is wrong or done twice", number);
        }
    }
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        results[stage->reduces[k].result] = true;
    }
    return FBL_OK;
}

static FblStatus check_loops_form(Check *c, bool *results) {
    const FblKernel *kernel = c->kernel;
    if (kernel->outer_count < 0 || kernel->outer_count > kernel->loop_count || kernel->vector_loop < -1 || kernel->vector_loop >= kernel->loop_count) {
        return bad(c, "loop numbers out of range", kernel->outer_count);
    }
    uint32_t outer = (1u << kernel->outer_count) - 1;
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        const FblKStage *stage = &kernel->stages[i];
        c->scope = outer;
        for (int32_t k = 0; k < stage->loop_count; k++) {
            if (stage->loops[k] < kernel->outer_count || stage->loops[k] >= kernel->loop_count || c->scope >> stage->loops[k] & 1) {
                return bad(c, "a stage over a loop that is not its own", i);
            }
            c->scope |= 1u << stage->loops[k];
        }
        FBL_TRY(check_range(c, stage->first, stage->last, results));
        FBL_TRY(check_stores(c, stage->stores, stage->store_count));
        FBL_TRY(check_reduces(c, i, results));
    }
    return FBL_OK;
}

static FblStatus check_body(Check *c, const FblKBody *body, bool operand) {
    c->scope = 0;
    for (int32_t k = 0; k < body->loop_count; k++) {
        if (body->loops[k] < 0 || body->loops[k] >= c->kernel->loop_count) {
            return bad(c, "a body over a loop that does not exist", k);
        }
        c->scope |= 1u << body->loops[k];
    }
    if (body->loop_count < 0 || body->loop_count > 4 || (operand && !is_instr(body->value, c->kernel->instr_count))) {
        return bad(c, "an operand without a value", body->value);
    }
    FBL_TRY(check_range(c, body->first, body->last, NULL));
    return check_stores(c, body->stores, body->store_count);
}

bool fbl_contraction_has_winograd(const FblContraction *k) {
    return k->kind != FBL_MATMUL && k->kh == 3 && k->kw == 3 && k->stride_h == 1 && k->stride_w == 1 && k->dilation_h == 1 && k->dilation_w == 1 && k->groups == 1;
}

// What a contraction reduces over parts of its rows.
static FblStatus check_parts(Check *c, bool *results) {
    const FblKernel *kernel = c->kernel;
    const FblContraction *k = &kernel->contraction;
    int32_t part = kernel->part_loop, row = kernel->row_loop;
    if (kernel->part_rows == 0) {
        return kernel->stage_count == 0 ? FBL_OK : bad(c, "stages without parts", kernel->stage_count);
    }
    bool forward = k->kind == FBL_CONV_FORWARD;
    int64_t rows, all;
    if (kernel->part_rows < 8 || kernel->part_rows > 64 || (kernel->part_rows & (kernel->part_rows - 1)) != 0 || (!forward && (k->kind != FBL_CONV_DATA_GRAD || k->stride_h != 1 || k->stride_w != 1)) || part < 0 || part >= kernel->loop_count || row < 0 || row >= kernel->loop_count || part == row ||
        kernel->loops[row].extent != kernel->part_rows || !fbl_mul_i64(forward ? k->oh : k->h, forward ? k->ow : k->w, &rows) || !fbl_mul_i64(rows, k->n, &rows) ||
        !fbl_mul_i64(kernel->loops[part].extent, kernel->part_rows, &all) || all != rows) {
        return bad(c, "parts that are not the rows of the result", part);
    }
    uint32_t pixel = 0, channel = 1u << kernel->epilogue.loops[1];
    for (int i = 0; i < 4; i++) {
        pixel |= 1u << kernel->epilogue.loops[i];
    }
    if (pixel >> part & 1 || pixel >> row & 1) {
        return bad(c, "parts over a loop of the epilogue", part);
    }
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        const FblKStage *stage = &kernel->stages[i];
        bool over_rows = stage->loop_count == 1 && stage->loops[0] == row;
        if ((stage->loop_count != 0 && !over_rows) || (over_rows ? stage->store_count : stage->reduce_count) != 0) {
            return bad(c, "a stage of no form that parts have", i);
        }
        for (int32_t r = 0; r < stage->reduce_count; r++) {
            if (stage->reduces[r].op != FBL_OP_SUM || stage->reduces[r].dtype != FBL_F32) {
                return bad(c, "a part that is reduced to something else than a sum", i);
            }
        }
        c->scope = over_rows ? pixel | 1u << part | 1u << row : channel | 1u << part;
        FBL_TRY(check_range(c, stage->first, stage->last, results));
        for (int32_t id = stage->first; id < stage->last && !over_rows; id++) {
            if (kernel->instrs[id].kind == FBL_K_ACC) {
                return bad(c, "an accumulated value outside of a row", id);
            }
        }
        FBL_TRY(check_stores(c, stage->stores, stage->store_count));
        FBL_TRY(check_reduces(c, i, results));
    }
    return FBL_OK;
}

static FblStatus check_contraction(Check *c, bool *results) {
    const FblContraction *k = &c->kernel->contraction;
    int32_t loops = k->kind == FBL_MATMUL ? 3 : 4;
    bool extents = k->kind == FBL_MATMUL ? k->n_batch > 0 && k->m > 0 && k->n_ > 0 && k->k > 0
                                         : k->n > 0 && k->c > 0 && k->h > 0 && k->w > 0 && k->o > 0 && k->oh > 0 && k->ow > 0 && k->kh > 0 && k->kw > 0 &&
                                               k->stride_h > 0 && k->stride_w > 0 && k->dilation_h > 0 && k->dilation_w > 0 && k->groups > 0 &&
                                               k->c % k->groups == 0 && k->o % k->groups == 0;
    if (!extents) {
        return bad(c, "a contraction of wrong extents", (int32_t)k->kind);
    }
    if (k->algorithm > FBL_CONV_WINOGRAD4 || (k->algorithm != FBL_CONV_DIRECT && !fbl_contraction_has_winograd(k))) {
        return bad(c, "an algorithm that does not exist for the contraction", (int32_t)k->algorithm);
    }
    for (int i = 0; i < 3; i++) {
        const FblKBody *body = i < 2 ? &c->kernel->operands[i] : &c->kernel->epilogue;
        if (body->loop_count != loops) {
            return bad(c, "a body of another number of loops", i);
        }
        FBL_TRY(check_body(c, body, i < 2));
    }
    return check_parts(c, results);
}

static int64_t elements_of(const FblKernelBuffer *buffer) {
    int64_t elements = 1;
    for (int32_t d = 0; d < buffer->rank; d++) {
        elements *= buffer->extents[d];
    }
    return elements;
}

// What goes from device to device: a sum of words, or pieces of one type joined.
static FblStatus check_collective(const Check *c) {
    const FblKernelBuffer *in = &c->kernel->buffers[0], *out = &c->kernel->buffers[1];
    const int64_t *ints = c->kernel->ints;
    int64_t all = 0;
    bool sum = c->kernel->library_op == FBL_OP_ALL_REDUCE;
    if (in->is_output || !out->is_output || in->dtype != out->dtype || fbl_dtype_is_half(in->dtype) || (sum && in->dtype == FBL_BOOL)) {
        return bad(c, "a collective on other buffers", (int32_t)c->kernel->library_op);
    }
    if (ints[0] < 1 || ints[1] < 1 || !fbl_mul_i64(ints[0], sum ? 1 : ints[1], &all) || elements_of(in) != ints[0] || elements_of(out) != all) {
        return bad(c, "a collective of wrong extents", (int32_t)c->kernel->library_op);
    }
    return FBL_OK;
}

static FblStatus check_library(const Check *c) {
    const FblKernel *kernel = c->kernel;
    bool beta = kernel->library_op == FBL_OP_BETA, collective = fbl_kernel_is_collective(kernel);
    if (kernel->buffer_count != (beta ? 3 : 2) || (!beta && !collective && kernel->library_op != FBL_OP_CUMSUM && kernel->library_op != FBL_OP_ARGSORT)) {
        return bad(c, "a library kernel of another form", (int32_t)kernel->library_op);
    }
    if (collective) {
        return check_collective(c);
    }
    int64_t elements = 1;
    for (int i = 0; i < 3 && !beta; i++) {
        if (kernel->ints[i] < 1 || !fbl_mul_i64(elements, kernel->ints[i], &elements)) {
            return bad(c, "a library kernel of wrong extents", i);
        }
    }
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        if (!beta && elements_of(&kernel->buffers[i]) != elements) {
            return bad(c, "a library kernel whose buffers have another size", i);
        }
        if (fbl_dtype_bytes(kernel->buffers[i].dtype) != 4) {
            return bad(c, "a library kernel on elements that are no words", i);
        }
    }
    return FBL_OK;
}

FblStatus fbl_kernel_verify(FblContext *ctx, const FblKernel *kernel) {
    FblArena scratch;
    fbl_arena_init(&scratch);
    Check c = {ctx, kernel, 0, fbl_arena_array(&scratch, (size_t)kernel->instr_count + 1, sizeof(int64_t)), fbl_arena_array(&scratch, (size_t)kernel->instr_count + 1, sizeof(int64_t))};
    FblStatus status = kernel->result_count < 0 || kernel->result_count > 1 << 20 ? bad(&c, "too many reductions", kernel->result_count) : FBL_OK;
    if (kernel->part_rows != 0 && kernel->kind != FBL_KERNEL_CONTRACTION) {
        status = bad(&c, "parts of no contraction", (int32_t)kernel->kind);
    }
    for (int32_t i = 0; i < kernel->buffer_count && status == FBL_OK; i++) {
        const FblKernelBuffer *buffer = &kernel->buffers[i];
        if (buffer->alias >= kernel->buffer_count || (buffer->alias >= 0 && (!buffer->is_output || kernel->buffers[buffer->alias].is_output))) {
            status = bad(&c, "a buffer over one that is no input", i);
        } else if (buffer->alias >= 0 && fbl_dtype_bytes(buffer->dtype) != fbl_dtype_bytes(kernel->buffers[buffer->alias].dtype)) {
            status = bad(&c, "a buffer over one of other elements", i);
        } else if (buffer->dtype > FBL_F16) {
            status = bad(&c, "a buffer of no known type", i);
        }
    }
    for (int32_t id = 0; id < kernel->instr_count && status == FBL_OK; id++) {
        status = check_instr(&c, id);
    }
    if (status == FBL_OK) {
        bool *results = fbl_arena_array(&scratch, (size_t)kernel->result_count + 1, sizeof(bool));
        switch (kernel->kind) {
        case FBL_KERNEL_LOOPS: status = check_loops_form(&c, results); break;
        case FBL_KERNEL_CONTRACTION: status = check_contraction(&c, results); break;
        case FBL_KERNEL_LIBRARY: status = check_library(&c); break;
        default: status = bad(&c, "no known form", (int32_t)kernel->kind); break;
        }
    }
    fbl_arena_deinit(&scratch);
    return status;
}

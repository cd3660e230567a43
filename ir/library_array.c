#include "ir/library_array.h"

#include <string.h>

static const FblKBody *body_of(const FblKernel *kernel, int array) { return array == FBL_ARRAY_RESULT ? &kernel->epilogue : &kernel->operands[array]; }

// Position in the body of the array's dimension `d`, outermost first.
static int loop_at(const FblKernel *kernel, int d) {
    static const int channels_last[4] = {0, 2, 3, 1};
    return kernel->contraction.kind == FBL_MATMUL ? d : channels_last[d];
}

// The extents that the contraction gives to the loops of a body.
static void extents_of(const FblKernel *kernel, int array, int64_t out[4]) {
    const FblContraction *c = &kernel->contraction;
    const int64_t x[4] = {c->n, c->c, c->h, c->w}, y[4] = {c->n, c->o, c->oh, c->ow}, weight[4] = {c->o, c->groups ? c->c / c->groups : 0, c->kh, c->kw};
    const int64_t matmul[3][4] = {{c->n_batch, c->m, c->k}, {c->n_batch, c->k, c->n_}, {c->n_batch, c->m, c->n_}};
    const int64_t *conv[4][3] = {[FBL_CONV_FORWARD] = {x, weight, y}, [FBL_CONV_DATA_GRAD] = {y, weight, x}, [FBL_CONV_WEIGHT_GRAD] = {x, y, weight}};
    memcpy(out, c->kind == FBL_MATMUL ? matmul[array] : conv[c->kind][array], 4 * sizeof *out);
}

int64_t fbl_array_strides(const FblKernel *kernel, int array, int64_t out_strides[4]) {
    const FblKBody *body = body_of(kernel, array);
    int64_t elements = 1, extents[4];
    extents_of(kernel, array, extents);
    for (int d = body->loop_count; d-- > 0;) {
        int at = loop_at(kernel, d);
        out_strides[at] = elements;
        if (kernel->loops[body->loops[at]].extent != extents[at] || !fbl_mul_i64(elements, extents[at], &elements) || elements > FBL_ARRAY_MAX_ELEMENTS) {
            return 0;
        }
    }
    return elements;
}

// A LOOPS kernel over an array's dimensions while it is made: instructions of the contraction are copied when something needs them.
typedef struct Copy {
    FblArena *arena;
    const FblKernel *from;
    FblKernel *to;
    size_t capacity, count; // of to->instrs
    int32_t *number;        // of each instruction of `from` in `to`; -1: not copied
    int32_t index[4];       // the array's own index: instructions of `to`
    int32_t rank;
} Copy;

static int32_t push(Copy *copy, const FblKInstr *instr) {
    FblKernel *to = copy->to;
    FBL_PUSH(copy->arena, to->instrs, copy->count, copy->capacity, *instr);
    to->instr_count = (int32_t)copy->count;
    return to->instr_count - 1;
}

static FblKInstr blank(FblKInstrKind kind, FblDtype dtype, int32_t a) {
    FblKInstr instr;
    memset(&instr, 0, sizeof instr);
    memset(instr.index, 0xff, sizeof instr.index);
    instr.kind = kind;
    instr.dtype = dtype;
    instr.a = a;
    instr.args[0] = instr.args[1] = instr.args[2] = instr.guard = instr.otherwise = -1;
    return instr;
}

// Starts the kernel: loops in the array's order, its index, and the array as the last buffer.
static void begin(Copy *copy, FblArena *arena, const FblKernel *kernel, int array, FblDtype dtype, bool output) {
    const FblKBody *body = body_of(kernel, array);
    FblKernel *to = FBL_NEW(arena, FblKernel);
    *copy = (Copy){.arena = arena, .from = kernel, .to = to, .number = FBL_NEW_ARRAY(arena, int32_t, kernel->instr_count + 1), .rank = body->loop_count};
    memset(copy->number, 0xff, (size_t)kernel->instr_count * sizeof *copy->number);
    to->kind = FBL_KERNEL_LOOPS;
    to->name = kernel->name;
    to->buffer_count = kernel->buffer_count + 1;
    to->buffers = FBL_NEW_ARRAY(arena, FblKernelBuffer, to->buffer_count);
    memcpy(to->buffers, kernel->buffers, (size_t)kernel->buffer_count * sizeof *to->buffers);
    FblKernelBuffer *added = &to->buffers[kernel->buffer_count];
    added->dtype = dtype;
    added->rank = body->loop_count;
    added->is_output = output;
    added->alias = -1;
    to->outer_count = to->loop_count = body->loop_count;
    to->vector_loop = body->loop_count - 1;
    for (int d = 0; d < body->loop_count; d++) {
        to->loops[d] = kernel->loops[body->loops[loop_at(kernel, d)]];
        added->extents[d] = to->loops[d].extent;
        FblKInstr loop = blank(FBL_K_LOOP, FBL_I32, d);
        copy->index[d] = push(copy, &loop);
    }
}

// The number in `to` of the loop instruction for loop `loop` of the body.
static int32_t loop_instr(const Copy *copy, const FblKBody *body, int32_t loop) {
    for (int d = 0; d < copy->rank; d++) {
        if (body->loops[loop_at(copy->from, d)] == loop) {
            return copy->index[d];
        }
    }
    return copy->index[0]; // no verified body names another loop
}

static void need(bool *needed, int32_t id) {
    if (id >= 0) {
        needed[id] = true;
    }
}

// Copies the marked instructions and what they need.
static void copy_needed(Copy *copy, const FblKBody *body, bool *needed) {
    const FblKernel *from = copy->from;
    int32_t read[FBL_KERNEL_MAX_DIMS + 5];
    for (int32_t id = from->instr_count; id-- > 0;) {
        int32_t count = needed[id] ? fbl_kernel_operands(from, &from->instrs[id], read) : 0;
        for (int32_t k = 0; k < count; k++) {
            need(needed, read[k]);
        }
    }
    for (int32_t id = 0; id < from->instr_count; id++) {
        if (!needed[id]) {
            continue;
        }
        FblKInstr instr = from->instrs[id];
        if (instr.kind == FBL_K_LOOP) {
            copy->number[id] = loop_instr(copy, body, instr.a);
            continue;
        }
        if (instr.kind == FBL_K_ACC) {
            instr = blank(FBL_K_LOAD, FBL_F32, from->buffer_count);
            memcpy(instr.index, copy->index, (size_t)copy->rank * sizeof *instr.index);
            copy->number[id] = push(copy, &instr);
            continue;
        }
        for (int k = 0; k < 3; k++) {
            instr.args[k] = instr.args[k] >= 0 ? copy->number[instr.args[k]] : instr.args[k];
        }
        for (int32_t d = 0; instr.kind == FBL_K_LOAD && d < from->buffers[instr.a].rank; d++) {
            instr.index[d] = copy->number[instr.index[d]];
        }
        instr.guard = instr.guard >= 0 ? copy->number[instr.guard] : -1;
        instr.otherwise = instr.otherwise >= 0 ? copy->number[instr.otherwise] : -1;
        copy->number[id] = push(copy, &instr);
    }
}

static FblKernel *end(Copy *copy, FblKStore *stores, int32_t count) {
    FblKernel *to = copy->to;
    to->stages = FBL_NEW(copy->arena, FblKStage);
    to->stage_count = 1;
    *to->stages = (FblKStage){.first = 0, .last = to->instr_count, .stores = stores, .store_count = count};
    return to;
}

FblKernel *fbl_array_pack(FblArena *arena, const FblKernel *kernel, int array, FblDtype dtype) {
    const FblKBody *body = &kernel->operands[array];
    Copy copy;
    begin(&copy, arena, kernel, array, dtype, true);
    bool *needed = FBL_NEW_ARRAY(arena, bool, kernel->instr_count + 1);
    needed[body->value] = true;
    copy_needed(&copy, body, needed);
    FblKStore *store = FBL_NEW(arena, FblKStore);
    store->buffer = kernel->buffer_count;
    store->value = copy.number[body->value];
    store->guard = -1;
    memset(store->index, 0xff, sizeof store->index);
    memcpy(store->index, copy.index, (size_t)copy.rank * sizeof *store->index);
    return end(&copy, store, 1);
}

FblKernel *fbl_array_finish(FblArena *arena, const FblKernel *kernel, FblDtype dtype) {
    const FblKBody *body = &kernel->epilogue;
    Copy copy;
    begin(&copy, arena, kernel, FBL_ARRAY_RESULT, dtype, false);
    bool *needed = FBL_NEW_ARRAY(arena, bool, kernel->instr_count + 1);
    for (int32_t s = 0; s < body->store_count; s++) {
        const FblKStore *store = &body->stores[s];
        need(needed, store->value);
        need(needed, store->guard);
        for (int32_t d = 0; d < kernel->buffers[store->buffer].rank; d++) {
            need(needed, store->index[d]);
        }
    }
    copy_needed(&copy, body, needed);
    FblKStore *stores = FBL_NEW_ARRAY(arena, FblKStore, body->store_count + 1);
    for (int32_t s = 0; s < body->store_count; s++) {
        stores[s] = body->stores[s];
        stores[s].value = copy.number[stores[s].value];
        stores[s].guard = stores[s].guard >= 0 ? copy.number[stores[s].guard] : -1;
        for (int32_t d = 0; d < kernel->buffers[stores[s].buffer].rank; d++) {
            stores[s].index[d] = copy.number[stores[s].index[d]];
        }
    }
    return end(&copy, stores, body->store_count);
}

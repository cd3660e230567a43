#include "codegen/cpu/generic_contract.h"

#include <string.h>

// Grows the instruction array of the kernel being built.
typedef struct Build {
    FblArena *arena;
    const FblKernel *from;
    FblKernel *to;
    size_t count, capacity;
} Build;

static int32_t push(Build *b, FblKInstr instr) {
    FBL_PUSH(b->arena, b->to->instrs, b->count, b->capacity, instr);
    return (int32_t)b->count - 1;
}

static FblKInstr blank(FblKInstrKind kind, FblDtype dtype) {
    return (FblKInstr){.kind = kind, .dtype = dtype, .guard = -1, .otherwise = -1};
}

static int32_t constant(Build *b, FblDtype dtype, double value) {
    FblKInstr instr = blank(FBL_K_CONST, dtype);
    instr.value = value;
    return push(b, instr);
}

static int32_t binary(Build *b, FblOp op, FblDtype dtype, int32_t x, int32_t y) {
    FblKInstr instr = blank(FBL_K_OP, dtype);
    instr.op = op;
    instr.args[0] = x;
    instr.args[1] = y;
    return push(b, instr);
}

static int32_t loop(Build *b, int64_t extent, const char *label) {
    int32_t number = b->to->loop_count++;
    b->to->loops[number] = (FblKLoop){extent, label};
    return number;
}

static int32_t loop_index(Build *b, int32_t number) {
    FblKInstr instr = blank(FBL_K_LOOP, FBL_I32);
    instr.a = number;
    return push(b, instr);
}

// scale * x + offset
static int32_t affine(Build *b, int32_t x, int64_t scale, int64_t offset) {
    if (scale != 1) {
        x = binary(b, FBL_OP_MUL, FBL_I32, x, constant(b, FBL_I32, (double)scale));
    }
    return offset ? binary(b, FBL_OP_ADD, FBL_I32, x, constant(b, FBL_I32, (double)offset)) : x;
}

// guard AND 0 <= x < extent
static int32_t inside(Build *b, int32_t guard, int32_t x, int64_t extent) {
    int32_t low = binary(b, FBL_OP_LE, FBL_BOOL, constant(b, FBL_I32, 0), x);
    int32_t high = binary(b, FBL_OP_LT, FBL_BOOL, x, constant(b, FBL_I32, (double)extent));
    int32_t both = binary(b, FBL_OP_AND, FBL_BOOL, low, high);
    return guard < 0 ? both : binary(b, FBL_OP_AND, FBL_BOOL, guard, both);
}

// Copies the instructions of a body with its loops replaced by the index instructions `with`; loads get `guard` added.
// map[id] is the copy of instruction id.
static void clone_body(Build *b, const FblKBody *body, const int32_t *with, int32_t guard, int32_t acc, int32_t *map) {
    for (int32_t id = body->first; id < body->last; id++) {
        FblKInstr instr = b->from->instrs[id];
        if (instr.kind == FBL_K_LOOP) {
            for (int32_t k = 0; k < body->loop_count; k++) {
                if (body->loops[k] == instr.a) {
                    map[id] = with[k];
                }
            }
            continue;
        }
        if (instr.kind == FBL_K_ACC) {
            map[id] = acc;
            continue;
        }
        if (instr.kind == FBL_K_OP || instr.kind == FBL_K_UNIFORM || instr.kind == FBL_K_ROUND) {
            int arity = instr.kind == FBL_K_OP ? fbl_op_info(instr.op)->arity : 1;
            for (int k = 0; k < arity; k++) {
                instr.args[k] = map[instr.args[k]];
            }
        } else if (instr.kind == FBL_K_LOAD) {
            for (int32_t d = 0; d < b->from->buffers[instr.a].rank; d++) {
                instr.index[d] = map[instr.index[d]];
            }
            instr.otherwise = instr.otherwise >= 0 ? map[instr.otherwise] : -1;
            int32_t own = instr.guard >= 0 ? map[instr.guard] : -1;
            instr.guard = own < 0 ? guard : guard < 0 ? own : binary(b, FBL_OP_AND, FBL_BOOL, own, guard);
        }
        map[id] = push(b, instr);
    }
}

// The operand's value, 0 where `guard` fails.
static int32_t operand(Build *b, int which, const int32_t *with, int32_t guard, int32_t *map) {
    const FblKBody *body = &b->from->operands[which];
    clone_body(b, body, with, guard, -1, map);
    int32_t value = map[body->value];
    if (guard < 0) {
        return value;
    }
    FblKInstr select = blank(FBL_K_OP, FBL_F32);
    select.op = FBL_OP_SELECT;
    select.args[0] = guard;
    select.args[1] = value;
    select.args[2] = constant(b, FBL_F32, 0);
    return push(b, select);
}

static int32_t rounded(Build *b, int32_t x) {
    if (b->to->instrs[x].dtype != FBL_F32) {
        x = binary(b, FBL_OP_ADD, FBL_F32, x, constant(b, FBL_F32, 0));
    }
    FblKInstr round = blank(FBL_K_ROUND, FBL_F32);
    round.a = FBL_BF16;
    round.args[0] = x;
    return push(b, round);
}

const FblKernel *fbl_generic_contraction(FblArena *arena, const FblKernel *kernel, bool bf16) {
    const FblContraction *c = &kernel->contraction;
    FblKernel *to = FBL_NEW(arena, FblKernel);
    *to = *kernel;
    to->kind = FBL_KERNEL_LOOPS;
    to->loop_count = 0;
    to->instrs = NULL;
    Build b = {arena, kernel, to, 0, 0};
    int32_t *map = FBL_NEW_ARRAY(arena, int32_t, kernel->instr_count + 1);

    int64_t group_c = c->groups ? c->c / c->groups : 0, group_o = c->groups ? c->o / c->groups : 0;
    int64_t outer[4], inner[3];
    int outer_count = 4;
    switch (c->kind) {
    case FBL_CONV_FORWARD: memcpy(outer, (int64_t[]){c->n, c->o, c->oh, c->ow}, sizeof outer); memcpy(inner, (int64_t[]){group_c, c->kh, c->kw}, sizeof inner); break;
    case FBL_CONV_DATA_GRAD: memcpy(outer, (int64_t[]){c->n, c->c, c->h, c->w}, sizeof outer); memcpy(inner, (int64_t[]){group_o, c->kh, c->kw}, sizeof inner); break;
    case FBL_CONV_WEIGHT_GRAD: memcpy(outer, (int64_t[]){c->o, group_c, c->kh, c->kw}, sizeof outer); memcpy(inner, (int64_t[]){c->n, c->oh, c->ow}, sizeof inner); break;
    case FBL_MATMUL: outer_count = 3; memcpy(outer, (int64_t[]){c->n_batch, c->m, c->n_, 1}, sizeof outer); memcpy(inner, (int64_t[]){c->k, 1, 1}, sizeof inner); break;
    }
    int inner_count = c->kind == FBL_MATMUL ? 1 : 3;
    int32_t o[4] = {0}, r[3] = {0};
    for (int k = 0; k < outer_count; k++) {
        o[k] = loop_index(&b, loop(&b, outer[k], "result"));
    }
    FblKStage *stages = FBL_NEW_ARRAY(arena, FblKStage, 2);
    stages[0].loops = FBL_NEW_ARRAY(arena, int32_t, inner_count);
    stages[0].loop_count = inner_count;
    for (int k = 0; k < inner_count; k++) {
        stages[0].loops[k] = loop(&b, inner[k], "sum");
        r[k] = loop_index(&b, stages[0].loops[k]);
    }

    int32_t x, y;
    if (c->kind == FBL_MATMUL) {
        x = operand(&b, 0, (int32_t[]){o[0], o[1], r[0]}, -1, map);
        y = operand(&b, 1, (int32_t[]){o[0], r[0], o[2]}, -1, map);
    } else if (c->kind == FBL_CONV_FORWARD) {
        int32_t group = binary(&b, FBL_OP_DIV, FBL_I32, o[1], constant(&b, FBL_I32, (double)group_o));
        int32_t channel = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, group, group_c, 0), r[0]);
        int32_t row = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, o[2], c->stride_h, -c->pad_h), affine(&b, r[1], c->dilation_h, 0));
        int32_t column = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, o[3], c->stride_w, -c->pad_w), affine(&b, r[2], c->dilation_w, 0));
        int32_t guard = inside(&b, inside(&b, -1, row, c->h), column, c->w);
        x = operand(&b, 0, (int32_t[]){o[0], channel, row, column}, guard, map);
        y = operand(&b, 1, (int32_t[]){o[1], r[0], r[1], r[2]}, -1, map);
    } else if (c->kind == FBL_CONV_DATA_GRAD) {
        int32_t group = binary(&b, FBL_OP_DIV, FBL_I32, o[1], constant(&b, FBL_I32, (double)group_c));
        int32_t in_group = binary(&b, FBL_OP_MOD, FBL_I32, o[1], constant(&b, FBL_I32, (double)group_c));
        int32_t channel = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, group, group_o, 0), r[0]);
        int32_t where[2];
        int32_t guard = -1;
        const int64_t strides[2] = {c->stride_h, c->stride_w}, pads[2] = {c->pad_h, c->pad_w}, dilations[2] = {c->dilation_h, c->dilation_w}, extents[2] = {c->oh, c->ow};
        for (int k = 0; k < 2; k++) {
            int32_t at = binary(&b, FBL_OP_SUB, FBL_I32, affine(&b, o[2 + k], 1, pads[k]), affine(&b, r[1 + k], dilations[k], 0));
            int32_t stride = constant(&b, FBL_I32, (double)strides[k]);
            int32_t whole = binary(&b, FBL_OP_EQ, FBL_BOOL, binary(&b, FBL_OP_MOD, FBL_I32, at, stride), constant(&b, FBL_I32, 0));
            where[k] = binary(&b, FBL_OP_DIV, FBL_I32, at, stride);
            guard = inside(&b, guard < 0 ? whole : binary(&b, FBL_OP_AND, FBL_BOOL, guard, whole), where[k], extents[k]);
        }
        x = operand(&b, 0, (int32_t[]){o[0], channel, where[0], where[1]}, guard, map);
        y = operand(&b, 1, (int32_t[]){channel, in_group, r[1], r[2]}, -1, map);
    } else {
        int32_t group = binary(&b, FBL_OP_DIV, FBL_I32, o[0], constant(&b, FBL_I32, (double)group_o));
        int32_t channel = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, group, group_c, 0), o[1]);
        int32_t row = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, r[1], c->stride_h, -c->pad_h), affine(&b, o[2], c->dilation_h, 0));
        int32_t column = binary(&b, FBL_OP_ADD, FBL_I32, affine(&b, r[2], c->stride_w, -c->pad_w), affine(&b, o[3], c->dilation_w, 0));
        int32_t guard = inside(&b, inside(&b, -1, row, c->h), column, c->w);
        x = operand(&b, 0, (int32_t[]){r[0], channel, row, column}, guard, map);
        y = operand(&b, 1, (int32_t[]){r[0], o[0], r[1], r[2]}, -1, map);
    }
    if (bf16) {
        x = rounded(&b, x);
        y = rounded(&b, y);
    }
    int32_t product = binary(&b, FBL_OP_MUL, FBL_F32, x, y);
    stages[0].last = (int32_t)b.count;
    stages[0].reduces = FBL_NEW(arena, FblKReduce);
    stages[0].reduce_count = 1;
    stages[0].reduces[0] = (FblKReduce){FBL_OP_SUM, FBL_F32, product, 0};

    stages[1].first = (int32_t)b.count;
    FblKInstr result = blank(FBL_K_RESULT, FBL_F32);
    int32_t acc = push(&b, result);
    clone_body(&b, &kernel->epilogue, o, -1, acc, map);
    stages[1].store_count = kernel->epilogue.store_count;
    stages[1].stores = FBL_NEW_ARRAY(arena, FblKStore, stages[1].store_count);
    for (int32_t k = 0; k < stages[1].store_count; k++) {
        FblKStore store = kernel->epilogue.stores[k];
        store.value = map[store.value];
        store.guard = store.guard >= 0 ? map[store.guard] : -1;
        for (int32_t d = 0; d < kernel->buffers[store.buffer].rank; d++) {
            store.index[d] = map[store.index[d]];
        }
        stages[1].stores[k] = store;
    }
    stages[1].last = (int32_t)b.count;
    to->instr_count = (int32_t)b.count;
    to->outer_count = outer_count;
    to->vector_loop = c->kind == FBL_CONV_WEIGHT_GRAD ? stages[0].loops[2] : outer_count - 1;
    to->stages = stages;
    to->stage_count = 2;
    to->result_count = 1;
    return to;
}

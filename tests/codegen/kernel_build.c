#include "kernel_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Memory whose contents are undefined: a NaN, as f32 and as bf16.
#define FILL 0xFF

void build_init(Build *b, FblKernelKind kind, const char *name) {
    memset(b, 0, sizeof *b);
    b->kernel.kind = kind;
    b->kernel.name = name;
    b->kernel.buffers = b->buffers;
    b->kernel.instrs = b->instrs;
    b->kernel.stages = b->stages;
    b->kernel.vector_loop = -1;
    b->kernel.note = "";
}

int32_t build_buffer(Build *b, FblDtype dtype, bool output, int rank, const int64_t *extents) {
    FblKernelBuffer *buffer = &b->buffers[b->kernel.buffer_count];
    *buffer = (FblKernelBuffer){.dtype = dtype, .rank = rank, .is_output = output, .alias = -1};
    memcpy(buffer->extents, extents, (size_t)rank * sizeof *extents);
    return b->kernel.buffer_count++;
}

int32_t build_loop(Build *b, int64_t extent) {
    b->kernel.loops[b->kernel.loop_count] = (FblKLoop){extent, "i"};
    return b->kernel.loop_count++;
}

static int32_t push(Build *b, FblKInstr instr) {
    if (b->kernel.instr_count == 512) {
        fprintf(stderr, "too many instructions\n");
        exit(1);
    }
    b->instrs[b->kernel.instr_count] = instr;
    return b->kernel.instr_count++;
}

static FblKInstr blank(FblKInstrKind kind, FblDtype dtype) { return (FblKInstr){.kind = kind, .dtype = dtype, .guard = -1, .otherwise = -1}; }

int32_t build_index(Build *b, int32_t loop) {
    FblKInstr instr = blank(FBL_K_LOOP, FBL_I32);
    instr.a = loop;
    return push(b, instr);
}

int32_t build_real(Build *b, double value) {
    FblKInstr instr = blank(FBL_K_CONST, FBL_F32);
    instr.value = value;
    return push(b, instr);
}

int32_t build_int(Build *b, int64_t value) {
    FblKInstr instr = blank(FBL_K_CONST, FBL_I32);
    instr.value = (double)value;
    return push(b, instr);
}

int32_t build_load(Build *b, int32_t buffer, const int32_t *index) {
    FblKInstr instr = blank(FBL_K_LOAD, fbl_dtype_value(b->buffers[buffer].dtype));
    instr.a = buffer;
    memcpy(instr.index, index, (size_t)b->buffers[buffer].rank * sizeof *index);
    return push(b, instr);
}

int32_t build_round(Build *b, FblDtype half, int32_t value) {
    FblKInstr instr = blank(FBL_K_ROUND, FBL_F32);
    instr.a = (int32_t)half;
    instr.args[0] = value;
    return push(b, instr);
}

int32_t build_op(Build *b, FblOp op, FblDtype dtype, int32_t x, int32_t y, int32_t z) {
    FblKInstr instr = blank(FBL_K_OP, dtype);
    instr.op = op;
    instr.args[0] = x;
    instr.args[1] = y;
    instr.args[2] = z;
    return push(b, instr);
}

void build_stage(Build *b, int loop_count, const int32_t *loops) {
    int at = b->kernel.stage_count++;
    FblKStage *stage = &b->stages[at];
    memcpy(b->stage_loops[at], loops, (size_t)loop_count * sizeof *loops);
    stage->loops = b->stage_loops[at];
    stage->loop_count = loop_count;
    stage->first = b->kernel.instr_count;
    stage->stores = &b->stores[b->store_count];
    stage->reduces = &b->reduces[b->reduce_count];
}

void build_store(Build *b, int32_t buffer, int32_t value, int32_t guard, const int32_t *index) {
    FblKStore *store = &b->stores[b->store_count++];
    *store = (FblKStore){.buffer = buffer, .value = value, .guard = guard};
    memcpy(store->index, index, (size_t)b->buffers[buffer].rank * sizeof *index);
    if (b->kernel.kind == FBL_KERNEL_LOOPS) {
        b->stages[b->kernel.stage_count - 1].store_count++;
    }
}

int32_t build_reduce(Build *b, FblOp op, FblDtype dtype, int32_t value) {
    b->reduces[b->reduce_count++] = (FblKReduce){op, dtype, value, b->kernel.result_count};
    b->stages[b->kernel.stage_count - 1].reduce_count++;
    return b->kernel.result_count++;
}

int32_t build_result(Build *b, int32_t result, FblDtype dtype) {
    FblKInstr instr = blank(FBL_K_RESULT, dtype);
    instr.a = result;
    return push(b, instr);
}

void build_stage_end(Build *b) { b->stages[b->kernel.stage_count - 1].last = b->kernel.instr_count; }

int32_t build_image(Build *b, FblDtype dtype, bool output, int block, int64_t n, int64_t c, int64_t h, int64_t w) {
    if (block == 0) {
        return build_buffer(b, dtype, output, 4, (int64_t[]){n, c, h, w});
    }
    if (block < 0) {
        return build_buffer(b, dtype, output, 4, (int64_t[]){n, h, w, c});
    }
    return build_buffer(b, dtype, output, 5, (int64_t[]){n, c / block, h, w, block});
}

void build_image_index(Build *b, int block, const int32_t logical[4], int32_t out[FBL_KERNEL_MAX_DIMS]) {
    memcpy(out, logical, 4 * sizeof *out);
    if (block < 0) {
        out[1] = logical[2];
        out[2] = logical[3];
        out[3] = logical[1];
    } else if (block != 0) {
        int32_t size = build_int(b, block);
        out[1] = build_op(b, FBL_OP_DIV, FBL_I32, logical[1], size, -1);
        out[4] = build_op(b, FBL_OP_MOD, FBL_I32, logical[1], size, -1);
    }
}

static FblKBody operand_body(Build *b, int32_t buffer, int block, const int32_t loops[4], int32_t scale, int32_t shift) {
    FblKBody body = {.loop_count = 4, .first = b->kernel.instr_count};
    memcpy(body.loops, loops, sizeof body.loops);
    int32_t logical[4], index[FBL_KERNEL_MAX_DIMS];
    for (int k = 0; k < 4; k++) {
        logical[k] = build_index(b, loops[k]);
    }
    build_image_index(b, block, logical, index);
    body.value = build_load(b, buffer, index);
    if (scale >= 0) {
        body.value = build_op(b, FBL_OP_MUL, FBL_F32, body.value, build_load(b, scale, &logical[1]), -1);
        body.value = build_op(b, FBL_OP_ADD, FBL_F32, body.value, build_load(b, shift, &logical[1]), -1);
        body.value = build_op(b, FBL_OP_MAX, FBL_F32, body.value, build_real(b, 0), -1);
    }
    body.last = b->kernel.instr_count;
    return body;
}

static void epilogue_body(Build *b, int32_t buffer, int block, const int32_t loops[4], int32_t residual) {
    FblKBody body = {.loop_count = 4, .first = b->kernel.instr_count, .value = -1};
    memcpy(body.loops, loops, sizeof body.loops);
    int32_t logical[4], index[FBL_KERNEL_MAX_DIMS];
    for (int k = 0; k < 4; k++) {
        logical[k] = build_index(b, loops[k]);
    }
    build_image_index(b, block, logical, index);
    int32_t value = b->kernel.instr_count++;
    b->instrs[value] = (FblKInstr){.kind = FBL_K_ACC, .dtype = FBL_F32, .guard = -1, .otherwise = -1};
    if (residual >= 0) {
        value = build_op(b, FBL_OP_ADD, FBL_F32, value, build_load(b, residual, index), -1);
        value = build_op(b, FBL_OP_MAX, FBL_F32, value, build_real(b, 0), -1);
    }
    body.stores = &b->stores[b->store_count];
    body.store_count = 1;
    build_store(b, buffer, value, -1, index);
    body.last = b->kernel.instr_count;
    b->kernel.epilogue = body;
}

void build_conv(Build *b, const FblContraction *c, int block, bool fused) { build_conv_stored(b, c, block, fused, FBL_F32); }

void build_conv_stored(Build *b, const FblContraction *c, int block, bool fused, FblDtype images) {
    const int64_t x[4] = {c->n, c->c, c->h, c->w}, y[4] = {c->n, c->o, c->oh, c->ow}, w[4] = {c->o, c->c / c->groups, c->kh, c->kw};
    bool forward = c->kind == FBL_CONV_FORWARD, data = c->kind == FBL_CONV_DATA_GRAD;
    const int64_t *shapes[3] = {data ? y : x, forward || data ? w : y, forward ? y : data ? x : w};
    int blocks[3], loops[3][4];
    int32_t buffers[3];
    build_init(b, FBL_KERNEL_CONTRACTION, "contraction");
    b->kernel.contraction = *c;
    for (int i = 0; i < 3; i++) {
        blocks[i] = shapes[i] == w ? 0 : block;
        buffers[i] = build_image(b, shapes[i] == w ? FBL_F32 : images, i == 2, blocks[i], shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
        for (int d = 0; d < 4; d++) {
            loops[i][d] = build_loop(b, shapes[i][d]);
        }
    }
    int32_t scale = -1, shift = -1, residual = -1;
    if (fused) {
        scale = build_buffer(b, FBL_F32, false, 1, &shapes[0][1]);
        shift = build_buffer(b, FBL_F32, false, 1, &shapes[0][1]);
        residual = build_image(b, shapes[2] == w ? FBL_F32 : images, false, blocks[2], shapes[2][0], shapes[2][1], shapes[2][2], shapes[2][3]);
    }
    b->kernel.operands[0] = operand_body(b, buffers[0], blocks[0], loops[0], scale, shift);
    b->kernel.operands[1] = operand_body(b, buffers[1], blocks[1], loops[1], -1, -1);
    epilogue_body(b, buffers[2], blocks[2], loops[2], residual);
}

void loaded_open(Loaded *loaded, const FblCpuTarget *target, FblKernel *kernel) {
    char error[1024];
    loaded->ctx = fbl_context_create();
    loaded->kernel = kernel;
    if (fbl_cpu_compile(target, kernel, &loaded->code, error, sizeof error) != FBL_OK) {
        fprintf(stderr, "%s: %s\n", kernel->name, error);
        exit(1);
    }
    if (fbl_cpu_load(loaded->ctx, target, &loaded->kernel, &loaded->code, 1, &loaded->module) != FBL_OK) {
        fprintf(stderr, "%s: not loaded\n", kernel->name);
        exit(1);
    }
}

void loaded_close(Loaded *loaded) {
    fbl_cpu_unload(loaded->module);
    fbl_kernel_code_free(&loaded->code);
    fbl_context_destroy(loaded->ctx);
}

static void *allocate(int64_t bytes) {
    void *memory = aligned_alloc(64, (size_t)((bytes + 127) / 64 * 64));
    if (!memory) {
        exit(1);
    }
    memset(memory, FILL, (size_t)bytes); // make reading it hurt
    return memory;
}

void loaded_run(Loaded *loaded, void *const *buffers, int parts) {
    void *all[20];
    memcpy(all, buffers, (size_t)loaded->kernel->buffer_count * sizeof *all);
    void *workspace = allocate(loaded->code.workspace_bytes + 64), *scratch = allocate(loaded->code.scratch_bytes + 64);
    all[loaded->kernel->buffer_count] = workspace;
    FblKernelArgs args = {.buffers = all, .scratch = scratch, .seed = 7, .step = 3, .kernel = loaded->kernel};
    for (int32_t phase = 0; phase < loaded->code.phases; phase++) {
        FblKernelFn fn = fbl_cpu_entry(loaded->module, 0, phase);
        int64_t items = loaded->code.items[phase];
        for (int part = 0; part < parts; part++) {
            int64_t begin = items * part / parts, end = items * (part + 1) / parts;
            if (begin < end) {
                fn(&args, begin, end);
            }
        }
    }
    for (int i = 0; i < 64; i++) {
        if (((uint8_t *)workspace)[loaded->code.workspace_bytes + i] != FILL || ((uint8_t *)scratch)[loaded->code.scratch_bytes + i] != FILL) {
            fprintf(stderr, "%s: wrote past its scratch memory\n", loaded->kernel->name);
            exit(1);
        }
    }
    free(workspace);
    free(scratch);
}

uint64_t random_bits(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double half_value(FblDtype half, uint16_t bits) {
    int fraction_bits = half == FBL_F16 ? 10 : 7, bias = half == FBL_F16 ? 15 : 127, top = 2 * bias + 1;
    int exponent = (bits & 0x7fff) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
    double size = exponent == top ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexp(fraction, 1 - bias - fraction_bits)
                                  : ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
    return bits & 0x8000 ? -size : size;
}

uint16_t half_nearest(FblDtype half, double x) {
    int fraction_bits = half == FBL_F16 ? 10 : 7, bias = half == FBL_F16 ? 15 : 127, exponent;
    uint16_t sign = signbit(x) ? 0x8000 : 0, infinite = (uint16_t)((2 * bias + 1) << fraction_bits);
    if (isnan(x)) {
        return (uint16_t)(infinite | 1 << (fraction_bits - 1));
    }
    frexp(x, &exponent); // |x| in [2^(exponent-1), 2^exponent)
    exponent = exponent - 1 < 1 - bias || x == 0 ? 1 - bias : exponent - 1;
    double units = isinf(x) ? INFINITY : nearbyint(ldexp(fabs(x), fraction_bits - exponent)); // of the last place: ties go to even
    double bits = units + ldexp(exponent - (1 - bias), fraction_bits);                        // a carry goes into the exponent
    return (uint16_t)(sign | (bits < infinite ? (uint16_t)bits : infinite));
}

float random_real(uint64_t *state) { return (float)((double)(random_bits(state) >> 40) * 0x1p-23 - 1.0); }

// CONTRACTION kernels: products on tiles. Operands that are worth it are first evaluated into the workspace (phase 0,
// contract_pack.c). A block then brings bk of the sum at a time into shared memory, some steps ahead of the multiplication;
// results go through shared memory to the epilogue, which sees neighbouring columns together. Where the grid would be too small
// for the device, the sum is cut into runs: the product stores partial sums, a last phase adds them in order.
#include "codegen/cuda/contract_internal.h"

#define FINISH_THREADS 128

static void view(FblCudaProduct *p) {
    const FblContraction *c = p->c;
    p->z = c->kind == FBL_MATMUL ? c->n_batch : c->groups;
    p->group_c = c->groups ? c->c / c->groups : 0;
    p->group_o = c->groups ? c->o / c->groups : 0;
    int64_t taps = c->kh * c->kw;
    switch (c->kind) {
    case FBL_CONV_FORWARD:
        p->m = c->n * c->oh * c->ow;
        p->n = p->group_o;
        p->padded = fbl_cuda_ceil(p->group_c, 4) * 4;
        p->k = taps * p->padded;
        break;
    case FBL_CONV_DATA_GRAD:
        p->n = p->group_c;
        p->padded = fbl_cuda_ceil(p->group_o, 4) * 4; // m and k: fbl_cuda_part_plan
        break;
    case FBL_CONV_WEIGHT_GRAD:
        p->m = p->group_o;
        p->padded = fbl_cuda_ceil(p->group_c, 4) * 4;
        p->n = taps * p->padded;
        p->k = c->n * c->oh * c->ow;
        break;
    default:
        p->m = c->m;
        p->n = c->n_;
        p->k = c->k;
        break;
    }
    fbl_cuda_part_plan(p);
    p->columns = fbl_cuda_ceil(p->n, 4) * 4;
    p->tensor = p->e->options->precision != FBL_CUDA_F32;
    p->halves = p->e->options->precision == FBL_CUDA_BF16 || p->e->options->precision == FBL_CUDA_F16;
}

// Position in the epilogue of the loop along columns, and how many neighbours there are.
static int column_loop(const FblCudaProduct *p, int64_t *out_run) {
    switch (p->c->kind) {
    case FBL_CONV_FORWARD: *out_run = p->group_o; return 1;
    case FBL_MATMUL: *out_run = p->n; return 2;
    default: *out_run = p->group_c; return 1;
    }
}

// Of four neighbouring columns, or the first `left` of them.
void fbl_cuda_epilogue_function(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblKBody *epilogue = &e->kernel->epilogue;
    int64_t run;
    int lane_at = column_loop(p, &run);
    p->store_quad = run % FBL_CUDA_LANES == 0;
    FblCudaBody body;
    fbl_cuda_body_init(&body, e, p->store_quad ? FBL_CUDA_LANES : 1, p->store_quad ? epilogue->loops[lane_at] : -1);
    for (int i = 0; i < epilogue->loop_count; i++) {
        body.loops[epilogue->loops[i]] = fbl_arena_printf(e->arena, "i%d", i);
    }
    const char *parameters = fbl_cuda_parameters(e, false);
    fbl_cuda_line(e, 0, "FBL_DEVICE void %s_store%s(%s, const %s acc, int i0, int i1, int i2, int i3) {", e->name, p->store_quad ? "" : "1", parameters,
                  p->store_quad ? "float4" : "float");
    for (int lane = 0; lane < FBL_CUDA_LANES; lane++) {
        body.acc[lane] = p->store_quad ? fbl_arena_printf(e->arena, "acc.%c", "xyzw"[lane]) : "acc";
    }
    for (int32_t k = 0; k < epilogue->store_count; k++) {
        fbl_cuda_body_need_store(&body, &epilogue->stores[k]);
    }
    fbl_cuda_body_emit(&body, 1);
    for (int32_t k = 0; k < epilogue->store_count; k++) {
        fbl_cuda_body_store(&body, &epilogue->stores[k], NULL);
    }
    fbl_cuda_line(e, 0, "}");
    if (p->store_quad) {
        return;
    }
    fbl_cuda_line(e, 0, "FBL_DEVICE void %s_store(%s, const float4 acc, int i0, int i1, int i2, int i3, int left) {", e->name, parameters);
    for (int lane = 0; lane < FBL_CUDA_LANES; lane++) {
        const char *index = "";
        for (int i = 0; i < 4; i++) {
            index = fbl_arena_printf(e->arena, i == lane_at && lane > 0 ? "%s, i%d + %d" : "%s, i%d", index, i, lane);
        }
        int indent = 1;
        if (lane > 0) {
            fbl_cuda_line(e, 1, "if (left > %d) {", lane);
            indent = 2;
        }
        fbl_cuda_line(e, indent, "%s_store1(%s, acc.%c%s);", e->name, fbl_cuda_arguments(e), "xyzw"[lane], index);
        if (lane > 0) {
            fbl_cuda_line(e, 1, "}");
        }
    }
    fbl_cuda_line(e, 0, "}");
}

void fbl_cuda_call_epilogue(FblCudaProduct *p, int indent) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    const char *index;
    long long group_c = p->group_c, group_o = p->group_o;
    const char *left;
    if (c->kind == FBL_CONV_FORWARD || c->kind == FBL_CONV_DATA_GRAD) {
        index = fbl_cuda_pixel_of_row(p, fbl_arena_printf(e->arena, "z * %lld + n", (long long)p->n));
        left = fbl_arena_printf(e->arena, "%lld - n", (long long)p->n);
    } else if (c->kind == FBL_CONV_WEIGHT_GRAD) {
        fbl_cuda_line(e, indent, "const int tap = n / %lld, c = n %% %lld;", (long long)p->padded, (long long)p->padded);
        index = fbl_arena_printf(e->arena, "z * %lld + m, c, tap / %lld, tap %% %lld", group_o, (long long)c->kw, (long long)c->kw);
        left = fbl_arena_printf(e->arena, "%lld - c", group_c);
    } else {
        index = "z, m, n, 0";
        left = fbl_arena_printf(e->arena, "%lld - n", (long long)p->n);
    }
    if (c->kind == FBL_CONV_WEIGHT_GRAD && p->padded - p->group_c >= 4) { // whole quads of padding
        fbl_cuda_line(e, indent++, "if (c < %lld) {", group_c);
    }
    fbl_cuda_line(e, indent, "%s_store(%s, acc, %s%s%s);", e->name, fbl_cuda_arguments(e), index, p->store_quad ? "" : ", ", p->store_quad ? "" : left);
    if (c->kind == FBL_CONV_WEIGHT_GRAD && p->padded - p->group_c >= 4) {
        fbl_cuda_line(e, indent - 1, "}");
    }
}

// The word (row, w) of an operand's tile as a C expression.
static const char *word(FblCudaProduct *p, const FblCudaOperand *o, const char *row, const char *w) {
    if (o->rows) {
        return fbl_arena_printf(p->e->arena, "(%s) * %lld + %s", w, (long long)o->tile + 8, row);
    }
    return fbl_arena_printf(p->e->arena, "(%s) * %lld + %s", row, (long long)fbl_cuda_words(p) + 4, w);
}

static void multiply_tensor(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    long long mt = t->bm / t->warps_m / 16, nt = t->bn / t->warps_n / 8;
    static const char *const names[] = {"", "tf32", "bf16", "f16"};
    const char *round = e->options->precision == FBL_CUDA_TF32 ? "fbl_to_tf32" : "";
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int at = 0; at < %lld; at += 8) {", (long long)fbl_cuda_words(p));
    fbl_cuda_line(e, 3, "unsigned fa[%lld][4], fb[%lld][2];", mt, nt);
    fbl_cuda_line(e, 3, "#pragma unroll");
    fbl_cuda_line(e, 3, "for (int i = 0; i < %lld; i++) {", mt);
    bool turned_a = p->operand[0].rows && p->operand[0].direct, turned_b = p->operand[1].rows && p->operand[1].direct;
    if (turned_a) {
        fbl_cuda_line(e, 4, "fbl_turn4(fa[i], (const unsigned short *)a_now + (at * 2 + lane / 16 * 8 + lane %% 8) * %lld + warp_m + i * 16 + lane / 8 %% 2 * 8);", (long long)t->bm + 8);
    } else {
        fbl_cuda_line(e, 4, "const int row = warp_m + i * 16 + lane / 4;");
    }
    for (int k = 0; k < 4 && !turned_a; k++) {
        const char *at = word(p, &p->operand[0], k % 2 ? "row + 8" : "row", k < 2 ? "at + lane % 4" : "at + lane % 4 + 4");
        fbl_cuda_line(e, 4, "fa[i][%d] = %s(a_now[%s]);", k, round, at);
    }
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 3, "#pragma unroll");
    fbl_cuda_line(e, 3, "for (int j = 0; j < %lld; j++) {", nt);
    if (turned_b) {
        fbl_cuda_line(e, 4, "fbl_turn2(fb[j], (const unsigned short *)b_now + (at * 2 + lane %% 16) * %lld + warp_n + j * 8);", (long long)t->bn + 8);
    } else {
        fbl_cuda_line(e, 4, "const int column = warp_n + j * 8 + lane / 4;");
    }
    for (int k = 0; k < 2 && !turned_b; k++) {
        fbl_cuda_line(e, 4, "fb[j][%d] = %s(b_now[%s]);", k, round, word(p, &p->operand[1], "column", k ? "at + lane % 4 + 4" : "at + lane % 4"));
    }
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 3, "#pragma unroll");
    fbl_cuda_line(e, 3, "for (int i = 0; i < %lld; i++) {", mt);
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int j = 0; j < %lld; j++) {", nt);
    fbl_cuda_line(e, 5, "fbl_mma_%s(sum[i][j], fa[i], fb[j]);", names[e->options->precision]);
    fbl_cuda_line(e, 4, "}");
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 2, "}");
}

// Row i of a thread's results in the tile: spread for quads along the sum, in runs of four for quads along rows.
static const char *thread_row(FblCudaProduct *p, const FblCudaOperand *o, const char *thread, const char *i, int64_t spread) {
    if (o->rows) {
        return fbl_arena_printf(p->e->arena, "%s / 4 * %lld + %s * 4 + %s %% 4", i, 4 * (long long)spread, thread, i);
    }
    return fbl_arena_printf(p->e->arena, "%s + %s * %lld", thread, i, (long long)spread);
}

// Registers f[count][4]: `count` rows of the operand at four indices of the sum.
static void load_registers(FblCudaProduct *p, const FblCudaOperand *o, const char *thread, int64_t count, int64_t spread) {
    FblCudaEmit *e = p->e;
    if (o->rows) {
        fbl_cuda_line(e, 3, "#pragma unroll");
        fbl_cuda_line(e, 3, "for (int i = 0; i < %lld; i += 4) {", (long long)count);
        fbl_cuda_line(e, 4, "#pragma unroll");
        fbl_cuda_line(e, 4, "for (int q = 0; q < 4; q++) {");
        fbl_cuda_line(e, 5, "const float4 v = *(const float4 *)(%c_now + %s);", o->name, word(p, o, thread_row(p, o, thread, "i", spread), "at + q"));
        fbl_cuda_line(e, 5, "f%c[i][q] = v.x;", o->name);
        fbl_cuda_line(e, 5, "f%c[i + 1][q] = v.y;", o->name);
        fbl_cuda_line(e, 5, "f%c[i + 2][q] = v.z;", o->name);
        fbl_cuda_line(e, 5, "f%c[i + 3][q] = v.w;", o->name);
        fbl_cuda_line(e, 4, "}");
        fbl_cuda_line(e, 3, "}");
        return;
    }
    fbl_cuda_line(e, 3, "#pragma unroll");
    fbl_cuda_line(e, 3, "for (int i = 0; i < %lld; i++) {", (long long)count);
    fbl_cuda_line(e, 4, "const float4 v = *(const float4 *)(%c_now + %s);", o->name, word(p, o, thread_row(p, o, thread, "i", spread), "at"));
    fbl_cuda_line(e, 4, "f%c[i][0] = v.x;", o->name);
    fbl_cuda_line(e, 4, "f%c[i][1] = v.y;", o->name);
    fbl_cuda_line(e, 4, "f%c[i][2] = v.z;", o->name);
    fbl_cuda_line(e, 4, "f%c[i][3] = v.w;", o->name);
    fbl_cuda_line(e, 3, "}");
}

static void multiply_plain(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int at = 0; at < %lld; at += 4) {", (long long)t->bk);
    fbl_cuda_line(e, 3, "float fa[%lld][4], fb[%lld][4];", (long long)t->tm, (long long)t->tn);
    load_registers(p, &p->operand[0], "tm", t->tm, t->bm / t->tm);
    load_registers(p, &p->operand[1], "tn", t->tn, t->bn / t->tn);
    fbl_cuda_line(e, 3, "#pragma unroll");
    fbl_cuda_line(e, 3, "for (int q = 0; q < 4; q++) {");
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int i = 0; i < %lld; i++) {", (long long)t->tm);
    fbl_cuda_line(e, 5, "#pragma unroll");
    fbl_cuda_line(e, 5, "for (int j = 0; j < %lld; j++) {", (long long)t->tn);
    fbl_cuda_line(e, 6, "sum[i][j] = fmaf(fa[i][q], fb[j][q], sum[i][j]);");
    fbl_cuda_line(e, 5, "}");
    fbl_cuda_line(e, 4, "}");
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 2, "}");
}

// The accumulators into shared memory as rows of bn + 4 floats.
static void results_to_shared(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    long long stride = t->bn + 4;
    long long mt = p->tensor ? t->bm / t->warps_m / 16 : t->tm, nt = p->tensor ? t->bn / t->warps_n / 8 : t->tn;
    fbl_cuda_line(e, 1, "float *results = (float *)fbl_shared;");
    fbl_cuda_line(e, 1, "#pragma unroll");
    fbl_cuda_line(e, 1, "for (int i = 0; i < %lld; i++) {", mt);
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int j = 0; j < %lld; j++) {", nt);
    if (p->tensor) {
        fbl_cuda_line(e, 3, "float *to = results + (warp_m + i * 16 + lane / 4) * %lld + warp_n + j * 8 + lane %% 4 * 2;", stride);
        fbl_cuda_line(e, 3, "to[0] = sum[i][j][0];");
        fbl_cuda_line(e, 3, "to[1] = sum[i][j][1];");
        fbl_cuda_line(e, 3, "to[%lld] = sum[i][j][2];", 8 * stride);
        fbl_cuda_line(e, 3, "to[%lld] = sum[i][j][3];", 8 * stride + 1);
    } else {
        fbl_cuda_line(e, 3, "results[(%s) * %lld + %s] = sum[i][j];", thread_row(p, &p->operand[0], "tm", "i", t->bm / t->tm), stride,
                      thread_row(p, &p->operand[1], "tn", "j", t->bn / t->tn));
    }
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "__syncthreads();");
}

void fbl_cuda_store_results(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    bool split = t->splits > 1;
    fbl_cuda_line(e, 1, "for (int q = tid; q < %lld; q += %lld) {", (long long)(t->bm * t->bn / 4), (long long)t->threads);
    fbl_cuda_line(e, 2, "const int row = q / %lld, column = q %% %lld * 4, m = m0 + row, n = n0 + column;", (long long)(t->bn / 4), (long long)(t->bn / 4));
    fbl_cuda_line(e, 2, "if (m < %s && n < %lld) {", fbl_cuda_part_rows(p), (long long)p->n);
    fbl_cuda_line(e, 3, "const float4 acc = *(const float4 *)(results + row * %lld + column);", (long long)(t->bn + 4));
    if (split) {
        const char *slice = p->parts == 1 ? "z" : fbl_arena_printf(e->arena, "z * %lld + part", (long long)p->parts);
        fbl_cuda_line(e, 3, "*(float4 *)(workspace + %lld + (((long long)blockIdx.y * %lld + %s) * %lld + m) * %lld + n) = acc;", (long long)p->partial_at,
                      (long long)(p->z * p->parts), slice, (long long)p->m, (long long)p->columns);
    } else {
        fbl_cuda_call_epilogue(p, 3);
    }
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    if (!split) {
        fbl_cuda_emit_sums(p, t->bm, t->bn, t->threads);
    }
}

void fbl_cuda_describe_product(FblCudaProduct *p, const char *how) {
    const FblCudaTile *t = &p->tile;
    const char *parts = p->parts == 1 ? "" : fbl_arena_printf(p->e->arena, "%lld parts, the largest ", (long long)p->parts);
    fbl_cuda_line(p->e, 0, "// product %s%lld x %lld x %lld%s, tile %lld x %lld x %lld, %lld stages, %lld runs of the sum", parts, (long long)p->m, (long long)p->n,
                  (long long)p->k, how, (long long)t->bm, (long long)t->bn, (long long)t->bk, (long long)t->stages, (long long)t->splits);
    if (p->parts > 1) {
        fbl_cuda_line(p->e, 0, "// %lld multiply-adds in tiles", (long long)(fbl_cuda_part_work(p, t).steps * t->bm * t->bn * t->bk));
    }
}

static void emit_main(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    bool workspace = t->splits > 1 || p->phase > 0;
    long long m_tiles = fbl_cuda_ceil(p->m, t->bm), n_tiles = fbl_cuda_ceil(p->n, t->bn), stages = t->stages;
    const uint32_t grid[3] = {(uint32_t)(m_tiles * n_tiles * p->parts * p->z), (uint32_t)t->splits, 1};
    fbl_cuda_describe_product(p, "");
    e->blocks = (int)fbl_cuda_resident(p, t);
    fbl_cuda_begin_entry(e, p->phase, workspace, (uint32_t)t->threads, grid);
    e->source->phase[p->phase].shared_bytes = (uint32_t)t->shared_bytes;
    fbl_cuda_line(e, 1, "FBL_DYNAMIC_SHARED;");
    fbl_cuda_line(e, 1, "unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + %lld;", stages * (long long)p->operand[0].words);
    fbl_cuda_line(e, 1, "const int tid = threadIdx.x;");
    fbl_cuda_block_place(p);
    if (p->tensor) {
        fbl_cuda_line(e, 1, "const int lane = tid %% 32, warp_m = tid / 32 / %lld * %lld, warp_n = tid / 32 %% %lld * %lld;", (long long)t->warps_n,
                      (long long)(t->bm / t->warps_m), (long long)t->warps_n, (long long)(t->bn / t->warps_n));
        fbl_cuda_line(e, 1, "float sum[%lld][%lld][4] = {};", (long long)(t->bm / t->warps_m / 16), (long long)(t->bn / t->warps_n / 8));
    } else {
        fbl_cuda_line(e, 1, "const int tm = tid / %lld, tn = tid %% %lld;", (long long)(t->bn / t->tn), (long long)(t->bn / t->tn));
        fbl_cuda_line(e, 1, "float sum[%lld][%lld] = {};", (long long)t->tm, (long long)t->tn);
    }
    fbl_cuda_operand_setup(p, &p->operand[0]);
    fbl_cuda_operand_setup(p, &p->operand[1]);
    fbl_cuda_line(e, 1, "auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory");
    fbl_cuda_operand_fetch(p, &p->operand[0]);
    fbl_cuda_operand_fetch(p, &p->operand[1]);
    fbl_cuda_line(e, 1, "};");
    fbl_cuda_line(e, 1, "auto put = [&](int stage) { // from registers to shared memory");
    fbl_cuda_operand_put(p, &p->operand[0]);
    fbl_cuda_operand_put(p, &p->operand[1]);
    fbl_cuda_line(e, 1, "};");
    fbl_cuda_line(e, 1, "auto multiply = [&](int stage) {");
    fbl_cuda_line(e, 2, "const unsigned *a_now = a_tile + stage * %lld, *b_now = b_tile + stage * %lld;", (long long)p->operand[0].words, (long long)p->operand[1].words);
    if (p->tensor) {
        multiply_tensor(p);
    } else {
        multiply_plain(p);
    }
    fbl_cuda_line(e, 1, "};");
    fbl_cuda_line(e, 1, "for (int ahead = 0; ahead < %lld; ahead++) {", stages - 1);
    fbl_cuda_line(e, 2, "if (first + ahead < last) {");
    fbl_cuda_line(e, 3, "fetch(first + ahead, ahead);");
    fbl_cuda_line(e, 3, "put(ahead);");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "fbl_copy_commit();");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "for (int step = first; step < last; step++) {");
    fbl_cuda_line(e, 2, "fbl_copy_wait<%lld>();", stages - 2);
    fbl_cuda_line(e, 2, "__syncthreads();");
    fbl_cuda_line(e, 2, "const int next = step + %lld, stage = (next - first) %% %lld;", stages - 1, stages);
    fbl_cuda_line(e, 2, "if (next < last) {");
    fbl_cuda_line(e, 3, "fetch(next, stage);");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "fbl_copy_commit();");
    fbl_cuda_line(e, 2, "multiply((step - first) %% %lld);", stages);
    fbl_cuda_line(e, 2, "if (next < last) {");
    fbl_cuda_line(e, 3, "put(stage);");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "fbl_copy_wait<0>();");
    fbl_cuda_line(e, 1, "__syncthreads();");
    results_to_shared(p);
    fbl_cuda_store_results(p);
    fbl_cuda_line(e, 0, "}");
}

void fbl_cuda_add_runs(FblCudaProduct *p, int indent, const char *from, const char *runs) {
    FblCudaEmit *e = p->e;
    fbl_cuda_line(e, indent, "float4 acc = make_float4(0.0f, 0.0f, 0.0f, 0.0f);");
    fbl_cuda_line(e, indent, "#pragma unroll 4");
    fbl_cuda_line(e, indent, "for (int run = 0; run < %s; run++) {", runs);
    fbl_cuda_line(e, indent + 1, "const float4 part = *(const float4 *)(%s + (long long)run * %lld);", from, (long long)(p->z * p->parts * p->m * p->columns));
    for (const char *x = "xyzw"; *x; x++) {
        fbl_cuda_line(e, indent + 1, "acc.%c += part.%c;", *x, *x);
    }
    fbl_cuda_line(e, indent, "}");
}

void fbl_cuda_emit_finish(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    if (e->kernel->part_rows > 0) {
        fbl_cuda_emit_finish_sums(p);
        return;
    }
    long long quads = p->z * p->parts * p->m * p->columns / 4;
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(quads, FINISH_THREADS), 1, 1};
    e->source->workspace_bytes += p->tile.splits * quads * 16;
    fbl_cuda_begin_entry(e, p->phase + 1, true, FINISH_THREADS, grid);
    fbl_cuda_line(e, 1, "const int q = blockIdx.x * %d + threadIdx.x;", FINISH_THREADS);
    fbl_cuda_line(e, 1, "if (q >= %lld) {", quads);
    fbl_cuda_line(e, 2, "return;");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "const int n = q %% %lld * 4, m = q / %lld %% %lld, z = q / %lld;", (long long)p->columns / 4, (long long)p->columns / 4, (long long)p->m,
                  (long long)(p->columns / 4 * p->m * p->parts));
    const char *runs = fbl_arena_printf(e->arena, "%lld", (long long)p->tile.splits);
    if (p->parts > 1) {
        fbl_cuda_line(e, 1, "const int part = q / %lld %% %lld;", (long long)(p->columns / 4 * p->m), (long long)p->parts);
        fbl_cuda_part_enter(p, 1, "part");
        fbl_cuda_line(e, 1, "if (m >= rows) {");
        fbl_cuda_line(e, 2, "return;");
        fbl_cuda_line(e, 1, "}");
        runs = fbl_arena_printf(e->arena, "(%s + %lld) / %lld", fbl_cuda_part_steps(p), (long long)p->tile.per_split - 1, (long long)p->tile.per_split);
    }
    fbl_cuda_line(e, 1, "const float *from = workspace + %lld + (long long)q * 4;", (long long)p->partial_at);
    fbl_cuda_add_runs(p, 1, "from", runs);
    fbl_cuda_call_epilogue(p, 1);
    fbl_cuda_line(e, 0, "}");
}

// The product with its operands prepared and packed operands placed; the tile is not chosen yet.
static void open_product(FblCudaEmit *e, FblCudaProduct *p) {
    *p = (FblCudaProduct){.e = e, .c = &e->kernel->contraction};
    view(p);
    bool weight_grad = p->c->kind == FBL_CONV_WEIGHT_GRAD;
    for (int i = 0; i < 2; i++) {
        FblCudaOperand *o = &p->operand[i];
        o->name = "ab"[i];
        o->number = weight_grad ? 1 - i : i; // the rows of a weight gradient are those of its second operand
        o->body = &e->kernel->operands[o->number];
        fbl_cuda_operand_prepare(p, o);
    }
    fbl_cuda_pack_plan(p);
}

// Whether an option chooses the instruction, so that there is nothing to tune.
static bool is_forced(const FblCudaOptions *options) { return options->gemm == FBL_CUDA_GEMM_WGMMA || options->gemm == FBL_CUDA_GEMM_TMA; }

bool fbl_cuda_problem(const FblKernel *kernel, const FblCudaOptions *options, FblCudaProblem *out_problem, FblCudaChoice *choices, size_t max, size_t *out_count) {
    if (kernel->kind != FBL_KERNEL_CONTRACTION || is_forced(options)) {
        return false;
    }
    FblArena arena;
    fbl_arena_init(&arena);
    FblCudaEmit e = {.arena = &arena, .kernel = kernel, .options = options, .name = "kernel"};
    fbl_text_init(&e.text, &arena);
    FblCudaProduct p;
    open_product(&e, &p);
    *out_problem = fbl_cuda_problem_of(&p);
    if (choices) {
        *out_count = fbl_cuda_tile_candidates(&p, choices, max);
    }
    fbl_arena_deinit(&arena);
    return true;
}

FblStatus fbl_cuda_emit_contraction(FblCudaEmit *e) {
    FblCudaProduct p;
    open_product(e, &p);
    if (is_forced(e->options) && fbl_cuda_emit_wgmma(&p, e->options->gemm == FBL_CUDA_GEMM_TMA ? FBL_CUDA_VARIANT_TMA : FBL_CUDA_VARIANT_WGMMA, NULL)) {
        return FBL_OK;
    }
    if (fbl_cuda_choose_tile(&p)) {
        const FblCudaTile *t = &p.tile;
        bool tensor = t->variant != FBL_CUDA_VARIANT_FMA;
        char text[FBL_CUDA_TUNE_TEXT];
        fbl_cuda_choice_print(&(FblCudaChoice){t->variant, (int32_t)t->bm, (int32_t)t->bn, (int32_t)t->bk, (int32_t)(tensor ? t->warps_m : t->tm),
                                               (int32_t)(tensor ? t->warps_n : t->tn), (int32_t)t->stages, (int32_t)t->splits},
                              text);
        fbl_cuda_line(e, 0, "// tuned: %s", text);
    }
    if (p.tile.variant >= FBL_CUDA_VARIANT_WGMMA) {
        FblCudaTile tile = p.tile;
        return fbl_cuda_emit_wgmma(&p, tile.variant, &tile) ? FBL_OK : FBL_INTERNAL; // the tile was checked against the product
    }
    for (int i = 0; i < 2; i++) {
        FblCudaOperand *o = &p.operand[i];
        o->tile = i == 0 ? p.tile.bm : p.tile.bn;
        o->words = fbl_cuda_tile_words(o->tile, fbl_cuda_words(&p), o->rows);
        o->units = o->tile * p.tile.bk / o->run / (o->rows && p.halves && !o->direct ? 2 : 1);
        o->passes = fbl_cuda_ceil(o->units, p.tile.threads);
        fbl_cuda_operand_functions(&p, o);
    }
    fbl_cuda_epilogue_function(&p);
    e->source->workspace_bytes = p.partial_at * 4;
    if (p.phase > 0) {
        fbl_cuda_pack_emit(&p);
    }
    emit_main(&p);
    if (p.tile.splits > 1) {
        fbl_cuda_emit_finish(&p);
    }
    return FBL_OK;
}

// What a contraction reduces over parts of its rows (ir/kernel.h). A tile's results lie in shared memory for the epilogue; tiles have
// whole parts. Eight units of columns of a part are a warp's - four neighbouring columns, or one where channels are not in fours -
// with four threads a unit: of each eight rows two each, so that loads of single columns are of 32 banks (rows are 4 words longer than a
// multiple of 16). The sums of the four are added by shuffles in a fixed tree: nobody waits for other warps, and the order
// does not depend on the tile.
#include "codegen/cuda/contract_internal.h"

#define FINISH_ROWS 64 // of a block that adds runs of the sum
#define FINISH_COLUMNS 32
#define FINISH_THREADS 128
#define SHARES 4 // threads of a column

// Loops as C expressions; those of pixels are written out where they are used.
static void open_body(const FblCudaProduct *p, FblCudaBody *body, int lanes) {
    FblCudaEmit *e = p->e;
    const FblKernel *kernel = e->kernel;
    const FblContraction *c = p->c;
    const int32_t *loops = kernel->epilogue.loops;
    bool forward = c->kind == FBL_CONV_FORWARD;
    long long h = forward ? c->oh : c->h, w = forward ? c->ow : c->w;
    const char *number = fbl_arena_printf(e->arena, "(part * %lld + row)", (long long)kernel->part_rows);
    fbl_cuda_body_init(body, e, lanes, lanes > 1 ? loops[1] : -1);
    body->lane_results = lanes > 1;
    body->loops[loops[0]] = fbl_arena_printf(e->arena, "(%s / %lld)", number, h * w);
    body->loops[loops[1]] = "channel";
    body->loops[loops[2]] = fbl_arena_printf(e->arena, "(%s / %lld %% %lld)", number, w, h);
    body->loops[loops[3]] = fbl_arena_printf(e->arena, "(%s %% %lld)", number, w);
    body->loops[kernel->part_loop] = "part";
    body->loops[kernel->row_loop] = "row";
    for (int lane = 0; lane < lanes; lane++) {
        body->acc[lane] = lanes > 1 ? fbl_arena_printf(e->arena, "acc.%c", "xyzw"[lane]) : "acc";
    }
}

static void emit_rows(const FblCudaProduct *p, const FblKStage *stage, FblCudaBody *body, long long stride) {
    FblCudaEmit *e = p->e;
    const FblKernel *kernel = e->kernel;
    int lanes = body->lanes;
    const char *type = lanes > 1 ? "float4" : "float";
    body->inner = 1u << kernel->row_loop | 1u << kernel->epilogue.loops[0] | 1u << kernel->epilogue.loops[2] | 1u << kernel->epilogue.loops[3];
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        fbl_cuda_body_need(body, stage->reduces[k].value);
        fbl_cuda_line(e, 2, "float s%d[%d][2] = {};", stage->reduces[k].result, lanes);
    }
    body->indent = 2;
    fbl_cuda_body_emit(body, 0);
    bool loads = false; // of what else a row needs: then four rows at once are enough to hide their latency
    for (int32_t id = stage->first; id < stage->last; id++) {
        loads |= e->kernel->instrs[id].kind == FBL_K_LOAD;
    }
    fbl_cuda_line(e, 2, loads ? "#pragma unroll 4" : "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int k = 0; k < %lld; k++) {", (long long)kernel->part_rows / SHARES);
    fbl_cuda_line(e, 3, "const int row = k / 2 * %d + share * 2 + k %% 2;", 2 * SHARES);
    fbl_cuda_line(e, 3, "const %s acc = *(const %s *)(at + row * %lld);", type, type, stride);
    body->indent = 3;
    fbl_cuda_body_emit(body, 1);
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        for (int lane = 0; lane < lanes; lane++) {
            fbl_cuda_line(e, 3, "s%d[%d][k %% 2] += %s;", stage->reduces[k].result, lane, fbl_cuda_body_lane(body, stage->reduces[k].value, lane, FBL_F32));
        }
    }
    fbl_cuda_line(e, 2, "}");
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        int r = stage->reduces[k].result;
        for (int lane = 0; lane < lanes; lane++) {
            const char *name = lanes > 1 ? fbl_arena_printf(e->arena, "r%d_%d", r, lane) : fbl_arena_printf(e->arena, "r%d", r);
            fbl_cuda_line(e, 2, "const float %s = fbl_sum_shares(s%d[%d][0] + s%d[%d][1]);", name, r, lane, r, lane);
        }
    }
}

void fbl_cuda_emit_sums(FblCudaProduct *p, int64_t rows, int64_t columns, int64_t threads) {
    FblCudaEmit *e = p->e;
    const FblKernel *kernel = e->kernel;
    long long part_rows = kernel->part_rows, stride = columns + 4, parts = part_rows ? kernel->loops[kernel->part_loop].extent : 0;
    if (part_rows == 0) {
        return;
    }
    // Four columns at once where a warp's eight units are then whole, and half of the threads have some.
    int64_t quads = rows / part_rows * columns / FBL_CUDA_LANES;
    int lanes = p->store_quad && quads % 8 == 0 && 2 * quads * SHARES >= threads ? FBL_CUDA_LANES : 1;
    long long units = columns / lanes, in_row = units < 8 ? units : 8; // of the warp's eight; the others are of the next part
    fbl_cuda_line(e, 1, "for (int q = tid; q < %lld; q += %lld) { // parts of %lld rows", (long long)(rows / part_rows * units * SHARES), (long long)threads, part_rows);
    const char *next = in_row == 8 ? "" : fbl_arena_printf(e->arena, " * %lld + q %% 8 / %lld", 8 / in_row, in_row);
    fbl_cuda_line(e, 2, "const int own = q / 32 / %lld%s, share = q / 8 %% %d;", units / in_row, next, SHARES);
    fbl_cuda_line(e, 2, "const int column = (q / 32 %% %lld * %lld + q %% %lld) * %d;", units / in_row, in_row, in_row, lanes);
    // Whole warps take part in shuffles: those beyond the result do the last part or column again.
    fbl_cuda_line(e, 2, "const bool live = m0 / %lld + own < %lld && n0 + column < %lld && share == 0;", part_rows, parts, (long long)p->n);
    fbl_cuda_line(e, 2, "const int part = fbl_imin(m0 / %lld + own, %lld), channel = z * %lld + fbl_imin(n0 + column, %lld);", part_rows, parts - 1, (long long)p->n, (long long)p->n - lanes);
    fbl_cuda_line(e, 2, "const float *at = results + own * %lld + column;", part_rows * stride);
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        const FblKStage *stage = &kernel->stages[i];
        FblCudaBody body;
        open_body(p, &body, lanes);
        if (stage->loop_count > 0) {
            emit_rows(p, stage, &body, stride);
            continue;
        }
        fbl_cuda_line(e, 2, "if (live) {");
        body.indent = 3;
        for (int32_t k = 0; k < stage->store_count; k++) {
            fbl_cuda_body_need_store(&body, &stage->stores[k]);
        }
        fbl_cuda_body_emit(&body, 1);
        for (int32_t k = 0; k < stage->store_count; k++) {
            fbl_cuda_body_store(&body, &stage->stores[k], NULL);
        }
        fbl_cuda_line(e, 2, "}");
    }
    fbl_cuda_line(e, 1, "}");
}

void fbl_cuda_emit_finish_sums(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    long long quads = p->z * p->m * p->columns / 4, n_tiles = fbl_cuda_ceil(p->n, FINISH_COLUMNS), m_tiles = fbl_cuda_ceil(p->m, FINISH_ROWS);
    const uint32_t grid[3] = {(uint32_t)(n_tiles * m_tiles * p->z), 1, 1};
    e->source->workspace_bytes += p->tile.splits * quads * 16;
    fbl_cuda_begin_entry(e, p->phase + 1, true, FINISH_THREADS, grid);
    fbl_cuda_line(e, 1, "__shared__ float4 tile[%d];", FINISH_ROWS * (FINISH_COLUMNS + 4) / 4);
    fbl_cuda_line(e, 1, "float *results = (float *)tile;");
    fbl_cuda_line(e, 1, "const int tid = threadIdx.x, n0 = blockIdx.x %% %lld * %d, m0 = blockIdx.x / %lld %% %lld * %d, z = blockIdx.x / %lld;", n_tiles, FINISH_COLUMNS, n_tiles, m_tiles,
                  FINISH_ROWS, n_tiles * m_tiles);
    fbl_cuda_line(e, 1, "for (int q = tid; q < %d; q += %d) {", FINISH_ROWS * FINISH_COLUMNS / 4, FINISH_THREADS);
    fbl_cuda_line(e, 2, "const int row = q / %d, column = q %% %d * 4, m = m0 + row, n = n0 + column;", FINISH_COLUMNS / 4, FINISH_COLUMNS / 4);
    fbl_cuda_line(e, 2, "if (m < %lld && n < %lld) {", (long long)p->m, (long long)p->n);
    fbl_cuda_line(e, 3, "const float *from = workspace + %lld + ((long long)(z * %lld + m) * %lld + n);", (long long)p->partial_at, (long long)p->m, (long long)p->columns);
    fbl_cuda_add_runs(p, 3, "from", fbl_arena_printf(e->arena, "%lld", (long long)p->tile.splits));
    fbl_cuda_line(e, 3, "*(float4 *)(results + row * %d + column) = acc;", FINISH_COLUMNS + 4);
    fbl_cuda_call_epilogue(p, 3);
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "__syncthreads();");
    fbl_cuda_emit_sums(p, FINISH_ROWS, FINISH_COLUMNS, FINISH_THREADS);
    fbl_cuda_line(e, 0, "}");
}

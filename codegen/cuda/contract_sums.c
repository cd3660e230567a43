// What a contraction reduces over parts of its rows (ir/kernel.h). A tile's results lie in shared memory for the epilogue; tiles have
// whole parts, so a thread takes a part and a column and does all stages for it: neighbouring threads read neighbouring columns, and
// nobody waits. Rows are added in four sums, one row in turn, and those in a fixed tree: the order does not depend on the tile.
#include "codegen/cuda/contract_internal.h"

#define FINISH_ROWS 64 // of a block that adds runs of the sum
#define FINISH_COLUMNS 32
#define FINISH_THREADS 128
#define ADDENDS 4 // sums of a thread at a time

// Loops as C expressions; those of pixels are written out where they are used.
static void name_loops(const FblCudaProduct *p, FblCudaBody *body) {
    const FblKernel *kernel = p->e->kernel;
    const FblContraction *c = p->c;
    const int32_t *loops = kernel->epilogue.loops;
    bool forward = c->kind == FBL_CONV_FORWARD;
    long long h = forward ? c->oh : c->h, w = forward ? c->ow : c->w;
    body->loops[loops[0]] = fbl_arena_printf(p->e->arena, "((part * %lld + row) / %lld)", (long long)kernel->part_rows, h * w);
    body->loops[loops[1]] = "channel";
    body->loops[loops[2]] = fbl_arena_printf(p->e->arena, "((part * %lld + row) / %lld %% %lld)", (long long)kernel->part_rows, w, h);
    body->loops[loops[3]] = fbl_arena_printf(p->e->arena, "((part * %lld + row) %% %lld)", (long long)kernel->part_rows, w);
    body->loops[kernel->part_loop] = "part";
    body->loops[kernel->row_loop] = "row";
    body->acc[0] = "acc";
}

static void emit_rows(const FblCudaProduct *p, const FblKStage *stage, FblCudaBody *body, long long stride) {
    FblCudaEmit *e = p->e;
    const FblKernel *kernel = e->kernel;
    body->inner = 1u << kernel->row_loop | 1u << kernel->epilogue.loops[0] | 1u << kernel->epilogue.loops[2] | 1u << kernel->epilogue.loops[3];
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        fbl_cuda_body_need(body, stage->reduces[k].value);
        fbl_cuda_line(e, 3, "float s%d[%d] = {};", stage->reduces[k].result, ADDENDS);
    }
    body->indent = 3;
    fbl_cuda_body_emit(body, 0);
    fbl_cuda_line(e, 3, "#pragma unroll 4");
    fbl_cuda_line(e, 3, "for (int from = 0; from < %lld; from += %d) {", (long long)kernel->part_rows, ADDENDS);
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int k = 0; k < %d; k++) {", ADDENDS);
    fbl_cuda_line(e, 5, "const int row = from + k;");
    fbl_cuda_line(e, 5, "const float acc = at[row * %lld];", stride);
    body->indent = 5;
    fbl_cuda_body_emit(body, 1);
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        fbl_cuda_line(e, 5, "s%d[k] += %s;", stage->reduces[k].result, fbl_cuda_body_lane(body, stage->reduces[k].value, 0, FBL_F32));
    }
    fbl_cuda_line(e, 4, "}");
    fbl_cuda_line(e, 3, "}");
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        int r = stage->reduces[k].result;
        fbl_cuda_line(e, 3, "const float r%d = (s%d[0] + s%d[1]) + (s%d[2] + s%d[3]);", r, r, r, r, r);
    }
}

void fbl_cuda_emit_sums(FblCudaProduct *p, int64_t rows, int64_t columns, int64_t threads) {
    FblCudaEmit *e = p->e;
    const FblKernel *kernel = e->kernel;
    long long part_rows = kernel->part_rows, stride = columns + 4;
    if (part_rows == 0) {
        return;
    }
    fbl_cuda_line(e, 1, "for (int q = tid; q < %lld; q += %lld) { // parts of %lld rows", (long long)(rows / part_rows * columns), (long long)threads, part_rows);
    fbl_cuda_line(e, 2, "const int column = q %% %lld, n = n0 + column, part = m0 / %lld + q / %lld, channel = z * %lld + n;", (long long)columns, part_rows, (long long)columns,
                  (long long)p->n);
    fbl_cuda_line(e, 2, "if (part < %lld && n < %lld) {", (long long)kernel->loops[kernel->part_loop].extent, (long long)p->n);
    fbl_cuda_line(e, 3, "const float *at = results + q / %lld * %lld + column;", (long long)columns, part_rows * stride);
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        const FblKStage *stage = &kernel->stages[i];
        FblCudaBody body;
        fbl_cuda_body_init(&body, e, 1, -1);
        name_loops(p, &body);
        if (stage->loop_count > 0) {
            emit_rows(p, stage, &body, stride);
            continue;
        }
        body.indent = 3;
        for (int32_t k = 0; k < stage->store_count; k++) {
            fbl_cuda_body_need_store(&body, &stage->stores[k]);
        }
        fbl_cuda_body_emit(&body, 1);
        for (int32_t k = 0; k < stage->store_count; k++) {
            fbl_cuda_body_store(&body, &stage->stores[k], NULL);
        }
    }
    fbl_cuda_line(e, 2, "}");
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

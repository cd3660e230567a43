// Contractions by wgmma: which tile, and the kernel around it. One warpgroup loads, one or two multiply; `full`
// barriers tell the multiplying ones that a stage has come, `empty` barriers the loading one that it has been read.
#include "codegen/cuda/contract_wgmma.h"

#include <math.h>

#define ELEMENT_LIMIT ((int64_t)1 << 28) // of a packed factor: keeps addresses inside an int
#define ROUND_UP 1024                    // bytes after which the swizzle's pattern repeats: tiles start at a multiple
#define MAX_STAGES 6
#define LAG 2 // stages whose copies may be under way when a stage is announced
// A stage is given back when the product of the next one has been issued, and that one is announced LAG stages late:
// with fewer stages each side would wait for the other.
#define MIN_STAGES (LAG + 2)

static bool any(const FblCudaWide *wide, bool engine) {
    return wide->factor[0].engine == engine || wide->factor[1].engine == engine;
}
// Threads that load: a warpgroup where threads copy, a warp where only the copy engine does.
static int64_t loaders(const FblCudaWide *wide) {
    return any(wide, false) ? FBL_CUDA_WARPGROUP : 32;
}

static int64_t stage_bytes(const FblCudaTile *t) {
    return (t->bm + t->bn) * 128;
}

// Estimated clocks, as contract_tile.c counts them: what such code is meant to reach, nothing is measured.
double fbl_cuda_wide_clocks(const FblCudaWide *wide, const FblCudaTile *t) {
    const FblCudaProduct *p = wide->p;
    int64_t processors = fbl_cuda_processors(p->e->options->arch);
    FblCudaWork work = fbl_cuda_part_work(p, t);
    int64_t blocks = fbl_cuda_max(work.blocks, 1);
    int64_t resident = fbl_cuda_min(fbl_cuda_shared_limit(p->e->options->arch) / t->shared_bytes,
                                    65536 / (t->threads * (t->bn / 2 + 48)));
    resident = fbl_cuda_max(1, fbl_cuda_min(resident, fbl_cuda_ceil(blocks, processors)));
    double waves = (double)fbl_cuda_ceil(blocks, processors * resident);
    double multiply = (double)(t->bm * fbl_cuda_max(t->bn, 32) * t->bk) / (wide->size == 2 ? 1400 : 700);
    double load = (double)stage_bytes(t) / 40;
    double step = (double)resident * (multiply > load ? multiply : load);
    step = step > 200 ? step : 200;
    double time = fmax(waves * ((double)work.steps / (double)blocks * step + 2000), (double)t->per_split * step + 2000);
    if (t->splits > 1) {
        time += 3500 + 2.0 * (double)(t->splits * p->z * p->parts * p->m * p->columns * 4) / ((double)processors * 20);
    }
    return time;
}

bool fbl_cuda_wide_fit(const FblCudaWide *wide, FblCudaTile *t, int64_t stages, int64_t splits) {
    const FblCudaProduct *p = wide->p;
    int64_t limit = fbl_cuda_shared_limit(p->e->options->arch), steps = fbl_cuda_ceil(p->k, t->bk),
            most = fbl_cuda_min(MAX_STAGES, (limit - ROUND_UP) / (stage_bytes(t) + 16));
    t->stages = stages ? stages : most;
    t->threads = t->warps_m * FBL_CUDA_WARPGROUP + loaders(wide);
    t->shared_bytes = ROUND_UP + fbl_cuda_max(t->stages * (stage_bytes(t) + 16), 4 * t->bm * (t->bn + 4));
    // A block of turned rows is 64 wide.
    bool shape = t->bk * wide->size == 128 && !(wide->factor[1].turned && t->bn < 64);
    if (!shape || !fbl_cuda_has_parts(p, t) || t->stages < MIN_STAGES || t->stages > most || t->shared_bytes > limit || splits < 1 ||
        splits > steps || splits > 1024) {
        return false;
    }
    t->per_split = fbl_cuda_ceil(steps, splits);
    t->splits = fbl_cuda_ceil(steps, t->per_split);
    return t->splits == 1 || (double)t->splits * (double)(p->z * p->parts) * (double)p->m * (double)p->columns * 4 <=
                                 (double)FBL_CUDA_PARTIAL_LIMIT;
}

static void choose_tile(FblCudaWide *wide) {
    static const int16_t columns[] = {256, 128, 64, 32, 16};
    double best = -1;
    for (int64_t consumers = 2; consumers >= 1; consumers--) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            FblCudaTile t = {
                .bm = 64 * consumers, .bn = columns[i], .bk = 128 / wide->size, .warps_m = consumers, .warps_n = 1};
            for (int64_t splits = 1; fbl_cuda_wide_fit(wide, &t, 0, splits); splits *= 2) {
                double time = fbl_cuda_wide_clocks(wide, &t);
                if (best < 0 || time < best) {
                    best = time;
                    wide->p->tile = t;
                }
            }
        }
    }
}

static const char *format_name(const FblCudaProduct *p) {
    static const char *const names[] = {"", "tf32", "bf16", "f16"};
    return names[p->e->options->precision];
}

// The descriptor of a factor in `stage`, for rows from `first` on (a multiple of 64).
static const char *descriptor(FblCudaWide *wide, const FblCudaFactor *f, const char *first) {
    FblArena *arena = wide->p->e->arena;
    // Along the sum, 8 rows are 8 spans of bytes; turned, 8 indices of the sum are, and the next rows lie behind all bk
    // of them.
    long long span = f->span, leading = f->turned ? wide->p->tile.bk * span : 16,
              rows = f->turned ? wide->p->tile.bk * 128 : 64 * span;
    const char *address = fbl_arena_printf(arena, "%c_tile + stage * %lld", f->o->name, (long long)f->bytes);
    if (first) {
        address = fbl_arena_printf(arena, "%s + %s * %lld", address, first, rows);
    }
    return fbl_arena_printf(arena, "fbl_wgmma_factor(%s, %lld, %lld, %d)", address, leading, 8 * span,
                            span == 128  ? 1
                            : span == 64 ? 2
                                         : 3);
}

// How far part `part` (32 bytes of the sum) of a stage is from the first, in units of 16 bytes.
static long long part_at(const FblCudaFactor *f, int64_t part) {
    int64_t at = part * 32;
    return (f->turned ? part * 16 * f->span : at / f->span * f->tile * f->span + at % f->span) / 16;
}

// One thread asks the copy engine for all that it brings.
static void emit_engine(FblCudaWide *wide) {
    FblCudaEmit *e = wide->p->e;
    int64_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        bytes += wide->factor[i].engine ? wide->factor[i].bytes : 0;
    }
    fbl_cuda_line(e, 3, "if (t == 0) {");
    fbl_cuda_line(e, 4, "fbl_barrier_expect(full + stage * 8, %lld);", (long long)bytes);
    for (int i = 0; i < 2; i++) {
        if (wide->factor[i].engine) {
            fbl_cuda_wide_map_setup(wide, &wide->factor[i]);
            fbl_cuda_wide_map_fetch(wide, &wide->factor[i]);
        }
    }
    fbl_cuda_line(e, 3, "}");
}

static void emit_producer(FblCudaWide *wide) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    long long stages = p->tile.stages, first = wide->consumers * FBL_CUDA_WARPGROUP;
    fbl_cuda_line(e, 1, "if (tid >= %lld) { // loads", first);
    fbl_cuda_line(e, 2, "const int t = tid - %lld;", first);
    for (int i = 0; i < 2; i++) {
        if (!wide->factor[i].engine) {
            fbl_cuda_wide_setup(wide, &wide->factor[i]);
        }
    }
    fbl_cuda_line(e, 2, "for (int step = first; step < last; step++) {");
    fbl_cuda_line(e, 3, "const int turn = step - first, stage = turn %% %lld;", stages);
    fbl_cuda_line(e, 3, "fbl_barrier_wait(empty + stage * 8, (turn / %lld & 1) ^ 1);", stages);
    if (any(wide, true)) {
        emit_engine(wide);
    }
    if (!any(wide, false)) {
        fbl_cuda_line(e, 2, "}");
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (!wide->factor[i].engine) {
            fbl_cuda_wide_fetch(wide, &wide->factor[i]);
        }
    }
    fbl_cuda_line(e, 3, "fbl_copy_commit();");
    fbl_cuda_line(e, 3, "if (turn >= %d) {", LAG);
    fbl_cuda_line(e, 4, "fbl_copy_wait<%d>();", LAG);
    fbl_cuda_line(e, 4, "fbl_fence_async();");
    fbl_cuda_line(e, 4, "fbl_barrier_arrive(full + (turn - %d) %% %lld * 8);", LAG, stages);
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "fbl_copy_wait<0>();");
    fbl_cuda_line(e, 2, "fbl_fence_async();");
    fbl_cuda_line(e, 2, "for (int turn = fbl_imax(last - first - %d, 0); turn < last - first; turn++) {", LAG);
    fbl_cuda_line(e, 3, "fbl_barrier_arrive(full + turn %% %lld * 8);", stages);
    fbl_cuda_line(e, 2, "}");
}

static void emit_consumers(FblCudaWide *wide) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    const FblCudaFactor *a = &wide->factor[0], *b = &wide->factor[1];
    long long stages = p->tile.stages;
    fbl_cuda_line(e, 1, "} else { // multiply");
    fbl_cuda_line(e, 2, "for (int step = first; step < last; step++) {");
    fbl_cuda_line(e, 3, "const int turn = step - first, stage = turn %% %lld;", stages);
    fbl_cuda_line(e, 3, "fbl_barrier_wait(full + stage * 8, turn / %lld & 1);", stages);
    fbl_cuda_line(e, 3, "const unsigned long long a = %s;",
                  descriptor(wide, a, wide->consumers > 1 ? "tid / 128" : NULL));
    fbl_cuda_line(e, 3, "const unsigned long long b = %s;", descriptor(wide, b, NULL));
    fbl_cuda_line(e, 3, "fbl_wgmma_hold(sum);");
    fbl_cuda_line(e, 3, "fbl_wgmma_fence();");
    for (int part = 0; part < 4; part++) { // 32 bytes of the sum each; descriptors count in 16 bytes
        fbl_cuda_line(e, 3, "fbl_wgmma_%s<%d, %d>(sum, a + %lld, b + %lld);", format_name(p), a->turned, b->turned,
                      part_at(a, part), part_at(b, part));
    }
    fbl_cuda_line(e, 3, "fbl_wgmma_commit();");
    fbl_cuda_line(e, 3, "fbl_wgmma_wait<1>();");
    fbl_cuda_line(e, 3, "if (turn > 0 && lane == 0) {");
    fbl_cuda_line(e, 4, "fbl_barrier_arrive(empty + (turn - 1) %% %lld * 8);", stages);
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "fbl_wgmma_wait<0>();");
    fbl_cuda_line(e, 2, "fbl_wgmma_hold(sum);");
    fbl_cuda_line(e, 1, "}");
}

static void emit_main(FblCudaWide *wide) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    long long m_tiles = fbl_cuda_ceil(p->m, t->bm), n_tiles = fbl_cuda_ceil(p->n, t->bn), stages = t->stages,
              stride = t->bn + 4;
    const uint32_t grid[3] = {(uint32_t)(m_tiles * n_tiles * p->parts * p->z), (uint32_t)t->splits, 1};
    fbl_cuda_describe_product(p, " by wgmma");
    FblCudaPhase *phase = &e->source->phase[p->phase];
    e->maps = "";
    for (int i = 0; i < 2; i++) {
        if (wide->factor[i].engine) {
            e->maps = fbl_arena_printf(e->arena, "%s, const __grid_constant__ FblMap %c_map", e->maps, "ab"[i]);
            phase->maps[phase->map_count++] = fbl_cuda_wide_map(wide, &wide->factor[i]);
        }
    }
    fbl_cuda_begin_entry(e, p->phase, p->phase > 0 || t->splits > 1, (uint32_t)t->threads, grid);
    phase->shared_bytes = (uint32_t)t->shared_bytes;
    fbl_cuda_line(e, 1, "FBL_DYNAMIC_SHARED;");
    fbl_cuda_line(e, 1,
                  "const unsigned a_tile = (fbl_shared_address(fbl_shared) + %d) / %d * %d, b_tile = a_tile + %lld;",
                  ROUND_UP - 1, ROUND_UP, ROUND_UP, stages * (long long)wide->factor[0].bytes);
    fbl_cuda_line(e, 1, "const unsigned full = a_tile + %lld, empty = full + %lld;", stages * (long long)stage_bytes(t),
                  8 * stages);
    fbl_cuda_line(e, 1, "const int tid = threadIdx.x, lane = tid %% 32;");
    fbl_cuda_block_place(p);
    fbl_cuda_line(e, 1, "if (tid == 0) {");
    fbl_cuda_line(e, 2, "for (int stage = 0; stage < %lld; stage++) {", stages);
    fbl_cuda_line(e, 3, "fbl_barrier_init(full + stage * 8, %d);",
                  (any(wide, false) ? FBL_CUDA_WARPGROUP : 0) + any(wide, true));
    fbl_cuda_line(e, 3, "fbl_barrier_init(empty + stage * 8, %lld); // a lane of each warp",
                  4 * (long long)wide->consumers);
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "fbl_barrier_fence();");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "__syncthreads();");
    fbl_cuda_line(e, 1, "float sum[%lld] = {};", (long long)t->bn / 2);
    emit_producer(wide);
    emit_consumers(wide);
    fbl_cuda_line(e, 1, "__syncthreads();");
    fbl_cuda_line(e, 1, "float *results = (float *)fbl_shared;");
    fbl_cuda_line(e, 1, "if (tid < %lld) {", (long long)wide->consumers * FBL_CUDA_WARPGROUP);
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int j = 0; j < %lld; j++) {", (long long)t->bn / 8);
    fbl_cuda_line(e, 3, "float *to = results + (tid / 32 * 16 + lane / 4) * %lld + j * 8 + lane %% 4 * 2;", stride);
    fbl_cuda_line(e, 3, "to[0] = sum[4 * j];");
    fbl_cuda_line(e, 3, "to[1] = sum[4 * j + 1];");
    fbl_cuda_line(e, 3, "to[%lld] = sum[4 * j + 2];", 8 * stride);
    fbl_cuda_line(e, 3, "to[%lld] = sum[4 * j + 3];", 8 * stride + 1);
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "__syncthreads();");
    fbl_cuda_store_results(p);
    fbl_cuda_line(e, 0, "}");
}

bool fbl_cuda_wide_open(const FblCudaProduct *product, FblCudaVariant variant, FblCudaProduct *own, FblCudaWide *wide) {
    bool weight_grad = product->c->kind == FBL_CONV_WEIGHT_GRAD;
    *own = *product;
    own->partial_at = 0;
    *wide = (FblCudaWide){
        .p = own, .size = own->halves ? 2 : 4, .piece = own->halves ? 8 : 4, .engine = variant == FBL_CUDA_VARIANT_TMA};
    // tf32 factors must lie along the sum, and a weight gradient's are images, which lie along channels.
    if (own->e->options->arch != 90 || !own->tensor || (weight_grad && !own->halves)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        own->operand[i].packed = true;
        own->operand[i].async = own->operand[i].direct = false;
        own->operand[i].pack_lanes = fbl_cuda_operand_pack_lanes(own, &own->operand[i]);
    }
    fbl_cuda_wide_plan(wide);
    for (int i = 0; i < 2; i++) {
        FblCudaFactor *f = &wide->factor[i];
        if (f->elements > ELEMENT_LIMIT) {
            return false;
        }
        if (f->buffer < 0) {
            f->o->packed_at = own->partial_at;
            own->partial_at += fbl_cuda_ceil(f->elements * wide->size, 256) * 64;
        }
    }
    own->phase = own->partial_at > 0;
    return true;
}

bool fbl_cuda_emit_wgmma(const FblCudaProduct *product, FblCudaVariant variant, const FblCudaTile *tile) {
    FblCudaEmit *e = product->e;
    FblCudaProduct own, *p = &own;
    FblCudaWide wide;
    if (!fbl_cuda_wide_open(product, variant, &own, &wide)) {
        return false;
    }
    if (tile) {
        own.tile = *tile;
    } else {
        choose_tile(&wide);
    }
    wide.consumers = p->tile.warps_m;
    for (int i = 0; i < 2; i++) {
        FblCudaFactor *f = &wide.factor[i];
        f->tile = i == 0 ? p->tile.bm : p->tile.bn;
        f->bytes = f->tile * 128;
        if (f->buffer < 0) {
            fbl_cuda_operand_functions(p, f->o);
        }
    }
    fbl_cuda_epilogue_function(p);
    e->source->workspace_bytes = p->partial_at * 4;
    e->source->specific = true;
    if (p->phase > 0) {
        fbl_cuda_wide_pack(&wide);
    }
    emit_main(&wide);
    if (p->tile.splits > 1) {
        fbl_cuda_emit_finish(p);
    }
    return true;
}

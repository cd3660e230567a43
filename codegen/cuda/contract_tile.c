// Which tile a block does, and whether the sum is split over blocks: what the table of tuned tiles says, else the least time
// by a model of one multiprocessor.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/contract_wgmma.h"

#define MAX_SPLITS 1024

// A tile of a variant; `by` is the variant's division of the block.
typedef struct Shape {
    int16_t bm, bn;
    int16_t warps_m, warps_n; // mma: by warps
    int16_t tm, tn;           // fma: by results a thread; wgmma: bk
} Shape;

static const Shape shapes[] = {
    {128, 128, 2, 4, 8, 8}, {128, 64, 4, 2, 8, 4}, {64, 128, 2, 4, 4, 8}, {64, 64, 2, 2, 4, 4}, {128, 32, 4, 1, 8, 4}, {32, 128, 1, 4, 4, 8}, {64, 32, 2, 2, 4, 4},
    {32, 64, 2, 2, 4, 4},   {32, 32, 2, 2, 4, 4},  {128, 16, 4, 1, 4, 4}, {16, 128, 1, 4, 4, 4}, {64, 16, 4, 1, 4, 4}, {16, 64, 1, 4, 4, 4},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static const Shape wide_shapes[] = { // of halves, then of tf32
    {128, 256, 2, 1, 64, 0}, {128, 128, 2, 1, 64, 0}, {128, 64, 2, 1, 64, 0}, {128, 32, 2, 1, 64, 0}, {64, 256, 1, 1, 64, 0}, {64, 128, 1, 1, 64, 0}, {64, 64, 1, 1, 64, 0},
    {128, 256, 2, 1, 32, 0}, {128, 128, 2, 1, 32, 0}, {128, 64, 2, 1, 32, 0}, {128, 32, 2, 1, 32, 0}, {64, 128, 1, 1, 32, 0}, {64, 64, 1, 1, 32, 0},
};
enum { WIDE_SHAPES = sizeof wide_shapes / sizeof *wide_shapes, MAX_SHAPES = (int)WIDE_SHAPES > (int)SHAPES ? (int)WIDE_SHAPES : (int)SHAPES };

static FblCudaTile fma_tile(const Shape *s) {
    return (FblCudaTile){.variant = FBL_CUDA_VARIANT_FMA, .bm = s->bm, .bn = s->bn, .bk = 16, .tm = s->tm, .tn = s->tn, .threads = s->bm * s->bn / (s->tm * s->tn)};
}

static FblCudaTile mma_tile(const Shape *s) {
    return (FblCudaTile){.variant = FBL_CUDA_VARIANT_MMA, .bm = s->bm, .bn = s->bn, .bk = 32, .warps_m = s->warps_m, .warps_n = s->warps_n,
                         .threads = 32 * s->warps_m * s->warps_n};
}

static FblCudaTile wide_tile(const Shape *s) { return (FblCudaTile){.bm = s->bm, .bn = s->bn, .bk = s->tm, .warps_m = s->warps_m, .warps_n = s->warps_n}; }
static FblCudaTile wgmma_tile(const Shape *s) {
    FblCudaTile tile = wide_tile(s);
    tile.variant = FBL_CUDA_VARIANT_WGMMA;
    return tile;
}
static FblCudaTile tma_tile(const Shape *s) {
    FblCudaTile tile = wide_tile(s);
    tile.variant = FBL_CUDA_VARIANT_TMA;
    return tile;
}

static bool can_fma(const FblCudaProduct *p) { return !p->tensor; }
static bool can_mma(const FblCudaProduct *p) { return p->tensor; }
static bool can_wide(const FblCudaProduct *p) { return p->tensor && p->e->options->gemm == FBL_CUDA_GEMM_AUTO; }
static bool is_wide(FblCudaVariant variant) { return variant >= FBL_CUDA_VARIANT_WGMMA; }

// A way to multiply: for which products it exists, its tiles (stages, splits and shared memory aside), and how many tiles it
// has in shared memory when nobody chose.
typedef struct Variant {
    bool (*can)(const FblCudaProduct *p);
    const Shape *shapes;
    size_t count;
    FblCudaTile (*tile)(const Shape *shape);
} Variant;

static const Variant variants[FBL_CUDA_VARIANT_COUNT] = {
    [FBL_CUDA_VARIANT_FMA] = {can_fma, shapes, SHAPES, fma_tile},
    [FBL_CUDA_VARIANT_MMA] = {can_mma, shapes, SHAPES, mma_tile},
    [FBL_CUDA_VARIANT_WGMMA] = {can_wide, wide_shapes, WIDE_SHAPES, wgmma_tile},
    [FBL_CUDA_VARIANT_TMA] = {can_wide, wide_shapes, WIDE_SHAPES, tma_tile},
};

int64_t fbl_cuda_shared_limit(int32_t arch) {
    return 1024 * (arch < 80 ? 64 : arch == 86 || arch == 89 || arch >= 120 ? 99 : arch < 90 ? 163 : 227);
}

static int64_t usual_stages(const FblCudaProduct *p) { return p->operand[0].async || p->operand[1].async ? 3 : 2; }

bool fbl_cuda_has_parts(const FblCudaProduct *p, const FblCudaTile *t) { return p->e->kernel->part_rows == 0 || t->bm % p->e->kernel->part_rows == 0; }

// Completes a tile; false when the product cannot have it.
static bool fit(const FblCudaProduct *p, FblCudaTile *t, int64_t stages, int64_t splits) {
    int64_t words = p->halves ? t->bk / 2 : t->bk, steps = fbl_cuda_ceil(p->k, t->bk);
    int64_t stage = fbl_cuda_tile_words(t->bm, words, p->operand[0].rows) + fbl_cuda_tile_words(t->bn, words, p->operand[1].rows);
    t->stages = stages;
    t->shared_bytes = 4 * fbl_cuda_max(stages * stage, t->bm * (t->bn + 4));
    if (!fbl_cuda_has_parts(p, t) || splits > steps || splits > MAX_SPLITS || t->shared_bytes > fbl_cuda_shared_limit(p->e->options->arch)) {
        return false;
    }
    t->per_split = fbl_cuda_ceil(steps, splits);
    t->splits = fbl_cuda_ceil(steps, t->per_split);
    return t->splits == 1 || (double)t->splits * (double)(p->z * p->parts) * (double)p->m * (double)p->columns * 4 <= (double)FBL_CUDA_PARTIAL_LIMIT;
}

int64_t fbl_cuda_resident(const FblCudaProduct *p, const FblCudaTile *t) {
    return fbl_cuda_max(1, fbl_cuda_min(fbl_cuda_shared_limit(p->e->options->arch) / t->shared_bytes, 65536 / (t->threads * 128)));
}

// Estimated clocks. Rates are multiply-adds a clock and multiprocessor that such code reaches, not peaks.
static double clocks(const FblCudaProduct *p, const FblCudaTile *t) {
    int64_t processors = fbl_cuda_processors(p->e->options->arch);
    double rate = !p->tensor ? 80 : p->halves ? 700 : 350;
    FblCudaWork work = fbl_cuda_part_work(p, t);
    int64_t blocks = fbl_cuda_max(work.blocks, 1);
    int64_t resident = fbl_cuda_min(fbl_cuda_resident(p, t), fbl_cuda_ceil(blocks, processors));
    double waves = (double)fbl_cuda_ceil(blocks, processors * resident);
    double multiply = (double)(t->bm * t->bn * t->bk) / rate;
    double load = (double)((t->bm * (p->operand[0].direct ? 2 : 4) + t->bn * (p->operand[1].direct ? 2 : 4)) * t->bk) / 40; // bytes a clock from the second-level cache
    double latency = p->operand[0].async && p->operand[1].async ? 250 : 500;
    double step = (double)resident * (multiply > load ? multiply : load);
    step = step > latency ? step : latency;
    // Parts have different sums: blocks take the mean, and no less than the longest.
    double time = fmax(waves * ((double)work.steps / (double)blocks * step + 1500), (double)t->per_split * step + 1500);
    if (t->splits > 1) {
        time += 3500 + 2.0 * (double)(t->splits * p->z * p->parts * p->m * p->columns * 4) / ((double)processors * 20);
    }
    return time;
}

static FblCudaChoice choice_of(const FblCudaTile *t) {
    bool fma = t->variant == FBL_CUDA_VARIANT_FMA;
    return (FblCudaChoice){t->variant, (int32_t)t->bm, (int32_t)t->bn, (int32_t)t->bk, (int32_t)(fma ? t->tm : t->warps_m), (int32_t)(fma ? t->tn : t->warps_n),
                           (int32_t)t->stages, (int32_t)t->splits};
}

// The tile of a variant's table that a choice names.
static bool find_shape(const FblCudaChoice *choice, FblCudaTile *out_tile) {
    if (choice->variant <= FBL_CUDA_VARIANT_CUDNN || choice->variant >= FBL_CUDA_VARIANT_COUNT) {
        return false;
    }
    const Variant *variant = &variants[choice->variant];
    for (size_t i = 0; i < variant->count; i++) {
        *out_tile = variant->tile(&variant->shapes[i]);
        FblCudaChoice own = choice_of(out_tile);
        if (own.bm == choice->bm && own.bn == choice->bn && own.bk == choice->bk && own.by_m == choice->by_m && own.by_n == choice->by_n) {
            return true;
        }
    }
    return false;
}

bool fbl_cuda_choice_known(const FblCudaChoice *choice) {
    FblCudaTile tile;
    return choice->variant <= FBL_CUDA_VARIANT_CUDNN || find_shape(choice, &tile);
}

bool fbl_cuda_tile_of(const FblCudaProduct *p, const FblCudaChoice *choice, FblCudaTile *out_tile) {
    if (!find_shape(choice, out_tile) || !variants[choice->variant].can(p)) {
        return false;
    }
    FblCudaProduct own;
    FblCudaWide wide;
    return !is_wide(choice->variant) ? fit(p, out_tile, choice->stages, choice->splits)
                                     : choice->stages > 0 && fbl_cuda_wide_open(p, choice->variant, &own, &wide) && fbl_cuda_wide_fit(&wide, out_tile, choice->stages, choice->splits);
}

FblCudaProblem fbl_cuda_problem_of(const FblCudaProduct *p) {
    const FblContraction *c = p->c;
    FblCudaProblem problem = {.arch = p->e->options->arch, .precision = (int32_t)p->e->options->precision, .kind = c->kind};
    const int64_t product[] = {c->n_batch, c->m, c->n_, c->k};
    const int64_t conv[FBL_CUDA_PROBLEM_EXTENTS] = {c->n,        c->c,        c->h,     c->w,     c->o,          c->kh,         c->kw,    c->stride_h,
                                                    c->stride_w, c->pad_h,    c->pad_w, c->dilation_h, c->dilation_w, c->groups};
    bool matmul = c->kind == FBL_MATMUL;
    for (size_t i = 0; i < (matmul ? sizeof product / sizeof *product : FBL_CUDA_PROBLEM_EXTENTS); i++) {
        problem.extents[i] = matmul ? product[i] : conv[i];
    }
    for (int i = 0; i < 2; i++) {
        problem.ways[i] = p->operand[i].packed ? FBL_CUDA_PACKED : p->operand[i].async ? FBL_CUDA_PLAIN : FBL_CUDA_COMPUTED;
    }
    return problem;
}

// Tiles of one variant with their estimated clocks.
typedef struct Candidate {
    FblCudaTile tile;
    double time;
    double work; // multiply-adds in tiles, empty parts of them included: fewer are better where waiting for memory takes the same time
    int order;   // in which they were made, so that equal times are not a matter of the sorting function
} Candidate;

#define PER_SHAPE 2 // of each shape the best numbers of splits
enum { MAX_CANDIDATES = FBL_CUDA_VARIANT_COUNT * MAX_SHAPES * PER_SHAPE };

static int compare_candidates(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->time != y->time || x->work != y->work) {
        return x->time != y->time ? (x->time > y->time) - (x->time < y->time) : (x->work > y->work) - (x->work < y->work);
    }
    return x->order - y->order;
}

static void keep(Candidate *best, size_t *count, const Candidate *candidate) {
    if (*count < PER_SHAPE) {
        best[(*count)++] = *candidate;
    } else if (candidate->time < best[PER_SHAPE - 1].time) {
        best[PER_SHAPE - 1] = *candidate;
    }
    for (size_t i = *count - 1; i > 0 && best[i].time < best[i - 1].time; i--) {
        Candidate other = best[i];
        best[i] = best[i - 1];
        best[i - 1] = other;
    }
}

// The candidates that the product can have, best first; without `all` those that may be the model's own choice: variants that
// have run on hardware, or need not.
static size_t list(const FblCudaProduct *p, bool all, Candidate out[MAX_CANDIDATES]) {
    size_t count = 0;
    int order = 0;
    for (int v = FBL_CUDA_VARIANT_CUDNN + 1; v < FBL_CUDA_VARIANT_COUNT; v++) {
        const Variant *variant = &variants[v];
        FblCudaProduct own;
        FblCudaWide wide;
        if (!variant->can(p) || (is_wide((FblCudaVariant)v) && (!all || !fbl_cuda_wide_open(p, (FblCudaVariant)v, &own, &wide)))) {
            continue;
        }
        for (size_t i = 0; i < variant->count; i++) {
            Candidate best[PER_SHAPE], candidate = {.tile = variant->tile(&variant->shapes[i])};
            size_t kept = 0;
            for (int64_t splits = 1; splits <= MAX_SPLITS; splits *= 2) {
                if (!(is_wide((FblCudaVariant)v) ? fbl_cuda_wide_fit(&wide, &candidate.tile, 0, splits) : fit(p, &candidate.tile, usual_stages(p), splits))) {
                    break;
                }
                candidate.time = is_wide((FblCudaVariant)v) ? fbl_cuda_wide_clocks(&wide, &candidate.tile) : clocks(p, &candidate.tile);
                candidate.work = (double)fbl_cuda_part_work(is_wide((FblCudaVariant)v) ? &own : p, &candidate.tile).steps * (double)(candidate.tile.bm * candidate.tile.bn * candidate.tile.bk);
                candidate.order = order++;
                keep(best, &kept, &candidate);
            }
            for (size_t k = 0; k < kept; k++) {
                out[count++] = best[k];
            }
        }
    }
    qsort(out, count, sizeof *out, compare_candidates);
    return count;
}

size_t fbl_cuda_tile_candidates(const FblCudaProduct *p, FblCudaChoice *out, size_t max) {
    Candidate candidates[MAX_CANDIDATES];
    size_t have = list(p, true, candidates), count = 0, next[2] = {0, 0};
    // The model does not tell numbers of stages apart: the two best tiles are tried with others as well. Nor does it know how wgmma
    // compares, so that is tried in turn with the model's own variant, which comes first: the others are compared with it.
    size_t room = max - (max / 3 < 4 ? max / 3 : 4), best[2] = {0, 0}, found = 0;
    for (bool wide = false; count < room && (next[0] < have || next[1] < have); wide = !wide) {
        while (next[wide] < have && is_wide(candidates[next[wide]].tile.variant) != wide) {
            next[wide]++;
        }
        if (next[wide] < have) {
            if (!wide && found < 2) {
                best[found++] = next[wide];
            }
            out[count++] = choice_of(&candidates[next[wide]++].tile);
        }
    }
    for (size_t i = 0; i < found; i++) {
        for (int64_t stages = 2; stages <= 4 && count < max; stages++) {
            FblCudaTile tile = candidates[best[i]].tile;
            if (stages != usual_stages(p) && fit(p, &tile, stages, tile.splits)) {
                out[count++] = choice_of(&tile);
            }
        }
    }
    return count;
}

bool fbl_cuda_choose_tile(FblCudaProduct *p) {
    if (p->e->options->tune) {
        FblCudaProblem problem = fbl_cuda_problem_of(p);
        const FblCudaTuneRow *row = fbl_cuda_tune_find(p->e->options->tune, &problem);
        if (row && fbl_cuda_tile_of(p, &row->choice, &p->tile)) {
            return true;
        }
    }
    Candidate candidates[MAX_CANDIDATES];
    list(p, false, candidates);
    p->tile = candidates[0].tile;
    return false;
}

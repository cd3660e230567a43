// Which tile a block does, and whether the sum is split over blocks: the least time by a model of one multiprocessor.
#include "codegen/cuda/contract_internal.h"

#define WORKSPACE_LIMIT ((int64_t)64 << 20) // bytes of partial sums

typedef struct Shape {
    int16_t bm, bn;
    int16_t warps_m, warps_n; // tensor cores
    int16_t tm, tn;           // multiply-adds
} Shape;

static const Shape shapes[] = {
    {128, 128, 2, 4, 8, 8}, {128, 64, 4, 2, 8, 4}, {64, 128, 2, 4, 4, 8}, {64, 64, 2, 2, 4, 4}, {128, 32, 4, 1, 8, 4}, {32, 128, 1, 4, 4, 8}, {64, 32, 2, 2, 4, 4},
    {32, 64, 2, 2, 4, 4},   {32, 32, 2, 2, 4, 4},  {128, 16, 4, 1, 4, 4}, {16, 128, 1, 4, 4, 4}, {64, 16, 4, 1, 4, 4}, {16, 64, 1, 4, 4, 4},
};

// Shared memory that one block may have.
static int64_t shared_limit(int32_t arch) {
    return 1024 * (arch < 80 ? 64 : arch == 86 || arch == 89 || arch >= 120 ? 99 : arch < 90 ? 163 : 227);
}

// Estimated clocks. Rates are multiply-adds a clock and multiprocessor that such code reaches, not peaks.
static double clocks(const FblCudaProduct *p, const FblCudaTile *t) {
    int64_t processors = fbl_cuda_processors(p->e->options->arch);
    double rate = !p->tensor ? 80 : p->halves ? 700 : 350;
    int64_t blocks = p->z * fbl_cuda_ceil(p->m, t->bm) * fbl_cuda_ceil(p->n, t->bn) * t->splits;
    int64_t resident = fbl_cuda_min(shared_limit(p->e->options->arch) / t->shared_bytes, 65536 / (t->threads * 128));
    resident = fbl_cuda_max(1, fbl_cuda_min(resident, fbl_cuda_ceil(blocks, processors)));
    double waves = (double)fbl_cuda_ceil(blocks, processors * resident);
    double multiply = (double)(t->bm * t->bn * t->bk) / rate;
    double load = (double)((t->bm + t->bn) * t->bk * 4) / 40; // bytes a clock from the second-level cache
    double latency = p->operand[0].async && p->operand[1].async ? 250 : 500;
    double step = (double)resident * (multiply > load ? multiply : load);
    step = step > latency ? step : latency;
    double time = waves * ((double)t->per_split * step + 1500);
    if (t->splits > 1) {
        time += 3500 + 2.0 * (double)(t->splits * p->z * p->m * p->columns * 4) / ((double)processors * 20);
    }
    return time;
}

void fbl_cuda_choose_tile(FblCudaProduct *p) {
    double best = -1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const Shape *s = &shapes[i];
        FblCudaTile t = {.bm = s->bm, .bn = s->bn, .bk = p->tensor ? 32 : 16, .warps_m = s->warps_m, .warps_n = s->warps_n, .tm = s->tm, .tn = s->tn};
        t.threads = p->tensor ? 32 * s->warps_m * s->warps_n : s->bm * s->bn / (s->tm * s->tn);
        t.stages = p->operand[0].async || p->operand[1].async ? 3 : 2;
        int64_t words = p->halves ? t.bk / 2 : t.bk;
        int64_t stage = fbl_cuda_tile_words(t.bm, words, p->operand[0].rows) + fbl_cuda_tile_words(t.bn, words, p->operand[1].rows);
        t.shared_bytes = 4 * fbl_cuda_max(t.stages * stage, t.bm * (t.bn + 4));
        if (t.shared_bytes > shared_limit(p->e->options->arch)) {
            continue;
        }
        int64_t steps = fbl_cuda_ceil(p->k, t.bk);
        for (int64_t splits = 1; splits <= steps && splits <= 1024; splits *= 2) {
            t.per_split = fbl_cuda_ceil(steps, splits);
            t.splits = fbl_cuda_ceil(steps, t.per_split);
            if (t.splits > 1 && (double)t.splits * (double)p->z * (double)p->m * (double)p->columns * 4 > (double)WORKSPACE_LIMIT) {
                break;
            }
            double time = clocks(p, &t);
            if (best < 0 || time < best) {
                best = time;
                p->tile = t;
            }
        }
    }
}

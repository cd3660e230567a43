// Nominal GFLOP/s (those of the direct form) of the generated convolutions at the shapes of ResNet-32 on CIFAR and of
// ResNet-50, direct and Winograd, and their share of the machine's multiply-add peak measured in the same program. One
// thread: CPU time; two: wall time; the best of 41 runs. Usage: conv_bench [batch [vector bytes [c h]]]: only shapes of c and h, 0: any
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pool.h"
#include "kernel_build.h"
#include "passes/algorithm.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define PEAK_ROUNDS 4000000

__attribute__((target("avx2,fma"))) static float peak_loop(void) {
    __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    __m256 a = y, b = y, c = y, d = y, f = y, g = y, h = y, i = y, j = y, k = y;
    for (int r = 0; r < PEAK_ROUNDS; r++) {
        a = _mm256_fmadd_ps(a, x, y);
        b = _mm256_fmadd_ps(b, x, y);
        c = _mm256_fmadd_ps(c, x, y);
        d = _mm256_fmadd_ps(d, x, y);
        f = _mm256_fmadd_ps(f, x, y);
        g = _mm256_fmadd_ps(g, x, y);
        h = _mm256_fmadd_ps(h, x, y);
        i = _mm256_fmadd_ps(i, x, y);
        j = _mm256_fmadd_ps(j, x, y);
        k = _mm256_fmadd_ps(k, x, y);
        __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(f), "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k)); // ten chains, not one
    }
    __m256 sum = a + b + c + d + f + g + h + i + j + k;
    return _mm256_cvtss_f32(sum);
}

static void peak_item(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        ((float *)arg)[i * 16] = peak_loop();
    }
}

typedef struct Phase {
    FblKernelFn fn;
    FblKernelArgs args[8];
} Phase;

static void run_items(void *arg, int64_t begin, int64_t end, int thread) {
    Phase *phase = arg;
    phase->fn(&phase->args[thread], begin, end);
}

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_kernel(Loaded *loaded, void *const *buffers, FblPool *pool) {
    void *all[20];
    Phase phase;
    int threads = fbl_pool_threads(pool);
    memcpy(all, buffers, (size_t)loaded->kernel->buffer_count * sizeof *all);
    all[loaded->kernel->buffer_count] = aligned_alloc(64, (size_t)(loaded->code.workspace_bytes / 64 * 64 + 64));
    for (int t = 0; t < threads; t++) {
        void *scratch = aligned_alloc(64, (size_t)(loaded->code.scratch_bytes / 64 * 64 + 64));
        phase.args[t] = (FblKernelArgs){.buffers = all, .scratch = scratch, .kernel = loaded->kernel};
    }
    double best = 1e9;
    for (int r = -3; r < 41; r++) {
        double start = threads == 1 ? cpu_now() : now();
        for (int32_t p = 0; p < loaded->code.phases; p++) {
            phase.fn = fbl_cpu_entry(loaded->module, 0, p);
            fbl_pool_run(pool, run_items, &phase, loaded->code.items[p]);
        }
        if (r >= 0) {
            double time = (threads == 1 ? cpu_now() : now()) - start;
            best = time < best ? time : best;
        }
    }
    free(all[loaded->kernel->buffer_count]);
    for (int t = 0; t < threads; t++) {
        free(phase.args[t].scratch);
    }
    return best;
}

static void time_form(const FblCpuTarget *target, const FblContraction *c, int block, const char *kind, const char *form, FblPool *const *pools, const double *peak) {
    static Build b;
    build_conv(&b, c, block, false);
    double start = now();
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    double compile = now() - start;
    void *buffers[3];
    uint64_t seed = 1;
    for (int i = 0; i < 3; i++) {
        size_t count = 1;
        for (int32_t d = 0; d < b.buffers[i].rank; d++) {
            count *= (size_t)b.buffers[i].extents[d];
        }
        float *data = aligned_alloc(64, (count * 4 + 127) / 64 * 64);
        for (size_t k = 0; k < count; k++) {
            data[k] = random_real(&seed);
        }
        buffers[i] = data;
    }
    double flops = 2.0 * (double)(c->n * c->c * c->o * c->oh * c->ow * c->kh * c->kw);
    printf("%3d->%-3d %2dx%-2d k%d s%d %-15s %-12s", (int)c->c, (int)c->o, (int)c->h, (int)c->w, (int)c->kh, (int)c->stride_h, kind, form);
    for (int t = 0; t < 2; t++) {
        double seconds = time_kernel(&loaded, buffers, pools[t]);
        printf("  %d: %7.3f ms %6.1f GF %3.0f%%", t + 1, seconds * 1e3, flops / seconds * 1e-9, 100e-9 * flops / seconds / peak[t]);
    }
    printf("  compile %.0f ms, %d KiB code\n", compile * 1e3, (int)(loaded.code.object_size / 1024));
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        free(buffers[i]);
    }
    loaded_close(&loaded);
}

int main(int argc, char **argv) {
    int64_t batch = argc > 1 ? atoll(argv[1]) : 64;
    FblContext *ctx = fbl_context_create();
    FblCpuOptions options = {.vector_bytes = argc > 2 ? atoi(argv[2]) : 0, .opt_level = 2};
    FblCpuTarget *target;
    if (fbl_cpu_target_create(ctx, &options, &target) != FBL_OK) {
        return 3;
    }
    int lanes = fbl_cpu_target_vector_bytes(target) / 4;
    FblPool *pools[2];
    double peak[2] = {0, 0};
    static float sink[32];
    for (int t = 0; t < 2; t++) {
        if (fbl_pool_create(t + 1, 0, &pools[t]) != FBL_OK) {
            return 3;
        }
        for (int r = 0; r < 5; r++) {
            double start = now();
            fbl_pool_run(pools[t], peak_item, sink, t + 1);
            double rate = 160.0 * PEAK_ROUNDS * (t + 1) / (now() - start) * 1e-9;
            peak[t] = rate > peak[t] ? rate : peak[t];
        }
    }
    printf("%s\nmultiply-add peak: %.1f GFLOP/s on one thread, %.1f on two\n", fbl_cpu_target_identity(target), peak[0], peak[1]);
    // c, o, h = w, kernel, stride, pad
    static const int64_t shapes[][6] = {{3, 16, 32, 3, 1, 1},    {16, 16, 32, 3, 1, 1},   {16, 32, 32, 3, 2, 1},   {32, 32, 16, 3, 1, 1}, {32, 64, 16, 3, 2, 1},
                                        {64, 64, 8, 3, 1, 1},    {16, 32, 32, 1, 2, 0},   {64, 64, 56, 3, 1, 1},   {128, 128, 28, 3, 1, 1},
                                        {256, 256, 14, 3, 1, 1}, {512, 512, 7, 3, 1, 1},  {64, 256, 56, 1, 1, 0},  {256, 64, 56, 1, 1, 0},
                                        {512, 128, 28, 1, 1, 0}, {1024, 256, 14, 1, 1, 0}, {2048, 512, 7, 1, 1, 0}};
    int64_t only_c = argc > 3 ? atoll(argv[3]) : 0, only_h = argc > 4 ? atoll(argv[4]) : 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t *shape = shapes[s];
        if ((only_c && shape[0] != only_c) || (only_h && shape[2] != only_h)) {
            continue;
        }
        int64_t out = (shape[2] + 2 * shape[5] - shape[3]) / shape[4] + 1;
        int64_t n = s >= 7 && batch > 16 ? 16 : batch;
        for (int way = 0; way < 12; way++) {
            static const char *const kinds[] = {"forward", "data gradient", "weight gradient"};
            static const char *const forms[] = {"plain direct", "direct", "winograd2", "winograd4"};
            int kind = way / 4, form = way % 4;
            FblContraction c = {.kind = (FblContractionKind)kind, .n = n, .c = shape[0], .h = shape[2], .w = shape[2], .o = shape[1], .oh = out, .ow = out,
                                .kh = shape[3], .kw = shape[3], .stride_h = shape[4], .stride_w = shape[4], .pad_h = shape[5], .pad_w = shape[5],
                                .dilation_h = 1, .dilation_w = 1, .groups = 1};
            fbl_conv_choose(&c, form > 1 ? forms[form] : "direct", lanes);
            bool blocked = form > 0 && shape[0] % lanes == 0;
            if ((form == 0 && (shape[0] % lanes == 0) && s >= 7) || (form == 1 && !blocked) || (form > 1 && !fbl_contraction_has_winograd(&c))) {
                continue;
            }
            time_form(target, &c, blocked ? lanes : 0, kinds[kind], forms[form], pools, peak);
        }
    }
    fbl_pool_destroy(pools[0]);
    fbl_pool_destroy(pools[1]);
    fbl_cpu_target_destroy(target);
    fbl_context_destroy(ctx);
    return 0;
}

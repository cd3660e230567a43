#include "cli/calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"

#define ROUNDS 8
#define STEPS 2000000
#define COPY_FLOATS ((size_t)12 << 20) // 48 MiB a thread and array

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Twelve sums that do not wait for each other fill two multiply-add units of four or five cycles. The same body for each
// width of vectors; the compiler fuses because the function says so.
#define BURN(name, width, isa)                                                                                        \
    typedef float name##_vector __attribute__((vector_size(width)));                                                  \
    __attribute__((target(isa), optimize("O2", "fp-contract=fast"), noinline))    static float name(int64_t steps) {  \
        name##_vector s[12], a = {0}, b = {0};                                                                        \
        a = a + 0.999f;                                                                                               \
        b = b + 0.001f;                                                                                               \
        for (int i = 0; i < 12; i++) {                                                                                \
            s[i] = b * (float)i;                                                                                      \
        }                                                                                                             \
        for (int64_t k = 0; k < steps; k++) {                                                                         \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) { s[i] = s[i] * a + b; }                            \
        }                                                                                                             \
        name##_vector sum = s[0];                                                                                     \
        for (int i = 1; i < 12; i++) {                                                                                \
            sum += s[i];                                                                                              \
        }                                                                                                             \
        return sum[0];                                                                                                \
    }

#if defined(__x86_64__)
BURN(burn_512, 64, "avx512f")
BURN(burn_256, 32, "avx2,fma")
BURN(burn_128, 16, "sse2")
#else
BURN(burn_128, 16, "")
#endif

typedef struct Job {
    int lanes;
    volatile float sink;
    float *from, *to;
} Job;

static void burn(void *arg, int64_t begin, int64_t end, int thread) {
    Job *job = arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
#if defined(__x86_64__)
        job->sink = job->lanes == 16 ? burn_512(STEPS) : job->lanes == 8 ? burn_256(STEPS) : burn_128(STEPS);
#else
        job->sink = burn_128(STEPS);
#endif
    }
}

static void copy(void *arg, int64_t begin, int64_t end, int thread) {
    const Job *job = arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        memcpy(job->to + (size_t)i * COPY_FLOATS, job->from + (size_t)i * COPY_FLOATS, COPY_FLOATS * sizeof *job->to);
    }
}

// Seconds of the fastest of some runs of one item a thread: others on the machine only ever slow it.
static double fastest(FblPool *pool, FblPoolFn fn, Job *job) {
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        fbl_pool_run(pool, fn, job, fbl_pool_threads(pool));
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    return best;
}

static FblLimits measure(FblPool *pool) {
    int threads = fbl_pool_threads(pool);
    Job job = {.lanes = 4};
#if defined(__x86_64__)
    job.lanes = __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 4;
#endif
    FblLimits limits;
    limits.flops = 2.0 * 12 * job.lanes * STEPS * threads / fastest(pool, burn, &job);
    size_t bytes = (size_t)threads * COPY_FLOATS * sizeof(float);
    job.from = malloc(bytes);
    job.to = malloc(bytes);
    if (!job.from || !job.to) {
        fbl_out_of_memory();
    }
    memset(job.from, 1, bytes);
    limits.bytes = 2.0 * (double)bytes / fastest(pool, copy, &job);
    free(job.from);
    free(job.to);
    return limits;
}

FblLimits fbl_limits_measure(const FblCache *cache, FblPool *pool, const char *identity) {
    FblLimits limits;
    char path[4096], line[1024];
    const char *directory = fbl_cache_directory(cache);
    int threads = 0, at = 0;
    if (directory && snprintf(path, sizeof path, "%s/limits", directory) < (int)sizeof path) {
        FILE *file = fopen(path, "r");
        bool found = false;
        while (file && !found && fgets(line, sizeof line, file)) {
            line[strcspn(line, "\n")] = 0;
            found = sscanf(line, "%d %lf %lf %n", &threads, &limits.flops, &limits.bytes, &at) == 3 && threads == fbl_pool_threads(pool) &&
                    strcmp(line + at, identity) == 0 && limits.flops > 0 && limits.bytes > 0;
        }
        if (file) {
            fclose(file);
        }
        if (found) {
            return limits;
        }
    }
    limits = measure(pool);
    FILE *file = directory ? fopen(path, "a") : NULL; // a line is one write: lines of two processes do not mix
    if (file) {
        fprintf(file, "%d %.6g %.6g %s\n", fbl_pool_threads(pool), limits.flops, limits.bytes, identity);
        fclose(file);
    }
    return limits;
}

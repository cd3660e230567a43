// Kernels of loops over buffers in half precision as CUDA C, run on the CPU, against double: pointwise, reducing along
// items and along points, with bf16, f16, f32, i32 and bool buffers together, over odd, unit and large extents, and
// rows that are aligned to eight elements, to four or to none; the threads in order and shuffled. Also that runs of
// eight (or four) are what is loaded.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_run.h"
#include "kernel_build.h"

enum { X, Z, S, M, K, Y, F, Q, O, SUM, DEVIATION, MOST, LEAST, AT, BUFFERS };
enum { FLAT, ITEMS, POINTS, FORMS };

typedef struct Case {
    int64_t n, h, c, shift; // z has `shift` more channels, and its first are not read
    int form;
    Build *build;
    void *data[BUFFERS];
    size_t counts[BUFFERS];
    char name[100];
} Case;

static const FblDtype types[BUFFERS] = {FBL_BF16, FBL_F16,  FBL_F32, FBL_BOOL, FBL_I32, FBL_BF16, FBL_F32,
                                        FBL_I32,  FBL_BOOL, FBL_F32, FBL_F32,  FBL_F32, FBL_F32,  FBL_I32};
static CudaRun run;

// v = m ? x * s + z : -x at the kernel's loops.
static int32_t build_value(Build *b, const Case *k, const int32_t at[3], int32_t *out_x, int32_t *out_z) {
    int32_t shifted[3] = {at[0], at[1], build_op(b, FBL_OP_ADD, FBL_I32, at[2], build_int(b, k->shift), -1)};
    int32_t x = build_load(b, X, at), z = build_load(b, Z, shifted), s = build_load(b, S, &at[2]),
            m = build_load(b, M, at);
    int32_t sum = build_op(b, FBL_OP_ADD, FBL_F32, build_op(b, FBL_OP_MUL, FBL_F32, x, s, -1), z, -1);
    *out_x = x;
    *out_z = z;
    return build_op(b, FBL_OP_SELECT, FBL_F32, m, sum, build_op(b, FBL_OP_NEG, FBL_F32, x, -1, -1));
}

static void build_case(Case *k) {
    Build *b = k->build;
    bool flat = k->form == FLAT, items = k->form == ITEMS;
    const int64_t image[3] = {k->n, k->h, k->c}, wide[3] = {k->n, k->h, k->c + k->shift}, result[2] = {k->n, k->c};
    build_init(b, FBL_KERNEL_LOOPS, "halves");
    for (int i = 0; i < BUFFERS; i++) {
        const int64_t *extents = i == Z ? wide : i == S ? &k->c : i >= SUM ? result : image;
        build_buffer(b, types[i], i >= Y, i == S ? 1 : i >= SUM ? items ? 2 : 1 : 3, extents);
    }
    // Loops 0 .. outer_count are outer ones.
    int32_t n = build_loop(b, k->n), h, c;
    if (items) {
        c = build_loop(b, k->c), h = build_loop(b, k->h);
    } else {
        h = build_loop(b, k->h), c = build_loop(b, k->c);
    }
    b->kernel.outer_count = flat ? 3 : items ? 2 : 1;
    b->kernel.vector_loop = c;
    const int32_t inner[2] = {h, c};
    int inner_count = flat ? 0 : items ? 1 : 2;
    double points = (double)(items ? k->h : k->h * k->c);
    int32_t sum = -1, deviation = -1, most = -1, least = -1, place = -1, x, z;
    for (int stage = flat ? 2 : 0; stage < (flat ? 3 : 4); stage++) {
        build_stage(b, stage == 3 ? 0 : inner_count, inner);
        int32_t at[3] = {build_index(b, n), stage == 3 ? -1 : build_index(b, h),
                         stage == 3 && !items ? -1 : build_index(b, c)};
        int32_t value = stage == 3 ? -1 : build_value(b, k, at, &x, &z);
        if (stage == 1 || (stage == 2 && !flat)) { // its distance from the mean
            int32_t mean = build_op(b, FBL_OP_DIV, FBL_F32, build_result(b, sum, FBL_F32), build_real(b, points), -1);
            value = build_op(b, FBL_OP_SUB, FBL_F32, value, mean, -1);
        }
        if (stage == 0) {
            sum = build_reduce(b, FBL_OP_SUM, FBL_F32, value);
            most = build_reduce(b, FBL_OP_REDUCE_MAX, FBL_F32, value);
            least = build_reduce(b, FBL_OP_REDUCE_MIN, FBL_F32, value);
            place = build_reduce(b, FBL_OP_ARGMAX, FBL_I32, value);
        } else if (stage == 1) {
            deviation = build_reduce(b, FBL_OP_SUM, FBL_F32, build_op(b, FBL_OP_MUL, FBL_F32, value, value, -1));
        } else if (stage == 2) {
            build_store(b, Y, value, -1, at);
            build_store(b, F, value, -1, at);
            build_store(b, Q, build_op(b, FBL_OP_ADD, FBL_I32, build_load(b, K, at), build_int(b, 1), -1), -1, at);
            build_store(b, O, build_op(b, FBL_OP_LT, FBL_BOOL, x, z, -1), -1, at);
        } else {
            const int32_t results[5] = {sum, deviation, most, least, place}, to[2] = {at[0], at[2]};
            for (int i = 0; i < 5; i++) {
                build_store(b, SUM + i, build_result(b, results[i], types[SUM + i]), -1, to);
            }
        }
        build_stage_end(b);
    }
}

static void fill_case(Case *k) {
    uint64_t seed = (uint64_t)(k->n * 100 + k->h * 10 + k->c);
    for (int i = 0; i < BUFFERS; i++) {
        const FblKernelBuffer *buffer = &k->build->buffers[i];
        k->counts[i] = 1;
        for (int32_t d = 0; d < buffer->rank; d++) {
            k->counts[i] *= (size_t)buffer->extents[d];
        }
        k->data[i] = malloc(k->counts[i] * 4 + 4);
        for (size_t e = 0; e < k->counts[i]; e++) {
            float real = random_real(&seed);
            if (fbl_dtype_is_half(types[i])) {
                ((uint16_t *)k->data[i])[e] = half_nearest(types[i], real);
            } else if (types[i] == FBL_F32) {
                ((float *)k->data[i])[e] = real;
            } else if (types[i] == FBL_I32) {
                ((int32_t *)k->data[i])[e] = (int32_t)(real * 1000);
            } else {
                ((uint8_t *)k->data[i])[e] = real > 0;
            }
        }
    }
}

static double half_at(const Case *k, int buffer, size_t at) {
    return half_value(types[buffer], ((const uint16_t *)k->data[buffer])[at]);
}

// As the kernel computes it: two roundings.
static float value_at(const Case *k, int64_t n, int64_t h, int64_t c) {
    size_t at = (size_t)((n * k->h + h) * k->c + c), z = (size_t)((n * k->h + h) * (k->c + k->shift) + c + k->shift);
    float x = (float)half_at(k, X, at), product = x * ((const float *)k->data[S])[c];
    return ((const uint8_t *)k->data[M])[at] ? product + (float)half_at(k, Z, z) : -x;
}

static int differs(const Case *k, const char *what, size_t at, double got, double want, double allowed) {
    if (fabs(got - want) <= allowed) {
        return 0;
    }
    fprintf(stderr, "%s: %s %zu is %.9g, not %.9g (allowed %.3g)\n", k->name, what, at, got, want, allowed);
    return 1;
}

// The results of item (n, c), or n alone: points are h, or h and c. Sums are rounded about once a step of a tree and a
// few times before: 1e-6 of the sum of sizes is 16 roundings.
static int check_item(const Case *k, int64_t n, int64_t c, double *out_mean) {
    size_t item = (size_t)(k->form == ITEMS ? n * k->c + c : n);
    int64_t first = k->form == ITEMS ? c : 0, last = k->form == ITEMS ? c + 1 : k->c, points = k->h * (last - first),
            place = 0;
    double sum = 0, size = 0, deviation = 0, most = -INFINITY, least = INFINITY;
    for (int64_t i = 0; i < points; i++) {
        double v = value_at(k, n, i / (last - first), first + i % (last - first));
        sum += v;
        size += fabs(v);
        place = v > most ? i : place;
        most = fmax(most, v);
        least = fmin(least, v);
    }
    *out_mean = sum / (double)points;
    for (int64_t i = 0; i < points; i++) {
        double d = value_at(k, n, i / (last - first), first + i % (last - first)) - *out_mean;
        deviation += d * d;
    }
    const float *const *reals = (const float *const *)(const void *)k->data;
    return differs(k, "sum", item, reals[SUM][item], sum, 1e-6 * size) +
           differs(k, "deviation", item, reals[DEVIATION][item], deviation, 4e-6 * (deviation + size)) +
           differs(k, "maximum", item, reals[MOST][item], most, 0) +
           differs(k, "minimum", item, reals[LEAST][item], least, 0) +
           differs(k, "place", item, ((const int32_t *)k->data[AT])[item], (double)place, 0);
}

static int check_case(Case *k, const char *source) {
    void *first[BUFFERS] = {0};
    int failed = 0;
    for (uint64_t order = 0; order < 3; order++) {
        for (int i = Y; i < BUFFERS; i++) {
            memset(k->data[i], 0xff, k->counts[i] * 4);
        }
        cuda_run_kernel(&run, &k->build->kernel, k->data, 1, 2, order);
        for (int i = Y; i < BUFFERS; i++) {
            size_t bytes = k->counts[i] * (size_t)fbl_dtype_bytes(types[i]);
            if (order > 0 && memcmp(first[i], k->data[i], bytes) != 0) {
                fprintf(stderr, "%s: another order of the threads gives another result: a race\n", k->name);
                failed++;
            }
            first[i] = realloc(first[i], bytes + 1);
            memcpy(first[i], k->data[i], bytes);
        }
    }
    for (int64_t i = 0; i < k->n * k->h * k->c && failed < 5; i++) {
        int64_t n = i / (k->h * k->c), h = i / k->c % k->h, c = i % k->c;
        size_t at = (size_t)i, z = (size_t)((n * k->h + h) * (k->c + k->shift) + c + k->shift);
        double want = value_at(k, n, h, c), mean = 0, allowed = 0;
        if (k->form != FLAT) { // each item where it begins; the others need its mean alone
            failed += (k->form == ITEMS ? h : h + c) == 0 ? check_item(k, n, c, &mean) : 0;
            mean = ((const float *)k->data[SUM])[k->form == ITEMS ? n * k->c + c : n] /
                   (double)(k->form == ITEMS ? k->h : k->h * k->c);
            want -= mean;
            allowed = 1e-6 * (fabs(want) + fabs(mean));
        }
        float real = ((const float *)k->data[F])[at];
        failed += differs(k, "f", at, real, want, allowed);
        failed += differs(k, "y", at, half_at(k, Y, at), half_value(types[Y], half_nearest(types[Y], real)), 0);
        failed += differs(k, "q", at, ((const int32_t *)k->data[Q])[at], ((const int32_t *)k->data[K])[at] + 1, 0);
        failed += differs(k, "o", at, ((const uint8_t *)k->data[O])[at], half_at(k, X, at) < half_at(k, Z, z), 0);
    }
    // How x and z are read: rows of z are aligned to eight elements only when their channels are a multiple of eight.
    bool eight = k->c % 8 == 0, four = k->c % 4 == 0;
    const char *x = eight ? "fbl_load8_bf16(b0" : four ? "fbl_load_bf16(b0" : "fbl_from_bf16(b0[";
    const char *z = eight && k->shift % 8 == 0   ? "fbl_load8_f16(b1"
                    : eight && k->shift % 4 == 0 ? "fbl_load44_f16(b1"
                    : four && k->shift % 4 == 0  ? "fbl_load_f16(b1"
                                                 : "fbl_from_f16(b1[";
    if (!strstr(source, x) || !strstr(source, z)) {
        fprintf(stderr, "%s: no %s or %s\n", k->name, x, z);
        failed++;
    }
    for (int i = Y; i < BUFFERS; i++) {
        free(first[i]);
    }
    return failed;
}

int main(void) {
    static const int extents[][4] = {
        // n h c shift
        {1, 1, 1, 0}, {3, 5, 8, 8},    {2, 49, 24, 4}, {2, 7, 16, 1},   {1, 3, 12, 4},    {3, 10, 7, 2},
        {2, 1, 8, 0}, {1, 300, 40, 4}, {40, 2, 4, 4},  {1, 2100, 8, 8}, {1, 33, 1000, 0}, {70, 9, 264, 0},
    };
    enum { SHAPES = sizeof extents / sizeof *extents };
    static Case cases[SHAPES * FORMS];
    int failed = 0;
    if (!cuda_run_possible()) {
        printf("skipped: no C++ compiler\n");
        return 77;
    }
    cuda_run_init(&run, &(FblCudaOptions){.arch = 80, .precision = FBL_CUDA_BF16});
    for (int i = 0; i < SHAPES * FORMS; i++) {
        const int *v = extents[i / FORMS];
        static const char *const names[] = {"pointwise", "along items", "along points"};
        cases[i] = (Case){
            .n = v[0], .h = v[1], .c = v[2], .shift = v[3], .form = i % FORMS, .build = calloc(1, sizeof(Build))};
        if (!cases[i].build) {
            return 1;
        }
        snprintf(cases[i].name, sizeof cases[i].name, "%s, %d x %d x %d and %d", names[i % FORMS], v[0], v[1], v[2],
                 v[3]);
        build_case(&cases[i]);
        fill_case(&cases[i]);
        cuda_run_add_kernel(&run, &cases[i].build->kernel);
    }
    cuda_run_build(&run);
    for (int i = 0; i < SHAPES * FORMS; i++) {
        failed += check_case(&cases[i], run.kernels[i].source.text);
    }
    printf("%d kernels\n", SHAPES * FORMS);
    for (int i = 0; i < SHAPES * FORMS; i++) {
        for (int b = 0; b < BUFFERS; b++) {
            free(cases[i].data[b]);
        }
        free(cases[i].build);
    }
    cuda_run_free(&run);
    return failed > 0;
}

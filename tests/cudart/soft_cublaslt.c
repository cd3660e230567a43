// cuBLASLt without NVIDIA: the entry points that runtime/cuda/cublaslt.c uses, in double on the CPU, on the streams of
// soft_driver.c (FBL_CUDA_DRIVER). Loaded by FBL_CUBLASLT.
// FBL_SOFT_LT is a list of comma-separated settings: algorithm=N, what the heuristic gives (an algorithm of an odd number sums from
// the front, of an even one from the back, in float, so that their bits differ); none, it gives none; refuse, no algorithm passes the
// check; wrong, a row of the result is 0.3 % off, less than halves of bf16 are apart; inplace, the heuristic gives an algorithm that adds in place; start, the library does not start;
// report=FILE, a line a product that is computed: algorithm, transposes, extents, and element types other than f32.
// Types are as the library's table has them for sums in f32: A and B of one type, f32, f16 or bf16; C and D of that type or f32; a bias of D's.
// Threads: one caller.
#include <stdio.h>

#include "runtime/cuda/cublaslt_api.h"
#include "tests/cudart/soft_library.h"

#define EXPORT __attribute__((visibility("default")))
enum { NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

typedef struct Layout {
    uint64_t rows, columns;
    int64_t ld, batch_offset;
    int32_t batch, type;
} Layout;

typedef struct Operation {
    int32_t transpose[2], epilogue, compute;
    const float *bias;
} Operation;

typedef struct Preference {
    uint64_t workspace;
    uint32_t schemes, alignment[4];
} Preference;

typedef struct Product {
    Operation operation;
    Layout a, b, c, d;
    const void *A, *B, *C;
    void *D;
    float alpha, beta;
    int algorithm;
} Product;

static const char *text_setting(const char *name) { return soft_listed("FBL_SOFT_LT", name); }

static SoftType type_of(int type) { return type == FBL_LT_R_16BF ? SOFT_BF16 : type == FBL_LT_R_16F ? SOFT_F16 : SOFT_F32; }
static double get(int type, const void *data, int64_t at) { return soft_get(type_of(type), data, at); }
static void put(int type, void *data, int64_t at, double value) { soft_put(type_of(type), data, at, value); }

static void run(void *argument) {
    const Product *x = argument;
    bool ta = x->operation.transpose[0], tb = x->operation.transpose[1], wrong = text_setting("wrong") != NULL;
    int64_t m = (int64_t)x->d.rows, n = (int64_t)x->d.columns, k = (int64_t)(ta ? x->a.rows : x->a.columns);
    for (int64_t z = 0; z < x->d.batch; z++) {
        int64_t a0 = z * x->a.batch_offset, b0 = z * x->b.batch_offset, c0 = z * x->c.batch_offset, d0 = z * x->d.batch_offset;
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                float single = 0;
                for (int64_t p = 0; p < k; p++) {
                    int64_t q = x->algorithm % 2 ? p : k - 1 - p;
                    double a = get(x->a.type, x->A, a0 + (ta ? q + i * x->a.ld : i + q * x->a.ld)), b = get(x->b.type, x->B, b0 + (tb ? j + q * x->b.ld : q + j * x->b.ld));
                    sum += a * b;
                    single += (float)a * (float)b;
                }
                double value = (x->algorithm > 2 ? sum : (double)single) * (double)x->alpha;
                value += x->beta != 0 ? (double)x->beta * get(x->c.type, x->C, c0 + i + j * x->c.ld) : 0;
                value += x->operation.epilogue == FBL_LT_EPILOGUE_BIAS ? (double)x->operation.bias[i] : 0;
                put(x->d.type, x->D, d0 + i + j * x->d.ld, wrong && i == m - 1 ? value * 1.003 : value);
            }
        }
    }
    const char *report = text_setting("report");
    FILE *out = report ? fopen(report, "a") : NULL;
    if (out) {
        const char *half = x->a.type == FBL_LT_R_16BF ? " of bf16" : x->a.type == FBL_LT_R_16F ? " of f16" : "";
        fprintf(out, "algorithm %d %s%s %lld x %lld x %lld batch %d beta %g%s%s%s\n", x->algorithm, ta ? "T" : "N", tb ? "T" : "N", (long long)m, (long long)n, (long long)k,
                x->d.batch, (double)x->beta, x->operation.epilogue == FBL_LT_EPILOGUE_BIAS ? " bias" : "", half, *half && x->d.type == FBL_LT_R_32F ? " to f32" : "");
        fclose(out);
    }
}

EXPORT int cublasLtCreate(void **handle);
EXPORT int cublasLtCreate(void **handle) {
    static int started;
    *handle = &started;
    return text_setting("start") ? NOT_INITIALIZED : FBL_LT_SUCCESS;
}
EXPORT int cublasLtDestroy(void *handle);
EXPORT int cublasLtDestroy(void *handle) { return handle ? FBL_LT_SUCCESS : INVALID_VALUE; }
EXPORT size_t cublasLtGetVersion(void);
EXPORT size_t cublasLtGetVersion(void) { return 130100; }
EXPORT int cublasLtMatmulDescCreate(void **operation, int compute, int scale);
EXPORT int cublasLtMatmulDescCreate(void **operation, int compute, int scale) {
    Operation *made = calloc(1, sizeof *made);
    made->compute = compute;
    *operation = made;
    return (compute == FBL_LT_COMPUTE_F32 || compute == FBL_LT_COMPUTE_TF32 || compute == FBL_LT_COMPUTE_BF16 || compute == FBL_LT_COMPUTE_F16) && scale == FBL_LT_R_32F
               ? FBL_LT_SUCCESS
               : INVALID_VALUE;
}
EXPORT int cublasLtMatmulDescDestroy(void *operation);
EXPORT int cublasLtMatmulDescDestroy(void *operation) {
    free(operation);
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatmulDescSetAttribute(Operation *operation, int attribute, const void *value, size_t size);
EXPORT int cublasLtMatmulDescSetAttribute(Operation *operation, int attribute, const void *value, size_t size) {
    void *to = attribute == FBL_LT_OPERATION_TRANSPOSE_A   ? (void *)&operation->transpose[0]
               : attribute == FBL_LT_OPERATION_TRANSPOSE_B ? (void *)&operation->transpose[1]
               : attribute == FBL_LT_OPERATION_EPILOGUE    ? (void *)&operation->epilogue
               : attribute == FBL_LT_OPERATION_BIAS        ? (void *)&operation->bias
                                                           : NULL;
    if (!to || size != (attribute == FBL_LT_OPERATION_BIAS ? 8 : 4)) {
        return INVALID_VALUE;
    }
    memcpy(to, value, size);
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld);
EXPORT int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    Layout *made = calloc(1, sizeof *made);
    *made = (Layout){.rows = rows, .columns = columns, .ld = ld, .batch = 1, .type = type};
    *layout = made;
    return (type == FBL_LT_R_32F || type == FBL_LT_R_16F || type == FBL_LT_R_16BF) && ld >= (int64_t)rows ? FBL_LT_SUCCESS : INVALID_VALUE;
}
EXPORT int cublasLtMatrixLayoutDestroy(void *layout);
EXPORT int cublasLtMatrixLayoutDestroy(void *layout) {
    free(layout);
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t size);
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t size) {
    if (attribute == FBL_LT_LAYOUT_BATCH_COUNT && size == 4) {
        memcpy(&layout->batch, value, size);
    } else if (attribute == FBL_LT_LAYOUT_BATCH_OFFSET && size == 8) {
        memcpy(&layout->batch_offset, value, size);
    } else {
        return INVALID_VALUE;
    }
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceCreate(void **preference);
EXPORT int cublasLtMatmulPreferenceCreate(void **preference) {
    *preference = calloc(1, sizeof(Preference));
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void *preference);
EXPORT int cublasLtMatmulPreferenceDestroy(void *preference) {
    free(preference);
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t size);
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t size) {
    void *to = attribute == FBL_LT_PREFER_WORKSPACE    ? (void *)&preference->workspace
               : attribute == FBL_LT_PREFER_REDUCTIONS ? (void *)&preference->schemes
               : attribute >= FBL_LT_PREFER_ALIGNMENT_A && attribute < FBL_LT_PREFER_ALIGNMENT_A + 4 ? (void *)&preference->alignment[attribute - FBL_LT_PREFER_ALIGNMENT_A] : NULL;
    if (!to || size != (attribute == FBL_LT_PREFER_WORKSPACE ? 8 : 4)) {
        return INVALID_VALUE;
    }
    memcpy(to, value, size);
    return FBL_LT_SUCCESS;
}

// Whether extents and types fit each other. Halves are multiplied as they are: only factors in f32 have a rounding to choose.
static bool fits(const Operation *o, const Layout *a, const Layout *b, const Layout *c, const Layout *d) {
    uint64_t m = o->transpose[0] ? a->columns : a->rows, k = o->transpose[0] ? a->rows : a->columns;
    uint64_t k2 = o->transpose[1] ? b->columns : b->rows, n = o->transpose[1] ? b->rows : b->columns;
    bool types = a->type == b->type && c->type == d->type && (d->type == a->type || d->type == FBL_LT_R_32F) && (a->type == FBL_LT_R_32F || o->compute == FBL_LT_COMPUTE_F32) &&
                 (o->epilogue == 0 || d->type == FBL_LT_R_32F);
    return types && k == k2 && d->rows == m && d->columns == n && c->rows == m && c->columns == n && a->batch == d->batch && b->batch == d->batch && c->batch == d->batch;
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *handle, Operation *o, Layout *a, Layout *b, Layout *c, Layout *d, Preference *preference, int most, FblLtHeuristic *results, int *count);
EXPORT int cublasLtMatmulAlgoGetHeuristic(void *handle, Operation *o, Layout *a, Layout *b, Layout *c, Layout *d, Preference *preference, int most, FblLtHeuristic *results, int *count) {
    const char *algorithm = text_setting("algorithm");
    if (!handle || most < 1 || !fits(o, a, b, c, d) || preference->schemes != FBL_LT_REDUCE_COMPUTE_TYPE || preference->workspace < 4096) {
        return INVALID_VALUE;
    }
    *count = text_setting("none") ? 0 : 1;
    results[0] = (FblLtHeuristic){.algorithm = {algorithm ? strtoull(algorithm, NULL, 10) : 3, text_setting("inplace") ? 1 : 0}, .workspace_bytes = 4096};
    return *count ? FBL_LT_SUCCESS : NOT_SUPPORTED;
}
EXPORT int cublasLtMatmulAlgoCheck(void *handle, Operation *o, Layout *a, Layout *b, Layout *c, Layout *d, const uint64_t *algorithm, FblLtHeuristic *result);
EXPORT int cublasLtMatmulAlgoCheck(void *handle, Operation *o, Layout *a, Layout *b, Layout *c, Layout *d, const uint64_t *algorithm, FblLtHeuristic *result) {
    *result = (FblLtHeuristic){.workspace_bytes = 4096};
    return handle && fits(o, a, b, c, d) && algorithm[0] > 0 && !text_setting("refuse") ? FBL_LT_SUCCESS : NOT_SUPPORTED;
}
EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const uint64_t *algorithm, int attribute, void *value, size_t size, size_t *written);
EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const uint64_t *algorithm, int attribute, void *value, size_t size, size_t *written) {
    uint32_t number = attribute == FBL_LT_CONFIG_ID ? (uint32_t)algorithm[0] : attribute == FBL_LT_CONFIG_REDUCTION ? (uint32_t)algorithm[1] : 1;
    *written = sizeof number;
    if (size != sizeof number) {
        return INVALID_VALUE;
    }
    memcpy(value, &number, size);
    return FBL_LT_SUCCESS;
}
EXPORT int cublasLtMatmul(void *handle, Operation *o, const float *alpha, const float *A, Layout *a, const float *B, Layout *b, const float *beta, const float *C, Layout *c, float *D, Layout *d,
                          const uint64_t *algorithm, void *workspace, size_t workspace_bytes, void *stream);
EXPORT int cublasLtMatmul(void *handle, Operation *o, const float *alpha, const float *A, Layout *a, const float *B, Layout *b, const float *beta, const float *C, Layout *c, float *D, Layout *d,
                          const uint64_t *algorithm, void *workspace, size_t workspace_bytes, void *stream) {
    if (!handle || !fits(o, a, b, c, d) || !workspace || workspace_bytes < 4096) {
        return INVALID_VALUE;
    }
    Product *x = malloc(sizeof *x); // lives as long as the process: a captured graph may run it again
    *x = (Product){*o, *a, *b, *c, *d, A, B, C, D, *alpha, *beta, (int)algorithm[0]};
    return soft_enqueue(stream, run, x, "cublaslt") ? FBL_LT_SUCCESS : NOT_INITIALIZED;
}

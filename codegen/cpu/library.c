#include "codegen/cpu/library.h"

#include <math.h>
#include <stdlib.h>

#include "base/beta.h"

static void cumsum(const FblKernel *kernel, const FblKernelArgs *args, int64_t begin, int64_t end) {
    int64_t n = kernel->ints[1], inner = kernel->ints[2];
    for (int64_t outer = begin; outer < end; outer++) {
        const float *x = (const float *)args->buffers[0] + outer * n * inner;
        float *y = (float *)args->buffers[1] + outer * n * inner;
        for (int64_t i = 0; i < inner; i++) {
            // The running sum is kept in double, so that its error does not grow with the position.
            double sum = 0;
            for (int64_t k = 0; k < n; k++) {
                sum += x[k * inner + i];
                y[k * inner + i] = (float)sum;
            }
        }
    }
}

// Whether x sorts before y: NaN after everything; `descending` reverses numbers only.
static bool before(double x, double y, bool descending) {
    if (isnan(x) || isnan(y)) {
        return !isnan(x) && isnan(y);
    }
    return descending ? x > y : x < y;
}

static double key_at(const FblKernel *kernel, const void *keys, int64_t at) {
    return kernel->buffers[0].dtype == FBL_F32 ? (double)((const float *)keys)[at] : (double)((const int32_t *)keys)[at];
}

// Stable merge sort of the positions order[0..n); `spare` is as long.
static void merge_sort(const FblKernel *kernel, const void *keys, int64_t base, int64_t inner, bool descending, int32_t *order,
                       int32_t *spare, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        order[k] = (int32_t)k;
    }
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t low = 0; low < n; low += 2 * run) {
            int64_t middle = low + run < n ? low + run : n, high = low + 2 * run < n ? low + 2 * run : n;
            int64_t i = low, j = middle;
            for (int64_t k = low; k < high; k++) {
                bool right = i >= middle || (j < high && before(key_at(kernel, keys, base + order[j] * inner),
                                                                key_at(kernel, keys, base + order[i] * inner), descending));
                spare[k] = right ? order[j++] : order[i++];
            }
        }
        int32_t *swap = order;
        order = spare;
        spare = swap;
        if (2 * run >= n) {
            break;
        }
    }
}

// The number of merge passes decides in which of the two arrays the result lies.
static int merge_passes(int64_t n) {
    int passes = 0;
    for (int64_t run = 1; run < n; run *= 2) {
        passes++;
    }
    return passes;
}

static void argsort(const FblKernel *kernel, const FblKernelArgs *args, int64_t begin, int64_t end) {
    int64_t n = kernel->ints[1], inner = kernel->ints[2];
    bool descending = kernel->ints[3] != 0;
    int32_t *arrays = malloc(2 * (size_t)n * sizeof *arrays);
    if (!arrays) {
        fbl_out_of_memory();
    }
    const int32_t *result = merge_passes(n) % 2 ? arrays + n : arrays;
    for (int64_t outer = begin; outer < end; outer++) {
        int32_t *y = (int32_t *)args->buffers[1] + outer * n * inner;
        for (int64_t i = 0; i < inner; i++) {
            merge_sort(kernel, args->buffers[0], outer * n * inner + i, inner, descending, arrays, arrays + n, n);
            for (int64_t k = 0; k < n; k++) {
                y[k * inner + i] = result[k];
            }
        }
    }
    free(arrays);
}

void fbl_cpu_library_run(const FblKernel *kernel, const FblKernelArgs *args, int64_t begin, int64_t end) {
    switch (kernel->library_op) {
    case FBL_OP_CUMSUM: cumsum(kernel, args, begin, end); break;
    case FBL_OP_ARGSORT: argsort(kernel, args, begin, end); break;
    case FBL_OP_BETA:
        if (begin == 0) {
            double a = *(const float *)args->buffers[0], b = *(const float *)args->buffers[1];
            *(float *)args->buffers[2] = (float)fbl_random_beta(args->seed, (uint32_t)kernel->ints[0], args->step, a, b);
        }
        break;
    default: break; // kernel verification admits no other op
    }
}

// Contractions of every kind against sums in double, in odd, unit and large shapes, plain and channel-blocked memory,
// with and without fused bodies; the same bits whatever the split of the work items.
#include "conv_case.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_convolutions(void **state) {
    (void)state;
    static const Case cases[] = {
        // n c h w o kh kw sh sw ph pw dh dw groups
        {0, 2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0},
        {0, 1, 5, 7, 13, 3, 5, 3, 1, 1, 2, 1, 1, 1, 1, 0, 0, 0},
        {0, 5, 16, 9, 9, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 2, 16, 8, 8, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1, 0, 0, 0},
        {0, 2, 8, 12, 10, 24, 3, 3, 1, 1, 2, 2, 2, 2, 1, 0, 0, 0},
        {0, 2, 7, 14, 11, 5, 3, 3, 3, 2, 3, 0, 1, 2, 1, 0, 0, 0},
        {0, 2, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0},
        {0, 2, 6, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3, 0, 0, 0},
        {0, 1, 16, 40, 40, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 2, 96, 5, 5, 72, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 2, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 1, 4, 5, 5, 4, 2, 2, 1, 1, 3, 3, 1, 1, 1, 0, 0, 0},
        {0, 1, 4, 9, 9, 4, 3, 2, 2, 2, 1, 1, 2, 2, 1, 0, 0, 0},
        {0, 17, 8, 4, 4, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0},
        {0, 2, 3, 64, 48, 64, 7, 7, 2, 2, 3, 3, 1, 1, 1, 0, 0, 0},
        {0, 1, 8, 3, 17, 8, 1, 9, 1, 4, 0, 4, 1, 1, 1, 0, 0, 0},
    };
    FblContext *ctx = fbl_context_create();
    int32_t limit = widest(ctx);
    for (int32_t bytes = 16; bytes <= limit; bytes *= 2) {
        FblCpuTarget *target = open_target(ctx, bytes);
        int lanes = bytes / 4;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            for (int kind = 0; kind < 3; kind++) {
                for (int fused = 0; fused < 2; fused++) {
                    for (int blocked = 0; blocked < 2; blocked++) {
                        Case k = cases[i];
                        k.kind = (FblContractionKind)kind;
                        k.fused = fused;
                        k.block = blocked ? lanes : 0;
                        if (blocked && (k.c % lanes != 0 || k.o % lanes != 0)) {
                            continue;
                        }
                        bool grouped = k.groups > 1 && ((k.c / k.groups) % lanes != 0 || (k.o / k.groups) % lanes != 0);
                        run_case(target, &k, grouped ? 0 : 2); // the generic form has one phase
                    }
                }
            }
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

// Matrices in the four orders of memory.
static void run_matmul(const FblCpuTarget *target, int64_t batch, int64_t m, int64_t n, int64_t k, int order, bool fused) {
    static Build b;
    build_init(&b, FBL_KERNEL_CONTRACTION, "matmul");
    uint64_t seed = (uint64_t)(m * 31 + n * 7 + k);
    int64_t a_rows = order & 1 ? k : m, a_cols = order & 1 ? m : k, b_rows = order & 2 ? n : k, b_cols = order & 2 ? k : n;
    Tensor x = tensor(0, 1, batch, a_rows, a_cols, &seed), y = tensor(0, 1, batch, b_rows, b_cols, &seed), z = tensor(0, 1, batch, m, n, &seed);
    Tensor bias = tensor(0, 1, 1, 1, n, &seed);
    int32_t x_at = build_buffer(&b, FBL_F32, false, 3, (int64_t[]){batch, a_rows, a_cols});
    int32_t y_at = build_buffer(&b, FBL_F32, false, 3, (int64_t[]){batch, b_rows, b_cols});
    int32_t z_at = build_buffer(&b, FBL_F32, true, 3, (int64_t[]){batch, m, n});
    int32_t bias_at = build_buffer(&b, FBL_F32, false, 1, &n);
    int64_t extents[3][3] = {{batch, m, k}, {batch, k, n}, {batch, m, n}};
    for (int i = 0; i < 3; i++) {
        FblKBody body = {.loop_count = 3, .first = b.kernel.instr_count, .value = -1};
        int32_t index[3];
        for (int d = 0; d < 3; d++) {
            body.loops[d] = build_loop(&b, extents[i][d]);
            index[d] = build_index(&b, body.loops[d]);
        }
        if (i < 2) {
            bool swap = order & (1 << i);
            int32_t at[3] = {index[0], index[swap ? 2 : 1], index[swap ? 1 : 2]};
            body.value = build_load(&b, i ? y_at : x_at, at);
        } else {
            int32_t value = b.kernel.instr_count++;
            b.instrs[value] = (FblKInstr){.kind = FBL_K_ACC, .dtype = FBL_F32, .guard = -1, .otherwise = -1};
            if (fused) {
                value = build_op(&b, FBL_OP_ADD, FBL_F32, value, build_load(&b, bias_at, &index[2]), -1);
            }
            body.stores = &b.stores[0];
            body.store_count = 1;
            build_store(&b, z_at, value, -1, index);
        }
        body.last = b.kernel.instr_count;
        *(i < 2 ? &b.kernel.operands[i] : &b.kernel.epilogue) = body;
    }
    b.kernel.contraction = (FblContraction){.kind = FBL_MATMUL, .n_batch = batch, .m = m, .n_ = n, .k = k};
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    assert_int_equal(loaded.code.phases, 2);
    size_t count = (size_t)(batch * m * n);
    float *first = malloc(count * sizeof *first);
    void *pointers[4] = {x.data, y.data, z.data, bias.data};
    loaded_run(&loaded, pointers, 1);
    memcpy(first, z.data, count * sizeof *first);
    loaded_run(&loaded, pointers, 3);
    assert_memory_equal(first, z.data, count * sizeof *first);
    for (int64_t g = 0; g < batch; g++) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = fused ? bias.data[j] : 0, size = 1;
                for (int64_t p = 0; p < k; p++) {
                    double v = order & 1 ? x.data[(g * k + p) * m + i] : x.data[(g * m + i) * k + p];
                    double w = order & 2 ? y.data[(g * n + j) * k + p] : y.data[(g * k + p) * n + j];
                    sum += v * w;
                    size += fabs(v * w);
                }
                assert_true(fabs(z.data[(g * m + i) * n + j] - sum) <= 2e-6 * size);
            }
        }
    }
    check_sentinel(&z);
    loaded_close(&loaded);
    free(first);
    free(x.data);
    free(y.data);
    free(z.data);
    free(bias.data);
}

static void test_matrices(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{1, 1, 1, 1}, {1, 64, 10, 64}, {2, 5, 7, 3}, {1, 97, 33, 100}, {3, 24, 16, 8}, {1, 300, 100, 1}, {1, 10, 64, 128}, {1, 1, 257, 1030}};
    FblContext *ctx = fbl_context_create();
    int32_t limit = widest(ctx);
    for (int32_t bytes = 16; bytes <= limit; bytes *= 2) {
        FblCpuTarget *target = open_target(ctx, bytes);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int order = 0; order < 4; order++) {
                run_matmul(target, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], order, order & 1);
            }
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_convolutions), cmocka_unit_test(test_matrices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
        {0, 2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0},
        {0, 1, 5, 7, 13, 3, 5, 3, 1, 1, 2, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 5, 16, 9, 9, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 16, 8, 8, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 8, 12, 10, 24, 3, 3, 1, 1, 2, 2, 2, 2, 1, 0, 0, 0, 0},
        {0, 2, 7, 14, 11, 5, 3, 3, 3, 2, 3, 0, 1, 2, 1, 0, 0, 0, 0},
        {0, 2, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0},
        {0, 2, 6, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3, 0, 0, 0, 0},
        {0, 1, 16, 40, 40, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 96, 5, 5, 72, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 1, 4, 5, 5, 4, 2, 2, 1, 1, 3, 3, 1, 1, 1, 0, 0, 0, 0},
        {0, 1, 4, 9, 9, 4, 3, 2, 2, 2, 1, 1, 2, 2, 1, 0, 0, 0, 0},
        {0, 17, 8, 4, 4, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 3, 64, 48, 64, 7, 7, 2, 2, 3, 3, 1, 1, 1, 0, 0, 0, 0},
        {0, 1, 8, 3, 17, 8, 1, 9, 1, 4, 0, 4, 1, 1, 1, 0, 0, 0, 0},
        // 1x1: blocks without a body are read where they lie
        {0, 2, 32, 7, 9, 48, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0},
        {0, 2, 64, 5, 3, 96, 1, 1, 1, 1, 0, 0, 1, 1, 2, 0, 0, 0, 0},
        {0, 1, 512, 5, 6, 320, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0},
        {0, 3, 16, 60, 48, 16, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0},
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

static void test_matrices(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{1, 1, 1, 1}, {1, 64, 10, 64}, {2, 5, 7, 3}, {1, 97, 33, 100}, {3, 24, 16, 8}, {1, 300, 100, 1}, {1, 10, 64, 128}, {1, 1, 257, 1030}};
    FblContext *ctx = fbl_context_create();
    int32_t limit = widest(ctx);
    for (int32_t bytes = 16; bytes <= limit; bytes *= 2) {
        FblCpuTarget *target = open_target(ctx, bytes);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int order = 0; order < 4; order++) {
                run_matmul(target, &(Matmul){shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], order, order & 1, false, false});
            }
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

static int64_t scratch_bytes(const FblCpuTarget *target, FblContractionKind kind, int block, bool fused, bool turned) {
    static Build b;
    FblContraction c = {.kind = kind, .n = 2, .c = 64, .h = 12, .w = 12, .o = 64, .oh = 12, .ow = 12, .kh = 1, .kw = 1,
                        .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .groups = 1};
    build_conv(&b, &c, block, fused);
    if (turned) { // the image lies on its side
        FblKInstr *load = &b.instrs[b.kernel.operands[0].value];
        int32_t row = load->index[2];
        load->index[2] = load->index[3];
        load->index[3] = row;
    }
    FblKernelCode code;
    char error[256];
    assert_int_equal(fbl_cpu_compile(target, &b.kernel, &code, error, sizeof error), FBL_OK);
    int64_t bytes = code.scratch_bytes;
    fbl_kernel_code_free(&code);
    return bytes;
}

// What needs no packing gets no memory for it; what only looks so does.
static void test_in_place(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *target = open_target(ctx, 0);
    int lanes = fbl_cpu_target_vector_bytes(target) / 4;
    for (int kind = 0; kind < 2; kind++) {
        int64_t packed = scratch_bytes(target, (FblContractionKind)kind, lanes, true, false);
        assert_true(scratch_bytes(target, (FblContractionKind)kind, lanes, false, false) < packed - 64 * 12 * 4);
        assert_true(scratch_bytes(target, (FblContractionKind)kind, lanes, false, true) == packed);
        assert_true(scratch_bytes(target, (FblContractionKind)kind, 0, false, false) == packed);
    }
    fbl_cpu_target_destroy(target);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_convolutions), cmocka_unit_test(test_matrices), cmocka_unit_test(test_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

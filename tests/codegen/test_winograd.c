// The Winograd forms of every direction against sums in double: odd and tiny extents, every padding, channel counts that no
// vector divides, plain and channel-blocked memory, with and without fused bodies; the same bits however items are split.
#include "conv_case.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

// n, c, h, w, o, pad_h, pad_w
static const int64_t SHAPES[][7] = {
    {2, 16, 8, 8, 16, 1, 1},   {1, 1, 1, 1, 1, 1, 1},     {1, 3, 3, 3, 5, 0, 0},      {3, 5, 7, 11, 3, 1, 1},    {5, 8, 4, 4, 24, 1, 1},
    {2, 33, 6, 5, 8, 2, 2},    {2, 24, 9, 13, 33, 0, 2},  {1, 16, 40, 36, 16, 1, 1},  {4, 64, 8, 8, 64, 1, 1},   {1, 8, 2, 17, 16, 1, 0},
    {3, 16, 5, 1, 8, 2, 1},    {2, 40, 10, 10, 72, 1, 1}, {1, 7, 66, 3, 9, 1, 1},     {2, 1, 12, 12, 1, 1, 1},   {17, 8, 3, 3, 8, 1, 1},
    {1, 96, 7, 7, 160, 1, 1},  {5, 32, 16, 16, 32, 1, 1}, {1, 8, 3, 230, 8, 1, 1},    {1, 8, 6, 6, 8, 5, 4},
};

static void run_width(int32_t bytes) {
    FblContext *ctx = fbl_context_create();
    if (bytes <= widest(ctx)) {
        FblCpuTarget *target = open_target(ctx, bytes);
        int lanes = bytes / 4;
        for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i += bytes == 16 ? 2 : 1) { // narrow vectors: every other shape
            for (int way = 0; way < 12; way++) {
                const int64_t *s = SHAPES[i];
                Case k = {.n = s[0], .c = s[1], .h = s[2], .w = s[3], .o = s[4], .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = s[5], .pw = s[6], .dh = 1, .dw = 1, .groups = 1};
                k.algorithm = way & 1 ? FBL_CONV_WINOGRAD2 : FBL_CONV_WINOGRAD4;
                k.fused = way & 2;
                k.kind = (FblContractionKind)(way / 4);
                k.block = ((int)i + way / 2 + way / 4) % 2 ? lanes : 0; // each with and without bodies, by turns
                k.block = k.c % lanes == 0 && k.o % lanes == 0 ? k.block : 0;
                run_case(target, &k, 2);
            }
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

static void test_narrow(void **state) {
    (void)state;
    run_width(16);
}

static void test_avx2(void **state) {
    (void)state;
    run_width(32);
}

static void test_avx512(void **state) {
    (void)state;
    run_width(64);
}

static FblContraction contraction(FblContractionKind kind, FblConvAlgorithm algorithm) {
    return (FblContraction){.kind = kind, .algorithm = algorithm, .n = 4, .c = 32, .h = 16, .w = 16, .o = 32, .oh = 16, .ow = 16, .kh = 3, .kw = 3,
                            .stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1, .dilation_h = 1, .dilation_w = 1, .groups = 1};
}

// 512-bit registers are used where the target has them, on machines without them too.
static void test_zmm(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblCpuOptions options = {.cpu = "skylake-avx512", .features = "+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx2,+fma", .opt_level = 2};
    FblCpuTarget *target = NULL;
    assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
    assert_int_equal(fbl_cpu_target_vector_bytes(target), 64);
    for (int kind = 0; kind < 3; kind++) {
        static Build b;
        FblContraction c = contraction((FblContractionKind)kind, FBL_CONV_WINOGRAD4);
        build_conv(&b, &c, 16, true);
        char *text = NULL, error[256];
        assert_int_equal(fbl_cpu_emit_text(target, &b.kernel, true, &text, error, sizeof error), FBL_OK);
        int multiplies = 0;
        for (const char *at = text; (at = strstr(at, "vfmadd")) != NULL; at++) {
            const char *end = strchr(at, '\n'), *zmm = strstr(at, "%zmm");
            multiplies += zmm && zmm < end;
        }
        assert_true(multiplies > 48); // a whole register tile
        free(text);
    }
    fbl_cpu_target_destroy(target);
    fbl_context_destroy(ctx);
}

static FblStatus read_kernel(FblContext *ctx, const char *text, FblKernel **out_kernel) {
    return fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", text, strlen(text)), out_kernel);
}

// The algorithm is part of a kernel's text and of its identity.
static void test_text(void **state) {
    (void)state;
    static Build b;
    FblContext *ctx = fbl_context_create();
    const char *before = "";
    for (int algorithm = 0; algorithm < 3; algorithm++) {
        FblContraction c = contraction(FBL_CONV_WEIGHT_GRAD, (FblConvAlgorithm)algorithm);
        build_conv(&b, &c, 8, true);
        const char *text = fbl_kernel_print(ctx, &b.kernel, true);
        FblKernel *kernel = NULL;
        assert_int_equal(read_kernel(ctx, text, &kernel), FBL_OK);
        assert_int_equal(kernel->contraction.algorithm, algorithm);
        assert_string_equal(text, fbl_kernel_print(ctx, kernel, true));
        const char *identity = fbl_kernel_print(ctx, &b.kernel, false);
        assert_string_not_equal(identity, before);
        before = identity;
    }
    char *broken = strdup(fbl_kernel_print(ctx, &b.kernel, true));
    FblKernel *kernel = NULL;
    strstr(broken, "winograd4")[8] = '3';
    assert_int_equal(read_kernel(ctx, broken, &kernel), FBL_USER);
    free(broken);
    fbl_context_destroy(ctx);
}

// What has no Winograd form is refused.
static void test_verify(void **state) {
    (void)state;
    static Build b;
    for (int wrong = 0; wrong < 6; wrong++) {
        FblContext *ctx = fbl_context_create();
        FblContraction c = contraction(FBL_CONV_FORWARD, FBL_CONV_WINOGRAD4);
        int64_t *fields[] = {NULL, &c.kh, &c.stride_h, &c.dilation_w, &c.groups};
        if (wrong > 0 && wrong < 5) {
            *fields[wrong] = 2;
        } else if (wrong == 5) {
            c.algorithm = (FblConvAlgorithm)3;
        }
        build_conv(&b, &c, 8, false);
        assert_int_equal(fbl_kernel_verify(ctx, &b.kernel), wrong ? FBL_INTERNAL : FBL_OK);
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_narrow), cmocka_unit_test(test_avx2), cmocka_unit_test(test_avx512), cmocka_unit_test(test_zmm),
                                       cmocka_unit_test(test_text), cmocka_unit_test(test_verify)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

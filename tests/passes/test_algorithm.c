// The choice of a convolution's algorithm: what `--conv` says, the cost model, and chunks that depend on shapes alone.
#include "passes/algorithm.h"

#include "tests/passes/support.h"

static FblContraction conv(FblContractionKind kind, int64_t n, int64_t c, int64_t h, int64_t o, int64_t k) {
    return (FblContraction){.kind = kind, .n = n, .c = c, .h = h, .w = h, .o = o, .oh = h, .ow = h, .kh = k, .kw = k, .stride_h = 1, .stride_w = 1,
                            .pad_h = k / 2, .pad_w = k / 2, .dilation_h = 1, .dilation_w = 1, .groups = 1};
}

static FblConvAlgorithm chosen(FblContraction c, const char *setting) {
    fbl_conv_choose(&c, setting, 8);
    return c.algorithm;
}

static void test_settings(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    static const char *const known[] = {NULL, "auto", "direct", "winograd2", "winograd4"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(fbl_conv_check_setting(ctx, known[i]), FBL_OK);
    }
    assert_int_equal(fbl_conv_check_setting(ctx, "winograd"), FBL_USER);
    assert_int_equal(fbl_conv_check_setting(ctx, ""), FBL_USER);
    for (int kind = 0; kind < 3; kind++) {
        FblContraction c = conv((FblContractionKind)kind, 64, 16, 32, 16, 3);
        assert_int_equal(chosen(c, "direct"), FBL_CONV_DIRECT);
        assert_int_equal(chosen(c, "winograd2"), FBL_CONV_WINOGRAD2);
        assert_int_equal(chosen(c, "winograd4"), FBL_CONV_WINOGRAD4);
    }
    fbl_context_destroy(ctx);
}

// Kernels that have no Winograd form stay direct whatever is asked for.
static void test_impossible(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        assert_int_equal(chosen(conv((FblContractionKind)kind, 64, 64, 8, 64, 1), "winograd4"), FBL_CONV_DIRECT);
        assert_int_equal(chosen(conv((FblContractionKind)kind, 64, 64, 8, 64, 5), "winograd2"), FBL_CONV_DIRECT);
        FblContraction c = conv((FblContractionKind)kind, 64, 64, 8, 64, 3);
        c.stride_w = 2;
        assert_int_equal(chosen(c, "winograd4"), FBL_CONV_DIRECT);
        c.stride_w = 1;
        c.groups = 2;
        assert_int_equal(chosen(c, NULL), FBL_CONV_DIRECT);
    }
    FblContraction matmul = {.kind = FBL_MATMUL, .n_batch = 1, .m = 64, .n_ = 64, .k = 64};
    assert_int_equal(chosen(matmul, "winograd4"), FBL_CONV_DIRECT);
}

static void test_automatic(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        FblContractionKind of = (FblContractionKind)kind;
        assert_int_equal(chosen(conv(of, 64, 32, 16, 32, 3), "auto"), FBL_CONV_WINOGRAD4);
        assert_int_equal(chosen(conv(of, 64, 64, 8, 64, 3), NULL), FBL_CONV_WINOGRAD4);
        assert_int_equal(chosen(conv(of, 64, 1, 32, 1, 3), NULL), FBL_CONV_DIRECT);  // nothing to multiply
        assert_int_equal(chosen(conv(of, 1, 512, 1, 512, 3), NULL), FBL_CONV_DIRECT); // weights for one pixel
        // Tiles of 2 do no work for pixels that do not exist where tiles of 4 would do mostly that.
        FblContraction small = conv(of, 64, 256, 2, 256, 3);
        assert_true(fbl_conv_cost(&small, FBL_CONV_WINOGRAD2, 8) < fbl_conv_cost(&small, FBL_CONV_WINOGRAD4, 8));
    }
}

static void test_chunks(void **state) {
    (void)state;
    static const int64_t cases[][3] = {{64, 32, 16}, {64, 8, 8}, {4, 8, 1}, {5, 32, 5}, {1, 32, 1}}; // n, h, chunks in tiles of 4
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContraction c = conv(FBL_CONV_WEIGHT_GRAD, cases[i][0], 16, cases[i][1], 16, 3);
        fbl_conv_choose(&c, "winograd4", 8);
        assert_int_equal(c.chunks, cases[i][2]);
        fbl_conv_choose(&c, "direct", 8);
        assert_int_equal(c.chunks, cases[i][0] < 16 ? cases[i][0] : 16);
    }
    FblContraction c = conv(FBL_CONV_FORWARD, 64, 16, 32, 16, 3);
    fbl_conv_choose(&c, "auto", 8);
    assert_int_equal(c.chunks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_settings), cmocka_unit_test(test_impossible), cmocka_unit_test(test_automatic), cmocka_unit_test(test_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

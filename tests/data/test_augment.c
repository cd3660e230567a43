#include "tests/data/support.h"

#include <math.h>

#include "runtime/data/augment.h"
#include "runtime/data/mixup.h"

enum { SIDE = 8, PLANE = SIDE * SIDE };

// One image whose pixels tell channel, row and column apart: 1 + c * 64 + y * 8 + x.
static void make_image(FblDataset *data, uint8_t *pixels) {
    static int32_t label[1];
    for (int i = 0; i < 3 * PLANE; i++) {
        pixels[i] = (uint8_t)(1 + i);
    }
    *data = (FblDataset){.count = 1, .height = SIDE, .width = SIDE, .pixels = pixels, .labels = label, .classes = 1};
}

static void apply(const FblTransform *t, const FblDataset *data, int64_t epoch, int64_t position, int32_t size,
                  float *out) {
    FblNormTable table;
    FblImageError error;
    fbl_norm_table_make(t, &table);
    assert_int_equal(fbl_transform_apply(t, &table, data, 0, 5, epoch, position, size, size, out, &error), FBL_OK);
}

static int level(float value) {
    return (int)lrintf(value * 255.0f);
}

static void normalisation_is_torchvisions(void **state) {
    (void)state;
    // torchvision.transforms.Normalize of ToTensor, in f32: ((v / 255) - mean) / std. Recorded with PyTorch.
    FblTransform t = {.mean = {0.4914f, 0.4822f, 0.4465f}, .std = {0.2023f, 0.1994f, 0.2010f}};
    FblNormTable table;
    fbl_norm_table_make(&t, &table);
    assert_true(fabsf(table.value[0][0] - -2.42906570f) < 1e-6f);
    assert_true(fabsf(table.value[1][255] - 2.59679031f) < 1e-6f);
    assert_true(fabsf(table.value[2][128] - 0.275924414f) < 1e-6f);
}

static void crops_are_windows_with_black_around(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblTransform t = {.ops = {{FBL_AUGMENT_RANDOM_CROP, SIDE, 2}, {.kind = FBL_AUGMENT_RANDOM_FLIP}}, .count = 2};
    int seen[5][5][2] = {{{0}}};
    float out[3 * PLANE];
    for (int64_t position = 0; position < 2000; position++) {
        apply(&t, &data, 1, position, SIDE, out);
        // Find the one shift and mirroring that explains the picture.
        int found = 0;
        for (int dy = -2; dy <= 2; dy++) {
            for (int dx = -2; dx <= 2; dx++) {
                for (int flip = 0; flip < 2; flip++) {
                    bool same = true;
                    for (int i = 0; i < 3 * PLANE && same; i++) {
                        int y = i / SIDE % SIDE + dy;
                        int x = (flip ? SIDE - 1 - i % SIDE : i % SIDE) + dx;
                        bool inside = y >= 0 && y < SIDE && x >= 0 && x < SIDE;
                        same = level(out[i]) == (inside ? pixels[i / PLANE * PLANE + y * SIDE + x] : 0);
                    }
                    found += same;
                    seen[dy + 2][dx + 2][flip] += same;
                }
            }
        }
        assert_int_equal(found, 1);
    }
    for (int i = 0; i < 50; i++) { // 40 expected of each of the 50; five deviations of the binomial are 31
        int n = (&seen[0][0][0])[i];
        assert_true(n > 9 && n < 71);
    }
}

static void choices_depend_on_epoch_and_position_only(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblTransform t = {.ops = {{FBL_AUGMENT_RANDOM_CROP, SIDE, 4}, {.kind = FBL_AUGMENT_RANDOM_FLIP}}, .count = 2};
    float a[3 * PLANE];
    float b[3 * PLANE];
    int different = 0;
    for (int64_t i = 0; i < 50; i++) {
        apply(&t, &data, 3, i, SIDE, a);
        apply(&t, &data, 3, i, SIDE, b);
        assert_memory_equal(a, b, sizeof a);
        apply(&t, &data, 4, i, SIDE, b);
        different += memcmp(a, b, sizeof a) != 0;
    }
    assert_true(different > 40); // equal by chance one time in 162
}

// The general path (several crops) agrees with the direct one where both can do the work.
static void both_paths_agree(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblTransform direct = {.ops = {{FBL_AUGMENT_CENTER_CROP, 5, 0}}, .count = 1};
    FblTransform general = {.ops = {{FBL_AUGMENT_CENTER_CROP, SIDE, 0}, {FBL_AUGMENT_CENTER_CROP, 5, 0}}, .count = 2};
    float a[75];
    float b[75];
    apply(&direct, &data, 0, 0, 5, a);
    apply(&general, &data, 0, 0, 5, b);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(level(a[0]), pixels[2 * SIDE + 2]); // Python's round(1.5) is 2
    FblTransform flipped = {.ops = {{.kind = FBL_AUGMENT_RANDOM_FLIP}, {FBL_AUGMENT_CENTER_CROP, 5, 0}}, .count = 2};
    FblTransform forced = {
        .ops = {{.kind = FBL_AUGMENT_RANDOM_FLIP}, {FBL_AUGMENT_CENTER_CROP, SIDE, 0}, {FBL_AUGMENT_CENTER_CROP, 5, 0}},
        .count = 3};
    int mirrored = 0;
    for (int64_t i = 0; i < 20; i++) {
        apply(&flipped, &data, 0, i, 5, a);
        apply(&forced, &data, 0, i, 5, b);
        assert_memory_equal(a, b, sizeof a);
        mirrored += a[0] > a[1];
    }
    assert_true(mirrored > 0 && mirrored < 20);
}

static void resized_crops_have_the_size_asked_for(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblTransform t = {.ops = {{FBL_AUGMENT_RANDOM_RESIZED_CROP, 5, 0}}, .count = 1};
    FblContext *ctx = fbl_context_create();
    int32_t height;
    int32_t width;
    assert_int_equal(fbl_transform_check(ctx, &t, &data, &height, &width), FBL_OK);
    assert_int_equal(height, 5);
    float out[75];
    for (int64_t i = 0; i < 200; i++) {
        apply(&t, &data, 0, i, 5, out);
        for (int k = 0; k < 75; k++) { // an average of the channel's pixels
            assert_in_range(level(out[k]), 1 + k / 25 * PLANE, PLANE + k / 25 * PLANE);
        }
    }
    // Large images of different sizes are decoded when needed.
    char *paths[2] = {"tests/data/images/rgb.jpg", "tests/data/sets/folder10/test/cat/0003.png"};
    int32_t labels[2] = {0, 0};
    FblDataset files = {.count = 2, .paths = paths, .labels = labels, .classes = 1};
    assert_int_equal(fbl_transform_check(ctx, &t, &files, &height, &width), FBL_OK);
    FblTransform test = fbl_transform_for_test(&t, &files);
    assert_int_equal(test.count, 2);
    assert_int_equal(test.ops[0].kind, FBL_AUGMENT_RESIZE);
    assert_int_equal(test.ops[1].size, 5);
    assert_int_equal(fbl_transform_check(ctx, &test, &files, &height, &width), FBL_OK);
    FblNormTable table;
    FblImageError error;
    fbl_norm_table_make(&test, &table);
    assert_int_equal(fbl_transform_apply(&test, &table, &files, 1, 0, 0, 1, 5, 5, out, &error), FBL_OK);
    paths[1] = "tests/data/images/none.jpg";
    assert_int_equal(fbl_transform_apply(&test, &table, &files, 1, 0, 0, 1, 5, 5, out, &error), FBL_IO);
    assert_string_equal(error.text, "No such file or directory");
    fbl_context_destroy(ctx);
}

// Cutout: one black square cut off at the edges, its middle anywhere. Jitter: brightness alone scales the levels; nothing asked
// for is nothing done.
static void erasing_and_jitter(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblTransform cutout = {.ops = {{.kind = FBL_AUGMENT_CUTOUT, .size = 4, .count = 1}}, .count = 1};
    float out[3 * PLANE];
    int middles[SIDE][SIDE] = {{0}};
    for (int64_t i = 0; i < 3200; i++) {
        apply(&cutout, &data, 0, i, SIDE, out);
        int top = SIDE, bottom = -1, left = SIDE, right = -1, black = 0;
        for (int k = 0; k < PLANE; k++) {
            if (level(out[k]) == 0) {
                top = k / SIDE < top ? k / SIDE : top;
                bottom = k / SIDE > bottom ? k / SIDE : bottom;
                left = k % SIDE < left ? k % SIDE : left;
                right = k % SIDE > right ? k % SIDE : right;
                black++;
            } else {
                assert_int_equal(level(out[k]), pixels[k]);
            }
        }
        assert_int_equal(black, (bottom - top + 1) * (right - left + 1));
        assert_true(bottom - top < 4 && right - left < 4 && black >= 4);
        // The square begins two before its middle; where that is cut off, its end tells.
        middles[top > 0 ? top + 2 : bottom - 1][left > 0 ? left + 2 : right - 1]++;
    }
    for (int k = 0; k < PLANE; k++) { // 50 expected of each; six deviations are 42
        assert_true((&middles[0][0])[k] > 8 && (&middles[0][0])[k] < 92);
    }
    FblTransform still = {.ops = {{.kind = FBL_AUGMENT_COLOR_JITTER}}, .count = 1};
    FblTransform bright = {.ops = {{.kind = FBL_AUGMENT_COLOR_JITTER, .amount = {0.5, 0, 0, 0}}}, .count = 1};
    double low = 2, high = 0;
    for (int64_t i = 0; i < 300; i++) {
        apply(&still, &data, 0, i, SIDE, out);
        assert_int_equal(level(out[77]), pixels[77]);
        apply(&bright, &data, 0, i, SIDE, out);
        double factor = level(out[100]) / (double)pixels[100];
        low = factor < low ? factor : low;
        high = factor > high ? factor : high;
        for (int k = 0; k < 3 * PLANE; k++) { // cut off and not rounded: within one level of the same factor, which is known to one
            int expected = (int)(factor * pixels[k]);
            assert_true(abs(level(out[k]) - (expected > 255 ? 255 : expected)) <= 3);
        }
    }
    assert_true(low > 0.48 && low < 0.55 && high > 1.45 && high < 1.52);
}

static void transforms_that_cannot_work(void **state) {
    (void)state;
    uint8_t pixels[3 * PLANE];
    FblDataset data;
    make_image(&data, pixels);
    FblDataset files = {.count = 1, .paths = (char *[1]){"x.jpg"}, .labels = (int32_t[1]){0}, .classes = 1};
    const struct {
        FblTransform t;
        const FblDataset *data;
        const char *expected;
    } cases[] = {
        {{.ops = {{FBL_AUGMENT_RANDOM_CROP, 9, 0}}, .count = 1}, &data, "random_crop of 9 pixels does not fit"},
        {{.ops = {{FBL_AUGMENT_CENTER_CROP, 9, 4}}, .count = 1}, &data, "center_crop of 9 pixels does not fit"},
        {{.ops = {{FBL_AUGMENT_CENTER_CROP, 0, 0}}, .count = 1}, &data, "needs a size"},
        {{.count = 0}, &files, "the images have different sizes"},
        {{.ops = {{FBL_AUGMENT_RESIZE, 9, 0}}, .count = 1}, &files, "the images have different sizes"},
        {{.ops = {{FBL_AUGMENT_CENTER_CROP, 9, 0}}, .count = 1}, &files, "their sizes differ: put"},
        {{.std = {1, 0, 1}}, &data, "must be positive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        int32_t height;
        int32_t width;
        assert_int_equal(fbl_transform_check(ctx, &cases[i].t, cases[i].data, &height, &width), FBL_USER);
        expect_diagnosed(ctx, cases[i].expected);
        fbl_context_destroy(ctx);
    }
}

static void mixup_weights_are_beta(void **state) {
    (void)state;
    // Mean 1/2 and variance 1 / (4 (2 alpha + 1)); over 20,000 draws the mean is within 0.012 (4 deviations at most).
    const double alphas[4] = {0.2, 1.0, 4.0, 1e-3};
    for (int k = 0; k < 4; k++) {
        double sum = 0;
        double squares = 0;
        FblRandom random = {.seed = 7, .stream = FBL_STREAM_MIXUP};
        for (int i = 0; i < 20000; i++) {
            double x = fbl_mixup_beta(&random, alphas[k]);
            assert_true(x >= 0 && x <= 1);
            sum += x;
            squares += (x - 0.5) * (x - 0.5);
        }
        assert_true(fabs(sum / 20000 - 0.5) < 0.015);
        double variance = 1 / (4 * (2 * alphas[k] + 1));
        assert_true(fabs(squares / 20000 - variance) < 0.03 * variance + 0.002);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisation_is_torchvisions),
        cmocka_unit_test(crops_are_windows_with_black_around),
        cmocka_unit_test(choices_depend_on_epoch_and_position_only),
        cmocka_unit_test(both_paths_agree),
        cmocka_unit_test(resized_crops_have_the_size_asked_for),
        cmocka_unit_test(erasing_and_jitter),
        cmocka_unit_test(transforms_that_cannot_work),
        cmocka_unit_test(mixup_weights_are_beta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

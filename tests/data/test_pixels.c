// Colour and geometry against what torchvision with Pillow makes of the same picture (scripts/make_pixel_cases.py): the same
// bytes. Policies by their properties.
#include "tests/data/support.h"

#include <math.h>

#include "runtime/data/pixels.h"
#include "runtime/data/policy.h"

#define HUE 100

static FblImage copy_of(const char *bytes, int32_t width, int32_t height) {
    size_t size = 3 * (size_t)width * (size_t)height;
    FblImage image = {.width = width, .height = height, .pixels = malloc(size)};
    memcpy(image.pixels, bytes, size);
    return image;
}

static void every_operation_is_torchvisions(void **state) {
    (void)state;
    size_t size;
    char *bytes = slurp("tests/data/pixels/cases.bin", &size);
    int32_t extent[2];
    memcpy(extent, bytes, 8);
    size_t picture = 3 * (size_t)extent[0] * (size_t)extent[1];
    int seen = 0;
    for (size_t at = 8 + picture; at < size; at += 12 + picture, seen++) {
        uint32_t op;
        double strength;
        memcpy(&op, bytes + at, 4);
        memcpy(&strength, bytes + at + 4, 8);
        FblImage image = copy_of(bytes + 8, extent[0], extent[1]);
        if (op == HUE) {
            fbl_pixels_hue(&image, strength);
        } else {
            assert_int_equal(fbl_policy_apply((FblPolicyOp)op, strength, &image), FBL_OK);
        }
        const uint8_t *expected = (const uint8_t *)bytes + at + 12;
        for (size_t i = 0; i < picture; i++) {
            if (image.pixels[i] != expected[i]) {
                fail_msg("operation %u at %g: byte %zu is %d, torchvision has %d", op, strength, i, image.pixels[i], expected[i]);
            }
        }
        fbl_image_deinit(&image);
    }
    assert_true(seen > 100);
    free(bytes);
}

static void strengths_are_torchvisions(void **state) {
    (void)state;
    size_t size, at = 0;
    char *bytes = slurp("tests/data/pixels/strengths.bin", &size);
    for (int k = 0; k < 2; k++) {
        int bins = k == 0 ? 10 : 31;
        for (int op = FBL_POLICY_SHEAR_X; op <= FBL_POLICY_SOLARIZE; op++) {
            for (int level = 0; level < bins; level++, at += 8) {
                double expected;
                bool has_sign;
                memcpy(&expected, bytes + at, 8);
                double strength = fbl_policy_strength((FblPolicyOp)op, level, bins, 29, 21, &has_sign);
                // PyTorch's vector code rounds twice where one product and one sum round: up to two units in the last
                // place of single precision. Whole pixels must not change by that.
                if (fabs(strength - expected) > 2.4e-7 * fabs(expected) || (int)strength != (int)expected) {
                    fail_msg("operation %d at level %d of %d is %.9g, torchvision has %.9g", op, level, bins, strength, expected);
                }
            }
        }
    }
    assert_int_equal(at, size);
    free(bytes);
}

// The same random numbers give the same picture; others give others; RandAugment of nothing is nothing.
static void policies_follow_the_random_numbers(void **state) {
    (void)state;
    size_t size;
    char *bytes = slurp("tests/data/pixels/cases.bin", &size);
    int32_t extent[2];
    memcpy(extent, bytes, 8);
    size_t picture = 3 * (size_t)extent[0] * (size_t)extent[1];
    int changed[2] = {0, 0};
    for (uint64_t i = 0; i < 200; i++) {
        for (int which = 0; which < 2; which++) {
            FblImage image[2];
            for (int k = 0; k < 2; k++) {
                FblRandom random = {.seed = 1, .next = 100 * i, .stream = FBL_STREAM_AUGMENT};
                image[k] = copy_of(bytes + 8, extent[0], extent[1]);
                assert_int_equal(which ? fbl_auto_augment(&image[k], &random) : fbl_rand_augment(&image[k], 2, 9, &random), FBL_OK);
            }
            assert_memory_equal(image[0].pixels, image[1].pixels, picture);
            changed[which] += memcmp(image[0].pixels, bytes + 8, picture) != 0;
            fbl_image_deinit(&image[0]);
            fbl_image_deinit(&image[1]);
        }
    }
    // RandAugment changes nothing when both draws are the identity (1 of 196). AutoAugment changes nothing with a
    // probability of about 0.2, the mean over its pairs of (1 - p)(1 - q).
    assert_true(changed[0] > 185);
    assert_true(changed[1] > 110 && changed[1] < 195);
    FblImage image = copy_of(bytes + 8, extent[0], extent[1]);
    FblRandom random = {.stream = FBL_STREAM_AUGMENT};
    assert_int_equal(fbl_rand_augment(&image, 0, 9, &random), FBL_OK);
    assert_memory_equal(image.pixels, bytes + 8, picture);
    fbl_image_deinit(&image);
    free(bytes);
}

static void erasing_stays_inside(void **state) {
    (void)state;
    uint8_t pixels[3 * 16];
    memset(pixels, 7, sizeof pixels);
    FblImage image = {4, 4, pixels};
    fbl_pixels_erase(&image, -1, 2, 3, 9);
    for (int i = 0; i < 16; i++) {
        bool black = i / 4 >= 2 && i % 4 < 2;
        assert_int_equal(pixels[3 * i], black ? 0 : 7);
    }
    fbl_pixels_erase(&image, 4, 0, 3, 4);
    fbl_pixels_erase(&image, -5, -5, 5, 5);
    assert_int_equal(pixels[3 * 3], 7);
    assert_int_equal(pixels[0], 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_torchvisions),
        cmocka_unit_test(strengths_are_torchvisions),
        cmocka_unit_test(policies_follow_the_random_numbers),
        cmocka_unit_test(erasing_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

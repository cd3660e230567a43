// Decoding and resizing against what Pillow makes of the same files (scripts/make_data_cases.py).
#include "tests/data/support.h"

#include "runtime/data/image.h"

#define IMAGES "tests/data/images/"

static int32_t word(const char *bytes, int i) {
    int32_t value;
    memcpy(&value, bytes + (ptrdiff_t)4 * i, sizeof value);
    return value;
}

static void decoded_as_pillow_does(void **state) {
    (void)state;
    static const char *const names[] = {"rgb.jpg",  "progressive.jpg", "grey.jpg", "cmyk.jpg",  "rgb.png",
                                        "grey.png", "palette.png",     "bits.png", "alpha.png", "deep.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        snprintf(path, sizeof path, IMAGES "%s", names[i]);
        FblImage image;
        FblImageError error;
        if (fbl_image_read(path, &image, &error) != FBL_OK) {
            fail_msg("%s: %s", path, error.text);
        }
        strcat(path, ".rgb");
        size_t size;
        char *expected = slurp(path, &size);
        assert_int_equal(image.width, word(expected, 0));
        assert_int_equal(image.height, word(expected, 1));
        assert_int_equal(size, 8 + 3 * image.width * image.height);
        for (size_t k = 0; k + 8 < size; k++) {
            if (image.pixels[k] != (uint8_t)expected[8 + k]) {
                fail_msg("%s: byte %zu is %d, Pillow has %d", names[i], k, image.pixels[k], (uint8_t)expected[8 + k]);
            }
        }
        free(expected);
        fbl_image_deinit(&image);
    }
}

static void resized_as_pillow_does(void **state) {
    (void)state;
    FblImage image;
    FblImageError error;
    assert_int_equal(fbl_image_read(IMAGES "rgb.png", &image, &error), FBL_OK);
    for (int i = 0; i < 5; i++) {
        char path[100];
        snprintf(path, sizeof path, IMAGES "resize%d.rgb", i);
        size_t size;
        char *expected = slurp(path, &size);
        int32_t left = word(expected, 0);
        int32_t top = word(expected, 1);
        FblImage out;
        assert_int_equal(fbl_image_resize(&image, left, top, word(expected, 2) - left, word(expected, 3) - top,
                                          word(expected, 4), word(expected, 5), &out),
                         FBL_OK);
        assert_int_equal(size, 24 + 3 * out.width * out.height);
        assert_memory_equal(out.pixels, expected + 24, size - 24);
        fbl_image_deinit(&out);
        free(expected);
    }
    FblImage out;
    assert_int_equal(fbl_image_resize_shorter(&image, 10, &out), FBL_OK); // 31 x 23
    assert_int_equal(out.height, 10);
    assert_int_equal(out.width, 13);
    fbl_image_deinit(&out);
    fbl_image_deinit(&image);
}

static void damage_is_reported(void **state) {
    (void)state;
    static const char *const names[] = {"rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "palette.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        snprintf(path, sizeof path, IMAGES "%s", names[i]);
        size_t size;
        char *bytes = slurp(path, &size);
        FblImage image;
        FblImageError error;
        for (size_t length = 0; length + 2 < size; length++) {
            uint8_t *part = malloc(length + 1);
            memcpy(part, bytes, length);
            assert_int_equal(fbl_image_decode(part, length, &image, &error), FBL_USER);
            assert_true(error.text[0] != 0);
            free(part);
        }
        for (size_t at = 0; at < size; at++) {
            bytes[at] ^= 0x55;
            FblStatus status = fbl_image_decode((uint8_t *)bytes, size, &image, &error);
            assert_true(status == FBL_OK || error.text[0] != 0);
            fbl_image_deinit(&image);
            bytes[at] ^= 0x55;
        }
        free(bytes);
    }
    FblImage image;
    FblImageError error;
    assert_int_equal(fbl_image_read(IMAGES "none.png", &image, &error), FBL_IO);
    assert_string_equal(error.text, "No such file or directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_as_pillow_does),
        cmocka_unit_test(resized_as_pillow_does),
        cmocka_unit_test(damage_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

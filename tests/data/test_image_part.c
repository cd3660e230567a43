// Decoding parts of pictures: the same bytes as of the whole; shrunk decoding within what is promised; cut-off files; bombs.
#include "tests/data/support.h"

#include "runtime/data/image.h"

#define PARTS "tests/data/parts/"

static const char *const names[] = {"444.jpg", "422.jpg", "420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "rgb.png", "turned.jpg"};
enum { NAMES = sizeof names / sizeof *names };

static uint8_t *load(const char *name, size_t *out_size) {
    char path[100];
    FblImageError error;
    uint8_t *bytes;
    snprintf(path, sizeof path, PARTS "%s", name);
    assert_int_equal(fbl_image_load(path, &bytes, out_size, &error), FBL_OK);
    return bytes;
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void expect_part(const char *name, const FblImage *whole, const uint8_t *bytes, size_t size, int32_t left, int32_t top, int32_t width, int32_t height) {
    FblImagePart part = {.left = left, .top = top, .width = width, .height = height, .shrink = 1};
    FblImageError error;
    if (fbl_image_decode_part(bytes, size, &part, &error) != FBL_OK) {
        fail_msg("%s: part %d,%d %dx%d: %s", name, left, top, width, height, error.text);
    }
    assert_true((int32_t)part.width == width && (int32_t)part.height == height);
    assert_true(part.left >= 0 && part.left + width <= part.image.width && part.top >= 0 && part.top + height <= part.image.height);
    for (int32_t y = 0; y < height; y++) {
        const uint8_t *a = part.image.pixels + 3 * (((size_t)part.top + (size_t)y) * (size_t)part.image.width + (size_t)part.left);
        const uint8_t *b = whole->pixels + 3 * ((size_t)(top + y) * (size_t)whole->width + (size_t)left);
        if (memcmp(a, b, 3 * (size_t)width) != 0) {
            fail_msg("%s: part %d,%d %dx%d differs in row %d", name, left, top, width, height, y);
        }
    }
    fbl_image_deinit(&part.image);
}

static void parts_are_the_same_bytes(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int n = 0; n < NAMES; n++) {
        size_t size;
        uint8_t *bytes = load(names[n], &size);
        FblImage whole;
        FblImageError error;
        assert_int_equal(fbl_image_decode(bytes, size, &whole, &error), FBL_OK);
        int32_t width, height;
        assert_int_equal(fbl_image_size(bytes, size, &width, &height, &error), FBL_OK);
        assert_true(width == whole.width && height == whole.height);
        for (int i = 0; i < 200; i++) {
            int32_t w = 1 + (int32_t)(next_random(&random) % (uint32_t)width), h = 1 + (int32_t)(next_random(&random) % (uint32_t)height);
            expect_part(names[n], &whole, bytes, size, (int32_t)(next_random(&random) % (uint32_t)(width - w + 1)),
                        (int32_t)(next_random(&random) % (uint32_t)(height - h + 1)), w, h);
        }
        fbl_image_deinit(&whole);
        free(bytes);
    }
}

// Turned.jpg differs from 420.jpg by its EXIF orientation alone, which torchvision's loader does not look at either.
static void orientation_is_ignored(void **state) {
    (void)state;
    size_t size[2];
    uint8_t *bytes[2] = {load("420.jpg", &size[0]), load("turned.jpg", &size[1])};
    FblImage image[2];
    FblImageError error;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fbl_image_decode(bytes[i], size[i], &image[i], &error), FBL_OK);
        free(bytes[i]);
    }
    assert_int_equal(image[0].width, image[1].width);
    assert_memory_equal(image[0].pixels, image[1].pixels, 3 * (size_t)image[0].width * (size_t)image[0].height);
    fbl_image_deinit(&image[0]);
    fbl_image_deinit(&image[1]);
}

// What fbl_image_shrink promises: mean difference below 1.5, largest below 40 (at the rims of discs of one colour), for every picture and many sizes.
static void shrunk_decoding_is_close(void **state) {
    (void)state;
    int shrunk = 0;
    for (int n = 0; n < NAMES; n++) {
        size_t size;
        uint8_t *bytes = load(names[n], &size);
        FblImage whole;
        FblImageError error;
        assert_int_equal(fbl_image_decode(bytes, size, &whole, &error), FBL_OK);
        for (int32_t side = 8; side < 110; side += 3) {
            int32_t w = whole.width - 4, h = whole.height - 9;
            int32_t shrink = fbl_image_shrink(w, h, side, side);
            FblImagePart part = {.left = 3, .top = 5, .width = w, .height = h, .shrink = shrink};
            if (fbl_image_decode_part(bytes, size, &part, &error) != FBL_OK) {
                fail_msg("%s at 1/%d: %s", names[n], shrink, error.text);
            }
            FblImage exact, close;
            assert_int_equal(fbl_image_resize(&whole, 3, 5, w, h, side, side, &exact), FBL_OK);
            assert_int_equal(fbl_image_resize_part(&part.image, part.left, part.top, part.width, part.height, side, side, &close), FBL_OK);
            double sum = 0;
            int most = 0;
            for (int32_t i = 0; i < 3 * side * side; i++) {
                int d = abs(exact.pixels[i] - close.pixels[i]);
                sum += d;
                most = d > most ? d : most;
            }
            sum /= 3 * side * side;
            if (getenv("FBL_SHOW")) {
                printf("%s %d shrink %d mean %.3f max %d\n", names[n], side, shrink, sum, most);
            }
            shrunk += shrink > 1 && part.image.width < whole.width;
            assert_true(sum < 1.5 && most < 40);
            fbl_image_deinit(&exact);
            fbl_image_deinit(&close);
            fbl_image_deinit(&part.image);
        }
        fbl_image_deinit(&whole);
        free(bytes);
    }
    assert_true(shrunk > 50);
    assert_int_equal(fbl_image_shrink(500, 375, 224, 224), 1);
}

// A file that ends too early is refused although the part that is asked for lies before its end.
static void cut_off_files_are_refused(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++) {
        size_t size;
        uint8_t *bytes = load(names[n], &size);
        FblImageError error;
        for (size_t length = size - 2; length > size / 2; length -= 97) {
            FblImagePart part = {.left = 10, .top = 3, .width = 50, .height = 40, .shrink = 1};
            assert_int_equal(fbl_image_decode_part(bytes, length, &part, &error), FBL_USER);
            // A progressive file may be cut inside of a header, which has a message of its own.
            assert_true(strcmp(error.text, "the picture is cut off") == 0 || (n == 3 && error.text[0] != 0));
            assert_null(part.image.pixels);
        }
        free(bytes);
    }
}

// Headers that promise 65,500 x 65,500 pixels: refused before anything is allocated for them.
static void bombs_are_refused(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = load("420.jpg", &size);
    uint8_t *frame = memmem(bytes, size, "\xFF\xC0", 2);
    assert_non_null(frame);
    memcpy(frame + 5, "\xFF\xDC\xFF\xDC", 4);
    FblImage image;
    FblImageError error;
    assert_int_equal(fbl_image_decode(bytes, size, &image, &error), FBL_USER);
    assert_string_equal(error.text, "the picture is empty or too large");
    FblImagePart part = {.width = 10, .height = 10, .shrink = 8};
    assert_int_equal(fbl_image_decode_part(bytes, size, &part, &error), FBL_USER);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_same_bytes), cmocka_unit_test(orientation_is_ignored), cmocka_unit_test(shrunk_decoding_is_close),
        cmocka_unit_test(cut_off_files_are_refused), cmocka_unit_test(bombs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

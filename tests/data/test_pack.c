// Packed pictures: the same batches as from the files where nothing is shrunk, what Pillow's resize gives where it is; made anew
// when the files change; damage is found.
#include "tests/data/support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/augment.h"
#include "runtime/data/pack.h"

#define PARTS "tests/data/parts/"

static char *const files[] = {PARTS "420.jpg", PARTS "rgb.png", PARTS "grey.jpg", PARTS "cmyk.jpg"};
enum { FILES = sizeof files / sizeof *files, SIDE = 110 };

static FblPackOptions options_for(FblContext *ctx, const char *folder, int32_t shorter) {
    return (FblPackOptions){.path = fbl_path_join(ctx, folder, "deep/train.fblpack"), .images = files, .count = FILES, .shorter = shorter};
}

static void the_same_pixels(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblPackOptions options = options_for(ctx, folder, 1000);
    FblPack pack;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_OK);
    FblTransform transforms[2] = {{.ops = {{FBL_AUGMENT_RANDOM_RESIZED_CROP, SIDE, 0}, {.kind = FBL_AUGMENT_RANDOM_FLIP}}, .count = 2},
                                  {.ops = {{FBL_AUGMENT_RANDOM_CROP, SIDE, 60}, {.kind = FBL_AUGMENT_AUTO_AUGMENT}}, .count = 2}};
    int32_t labels[FILES] = {0};
    FblDataset plain = {.count = FILES, .paths = (char **)files, .labels = labels, .classes = 1}, packed = plain;
    packed.pack = pack;
    static float a[3 * SIDE * SIDE], b[3 * SIDE * SIDE];
    FblNormTable table;
    FblImageError error;
    for (int t = 0; t < 2; t++) {
        fbl_norm_table_make(&transforms[t], &table);
        for (int64_t i = 0; i < 40; i++) {
            assert_int_equal(fbl_transform_apply(&transforms[t], &table, &plain, i % FILES, 3, 0, i, SIDE, SIDE, a, &error), FBL_OK);
            assert_int_equal(fbl_transform_apply(&transforms[t], &table, &packed, i % FILES, 3, 0, i, SIDE, SIDE, b, &error), FBL_OK);
            assert_memory_equal(a, b, sizeof a);
        }
    }
    fbl_pack_close(&pack);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void shrunk_as_resize_does(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblPackOptions options = options_for(ctx, folder, 64);
    FblPack pack;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_OK);
    for (int64_t i = 0; i < FILES; i++) {
        FblImage packed, whole, small;
        FblImageError error;
        assert_true(fbl_pack_picture(&pack, i, &packed));
        assert_int_equal(fbl_image_read(files[i], &whole, &error), FBL_OK);
        assert_int_equal(fbl_image_resize_shorter(&whole, 64, &small), FBL_OK);
        assert_true(packed.height == 64 && packed.width == small.width);
        assert_memory_equal(packed.pixels, small.pixels, 3 * (size_t)small.width * 64);
        fbl_image_deinit(&whole);
        fbl_image_deinit(&small);
    }
    fbl_pack_close(&pack);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static int64_t made_at(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (int64_t)info.st_ino;
}

// Kept while nothing changes; made anew for another size, other files, or when it is damaged.
static void made_anew_when_needed(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblPackOptions options = options_for(ctx, folder, 64);
    FblPack pack;
    int64_t before = 0;
    for (int round = 0; round < 5; round++) {
        options.shorter = round < 2 ? 64 : 70;
        options.count = round < 3 ? FILES : FILES - 1;
        if (round == 4) { // cut off
            assert_int_equal(truncate(options.path, 500), 0);
        }
        assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_OK);
        assert_int_equal(pack.count, options.count);
        assert_true((made_at(options.path) == before) == (round == 1));
        before = made_at(options.path);
        fbl_pack_close(&pack);
    }
    // Damaged pictures: an error with the name, or a picture that is not there.
    char *damaged[2] = {files[0], "tests/data/support.h"};
    options.images = damaged;
    options.count = 2;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_USER);
    expect_diagnosed(ctx, "E0805]: cannot use the image `tests/data/support.h`: it is neither a JPEG nor a PNG");
    options.skip_bad = true;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_OK);
    expect_diagnosed(ctx, "E0815]: left out the image `tests/data/support.h`");
    FblImage image;
    assert_true(fbl_pack_picture(&pack, 0, &image));
    assert_false(fbl_pack_picture(&pack, 1, &image));
    fbl_pack_close(&pack);
    options.path = "/dev/null/train.fblpack";
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_IO);
    expect_diagnosed(ctx, "/dev/null");
    options.shorter = 0;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_USER);
    expect_diagnosed(ctx, "E0823");
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

// Every byte of header and table changed: refused, or every picture still inside of the file.
static void damage_stays_inside(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblPackOptions options = options_for(ctx, folder, 8);
    FblPack pack;
    assert_int_equal(fbl_pack_open(ctx, &options, &pack), FBL_OK);
    FblHash key;
    memcpy(key.bytes, pack.bytes + 24, sizeof key.bytes);
    uint8_t *bytes = malloc(pack.size);
    memcpy(bytes, pack.bytes, pack.size);
    int refused = 0;
    for (size_t at = 0; at < 64 + 16 * FILES; at++) {
        bytes[at] ^= 0x81;
        FblPack parsed;
        bool ok = fbl_pack_parse(bytes, pack.size, FILES, 8, &key, &parsed);
        refused += !ok;
        for (int64_t i = 0; ok && i < FILES; i++) {
            FblImage image;
            if (fbl_pack_picture(&parsed, i, &image)) {
                size_t size = 3 * (size_t)image.width * (size_t)image.height, offset = (size_t)(image.pixels - bytes);
                assert_true(size > 0 && offset <= pack.size && size <= pack.size - offset);
            }
        }
        bytes[at] ^= 0x81;
    }
    assert_true(refused > 64);
    for (size_t size = 0; size < pack.size; size += 7) {
        FblPack parsed;
        assert_false(fbl_pack_parse(bytes, size, FILES, 8, &key, &parsed));
    }
    free(bytes);
    fbl_pack_close(&pack);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_pixels),
        cmocka_unit_test(shrunk_as_resize_does),
        cmocka_unit_test(made_anew_when_needed),
        cmocka_unit_test(damage_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

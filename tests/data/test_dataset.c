// Every layout of the same tiny set (scripts/make_data_cases.py) gives the same images.
#include "tests/data/support.h"

#include <sys/stat.h>

#include "runtime/data/dataset.h"

#define SETS "tests/data/sets/"

static const int32_t train_labels[8] = {3, 1, 4, 1, 5, 9, 2, 6};
static const int32_t test_labels[4] = {0, 7, 8, 3};

// The pattern of scripts/make_data_cases.py.
static uint8_t smooth(int seed, int c, int y, int x) {
    return (uint8_t)((seed * 37 + c * 50 + x * (2 + c) + y * (seed % 5) + (x / 8) * (y / 8) * 3) % 256);
}

static void check_image(const uint8_t *image, int seed) {
    for (int c = 0; c < 3; c++) {
        for (int y = 0; y < 32; y++) {
            for (int x = 0; x < 32; x++) {
                assert_int_equal(image[(c * 32 + y) * 32 + x], smooth(seed, c, y, x));
            }
        }
    }
}

static void check_set(FblContext *ctx, const FblDatasetSpec *spec, int32_t classes, bool named) {
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_int_equal(data.count, 8);
    assert_int_equal(data.classes, classes);
    assert_int_equal(data.class_counts[1], 2);
    assert_int_equal(data.class_counts[0], 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(data.labels[i], train_labels[i]);
        check_image(data.pixels + (ptrdiff_t)i * 3072, i);
    }
    if (named) {
        assert_string_equal(data.class_names[9], "truck");
    }
    fbl_dataset_deinit(&data);
    assert_int_equal(fbl_dataset_load(ctx, spec, FBL_SPLIT_TEST, &data), FBL_OK);
    assert_int_equal(data.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(data.labels[i], test_labels[i]);
        check_image(data.pixels + (ptrdiff_t)i * 3072, 100 + i);
    }
    fbl_dataset_deinit(&data);
}

static void every_layout_is_found(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    static const char *const ten[] = {
        "bin10", "bin10/cifar-10-batches-bin",   "py10",    "py10/cifar-10-batches-py",
        "tar10", "tar10/cifar-10-binary.tar.gz", "pytar10", "pytar10/cifar-10-python.tar.gz"};
    for (size_t i = 0; i < sizeof ten / sizeof *ten; i++) {
        FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR10, .directory = fbl_path_join(ctx, SETS, ten[i])};
        check_set(ctx, &spec, 10, true);
    }
    static const char *const hundred[] = {"bin100", "bin100/cifar-100-binary", "py100", "py100/cifar-100-python"};
    for (size_t i = 0; i < sizeof hundred / sizeof *hundred; i++) {
        FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR100, .directory = fbl_path_join(ctx, SETS, hundred[i])};
        check_set(ctx, &spec, 100, false);
    }
    assert_string_equal(diagnosed(ctx), "");
    fbl_context_destroy(ctx);
}

static void class_folders_hold_the_same_images(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    // In class order: which image of the set each one is.
    const int seeds[8] = {1, 3, 6, 0, 2, 4, 7, 5};
    const FblDatasetKind kinds[2] = {FBL_DATASET_CIFAR10, FBL_DATASET_FOLDER};
    for (int k = 0; k < 2; k++) {
        FblDatasetSpec spec = {.kind = kinds[k], .directory = SETS "folder10"};
        FblDataset data;
        assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
        assert_int_equal(data.count, 8);
        assert_int_equal(data.classes, 10);
        assert_string_equal(data.class_names[3], "cat");
        for (int i = 0; i < 8; i++) {
            assert_int_equal(data.labels[i], train_labels[seeds[i]]);
            check_image(data.pixels + (ptrdiff_t)i * 3072, seeds[i]);
        }
        fbl_dataset_deinit(&data);
    }
    fbl_context_destroy(ctx);
}

static void pickles_of_every_protocol(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    static const char *const names[] = {"protocol0", "protocol2", "protocol4"};
    for (int k = 0; k < 3; k++) {
        size_t size;
        char *bytes = slurp(fbl_path_join(ctx, SETS, names[k]), &size);
        FblDataset data;
        FblStatus status = fbl_cifar_parse_pickle(ctx, names[k], (uint8_t *)bytes, size, 10, &data);
        if (status != FBL_OK) {
            fail_msg("%s: %s", names[k], diagnosed(ctx));
        }
        for (int i = 0; i < 8; i++) {
            assert_int_equal(data.labels[i], train_labels[i]);
            check_image(data.pixels + (ptrdiff_t)i * 3072, i);
        }
        fbl_dataset_deinit(&data);
        free(bytes);
    }
    fbl_context_destroy(ctx);
}

static void the_bundled_sample(void **state) {
    (void)state;
    const int64_t expected[10] = {400, 239, 143, 86, 51, 30, 18, 11, 6, 4};
    FblContext *ctx = fbl_context_create();
    FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR10, .directory = "models/data/cifar10_lt_sample"};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_memory_equal(data.class_counts, expected, sizeof expected);
    assert_string_equal(data.description,
                        "CIFAR-10 in models/data/cifar10_lt_sample: 988 training images, 10 classes of "
                        "400 down to 4");
    fbl_dataset_deinit(&data);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TEST, &data), FBL_OK);
    assert_int_equal(data.count, 300);
    fbl_dataset_deinit(&data);
    spec.imbalance = (FblImbalance){FBL_IMBALANCE_EXPONENTIAL, 0.1, 0};
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_int_equal(data.class_counts[0], 98); // 988 / 10 images of the head class, cut to whole ones
    assert_int_equal(data.class_counts[9], 4);  // fewer than the 9 wanted are there
    fbl_dataset_deinit(&data);
    fbl_context_destroy(ctx);
}

static void lists(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *train = fbl_path_join(ctx, folder, "train.txt");
    const char *test = fbl_path_join(ctx, folder, "test.txt");
    const char *lines = "a/1.jpg 0\na/with space.jpg 2\r\n\na/3.jpg 2\na/4.jpg 1\na/5.jpg 2\na/6.jpg 1";
    write_file(train, lines, strlen(lines));
    write_file(test, "b/1.jpg 2\nb/2.jpg 0\n", 20);
    FblDatasetSpec spec = {.kind = FBL_DATASET_LIST, .train_list = train, .test_list = test, .root = "images"};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_int_equal(data.count, 6);
    assert_int_equal(data.classes, 3);
    assert_string_equal(data.paths[1], "images/a/with space.jpg");
    assert_int_equal(data.labels[1], 2);
    // Lines, for messages: an empty one lies between; a part of the set keeps its own.
    assert_string_equal(data.origin.list, train);
    assert_string_equal(fbl_image_origin(ctx, &data.origin, 2), fbl_arena_printf(fbl_context_arena(ctx), "line 4 of the list `%s`: ", train));
    assert_int_equal(fbl_dataset_subset(ctx, &data, (const int64_t[]){5, 2}, 2), FBL_OK);
    assert_int_equal(data.origin.lines[0], 7);
    assert_int_equal(data.origin.lines[1], 4);
    fbl_dataset_deinit(&data);
    spec.renumber = true; // counts 1, 2, 3 become classes 2, 1, 0
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    const int32_t renumbered[6] = {2, 0, 0, 1, 0, 1};
    assert_memory_equal(data.labels, renumbered, sizeof renumbered);
    assert_int_equal(data.class_counts[0], 3);
    fbl_dataset_deinit(&data);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TEST, &data), FBL_OK);
    assert_int_equal(data.labels[0], 0);
    assert_int_equal(data.labels[1], 2);
    assert_int_equal(data.classes, 3);
    fbl_dataset_deinit(&data);
    spec.classes = 2;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "has the label 2, but labels lie in 0..1");
    write_file(train, "a/1.jpg 0\nb/2.jpg\n", 18);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "line 2 of the list");
    write_file(train, "\n \n", 3);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "is empty");
    remove_folder(folder);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "does not exist");
    fbl_context_destroy(ctx);
}

static void mixed_sizes_need_a_resize(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *class_folder = fbl_path_join(ctx, folder, "train/x");
    assert_int_equal(fbl_make_dirs(ctx, class_folder), FBL_OK);
    size_t size;
    char *png = slurp("tests/data/images/rgb.png", &size);
    write_file(fbl_path_join(ctx, class_folder, "1.png"), png, size);
    free(png);
    png = slurp(SETS "folder10/test/cat/0003.png", &size);
    write_file(fbl_path_join(ctx, class_folder, "2.PNG"), png, size);
    free(png);
    FblDatasetSpec spec = {.kind = FBL_DATASET_FOLDER, .directory = folder};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    const char *text = diagnosed(ctx);
    assert_non_null(strstr(text, "is 31 x 23, but"));
    assert_non_null(strstr(text, "is 32 x 32"));
    assert_non_null(strstr(text, "resize=32"));
    spec.resize = 16;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_int_equal(data.count, 2);
    assert_int_equal(data.height, 16);
    assert_int_equal(data.width, 16);
    fbl_dataset_deinit(&data);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_is_found),
        cmocka_unit_test(class_folders_hold_the_same_images),
        cmocka_unit_test(pickles_of_every_protocol),
        cmocka_unit_test(the_bundled_sample),
        cmocka_unit_test(lists),
        cmocka_unit_test(mixed_sizes_need_a_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

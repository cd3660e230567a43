// Missing, cut off and damaged data files: a diagnostic each, never a crash.
#include "tests/data/support.h"

#include "runtime/data/dataset.h"

#define SETS "tests/data/sets/"

static void missing_places(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR10, .directory = "no/such/folder"};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    assert_string_equal(
        diagnosed(ctx),
        "error[E0801]: the data folder `no/such/folder` does not exist\n"
        "note: looked there for cifar-10-batches-bin/data_batch_1.bin, cifar-10-batches-py/data_batch_1 (or those "
        "files "
        "directly), cifar-10-binary.tar.gz, cifar-10-python.tar.gz, and class folders train/CLASS/*.png\n"
        "hint: give the folder of the data set with --data DIR; the archives come from "
        "https://www.cs.toronto.edu/~kriz/cifar.html\n");
    spec.directory = "tests/data/images";
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "error[E0801]: no CIFAR-10 data set was found in `tests/data/images`");
    spec.kind = FBL_DATASET_FOLDER;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "error[E0801]: the data folder `tests/data/images/train` does not exist");
    spec = (FblDatasetSpec){.kind = FBL_DATASET_CIFAR100, .directory = SETS "folder10"};
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "holds 10 class folders, but CIFAR-100 has 100 classes");
    spec = (FblDatasetSpec){.kind = FBL_DATASET_FOLDER, .directory = SETS "folder10", .classes = 7};
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "has 10 classes, but 7 were asked for");
    spec = (FblDatasetSpec){.kind = FBL_DATASET_CIFAR10, .directory = SETS "protocol2"};
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "E0807");
    fbl_context_destroy(ctx);
}

static void cut_off_batches(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    size_t size;
    uint8_t *bytes = (uint8_t *)slurp(SETS "bin10/cifar-10-batches-bin/data_batch_1.bin", &size);
    FblDataset data;
    assert_int_equal(fbl_cifar_parse_binary(ctx, "b", bytes, size - 1, 10, &data), FBL_USER);
    assert_string_equal(diagnosed(ctx),
                        "error[E0802]: `b` has 24583 bytes, which is no whole number of records of 3073 bytes\n"
                        "hint: the file is cut off, or not a binary batch of CIFAR-10\n");
    assert_int_equal(fbl_cifar_parse_binary(ctx, "b", bytes, 0, 10, &data), FBL_USER);
    expect_diagnosed(ctx, "E0802");
    bytes[3073] = 10;
    assert_int_equal(fbl_cifar_parse_binary(ctx, "b", bytes, size, 10, &data), FBL_USER);
    assert_string_equal(diagnosed(ctx), "error[E0804]: record 1 of `b` has the label 10, but labels lie in 0..9\n");
    free(bytes);
    fbl_context_destroy(ctx);
}

static void a_skipped_batch(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    size_t size;
    char *bytes = slurp(SETS "bin10/cifar-10-batches-bin/data_batch_1.bin", &size);
    write_file(fbl_path_join(ctx, folder, "data_batch_1.bin"), bytes, size);
    write_file(fbl_path_join(ctx, folder, "data_batch_3.bin"), bytes, size);
    FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR10, .directory = folder};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    expect_diagnosed(ctx, "holds `data_batch_3.bin` but not `data_batch_2.bin`");
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TEST, &data), FBL_USER);
    expect_diagnosed(ctx, "holds no `test_batch.bin`");
    write_file(fbl_path_join(ctx, folder, "data_batch_2.bin"), bytes, size);
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_OK);
    assert_int_equal(data.count, 24);
    assert_int_equal(data.class_counts[1], 6);
    assert_memory_equal(data.pixels, data.pixels + (ptrdiff_t)16 * 3072, 8 * 3072);
    fbl_dataset_deinit(&data);
    free(bytes);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

// Every byte of the frame of a pickle (not of the pixels) flipped, and every length cut: parsed or diagnosed.
static void damaged_pickles(void **state) {
    (void)state;
    static const char *const names[] = {SETS "py10/cifar-10-batches-py/test_batch", SETS "protocol0", SETS "protocol4"};
    for (int k = 0; k < 3; k++) {
        size_t size;
        uint8_t *bytes = (uint8_t *)slurp(names[k], &size);
        size_t frame = size < 1000 ? size : 500;
        for (size_t i = 0; i < 2 * frame; i++) {
            size_t at = i < frame ? i : size - 1 - (i - frame);
            for (int bit = 0; bit < 8; bit += 3) {
                FblContext *ctx = fbl_context_create();
                FblDataset data;
                bytes[at] ^= (uint8_t)(1 << bit);
                FblStatus status = fbl_cifar_parse_pickle(ctx, "p", bytes, size, 10, &data);
                bytes[at] ^= (uint8_t)(1 << bit);
                assert_true(status == FBL_OK || status == FBL_USER);
                assert_int_equal(fbl_diag_error_count(ctx), status != FBL_OK);
                fbl_dataset_deinit(&data);
                fbl_context_destroy(ctx);
            }
        }
        for (size_t length = 0; length < size; length += length < 600 || length > size - 200 ? 1 : 97) {
            FblContext *ctx = fbl_context_create();
            FblDataset data;
            uint8_t *part = malloc(length + 1); // its own block, so that reading past it is seen
            memcpy(part, bytes, length);
            assert_int_equal(fbl_cifar_parse_pickle(ctx, "p", part, length, 10, &data), FBL_USER);
            expect_diagnosed(ctx, "E0803");
            free(part);
            fbl_context_destroy(ctx);
        }
        free(bytes);
    }
}

static void pickles_that_call_functions(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        const char *expected;
    } cases[] = {
        {"cos\nsystem\n(S'echo hello'\ntR.", "it calls `os.system`, and only plain data and numpy arrays are read"},
        {"cbuiltins\neval\n(S'1'\ntR.", "it calls `builtins.eval`"},
        {"(lp0\nI1\na.", "it lacks the uint8 array"},
        {"\x80\x09N.", "protocol above 4"},
        {"g5\n.", "recalls a value that was not stored"},
        {"(.", "stack runs empty"},
        {"N", "cut off"},
        {"(I1\nd.", "a key without a value"},
        {"i", "objects other than plain data (opcode 0x69)"},
        {"Np99999999\n.", "under a bad number"},
        {"\x8a\x09"
         "aaaaaaaaa.",
         "a number in it is too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblDataset data;
        assert_int_equal(
            fbl_cifar_parse_pickle(ctx, "p", (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes), 10, &data),
            FBL_USER);
        expect_diagnosed(ctx, cases[i].expected);
        fbl_context_destroy(ctx);
    }
}

static void label_outside_the_classes(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    size_t size;
    uint8_t *bytes = (uint8_t *)slurp(SETS "py100/cifar-100-python/train", &size);
    uint8_t *labels = memmem(bytes, size, "](K\x03K\x01", 6);
    assert_non_null(labels);
    labels[5] = 100;
    FblDataset data;
    assert_int_equal(fbl_cifar_parse_pickle(ctx, "p", bytes, size, 100, &data), FBL_USER);
    assert_string_equal(diagnosed(ctx), "error[E0804]: image 1 of `p` has the label 100, but labels lie in 0..99\n");
    assert_int_equal(fbl_cifar_parse_pickle(ctx, "p", bytes, size, 10, &data), FBL_USER);
    expect_diagnosed(ctx, "it lacks the list `labels`");
    free(bytes);
    fbl_context_destroy(ctx);
}

static void damaged_archives(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *path = fbl_path_join(ctx, folder, "cifar-10-binary.tar.gz");
    size_t size;
    char *bytes = slurp(SETS "tar10/cifar-10-binary.tar.gz", &size);
    FblDatasetSpec spec = {.kind = FBL_DATASET_CIFAR10, .directory = folder};
    for (size_t length = 0; length < size; length += size / 23) {
        write_file(path, bytes, length);
        FblDataset data;
        FblStatus status = fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data);
        assert_true(status == FBL_USER || (status == FBL_OK && length > size / 2));
        assert_int_equal(strlen(diagnosed(ctx)) > 0, status != FBL_OK);
        fbl_dataset_deinit(&data);
    }
    free(bytes);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void damaged_images_are_named(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *class_folder = fbl_path_join(ctx, folder, "train/x");
    assert_int_equal(fbl_make_dirs(ctx, class_folder), FBL_OK);
    write_file(fbl_path_join(ctx, class_folder, "broken.jpg"), "not a picture", 13);
    FblDatasetSpec spec = {.kind = FBL_DATASET_FOLDER, .directory = folder};
    FblDataset data;
    assert_int_equal(fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data), FBL_USER);
    const char *text = diagnosed(ctx);
    assert_non_null(strstr(text, "error[E0805]: cannot use the image"));
    assert_non_null(strstr(text, "train/x/broken.jpg`: it is neither a JPEG nor a PNG"));
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_places),
        cmocka_unit_test(cut_off_batches),
        cmocka_unit_test(a_skipped_batch),
        cmocka_unit_test(damaged_pickles),
        cmocka_unit_test(pickles_that_call_functions),
        cmocka_unit_test(label_outside_the_classes),
        cmocka_unit_test(damaged_archives),
        cmocka_unit_test(damaged_images_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

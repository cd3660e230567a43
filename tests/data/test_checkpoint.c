#include "tests/data/support.h"

#include <math.h>

#include "runtime/checkpoint.h"

static const float weights[5] = {1, 2, 3, 4, -0.1f};

static void write_one(FblContext *ctx, const char *folder, const char *name, int64_t epoch) {
    FblFileTensor tensors[2];
    const int64_t five = 5;
    assert_true(fbl_file_tensor_init(&tensors[0], "conv1.weight", FBL_FILE_F32, 1, &five, weights));
    assert_true(fbl_file_tensor_init(&tensors[1], "opt.conv1.weight.momentum", FBL_FILE_F32, 1, &five, weights));
    FblCheckpointInfo info = {.epoch = epoch,
                              .epoch_step = 17,
                              .step = 123456789012,
                              .seed = UINT64_MAX,
                              .best_metric = 0.1 + 0.2,
                              .best_epoch = 3,
                              .recipe_hash = "00ff",
                              .version = "0.1.0"};
    assert_int_equal(fbl_checkpoint_write(ctx, folder, name, tensors, 2, &info), FBL_OK);
}

static void all_facts_come_back(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    assert_false(fbl_checkpoint_exists(ctx, folder));
    write_one(ctx, folder, FBL_CHECKPOINT_LAST, 7);
    assert_true(fbl_checkpoint_exists(ctx, folder));
    FblCheckpointInfo info;
    FblTensorFile file;
    const char *path;
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_LAST, &info, &file, &path), FBL_OK);
    assert_int_equal(info.epoch, 7);
    assert_int_equal(info.epoch_step, 17);
    assert_int_equal(info.step, 123456789012);
    assert_true(info.seed == UINT64_MAX);
    assert_true(info.best_metric == 0.1 + 0.2);
    assert_int_equal(info.best_epoch, 3);
    assert_string_equal(info.recipe_hash, "00ff");
    assert_string_equal(info.version, "0.1.0");
    const FblFileTensor *tensor = fbl_tensor_file_find(&file, "opt.conv1.weight.momentum");
    assert_memory_equal(tensor->data, weights, sizeof weights);
    fbl_tensor_file_deinit(&file);
    // Any other reader of the format can open it.
    assert_int_equal(fbl_tensor_file_read(ctx, path, &file), FBL_OK);
    assert_int_equal(file.count, 2);
    fbl_tensor_file_deinit(&file);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void a_missing_metric_stays_missing(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblCheckpointInfo info = {.best_metric = (double)NAN, .best_epoch = -1};
    assert_int_equal(fbl_checkpoint_write(ctx, folder, FBL_CHECKPOINT_LAST, NULL, 0, &info), FBL_OK);
    FblCheckpointInfo back;
    FblTensorFile file;
    assert_int_equal(fbl_checkpoint_read(ctx, fbl_path_join(ctx, folder, FBL_CHECKPOINT_LAST), &back, &file), FBL_OK);
    assert_true(isnan(back.best_metric));
    assert_int_equal(back.best_epoch, -1);
    fbl_tensor_file_deinit(&file);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void every_flipped_bit_is_found(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    write_one(ctx, folder, FBL_CHECKPOINT_LAST, 7);
    size_t size;
    char *bytes = slurp(fbl_path_join(ctx, folder, FBL_CHECKPOINT_LAST), &size);
    for (size_t at = 0; at < 8 * size + size; at++) { // all bits, then all lengths
        char *copy = malloc(size + 1);
        size_t length = at < 8 * size ? size : at - 8 * size;
        memcpy(copy, bytes, size);
        if (at < 8 * size) {
            copy[at / 8] ^= (char)(1 << at % 8);
        }
        FblContext *trial = fbl_context_create();
        FblCheckpointInfo info;
        FblTensorFile file;
        assert_int_equal(fbl_checkpoint_parse(trial, "c", copy, length, &info, &file), FBL_USER);
        expect_diagnosed(trial, "error[E0780]: the checkpoint `c` cannot be used: ");
        assert_null(file.bytes);
        fbl_context_destroy(trial);
    }
    free(bytes);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void the_other_one_serves(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *last = fbl_path_join(ctx, folder, FBL_CHECKPOINT_LAST);
    FblCheckpointInfo info;
    FblTensorFile file;
    const char *path;
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_LAST, &info, &file, &path), FBL_USER);
    expect_diagnosed(ctx, "holds no checkpoint");
    write_one(ctx, folder, FBL_CHECKPOINT_LAST, 9);
    write_one(ctx, folder, FBL_CHECKPOINT_BEST, 4);
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_BEST, &info, &file, &path), FBL_OK);
    assert_int_equal(info.epoch, 4);
    fbl_tensor_file_deinit(&file);
    write_file(last, "damaged", 7);
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_LAST, &info, &file, &path), FBL_OK);
    assert_int_equal(info.epoch, 4);
    assert_int_equal(fbl_diag_error_count(ctx), 1); // the one above: this is a warning
    const char *text = diagnosed(ctx);
    assert_non_null(strstr(text, "warning[E0782]"));
    assert_non_null(strstr(text, "is damaged; `"));
    assert_non_null(strstr(text, "of epoch 4 is used"));
    fbl_tensor_file_deinit(&file);
    remove(last);
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_LAST, &info, &file, &path), FBL_OK);
    expect_diagnosed(ctx, "is missing; `");
    fbl_tensor_file_deinit(&file);
    write_file(fbl_path_join(ctx, folder, FBL_CHECKPOINT_BEST), "damaged", 7);
    assert_int_equal(fbl_checkpoint_open(ctx, folder, FBL_CHECKPOINT_LAST, &info, &file, &path), FBL_USER);
    expect_diagnosed(ctx, "E0780");
    assert_null(file.bytes);
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_facts_come_back),
        cmocka_unit_test(a_missing_metric_stays_missing),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(the_other_one_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

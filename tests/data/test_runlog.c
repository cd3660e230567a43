#include "tests/data/support.h"

#include <math.h>

#include "runtime/runlog.h"

static FblEpochRow row_of(int64_t epoch) {
    return (FblEpochRow){
        .epoch = epoch,
        .train_loss = 2.5 - (double)epoch,
        .train_top1 = 0.25,
        .test = {.loss = 1.5, .top1 = 0.5, .top5 = 0.75, .many = 0.6, .medium = 0.5, .few = (double)NAN},
        .rate = 0.02,
        .seconds = 61};
}

static void run(FblContext *ctx, const char *folder, int64_t from, int64_t to, FILE *results, bool json) {
    FblRunLogOptions options = {
        .directory = folder, .resume_epoch = from, .epochs = 3, .results = results, .json = json, .log_steps = json};
    FblRunLog *log;
    assert_int_equal(fbl_runlog_open(ctx, &options, &log), FBL_OK);
    for (int64_t e = from; e < to; e++) {
        fbl_runlog_step(log, e, 0, 1, e, 2.25, 2.25, 0.5, 64);
        FblEpochRow row = row_of(e);
        assert_int_equal(fbl_runlog_epoch(ctx, log, &row), FBL_OK);
    }
    fbl_runlog_close(log);
}

static void expect_file(FblContext *ctx, const char *folder, const char *name, const char *expected) {
    size_t size;
    char *text = slurp(fbl_path_join(ctx, folder, name), &size);
    assert_string_equal(text, expected);
    free(text);
}

static void rows_and_resuming(void **state) {
    (void)state;
    const char *train = "epoch,loss,top1,rate,seconds\n0,2.5,0.25,0.02,61\n1,1.5,0.25,0.02,61\n2,0.5,0.25,0.02,61\n";
    const char *test = "epoch,loss,top1,top5,many,medium,few\n0,1.5,0.5,0.75,0.6,0.5,\n1,1.5,0.5,0.75,0.6,0.5,\n"
                       "2,1.5,0.5,0.75,0.6,0.5,\n";
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    run(ctx, folder, 0, 3, NULL, false);
    expect_file(ctx, folder, "log_train.csv", train);
    expect_file(ctx, folder, "log_test.csv", test);
    run(ctx, folder, 1, 3, NULL, false); // rows 1 and 2 are written anew
    expect_file(ctx, folder, "log_train.csv", train);
    // A row torn by the end of an earlier run, and one that never was written.
    write_file(fbl_path_join(ctx, folder, "log_train.csv"), train, 60);
    run(ctx, folder, 2, 3, NULL, false);
    expect_file(ctx, folder, "log_train.csv", "epoch,loss,top1,rate,seconds\n0,2.5,0.25,0.02,61\n2,0.5,0.25,0.02,61\n");
    run(ctx, folder, 0, 1, NULL, false);
    expect_file(ctx, folder, "log_train.csv", "epoch,loss,top1,rate,seconds\n0,2.5,0.25,0.02,61\n");
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

static void json_lines(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    run(ctx, NULL, 2, 3, stream, true);
    fclose(stream);
    assert_string_equal(text,
                        "{\"step\":2,\"loss\":2.25}\n"
                        "{\"epoch\":2,\"train_loss\":0.5,\"train_top1\":0.25,\"test_loss\":1.5,\"test_top1\":0.5,"
                        "\"test_top5\":0.75,\"many\":0.6,\"medium\":0.5,\"few\":null,\"rate\":0.02,\"seconds\":61}\n");
    free(text);
    fbl_context_destroy(ctx);
}

static void plain_lines(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    run(ctx, NULL, 0, 1, stream, false);
    fclose(stream);
    assert_string_equal(text,
                        "epoch   1/3  train loss 2.5000 top-1 25.00%  test loss 1.5000 top-1 50.00% top-5 75.00% many "
                        "60.00% medium 50.00%  rate 0.02  1:01\n");
    free(text);
    fbl_context_destroy(ctx);
}

static void durations(void **state) {
    (void)state;
    char text[32];
    fbl_format_duration(0, text);
    assert_string_equal(text, "0:00");
    fbl_format_duration(3599.4, text);
    assert_string_equal(text, "59:59");
    fbl_format_duration(3723, text);
    assert_string_equal(text, "1:02:03");
    fbl_format_duration((double)NAN, text);
    assert_string_equal(text, "-:--");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_and_resuming), cmocka_unit_test(json_lines),
                                       cmocka_unit_test(plain_lines), cmocka_unit_test(durations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

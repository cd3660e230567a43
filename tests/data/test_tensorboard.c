#include "tests/data/support.h"

#include <math.h>

#include "runtime/tensorboard.h"

static void crc_vectors(void **state) {
    (void)state;
    // RFC 3720, appendix B.4, and the usual check value.
    uint8_t bytes[32] = {0};
    assert_int_equal(fbl_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(fbl_crc32c(bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(fbl_crc32c(bytes, 32), 0x62A8AB43);
}

static uint32_t masked(const void *data, size_t size) {
    uint32_t crc = fbl_crc32c(data, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// The next record; checks both checksums. Returns its message without the wall time, which must come first.
static const char *next_record(const char **at, const char *end, size_t *out_size) {
    uint64_t length;
    uint32_t check;
    assert_true(end - *at >= 16);
    memcpy(&length, *at, 8);
    memcpy(&check, *at + 8, 4);
    assert_int_equal(check, masked(*at, 8));
    const char *message = *at + 12;
    assert_true((uint64_t)(end - message) >= length + 4);
    memcpy(&check, message + length, 4);
    assert_int_equal(check, masked(message, length));
    *at = message + length + 4;
    assert_int_equal(message[0], 0x09);
    *out_size = (size_t)length - 9;
    return message + 9;
}

static void expect_record(const char **at, const char *end, const char *expected, size_t size) {
    size_t got;
    const char *message = next_record(at, end, &got);
    assert_int_equal(got, size);
    assert_memory_equal(message, expected, size);
}

static void events_are_the_documented_messages(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    FblTensorboard *board;
    assert_int_equal(fbl_tensorboard_open(ctx, folder, 0, &board), FBL_OK);
    fbl_tensorboard_scalar(board, "train/loss", 300, 1.5);
    fbl_tensorboard_scalar(board, "train/loss", 301, (double)NAN);
    assert_int_equal(fbl_tensorboard_flush(ctx, board), FBL_OK);
    fbl_tensorboard_close(board);
    assert_int_equal(fbl_tensorboard_open(ctx, folder, 7, &board), FBL_OK); // beside the first
    fbl_tensorboard_close(board);
    size_t size;
    char *bytes = slurp(fbl_path_join(ctx, folder, "events.out.tfevents.0000000000.fblc"), &size);
    const char *at = bytes;
    expect_record(&at, bytes + size,
                  "\x1a\x0d"
                  "brain.Event:2",
                  15); // the step is 0 and so left out
    // step 300; summary of 19 bytes; value of 17 bytes; tag; 1.5 as float
    expect_record(&at, bytes + size, "\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\xc0\x3f", 24);
    assert_ptr_equal(at, bytes + size);
    free(bytes);
    bytes = slurp(fbl_path_join(ctx, folder, "events.out.tfevents.0000000001.fblc"), &size);
    at = bytes;
    expect_record(&at, bytes + size,
                  "\x1a\x0d"
                  "brain.Event:2",
                  15); // the step is 0 and so left out
    expect_record(&at, bytes + size, "\x10\x07\x3a\x02\x08\x01", 6);
    free(bytes);
    remove_folder(folder);
    assert_int_equal(fbl_tensorboard_open(ctx, folder, 0, &board), FBL_IO);
    expect_diagnosed(ctx, "E0790");
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(crc_vectors),
                                       cmocka_unit_test(events_are_the_documented_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

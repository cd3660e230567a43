// Compiled files: what is written comes back; any changed bit and any truncation is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/fblx.h"

static const FblxEntry entries[] = {
    {FBLX_SOURCE, 0, "a.fbl\0text", 10}, {FBLX_META, 0, "{}", 2}, {FBLX_CODE, 7, "\1\2\3\0\5", 5}, {FBLX_CODE, 2, "", 0}};

static char *written(FblContext *ctx, size_t *out_size) {
    char path[] = "fblx_test_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(fblx_write(ctx, path, entries, 4), FBL_OK);
    assert_true(fblx_is(path));
    char *bytes;
    assert_int_equal(fbl_read_file(ctx, path, 1 << 20, &bytes, out_size), FBL_OK);
    unlink(path);
    return bytes;
}

static void round_trip(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    size_t size;
    FblxFile file;
    char *bytes = written(ctx, &size);
    assert_int_equal(fblx_parse(ctx, "file", bytes, size, &file), FBL_OK);
    assert_int_equal(file.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const FblxEntry *entry = fblx_find(&file, entries[i].kind, entries[i].index);
        assert_non_null(entry);
        assert_int_equal(entry->size, entries[i].size);
        assert_memory_equal(entry->data, entries[i].data, entries[i].size);
        assert_int_equal(((const char *)entry->data)[entry->size], 0);
    }
    assert_null(fblx_find(&file, FBLX_CODE, 3));
    assert_null(fblx_find(&file, FBLX_PLAN, 0));
    fblx_deinit(&file);
    fbl_context_destroy(ctx);
}

static void every_flipped_bit_is_found(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    size_t size;
    char *bytes = written(ctx, &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        char *copy = calloc(size + 1, 1);
        memcpy(copy, bytes, size);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        FblxFile file;
        assert_int_equal(fblx_parse(ctx, "file", copy, size, &file), FBL_USER);
        assert_int_equal(file.count, 0);
        fbl_diag_clear(ctx);
    }
    free(bytes);
    fbl_context_destroy(ctx);
}

static void every_truncation_is_found(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    size_t size;
    char *bytes = written(ctx, &size);
    for (size_t length = 0; length < size; length++) {
        char *copy = calloc(length + 1, 1);
        memcpy(copy, bytes, length);
        FblxFile file;
        assert_int_equal(fblx_parse(ctx, "file", copy, length, &file), FBL_USER);
        fbl_diag_clear(ctx);
    }
    free(bytes);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(every_flipped_bit_is_found), cmocka_unit_test(every_truncation_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

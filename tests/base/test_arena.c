#include "base/arena.h"
#include "base/status.h"

#include <string.h>

#include "tests/base/unit.h"

static void blocks_are_zeroed_aligned_and_disjoint(void **state) {
    (void)state;
    FblArena arena;
    fbl_arena_init(&arena);
    unsigned char *pieces[600];
    size_t sizes[600];
    for (size_t i = 0; i < 600; i++) {
        // Mixed sizes, among them empty ones and ones larger than a block.
        sizes[i] = i % 97 == 0 ? 0 : i % 101 == 0 ? 3000000 : (i * 37) % 2000;
        pieces[i] = fbl_arena_alloc(&arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(pieces[i][j], 0);
        }
        memset(pieces[i], (int)(i % 255) + 1, sizes[i]);
        assert_true(i == 0 || pieces[i] != pieces[i - 1]);
    }
    for (size_t i = 0; i < 600; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(pieces[i][j], i % 255 + 1);
        }
    }
    fbl_arena_deinit(&arena);
    assert_null(arena.head);
}

static void strings(void **state) {
    (void)state;
    FblArena arena;
    fbl_arena_init(&arena);
    assert_string_equal(fbl_arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(fbl_arena_strndup(&arena, NULL, 0), "");
    assert_string_equal(fbl_arena_printf(&arena, "%s-%d", "x", 42), "x-42");
    char *padded = fbl_arena_printf(&arena, "%100000d", 7);
    assert_int_equal(strlen(padded), 100000);
    assert_int_equal(padded[99999], '7');
    fbl_arena_deinit(&arena);
}

static void push_keeps_elements(void **state) {
    (void)state;
    FblArena arena;
    fbl_arena_init(&arena);
    int *items = NULL;
    size_t count = 0;
    size_t capacity = 0;
    for (int i = 0; i < 10000; i++) {
        FBL_PUSH(&arena, items, count, capacity, i * 3);
    }
    assert_int_equal(count, 10000);
    assert_true(capacity >= count);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(items[i], i * 3);
    }
    fbl_arena_deinit(&arena);
}

static void checked_sizes(void **state) {
    (void)state;
    int64_t out = -5;
    assert_true(fbl_mul_i64(3037000499, 3037000499, &out));
    assert_true(out == INT64_C(9223372030926249001));
    assert_false(fbl_mul_i64(3037000500, 3037000500, &out));
    assert_false(fbl_mul_i64(-1, 2, &out));
    assert_false(fbl_mul_i64(2, -1, &out));
    assert_false(fbl_mul_i64(INT64_MIN, -1, &out));
    assert_true(out == INT64_C(9223372030926249001));
    assert_true(fbl_mul_i64(0, INT64_MAX, &out));
    assert_true(out == 0);
    assert_true(fbl_add_i64(INT64_MAX - 1, 1, &out));
    assert_true(out == INT64_MAX);
    assert_false(fbl_add_i64(INT64_MAX, 1, &out));
    assert_false(fbl_add_i64(-1, 1, &out));
    assert_true(out == INT64_MAX);
}

static void status_codes(void **state) {
    (void)state;
    assert_int_equal(fbl_status_exit_code(FBL_OK), 0);
    assert_int_equal(fbl_status_exit_code(FBL_USER), 1);
    assert_int_equal(fbl_status_exit_code(FBL_UNSUPPORTED), 3);
    assert_int_equal(fbl_status_exit_code(FBL_IO), 3);
    assert_int_equal(fbl_status_exit_code(FBL_NOMEM), 3);
    assert_int_equal(fbl_status_exit_code(FBL_DEVICE), 3);
    assert_int_equal(fbl_status_exit_code(FBL_INTERNAL), 70);
    assert_string_equal(fbl_status_name(FBL_NOMEM), "nomem");
    assert_string_equal(fbl_status_name((FblStatus)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_disjoint),
        cmocka_unit_test(strings),
        cmocka_unit_test(push_keeps_elements),
        cmocka_unit_test(checked_sizes),
        cmocka_unit_test(status_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/context.h"

#include <stdio.h>
#include <string.h>

#include "tests/base/unit.h"

static void equal_names_are_the_same_pointer(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    enum { COUNT = 20000 };
    static FblName names[COUNT];
    char text[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "name%d", i);
        names[i] = fbl_intern(ctx, text);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "name%d", i);
        assert_string_equal(names[i], text);
        assert_ptr_equal(fbl_intern(ctx, text), names[i]);
        assert_ptr_equal(fbl_intern_n(ctx, strcat(text, "tail"), strlen(names[i])), names[i]);
    }
    assert_ptr_not_equal(names[0], names[1]);
    assert_string_equal(fbl_intern(ctx, ""), "");
    assert_ptr_equal(fbl_intern_n(ctx, NULL, 0), fbl_intern(ctx, ""));
    // A zero byte is a byte like any other.
    assert_ptr_not_equal(fbl_intern_n(ctx, "a\0b", 3), fbl_intern_n(ctx, "a\0c", 3));
    assert_ptr_not_equal(fbl_intern_n(ctx, "a\0b", 3), fbl_intern(ctx, "a"));
    fbl_context_destroy(ctx);
}

static void expect_place(const FblContext *ctx, uint32_t file, uint32_t offset, uint32_t line, uint32_t column) {
    uint32_t got_line;
    uint32_t got_column;
    fbl_source_line_column(ctx, file, offset, &got_line, &got_column);
    assert_int_equal(got_line, line);
    assert_int_equal(got_column, column);
}

static void lines_and_columns(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    // Bytes: a b \n (0-2), two-byte character and x \r \n (3-7), \n (8), broken byte and y (9-10).
    const char text[] = "ab\n\xC3\xA4x\r\n\n\xFFy";
    char buffer[sizeof text];
    memcpy(buffer, text, sizeof text);
    uint32_t file = fbl_source_add(ctx, "folder/m.fbl", buffer, sizeof text - 1);
    memset(buffer, 'z', sizeof buffer); // the context has its own copy
    assert_int_equal(file, 1);
    assert_int_equal(fbl_source_count(ctx), 1);
    expect_place(ctx, file, 0, 1, 1);
    expect_place(ctx, file, 2, 1, 3);
    expect_place(ctx, file, 3, 2, 1);
    expect_place(ctx, file, 4, 2, 1); // inside the character
    expect_place(ctx, file, 5, 2, 2);
    expect_place(ctx, file, 8, 3, 1);
    expect_place(ctx, file, 10, 4, 2);
    expect_place(ctx, file, 11, 4, 3);
    expect_place(ctx, file, 4000000000u, 4, 3); // clamped
    expect_place(ctx, 0, 3, 0, 0);
    expect_place(ctx, 2, 3, 0, 0);
    assert_null(fbl_source_get(ctx, 0));
    assert_null(fbl_source_get(ctx, 2));
    assert_int_equal(fbl_source_get(ctx, 1)->text[sizeof text - 1], 0);
    assert_string_equal(fbl_loc_string(ctx, (FblLoc){1, 8, 9}, false), "folder/m.fbl:3");
    assert_string_equal(fbl_loc_string(ctx, (FblLoc){1, 8, 9}, true), "m.fbl:3");
    assert_string_equal(fbl_loc_string(ctx, FBL_NO_LOC, true), "-");
    uint32_t empty = fbl_source_add(ctx, "empty", "", 0);
    assert_int_equal(empty, 2);
    expect_place(ctx, empty, 0, 1, 1);
    fbl_context_destroy(ctx);
    fbl_context_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_names_are_the_same_pointer),
        cmocka_unit_test(lines_and_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/base/unit.h"

static void expect_flush(FblContext *ctx, bool json, const char *expected) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fbl_diag_flush(ctx, out, json);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static uint32_t add_source(FblContext *ctx, const char *path, const char *text) {
    return fbl_source_add(ctx, path, text, strlen(text));
}

static FblLoc find(FblContext *ctx, uint32_t file, const char *needle) {
    const char *text = fbl_source_get(ctx, file)->text;
    const char *at = strstr(text, needle);
    assert_non_null(at);
    return (FblLoc){file, (uint32_t)(at - text), (uint32_t)(at - text + (ptrdiff_t)strlen(needle))};
}

static void text_with_notes_and_hint(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    uint32_t file = add_source(ctx, "m.fbl", "axis class = 10\n\nloss l = clas + 1\n");
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0102", find(ctx, file, "clas + 1"), "unknown name `%s`", "clas");
    fbl_diag_note(ctx, diag, find(ctx, file, "class"), "a near name is %s here", "declared");
    fbl_diag_note(ctx, diag, FBL_NO_LOC, "names are case-sensitive");
    fbl_diag_hint(ctx, diag, "did you mean `%s`?", "class");
    expect_flush(ctx, false,
                 "m.fbl:3:10: error[E0102]: unknown name `clas`\n"
                 "    3 | loss l = clas + 1\n"
                 "      |          ^~~~~~~~\n"
                 "m.fbl:1:6: note: a near name is declared here\n"
                 "    1 | axis class = 10\n"
                 "      |      ^~~~~\n"
                 "note: names are case-sensitive\n"
                 "hint: did you mean `class`?\n");
    expect_flush(ctx, false, "");
    assert_int_equal(fbl_diag_error_count(ctx), 1);
    fbl_context_destroy(ctx);
}

static void tabs_wide_and_broken_characters(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    uint32_t file = add_source(ctx, "m.fbl", "\tx\ty \xC3\xA4 \xE4\xB8\xAD \xFF z\x1B[2J\r\nnext");
    fbl_error(ctx, "E0001", find(ctx, file, "\xE4\xB8\xAD"), "wide");
    fbl_error(ctx, "E0001", find(ctx, file, "z"), "bad \x1B byte \xFF");
    // Columns: tab to 4, x at 4, tab to 8, y at 8, a-umlaut at 10, the wide one at 12-13, the broken byte at 15, z at 17.
    expect_flush(ctx, false,
                 "m.fbl:1:8: error[E0001]: wide\n"
                 "    1 |     x   y \xC3\xA4 \xE4\xB8\xAD \xEF\xBF\xBD z\xEF\xBF\xBD[2J\n"
                 "      |             ^~\n"
                 "m.fbl:1:12: error[E0001]: bad \xEF\xBF\xBD byte \xEF\xBF\xBD\n"
                 "    1 |     x   y \xC3\xA4 \xE4\xB8\xAD \xEF\xBF\xBD z\xEF\xBF\xBD[2J\n"
                 "      |                  ^\n");
    fbl_context_destroy(ctx);
}

static void odd_places(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    uint32_t file = add_source(ctx, "m.fbl", "one\ntwo\n");
    fbl_error(ctx, "E0002", (FblLoc){file, 2, 6}, "over two lines");
    fbl_error(ctx, "E0003", (FblLoc){file, 3, 4}, "at the line end");
    fbl_error(ctx, "E0004", (FblLoc){file, 8, 8}, "at the end of the file");
    fbl_error(ctx, "E0005", (FblLoc){file, 4000000000u, 4000000001u}, "beyond it");
    fbl_error(ctx, "E0006", (FblLoc){file, 5, 1}, "end before begin");
    fbl_error(ctx, "E0007", (FblLoc){99, 5, 6}, "no such file");
    expect_flush(ctx, false,
                 "m.fbl:1:3: error[E0002]: over two lines\n"
                 "    1 | one\n"
                 "      |   ^\n"
                 "m.fbl:1:4: error[E0003]: at the line end\n"
                 "    1 | one\n"
                 "      |    ^\n"
                 "m.fbl:2:2: error[E0006]: end before begin\n"
                 "    2 | two\n"
                 "      |  ^\n"
                 "m.fbl:3:1: error[E0004]: at the end of the file\n"
                 "    3 | \n"
                 "      | ^\n"
                 "m.fbl:3:1: error[E0005]: beyond it\n"
                 "    3 | \n"
                 "      | ^\n"
                 "error[E0007]: no such file\n");
    fbl_context_destroy(ctx);
}

static void long_lines_are_clipped(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char text[1001];
    for (int i = 0; i < 1000; i++) {
        text[i] = (char)('0' + i % 10);
    }
    text[1000] = 0;
    uint32_t file = add_source(ctx, "m.fbl", text);
    char window[111];
    char tildes[80];
    char expected[1000];
    fbl_error(ctx, "E0001", (FblLoc){file, 500, 900}, "middle");
    fbl_error(ctx, "E0001", (FblLoc){file, 998, 1000}, "end");
    fbl_error(ctx, "E0001", (FblLoc){file, 3, 5}, "start");
    // 30 columns before the place, 110 in all: the underline's 80 columns are a caret and 79 tildes.
    memcpy(window, text, 110); // any window that starts at a multiple of ten
    window[110] = 0;
    memset(tildes, '~', 79);
    tildes[79] = 0;
    snprintf(expected, sizeof expected,
             "m.fbl:1:4: error[E0001]: start\n    1 | %s...\n      |    ^~\n"
             "m.fbl:1:501: error[E0001]: middle\n    1 | ...%s...\n      | %33s^%s\n"
             "m.fbl:1:999: error[E0001]: end\n    1 | ...%s\n      | %111s^~\n",
             window, window, "", tildes, window, "");
    expect_flush(ctx, false, expected);
    fbl_context_destroy(ctx);
}

static void sorted_without_duplicates(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    uint32_t first = add_source(ctx, "a.fbl", "abc");
    uint32_t second = add_source(ctx, "b.fbl", "abc");
    fbl_diag(ctx, FBL_ERROR, "E0901", FBL_NO_LOC, "no place");
    fbl_diag(ctx, FBL_WARNING, "E0103", (FblLoc){second, 0, 1}, "in b");
    fbl_diag(ctx, FBL_ERROR, "E0103", (FblLoc){first, 2, 3}, "late in a");
    fbl_diag(ctx, FBL_ERROR, "E0105", (FblLoc){first, 1, 2}, "two");
    fbl_diag(ctx, FBL_ERROR, "E0104", (FblLoc){first, 1, 2}, "one");
    FblDiag *again = fbl_diag(ctx, FBL_ERROR, "E0105", (FblLoc){first, 1, 2}, "two");
    fbl_diag_note(ctx, again, FBL_NO_LOC, "not to be seen");
    fbl_diag_hint(ctx, again, "nor this");
    assert_int_equal(fbl_diag_error_count(ctx), 5);
    expect_flush(ctx, false,
                 "a.fbl:1:2: error[E0105]: two\n    1 | abc\n      |  ^\n"
                 "a.fbl:1:2: error[E0104]: one\n    1 | abc\n      |  ^\n"
                 "a.fbl:1:3: error[E0103]: late in a\n    1 | abc\n      |   ^\n"
                 "b.fbl:1:1: warning[E0103]: in b\n    1 | abc\n      | ^\n"
                 "error[E0901]: no place\n");
    fbl_context_destroy(ctx);
}

static void errors_over_the_limit_are_counted(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    for (int i = 0; i < FBL_DIAG_MAX_ERRORS + 3; i++) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0101", FBL_NO_LOC, "number %d", i);
        fbl_diag_hint(ctx, diag, "h");
    }
    assert_int_equal(fbl_diag_error_count(ctx), FBL_DIAG_MAX_ERRORS + 3);
    char expected[2000] = "";
    for (int i = 0; i < FBL_DIAG_MAX_ERRORS; i++) {
        size_t at = strlen(expected);
        snprintf(expected + at, sizeof expected - at, "error[E0101]: number %d\nhint: h\n", i);
    }
    strcat(expected, "note: 3 more errors not shown\n");
    expect_flush(ctx, false, expected);
    // The limit is one of each flush.
    assert_int_equal(fbl_error(ctx, "E0101", FBL_NO_LOC, "again"), FBL_USER);
    expect_flush(ctx, false, "error[E0101]: again\n");
    assert_int_equal(fbl_diag_error_count(ctx), FBL_DIAG_MAX_ERRORS + 4);
    fbl_context_destroy(ctx);
}

static void clear_forgets_the_unprinted(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    fbl_error(ctx, "E0101", FBL_NO_LOC, "printed");
    expect_flush(ctx, false, "error[E0101]: printed\n");
    fbl_error(ctx, "E0101", FBL_NO_LOC, "forgotten");
    assert_int_equal(fbl_diag_error_count(ctx), 2);
    fbl_diag_clear(ctx);
    assert_int_equal(fbl_diag_error_count(ctx), 1);
    expect_flush(ctx, false, "");
    fbl_context_destroy(ctx);
}

static void notes_go_to_the_latest(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    fbl_diag_note(ctx, fbl_diag_latest(ctx), FBL_NO_LOC, "of nothing");
    fbl_error(ctx, "E0101", FBL_NO_LOC, "first");
    fbl_error(ctx, "E0101", FBL_NO_LOC, "second");
    fbl_diag_note(ctx, fbl_diag_latest(ctx), FBL_NO_LOC, "of the second");
    expect_flush(ctx, false, "error[E0101]: first\nerror[E0101]: second\nnote: of the second\n");
    fbl_diag_note(ctx, fbl_diag_latest(ctx), FBL_NO_LOC, "too late");
    expect_flush(ctx, false, "");
    fbl_context_destroy(ctx);
}

static void json_lines(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    uint32_t file = add_source(ctx, "a\"b.fbl", "\xC3\xA4x\nyy");
    FblDiag *diag = fbl_diag(ctx, FBL_WARNING, "E0110", (FblLoc){file, 2, 5}, "tab\t quote\" slash\\ %s", "\xC3\xA4");
    fbl_diag_note(ctx, diag, (FblLoc){file, 0, 2}, "first\nsecond");
    fbl_diag_note(ctx, diag, FBL_NO_LOC, "broken \xC3 and \x01");
    fbl_diag_hint(ctx, diag, "none");
    fbl_error(ctx, "E0901", FBL_NO_LOC, "plain");
    expect_flush(ctx, true,
                 "{\"severity\":\"warning\",\"id\":\"E0110\",\"file\":\"a\\\"b.fbl\",\"line\":1,\"column\":2,"
                 "\"end_line\":2,\"end_column\":2,\"message\":\"tab\\t quote\\\" slash\\\\ \xC3\xA4\",\"notes\":["
                 "{\"file\":\"a\\\"b.fbl\",\"line\":1,\"column\":1,\"end_line\":1,\"end_column\":2,"
                 "\"message\":\"first\\nsecond\"},"
                 "{\"file\":null,\"line\":0,\"column\":0,\"end_line\":0,\"end_column\":0,"
                 "\"message\":\"broken \xEF\xBF\xBD and \\u0001\"}],\"hint\":\"none\"}\n"
                 "{\"severity\":\"error\",\"id\":\"E0901\",\"file\":null,\"line\":0,\"column\":0,\"end_line\":0,"
                 "\"end_column\":0,\"message\":\"plain\",\"notes\":[],\"hint\":null}\n");
    fbl_context_destroy(ctx);
}

static void nearest_names(void **state) {
    (void)state;
    const char *const names[] = {"class", NULL, "channel", "softmax", "x", "ReLU", "log_softmax", ""};
    const size_t count = sizeof names / sizeof names[0];
    assert_string_equal(fbl_nearest_name("clas", names, count), "class");
    assert_string_equal(fbl_nearest_name("calss", names, count), "class"); // two letters swapped
    assert_string_equal(fbl_nearest_name("sofmtax", names, count), "softmax");
    assert_string_equal(fbl_nearest_name("chanel", names, count), "channel");
    assert_string_equal(fbl_nearest_name("relu", names, count), "ReLU");
    assert_string_equal(fbl_nearest_name("X", names, count), "x");
    assert_null(fbl_nearest_name("y", names, count));
    assert_null(fbl_nearest_name("momentum", names, count));
    assert_null(fbl_nearest_name("", names, count));
    assert_null(fbl_nearest_name("clas", names, 0));
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(fbl_nearest_name(longest, names, count));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_with_notes_and_hint),
        cmocka_unit_test(tabs_wide_and_broken_characters),
        cmocka_unit_test(odd_places),
        cmocka_unit_test(long_lines_are_clipped),
        cmocka_unit_test(sorted_without_duplicates),
        cmocka_unit_test(errors_over_the_limit_are_counted),
        cmocka_unit_test(clear_forgets_the_unprinted),
        cmocka_unit_test(notes_go_to_the_latest),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The exact text of every message of the lexer and the parser.
//
// Each tests/frontend/errors/NAME.fbl has its messages in NAME.expect; `test_messages --update` rewrites those, to be
// read before they are committed. Input that is no proper text is made here.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/io.h"
#include "frontend/parser.h"

#define FOLDER "tests/frontend/errors"

static bool update;

static char *messages_of(FblContext *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    fbl_diag_flush(ctx, out, false);
    fclose(out);
    return text;
}

static int is_program(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".fbl") == 0;
}

static void test_golden(void **state) {
    (void)state;
    struct dirent **entries = NULL;
    int count = scandir(FOLDER, &entries, is_program, alphasort);
    assert_true(count >= 20);
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        char path[512], expect_path[512];
        snprintf(path, sizeof path, "%s/%s", FOLDER, entries[i]->d_name);
        snprintf(expect_path, sizeof expect_path, "%.*s.expect", (int)strlen(path) - 4, path);
        FblContext *ctx = fbl_context_create();
        FblAstFile *file = NULL;
        assert_int_equal(fbl_parse_path(ctx, path, &file), FBL_USER);
        char *found = messages_of(ctx);
        if (update) {
            FILE *out = fopen(expect_path, "w");
            assert_non_null(out);
            fputs(found, out);
            fclose(out);
        } else {
            char *expected = NULL;
            size_t size = 0;
            if (fbl_read_file(ctx, expect_path, 1 << 20, &expected, &size) != FBL_OK || strcmp(expected, found) != 0) {
                print_error("%s: expected\n%s\nfound\n%s\n", path, expected == NULL ? "" : expected, found);
                wrong++;
            }
            free(expected);
        }
        free(found);
        fbl_context_destroy(ctx);
        free(entries[i]);
    }
    free(entries);
    assert_int_equal(wrong, 0);
}

static void check_message(const char *source, size_t length, const char *expected) {
    FblContext *ctx = fbl_context_create();
    FblAstFile *file = NULL;
    assert_int_equal(fbl_parse_source(ctx, fbl_source_add(ctx, "t.fbl", source, length), &file), FBL_USER);
    char *found = messages_of(ctx);
    assert_non_null(strstr(found, expected));
    free(found);
    fbl_context_destroy(ctx);
}

static void test_no_text(void **state) {
    (void)state;
    check_message("const a = 1\0\n", 13, "t.fbl:1:12: error[E0007]: this is not a text file: it holds a NUL byte\n");
    check_message("const a = \xFF\n", 12, "t.fbl:1:11: error[E0007]: this is not UTF-8: byte 0xFF at offset 10\n");
    check_message("const a = \xC3", 11, "t.fbl:1:11: error[E0007]: this is not UTF-8: byte 0xC3 at offset 10\n");
    check_message("const a = \"abc", 14, "t.fbl:1:11: error[E0004]: this string is not closed\n");
    check_message("const a = \"abc{", 15, "error[E0001]: expected an expression, found the end of the line\n");
    check_message("const a = \x01", 11, "error[E0002]: unexpected control character U+0001\n");
}

static void test_too_large(void **state) {
    (void)state;
    size_t length = FBL_SOURCE_MAX_BYTES + 1;
    char *source = malloc(length);
    assert_non_null(source);
    memset(source, ' ', length);
    check_message(source, length,
                  "error[E0008]: this file is too large: 16777217 bytes, at most 16777216 are read\n");
    free(source);
}

// `count` times `open`, then "1", then `count` times `close`, as a constant.
static void check_nested(const char *open, const char *close, size_t count, const char *expected) {
    size_t size = 16 + count * (strlen(open) + strlen(close));
    char *source = malloc(size);
    assert_non_null(source);
    char *at = source + sprintf(source, "const a = ");
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, open);
    }
    *at++ = '1';
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, close);
    }
    if (expected != NULL) {
        check_message(source, (size_t)(at - source), expected);
    } else {
        FblContext *ctx = fbl_context_create();
        FblAstFile *file = NULL;
        assert_int_equal(
            fbl_parse_source(ctx, fbl_source_add(ctx, "t.fbl", source, (size_t)(at - source)), &file), FBL_OK);
        fbl_context_destroy(ctx);
    }
    free(source);
}

static void test_depth(void **state) {
    (void)state;
    const char *brackets = "error[E0006]: brackets are nested deeper than 200 levels\n";
    const char *tree = "error[E0006]: this expression is nested deeper than 400 levels\n";
    check_nested("(", ")", 200, NULL);
    check_nested("(", ")", 201, brackets);
    check_nested("[", "]", 1000000, brackets);
    check_nested("f(", ")", 100000, brackets);
    check_nested("\"{", "}\"", 100000, brackets);
    check_nested("-", "", 399, NULL);
    check_nested("-", "", 400, tree);
    check_nested("-", "", 1000000, tree);
    check_nested("", "+1", 399, NULL);
    check_nested("", "+1", 400, tree);
    check_nested("2^", "", 1000000, tree);
    check_nested("if a then b else ", "", 500000, tree);
    check_nested("", " |> f", 100000, tree);
    check_nested("", "[1]", 100000, tree);
}

static void test_missing_file(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblAstFile *file = NULL;
    assert_int_equal(fbl_parse_path(ctx, "tests/frontend/no such file.fbl", &file), FBL_IO);
    assert_true(fbl_diag_error_count(ctx) == 1);
    char *found = messages_of(ctx);
    free(found);
    fbl_context_destroy(ctx);
}

int main(int argc, char **argv) {
    update = argc > 1 && strcmp(argv[1], "--update") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_no_text),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_depth),  cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

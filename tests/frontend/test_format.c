// The formatter: goldens, idempotence, and that the tree and every comment survive.
//
// `test_format --update` rewrites tests/frontend/format/NAME.expect, to be read before it is committed.
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
#include "frontend/format.h"
#include "frontend/parser.h"

static bool update;

static char *read_text(const char *path) {
    FblContext *ctx = fbl_context_create();
    char *text = NULL;
    size_t size = 0;
    FblStatus status = fbl_read_file(ctx, path, FBL_SOURCE_MAX_BYTES, &text, &size);
    fbl_context_destroy(ctx);
    return status == FBL_OK ? text : NULL;
}

static char *format(const char *text) {
    FblContext *ctx = fbl_context_create();
    char *out = NULL;
    FblStatus status = fbl_format_source(ctx, fbl_source_add(ctx, "t.fbl", text, strlen(text)), &out);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    fbl_context_destroy(ctx);
    return out;
}

static char *dump(const char *text) {
    FblContext *ctx = fbl_context_create();
    FblAstFile *file = NULL;
    assert_int_equal(fbl_parse_source(ctx, fbl_source_add(ctx, "t.fbl", text, strlen(text)), &file), FBL_OK);
    char *out = fbl_ast_dump(file);
    fbl_context_destroy(ctx);
    return out;
}

// All that is not layout: the text without blanks and line ends, so also every comment.
static char *essence(const char *text) {
    char *out = malloc(strlen(text) + 1);
    char *at = out;
    for (; *text != '\0'; text++) {
        if (strchr(" \t\r\n", *text) == NULL) {
            *at++ = *text;
        }
    }
    *at = '\0';
    return out;
}

static void check(const char *text) {
    char *once = format(text);
    char *twice = format(once);
    assert_string_equal(once, twice);
    char *tree_before = dump(text), *tree_after = dump(once);
    assert_string_equal(tree_before, tree_after);
    char *before = essence(text), *after = essence(once);
    assert_string_equal(before, after);
    for (const char *line = once; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t length = strcspn(line, "\n");
        assert_true(length == 0 || (line[length - 1] != ' ' && line[length - 1] != '\t'));
        assert_true(strncmp(line, "\n\n", 2) != 0);
    }
    free(before);
    free(after);
    free(tree_before);
    free(tree_after);
    free(once);
    free(twice);
}

static void test_golden(void **state) {
    (void)state;
    char *text = read_text("tests/frontend/format/messy.fbl");
    assert_non_null(text);
    check(text);
    char *found = format(text);
    if (update) {
        FILE *out = fopen("tests/frontend/format/messy.expect", "w");
        assert_non_null(out);
        fputs(found, out);
        fclose(out);
    } else {
        char *expected = read_text("tests/frontend/format/messy.expect");
        assert_non_null(expected);
        assert_string_equal(found, expected);
        free(expected);
    }
    free(found);
    free(text);
}

static void test_canonical_stays(void **state) {
    (void)state;
    char *text = read_text("tests/frontend/language.fbl");
    assert_non_null(text);
    char *found = format(text);
    assert_string_equal(found, text);
    free(found);
    free(text);
}

static int is_program(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".fbl") == 0;
}

static void test_library(void **state) {
    (void)state;
    struct dirent **entries = NULL;
    int count = scandir("models", &entries, is_program, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "models/%s", entries[i]->d_name);
        char *text = read_text(path);
        assert_non_null(text);
        check(text);
        free(text);
        free(entries[i]);
    }
    free(entries);
}

// Every line break that the grammar allows, and every other token boundary with a comment where it may stand.
static void test_breaks_everywhere(void **state) {
    (void)state;
    const char *const pieces[] = {"fn f(", "x,", "k", ":", "f32[", "a,", "b=", "2]", "=", "3,", ") {\n", "y =", "g(", "x",
                                  "|> h(", "a ->", "b,", "c =", ":", ":", "2,", ")", "as z,", "(", "p=", "-1,", "[", "x,",
                                  "2^", "2", "]", ")", ")\n", "return", " y[", "c =", "if a", "then b", "else c", "]\n}"};
    size_t count = sizeof pieces / sizeof pieces[0];
    for (size_t at = 0; at <= count; at++) {
        for (int comment = 0; comment < 2; comment++) {
            char text[2048] = "";
            for (size_t i = 0; i < count; i++) {
                if (i == at) {
                    strcat(text, comment ? " # note\n" : "\n");
                }
                strcat(text, " ");
                strcat(text, pieces[i]);
            }
            strcat(text, "\n");
            FblContext *ctx = fbl_context_create();
            FblAstFile *file = NULL;
            FblStatus status = fbl_parse_source(ctx, fbl_source_add(ctx, "t.fbl", text, strlen(text)), &file);
            fbl_context_destroy(ctx);
            if (status == FBL_OK) {
                check(text);
            } else {
                assert_true(strcmp(pieces[at - 1], "return") == 0); // what it returns begins on its line
            }
        }
    }
}

static void test_refuses_errors(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char *out = NULL;
    assert_int_equal(fbl_format_source(ctx, fbl_source_add(ctx, "t.fbl", "fn f( {", 7), &out), FBL_USER);
    assert_null(out);
    assert_true(fbl_diag_error_count(ctx) > 0);
    fbl_context_destroy(ctx);
}

int main(int argc, char **argv) {
    update = argc > 1 && strcmp(argv[1], "--update") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),  cmocka_unit_test(test_canonical_stays),   cmocka_unit_test(test_library),
        cmocka_unit_test(test_breaks_everywhere), cmocka_unit_test(test_refuses_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Helpers of the tests of the data side: temporary folders, files, and the text of diagnostics.
#ifndef FBL_TESTS_DATA_SUPPORT_H
#define FBL_TESTS_DATA_SUPPORT_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"

// A fresh folder, in the arena of ctx. Removed by remove_folder.
static inline const char *make_folder(FblContext *ctx) {
    const char *root = getenv("TMPDIR");
    char *path = fbl_arena_printf(fbl_context_arena(ctx), "%s/fblc-test-XXXXXX", root != NULL ? root : P_tmpdir);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void remove_folder(const char *path) {
    char command[512];
    assert_true(snprintf(command, sizeof command, "rm -r '%s'", path) < (int)sizeof command);
    assert_int_equal(system(command), 0);
}

static inline void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

// The whole file, malloc'ed, with a NUL after it.
static inline char *slurp(const char *path, size_t *out_size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s: tests run from the root of the project", path);
    }
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(size + 1);
    assert_int_equal(fread(data, 1, size, file), size);
    fclose(file);
    data[size] = 0;
    *out_size = size;
    return data;
}

// What has been diagnosed since the last call, in the arena of ctx.
static inline const char *diagnosed(FblContext *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    fbl_diag_flush(ctx, stream, false);
    fclose(stream);
    const char *copy = fbl_arena_strndup(fbl_context_arena(ctx), text, size);
    free(text);
    return copy;
}

static inline void expect_diagnosed(FblContext *ctx, const char *part) {
    const char *text = diagnosed(ctx);
    if (strstr(text, part) == NULL) {
        fail_msg("expected a diagnostic with \"%s\", got:\n%s", part, text);
    }
}

#endif

// cmocka with the includes that it wants before its own, and helpers of the graph tests.
#ifndef FBL_TESTS_IR_UNIT_H
#define FBL_TESTS_IR_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/graph.h"

static inline uint32_t add_text(FblContext *ctx, const char *text) {
    return fbl_source_add(ctx, "g", text, strlen(text));
}

// The diagnostics collected so far, without the source lines; the caller frees.
static inline char *messages(FblContext *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fbl_diag_flush(ctx, out, false);
    fclose(out);
    char *to = text;
    for (char *line = text; *line != '\0';) { // source lines and underlines are indented
        size_t length = strcspn(line, "\n");
        length += line[length] == '\n';
        if (line[0] != ' ') {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    *to = '\0';
    return text;
}

// The graph in `text`; prints what is wrong with it and fails when it can't be read.
static inline FblGraph *read_graph(FblContext *ctx, const char *text) {
    FblGraph *graph = NULL;
    if (fbl_graph_read(ctx, add_text(ctx, text), &graph) != FBL_OK) {
        fbl_diag_flush(ctx, stderr, false);
        fail();
    }
    return graph;
}

#endif

// Shared by the tests of passes: graphs from text, and running them in the interpreter.
#ifndef FBL_TESTS_PASSES_SUPPORT_H
#define FBL_TESTS_PASSES_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "passes/gradcheck.h"

// The graph of `text`; prints the diagnostics and fails the test when it does not read.
static inline FblGraph *read_graph(FblContext *ctx, const char *text) {
    uint32_t file = fbl_source_add(ctx, "test", text, strlen(text));
    FblGraph *graph = NULL;
    FblStatus status = fbl_graph_read(ctx, file, &graph);
    fbl_diag_flush(ctx, stderr, false);
    if (status != FBL_OK) {
        fail_msg("does not read:\n%s", text);
    }
    return graph;
}

static inline FblModule *module_of(FblContext *ctx, FblGraph *train) {
    FblModule *module = FBL_NEW(fbl_context_arena(ctx), FblModule);
    module->ctx = ctx;
    module->train = train;
    return module;
}

static inline void must(FblContext *ctx, FblStatus status, const char *what) {
    fbl_diag_flush(ctx, stderr, false);
    if (status != FBL_OK) {
        fail_msg("%s: %s", what, fbl_status_name(status));
    }
}

// Number of nodes of `op`.
static inline int count_op(const FblGraph *graph, FblOp op) {
    int count = 0;
    for (size_t i = 0; i < graph->count; i++) {
        count += graph->nodes[i].op == op;
    }
    return count;
}

static inline const FblRoot *find_root(const FblGraph *graph, FblRootKind kind, const char *name) {
    for (size_t i = 0; i < graph->root_count; i++) {
        if (graph->roots[i].kind == kind && strcmp(graph->roots[i].name, name) == 0) {
            return &graph->roots[i];
        }
    }
    return NULL;
}

// The text of the diagnostics so far, in the arena.
static inline const char *diagnostics(FblContext *ctx) {
    char *buffer = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&buffer, &size);
    fbl_diag_flush(ctx, file, false);
    fclose(file);
    const char *copy = fbl_arena_strndup(fbl_context_arena(ctx), buffer, size);
    free(buffer);
    return copy;
}

#endif

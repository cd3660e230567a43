// libFuzzer target: the readers of graph and module text. What they accept must verify, and print and read again to the
// same bytes.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ir/module_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition) {
    if (!condition) {
        abort();
    }
}

static void try_graph(const char *text, size_t size) {
    FblContext *ctx = fbl_context_create();
    FblGraph *graph;
    if (fbl_graph_read(ctx, fbl_source_add(ctx, "fuzz", text, size), &graph) == FBL_OK) {
        FblGraph *again;
        const char *printed = fbl_graph_print(graph, false);
        expect(fbl_graph_verify(graph) == FBL_OK);
        expect(fbl_graph_read(ctx, fbl_source_add(ctx, "again", printed, strlen(printed)), &again) == FBL_OK);
        expect(strcmp(fbl_graph_print(again, false), printed) == 0);
    } else {
        expect(fbl_diag_error_count(ctx) > 0);
    }
    fbl_context_destroy(ctx);
}

static void try_module(const char *text, size_t size) {
    FblContext *ctx = fbl_context_create();
    FblModule *module;
    if (fbl_module_read(ctx, fbl_source_add(ctx, "fuzz", text, size), &module) == FBL_OK) {
        FblModule *again;
        const char *printed = fbl_module_print(module);
        expect(fbl_module_read(ctx, fbl_source_add(ctx, "again", printed, strlen(printed)), &again) == FBL_OK);
        expect(strcmp(fbl_module_print(again), printed) == 0);
    } else {
        expect(fbl_diag_error_count(ctx) > 0);
    }
    fbl_context_destroy(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_graph((const char *)data, size);
    try_module((const char *)data, size);
    return 0;
}

// Any bytes as a source file: parsing may only succeed or add diagnostics, formatting what parses must succeed, keep
// the tree (the formatter checks that itself) and be idempotent.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "frontend/format.h"
#include "frontend/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblContext *ctx = fbl_context_create();
    uint32_t source = fbl_source_add(ctx, "fuzz.fbl", (const char *)data, size);
    FblAstFile *file = NULL;
    FblStatus status = fbl_parse_source(ctx, source, &file);
    if ((status == FBL_OK) != (fbl_diag_error_count(ctx) == 0) || (status != FBL_OK && status != FBL_USER)) {
        abort();
    }
    if (status == FBL_OK) {
        char *once = NULL, *twice = NULL;
        if (fbl_format_source(ctx, source, &once) != FBL_OK ||
            fbl_format_source(ctx, fbl_source_add(ctx, "once.fbl", once, strlen(once)), &twice) != FBL_OK ||
            strcmp(once, twice) != 0) {
            abort();
        }
        free(once);
        free(twice);
    } else {
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        fbl_diag_flush(ctx, out, size % 2 == 0);
        fclose(out);
        free(text);
    }
    FblExpr *expr = NULL;
    fbl_parse_expression(ctx, source, &expr);
    fbl_context_destroy(ctx);
    return 0;
}

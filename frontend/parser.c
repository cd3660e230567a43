#include "frontend/parser.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "frontend/parse_actions.h"
#include "frontend/parse.h"

static FblStatus parse(FblContext *ctx, uint32_t file, int start, FblAstFile *out_file, FblExpr **out_expr) {
    size_t errors_before = fbl_diag_error_count(ctx);
    FblParser parser = {.ctx = ctx, .arena = fbl_context_arena(ctx), .start = start, .out_file = out_file};
    FBL_TRY(fbl_lexer_init(&parser.lexer, ctx, file, false));
    int failed = fbl_yyparse(&parser);
    fbl_lexer_deinit(&parser.lexer);
    if (fbl_diag_error_count(ctx) > errors_before) {
        return FBL_USER;
    }
    if (failed == 2) {
        return FBL_NOMEM;
    }
    if (failed != 0) {
        return FBL_INTERNAL; // a rejected text without a message would be our mistake
    }
    if (out_expr != NULL) {
        *out_expr = parser.out_expr;
    }
    return FBL_OK;
}

FblStatus fbl_parse_source(FblContext *ctx, uint32_t file, FblAstFile **out_file) {
    FblAstFile *tree = FBL_NEW(fbl_context_arena(ctx), FblAstFile);
    tree->file = file;
    *out_file = tree;
    FBL_TRY(parse(ctx, file, FBL_TOKEN_START_FILE, tree, NULL));
    if (tree->decl_count == 0) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0009", (FblLoc){file, 0, 0}, "this file declares nothing");
        fbl_diag_hint(ctx, diag, "a file holds `fn`, `layer`, `model`, `loss`, `train`, `const` and `import`");
        return FBL_USER;
    }
    return FBL_OK;
}

FblStatus fbl_parse_path(FblContext *ctx, const char *path, FblAstFile **out_file) {
    char *text = NULL;
    size_t size = 0;
    *out_file = NULL;
    FBL_TRY(fbl_read_file(ctx, path, FBL_SOURCE_MAX_BYTES, &text, &size));
    uint32_t file = fbl_source_add(ctx, path, text, size);
    free(text);
    return fbl_parse_source(ctx, file, out_file);
}

FblStatus fbl_parse_expression(FblContext *ctx, uint32_t file, FblExpr **out_expr) {
    *out_expr = NULL;
    return parse(ctx, file, FBL_TOKEN_START_EXPRESSION, NULL, out_expr);
}

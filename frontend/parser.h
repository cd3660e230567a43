// Source text to syntax tree.
//
// Both functions add a diagnostic (E00xx) for each mistake, going on after it, and then return FBL_USER.
// Ownership: the tree and its texts live in the context. Threads: as the context.
#ifndef FBL_FRONTEND_PARSER_H
#define FBL_FRONTEND_PARSER_H

#include "frontend/ast.h"

// Largest source file that is read.
#define FBL_SOURCE_MAX_BYTES ((size_t)16 << 20)

// Parses a source that is registered in the context.
FblStatus fbl_parse_source(FblContext *ctx, uint32_t file, FblAstFile **out_file);

// Reads the file at `path`, registers it and parses it. Returns FBL_IO (with a diagnostic) when it cannot be read.
FblStatus fbl_parse_path(FblContext *ctx, const char *path, FblAstFile **out_file);

// Parses a single expression, the whole of the source `file`: for values given on the command line
// (`--set loss.lambda=2*60`), registered as a source under a name such as "--set".
FblStatus fbl_parse_expression(FblContext *ctx, uint32_t file, FblExpr **out_expr);

// True when `name` can be an identifier (and not a reserved word): for messages and for names made from paths.
bool fbl_is_identifier(const char *name);

#endif

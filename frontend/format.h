// `fblc fmt`: the canonical layout of a source file.
//
// Works on tokens and comments, not on the tree, so that nothing the writer put down can get lost: spaces, indentation
// and blank lines (at most one) are made canonical; the writer's line breaks stay; lines over 120 columns are broken
// at pipelines, commas and operators; columns of `=` and of comments stay aligned where the writer aligned them.
// Formatting its own output changes nothing. Ownership: stated below. Threads: as the context.
#ifndef FBL_FRONTEND_FORMAT_H
#define FBL_FRONTEND_FORMAT_H

#include "base/context.h"

// Columns that a line may have before it is broken.
#define FBL_FORMAT_WIDTH 120

// Formats the registered source `file`, which must parse (else its diagnostics are added and FBL_USER is returned).
// *out_text is malloc'ed, NUL-terminated, and the caller's to free; its tree is checked to be that of the source.
FblStatus fbl_format_source(FblContext *ctx, uint32_t file, char **out_text);

#endif

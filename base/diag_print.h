// The two printed forms of a diagnostic. Used by fbl_diag_flush only.
//
// Ownership: nothing is kept. Threads: as the context.
#ifndef FBL_BASE_DIAG_PRINT_H
#define FBL_BASE_DIAG_PRINT_H

#include "base/diag.h"

// `path:line:col: error[E0102]: message`, the source line underlined, then the notes and the hint. Control characters
// and broken UTF-8 come out as U+FFFD, so that no input can drive the terminal.
void fbl_diag_print_text(const FblContext *ctx, const FblDiag *diag, FILE *out);

// One line {"severity","id","file","line","column","end_line","end_column","message","notes","hint"}; without a place
// file is null and the numbers are 0; end_column is one past the last character; columns count code points.
void fbl_diag_print_json(const FblContext *ctx, const FblDiag *diag, FILE *out);

#endif

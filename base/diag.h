// Diagnostics: collected in the context, sorted by place, printed with the source line underlined, or as JSON lines.
//
// Every diagnostic has a stable id ("E0102") and a test with its exact text.
// Ownership: diagnostics live in the context. Threads: as the context.
#ifndef FBL_BASE_DIAG_H
#define FBL_BASE_DIAG_H

#include <stdarg.h>
#include <stdio.h>

#include "base/context.h"

typedef enum FblSeverity { FBL_ERROR, FBL_WARNING, FBL_NOTE } FblSeverity;

typedef struct FblDiag FblDiag;

// At most this many errors are kept; later ones are only counted.
#define FBL_DIAG_MAX_ERRORS 20

// Adds a diagnostic and returns it for notes and hints (never NULL, also when over the limit).
FblDiag *fbl_diag(FblContext *ctx, FblSeverity severity, const char *id, FblLoc loc, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

// fbl_diag with FBL_ERROR that returns FBL_USER, for `return fbl_error(...)`.
FblStatus fbl_error(FblContext *ctx, const char *id, FblLoc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// The diagnostic that was added last, for notes by a caller who knows more than the function that found the mistake;
// never NULL.
FblDiag *fbl_diag_latest(FblContext *ctx);

// A further place that belongs to the diagnostic ("the other `class` is declared here").
void fbl_diag_note(FblContext *ctx, FblDiag *diag, FblLoc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// What the user might do ("did you mean `class`?").
void fbl_diag_hint(FblContext *ctx, FblDiag *diag, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Number of errors added so far (also those over the limit).
size_t fbl_diag_error_count(const FblContext *ctx);

// Prints what has been collected since the last call, sorted by place, to `out`; as one JSON object a line when `json`.
void fbl_diag_flush(FblContext *ctx, FILE *out, bool json);

// Forgets what has been collected and not printed (used by readers that try and fall back).
void fbl_diag_clear(FblContext *ctx);

// The element of `candidates` nearest to `name` in edit distance, or NULL when none is near enough to be a typing slip.
const char *fbl_nearest_name(const char *name, const char *const *candidates, size_t count);

#endif

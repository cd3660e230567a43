#include "base/diag.h"

#include <stdlib.h>
#include <string.h>

#include "base/context_internal.h"
#include "base/diag_print.h"

// Warnings and notes have a limit too, so that a hostile input cannot fill the memory with them.
#define MAX_OTHERS 100

static bool same(const FblDiag *a, FblSeverity severity, const char *id, FblLoc loc, const char *message) {
    return a->severity == severity && a->loc.file == loc.file && a->loc.begin == loc.begin && a->loc.end == loc.end &&
           strcmp(a->id, id) == 0 && strcmp(a->message, message) == 0;
}

static FblDiag *make(FblContext *ctx, FblSeverity severity, const char *id, FblLoc loc, const char *format,
                     va_list args) {
    FblDiagList *list = &ctx->diags;
    if (severity == FBL_ERROR) {
        list->pending_errors++;
        if (list->kept_errors >= FBL_DIAG_MAX_ERRORS) {
            list->hidden_errors++;
            return &list->dropped;
        }
    } else if (list->count - list->kept_errors >= MAX_OTHERS) {
        list->hidden_others++;
        return &list->dropped;
    }
    const char *message = fbl_arena_vprintf(&ctx->arena, format, args);
    for (size_t i = 0; i < list->count; i++) {
        if (same(list->items[i], severity, id, loc, message)) {
            return &list->dropped;
        }
    }
    FblDiag *diag = FBL_NEW(&ctx->arena, FblDiag);
    diag->severity = severity;
    diag->id = id;
    diag->loc = loc;
    diag->message = message;
    diag->order = list->count;
    FBL_PUSH(&ctx->arena, list->items, list->count, list->capacity, diag);
    list->kept_errors += severity == FBL_ERROR;
    return diag;
}

static FblDiag *add(FblContext *ctx, FblSeverity severity, const char *id, FblLoc loc, const char *format,
                    va_list args) {
    ctx->diags.latest = make(ctx, severity, id, loc, format, args);
    return ctx->diags.latest;
}

FblDiag *fbl_diag_latest(FblContext *ctx) { return ctx->diags.latest != NULL ? ctx->diags.latest : &ctx->diags.dropped; }

FblDiag *fbl_diag(FblContext *ctx, FblSeverity severity, const char *id, FblLoc loc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    FblDiag *diag = add(ctx, severity, id, loc, format, args);
    va_end(args);
    return diag;
}

FblStatus fbl_error(FblContext *ctx, const char *id, FblLoc loc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(ctx, FBL_ERROR, id, loc, format, args);
    va_end(args);
    return FBL_USER;
}

void fbl_diag_note(FblContext *ctx, FblDiag *diag, FblLoc loc, const char *format, ...) {
    if (diag == &ctx->diags.dropped) {
        return;
    }
    va_list args;
    va_start(args, format);
    FblDiagNote note = {loc, fbl_arena_vprintf(&ctx->arena, format, args)};
    va_end(args);
    FBL_PUSH(&ctx->arena, diag->notes, diag->note_count, diag->note_capacity, note);
}

void fbl_diag_hint(FblContext *ctx, FblDiag *diag, const char *format, ...) {
    if (diag == &ctx->diags.dropped) {
        return;
    }
    va_list args;
    va_start(args, format);
    diag->hint = fbl_arena_vprintf(&ctx->arena, format, args);
    va_end(args);
}

size_t fbl_diag_error_count(const FblContext *ctx) {
    return ctx->diags.printed_errors + ctx->diags.pending_errors;
}

static int compare(const void *a, const void *b) {
    const FblDiag *x = *(FblDiag *const *)a;
    const FblDiag *y = *(FblDiag *const *)b;
    // File 0 ("no place") wraps to the largest number and so comes last.
    uint32_t xf = x->loc.file - 1;
    uint32_t yf = y->loc.file - 1;
    if (xf != yf) {
        return xf < yf ? -1 : 1;
    }
    if (x->loc.file != 0 && x->loc.begin != y->loc.begin) {
        return x->loc.begin < y->loc.begin ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static void reset(FblDiagList *list) {
    // The array is let go too: a clear must not depend on who still holds a diagnostic.
    list->items = NULL;
    list->latest = NULL;
    list->count = 0;
    list->capacity = 0;
    list->kept_errors = 0;
    list->hidden_errors = 0;
    list->hidden_others = 0;
    list->pending_errors = 0;
}

void fbl_diag_flush(FblContext *ctx, FILE *out, bool json) {
    FblDiagList *list = &ctx->diags;
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof *list->items, compare);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (json) {
            fbl_diag_print_json(ctx, list->items[i], out);
        } else {
            fbl_diag_print_text(ctx, list->items[i], out);
        }
    }
    const struct {
        size_t count;
        const char *what;
    } hidden[] = {{list->hidden_errors, "error"}, {list->hidden_others, "warning"}};
    for (int i = 0; i < 2; i++) {
        if (hidden[i].count > 0) {
            FblDiag summary = {.severity = FBL_NOTE, .id = ""};
            summary.message = fbl_arena_printf(&ctx->arena, "%zu more %s%s not shown", hidden[i].count, hidden[i].what,
                                               hidden[i].count == 1 ? "" : "s");
            if (json) {
                fbl_diag_print_json(ctx, &summary, out);
            } else {
                fbl_diag_print_text(ctx, &summary, out);
            }
        }
    }
    fflush(out);
    list->printed_errors += list->pending_errors;
    reset(list);
}

void fbl_diag_clear(FblContext *ctx) { reset(&ctx->diags); }

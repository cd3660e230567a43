// What context.c and diag.c share. Not for other files.
//
// Ownership: everything is in the context's arena except the intern table. Threads: as the context.
#ifndef FBL_BASE_CONTEXT_INTERNAL_H
#define FBL_BASE_CONTEXT_INTERNAL_H

#include "base/diag.h"

typedef struct FblDiagNote {
    FblLoc loc;
    const char *message;
} FblDiagNote;

struct FblDiag {
    FblSeverity severity;
    const char *id;
    FblLoc loc;
    const char *message;
    FblDiagNote *notes;
    size_t note_count, note_capacity;
    const char *hint;
    size_t order; // of arrival
};

typedef struct FblDiagList {
    FblDiag **items;
    size_t count, capacity;
    size_t kept_errors;    // among items
    size_t hidden_errors;  // over the limit since the last flush
    size_t hidden_others;  // the same for warnings and notes
    size_t pending_errors; // added since the last flush
    size_t printed_errors; // added before the last flush
    FblDiag dropped;       // returned for diagnostics that are not kept; notes and hints to it are ignored
    FblDiag *latest;       // what the last fbl_diag or fbl_error added, NULL after a flush
} FblDiagList;

// A source with the offsets of its line starts.
typedef struct FblSourceEntry {
    FblSource source;
    uint32_t *lines;
    uint32_t line_count;
} FblSourceEntry;

typedef struct FblInternSlot {
    const char *text; // NULL: free
    size_t length;
    uint64_t hash;
} FblInternSlot;

// An arena that may end before its context.
typedef struct FblScratch {
    FblArena arena; // first, so that a pointer to it is one to this
    struct FblScratch *next, **link; // the context's list of them
} FblScratch;

struct FblContext {
    FblArena arena;
    FblScratch *scratch;
    FblInternSlot *slots; // open addressing, power of two
    size_t slot_count, name_count;
    FblSourceEntry *sources;
    size_t source_count, source_capacity;
    FblDiagList diags;
};

// The line (counted from 0) of `entry` that holds byte `offset` (clamped to the length).
uint32_t fbl_source_line_of(const FblSourceEntry *entry, uint32_t offset);

// The bytes [*out_begin, *out_end) of `line` (counted from 0) without its line end.
void fbl_source_line_span(const FblSourceEntry *entry, uint32_t line, size_t *out_begin, size_t *out_end);

#endif

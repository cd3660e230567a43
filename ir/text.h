// A growable string in an arena, for everything that is printed at the graph level.
//
// Ownership: the bytes live in the arena. Threads: as the arena.
#ifndef FBL_IR_TEXT_H
#define FBL_IR_TEXT_H

#include "ir/graph.h"

typedef struct FblText {
    FblArena *arena;
    char *data; // NUL-terminated after the first call
    size_t length, capacity;
} FblText;

void fbl_text_init(FblText *text, FblArena *arena);
void fbl_text_add(FblText *text, const char *bytes, size_t length);
void fbl_text_printf(FblText *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A name bare where it reads as a word ([A-Za-z_][A-Za-z0-9_.]*), else quoted.
void fbl_text_name(FblText *text, const char *name);
// Always quoted, with \" \\ \n and \xHH for other control bytes.
void fbl_text_quoted(FblText *text, const char *string);
// The shortest decimal that reads back as exactly `value`; nan, inf, -inf.
void fbl_text_double(FblText *text, double value);
// A type. Exact: symbolic extents as "?3" so that the text can be read back; otherwise they print as the bare name.
void fbl_text_type(FblText *text, const FblType *type, bool exact);

#endif

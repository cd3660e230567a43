// The formatter's items: tokens and comments with the spacing decided (format.c), to be laid out (format_layout.c).
//
// Ownership: arrays live in the arena of the formatter. Threads: one at a time.
#ifndef FBL_FRONTEND_FORMAT_INTERNAL_H
#define FBL_FRONTEND_FORMAT_INTERNAL_H

#include "base/context.h"

// Item kinds that are no token kinds.
#define FBL_ITEM_COMMENT (-1)
#define FBL_ITEM_STRING (-2)

// How readily a line is broken before an item; 0 is never.
typedef enum FblBreak { FBL_BREAK_NEVER, FBL_BREAK_PIPE, FBL_BREAK_COMMA, FBL_BREAK_WORD, FBL_BREAK_OPERATOR } FblBreak;

typedef struct FblItem {
    int kind; // token kind, FBL_ITEM_COMMENT or FBL_ITEM_STRING (a whole string)
    uint32_t begin, end;
    uint32_t width;  // columns of its text
    uint32_t column; // in the source
    uint32_t pad;    // further blanks before it, for alignment
    uint32_t pair;   // of `{` and `}`: the index of the other one
    uint32_t chain;  // of `{`: the first `{` of its if-else chain
    uint32_t next;   // the item itself, or what follows a comment and those after it; the count when nothing does
    uint8_t break_class;
    bool space;    // a blank before it when it is not first on its line
    bool newline;  // the writer began a line here
    bool blank;    // and left blank lines before it
    bool starts;   // first item of a statement or declaration
    bool multi;    // of `{` that leads its chain: the blocks take several lines
    bool wrapped;  // the layout breaks the line here
} FblItem;

typedef struct FblItems {
    FblArena *arena;
    const char *text;
    FblItem *items;
    uint32_t count;
    size_t capacity;
} FblItems;

// Lays the items out; malloc'ed text.
char *fbl_format_layout(FblItems *items);

#endif

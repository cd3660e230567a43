// The context: one arena, the table of interned names, the source files, and the diagnostics of a compilation.
//
// Ownership: everything handed out lives as long as the context. Threads: one thread at a time.
#ifndef FBL_BASE_CONTEXT_H
#define FBL_BASE_CONTEXT_H

#include "base/arena.h"
#include "base/status.h"

// An interned string: two names are equal exactly when their pointers are. Never iterate in pointer order.
typedef const char *FblName;

typedef struct FblContext FblContext;

FblContext *fbl_context_create(void);
void fbl_context_destroy(FblContext *ctx);

FblArena *fbl_context_arena(FblContext *ctx);

// An arena for what is dropped before the context ends. It lives until it is closed, or as long as the context.
FblArena *fbl_context_scratch_open(FblContext *ctx);
// Frees all that lies in `scratch`, which fbl_context_scratch_open returned; NULL does nothing.
void fbl_context_scratch_close(FblArena *scratch);

FblName fbl_intern(FblContext *ctx, const char *text);
FblName fbl_intern_n(FblContext *ctx, const char *text, size_t length);

// A byte range [begin, end) of source file `file`; file 0 means "no place".
typedef struct FblLoc {
    uint32_t file;
    uint32_t begin;
    uint32_t end;
} FblLoc;

#define FBL_NO_LOC ((FblLoc){0, 0, 0})

// A source file known to the context. `text` has `length` bytes and a NUL after them.
typedef struct FblSource {
    const char *path;
    const char *text;
    size_t length;
} FblSource;

// Registers a copy of `text` under `path` (as shown in diagnostics); returns its file number (from 1).
// Lengths of 2^31 bytes and more are the caller's to refuse.
uint32_t fbl_source_add(FblContext *ctx, const char *path, const char *text, size_t length);

// The source `file`, or NULL for 0 or an unknown number.
const FblSource *fbl_source_get(const FblContext *ctx, uint32_t file);

// Number of registered sources; they are numbered 1..count.
uint32_t fbl_source_count(const FblContext *ctx);

// 1-based line and column (in code points) of byte `offset`; 0, 0 when there is no such file.
void fbl_source_line_column(const FblContext *ctx, uint32_t file, uint32_t offset, uint32_t *out_line,
                            uint32_t *out_column);

// "path:line" of `loc` (the basename of the path when `short_path`), or "-" without a place. Arena-allocated.
const char *fbl_loc_string(FblContext *ctx, FblLoc loc, bool short_path);

#endif

// Files: whole reads with a size limit, atomic writes, directories.
//
// Each failing function adds a diagnostic (E09xx, no place) that names the path and the system's reason, and returns
// FBL_IO. Ownership: stated per function. Threads: safe apart from the context.
#ifndef FBL_BASE_IO_H
#define FBL_BASE_IO_H

#include "base/context.h"

// Reads all of `path` (at most `limit` bytes, else an error) into malloc'ed memory with a NUL after it; the caller frees.
FblStatus fbl_read_file(FblContext *ctx, const char *path, size_t limit, char **out_data, size_t *out_size);

// One piece of a file to be written.
typedef struct FblSpan {
    const void *data;
    size_t size;
} FblSpan;

// Writes the pieces to a temporary beside `path`, fsyncs it, renames it over `path` and fsyncs the folder: afterwards
// `path` holds either the old or the whole new content, whatever happens.
FblStatus fbl_write_file_atomic(FblContext *ctx, const char *path, const FblSpan *spans, size_t count);

// Makes `path` and its parents; an existing folder is no error.
FblStatus fbl_make_dirs(FblContext *ctx, const char *path);

bool fbl_path_exists(const char *path);

// `directory/name` in the arena of ctx ("" or NULL directory gives `name`).
const char *fbl_path_join(FblContext *ctx, const char *directory, const char *name);

// The folder part of `path` ("." when it has none), in the arena.
const char *fbl_path_directory(FblContext *ctx, const char *path);

#endif

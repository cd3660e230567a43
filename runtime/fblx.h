// Compiled programs in one file (.fblx): the program's text, its plans, machine code, sources and settings.
//
// Layout: magic, size, SHA-256 of all that follows, a table of sections, the sections. The reader checks everything before
// it hands anything out; a file with any bit changed is refused with a message.
// Ownership: a read file owns its bytes; what it hands out points into them. Threads: read-only after reading.
#ifndef FBL_RUNTIME_FBLX_H
#define FBL_RUNTIME_FBLX_H

#include "base/context.h"
#include "codegen/target.h"

#define FBLX_MAX_FILE ((size_t)1 << 31)

typedef enum FblxSection {
    FBLX_META = 1,  // JSON: version, target, settings; see cli/training.h for what the verbs keep there
    FBLX_MODULE,    // text of a module (index: 0 the program, 1 the program at the size of the last batch)
    FBLX_PLAN,      // text of its plan
    FBLX_CODE,      // index p * FBLX_CODE_STRIDE + k: packed code of kernel k of program p
    FBLX_SOURCE,    // path, NUL, text of a source file; index 0 is the file itself
} FblxSection;

#define FBLX_CODE_STRIDE ((uint32_t)1 << 24)

typedef struct FblxEntry {
    FblxSection kind;
    uint32_t index;
    const void *data; // texts have a NUL after their `size` bytes
    size_t size;
} FblxEntry;

typedef struct FblxFile {
    FblxEntry *entries; // sorted by kind and index
    size_t count;
    char *bytes;
    size_t size;
} FblxFile;

// Writes the entries (any order, kind and index unique) atomically.
FblStatus fblx_write(FblContext *ctx, const char *path, const FblxEntry *entries, size_t count);

// Reads and checks a file; E0601 not such a file, E0602 damaged, E0603 of another version of the format. On failure *out is
// zeroed.
FblStatus fblx_read(FblContext *ctx, const char *path, FblxFile *out);
// The same from memory: takes over `bytes` (malloc'ed, with a NUL after `size`).
FblStatus fblx_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblxFile *out);
void fblx_deinit(FblxFile *file);

// The entry, or NULL.
const FblxEntry *fblx_find(const FblxFile *file, FblxSection kind, uint32_t index);

// Whether the file at `path` begins like an .fblx file.
bool fblx_is(const char *path);

#endif

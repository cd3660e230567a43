// The compiler's options, one struct field a row of passes/options.def.
//
// Ownership: strings are borrowed. Threads: plain values.
#ifndef FBL_PASSES_OPTIONS_H
#define FBL_PASSES_OPTIONS_H

#include "base/context.h"

#define FBL_OPTION_TYPE_BOOL bool
#define FBL_OPTION_TYPE_INT int64_t
#define FBL_OPTION_TYPE_STRING const char *

typedef struct FblPassOptions {
#define FBL_OPTION(name, kind, default_, affects, doc) FBL_OPTION_TYPE_##kind name;
#include "passes/options.def"
#undef FBL_OPTION
} FblPassOptions;

typedef enum FblOptionKind { FBL_OPTION_BOOL, FBL_OPTION_INT, FBL_OPTION_STRING } FblOptionKind;

typedef struct FblOptionInfo {
    const char *name; // with underscores
    FblOptionKind kind;
    bool affects_code;
    const char *doc;
} FblOptionInfo;

// Row `index` of the table, or NULL past its end.
const FblOptionInfo *fbl_option_info(size_t index);

FblPassOptions fbl_options_default(void);

// Sets the option `name` (dashes or underscores) from text; a BOOL takes no value, true, false, 1 or 0. E0403 for an
// unknown name or a value that does not read. The string value is copied into the context's arena.
FblStatus fbl_options_set(FblContext *ctx, FblPassOptions *options, const char *name, const char *value);

// "target=cpu;precision=f32;..." of all options that affect code: part of every cache key. Arena-allocated.
const char *fbl_options_key(FblContext *ctx, const FblPassOptions *options);

#endif

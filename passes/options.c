#include "passes/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

static const FblOptionInfo INFOS[] = {
#define FBL_OPTION(name_, kind_, default_, affects_, doc_) {#name_, FBL_OPTION_##kind_, affects_, doc_},
#include "passes/options.def"
#undef FBL_OPTION
};

#define OPTION_COUNT (sizeof INFOS / sizeof *INFOS)

static const size_t OFFSETS[] = {
#define FBL_OPTION(name, kind, default_, affects, doc) offsetof(FblPassOptions, name),
#include "passes/options.def"
#undef FBL_OPTION
};

const FblOptionInfo *fbl_option_info(size_t index) {
    return index < OPTION_COUNT ? &INFOS[index] : NULL;
}

FblPassOptions fbl_options_default(void) {
    return (FblPassOptions){
#define FBL_OPTION(name, kind, default_, affects, doc) .name = default_,
#include "passes/options.def"
#undef FBL_OPTION
    };
}

static bool same_option(const char *name, const char *spelled) {
    for (; *name != '\0' && *spelled != '\0'; name++, spelled++) {
        if (*name != *spelled && !(*name == '_' && *spelled == '-')) {
            return false;
        }
    }
    return *name == *spelled;
}

static FblStatus bad_value(FblContext *ctx, const char *name, const char *value, const char *wanted) {
    return fbl_error(ctx, "E0403", FBL_NO_LOC, "option `%s` takes %s, not `%s`", name, wanted,
                     value != NULL ? value : "");
}

FblStatus fbl_options_set(FblContext *ctx, FblPassOptions *options, const char *name, const char *value) {
    const char *names[OPTION_COUNT];
    size_t at = OPTION_COUNT;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        names[i] = INFOS[i].name;
        at = same_option(INFOS[i].name, name) ? i : at;
    }
    if (at == OPTION_COUNT) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0403", FBL_NO_LOC, "no option `%s`", name);
        const char *near = fbl_nearest_name(name, names, OPTION_COUNT);
        if (near != NULL) {
            fbl_diag_hint(ctx, diag, "did you mean `%s`?", near);
        }
        return FBL_USER;
    }
    char *field = (char *)options + OFFSETS[at];
    switch (INFOS[at].kind) {
    case FBL_OPTION_BOOL: {
        bool on = value == NULL || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        if (!on && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
            return bad_value(ctx, name, value, "true or false");
        }
        memcpy(field, &on, sizeof on);
        return FBL_OK;
    }
    case FBL_OPTION_INT: {
        char *end = NULL;
        errno = 0;
        int64_t number = value != NULL ? strtoll(value, &end, 10) : 0;
        if (value == NULL || *value == '\0' || *end != '\0' || errno != 0) {
            return bad_value(ctx, name, value, "an integer");
        }
        memcpy(field, &number, sizeof number);
        return FBL_OK;
    }
    case FBL_OPTION_STRING: {
        if (value == NULL) {
            return bad_value(ctx, name, value, "a value");
        }
        const char *copy = fbl_arena_strndup(fbl_context_arena(ctx), value, strlen(value));
        memcpy(field, &copy, sizeof copy);
        return FBL_OK;
    }
    }
    return FBL_INTERNAL;
}

const char *fbl_options_key(FblContext *ctx, const FblPassOptions *options) {
    FblArena *arena = fbl_context_arena(ctx);
    const char *key = "";
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *field = (const char *)options + OFFSETS[i];
        if (!INFOS[i].affects_code) {
            continue;
        }
        if (INFOS[i].kind == FBL_OPTION_BOOL) {
            key = fbl_arena_printf(arena, "%s%s=%d;", key, INFOS[i].name, *(const bool *)field);
        } else if (INFOS[i].kind == FBL_OPTION_INT) {
            key = fbl_arena_printf(arena, "%s%s=%lld;", key, INFOS[i].name,
                                   (long long)*(const int64_t *)(const void *)field);
        } else {
            key = fbl_arena_printf(arena, "%s%s=%s;", key, INFOS[i].name, *(const char *const *)(const void *)field);
        }
    }
    return key;
}

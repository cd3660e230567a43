#include "frontend/sema.h"

#include <stdarg.h>
#include <string.h>

#include "base/diag.h"

// ------------------------------------------------------------------------------------------------------- places

static bool in_prelude(const FblBuild *b, FblLoc loc) {
    const FblUnit *prelude = b->program->prelude;
    return prelude != NULL && prelude != b->program->root && loc.file == prelude->file;
}

FblLoc fbl_build_loc(const FblBuild *b, FblLoc loc) {
    const FblFrame *frame = b->frame;
    while (frame != NULL && in_prelude(b, loc)) {
        loc = frame->call_loc;
        frame = frame->caller;
    }
    return loc;
}

void fbl_build_note_path(FblBuild *b, FblDiag *diag, FblLoc loc) {
    if (in_prelude(b, loc) && b->frame != NULL) {
        fbl_diag_note(b->ctx, diag, loc, "it arose here, inside the library's `%s`",
                      b->frame->symbol != NULL ? b->frame->symbol->name : "train");
    }
    if (b->frame != NULL && b->frame->caller != NULL && b->frame->caller->symbol != NULL) {
        fbl_diag_note(b->ctx, diag, FBL_NO_LOC, "in %s", b->frame->call_path);
    }
}

FblDiag *fbl_build_error(FblBuild *b, const char *id, FblLoc loc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = fbl_arena_vprintf(b->arena, format, args);
    va_end(args);
    FblDiag *diag = fbl_diag(b->ctx, FBL_ERROR, id, fbl_build_loc(b, loc), "%s", message);
    fbl_build_note_path(b, diag, loc);
    return diag;
}

bool fbl_build_exhausted(FblBuild *b, FblLoc loc) {
    if (b->fuel > 0) {
        b->fuel--;
        return false;
    }
    if (b->fuel == 0) {
        b->fuel = -1;
        fbl_build_error(b, "E0111", loc, "the program runs for more than %d statements at compile time",
                        FBL_BUILD_FUEL);
    }
    return true;
}

// ------------------------------------------------------------------------------------------------------ locals

FblLocal *fbl_frame_find(const FblFrame *frame, FblName name) {
    for (size_t i = frame->local_count; i > 0; i--) {
        if (frame->locals[i - 1].name == name) {
            return &frame->locals[i - 1];
        }
    }
    return NULL;
}

void fbl_frame_bind(FblBuild *b, FblFrame *frame, FblName name, FblVal value, FblLoc loc) {
    FblLocal *local = fbl_frame_find(frame, name);
    if (local != NULL) {
        local->value = value;
        local->loc = loc;
        return;
    }
    FblLocal fresh = {name, value, loc};
    FBL_PUSH(b->arena, frame->locals, frame->local_count, frame->local_capacity, fresh);
}

static FblAxisEntry *find_axis(FblAxisEntry *items, size_t count, FblName name) {
    for (size_t i = 0; i < count; i++) {
        if (items[i].name == name) {
            return &items[i];
        }
    }
    return NULL;
}

static const char *extent_text(FblBuild *b, int64_t extent) {
    return extent < 0 ? fbl_symbolic_text(b, extent) : fbl_arena_printf(b->arena, "%lld", (long long)extent);
}

bool fbl_frame_set_axis(FblBuild *b, FblFrame *frame, FblName name, int64_t extent, FblLoc loc) {
    FblAxisEntry *entry = find_axis(frame->axes, frame->axis_count, name);
    if (entry == NULL) {
        FblAxisEntry fresh = {name, extent, loc};
        FBL_PUSH(b->arena, frame->axes, frame->axis_count, frame->axis_capacity, fresh);
        return true;
    }
    if (entry->extent == extent) {
        return true;
    }
    FblDiag *diag = fbl_build_error(b, "E0112", loc, "the axis `%s` has the extent %s here, but %s elsewhere", name,
                                    extent_text(b, extent), extent_text(b, entry->extent));
    fbl_diag_note(b->ctx, diag, entry->loc, "here it has the extent %s", extent_text(b, entry->extent));
    return false;
}

void fbl_frame_replace_axis(FblBuild *b, FblFrame *frame, FblName name, int64_t extent, FblLoc loc) {
    FblAxisEntry *entry = find_axis(frame->axes, frame->axis_count, name);
    FblAxisEntry fresh = {name, extent, loc};
    if (entry != NULL) {
        *entry = fresh;
    } else {
        FBL_PUSH(b->arena, frame->axes, frame->axis_count, frame->axis_capacity, fresh);
    }
}

int64_t fbl_frame_axis(const FblFrame *frame, FblName name) {
    const FblAxisEntry *entry = find_axis(frame->axes, frame->axis_count, name);
    return entry != NULL ? entry->extent : 0;
}

FblLoc fbl_frame_axis_place(const FblFrame *frame, FblName name) {
    const FblAxisEntry *entry = find_axis(frame->axes, frame->axis_count, name);
    return entry != NULL ? entry->loc : FBL_NO_LOC;
}

int64_t fbl_build_axis(const FblBuild *b, FblName name) {
    const FblAxisEntry *entry = find_axis(b->axes, b->axis_count, name);
    return entry != NULL ? entry->extent : 0;
}

void fbl_build_set_axis(FblBuild *b, FblName name, int64_t extent, FblLoc loc) {
    FblAxisEntry *entry = find_axis(b->axes, b->axis_count, name);
    if (entry != NULL) {
        entry->extent = extent;
        entry->loc = loc;
        return;
    }
    FblAxisEntry fresh = {name, extent, loc};
    FBL_PUSH(b->arena, b->axes, b->axis_count, b->axis_capacity, fresh);
}

// ------------------------------------------------------------------------------------------------------- hints

typedef struct Names {
    const char **items;
    size_t count, capacity;
} Names;

static void add_unit(FblBuild *b, Names *names, const FblUnit *unit, bool callable) {
    for (size_t i = 0; i < unit->symbols.count; i++) {
        if ((unit->symbols.items[i]->decl->kind != FBL_DECL_CONST) == callable) {
            FBL_PUSH(b->arena, names->items, names->count, names->capacity, unit->symbols.items[i]->name);
        }
    }
}

void fbl_build_hint_name(FblBuild *b, FblDiag *diag, FblName name, bool callable) {
    Names names = {0};
    if (!callable && b->frame != NULL) {
        for (size_t i = 0; i < b->frame->local_count; i++) {
            FBL_PUSH(b->arena, names.items, names.count, names.capacity, b->frame->locals[i].name);
        }
    }
    const FblUnit *unit = b->frame != NULL ? b->frame->unit : b->program->root;
    add_unit(b, &names, unit, callable);
    for (size_t i = 0; i < unit->import_count; i++) {
        add_unit(b, &names, unit->imports[i], callable);
    }
    if (b->program->prelude != NULL) {
        add_unit(b, &names, b->program->prelude, callable);
    }
    if (callable) {
        const char *builtins[128];
        size_t count = fbl_builtin_names(builtins, 128);
        for (size_t i = 0; i < count; i++) {
            FBL_PUSH(b->arena, names.items, names.count, names.capacity, builtins[i]);
        }
    }
    const char *near = fbl_nearest_name(name, names.items, names.count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    }
}

#include "frontend/sema.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "frontend/library.h"

#ifndef FBL_LIBRARY_DIR
#define FBL_LIBRARY_DIR "models"
#endif
#define MAX_UNITS 1000

static FblSymbol *own_symbol(const FblUnit *unit, FblName name) {
    for (size_t i = 0; i < unit->symbols.count; i++) {
        if (unit->symbols.items[i]->name == name) {
            return unit->symbols.items[i];
        }
    }
    return NULL;
}

FblSymbol *fbl_unit_find(const FblProgram *program, const FblUnit *unit, FblName name) {
    FblSymbol *found = own_symbol(unit, name);
    for (size_t i = 0; found == NULL && i < unit->import_count; i++) {
        found = own_symbol(unit->imports[i], name);
    }
    return found == NULL && program->prelude != NULL ? own_symbol(program->prelude, name) : found;
}

static void add_symbols(FblProgram *program, FblUnit *unit) {
    FblContext *ctx = program->ctx;
    for (size_t i = 0; i < unit->ast->decl_count; i++) {
        const FblDecl *decl = unit->ast->decls[i];
        if (decl->kind == FBL_DECL_IMPORT || decl->kind == FBL_DECL_TRAIN) {
            continue;
        }
        FblSymbol *before = own_symbol(unit, decl->name.name);
        if (before != NULL) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0101", decl->name.loc, "`%s` is declared twice in this file",
                                     decl->name.name);
            fbl_diag_note(ctx, diag, before->decl->name.loc, "the first one");
            continue;
        }
        FblSymbol *symbol = FBL_NEW(program->arena, FblSymbol);
        symbol->name = decl->name.name;
        symbol->decl = decl;
        symbol->unit = unit;
        FBL_PUSH(program->arena, unit->symbols.items, unit->symbols.count, unit->symbols.capacity, symbol);
    }
}

static char *real_path(FblProgram *program, const char *path) {
    char *resolved = realpath(path, NULL);
    if (resolved == NULL) {
        return NULL;
    }
    char *copy = fbl_arena_strndup(program->arena, resolved, strlen(resolved));
    free(resolved);
    return copy;
}

// A file of a program before it is parsed.
typedef struct Found {
    const char *path; // as shown in diagnostics
    const char *key;  // equal for two paths to one file
    const char *text; // NULL: to be read from `path`
    size_t length;
} Found;

static FblStatus load_unit(FblProgram *program, const Found *found, FblUnit **out);

static uint32_t unit_index(const FblProgram *program, const FblUnit *unit) {
    uint32_t index = 0;
    while (program->units[index] != unit) {
        index++;
    }
    return index;
}

static Found bundled(FblProgram *program, uint32_t index) {
    const FblSource *file = &program->bundle->files[index];
    return (Found){file->path, fbl_arena_printf(program->arena, "#%u", index), file->text, file->length};
}

static bool on_disk(FblProgram *program, const char *path, Found *out) {
    const char *key = fbl_path_exists(path) ? real_path(program, path) : NULL;
    *out = (Found){path, key, NULL, 0};
    return key != NULL;
}

static bool built_in(FblProgram *program, const char *name, Found *out) {
    for (size_t i = 0; program->library_dir == NULL && i < fbl_library_count; i++) {
        if (strcmp(fbl_library[i].path, name) == 0) {
            const char *path = fbl_arena_printf(program->arena, "<library>/%s", name);
            *out = (Found){path, path, fbl_library[i].text, fbl_library[i].length};
            return true;
        }
    }
    return false;
}

// A file of the library by name; library_dir NULL: the copy inside the program.
static bool in_library(FblProgram *program, const char *name, Found *out) {
    return program->library_dir == NULL ? built_in(program, name, out)
                                        : on_disk(program, fbl_path_join(program->ctx, program->library_dir, name), out);
}

// Where an import is looked for: beside the importing file, then in the library. False when nowhere.
static bool find_import(FblProgram *program, const FblUnit *unit, const char *path, Found *out) {
    if (program->bundle != NULL) {
        uint32_t from = (uint32_t)strtoul(unit->path + 1, NULL, 10);
        for (size_t i = 0; i < program->bundle->link_count; i++) {
            const FblSourceLink *link = &program->bundle->links[i];
            if (link->from == from && strcmp(link->text, path) == 0) {
                *out = bundled(program, link->to);
                return true;
            }
        }
        return false;
    }
    if (path[0] == '/') {
        return on_disk(program, path, out);
    }
    const char *source = fbl_source_get(program->ctx, unit->file)->path;
    const char *beside = fbl_path_join(program->ctx, fbl_path_directory(program->ctx, source), path);
    if (strcmp(fbl_path_directory(program->ctx, source), ".") == 0 && strncmp(source, "./", 2) != 0) {
        beside = path; // diagnostics then show what the user wrote
    }
    return on_disk(program, beside, out) || in_library(program, path, out);
}

static FblStatus follow_imports(FblProgram *program, FblUnit *unit) {
    FblContext *ctx = program->ctx;
    FblStatus status = FBL_OK;
    for (size_t i = 0; i < unit->ast->decl_count; i++) {
        const FblDecl *decl = unit->ast->decls[i];
        if (decl->kind != FBL_DECL_IMPORT) {
            continue;
        }
        Found found;
        if (!find_import(program, unit, decl->import.path, &found)) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0103", decl->import.path_loc, "there is no file \"%s\"",
                                     decl->import.path);
            fbl_diag_hint(ctx, diag, "it is looked for beside this file, then in the library folder (--library DIR)");
            status = FBL_USER;
            continue;
        }
        FblUnit *imported = NULL;
        for (size_t j = 0; j < program->unit_count; j++) {
            if (strcmp(program->units[j]->path, found.key) == 0) {
                imported = program->units[j];
            }
        }
        if (imported != NULL && imported->loading) {
            status = imported == unit
                         ? fbl_error(ctx, "E0104", decl->import.path_loc, "this file imports itself")
                         : fbl_error(ctx, "E0104", decl->import.path_loc,
                                     "import cycle: \"%s\" imports this file, directly or through others",
                                     decl->import.path);
            continue;
        }
        bool again = false;
        for (size_t j = 0; j < unit->import_count; j++) {
            again |= unit->imports[j] == imported && imported != NULL;
        }
        if (again) {
            status = fbl_error(ctx, "E0105", decl->import.path_loc, "\"%s\" is imported twice", decl->import.path);
            continue;
        }
        if (imported == NULL) {
            FblStatus loaded = load_unit(program, &found, &imported);
            if (loaded != FBL_OK) {
                status = loaded;
                continue;
            }
        }
        FblSourceLink link = {unit_index(program, unit), unit_index(program, imported), decl->import.path};
        FBL_PUSH(program->arena, program->links, program->link_count, program->link_capacity, link);
        if (imported->is_prelude) {
            continue; // seen anyway
        }
        for (size_t j = 0; j < unit->import_count; j++) {
            for (size_t k = 0; k < unit->imports[j]->symbols.count; k++) {
                FblSymbol *mine = unit->imports[j]->symbols.items[k];
                FblSymbol *other = own_symbol(imported, mine->name);
                if (other != NULL && own_symbol(unit, mine->name) == NULL) {
                    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0106", decl->import.path_loc,
                                             "two imports declare `%s`", mine->name);
                    fbl_diag_note(ctx, diag, other->decl->name.loc, "here");
                    fbl_diag_note(ctx, diag, mine->decl->name.loc, "and here");
                    fbl_diag_hint(ctx, diag, "declare `%s` in this file to say which is meant", mine->name);
                    status = FBL_USER;
                }
            }
        }
        FBL_PUSH(program->arena, unit->imports, unit->import_count, unit->import_capacity, imported);
    }
    return status;
}

static FblStatus load_unit(FblProgram *program, const Found *found, FblUnit **out) {
    if (program->unit_count >= MAX_UNITS) {
        return fbl_error(program->ctx, "E0104", FBL_NO_LOC, "more than %d files are imported", MAX_UNITS);
    }
    FblUnit *unit = FBL_NEW(program->arena, FblUnit);
    unit->path = found->key;
    if (found->text != NULL) {
        if (found->length > FBL_SOURCE_MAX_BYTES) {
            return fbl_error(program->ctx, "E0103", FBL_NO_LOC, "the source text is too large");
        }
        uint32_t file = fbl_source_add(program->ctx, found->path, found->text, found->length);
        FBL_TRY(fbl_parse_source(program->ctx, file, &unit->ast));
    } else {
        FBL_TRY(fbl_parse_path(program->ctx, found->path, &unit->ast));
    }
    unit->file = unit->ast->file;
    FBL_PUSH(program->arena, program->units, program->unit_count, program->unit_capacity, unit);
    unit->loading = 1;
    add_symbols(program, unit);
    FblStatus status = follow_imports(program, unit);
    unit->loading = 0;
    *out = unit;
    return status;
}

static FblStatus load_prelude(FblProgram *program) {
    Found found;
    if (program->bundle != NULL) {
        found = bundled(program, program->bundle->prelude);
    } else if (!in_library(program, "prelude.fbl", &found)) {
        FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0107", FBL_NO_LOC, "the library's prelude \"%s\" is missing",
                                 found.path);
        fbl_diag_hint(program->ctx, diag, "--library DIR or the environment variable FBL_LIBRARY names its folder");
        return FBL_USER;
    }
    FBL_TRY(load_unit(program, &found, &program->prelude));
    program->prelude->is_prelude = true;
    return FBL_OK;
}

static void add_name(FblProgram *program, FblName **items, size_t *count, size_t *capacity, FblName name) {
    for (size_t i = 0; i < *count; i++) {
        if ((*items)[i] == name) {
            return;
        }
    }
    FBL_PUSH(program->arena, *items, *count, *capacity, name);
}

// A stage's name stands before the keys of settings and in names of files.
static bool survey_stage(FblProgram *program, const FblTrainEntry *stage) {
    static const char *const taken[] = {"train", "model", "loss", "optimizer", "dataset"};
    const char *name = stage->name.name;
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (strcmp(name, taken[i]) == 0) {
            FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0109", stage->name.loc, "a stage cannot be called `%s`", name);
            fbl_diag_hint(program->ctx, diag, "`--set %s.NAME=...` means something else already", name);
            return false;
        }
    }
    if (strlen(name) > FBL_STAGE_NAME_MAX) {
        fbl_diag(program->ctx, FBL_ERROR, "E0109", stage->name.loc, "the name of a stage has at most %d bytes", FBL_STAGE_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < program->stage_count; i++) {
        if (program->stages[i] == name) {
            fbl_diag(program->ctx, FBL_ERROR, "E0109", stage->name.loc, "there is a stage `%s` already", name);
            return false;
        }
    }
    add_name(program, &program->stages, &program->stage_count, &program->stage_capacity, name);
    return true;
}

// The names a caller may build, the train block, and what is wrong among train blocks.
static FblStatus survey(FblProgram *program) {
    FblUnit *root = program->root;
    FblStatus status = FBL_OK;
    for (size_t i = 0; i < root->symbols.count; i++) {
        const FblSymbol *symbol = root->symbols.items[i];
        if (symbol->decl->kind == FBL_DECL_LOSS) {
            add_name(program, &program->losses, &program->loss_count, &program->loss_capacity, symbol->name);
        } else if (symbol->decl->kind == FBL_DECL_MODEL) {
            add_name(program, &program->models, &program->model_count, &program->model_capacity, symbol->name);
        }
    }
    for (size_t u = 0; u < root->import_count; u++) {
        for (size_t i = 0; i < root->imports[u]->symbols.count; i++) {
            const FblSymbol *symbol = root->imports[u]->symbols.items[i];
            if (symbol->decl->kind == FBL_DECL_LOSS) {
                add_name(program, &program->losses, &program->loss_count, &program->loss_capacity, symbol->name);
            } else if (symbol->decl->kind == FBL_DECL_MODEL) {
                add_name(program, &program->models, &program->model_count, &program->model_capacity, symbol->name);
            }
        }
    }
    for (size_t i = 0; i < root->ast->decl_count; i++) {
        const FblDecl *decl = root->ast->decls[i];
        if (decl->kind != FBL_DECL_TRAIN) {
            continue;
        }
        if (program->train != NULL) {
            FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0108", decl->name.loc, "a file has one train block");
            fbl_diag_note(program->ctx, diag, program->train->name.loc, "the first one");
            fbl_diag_hint(program->ctx, diag, "`stage name { ... }` inside it changes the recipe for a part of the run");
            status = FBL_USER;
            continue;
        }
        program->train = decl;
        for (size_t j = 0; j < decl->train.count; j++) {
            if (decl->train.items[j].value == NULL && !survey_stage(program, &decl->train.items[j])) {
                status = FBL_USER;
            }
        }
    }
    return status;
}

FblStatus fbl_program_load(FblContext *ctx, const FblProgramOptions *options, FblProgram **out_program) {
    FblProgram *program = FBL_NEW(fbl_context_arena(ctx), FblProgram);
    program->ctx = ctx;
    program->arena = fbl_context_arena(ctx);
    program->bundle = options->bundle;
    program->library_dir = options->library_dir;
    const char *environment = getenv("FBL_LIBRARY");
    if (program->library_dir == NULL && environment != NULL && environment[0] != '\0') {
        program->library_dir = environment;
    } else if (program->library_dir == NULL && fbl_path_exists(FBL_LIBRARY_DIR "/prelude.fbl")) {
        program->library_dir = FBL_LIBRARY_DIR;
    }
    size_t errors = fbl_diag_error_count(ctx);
    FBL_TRY(load_prelude(program));
    Found found;
    if (program->bundle != NULL) {
        found = bundled(program, 0);
    } else if (options->text != NULL) {
        found = (Found){options->path, options->path, options->text, strlen(options->text)};
    } else if (!on_disk(program, options->path, &found)) {
        found.key = options->path; // reading it says what is wrong
    }
    if (strcmp(found.key, program->prelude->path) == 0) { // the prelude itself is looked at
        program->root = program->prelude;
    } else {
        FBL_TRY(load_unit(program, &found, &program->root));
    }
    FblStatus status = survey(program);
    *out_program = program;
    return status == FBL_OK && fbl_diag_error_count(ctx) > errors ? FBL_USER : status;
}

size_t fbl_program_losses(const FblProgram *program, const FblName **out_names) {
    *out_names = program->losses;
    return program->loss_count;
}

size_t fbl_program_models(const FblProgram *program, const FblName **out_names) {
    *out_names = program->models;
    return program->model_count;
}

size_t fbl_program_stages(const FblProgram *program, const FblName **out_names) {
    *out_names = program->stages;
    return program->stage_count;
}

FblSourceBundle fbl_program_bundle(const FblProgram *program) {
    // The root changes places with the first unit.
    uint32_t root = unit_index(program, program->root);
    FblSource *files = FBL_NEW_ARRAY(program->arena, FblSource, program->unit_count);
    for (uint32_t i = 0; i < program->unit_count; i++) {
        uint32_t to = i == root ? 0 : i == 0 ? root : i;
        files[to] = *fbl_source_get(program->ctx, program->units[i]->file);
    }
    FblSourceLink *links = FBL_NEW_ARRAY(program->arena, FblSourceLink, program->link_count + 1);
    for (size_t i = 0; i < program->link_count; i++) {
        FblSourceLink link = program->links[i];
        link.from = link.from == root ? 0 : link.from == 0 ? root : link.from;
        link.to = link.to == root ? 0 : link.to == 0 ? root : link.to;
        links[i] = link;
    }
    uint32_t prelude = unit_index(program, program->prelude);
    prelude = prelude == root ? 0 : prelude == 0 ? root : prelude;
    return (FblSourceBundle){files, program->unit_count, links, program->link_count, prelude};
}

bool fbl_program_has_train(const FblProgram *program) { return program->train != NULL; }

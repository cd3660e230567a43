#include "frontend/sema.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

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

static FblStatus load_unit(FblProgram *program, const char *path, const char *key, const char *text, FblUnit **out);

// Where an import is looked for: beside the importing file, then in the library. NULL when nowhere.
static const char *find_import(FblProgram *program, const FblUnit *unit, const char *path) {
    if (path[0] == '/') {
        return fbl_path_exists(path) ? path : NULL;
    }
    const char *source = fbl_source_get(program->ctx, unit->file)->path;
    const char *beside = fbl_path_join(program->ctx, fbl_path_directory(program->ctx, source), path);
    if (strcmp(fbl_path_directory(program->ctx, source), ".") == 0 && strncmp(source, "./", 2) != 0) {
        beside = path; // diagnostics then show what the user wrote
    }
    if (fbl_path_exists(beside)) {
        return beside;
    }
    const char *library = fbl_path_join(program->ctx, program->library_dir, path);
    return fbl_path_exists(library) ? library : NULL;
}

static FblStatus follow_imports(FblProgram *program, FblUnit *unit) {
    FblContext *ctx = program->ctx;
    FblStatus status = FBL_OK;
    for (size_t i = 0; i < unit->ast->decl_count; i++) {
        const FblDecl *decl = unit->ast->decls[i];
        if (decl->kind != FBL_DECL_IMPORT) {
            continue;
        }
        const char *path = find_import(program, unit, decl->import.path);
        const char *key = path == NULL ? NULL : real_path(program, path);
        if (key == NULL) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0103", decl->import.path_loc, "there is no file \"%s\"",
                                     decl->import.path);
            fbl_diag_hint(ctx, diag, "it is looked for beside this file, then in the library folder (--library DIR)");
            status = FBL_USER;
            continue;
        }
        FblUnit *imported = NULL;
        for (size_t j = 0; j < program->unit_count; j++) {
            if (strcmp(program->units[j]->path, key) == 0) {
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
            FblStatus loaded = load_unit(program, path, key, NULL, &imported);
            if (loaded != FBL_OK) {
                status = loaded;
                continue;
            }
        }
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

static FblStatus load_unit(FblProgram *program, const char *path, const char *key, const char *text, FblUnit **out) {
    if (program->unit_count >= MAX_UNITS) {
        return fbl_error(program->ctx, "E0104", FBL_NO_LOC, "more than %d files are imported", MAX_UNITS);
    }
    FblUnit *unit = FBL_NEW(program->arena, FblUnit);
    unit->path = key;
    if (text != NULL) {
        size_t length = strlen(text);
        if (length > FBL_SOURCE_MAX_BYTES) {
            return fbl_error(program->ctx, "E0103", FBL_NO_LOC, "the source text is too large");
        }
        FBL_TRY(fbl_parse_source(program->ctx, fbl_source_add(program->ctx, path, text, length), &unit->ast));
    } else {
        FBL_TRY(fbl_parse_path(program->ctx, path, &unit->ast));
    }
    unit->file = unit->ast->file;
    FBL_PUSH(program->arena, program->files, program->file_count, program->file_capacity, unit->file);
    FBL_PUSH(program->arena, program->units, program->unit_count, program->unit_capacity, unit);
    unit->loading = 1;
    add_symbols(program, unit);
    FblStatus status = follow_imports(program, unit);
    unit->loading = 0;
    *out = unit;
    return status;
}

static FblStatus load_prelude(FblProgram *program) {
    const char *path = fbl_path_join(program->ctx, program->library_dir, "prelude.fbl");
    const char *key = real_path(program, path);
    if (key == NULL) {
        FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0107", FBL_NO_LOC, "the library's prelude \"%s\" is missing",
                                 path);
        fbl_diag_hint(program->ctx, diag, "--library DIR or the environment variable FBL_LIBRARY names its folder");
        return FBL_USER;
    }
    FBL_TRY(load_unit(program, path, key, NULL, &program->prelude));
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
            if (decl->train.items[j].value == NULL) {
                add_name(program, &program->stages, &program->stage_count, &program->stage_capacity,
                         decl->train.items[j].name.name);
            }
        }
    }
    return status;
}

FblStatus fbl_program_load(FblContext *ctx, const FblProgramOptions *options, FblProgram **out_program) {
    FblProgram *program = FBL_NEW(fbl_context_arena(ctx), FblProgram);
    program->ctx = ctx;
    program->arena = fbl_context_arena(ctx);
    program->library_dir = options->library_dir;
    const char *environment = getenv("FBL_LIBRARY");
    if (program->library_dir == NULL) {
        program->library_dir = environment != NULL && environment[0] != '\0' ? environment : FBL_LIBRARY_DIR;
    }
    size_t errors = fbl_diag_error_count(ctx);
    FBL_TRY(load_prelude(program));
    const char *key = options->text != NULL ? options->path : real_path(program, options->path);
    if (key != NULL && strcmp(key, program->prelude->path) == 0) { // the prelude itself is looked at
        program->root = program->prelude;
    } else {
        FBL_TRY(load_unit(program, options->path, key != NULL ? key : options->path, options->text, &program->root));
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

size_t fbl_program_sources(const FblProgram *program, const uint32_t **out_files) {
    *out_files = program->files;
    return program->file_count;
}

bool fbl_program_has_train(const FblProgram *program) { return program->train != NULL; }

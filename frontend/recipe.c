#include "frontend/recipe.h"

#include <string.h>

static const char *const key_names[FBL_KEY_COUNT] = {
    [FBL_KEY_DATASET] = "dataset", [FBL_KEY_AUGMENT] = "augment",     [FBL_KEY_NORMALIZE] = "normalize",
    [FBL_KEY_MODEL] = "model",     [FBL_KEY_LOSS] = "loss",           [FBL_KEY_OPTIMIZER] = "optimizer",
    [FBL_KEY_RATE] = "rate",       [FBL_KEY_BATCH] = "batch",         [FBL_KEY_EPOCHS] = "epochs",
    [FBL_KEY_SEED] = "seed",       [FBL_KEY_SAMPLER] = "sampler",     [FBL_KEY_MIXUP] = "mixup",
    [FBL_KEY_FREEZE] = "freeze",   [FBL_KEY_REINIT] = "reinit",       [FBL_KEY_PREDICT] = "predict",
    [FBL_KEY_GROUPS] = "groups",
};

static int find_key(const char *name) {
    for (int i = 0; i < FBL_KEY_COUNT; i++) {
        if (strcmp(key_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

FblGiven *fbl_given_find(FblGivens *givens, FblName name) {
    for (size_t i = givens->count; i > 0; i--) { // the last one wins
        if (givens->items[i - 1].name == name) {
            return &givens->items[i - 1];
        }
    }
    return NULL;
}

static void unknown_key(FblBuild *b, const char *id, FblLoc loc, const char *what, const char *name) {
    FblDiag *diag = fbl_build_error(b, id, loc, "%s `%s`", what, name);
    const char *near = fbl_nearest_name(name, key_names, FBL_KEY_COUNT);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    } else {
        fbl_diag_hint(b->ctx, diag,
                      "keys are dataset, augment, normalize, model, loss, optimizer, rate, batch, epochs, seed, sampler, "
                      "mixup, freeze, reinit, predict, groups");
    }
}

// ----------------------------------------------------------------------------------------------- the train block

static bool read_entries(FblBuild *b, const FblTrainEntries *entries, FblRecipeExprs *out) {
    bool ok = true;
    FblLoc first[FBL_KEY_COUNT] = {{0, 0, 0}};
    for (size_t i = 0; i < entries->count; i++) {
        const FblTrainEntry *entry = &entries->items[i];
        if (entry->value == NULL) {
            continue; // a stage
        }
        int key = find_key(entry->name.name);
        if (key < 0) {
            unknown_key(b, "E0170", entry->name.loc, "a recipe has no key", entry->name.name);
            ok = false;
            continue;
        }
        if (first[key].file != 0) {
            FblDiag *diag = fbl_build_error(b, "E0171", entry->name.loc, "`%s` is given twice", key_names[key]);
            fbl_diag_note(b->ctx, diag, first[key], "the first one");
            ok = false;
            continue;
        }
        first[key] = entry->name.loc;
        out->items[key] = entry->value;
    }
    return ok;
}

static const FblTrainEntries *find_stage(FblBuild *b, const FblTrainEntries *entries, const char *stage) {
    const char *names[16];
    size_t count = 0;
    for (size_t i = 0; i < entries->count; i++) {
        const FblTrainEntry *entry = &entries->items[i];
        if (entry->value == NULL) {
            if (strcmp(entry->name.name, stage) == 0) {
                return &entry->stage;
            }
            if (count < 16) {
                names[count++] = entry->name.name;
            }
        }
    }
    FblDiag *diag = fbl_build_error(b, "E0170", b->program->train->name.loc, "the recipe has no stage `%s`", stage);
    const char *near = fbl_nearest_name(stage, names, count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    }
    return NULL;
}

// ----------------------------------------------------------------------------------------------------- settings

static bool axis_in_params(const FblSymbol *symbol, const char *name, const bool *axis_params) {
    const FblParamNodes *params = &symbol->decl->function.params;
    for (size_t i = 0; i < params->count; i++) {
        const FblTypeNode *type = params->items[i].type;
        if (type == NULL && axis_params[i] && strcmp(params->items[i].name.name, name) == 0) {
            return true;
        }
        for (size_t j = 0; type != NULL && j < type->axis_count; j++) {
            if (strcmp(type->axes[j].name.name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

// An axis that a model or loss in sight mentions in its signature.
static bool is_axis(FblBuild *b, const char *name) {
    const FblUnit *root = b->program->root;
    for (size_t u = 0; u <= root->import_count; u++) {
        const FblUnit *unit = u == 0 ? root : root->imports[u - 1];
        for (size_t i = 0; i < unit->symbols.count; i++) {
            FblSymbol *symbol = unit->symbols.items[i];
            FblDeclKind kind = symbol->decl->kind;
            if ((kind == FBL_DECL_MODEL || kind == FBL_DECL_LOSS) &&
                axis_in_params(symbol, name, fbl_axis_params(b->program, symbol))) {
                return true;
            }
        }
    }
    return strcmp(name, "class") == 0 || strcmp(name, "batch") == 0;
}

static FblGivens *argument_list(FblBuild *b, const char *prefix, FblRecipeExprs *out) {
    if (strcmp(prefix, "loss") == 0) {
        return &b->loss_args;
    }
    if (strcmp(prefix, "model") == 0) {
        return &b->model_args;
    }
    if (strcmp(prefix, "dataset") == 0) {
        return &out->dataset_args;
    }
    return strcmp(prefix, "optimizer") == 0 ? &out->optimizer_args : NULL;
}

// A place on disk is given as it is, without quotes: `--set dataset.dir=some/folder`.
static bool is_place(const char *key) {
    static const char *const keys[] = {"dataset.dir", "dataset.root", "dataset.train", "dataset.test", "dataset.pack"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static FblExpr *place(FblBuild *b, uint32_t file, const char *text) {
    FblExpr *expr = FBL_NEW(b->arena, FblExpr);
    FblStringPart part = {.loc = {file, 0, (uint32_t)strlen(text)}, .text = fbl_intern(b->ctx, text)};
    expr->kind = FBL_EXPR_STRING;
    expr->loc = part.loc;
    expr->depth = 1;
    FBL_PUSH(b->arena, expr->string.items, expr->string.count, expr->string.capacity, part);
    return expr;
}

// Whom a setting is meant for.
typedef enum Scope {
    SCOPE_EVERYWHERE,
    SCOPE_BLOCK, // train.KEY: the block itself
    SCOPE_STAGE, // NAME.KEY: the stage that is built
    SCOPE_OTHER, // NAME.KEY: another stage
} Scope;

// *out_key gets the rest of the key.
static Scope scope_of(const FblBuild *b, const char *key, const char **out_key) {
    *out_key = key;
    if (strncmp(key, "train.", 6) == 0) {
        *out_key = key + 6;
        return SCOPE_BLOCK;
    }
    for (size_t i = 0; i < b->program->stage_count; i++) {
        const char *name = b->program->stages[i];
        size_t length = strlen(name);
        if (strncmp(key, name, length) == 0 && key[length] == '.') {
            *out_key = key + length + 1;
            return b->options->stage != NULL && strcmp(b->options->stage, name) == 0 ? SCOPE_STAGE : SCOPE_OTHER;
        }
    }
    return SCOPE_EVERYWHERE;
}

static bool read_setting(FblBuild *b, const FblSetting *setting, const char *key, FblRecipeExprs *out) {
    size_t length = strlen(setting->value);
    if (length > 4096) {
        fbl_build_error(b, "E0174", FBL_NO_LOC, "the value of --set %s is longer than 4096 bytes", setting->key);
        return false;
    }
    const char *label = fbl_arena_printf(b->arena, "--set %s", setting->key);
    uint32_t file = fbl_source_add(b->ctx, label, setting->value, length);
    FblExpr *value = NULL;
    if (is_place(key) && setting->value[0] != '"') {
        value = place(b, file, setting->value);
    } else if (fbl_parse_expression(b->ctx, file, &value) != FBL_OK) {
        return false;
    }
    const char *dot = strchr(key, '.');
    if (dot != NULL) {
        FblName prefix = fbl_intern_n(b->ctx, key, (size_t)(dot - key));
        FblGivens *list = argument_list(b, prefix, out);
        if (list == NULL) {
            FblDiag *diag = fbl_build_error(b, "E0174", value->loc, "there is nothing to set under `%s`", prefix);
            fbl_diag_hint(b->ctx, diag, "arguments are set as loss.NAME, model.NAME, optimizer.NAME or dataset.NAME");
            return false;
        }
        FblGiven given = {.name = fbl_intern(b->ctx, dot + 1), .expr = value, .from_setting = true};
        FBL_PUSH(b->arena, list->items, list->count, list->capacity, given);
        return true;
    }
    int found = find_key(key);
    if (found >= 0) {
        out->items[found] = value;
    }
    if (found == FBL_KEY_BATCH || (found < 0 && is_axis(b, key))) { // `batch` is both
        int64_t extent;
        const char *what = fbl_arena_printf(b->arena, "the extent of `%s`", key);
        if (!fbl_val_to_extent(b, fbl_eval(b, value), value->loc, what, &extent)) {
            return false;
        }
        fbl_build_set_axis(b, fbl_intern(b->ctx, key), extent, value->loc);
        return true;
    }
    if (found >= 0) {
        return true;
    }
    unknown_key(b, "E0174", value->loc, "there is no recipe key and no axis", key);
    return false;
}

// Arguments given to a call of the block do not reach a stage that gives another call.
static bool stage_gives(const FblTrainEntries *stage, const char *key) {
    for (size_t i = 0; i < stage->count; i++) {
        size_t length = strlen(stage->items[i].name.name);
        if (strncmp(stage->items[i].name.name, key, length) == 0 && (key[length] == 0 || key[length] == '.')) {
            return true;
        }
    }
    return false;
}

static bool read_settings(FblBuild *b, Scope scope, const FblTrainEntries *stage, FblRecipeExprs *out) {
    bool ok = true;
    for (size_t i = 0; i < b->options->setting_count; i++) {
        const FblSetting *setting = &b->options->settings[i];
        const char *key;
        Scope found = scope_of(b, setting->key, &key);
        if (found == scope && !(scope == SCOPE_BLOCK && stage != NULL && stage_gives(stage, key))) {
            ok = read_setting(b, setting, key, out) && ok;
        }
    }
    return ok;
}

bool fbl_recipe_read(FblBuild *b, FblRecipeExprs *out) {
    bool ok = true;
    const FblBuildOptions *options = b->options;
    const FblDecl *train = b->program->train;
    memset(out, 0, sizeof *out);
    const FblTrainEntries *stage = NULL;
    if (train != NULL) {
        ok = read_entries(b, &train->train, out);
        if (options->stage != NULL) {
            stage = find_stage(b, &train->train, options->stage);
            ok = stage != NULL && ok;
        }
    } else if (options->stage != NULL) {
        fbl_build_error(b, "E0170", FBL_NO_LOC, "there is no train block, and so no stage `%s`", options->stage);
        ok = false;
    }
    ok = read_settings(b, SCOPE_BLOCK, stage, out) && ok;
    if (stage != NULL) {
        ok = read_entries(b, stage, out) && ok;
    }
    ok = read_settings(b, SCOPE_EVERYWHERE, stage, out) && ok;
    ok = read_settings(b, SCOPE_STAGE, stage, out) && ok;
    FblName batch = fbl_intern(b->ctx, "batch");
    FblName class_name = fbl_intern(b->ctx, "class");
    if (options->batch > 0) {
        fbl_build_set_axis(b, batch, options->batch, FBL_NO_LOC);
    }
    if (options->class_extent > 0 && fbl_build_axis(b, class_name) == 0) {
        fbl_build_set_axis(b, class_name, options->class_extent, FBL_NO_LOC);
    }
    return ok;
}

FblSymbol *fbl_recipe_callee(FblBuild *b, const FblExpr *expr, FblDeclKind kind, FblGivens *args) {
    bool call = expr->kind == FBL_EXPR_CALL && !expr->call.piped && expr->call.as == NULL;
    if (!call && expr->kind != FBL_EXPR_NAME) {
        FblDiag *diag = fbl_build_error(b, "E0172", expr->loc, "`%s` needs a call, found %s", fbl_decl_kind_text(kind),
                                        fbl_expr_describe(b->ctx, expr));
        fbl_diag_hint(b->ctx, diag, "write %s = name(argument=value)", fbl_decl_kind_text(kind));
        return NULL;
    }
    FblName name = call ? expr->call.callee.name : expr->name;
    FblLoc loc = call ? expr->call.callee.loc : expr->loc;
    FblSymbol *symbol = fbl_unit_find(b->program, b->program->root, name);
    if (symbol == NULL || symbol->decl->kind != kind) {
        FblDiag *diag = fbl_build_error(b, "E0173", loc, "there is no %s called `%s`", fbl_decl_kind_text(kind), name);
        const FblName *names;
        size_t count = kind == FBL_DECL_LOSS ? fbl_program_losses(b->program, &names)
                                             : fbl_program_models(b->program, &names);
        const char *near = fbl_nearest_name(name, names, count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        } else if (symbol != NULL) {
            fbl_diag_hint(b->ctx, diag, "`%s` is a %s", name, fbl_decl_kind_text(symbol->decl->kind));
        }
        return NULL;
    }
    FblGivens all = {0};
    for (size_t i = 0; call && i < expr->call.args.count; i++) {
        const FblArg *arg = &expr->call.args.items[i];
        if (arg->name.name == NULL || arg->to != NULL || arg->value->kind == FBL_EXPR_SLICE) {
            FblDiag *diag = fbl_build_error(b, "E0172", arg->loc, "the arguments of a recipe's %s are named",
                                            fbl_decl_kind_text(kind));
            fbl_diag_hint(b->ctx, diag, "write name=value; the inputs come from the data and the model by themselves");
            return NULL;
        }
        if (fbl_given_find(&all, arg->name.name) != NULL) {
            fbl_build_error(b, "E0138", arg->loc, "`%s` gets its parameter `%s` twice", name, arg->name.name);
            return NULL;
        }
        FblGiven given = {.name = arg->name.name, .expr = arg->value};
        FBL_PUSH(b->arena, all.items, all.count, all.capacity, given);
    }
    for (size_t i = 0; i < args->count; i++) {
        FBL_PUSH(b->arena, all.items, all.count, all.capacity, args->items[i]);
    }
    *args = all;
    return symbol;
}

#include "frontend/recipe.h"

#include <string.h>

#define MAX_PARAMS 12 // and one for the end

// The calls that are data: `name: argument kinds`. s string, i whole number, r number, b truth, c call of a group below.
typedef struct DataCall {
    const char *group; // of the recipe key or argument where it may stand
    const char *name;
    struct {
        const char *name;
        char kind;
        const char *group; // of a call
        bool required;
    } params[MAX_PARAMS + 1];
} DataCall;

#define COMMON {"imbalance", 'c', "imbalance", false}, {"seed", 'i', NULL, false}

#define ON_DISK {"bad_images", 's', NULL, false}, {"pack", 's', NULL, false}, {"pack_size", 'i', NULL, false}

static const DataCall data_calls[] = {
    {"dataset", "cifar10", {{"dir", 's', NULL, true}, COMMON}},
    {"dataset", "cifar100", {{"dir", 's', NULL, true}, COMMON}},
    {"dataset",
     "image_folder",
     {{"dir", 's', NULL, true}, COMMON, {"classes", 'i', NULL, false}, {"resize", 'i', NULL, false}, ON_DISK}},
    {"dataset",
     "image_list",
     {{"train", 's', NULL, true},
      {"test", 's', NULL, true},
      {"root", 's', NULL, true},
      {"classes", 'i', NULL, false},
      {"renumber", 'b', NULL, false},
      COMMON,
      ON_DISK}},
    {"imbalance", "exponential", {{"factor", 'r', NULL, true}}},
    {"imbalance", "step", {{"factor", 'r', NULL, true}}},
    {"augment", "random_crop", {{"size", 'i', NULL, true}, {"pad", 'i', NULL, false}}},
    {"augment", "random_flip", {{0}}},
    {"augment", "random_resized_crop", {{"size", 'i', NULL, true}}},
    {"augment", "resize", {{"size", 'i', NULL, true}}},
    {"augment", "center_crop", {{"size", 'i', NULL, true}}},
    {"augment",
     "color_jitter",
     {{"brightness", 'r', NULL, false},
      {"contrast", 'r', NULL, false},
      {"saturation", 'r', NULL, false},
      {"hue", 'r', NULL, false}}},
    {"augment", "cutout", {{"length", 'i', NULL, true}, {"count", 'i', NULL, false}}},
    {"augment", "auto_augment", {{0}}},
    {"augment", "rand_augment", {{"count", 'i', NULL, false}, {"magnitude", 'i', NULL, false}}},
    {"augment", "mixup", {{"alpha", 'r', NULL, true}}},
    {"augment", "cutmix", {{"alpha", 'r', NULL, true}}},
    {"sampler", "shuffle", {{0}}},
    {"sampler", "sequential", {{0}}},
    {"sampler", "balanced", {{0}}},
    {"sampler", "effective", {{"beta", 'r', NULL, false}}},
    {"sampler", "class_aware", {{0}}},
    {"sampler", "sqrt", {{0}}},
    {"sampler", "progressive", {{0}}},
    {"sampler", "reverse", {{0}}},
    {"normalize", "normalize", {{"mean", 'l', NULL, true}, {"std", 'l', NULL, true}}},
    {NULL, NULL, {{0}}},
};

static const DataCall *find_call(const char *group, const char *name) {
    for (const DataCall *row = data_calls; row->name != NULL; row++) {
        if (strcmp(row->group, group) == 0 && strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

static bool from_value(FblBuild *b, FblVal v, FblLoc loc, FblValue *out) {
    *out = (FblValue){.loc = loc};
    if (fbl_build_exhausted(b, loc)) {
        return false;
    }
    switch (v.kind) {
    case FBL_VAL_BOOL:
        out->kind = FBL_VALUE_BOOL;
        out->integer = v.integer;
        return true;
    case FBL_VAL_INT:
        if (v.symbolic) {
            break;
        }
        out->kind = FBL_VALUE_INT;
        out->integer = v.integer;
        out->real = (double)v.integer;
        return true;
    case FBL_VAL_REAL:
        out->kind = FBL_VALUE_REAL;
        out->real = v.real;
        return true;
    case FBL_VAL_STRING:
        out->kind = FBL_VALUE_STRING;
        out->string = v.string;
        return true;
    case FBL_VAL_SEQ:
        out->kind = FBL_VALUE_LIST;
        out->items = FBL_NEW_ARRAY(b->arena, FblValue, v.seq.count);
        out->keys = FBL_NEW_ARRAY(b->arena, const char *, v.seq.count);
        for (size_t i = 0; i < v.seq.count; i++) {
            if (!from_value(b, v.seq.items[i], loc, &out->items[i])) {
                return false;
            }
            out->keys[i] = v.seq.names != NULL ? v.seq.names[i] : NULL;
            out->count++;
        }
        return true;
    case FBL_VAL_POISON:
        return false;
    default:
        break;
    }
    fbl_build_error(b, "E0172", loc, "a recipe holds numbers, strings and lists, found %s", fbl_val_describe(b, v));
    return false;
}

static bool unknown_call(FblBuild *b, const char *group, const char *name, FblLoc loc) {
    FblDiag *diag = fbl_build_error(b, "E0173", loc, "there is no %s called `%s`", group, name);
    const char *names[32];
    size_t count = 0;
    const char *list = "";
    for (const DataCall *row = data_calls; row->name != NULL; row++) {
        if (strcmp(row->group, group) == 0 && count < 32) {
            list = fbl_arena_printf(b->arena, "%s%s%s", list, count == 0 ? "" : ", ", row->name);
            names[count++] = row->name;
        }
    }
    const char *near = fbl_nearest_name(name, names, count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    } else {
        fbl_diag_hint(b->ctx, diag, "there are %s", list);
    }
    return false;
}

static bool data_call(FblBuild *b, const char *group, const FblExpr *expr, FblValue *out);

static bool wrong_kind(FblBuild *b, const char *call, const char *param, const char *wanted, FblLoc loc) {
    fbl_build_error(b, "E0172", loc, "`%s` of `%s` must be %s", param, call, wanted);
    return false;
}

static bool argument(FblBuild *b, const DataCall *row, int at, const FblExpr *expr, FblValue *out) {
    const char *name = row->params[at].name;
    if (row->params[at].kind == 'c') {
        return data_call(b, row->params[at].group, expr, out);
    }
    if (!from_value(b, fbl_eval(b, expr), expr->loc, out)) {
        return false;
    }
    switch (row->params[at].kind) {
    case 's':
        return out->kind == FBL_VALUE_STRING || wrong_kind(b, row->name, name, "a string", expr->loc);
    case 'i':
        return (out->kind == FBL_VALUE_INT && out->integer >= 0 && out->integer <= INT32_MAX) ||
               wrong_kind(b, row->name, name, "a whole number of at least 0", expr->loc);
    case 'r':
        if (out->kind == FBL_VALUE_INT) {
            out->kind = FBL_VALUE_REAL;
        }
        return out->kind == FBL_VALUE_REAL || wrong_kind(b, row->name, name, "a number", expr->loc);
    case 'b':
        return out->kind == FBL_VALUE_BOOL || wrong_kind(b, row->name, name, "true or false", expr->loc);
    default:
        return out->kind == FBL_VALUE_LIST || wrong_kind(b, row->name, name, "a tuple of numbers", expr->loc);
    }
}

static int param_of(const DataCall *row, const char *name, size_t position) {
    for (int i = 0; row->params[i].name != NULL; i++) {
        if (name != NULL ? strcmp(row->params[i].name, name) == 0 : (size_t)i == position) {
            return i;
        }
    }
    return -1;
}

static bool bad_param(FblBuild *b, const DataCall *row, const char *name, FblLoc loc) {
    if (name == NULL) {
        fbl_build_error(b, "E0137", loc, "`%s` takes no further argument", row->name);
        return false;
    }
    const char *names[MAX_PARAMS + 1];
    size_t count = 0;
    for (; row->params[count].name != NULL; count++) {
        names[count] = row->params[count].name;
    }
    FblDiag *diag = fbl_build_error(b, "E0136", loc, "`%s` has no parameter `%s`", row->name, name);
    const char *near = fbl_nearest_name(name, names, count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    }
    return false;
}

// The argument `name`, however it was written.
static const FblValue *data_get(const FblValue *call, const char *group, const char *name) {
    const DataCall *row = find_call(group, call->string);
    return row == NULL ? NULL : fbl_value_get(call, name, param_of(row, name, 0));
}

static bool add_argument(FblBuild *b, const DataCall *row, const char *name, const FblExpr *expr, FblLoc loc,
                         size_t *position, FblValue *out, bool replace) {
    int at = param_of(row, name, *position);
    if (at < 0) {
        return bad_param(b, row, name, loc);
    }
    *position += name == NULL;
    const FblValue *before = fbl_value_get(out, row->params[at].name, at);
    size_t slot = before != NULL ? (size_t)(before - out->items) : out->count;
    if (before != NULL && !replace) {
        fbl_build_error(b, "E0138", loc, "`%s` gets its parameter `%s` twice", row->name, row->params[at].name);
        return false;
    }
    if (before == NULL) {
        out->keys[slot] = name != NULL ? row->params[at].name : NULL;
        out->count++;
    }
    return argument(b, row, at, expr, &out->items[slot]);
}

static bool data_call(FblBuild *b, const char *group, const FblExpr *expr, FblValue *out) {
    bool call = expr->kind == FBL_EXPR_CALL && !expr->call.piped && expr->call.as == NULL;
    *out = (FblValue){.loc = expr->loc};
    if (!call && expr->kind != FBL_EXPR_NAME) {
        fbl_build_error(b, "E0172", expr->loc, "`%s` needs a call, found %s", group, fbl_expr_describe(b->ctx, expr));
        return false;
    }
    FblName name = call ? expr->call.callee.name : expr->name;
    const DataCall *row = find_call(group, name);
    if (row == NULL) {
        return unknown_call(b, group, name, call ? expr->call.callee.loc : expr->loc);
    }
    out->kind = FBL_VALUE_CALL;
    out->string = name;
    out->items = FBL_NEW_ARRAY(b->arena, FblValue, MAX_PARAMS);
    out->keys = FBL_NEW_ARRAY(b->arena, const char *, MAX_PARAMS);
    bool ok = true;
    size_t position = 0;
    for (size_t i = 0; call && i < expr->call.args.count; i++) {
        const FblArg *arg = &expr->call.args.items[i];
        if (arg->to != NULL || arg->value->kind == FBL_EXPR_SLICE) {
            fbl_build_error(b, "E0129", arg->loc, "`%s` takes no such argument", name);
            ok = false;
            continue;
        }
        ok = add_argument(b, row, arg->name.name, arg->value, arg->loc, &position, out, false) && ok;
    }
    return ok;
}

static bool check_required(FblBuild *b, const FblValue *call, const char *group) {
    const DataCall *row = find_call(group, call->string);
    for (int i = 0; row->params[i].name != NULL; i++) {
        if (row->params[i].required && fbl_value_get(call, row->params[i].name, i) == NULL) {
            fbl_build_error(b, "E0139", call->loc, "`%s` needs `%s`", row->name, row->params[i].name);
            return false;
        }
    }
    return true;
}

static bool read_dataset(FblBuild *b, const FblRecipeExprs *exprs, FblValue *out) {
    const FblExpr *expr = exprs->items[FBL_KEY_DATASET];
    if (expr == NULL) {
        return true;
    }
    if (!data_call(b, "dataset", expr, out)) {
        return false;
    }
    const DataCall *row = find_call("dataset", out->string);
    for (size_t i = 0; i < exprs->dataset_args.count; i++) {
        const FblGiven *given = &exprs->dataset_args.items[i];
        size_t position = 0;
        if (!add_argument(b, row, given->name, given->expr, given->expr->loc, &position, out, true)) {
            return false;
        }
    }
    const FblValue *imbalance = data_get(out, "dataset", "imbalance");
    return check_required(b, out, "dataset") && (imbalance == NULL || check_required(b, imbalance, "imbalance"));
}

static bool read_augment(FblBuild *b, const FblExpr *expr, FblValue *out) {
    if (expr == NULL) {
        return true;
    }
    if (expr->kind != FBL_EXPR_LIST) {
        fbl_build_error(b, "E0172", expr->loc, "`augment` needs a list, found %s", fbl_expr_describe(b->ctx, expr));
        return false;
    }
    *out = (FblValue){.kind = FBL_VALUE_LIST, .loc = expr->loc};
    out->items = FBL_NEW_ARRAY(b->arena, FblValue, expr->list.count);
    out->keys = FBL_NEW_ARRAY(b->arena, const char *, expr->list.count);
    for (size_t i = 0; i < expr->list.count; i++) {
        if (!data_call(b, "augment", expr->list.items[i], &out->items[i]) ||
            !check_required(b, &out->items[i], "augment")) {
            return false;
        }
        out->count++;
    }
    return true;
}

static bool read_normalize(FblBuild *b, const FblExpr *expr, FblValue *out) {
    if (expr == NULL) {
        return true;
    }
    FblVal v = expr->kind == FBL_EXPR_TUPLE ? fbl_eval(b, expr) : FBL_ABSENT;
    FblValue tuple = {0};
    if (v.kind == FBL_VAL_POISON || (v.kind == FBL_VAL_SEQ && !from_value(b, v, expr->loc, &tuple))) {
        return false;
    }
    bool ok = v.kind == FBL_VAL_SEQ && tuple.count == 2;
    for (size_t i = 0; ok && i < 2; i++) {
        const FblValue *part = &tuple.items[i];
        ok = tuple.keys[i] != NULL && strcmp(tuple.keys[i], i == 0 ? "mean" : "std") == 0 &&
             part->kind == FBL_VALUE_LIST && part->count == 3;
        for (size_t j = 0; ok && j < 3; j++) {
            bool number = part->items[j].kind == FBL_VALUE_REAL || part->items[j].kind == FBL_VALUE_INT;
            ok = number && (i == 0 || part->items[j].real > 0);
        }
    }
    if (!ok) {
        FblDiag *diag = fbl_build_error(b, "E0172", expr->loc, "`normalize` needs a mean and a positive std per channel");
        fbl_diag_hint(b->ctx, diag, "write (mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))");
        return false;
    }
    tuple.kind = FBL_VALUE_CALL;
    tuple.string = "normalize";
    *out = tuple;
    return true;
}

static bool read_int(FblBuild *b, const FblExpr *expr, const char *name, int64_t least, int64_t *out) {
    if (expr == NULL) {
        return true;
    }
    const char *what = fbl_arena_printf(b->arena, "`%s`", name);
    if (!fbl_val_to_int(b, fbl_eval(b, expr), expr->loc, what, out)) {
        return false;
    }
    if (*out < least || *out > INT32_MAX) {
        fbl_build_error(b, "E0172", expr->loc, "`%s` must be at least %d, found %lld", name, (int)least,
                        (long long)*out);
        return false;
    }
    return true;
}

// The globs of `freeze` or `reinit`.
typedef struct Patterns {
    const char **items;
    size_t count, capacity;
    bool except; // everything but what they match
} Patterns;

static bool read_patterns(FblBuild *b, const char *key, const FblExpr *expr, Patterns *out) {
    *out = (Patterns){0};
    if (expr == NULL) {
        return true;
    }
    out->except = expr->kind == FBL_EXPR_CALL && strcmp(expr->call.callee.name, "except") == 0;
    if (!out->except && expr->kind != FBL_EXPR_LIST) {
        FblDiag *diag = fbl_build_error(b, "E0172", expr->loc, "`%s` needs patterns, found %s", key,
                                        fbl_expr_describe(b->ctx, expr));
        fbl_diag_hint(b->ctx, diag, "write [\"layer1.*\"] or except(\"linear.*\")");
        return false;
    }
    size_t count = out->except ? expr->call.args.count : expr->list.count;
    for (size_t i = 0; i < count; i++) {
        const FblExpr *item = out->except ? expr->call.args.items[i].value : expr->list.items[i];
        const char *pattern = fbl_eval_string(b, item);
        if (pattern == NULL) {
            return false;
        }
        FBL_PUSH(b->arena, out->items, out->count, out->capacity, pattern);
    }
    return true;
}

static bool read_freeze(FblBuild *b, const FblExpr *expr) {
    Patterns patterns;
    bool ok = read_patterns(b, "freeze", expr, &patterns);
    b->freeze = patterns.items;
    b->freeze_count = patterns.count;
    b->freeze_capacity = patterns.capacity;
    b->freeze_except = patterns.except;
    return ok;
}

static void add_matching(FblBuild *b, const Patterns *patterns, bool *used, const FblParamList *list, FblValue *paths,
                         size_t *capacity) {
    for (size_t p = 0; p < list->count; p++) {
        bool matched = false;
        for (size_t i = 0; i < patterns->count; i++) {
            if (fbl_glob_match(patterns->items[i], list->items[p].path)) {
                matched = true;
                used[i] = true;
            }
        }
        if (matched != patterns->except) {
            FblValue path = {.kind = FBL_VALUE_STRING, .string = list->items[p].path};
            FBL_PUSH(b->arena, paths->items, paths->count, *capacity, path);
        }
    }
}

bool fbl_recipe_reinit(FblBuild *b, const FblExpr *expr) {
    Patterns patterns;
    if (expr == NULL || !read_patterns(b, "reinit", expr, &patterns)) {
        return expr == NULL;
    }
    FblValue paths = {.kind = FBL_VALUE_LIST, .loc = expr->loc};
    size_t capacity = 0;
    bool *used = FBL_NEW_ARRAY(b->arena, bool, patterns.count + 1);
    add_matching(b, &patterns, used, &b->module->params, &paths, &capacity);
    add_matching(b, &patterns, used, &b->module->states, &paths, &capacity);
    for (size_t i = 0; i < patterns.count; i++) {
        if (!used[i]) {
            fbl_build_error(b, "E0165", expr->loc, "no parameter matches \"%s\"", patterns.items[i]);
            return false;
        }
    }
    b->module->recipe.reinit = paths;
    return true;
}

// mixup(alpha) and cutmix(alpha) among the augmentations: the step then takes two labels an image, like with the key `mixup`,
// whose value is 0 when there is cutmix alone.
static bool read_mixing(FblBuild *b, FblRecipe *recipe) {
    for (size_t i = 0; i < recipe->augment.count; i++) {
        const FblValue *call = &recipe->augment.items[i];
        bool mixup = strcmp(call->string, "mixup") == 0;
        if (!mixup && strcmp(call->string, "cutmix") != 0) {
            continue;
        }
        const FblValue *alpha = data_get(call, "augment", "alpha");
        if (!(alpha->real > 0 && alpha->real < 1e6)) {
            fbl_build_error(b, "E0172", alpha->loc, "`alpha` of `%s` must be above 0", call->string);
            return false;
        }
        if (recipe->mixup.kind == FBL_VALUE_NONE) {
            recipe->mixup = (FblValue){.kind = FBL_VALUE_REAL, .loc = call->loc};
        }
        if (mixup) {
            recipe->mixup.real = alpha->real;
        }
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------- extents

static void set_if_open(FblBuild *b, const char *axis, int64_t extent, FblLoc loc) {
    FblName name = fbl_intern(b->ctx, axis);
    if (extent > 0 && fbl_build_axis(b, name) == 0) {
        fbl_build_set_axis(b, name, extent, loc);
    }
}

static void extents_of_data(FblBuild *b, const FblRecipe *recipe) {
    const FblValue *data = &recipe->dataset;
    for (size_t i = recipe->augment.count; i > 0; i--) { // the last cut decides the size
        const FblValue *size = data_get(&recipe->augment.items[i - 1], "augment", "size");
        if (size != NULL && strcmp(recipe->augment.items[i - 1].string, "resize") != 0) {
            set_if_open(b, "height", size->integer, size->loc);
            set_if_open(b, "width", size->integer, size->loc);
        }
    }
    if (data->kind != FBL_VALUE_CALL) {
        return;
    }
    const FblValue *classes = data_get(data, "dataset", "classes");
    set_if_open(b, "channel", 3, data->loc);
    if (strncmp(data->string, "cifar", 5) == 0) {
        set_if_open(b, "class", strcmp(data->string, "cifar10") == 0 ? 10 : 100, data->loc);
        set_if_open(b, "height", 32, data->loc);
        set_if_open(b, "width", 32, data->loc);
    } else if (classes != NULL) {
        set_if_open(b, "class", classes->integer, data->loc);
    }
}

bool fbl_recipe_data(FblBuild *b, const FblRecipeExprs *exprs) {
    FblRecipe *recipe = &b->module->recipe;
    const FblBuildOptions *options = b->options;
    bool ok = read_dataset(b, exprs, &recipe->dataset);
    ok = read_augment(b, exprs->items[FBL_KEY_AUGMENT], &recipe->augment) && ok;
    ok = read_normalize(b, exprs->items[FBL_KEY_NORMALIZE], &recipe->normalize) && ok;
    const FblExpr *sampler = exprs->items[FBL_KEY_SAMPLER];
    if (sampler != NULL) {
        ok = data_call(b, "sampler", sampler, &recipe->sampler) && ok;
    }
    const FblExpr *mixup = exprs->items[FBL_KEY_MIXUP];
    double alpha = 0;
    if (mixup != NULL) {
        if (!fbl_val_to_real(b, fbl_eval(b, mixup), mixup->loc, "`mixup`", &alpha)) {
            ok = false;
        } else if (!(alpha >= 0)) {
            fbl_build_error(b, "E0172", mixup->loc, "`mixup` must be at least 0");
            ok = false;
        } else if (alpha > 0) {
            recipe->mixup = (FblValue){.kind = FBL_VALUE_REAL, .real = alpha, .loc = mixup->loc};
        }
    }
    ok = ok && read_mixing(b, recipe);
    int64_t seed = 0;
    ok = read_int(b, exprs->items[FBL_KEY_BATCH], "batch", 1, &recipe->batch) && ok;
    ok = read_int(b, exprs->items[FBL_KEY_EPOCHS], "epochs", 1, &recipe->epochs) && ok;
    ok = read_int(b, exprs->items[FBL_KEY_SEED], "seed", 0, &seed) && ok;
    ok = read_freeze(b, exprs->items[FBL_KEY_FREEZE]) && ok;
    recipe->seed = options->has_seed ? options->seed : (uint64_t)seed;
    FblName batch = fbl_intern(b->ctx, "batch");
    if (fbl_build_axis(b, batch) > 0) {
        recipe->batch = fbl_build_axis(b, batch);
    } else if (recipe->has_train || exprs->items[FBL_KEY_BATCH] != NULL) {
        fbl_build_set_axis(b, batch, recipe->batch, FBL_NO_LOC);
    }
    extents_of_data(b, recipe);
    return ok;
}

#include "ir/module_text.h"

#include <string.h>

#include "ir/reader.h"

// Deeper recipe values than this are not written by anybody.
#define MAX_DEPTH 32

static FblStatus read_bool(FblReader *r, bool *out_value) {
    *out_value = fbl_reader_at_word(r, "true");
    if (!*out_value && !fbl_reader_at_word(r, "false")) {
        return fbl_reader_expected(r, "true or false");
    }
    return fbl_reader_next(r);
}

static FblStatus read_value(FblReader *r, int depth, FblValue *out);

static FblStatus read_items(FblReader *r, int depth, char close, FblValue *out) {
    FblArena *arena = fbl_context_arena(r->ctx);
    size_t capacity = 0;
    size_t key_capacity = 0;
    size_t key_count = 0;
    FBL_TRY(fbl_reader_next(r));
    while (!fbl_reader_at(r, close)) {
        const char *key = NULL;
        FblReader ahead = *r;
        if (close == ')' && (r->token == FBL_TOKEN_WORD || r->token == FBL_TOKEN_STRING)) {
            FBL_TRY(fbl_reader_next(&ahead));
            if (fbl_reader_at(&ahead, '=')) {
                key = r->name;
                *r = ahead;
                FBL_TRY(fbl_reader_next(r));
            }
        }
        FblValue item;
        FBL_TRY(read_value(r, depth + 1, &item));
        FBL_PUSH(arena, out->items, out->count, capacity, item);
        FBL_PUSH(arena, out->keys, key_count, key_capacity, key);
        if (!fbl_reader_at(r, ',')) {
            break;
        }
        FBL_TRY(fbl_reader_next(r));
    }
    return fbl_reader_punct(r, close);
}

static FblStatus read_value(FblReader *r, int depth, FblValue *out) {
    *out = (FblValue){.loc = r->loc};
    if (depth > MAX_DEPTH) {
        return fbl_reader_expected(r, "a value that is less deep");
    }
    if (r->token == FBL_TOKEN_WORD || r->token == FBL_TOKEN_STRING) {
        FblReader ahead = *r;
        FBL_TRY(fbl_reader_next(&ahead));
        out->string = r->name;
        if (fbl_reader_at(&ahead, '(')) {
            out->kind = FBL_VALUE_CALL;
            *r = ahead;
            return read_items(r, depth, ')', out);
        }
        if (r->token == FBL_TOKEN_STRING) {
            out->kind = FBL_VALUE_STRING;
            *r = ahead;
            return FBL_OK;
        }
        out->string = NULL;
    }
    if (fbl_reader_at(r, '[')) {
        out->kind = FBL_VALUE_LIST;
        return read_items(r, depth, ']', out);
    }
    if (fbl_reader_at_word(r, "none")) {
        return fbl_reader_next(r);
    }
    if (fbl_reader_at_word(r, "true") || fbl_reader_at_word(r, "false")) {
        bool value;
        out->kind = FBL_VALUE_BOOL;
        FBL_TRY(read_bool(r, &value));
        out->integer = value;
        return FBL_OK;
    }
    if (r->token == FBL_TOKEN_NUMBER && r->is_integer) {
        out->kind = FBL_VALUE_INT;
        out->integer = r->integer;
        out->real = (double)r->integer;
        return fbl_reader_next(r);
    }
    out->kind = FBL_VALUE_REAL;
    return fbl_reader_double(r, &out->real);
}

static FblStatus read_init(FblReader *r, FblInit *out) {
    static const char *const kinds[] = {"constant", "normal", "uniform"};
    for (int kind = 0; kind < 3; kind++) {
        if (fbl_reader_at_word(r, kinds[kind])) {
            out->kind = (FblInitKind)kind;
            FBL_TRY(fbl_reader_next(r));
            FBL_TRY(fbl_reader_punct(r, '('));
            FBL_TRY(fbl_reader_double(r, &out->a));
            FBL_TRY(fbl_reader_punct(r, ','));
            FBL_TRY(fbl_reader_double(r, &out->b));
            return fbl_reader_punct(r, ')');
        }
    }
    return fbl_reader_expected(r, "constant, normal or uniform");
}

static FblStatus read_param(FblReader *r, FblParamList *list) {
    FblParam param = {.loc = r->loc};
    int64_t group = 0;
    FblType checked;
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_name(r, &param.path));
    FBL_TRY(fbl_reader_punct(r, ':'));
    FBL_TRY(fbl_reader_type(r, &param.type));
    FblAttr symbol = {.name_count = 1, .names = {param.path}};
    FBL_TRY(fbl_infer(r->ctx, FBL_OP_PARAM, NULL, 0, &symbol, &param.type, param.loc, &checked));
    FBL_TRY(fbl_reader_punct(r, '='));
    FBL_TRY(read_init(r, &param.init));
    FBL_TRY(fbl_reader_word(r, "trainable"));
    FBL_TRY(read_bool(r, &param.trainable));
    FBL_TRY(fbl_reader_word(r, "group"));
    FblLoc loc = r->loc;
    FBL_TRY(fbl_reader_integer(r, &group));
    if (group < 0 || group > INT32_MAX) {
        return fbl_error(r->ctx, "E0216", loc, "no such optimizer group");
    }
    param.group = (int32_t)group;
    FBL_PUSH(fbl_context_arena(r->ctx), list->items, list->count, list->capacity, param);
    return FBL_OK;
}

static FblStatus read_group(FblReader *r, FblRecipe *recipe, size_t *capacity) {
    FblOptimizerGroup group = {0};
    FBL_TRY(fbl_reader_next(r));
    if (fbl_reader_at_word(r, "none")) {
        FBL_TRY(fbl_reader_next(r));
    } else {
        FBL_TRY(fbl_reader_name(r, &group.pattern));
    }
    FBL_TRY(fbl_reader_word(r, "rate"));
    FBL_TRY(fbl_reader_double(r, &group.rate_scale));
    FBL_TRY(fbl_reader_word(r, "decay"));
    FBL_TRY(fbl_reader_double(r, &group.weight_decay));
    FBL_PUSH(fbl_context_arena(r->ctx), recipe->groups, recipe->group_count, *capacity, group);
    return FBL_OK;
}

static FblStatus read_recipe_field(FblReader *r, FblRecipe *recipe) {
    struct {
        const char *name;
        FblValue *value;
    } values[] = {{"dataset", &recipe->dataset},
                  {"augment", &recipe->augment},
                  {"normalize", &recipe->normalize},
                  {"sampler", &recipe->sampler},
                  {"mixup", &recipe->mixup},
                  {"reinit", &recipe->reinit}};
    if (r->token != FBL_TOKEN_WORD) {
        return fbl_reader_expected(r, "a field of the recipe or `}`");
    }
    FblName field = r->name;
    FblLoc loc = r->loc;
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_punct(r, '='));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(field, values[i].name) == 0) {
            return read_value(r, 0, values[i].value);
        }
    }
    if (strcmp(field, "train") == 0) {
        return read_bool(r, &recipe->has_train);
    }
    if (strcmp(field, "nesterov") == 0) {
        return read_bool(r, &recipe->nesterov);
    }
    if (strcmp(field, "batch") == 0) {
        return fbl_reader_integer(r, &recipe->batch);
    }
    if (strcmp(field, "epochs") == 0) {
        return fbl_reader_integer(r, &recipe->epochs);
    }
    if (strcmp(field, "seed") == 0) {
        if (r->token != FBL_TOKEN_NUMBER || !r->is_integer) {
            return fbl_reader_expected(r, "an integer");
        }
        recipe->seed = r->natural;
        return fbl_reader_next(r);
    }
    if (strcmp(field, "optimizer") == 0) {
        recipe->optimizer = fbl_reader_at_word(r, "adamw") ? FBL_OPT_ADAMW : FBL_OPT_SGD;
        if (recipe->optimizer == FBL_OPT_SGD && !fbl_reader_at_word(r, "sgd")) {
            return fbl_reader_expected(r, "sgd or adamw");
        }
        return fbl_reader_next(r);
    }
    if (strcmp(field, "predict") == 0) {
        return fbl_reader_name(r, &recipe->predict);
    }
    if (strcmp(field, "loss") == 0) {
        return fbl_reader_name(r, &recipe->loss_name);
    }
    return fbl_error(r->ctx, "E0216", loc, "a recipe has no field `%s`", field);
}

static FblStatus read_recipe(FblReader *r, FblRecipe *recipe) {
    size_t group_capacity = 0;
    recipe->loc = r->loc;
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_punct(r, '{'));
    while (!fbl_reader_at(r, '}')) {
        FBL_TRY(fbl_reader_at_word(r, "group") ? read_group(r, recipe, &group_capacity) : read_recipe_field(r, recipe));
    }
    return fbl_reader_punct(r, '}');
}

static FblStatus read_hyper(FblReader *r, FblModule *module) {
    FblHyper hyper;
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_name(r, &hyper.name));
    FBL_TRY(fbl_reader_punct(r, '='));
    FBL_TRY(fbl_reader_double(r, &hyper.value));
    FBL_PUSH(fbl_context_arena(r->ctx), module->hypers, module->hyper_count, module->hyper_capacity, hyper);
    return FBL_OK;
}

static FblStatus read_part(FblReader *r, FblModule *module) {
    struct {
        const char *name;
        FblGraph **graph;
    } slots[] = {{"train", &module->train},
                 {"eval", &module->eval},
                 {"epoch", &module->epoch},
                 {"optimizer", &module->optimizer}};
    if (fbl_reader_at_word(r, "param")) {
        return read_param(r, &module->params);
    }
    if (fbl_reader_at_word(r, "state")) {
        return read_param(r, &module->states);
    }
    if (fbl_reader_at_word(r, "hyper")) {
        return read_hyper(r, module);
    }
    if (fbl_reader_at_word(r, "recipe")) {
        return read_recipe(r, &module->recipe);
    }
    for (int i = 0; i < 4; i++) {
        if (fbl_reader_at_word(r, slots[i].name)) {
            if (*slots[i].graph != NULL) {
                return fbl_error(r->ctx, "E0216", r->loc, "the module has two `%s` graphs", slots[i].name);
            }
            FBL_TRY(fbl_reader_next(r));
            FBL_TRY(fbl_reader_punct(r, '='));
            return fbl_reader_graph(r, slots[i].graph);
        }
    }
    return fbl_reader_expected(r, "a part of the module or `}`");
}

FblStatus fbl_module_read(FblContext *ctx, uint32_t file, FblModule **out_module) {
    FblReader reader;
    FblModule *module = FBL_NEW(fbl_context_arena(ctx), FblModule);
    int64_t slots = 0;
    module->ctx = ctx;
    module->recipe = (FblRecipe){.batch = 64, .epochs = 1};
    FBL_TRY(fbl_reader_init(&reader, ctx, file));
    FBL_TRY(fbl_reader_word(&reader, "module"));
    FBL_TRY(fbl_reader_punct(&reader, '{'));
    FBL_TRY(fbl_reader_word(&reader, "slots"));
    FblLoc loc = reader.loc;
    FBL_TRY(fbl_reader_integer(&reader, &slots));
    if (slots < 0 || slots > 16) {
        return fbl_error(ctx, "E0216", loc, "a parameter has 0 to 16 optimizer slots");
    }
    module->slot_count = (int)slots;
    while (!fbl_reader_at(&reader, '}')) {
        FBL_TRY(read_part(&reader, module));
    }
    FBL_TRY(fbl_reader_next(&reader));
    if (reader.token != FBL_TOKEN_END) {
        return fbl_reader_expected(&reader, "the end of the text");
    }
    for (size_t i = 0; i < module->params.count; i++) {
        if (module->params.items[i].group > 0 && (size_t)module->params.items[i].group >= module->recipe.group_count) {
            return fbl_error(ctx, "E0216", module->params.items[i].loc, "no such optimizer group");
        }
    }
    *out_module = module;
    return FBL_OK;
}

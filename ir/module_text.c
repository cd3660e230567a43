#include "ir/module_text.h"

#include <inttypes.h>
#include <string.h>

#include "ir/print.h"

static void print_value(FblText *text, const FblValue *value) {
    switch (value->kind) {
    case FBL_VALUE_NONE:
        fbl_text_add(text, "none", 4);
        return;
    case FBL_VALUE_BOOL:
        fbl_text_printf(text, "%s", value->integer != 0 ? "true" : "false");
        return;
    case FBL_VALUE_INT:
        fbl_text_printf(text, "%" PRId64, value->integer);
        return;
    case FBL_VALUE_REAL: {
        size_t begin = text->length;
        fbl_text_double(text, value->real);
        if (strpbrk(text->data + begin, ".eni") == NULL) { // a real stays a real
            fbl_text_add(text, ".0", 2);
        }
        return;
    }
    case FBL_VALUE_STRING:
        fbl_text_quoted(text, value->string);
        return;
    case FBL_VALUE_LIST:
    case FBL_VALUE_CALL:
        break;
    }
    bool call = value->kind == FBL_VALUE_CALL;
    if (call) {
        fbl_text_name(text, value->string);
    }
    fbl_text_printf(text, "%s", call ? "(" : "[");
    for (size_t i = 0; i < value->count; i++) {
        fbl_text_printf(text, "%s", i == 0 ? "" : ", ");
        if (value->keys != NULL && value->keys[i] != NULL) {
            fbl_text_name(text, value->keys[i]);
            fbl_text_add(text, "=", 1);
        }
        print_value(text, &value->items[i]);
    }
    fbl_text_printf(text, "%s", call ? ")" : "]");
}

static void print_field(FblText *text, const char *name, const FblValue *value) {
    fbl_text_printf(text, "    %s = ", name);
    print_value(text, value);
    fbl_text_add(text, "\n", 1);
}

static void print_param(FblText *text, const char *what, const FblParam *param) {
    static const char *const kinds[] = {"constant", "normal", "uniform"};
    fbl_text_printf(text, "  %s ", what);
    fbl_text_name(text, param->path);
    fbl_text_add(text, " : ", 3);
    fbl_text_type(text, &param->type, true);
    fbl_text_printf(text, " = %s(", kinds[param->init.kind]);
    fbl_text_double(text, param->init.a);
    fbl_text_add(text, ", ", 2);
    fbl_text_double(text, param->init.b);
    fbl_text_printf(text, ") trainable %s group %d\n", param->trainable ? "true" : "false", (int)param->group);
}

static void print_recipe(FblText *text, const FblRecipe *recipe) {
    fbl_text_add(text, "  recipe {\n", 11);
    fbl_text_printf(text, "    train = %s\n", recipe->has_train ? "true" : "false");
    print_field(text, "dataset", &recipe->dataset);
    print_field(text, "augment", &recipe->augment);
    print_field(text, "normalize", &recipe->normalize);
    print_field(text, "sampler", &recipe->sampler);
    print_field(text, "mixup", &recipe->mixup);
    if (recipe->reinit.kind != FBL_VALUE_NONE) {
        print_field(text, "reinit", &recipe->reinit);
    }
    fbl_text_printf(text, "    batch = %" PRId64 "\n    epochs = %" PRId64 "\n    seed = %" PRIu64 "\n", recipe->batch,
                    recipe->epochs, recipe->seed);
    fbl_text_printf(text, "    optimizer = %s\n    nesterov = %s\n",
                    recipe->optimizer == FBL_OPT_ADAMW ? "adamw" : "sgd", recipe->nesterov ? "true" : "false");
    for (size_t i = 0; i < recipe->group_count; i++) {
        const FblOptimizerGroup *group = &recipe->groups[i];
        fbl_text_add(text, "    group ", 10);
        if (group->pattern == NULL) {
            fbl_text_add(text, "none", 4);
        } else {
            fbl_text_quoted(text, group->pattern);
        }
        fbl_text_add(text, " rate ", 6);
        fbl_text_double(text, group->rate_scale);
        fbl_text_add(text, " decay ", 7);
        fbl_text_double(text, group->weight_decay);
        fbl_text_add(text, "\n", 1);
    }
    if (recipe->predict != NULL) {
        fbl_text_add(text, "    predict = ", 14);
        fbl_text_quoted(text, recipe->predict);
        fbl_text_add(text, "\n", 1);
    }
    if (recipe->loss_name != NULL) {
        fbl_text_add(text, "    loss = ", 11);
        fbl_text_quoted(text, recipe->loss_name);
        fbl_text_add(text, "\n", 1);
    }
    fbl_text_add(text, "  }\n", 4);
}

const char *fbl_module_print(const FblModule *module) {
    const FblGraph *graphs[] = {module->train, module->eval, module->epoch, module->optimizer};
    static const char *const slots[] = {"train", "eval", "epoch", "optimizer"};
    FblText text;
    fbl_text_init(&text, fbl_context_arena(module->ctx));
    fbl_text_printf(&text, "module {\n  slots %d\n", module->slot_count);
    for (size_t i = 0; i < module->params.count; i++) {
        print_param(&text, "param", &module->params.items[i]);
    }
    for (size_t i = 0; i < module->states.count; i++) {
        print_param(&text, "state", &module->states.items[i]);
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        fbl_text_add(&text, "  hyper ", 8);
        fbl_text_name(&text, module->hypers[i].name);
        fbl_text_add(&text, " = ", 3);
        fbl_text_double(&text, module->hypers[i].value);
        fbl_text_add(&text, "\n", 1);
    }
    print_recipe(&text, &module->recipe);
    for (int i = 0; i < 4; i++) {
        if (graphs[i] != NULL) {
            fbl_text_printf(&text, "  %s = ", slots[i]);
            fbl_graph_print_to(&text, graphs[i], 2, false);
        }
    }
    fbl_text_add(&text, "}\n", 2);
    return text.data;
}

#include "frontend/recipe.h"

#include <string.h>

// ---------------------------------------------------------------------------------------------- inputs by name

// What kind of program the inputs are for: it decides who may offer them.
typedef struct Root {
    FblBuild *b;
    FblSymbol *symbol;
    FblGivens *givens;
    FblVal outputs; // of the model, for a loss; else NONE
    bool is_loss;
} Root;

static const FblInputShape *shape_of(const FblBuild *b, FblName name) {
    for (size_t i = 0; i < b->shape_count; i++) {
        if (strcmp(b->shapes[i].name, name) == 0) {
            return &b->shapes[i];
        }
    }
    return NULL;
}

static bool is_one_of(FblName name, const char *const *names) {
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *const trainer_scalars[] = {"epoch", "epochs", "step", "steps", NULL};
static const char *const trainer_tensors[] = {"label", "class_count", NULL};

static FblVal output_named(const Root *root, FblName name) {
    if (root->outputs.kind == FBL_VAL_SEQ && root->outputs.seq.names != NULL) {
        for (size_t i = 0; i < root->outputs.seq.count; i++) {
            if (root->outputs.seq.names[i] == name) {
                return root->outputs.seq.items[i];
            }
        }
    }
    return FBL_ABSENT;
}

// The tensor input that a parameter declares. During the second half of mixup `label` is the other label.
static FblVal tensor_input(Root *root, const FblParamNode *param, const FblType *type) {
    FblBuild *b = root->b;
    FblName symbol = param->name.name;
    if (b->second_pass && strcmp(symbol, "label") == 0) {
        symbol = fbl_intern(b->ctx, "label2");
    }
    return fbl_val_node(fbl_build_input(b, symbol, type, param->loc));
}

static FblVal scalar_input(FblBuild *b, FblName name, FblLoc loc) {
    FblType type = fbl_type_scalar(FBL_F32);
    return fbl_val_node(fbl_build_input(b, name, &type, loc));
}

static FblVal hyper(Root *root, FblName name, double value, FblLoc loc) {
    FblBuild *b = root->b;
    FblName symbol = fbl_intern(b->ctx, fbl_arena_printf(b->arena, "%s.%s", root->is_loss ? "loss" : "model", name));
    fbl_build_hyper(b, symbol, value);
    return scalar_input(b, symbol, loc);
}

// The value that the recipe or a setting gives, evaluated in the recipe's frame.
static FblVal given_value(Root *root, FblGiven *given, bool word, FblFrame *frame) {
    FblBuild *b = root->b;
    given->used = true;
    if (word && given->from_setting && given->expr->kind == FBL_EXPR_NAME) { // --set loss.kind=focal
        return fbl_val_string(given->expr->name);
    }
    b->frame = frame->caller;
    FblVal value = fbl_eval(b, given->expr);
    b->frame = frame;
    return value;
}

static FblVal nobody_offers(Root *root, const FblParamNode *param) {
    FblBuild *b = root->b;
    FblDiag *diag;
    FblName name = param->name.name;
    if (b->shapes != NULL) {
        diag = fbl_build_error(b, "E0161", param->loc, "the inputs given have no tensor `%s`, and it has no default", name);
        return FBL_POISON;
    }
    diag = fbl_build_error(b, "E0161", param->loc, "nothing offers `%s` of the %s `%s`, and it has no default", name,
                           fbl_decl_kind_text(root->symbol->decl->kind), root->symbol->name);
    const char *names[FBL_MAX_RANK + 32];
    size_t count = 0;
    const char *list = "";
    if (root->outputs.kind == FBL_VAL_SEQ && root->outputs.seq.names != NULL) {
        for (size_t i = 0; i < root->outputs.seq.count && count < 16; i++) {
            names[count++] = root->outputs.seq.names[i];
        }
    }
    for (int i = 0; root->is_loss && trainer_tensors[i] != NULL; i++) {
        names[count++] = trainer_tensors[i];
    }
    for (int i = 0; trainer_scalars[i] != NULL; i++) {
        names[count++] = trainer_scalars[i];
    }
    for (size_t i = 0; i < count; i++) {
        list = fbl_arena_printf(b->arena, "%s%s%s", list, i == 0 ? "" : ", ", names[i]);
    }
    const char *near = fbl_nearest_name(name, names, count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    } else if (root->is_loss) {
        fbl_diag_hint(b->ctx, diag, "the model and the trainer offer %s", list);
    } else {
        fbl_diag_hint(b->ctx, diag, "a model's first tensor is the image; the trainer offers %s", list);
    }
    return FBL_POISON;
}

// The type that a label or the class counts have when the loss declares none.
static bool default_type(FblBuild *b, FblName name, const FblParamNode *param, FblType *out) {
    bool label = strcmp(name, "label") == 0;
    FblTypeAxis axis = {{fbl_intern(b->ctx, label ? "batch" : "class"), param->loc}, NULL};
    FblTypeNode node = {.loc = param->loc,
                        .base = {fbl_intern(b->ctx, label ? "class" : "f32"), param->loc},
                        .has_axes = true,
                        .axes = &axis,
                        .axis_count = 1};
    return fbl_declared_type(b, &node, true, shape_of(b, name), out);
}

static FblVal typed_tensor(Root *root, const FblParamNode *param, size_t index) {
    FblBuild *b = root->b;
    FblName name = param->name.name;
    FblType type;
    const FblInputShape *shape = shape_of(b, name);
    bool image = !root->is_loss && index == 0;
    bool trainer = is_one_of(name, trainer_scalars) || (b->shapes == NULL && is_one_of(name, trainer_tensors));
    if (!image && !trainer && shape == NULL && (!b->free_inputs || b->shapes != NULL)) {
        return nobody_offers(root, param);
    }
    if (!fbl_declared_type(b, param->type, true, shape, &type)) {
        return FBL_POISON;
    }
    for (int i = 0; i < type.rank; i++) { // so that the next input agrees
        fbl_frame_set_axis(b, b->frame, type.axes[i].name, type.axes[i].extent, param->type->axes[i].name.loc);
        if (b->shapes != NULL && fbl_build_axis(b, type.axes[i].name) == 0) {
            fbl_build_set_axis(b, type.axes[i].name, type.axes[i].extent, param->loc);
        }
    }
    return tensor_input(root, param, &type);
}

// A parameter that stands for an axis: its extent from the recipe, or from outside.
static FblVal axis_input(Root *root, const FblParamNode *param, FblVal given, FblLoc given_loc) {
    FblBuild *b = root->b;
    FblName name = param->name.name;
    int64_t extent = fbl_build_axis(b, name);
    if (given.kind == FBL_VAL_AXIS) {
        return given;
    }
    if (given.kind != FBL_VAL_NONE) {
        const char *what = fbl_arena_printf(b->arena, "the axis `%s`", name);
        if (!fbl_val_to_extent(b, given, given_loc, what, &extent)) {
            return FBL_POISON;
        }
        fbl_build_set_axis(b, name, extent, given_loc);
    }
    if (extent == 0 && b->symbolic) {
        extent = fbl_symbolic_axis(b, name);
    }
    if (extent == 0) {
        FblDiag *diag = fbl_build_error(b, "E0144", param->loc, "the extent of the axis `%s` isn't known here", name);
        fbl_diag_hint(b->ctx, diag, "give it with --set %s=N%s", name,
                      strcmp(name, "class") == 0 ? ", or a dataset" : "");
        return FBL_POISON;
    }
    return fbl_val_axis(name, extent, param->loc);
}

static FblVal plain_param(Root *root, const FblParamNode *param, bool axis_param, FblFrame *frame, FblLoc *loc) {
    FblBuild *b = root->b;
    FblName name = param->name.name;
    FblGiven *given = fbl_given_find(root->givens, name);
    bool fixed = param->type != NULL && fbl_type_class(b, param->type) != FBL_TYPE_TENSOR;
    FblVal value = FBL_ABSENT;
    if (given != NULL) {
        *loc = given->expr->loc;
        value = given_value(root, given, fixed && fbl_type_class(b, param->type) == FBL_TYPE_STRING, frame);
        if (value.kind == FBL_VAL_POISON) {
            return value;
        }
        if (axis_param && param->default_value == NULL) {
            return axis_input(root, param, value, *loc);
        }
        return !fixed && fbl_val_is_number(value) && value.kind != FBL_VAL_BOOL
                   ? hyper(root, name, fbl_val_number(value), param->loc)
                   : value;
    }
    if (!fixed && is_one_of(name, trainer_scalars)) {
        return scalar_input(b, name, param->loc);
    }
    const FblInputShape *shape = shape_of(b, name);
    if (shape != NULL && param->default_value == NULL && !fixed && !axis_param && shape->rank == 0) {
        return scalar_input(b, name, param->loc);
    }
    if (!fixed && param->type == NULL && root->is_loss && is_one_of(name, trainer_tensors) &&
        param->default_value == NULL && (b->shapes == NULL || shape != NULL)) {
        FblType type;
        return default_type(b, name, param, &type) ? tensor_input(root, param, &type) : FBL_POISON;
    }
    if (param->default_value != NULL) {
        value = fbl_eval_argument(b, param->default_value, axis_param);
        *loc = param->default_value->loc;
        return !fixed && fbl_val_is_number(value) && value.kind != FBL_VAL_BOOL
                   ? hyper(root, name, fbl_val_number(value), param->loc)
                   : value;
    }
    if (fixed) {
        FblDiag *diag = fbl_build_error(b, "E0160", param->loc, "`%s` of `%s` has no default and is not given", name,
                                        root->symbol->name);
        fbl_diag_hint(b->ctx, diag, "write %s(%s=...) in the recipe, or --set %s.%s=...", root->symbol->name, name,
                      root->is_loss ? "loss" : "model", name);
        return FBL_POISON;
    }
    if (axis_param) {
        return axis_input(root, param, FBL_ABSENT, param->loc);
    }
    if (b->free_inputs && b->shapes == NULL) {
        return scalar_input(b, name, param->loc);
    }
    return nobody_offers(root, param);
}

static void bind_root(Root *root, FblFrame *frame, size_t index) {
    FblBuild *b = root->b;
    const FblParamNode *param = &root->symbol->decl->function.params.items[index];
    bool axis_param = fbl_axis_params(b->program, root->symbol)[index];
    FblVal output = output_named(root, param->name.name);
    FblLoc loc = param->loc;
    FblVal value;
    if (output.kind != FBL_VAL_NONE) {
        value = output;
    } else if (param->type != NULL && param->type->has_axes) {
        FblGiven *given = fbl_given_find(root->givens, param->name.name);
        if (given != NULL) {
            given->used = true;
            fbl_build_error(b, "E0172", given->expr->loc, "`%s` is an input of `%s`, not an argument for the recipe",
                            param->name.name, root->symbol->name);
            value = FBL_POISON;
        } else {
            value = typed_tensor(root, param, index);
        }
    } else {
        value = plain_param(root, param, axis_param, frame, &loc);
    }
    if (value.kind == FBL_VAL_POISON) {
        frame->poisoned = true;
    }
    fbl_bind_param(b, frame, param, value, loc);
}

static void unused_givens(Root *root) {
    FblBuild *b = root->b;
    const FblParamNodes *params = &root->symbol->decl->function.params;
    const char **names = FBL_NEW_ARRAY(b->arena, const char *, params->count);
    for (size_t i = 0; i < params->count; i++) {
        names[i] = params->items[i].name.name;
    }
    for (size_t i = 0; i < root->givens->count; i++) {
        const FblGiven *given = &root->givens->items[i];
        bool known = false;
        for (size_t j = 0; j < params->count; j++) {
            known |= given->name == names[j];
        }
        if (known) {
            continue;
        }
        FblDiag *diag = fbl_build_error(b, "E0136", given->expr->loc, "`%s` has no parameter `%s`", root->symbol->name,
                                        given->name);
        const char *near = fbl_nearest_name(given->name, names, params->count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        }
    }
}

// An int, bool or string that the recipe gives or whose default is a literal.
static bool known_early(const Root *root, const FblParamNode *param) {
    bool literal = param->default_value != NULL && (param->default_value->kind == FBL_EXPR_NUMBER ||
                                                    param->default_value->kind == FBL_EXPR_STRING);
    return param->type != NULL && !param->type->has_axes &&
           (literal || fbl_given_find(root->givens, param->name.name) != NULL);
}

// Instantiates a model or loss in b->graph; its result.
static FblVal run_root(Root *root, const char *path) {
    FblBuild *b = root->b;
    FblFrame *frame = fbl_frame_open(b, root->symbol, path, root->symbol->name, root->symbol->decl->name.loc);
    if (frame == NULL) {
        return FBL_POISON;
    }
    size_t errors = fbl_diag_error_count(b->ctx);
    // What is known before any tensor comes first: the extents of the inputs may be written with it (height=size).
    for (int early = 1; early >= 0; early--) {
        for (size_t i = 0; i < root->symbol->decl->function.params.count; i++) {
            if (known_early(root, &root->symbol->decl->function.params.items[i]) == (early == 1)) {
                bind_root(root, frame, i);
            }
        }
    }
    FblVal value = fbl_diag_error_count(b->ctx) == errors ? fbl_run_body(b, frame) : FBL_POISON;
    fbl_frame_close(b, frame);
    return value;
}

// ------------------------------------------------------------------------------------------------ model and loss

static void begin_graph(FblBuild *b, const char *name, bool training) {
    b->graph = fbl_graph_create(b->ctx, name);
    b->training = training;
    b->seen_count = 0;
    b->streams = 0;
    b->second_pass = false;
}

// The model's outputs as a sequence of named tensors.
static FblVal build_model(FblBuild *b, FblSymbol *model) {
    Root root = {.b = b, .symbol = model, .givens = &b->model_args, .outputs = FBL_ABSENT};
    FblVal value = run_root(&root, "");
    if (value.kind == FBL_VAL_POISON) {
        return value;
    }
    const FblIdents *results = &model->decl->function.results;
    if (results->count == 0) {
        FblDiag *diag = fbl_build_error(b, "E0162", model->decl->name.loc, "the model `%s` doesn't name its outputs",
                                        model->name);
        fbl_diag_hint(b->ctx, diag, "write `-> (feature, score)` before the body");
        return FBL_POISON;
    }
    FblVal seq = {.kind = FBL_VAL_SEQ};
    seq.seq.count = results->count;
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, results->count);
    seq.seq.names = FBL_NEW_ARRAY(b->arena, FblName, results->count);
    for (size_t i = 0; i < results->count; i++) {
        FblVal item = value.kind == FBL_VAL_SEQ ? value.seq.items[i] : value;
        FblNodeId node = fbl_val_to_node(b, item, FBL_F32, results->items[i].loc);
        if (node == FBL_NO_NODE) {
            return FBL_POISON;
        }
        seq.seq.names[i] = results->items[i].name;
        seq.seq.items[i] = fbl_val_node(node);
    }
    return seq;
}

static void output_roots(FblBuild *b, FblVal outputs) {
    for (size_t i = 0; i < outputs.seq.count; i++) {
        fbl_graph_root(b->graph, FBL_ROOT_OUTPUT, outputs.seq.names[i], outputs.seq.items[i].node);
    }
}

static FblNodeId build_loss_once(FblBuild *b, FblSymbol *loss, FblVal outputs) {
    Root root = {.b = b, .symbol = loss, .givens = &b->loss_args, .outputs = outputs, .is_loss = true};
    FblVal value = run_root(&root, "loss");
    const FblDecl *decl = loss->decl;
    if (value.kind == FBL_VAL_POISON) {
        return FBL_NO_NODE;
    }
    if (value.kind == FBL_VAL_SEQ) {
        fbl_build_error(b, "E0163", decl->name.loc, "a loss must return a scalar; `%s` returns %s", loss->name,
                        fbl_val_describe(b, value));
        return FBL_NO_NODE;
    }
    FblNodeId node = fbl_val_to_f32(b, value, decl->name.loc);
    if (node == FBL_NO_NODE) {
        return node;
    }
    FblType type = *fbl_graph_type(b->graph, node);
    if (type.rank > 0) {
        FblDiag *diag = fbl_build_error(b, "E0163", b->graph->nodes[node].loc, "a loss must return a scalar; this is %s",
                                        fbl_build_type_text(b, &type));
        const char *axes = type.axes[0].name;
        for (int i = 1; i < type.rank; i++) {
            axes = fbl_arena_printf(b->arena, "%s, %s", axes, type.axes[i].name);
        }
        fbl_diag_hint(b->ctx, diag, type.rank == 1 ? "mean(..., over=%s)" : "mean(..., over=(%s))", axes);
        return FBL_NO_NODE;
    }
    return node;
}

// With mixup the loss of both labels, blended by `mix`.
static FblNodeId build_loss(FblBuild *b, FblSymbol *loss, FblVal outputs, bool mixup) {
    FblNodeId first = build_loss_once(b, loss, outputs);
    if (first == FBL_NO_NODE || !mixup) {
        return first;
    }
    b->second_pass = true;
    FblNodeId second = build_loss_once(b, loss, outputs);
    b->second_pass = false;
    FblLoc loc = loss->decl->name.loc;
    FblVal mix = scalar_input(b, fbl_intern(b->ctx, "mix"), loc);
    FblVal gap = fbl_arith_binary(b, FBL_BINARY_SUB, fbl_val_node(first), fbl_val_node(second), loc);
    FblVal part = fbl_arith_binary(b, FBL_BINARY_MUL, mix, gap, loc);
    FblVal sum = fbl_arith_binary(b, FBL_BINARY_ADD, fbl_val_node(second), part, loc);
    return sum.kind == FBL_VAL_TENSOR ? sum.node : FBL_NO_NODE;
}

// What evaluation ranks: an output by name, or an expression over the outputs (and class_count), which becomes one.
static bool build_predict(FblBuild *b, const FblExpr *expr, FblVal outputs) {
    FblRecipe *recipe = &b->module->recipe;
    FblName score = fbl_intern(b->ctx, "score");
    FblName wanted = expr != NULL && expr->kind == FBL_EXPR_NAME ? expr->name : score;
    if (expr == NULL || expr->kind == FBL_EXPR_NAME) {
        for (size_t i = 0; i < outputs.seq.count; i++) {
            if (outputs.seq.names[i] == wanted) {
                recipe->predict = wanted;
                return true;
            }
        }
        if (expr == NULL && !recipe->has_train) {
            return true;
        }
        FblLoc loc = expr != NULL ? expr->loc : recipe->loc;
        FblDiag *diag = fbl_build_error(b, "E0164", loc, "the model has no output `%s` for evaluation", wanted);
        const char *near = fbl_nearest_name(wanted, outputs.seq.names, outputs.seq.count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        } else {
            fbl_diag_hint(b->ctx, diag, "`predict = name` says which output evaluation ranks");
        }
        return false;
    }
    size_t locals = b->frame->local_count;
    for (size_t i = 0; i < outputs.seq.count; i++) {
        fbl_frame_bind(b, b->frame, outputs.seq.names[i], outputs.seq.items[i], expr->loc);
    }
    FblName counts = fbl_intern(b->ctx, "class_count");
    FblName class_name = fbl_intern(b->ctx, "class");
    int64_t extent = fbl_build_axis(b, class_name);
    if (extent != 0) {
        FblType type = {.dtype = FBL_F32};
        fbl_type_add_axis(&type, class_name, extent);
        fbl_frame_bind(b, b->frame, counts, fbl_val_node(fbl_build_input(b, counts, &type, expr->loc)), expr->loc);
    }
    FblNodeId node = fbl_val_to_f32(b, fbl_eval(b, expr), expr->loc);
    b->frame->local_count = locals;
    recipe->predict = fbl_intern(b->ctx, "predict");
    fbl_graph_root(b->graph, FBL_ROOT_OUTPUT, recipe->predict, node);
    return node != FBL_NO_NODE;
}

// ------------------------------------------------------------------------------------------------------- builds

static FblBuild *begin(FblProgram *program, const FblBuildOptions *options, FblFrame *frame) {
    static const FblBuildOptions none;
    FblBuild *b = FBL_NEW(program->arena, FblBuild);
    b->ctx = program->ctx;
    b->arena = program->arena;
    b->program = program;
    b->options = options != NULL ? options : &none;
    b->symbolic = b->options->symbolic;
    b->fuel = FBL_BUILD_FUEL;
    b->work = FBL_BUILD_WORK;
    b->module = FBL_NEW(program->arena, FblModule);
    b->module->ctx = program->ctx;
    FblRecipe *recipe = &b->module->recipe;
    recipe->batch = 64;
    recipe->epochs = 1;
    recipe->has_train = program->train != NULL;
    recipe->loc = program->train != NULL ? program->train->name.loc : FBL_NO_LOC;
    recipe->groups = FBL_NEW_ARRAY(program->arena, FblOptimizerGroup, 1);
    recipe->groups[0].rate_scale = 1;
    recipe->group_count = 1;
    *frame = (FblFrame){.unit = program->root, .path = "", .call_path = ""};
    b->frame = frame;
    b->graph = fbl_graph_create(b->ctx, "recipe"); // constants of the recipe are evaluated over this one
    return b;
}

static bool warn_freeze(FblBuild *b, const FblExpr *expr) {
    for (size_t i = 0; i < b->freeze_count; i++) {
        bool matched = false;
        for (size_t p = 0; p < b->module->params.count && !matched; p++) {
            matched = fbl_glob_match(b->freeze[i], b->module->params.items[p].path);
        }
        if (!matched) {
            fbl_build_error(b, "E0165", expr->loc, "no parameter matches \"%s\"", b->freeze[i]);
            return false;
        }
    }
    return true;
}

static FblStatus build_training(FblBuild *b, const FblRecipeExprs *exprs) {
    FblRecipe *recipe = &b->module->recipe;
    FblSymbol *model = NULL;
    FblSymbol *loss = NULL;
    bool ok = fbl_recipe_data(b, exprs);
    static const FblRecipeKey needed[] = {FBL_KEY_MODEL, FBL_KEY_LOSS};
    for (int i = 0; i < 2; i++) {
        bool is_loss = needed[i] == FBL_KEY_LOSS;
        const FblExpr *expr = exprs->items[needed[i]];
        if (expr == NULL) {
            fbl_build_error(b, "E0166", recipe->loc, "the recipe has no `%s`", is_loss ? "loss" : "model");
            ok = false;
            continue;
        }
        FblSymbol *symbol = fbl_recipe_callee(b, expr, is_loss ? FBL_DECL_LOSS : FBL_DECL_MODEL,
                                              is_loss ? &b->loss_args : &b->model_args);
        Root root = {.b = b, .symbol = symbol, .givens = is_loss ? &b->loss_args : &b->model_args};
        if (symbol != NULL) {
            unused_givens(&root);
        }
        *(is_loss ? &loss : &model) = symbol;
        ok = ok && symbol != NULL;
    }
    if (!ok) {
        return FBL_USER;
    }
    recipe->loss_name = loss->name;
    size_t errors = fbl_diag_error_count(b->ctx);
    begin_graph(b, "train", true);
    FblVal outputs = build_model(b, model);
    if (outputs.kind != FBL_VAL_POISON) {
        FblNodeId node = build_loss(b, loss, outputs, recipe->mixup.kind == FBL_VALUE_REAL);
        fbl_graph_root(b->graph, FBL_ROOT_OUTPUT, fbl_intern(b->ctx, "loss"), node);
        output_roots(b, outputs);
        b->module->train = b->graph;
    }
    if (fbl_diag_error_count(b->ctx) == errors) { // the same mistakes once more would help nobody
        begin_graph(b, "eval", false);
        outputs = build_model(b, model);
        if (outputs.kind != FBL_VAL_POISON) {
            output_roots(b, outputs);
            build_predict(b, exprs->items[FBL_KEY_PREDICT], outputs);
            b->module->eval = b->graph;
        }
        warn_freeze(b, exprs->items[FBL_KEY_FREEZE]);
        fbl_recipe_reinit(b, exprs->items[FBL_KEY_REINIT]);
    }
    fbl_build_epoch(b, exprs);
    fbl_build_optimizer(b, exprs);
    return FBL_OK;
}

FblStatus fbl_program_build(FblProgram *program, const FblBuildOptions *options, FblModule **out_module) {
    FblFrame frame;
    size_t errors = fbl_diag_error_count(program->ctx);
    FblRecipeExprs exprs;
    FblBuild *b = begin(program, options, &frame);
    *out_module = NULL;
    if (!fbl_recipe_read(b, &exprs)) {
        return FBL_USER;
    }
    if (program->train == NULL && exprs.items[FBL_KEY_MODEL] == NULL) {
        FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0167", FBL_NO_LOC, "%s has no train block",
                                 fbl_source_get(program->ctx, program->root->file)->path);
        fbl_diag_hint(program->ctx, diag, "--set model=NAME --set loss=NAME stand in for one");
        return FBL_USER;
    }
    FblStatus status = build_training(b, &exprs);
    if (status == FBL_OK && fbl_diag_error_count(program->ctx) > errors) {
        status = FBL_USER;
    }
    if (status == FBL_OK) {
        *out_module = b->module;
    }
    return status;
}

static FblSymbol *find_root(FblProgram *program, const char *name, FblDeclKind kind) {
    FblSymbol *symbol = fbl_unit_find(program, program->root, fbl_intern(program->ctx, name));
    if (symbol != NULL && symbol->decl->kind == kind) {
        return symbol;
    }
    FblDiag *diag = fbl_diag(program->ctx, FBL_ERROR, "E0173", FBL_NO_LOC, "there is no %s called `%s`",
                             fbl_decl_kind_text(kind), name);
    const FblName *names;
    size_t count = kind == FBL_DECL_LOSS ? fbl_program_losses(program, &names) : fbl_program_models(program, &names);
    const char *near = fbl_nearest_name(name, names, count);
    if (near != NULL) {
        fbl_diag_hint(program->ctx, diag, "did you mean `%s`?", near);
    }
    return NULL;
}

// The extents that the recipe implies are known to a single loss or model too, but no argument of the recipe's.
static bool begin_single(FblBuild *b, bool with_recipe) {
    FblRecipeExprs exprs;
    if (!fbl_recipe_read(b, &exprs)) {
        return false;
    }
    return !with_recipe || b->program->train == NULL || fbl_recipe_data(b, &exprs);
}

FblStatus fbl_program_build_loss(FblProgram *program, const char *loss, const FblInputShape *shapes, size_t shape_count,
                                 const FblBuildOptions *options, FblModule **out_module) {
    FblFrame frame;
    size_t errors = fbl_diag_error_count(program->ctx);
    FblBuild *b = begin(program, options, &frame);
    *out_module = NULL;
    FblSymbol *symbol = find_root(program, loss, FBL_DECL_LOSS);
    if (symbol == NULL || !begin_single(b, shapes == NULL && !b->symbolic)) {
        return FBL_USER;
    }
    b->shapes = shapes;
    b->shape_count = shape_count;
    b->free_inputs = true;
    b->symbolic = shapes == NULL;
    Root root = {.b = b, .symbol = symbol, .givens = &b->loss_args};
    unused_givens(&root);
    begin_graph(b, "train", true);
    FblNodeId node = build_loss(b, symbol, FBL_ABSENT, false);
    if (node == FBL_NO_NODE || fbl_diag_error_count(program->ctx) > errors) {
        return FBL_USER;
    }
    fbl_graph_root(b->graph, FBL_ROOT_OUTPUT, fbl_intern(b->ctx, "loss"), node);
    b->module->train = b->graph;
    b->module->recipe.loss_name = symbol->name;
    *out_module = b->module;
    return FBL_OK;
}

FblStatus fbl_program_build_model(FblProgram *program, const char *model, const FblBuildOptions *options,
                                  FblModule **out_module) {
    FblFrame frame;
    size_t errors = fbl_diag_error_count(program->ctx);
    FblBuild *b = begin(program, options, &frame);
    *out_module = NULL;
    FblSymbol *symbol = find_root(program, model, FBL_DECL_MODEL);
    if (symbol == NULL || !begin_single(b, !b->symbolic)) {
        return FBL_USER;
    }
    b->free_inputs = true;
    Root root = {.b = b, .symbol = symbol, .givens = &b->model_args};
    unused_givens(&root);
    for (int training = 1; training >= 0; training--) {
        begin_graph(b, training ? "train" : "eval", training);
        FblVal outputs = build_model(b, symbol);
        if (outputs.kind == FBL_VAL_POISON || fbl_diag_error_count(program->ctx) > errors) {
            return FBL_USER;
        }
        output_roots(b, outputs);
        if (!training) {
            build_predict(b, NULL, outputs);
        }
        *(training ? &b->module->train : &b->module->eval) = b->graph;
    }
    *out_module = b->module;
    return FBL_OK;
}

FblStatus fbl_program_check(FblProgram *program, const FblBuildOptions *options, FblModule **out_module) {
    FblBuildOptions symbolic = options != NULL ? *options : (FblBuildOptions){0};
    FblStatus status = FBL_OK;
    FblModule *module = NULL;
    symbolic.symbolic = true;
    *out_module = NULL;
    if (program->train != NULL) {
        status = fbl_program_build(program, &symbolic, out_module);
        for (size_t i = 0; i < program->stage_count && symbolic.stage == NULL && status == FBL_OK; i++) {
            FblBuildOptions later = symbolic;
            later.stage = program->stages[i];
            status = fbl_program_build(program, &later, &module);
        }
    }
    // Arguments are for the recipe's own model and loss; only extents are settings for the others.
    FblSetting *extents = FBL_NEW_ARRAY(program->arena, FblSetting, symbolic.setting_count);
    size_t count = 0;
    static const char *const axes[] = {"class", "batch", "height", "width", "channel", NULL};
    for (size_t i = 0; i < symbolic.setting_count; i++) {
        if (is_one_of(symbolic.settings[i].key, axes) || program->train == NULL) {
            extents[count++] = symbolic.settings[i];
        }
    }
    symbolic.settings = extents;
    symbolic.setting_count = count;
    symbolic.stage = NULL;
    const FblUnit *root = program->root;
    for (size_t i = 0; i < root->symbols.count; i++) {
        const FblSymbol *symbol = root->symbols.items[i];
        FblStatus one = FBL_OK;
        if (symbol->decl->kind == FBL_DECL_LOSS) {
            one = fbl_program_build_loss(program, symbol->name, NULL, 0, &symbolic, &module);
        } else if (symbol->decl->kind == FBL_DECL_MODEL) {
            one = fbl_program_build_model(program, symbol->name, &symbolic, &module);
            if (program->train == NULL && one == FBL_OK) {
                *out_module = module;
            }
        }
        status = one != FBL_OK ? one : status;
    }
    return status;
}

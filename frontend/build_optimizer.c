#include "frontend/recipe.h"

#include <string.h>

void fbl_build_hyper(FblBuild *b, FblName name, double value) {
    FblModule *module = b->module;
    for (size_t i = 0; i < module->hyper_count; i++) {
        if (module->hypers[i].name == name) {
            module->hypers[i].value = value;
            return;
        }
    }
    FblHyper hyper = {name, value};
    FBL_PUSH(b->arena, module->hypers, module->hyper_count, module->hyper_capacity, hyper);
}

static FblNodeId scalar_input(FblBuild *b, const char *name, FblLoc loc) {
    FblType type = fbl_type_scalar(FBL_F32);
    return fbl_build_input(b, fbl_intern(b->ctx, name), &type, loc);
}

// -------------------------------------------------------------------------------------------------------- rate

bool fbl_build_epoch(FblBuild *b, const FblRecipeExprs *exprs) {
    const FblExpr *rate = exprs->items[FBL_KEY_RATE];
    b->graph = fbl_graph_create(b->ctx, "epoch");
    b->training = false;
    FblLoc loc = rate != NULL ? rate->loc : FBL_NO_LOC;
    size_t locals = b->frame->local_count;
    if (rate != NULL) {
        static const char *const names[] = {"epoch", "epochs"};
        for (int i = 0; i < 2; i++) {
            fbl_frame_bind(b, b->frame, fbl_intern(b->ctx, names[i]),
                           fbl_val_node(scalar_input(b, names[i], FBL_NO_LOC)), FBL_NO_LOC);
        }
    }
    FblVal value = rate != NULL ? fbl_eval(b, rate) : fbl_val_real(0.1);
    FblNodeId node = fbl_val_to_f32(b, value, loc);
    b->frame->local_count = locals;
    if (node == FBL_NO_NODE) {
        return false;
    }
    if (fbl_graph_type(b->graph, node)->rank != 0) {
        fbl_build_error(b, "E0172", loc, "`rate` must be a number, found %s",
                        fbl_build_type_text(b, fbl_graph_type(b->graph, node)));
        return false;
    }
    fbl_graph_root(b->graph, FBL_ROOT_OUTPUT, fbl_intern(b->ctx, "rate"), node);
    b->module->epoch = b->graph;
    return true;
}

// --------------------------------------------------------------------------------------------------- optimizer

typedef struct Setup {
    const char *name;
    double momentum, weight_decay, beta1, beta2, eps;
    bool nesterov;
    FblLoc loc;
} Setup;

static bool set_argument(FblBuild *b, Setup *setup, bool sgd, FblName name, const FblExpr *expr, FblLoc loc) {
    static const char *const sgd_names[] = {"momentum", "weight_decay", "nesterov"};
    static const char *const adam_names[] = {"beta1", "beta2", "eps", "weight_decay"};
    struct {
        const char *name;
        double *value;
        double below; // 0: no upper limit
    } fields[] = {{"momentum", &setup->momentum, 1},
                  {"weight_decay", &setup->weight_decay, 0},
                  {"beta1", &setup->beta1, 1},
                  {"beta2", &setup->beta2, 1},
                  {"eps", &setup->eps, 0}};
    const char *const *names = sgd ? sgd_names : adam_names;
    size_t count = sgd ? 3 : 4;
    bool known = false;
    for (size_t i = 0; i < count; i++) {
        known |= strcmp(names[i], name) == 0;
    }
    if (!known) {
        FblDiag *diag = fbl_build_error(b, "E0136", loc, "`%s` has no parameter `%s`", setup->name, name);
        const char *near = fbl_nearest_name(name, names, count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        } else {
            fbl_diag_hint(b->ctx, diag, sgd ? "it is sgd(momentum = 0, weight_decay = 0, nesterov = false)"
                                            : "it is adamw(beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01)");
        }
        return false;
    }
    const char *what = fbl_arena_printf(b->arena, "`%s` of `%s`", name, setup->name);
    FblVal value = fbl_eval(b, expr);
    if (strcmp(name, "nesterov") == 0) {
        return fbl_val_to_bool(b, value, expr->loc, what, &setup->nesterov);
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].name, name) != 0) {
            continue;
        }
        if (!fbl_val_to_real(b, value, expr->loc, what, fields[i].value)) {
            return false;
        }
        double v = *fields[i].value;
        if (!(v >= 0) || (fields[i].below != 0 && v >= fields[i].below)) {
            fbl_build_error(b, "E0172", expr->loc, "%s must be at least 0%s, found %g", what,
                            fields[i].below != 0 ? " and below 1" : "", v);
            return false;
        }
    }
    return true;
}

static bool read_setup(FblBuild *b, const FblRecipeExprs *exprs, Setup *out) {
    const FblExpr *expr = exprs->items[FBL_KEY_OPTIMIZER];
    *out = (Setup){.name = "sgd", .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    bool call = expr != NULL && expr->kind == FBL_EXPR_CALL;
    bool ok = true;
    if (expr != NULL) {
        if (!call && expr->kind != FBL_EXPR_NAME) {
            fbl_build_error(b, "E0172", expr->loc, "`optimizer` needs a call, found %s",
                            fbl_expr_describe(b->ctx, expr));
            return false;
        }
        out->name = call ? expr->call.callee.name : expr->name;
        out->loc = expr->loc;
    }
    bool sgd = strcmp(out->name, "sgd") == 0;
    if (!sgd && strcmp(out->name, "adamw") != 0) {
        FblDiag *diag = fbl_build_error(b, "E0173", call ? expr->call.callee.loc : expr->loc,
                                        "there is no optimizer called `%s`", out->name);
        fbl_diag_hint(b->ctx, diag, "there are sgd and adamw");
        return false;
    }
    if (!sgd) {
        out->weight_decay = 0.01;
    }
    for (size_t i = 0; call && i < expr->call.args.count; i++) {
        const FblArg *arg = &expr->call.args.items[i];
        if (arg->name.name == NULL) {
            fbl_build_error(b, "E0172", arg->loc, "the arguments of a recipe's optimizer are named");
            ok = false;
            continue;
        }
        ok = set_argument(b, out, sgd, arg->name.name, arg->value, arg->name.loc) && ok;
    }
    for (size_t i = 0; i < exprs->optimizer_args.count; i++) {
        const FblGiven *given = &exprs->optimizer_args.items[i];
        ok = set_argument(b, out, sgd, given->name, given->expr, given->expr->loc) && ok;
    }
    if (out->nesterov && out->momentum == 0) {
        fbl_build_error(b, "E0172", out->loc, "`nesterov` needs a momentum");
        ok = false;
    }
    return ok;
}

// groups = [group("linear.*", rate=10, weight_decay=0)]: group 0 is everything else.
static bool read_groups(FblBuild *b, const FblExpr *expr, double weight_decay) {
    FblRecipe *recipe = &b->module->recipe;
    size_t count = expr != NULL && expr->kind == FBL_EXPR_LIST ? expr->list.count : 0;
    recipe->groups = FBL_NEW_ARRAY(b->arena, FblOptimizerGroup, count + 1);
    recipe->groups[0] = (FblOptimizerGroup){NULL, 1, weight_decay};
    recipe->group_count = 1;
    if (expr != NULL && expr->kind != FBL_EXPR_LIST) {
        fbl_build_error(b, "E0172", expr->loc, "`groups` needs a list, found %s", fbl_expr_describe(b->ctx, expr));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const FblExpr *item = expr->list.items[i];
        FblOptimizerGroup group = {NULL, 1, weight_decay};
        if (item->kind != FBL_EXPR_CALL || strcmp(item->call.callee.name, "group") != 0) {
            FblDiag *diag = fbl_build_error(b, "E0172", item->loc, "`groups` lists calls of `group`");
            fbl_diag_hint(b->ctx, diag, "write group(\"linear.*\", rate=10, weight_decay=0)");
            return false;
        }
        for (size_t j = 0; j < item->call.args.count; j++) {
            const FblArg *arg = &item->call.args.items[j];
            const char *name = arg->name.name != NULL ? arg->name.name : "pattern";
            bool rate = strcmp(name, "rate") == 0;
            if (strcmp(name, "pattern") == 0) {
                group.pattern = fbl_eval_string(b, arg->value);
                if (group.pattern == NULL) {
                    return false;
                }
            } else if (rate || strcmp(name, "weight_decay") == 0) {
                double *field = rate ? &group.rate_scale : &group.weight_decay;
                if (!fbl_val_to_real(b, fbl_eval(b, arg->value), arg->value->loc, name, field)) {
                    return false;
                }
            } else {
                fbl_build_error(b, "E0136", arg->name.loc, "`group` has no parameter `%s`", name);
                return false;
            }
        }
        if (group.pattern == NULL) {
            fbl_build_error(b, "E0139", item->loc, "`group` needs `pattern`");
            return false;
        }
        recipe->groups[recipe->group_count++] = group;
    }
    for (size_t p = 0; p < b->module->params.count; p++) {
        FblParam *param = &b->module->params.items[p];
        for (size_t i = 1; i < recipe->group_count; i++) {
            if (fbl_glob_match(recipe->groups[i].pattern, param->path)) {
                param->group = (int32_t)i;
            }
        }
    }
    return true;
}

// torch.optim.SGD: g += wd * w; v = m * v + g (v starts at 0, so the first v is g); w -= rate * v.
static void build_sgd(FblBuild *b, const Setup *setup, FblNodeId w, FblNodeId g, FblNodeId rate, const FblType *flat) {
    FblLoc loc = setup->loc;
    FblNodeId step = g;
    if (setup->momentum > 0) {
        FblName name = fbl_intern(b->ctx, "optimizer.momentum");
        FblNodeId momentum = scalar_input(b, name, loc);
        fbl_build_hyper(b, name, setup->momentum);
        FblNodeId v = fbl_build_input(b, fbl_intern(b->ctx, "slot.0"), flat, loc);
        v = fbl_build_binary(b, FBL_OP_ADD, fbl_build_binary(b, FBL_OP_MUL, momentum, v, loc), g, loc);
        fbl_graph_root(b->graph, FBL_ROOT_UPDATE, fbl_intern(b->ctx, "slot.0"), v);
        b->module->slot_count = 1;
        step = v;
        if (setup->nesterov) {
            step = fbl_build_binary(b, FBL_OP_ADD, g, fbl_build_binary(b, FBL_OP_MUL, momentum, v, loc), loc);
        }
    }
    w = fbl_build_binary(b, FBL_OP_SUB, w, fbl_build_binary(b, FBL_OP_MUL, rate, step, loc), loc);
    fbl_graph_root(b->graph, FBL_ROOT_UPDATE, fbl_intern(b->ctx, "w"), w);
}

// x * a + y * (1 - a)
static FblNodeId blend(FblBuild *b, FblNodeId a, FblNodeId x, FblNodeId y, FblLoc loc) {
    // One node a statement: C leaves the order of arguments open, and with it the numbers of the nodes.
    FblNodeId rest = fbl_build_binary(b, FBL_OP_SUB, fbl_build_const(b, FBL_F32, 1, loc), a, loc);
    FblNodeId first = fbl_build_binary(b, FBL_OP_MUL, a, x, loc);
    FblNodeId second = fbl_build_binary(b, FBL_OP_MUL, rest, y, loc);
    return fbl_build_binary(b, FBL_OP_ADD, first, second, loc);
}

// 1 - a^t, without losing digits where a is close to 1.
static FblNodeId bias_correction(FblBuild *b, FblNodeId a, FblNodeId t, FblLoc loc) {
    FblNodeId log_a = fbl_build_unary(b, FBL_OP_LOG, a, loc);
    FblNodeId power = fbl_build_binary(b, FBL_OP_MUL, t, log_a, loc);
    return fbl_build_unary(b, FBL_OP_NEG, fbl_build_unary(b, FBL_OP_EXPM1, power, loc), loc);
}

// torch.optim.AdamW.
static void build_adamw(FblBuild *b, const Setup *setup, FblNodeId w, FblNodeId g, FblNodeId rate, FblNodeId decay,
                        const FblType *flat) {
    FblLoc loc = setup->loc;
    const struct {
        const char *name;
        double value;
    } hypers[] = {
        {"optimizer.beta1", setup->beta1}, {"optimizer.beta2", setup->beta2}, {"optimizer.eps", setup->eps}};
    FblNodeId h[3];
    for (int i = 0; i < 3; i++) {
        h[i] = scalar_input(b, hypers[i].name, loc);
        fbl_build_hyper(b, fbl_intern(b->ctx, hypers[i].name), hypers[i].value);
    }
    FblNodeId t = scalar_input(b, "t", loc);
    FblNodeId m = fbl_build_input(b, fbl_intern(b->ctx, "slot.0"), flat, loc);
    FblNodeId v = fbl_build_input(b, fbl_intern(b->ctx, "slot.1"), flat, loc);
    m = blend(b, h[0], m, g, loc);
    v = blend(b, h[1], v, fbl_build_binary(b, FBL_OP_MUL, g, g, loc), loc);
    FblNodeId root = fbl_build_unary(b, FBL_OP_SQRT, v, loc);
    FblNodeId scale = fbl_build_unary(b, FBL_OP_SQRT, bias_correction(b, h[1], t, loc), loc);
    FblNodeId below = fbl_build_binary(b, FBL_OP_ADD, fbl_build_binary(b, FBL_OP_DIV, root, scale, loc), h[2], loc);
    FblNodeId size = fbl_build_binary(b, FBL_OP_DIV, rate, bias_correction(b, h[0], t, loc), loc);
    FblNodeId one = fbl_build_const(b, FBL_F32, 1, loc);
    FblNodeId shrink =
        fbl_build_binary(b, FBL_OP_SUB, one, fbl_build_binary(b, FBL_OP_MUL, rate, decay, loc), loc);
    w = fbl_build_binary(b, FBL_OP_MUL, w, shrink, loc);
    w = fbl_build_binary(b, FBL_OP_SUB, w,
                         fbl_build_binary(b, FBL_OP_MUL, size, fbl_build_binary(b, FBL_OP_DIV, m, below, loc), loc), loc);
    fbl_graph_root(b->graph, FBL_ROOT_UPDATE, fbl_intern(b->ctx, "w"), w);
    fbl_graph_root(b->graph, FBL_ROOT_UPDATE, fbl_intern(b->ctx, "slot.0"), m);
    fbl_graph_root(b->graph, FBL_ROOT_UPDATE, fbl_intern(b->ctx, "slot.1"), v);
    b->module->slot_count = 2;
}

bool fbl_build_optimizer(FblBuild *b, const FblRecipeExprs *exprs) {
    Setup setup;
    if (!read_setup(b, exprs, &setup) || !read_groups(b, exprs->items[FBL_KEY_GROUPS], setup.weight_decay)) {
        return false;
    }
    bool sgd = strcmp(setup.name, "sgd") == 0;
    b->module->recipe.optimizer = sgd ? FBL_OPT_SGD : FBL_OPT_ADAMW;
    b->module->recipe.nesterov = setup.nesterov;
    b->graph = fbl_graph_create(b->ctx, "optimizer");
    FblType flat = {.dtype = FBL_F32};
    fbl_type_add_axis(&flat, fbl_intern(b->ctx, "param"), -1); // as many as the parameters turn out to have
    FblLoc loc = setup.loc;
    FblNodeId w = fbl_build_input(b, fbl_intern(b->ctx, "w"), &flat, loc);
    FblNodeId g = fbl_build_input(b, fbl_intern(b->ctx, "g"), &flat, loc);
    FblNodeId rate = scalar_input(b, "rate", loc);
    FblNodeId decay = scalar_input(b, "weight_decay", loc);
    fbl_build_hyper(b, fbl_intern(b->ctx, "optimizer.weight_decay"), setup.weight_decay);
    if (sgd) {
        g = fbl_build_binary(b, FBL_OP_ADD, g, fbl_build_binary(b, FBL_OP_MUL, decay, w, loc), loc);
        build_sgd(b, &setup, w, g, rate, &flat);
    } else {
        build_adamw(b, &setup, w, g, rate, decay, &flat);
    }
    b->module->optimizer = b->graph;
    return true;
}

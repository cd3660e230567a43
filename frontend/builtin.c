#include "frontend/sema.h"

#include <string.h>

static const FblBuiltin *const tables[] = {fbl_builtins_math, fbl_builtins_axes, fbl_builtins_nn};
#define TABLE_COUNT (sizeof tables / sizeof tables[0])

const FblBuiltin *fbl_builtin_find(const char *name) {
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        for (const FblBuiltin *row = tables[t]; row->name != NULL; row++) {
            if (strcmp(row->name, name) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

size_t fbl_builtin_names(const char **out, size_t capacity) {
    size_t count = 0;
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        for (const FblBuiltin *row = tables[t]; row->name != NULL && count < capacity; row++) {
            out[count++] = row->name;
        }
    }
    return count;
}

static int param_of(const FblBuiltin *builtin, const FblArg *arg, size_t position) {
    for (int i = 0; i < FBL_BUILTIN_ARGS && builtin->params[i].kind != FBL_ARG_END; i++) {
        FblArgKind kind = builtin->params[i].kind;
        if (kind == FBL_ARG_KEYED || kind == FBL_ARG_REST) {
            continue;
        }
        if (arg->name.name != NULL ? strcmp(builtin->params[i].name, arg->name.name) == 0 : (size_t)i == position) {
            return i;
        }
    }
    return -1;
}

static int special(const FblBuiltin *builtin, FblArgKind kind) {
    for (int i = 0; i < FBL_BUILTIN_ARGS && builtin->params[i].kind != FBL_ARG_END; i++) {
        if (builtin->params[i].kind == kind) {
            return i;
        }
    }
    return -1;
}

static const char *signature(FblBuild *b, const FblBuiltin *builtin) {
    const char *text = fbl_arena_printf(b->arena, "%s(", builtin->name);
    for (int i = 0; i < FBL_BUILTIN_ARGS && builtin->params[i].kind != FBL_ARG_END; i++) {
        FblArgKind kind = builtin->params[i].kind;
        text = fbl_arena_printf(b->arena, "%s%s%s%s", text, i == 0 ? "" : ", ",
                                kind == FBL_ARG_KEYED ? "axis = ..." : builtin->params[i].name,
                                kind == FBL_ARG_REST ? ", ..." : builtin->params[i].optional ? " = ..." : "");
    }
    return fbl_arena_printf(b->arena, "%s)", text);
}

static FblVal wrong_argument(FblBuild *b, const FblBuiltin *builtin, const FblArg *arg) {
    FblDiag *diag;
    if (arg->name.name == NULL) {
        diag = fbl_build_error(b, "E0137", arg->loc, "`%s` takes no further argument", builtin->name);
    } else {
        diag = fbl_build_error(b, "E0136", arg->name.loc, "`%s` has no parameter `%s`", builtin->name, arg->name.name);
        const char *names[FBL_BUILTIN_ARGS];
        size_t count = 0;
        for (int i = 0; i < FBL_BUILTIN_ARGS && builtin->params[i].kind != FBL_ARG_END; i++) {
            names[count++] = builtin->params[i].name;
        }
        const char *near = fbl_nearest_name(arg->name.name, names, count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
            return FBL_POISON;
        }
    }
    fbl_diag_hint(b->ctx, diag, "it is %s", signature(b, builtin));
    return FBL_POISON;
}

static FblVal eval_argument(FblBuild *b, FblArgKind kind, const FblExpr *expr) {
    switch (kind) {
    case FBL_ARG_AXES:
        return fbl_eval_axes(b, expr);
    case FBL_ARG_ANY: {
        if (expr->kind == FBL_EXPR_NAME && fbl_frame_find(b->frame, expr->name) == NULL) {
            FblSymbol *symbol = fbl_unit_find(b->program, b->frame->unit, expr->name);
            return symbol == NULL ? fbl_eval_axes(b, expr) : fbl_eval(b, expr);
        }
        return fbl_eval(b, expr);
    }
    case FBL_ARG_WORD:
        return expr->kind == FBL_EXPR_NAME ? fbl_val_string(expr->name) : fbl_eval(b, expr);
    default:
        return fbl_eval(b, expr);
    }
}

FblVal fbl_builtin_call(FblBuild *b, const FblBuiltin *builtin, const FblExpr *expr) {
    FblBuiltinCall call = {.b = b, .expr = expr, .loc = fbl_call_place(expr), .builtin = builtin};
    for (int i = 0; i < FBL_BUILTIN_ARGS; i++) {
        call.args[i] = FBL_ABSENT;
    }
    bool keyed = special(builtin, FBL_ARG_KEYED) >= 0;
    bool rest = special(builtin, FBL_ARG_REST) >= 0;
    call.rest = FBL_NEW_ARRAY(b->arena, FblVal, expr->call.args.count);
    size_t position = 0;
    bool ok = true;
    for (size_t i = 0; i < expr->call.args.count; i++) {
        const FblArg *arg = &expr->call.args.items[i];
        bool plain = arg->to == NULL && arg->value->kind != FBL_EXPR_SLICE;
        bool gathered = rest && arg->name.name == NULL; // what follows the gathered ones is named
        int at = plain && !gathered ? param_of(builtin, arg, position) : -1;
        position += arg->name.name == NULL && plain;
        if (at < 0 && keyed) {
            continue; // read by the built-in
        }
        if (at < 0 && rest && arg->name.name == NULL && plain) {
            call.rest[call.rest_count] = fbl_eval(b, arg->value);
            ok = ok && call.rest[call.rest_count].kind != FBL_VAL_POISON;
            call.rest_count++;
            continue;
        }
        if (at < 0) {
            return wrong_argument(b, builtin, arg);
        }
        if (call.args[at].kind != FBL_VAL_NONE) {
            fbl_build_error(b, "E0138", arg->loc, "`%s` gets its parameter `%s` twice", builtin->name,
                            builtin->params[at].name);
            return FBL_POISON;
        }
        call.args[at] = eval_argument(b, builtin->params[at].kind, arg->value);
        call.locs[at] = arg->value->loc;
        ok = ok && call.args[at].kind != FBL_VAL_POISON;
    }
    if (!ok) {
        return FBL_POISON;
    }
    for (int i = 0; i < FBL_BUILTIN_ARGS && builtin->params[i].kind != FBL_ARG_END; i++) {
        FblArgKind kind = builtin->params[i].kind;
        if (call.args[i].kind == FBL_VAL_NONE && !builtin->params[i].optional && kind != FBL_ARG_KEYED &&
            kind != FBL_ARG_REST) {
            FblDiag *diag = fbl_build_error(b, "E0139", expr->loc, "`%s` needs `%s`", builtin->name,
                                            builtin->params[i].name);
            fbl_diag_hint(b->ctx, diag, "it is %s", signature(b, builtin));
            return FBL_POISON;
        }
    }
    return builtin->fn(&call);
}

bool fbl_builtin_bare(FblBuild *b, FblName name, FblLoc loc, FblVal *out) {
    static const char *const names[] = {"zeros",          "ones",          "kaiming_normal", "kaiming_uniform",
                                        "xavier_uniform", "xavier_normal", "normal",         "uniform"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            FblExpr *call = FBL_NEW(b->arena, FblExpr);
            call->kind = FBL_EXPR_CALL;
            call->loc = loc;
            call->call.callee = (FblIdent){name, loc};
            *out = fbl_builtin_call(b, fbl_builtin_find(name), call);
            return true;
        }
    }
    return false;
}

#include "frontend/sema.h"

#include <string.h>

#define MAX_CALLS 100 // frames open at once; without recursion only a chain of that many functions gets there

// ------------------------------------------------------------------------------------------------------ frames

const char *fbl_path_dot(FblBuild *b, const char *a, const char *name) {
    if (a[0] == '\0' || name[0] == '\0') {
        return a[0] == '\0' ? name : a;
    }
    return fbl_arena_printf(b->arena, "%s.%s", a, name);
}

FblFrame *fbl_frame_open(FblBuild *b, FblSymbol *symbol, const char *path, const char *name, FblLoc loc) {
    int open = 0;
    for (const FblFrame *f = b->frame; f != NULL; f = f->caller) {
        open++;
        if (f->symbol == symbol) {
            FblDiag *diag = fbl_build_error(b, "E0133", loc, "`%s` calls itself, directly or through others",
                                            symbol->name);
            fbl_diag_note(b->ctx, diag, symbol->decl->name.loc, "`%s` is declared here", symbol->name);
            fbl_diag_hint(b->ctx, diag, "a %s can't be recursive; a `for` loop repeats",
                          fbl_decl_kind_text(symbol->decl->kind));
            return NULL;
        }
    }
    if (open >= MAX_CALLS) {
        fbl_build_error(b, "E0111", loc, "more than %d calls are open at once", MAX_CALLS);
        return NULL;
    }
    FblFrame *frame = FBL_NEW(b->arena, FblFrame);
    frame->caller = b->frame;
    frame->symbol = symbol;
    frame->unit = symbol->unit;
    frame->path = path;
    frame->call_loc = loc;
    frame->pure = symbol->decl->kind == FBL_DECL_FN;
    const char *outer = b->frame != NULL ? b->frame->call_path : "";
    frame->call_path = outer[0] == '\0' ? name : fbl_arena_printf(b->arena, "%s > %s", outer, name);
    b->frame = frame;
    return frame;
}

void fbl_frame_close(FblBuild *b, FblFrame *frame) { b->frame = frame->caller; }

FblVal fbl_run_body(FblBuild *b, FblFrame *frame) {
    const FblDecl *decl = frame->symbol->decl;
    fbl_eval_block(b, decl->function.body);
    if (!frame->returned) {
        if (!frame->poisoned) {
            FblDiag *diag = fbl_build_error(b, "E0134", decl->name.loc, "`%s` ends without `return`", decl->name.name);
            fbl_diag_hint(b->ctx, diag, "end its body with `return value`");
        }
        return FBL_POISON;
    }
    const FblIdents *results = &decl->function.results;
    FblVal value = frame->result;
    if (results->count == 0 || value.kind == FBL_VAL_POISON) {
        return value;
    }
    size_t count = value.kind == FBL_VAL_SEQ ? value.seq.count : 1;
    if (count != results->count) {
        fbl_build_error(b, "E0135", decl->function.results_loc, "`%s` declares %zu result%s but returns %zu",
                        decl->name.name, results->count, results->count == 1 ? "" : "s", count);
        return FBL_POISON;
    }
    if (value.kind == FBL_VAL_SEQ) {
        value.seq.names = FBL_NEW_ARRAY(b->arena, FblName, count);
        for (size_t i = 0; i < count; i++) {
            value.seq.names[i] = results->items[i].name;
        }
    }
    return value;
}

// --------------------------------------------------------------------------------------------------- arguments

typedef struct Argument {
    FblVal value; // NONE: not given
    FblLoc loc;
} Argument;

static int find_param(const FblParamNodes *params, FblName name) {
    for (size_t i = 0; i < params->count; i++) {
        if (params->items[i].name.name == name) {
            return (int)i;
        }
    }
    return -1;
}

// `name(x, planes: int, stride: int = 1)`
static const char *signature(FblBuild *b, const FblDecl *decl) {
    const char *text = fbl_arena_printf(b->arena, "%s(", decl->name.name);
    for (size_t i = 0; i < decl->function.params.count; i++) {
        const FblParamNode *p = &decl->function.params.items[i];
        text = fbl_arena_printf(b->arena, "%s%s%s%s%s%s", text, i == 0 ? "" : ", ", p->name.name,
                                p->type != NULL ? ": " : "", p->type != NULL ? p->type->base.name : "",
                                p->default_value != NULL ? " = ..." : "");
    }
    return fbl_arena_printf(b->arena, "%s)", text);
}

// The parameter that a keyword of no parameter's name fills with a new axis: the first open one that is used as an axis.
static int axis_slot(const FblParamNodes *params, const bool *axis_params, const Argument *args) {
    for (size_t i = 0; i < params->count; i++) {
        if (args[i].value.kind == FBL_VAL_NONE && params->items[i].type == NULL &&
            params->items[i].default_value == NULL && axis_params[i]) {
            return (int)i;
        }
    }
    return -1;
}

static bool unknown_keyword(FblBuild *b, const FblSymbol *symbol, const FblArg *arg) {
    const FblParamNodes *params = &symbol->decl->function.params;
    const char **names = FBL_NEW_ARRAY(b->arena, const char *, params->count);
    for (size_t i = 0; i < params->count; i++) {
        names[i] = params->items[i].name.name;
    }
    FblDiag *diag =
        fbl_build_error(b, "E0136", arg->name.loc, "`%s` has no parameter `%s`", symbol->name, arg->name.name);
    const char *near = fbl_nearest_name(arg->name.name, names, params->count);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    } else {
        fbl_diag_hint(b->ctx, diag, "it is %s", signature(b, symbol->decl));
    }
    return false;
}

// Evaluates the arguments in the caller's frame; false after a diagnostic (what could be matched is filled in).
static bool match_arguments(FblBuild *b, FblSymbol *symbol, const FblExpr *call, Argument *args) {
    const FblParamNodes *params = &symbol->decl->function.params;
    const bool *axis_params = fbl_axis_params(b->program, symbol);
    bool ok = true;
    size_t position = 0;
    for (size_t i = 0; i < call->call.args.count; i++) {
        const FblArg *arg = &call->call.args.items[i];
        if (arg->to != NULL || arg->value->kind == FBL_EXPR_SLICE) {
            fbl_build_error(b, "E0129", arg->loc, "`%s` takes no such argument", symbol->name);
            ok = false;
            continue;
        }
        int at = -1;
        if (arg->name.name == NULL) {
            if (position >= params->count) {
                FblDiag *diag = fbl_build_error(b, "E0137", arg->loc, "`%s` takes at most %zu argument%s",
                                                symbol->name, params->count, params->count == 1 ? "" : "s");
                fbl_diag_hint(b->ctx, diag, "it is %s", signature(b, symbol->decl));
                return false;
            }
            at = (int)position++;
        } else {
            at = find_param(params, arg->name.name);
            if (at < 0) {
                int slot = axis_slot(params, axis_params, args);
                const char *near = slot >= 0 ? NULL : "";
                if (near != NULL) {
                    ok = unknown_keyword(b, symbol, arg);
                    continue;
                }
                int64_t extent;
                const char *what = fbl_arena_printf(b->arena, "the new axis `%s`", arg->name.name);
                if (!fbl_val_to_extent(b, fbl_eval(b, arg->value), arg->value->loc, what, &extent)) {
                    ok = false;
                    args[slot] = (Argument){FBL_POISON, arg->loc};
                    continue;
                }
                args[slot] = (Argument){fbl_val_axis(arg->name.name, extent, arg->name.loc), arg->loc};
                continue;
            }
        }
        if (args[at].value.kind != FBL_VAL_NONE) {
            fbl_build_error(b, "E0138", arg->loc, "`%s` gets its parameter `%s` twice", symbol->name,
                            params->items[at].name.name);
            ok = false;
            continue;
        }
        args[at] = (Argument){fbl_eval_argument(b, arg->value, axis_params[at]), arg->value->loc};
        if (axis_params[at] && fbl_val_is_number(args[at].value)) {
            FblDiag *diag = fbl_build_error(b, "E0121", arg->value->loc, "`%s` of `%s` must be an axis, found %s",
                                            params->items[at].name.name, symbol->name,
                                            fbl_val_describe(b, args[at].value));
            if (args[at].value.kind == FBL_VAL_INT && params->items[at].default_value == NULL) {
                fbl_diag_hint(b->ctx, diag, "a new axis is made in place: hidden=%s", fbl_val_describe(b, args[at].value));
            }
            args[at].value = FBL_POISON;
        }
        ok = ok && args[at].value.kind != FBL_VAL_POISON;
    }
    return ok;
}

// What a call inside a loss leaves out is taken by name from the caller.
static bool take_from_caller(const FblFrame *caller, const FblSymbol *callee, const FblParamNode *param, bool axis,
                             Argument *out) {
    if (caller == NULL || caller->symbol == NULL || caller->symbol->decl->kind != FBL_DECL_LOSS) {
        return false;
    }
    if (callee->decl->kind != FBL_DECL_LOSS && param->default_value != NULL) {
        return false;
    }
    const FblLocal *local = fbl_frame_find(caller, param->name.name);
    if (local == NULL || (axis && local->value.kind != FBL_VAL_AXIS && local->value.kind != FBL_VAL_SEQ)) {
        return false;
    }
    *out = (Argument){local->value, local->loc};
    return true;
}

static void bind_arguments(FblBuild *b, FblFrame *frame, Argument *args) {
    FblSymbol *symbol = frame->symbol;
    const FblParamNodes *params = &symbol->decl->function.params;
    const bool *axis_params = fbl_axis_params(b->program, symbol);
    for (size_t i = 0; i < params->count; i++) {
        const FblParamNode *param = &params->items[i];
        if (args[i].value.kind == FBL_VAL_NONE &&
            !take_from_caller(frame->caller, symbol, param, axis_params[i], &args[i])) {
            if (param->default_value != NULL) {
                args[i] = (Argument){fbl_eval_argument(b, param->default_value, axis_params[i]), frame->call_loc};
            } else {
                b->frame = frame->caller; // the mistake is the caller's
                FblDiag *diag = fbl_build_error(b, "E0139", frame->call_loc, "`%s` needs `%s`", symbol->name,
                                                param->name.name);
                b->frame = frame;
                fbl_diag_hint(b->ctx, diag, "it is %s", signature(b, symbol->decl));
                args[i].value = FBL_POISON;
                frame->poisoned = true;
            }
        }
        fbl_bind_param(b, frame, param, args[i].value, args[i].loc);
    }
}

void fbl_bind_param(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc) {
    if (param->type != NULL && value.kind != FBL_VAL_POISON) {
        value = fbl_check_type(b, frame, param, value, arg_loc);
    }
    fbl_frame_bind(b, frame, param->name.name, value, arg_loc);
}

// ------------------------------------------------------------------------------------------------------- calls

static bool path_part(FblBuild *b, const FblExpr *call, const char **out) {
    const char *name = fbl_eval_string(b, call->call.as);
    if (name == NULL) {
        return false;
    }
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        if (*c <= ' ' || *c == 0x7f || *c == '"' || *c == '\\') {
            fbl_build_error(b, "E0132", call->call.as->loc,
                            "\"%s\" can't be a part of a parameter's path: no blanks, quotes or backslashes", name);
            return false;
        }
    }
    *out = name;
    return true;
}

// What may call what: a fn is pure, a loss is called by losses.
static bool may_call(FblBuild *b, const FblSymbol *symbol, const FblExpr *call) {
    const FblFrame *frame = b->frame;
    FblDeclKind kind = symbol->decl->kind;
    FblLoc loc = call->call.callee.loc;
    if (kind == FBL_DECL_CONST) {
        fbl_build_error(b, "E0127", loc, "`%s` is a constant, not a function", symbol->name);
        return false;
    }
    if (kind == FBL_DECL_FN) {
        return true;
    }
    if (frame->symbol == NULL) {
        fbl_build_error(b, "E0140", loc, "the %s `%s` can't be called here", fbl_decl_kind_text(kind), symbol->name);
        return false;
    }
    FblDeclKind caller = frame->symbol->decl->kind;
    if (frame->pure) {
        FblDiag *diag = fbl_build_error(b, "E0140", loc, "the fn `%s` can't call the %s `%s`", frame->symbol->name,
                                        fbl_decl_kind_text(kind), symbol->name);
        fbl_diag_hint(b->ctx, diag, "a fn has no parameters, state or random numbers; make `%s` a layer",
                      frame->symbol->name);
        return false;
    }
    if (kind == FBL_DECL_LOSS && caller != FBL_DECL_LOSS) {
        fbl_build_error(b, "E0140", loc, "the %s `%s` can't call the loss `%s`", fbl_decl_kind_text(caller),
                        frame->symbol->name, symbol->name);
        return false;
    }
    return true;
}

static FblVal call_symbol(FblBuild *b, FblSymbol *symbol, const FblExpr *call) {
    if (!may_call(b, symbol, call)) {
        return FBL_POISON;
    }
    const char *part = symbol->name;
    if (call->call.as != NULL && !path_part(b, call, &part)) {
        return FBL_POISON;
    }
    const FblParamNodes *params = &symbol->decl->function.params;
    Argument *args = FBL_NEW_ARRAY(b->arena, Argument, params->count + 1);
    for (size_t i = 0; i < params->count; i++) {
        args[i].value = FBL_ABSENT;
    }
    if (!match_arguments(b, symbol, call, args)) {
        return FBL_POISON;
    }
    bool fn = symbol->decl->kind == FBL_DECL_FN;
    const char *path = fn ? b->frame->path : fbl_path_dot(b, b->frame->path, part);
    FblFrame *frame = fbl_frame_open(b, symbol, path, part[0] == '\0' ? symbol->name : part, fbl_call_place(call));
    if (frame == NULL) {
        return FBL_POISON;
    }
    frame->unnamed = !fn && call->call.as == NULL;
    size_t errors = fbl_diag_error_count(b->ctx);
    bind_arguments(b, frame, args);
    // After a mistake in the arguments the body would only repeat it.
    FblVal value = fbl_diag_error_count(b->ctx) == errors ? fbl_run_body(b, frame) : FBL_POISON;
    fbl_frame_close(b, frame);
    return value;
}

FblLoc fbl_call_place(const FblExpr *call) {
    FblLoc loc = call->loc;
    if (call->call.piped) {
        loc.begin = call->call.callee.loc.begin;
    }
    return loc;
}

FblVal fbl_eval_call(FblBuild *b, const FblExpr *call) {
    FblName name = call->call.callee.name;
    FblSymbol *symbol = fbl_unit_find(b->program, b->frame->unit, name);
    if (symbol != NULL) {
        return call_symbol(b, symbol, call);
    }
    const FblBuiltin *builtin = fbl_builtin_find(name);
    if (builtin != NULL) {
        return fbl_builtin_call(b, builtin, call);
    }
    const FblLocal *local = fbl_frame_find(b->frame, name);
    if (local != NULL) {
        if (local->value.kind != FBL_VAL_POISON) {
            fbl_build_error(b, "E0127", call->call.callee.loc, "`%s` is %s, not a function", name,
                            fbl_val_describe(b, local->value));
        }
        return FBL_POISON;
    }
    FblDiag *diag = fbl_build_error(b, "E0141", call->call.callee.loc, "there is no function called `%s`", name);
    fbl_build_hint_name(b, diag, name, true);
    return FBL_POISON;
}

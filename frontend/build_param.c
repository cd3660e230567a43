#include "frontend/sema.h"

#include <math.h>
#include <string.h>

// -------------------------------------------------------------------------------------------------------- globs

bool fbl_glob_match(const char *pattern, const char *text) {
    const char *star = NULL; // the last `*` seen, and where its match ended
    const char *resume = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text || *pattern == '?') {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

bool fbl_is_frozen(const FblBuild *b, const char *path) {
    bool matched = false;
    for (size_t i = 0; i < b->freeze_count && !matched; i++) {
        matched = fbl_glob_match(b->freeze[i], path);
    }
    return matched != b->freeze_except;
}

bool fbl_is_training(const FblBuild *b) {
    const FblFrame *frame = b->frame;
    bool frozen = frame != NULL && frame->own_params > 0 && frame->own_frozen == frame->own_params;
    return b->training && !frozen;
}

// ------------------------------------------------------------------------------------------------ initial values

// Fans: the first axis is the output; the kernel's area counts on both sides. A symbolic extent counts as 1.
static void fans(const FblType *type, double *in, double *out) {
    *in = 1;
    *out = 1;
    for (int i = 0; i < type->rank; i++) {
        double extent = type->axes[i].extent > 0 ? (double)type->axes[i].extent : 1;
        if (i == 0) {
            *out *= extent;
        } else {
            *in *= extent;
            if (strncmp(type->axes[i].name, "kernel", 6) == 0) {
                *out *= extent;
            }
        }
    }
}

static bool resolve_init(FblBuild *b, FblVal value, const FblType *type, FblLoc loc, FblInit *out) {
    if (value.kind == FBL_VAL_POISON) {
        return false;
    }
    if (fbl_val_is_number(value)) {
        *out = (FblInit){FBL_INIT_CONSTANT, fbl_val_number(value), 0};
        return true;
    }
    if (value.kind != FBL_VAL_INIT) {
        FblDiag *diag = fbl_build_error(b, "E0147", loc, "an initial value is a number or an initialiser, found %s",
                                        fbl_val_describe(b, value));
        fbl_diag_hint(b->ctx, diag, "zeros, ones, normal(0, 0.01), uniform(-1, 1), kaiming_normal(fan=in), xavier_uniform");
        return false;
    }
    double in;
    double fan_out;
    fans(type, &in, &fan_out);
    double fan = value.init.fan_out ? fan_out : in;
    switch (value.init.kind) {
    case FBL_FILL_CONSTANT:
        *out = (FblInit){FBL_INIT_CONSTANT, value.init.a, 0};
        return true;
    case FBL_FILL_NORMAL:
        *out = (FblInit){FBL_INIT_NORMAL, value.init.a, value.init.b};
        return true;
    case FBL_FILL_UNIFORM:
        *out = (FblInit){FBL_INIT_UNIFORM, value.init.a, value.init.b};
        return true;
    case FBL_FILL_KAIMING_NORMAL:
        *out = (FblInit){FBL_INIT_NORMAL, 0, sqrt(2 / fan)};
        return true;
    case FBL_FILL_KAIMING_UNIFORM:
        *out = (FblInit){FBL_INIT_UNIFORM, -sqrt(6 / fan), sqrt(6 / fan)};
        return true;
    case FBL_FILL_XAVIER_NORMAL:
        *out = (FblInit){FBL_INIT_NORMAL, 0, sqrt(2 / (in + fan_out))};
        return true;
    case FBL_FILL_XAVIER_UNIFORM:
        *out = (FblInit){FBL_INIT_UNIFORM, -sqrt(6 / (in + fan_out)), sqrt(6 / (in + fan_out))};
        return true;
    }
    return false;
}

// ------------------------------------------------------------------------------------------------- declarations

static FblParam *find(FblParamList *list, FblName path) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].path == path) {
            return &list->items[i];
        }
    }
    return NULL;
}

// The innermost call without `as` whose parameters these are: its name is what clashes.
static const FblFrame *unnamed_call(const FblFrame *frame) {
    const FblFrame *found = NULL;
    for (const FblFrame *f = frame; f != NULL && f->symbol != NULL; f = f->caller) {
        if (f->unnamed && f->caller != NULL && f->caller->symbol != NULL) {
            found = f;
            break;
        }
    }
    return found;
}

static bool claim_path(FblBuild *b, FblName path, FblLoc loc) {
    const FblFrame *unnamed = unnamed_call(b->frame);
    FblLoc place = unnamed != NULL ? unnamed->call_loc : b->frame->call_loc.file != 0 ? b->frame->call_loc : loc;
    for (size_t i = 0; i < b->seen_count; i++) {
        if (b->seen_paths[i] != path) {
            continue;
        }
        b->path_errors++;
        FblFrame *inner = b->frame;
        if (unnamed != NULL) {
            b->frame = unnamed->caller;
            FblDiag *diag = fbl_build_error(b, "E0148", place, "two calls of `%s` own parameters under one path: `%s`",
                                            unnamed->symbol->name, path);
            b->frame = inner;
            fbl_diag_note(b->ctx, diag, b->seen_locs[i], "the first one");
            fbl_diag_hint(b->ctx, diag, "name each call: `... as %s1`", unnamed->symbol->name);
        } else {
            b->frame = inner->caller != NULL && inner->caller->symbol != NULL ? inner->caller : inner;
            FblDiag *diag = fbl_build_error(b, "E0149", place, "there are two parameters of the path `%s`", path);
            b->frame = inner;
            fbl_diag_note(b->ctx, diag, b->seen_locs[i], "the first one");
        }
        return false;
    }
    FblLoc shown = fbl_build_loc(b, place);
    FBL_PUSH(b->arena, b->seen_paths, b->seen_count, b->seen_capacity, path);
    b->seen_count--;
    FBL_PUSH(b->arena, b->seen_locs, b->seen_count, b->seen_loc_capacity, shown);
    return true;
}

static bool may_own(FblBuild *b, const FblStmt *stmt) {
    if (b->frame->pure || b->frame->symbol == NULL) {
        FblDiag *diag = fbl_build_error(b, "E0150", stmt->loc, "a fn can't own a %s",
                                        stmt->kind == FBL_STMT_PARAM ? "parameter" : "state");
        fbl_diag_hint(b->ctx, diag, "make `%s` a layer", b->frame->symbol != NULL ? b->frame->symbol->name : "it");
        return false;
    }
    return true;
}

// The tensor of a param or state statement in `list`, made when this build meets it first; its leaf is bound.
static void declare(FblBuild *b, const FblStmt *stmt, FblParamList *list, FblOp op) {
    FblFrame *frame = b->frame;
    FblIdent ident = stmt->variable.name;
    FblType type;
    FblInit init;
    fbl_frame_bind(b, frame, ident.name, FBL_POISON, ident.loc);
    if (!may_own(b, stmt) || !fbl_declared_type(b, stmt->variable.type, false, NULL, &type)) {
        return;
    }
    bool state = op == FBL_OP_STATE;
    if (type.dtype != FBL_F32 && !(state && type.dtype == FBL_I32)) {
        fbl_build_error(b, "E0151", stmt->variable.type->loc, "a %s must be f32%s", state ? "state" : "param",
                        state ? " or i32" : "");
        return;
    }
    if (!resolve_init(b, fbl_eval_argument(b, stmt->variable.init, false), &type, stmt->variable.init->loc, &init)) {
        return;
    }
    FblName path = fbl_intern(b->ctx, fbl_path_dot(b, frame->path, ident.name));
    FblParam *param = find(list, path);
    if (!(b->second_pass && state && param != NULL)) {
        if (find(state ? &b->module->params : &b->module->states, path) != NULL) {
            b->path_errors++;
            fbl_build_error(b, "E0149", ident.loc, "a parameter and a state have the path `%s`", path);
            return;
        }
        if (!claim_path(b, path, ident.loc)) {
            return;
        }
    }
    bool frozen = fbl_is_frozen(b, path);
    if (param == NULL) {
        FblParam fresh = {.path = path, .type = type, .init = init, .loc = fbl_build_loc(b, ident.loc)};
        fresh.trainable = !state && !frozen;
        FBL_PUSH(b->arena, list->items, list->count, list->capacity, fresh);
    } else if (!fbl_type_equal(&param->type, &type)) {
        fbl_build_error(b, "E0149", ident.loc, "`%s` is %s in training, but %s in evaluation", path,
                        fbl_build_type_text(b, &param->type), fbl_build_type_text(b, &type));
        return;
    }
    if (!state) {
        frame->own_params++;
        frame->own_frozen += frozen;
    } else {
        FblStateEntry entry = {ident.name, path, type, false};
        FBL_PUSH(b->arena, frame->states, frame->state_count, frame->state_capacity, entry);
    }
    FblAttr attr = {.name_count = 1};
    attr.names[0] = path;
    fbl_frame_bind(b, frame, ident.name, fbl_val_node(fbl_build_add(b, op, NULL, 0, &attr, &type, ident.loc)), ident.loc);
}

void fbl_declare_param(FblBuild *b, const FblStmt *stmt) { declare(b, stmt, &b->module->params, FBL_OP_PARAM); }

void fbl_declare_state(FblBuild *b, const FblStmt *stmt) { declare(b, stmt, &b->module->states, FBL_OP_STATE); }

void fbl_update_state(FblBuild *b, const FblStmt *stmt) {
    FblFrame *frame = b->frame;
    FblIdent target = stmt->update.target;
    FblStateEntry *state = NULL;
    for (size_t i = 0; i < frame->state_count; i++) {
        if (frame->states[i].name == target.name) {
            state = &frame->states[i];
        }
    }
    if (state == NULL) {
        const FblLocal *local = fbl_frame_find(frame, target.name);
        if (frame->poisoned || (local != NULL && local->value.kind == FBL_VAL_POISON)) {
            return;
        }
        FblDiag *diag = fbl_build_error(b, "E0152", target.loc, "there is no state `%s` here", target.name);
        const char **names = FBL_NEW_ARRAY(b->arena, const char *, frame->state_count);
        for (size_t i = 0; i < frame->state_count; i++) {
            names[i] = frame->states[i].name;
        }
        const char *near = fbl_nearest_name(target.name, names, frame->state_count);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        } else {
            fbl_diag_hint(b->ctx, diag, "declare it: state %s: f32[...] = 0", target.name);
        }
        return;
    }
    if (!fbl_is_training(b) || b->second_pass) {
        return;
    }
    if (state->updated) {
        fbl_build_error(b, "E0153", target.loc, "the state `%s` is updated twice in one step", target.name);
        return;
    }
    state->updated = true;
    FblNodeId node = fbl_val_to_node(b, fbl_eval(b, stmt->update.value), state->type.dtype, stmt->update.value->loc);
    if (node == FBL_NO_NODE) {
        return;
    }
    node = fbl_build_cast(b, node, state->type.dtype, stmt->update.value->loc);
    if (node == FBL_NO_NODE) {
        return;
    }
    const FblType *have = fbl_graph_type(b->graph, node);
    for (int i = 0; i < have->rank; i++) {
        int at = fbl_type_find(&state->type, have->axes[i].name);
        if (at < 0 || state->type.axes[at].extent != have->axes[i].extent) {
            fbl_build_error(b, "E0154", stmt->update.value->loc, "the state `%s` is %s, the new value %s", target.name,
                            fbl_build_type_text(b, &state->type), fbl_build_type_text(b, have));
            return;
        }
    }
    if (have->rank < state->type.rank) {
        node = fbl_build_add(b, FBL_OP_BROADCAST, &node, 1, NULL, &state->type, stmt->update.value->loc);
    }
    fbl_graph_root(b->graph, FBL_ROOT_UPDATE, state->path, node);
}

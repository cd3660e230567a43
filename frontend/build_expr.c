#include "frontend/sema.h"

#include <inttypes.h>
#include <string.h>

// ------------------------------------------------------------------------------------------------------- names

FblVal fbl_eval_constant(FblBuild *b, FblSymbol *symbol, FblLoc loc) {
    if (symbol->folding) {
        fbl_build_error(b, "E0126", loc, "the constant `%s` is defined by itself", symbol->name);
        return FBL_POISON;
    }
    if (symbol->value_of == b->graph) { // computed once a graph: constants may stand in each other many times over
        return *symbol->value;
    }
    symbol->folding = 1;
    FblFrame frame = {.caller = b->frame, .unit = symbol->unit, .path = "", .call_path = "", .call_loc = loc};
    b->frame = &frame;
    FblVal value = fbl_eval(b, symbol->decl->constant);
    b->frame = frame.caller;
    symbol->folding = 0;
    if (value.kind == FBL_VAL_TENSOR) {
        fbl_build_error(b, "E0113", symbol->decl->constant->loc, "the constant `%s` must be known at compile time",
                        symbol->name);
        value = FBL_POISON;
    }
    symbol->value_of = b->graph;
    symbol->value = FBL_NEW(b->arena, FblVal);
    *symbol->value = value;
    return value;
}

static bool lookup(FblBuild *b, FblName name, FblLoc loc, FblVal *out) {
    const FblLocal *local = fbl_frame_find(b->frame, name);
    if (local != NULL) {
        *out = local->value;
        return true;
    }
    FblSymbol *symbol = fbl_unit_find(b->program, b->frame->unit, name);
    if (symbol != NULL && symbol->decl->kind == FBL_DECL_CONST) {
        *out = fbl_eval_constant(b, symbol, loc);
        return true;
    }
    if (strcmp(name, "training") == 0) {
        *out = fbl_val_bool(fbl_is_training(b));
        return true;
    }
    if (strcmp(name, "pi") == 0) {
        *out = fbl_val_real(3.14159265358979323846);
        return true;
    }
    return symbol == NULL && fbl_builtin_bare(b, name, loc, out);
}

static FblVal eval_name(FblBuild *b, const FblExpr *expr) {
    FblVal value;
    if (lookup(b, expr->name, expr->loc, &value)) {
        return value;
    }
    if (b->frame->poisoned) {
        return FBL_POISON;
    }
    FblSymbol *symbol = fbl_unit_find(b->program, b->frame->unit, expr->name);
    if (symbol != NULL || fbl_builtin_find(expr->name) != NULL) {
        FblDiag *diag = fbl_build_error(b, "E0127", expr->loc, "`%s` is a %s, not a value", expr->name,
                                        symbol != NULL ? fbl_decl_kind_text(symbol->decl->kind) : "built-in function");
        fbl_diag_hint(b->ctx, diag, "call it: %s(...)", expr->name);
        return FBL_POISON;
    }
    FblDiag *diag = fbl_build_error(b, "E0128", expr->loc, "nothing is called `%s` here", expr->name);
    if (fbl_frame_axis(b->frame, expr->name) != 0) {
        fbl_diag_hint(b->ctx, diag, "`%s` is an axis; extent(x, %s) is its length in x", expr->name, expr->name);
    } else {
        fbl_build_hint_name(b, diag, expr->name, false);
    }
    return FBL_POISON;
}

// An axis name that is no local value: its extent when the frame or the outside knows it.
static FblVal axis_by_name(FblBuild *b, FblName name, FblLoc loc) {
    int64_t extent = fbl_frame_axis(b->frame, name);
    return fbl_val_axis(name, extent, loc);
}

static bool is_axes(FblVal v) {
    if (v.kind == FBL_VAL_SEQ) {
        for (size_t i = 0; i < v.seq.count; i++) {
            if (v.seq.items[i].kind != FBL_VAL_AXIS) {
                return false;
            }
        }
        return true;
    }
    return v.kind == FBL_VAL_AXIS;
}

// The axis that `name` means here: a local that holds axes, else the axis of that name.
static FblVal name_as_axis(FblBuild *b, FblName name, FblLoc loc) {
    const FblLocal *local = fbl_frame_find(b->frame, name);
    if (local != NULL && is_axes(local->value)) {
        return local->value;
    }
    if (local != NULL && local->value.kind == FBL_VAL_POISON) {
        return FBL_POISON;
    }
    return axis_by_name(b, name, loc);
}

FblVal fbl_eval_axes(FblBuild *b, const FblExpr *expr) {
    if (expr->kind == FBL_EXPR_NAME) {
        return name_as_axis(b, expr->name, expr->loc);
    }
    if (expr->kind == FBL_EXPR_TUPLE || expr->kind == FBL_EXPR_LIST) {
        bool list = expr->kind == FBL_EXPR_LIST;
        size_t count = list ? expr->list.count : expr->tuple.count;
        FblVal seq = {.kind = FBL_VAL_SEQ, .loc = expr->loc};
        seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, count);
        for (size_t i = 0; i < count; i++) {
            FblVal item = fbl_eval_axes(b, list ? expr->list.items[i] : expr->tuple.items[i].value);
            if (item.kind == FBL_VAL_POISON) {
                return item;
            }
            seq.seq.items[seq.seq.count++] = item;
        }
        return seq;
    }
    if (expr->kind == FBL_EXPR_IF) {
        bool condition;
        if (!fbl_val_to_bool(b, fbl_eval(b, expr->conditional.condition), expr->conditional.condition->loc,
                             "the condition", &condition)) {
            return FBL_POISON;
        }
        return fbl_eval_axes(b, condition ? expr->conditional.then_value : expr->conditional.else_value);
    }
    FblVal value = fbl_eval(b, expr);
    if (value.kind != FBL_VAL_POISON && !is_axes(value)) {
        fbl_build_error(b, "E0121", expr->loc, "an axis is needed here, found %s", fbl_val_describe(b, value));
        return FBL_POISON;
    }
    return value;
}

static bool single_axis(FblBuild *b, FblVal value, FblLoc loc, FblVal *out) {
    while (value.kind == FBL_VAL_SEQ && value.seq.count == 1) {
        value = value.seq.items[0];
    }
    if (value.kind == FBL_VAL_AXIS) {
        *out = value;
        return true;
    }
    if (value.kind != FBL_VAL_POISON) {
        fbl_build_error(b, "E0121", loc, "a single axis is needed here, found %s", fbl_val_describe(b, value));
    }
    return false;
}

bool fbl_eval_axis(FblBuild *b, const FblExpr *expr, FblVal *out) {
    return single_axis(b, fbl_eval_axes(b, expr), expr->loc, out);
}

bool fbl_axis_key(FblBuild *b, FblIdent ident, FblVal *out) {
    return single_axis(b, name_as_axis(b, ident.name, ident.loc), ident.loc, out);
}

FblVal fbl_eval_argument(FblBuild *b, const FblExpr *expr, bool axis_param) {
    if (!axis_param) {
        return fbl_eval(b, expr);
    }
    switch (expr->kind) {
    case FBL_EXPR_NAME:
        return name_as_axis(b, expr->name, expr->loc);
    case FBL_EXPR_TUPLE:
        for (size_t i = 0; i < expr->tuple.count; i++) {
            if (expr->tuple.items[i].value->kind != FBL_EXPR_NAME) {
                return fbl_eval(b, expr);
            }
        }
        return fbl_eval_axes(b, expr);
    case FBL_EXPR_IF:
        return fbl_eval_axes(b, expr);
    default:
        return fbl_eval(b, expr);
    }
}

// ------------------------------------------------------------------------------------------------------ strings

const char *fbl_eval_string(FblBuild *b, const FblExpr *expr) {
    if (expr->kind != FBL_EXPR_STRING) {
        FblVal value = fbl_eval(b, expr);
        if (value.kind != FBL_VAL_STRING) {
            if (value.kind != FBL_VAL_POISON) {
                fbl_build_error(b, "E0113", expr->loc, "a string is needed here, found %s", fbl_val_describe(b, value));
            }
            return NULL;
        }
        return value.string;
    }
    const char *text = "";
    for (size_t i = 0; i < expr->string.count; i++) {
        const FblStringPart *part = &expr->string.items[i];
        const char *piece = part->text;
        if (part->expr != NULL) {
            FblVal value = fbl_eval(b, part->expr);
            if (value.kind == FBL_VAL_POISON) {
                return NULL;
            }
            if (value.kind == FBL_VAL_STRING) {
                piece = value.string;
            } else if (value.kind == FBL_VAL_AXIS) {
                piece = value.axis.name;
            } else if (fbl_val_is_number(value)) {
                piece = fbl_val_describe(b, value);
            } else {
                fbl_build_error(b, "E0113", part->expr->loc, "only compile-time values can stand in a string, found %s",
                                fbl_val_describe(b, value));
                return NULL;
            }
        }
        text = i == 0 ? piece : fbl_arena_printf(b->arena, "%s%s", text, piece);
        if (strlen(text) > 1000) {
            fbl_build_error(b, "E0113", expr->loc, "the string is longer than 1000 bytes");
            return NULL;
        }
    }
    return text;
}

// --------------------------------------------------------------------------------------------------- sequences

static FblVal eval_tuple(FblBuild *b, const FblExpr *expr) {
    FblVal seq = {.kind = FBL_VAL_SEQ, .loc = expr->loc};
    size_t count = expr->tuple.count;
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, count);
    seq.seq.names = FBL_NEW_ARRAY(b->arena, FblName, count);
    for (size_t i = 0; i < count; i++) {
        const FblArg *arg = &expr->tuple.items[i];
        if (arg->to != NULL || arg->value->kind == FBL_EXPR_SLICE) {
            fbl_build_error(b, "E0129", arg->loc, "this can't stand in a tuple");
            return FBL_POISON;
        }
        FblVal item = fbl_eval(b, arg->value);
        if (item.kind == FBL_VAL_POISON) {
            return item;
        }
        seq.seq.names[i] = arg->name.name;
        seq.seq.items[seq.seq.count++] = item;
    }
    return seq;
}

static FblVal eval_list(FblBuild *b, const FblExpr *expr) {
    FblVal seq = {.kind = FBL_VAL_SEQ, .is_list = true, .loc = expr->loc};
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, expr->list.count);
    for (size_t i = 0; i < expr->list.count; i++) {
        FblVal item = fbl_eval(b, expr->list.items[i]);
        if (item.kind == FBL_VAL_POISON) {
            return item;
        }
        seq.seq.items[seq.seq.count++] = item;
    }
    return seq;
}

static FblVal eval_range(FblBuild *b, const FblExpr *expr) {
    FblVal range = {.kind = FBL_VAL_RANGE, .loc = expr->loc};
    if (!fbl_val_to_int(b, fbl_eval(b, expr->range.first), expr->range.first->loc, "the start of a range",
                        &range.range.first) ||
        !fbl_val_to_int(b, fbl_eval(b, expr->range.last), expr->range.last->loc, "the end of a range",
                        &range.range.last)) {
        return FBL_POISON;
    }
    return range;
}

static FblVal index_sequence(FblBuild *b, FblVal base, const FblExpr *expr) {
    const FblArg *arg = &expr->index.args.items[0];
    int64_t at;
    if (expr->index.args.count != 1 || arg->name.name != NULL) {
        fbl_build_error(b, "E0129", expr->loc, "a %s takes one position", base.is_list ? "list" : "tuple");
        return FBL_POISON;
    }
    if (!fbl_val_to_int(b, fbl_eval(b, arg->value), arg->loc, "an index", &at)) {
        return FBL_POISON;
    }
    if (at < 0 || (uint64_t)at >= base.seq.count) {
        fbl_build_error(b, "E0125", arg->loc, "position %" PRId64 " is outside of the %zu elements, counted from 0", at,
                        base.seq.count);
        return FBL_POISON;
    }
    return base.seq.items[at];
}

static FblVal eval_index(FblBuild *b, const FblExpr *expr) {
    FblVal x = fbl_eval(b, expr->index.base);
    if (x.kind == FBL_VAL_SEQ) {
        return index_sequence(b, x, expr);
    }
    for (size_t i = 0; i < expr->index.args.count && x.kind != FBL_VAL_POISON; i++) {
        const FblArg *arg = &expr->index.args.items[i];
        FblVal axis;
        if (arg->name.name == NULL || arg->to != NULL) {
            FblDiag *diag = fbl_build_error(b, "E0129", arg->loc, "an index of a tensor names its axis");
            fbl_diag_hint(b->ctx, diag, "write x[class = label]");
            return FBL_POISON;
        }
        if (!fbl_axis_key(b, arg->name, &axis)) {
            return FBL_POISON;
        }
        x = arg->value->kind == FBL_EXPR_SLICE ? fbl_slice(b, x, axis, arg->value, expr->loc)
                                               : fbl_index(b, x, axis, fbl_eval(b, arg->value), expr->loc);
    }
    return x;
}

// ------------------------------------------------------------------------------------------------- expressions

static FblVal eval_if(FblBuild *b, const FblExpr *expr) {
    FblVal condition = fbl_eval(b, expr->conditional.condition);
    if (condition.kind == FBL_VAL_BOOL) { // only the branch taken is looked at
        return fbl_eval(b, condition.integer ? expr->conditional.then_value : expr->conditional.else_value);
    }
    FblVal x = fbl_eval(b, expr->conditional.then_value);
    FblVal y = fbl_eval(b, expr->conditional.else_value);
    if (condition.kind != FBL_VAL_TENSOR && condition.kind != FBL_VAL_POISON) {
        return fbl_arith_select(b, condition, fbl_val_int(0), fbl_val_int(0), expr->conditional.condition->loc);
    }
    return fbl_arith_select(b, condition, x, y, expr->loc);
}

static FblVal eval_binary(FblBuild *b, const FblExpr *expr) {
    FblVal x = fbl_eval(b, expr->binary.left);
    FblBinaryOp op = expr->binary.op;
    if (x.kind == FBL_VAL_BOOL && ((op == FBL_BINARY_AND && !x.integer) || (op == FBL_BINARY_OR && x.integer))) {
        return x; // `stride == 1 and extent(...) == planes`: the right side need not make sense then
    }
    return fbl_arith_binary(b, op, x, fbl_eval(b, expr->binary.right), expr->loc);
}

static FblVal eval_here(FblBuild *b, const FblExpr *expr) {
    switch (expr->kind) {
    case FBL_EXPR_NUMBER:
        return expr->number.is_int ? fbl_val_int(expr->number.integer) : fbl_val_real(expr->number.value);
    case FBL_EXPR_STRING: {
        const char *text = fbl_eval_string(b, expr);
        return text == NULL ? FBL_POISON : fbl_val_string(text);
    }
    case FBL_EXPR_BOOL:
        return fbl_val_bool(expr->boolean);
    case FBL_EXPR_NAME:
        return eval_name(b, expr);
    case FBL_EXPR_CALL:
        return fbl_eval_call(b, expr);
    case FBL_EXPR_INDEX:
        return eval_index(b, expr);
    case FBL_EXPR_UNARY:
        return fbl_arith_unary(b, expr->unary.op, fbl_eval(b, expr->unary.operand), expr->loc);
    case FBL_EXPR_BINARY:
        return eval_binary(b, expr);
    case FBL_EXPR_IF:
        return eval_if(b, expr);
    case FBL_EXPR_TUPLE:
        return eval_tuple(b, expr);
    case FBL_EXPR_LIST:
        return eval_list(b, expr);
    case FBL_EXPR_RANGE:
        return eval_range(b, expr);
    case FBL_EXPR_SLICE:
        fbl_build_error(b, "E0129", expr->loc, "a slice names its axis: x[class = 0:5]");
        return FBL_POISON;
    }
    return FBL_POISON;
}

FblVal fbl_eval(FblBuild *b, const FblExpr *expr) {
    if (b->depth >= FBL_BUILD_DEPTH) {
        if (b->fuel >= 0) {
            b->fuel = -1;
            fbl_build_error(b, "E0111", expr->loc, "calls and expressions are nested too deeply");
        }
        return FBL_POISON;
    }
    if (b->work-- <= 0 && b->fuel >= 0) {
        b->fuel = -1;
        fbl_build_error(b, "E0111", expr->loc, "the program has more than %d expressions to evaluate at compile time",
                        FBL_BUILD_WORK);
    }
    if (b->fuel < 0) {
        return FBL_POISON;
    }
    b->depth++;
    FblVal value = eval_here(b, expr);
    b->depth--;
    return value;
}

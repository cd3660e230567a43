// Which parameters of a function stand for axes: a use decides, so that `mean(x, over=class)` can tell a name that is
// meant as an axis from a misspelt variable before the call is made.
#include "frontend/sema.h"

#include <string.h>

typedef struct Walk {
    const FblProgram *program;
    FblSymbol *symbol;
} Walk;

static void walk_expr(Walk *w, const FblExpr *expr, bool axis);

static void mark(Walk *w, FblName name) {
    const FblParamNodes *params = &w->symbol->decl->function.params;
    for (size_t i = 0; i < params->count; i++) {
        if (params->items[i].name.name == name && params->items[i].type == NULL) {
            w->symbol->axis_params[i] = true;
        }
    }
}

static void walk_args(Walk *w, const FblArgs *args, size_t from, bool keyed, bool axis) {
    for (size_t i = from; i < args->count; i++) {
        const FblArg *arg = &args->items[i];
        if (keyed && arg->name.name != NULL) {
            mark(w, arg->name.name);
        }
        walk_expr(w, arg->value, axis || arg->to != NULL);
        if (arg->to != NULL) {
            walk_expr(w, arg->to, true);
        }
    }
}

static void walk_builtin(Walk *w, const FblBuiltin *builtin, const FblExpr *call) {
    size_t position = 0;
    for (size_t i = 0; i < call->call.args.count; i++) {
        const FblArg *arg = &call->call.args.items[i];
        int found = -1;
        int keyed = -1;
        for (int p = 0; p < FBL_BUILTIN_ARGS && builtin->params[p].kind != FBL_ARG_END; p++) {
            if (builtin->params[p].kind == FBL_ARG_KEYED || builtin->params[p].kind == FBL_ARG_REST) {
                keyed = p;
            } else if (arg->name.name != NULL ? strcmp(builtin->params[p].name, arg->name.name) == 0
                                              : (size_t)p == position) {
                found = p;
            }
        }
        position += arg->name.name == NULL;
        FblArgKind kind = found >= 0 ? builtin->params[found].kind : FBL_ARG_VALUE;
        if (found < 0 && keyed >= 0 && builtin->params[keyed].kind == FBL_ARG_KEYED) {
            if (arg->name.name != NULL) {
                mark(w, arg->name.name);
            }
            walk_expr(w, arg->value, arg->to != NULL);
            if (arg->to != NULL) {
                walk_expr(w, arg->to, true);
            }
            continue;
        }
        walk_expr(w, arg->value, kind == FBL_ARG_AXES);
    }
}

static void walk_call(Walk *w, const FblExpr *call) {
    FblName name = call->call.callee.name;
    FblSymbol *callee = fbl_unit_find(w->program, w->symbol->unit, name);
    const FblBuiltin *builtin = callee == NULL ? fbl_builtin_find(name) : NULL;
    if (call->call.as != NULL) {
        walk_expr(w, call->call.as, false);
    }
    if (builtin != NULL) {
        walk_builtin(w, builtin, call);
        return;
    }
    const bool *axis_params = NULL;
    if (callee != NULL && callee->decl->kind != FBL_DECL_CONST) {
        axis_params = fbl_axis_params(w->program, callee);
    }
    size_t position = 0;
    for (size_t i = 0; i < call->call.args.count; i++) {
        const FblArg *arg = &call->call.args.items[i];
        bool axis = arg->to != NULL;
        if (axis_params != NULL) {
            const FblParamNodes *params = &callee->decl->function.params;
            for (size_t p = 0; p < params->count; p++) {
                if (arg->name.name != NULL ? arg->name.name == params->items[p].name.name : p == position) {
                    axis |= axis_params[p];
                }
            }
        }
        position += arg->name.name == NULL;
        walk_expr(w, arg->value, axis);
    }
}

static void walk_expr(Walk *w, const FblExpr *expr, bool axis) {
    if (expr == NULL) {
        return;
    }
    switch (expr->kind) {
    case FBL_EXPR_NUMBER:
    case FBL_EXPR_BOOL:
        break;
    case FBL_EXPR_STRING:
        for (size_t i = 0; i < expr->string.count; i++) {
            walk_expr(w, expr->string.items[i].expr, false);
        }
        break;
    case FBL_EXPR_NAME:
        if (axis) {
            mark(w, expr->name);
        }
        break;
    case FBL_EXPR_CALL:
        walk_call(w, expr);
        break;
    case FBL_EXPR_INDEX:
        walk_expr(w, expr->index.base, false);
        walk_args(w, &expr->index.args, 0, true, false);
        break;
    case FBL_EXPR_UNARY:
        walk_expr(w, expr->unary.operand, false);
        break;
    case FBL_EXPR_BINARY:
        walk_expr(w, expr->binary.left, false);
        walk_expr(w, expr->binary.right, false);
        break;
    case FBL_EXPR_IF:
        walk_expr(w, expr->conditional.condition, false);
        walk_expr(w, expr->conditional.then_value, axis);
        walk_expr(w, expr->conditional.else_value, axis);
        break;
    case FBL_EXPR_TUPLE:
        walk_args(w, &expr->tuple, 0, false, axis);
        break;
    case FBL_EXPR_LIST:
        for (size_t i = 0; i < expr->list.count; i++) {
            walk_expr(w, expr->list.items[i], axis);
        }
        break;
    case FBL_EXPR_RANGE:
        walk_expr(w, expr->range.first, false);
        walk_expr(w, expr->range.last, false);
        break;
    case FBL_EXPR_SLICE:
        walk_expr(w, expr->slice.start, false);
        walk_expr(w, expr->slice.stop, false);
        walk_expr(w, expr->slice.step, false);
        break;
    }
}

static void walk_type(Walk *w, const FblTypeNode *type) {
    mark(w, type->base.name);
    for (size_t i = 0; i < type->axis_count; i++) {
        mark(w, type->axes[i].name.name);
        walk_expr(w, type->axes[i].extent, false);
    }
}

static void walk_block(Walk *w, const FblBlock *block) {
    for (size_t i = 0; block != NULL && i < block->stmts.count; i++) {
        const FblStmt *stmt = block->stmts.items[i];
        switch (stmt->kind) {
        case FBL_STMT_ASSIGN:
            walk_expr(w, stmt->assign.value, false);
            break;
        case FBL_STMT_IF:
            for (size_t j = 0; j < stmt->branch.arm_count; j++) {
                walk_expr(w, stmt->branch.arms[j].condition, false);
                walk_block(w, stmt->branch.arms[j].block);
            }
            walk_block(w, stmt->branch.else_block);
            break;
        case FBL_STMT_FOR:
            walk_expr(w, stmt->loop.over, false);
            walk_block(w, stmt->loop.body);
            break;
        case FBL_STMT_RETURN:
            for (size_t j = 0; j < stmt->results.count; j++) {
                walk_expr(w, stmt->results.items[j], false);
            }
            break;
        case FBL_STMT_PARAM:
        case FBL_STMT_STATE:
            walk_type(w, stmt->variable.type);
            walk_expr(w, stmt->variable.init, false);
            break;
        case FBL_STMT_UPDATE:
            walk_expr(w, stmt->update.value, false);
            break;
        case FBL_STMT_AXIS:
            walk_expr(w, stmt->axis.extent, false);
            break;
        case FBL_STMT_EXPR:
            walk_expr(w, stmt->expr, false);
            break;
        }
    }
}

const bool *fbl_axis_params(const FblProgram *program, FblSymbol *symbol) {
    if (symbol->state != 0) { // done, or a cycle of calls, which is refused when it is evaluated
        return symbol->axis_params;
    }
    const FblParamNodes *params = &symbol->decl->function.params;
    symbol->state = 1;
    symbol->axis_params = FBL_NEW_ARRAY(program->arena, bool, params->count + 1);
    Walk w = {program, symbol};
    for (size_t i = 0; i < params->count; i++) {
        const FblExpr *value = params->items[i].default_value;
        walk_expr(&w, value, false);
        if (value != NULL && value->kind == FBL_EXPR_CALL &&
            (strcmp(value->call.callee.name, "axes") == 0 || strcmp(value->call.callee.name, "only_axis") == 0)) {
            mark(&w, params->items[i].name.name);
        }
    }
    walk_block(&w, symbol->decl->function.body);
    symbol->state = 2;
    return symbol->axis_params;
}

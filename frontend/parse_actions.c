#include "frontend/parse_actions.h"

#include "base/diag.h"

FblLoc fbl_loc_join(FblLoc first, FblLoc last) {
    return (FblLoc){first.file, first.begin, last.end > first.begin ? last.end : first.begin};
}

void fbl_parser_too_deep(FblParser *parser, FblLoc loc) {
    if (!parser->too_deep && !parser->lexer.stopped) {
        FblDiag *diag = fbl_lexer_error(&parser->lexer, "E0006", loc.begin, loc.end,
                                        "this expression is nested deeper than %d levels", FBL_AST_MAX_DEPTH);
        fbl_diag_hint(parser->ctx, diag, "give a part of it a name");
    }
    parser->too_deep = true;
    parser->lexer.stopped = true;
}

// Raises node->depth above `child`'s.
static void over(FblParser *parser, FblExpr *node, const FblExpr *child) {
    if (child != NULL && child->depth >= node->depth) {
        node->depth = (uint16_t)(child->depth + 1);
        if (node->depth > FBL_AST_MAX_DEPTH) {
            fbl_parser_too_deep(parser, node->loc);
            node->depth = FBL_AST_MAX_DEPTH; // nobody sees this tree
        }
    }
}

static void over_args(FblParser *parser, FblExpr *node, const FblArgs *args) {
    for (size_t i = 0; i < args->count; i++) {
        over(parser, node, args->items[i].value);
        over(parser, node, args->items[i].to);
    }
}

static FblExpr *make(FblParser *parser, FblExprKind kind, FblLoc loc) {
    FblExpr *expr = FBL_NEW(parser->arena, FblExpr);
    expr->kind = kind;
    expr->depth = 1;
    expr->loc = loc;
    return expr;
}

FblExpr *fbl_make_number(FblParser *parser, FblLoc loc, FblNumber number) {
    FblExpr *expr = make(parser, FBL_EXPR_NUMBER, loc);
    expr->number.is_int = number.is_int;
    expr->number.value = number.value;
    expr->number.integer = number.integer;
    return expr;
}

FblExpr *fbl_make_bool(FblParser *parser, FblLoc loc, bool value) {
    FblExpr *expr = make(parser, FBL_EXPR_BOOL, loc);
    expr->boolean = value;
    return expr;
}

FblExpr *fbl_make_name(FblParser *parser, FblIdent ident) {
    FblExpr *expr = make(parser, FBL_EXPR_NAME, ident.loc);
    expr->name = ident.name;
    return expr;
}

FblExpr *fbl_make_string(FblParser *parser, FblLoc loc, FblStringParts parts) {
    FblExpr *expr = make(parser, FBL_EXPR_STRING, loc);
    expr->string = parts;
    for (size_t i = 0; i < parts.count; i++) {
        over(parser, expr, parts.items[i].expr);
    }
    return expr;
}

// Two arguments of one name can only be a slip.
static void check_args(FblParser *parser, const FblArgs *args) {
    // Argument lists are short; the bound keeps a hostile one from costing quadratic time.
    size_t count = args->count < 1000 ? args->count : 1000;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; args->items[i].name.name != NULL && j < i; j++) {
            if (args->items[j].name.name == args->items[i].name.name) {
                FblLoc loc = args->items[i].name.loc;
                FblDiag *diag = fbl_lexer_error(&parser->lexer, "E0012", loc.begin, loc.end,
                                                "`%s` is given twice", args->items[i].name.name);
                fbl_diag_note(parser->ctx, diag, args->items[j].name.loc, "it is given here first");
                break;
            }
        }
    }
}

FblExpr *fbl_make_call(FblParser *parser, FblLoc loc, FblIdent callee, FblArgs args) {
    FblExpr *expr = make(parser, FBL_EXPR_CALL, loc);
    expr->call.callee = callee;
    expr->call.args = args;
    check_args(parser, &args);
    over_args(parser, expr, &args);
    return expr;
}

FblExpr *fbl_make_index(FblParser *parser, FblLoc loc, FblExpr *base, FblArgs args) {
    FblExpr *expr = make(parser, FBL_EXPR_INDEX, loc);
    expr->index.base = base;
    expr->index.args = args;
    check_args(parser, &args);
    over(parser, expr, base);
    over_args(parser, expr, &args);
    return expr;
}

FblExpr *fbl_make_unary(FblParser *parser, FblLoc loc, FblUnaryOp op, FblExpr *operand) {
    FblExpr *expr = make(parser, FBL_EXPR_UNARY, loc);
    expr->unary.op = op;
    expr->unary.operand = operand;
    over(parser, expr, operand);
    return expr;
}

FblExpr *fbl_make_binary(FblParser *parser, FblLoc op_loc, FblBinaryOp op, FblExpr *left, FblExpr *right) {
    FblExpr *expr = make(parser, FBL_EXPR_BINARY, fbl_loc_join(left->loc, right->loc));
    expr->binary.op = op;
    expr->binary.op_loc = op_loc;
    expr->binary.left = left;
    expr->binary.right = right;
    over(parser, expr, left);
    over(parser, expr, right);
    return expr;
}

FblExpr *fbl_make_if(FblParser *parser, FblLoc loc, FblExpr *condition, FblExpr *then_value, FblExpr *else_value) {
    FblExpr *expr = make(parser, FBL_EXPR_IF, loc);
    expr->conditional.condition = condition;
    expr->conditional.then_value = then_value;
    expr->conditional.else_value = else_value;
    over(parser, expr, condition);
    over(parser, expr, then_value);
    over(parser, expr, else_value);
    return expr;
}

FblExpr *fbl_make_list(FblParser *parser, FblLoc loc, FblExprs items) {
    FblExpr *expr = make(parser, FBL_EXPR_LIST, loc);
    expr->list = items;
    for (size_t i = 0; i < items.count; i++) {
        over(parser, expr, items.items[i]);
    }
    return expr;
}

FblExpr *fbl_make_range(FblParser *parser, FblLoc loc, FblExpr *first, FblExpr *last) {
    FblExpr *expr = make(parser, FBL_EXPR_RANGE, loc);
    expr->range.first = first;
    expr->range.last = last;
    over(parser, expr, first);
    over(parser, expr, last);
    return expr;
}

FblExpr *fbl_make_slice(FblParser *parser, FblLoc loc, FblExpr *start, FblExpr *stop, FblExpr *step) {
    FblExpr *expr = make(parser, FBL_EXPR_SLICE, loc);
    expr->slice.start = start;
    expr->slice.stop = stop;
    expr->slice.step = step;
    over(parser, expr, start);
    over(parser, expr, stop);
    over(parser, expr, step);
    return expr;
}

FblExpr *fbl_make_paren(FblParser *parser, FblLoc loc, FblArgs args, bool trailing_comma) {
    if (args.count == 1 && !trailing_comma && args.items[0].name.name == NULL && args.items[0].to == NULL) {
        args.items[0].value->parenthesised = true;
        return args.items[0].value;
    }
    FblExpr *expr = make(parser, FBL_EXPR_TUPLE, loc);
    expr->tuple = args;
    check_args(parser, &args);
    over_args(parser, expr, &args);
    for (size_t i = 0; i < args.count; i++) {
        if (args.items[i].to != NULL) {
            FblLoc at = args.items[i].loc;
            FblDiag *diag = fbl_lexer_error(&parser->lexer, "E0014", at.begin, at.end,
                                            "a renaming is an argument of a call, not an element of a tuple");
            fbl_diag_hint(parser->ctx, diag, "write `rename(x, channel -> dim)`");
        }
    }
    return expr;
}

FblExpr *fbl_make_bare_tuple(FblParser *parser, FblLoc loc, FblExprs items) {
    if (items.count == 1) {
        return items.items[0];
    }
    FblExpr *expr = make(parser, FBL_EXPR_TUPLE, loc);
    for (size_t i = 0; i < items.count; i++) {
        FblArg arg = {items.items[i]->loc, {0}, items.items[i], NULL};
        FBL_APPEND(parser, expr->tuple, arg);
    }
    over_args(parser, expr, &expr->tuple);
    return expr;
}

FblExpr *fbl_make_pipe(FblParser *parser, FblExpr *left, FblExpr *call) {
    FblArgs args = {0};
    FblArg piped = {left->loc, {0}, left, NULL};
    FBL_APPEND(parser, args, piped);
    for (size_t i = 0; i < call->call.args.count; i++) {
        FBL_APPEND(parser, args, call->call.args.items[i]);
    }
    call->call.args = args;
    call->call.piped = true;
    call->loc = fbl_loc_join(left->loc, call->loc);
    over(parser, call, left);
    return call;
}

// ----------------------------------------------------------------------------------------------------- statements

FblStmt *fbl_make_stmt(FblParser *parser, FblStmtKind kind, FblLoc loc) {
    FblStmt *stmt = FBL_NEW(parser->arena, FblStmt);
    stmt->kind = kind;
    stmt->loc = loc;
    return stmt;
}

static bool is_positional_tuple(const FblExpr *expr) {
    if (expr->kind != FBL_EXPR_TUPLE || expr->tuple.count == 0) {
        return false;
    }
    for (size_t i = 0; i < expr->tuple.count; i++) {
        if (expr->tuple.items[i].name.name != NULL || expr->tuple.items[i].to != NULL) {
            return false;
        }
    }
    return true;
}

// A lone `(a, b)` as the list a, b; anything else unchanged.
static FblExprs take_apart(FblParser *parser, FblExprs exprs) {
    if (exprs.count != 1 || !is_positional_tuple(exprs.items[0])) {
        return exprs;
    }
    FblExprs parts = {0};
    for (size_t i = 0; i < exprs.items[0]->tuple.count; i++) {
        FBL_APPEND(parser, parts, exprs.items[0]->tuple.items[i].value);
    }
    return parts;
}

static bool target_name(FblParser *parser, const FblExpr *target, const char *verb, FblIdent *out_ident) {
    if (target->kind == FBL_EXPR_NAME) {
        *out_ident = (FblIdent){target->name, target->loc};
        return true;
    }
    FblDiag *diag = fbl_lexer_error(&parser->lexer, "E0011", target->loc.begin, target->loc.end,
                                    "only a name can be %s, this is %s", verb, fbl_expr_describe(parser->ctx, target));
    if (target->kind == FBL_EXPR_INDEX) {
        fbl_diag_hint(parser->ctx, diag, "tensors do not change; make the new one with `if c then a else b`");
    }
    return false;
}

FblStmt *fbl_make_assign(FblParser *parser, FblLoc loc, FblExprs targets, FblLoc targets_loc, FblExpr *value) {
    (void)targets_loc;
    FblStmt *stmt = fbl_make_stmt(parser, FBL_STMT_ASSIGN, loc);
    stmt->assign.value = value;
    FblExprs names = take_apart(parser, targets);
    for (size_t i = 0; i < names.count; i++) {
        FblIdent ident;
        if (target_name(parser, names.items[i], "assigned to", &ident)) {
            FBL_APPEND(parser, stmt->assign.targets, ident);
        }
    }
    return stmt;
}

FblStmt *fbl_make_update(FblParser *parser, FblLoc loc, FblExpr *target, FblExpr *value) {
    FblStmt *stmt = fbl_make_stmt(parser, FBL_STMT_UPDATE, loc);
    stmt->update.value = value;
    target_name(parser, target, "updated", &stmt->update.target);
    return stmt;
}

FblStmt *fbl_make_return(FblParser *parser, FblLoc loc, FblExprs results) {
    FblStmt *stmt = fbl_make_stmt(parser, FBL_STMT_RETURN, loc);
    stmt->results = take_apart(parser, results);
    return stmt;
}

FblStmt *fbl_make_expr_stmt(FblParser *parser, FblLoc loc, FblExprs values) {
    FblStmt *stmt = fbl_make_stmt(parser, FBL_STMT_EXPR, loc);
    stmt->expr = fbl_make_bare_tuple(parser, loc, values);
    if (values.count > 1) {
        fbl_lexer_error(&parser->lexer, "E0013", loc.begin, loc.end, "these values are not used");
    }
    return stmt;
}

// --------------------------------------------------------------------------------------------------- declarations

FblDecl *fbl_make_decl(FblParser *parser, FblDeclKind kind, FblLoc loc, FblIdent name) {
    FblDecl *decl = FBL_NEW(parser->arena, FblDecl);
    decl->kind = kind;
    decl->loc = loc;
    decl->name = name;
    return decl;
}

FblDecl *fbl_make_import(FblParser *parser, FblLoc loc, FblExpr *path) {
    FblDecl *decl = fbl_make_decl(parser, FBL_DECL_IMPORT, loc, (FblIdent){NULL, {loc.file, loc.begin, loc.begin + 6}});
    decl->import.path = fbl_expr_plain_string(path);
    decl->import.path_loc = path->loc;
    if (decl->import.path == NULL || decl->import.path[0] == '\0') {
        fbl_lexer_error(&parser->lexer, "E0010", path->loc.begin, path->loc.end,
                        decl->import.path == NULL ? "the path of an import cannot hold an expression"
                                                  : "the path of an import is empty");
        decl->import.path = "";
    }
    return decl;
}

void fbl_check_params(FblParser *parser, const FblParamNodes *params) {
    size_t count = params->count < 1000 ? params->count : 1000; // as for arguments
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (params->items[j].name.name == params->items[i].name.name) {
                FblLoc loc = params->items[i].name.loc;
                FblDiag *diag = fbl_lexer_error(&parser->lexer, "E0012", loc.begin, loc.end,
                                                "two parameters are called `%s`", params->items[i].name.name);
                fbl_diag_note(parser->ctx, diag, params->items[j].name.loc, "the other one is here");
                break;
            }
        }
    }
}

FblDecl *fbl_make_function(FblParser *parser, FblDeclKind kind, FblLoc loc, FblIdent name, FblParamNodes params,
                           FblIdents results, FblLoc results_loc, FblBlock *body) {
    FblDecl *decl = fbl_make_decl(parser, kind, loc, name);
    decl->function.params = params;
    decl->function.results = results;
    decl->function.results_loc = results_loc;
    decl->function.body = body;
    fbl_check_params(parser, &params);
    return decl;
}

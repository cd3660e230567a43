// What the grammar's actions call: node builders, list helpers and the text of syntax errors.
//
// Ownership: nodes live in the context. Threads: as the context.
#ifndef FBL_FRONTEND_PARSE_ACTIONS_H
#define FBL_FRONTEND_PARSE_ACTIONS_H

#include "frontend/ast.h"
#include "frontend/lexer.h"

typedef struct FblParser {
    FblContext *ctx;
    FblArena *arena;
    FblLexer lexer;
    FblToken last; // the look-ahead: the token given to the parser last
    FblToken before; // the one before it
    int statement; // kind of the token that began the statement
    int start;     // a token put before the first one to choose what is parsed; 0 once it has been given
    FblAstFile *out_file;
    FblExpr *out_expr;
    bool too_deep;
} FblParser;

// Appends to a list of the tree.
#define FBL_APPEND(parser, list, value)                                                                              \
    ((list).items = fbl_arena_grow((parser)->arena, (list).items, (list).count, &(list).capacity,                    \
                                   sizeof *(list).items),                                                            \
     (list).items[(list).count++] = (value))

// Reports a tree that has become too deep and stops the parser.
void fbl_parser_too_deep(FblParser *parser, FblLoc loc);

FblExpr *fbl_make_number(FblParser *parser, FblLoc loc, FblNumber number);
FblExpr *fbl_make_bool(FblParser *parser, FblLoc loc, bool value);
FblExpr *fbl_make_name(FblParser *parser, FblIdent ident);
FblExpr *fbl_make_string(FblParser *parser, FblLoc loc, FblStringParts parts);
FblExpr *fbl_make_call(FblParser *parser, FblLoc loc, FblIdent callee, FblArgs args);
FblExpr *fbl_make_index(FblParser *parser, FblLoc loc, FblExpr *base, FblArgs args);
FblExpr *fbl_make_unary(FblParser *parser, FblLoc loc, FblUnaryOp op, FblExpr *operand);
FblExpr *fbl_make_binary(FblParser *parser, FblLoc op_loc, FblBinaryOp op, FblExpr *left, FblExpr *right);
FblExpr *fbl_make_if(FblParser *parser, FblLoc loc, FblExpr *condition, FblExpr *then_value, FblExpr *else_value);
FblExpr *fbl_make_list(FblParser *parser, FblLoc loc, FblExprs items);
FblExpr *fbl_make_range(FblParser *parser, FblLoc loc, FblExpr *first, FblExpr *last);
FblExpr *fbl_make_slice(FblParser *parser, FblLoc loc, FblExpr *start, FblExpr *stop, FblExpr *step);
// `( args )`: the expression itself when it is a single positional one without a trailing comma, else a tuple.
FblExpr *fbl_make_paren(FblParser *parser, FblLoc loc, FblArgs args, bool trailing_comma);
// `a, b` without parentheses; a single expression is given back.
FblExpr *fbl_make_bare_tuple(FblParser *parser, FblLoc loc, FblExprs items);
// `lhs |> call`: puts the piped value in front of the arguments.
FblExpr *fbl_make_pipe(FblParser *parser, FblExpr *left, FblExpr *call);

FblStmt *fbl_make_stmt(FblParser *parser, FblStmtKind kind, FblLoc loc);
FblStmt *fbl_make_assign(FblParser *parser, FblLoc loc, FblExprs targets, FblLoc targets_loc, FblExpr *value);
FblStmt *fbl_make_update(FblParser *parser, FblLoc loc, FblExpr *target, FblExpr *value);
FblStmt *fbl_make_return(FblParser *parser, FblLoc loc, FblExprs results);
FblStmt *fbl_make_expr_stmt(FblParser *parser, FblLoc loc, FblExprs values);
FblDecl *fbl_make_decl(FblParser *parser, FblDeclKind kind, FblLoc loc, FblIdent name);
FblDecl *fbl_make_import(FblParser *parser, FblLoc loc, FblExpr *path);
FblDecl *fbl_make_function(FblParser *parser, FblDeclKind kind, FblLoc loc, FblIdent name, FblParamNodes params,
                           FblIdents results, FblLoc results_loc, FblBlock *body);

// Reports two parameters or results of one name.
void fbl_check_params(FblParser *parser, const FblParamNodes *params);

// The union of two places of one file.
FblLoc fbl_loc_join(FblLoc first, FblLoc last);

// Reports a syntax error at parser->last. `is_expected(data, token)` tells whether the grammar allows `token` there.
void fbl_parser_syntax_error(FblParser *parser, bool (*is_expected)(const void *data, int token), const void *data);

#endif

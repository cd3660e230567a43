/* The grammar of .fbl. Newlines arrive as tokens only where they end a statement (lexer.h).

   Words such as `model`, `loss` or `axis` are keywords only where a declaration or statement may start; everywhere
   else they are names (`ident`), which the grammar tells apart by what follows. */
%require "3.8"
%language "c"
%define api.pure full
%define api.prefix {fbl_yy}
%define api.token.prefix {FBL_TOKEN_}
%define api.location.type {FblLoc}
%define parse.error custom
%define parse.lac full
%locations
%param { struct FblParser *parser }
%expect 0

%code requires {
#include "frontend/ast.h"
#include "frontend/lexer.h"

struct FblParser;
}

%code {
#include "frontend/parse_actions.h"

// An empty rule stands right after the token before it.
#define YYLLOC_DEFAULT(current, rhs, n)                                                        \
    do {                                                                                       \
        if ((n) != 0) {                                                                        \
            (current) = fbl_loc_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n));                      \
        } else {                                                                               \
            (current) = (FblLoc){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end}; \
        }                                                                                      \
    } while (0)
#define APPEND(list, value) FBL_APPEND(parser, list, value)

static int fbl_yylex(FBL_YYSTYPE *value, FblLoc *loc, FblParser *parser);
static void fbl_yyerror(const FblLoc *loc, FblParser *parser, const char *message);
}

%union {
    FblName name;
    const char *text;
    FblNumber number;
    FblExpr *expr;
    FblExprs exprs;
    FblArg arg;
    FblArgs args;
    FblIdent ident;
    FblIdents idents;
    FblStringParts parts;
    FblTypeNode *type;
    FblTypeAxis type_axis;
    FblParamNode param;
    FblParamNodes params;
    FblStmt *stmt;
    FblStmts stmts;
    FblBlock *block;
    FblDecl *decl;
    FblTrainEntry entry;
    FblTrainEntries entries;
}

%token START_FILE START_EXPRESSION
%token <name> NAME IMPORT CONST FN LAYER MODEL LOSS TRAIN PARAM STATE AXIS STAGE IN
%token <number> NUMBER
%token <text> TEXT
%token NEWLINE IF THEN ELSE FOR RETURN AS TRUE FALSE
%token STRING_OPEN STRING_CLOSE INTERPOLATION_OPEN INTERPOLATION_CLOSE
%token PIPE ARROW UPDATE RANGE EQ NE LE GE IDIV AND OR NOT

%precedence LOWEST
%precedence PIPE
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' LE '>' GE
%nonassoc RANGE
%left '+' '-'
%left '*' '/' IDIV '%'
%precedence NEGATION
%right '^'

%type <ident> ident
%type <idents> idents results
%type <expr> expr primary string call call_core stage stage_core as_name value slice optional_expr values
%type <exprs> exprs list_items
%type <arg> arg
%type <args> args arg_list
%type <parts> string_parts
%type <type> type optional_type
%type <type_axis> type_axis
%type <param> param
%type <params> params param_list
%type <stmt> stmt if_chain if_stmt
%type <stmts> stmts
%type <block> block
%type <decl> decl
%type <entry> entry
%type <entries> entries entry_block
%type <type> type_axes

%%

/* What is parsed is chosen by a token put in front. A state that can only reduce lets the empty `file` be there before
   the first token is looked at, and so an error in the first declaration can be recovered from. */
start: START_FILE file
     | START_EXPRESSION expr                { parser->out_expr = $2; }
     | START_EXPRESSION expr NEWLINE        { parser->out_expr = $2; }
     ;

file: %empty
    | file decl NEWLINE                     { FblAstFile *file = parser->out_file;
                                              file->decls = fbl_arena_grow(parser->arena, file->decls, file->decl_count,
                                                                           &file->decl_capacity, sizeof *file->decls);
                                              file->decls[file->decl_count++] = $2; }
    | file NEWLINE
    | file error NEWLINE                    { fbl_lexer_recovered(&parser->lexer); yyerrok; }
    ;

decl: IMPORT string                         { $$ = fbl_make_import(parser, @$, $2); }
    | CONST ident '=' expr                  { $$ = fbl_make_decl(parser, FBL_DECL_CONST, @$, $2); $$->constant = $4; }
    | FN ident '(' params ')' results block
                                            { $$ = fbl_make_function(parser, FBL_DECL_FN, @$, $2, $4, $6, @6, $7); }
    | LAYER ident '(' params ')' results block
                                            { $$ = fbl_make_function(parser, FBL_DECL_LAYER, @$, $2, $4, $6, @6, $7); }
    | MODEL ident '(' params ')' results block
                                            { $$ = fbl_make_function(parser, FBL_DECL_MODEL, @$, $2, $4, $6, @6, $7); }
    | LOSS ident '(' params ')' results block
                                            { $$ = fbl_make_function(parser, FBL_DECL_LOSS, @$, $2, $4, $6, @6, $7); }
    | TRAIN entry_block                     { $$ = fbl_make_decl(parser, FBL_DECL_TRAIN, @$, (FblIdent){NULL, @1});
                                              $$->train = $2; }
    | TRAIN ident entry_block               { $$ = fbl_make_decl(parser, FBL_DECL_TRAIN, @$, $2); $$->train = $3; }
    ;

params: %empty                              { $$ = (FblParamNodes){0}; }
      | param_list
      | param_list ','
      ;

param_list: param                           { $$ = (FblParamNodes){0}; APPEND($$, $1); }
          | param_list ',' param            { $$ = $1; APPEND($$, $3); }
          ;

param: ident optional_type                  { $$ = (FblParamNode){@$, $1, $2, NULL}; }
     | ident optional_type '=' expr         { $$ = (FblParamNode){@$, $1, $2, $4}; }
     ;

optional_type: %empty                       { $$ = NULL; }
             | ':' type                     { $$ = $2; }
             ;

type: ident                                 { $$ = FBL_NEW(parser->arena, FblTypeNode);
                                              *$$ = (FblTypeNode){.loc = @$, .base = $1}; }
    | ident '[' ']'                         { $$ = FBL_NEW(parser->arena, FblTypeNode);
                                              *$$ = (FblTypeNode){.loc = @$, .base = $1, .has_axes = true}; }
    | ident '[' type_axes ']'               { $$ = $3; $$->loc = @$; $$->base = $1; $$->has_axes = true; }
    | ident '[' type_axes ',' ']'           { $$ = $3; $$->loc = @$; $$->base = $1; $$->has_axes = true; }
    ;

type_axes: type_axis                        { $$ = FBL_NEW(parser->arena, FblTypeNode);
                                              $$->axes = fbl_arena_grow(parser->arena, $$->axes, $$->axis_count,
                                                                        &$$->axis_capacity, sizeof *$$->axes);
                                              $$->axes[$$->axis_count++] = $1; }
         | type_axes ',' type_axis          { $$ = $1;
                                              $$->axes = fbl_arena_grow(parser->arena, $$->axes, $$->axis_count,
                                                                        &$$->axis_capacity, sizeof *$$->axes);
                                              $$->axes[$$->axis_count++] = $3; }
         ;

type_axis: ident                            { $$ = (FblTypeAxis){$1, NULL}; }
         | ident '=' expr                   { $$ = (FblTypeAxis){$1, $3}; }
         ;

results: %empty                             { $$ = (FblIdents){0}; }
       | ARROW ident                        { $$ = (FblIdents){0}; APPEND($$, $2); }
       | ARROW '(' idents ')'               { $$ = $3; }
       | ARROW '(' idents ',' ')'           { $$ = $3; }
       ;

idents: ident                               { $$ = (FblIdents){0}; APPEND($$, $1); }
      | idents ',' ident                    { $$ = $1; APPEND($$, $3); }
      ;

entry_block: '{' entries '}'                { $$ = $2; }
           | '{' entries entry '}'          { $$ = $2; APPEND($$, $3); }
           | '{' entries error '}'          { $$ = $2; fbl_lexer_recovered(&parser->lexer); yyerrok; }
           ;

entries: %empty                             { $$ = (FblTrainEntries){0}; }
       | entries NEWLINE                    { $$ = $1; }
       | entries entry NEWLINE              { $$ = $1; APPEND($$, $2); }
       | entries error NEWLINE              { $$ = $1; fbl_lexer_recovered(&parser->lexer); yyerrok; }
       ;

entry: ident '=' expr                       { $$ = (FblTrainEntry){@$, $1, $3, {0}}; }
     | STAGE ident entry_block              { $$ = (FblTrainEntry){@$, $2, NULL, $3}; }
     ;

block: '{' stmts '}'                        { $$ = FBL_NEW(parser->arena, FblBlock); *$$ = (FblBlock){@$, $2}; }
     | '{' stmts stmt '}'                   { $$ = FBL_NEW(parser->arena, FblBlock); APPEND($2, $3);
                                              *$$ = (FblBlock){@$, $2}; }
     | '{' stmts error '}'                  { $$ = FBL_NEW(parser->arena, FblBlock); *$$ = (FblBlock){@$, $2};
                                              fbl_lexer_recovered(&parser->lexer); yyerrok; }
     ;

stmts: %empty                               { $$ = (FblStmts){0}; }
     | stmts NEWLINE                        { $$ = $1; }
     | stmts stmt NEWLINE                   { $$ = $1; APPEND($$, $2); }
     | stmts error NEWLINE                  { $$ = $1; fbl_lexer_recovered(&parser->lexer); yyerrok; }
     ;

stmt: exprs                                 { $$ = fbl_make_expr_stmt(parser, @$, $1); }
    | exprs '=' values                      { $$ = fbl_make_assign(parser, @$, $1, @1, $3); }
    | expr UPDATE expr                      { $$ = fbl_make_update(parser, @$, $1, $3); }
    | if_stmt
    | FOR idents IN expr block              { $$ = fbl_make_stmt(parser, FBL_STMT_FOR, @$);
                                              $$->loop.vars = $2; $$->loop.over = $4; $$->loop.body = $5; }
    | FOR '(' idents ')' IN expr block      { $$ = fbl_make_stmt(parser, FBL_STMT_FOR, @$);
                                              $$->loop.vars = $3; $$->loop.over = $6; $$->loop.body = $7; }
    | RETURN exprs                          { $$ = fbl_make_return(parser, @$, $2); }
    | PARAM ident ':' type '=' expr         { $$ = fbl_make_stmt(parser, FBL_STMT_PARAM, @$);
                                              $$->variable.name = $2; $$->variable.type = $4; $$->variable.init = $6; }
    | STATE ident ':' type '=' expr         { $$ = fbl_make_stmt(parser, FBL_STMT_STATE, @$);
                                              $$->variable.name = $2; $$->variable.type = $4; $$->variable.init = $6; }
    | AXIS ident '=' expr                   { $$ = fbl_make_stmt(parser, FBL_STMT_AXIS, @$);
                                              $$->axis.name = $2; $$->axis.extent = $4; }
    ;

if_stmt: if_chain
       | if_chain ELSE block                { $$ = $1; $$->loc = @$; $$->branch.else_block = $3; }
       ;

if_chain: IF expr block                     { $$ = fbl_make_stmt(parser, FBL_STMT_IF, @$);
                                              $$->branch.arms = fbl_arena_grow(parser->arena, $$->branch.arms,
                                                  $$->branch.arm_count, &$$->branch.arm_capacity,
                                                  sizeof *$$->branch.arms);
                                              $$->branch.arms[$$->branch.arm_count++] = (FblIfArm){$2, $3}; }
        | if_chain ELSE IF expr block       { $$ = $1; $$->loc = @$;
                                              $$->branch.arms = fbl_arena_grow(parser->arena, $$->branch.arms,
                                                  $$->branch.arm_count, &$$->branch.arm_capacity,
                                                  sizeof *$$->branch.arms);
                                              $$->branch.arms[$$->branch.arm_count++] = (FblIfArm){$4, $5}; }
        ;

exprs: expr                                 { $$ = (FblExprs){0}; APPEND($$, $1); }
     | exprs ',' expr                       { $$ = $1; APPEND($$, $3); }
     ;

values: exprs                               { $$ = fbl_make_bare_tuple(parser, @$, $1); }
      ;

expr: primary
    | expr PIPE stage                       { $$ = fbl_make_pipe(parser, $1, $3); }
    | IF expr THEN expr ELSE expr           %prec LOWEST
                                            { $$ = fbl_make_if(parser, @$, $2, $4, $6); }
    | expr OR expr                          { $$ = fbl_make_binary(parser, @2, FBL_BINARY_OR, $1, $3); }
    | expr AND expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_AND, $1, $3); }
    | NOT expr                              { $$ = fbl_make_unary(parser, @$, FBL_UNARY_NOT, $2); }
    | expr EQ expr                          { $$ = fbl_make_binary(parser, @2, FBL_BINARY_EQ, $1, $3); }
    | expr NE expr                          { $$ = fbl_make_binary(parser, @2, FBL_BINARY_NE, $1, $3); }
    | expr '<' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_LT, $1, $3); }
    | expr LE expr                          { $$ = fbl_make_binary(parser, @2, FBL_BINARY_LE, $1, $3); }
    | expr '>' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_GT, $1, $3); }
    | expr GE expr                          { $$ = fbl_make_binary(parser, @2, FBL_BINARY_GE, $1, $3); }
    | expr RANGE expr                       { $$ = fbl_make_range(parser, @$, $1, $3); }
    | expr '+' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_ADD, $1, $3); }
    | expr '-' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_SUB, $1, $3); }
    | expr '*' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_MUL, $1, $3); }
    | expr '/' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_DIV, $1, $3); }
    | expr IDIV expr                        { $$ = fbl_make_binary(parser, @2, FBL_BINARY_IDIV, $1, $3); }
    | expr '%' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_MOD, $1, $3); }
    | '-' expr                              %prec NEGATION
                                            { $$ = fbl_make_unary(parser, @$, FBL_UNARY_NEG, $2); }
    | expr '^' expr                         { $$ = fbl_make_binary(parser, @2, FBL_BINARY_POW, $1, $3); }
    ;

primary: NUMBER                             { $$ = fbl_make_number(parser, @$, $1); }
       | TRUE                               { $$ = fbl_make_bool(parser, @$, true); }
       | FALSE                              { $$ = fbl_make_bool(parser, @$, false); }
       | string
       | ident                              { $$ = fbl_make_name(parser, $1); }
       | call
       | primary '[' arg_list ']'           { $$ = fbl_make_index(parser, @$, $1, $3); }
       | '(' args ')'                       { $$ = fbl_make_paren(parser, @$, $2, false); }
       | '(' arg_list ',' ')'               { $$ = fbl_make_paren(parser, @$, $2, true); }
       | '[' list_items ']'                 { $$ = fbl_make_list(parser, @$, $2); }
       ;

call: call_core
    | call_core AS as_name                  { $$ = $1; $$->loc = @$; $$->call.as = $3; }
    ;

call_core: ident '(' args ')'               { $$ = fbl_make_call(parser, @$, $1, $3); }
         | ident '(' arg_list ',' ')'       { $$ = fbl_make_call(parser, @$, $1, $3); }
         ;

stage: stage_core
     | stage_core AS as_name                { $$ = $1; $$->loc = @$; $$->call.as = $3; }
     ;

stage_core: ident                           { $$ = fbl_make_call(parser, @$, $1, (FblArgs){0}); $$->call.bare = true; }
          | call_core
          ;

as_name: ident                              { FblStringParts parts = {0};
                                              FblStringPart part = {@$, $1.name, NULL};
                                              APPEND(parts, part);
                                              $$ = fbl_make_string(parser, @$, parts); }
       | string
       ;

args: %empty                                { $$ = (FblArgs){0}; }
    | arg_list
    ;

arg_list: arg                               { $$ = (FblArgs){0}; APPEND($$, $1); }
        | arg_list ',' arg                  { $$ = $1; APPEND($$, $3); }
        ;

arg: expr                                   { $$ = (FblArg){@$, {0}, $1, NULL}; }
   | expr ARROW expr                        { $$ = (FblArg){@$, {0}, $1, $3}; }
   | ident '=' value                        { $$ = (FblArg){@$, $1, $3, NULL}; }
   ;

value: expr
     | slice
     ;

slice: optional_expr ':' optional_expr      { $$ = fbl_make_slice(parser, @$, $1, $3, NULL); }
     | optional_expr ':' optional_expr ':' optional_expr
                                            { $$ = fbl_make_slice(parser, @$, $1, $3, $5); }
     ;

optional_expr: %empty                       { $$ = NULL; }
             | expr
             ;

list_items: %empty                          { $$ = (FblExprs){0}; }
          | exprs
          | exprs ','
          ;

string: STRING_OPEN string_parts STRING_CLOSE
                                            { $$ = fbl_make_string(parser, @$, $2); }
      ;

string_parts: %empty                        { $$ = (FblStringParts){0}; }
            | string_parts TEXT             { $$ = $1; FblStringPart part = {@2, $2, NULL}; APPEND($$, part); }
            | string_parts INTERPOLATION_OPEN expr INTERPOLATION_CLOSE
                                            { $$ = $1; FblStringPart part = {@3, "", $3}; APPEND($$, part); }
            ;

ident: NAME                                 { $$ = (FblIdent){$1, @$}; }
     | IMPORT                               { $$ = (FblIdent){$1, @$}; }
     | CONST                                { $$ = (FblIdent){$1, @$}; }
     | FN                                   { $$ = (FblIdent){$1, @$}; }
     | LAYER                                { $$ = (FblIdent){$1, @$}; }
     | MODEL                                { $$ = (FblIdent){$1, @$}; }
     | LOSS                                 { $$ = (FblIdent){$1, @$}; }
     | TRAIN                                { $$ = (FblIdent){$1, @$}; }
     | PARAM                                { $$ = (FblIdent){$1, @$}; }
     | STATE                                { $$ = (FblIdent){$1, @$}; }
     | AXIS                                 { $$ = (FblIdent){$1, @$}; }
     | STAGE                                { $$ = (FblIdent){$1, @$}; }
     | IN                                   { $$ = (FblIdent){$1, @$}; }
     ;

%%

static int fbl_yylex(FBL_YYSTYPE *value, FblLoc *loc, FblParser *parser) {
    if (parser->start != 0) {
        int start = parser->start;
        parser->start = 0;
        *loc = (FblLoc){parser->lexer.file, 0, 0};
        return start;
    }
    parser->before = parser->last;
    parser->last = fbl_lexer_next(&parser->lexer);
    const FblToken *token = &parser->last;
    if (parser->before.kind == 0 || parser->before.kind == FBL_TOKEN_NEWLINE || parser->before.kind == '{') {
        parser->statement = token->kind;
    }
    *loc = token->loc;
    switch (token->kind) {
    case FBL_TOKEN_NUMBER:
        value->number = token->number;
        break;
    case FBL_TOKEN_TEXT:
        value->text = token->text;
        break;
    default:
        value->name = token->name;
        break;
    }
    return token->kind;
}

typedef struct ExpectedSymbols {
    yysymbol_kind_t symbols[YYNTOKENS];
    int count;
} ExpectedSymbols;

static bool is_expected(const void *data, int token) {
    const ExpectedSymbols *expected = data;
    for (int i = 0; i < expected->count; i++) {
        if (expected->symbols[i] == YYTRANSLATE(token)) {
            return true;
        }
    }
    return false;
}

static int yyreport_syntax_error(const yypcontext_t *context, FblParser *parser) {
    ExpectedSymbols expected;
    expected.count = yypcontext_expected_tokens(context, expected.symbols, YYNTOKENS);
    fbl_parser_syntax_error(parser, is_expected, &expected);
    return 0;
}

// Bison calls this only when its stack is exhausted.
static void fbl_yyerror(const FblLoc *loc, FblParser *parser, const char *message) {
    (void)message;
    fbl_parser_too_deep(parser, *loc);
}

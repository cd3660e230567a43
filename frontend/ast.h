// The syntax tree of a .fbl file: what the parser makes and the semantic analysis reads.
//
// Every node carries its place. Names are interned, so two identifiers are equal exactly when their pointers are.
// Nothing here is resolved: `class` in `class[batch]`, `f32`, `over` and `relu` are all plain names.
// Ownership: nodes live in the arena of the context that parsed them and are not changed afterwards.
// Threads: reading is safe from any thread once parsing is done.
#ifndef FBL_FRONTEND_AST_H
#define FBL_FRONTEND_AST_H

#include "base/context.h"

// Deepest tree the parser builds: an expression or block nested further is refused with a diagnostic, so that every
// later stage may recurse over the tree without a check of its own.
#define FBL_AST_MAX_DEPTH 400

typedef struct FblExpr FblExpr;
typedef struct FblStmt FblStmt;
typedef struct FblDecl FblDecl;

// A name and its place. name is NULL where the source has none (an unnamed train block, a positional argument).
typedef struct FblIdent {
    FblName name;
    FblLoc loc;
} FblIdent;

// The lists of the tree: `count` valid items. `capacity` is the parser's business.
typedef struct FblIdents {
    FblIdent *items;
    size_t count, capacity;
} FblIdents;

typedef struct FblExprs {
    FblExpr **items;
    size_t count, capacity;
} FblExprs;

typedef struct FblStmts {
    FblStmt **items;
    size_t count, capacity;
} FblStmts;

// ---------------------------------------------------------------------------------------------------- expressions

typedef enum FblExprKind {
    FBL_EXPR_NUMBER, // 3, 0.1, 2e-4
    FBL_EXPR_STRING, // "layer{stage}.{i}"
    FBL_EXPR_BOOL,   // true, false
    FBL_EXPR_NAME,   // score, class, lambda: a local, a constant, an axis or a function; the analysis tells
    FBL_EXPR_CALL,   // f(a, k=3), x |> f(a) as name, x |> relu
    FBL_EXPR_INDEX,  // z[class = label], widths[2]
    FBL_EXPR_UNARY,  // -x, not x
    FBL_EXPR_BINARY, // a + b, a and b, a == b
    FBL_EXPR_IF,     // if c then a else b
    FBL_EXPR_TUPLE,  // (a, b), (mean=(...), std=(...)), (a,), ()
    FBL_EXPR_LIST,   // [a, b]
    FBL_EXPR_RANGE,  // a..b, both ends included
    FBL_EXPR_SLICE,  // a:b:step, each part optional; only as the value of a named argument
} FblExprKind;

typedef enum FblUnaryOp { FBL_UNARY_NEG, FBL_UNARY_NOT } FblUnaryOp;

typedef enum FblBinaryOp {
    FBL_BINARY_OR,
    FBL_BINARY_AND,
    FBL_BINARY_EQ, // ==
    FBL_BINARY_NE, // !=
    FBL_BINARY_LT, // <
    FBL_BINARY_LE, // <=
    FBL_BINARY_GT, // >
    FBL_BINARY_GE, // >=
    FBL_BINARY_ADD,
    FBL_BINARY_SUB,
    FBL_BINARY_MUL,
    FBL_BINARY_DIV,  // /   real division
    FBL_BINARY_IDIV, // //  integer division
    FBL_BINARY_MOD,  // %
    FBL_BINARY_POW,  // ^   right-associative, binds tighter than unary minus
} FblBinaryOp;

// One argument of a call or an index, or one element of a tuple:
//   positional  value                 name.name == NULL, to == NULL
//   named       name=value            name.name != NULL, to == NULL (value may be a slice)
//   renaming    value -> to           name.name == NULL, to != NULL (`channel -> dim`, `(height, width) -> dim`)
typedef struct FblArg {
    FblLoc loc; // of the whole argument
    FblIdent name;
    FblExpr *value; // never NULL
    FblExpr *to;
} FblArg;

typedef struct FblArgs {
    FblArg *items;
    size_t count, capacity;
} FblArgs;

// A piece of a string: literal text with escapes resolved (expr == NULL), or an interpolated expression (text == "").
typedef struct FblStringPart {
    FblLoc loc;
    const char *text; // NUL-terminated, holds no other NUL
    FblExpr *expr;
} FblStringPart;

typedef struct FblStringParts {
    FblStringPart *items; // empty for ""
    size_t count, capacity;
} FblStringParts;

struct FblExpr {
    FblExprKind kind;
    bool parenthesised; // was written in parentheses of its own; `loc` is the place without them
    uint16_t depth;     // height of the tree below, 1 for a leaf
    FblLoc loc;
    union {
        struct {
            bool is_int;     // written without point and exponent
            double value;    // always set (nearest double)
            int64_t integer; // set when is_int
        } number;
        FblStringParts string;
        bool boolean;
        FblName name;
        struct {
            FblIdent callee;
            FblArgs args; // of a pipeline the piped value is args.items[0], positional
            bool piped;   // written `x |> f(...)`
            bool bare;    // written without parentheses (`x |> relu`); implies piped
            FblExpr *as;  // NULL, or the name given by `as`: always FBL_EXPR_STRING (`as conv1` becomes "conv1")
        } call;
        struct {
            FblExpr *base;
            FblArgs args; // at least one
        } index;
        struct {
            FblUnaryOp op;
            FblExpr *operand;
        } unary;
        struct {
            FblBinaryOp op;
            FblLoc op_loc;
            FblExpr *left, *right;
        } binary;
        struct {
            FblExpr *condition, *then_value, *else_value;
        } conditional;
        FblArgs tuple; // elements may be named
        FblExprs list;
        struct {
            FblExpr *first, *last;
        } range;
        struct {
            FblExpr *start, *stop, *step; // NULL where left out
        } slice;
    };
};

// ------------------------------------------------------------------------------------------------ types, parameters

// One axis of a type: `class`, or with an extent `channel=3`, `hidden=planes // 4`.
typedef struct FblTypeAxis {
    FblIdent name;
    FblExpr *extent; // NULL when not given
} FblTypeAxis;

// A type annotation: `int`, `f32`, `f32[batch, channel=3]`, `class[batch]`.
typedef struct FblTypeNode {
    FblLoc loc;
    FblIdent base;
    bool has_axes; // brackets were written, perhaps empty
    FblTypeAxis *axes;
    size_t axis_count, axis_capacity;
} FblTypeNode;

// A parameter of fn, layer, model or loss: `x`, `k: int = 3`, `lambda = 60`.
typedef struct FblParamNode {
    FblLoc loc; // of the whole parameter
    FblIdent name;
    FblTypeNode *type;          // NULL when untyped
    FblExpr *default_value; // NULL when there is none
} FblParamNode;

typedef struct FblParamNodes {
    FblParamNode *items;
    size_t count, capacity;
} FblParamNodes;

// ----------------------------------------------------------------------------------------------------- statements

typedef enum FblStmtKind {
    FBL_STMT_ASSIGN, // a = e;  a, b = e;  (a, b) = e
    FBL_STMT_IF,     // if c { } else if d { } else { }
    FBL_STMT_FOR,    // for x in e { };  for a, b in e { }
    FBL_STMT_RETURN, // return e;  return e, f;  return (e, f)
    FBL_STMT_PARAM,  // param w: f32[class, dim] = normal(0, 0.01)
    FBL_STMT_STATE,  // state seen: f32[class] = 0
    FBL_STMT_UPDATE, // seen <- e
    FBL_STMT_AXIS,   // axis hidden = planes // 4
    FBL_STMT_EXPR,   // an expression by itself
} FblStmtKind;

// `{ ... }`; loc includes the braces.
typedef struct FblBlock {
    FblLoc loc;
    FblStmts stmts;
} FblBlock;

// One `if` or `else if` of an if statement.
typedef struct FblIfArm {
    FblExpr *condition;
    FblBlock *block;
} FblIfArm;

struct FblStmt {
    FblStmtKind kind;
    FblLoc loc;
    union {
        struct {
            FblIdents targets; // at least one; several take apart a tuple
            FblExpr *value;    // `a, b = c, d` has a tuple here
        } assign;
        struct {
            FblIfArm *arms; // at least one, tried in order
            size_t arm_count, arm_capacity;
            FblBlock *else_block; // or NULL
        } branch;
        struct {
            FblIdents vars; // at least one; several take apart a tuple
            FblExpr *over;  // a range, a list, or a name bound to one
            FblBlock *body;
        } loop;
        FblExprs results; // of return; at least one; a parenthesised tuple is taken apart
        struct {
            FblIdent name;
            FblTypeNode *type;
            FblExpr *init; // never NULL
        } variable;        // FBL_STMT_PARAM and FBL_STMT_STATE
        struct {
            FblIdent target;
            FblExpr *value;
        } update;
        struct {
            FblIdent name;
            FblExpr *extent;
        } axis;
        FblExpr *expr;
    };
};

// --------------------------------------------------------------------------------------------------- declarations

typedef enum FblDeclKind {
    FBL_DECL_IMPORT,
    FBL_DECL_CONST,
    FBL_DECL_FN,
    FBL_DECL_LAYER,
    FBL_DECL_MODEL,
    FBL_DECL_LOSS,
    FBL_DECL_TRAIN,
} FblDeclKind;

typedef struct FblTrainEntry FblTrainEntry;

typedef struct FblTrainEntries {
    FblTrainEntry *items;
    size_t count, capacity;
} FblTrainEntries;

// `key = value`, or `stage name { ... }` (value == NULL), whose entries override those of the block around it while
// that stage runs. Stages do not nest.
struct FblTrainEntry {
    FblLoc loc;
    FblIdent name;
    FblExpr *value;
    FblTrainEntries stage;
};

struct FblDecl {
    FblDeclKind kind;
    FblLoc loc;
    FblIdent name; // name.name is NULL for an import and an unnamed train block; name.loc is then the keyword's
    union {
        struct {
            const char *path; // as written, escapes resolved
            FblLoc path_loc;
        } import;
        FblExpr *constant;
        struct {
            FblParamNodes params;
            FblIdents results; // `-> (feature, score)`; empty when not written
            FblLoc results_loc;
            FblBlock *body;
        } function; // fn, layer, model and loss
        FblTrainEntries train;
    };
};

// A parsed file. Declarations are in source order.
typedef struct FblAstFile {
    uint32_t file; // source number
    FblDecl **decls;
    size_t decl_count, decl_capacity;
} FblAstFile;

// ------------------------------------------------------------------------------------------------------- helpers

// The text of a string without interpolation ("" included), or NULL when `expr` is anything else.
const char *fbl_expr_plain_string(const FblExpr *expr);

// As the user writes it: "+", "and", "//"; never NULL.
const char *fbl_unary_op_text(FblUnaryOp op);
const char *fbl_binary_op_text(FblBinaryOp op);

// "fn", "layer", ...; never NULL.
const char *fbl_decl_kind_text(FblDeclKind kind);

// What an expression is, for messages: "a number", "a call of `f`"; in the arena of ctx.
const char *fbl_expr_describe(FblContext *ctx, const FblExpr *expr);

// The tree in one line per declaration and statement, as nested (parentheses), without places and without what does
// not change the meaning (redundant parentheses). Two files with equal dumps mean the same. malloc'ed; the caller
// frees; NULL when memory runs out.
char *fbl_ast_dump(const FblAstFile *file);

#endif

// What the files of the analysis and the evaluator share. Not for other folders: the interface is build.h.
//
// The evaluator walks the tree once per graph. Values are compile-time numbers, strings, axes and sequences, or tensors
// (nodes of the graph being built). A mistake adds a diagnostic and gives a poisoned value, about which nothing further
// is said.
// Ownership: everything is in the context's arena. Threads: as the context.
#ifndef FBL_FRONTEND_SEMA_H
#define FBL_FRONTEND_SEMA_H

#include "frontend/build.h"
#include "frontend/parser.h"

// ------------------------------------------------------------------------------------------------------ program

typedef struct FblUnit FblUnit;

// A declaration with what the analysis knows of it.
typedef struct FblSymbol {
    FblName name;
    const FblDecl *decl;
    FblUnit *unit;
    bool *axis_params; // per parameter: it is used where an axis is expected (fbl_axis_params)
    int state;         // axis_params: 0 not begun, 1 in work, 2 done
    int folding;       // const: 1 while it is evaluated
    const void *value_of; // const: the graph in whose build `value` was computed, or NULL
    struct FblVal *value;
} FblSymbol;

typedef struct FblSymbols {
    FblSymbol **items;
    size_t count, capacity;
} FblSymbols;

// A parsed file.
struct FblUnit {
    const char *path; // resolved
    uint32_t file;
    FblAstFile *ast;
    bool is_prelude;
    int loading; // 1 while its imports are followed
    FblSymbols symbols;
    FblUnit **imports;
    size_t import_count, import_capacity;
};

struct FblProgram {
    FblContext *ctx;
    FblArena *arena;
    const char *library_dir;
    FblUnit **units;
    size_t unit_count, unit_capacity;
    FblUnit *root, *prelude;
    const FblDecl *train;
    FblName *losses, *models, *stages;
    size_t loss_count, loss_capacity, model_count, model_capacity, stage_count, stage_capacity;
    const FblSourceBundle *bundle; // where files come from, or NULL: the disk
    FblSourceLink *links;          // every import followed; ends are indices into `units`
    size_t link_count, link_capacity;
};

// The declaration `name` as seen from `unit`: its own, its imports', the prelude's. NULL when there is none.
FblSymbol *fbl_unit_find(const FblProgram *program, const FblUnit *unit, FblName name);

// Which parameters of the function `symbol` are used where an axis is expected.
const bool *fbl_axis_params(const FblProgram *program, FblSymbol *symbol);

// ------------------------------------------------------------------------------------------------------- values

typedef enum FblValKind {
    FBL_VAL_POISON, // a mistake has been reported
    FBL_VAL_NONE,   // an argument that was not given
    FBL_VAL_INT,
    FBL_VAL_REAL,
    FBL_VAL_BOOL,
    FBL_VAL_STRING,
    FBL_VAL_AXIS,
    FBL_VAL_SEQ, // tuple or list
    FBL_VAL_RANGE,
    FBL_VAL_TENSOR,
    FBL_VAL_INIT,
} FblValKind;

typedef enum FblFillKind {
    FBL_FILL_CONSTANT, // a
    FBL_FILL_NORMAL,   // a mean, b deviation
    FBL_FILL_UNIFORM,  // a low, b high
    FBL_FILL_KAIMING_NORMAL,
    FBL_FILL_KAIMING_UNIFORM,
    FBL_FILL_XAVIER_NORMAL,
    FBL_FILL_XAVIER_UNIFORM,
} FblFillKind;

typedef struct FblVal FblVal;
struct FblVal {
    FblValKind kind;
    bool symbolic; // INT: `integer` is the negative number of an extent that isn't known
    bool is_list;  // SEQ: written [..]
    FblLoc loc;    // where it was written, for axes
    union {
        int64_t integer; // INT, BOOL
        double real;
        const char *string;
        struct {
            FblName name;
            int64_t extent; // 0: not known to the value
        } axis;
        struct {
            FblVal *items;
            FblName *names; // per item or NULL; may be NULL
            size_t count;
        } seq;
        struct {
            int64_t first, last;
        } range;
        FblNodeId node;
        struct {
            FblFillKind kind;
            bool fan_out;
            double a, b;
        } init;
    };
};

#define FBL_POISON ((FblVal){.kind = FBL_VAL_POISON})
#define FBL_ABSENT ((FblVal){.kind = FBL_VAL_NONE})

// ------------------------------------------------------------------------------------------------------- frames

typedef struct FblLocal {
    FblName name;
    FblVal value;
    FblLoc loc;
} FblLocal;

// An axis whose extent a signature, an `axis` statement or an argument has fixed.
typedef struct FblAxisEntry {
    FblName name;
    int64_t extent;
    FblLoc loc;
} FblAxisEntry;

typedef struct FblStateEntry {
    FblName name;
    FblName path;
    FblType type;
    bool updated;
} FblStateEntry;

typedef struct FblFrame FblFrame;
struct FblFrame {
    FblFrame *caller;
    FblSymbol *symbol; // NULL for the recipe
    FblUnit *unit;
    const char *path;      // prefix of parameter paths; "" at the top of a model
    const char *call_path; // "resnet_cifar > layer2.0 > conv1"
    FblLoc call_loc;       // of the call in the caller's text
    bool unnamed;          // called without `as`: the last part of `path` is the callee's name
    bool pure;             // a fn, or called by one
    FblLocal *locals;
    size_t local_count, local_capacity;
    FblAxisEntry *axes;
    size_t axis_count, axis_capacity;
    FblStateEntry *states;
    size_t state_count, state_capacity;
    int own_params, own_frozen; // parameters declared so far by this instance
    bool returned, poisoned;
    FblVal result;
};

// A value for an argument of the model, the loss, ... from the recipe or a setting.
typedef struct FblGiven {
    FblName name;
    const FblExpr *expr;
    bool used, from_setting;
} FblGiven;

typedef struct FblGivens {
    FblGiven *items;
    size_t count, capacity;
} FblGivens;

typedef struct FblSymbolic { // what a symbolic number stands for
    const char *text;
    FblName axis; // of an axis; NULL for a computed one
    int op;
    int64_t a, b;
} FblSymbolic;

// One build: a module in the making.
typedef struct FblBuild {
    FblContext *ctx;
    FblArena *arena;
    FblProgram *program;
    const FblBuildOptions *options;
    FblModule *module;
    FblGraph *graph;  // being built
    FblFrame *frame;  // innermost
    bool training;
    bool symbolic;    // unknown extents are symbolic
    bool second_pass; // the second half of mixup: states are read again, not updated
    bool free_inputs; // inputs that nothing offers become inputs of the graph
    int64_t fuel;     // statements and loop turns left
    int64_t work;     // expressions left
    int depth;        // of the C recursion
    uint32_t streams; // random sites so far
    FblAxisEntry *axes; // extents known from outside (class, batch, settings)
    size_t axis_count, axis_capacity;
    FblSymbolic *symbols;
    size_t symbol_count, symbol_capacity;
    FblName *seen_paths; // parameters and states declared in this graph, with places
    FblLoc *seen_locs;
    size_t seen_count, seen_capacity, seen_loc_capacity;
    const char **freeze; // globs
    size_t freeze_count, freeze_capacity;
    bool freeze_except;
    const FblInputShape *shapes;
    size_t shape_count;
    FblGivens model_args, loss_args;
    size_t path_errors; // parameters and states that were refused so far
} FblBuild;

#define FBL_BUILD_FUEL 400000
#define FBL_BUILD_WORK 5000000
#define FBL_BUILD_DEPTH 1200

// ------------------------------------------------------------------------------------ places and errors (sema_scope.c)

// The place to show for something at `loc`: the innermost call that is not in the prelude.
FblLoc fbl_build_loc(const FblBuild *b, FblLoc loc);

// A diagnostic at fbl_build_loc(loc), with the call path. Returned for hints and notes; never NULL.
FblDiag *fbl_build_error(FblBuild *b, const char *id, FblLoc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// Adds the call path to the diagnostic that was added last (by the graph's inference).
void fbl_build_note_path(FblBuild *b, FblDiag *diag, FblLoc loc);

// True (after one diagnostic) when the evaluation has become too long or too deep.
bool fbl_build_exhausted(FblBuild *b, FblLoc loc);

FblLocal *fbl_frame_find(const FblFrame *frame, FblName name);
void fbl_frame_bind(FblBuild *b, FblFrame *frame, FblName name, FblVal value, FblLoc loc);
// Fixes the extent of an axis; false (after a diagnostic) when it has another already.
bool fbl_frame_set_axis(FblBuild *b, FblFrame *frame, FblName name, int64_t extent, FblLoc loc);
// The same for an `axis` statement, which may be repeated with another extent.
void fbl_frame_replace_axis(FblBuild *b, FblFrame *frame, FblName name, int64_t extent, FblLoc loc);
// The extent of the axis in this frame, or 0; and where it was fixed.
FblLoc fbl_frame_axis_place(const FblFrame *frame, FblName name);
int64_t fbl_frame_axis(const FblFrame *frame, FblName name);
// The extent known from outside, or 0.
int64_t fbl_build_axis(const FblBuild *b, FblName name);
void fbl_build_set_axis(FblBuild *b, FblName name, int64_t extent, FblLoc loc);
// "did you mean" from everything that `name` could have meant in the frame.
void fbl_build_hint_name(FblBuild *b, FblDiag *diag, FblName name, bool callable);

// ---------------------------------------------------------------------------------------------- values (build_value.c)

FblVal fbl_val_int(int64_t value);
FblVal fbl_val_real(double value);
FblVal fbl_val_bool(bool value);
FblVal fbl_val_string(const char *value);
FblVal fbl_val_node(FblNodeId node); // FBL_NO_NODE gives poison
FblVal fbl_val_axis(FblName name, int64_t extent, FblLoc loc);
bool fbl_val_is_number(FblVal v); // INT, REAL or BOOL, not symbolic
double fbl_val_number(FblVal v);
bool fbl_val_is_tensor(FblVal v);
const FblType *fbl_val_type(const FblBuild *b, FblVal v); // of a tensor
// "3", "the axis `class`", "f32[batch, class=10]": for messages.
const char *fbl_val_describe(FblBuild *b, FblVal v);
// "f32[batch, class=10]", symbolic extents left out.
const char *fbl_build_type_text(FblBuild *b, const FblType *type);

// The symbolic extent of an axis; its number is fixed by the axis name.
int64_t fbl_symbolic_axis(FblBuild *b, FblName axis);
// A symbolic number computed from others; equal computations give equal numbers. `op` is an FblBinaryOp or one of these.
#define FBL_SYMBOLIC_MAX (-2)
#define FBL_SYMBOLIC_MIN (-3)
FblVal fbl_symbolic_op(FblBuild *b, int op, FblVal x, FblVal y);
const char *fbl_symbolic_text(const FblBuild *b, int64_t extent);

// A whole number (an exactly integral real too); false after a diagnostic. `what` names the thing in messages.
bool fbl_val_to_int(FblBuild *b, FblVal v, FblLoc loc, const char *what, int64_t *out);
// A compile-time truth value; false after a diagnostic (hints at tensors).
bool fbl_val_to_bool(FblBuild *b, FblVal v, FblLoc loc, const char *what, bool *out);
// An extent: a whole number of at least 1, or symbolic.
bool fbl_val_to_extent(FblBuild *b, FblVal v, FblLoc loc, const char *what, int64_t *out);
// A compile-time number.
bool fbl_val_to_real(FblBuild *b, FblVal v, FblLoc loc, const char *what, double *out);

// A node for a number or tensor; anything else is an error. `dtype` is what a number becomes (F32 for reals anyway).
FblNodeId fbl_val_to_node(FblBuild *b, FblVal v, FblDtype dtype, FblLoc loc);
// The same as f32, casting tensors.
FblNodeId fbl_val_to_f32(FblBuild *b, FblVal v, FblLoc loc);

// fbl_graph_add with the place, the call path, and notes on failure.
FblNodeId fbl_build_add(FblBuild *b, FblOp op, const FblNodeId *inputs, int32_t count, const FblAttr *attr,
                        const FblType *given, FblLoc loc);
FblNodeId fbl_build_unary(FblBuild *b, FblOp op, FblNodeId x, FblLoc loc);
FblNodeId fbl_build_binary(FblBuild *b, FblOp op, FblNodeId x, FblNodeId y, FblLoc loc);
FblNodeId fbl_build_const(FblBuild *b, FblDtype dtype, double value, FblLoc loc);
FblNodeId fbl_build_cast(FblBuild *b, FblNodeId x, FblDtype dtype, FblLoc loc);
// An INPUT of the graph, made once.
FblNodeId fbl_build_input(FblBuild *b, FblName symbol, const FblType *type, FblLoc loc);

// ------------------------------------------------------------------------------------------- expressions, statements

FblVal fbl_eval(FblBuild *b, const FblExpr *expr);
// An expression where an axis or a tuple of axes is expected.
FblVal fbl_eval_axes(FblBuild *b, const FblExpr *expr);
// One axis; false after a diagnostic.
bool fbl_eval_axis(FblBuild *b, const FblExpr *expr, FblVal *out);
// The name left of `=` (an index, a slice, a pad) as an axis; false after a diagnostic.
bool fbl_axis_key(FblBuild *b, FblIdent ident, FblVal *out);
// A call argument: an axis when the parameter is used as one.
FblVal fbl_eval_argument(FblBuild *b, const FblExpr *expr, bool axis_param);
// A string with its interpolations, or NULL after a diagnostic.
const char *fbl_eval_string(FblBuild *b, const FblExpr *expr);
// A constant of a file, evaluated in an empty frame.
FblVal fbl_eval_constant(FblBuild *b, FblSymbol *symbol, FblLoc loc);

FblVal fbl_arith_binary(FblBuild *b, FblBinaryOp op, FblVal x, FblVal y, FblLoc loc);
FblVal fbl_arith_unary(FblBuild *b, FblUnaryOp op, FblVal x, FblLoc loc);
FblVal fbl_arith_select(FblBuild *b, FblVal condition, FblVal x, FblVal y, FblLoc loc);
FblVal fbl_arith_minmax(FblBuild *b, bool max, FblVal x, FblVal y, FblLoc loc);

// Index by `axis = key`: a label tensor, or a compile-time position.
FblVal fbl_index(FblBuild *b, FblVal x, FblVal axis, FblVal key, FblLoc loc);
FblVal fbl_slice(FblBuild *b, FblVal x, FblVal axis, const FblExpr *slice, FblLoc loc);

// Rearranging along an axis whose extent isn't known (`fblc check` without data) needs numbers that the graph's ops do not
// have: true when that is so. The result is then stood for by a value of its type that depends on the same tensors.
bool fbl_is_unknown(const FblBuild *b, FblVal x, FblName axis);
FblVal fbl_stand_in(FblBuild *b, const FblVal *operands, size_t count, const FblType *type, FblLoc loc);

void fbl_eval_block(FblBuild *b, const FblBlock *block);

// ------------------------------------------------------------------------------------------------- calls, types

FblVal fbl_eval_call(FblBuild *b, const FblExpr *call);
// The place of a call; of `x |> f(a)` only `f(a)`.
FblLoc fbl_call_place(const FblExpr *call);
// Opens a frame for `symbol` (its parameters not bound yet); NULL after a diagnostic (recursion, depth).
FblFrame *fbl_frame_open(FblBuild *b, FblSymbol *symbol, const char *path, const char *name, FblLoc loc);
// `a.b`, or the one that isn't empty.
const char *fbl_path_dot(FblBuild *b, const char *a, const char *name);
void fbl_frame_close(FblBuild *b, FblFrame *frame);
// Binds one parameter of the open frame to a value, checking its type. `arg_loc` is where the value was written.
void fbl_bind_param(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc);
// Evaluates the body of the open frame; the result, checked against `-> (...)`.
FblVal fbl_run_body(FblBuild *b, FblFrame *frame);

typedef enum FblTypeClass { FBL_TYPE_TENSOR, FBL_TYPE_INT, FBL_TYPE_BOOL, FBL_TYPE_STRING } FblTypeClass;

// What an annotation asks for. `f32` without brackets is a TENSOR of rank 0.
FblTypeClass fbl_type_class(FblBuild *b, const FblTypeNode *node);
// The type an annotation declares, in the innermost frame. Extents that it leaves out come from the frame, then from
// outside, then (inputs only) are symbolic or an error. `shape` (may be NULL) gives them for an input of a file.
bool fbl_declared_type(FblBuild *b, const FblTypeNode *node, bool input, const FblInputShape *shape, FblType *out);
// Checks a tensor against an annotation and fixes the frame's axes; the value to bind (poison after a diagnostic).
FblVal fbl_check_type(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc);

// param, state and update statements.
void fbl_declare_param(FblBuild *b, const FblStmt *stmt);
void fbl_declare_state(FblBuild *b, const FblStmt *stmt);
void fbl_update_state(FblBuild *b, const FblStmt *stmt);
bool fbl_is_training(const FblBuild *b);
bool fbl_is_frozen(const FblBuild *b, const char *path);
bool fbl_glob_match(const char *pattern, const char *text);

// ----------------------------------------------------------------------------------------------------- built-ins

typedef enum FblArgKind {
    FBL_ARG_END,
    FBL_ARG_VALUE,
    FBL_ARG_AXES,  // an axis or a tuple of them
    FBL_ARG_ANY,   // a value or an axis
    FBL_ARG_WORD,  // a bare word, as a string
    FBL_ARG_KEYED, // this and all further arguments are the built-in's own business
    FBL_ARG_REST,  // any number of values
} FblArgKind;

#define FBL_BUILTIN_ARGS 8

typedef struct FblBuiltinCall {
    FblBuild *b;
    const FblExpr *expr;
    FblLoc loc;
    const struct FblBuiltin *builtin;
    FblVal args[FBL_BUILTIN_ARGS]; // NONE where not given
    FblLoc locs[FBL_BUILTIN_ARGS];
    FblVal *rest;
    size_t rest_count;
} FblBuiltinCall;

typedef struct FblBuiltin {
    const char *name;
    FblVal (*fn)(FblBuiltinCall *call);
    int tag; // for functions that serve several names
    struct {
        const char *name;
        FblArgKind kind;
        bool optional;
    } params[FBL_BUILTIN_ARGS];
} FblBuiltin;

const FblBuiltin *fbl_builtin_find(const char *name);
FblVal fbl_builtin_call(FblBuild *b, const FblBuiltin *builtin, const FblExpr *call);
// Names for hints; returns how many were written.
size_t fbl_builtin_names(const char **out, size_t capacity);
// Initialisers may be written without parentheses (`zeros`).
bool fbl_builtin_bare(FblBuild *b, FblName name, FblLoc loc, FblVal *out);

// Tables, each ending with a NULL name.
extern const FblBuiltin fbl_builtins_math[];
extern const FblBuiltin fbl_builtins_axes[];
extern const FblBuiltin fbl_builtins_nn[];

// Names of the axes of a value (axis or tuple), checked to be in `type` and distinct; false after a diagnostic.
bool fbl_axes_names(FblBuild *b, FblVal axes, const FblType *type, FblLoc loc, FblName *out, int32_t *out_count);
// One axis of `type`; -1 after a diagnostic.
int fbl_axis_in(FblBuild *b, FblVal axis, const FblType *type, FblLoc loc);

#endif

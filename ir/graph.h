// Level 1, the graph: pure operations on tensors with named axes, in topological order.
//
// A node's inputs have smaller ids than the node. State changes appear only as roots. Passes build a new graph and map
// old ids to new ones; a finished graph is not edited in place.
// Ownership: graphs, nodes and names live in the context's arena. Threads: as the context.
#ifndef FBL_IR_GRAPH_H
#define FBL_IR_GRAPH_H

#include "base/context.h"
#include "base/diag.h"

#define FBL_MAX_RANK 8

// BF16 and F16 are how a kernel's buffer may store f32 values (ir/kernel.h): no tensor of a graph, plan or file has them.
typedef enum FblDtype { FBL_F32, FBL_I32, FBL_BOOL, FBL_BF16, FBL_F16 } FblDtype;

// A named axis. Extents below 0 are symbolic (known by name only: `fblc check` without a data set); two symbolic extents
// are equal when the numbers are. Anything that needs their value is an error, and code generation refuses them.
typedef struct FblAxis {
    FblName name;
    int64_t extent;
} FblAxis;

// dtype[axis=extent, ...]. The order of the axes is the order of declaration: it fixes how the tensor is exchanged with
// files (row-major), not how it lies in memory. An i32 may index an axis (a label): then index_axis and index_extent say
// which; otherwise index_axis is NULL.
typedef struct FblType {
    FblDtype dtype;
    int32_t rank;
    FblName index_axis;
    int64_t index_extent;
    FblAxis axes[FBL_MAX_RANK];
} FblType;

typedef enum FblOp {
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) FBL_OP_##ENUM,
#include "ir/ops.def"
#undef FBL_OP
    FBL_OP_COUNT
} FblOp;

typedef enum FblOpClass {
    FBL_CLASS_LEAF,
    FBL_CLASS_POINTWISE,
    FBL_CLASS_REDUCE,
    FBL_CLASS_CONTRACT,
    FBL_CLASS_WINDOW,
    FBL_CLASS_SHAPE,
    FBL_CLASS_INDEX,
    FBL_CLASS_SCAN,
    FBL_CLASS_COLLECTIVE
} FblOpClass;

typedef enum FblAttrKind {
#define FBL_ATTR(ENUM, ints, names, has_value) FBL_ATTR_##ENUM,
#include "ir/attrs.def"
#undef FBL_ATTR
    FBL_ATTR_COUNT
} FblAttrKind;

// One row of ops.def without its hooks.
typedef struct FblOpInfo {
    const char *text;
    int arity;
    FblOpClass op_class;
    FblAttrKind attr;
    const char *doc;
} FblOpInfo;

const FblOpInfo *fbl_op_info(FblOp op);

// Integer fields of FblAttr.i by kind.
enum { FBL_CONV_STRIDE_H, FBL_CONV_STRIDE_W, FBL_CONV_PAD_H, FBL_CONV_PAD_W, FBL_CONV_DILATION_H, FBL_CONV_DILATION_W, FBL_CONV_GROUPS };
enum { FBL_POOL_KERNEL_H, FBL_POOL_KERNEL_W, FBL_POOL_STRIDE_H, FBL_POOL_STRIDE_W, FBL_POOL_PAD_H, FBL_POOL_PAD_W, FBL_POOL_COUNT_PAD };
enum { FBL_SLICE_START, FBL_SLICE_STEP, FBL_SLICE_COUNT };
enum { FBL_PAD_LOW, FBL_PAD_HIGH, FBL_PAD_INTERIOR };

// Attributes of a node; which fields matter is fixed by the op's kind (attrs.def).
//   SYMBOL  names[0] = the symbol (input name or parameter path)      STREAM i[0] = random site
//   AXES    names[0..name_count)                                      VALUE  value (CONST; PAD's fill)
//   CONV    names = {batch, channel, height, width} axes of x (and of the result); several batch axes are joined before
//   POOL    names = {height, width}                                   SLICE, PAD, SORT names[0] = axis
//   RENAME  names[0..split) = from, names[split..name_count) = to, pairwise
//   SPLIT   names[0] = axis, names[1..) = new axes (extents in the type); split = 1
//   JOIN    names[0..split) = axes joined, names[split] = new axis
// DTYPE attributes, the shape of leaves, and results "given" in ops.def are carried by the node's type.
typedef struct FblAttr {
    int64_t i[8];
    double value;
    FblName names[2 * FBL_MAX_RANK];
    int32_t name_count;
    int32_t split;
} FblAttr;

typedef int32_t FblNodeId;
#define FBL_NO_NODE (-1)

typedef struct FblNode {
    FblOp op;
    FblType type;
    FblNodeId *inputs;
    int32_t input_count;
    FblAttr attr;
    FblLoc loc;        // the .fbl expression it came from
    FblNodeId origin;  // for gradient nodes: the forward node (id in the graph before differentiation is kept alive by copying ids); else FBL_NO_NODE
    const char *path;  // call path ("resnet_cifar > layer2.0 > conv1"), or NULL
} FblNode;

typedef enum FblRootKind {
    FBL_ROOT_OUTPUT, // a value handed out under `name` ("loss", "score", "hoist.3")
    FBL_ROOT_GRAD,   // the gradient of the parameter or input `name`
    FBL_ROOT_UPDATE  // the new value of the state `name` after the step
} FblRootKind;

typedef struct FblRoot {
    FblRootKind kind;
    FblName name;
    FblNodeId node;
} FblRoot;

// Nodes, their inputs and roots lie in an arena of the graph's own, so that a graph that a pass has replaced can go.
typedef struct FblGraph {
    FblContext *ctx;
    FblArena *arena;
    FblName name; // "train", "eval", "epoch", "optimizer"
    FblNode *nodes;
    size_t count, capacity;
    FblRoot *roots;
    size_t root_count, root_capacity;
} FblGraph;

FblGraph *fbl_graph_create(FblContext *ctx, const char *name);
// Frees the nodes and roots of a graph that nothing refers to any more; NULL does nothing.
void fbl_graph_discard(FblGraph *graph);
// Makes room for `count` nodes, so that adding so many moves none.
void fbl_graph_reserve(FblGraph *graph, size_t count);

// Adds a node and infers its type. `given` is the type of leaves, BROADCAST, CAST and of ops whose result type is given
// (NULL otherwise); `attr` may be NULL when the kind is NONE. On a mistake in the operands (axes, dtypes, extents) adds a
// diagnostic at `loc` and returns FBL_NO_NODE. FBL_NO_NODE among the inputs gives FBL_NO_NODE silently.
FblNodeId fbl_graph_add(FblGraph *graph, FblOp op, const FblNodeId *inputs, int32_t input_count, const FblAttr *attr,
                        const FblType *given, FblLoc loc);

// Conveniences over fbl_graph_add; same errors.
FblNodeId fbl_graph_const(FblGraph *graph, FblDtype dtype, double value, FblLoc loc);
FblNodeId fbl_graph_unary(FblGraph *graph, FblOp op, FblNodeId x, FblLoc loc);
FblNodeId fbl_graph_binary(FblGraph *graph, FblOp op, FblNodeId a, FblNodeId b, FblLoc loc);
FblNodeId fbl_graph_select(FblGraph *graph, FblNodeId condition, FblNodeId a, FblNodeId b, FblLoc loc);
FblNodeId fbl_graph_reduce(FblGraph *graph, FblOp op, FblNodeId x, const FblName *axes, int32_t count, FblLoc loc);
FblNodeId fbl_graph_broadcast(FblGraph *graph, FblNodeId x, const FblType *type, FblLoc loc);
FblNodeId fbl_graph_cast(FblGraph *graph, FblNodeId x, FblDtype dtype, FblLoc loc);
FblNodeId fbl_graph_leaf(FblGraph *graph, FblOp op, const char *symbol, const FblType *type, FblLoc loc);

void fbl_graph_root(FblGraph *graph, FblRootKind kind, FblName name, FblNodeId node);

static inline const FblNode *fbl_graph_node(const FblGraph *graph, FblNodeId id) { return &graph->nodes[id]; }
static inline const FblType *fbl_graph_type(const FblGraph *graph, FblNodeId id) { return &graph->nodes[id].type; }

// Types ------------------------------------------------------------------------------------------------------------------

// A scalar of `dtype`.
FblType fbl_type_scalar(FblDtype dtype);
// Appends an axis (rank below FBL_MAX_RANK is the caller's to ensure).
void fbl_type_add_axis(FblType *type, FblName name, int64_t extent);
// Position of `axis`, or -1.
int fbl_type_find(const FblType *type, FblName axis);
// Same dtype, index axis, and the same axes in the same order.
bool fbl_type_equal(const FblType *a, const FblType *b);
// Same set of axes with the same extents, in any order.
bool fbl_type_same_axes(const FblType *a, const FblType *b);
// Product of the extents; -1 when one is symbolic or the product overflows.
int64_t fbl_type_elements(const FblType *type);
// "f32[batch=64, class=10]", "class[batch]" style for labels: "i32<class=10>[batch=64]". Arena-allocated.
const char *fbl_type_string(FblContext *ctx, const FblType *type);
const char *fbl_dtype_name(FblDtype dtype);
static inline bool fbl_dtype_is_half(FblDtype dtype) { return dtype == FBL_BF16 || dtype == FBL_F16; }
// Bytes of an element in memory.
static inline int64_t fbl_dtype_bytes(FblDtype dtype) { return dtype == FBL_BOOL ? 1 : fbl_dtype_is_half(dtype) ? 2 : 4; }
// What a value read from memory of this type is.
static inline FblDtype fbl_dtype_value(FblDtype dtype) { return fbl_dtype_is_half(dtype) ? FBL_F32 : dtype; }

// Inference: the type of (op, attr) over the given input types. `given` as for fbl_graph_add. On a mistake adds a
// diagnostic at `loc` with both axis lists and returns FBL_USER. The hook behind fbl_graph_add and the verifier.
FblStatus fbl_infer(FblContext *ctx, FblOp op, const FblType *const *inputs, int32_t input_count, const FblAttr *attr,
                    const FblType *given, FblLoc loc, FblType *out_type);

// Text ---------------------------------------------------------------------------------------------------------------

// The canonical text of a graph, in the arena. With locations (as comments) when `locations`; reading ignores them.
const char *fbl_graph_print(const FblGraph *graph, bool locations);
// Reads what fbl_graph_print wrote (source file number `file` of the context). Any broken text gives diagnostics.
FblStatus fbl_graph_read(FblContext *ctx, uint32_t file, FblGraph **out_graph);
// Checks order, arity, attributes, re-inferred types, roots. A failure is FBL_INTERNAL with a diagnostic.
FblStatus fbl_graph_verify(const FblGraph *graph);

#endif

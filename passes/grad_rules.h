// What a derivative rule sees: one forward node with its adjoint, and the graph being extended. One rule per row of
// ir/ops.def, named by the row's hook: fbl_grad_<hook>.
//
// A rule gives each operand its share of the adjoint with fbl_grad_give; it need not care for broadcasting (shares are
// summed over axes that the operand lacks, repeated along those it has beyond the share) nor for axis order.
// Ownership, threads: as the graph.
#ifndef FBL_PASSES_GRAD_RULES_H
#define FBL_PASSES_GRAD_RULES_H

#include "ir/graph.h"

typedef struct FblGrad {
    FblGraph *graph;     // forward nodes with their ids, then the gradient nodes so far
    FblNodeId *adjoints; // per forward node: the sum of the shares so far, or FBL_NO_NODE
    const bool *wanted;  // per forward node: lies on a differentiable path to a wanted leaf
    const FblNode *node; // the forward node
    FblNodeId id;        // its id
    FblNodeId g;         // its adjoint: the node's axes, in any order
    FblLoc loc;
    FblStatus status; // the first failure
} FblGrad;

// Adds `share` to the adjoint of operand `index`; nothing happens for operands that are not wanted.
void fbl_grad_give(FblGrad *grad, int32_t index, FblNodeId share);

// Whether operand `index` needs a share at all.
static inline bool fbl_grad_wants(const FblGrad *grad, int32_t index) {
    return grad->wanted[grad->node->inputs[index]];
}

// E0302 at the node, once.
void fbl_grad_fail(FblGrad *grad, const char *reason);

// Short builders for rules.
FblNodeId fbl_emit_unary(FblGrad *grad, FblOp op, FblNodeId x);
FblNodeId fbl_emit_binary(FblGrad *grad, FblOp op, FblNodeId a, FblNodeId b);
FblNodeId fbl_emit_const(FblGrad *grad, double value);
FblNodeId fbl_emit_scale(FblGrad *grad, FblNodeId x, double factor);
FblNodeId fbl_emit_select(FblGrad *grad, FblNodeId condition, FblNodeId a, FblNodeId b);
FblNodeId fbl_emit_node(FblGrad *grad, FblOp op, FblNodeId a, FblNodeId b, const FblAttr *attr, const FblType *given);
FblNodeId fbl_emit_slice(FblGrad *grad, FblNodeId x, FblName axis, int64_t start, int64_t step, int64_t count);
FblNodeId fbl_emit_pad(FblGrad *grad, FblNodeId x, FblName axis, int64_t low, int64_t high, int64_t interior);
FblNodeId fbl_emit_rename(FblGrad *grad, FblNodeId x, FblName from, FblName to);
FblNodeId fbl_emit_flip(FblGrad *grad, FblNodeId x, FblName axis);
FblNodeId fbl_emit_iota(FblGrad *grad, FblName axis, int64_t extent);

// The extent of `axis` in the type of `x`; a symbolic one is an error of the rule (then 1 is returned).
int64_t fbl_emit_extent(FblGrad *grad, FblNodeId x, FblName axis);

typedef void FblGradRule(FblGrad *grad);

// The rules, and the rule of each op. Rules shared by several rows are declared once per row, which C allows.
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) void fbl_grad_##grad(FblGrad *);
#include "ir/ops.def"
#undef FBL_OP
void fbl_grad_undefined(FblGrad *grad);

FblGradRule *fbl_grad_rule(FblOp op);

// Whether a derivative passes through `op` at all (its hook is neither `none` nor `zero`).
bool fbl_grad_passes(FblOp op);

#endif

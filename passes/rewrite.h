// The engine behind canon and cse: rebuilds a graph bottom up, offering each node to the rules of passes/rules.def and,
// if asked, sharing equal nodes.
//
// A rule sees a node that is about to be added, with its operands already in the new graph, and returns what to use
// instead, or FBL_NO_NODE. Replacements must have exactly the node's type; the engine ignores others.
// Ownership: the graph that goes in stays the caller's; tables lie in the graph that is built. Threads: as the context.
#ifndef FBL_PASSES_REWRITE_H
#define FBL_PASSES_REWRITE_H

#include "ir/graph.h"

typedef enum FblRuleId {
#define FBL_RULE(op, name, doc) FBL_RULE_##op##_##name,
#include "passes/rules.def"
#undef FBL_RULE
    FBL_RULE_COUNT
} FblRuleId;

typedef struct FblRuleInfo {
    const char *name;
    int op; // an FblOp, or FBL_OP_COUNT for any
    const char *doc;
} FblRuleInfo;

const FblRuleInfo *fbl_rule_info(FblRuleId rule);

// How often each rule fired.
typedef struct FblRuleHits {
    uint64_t count[FBL_RULE_COUNT];
} FblRuleHits;

typedef struct FblRewriteOptions {
    bool rules;              // apply rules.def
    bool share;              // merge equal nodes
    bool keep_stop_gradient; // the graph is still to be differentiated
    int only_rule;           // apply this rule alone; -1: all (tests of single rules)
} FblRewriteOptions;

// Rebuilds the live part of `graph`, repeatedly while rules fire (at most a fixed number of rounds). `hits` may be
// NULL.
FblStatus fbl_rewrite(const FblGraph *graph, const FblRewriteOptions *options, FblRuleHits *hits, FblGraph **out_graph);

// For rules
// ----------------------------------------------------------------------------------------------------------------

typedef struct FblRewrite FblRewrite;

// The graph being built; `node` operands and fbl_rw_* results are ids in it.
const FblNode *fbl_rewrite_node(const FblRewrite *rw, FblNodeId id);
FblContext *fbl_rewrite_context(const FblRewrite *rw);
bool fbl_rewrite_keeps_stop_gradient(const FblRewrite *rw);

// Adds a simplified node at the place of the node being rewritten. A combination whose types do not fit gives
// FBL_NO_NODE without a diagnostic only where the caller asked fbl_infer first.
FblNodeId fbl_rw_add(FblRewrite *rw, FblOp op, const FblNodeId *inputs, int32_t count, const FblAttr *attr,
                     const FblType *given);
FblNodeId fbl_rw_unary(FblRewrite *rw, FblOp op, FblNodeId x);
FblNodeId fbl_rw_binary(FblRewrite *rw, FblOp op, FblNodeId a, FblNodeId b);
FblNodeId fbl_rw_const(FblRewrite *rw, FblDtype dtype, double value);
// x itself when it has this type, else its broadcast.
FblNodeId fbl_rw_as(FblRewrite *rw, FblNodeId x, const FblType *type);

// The value of `id` if it is a scalar constant; a splat also looks behind broadcasts.
bool fbl_is_const(const FblRewrite *rw, FblNodeId id, double *out_value);
bool fbl_is_splat(const FblRewrite *rw, FblNodeId id, double *out_value);

// Whether no axis of `type` is among the names.
bool fbl_type_lacks(const FblType *type, const FblName *names, int32_t count);

typedef FblNodeId FblRule(FblRewrite *rw, const FblNode *node);

#define FBL_RULE(op, name, doc) FblRule fbl_rule_##name;
#include "passes/rules.def"
#undef FBL_RULE

#endif

// The simplification passes over one graph: canon (rules.def), cse (equal nodes once), dce (only what roots need).
//
// Ownership: results live in the context's arena. Threads: as the context.
#ifndef FBL_PASSES_SIMPLIFY_H
#define FBL_PASSES_SIMPLIFY_H

#include "passes/rewrite.h"

// Applies every rule until none fires; with `share`, equal nodes are merged on the way, which some rules need in order
// to see that two operands are the same. `hits` may be NULL.
FblStatus fbl_graph_canon(const FblGraph *graph, bool share, bool keep_stop_gradient, FblRuleHits *hits,
                          FblGraph **out_graph);

FblStatus fbl_graph_cse(const FblGraph *graph, FblGraph **out_graph);

FblStatus fbl_graph_dce(const FblGraph *graph, FblGraph **out_graph);

#endif

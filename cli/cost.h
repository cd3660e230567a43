// Counts of work that follow from a graph's shapes alone.
//
// Ownership: none. Threads: no state.
#ifndef FBL_CLI_COST_H
#define FBL_CLI_COST_H

#include "ir/graph.h"

// Floating-point operations of one evaluation: two a multiply-add of a convolution or product, one an element of a
// pointwise op, one an element that a reduction reads. -1 when an extent isn't known.
double fbl_graph_flops(const FblGraph *graph);

// Whether an extent of some node isn't known.
bool fbl_graph_symbolic(const FblGraph *graph);

#endif

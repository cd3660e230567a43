// What passes recognise of means and variances, which the library writes as sums (models/prelude): sum(x) / n and sum((x - mean)^2).
//
// Ownership: borrows the graph. Threads: as the context.
#ifndef FBL_PASSES_STATISTICS_H
#define FBL_PASSES_STATISTICS_H

#include "ir/graph.h"

// What a broadcast repeats, through several.
FblNodeId fbl_strip_broadcast(const FblGraph *graph, FblNodeId id);

// Whether `id` is s / count or s * (1 / count): s then, else FBL_NO_NODE.
FblNodeId fbl_mean_of(const FblGraph *graph, FblNodeId id, int64_t count);

// Whether `node` is a sum over exactly these axes.
bool fbl_sums_over(const FblNode *node, const FblName *axes, int32_t count);

// Whether `id` is (x - m)^2, a product of a difference with itself where x has all axes: *out_x, and m without its broadcasts.
bool fbl_squared_difference(const FblGraph *graph, FblNodeId id, FblNodeId *out_x, FblNodeId *out_mean);

#endif

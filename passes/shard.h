// Dividing the batch of a train step among devices: every one runs the same graph, on its share of the images.
//
// The graph that comes in says what is computed for the whole batch; so does the one that goes out, together with its copies on the
// other devices: a sum over the batch becomes a sum over the device's share and an all_reduce, so that batch normalisation sees the
// whole batch and a loss is what its definition says, however it uses the batch. Inputs and outputs keep the batch's extent, and all
// devices get and give the same; each takes its share by the input "shard.AXIS.EXTENT", which holds the numbers of its images
// (FBL_SHARD_INPUT in ir/module.h).
// Ownership: the result is a graph of the context's. Threads: as the context.
#ifndef FBL_PASSES_SHARD_H
#define FBL_PASSES_SHARD_H

#include "ir/module.h"

// Sets *out_graph to `graph` for `count` shards of its axis `axis` ("batch"). Values keep the axis along which they are divided through
// renaming, joining and splitting; ops that need all of it (a sort along the batch, a gather from it) get what all_gather joins.
// Where nothing can be divided evenly, *out_graph is `graph`.
FblStatus fbl_graph_shard(FblGraph *graph, FblName axis, int count, FblGraph **out_graph);

#endif

// Copying nodes between graphs: what every graph pass does, since a finished graph is never edited in place.
//
// Ownership: maps live in the arena of the graph they map from. Threads: as the context.
#ifndef FBL_PASSES_REBUILD_H
#define FBL_PASSES_REBUILD_H

#include "ir/graph.h"

// Whether the result type of `op` is part of the node rather than inferred from its operands (leaves, broadcast, cast,
// split, adjoints of windowed ops).
bool fbl_op_type_given(FblOp op);

// An empty graph with the name and context of `from`.
FblGraph *fbl_rebuild_begin(const FblGraph *from);

// A map from the node ids of `from` to FBL_NO_NODE.
FblNodeId *fbl_rebuild_map(const FblGraph *from);

// Adds a node like `like` (op, attributes, place, path) with the given inputs; its origin is map[like->origin] when
// that is known. Returns FBL_NO_NODE after a diagnostic.
FblNodeId fbl_rebuild_add(FblGraph *to, const FblNode *like, const FblNodeId *inputs, const FblNodeId *map);

// Copies node `id` of `from` with its inputs through `map`, and records it in the map.
FblNodeId fbl_rebuild_copy(FblGraph *to, const FblGraph *from, FblNodeId id, FblNodeId *map);

// Copies the roots of `from` through `map`. FBL_INTERNAL when a root's node has no image.
FblStatus fbl_rebuild_roots(FblGraph *to, const FblGraph *from, const FblNodeId *map);

// `id` with exactly the axes and the axis order of `type`: itself, or a broadcast that permutes or repeats.
FblNodeId fbl_rebuild_as(FblGraph *graph, FblNodeId id, const FblType *type, FblLoc loc);

// out[id] is true for every node that some root needs. In the graph's arena.
bool *fbl_graph_live(const FblGraph *graph);

#endif

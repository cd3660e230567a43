#include "passes/simplify.h"

#include "passes/rebuild.h"

FblStatus fbl_graph_canon(const FblGraph *graph, bool share, bool keep_stop_gradient, FblRuleHits *hits,
                          FblGraph **out_graph) {
    FblRewriteOptions options = {
        .rules = true, .share = share, .keep_stop_gradient = keep_stop_gradient, .only_rule = -1};
    return fbl_rewrite(graph, &options, hits, out_graph);
}

FblStatus fbl_graph_cse(const FblGraph *graph, FblGraph **out_graph) {
    FblRewriteOptions options = {.share = true, .keep_stop_gradient = true, .only_rule = -1};
    return fbl_rewrite(graph, &options, NULL, out_graph);
}

FblStatus fbl_graph_dce(const FblGraph *graph, FblGraph **out_graph) {
    FblGraph *to = fbl_rebuild_begin(graph);
    FblNodeId *map = fbl_rebuild_map(graph);
    bool *live = fbl_graph_live(graph);
    for (size_t i = 0; i < graph->count; i++) {
        if (live[i] && fbl_rebuild_copy(to, graph, (FblNodeId)i, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    *out_graph = to;
    return fbl_rebuild_roots(to, graph, map);
}

#include "passes/lower_internal.h"

FblLayout fbl_layout_plain(const FblType *type) {
    FblLayout layout = {.rank = type->rank};
    for (int i = 0; i < type->rank; i++) {
        layout.dims[i] = (FblLayoutDim){type->axes[i].name, 0, type->axes[i].extent};
    }
    return layout;
}

// The axes of every convolution and pool: tensors over exactly these are images.
static void find_quads(FblLower *lower) {
    const FblGraph *graph = lower->graph;
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        if (fbl_op_info(node->op)->attr != FBL_ATTR_CONV) {
            continue;
        }
        bool known = false;
        for (size_t i = 0; i < lower->quad_count && !known; i++) {
            known = true;
            for (int d = 0; d < 4; d++) {
                known &= lower->quads[i].axes[d] == node->attr.names[d];
            }
        }
        if (!known) {
            FblQuad quad;
            for (int d = 0; d < 4; d++) {
                quad.axes[d] = node->attr.names[d];
            }
            FBL_PUSH(lower->arena, lower->quads, lower->quad_count, lower->quad_capacity, quad);
        }
    }
}

// Images in the order batch, channel, height, width with the channels in blocks of a vector, outermost blocks first, where
// they divide, or with the channels last; what remains after reducing some of those axes in the same order. Everything else
// as its type has it.
static FblLayout choose(const FblLower *lower, const FblType *type) {
    for (size_t i = 0; i < lower->quad_count; i++) {
        const FblQuad *quad = &lower->quads[i];
        FblLayout layout = {0};
        int found = 0;
        int at[4];
        for (int d = 0; d < 4; d++) {
            at[d] = fbl_type_find(type, quad->axes[d]);
            found += at[d] >= 0;
        }
        if (found != type->rank || found < 2) {
            continue;
        }
        bool last = lower->options->channels_last;
        bool blocked = !last && found == 4 && type->axes[at[1]].extent % lower->lanes == 0 && lower->options->block_layouts;
        static const int orders[2][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}};
        for (int k = 0; k < 4; k++) {
            int d = orders[last][k];
            if (at[d] >= 0) {
                int64_t extent = type->axes[at[d]].extent;
                layout.dims[layout.rank++] =
                    (FblLayoutDim){quad->axes[d], 0, blocked && d == 1 ? extent / lower->lanes : extent};
            }
        }
        if (blocked) {
            layout.dims[layout.rank++] = (FblLayoutDim){quad->axes[1], lower->lanes, lower->lanes};
        }
        return layout;
    }
    return fbl_layout_plain(type);
}

void fbl_lower_layouts(FblLower *lower) {
    find_quads(lower);
    for (size_t id = 0; id < lower->graph->count; id++) {
        const FblNode *node = &lower->graph->nodes[id];
        FblNodePlan *plan = &lower->nodes[id];
        bool plain = fbl_lower_is_leaf(node->op) || plan->dense || plan->root >= 0 || !lower->options->block_layouts;
        plan->layout = plain ? fbl_layout_plain(&node->type) : choose(lower, &node->type);
    }
}

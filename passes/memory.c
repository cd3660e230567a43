// Offsets in the arena: the largest tensors first, each at the lowest place free during its whole life.
#include <stdlib.h>

#include "passes/lower_internal.h"

#define ALIGNMENT 64

typedef struct Piece {
    FblNodeId node;
    int64_t bytes, offset;
    int32_t first, last;
} Piece;

static int by_size(const void *a, const void *b) {
    const Piece *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes > y->bytes ? -1 : 1;
    }
    return x->node < y->node ? -1 : 1;
}

static int by_offset(const void *a, const void *b) {
    const Piece *const *x = a, *const *y = b;
    return (*x)->offset != (*y)->offset ? ((*x)->offset < (*y)->offset ? -1 : 1) : 0;
}

FblStatus fbl_lower_memory(FblLower *lower, int64_t *out_bytes, int64_t *out_bound) {
    Piece *pieces = FBL_NEW_ARRAY(lower->arena, Piece, lower->graph->count + 1);
    size_t count = 0;
    for (size_t id = 0; id < lower->graph->count; id++) {
        const FblNodePlan *plan = &lower->nodes[id];
        if (plan->kept && plan->region == FBL_REGION_ARENA && plan->first >= 0) {
            pieces[count++] = (Piece){(FblNodeId)id, fbl_align_up(plan->bytes, ALIGNMENT), 0, plan->first, plan->last};
        }
    }
    qsort(pieces, count, sizeof *pieces, by_size);
    Piece **busy = FBL_NEW_ARRAY(lower->arena, Piece *, count + 1);
    *out_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t live = 0;
        for (size_t k = 0; k < i; k++) {
            if (pieces[k].first <= pieces[i].last && pieces[i].first <= pieces[k].last) {
                busy[live++] = &pieces[k];
            }
        }
        qsort(busy, live, sizeof *busy, by_offset);
        int64_t at = 0;
        for (size_t k = 0; k < live && at + pieces[i].bytes > busy[k]->offset; k++) {
            int64_t end = busy[k]->offset + busy[k]->bytes;
            at = end > at ? end : at;
        }
        pieces[i].offset = at;
        lower->nodes[pieces[i].node].offset = at;
        *out_bytes = at + pieces[i].bytes > *out_bytes ? at + pieces[i].bytes : *out_bytes;
    }
    *out_bound = 0;
    for (int32_t g = 0; g < (int32_t)lower->group_count; g++) {
        int64_t live = 0;
        for (size_t i = 0; i < count; i++) {
            live += pieces[i].first <= g && g <= pieces[i].last ? pieces[i].bytes : 0;
        }
        *out_bound = live > *out_bound ? live : *out_bound;
    }
    return FBL_OK;
}

// Offsets in the arena: the largest tensors first, each at the lowest place free during its whole life.
#include <stdlib.h>
#include <string.h>

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

// Adds `piece` to the `count` pieces of `placed`, which are in the order of their offsets.
static void insert_by_offset(Piece **placed, size_t count, Piece *piece) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (placed[middle]->offset <= piece->offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memmove(placed + low + 1, placed + low, (count - low) * sizeof *placed);
    placed[low] = piece;
}

// The bytes of all pieces that live at the same time, at their most.
static int64_t largest_live_set(FblLower *lower, const Piece *pieces, size_t count) {
    int64_t *change = FBL_NEW_ARRAY(lower->arena, int64_t, lower->group_count + 2); // from one group to the next
    for (size_t i = 0; i < count; i++) {
        change[pieces[i].first] += pieces[i].bytes;
        change[pieces[i].last + 1] -= pieces[i].bytes;
    }
    int64_t live = 0, most = 0;
    for (size_t g = 0; g < lower->group_count; g++) {
        live += change[g];
        most = live > most ? live : most;
    }
    return most;
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
    Piece **placed = FBL_NEW_ARRAY(lower->arena, Piece *, count + 1);
    *out_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        Piece *piece = &pieces[i];
        int64_t at = 0;
        for (size_t k = 0; k < i && at + piece->bytes > placed[k]->offset; k++) {
            bool together = placed[k]->first <= piece->last && piece->first <= placed[k]->last;
            int64_t end = placed[k]->offset + placed[k]->bytes;
            at = together && end > at ? end : at;
        }
        piece->offset = at;
        lower->nodes[piece->node].offset = at;
        insert_by_offset(placed, i, piece);
        *out_bytes = at + piece->bytes > *out_bytes ? at + piece->bytes : *out_bytes;
    }
    *out_bound = largest_live_set(lower, pieces, count);
    return FBL_OK;
}

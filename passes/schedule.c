// The order of kernels around collectives: each goes up to the one before it where its operand is made by then, so that devices wait for each
// other once instead of twice.
#include <string.h>

#include "passes/lower_internal.h"

static bool is_collective(const FblLower *lower, size_t group) { return fbl_op_info(lower->graph->nodes[lower->groups[group].anchor].op)->op_class == FBL_CLASS_COLLECTIVE; }

// The first place that a group may have: behind what makes its operands.
static size_t earliest(const FblLower *lower, const FblGroup *group) {
    size_t place = 0;
    for (size_t i = 0; i < group->touched_count; i++) {
        int32_t maker = lower->nodes[group->touched[i]].group;
        place = maker >= 0 && (size_t)maker >= place ? (size_t)maker + 1 : place;
    }
    return place;
}

static void move_up(FblLower *lower, size_t from, size_t to) {
    FblGroup moved = lower->groups[from];
    memmove(lower->groups + to + 1, lower->groups + to, (from - to) * sizeof moved);
    lower->groups[to] = moved;
    for (size_t id = 0; id < lower->graph->count; id++) {
        int32_t *group = &lower->nodes[id].group;
        if (*group == (int32_t)from) {
            *group = (int32_t)to;
        } else if (*group >= (int32_t)to && *group < (int32_t)from) {
            *group += 1;
        }
    }
}

void fbl_lower_schedule(FblLower *lower) {
    for (size_t g = 1; g < lower->group_count && lower->options->devices > 1; g++) {
        size_t place = is_collective(lower, g) ? earliest(lower, &lower->groups[g]) : g;
        for (size_t before = g; before-- > 0 && before + 1 >= place;) {
            if (is_collective(lower, before)) {
                if (before + 1 < g) {
                    move_up(lower, g, before + 1);
                }
                break;
            }
        }
    }
}

void fbl_lower_overlap(FblLower *lower) {
    for (size_t first = 0; first < lower->group_count; first++) {
        size_t last = first;
        while (lower->options->devices > 1 && last < lower->group_count && is_collective(lower, last)) {
            last++;
        }
        for (size_t g = first; g < last; g++) {
            lower->groups[g].chain_first = (int32_t)first;
            lower->groups[g].chain_last = (int32_t)last - 1;
        }
        first = last > first ? last - 1 : first;
    }
}

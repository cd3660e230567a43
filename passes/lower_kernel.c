// The LOOPS kernel of a group: which loops, in which order, which of them parallel and which in vectors, and its stages.
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "ir/kernel_text.h"
#include "passes//lower_internal.h"

// Elements that one work item of a kernel without reductions should at least have.
#define ITEM_ELEMENTS 8192
#define MIN_ITEMS 8

// How one axis is walked: one loop, or two whose indices are scale * first + second.
typedef struct Walk {
    FblName axis;
    int64_t extent;
    int32_t loops[2]; // second: -1 for a whole axis
    int64_t scale;
    bool outer;
} Walk;

typedef struct LoopPlan {
    FblLower *lower;
    FblGroup *group;
    FblKernel *kernel;
    Walk walks[2 * FBL_MAX_RANK];
    int32_t walk_count;
    FblNodeId main; // the tensor whose order the loops follow
} LoopPlan;

// Every tensor in memory that the group reads or writes.
static size_t tensors_of(FblLower *lower, const FblGroup *group, FblNodeId *out) {
    size_t count = 0;
    for (size_t i = 0; i < group->touched_count; i++) {
        out[count++] = group->touched[i];
    }
    for (size_t i = 0; i < group->count; i++) {
        if (group->members[i].stored) {
            out[count++] = group->members[i].node;
        }
    }
    (void)lower;
    return count;
}

static int dim_of(const FblLayout *layout, FblName axis) {
    for (int d = 0; d < layout->rank; d++) {
        if (layout->dims[d].axis == axis) {
            return d;
        }
    }
    return -1;
}

static int last_dim(const FblLayout *layout) {
    int d = layout->rank - 1;
    while (d > 0 && layout->dims[d].extent == 1) {
        d--;
    }
    return d;
}

// Axis `a` comes before `b` in the order of the main tensor; axes that it lacks come first.
static bool before(const LoopPlan *plan, FblName a, FblName b) {
    const FblLayout *layout = &plan->lower->nodes[plan->main].layout;
    return dim_of(layout, a) < dim_of(layout, b);
}

static void sort_axes(const LoopPlan *plan, FblAxis *axes, int32_t count) {
    for (int32_t i = 1; i < count; i++) {
        for (int32_t k = i; k > 0 && before(plan, axes[k].name, axes[k - 1].name); k--) {
            FblAxis swap = axes[k];
            axes[k] = axes[k - 1];
            axes[k - 1] = swap;
        }
    }
}

// The axis to walk in vectors: the one along which most of the traffic is contiguous. NULL: none.
static FblName vector_axis(const LoopPlan *plan, const FblNodeId *tensors, size_t count, const FblAxis *axes, int32_t axis_count) {
    FblName best = NULL;
    double best_score = 0;
    for (int32_t i = 0; i < axis_count; i++) {
        if (axes[i].extent < 2 || !axes[i].name) {
            continue;
        }
        double score = 0;
        for (size_t t = 0; t < count; t++) {
            const FblLayout *layout = &plan->lower->nodes[tensors[t]].layout;
            double weight = (double)plan->lower->nodes[tensors[t]].bytes;
            if (layout->rank == 0 || dim_of(layout, axes[i].name) < 0) {
                continue;
            }
            score += layout->dims[last_dim(layout)].axis == axes[i].name ? weight : -0.5 * weight;
        }
        // Short axes waste lanes.
        score *= axes[i].extent >= plan->lower->lanes ? 1.0 : (double)axes[i].extent / plan->lower->lanes;
        if (score > best_score) {
            best = axes[i].name;
            best_score = score;
        }
    }
    return best;
}

static int32_t add_loop(LoopPlan *plan, int64_t extent, const char *label) {
    int32_t number = plan->kernel->loop_count++;
    plan->kernel->loops[number] = (FblKLoop){extent, label};
    return number;
}

static Walk *find_walk(LoopPlan *plan, FblName axis) {
    for (int32_t i = 0; i < plan->walk_count; i++) {
        if (plan->walks[i].axis == axis) {
            return &plan->walks[i];
        }
    }
    return NULL;
}

// A block that some tensor stores `axis` in, or 0.
static int64_t block_of(const LoopPlan *plan, const FblNodeId *tensors, size_t count, FblName axis) {
    for (size_t t = 0; t < count; t++) {
        const FblLayout *layout = &plan->lower->nodes[tensors[t]].layout;
        for (int d = 0; d < layout->rank; d++) {
            if (layout->dims[d].axis == axis && layout->dims[d].block > 0) {
                return layout->dims[d].block;
            }
        }
    }
    return 0;
}

// The largest divisor of `extent` that is a multiple of the lanes and at most 4096; 0 without one worth having.
static int64_t chunk_of(int64_t extent, int64_t lanes) {
    for (int64_t chunk = 4096; chunk >= 256; chunk -= lanes) {
        if (extent % chunk == 0) {
            return chunk;
        }
    }
    return 0;
}

static int32_t walk_index(FblKBuild *build, const Walk *walk) {
    int32_t index = fbl_ix_loop(build, walk->loops[0]);
    if (walk->loops[1] >= 0) {
        index = fbl_ix_add(build, fbl_ix_scale(build, index, walk->scale), fbl_ix_loop(build, walk->loops[1]));
    }
    return index;
}

// Loops for the given axes, in the main tensor's order; the inner part of a blocked axis comes last.
static void add_walks(LoopPlan *plan, FblAxis *axes, int32_t count, bool outer, FblName vector, const FblNodeId *tensors, size_t tensor_count) {
    Walk *split = NULL;
    sort_axes(plan, axes, count);
    for (int32_t i = 0; i < count; i++) {
        int64_t block = block_of(plan, tensors, tensor_count, axes[i].name);
        Walk *walk = &plan->walks[plan->walk_count++];
        *walk = (Walk){axes[i].name, axes[i].extent, {-1, -1}, 1, outer};
        if (block > 0 && axes[i].extent % block == 0 && (vector == NULL || vector == axes[i].name)) {
            walk->loops[0] = add_loop(plan, axes[i].extent / block, axes[i].name);
            walk->scale = block;
            split = walk;
        } else {
            walk->loops[0] = add_loop(plan, axes[i].extent, axes[i].name);
        }
    }
    if (split) {
        split->loops[1] = add_loop(plan, split->scale, fbl_arena_printf(plan->lower->arena, "%s.lane", split->axis));
    }
}

static void set_vector_loop(LoopPlan *plan, FblName vector) {
    Walk *walk = vector ? find_walk(plan, vector) : NULL;
    plan->kernel->vector_loop = walk ? (walk->loops[1] >= 0 ? walk->loops[1] : walk->loops[0]) : -1;
}

// No reductions: one stage over all axes. The leading loops are parallel until what is left is a fair piece of work.
static void flat_loops(LoopPlan *plan, const FblNodeId *tensors, size_t count, int32_t *out_inner, int32_t *out_inner_count) {
    FblKernel *kernel = plan->kernel;
    FblAxis axes[FBL_MAX_RANK];
    memcpy(axes, plan->group->outer, sizeof axes);
    FblName vector = vector_axis(plan, tensors, count, axes, plan->group->outer_rank);
    // One long run: cut it, so that there is something to share.
    if (plan->group->outer_rank == 1 && axes[0].extent >= 2 * ITEM_ELEMENTS && chunk_of(axes[0].extent, plan->lower->lanes) > 0) {
        int64_t chunk = chunk_of(axes[0].extent, plan->lower->lanes);
        Walk *walk = &plan->walks[plan->walk_count++];
        *walk = (Walk){axes[0].name, axes[0].extent, {-1, -1}, chunk, true};
        walk->loops[0] = add_loop(plan, axes[0].extent / chunk, axes[0].name);
        walk->loops[1] = add_loop(plan, chunk, fbl_arena_printf(plan->lower->arena, "%s.run", axes[0].name));
    } else {
        add_walks(plan, axes, plan->group->outer_rank, true, vector, tensors, count);
    }
    set_vector_loop(plan, vector);
    int64_t left = 1, items = 1;
    for (int32_t k = 0; k < kernel->loop_count; k++) {
        left *= kernel->loops[k].extent;
    }
    int32_t outer = 0;
    while (outer < kernel->loop_count && outer != kernel->vector_loop && (left > ITEM_ELEMENTS || (items < MIN_ITEMS && left > 512))) {
        items *= kernel->loops[outer].extent;
        left /= kernel->loops[outer].extent;
        outer++;
    }
    kernel->outer_count = outer;
    for (int32_t k = outer; k < kernel->loop_count; k++) {
        out_inner[(*out_inner_count)++] = k;
    }
}

// Reductions: the shared axes are outer loops, the others inner ones of their stages.
static void reducing_loops(LoopPlan *plan, const FblNodeId *tensors, size_t count) {
    FblAxis outer[FBL_MAX_RANK], all[2 * FBL_MAX_RANK + 2];
    int32_t all_count = plan->group->outer_rank;
    memcpy(outer, plan->group->outer, sizeof outer);
    memcpy(all, outer, (size_t)all_count * sizeof *all);
    FblAxis anchor_inner[FBL_MAX_RANK];
    int32_t anchor_count = fbl_member_inner(plan->lower, plan->group, plan->group->anchor, anchor_inner);
    for (int32_t i = 0; i < anchor_count; i++) {
        if (anchor_inner[i].name) {
            all[all_count++] = anchor_inner[i];
        }
    }
    FblName vector = vector_axis(plan, tensors, count, all, all_count);
    add_walks(plan, outer, plan->group->outer_rank, true, vector, tensors, count);
    plan->kernel->outer_count = plan->kernel->loop_count;
    for (size_t m = 0; m < plan->group->count; m++) {
        FblAxis inner[FBL_MAX_RANK], fresh[FBL_MAX_RANK];
        int32_t fresh_count = 0;
        int32_t inner_count = fbl_member_inner(plan->lower, plan->group, plan->group->members[m].node, inner);
        for (int32_t i = 0; i < inner_count; i++) {
            if (inner[i].name && !find_walk(plan, inner[i].name)) {
                fresh[fresh_count++] = inner[i];
            }
        }
        add_walks(plan, fresh, fresh_count, false, vector, tensors, count);
    }
    set_vector_loop(plan, vector);
}

// Stages -------------------------------------------------------------------------------------------------------------

typedef struct Stages {
    LoopPlan *plan;
    FblScope scope;
    FblKBuild build;
    FblKStage *items;
    size_t count, capacity;
} Stages;

static FblKStage *open_stage(Stages *s, const int32_t *loops, int32_t loop_count, int32_t level) {
    FblArena *arena = s->plan->lower->arena;
    fbl_scope_begin(&s->scope);
    s->scope.level = level;
    for (int32_t o = 0; o < s->plan->group->outer_rank; o++) {
        s->scope.outer[o] = walk_index(&s->build, find_walk(s->plan, s->plan->group->outer[o].name));
    }
    FblKStage stage = {.loop_count = loop_count, .first = s->build.scope};
    stage.loops = FBL_NEW_ARRAY(arena, int32_t, loop_count + 1);
    memcpy(stage.loops, loops, (size_t)loop_count * sizeof *loops);
    stage.stores = FBL_NEW_ARRAY(arena, FblKStore, s->plan->group->count + 1);
    stage.reduces = FBL_NEW_ARRAY(arena, FblKReduce, s->plan->group->count + 1);
    FBL_PUSH(arena, s->items, s->count, s->capacity, stage);
    return &s->items[s->count - 1];
}

static void close_stage(Stages *s) { s->items[s->count - 1].last = (int32_t)s->build.count; }

// Index of every axis of the type of `id`, by its walks.
static void index_of(Stages *s, FblNodeId id, int32_t *out) {
    const FblType *type = &s->plan->lower->graph->nodes[id].type;
    for (int i = 0; i < type->rank; i++) {
        out[i] = walk_index(&s->build, find_walk(s->plan, type->axes[i].name));
    }
}

// The loops of the named inner axes in the order in which they were made (outermost first).
static int32_t loops_of(Stages *s, const FblAxis *axes, int32_t count, int32_t *out) {
    int32_t loop_count = 0;
    for (int32_t number = s->plan->kernel->outer_count; number < s->plan->kernel->loop_count; number++) {
        for (int32_t i = 0; i < count; i++) {
            const Walk *walk = axes[i].name ? find_walk(s->plan, axes[i].name) : NULL;
            if (walk && (walk->loops[0] == number || walk->loops[1] == number)) {
                out[loop_count++] = number;
            }
        }
    }
    return loop_count;
}

static bool same_loops(const FblKStage *stage, const int32_t *loops, int32_t count) {
    return stage->loop_count == count && memcmp(stage->loops, loops, (size_t)count * sizeof *loops) == 0;
}

// All reductions of `level`, those over the same loops in one stage.
static void reduction_stages(Stages *s, int32_t level, int32_t *results) {
    FblLower *lower = s->plan->lower;
    FblGroup *group = s->plan->group;
    size_t done = 0;
    bool *taken = FBL_NEW_ARRAY(lower->arena, bool, group->count + 1);
    for (size_t first = 0; first < group->count; first++) {
        FblNodeId anchor = group->members[first].node;
        if (taken[first] || group->members[first].level != level || !fbl_lower_is_loopy(lower, anchor)) {
            continue;
        }
        bool window = fbl_op_info(lower->graph->nodes[anchor].op)->op_class == FBL_CLASS_WINDOW;
        FblAxis inner[FBL_MAX_RANK];
        int32_t inner_count = fbl_member_inner(lower, group, anchor, inner);
        int32_t loops[FBL_KERNEL_MAX_LOOPS];
        int32_t loop_count = 0;
        int32_t taps[2] = {-1, -1};
        if (window) {
            for (int k = 0; k < 2; k++) {
                taps[k] = loops[loop_count++] = add_loop(s->plan, inner[k].extent, k == 0 ? "tap.h" : "tap.w");
            }
        } else {
            loop_count = loops_of(s, inner, inner_count, loops);
        }
        FblKStage *stage = open_stage(s, loops, loop_count, level);
        size_t at = s->count - 1;
        for (size_t m = first; m < group->count; m++) {
            FblMember *member = &group->members[m];
            FblAxis theirs[FBL_MAX_RANK];
            int32_t their_loops[FBL_KERNEL_MAX_LOOPS];
            if (taken[m] || member->level != level || !fbl_lower_is_loopy(lower, member->node) || (window && m != first)) {
                continue;
            }
            int32_t their_count = fbl_member_inner(lower, group, member->node, theirs);
            if (!window && !same_loops(stage, their_loops, loops_of(s, theirs, their_count, their_loops))) {
                continue;
            }
            int32_t index[FBL_MAX_RANK], inside[FBL_MAX_RANK];
            index_of(s, member->node, index);
            for (int32_t i = 0; i < their_count; i++) {
                inside[i] = window ? fbl_ix_loop(&s->build, taps[i]) : walk_index(&s->build, find_walk(s->plan, theirs[i].name));
            }
            FblKReduce reduce = {.result = (*results)++};
            reduce.value = fbl_scope_element(&s->scope, member->node, index, inside, &reduce.op, &reduce.dtype);
            member->result = reduce.result;
            stage = &s->items[at];
            stage->reduces[stage->reduce_count++] = reduce;
            taken[m] = true;
            done++;
        }
        close_stage(s);
    }
}

static void store_member(Stages *s, FblNodeId id) {
    int32_t index[FBL_MAX_RANK];
    index_of(s, id, index);
    int32_t value = fbl_scope_compute(&s->scope, id, index);
    FblKStage *stage = &s->items[s->count - 1];
    fbl_scope_store(&s->scope, id, index, value, &stage->stores[stage->store_count]);
    stage->store_count++;
}

// Stores of pointwise members of `level` and of finished reductions.
static void store_stages(Stages *s, int32_t level) {
    FblLower *lower = s->plan->lower;
    FblGroup *group = s->plan->group;
    bool *taken = FBL_NEW_ARRAY(lower->arena, bool, group->count + 1);
    for (size_t first = 0; first < group->count; first++) {
        const FblMember *member = &group->members[first];
        bool loopy = fbl_lower_is_loopy(lower, member->node);
        if (taken[first] || !member->stored || member->level + (loopy ? 1 : 0) != level) {
            continue;
        }
        FblAxis inner[FBL_MAX_RANK];
        int32_t loops[FBL_KERNEL_MAX_LOOPS];
        int32_t loop_count = loopy ? 0 : loops_of(s, inner, fbl_member_inner(lower, group, member->node, inner), loops);
        open_stage(s, loops, loop_count, level);
        for (size_t m = first; m < group->count; m++) {
            const FblMember *other = &group->members[m];
            bool other_loopy = fbl_lower_is_loopy(lower, other->node);
            FblAxis theirs[FBL_MAX_RANK];
            int32_t their_loops[FBL_KERNEL_MAX_LOOPS];
            if (taken[m] || !other->stored || other->level + (other_loopy ? 1 : 0) != level) {
                continue;
            }
            int32_t their_count = other_loopy ? 0 : loops_of(s, theirs, fbl_member_inner(lower, group, other->node, theirs), their_loops);
            if (same_loops(&s->items[s->count - 1], their_loops, their_count)) {
                store_member(s, other->node);
                taken[m] = true;
            }
        }
        close_stage(s);
    }
}

static FblNodeId biggest(const FblLower *lower, const FblNodeId *tensors, size_t count, FblNodeId otherwise) {
    FblNodeId best = otherwise;
    int64_t bytes = -1;
    for (size_t i = 0; i < count; i++) {
        if (lower->nodes[tensors[i]].bytes > bytes) {
            bytes = lower->nodes[tensors[i]].bytes;
            best = tensors[i];
        }
    }
    return best;
}

FblStatus fbl_lower_loops(FblLower *lower, int32_t number) {
    FblGroup *group = &lower->groups[number];
    FblKernel *kernel = FBL_NEW(lower->arena, FblKernel);
    kernel->kind = FBL_KERNEL_LOOPS;
    FblNodeId *tensors = FBL_NEW_ARRAY(lower->arena, FblNodeId, group->touched_count + group->count + 1);
    size_t count = tensors_of(lower, group, tensors);
    LoopPlan plan = {.lower = lower, .group = group, .kernel = kernel};
    plan.main = biggest(lower, tensors, count, group->anchor);
    Stages s = {.plan = &plan};
    int32_t results = 0;
    int32_t flat[FBL_KERNEL_MAX_LOOPS];
    int32_t flat_count = 0;
    if (group->reduces) {
        reducing_loops(&plan, tensors, count);
    } else {
        // The order of a flat kernel is that of what it writes.
        plan.main = group->anchor;
        flat_loops(&plan, tensors, count, flat, &flat_count);
    }
    fbl_kb_init(&s.build, lower->arena, kernel);
    fbl_scope_init(&s.scope, lower, number, &s.build);
    if (!group->reduces) {
        open_stage(&s, flat, flat_count, 0);
        for (size_t m = 0; m < group->count; m++) {
            store_member(&s, group->members[m].node);
        }
        close_stage(&s);
    } else {
        int32_t levels = 0;
        for (size_t m = 0; m < group->count; m++) {
            levels = group->members[m].level > levels ? group->members[m].level : levels;
        }
        for (int32_t level = 0; level <= levels + 1; level++) {
            store_stages(&s, level);
            reduction_stages(&s, level, &results);
        }
    }
    kernel->stages = s.items;
    kernel->stage_count = (int32_t)s.count;
    kernel->result_count = results;
    kernel->instrs = s.build.instrs;
    kernel->instr_count = (int32_t)s.build.count;
    fbl_lower_finish(lower, &s.scope, group, kernel);
    return s.scope.status;
}

// Finishing ----------------------------------------------------------------------------------------------------------

static void describe(FblLower *lower, const FblGroup *group, FblKernel *kernel) {
    const char *note = "";
    char name[64] = "";
    for (size_t i = 0; i < group->count && i < 4; i++) {
        const FblNode *node = &lower->graph->nodes[group->members[i].node];
        const char *text = fbl_op_info(node->op)->text;
        note = fbl_arena_printf(lower->arena, "%s%s%s %s%s", note, i ? ", " : "", fbl_loc_string(lower->ctx, node->loc, true), text,
                                node->origin >= 0 ? " (backward)" : "");
        if (i < 3) {
            size_t used = strlen(name);
            snprintf(name + used, sizeof name - used, "%s%s", i ? "_" : "", text);
        }
    }
    FblText text;
    fbl_text_init(&text, lower->arena);
    fbl_kernel_print_to(&text, kernel, false);
    uint64_t hash = fbl_hash_u64(text.data, text.length);
    kernel->name = fbl_arena_printf(lower->arena, "%s_%04x", name, (unsigned)(hash & 0xffff));
    kernel->note = note;
}

void fbl_lower_finish(FblLower *lower, FblScope *scope, FblGroup *group, FblKernel *kernel) {
    kernel->buffers = scope->buffers;
    kernel->buffer_count = (int32_t)scope->buffer_count;
    group->buffer_nodes = scope->buffer_nodes;
    group->kernel = kernel;
    for (size_t i = 0; i < scope->buffer_count; i++) {
        kernel->bytes += lower->nodes[scope->buffer_nodes[i]].bytes;
    }
    int64_t items = 1;
    for (int32_t k = 0; k < kernel->outer_count; k++) {
        items *= kernel->loops[k].extent;
    }
    if (kernel->part_rows > 0) {
        items = kernel->loops[kernel->part_loop].extent * kernel->loops[kernel->epilogue.loops[1]].extent;
    }
    for (int32_t k = 0; k < kernel->stage_count; k++) {
        int64_t points = items;
        for (int32_t i = 0; i < kernel->stages[k].loop_count; i++) {
            points *= kernel->loops[kernel->stages[k].loops[i]].extent;
        }
        int64_t work = kernel->stages[k].reduce_count;
        for (int32_t id = kernel->stages[k].first; id < kernel->stages[k].last; id++) {
            work += kernel->instrs[id].kind == FBL_K_OP && kernel->instrs[id].dtype == FBL_F32;
        }
        kernel->flops += points * work;
    }
    if (kernel->kind == FBL_KERNEL_CONTRACTION) {
        const FblContraction *c = &kernel->contraction;
        kernel->flops += 2 * c->n * c->o * c->oh * c->ow * (c->c / c->groups) * c->kh * c->kw;
    }
    describe(lower, group, kernel);
}

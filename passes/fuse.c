// Which values go through memory, and which of those are computed by one kernel.
#include "passes/lower_internal.h"

#include <string.h>

// Bounds on what is computed in place of being stored: work, large loads and nesting of one element.
#define MAX_OPS 48
#define MAX_LOADS 6
#define MAX_DEPTH 48
#define MAX_MEMBERS 10
// Rows of at most this many elements are read again by a later stage of the same kernel rather than by another kernel.
#define MAX_ROW 16384
// A number that so many times as many elements need, at least so many in all, is worth storing when it takes some work.
#define SHARED_BY 64
#define SHARED_LARGE 65536
#define SHARED_OPS 6
// What contractions compute anew as they read an operand, in place of its being stored.
#define PROLOGUE_OPS 48
#define PROLOGUE_LOADS 3
// How far back a group is looked for.
#define LOOK_BACK 24

bool fbl_lower_is_library(FblOp op) {
    return op == FBL_OP_CUMSUM || op == FBL_OP_ARGSORT || op == FBL_OP_BETA || fbl_op_info(op)->op_class == FBL_CLASS_COLLECTIVE;
}

bool fbl_lower_is_contraction(const FblLower *lower, FblNodeId id) {
    FblOp op = lower->graph->nodes[id].op;
    return op == FBL_OP_CONV2D || op == FBL_OP_CONV2D_DATA_GRAD || op == FBL_OP_CONV2D_WEIGHT_GRAD;
}

bool fbl_lower_is_loopy(const FblLower *lower, FblNodeId id) {
    FblOp op = lower->graph->nodes[id].op;
    FblOpClass op_class = fbl_op_info(op)->op_class;
    return op_class == FBL_CLASS_REDUCE || op_class == FBL_CLASS_WINDOW || op == FBL_OP_CONTRACT;
}

void fbl_lower_note(FblLower *lower, FblNodeId producer, FblNodeId consumer, const char *reason) {
    if (!lower->options->report) {
        return;
    }
    const FblNode *from = &lower->graph->nodes[producer], *to = consumer >= 0 ? &lower->graph->nodes[consumer] : NULL;
    FblFuseNote note = {.function = lower->graph->name, .reason = reason, .bytes = lower->nodes[producer].bytes};
    note.producer = fbl_arena_printf(lower->arena, "%s at %s", fbl_op_info(from->op)->text, fbl_loc_string(lower->ctx, from->loc, true));
    note.consumer = to ? fbl_arena_printf(lower->arena, "%s at %s", fbl_op_info(to->op)->text, fbl_loc_string(lower->ctx, to->loc, true)) : "-";
    FBL_PUSH(lower->arena, lower->notes, lower->note_count, lower->note_capacity, note);
}

static int op_weight(FblOp op) {
    switch (op) {
    case FBL_OP_EXP:
    case FBL_OP_EXPM1:
    case FBL_OP_LOG:
    case FBL_OP_LOG1P:
    case FBL_OP_TANH:
    case FBL_OP_SIGMOID:
    case FBL_OP_UNIFORM:
        return 8;
    case FBL_OP_SIN:
    case FBL_OP_COS:
    case FBL_OP_ERF:
    case FBL_OP_POW:
        return 20;
    case FBL_OP_DIV:
    case FBL_OP_SQRT:
        return 3;
    default:
        return 1;
    }
}

// Operands of these are evaluated many times an element when they are not in memory.
static bool evaluates_often(const FblNode *consumer) {
    FblOpClass op_class = fbl_op_info(consumer->op)->op_class;
    return op_class == FBL_CLASS_CONTRACT || op_class == FBL_CLASS_WINDOW;
}

// How often and by whom a node's value is needed.
typedef struct Demand {
    int32_t often;  // contractions and windows that read it
    int32_t images; // of those, convolutions that read it as an image: they pack each element about once
    int64_t widest; // elements of the largest pointwise user
} Demand;

static bool reads_image(const FblNode *consumer, int32_t input) {
    bool both = consumer->op == FBL_OP_CONV2D_WEIGHT_GRAD;
    return both || ((consumer->op == FBL_OP_CONV2D || consumer->op == FBL_OP_CONV2D_DATA_GRAD) && input == 0);
}

// Whether `id` is computed from `from` in place.
static bool reaches(const FblLower *lower, FblNodeId id, FblNodeId from, int depth) {
    const FblNode *node = &lower->graph->nodes[id];
    if (id == from) {
        return true;
    }
    if (depth == 0 || lower->nodes[id].kept || fbl_op_info(node->op)->op_class != FBL_CLASS_POINTWISE) {
        return false;
    }
    for (int32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] >= from && reaches(lower, node->inputs[i], from, depth - 1)) {
            return true;
        }
    }
    return false;
}

// The values that computing `id` in place goes through, down to what is stored: contractions among them. At most MAX_OPS.
static void collect_cone(const FblLower *lower, FblNodeId id, FblNodeId *cone, int *count) {
    for (int i = 0; i < *count; i++) {
        if (cone[i] == id) {
            return;
        }
    }
    const FblNode *node = &lower->graph->nodes[id];
    if (*count == MAX_OPS || fbl_lower_is_leaf(node->op)) {
        return;
    }
    cone[(*count)++] = id;
    for (int32_t i = 0; i < node->input_count && (!lower->nodes[id].kept) && fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE; i++) {
        collect_cone(lower, node->inputs[i], cone, count);
    }
}

// Whether `id` is computed from the result of a contraction that serves nothing else: then it can be its epilogue.
static bool may_finish(const FblLower *lower, FblNodeId id) {
    FblNodeId cone[MAX_OPS];
    int count = 0;
    collect_cone(lower, id, cone, &count);
    for (int c = 0; c < count; c++) {
        FblNodeId from = cone[c];
        if (!fbl_lower_is_contraction(lower, from) || !fbl_type_same_axes(&lower->graph->nodes[from].type, &lower->graph->nodes[id].type)) {
            continue;
        }
        // Nodes of the cone that depend on the contraction must be used inside it alone.
        bool inside = true;
        for (int k = 1; k < count && inside; k++) {
            int32_t uses = 0;
            for (int u = 0; u < count; u++) {
                const FblNode *user = &lower->graph->nodes[cone[u]];
                for (int32_t i = 0; i < user->input_count; i++) {
                    uses += user->inputs[i] == cone[k];
                }
            }
            inside = uses == lower->nodes[cone[k]].uses || !reaches(lower, cone[k], from, MAX_DEPTH);
        }
        if (inside) {
            return true;
        }
    }
    return false;
}

// Why `id` is better stored, or NULL.
static const char *reason_to_keep(const FblLower *lower, FblNodeId id, const Demand *demand) {
    const FblNodePlan *plan = &lower->nodes[id];
    const FblNode *node = &lower->graph->nodes[id];
    if (node->op == FBL_OP_CONST || node->op == FBL_OP_IOTA) {
        return NULL;
    }
    if (!lower->options->fuse) {
        return "fusion is off";
    }
    if (plan->ops > MAX_OPS || plan->loads > MAX_LOADS || plan->depth > MAX_DEPTH) {
        return "too much work to repeat";
    }
    // Normalisation with its activation, or the gradient of both, is computed where the next convolution reads it: it is
    // read about once there, and storing it would write and read more.
    bool prologue = plan->uses == demand->images && plan->ops <= PROLOGUE_OPS && plan->loads <= PROLOGUE_LOADS;
    if (prologue && demand->images > 0 && !may_finish(lower, id)) {
        return NULL;
    }
    if (demand->often > 0 && plan->ops > 1) {
        return "read many times by a contraction or window";
    }
    bool shared = demand->widest >= SHARED_LARGE && demand->widest / SHARED_BY >= fbl_type_elements(&node->type);
    if (shared && plan->ops >= SHARED_OPS && fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE) {
        return "needed for many elements";
    }
    int64_t elements = fbl_type_elements(&node->type);
    if (plan->uses > 1 && elements > 1) {
        if (plan->loads * plan->uses > plan->loads + 1 + plan->uses) {
            return "several users: storing moves fewer bytes";
        }
        if (plan->ops * (plan->uses - 1) > 24) {
            return "several users and too much work to repeat";
        }
    }
    return NULL;
}

void fbl_lower_keep(FblLower *lower) {
    const FblGraph *graph = lower->graph;
    Demand *demands = FBL_NEW_ARRAY(lower->arena, Demand, graph->count + 1);
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        bool library = fbl_lower_is_library(node->op);
        lower->nodes[id].dense |= library;
        for (int32_t i = 0; i < node->input_count; i++) {
            FblNodePlan *input = &lower->nodes[node->inputs[i]];
            Demand *demand = &demands[node->inputs[i]];
            int64_t elements = fbl_type_elements(&node->type);
            input->uses++;
            demand->often += evaluates_often(node);
            demand->images += reads_image(node, i);
            if (fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE && elements > demand->widest) {
                demand->widest = elements;
            }
            if (library) {
                input->dense = true;
            }
        }
    }
    for (size_t at = 0; at < graph->count; at++) {
        FblNodeId id = (FblNodeId)at;
        const FblNode *node = &graph->nodes[id];
        FblNodePlan *plan = &lower->nodes[id];
        if (fbl_lower_is_leaf(node->op)) {
            continue;
        }
        plan->ops = op_weight(node->op);
        for (int32_t i = 0; i < node->input_count; i++) {
            const FblNodePlan *input = &lower->nodes[node->inputs[i]];
            FblOp op = graph->nodes[node->inputs[i]].op;
            // What is read again for many elements (a number a channel) comes from a register or the nearest cache.
            bool large = fbl_type_elements(&graph->nodes[node->inputs[i]].type) * 4 >= fbl_type_elements(&node->type);
            if (input->kept || fbl_lower_is_leaf(op)) {
                plan->loads += large;
            } else {
                plan->ops += input->ops;
                plan->loads += large ? input->loads : 0;
                plan->depth = input->depth + 1 > plan->depth ? input->depth + 1 : plan->depth;
            }
        }
        bool must = plan->root >= 0 || plan->dense || fbl_lower_is_loopy(lower, id) || fbl_lower_is_contraction(lower, id);
        const char *reason = must ? NULL : reason_to_keep(lower, id, &demands[id]);
        plan->kept = must || reason;
        if (reason && lower->options->fuse) {
            fbl_lower_note(lower, id, FBL_NO_NODE, reason);
        }
    }
}

// What a kept node reads: kept nodes and leaves reached through computed-in-place ones. `same`: at its own indices by name.
typedef struct Dep {
    FblNodeId node;
    bool same;
} Dep;

typedef struct Deps {
    Dep *items;
    size_t count, capacity;
} Deps;

static void add_dep(FblLower *lower, Deps *deps, FblNodeId id, bool same) {
    for (size_t i = 0; i < deps->count; i++) {
        if (deps->items[i].node == id) {
            deps->items[i].same &= same;
            return;
        }
    }
    FBL_PUSH(lower->arena, deps->items, deps->count, deps->capacity, ((Dep){id, same}));
}

static void collect(FblLower *lower, Deps *deps, FblNodeId id, bool same, uint32_t *seen, uint32_t mark) {
    const FblNode *node = &lower->graph->nodes[id];
    bool pointwise = fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE;
    for (int32_t i = 0; i < node->input_count; i++) {
        FblNodeId input = node->inputs[i];
        bool same_here = same && pointwise;
        if (lower->nodes[input].kept || fbl_lower_is_leaf(lower->graph->nodes[input].op)) {
            add_dep(lower, deps, input, same_here);
        } else if (seen[input] != 2 * mark + same_here) {
            seen[input] = 2 * mark + same_here;
            collect(lower, deps, input, same_here, seen, mark);
        }
    }
}

FblMember *fbl_group_member(FblGroup *group, FblNodeId node) {
    for (size_t i = 0; i < group->count; i++) {
        if (group->members[i].node == node) {
            return &group->members[i];
        }
    }
    return NULL;
}

int32_t fbl_member_inner(const FblLower *lower, const FblGroup *group, FblNodeId id, FblAxis *out_axes) {
    const FblNode *node = &lower->graph->nodes[id];
    int32_t count = 0;
    if (fbl_op_info(node->op)->op_class == FBL_CLASS_WINDOW) {
        out_axes[count++] = (FblAxis){NULL, node->attr.i[FBL_POOL_KERNEL_H]};
        out_axes[count++] = (FblAxis){NULL, node->attr.i[FBL_POOL_KERNEL_W]};
        return count;
    }
    if (fbl_lower_is_loopy(lower, id)) {
        const FblType *type = &lower->graph->nodes[node->inputs[0]].type;
        for (int32_t i = 0; i < node->attr.name_count; i++) {
            out_axes[count++] = type->axes[fbl_type_find(type, node->attr.names[i])];
        }
        return count;
    }
    for (int i = 0; i < node->type.rank; i++) {
        bool outer = false;
        for (int k = 0; k < group->outer_rank; k++) {
            outer |= group->outer[k].name == node->type.axes[i].name;
        }
        if (!outer) {
            out_axes[count++] = node->type.axes[i];
        }
    }
    return count;
}

static bool same_axis_set(const FblAxis *a, int32_t a_count, const FblAxis *b, int32_t b_count) {
    if (a_count != b_count) {
        return false;
    }
    for (int32_t i = 0; i < a_count; i++) {
        bool found = false;
        for (int32_t k = 0; k < b_count; k++) {
            found |= a[i].name == b[k].name && a[i].extent == b[k].extent && a[i].name != NULL;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static int64_t product(const FblAxis *axes, int32_t count) {
    int64_t elements = 1;
    for (int32_t i = 0; i < count; i++) {
        elements *= axes[i].extent;
    }
    return elements;
}

static bool is_window(const FblLower *lower, FblNodeId id) {
    return fbl_op_info(lower->graph->nodes[id].op)->op_class == FBL_CLASS_WINDOW;
}

static bool touches(const FblGroup *group, FblNodeId id) {
    for (size_t i = 0; i < group->touched_count; i++) {
        if (group->touched[i] == id) {
            return true;
        }
    }
    return false;
}

// Whether members of `group` that `deps` names can be read there, as finished reductions at the outer indices (reducing
// groups) or by computing them again (others). *out_uses: there is one.
static bool members_readable(const FblLower *lower, FblGroup *group, const Deps *deps, bool *out_uses, bool *out_shares) {
    *out_uses = *out_shares = false;
    for (size_t i = 0; i < deps->count; i++) {
        const Dep *dep = &deps->items[i];
        *out_shares |= touches(group, dep->node) && fbl_type_elements(&lower->graph->nodes[dep->node].type) > 1;
        if (!fbl_group_member(group, dep->node)) {
            continue;
        }
        *out_uses = true;
        bool loopy = fbl_lower_is_loopy(lower, dep->node);
        if (!dep->same || loopy != group->reduces) {
            return false;
        }
        if (loopy && lower->graph->nodes[dep->node].type.rank != group->outer_rank) {
            return false;
        }
    }
    return true;
}

// A member that is reduced reads its operand at other indices, but results of its own group only as constants of the row:
// identity is judged through the operand.
static void relax_rows(const FblLower *lower, FblNodeId id, const FblGroup *group, Deps *deps) {
    const FblNode *node = &lower->graph->nodes[id];
    if (fbl_op_info(node->op)->op_class != FBL_CLASS_REDUCE && node->op != FBL_OP_CONTRACT) {
        return;
    }
    for (size_t i = 0; i < deps->count; i++) {
        const FblType *type = &lower->graph->nodes[deps->items[i].node].type;
        bool row = type->rank == group->outer_rank;
        for (int k = 0; k < type->rank && row; k++) {
            bool found = false;
            for (int o = 0; o < group->outer_rank; o++) {
                found |= group->outer[o].name == type->axes[k].name;
            }
            row = found;
        }
        if (!row) {
            deps->items[i].same = false;
        }
    }
}

// Deps as `collect` finds them for a reduction whose operand is pointwise: `same` holds below the reduction itself.
static void collect_deps(FblLower *lower, FblNodeId id, Deps *deps, uint32_t *seen, uint32_t mark) {
    const FblNode *node = &lower->graph->nodes[id];
    bool through = fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE || fbl_op_info(node->op)->op_class == FBL_CLASS_REDUCE;
    deps->count = 0;
    for (int32_t i = 0; i < node->input_count; i++) {
        FblNodeId input = node->inputs[i];
        if (lower->nodes[input].kept || fbl_lower_is_leaf(lower->graph->nodes[input].op)) {
            add_dep(lower, deps, input, through);
        } else {
            collect(lower, deps, input, through, seen, mark);
        }
    }
}

static bool can_join(FblLower *lower, FblGroup *group, FblNodeId id, Deps *deps) {
    const FblNode *node = &lower->graph->nodes[id];
    if (group->kind != FBL_KERNEL_LOOPS || group->count >= MAX_MEMBERS || is_window(lower, id) || is_window(lower, group->anchor)) {
        return false;
    }
    bool uses, shares;
    bool loopy = fbl_lower_is_loopy(lower, id);
    FblAxis inner[FBL_MAX_RANK];
    if (loopy) {
        relax_rows(lower, id, group, deps);
    }
    if (!members_readable(lower, group, deps, &uses, &shares)) {
        return false;
    }
    if (loopy) {
        if (!group->reduces || !same_axis_set(group->outer, group->outer_rank, node->type.axes, node->type.rank)) {
            return false;
        }
        int32_t count = fbl_member_inner(lower, group, id, inner);
        if (uses) {
            return product(inner, count) <= MAX_ROW;
        }
        FblAxis theirs[FBL_MAX_RANK];
        int32_t their_count = fbl_member_inner(lower, group, group->anchor, theirs);
        // Small ones need not read the same: one launch does for both.
        bool small = product(inner, count) * product(group->outer, group->outer_rank) <= MAX_ROW;
        return (shares || small) && same_axis_set(inner, count, theirs, their_count);
    }
    if (group->reduces) {
        if (!uses) {
            return false;
        }
        for (int o = 0; o < group->outer_rank; o++) {
            if (fbl_type_find(&node->type, group->outer[o].name) < 0) {
                return false;
            }
        }
        int32_t count = fbl_member_inner(lower, group, id, inner);
        int64_t rows = product(group->outer, group->outer_rank), row = product(inner, count);
        return row <= MAX_ROW / 4 && (rows >= 16 || rows * row <= MAX_ROW);
    }
    return (uses || shares) && same_axis_set(group->outer, group->outer_rank, node->type.axes, node->type.rank);
}

// A pointwise node may finish a contraction when it alone reads the contraction's result, at its own indices.
static bool can_finish(const FblLower *lower, const FblGroup *group, FblNodeId id, const Deps *deps, const int32_t *readers) {
    if (group->kind != FBL_KERNEL_CONTRACTION || group->count > 1 || lower->nodes[group->anchor].root >= 0 || readers[group->anchor] != 1 ||
        fbl_op_info(lower->graph->nodes[id].op)->op_class != FBL_CLASS_POINTWISE ||
        !fbl_type_same_axes(&lower->graph->nodes[group->anchor].type, &lower->graph->nodes[id].type)) {
        return false;
    }
    for (size_t i = 0; i < deps->count; i++) {
        if (deps->items[i].node == group->anchor) {
            return deps->items[i].same;
        }
    }
    return false;
}

// What a sum over parts of a contraction's rows looks like: its operand is computed from views of the result,
// SPLIT(JOIN(result over batch, height, width)) into parts and rows, point by point.
typedef struct RowView {
    const FblLower *lower;
    FblGroup *group;
    FblName row;
    FblName pixels[3];
    bool reads; // the result is read
} RowView;

static bool viewable(RowView *view, FblNodeId id, bool in_pixels, int depth);

static bool viewable_inputs(RowView *view, const FblNode *node, bool in_pixels, int depth) {
    bool all = depth > 0;
    for (int32_t i = 0; i < node->input_count && all; i++) {
        all = viewable(view, node->inputs[i], in_pixels, depth - 1);
    }
    return all;
}

// Whether `id` can be computed for one row: by pixels (below a view, where the group's stored values are what the epilogue has) or by
// part and row (above it, where sums over the part may be finished).
static bool viewable(RowView *view, FblNodeId id, bool in_pixels, int depth) {
    const FblGraph *graph = view->lower->graph;
    const FblNode *node = &graph->nodes[id];
    if (view->lower->nodes[id].kept || fbl_lower_is_leaf(node->op)) {
        bool member = fbl_group_member(view->group, id) != NULL, sum = fbl_lower_is_loopy(view->lower, id);
        view->reads |= member && !sum;
        return !member || sum != in_pixels;
    }
    if (node->op == FBL_OP_CONST) {
        return true;
    }
    if (fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE) {
        return viewable_inputs(view, node, in_pixels, depth);
    }
    const FblNode *join = node->op == FBL_OP_SPLIT ? &graph->nodes[node->inputs[0]] : NULL;
    if (in_pixels || !join || join->op != FBL_OP_JOIN || view->lower->nodes[node->inputs[0]].kept || node->attr.name_count != 3 || node->attr.names[2] != view->row ||
        join->attr.split != 3 || join->attr.names[3] != node->attr.names[0]) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (join->attr.names[i] != view->pixels[i]) {
            return false;
        }
    }
    return viewable(view, join->inputs[0], true, depth);
}

// A convolution that is a product of matrices, of which the larger lies in memory: a library may do it, and that adds up nothing.
static bool is_product(const FblLower *lower, const FblNode *conv) {
    const FblNode *image = &lower->graph->nodes[conv->inputs[0]];
    const FblType *weight = &lower->graph->nodes[conv->inputs[1]].type;
    const int64_t *i = conv->attr.i;
    return weight->axes[2].extent == 1 && weight->axes[3].extent == 1 && i[FBL_CONV_STRIDE_H] == 1 && i[FBL_CONV_STRIDE_W] == 1 && i[FBL_CONV_PAD_H] == 0 &&
           i[FBL_CONV_PAD_W] == 0 && i[FBL_CONV_GROUPS] == 1 && (lower->nodes[conv->inputs[0]].kept || fbl_lower_is_leaf(image->op));
}

// Sums over parts of its rows that a contraction's kernel can do behind the epilogue.
static bool can_sum(const FblLower *lower, FblGroup *group, FblNodeId id) {
    const FblNode *node = &lower->graph->nodes[id], *anchor = &lower->graph->nodes[group->anchor];
    const int64_t *i = anchor->attr.i;
    bool dense = anchor->op == FBL_OP_CONV2D || (anchor->op == FBL_OP_CONV2D_DATA_GRAD && i[FBL_CONV_STRIDE_H] == 1 && i[FBL_CONV_STRIDE_W] == 1);
    if (!lower->options->epilogue_sums || group->kind != FBL_KERNEL_CONTRACTION || !dense || is_product(lower, anchor) || group->count >= MAX_MEMBERS || node->op != FBL_OP_SUM ||
        node->type.dtype != FBL_F32 || node->attr.name_count != 1 || node->type.rank != 2 || fbl_type_find(&node->type, anchor->attr.names[1]) < 0) {
        return false;
    }
    for (size_t m = 0; m < group->count; m++) { // all over the same parts
        const FblNode *other = &lower->graph->nodes[group->members[m].node];
        if (fbl_lower_is_loopy(lower, group->members[m].node) && (other->attr.names[0] != node->attr.names[0] || !fbl_type_same_axes(&other->type, &node->type))) {
            return false;
        }
    }
    RowView view = {lower, group, node->attr.names[0], {anchor->attr.names[0], anchor->attr.names[2], anchor->attr.names[3]}, false};
    return viewable(&view, node->inputs[0], false, MAX_DEPTH) && view.reads;
}

static void add_member(FblLower *lower, int32_t number, FblNodeId id, const Deps *deps) {
    FblGroup *group = &lower->groups[number];
    bool loopy = fbl_lower_is_loopy(lower, id);
    FblMember member = {.node = id, .level = 0, .result = -1, .stored = !loopy};
    for (size_t i = 0; i < deps->count; i++) {
        const FblMember *on = fbl_group_member(group, deps->items[i].node);
        if (on && fbl_lower_is_loopy(lower, on->node) && on->level + 1 > member.level) {
            member.level = on->level + 1;
        }
    }
    FBL_PUSH(lower->arena, group->members, group->count, group->capacity, member);
    lower->nodes[id].group = number;
    for (size_t i = 0; i < deps->count; i++) {
        if (!touches(group, deps->items[i].node) && lower->nodes[deps->items[i].node].group != number) {
            FBL_PUSH(lower->arena, group->touched, group->touched_count, group->touched_capacity, deps->items[i].node);
        }
    }
}

static int32_t new_group(FblLower *lower, FblNodeId id) {
    const FblNode *node = &lower->graph->nodes[id];
    FblGroup group = {.anchor = id};
    bool contraction = fbl_lower_is_contraction(lower, id);
    group.kind = contraction ? FBL_KERNEL_CONTRACTION : fbl_lower_is_library(node->op) ? FBL_KERNEL_LIBRARY : FBL_KERNEL_LOOPS;
    group.reduces = fbl_lower_is_loopy(lower, id);
    group.outer_rank = node->type.rank;
    memcpy(group.outer, node->type.axes, sizeof group.outer);
    FBL_PUSH(lower->arena, lower->groups, lower->group_count, lower->group_capacity, group);
    return (int32_t)lower->group_count - 1;
}

// Kept nodes of few elements that are computed from leaves alone.
static bool *find_early(FblLower *lower) {
    const FblGraph *graph = lower->graph;
    bool *leaves_only = FBL_NEW_ARRAY(lower->arena, bool, graph->count + 1), *early = FBL_NEW_ARRAY(lower->arena, bool, graph->count + 1);
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        leaves_only[id] = fbl_op_info(node->op)->op_class == FBL_CLASS_POINTWISE || node->input_count == 0;
        for (int32_t i = 0; i < node->input_count; i++) {
            leaves_only[id] &= leaves_only[node->inputs[i]];
        }
        early[id] = leaves_only[id] && !fbl_lower_is_leaf(node->op) && fbl_type_elements(&node->type) <= MAX_ROW;
    }
    return early;
}

// Into a group that can take it, or one of its own.
static void place_node(FblLower *lower, FblNodeId id, const int32_t *readers, uint32_t *seen) {
    Deps deps = {0};
    collect_deps(lower, id, &deps, seen, (uint32_t)id + 1);
    int32_t earliest = 0;
    for (size_t i = 0; i < deps.count; i++) {
        int32_t group = lower->nodes[deps.items[i].node].group;
        earliest = group > earliest ? group : earliest;
    }
    int32_t found = -1;
    bool alone = fbl_lower_is_contraction(lower, id) || fbl_lower_is_library(lower->graph->nodes[id].op) || !lower->options->fuse;
    for (int32_t g = (int32_t)lower->group_count - 1; !alone && found < 0 && g >= earliest; g--) {
        if (g < (int32_t)lower->group_count - LOOK_BACK) {
            g = earliest; // what made its operand may take it however long ago
        }
        Deps copy = {FBL_NEW_ARRAY(lower->arena, Dep, deps.count + 1), deps.count, deps.count + 1};
        if (deps.count > 0) { // without any, items is NULL
            memcpy(copy.items, deps.items, deps.count * sizeof *deps.items);
        }
        if (can_finish(lower, &lower->groups[g], id, &deps, readers) || can_sum(lower, &lower->groups[g], id) || can_join(lower, &lower->groups[g], id, &copy)) {
            found = g;
        }
    }
    if (found < 0) {
        found = new_group(lower, id);
    }
    add_member(lower, found, id, &deps);
}

FblStatus fbl_lower_groups(FblLower *lower) {
    const FblGraph *graph = lower->graph;
    uint32_t *seen = FBL_NEW_ARRAY(lower->arena, uint32_t, graph->count + 1);
    int32_t *readers = FBL_NEW_ARRAY(lower->arena, int32_t, graph->count + 1);
    Deps deps = {0};
    for (size_t id = 0; id < graph->count; id++) {
        lower->nodes[id].group = -1;
        if (lower->nodes[id].kept) {
            collect_deps(lower, (FblNodeId)id, &deps, seen, (uint32_t)id + 1);
            for (size_t i = 0; i < deps.count; i++) {
                readers[deps.items[i].node]++;
            }
        }
    }
    // What only needs leaves (numbers a channel from parameters) comes first, so that nothing waits for it between a
    // contraction and its epilogue.
    bool *early = find_early(lower);
    for (int late = 0; late < 2; late++) {
        memset(seen, 0, graph->count * sizeof *seen);
        for (size_t id = 0; id < graph->count; id++) {
            if (lower->nodes[id].kept && early[id] == !late) {
                place_node(lower, (FblNodeId)id, readers, seen);
            }
        }
    }
    // A reduction is stored when another kernel reads it, or it is a result of the function.
    for (size_t g = 0; g < lower->group_count; g++) {
        FblGroup *group = &lower->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            group->members[i].stored |= lower->nodes[group->members[i].node].root >= 0;
        }
        if (group->kind == FBL_KERNEL_CONTRACTION && group->count > 1) {
            fbl_group_member(group, group->anchor)->stored = false;
        }
    }
    for (size_t g = 0; g < lower->group_count; g++) {
        for (size_t i = 0; i < lower->groups[g].touched_count; i++) {
            FblNodeId id = lower->groups[g].touched[i];
            int32_t from = lower->nodes[id].group;
            if (from >= 0 && from != (int32_t)g) {
                fbl_group_member(&lower->groups[from], id)->stored = true;
            }
        }
    }
    return FBL_OK;
}

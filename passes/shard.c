#include "passes/shard.h"

#include <string.h>

#include "passes/rebuild.h"
#include "passes/statistics.h"

#define SHARD_AXIS "shard" // of the partial results that all_gather joins
#define FEW_RESULTS 65536  // partial results of all devices that are joined and summed in the order of the devices, rather than by all_reduce

// A node of the graph that comes in, as it is in the one that goes out.
typedef struct Value {
    FblNodeId id;    // one device's share when `axis` is set, else the same on all
    FblName axis;    // along which it is divided, or NULL
    FblNodeId whole; // joined, once that was needed
    FblNodeId part;  // of one that isn't divided: the share along part_axis, once that was needed
    FblName part_axis;
    FblNodeId partial, rows; // of a sum whose parts were joined: this device's part, and all parts along SHARD_AXIS
} Value;

typedef struct Shard {
    const FblGraph *from;
    FblGraph *to;
    int count;
    FblName primary; // that inputs are divided along
    bool *gradient;  // per node of `from`: it is only a parameter's gradient, which lowering sums together with its neighbours
    Value *values;   // per node of `from`
    FblNodeId *map;
} Shard;

// Whether `type` has the axis, and in `count` equal parts.
static bool divides(const Shard *s, const FblType *type, FblName axis) {
    int at = fbl_type_find(type, axis);
    return at >= 0 && type->axes[at].extent > 0 && type->axes[at].extent % s->count == 0;
}

static FblType share_of(const Shard *s, const FblType *type, FblName axis) {
    FblType share = *type;
    int at = fbl_type_find(type, axis);
    if (at >= 0) {
        share.axes[at].extent /= s->count;
    }
    return share;
}

// `type` with `axis` before its other axes.
static FblType first_axis(const FblType *type, FblName axis) {
    FblType first = *type;
    int at = fbl_type_find(type, axis);
    for (int i = at; i > 0; i--) {
        first.axes[i] = first.axes[i - 1];
    }
    first.axes[0] = type->axes[at];
    return first;
}

// Forms of a value
// ---------------------------------------------------------------------------------------------------------------------

static FblNodeId whole_of(Shard *s, FblNodeId old) {
    Value *value = &s->values[old];
    if (!value->axis) {
        return value->id;
    }
    if (value->whole == FBL_NO_NODE) {
        // all_gather joins along the first axis.
        FblLoc loc = s->from->nodes[old].loc;
        FblType part = first_axis(fbl_graph_type(s->to, value->id), value->axis), all = part;
        all.axes[0].extent *= s->count;
        FblNodeId id = fbl_rebuild_as(s->to, value->id, &part, loc);
        id = fbl_graph_add(s->to, FBL_OP_ALL_GATHER, &id, 1, NULL, &all, loc);
        value->whole = fbl_rebuild_as(s->to, id, &s->from->nodes[old].type, loc);
    }
    return value->whole;
}

// The numbers of this device's share of an axis.
static FblNodeId index_of(Shard *s, FblName axis, int64_t extent, FblLoc loc) {
    FblType type = fbl_type_scalar(FBL_I32);
    type.index_axis = axis;
    type.index_extent = extent;
    fbl_type_add_axis(&type, axis, extent / s->count);
    const char *name = fbl_arena_printf(fbl_context_arena(s->from->ctx), FBL_SHARD_INPUT "%s.%lld", axis, (long long)extent);
    return fbl_graph_leaf(s->to, FBL_OP_INPUT, name, &type, loc);
}

// The share along `axis`, which its type has, of a node that is the same on all devices.
static FblNodeId take(Shard *s, FblNodeId id, FblName axis, FblLoc loc) {
    const FblNode *node = fbl_graph_node(s->to, id);
    FblType share = share_of(s, &node->type, axis);
    int64_t extent = node->type.axes[fbl_type_find(&node->type, axis)].extent;
    if (node->op == FBL_OP_IOTA) {
        return index_of(s, axis, extent, loc);
    }
    if (node->op == FBL_OP_BROADCAST) {
        FblNodeId operand = node->inputs[0];
        operand = fbl_type_find(fbl_graph_type(s->to, operand), axis) >= 0 ? take(s, operand, axis, loc) : operand;
        return operand == FBL_NO_NODE ? operand : fbl_graph_broadcast(s->to, operand, &share, loc);
    }
    FblAttr attr = {.names = {axis}, .name_count = 1};
    FblNodeId inputs[2] = {id, index_of(s, axis, extent, loc)};
    return fbl_rebuild_as(s->to, fbl_graph_add(s->to, FBL_OP_GATHER, inputs, 2, &attr, NULL, loc), &share, loc);
}

static FblNodeId part_of(Shard *s, FblNodeId old, FblName axis) {
    Value *value = &s->values[old];
    if (value->axis == axis) {
        return value->id;
    }
    if (value->part_axis != axis) {
        value->part = take(s, whole_of(s, old), axis, s->from->nodes[old].loc);
        value->part_axis = axis;
    }
    return value->part;
}

// Whether parts of this type can be joined along an axis of their own.
static bool joins(const Shard *s, const FblType *type) { return type->rank < FBL_MAX_RANK && fbl_type_find(type, fbl_intern(s->from->ctx, SHARD_AXIS)) < 0; }

// What each op does with a divided axis
// -------------------------------------------------------------------------------------------------------------------

static int place_in(const FblAttr *attr, int from, int to, FblName axis) {
    for (int i = from; i < to; i++) {
        if (attr->names[i] == axis) {
            return i;
        }
    }
    return -1;
}

// Whether operand `i` of a node whose work is divided along `axis` is divided, too.
static bool operand_divided(const Shard *s, const FblNode *node, int32_t i, FblName axis) {
    if (i == 1 && (node->op == FBL_OP_CONV2D || node->op == FBL_OP_CONV2D_DATA_GRAD)) {
        return false; // a weight is read by position, whatever its axes are called
    }
    if (i == 0 && node->op == FBL_OP_GATHER && node->attr.names[0] == axis) {
        return false; // the index points anywhere
    }
    return fbl_type_find(&s->from->nodes[node->inputs[i]].type, axis) >= 0;
}

typedef enum Division {
    IMPOSSIBLE,
    KEPT,   // the result is divided along *out_axis
    PARTIAL // each device has a part of the result, to be summed (or whatever the reduction does)
} Division;

// What becomes of the work of `node` when it is divided along `axis`.
static Division division(const Shard *s, const FblNode *node, FblName axis, FblName *out_axis) {
    const FblAttr *attr = &node->attr;
    int at;
    *out_axis = axis;
    switch (fbl_op_info(node->op)->op_class) {
    case FBL_CLASS_POINTWISE: return KEPT;
    case FBL_CLASS_REDUCE:
        if (place_in(attr, 0, attr->name_count, axis) < 0) {
            return KEPT;
        }
        if (node->op == FBL_OP_SUM) {
            return PARTIAL;
        }
        return node->op == FBL_OP_ARGMAX || !joins(s, &node->type) ? IMPOSSIBLE : PARTIAL;
    case FBL_CLASS_CONTRACT:
        if (node->op == FBL_OP_CONTRACT) {
            return place_in(attr, 0, attr->name_count, axis) >= 0 ? PARTIAL : KEPT;
        }
        return axis != attr->names[0] ? IMPOSSIBLE : node->op == FBL_OP_CONV2D_WEIGHT_GRAD ? PARTIAL : KEPT;
    case FBL_CLASS_WINDOW: return place_in(attr, 0, attr->name_count, axis) >= 0 ? IMPOSSIBLE : KEPT;
    case FBL_CLASS_SCAN: return attr->names[0] == axis ? IMPOSSIBLE : KEPT;
    case FBL_CLASS_INDEX: return node->op == FBL_OP_GATHER && fbl_type_find(&node->type, axis) >= 0 ? KEPT : IMPOSSIBLE;
    case FBL_CLASS_SHAPE:
        switch (node->op) {
        case FBL_OP_RENAME:
            at = place_in(attr, 0, attr->split, axis);
            *out_axis = at < 0 ? axis : attr->names[attr->split + at];
            return KEPT;
        case FBL_OP_SPLIT: // row-major: an even share of the axis is one of the first new axis
            *out_axis = attr->names[0] == axis ? attr->names[1] : axis;
            return divides(s, &node->type, *out_axis) ? KEPT : IMPOSSIBLE;
        case FBL_OP_JOIN:
            at = place_in(attr, 0, attr->split, axis);
            *out_axis = at == 0 ? attr->names[attr->split] : axis;
            return at > 0 ? IMPOSSIBLE : KEPT;
        default: return attr->names[0] == axis ? IMPOSSIBLE : KEPT; // slice, pad, concat
        }
    case FBL_CLASS_LEAF:
    case FBL_CLASS_COLLECTIVE: break;
    }
    return IMPOSSIBLE;
}

// Whether `node` can be divided along `axis`: of its operands, those that have the axis, evenly.
static bool may_divide(const Shard *s, const FblNode *node, FblName axis) {
    FblName unused;
    bool some = node->op == FBL_OP_BROADCAST;
    if (node->op == FBL_OP_BROADCAST && !divides(s, &node->type, axis)) {
        return false;
    }
    for (int32_t i = 0; i < node->input_count; i++) {
        if (operand_divided(s, node, i, axis)) {
            some = true;
            if (!divides(s, &s->from->nodes[node->inputs[i]].type, axis)) {
                return false;
            }
        }
    }
    return some && division(s, node, axis, &unused) != IMPOSSIBLE;
}

// The axis along which `node` is divided: one along which an operand is, the batch before others; NULL: all devices do all of it.
static FblName choose(const Shard *s, const FblNode *node) {
    FblName found = may_divide(s, node, s->primary) ? s->primary : NULL;
    for (int32_t i = 0; i < node->input_count && !found; i++) {
        FblName axis = s->values[node->inputs[i]].axis;
        found = axis && may_divide(s, node, axis) ? axis : NULL;
    }
    return found;
}

// Partial results of all devices, along SHARD_AXIS before their own axes.
static FblNodeId join_parts(Shard *s, FblNodeId id, FblLoc loc) {
    if (id == FBL_NO_NODE) {
        return id;
    }
    FblType part = *fbl_graph_type(s->to, id);
    FblType one = part, all;
    one.rank = 0;
    fbl_type_add_axis(&one, fbl_intern(s->from->ctx, SHARD_AXIS), 1);
    for (int i = 0; i < part.rank; i++) {
        fbl_type_add_axis(&one, part.axes[i].name, part.axes[i].extent);
    }
    all = one;
    all.axes[0].extent = s->count;
    FblNodeId row = fbl_graph_broadcast(s->to, id, &one, loc);
    return fbl_graph_add(s->to, FBL_OP_ALL_GATHER, &row, 1, NULL, &all, loc);
}

// The sum of squared differences from the mean of all devices' images, where the sum behind the mean was joined from parts: each device
// centres its images about their own mean, and the parts are combined (passes/lower_prepare.c says how, and does the same with images),
// so that both sums can be made in one read, and come together at once. FBL_NO_NODE where `node` is no such sum.
static FblNodeId variance(Shard *s, const FblNode *node, FblName axis) {
    const FblAttr *attr = &node->attr;
    FblNodeId x, mean;
    if (node->op != FBL_OP_SUM || !fbl_squared_difference(s->from, node->inputs[0], &x, &mean)) {
        return FBL_NO_NODE;
    }
    int64_t total = 1;
    const FblType *type = &s->from->nodes[x].type;
    for (int32_t i = 0; i < attr->name_count; i++) {
        total *= type->axes[fbl_type_find(type, attr->names[i])].extent;
    }
    FblNodeId sum = fbl_mean_of(s->from, mean, total);
    if (sum == FBL_NO_NODE || s->values[sum].rows == FBL_NO_NODE || !fbl_sums_over(&s->from->nodes[sum], attr->names, attr->name_count) || s->from->nodes[sum].inputs[0] != x) {
        return FBL_NO_NODE;
    }
    FblLoc loc = node->loc;
    FblName shard = fbl_intern(s->from->ctx, SHARD_AXIS);
    FblNodeId count = fbl_graph_const(s->to, FBL_F32, (double)(total / s->count), loc);
    FblNodeId own = fbl_graph_binary(s->to, FBL_OP_DIV, s->values[sum].partial, count, loc);
    FblNodeId inside = fbl_graph_binary(s->to, FBL_OP_SUB, part_of(s, x, axis), own, loc);
    inside = fbl_graph_binary(s->to, FBL_OP_MUL, inside, inside, loc);
    inside = join_parts(s, fbl_graph_reduce(s->to, FBL_OP_SUM, inside, attr->names, attr->name_count, loc), loc);
    FblNodeId between = fbl_graph_binary(s->to, FBL_OP_DIV, s->values[sum].rows, count, loc);
    between = fbl_graph_binary(s->to, FBL_OP_SUB, between, whole_of(s, mean), loc);
    between = fbl_graph_binary(s->to, FBL_OP_MUL, between, between, loc);
    between = fbl_graph_binary(s->to, FBL_OP_MUL, between, count, loc);
    FblNodeId parts = fbl_graph_binary(s->to, FBL_OP_ADD, inside, between, loc);
    return fbl_graph_reduce(s->to, FBL_OP_SUM, parts, &shard, 1, loc);
}

// The partial results `id` of an old node to the whole one. A few are joined and reduced in the order of the devices, as are maxima and minima (NaN
// must win); many, and gradients, are summed by all_reduce.
static FblNodeId combine(Shard *s, FblNodeId old, FblNodeId id, Value *value) {
    const FblNode *node = &s->from->nodes[old];
    bool reduction = fbl_op_info(node->op)->op_class == FBL_CLASS_REDUCE;
    bool sum = !reduction || node->op == FBL_OP_SUM;
    int64_t elements = fbl_type_elements(&node->type);
    if (id == FBL_NO_NODE || (sum && (!reduction || s->gradient[old] || elements < 0 || elements > FEW_RESULTS / s->count || !joins(s, &node->type)))) {
        return fbl_graph_add(s->to, FBL_OP_ALL_REDUCE, &id, 1, NULL, NULL, node->loc);
    }
    FblName axis = fbl_intern(s->from->ctx, SHARD_AXIS);
    value->partial = id;
    value->rows = join_parts(s, id, node->loc);
    return fbl_graph_reduce(s->to, node->op, value->rows, &axis, 1, node->loc);
}

static FblStatus shard_node(Shard *s, FblNodeId old) {
    const FblNode *node = &s->from->nodes[old];
    FblName axis = choose(s, node), result_axis = NULL;
    Division kind = axis ? division(s, node, axis, &result_axis) : IMPOSSIBLE;
    FblNodeId *inputs = FBL_NEW_ARRAY(s->from->arena, FblNodeId, node->input_count + 1);
    for (int32_t i = 0; i < node->input_count; i++) {
        inputs[i] = axis && operand_divided(s, node, i, axis) ? part_of(s, node->inputs[i], axis) : whole_of(s, node->inputs[i]);
    }
    FblNode like = *node;
    like.type = kind == KEPT ? share_of(s, &node->type, result_axis) : node->type;
    Value value = {.axis = kind == KEPT ? result_axis : NULL, .whole = FBL_NO_NODE, .part = FBL_NO_NODE, .partial = FBL_NO_NODE, .rows = FBL_NO_NODE};
    value.id = kind == PARTIAL ? variance(s, node, axis) : FBL_NO_NODE;
    if (value.id == FBL_NO_NODE) {
        value.id = fbl_rebuild_add(s->to, &like, inputs, s->map);
        value.id = kind == PARTIAL ? combine(s, old, value.id, &value) : value.id;
    }
    FblNodeId id = value.id;
    s->values[old] = value;
    s->map[old] = id;
    return id == FBL_NO_NODE ? FBL_INTERNAL : FBL_OK;
}

FblStatus fbl_graph_shard(FblGraph *graph, FblName axis, int count, FblGraph **out_graph) {
    Shard s = {.from = graph, .count = count, .primary = axis};
    bool some = false;
    for (size_t id = 0; id < graph->count; id++) {
        some |= graph->nodes[id].op == FBL_OP_INPUT && divides(&s, &graph->nodes[id].type, s.primary);
    }
    *out_graph = graph;
    if (!some || count < 2) {
        return FBL_OK;
    }
    s.to = fbl_rebuild_begin(graph);
    s.values = FBL_NEW_ARRAY(graph->arena, Value, graph->count + 1);
    s.map = fbl_rebuild_map(graph);
    s.gradient = FBL_NEW_ARRAY(graph->arena, bool, graph->count + 1);
    for (size_t r = 0; r < graph->root_count; r++) {
        s.gradient[graph->roots[r].node] = graph->roots[r].kind == FBL_ROOT_GRAD;
    }
    for (size_t id = 0; id < graph->count; id++) {
        for (int32_t i = 0; i < graph->nodes[id].input_count; i++) {
            s.gradient[graph->nodes[id].inputs[i]] = false;
        }
    }
    for (size_t id = 0; id < graph->count; id++) {
        FBL_TRY(shard_node(&s, (FblNodeId)id));
    }
    for (size_t r = 0; r < graph->root_count; r++) {
        FblNodeId id = whole_of(&s, graph->roots[r].node);
        if (id == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        fbl_graph_root(s.to, graph->roots[r].kind, graph->roots[r].name, id);
    }
    *out_graph = s.to;
    return FBL_OK;
}

#include <inttypes.h>
#include <math.h>

#include "passes/lower_internal.h"
#include "passes/rebuild.h"
#include "passes/statistics.h"

// A reduction of at least this many elements to few results is done in two steps, the first of them parallel.
#define LONG_REDUCTION 16384
#define FEW_RESULTS 2048
#define LONG_AXIS 65536

// Sums over a convolution's result that begin in its kernel take this many rows (pixels) at a time, where that divides them.
#define MOST_ROWS 64
#define LEAST_ROWS 16
// More parts than this are added in two steps.
#define FEW_PARTS 512
// How many operations in a row may lie between a convolution and a sum that its kernel begins.
#define MOST_DEPTH 24
#define MOST_VISITS 200

// The sum of a convolution's result over its pixels, on its way: [part, row, channel] -> [part, channel] -> [group, channel] -> [channel].
typedef struct RowSums {
    FblNodeId rows;    // the result as [part, row, channel]
    FblNodeId parts;   // [part, channel]
    FblNodeId grouped; // `parts` as [group, part of it, channel], or FBL_NO_NODE
    FblNodeId groups;  // [group, channel]: `parts` where they are not grouped
    FblNodeId total;
    int64_t row_count, group_rows; // rows of a part, of a group
    FblName row, within, last;     // the axes that the three steps add up
} RowSums;

typedef struct Prepare {
    FblGraph *from, *to;
    FblNodeId *map;
    FblNodeId *relu_of; // per node of `to`: the relu of it, or FBL_NO_NODE
    size_t relu_capacity;
    const FblLowerOptions *options;
    RowSums *sums;
    size_t sum_count, sum_capacity;
} Prepare;

static FblStatus check(FblContext *ctx, const FblNode *node) {
    int64_t elements = fbl_type_elements(&node->type);
    if (elements < 0) {
        for (int i = 0; i < node->type.rank; i++) {
            if (node->type.axes[i].extent < 0) {
                FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0401", node->loc, "the extent of `%s` must be known to compile",
                                         node->type.axes[i].name);
                fbl_diag_hint(ctx, diag, "give it with --set %s=N or a dataset", node->type.axes[i].name);
                return FBL_USER;
            }
        }
    }
    if (elements < 0 || elements > INT32_MAX) {
        return fbl_error(ctx, "E0402", node->loc, "a tensor of type %s is too large to compile",
                         fbl_type_string(ctx, &node->type));
    }
    return FBL_OK;
}

// A node like `like` (its place and path) for what its rewriting needs.
static FblNodeId beside(FblGraph *to, const FblNode *like, FblNodeId id) {
    if (id != FBL_NO_NODE) {
        to->nodes[id].path = like->path;
        to->nodes[id].origin = FBL_NO_NODE;
    }
    return id;
}

static FblNodeId reduce(FblGraph *to, const FblNode *like, FblNodeId x, const FblName *axes, int32_t count) {
    FblAttr attr = {.name_count = count};
    for (int32_t i = 0; i < count; i++) {
        attr.names[i] = axes[i];
    }
    return beside(to, like, fbl_graph_add(to, like->op, &x, 1, &attr, NULL, like->loc));
}

// One long axis as two; the inner one near the square root of the extent, FBL_NO_NODE without a useful divisor.
static FblNodeId split_axis(FblGraph *to, const FblNode *like, FblNodeId x, FblName axis, FblName out_names[2]) {
    FblType type = to->nodes[x].type;
    int at = fbl_type_find(&type, axis);
    int64_t extent = type.axes[at].extent;
    int64_t inner = 0;
    for (int64_t d = 256; d <= 16384 && d * 16 <= extent; d++) {
        if (extent % d == 0) {
            inner = d;
        }
    }
    if (inner == 0 || type.rank == FBL_MAX_RANK) {
        return FBL_NO_NODE;
    }
    out_names[0] = fbl_intern(to->ctx, fbl_arena_printf(fbl_context_arena(to->ctx), "%s.outer", axis));
    out_names[1] = fbl_intern(to->ctx, fbl_arena_printf(fbl_context_arena(to->ctx), "%s.inner", axis));
    if (fbl_type_find(&type, out_names[0]) >= 0 || fbl_type_find(&type, out_names[1]) >= 0) {
        return FBL_NO_NODE;
    }
    FblType given = type;
    given.axes[at] = (FblAxis){out_names[0], extent / inner};
    fbl_type_add_axis(&given, out_names[1], inner);
    for (int i = given.rank - 1; i > at + 1; i--) {
        FblAxis swap = given.axes[i];
        given.axes[i] = given.axes[i - 1];
        given.axes[i - 1] = swap;
    }
    FblAttr attr = {.name_count = 3, .split = 1};
    attr.names[0] = axis;
    attr.names[1] = out_names[0];
    attr.names[2] = out_names[1];
    return fbl_graph_add(to, FBL_OP_SPLIT, &x, 1, &attr, &given, like->loc);
}

// Parts combined as Chan, Golub and LeVeque (1979) do, over `axis`: of each part its `sum` and the squares `inside` about its own
// mean, of `elements` each, and `mean`, that of all:  sum of [ inside + elements (sum / elements - mean)^2 ].
static FblNodeId combine(FblGraph *to, const FblNode *like, FblNodeId sum, FblNodeId inside, int64_t elements, FblNodeId mean, FblName axis) {
    FblLoc loc = like->loc;
    FblNodeId count = beside(to, like, fbl_graph_const(to, FBL_F32, (double)elements, loc));
    FblNodeId own = beside(to, like, fbl_graph_binary(to, FBL_OP_DIV, sum, count, loc));
    FblNodeId between = beside(to, like, fbl_graph_binary(to, FBL_OP_SUB, own, mean, loc));
    between = beside(to, like, fbl_graph_binary(to, FBL_OP_MUL, between, between, loc));
    between = beside(to, like, fbl_graph_binary(to, FBL_OP_MUL, between, count, loc));
    FblNodeId parts = beside(to, like, fbl_graph_binary(to, FBL_OP_ADD, inside, between, loc));
    return reduce(to, like, parts, &axis, 1);
}

// The sum over `axes` of (x - sum / elements)^2: squares about a part's own mean.
static FblNodeId squares_inside(FblGraph *to, const FblNode *like, FblNodeId x, FblNodeId sum, int64_t elements, const FblName *axes, int32_t axis_count) {
    FblLoc loc = like->loc;
    FblNodeId count = beside(to, like, fbl_graph_const(to, FBL_F32, (double)elements, loc));
    FblNodeId own = beside(to, like, fbl_graph_binary(to, FBL_OP_DIV, sum, count, loc));
    FblNodeId inside = beside(to, like, fbl_graph_binary(to, FBL_OP_SUB, x, own, loc));
    inside = beside(to, like, fbl_graph_binary(to, FBL_OP_MUL, inside, inside, loc));
    return reduce(to, like, inside, axes, axis_count);
}

// The sum of (x - mean of x)^2 over `rest` and `last`, where the mean is over the same axes and its sum was taken in two
// steps. Each part (an image) is centred about its own mean, and parts are combined. So a part's two sums are one kernel that
// reads it while it is in the cache, nothing waits for the mean of all, and no digits are lost where the mean is far larger
// than the deviation.
static FblNodeId centred_squares(Prepare *p, const FblNode *like, FblNodeId squares, const FblName *rest, int32_t rest_count, FblName last) {
    FblGraph *to = p->to;
    FblNodeId x, mean;
    if (like->op != FBL_OP_SUM || !fbl_squared_difference(to, squares, &x, &mean)) {
        return FBL_NO_NODE;
    }
    const FblType *type = &to->nodes[x].type;
    int64_t part = 1;
    for (int32_t i = 0; i < rest_count; i++) {
        part *= type->axes[fbl_type_find(type, rest[i])].extent;
    }
    FblNodeId total = fbl_mean_of(to, mean, part * type->axes[fbl_type_find(type, last)].extent);
    if (total == FBL_NO_NODE || !fbl_sums_over(&to->nodes[total], &last, 1)) {
        return FBL_NO_NODE;
    }
    FblNodeId sum = to->nodes[total].inputs[0];
    if (!fbl_sums_over(&to->nodes[sum], rest, rest_count) || to->nodes[sum].inputs[0] != x) {
        return FBL_NO_NODE;
    }
    FblNodeId inside = squares_inside(to, like, x, sum, part, rest, rest_count);
    return combine(to, like, sum, inside, part, mean, last);
}

// Axis `from` as the axes `outer` and `inner`, the latter of `extent` elements.
static FblNodeId split_in_two(FblGraph *to, const FblNode *like, FblNodeId x, FblName from, FblName outer, FblName inner, int64_t extent) {
    FblType given = to->nodes[x].type;
    int at = fbl_type_find(&given, from);
    given.axes[at] = (FblAxis){outer, given.axes[at].extent / extent};
    fbl_type_add_axis(&given, inner, extent);
    FblAttr attr = {.name_count = 3, .split = 1};
    attr.names[0] = from;
    attr.names[1] = outer;
    attr.names[2] = inner;
    return beside(to, like, fbl_graph_add(to, FBL_OP_SPLIT, &x, 1, &attr, &given, like->loc));
}

static FblName axis_name(FblGraph *to, FblName batch, const char *what) { return fbl_intern(to->ctx, fbl_arena_printf(fbl_context_arena(to->ctx), "%s.%s", batch, what)); }

// The sum of `x`, of the form of the result of `conv`, over its pixels in steps of which the first, over a part, can be done by the convolution's
// kernel: a part is rows that follow one another in batch, height and width, whatever images they are of.
static FblNodeId sum_rows(Prepare *p, const FblNode *like, FblNodeId x, FblNodeId conv) {
    FblGraph *to = p->to;
    const FblName *names = to->nodes[conv].attr.names;
    const FblName quad[4] = {names[0], names[1], names[2], names[3]};
    const FblType *type = &to->nodes[x].type;
    int64_t rows = fbl_type_elements(type) / type->axes[fbl_type_find(type, quad[1])].extent, row_count = MOST_ROWS;
    while (row_count >= LEAST_ROWS && rows % row_count != 0) {
        row_count /= 2;
    }
    if (row_count < LEAST_ROWS) {
        return FBL_NO_NODE;
    }
    FblName all = axis_name(to, quad[0], "rows"), part = axis_name(to, quad[0], "part");
    RowSums s = {.row_count = row_count, .group_rows = row_count, .row = axis_name(to, quad[0], "row"), .grouped = FBL_NO_NODE, .last = part};
    FblAttr attr = {.name_count = 4, .split = 3};
    attr.names[0] = quad[0];
    attr.names[1] = quad[2];
    attr.names[2] = quad[3];
    attr.names[3] = all;
    s.rows = split_in_two(to, like, beside(to, like, fbl_graph_add(to, FBL_OP_JOIN, &x, 1, &attr, NULL, like->loc)), all, part, s.row, row_count);
    s.parts = s.groups = reduce(to, like, s.rows, &s.row, 1);
    int64_t parts = rows / row_count, inner = 1;
    for (int64_t d = 2; d * d <= parts && parts > FEW_PARTS; d++) {
        inner = parts % d == 0 ? d : inner;
    }
    if (inner > 1) {
        s.last = axis_name(to, quad[0], "group");
        s.group_rows = inner * row_count;
        s.within = axis_name(to, quad[0], "within");
        s.grouped = split_in_two(to, like, s.parts, part, s.last, s.within, inner);
        s.groups = reduce(to, like, s.grouped, &s.within, 1);
    }
    s.total = reduce(to, like, s.groups, &s.last, 1);
    FBL_PUSH(to->arena, p->sums, p->sum_count, p->sum_capacity, s);
    return s.total;
}

// The sum of (x - mean)^2, where the mean is that of `s`: of parts, groups and the whole.
static FblNodeId squares_of_rows(FblGraph *to, const FblNode *like, const RowSums *s, FblNodeId mean) {
    FblNodeId inside = squares_inside(to, like, s->rows, s->parts, s->row_count, &s->row, 1);
    if (s->grouped != FBL_NO_NODE) {
        FblName part = to->nodes[s->grouped].attr.names[0];
        const FblType *type = &to->nodes[s->grouped].type;
        inside = split_in_two(to, like, inside, part, s->last, s->within, type->axes[fbl_type_find(type, s->within)].extent);
        FblNodeId count = beside(to, like, fbl_graph_const(to, FBL_F32, (double)s->group_rows, like->loc));
        FblNodeId own = beside(to, like, fbl_graph_binary(to, FBL_OP_DIV, s->groups, count, like->loc));
        inside = combine(to, like, s->grouped, inside, s->row_count, own, s->within);
    }
    return combine(to, like, s->groups, inside, s->group_rows, mean, s->last);
}

// What `id`, whose pixels are to be summed, is computed from, point by point: the last convolution of its form that can do sums, and the
// last other value that is no leaf.
typedef struct Source {
    const FblGraph *graph;
    const FblType *type;
    FblNodeId host, other;
    int left; // visits until it is too much
} Source;

static void find_source(Source *s, FblNodeId id, int depth) {
    const FblNode *node = &s->graph->nodes[id];
    bool dense = node->op == FBL_OP_CONV2D || (node->op == FBL_OP_CONV2D_DATA_GRAD && node->attr.i[FBL_CONV_STRIDE_H] == 1 && node->attr.i[FBL_CONV_STRIDE_W] == 1);
    if (id <= s->host || id <= s->other || node->op == FBL_OP_CONST || fbl_lower_is_leaf(node->op)) {
        return;
    }
    if (dense && fbl_type_same_axes(s->type, &node->type)) {
        s->host = id;
    } else if (fbl_op_info(node->op)->op_class != FBL_CLASS_POINTWISE || depth == 0 || s->left-- <= 0) {
        s->other = id;
    } else {
        for (int32_t i = 0; i < node->input_count; i++) {
            find_source(s, node->inputs[i], depth - 1);
        }
    }
}

// A sum over all pixels of a convolution's result or what follows it point by point, or of squared differences from the mean.
static FblNodeId epilogue_sum(Prepare *p, const FblNode *node, FblNodeId x) {
    FblGraph *to = p->to;
    FblNodeId from = x, mean = FBL_NO_NODE;
    bool squares = fbl_squared_difference(to, x, &from, &mean);
    Source source = {to, &to->nodes[from].type, FBL_NO_NODE, FBL_NO_NODE, MOST_VISITS};
    if (!p->options->epilogue_sums || node->type.dtype != FBL_F32 || to->nodes[from].type.dtype != FBL_F32) {
        return FBL_NO_NODE;
    }
    find_source(&source, from, MOST_DEPTH);
    const FblName *quad = source.host > source.other ? to->nodes[source.host].attr.names : NULL;
    if (!quad || !fbl_sums_over(node, (const FblName[]){quad[0], quad[2], quad[3]}, 3)) {
        return FBL_NO_NODE;
    }
    if (!squares) {
        return sum_rows(p, node, from, source.host);
    }
    for (size_t i = 0; i < p->sum_count; i++) {
        const RowSums *s = &p->sums[i];
        int64_t rows = fbl_type_elements(&to->nodes[s->rows].type) / fbl_type_elements(&to->nodes[s->total].type);
        if (to->nodes[to->nodes[s->rows].inputs[0]].inputs[0] == from && fbl_mean_of(to, mean, rows) == s->total) {
            return squares_of_rows(to, node, s, mean);
        }
    }
    return FBL_NO_NODE;
}

// sum, max and min over many elements with few results: first over all reduced axes but the outermost, then over that. The
// order of summation depends on shapes alone.
static FblNodeId two_step_reduction(Prepare *p, const FblNode *node) {
    FblNodeId x = p->map[node->inputs[0]];
    const FblType *type = &p->to->nodes[x].type;
    if (node->op == FBL_OP_ARGMAX || fbl_type_elements(type) < LONG_REDUCTION ||
        fbl_type_elements(&node->type) > FEW_RESULTS) {
        return FBL_NO_NODE;
    }
    FblNodeId begun = epilogue_sum(p, node, x);
    if (begun != FBL_NO_NODE) {
        return begun;
    }
    FblName rest[FBL_MAX_RANK];
    int32_t count = 0;
    FblName last = NULL;
    for (int i = 0; i < type->rank; i++) {
        for (int32_t j = 0; j < node->attr.name_count; j++) {
            if (node->attr.names[j] == type->axes[i].name) {
                if (last == NULL && type->axes[i].extent > 1) {
                    last = type->axes[i].name;
                } else {
                    rest[count++] = type->axes[i].name;
                }
            }
        }
    }
    // An image's batch is its outermost axis whatever order the type has.
    for (size_t id = 0; id < p->from->count && last != NULL; id++) {
        const FblNode *conv = &p->from->nodes[id];
        if (fbl_op_info(conv->op)->attr == FBL_ATTR_CONV) {
            for (int32_t j = 0; j < count; j++) {
                if (rest[j] == conv->attr.names[0]) {
                    FblName swap = rest[j];
                    rest[j] = last;
                    last = swap;
                }
            }
            break;
        }
    }
    if (last == NULL) {
        return FBL_NO_NODE;
    }
    if (count == 0) {
        FblName names[2];
        if (type->axes[fbl_type_find(type, last)].extent < LONG_AXIS) {
            return FBL_NO_NODE;
        }
        x = split_axis(p->to, node, x, last, names);
        if (x == FBL_NO_NODE) {
            return x;
        }
        rest[count++] = names[1];
        last = names[0];
    }
    FblNodeId squares = centred_squares(p, node, x, rest, count, last);
    if (squares != FBL_NO_NODE) {
        return squares;
    }
    FblNodeId part = reduce(p->to, node, x, rest, count);
    return part == FBL_NO_NODE ? part : reduce(p->to, node, part, &last, 1);
}

static bool is_zero(const FblGraph *graph, FblNodeId id) {
    const FblNode *node = &graph->nodes[id];
    while (node->op == FBL_OP_BROADCAST || node->op == FBL_OP_STOP_GRADIENT) {
        node = &graph->nodes[node->inputs[0]];
    }
    return node->op == FBL_OP_CONST && node->attr.value == 0;
}

// Large tensors that computing `id` from what is stored would read.
static int large_reads(const FblGraph *graph, FblNodeId id, int64_t elements, int depth) {
    const FblNode *node = &graph->nodes[id];
    if (fbl_type_elements(&node->type) * 4 < elements) {
        return 0;
    }
    if (fbl_op_info(node->op)->op_class != FBL_CLASS_POINTWISE || depth == 0) {
        return 1;
    }
    int reads = 0;
    for (int32_t i = 0; i < node->input_count; i++) {
        bool twice = i > 0 && node->inputs[i] == node->inputs[i - 1];
        reads += twice ? 0 : large_reads(graph, node->inputs[i], elements, depth - 1);
    }
    return reads;
}

// relu(x) = select(x <= 0, 0, x) has the sign of x: a later `x <= 0` (the mask of its gradient) can read relu(x), which is
// kept anyway, when that reads less than computing x again. FBL_NO_NODE when it does not.
static FblNodeId relu_in_place_of(const Prepare *p, FblNodeId x) {
    FblNodeId relu = p->relu_of[x];
    const FblType *type = &p->to->nodes[x].type;
    bool better = relu != FBL_NO_NODE && fbl_type_equal(type, &p->to->nodes[relu].type) && large_reads(p->to, x, fbl_type_elements(type), 8) > 1;
    return better ? relu : FBL_NO_NODE;
}

static FblNodeId mask_of_relu(Prepare *p, const FblNode *node) {
    FblNodeId zero = p->map[node->inputs[1]];
    FblNodeId relu = node->op == FBL_OP_LE && is_zero(p->to, zero) ? relu_in_place_of(p, p->map[node->inputs[0]]) : FBL_NO_NODE;
    return relu == FBL_NO_NODE ? FBL_NO_NODE : fbl_graph_binary(p->to, FBL_OP_LE, relu, zero, node->loc);
}

static void note_relu(Prepare *p, FblNodeId id) {
    const FblNode *node = &p->to->nodes[id];
    if (node->op != FBL_OP_SELECT || !is_zero(p->to, node->inputs[1])) {
        return;
    }
    const FblNode *condition = &p->to->nodes[node->inputs[0]];
    if (condition->op == FBL_OP_LE && condition->inputs[0] == node->inputs[2] &&
        is_zero(p->to, condition->inputs[1])) {
        p->relu_of[node->inputs[2]] = id;
    }
}

// A use of a relu's condition by another node is a use of the same test on the relu's result.
static FblNodeId through_relu(Prepare *p, FblNodeId operand) {
    const FblNode *node = &p->to->nodes[operand];
    FblNodeId relu = node->op == FBL_OP_LE && is_zero(p->to, node->inputs[1]) ? relu_in_place_of(p, node->inputs[0]) : FBL_NO_NODE;
    FblNodeId id = relu == FBL_NO_NODE ? relu : fbl_graph_binary(p->to, FBL_OP_LE, relu, node->inputs[1], node->loc);
    return id == FBL_NO_NODE ? operand : id;
}

static void grow(Prepare *p) {
    FblArena *arena = p->to->arena;
    if (p->to->count + 8 <= p->relu_capacity) {
        return;
    }
    size_t capacity = (p->to->count + 8) * 2;
    FblNodeId *table = FBL_NEW_ARRAY(arena, FblNodeId, capacity);
    for (size_t i = 0; i < capacity; i++) {
        table[i] = i < p->relu_capacity ? p->relu_of[i] : FBL_NO_NODE;
    }
    p->relu_of = table;
    p->relu_capacity = capacity;
}

static FblStatus copy_node(Prepare *p, FblNodeId id) {
    const FblNode *node = &p->from->nodes[id];
    FblNodeId new_id = FBL_NO_NODE;
    grow(p);
    if (p->options->fuse && fbl_op_info(node->op)->op_class == FBL_CLASS_REDUCE) {
        new_id = two_step_reduction(p, node);
    } else if (p->options->fuse && node->op == FBL_OP_LE) {
        new_id = mask_of_relu(p, node);
    }
    if (new_id == FBL_NO_NODE) {
        FblNodeId small[8];
        FblNodeId *inputs = small;
        if (node->input_count > 8) {
            inputs = FBL_NEW_ARRAY(p->to->arena, FblNodeId, node->input_count);
        }
        for (int32_t i = 0; i < node->input_count; i++) {
            inputs[i] = p->map[node->inputs[i]];
            if (p->options->fuse && node->op == FBL_OP_SELECT && i == 0) {
                inputs[i] = through_relu(p, inputs[i]);
            }
            bool library = fbl_lower_is_library(node->op) && fbl_op_info(node->op)->op_class != FBL_CLASS_COLLECTIVE;
            FblDtype want = node->op == FBL_OP_BETA || node->op == FBL_OP_CUMSUM ? node->type.dtype : FBL_I32;
            if (library && p->to->nodes[inputs[i]].type.dtype != want &&
                (node->op != FBL_OP_ARGSORT || p->to->nodes[inputs[i]].type.dtype == FBL_BOOL)) {
                inputs[i] = fbl_graph_cast(p->to, inputs[i], want, node->loc);
            }
        }
        new_id = fbl_rebuild_add(p->to, node, inputs, p->map);
        if (new_id == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    p->map[id] = new_id;
    grow(p);
    note_relu(p, new_id);
    return FBL_OK;
}

// Each root gets a node of its own that is computed, so that it can be stored in the root's place.
static FblStatus copy_roots(Prepare *p) {
    bool *claimed = FBL_NEW_ARRAY(p->to->arena, bool, p->to->count);
    size_t count = p->to->count;
    for (size_t i = 0; i < p->from->root_count; i++) {
        const FblRoot *root = &p->from->roots[i];
        FblNodeId id = p->map[root->node];
        bool taken = (size_t)id < count && claimed[id];
        if (taken || fbl_lower_is_leaf(p->to->nodes[id].op)) {
            FblLoc loc = p->to->nodes[id].loc;
            id = fbl_graph_unary(p->to, FBL_OP_STOP_GRADIENT, id, loc);
            if (id == FBL_NO_NODE) {
                return FBL_INTERNAL;
            }
        } else {
            claimed[id] = true;
        }
        fbl_graph_root(p->to, root->kind, root->name, id);
    }
    return FBL_OK;
}

FblStatus fbl_lower_prepare(FblContext *ctx, const FblGraph *graph, const FblLowerOptions *options, FblGraph **out_graph) {
    FblGraph copy = *graph; // rebuild helpers take a graph that they don't change
    Prepare p = {.from = &copy, .to = fbl_rebuild_begin(graph), .options = options};
    bool *live = fbl_graph_live(graph);
    p.map = fbl_rebuild_map(graph);
    for (size_t id = 0; id < graph->count; id++) {
        if (live[id]) {
            FBL_TRY(check(ctx, &graph->nodes[id]));
            FBL_TRY(copy_node(&p, (FblNodeId)id));
        }
    }
    FBL_TRY(copy_roots(&p));
    // Rules may have left nodes behind that nothing uses.
    bool *used = fbl_graph_live(p.to);
    FblGraph *clean = fbl_rebuild_begin(p.to);
    FblNodeId *map = fbl_rebuild_map(p.to);
    for (size_t id = 0; id < p.to->count; id++) {
        if (used[id] && fbl_rebuild_copy(clean, p.to, (FblNodeId)id, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    FBL_TRY(fbl_rebuild_roots(clean, p.to, map));
    fbl_graph_discard(p.to);
    *out_graph = clean;
    return FBL_OK;
}

#include <math.h>
#include <string.h>

#include "passes/lower_internal.h"

void fbl_scope_init(FblScope *scope, FblLower *lower, int32_t group_id, FblKBuild *build) {
    *scope = (FblScope){.lower = lower, .group = &lower->groups[group_id], .group_id = group_id, .build = build};
    scope->guard = -1;
    scope->acc = scope->row_number = -1;
    scope->memo_size = 256;
    scope->memo_table = FBL_NEW_ARRAY(lower->arena, int32_t, scope->memo_size);
}

void fbl_scope_begin(FblScope *scope) {
    fbl_kb_scope(scope->build);
    scope->memo_count = 0;
    scope->guard = -1;
    memset(scope->memo_table, 0xff, scope->memo_size * sizeof *scope->memo_table);
}

static size_t memo_slot(const FblScope *scope, const FblMemo *key) {
    uint64_t hash = (uint32_t)key->node * 0x9E3779B97F4A7C15u + (uint32_t)key->guard;
    for (int i = 0; i < FBL_MAX_RANK; i++) {
        hash = (hash ^ (uint32_t)key->index[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 31;
    }
    size_t at = hash & (scope->memo_size - 1);
    while (scope->memo_table[at] >= 0) {
        const FblMemo *have = &scope->memo[scope->memo_table[at]];
        if (have->node == key->node && have->guard == key->guard &&
            memcmp(have->index, key->index, sizeof have->index) == 0) {
            break;
        }
        at = (at + 1) & (scope->memo_size - 1);
    }
    return at;
}

static void memo_add(FblScope *scope, const FblMemo *memo) {
    if (scope->memo_count * 2 >= scope->memo_size) {
        size_t old = scope->memo_count;
        scope->memo_size *= 2;
        scope->memo_table = FBL_NEW_ARRAY(scope->lower->arena, int32_t, scope->memo_size);
        memset(scope->memo_table, 0xff, scope->memo_size * sizeof *scope->memo_table);
        for (size_t i = 0; i < old; i++) {
            scope->memo_table[memo_slot(scope, &scope->memo[i])] = (int32_t)i;
        }
    }
    scope->memo_table[memo_slot(scope, memo)] = (int32_t)scope->memo_count;
    FBL_PUSH(scope->lower->arena, scope->memo, scope->memo_count, scope->memo_capacity, *memo);
}

static int32_t fail(FblScope *scope, const FblNode *node) {
    if (scope->status == FBL_OK) {
        fbl_diag(scope->lower->ctx, FBL_ERROR, "E0403", node->loc, "`%s` can't be lowered here",
                 fbl_op_info(node->op)->text);
        scope->status = FBL_INTERNAL;
    }
    return fbl_kb_const(scope->build, node->type.dtype, 0);
}

static const FblNode *node_of(const FblScope *scope, FblNodeId id) {
    return &scope->lower->graph->nodes[id];
}

// Index of operand `type` where the node's axes are `axes` at `index`: aligned by name.
static void align(const FblType *axes, const int32_t *index, const FblType *type, int32_t *out) {
    for (int i = 0; i < type->rank; i++) {
        out[i] = index[fbl_type_find(axes, type->axes[i].name)];
    }
}

// Buffers ------------------------------------------------------------------------------------------------------------

static int32_t buffer_of(FblScope *scope, FblNodeId id, bool output) {
    const FblNodePlan *plan = &scope->lower->nodes[id];
    for (size_t i = 0; i < scope->buffer_count; i++) {
        if (scope->buffer_nodes[i] == id && scope->buffers[i].is_output == output) {
            return (int32_t)i;
        }
    }
    FblKernelBuffer buffer = {.dtype = plan->storage, .is_output = output, .alias = -1};
    for (int i = 0; i < plan->layout.rank; i++) {
        if (plan->layout.dims[i].extent != 1 || scope->keep_unit_dims) {
            buffer.extents[buffer.rank++] = plan->layout.dims[i].extent;
        }
    }
    size_t count = scope->buffer_count;
    scope->buffer_nodes =
        fbl_arena_grow(scope->lower->arena, scope->buffer_nodes, count, &scope->node_capacity, sizeof(FblNodeId));
    FBL_PUSH(scope->lower->arena, scope->buffers, scope->buffer_count, scope->buffer_capacity, buffer);
    scope->buffer_nodes[count] = id;
    return (int32_t)count;
}

// Physical from logical indices.
static void place(FblScope *scope, FblNodeId id, const int32_t *index, int32_t *out) {
    const FblLayout *layout = &scope->lower->nodes[id].layout;
    const FblType *type = &node_of(scope, id)->type;
    int rank = 0;
    for (int i = 0; i < layout->rank; i++) {
        const FblLayoutDim *dim = &layout->dims[i];
        if (dim->extent == 1 && !scope->keep_unit_dims) {
            continue;
        }
        int32_t at = index[fbl_type_find(type, dim->axis)];
        int32_t block = 0;
        for (int j = 0; j < layout->rank && dim->block == 0; j++) {
            block = layout->dims[j].axis == dim->axis && layout->dims[j].block > 0 ? layout->dims[j].block : block;
        }
        if (dim->block > 0) {
            at = fbl_ix_mod(scope->build, at, dim->block);
        } else if (block > 0) {
            at = fbl_ix_div(scope->build, at, block);
        }
        out[rank++] = at;
    }
}

static int32_t load(FblScope *scope, FblNodeId id, const int32_t *index, int32_t guard, int32_t otherwise) {
    FblKInstr q;
    memset(&q, 0, sizeof q);
    q.kind = FBL_K_LOAD;
    q.dtype = node_of(scope, id)->type.dtype;
    q.args[0] = q.args[1] = q.args[2] = -1;
    memset(q.index, 0xff, sizeof q.index);
    place(scope, id, index, q.index);
    q.guard = q.otherwise = -1;
    if (fbl_kb_known(scope->build, guard, false)) {
        return otherwise >= 0 ? otherwise : fbl_kb_const(scope->build, q.dtype, 0);
    }
    if (!fbl_kb_known(scope->build, guard, true)) {
        q.guard = guard;
        q.otherwise = otherwise >= 0 ? otherwise : fbl_kb_const(scope->build, q.dtype, 0);
    }
    q.a = buffer_of(scope, id, false);
    return fbl_kb_instr(scope->build, &q);
}

void fbl_scope_store(FblScope *scope, FblNodeId id, const int32_t *index, int32_t value, FblKStore *out_store) {
    memset(out_store, 0, sizeof *out_store);
    memset(out_store->index, 0xff, sizeof out_store->index);
    out_store->value = fbl_kb_cast(scope->build, value, node_of(scope, id)->type.dtype);
    out_store->guard = -1;
    place(scope, id, index, out_store->index);
    out_store->buffer = buffer_of(scope, id, true);
}

// Whether the value of `id` is a load in this kernel.
static bool is_load(const FblScope *scope, FblNodeId id) {
    return fbl_lower_is_leaf(node_of(scope, id)->op) ||
           (scope->lower->nodes[id].kept && scope->lower->nodes[id].group != scope->group_id);
}

int32_t fbl_scope_guarded(FblScope *scope, FblNodeId id, const int32_t *index, int32_t guard, int32_t otherwise) {
    if (fbl_kb_known(scope->build, guard, true)) {
        return fbl_scope_value(scope, id, index);
    }
    if (fbl_kb_known(scope->build, guard, false)) {
        return otherwise;
    }
    int32_t outer = scope->guard;
    int32_t both = fbl_kb_and(scope->build, outer, guard);
    if (is_load(scope, id)) {
        return load(scope, id, index, both, fbl_kb_cast(scope->build, otherwise, node_of(scope, id)->type.dtype));
    }
    scope->guard = both;
    int32_t value = fbl_scope_value(scope, id, index);
    scope->guard = outer;
    otherwise = fbl_kb_cast(scope->build, otherwise, scope->build->instrs[value].dtype);
    return fbl_kb_op(scope->build, FBL_OP_SELECT, scope->build->instrs[value].dtype, guard, value, otherwise);
}

// Ops ----------------------------------------------------------------------------------------------------------------

// A pointwise op with its operands converted, so that backends see one dtype on both sides.
static int32_t pointwise(FblScope *scope, const FblNode *node, const int32_t *args) {
    FblKBuild *b = scope->build;
    FblDtype dtype = node->type.dtype;
    int32_t x[3] = {-1, -1, -1};
    for (int32_t i = 0; i < node->input_count; i++) {
        x[i] = args[i];
    }
    switch (node->op) {
    case FBL_OP_STOP_GRADIENT:
    case FBL_OP_BROADCAST:
        return x[0];
    case FBL_OP_CAST:
        return fbl_kb_cast(b, x[0], dtype);
    case FBL_OP_NOT:
    case FBL_OP_AND:
    case FBL_OP_OR:
        break;
    case FBL_OP_SELECT:
        x[1] = fbl_kb_cast(b, x[1], dtype);
        x[2] = fbl_kb_cast(b, x[2], dtype);
        break;
    case FBL_OP_EQ:
    case FBL_OP_NE:
    case FBL_OP_LT:
    case FBL_OP_LE: {
        bool real = b->instrs[x[0]].dtype == FBL_F32 || b->instrs[x[1]].dtype == FBL_F32;
        x[0] = fbl_kb_cast(b, x[0], real ? FBL_F32 : FBL_I32);
        x[1] = fbl_kb_cast(b, x[1], real ? FBL_F32 : FBL_I32);
        break;
    }
    default:
        for (int32_t i = 0; i < node->input_count; i++) {
            x[i] = fbl_kb_cast(b, x[i], dtype);
        }
        break;
    }
    return fbl_kb_op(b, node->op, dtype, x[0], x[1], x[2]);
}

static int32_t row_major(FblScope *scope, const FblType *type, const int32_t *index) {
    int32_t sum = fbl_ix_const(scope->build, 0);
    for (int i = 0; i < type->rank; i++) {
        sum = fbl_ix_add(scope->build, fbl_ix_scale(scope->build, sum, type->axes[i].extent), index[i]);
    }
    return sum;
}

static int32_t slice(FblScope *scope, const FblNode *node, const int32_t *index) {
    const FblType *type = &node_of(scope, node->inputs[0])->type;
    int32_t x[FBL_MAX_RANK];
    align(&node->type, index, type, x);
    int at = fbl_type_find(type, node->attr.names[0]);
    x[at] = fbl_ix_add_const(scope->build, fbl_ix_scale(scope->build, x[at], node->attr.i[FBL_SLICE_STEP]),
                             node->attr.i[FBL_SLICE_START]);
    return fbl_scope_value(scope, node->inputs[0], x);
}

static int32_t pad(FblScope *scope, const FblNode *node, const int32_t *index) {
    const FblType *type = &node_of(scope, node->inputs[0])->type;
    FblKBuild *b = scope->build;
    int64_t step = node->attr.i[FBL_PAD_INTERIOR] + 1;
    int32_t x[FBL_MAX_RANK];
    align(&node->type, index, type, x);
    int at = fbl_type_find(type, node->attr.names[0]);
    int32_t from = fbl_ix_add_const(b, x[at], -node->attr.i[FBL_PAD_LOW]);
    x[at] = fbl_ix_div(b, from, step);
    int32_t guard = fbl_kb_and(b, fbl_ix_in_range(b, from, 0, (type->axes[at].extent - 1) * step + 1),
                               fbl_ix_is_zero(b, fbl_ix_mod(b, from, step)));
    return fbl_scope_guarded(scope, node->inputs[0], x, guard, fbl_kb_const(b, type->dtype, node->attr.value));
}

static int32_t concat(FblScope *scope, const FblNode *node, const int32_t *index) {
    FblKBuild *b = scope->build;
    int32_t value = fbl_kb_const(b, node->type.dtype, 0);
    int64_t offset = 0;
    for (int32_t i = 0; i < node->input_count; i++) {
        const FblType *type = &node_of(scope, node->inputs[i])->type;
        int32_t x[FBL_MAX_RANK];
        align(&node->type, index, type, x);
        int at = fbl_type_find(type, node->attr.names[0]);
        x[at] = fbl_ix_add_const(b, x[at], -offset);
        int32_t guard = fbl_ix_in_range(b, x[at], 0, type->axes[at].extent);
        if (type->dtype == node->type.dtype) {
            value = fbl_scope_guarded(scope, node->inputs[i], x, guard, value);
        } else {
            int32_t part = fbl_scope_guarded(scope, node->inputs[i], x, guard, fbl_kb_const(b, type->dtype, 0));
            part = fbl_kb_cast(b, part, node->type.dtype);
            value = guard < 0 ? part : fbl_kb_op(b, FBL_OP_SELECT, node->type.dtype, guard, part, value);
        }
        offset += type->axes[at].extent;
    }
    return value;
}

static int32_t rename_axes(FblScope *scope, const FblNode *node, const int32_t *index) {
    // Renaming keeps positions.
    return fbl_scope_value(scope, node->inputs[0], index);
}

static int32_t split(FblScope *scope, const FblNode *node, const int32_t *index) {
    const FblType *type = &node_of(scope, node->inputs[0])->type;
    int32_t x[FBL_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        if (type->axes[i].name != node->attr.names[0]) {
            x[i] = index[fbl_type_find(&node->type, type->axes[i].name)];
            continue;
        }
        int32_t sum = fbl_ix_const(scope->build, 0);
        for (int32_t j = 1; j < node->attr.name_count; j++) {
            int at = fbl_type_find(&node->type, node->attr.names[j]);
            sum = fbl_ix_add(scope->build, fbl_ix_scale(scope->build, sum, node->type.axes[at].extent), index[at]);
        }
        x[i] = sum;
    }
    return fbl_scope_value(scope, node->inputs[0], x);
}

static int32_t join(FblScope *scope, const FblNode *node, const int32_t *index) {
    const FblType *type = &node_of(scope, node->inputs[0])->type;
    int32_t x[FBL_MAX_RANK];
    int32_t whole = index[fbl_type_find(&node->type, node->attr.names[node->attr.split])];
    for (int i = 0; i < type->rank; i++) {
        int at = fbl_type_find(&node->type, type->axes[i].name);
        x[i] = at >= 0 ? index[at] : -1;
    }
    // A row of a contraction's result, whose pixel is known.
    bool known = scope->row_number >= 0 && whole == scope->row_number && node->attr.split == 3;
    for (int32_t j = node->attr.split - 1; j >= 0; j--) {
        int at = fbl_type_find(type, node->attr.names[j]);
        if (known) {
            x[at] = scope->pixel[j];
            continue;
        }
        x[at] = j == 0 ? whole : fbl_ix_mod(scope->build, whole, type->axes[at].extent);
        whole = j == 0 ? whole : fbl_ix_div(scope->build, whole, type->axes[at].extent);
    }
    return fbl_scope_value(scope, node->inputs[0], x);
}

static int32_t gather(FblScope *scope, const FblNode *node, const int32_t *index) {
    const FblType *type = &node_of(scope, node->inputs[0])->type;
    const FblType *at_type = &node_of(scope, node->inputs[1])->type;
    int32_t at_index[FBL_MAX_RANK];
    int32_t x[FBL_MAX_RANK];
    align(&node->type, index, at_type, at_index);
    int32_t at = fbl_scope_value(scope, node->inputs[1], at_index);
    for (int i = 0; i < type->rank; i++) {
        if (type->axes[i].name == node->attr.names[0]) {
            x[i] = fbl_ix_clamp(scope->build, at, 0, type->axes[i].extent - 1);
        } else {
            x[i] = index[fbl_type_find(&node->type, type->axes[i].name)];
        }
    }
    return fbl_scope_value(scope, node->inputs[0], x);
}

static int32_t inline_value(FblScope *scope, const FblNode *node, const int32_t *index) {
    switch (node->op) {
    case FBL_OP_CONST:
        return fbl_kb_const(scope->build, node->type.dtype, node->attr.value);
    case FBL_OP_IOTA:
        return index[0];
    case FBL_OP_UNIFORM: {
        FblKInstr q;
        memset(&q, 0, sizeof q);
        q.kind = FBL_K_UNIFORM;
        q.dtype = FBL_F32;
        q.a = (int32_t)(uint32_t)node->attr.i[0];
        q.args[0] = row_major(scope, &node->type, index);
        q.args[1] = q.args[2] = q.guard = q.otherwise = -1;
        memset(q.index, 0xff, sizeof q.index);
        return fbl_kb_instr(scope->build, &q);
    }
    case FBL_OP_SLICE:
        return slice(scope, node, index);
    case FBL_OP_PAD:
        return pad(scope, node, index);
    case FBL_OP_CONCAT:
        return concat(scope, node, index);
    case FBL_OP_RENAME:
        return rename_axes(scope, node, index);
    case FBL_OP_SPLIT:
        return split(scope, node, index);
    case FBL_OP_JOIN:
        return join(scope, node, index);
    case FBL_OP_GATHER:
        return gather(scope, node, index);
    default:
        break;
    }
    if (fbl_op_info(node->op)->op_class != FBL_CLASS_POINTWISE) {
        return fail(scope, node);
    }
    int32_t args[3];
    for (int32_t i = 0; i < node->input_count; i++) {
        int32_t x[FBL_MAX_RANK];
        align(&node->type, index, &node_of(scope, node->inputs[i])->type, x);
        args[i] = fbl_scope_value(scope, node->inputs[i], x);
    }
    return pointwise(scope, node, args);
}

// A finished reduction of this kernel: only at the outer indices themselves.
static int32_t result_value(FblScope *scope, FblNodeId id, const int32_t *index) {
    const FblNode *node = node_of(scope, id);
    const FblMember *member = fbl_group_member(scope->group, id);
    if (member == NULL || member->level >= scope->level || node->type.rank != scope->group->outer_rank) {
        return fail(scope, node);
    }
    for (int i = 0; i < scope->group->outer_rank; i++) {
        int at = fbl_type_find(&node->type, scope->group->outer[i].name);
        if (at < 0 || index[at] != scope->outer[i]) {
            return fail(scope, node);
        }
    }
    FblKInstr q;
    memset(&q, 0, sizeof q);
    q.kind = FBL_K_RESULT;
    q.dtype = node->type.dtype;
    q.a = member->result;
    q.args[0] = q.args[1] = q.args[2] = q.guard = q.otherwise = -1;
    memset(q.index, 0xff, sizeof q.index);
    int32_t result = fbl_kb_instr(scope->build, &q);
    return node->op == FBL_OP_AVG_POOL ? fbl_scope_window_finish(scope, node, index, result) : result;
}

static int32_t value_at(FblScope *scope, FblNodeId id, const int32_t *index, bool compute) {
    const FblNode *node = node_of(scope, id);
    FblMemo memo = {.node = id, .guard = scope->guard};
    memset(memo.index, 0xff, sizeof memo.index);
    for (int i = 0; i < node->type.rank; i++) {
        memo.index[i] = index[i];
    }
    if (!compute && is_load(scope, id)) {
        return load(scope, id, index, scope->guard, -1);
    }
    int32_t have = scope->memo_table[memo_slot(scope, &memo)];
    if (have >= 0) {
        return scope->memo[have].value;
    }
    if (scope->acc >= 0 && id == scope->group->anchor) {
        memo.value = scope->acc;
    } else if (fbl_lower_is_loopy(scope->lower, id)) {
        memo.value = result_value(scope, id, index);
    } else {
        memo.value = inline_value(scope, node, index);
    }
    memo_add(scope, &memo);
    return memo.value;
}

// What this kernel stores in half precision others read back rounded: so does this kernel, or a mask that it computes would
// not fit theirs.
int32_t fbl_scope_value(FblScope *scope, FblNodeId id, const int32_t *index) {
    int32_t value = value_at(scope, id, index, false);
    const FblNodePlan *plan = &scope->lower->nodes[id];
    if (!fbl_dtype_is_half(plan->storage) || is_load(scope, id)) {
        return value;
    }
    const FblMember *member = fbl_group_member(scope->group, id);
    return member && member->stored ? fbl_kb_round(scope->build, value, plan->storage) : value;
}

int32_t fbl_scope_compute(FblScope *scope, FblNodeId id, const int32_t *index) {
    return value_at(scope, id, index, true);
}

int32_t fbl_scope_element(FblScope *scope, FblNodeId id, const int32_t *index, const int32_t *inner, FblOp *out_op,
                          FblDtype *out_dtype) {
    const FblNode *node = node_of(scope, id);
    FblKBuild *b = scope->build;
    if (fbl_op_info(node->op)->op_class == FBL_CLASS_WINDOW) {
        return fbl_scope_window_element(scope, node, index, inner, out_op, out_dtype);
    }
    *out_op = node->op == FBL_OP_CONTRACT ? FBL_OP_SUM : node->op;
    *out_dtype = node->type.dtype;
    int32_t values[2];
    for (int32_t i = 0; i < node->input_count; i++) {
        const FblType *type = &node_of(scope, node->inputs[i])->type;
        int32_t x[FBL_MAX_RANK];
        for (int j = 0; j < type->rank; j++) {
            int at = fbl_type_find(&node->type, type->axes[j].name);
            x[j] = at >= 0 ? index[at] : -1;
            for (int32_t k = 0; k < node->attr.name_count; k++) {
                if (node->attr.names[k] == type->axes[j].name) {
                    x[j] = inner[k];
                }
            }
        }
        values[i] = fbl_scope_value(scope, node->inputs[i], x);
    }
    if (node->op == FBL_OP_CONTRACT) {
        return fbl_kb_op(b, FBL_OP_MUL, node->type.dtype, fbl_kb_cast(b, values[0], node->type.dtype),
                         fbl_kb_cast(b, values[1], node->type.dtype), -1);
    }
    if (node->op == FBL_OP_ARGMAX) {
        return b->instrs[values[0]].dtype == FBL_BOOL ? fbl_kb_cast(b, values[0], FBL_I32) : values[0];
    }
    return fbl_kb_cast(b, values[0], node->type.dtype);
}

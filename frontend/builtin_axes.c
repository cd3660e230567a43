#include "frontend/sema.h"

#include <inttypes.h>
#include <string.h>

static bool tensor_arg(FblBuiltinCall *c, int arg) {
    if (c->args[arg].kind == FBL_VAL_TENSOR) {
        return true;
    }
    fbl_build_error(c->b, "E0116", c->locs[arg], "`%s` needs a tensor, found %s", c->builtin->name,
                    fbl_val_describe(c->b, c->args[arg]));
    return false;
}

// ---------------------------------------------------------------------------------------------------- extents

static FblVal extent_value(int64_t extent) {
    return (FblVal){.kind = FBL_VAL_INT, .symbolic = extent < 0, .integer = extent};
}

static FblVal axis_extent(FblBuiltinCall *c, FblVal axis) {
    FblBuild *b = c->b;
    if (axis.kind == FBL_VAL_SEQ) {
        FblVal product = fbl_val_int(1);
        for (size_t i = 0; i < axis.seq.count; i++) {
            product = fbl_arith_binary(b, FBL_BINARY_MUL, product, axis_extent(c, axis.seq.items[i]), c->loc);
        }
        return product;
    }
    if (axis.kind != FBL_VAL_AXIS) {
        fbl_build_error(b, "E0121", c->locs[0], "a tensor or an axis is needed here, found %s",
                        fbl_val_describe(b, axis));
        return FBL_POISON;
    }
    int64_t extent = axis.axis.extent != 0 ? axis.axis.extent : fbl_frame_axis(b->frame, axis.axis.name);
    if (extent == 0) {
        FblDiag *diag = fbl_build_error(b, "E0144", c->locs[0], "the extent of the axis `%s` isn't known here",
                                        axis.axis.name);
        fbl_diag_hint(b->ctx, diag, "extent(x, %s) takes it from a tensor", axis.axis.name);
        return FBL_POISON;
    }
    return extent_value(extent);
}

static FblVal extent_in(FblBuiltinCall *c, const FblType *type, FblVal axis) {
    FblBuild *b = c->b;
    if (axis.kind == FBL_VAL_SEQ) {
        FblVal product = fbl_val_int(1);
        for (size_t i = 0; i < axis.seq.count; i++) {
            product = fbl_arith_binary(b, FBL_BINARY_MUL, product, extent_in(c, type, axis.seq.items[i]), c->loc);
        }
        return product;
    }
    if (axis.kind == FBL_VAL_AXIS && type->index_axis == axis.axis.name &&
        fbl_type_find(type, axis.axis.name) < 0) {
        return extent_value(type->index_extent);
    }
    int at = fbl_axis_in(b, axis, type, c->locs[1]);
    return at < 0 ? FBL_POISON : extent_value(type->axes[at].extent);
}

static FblVal extent(FblBuiltinCall *c) {
    if (c->args[1].kind == FBL_VAL_NONE) {
        return axis_extent(c, c->args[0]);
    }
    if (fbl_val_is_number(c->args[0]) && c->args[1].kind == FBL_VAL_SEQ && c->args[1].seq.count == 0) {
        return fbl_val_int(1);
    }
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    FblType type = *fbl_val_type(c->b, c->args[0]);
    return extent_in(c, &type, c->args[1]);
}

static bool excluded(FblVal axes, FblName name) {
    if (axes.kind == FBL_VAL_SEQ) {
        for (size_t i = 0; i < axes.seq.count; i++) {
            if (excluded(axes.seq.items[i], name)) {
                return true;
            }
        }
        return false;
    }
    return axes.kind == FBL_VAL_AXIS && axes.axis.name == name;
}

static FblVal axes(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    FblVal seq = {.kind = FBL_VAL_SEQ, .loc = c->loc};
    if (fbl_val_is_number(c->args[0]) || c->args[0].symbolic) {
        return seq;
    }
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    const FblType *type = fbl_val_type(b, c->args[0]);
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, type->rank);
    for (int i = 0; i < type->rank; i++) {
        if (!excluded(c->args[1], type->axes[i].name)) {
            seq.seq.items[seq.seq.count++] = fbl_val_axis(type->axes[i].name, type->axes[i].extent, FBL_NO_LOC);
        }
    }
    return seq;
}

static FblVal only_axis(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    FblVal all = axes(c);
    if (all.kind == FBL_VAL_POISON) {
        return all;
    }
    if (all.seq.count == 1) {
        return all.seq.items[0];
    }
    const char *list = "";
    for (size_t i = 0; i < all.seq.count; i++) {
        list = fbl_arena_printf(b->arena, "%s%s%s", list, i == 0 ? "" : ", ", all.seq.items[i].axis.name);
    }
    FblDiag *diag;
    if (all.seq.count == 0) {
        diag = fbl_build_error(b, "E0157", c->loc, "%s has no axis left to work over", fbl_val_describe(b, c->args[0]));
    } else {
        diag = fbl_build_error(b, "E0157", c->loc, "%s has several axes to work over: %s",
                               fbl_val_describe(b, c->args[0]), list);
    }
    fbl_diag_hint(b->ctx, diag, "name it: over=%s", all.seq.count == 0 ? "axis" : all.seq.items[0].axis.name);
    return FBL_POISON;
}

static FblVal iota(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    FblType of = *fbl_val_type(b, c->args[0]);
    FblVal n = extent_in(c, &of, c->args[1]);
    if (n.kind == FBL_VAL_POISON || c->args[1].kind != FBL_VAL_AXIS) {
        if (n.kind != FBL_VAL_POISON) {
            fbl_build_error(b, "E0121", c->locs[1], "a single axis is needed here");
        }
        return FBL_POISON;
    }
    FblType type = fbl_type_scalar(FBL_I32);
    fbl_type_add_axis(&type, c->args[1].axis.name, n.integer);
    type.index_axis = c->args[1].axis.name;
    type.index_extent = n.integer;
    return fbl_val_node(fbl_build_add(b, FBL_OP_IOTA, NULL, 0, NULL, &type, c->loc));
}

// ------------------------------------------------------------------------------------------------ rearranging

// True for an argument that is the built-in's own business: a renaming, a slice, or a keyword it does not declare.
static bool is_keyed(const FblBuiltinCall *c, const FblArg *arg) {
    if (arg->to != NULL || arg->value->kind == FBL_EXPR_SLICE) {
        return true;
    }
    if (arg->name.name == NULL) {
        return false;
    }
    for (int i = 0; i < FBL_BUILTIN_ARGS && c->builtin->params[i].kind != FBL_ARG_END; i++) {
        if (c->builtin->params[i].kind != FBL_ARG_KEYED && strcmp(c->builtin->params[i].name, arg->name.name) == 0) {
            return false;
        }
    }
    return true;
}

static FblVal bad_argument(FblBuiltinCall *c, const FblArg *arg, const char *form) {
    FblDiag *diag = fbl_build_error(c->b, "E0129", arg->loc, "`%s` takes no such argument", c->builtin->name);
    fbl_diag_hint(c->b->ctx, diag, "write %s", form);
    return FBL_POISON;
}

static FblVal rename_axes(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    FblType type = *fbl_val_type(b, c->args[0]);
    FblName from[FBL_MAX_RANK];
    FblName to[FBL_MAX_RANK];
    int32_t count = 0;
    for (size_t i = 0; i < c->expr->call.args.count; i++) {
        const FblArg *arg = &c->expr->call.args.items[i];
        FblVal old;
        FblVal new;
        if (!is_keyed(c, arg)) {
            continue;
        }
        if (arg->to == NULL || count == FBL_MAX_RANK) {
            return bad_argument(c, arg, "rename(x, old -> new)");
        }
        if (!fbl_eval_axis(b, arg->value, &old) || !fbl_eval_axis(b, arg->to, &new)) {
            return FBL_POISON;
        }
        if (fbl_axis_in(b, old, &type, arg->value->loc) < 0) {
            return FBL_POISON;
        }
        from[count] = old.axis.name;
        to[count++] = new.axis.name;
    }
    if (count == 0) {
        return c->args[0];
    }
    FblAttr attr = {.name_count = 2 * count, .split = count};
    for (int32_t i = 0; i < count; i++) {
        attr.names[i] = from[i];
        attr.names[count + i] = to[i];
    }
    return fbl_val_node(fbl_build_add(b, FBL_OP_RENAME, &c->args[0].node, 1, &attr, NULL, c->loc));
}

static FblVal slice(FblBuiltinCall *c) {
    FblVal x = c->args[0];
    for (size_t i = 0; i < c->expr->call.args.count && x.kind != FBL_VAL_POISON; i++) {
        const FblArg *arg = &c->expr->call.args.items[i];
        FblVal axis;
        if (!is_keyed(c, arg)) {
            continue;
        }
        if (arg->value->kind != FBL_EXPR_SLICE || arg->name.name == NULL) {
            return bad_argument(c, arg, "slice(x, axis = from:to:step)");
        }
        x = fbl_axis_key(c->b, arg->name, &axis) ? fbl_slice(c->b, x, axis, arg->value, c->loc) : FBL_POISON;
    }
    return x;
}

static FblVal pad(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    FblVal x = c->args[0];
    double fill = 0;
    if (!tensor_arg(c, 0) || (c->args[1].kind != FBL_VAL_NONE &&
                              !fbl_val_to_real(b, c->args[1], c->locs[1], "`value` of `pad`", &fill))) {
        return FBL_POISON;
    }
    for (size_t i = 0; i < c->expr->call.args.count && x.kind != FBL_VAL_POISON; i++) {
        const FblArg *arg = &c->expr->call.args.items[i];
        FblVal axis;
        if (!is_keyed(c, arg)) {
            continue;
        }
        if (arg->name.name == NULL || arg->value->kind == FBL_EXPR_SLICE) {
            return bad_argument(c, arg, "pad(x, axis = (before, after))");
        }
        if (!fbl_axis_key(b, arg->name, &axis)) {
            return FBL_POISON;
        }
        int at = fbl_axis_in(b, axis, fbl_val_type(b, x), arg->name.loc);
        FblVal amount = at < 0 ? FBL_POISON : fbl_eval(b, arg->value);
        FblVal low = amount.kind == FBL_VAL_SEQ && amount.seq.count == 2 ? amount.seq.items[0] : amount;
        FblVal high = amount.kind == FBL_VAL_SEQ && amount.seq.count == 2 ? amount.seq.items[1] : amount;
        FblAttr attr = {.name_count = 1, .value = fill};
        if (!fbl_val_to_int(b, low, arg->value->loc, "a padding", &attr.i[FBL_PAD_LOW]) ||
            !fbl_val_to_int(b, high, arg->value->loc, "a padding", &attr.i[FBL_PAD_HIGH])) {
            return FBL_POISON;
        }
        attr.names[0] = axis.axis.name;
        if (fbl_is_unknown(b, x, axis.axis.name) && attr.i[FBL_PAD_LOW] >= 0 && attr.i[FBL_PAD_HIGH] >= 0) {
            FblType type = *fbl_val_type(b, x);
            FblVal n = fbl_symbolic_op(b, FBL_BINARY_ADD, extent_value(type.axes[at].extent),
                                       fbl_val_int(attr.i[FBL_PAD_LOW] + attr.i[FBL_PAD_HIGH]));
            type.axes[at].extent = n.integer;
            x = fbl_stand_in(b, &x, 1, &type, c->loc);
            continue;
        }
        if (attr.i[FBL_PAD_LOW] != 0 || attr.i[FBL_PAD_HIGH] != 0) {
            x = fbl_val_node(fbl_build_add(b, FBL_OP_PAD, &x.node, 1, &attr, NULL, c->loc));
        }
    }
    return x;
}

static FblVal concat(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    size_t count = c->rest_count;
    FblNodeId *nodes = FBL_NEW_ARRAY(b->arena, FblNodeId, count + 1);
    if (count == 0) {
        fbl_build_error(b, "E0139", c->loc, "`concat` needs tensors to join");
        return FBL_POISON;
    }
    FblAttr attr = {.name_count = 1};
    bool unknown = false;
    FblVal total = fbl_val_int(0);
    for (size_t i = 0; i < count; i++) {
        if (c->rest[i].kind != FBL_VAL_TENSOR) {
            fbl_build_error(b, "E0116", c->loc, "`concat` needs tensors, found %s", fbl_val_describe(b, c->rest[i]));
            return FBL_POISON;
        }
        nodes[i] = c->rest[i].node;
        int at = fbl_axis_in(b, c->args[1], fbl_val_type(b, c->rest[i]), c->locs[1]);
        if (at < 0) {
            return FBL_POISON;
        }
        attr.names[0] = fbl_val_type(b, c->rest[i])->axes[at].name;
        unknown |= fbl_is_unknown(b, c->rest[i], attr.names[0]);
        total = fbl_arith_binary(b, FBL_BINARY_ADD, total,
                                 extent_value(fbl_val_type(b, c->rest[i])->axes[at].extent), c->loc);
    }
    if (unknown) {
        FblType type = *fbl_val_type(b, c->rest[0]);
        type.axes[fbl_type_find(&type, attr.names[0])].extent = total.integer;
        return fbl_stand_in(b, c->rest, count, &type, c->loc);
    }
    return fbl_val_node(fbl_build_add(b, FBL_OP_CONCAT, nodes, (int32_t)count, &attr, NULL, c->loc));
}

static FblVal flip(FblBuiltinCall *c) {
    FblBuild *b = c->b;
    FblName names[FBL_MAX_RANK];
    int32_t count;
    if (!tensor_arg(c, 0) ||
        !fbl_axes_names(b, c->args[1], fbl_val_type(b, c->args[0]), c->locs[1], names, &count)) {
        return FBL_POISON;
    }
    FblNodeId x = c->args[0].node;
    for (int32_t i = 0; i < count && x != FBL_NO_NODE; i++) {
        const FblType *type = fbl_graph_type(b->graph, x);
        int64_t n = type->axes[fbl_type_find(type, names[i])].extent;
        if (n < 0 && b->symbolic) {
            continue; // the type stays
        }
        FblAttr attr = {.name_count = 1, .i = {n - 1, -1, n}};
        attr.names[0] = names[i];
        x = fbl_build_add(b, FBL_OP_SLICE, &x, 1, &attr, NULL, c->loc);
    }
    return fbl_val_node(x);
}

static FblVal join(FblBuiltinCall *c, FblVal x, const FblArg *arg) {
    FblBuild *b = c->b;
    FblAttr attr = {0};
    FblVal from = fbl_eval_axes(b, arg->value);
    FblVal to;
    if (from.kind == FBL_VAL_POISON || !fbl_eval_axis(b, arg->to, &to) ||
        !fbl_axes_names(b, from, fbl_val_type(b, x), arg->value->loc, attr.names, &attr.split)) {
        return FBL_POISON;
    }
    attr.names[attr.split] = to.axis.name;
    attr.name_count = attr.split + 1;
    bool unknown = false;
    FblVal total = fbl_val_int(1);
    FblType type = {.dtype = fbl_val_type(b, x)->dtype};
    for (int i = 0; i < fbl_val_type(b, x)->rank; i++) {
        FblAxis axis = fbl_val_type(b, x)->axes[i];
        bool joined = false;
        for (int32_t j = 0; j < attr.split; j++) {
            joined |= attr.names[j] == axis.name;
        }
        if (!joined && axis.name != to.axis.name) {
            fbl_type_add_axis(&type, axis.name, axis.extent);
        } else if (joined) {
            unknown |= b->symbolic && axis.extent < 0;
            total = fbl_arith_binary(b, FBL_BINARY_MUL, total, extent_value(axis.extent), c->loc);
        }
    }
    if (unknown && type.rank < FBL_MAX_RANK) {
        fbl_type_add_axis(&type, to.axis.name, total.integer);
        return fbl_stand_in(b, &x, 1, &type, c->loc);
    }
    return fbl_val_node(fbl_build_add(b, FBL_OP_JOIN, &x.node, 1, &attr, NULL, c->loc));
}

static FblVal split(FblBuiltinCall *c, FblVal x, const FblArg *arg) {
    FblBuild *b = c->b;
    FblVal from;
    const FblArgs *to = &arg->to->tuple;
    if (!fbl_eval_axis(b, arg->value, &from)) {
        return FBL_POISON;
    }
    FblType given = *fbl_val_type(b, x);
    int at = fbl_axis_in(b, from, &given, arg->value->loc);
    if (at < 0) {
        return FBL_POISON;
    }
    int64_t whole = given.axes[at].extent;
    int64_t known = 1;
    int open = -1;
    if (to->count == 0 || to->count > FBL_MAX_RANK) {
        return bad_argument(c, arg, "reshape(x, axis -> (a=4, b))");
    }
    FblAttr attr = {.name_count = 1 + (int32_t)to->count, .split = 1};
    FblType type = {.dtype = given.dtype};
    attr.names[0] = from.axis.name;
    for (size_t i = 0; i < to->count; i++) {
        const FblArg *part = &to->items[i];
        int64_t n = 0;
        FblVal axis;
        if (part->name.name != NULL) {
            if (!fbl_axis_key(b, part->name, &axis) ||
                !fbl_val_to_extent(b, fbl_eval(b, part->value), part->value->loc, "an extent", &n)) {
                return FBL_POISON;
            }
        } else {
            if (!fbl_eval_axis(b, part->value, &axis)) {
                return FBL_POISON;
            }
            n = open >= 0 ? axis.axis.extent : 0; // the first one left out follows from the others
        }
        if (fbl_type_find(&type, axis.axis.name) >= 0) {
            fbl_build_error(b, "E0123", part->loc, "the axis `%s` is named twice", axis.axis.name);
            return FBL_POISON;
        }
        if (n == 0 && open >= 0) {
            fbl_build_error(b, "E0158", part->loc, "only one of the new axes may leave its extent out");
            return FBL_POISON;
        }
        open = n == 0 ? (int)i : open;
        if (n != 0 && !fbl_mul_i64(known, n, &known)) {
            known = INT64_MAX;
        }
        attr.names[1 + i] = axis.axis.name;
        fbl_type_add_axis(&type, axis.axis.name, n);
    }
    if (open >= 0) {
        if (whole > 0 && whole % known != 0) {
            fbl_build_error(b, "E0158", arg->loc, "the %" PRId64 " elements of `%s` can't be split into parts of %" PRId64,
                            whole, from.axis.name, known);
            return FBL_POISON;
        }
        type.axes[open].extent = whole > 0 ? whole / known : whole;
    }
    if (whole < 0 && b->symbolic) {
        FblType result = given;
        result.rank = 0;
        if (open >= 0) {
            type.axes[open].extent =
                fbl_symbolic_op(b, FBL_BINARY_IDIV, extent_value(whole), fbl_val_int(known)).integer;
        }
        for (int i = 0; i < given.rank + type.rank; i++) {
            FblAxis axis = i < given.rank ? given.axes[i] : type.axes[i - given.rank];
            if (i != at && fbl_type_find(&result, axis.name) < 0 && result.rank < FBL_MAX_RANK) {
                fbl_type_add_axis(&result, axis.name, axis.extent);
            }
        }
        return fbl_stand_in(b, &x, 1, &result, c->loc);
    }
    return fbl_val_node(fbl_build_add(b, FBL_OP_SPLIT, &x.node, 1, &attr, &type, c->loc));
}

static FblVal reshape(FblBuiltinCall *c) {
    FblVal x = c->args[0];
    if (!tensor_arg(c, 0)) {
        return FBL_POISON;
    }
    for (size_t i = 0; i < c->expr->call.args.count && x.kind != FBL_VAL_POISON; i++) {
        const FblArg *arg = &c->expr->call.args.items[i];
        if (!is_keyed(c, arg)) {
            continue;
        }
        if (arg->to == NULL) {
            return bad_argument(c, arg, "reshape(x, (a, b) -> c) or reshape(x, c -> (a=4, b))");
        }
        x = arg->to->kind == FBL_EXPR_TUPLE ? split(c, x, arg) : join(c, x, arg);
    }
    return x;
}

#define KEYED {"...", FBL_ARG_KEYED, true}

const FblBuiltin fbl_builtins_axes[] = {
    {"extent", extent, 0, {{"x", FBL_ARG_ANY, false}, {"over", FBL_ARG_AXES, true}}},
    {"axes", axes, 0, {{"x", FBL_ARG_VALUE, false}, {"besides", FBL_ARG_AXES, true}}},
    {"only_axis", only_axis, 0, {{"x", FBL_ARG_VALUE, false}, {"besides", FBL_ARG_AXES, true}}},
    {"iota", iota, 0, {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}}},
    {"rename", rename_axes, 0, {{"x", FBL_ARG_VALUE, false}, KEYED}},
    {"slice", slice, 0, {{"x", FBL_ARG_VALUE, false}, KEYED}},
    {"pad", pad, 0, {{"x", FBL_ARG_VALUE, false}, {"value", FBL_ARG_VALUE, true}, KEYED}},
    {"concat", concat, 0, {{"x", FBL_ARG_REST, false}, {"over", FBL_ARG_AXES, false}}},
    {"flip", flip, 0, {{"x", FBL_ARG_VALUE, false}, {"over", FBL_ARG_AXES, false}}},
    {"reshape", reshape, 0, {{"x", FBL_ARG_VALUE, false}, KEYED}},
    {0},
};

#include "frontend/sema.h"

#include <inttypes.h>

int fbl_axis_in(FblBuild *b, FblVal axis, const FblType *type, FblLoc loc) {
    if (axis.kind == FBL_VAL_POISON) {
        return -1;
    }
    if (axis.kind == FBL_VAL_SEQ && axis.seq.count == 1) {
        return fbl_axis_in(b, axis.seq.items[0], type, loc);
    }
    if (axis.kind != FBL_VAL_AXIS) {
        fbl_build_error(b, "E0121", loc, "an axis is needed here, found %s", fbl_val_describe(b, axis));
        return -1;
    }
    int at = fbl_type_find(type, axis.axis.name);
    if (at >= 0) {
        return at;
    }
    const char *names[FBL_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        names[i] = type->axes[i].name;
    }
    FblDiag *diag = fbl_build_error(b, "E0122", axis.loc.file != 0 ? axis.loc : loc, "no axis `%s` in %s", axis.axis.name,
                                    fbl_build_type_text(b, type));
    const char *near = fbl_nearest_name(axis.axis.name, names, (size_t)type->rank);
    if (near != NULL) {
        fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
    }
    return -1;
}

static bool collect(FblBuild *b, FblVal axes, const FblType *type, FblLoc loc, FblName *out, int32_t *count) {
    if (axes.kind == FBL_VAL_SEQ) {
        for (size_t i = 0; i < axes.seq.count; i++) {
            if (!collect(b, axes.seq.items[i], type, loc, out, count)) {
                return false;
            }
        }
        return true;
    }
    if (fbl_axis_in(b, axes, type, loc) < 0) {
        return false;
    }
    for (int32_t i = 0; i < *count; i++) {
        if (out[i] == axes.axis.name) {
            fbl_build_error(b, "E0123", axes.loc.file != 0 ? axes.loc : loc, "the axis `%s` is named twice",
                            axes.axis.name);
            return false;
        }
    }
    out[(*count)++] = axes.axis.name; // distinct axes of the type: at most FBL_MAX_RANK
    return true;
}

bool fbl_axes_names(FblBuild *b, FblVal axes, const FblType *type, FblLoc loc, FblName *out, int32_t *out_count) {
    *out_count = 0;
    return collect(b, axes, type, loc, out, out_count);
}

bool fbl_is_unknown(const FblBuild *b, FblVal x, FblName axis) {
    const FblType *type = fbl_val_type(b, x);
    int at = fbl_type_find(type, axis);
    return b->symbolic && at >= 0 && type->axes[at].extent < 0;
}

// Every operand summed over what the result has not, and repeated along what it has beyond.
FblVal fbl_stand_in(FblBuild *b, const FblVal *operands, size_t count, const FblType *type, FblLoc loc) {
    FblNodeId result = FBL_NO_NODE;
    FblType wanted = *type;
    if (wanted.dtype != FBL_F32 || wanted.rank > FBL_MAX_RANK) {
        FblName name = fbl_intern(b->ctx, fbl_arena_printf(b->arena, "unknown.%zu", b->graph->count));
        return fbl_val_node(fbl_build_input(b, name, &wanted, loc));
    }
    for (size_t i = 0; i < count; i++) {
        FblNodeId x = operands[i].node;
        const FblType *have = fbl_graph_type(b->graph, x);
        FblAttr attr = {0};
        for (int a = 0; a < have->rank; a++) {
            int at = fbl_type_find(&wanted, have->axes[a].name);
            if (at < 0 || wanted.axes[at].extent != have->axes[a].extent) {
                attr.names[attr.name_count++] = have->axes[a].name;
            }
        }
        x = fbl_build_add(b, FBL_OP_SUM, &x, 1, &attr, NULL, loc);
        x = fbl_build_add(b, FBL_OP_BROADCAST, &x, 1, NULL, &wanted, loc);
        result = i == 0 ? x : fbl_build_binary(b, FBL_OP_ADD, result, x, loc);
    }
    return fbl_val_node(result);
}

// A slice of an axis of unknown extent: its count is a number where both ends are, else symbolic.
static FblVal unknown_slice(FblBuild *b, FblVal x, FblAxis of, int64_t start, bool has_stop, int64_t stop, int64_t step,
                            FblLoc loc) {
    FblType type = *fbl_val_type(b, x);
    FblVal n = {.kind = FBL_VAL_INT, .symbolic = true, .integer = of.extent};
    if (has_stop && start >= 0 && stop > start) {
        n = fbl_val_int((stop - start - 1) / step + 1);
    } else if (!has_stop && start < 0) {
        n = fbl_val_int((-start - 1) / step + 1);
    } else {
        n = fbl_symbolic_op(b, FBL_BINARY_SUB, n, fbl_val_int(start));
        n = fbl_symbolic_op(b, FBL_BINARY_IDIV, n, fbl_val_int(step));
    }
    type.axes[fbl_type_find(&type, of.name)].extent = n.integer;
    return fbl_stand_in(b, &x, 1, &type, loc);
}

static FblVal slice_node(FblBuild *b, FblVal x, FblName axis, int64_t start, int64_t step, int64_t count, FblLoc loc) {
    FblAttr attr = {.name_count = 1};
    attr.names[0] = axis;
    attr.i[FBL_SLICE_START] = start;
    attr.i[FBL_SLICE_STEP] = step;
    attr.i[FBL_SLICE_COUNT] = count;
    return fbl_val_node(fbl_build_add(b, FBL_OP_SLICE, &x.node, 1, &attr, NULL, loc));
}

static FblVal not_a_tensor(FblBuild *b, FblVal x, FblLoc loc) {
    if (x.kind != FBL_VAL_POISON) {
        fbl_build_error(b, "E0116", loc, "a tensor is needed here, found %s", fbl_val_describe(b, x));
    }
    return FBL_POISON;
}

// A missing part is `fallback`; negative positions count from the end.
static bool slice_part(FblBuild *b, const FblExpr *expr, int64_t fallback, int64_t extent, const char *what,
                       int64_t *out) {
    *out = fallback;
    if (expr == NULL) {
        return true;
    }
    if (!fbl_val_to_int(b, fbl_eval(b, expr), expr->loc, what, out)) {
        return false;
    }
    if (*out < 0 && extent > 0) {
        *out += extent;
    }
    return true;
}

FblVal fbl_slice(FblBuild *b, FblVal x, FblVal axis, const FblExpr *slice, FblLoc loc) {
    if (!fbl_val_is_tensor(x)) {
        return not_a_tensor(b, x, loc);
    }
    int at = fbl_axis_in(b, axis, fbl_val_type(b, x), loc);
    if (at < 0) {
        return FBL_POISON;
    }
    FblAxis of = fbl_val_type(b, x)->axes[at];
    int64_t start;
    int64_t stop;
    int64_t step;
    if (!slice_part(b, slice->slice.step, 1, 0, "the step of a slice", &step) ||
        !slice_part(b, slice->slice.start, 0, of.extent, "the start of a slice", &start) ||
        !slice_part(b, slice->slice.stop, of.extent, of.extent, "the end of a slice", &stop)) {
        return FBL_POISON;
    }
    if (step < 1) {
        fbl_build_error(b, "E0124", slice->slice.step->loc, "the step of a slice must be positive, found %" PRId64, step);
        return FBL_POISON;
    }
    if (of.extent < 0) {
        if (step == 1 && start == 0 && slice->slice.stop == NULL) {
            return x;
        }
        return b->symbolic ? unknown_slice(b, x, of, start, slice->slice.stop != NULL, stop, step, loc)
                           : slice_node(b, x, of.name, 0, 1, 1, loc); // the inference says that the extent is needed
    }
    if (start < 0 || stop > of.extent || start >= stop) {
        FblDiag *diag = fbl_build_error(b, "E0124", slice->loc,
                                        "the slice %" PRId64 ":%" PRId64 " does not lie within the %" PRId64
                                        " elements of `%s` in %s",
                                        start, stop, of.extent, of.name, fbl_val_describe(b, x));
        fbl_diag_hint(b->ctx, diag, "positions count from 0, and the end is not included");
        return FBL_POISON;
    }
    return slice_node(b, x, of.name, start, step, (stop - start - 1) / step + 1, loc);
}

FblVal fbl_index(FblBuild *b, FblVal x, FblVal axis, FblVal key, FblLoc loc) {
    if (key.kind == FBL_VAL_POISON) {
        return key;
    }
    if (!fbl_val_is_tensor(x)) {
        return not_a_tensor(b, x, loc);
    }
    int at = fbl_axis_in(b, axis, fbl_val_type(b, x), loc);
    if (at < 0) {
        return FBL_POISON;
    }
    FblAxis of = fbl_val_type(b, x)->axes[at];
    FblAttr attr = {.name_count = 1};
    attr.names[0] = of.name;
    if (fbl_val_is_tensor(key)) {
        return fbl_val_node(fbl_build_add(b, FBL_OP_GATHER, (FblNodeId[]){x.node, key.node}, 2, &attr, NULL, loc));
    }
    int64_t position;
    if (!fbl_val_to_int(b, key, loc, "an index", &position)) {
        return FBL_POISON;
    }
    if (of.extent > 0 && (position < 0 || position >= of.extent)) {
        fbl_build_error(b, "E0125", loc, "position %" PRId64 " is outside of the %" PRId64 " elements of `%s`, counted from 0",
                        position, of.extent, of.name);
        return FBL_POISON;
    }
    if (fbl_is_unknown(b, x, of.name)) {
        FblType type = *fbl_val_type(b, x);
        for (int i = at; i + 1 < type.rank; i++) {
            type.axes[i] = type.axes[i + 1];
        }
        type.rank--;
        return fbl_stand_in(b, &x, 1, &type, loc);
    }
    FblVal one = slice_node(b, x, of.name, position, 1, 1, loc);
    return one.kind == FBL_VAL_POISON ? one
                                      : fbl_val_node(fbl_build_add(b, FBL_OP_SUM, &one.node, 1, &attr, NULL, loc));
}

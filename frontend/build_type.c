#include "frontend/sema.h"

#include <inttypes.h>
#include <string.h>

FblTypeClass fbl_type_class(FblBuild *b, const FblTypeNode *node) {
    (void)b;
    if (!node->has_axes) {
        if (strcmp(node->base.name, "int") == 0) {
            return FBL_TYPE_INT;
        }
        if (strcmp(node->base.name, "bool") == 0) {
            return FBL_TYPE_BOOL;
        }
        if (strcmp(node->base.name, "string") == 0) {
            return FBL_TYPE_STRING;
        }
    }
    return FBL_TYPE_TENSOR;
}

// The element type: f32, i32, bool, or labels of an axis. A label's extent stays 0 until its axis is settled.
static bool element_type(FblBuild *b, const FblTypeNode *node, FblType *out) {
    *out = (FblType){0};
    FblName base = node->base.name;
    if (strcmp(base, "f32") == 0) {
        out->dtype = FBL_F32;
        return true;
    }
    if (strcmp(base, "bool") == 0) {
        out->dtype = FBL_BOOL;
        return true;
    }
    out->dtype = FBL_I32;
    if (strcmp(base, "i32") == 0 || strcmp(base, "int") == 0) {
        return true;
    }
    if (!node->has_axes || strcmp(base, "string") == 0 || strcmp(base, "float") == 0 || strcmp(base, "f64") == 0 ||
        strcmp(base, "f16") == 0 || strcmp(base, "bf16") == 0 || strcmp(base, "i64") == 0) {
        FblDiag *diag = fbl_build_error(b, "E0142", node->base.loc, "there is no type `%s`", base);
        const char *known[] = {"f32", "i32", "int", "bool", "string"};
        const char *near = fbl_nearest_name(base, known, 5);
        if (near != NULL) {
            fbl_diag_hint(b->ctx, diag, "did you mean `%s`?", near);
        } else {
            fbl_diag_hint(b->ctx, diag, "types are f32, bool, int, string, and labels such as class[batch]");
        }
        return false;
    }
    FblVal axis;
    if (!fbl_axis_key(b, node->base, &axis)) {
        return false;
    }
    out->index_axis = axis.axis.name;
    out->index_extent = axis.axis.extent;
    return true;
}

static bool add_axis(FblBuild *b, FblType *type, FblName name, int64_t extent, FblLoc loc) {
    if (fbl_type_find(type, name) >= 0) {
        fbl_build_error(b, "E0123", loc, "the axis `%s` is named twice", name);
        return false;
    }
    if (type->rank == FBL_MAX_RANK) {
        fbl_build_error(b, "E0143", loc, "a tensor has at most %d axes", FBL_MAX_RANK);
        return false;
    }
    fbl_type_add_axis(type, name, extent);
    return true;
}

// The extent of an axis that its declaration leaves open.
static bool open_extent(FblBuild *b, FblVal axis, bool input, int64_t shape, FblLoc loc, int64_t *out) {
    FblName name = axis.axis.name;
    *out = axis.axis.extent != 0 ? axis.axis.extent : fbl_frame_axis(b->frame, name);
    if (*out == 0 && input) {
        *out = shape != 0 ? shape : fbl_build_axis(b, name);
        if (*out == 0 && b->symbolic) {
            *out = fbl_symbolic_axis(b, name);
        }
    }
    if (*out > 0 && shape > 0 && *out != shape) {
        FblDiag *unequal =
            fbl_build_error(b, "E0112", loc, "the axis `%s` has the extent %" PRId64 " here, but %" PRId64 " elsewhere",
                            name, shape, *out);
        FblLoc place = fbl_frame_axis_place(b->frame, name);
        if (place.file != 0) {
            fbl_diag_note(b->ctx, unequal, place, "here it has the extent %" PRId64, *out);
        }
        return false;
    }
    if (*out != 0) {
        return true;
    }
    FblDiag *diag = fbl_build_error(b, "E0144", loc, "the extent of the axis `%s` isn't known here", name);
    if (input) {
        fbl_diag_hint(b->ctx, diag, "give it with --set %s=N, a dataset, or `%s=N` in the signature", name, name);
    } else {
        fbl_diag_hint(b->ctx, diag, "write `%s=N`, for example %s=extent(x, %s)", name, name, name);
    }
    return false;
}

// One entry of the brackets. A tuple of axes stands for several.
static bool declare_axis(FblBuild *b, const FblTypeAxis *entry, bool input, int64_t shape, FblType *out) {
    const FblLocal *local = fbl_frame_find(b->frame, entry->name.name);
    if (local != NULL && local->value.kind == FBL_VAL_SEQ && entry->extent == NULL && !input) {
        for (size_t i = 0; i < local->value.seq.count; i++) {
            FblVal item = local->value.seq.items[i];
            int64_t extent;
            if (item.kind != FBL_VAL_AXIS || !open_extent(b, item, false, 0, entry->name.loc, &extent) ||
                !add_axis(b, out, item.axis.name, extent, entry->name.loc)) {
                return false;
            }
        }
        return true;
    }
    FblVal axis;
    int64_t extent;
    if (!fbl_axis_key(b, entry->name, &axis)) {
        return false;
    }
    if (entry->extent == NULL) {
        return open_extent(b, axis, input, shape, entry->name.loc, &extent) &&
               add_axis(b, out, axis.axis.name, extent, entry->name.loc);
    }
    const char *what = fbl_arena_printf(b->arena, "the extent of `%s`", axis.axis.name);
    if (!fbl_val_to_extent(b, fbl_eval(b, entry->extent), entry->extent->loc, what, &extent)) {
        return false;
    }
    if (axis.axis.extent > 0 && extent > 0 && axis.axis.extent != extent) {
        FblDiag *diag = fbl_build_error(b, "E0112", entry->extent->loc,
                                        "the axis `%s` has the extent %" PRId64 " here, but %" PRId64 " elsewhere",
                                        axis.axis.name, extent, axis.axis.extent);
        FblLoc place = fbl_frame_axis_place(b->frame, axis.axis.name);
        if (place.file != 0) {
            fbl_diag_note(b->ctx, diag, place, "here it has the extent %" PRId64, axis.axis.extent);
        }
        return false;
    }
    if (input && shape > 0 && extent > 0 && shape != extent) {
        fbl_build_error(b, "E0145", entry->extent->loc,
                        "the axis `%s` is declared with the extent %" PRId64 ", but the input has %" PRId64,
                        axis.axis.name, extent, shape);
        return false;
    }
    int64_t outside = input ? fbl_build_axis(b, axis.axis.name) : 0;
    if (outside > 0 && extent > 0 && outside != extent) {
        FblDiag *diag = fbl_build_error(b, "E0145", entry->extent->loc,
                                        "the axis `%s` is declared with the extent %" PRId64 ", but it is %" PRId64,
                                        axis.axis.name, extent, outside);
        fbl_diag_hint(b->ctx, diag, "the data set or --set gives the extent");
        return false;
    }
    return add_axis(b, out, axis.axis.name, extent, entry->name.loc);
}

bool fbl_declared_type(FblBuild *b, const FblTypeNode *node, bool input, const FblInputShape *shape, FblType *out) {
    if (!element_type(b, node, out)) {
        return false;
    }
    if (shape != NULL && (size_t)shape->rank != node->axis_count) {
        fbl_build_error(b, "E0145", node->loc, "this input has %zu axes, but the tensor given has %d", node->axis_count,
                        (int)shape->rank);
        return false;
    }
    for (size_t i = 0; i < node->axis_count; i++) {
        if (!declare_axis(b, &node->axes[i], input, shape != NULL ? shape->extents[i] : 0, out)) {
            return false;
        }
    }
    if (out->index_axis != NULL) {
        FblVal axis = fbl_val_axis(out->index_axis, out->index_extent, node->base.loc);
        int at = fbl_type_find(out, out->index_axis);
        if (at >= 0) {
            out->index_extent = out->axes[at].extent;
        } else if (!open_extent(b, axis, input, 0, node->base.loc, &out->index_extent)) {
            return false;
        }
    }
    return true;
}

// "f32[batch, class]" as declared.
static const char *node_text(FblBuild *b, const FblTypeNode *node) {
    const FblSource *source = fbl_source_get(b->ctx, node->loc.file);
    if (source == NULL || node->loc.end > source->length || node->loc.begin > node->loc.end) {
        return node->base.name;
    }
    return fbl_arena_strndup(b->arena, source->text + node->loc.begin, node->loc.end - node->loc.begin);
}

static FblVal mismatch(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc) {
    FblFrame *inner = b->frame;
    b->frame = frame->caller != NULL ? frame->caller : frame; // the argument is in the caller's text
    FblDiag *diag = fbl_build_error(b, "E0146", arg_loc.file != 0 ? arg_loc : param->loc,
                                    "`%s` of `%s` must be %s, found %s", param->name.name, frame->symbol->name,
                                    node_text(b, param->type), fbl_val_describe(b, value));
    b->frame = inner;
    fbl_diag_note(b->ctx, diag, param->loc, "`%s` is declared here", param->name.name);
    return FBL_POISON;
}

static bool same_element(const FblType *want, const FblType *have) {
    if (want->index_axis != NULL) {
        return have->dtype == FBL_I32 && have->index_axis == want->index_axis;
    }
    return want->dtype == have->dtype || (want->dtype == FBL_F32 && have->dtype != FBL_F32);
}

static FblVal check_tensor(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc) {
    const FblTypeNode *node = param->type;
    FblType want;
    if (!element_type(b, node, &want)) {
        return FBL_POISON;
    }
    if (value.kind != FBL_VAL_TENSOR) {
        if (node->axis_count == 0 && want.index_axis == NULL && (fbl_val_is_number(value) || value.symbolic)) {
            return value; // a scalar may be a number
        }
        return mismatch(b, frame, param, value, arg_loc);
    }
    const FblType *have = fbl_val_type(b, value);
    if ((size_t)have->rank != node->axis_count || !same_element(&want, have)) {
        return mismatch(b, frame, param, value, arg_loc);
    }
    for (size_t i = 0; i < node->axis_count; i++) {
        FblVal axis;
        if (!fbl_axis_key(b, node->axes[i].name, &axis)) {
            return FBL_POISON;
        }
        int at = fbl_type_find(have, axis.axis.name);
        if (at < 0) {
            return mismatch(b, frame, param, value, arg_loc);
        }
        int64_t extent = have->axes[at].extent;
        if (node->axes[i].extent != NULL) {
            int64_t declared;
            if (!fbl_val_to_extent(b, fbl_eval(b, node->axes[i].extent), node->axes[i].extent->loc, "an extent",
                                   &declared)) {
                return FBL_POISON;
            }
            if (declared != extent && declared > 0 && extent > 0) {
                return mismatch(b, frame, param, value, arg_loc);
            }
        }
        if (!fbl_frame_set_axis(b, frame, axis.axis.name, extent, arg_loc.file != 0 ? arg_loc : node->axes[i].name.loc)) {
            return FBL_POISON;
        }
    }
    if (want.index_axis != NULL &&
        !fbl_frame_set_axis(b, frame, want.index_axis, have->index_extent, arg_loc.file != 0 ? arg_loc : node->base.loc)) {
        return FBL_POISON;
    }
    if (want.dtype == FBL_F32 && have->dtype != FBL_F32) {
        return fbl_val_node(fbl_build_cast(b, value.node, FBL_F32, arg_loc));
    }
    return value;
}

FblVal fbl_check_type(FblBuild *b, FblFrame *frame, const FblParamNode *param, FblVal value, FblLoc arg_loc) {
    int64_t whole;
    bool truth;
    const char *what = fbl_arena_printf(b->arena, "`%s` of `%s`", param->name.name, frame->symbol->name);
    FblFrame *inner = b->frame;
    FblVal result = FBL_POISON;
    switch (fbl_type_class(b, param->type)) {
    case FBL_TYPE_TENSOR:
        return check_tensor(b, frame, param, value, arg_loc);
    case FBL_TYPE_INT:
        if (value.symbolic) {
            return value;
        }
        b->frame = frame->caller != NULL ? frame->caller : frame;
        result = fbl_val_to_int(b, value, arg_loc, what, &whole) ? fbl_val_int(whole) : FBL_POISON;
        break;
    case FBL_TYPE_BOOL:
        b->frame = frame->caller != NULL ? frame->caller : frame;
        result = fbl_val_to_bool(b, value, arg_loc, what, &truth) ? value : FBL_POISON;
        break;
    case FBL_TYPE_STRING:
        b->frame = frame->caller != NULL ? frame->caller : frame;
        if (value.kind == FBL_VAL_STRING) {
            result = value;
        } else {
            fbl_build_error(b, "E0113", arg_loc, "%s must be a string, found %s", what, fbl_val_describe(b, value));
        }
        break;
    }
    b->frame = inner;
    return result;
}

#include "ir/infer_internal.h"

#include <inttypes.h>

static bool same_index(const FblType *a, const FblType *b) {
    return a->index_axis != NULL && a->index_axis == b->index_axis && a->index_extent == b->index_extent;
}

static FblStatus unite_all(const FblInfer *q, FblType *out) {
    out->rank = 0;
    for (int32_t i = 0; i < q->count; i++) {
        // The operand that first had the axis is the one to show beside a clash.
        for (int a = 0; a < q->in[i]->rank; a++) {
            FblAxis axis = q->in[i]->axes[a];
            for (int32_t j = 0; j < i; j++) {
                int at = fbl_type_find(q->in[j], axis.name);
                if (at >= 0 && q->in[j]->axes[at].extent != axis.extent) {
                    FblType scratch = *q->in[j];
                    return fbl_infer_unite(q, q->in[j], &scratch, q->in[i]);
                }
            }
        }
        FBL_TRY(fbl_infer_unite(q, q->in[0], out, q->in[i]));
    }
    return FBL_OK;
}

static FblStatus compare_labels(const FblInfer *q) {
    const FblType *a = q->in[0];
    const FblType *b = q->in[1];
    if (a->index_axis == NULL || b->index_axis == NULL || same_index(a, b)) {
        return FBL_OK;
    }
    if (a->index_axis != b->index_axis) {
        return fbl_error(q->ctx, "E0202", q->loc,
                         "labels of the axis `%s` are compared with labels of the axis `%s`: %s and %s", a->index_axis,
                         b->index_axis, fbl_infer_text(q, a), fbl_infer_text(q, b));
    }
    return fbl_error(q->ctx, "E0202", q->loc, "labels of the axis `%s` are compared, but it has two lengths: %s and %s",
                     a->index_axis, fbl_infer_text(q, a), fbl_infer_text(q, b));
}

static FblStatus infer_broadcast(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    if (q->given == NULL) {
        return fbl_infer_bad_attr(q, "the type must be given");
    }
    FblType united = *q->given;
    FBL_TRY(fbl_infer_unite(q, q->given, &united, x));
    if (united.rank != q->given->rank) {
        return fbl_error(q->ctx, "E0201", q->loc, "%s has axes that %s has not", fbl_infer_text(q, x),
                         fbl_infer_text(q, q->given));
    }
    *out = united;
    out->dtype = x->dtype;
    out->index_axis = x->index_axis;
    out->index_extent = x->index_extent;
    return FBL_OK;
}

static FblStatus infer_select(const FblInfer *q, FblType *out) {
    const FblType *a = q->in[1];
    const FblType *b = q->in[2];
    FBL_TRY(fbl_infer_want(q, 0, FBL_BOOL));
    out->dtype = a->dtype == b->dtype ? a->dtype : fbl_infer_promote(a->dtype, b->dtype);
    if (same_index(a, b)) {
        out->index_axis = a->index_axis;
        out->index_extent = a->index_extent;
    }
    return FBL_OK;
}

FblStatus fbl_infer_pointwise(const FblInfer *q, FblType *out) {
    if (q->op == FBL_OP_BROADCAST) {
        return infer_broadcast(q, out);
    }
    FBL_TRY(unite_all(q, out));
    FblDtype first = q->in[0]->dtype;
    switch (q->op) {
    case FBL_OP_NEG:
    case FBL_OP_ABS:
    case FBL_OP_FLOOR:
        out->dtype = first == FBL_F32 ? FBL_F32 : FBL_I32;
        return FBL_OK;
    case FBL_OP_NOT:
        out->dtype = FBL_BOOL;
        return fbl_infer_want(q, 0, FBL_BOOL);
    case FBL_OP_AND:
    case FBL_OP_OR:
        out->dtype = FBL_BOOL;
        FBL_TRY(fbl_infer_want(q, 0, FBL_BOOL));
        return fbl_infer_want(q, 1, FBL_BOOL);
    case FBL_OP_CAST:
        if (q->given == NULL) {
            return fbl_infer_bad_attr(q, "the type must be given");
        }
        out->dtype = q->given->dtype;
        return FBL_OK;
    case FBL_OP_STOP_GRADIENT:
        *out = *q->in[0];
        return FBL_OK;
    case FBL_OP_ADD:
    case FBL_OP_SUB:
    case FBL_OP_MUL:
    case FBL_OP_DIV:
    case FBL_OP_MOD:
    case FBL_OP_MIN:
    case FBL_OP_MAX:
        out->dtype = fbl_infer_promote(first, q->in[1]->dtype);
        return FBL_OK;
    case FBL_OP_EQ:
    case FBL_OP_NE:
        out->dtype = FBL_BOOL;
        return compare_labels(q);
    case FBL_OP_LT:
    case FBL_OP_LE:
        out->dtype = FBL_BOOL;
        return FBL_OK;
    case FBL_OP_SELECT:
        return infer_select(q, out);
    default: // the transcendental functions and POW
        out->dtype = FBL_F32;
        return FBL_OK;
    }
}

FblStatus fbl_infer_reduce(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const FblAttr *attr = q->attr;
    FBL_TRY(fbl_infer_axes_in(q, x, attr->names, attr->name_count));
    if (q->op == FBL_OP_ARGMAX && attr->name_count != 1) {
        return fbl_infer_bad_attr(q, "takes one axis");
    }
    for (int i = 0; i < x->rank; i++) {
        bool reduced = false;
        for (int32_t j = 0; j < attr->name_count; j++) {
            reduced |= attr->names[j] == x->axes[i].name;
        }
        if (!reduced) {
            fbl_type_add_axis(out, x->axes[i].name, x->axes[i].extent);
        }
    }
    switch (q->op) {
    case FBL_OP_SUM:
        out->dtype = x->dtype == FBL_I32 ? FBL_I32 : FBL_F32;
        return FBL_OK;
    case FBL_OP_ARGMAX:
        out->dtype = FBL_I32;
        out->index_axis = attr->names[0];
        out->index_extent = x->axes[fbl_type_find(x, attr->names[0])].extent;
        return FBL_OK;
    default:
        out->dtype = x->dtype == FBL_F32 ? FBL_F32 : FBL_I32;
        return FBL_OK;
    }
}

FblStatus fbl_infer_contract(const FblInfer *q, FblType *out) {
    const FblType *a = q->in[0];
    const FblType *b = q->in[1];
    const FblAttr *attr = q->attr;
    FBL_TRY(fbl_infer_axes_in(q, a, attr->names, attr->name_count));
    FBL_TRY(fbl_infer_axes_in(q, b, attr->names, attr->name_count));
    // The extents must agree on every shared axis, also on those that vanish. The union itself may be of any rank.
    for (int i = 0; i < b->rank; i++) {
        int at = fbl_type_find(a, b->axes[i].name);
        if (at >= 0 && a->axes[at].extent != b->axes[i].extent) {
            FblType scratch = *a;
            return fbl_infer_unite(q, a, &scratch, b);
        }
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < q->in[side]->rank; i++) {
            FblAxis axis = q->in[side]->axes[i];
            bool summed = false;
            for (int32_t j = 0; j < attr->name_count; j++) {
                summed |= attr->names[j] == axis.name;
            }
            if (!summed && fbl_type_find(out, axis.name) < 0) {
                FBL_TRY(fbl_infer_append(q, out, axis.name, axis.extent));
            }
        }
    }
    out->dtype = fbl_infer_promote(a->dtype, b->dtype);
    return FBL_OK;
}

static FblStatus gather_mismatch(const FblInfer *q, FblAxis axis) {
    const FblType *index = q->in[1];
    const FblType *x = q->in[0];
    if (index->index_axis == NULL) {
        FblDiag *diag =
            fbl_diag(q->ctx, FBL_ERROR, "E0203", q->loc, "%s doesn't index an axis, so it can't index `%s` of %s",
                     fbl_infer_text(q, index), axis.name, fbl_infer_text(q, x));
        fbl_diag_hint(q->ctx, diag,
                      "labels (`%s[batch]`), argmax and argsort index an axis; arithmetic on them doesn't", axis.name);
        return FBL_USER;
    }
    const char *have = index->index_extent < 0 ? index->index_axis
                                               : fbl_arena_printf(fbl_context_arena(q->ctx), "%s` (%" PRId64 ")",
                                                                  index->index_axis, index->index_extent);
    if (index->index_axis == axis.name) {
        return fbl_error(q->ctx, "E0203", q->loc, "%s indexes the axis `%s%s, but `%s` has another length in %s",
                         fbl_infer_text(q, index), have, index->index_extent < 0 ? "`" : "", axis.name,
                         fbl_infer_text(q, x));
    }
    return fbl_error(q->ctx, "E0203", q->loc, "%s indexes the axis `%s%s, but %s is indexed along `%s`",
                     fbl_infer_text(q, index), have, index->index_extent < 0 ? "`" : "", fbl_infer_text(q, x),
                     axis.name);
}

FblStatus fbl_infer_gather(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const FblType *index = q->in[1];
    int at;
    if (q->attr->name_count != 1) {
        return fbl_infer_bad_attr(q, "takes one axis");
    }
    FBL_TRY(fbl_infer_axis(q, x, q->attr->names[0], &at));
    FblAxis axis = x->axes[at];
    if (index->dtype != FBL_I32 || index->index_axis != axis.name || index->index_extent != axis.extent) {
        return gather_mismatch(q, axis);
    }
    for (int i = 0; i < x->rank; i++) {
        if (i != at) {
            fbl_type_add_axis(out, x->axes[i].name, x->axes[i].extent);
        }
    }
    out->dtype = x->dtype;
    out->index_axis = x->index_axis;
    out->index_extent = x->index_extent;
    FblType kept = *out;
    return fbl_infer_unite(q, &kept, out, index);
}

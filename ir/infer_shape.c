#include "ir/infer_internal.h"

#include <inttypes.h>
#include <math.h>

static FblStatus infer_slice(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const int64_t *i = q->attr->i;
    int64_t start = i[FBL_SLICE_START];
    int64_t step = i[FBL_SLICE_STEP];
    int64_t count = i[FBL_SLICE_COUNT];
    int at;
    FBL_TRY(fbl_infer_axis(q, x, q->attr->names[0], &at));
    FBL_TRY(fbl_infer_known(q, x->axes[at]));
    int64_t extent = x->axes[at].extent;
    if (step == 0) {
        return fbl_error(q->ctx, "E0221", q->loc, "the step of a slice can't be 0");
    }
    if (count < 1) {
        return fbl_error(q->ctx, "E0221", q->loc, "the slice of `%s` has no elements", q->attr->names[0]);
    }
    // |step| * (count - 1) may overflow; compare by division instead.
    bool fits = start >= 0 && start < extent;
    if (fits && count > 1) {
        int64_t room = step > 0 ? (extent - 1 - start) / step : (step == INT64_MIN ? 0 : start / -step);
        fits = count - 1 <= room;
    }
    if (!fits) {
        return fbl_error(q->ctx, "E0221", q->loc,
                         "%" PRId64 " elements from %" PRId64 " in steps of %" PRId64 " don't lie within the %" PRId64
                         " of `%s` in %s",
                         count, start, step, extent, q->attr->names[0], fbl_infer_text(q, x));
    }
    *out = *x;
    out->axes[at].extent = count;
    return FBL_OK;
}

static FblStatus infer_pad(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const int64_t *i = q->attr->i;
    double value = q->attr->value;
    int at;
    FBL_TRY(fbl_infer_axis(q, x, q->attr->names[0], &at));
    FBL_TRY(fbl_infer_known(q, x->axes[at]));
    int64_t between;
    int64_t total = x->axes[at].extent;
    if (i[FBL_PAD_LOW] < 0 || i[FBL_PAD_HIGH] < 0 || i[FBL_PAD_INTERIOR] < 0) {
        return fbl_error(q->ctx, "E0221", q->loc, "padding of `%s` can't be negative", q->attr->names[0]);
    }
    if (!fbl_mul_i64(total - 1, i[FBL_PAD_INTERIOR], &between) || !fbl_add_i64(total, between, &total) ||
        !fbl_add_i64(total, i[FBL_PAD_LOW], &total) || !fbl_add_i64(total, i[FBL_PAD_HIGH], &total)) {
        return fbl_error(q->ctx, "E0212", q->loc, "the padded axis `%s` is too large", q->attr->names[0]);
    }
    if (x->dtype != FBL_F32 && !(value >= INT32_MIN && value <= INT32_MAX && value == floor(value))) {
        return fbl_error(q->ctx, "E0206", q->loc, "%s can't be padded with %g", fbl_infer_text(q, x), value);
    }
    *out = *x;
    out->axes[at].extent = total;
    if (x->dtype == FBL_BOOL && value != 0 && value != 1) {
        return fbl_error(q->ctx, "E0206", q->loc, "%s can't be padded with %g", fbl_infer_text(q, x), value);
    }
    if (x->index_axis != NULL && (value < 0 || value >= (double)x->index_extent)) { // no longer all valid labels
        out->index_axis = NULL;
    }
    return FBL_OK;
}

static FblStatus infer_concat(const FblInfer *q, FblType *out) {
    const FblType *first = q->in[0];
    int at;
    if (q->attr->name_count != 1) {
        return fbl_infer_bad_attr(q, "takes one axis");
    }
    FblName axis = q->attr->names[0];
    *out = *first;
    for (int32_t i = 0; i < q->count; i++) {
        const FblType *x = q->in[i];
        int here;
        FBL_TRY(fbl_infer_axis(q, x, axis, &here));
        FBL_TRY(fbl_infer_known(q, x->axes[here]));
        at = fbl_type_find(first, axis);
        FblType aligned = *x;
        aligned.axes[here].extent = first->axes[at].extent;
        if (!fbl_type_same_axes(&aligned, first)) {
            return fbl_error(q->ctx, "E0201", q->loc, "apart from `%s` the axes must be the same: %s and %s", axis,
                             fbl_infer_text(q, first), fbl_infer_text(q, x));
        }
        if (i == 0) {
            continue;
        }
        if (!fbl_add_i64(out->axes[at].extent, x->axes[here].extent, &out->axes[at].extent)) {
            return fbl_error(q->ctx, "E0212", q->loc, "the joined axis `%s` is too large", axis);
        }
        if (x->dtype != out->dtype) {
            out->dtype = fbl_infer_promote(x->dtype, out->dtype);
        }
        if (x->index_axis != out->index_axis || x->index_extent != out->index_extent || out->dtype != FBL_I32) {
            out->index_axis = NULL;
            out->index_extent = 0;
        }
    }
    return FBL_OK;
}

static FblStatus infer_rename(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    int32_t pairs = q->attr->split;
    FBL_TRY(fbl_infer_axes_in(q, x, q->attr->names, pairs));
    *out = *x;
    out->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        FblName name = x->axes[i].name;
        for (int32_t j = 0; j < pairs; j++) {
            if (q->attr->names[j] == x->axes[i].name) {
                name = q->attr->names[pairs + j];
            }
        }
        FBL_TRY(fbl_infer_append(q, out, name, x->axes[i].extent));
    }
    return FBL_OK;
}

static FblStatus infer_split(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const FblAttr *attr = q->attr;
    int at;
    FBL_TRY(fbl_infer_axis(q, x, attr->names[0], &at));
    FBL_TRY(fbl_infer_known(q, x->axes[at]));
    if (q->given == NULL) {
        return fbl_infer_bad_attr(q, "the type must be given");
    }
    *out = *x;
    out->rank = 0;
    int64_t product = 1;
    for (int i = 0; i < x->rank; i++) {
        if (i != at) {
            FBL_TRY(fbl_infer_append(q, out, x->axes[i].name, x->axes[i].extent));
            continue;
        }
        for (int32_t j = 1; j < attr->name_count; j++) {
            int from;
            FBL_TRY(fbl_infer_axis(q, q->given, attr->names[j], &from));
            FBL_TRY(fbl_infer_known(q, q->given->axes[from]));
            FBL_TRY(fbl_infer_append(q, out, attr->names[j], q->given->axes[from].extent));
            if (!fbl_mul_i64(product, q->given->axes[from].extent, &product)) {
                product = -1;
                break;
            }
        }
    }
    if (product != x->axes[at].extent) {
        return fbl_error(q->ctx, "E0221", q->loc, "the axis `%s` of %" PRId64 " elements can't be split: %s gives %s",
                         attr->names[0], x->axes[at].extent, fbl_infer_text(q, x), fbl_infer_text(q, out));
    }
    return FBL_OK;
}

static FblStatus infer_join(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    const FblAttr *attr = q->attr;
    int64_t product = 1;
    FBL_TRY(fbl_infer_axes_in(q, x, attr->names, attr->split));
    for (int32_t j = 0; j < attr->split; j++) {
        FblAxis axis = x->axes[fbl_type_find(x, attr->names[j])];
        FBL_TRY(fbl_infer_known(q, axis));
        if (!fbl_mul_i64(product, axis.extent, &product)) {
            return fbl_error(q->ctx, "E0212", q->loc, "the joined axis `%s` is too large", attr->names[attr->split]);
        }
    }
    *out = *x;
    out->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool joined = false;
        for (int32_t j = 0; j < attr->split; j++) {
            joined |= attr->names[j] == x->axes[i].name;
        }
        if (!joined) {
            FBL_TRY(fbl_infer_append(q, out, x->axes[i].name, x->axes[i].extent));
        } else if (x->axes[i].name == attr->names[0]) { // the new axis stands where the first one named stood
            FBL_TRY(fbl_infer_append(q, out, attr->names[attr->split], product));
        }
    }
    return FBL_OK;
}

FblStatus fbl_infer_shape(const FblInfer *q, FblType *out) {
    switch (q->op) {
    case FBL_OP_SLICE:
        return infer_slice(q, out);
    case FBL_OP_PAD:
        return infer_pad(q, out);
    case FBL_OP_CONCAT:
        return infer_concat(q, out);
    case FBL_OP_RENAME:
        return infer_rename(q, out);
    case FBL_OP_SPLIT:
        return infer_split(q, out);
    case FBL_OP_JOIN:
        return infer_join(q, out);
    default:
        return FBL_INTERNAL;
    }
}

#include "ir/infer_internal.h"

#include <inttypes.h>

// Attribute integers above this are senseless and would endanger the arithmetic below.
#define MAX_WINDOW ((int64_t)1 << 24)

static FblStatus in_range(const FblInfer *q, const char *what, int64_t value, int64_t least) {
    if (value >= least && value <= MAX_WINDOW) {
        return FBL_OK;
    }
    return fbl_error(q->ctx, "E0220", q->loc, "%s is %" PRId64 "; it must be at least %" PRId64, what, value, least);
}

// The windows of `span` taps that fit, `stride` apart.
static FblStatus windows(const FblInfer *q, FblAxis axis, int64_t span, int64_t stride, int64_t pad, int64_t *out) {
    FBL_TRY(fbl_infer_known(q, axis));
    int64_t room = axis.extent + 2 * pad - span;
    if (room < 0) {
        return fbl_error(q->ctx, "E0220", q->loc,
                         "the window spans %" PRId64 " along `%s`, more than its %" PRId64 " elements with padding",
                         span, axis.name, axis.extent + 2 * pad);
    }
    *out = room / stride + 1;
    return FBL_OK;
}

static FblStatus check_conv_attr(const FblInfer *q) {
    const int64_t *i = q->attr->i;
    FBL_TRY(in_range(q, "the stride", i[FBL_CONV_STRIDE_H], 1));
    FBL_TRY(in_range(q, "the stride", i[FBL_CONV_STRIDE_W], 1));
    FBL_TRY(in_range(q, "the padding", i[FBL_CONV_PAD_H], 0));
    FBL_TRY(in_range(q, "the padding", i[FBL_CONV_PAD_W], 0));
    FBL_TRY(in_range(q, "the dilation", i[FBL_CONV_DILATION_H], 1));
    FBL_TRY(in_range(q, "the dilation", i[FBL_CONV_DILATION_W], 1));
    return in_range(q, "the number of groups", i[FBL_CONV_GROUPS], 1);
}

// The type of conv2d(x, weight).
static FblStatus conv_result(const FblInfer *q, const FblType *x, const FblType *weight, FblType *out) {
    const FblAttr *attr = q->attr;
    FBL_TRY(fbl_infer_axes_in(q, x, attr->names, 4));
    if (x->rank != 4 || weight->rank != 4) {
        return fbl_error(q->ctx, "E0220", q->loc, "a convolution takes four axes and a weight of four, found %s and %s",
                         fbl_infer_text(q, x), fbl_infer_text(q, weight));
    }
    for (int i = 0; i < 4; i++) {
        FBL_TRY(fbl_infer_known(q, weight->axes[i]));
        if (weight->axes[i].extent > MAX_WINDOW) {
            return fbl_error(q->ctx, "E0212", q->loc, "a weight of type %s is too large", fbl_infer_text(q, weight));
        }
    }
    FblAxis channel = x->axes[fbl_type_find(x, attr->names[1])];
    FBL_TRY(fbl_infer_known(q, channel));
    int64_t groups = attr->i[FBL_CONV_GROUPS];
    if (channel.extent % groups != 0 || weight->axes[0].extent % groups != 0) {
        return fbl_error(q->ctx, "E0220", q->loc,
                         "%" PRId64 " groups don't divide both %" PRId64 " input and %" PRId64 " output channels",
                         groups, channel.extent, weight->axes[0].extent);
    }
    if (weight->axes[1].extent != channel.extent / groups) {
        return fbl_error(q->ctx, "E0220", q->loc,
                         "the weight %s takes %" PRId64 " input channels a group, but %s has %" PRId64 " in %" PRId64
                         " group%s",
                         fbl_infer_text(q, weight), weight->axes[1].extent, fbl_infer_text(q, x), channel.extent,
                         groups, groups == 1 ? "" : "s");
    }
    *out = *x;
    out->dtype = FBL_F32;
    out->axes[fbl_type_find(x, attr->names[1])].extent = weight->axes[0].extent;
    for (int d = 0; d < 2; d++) {
        FblAxis *axis = &out->axes[fbl_type_find(x, attr->names[2 + d])];
        int64_t span = (weight->axes[2 + d].extent - 1) * attr->i[FBL_CONV_DILATION_H + d] + 1;
        FBL_TRY(windows(q, *axis, span, attr->i[FBL_CONV_STRIDE_H + d], attr->i[FBL_CONV_PAD_H + d], &axis->extent));
    }
    return FBL_OK;
}

static FblStatus given_mismatch(const FblInfer *q, const FblType *forward, const FblType *g) {
    return fbl_error(q->ctx, "E0220", q->loc, "`%s`: the gradient is %s where the forward result is %s",
                     fbl_op_info(q->op)->text, fbl_infer_text(q, g), fbl_infer_text(q, forward));
}

FblStatus fbl_infer_conv(const FblInfer *q, FblType *out) {
    FBL_TRY(check_conv_attr(q));
    FBL_TRY(fbl_infer_want(q, 0, FBL_F32));
    FBL_TRY(fbl_infer_want(q, 1, FBL_F32));
    if (q->op == FBL_OP_CONV2D) {
        return conv_result(q, q->in[0], q->in[1], out);
    }
    if (q->given == NULL || q->given->dtype != FBL_F32) {
        return fbl_infer_bad_attr(q, "the result type must be given, of f32");
    }
    FblType forward;
    bool data = q->op == FBL_OP_CONV2D_DATA_GRAD;
    const FblType *g = data ? q->in[0] : q->in[1];
    FBL_TRY(conv_result(q, data ? q->given : q->in[0], data ? q->in[1] : q->given, &forward));
    if (!fbl_type_same_axes(&forward, g)) {
        return given_mismatch(q, &forward, g);
    }
    *out = *q->given;
    return FBL_OK;
}

static FblStatus check_pool_attr(const FblInfer *q) {
    const int64_t *i = q->attr->i;
    for (int d = 0; d < 2; d++) {
        FBL_TRY(in_range(q, "the window", i[FBL_POOL_KERNEL_H + d], 1));
        FBL_TRY(in_range(q, "the stride", i[FBL_POOL_STRIDE_H + d], 1));
        FBL_TRY(in_range(q, "the padding", i[FBL_POOL_PAD_H + d], 0));
        if (i[FBL_POOL_PAD_H + d] * 2 > i[FBL_POOL_KERNEL_H + d]) {
            return fbl_error(q->ctx, "E0220", q->loc,
                             "the padding %" PRId64 " is more than half of the window %" PRId64, i[FBL_POOL_PAD_H + d],
                             i[FBL_POOL_KERNEL_H + d]);
        }
    }
    return FBL_OK;
}

// The type of the pool of x. Where `wanted` has the extent of rounding up (its last window still starting inside the
// input or its left padding, PyTorch's ceil mode), that; otherwise rounding down.
static FblStatus pool_result(const FblInfer *q, const FblType *x, const FblType *wanted, FblType *out) {
    const FblAttr *attr = q->attr;
    FBL_TRY(fbl_infer_axes_in(q, x, attr->names, 2));
    *out = *x;
    for (int d = 0; d < 2; d++) {
        FblAxis *axis = &out->axes[fbl_type_find(x, attr->names[d])];
        int64_t extent = axis->extent;
        int64_t kernel = attr->i[FBL_POOL_KERNEL_H + d];
        int64_t stride = attr->i[FBL_POOL_STRIDE_H + d];
        int64_t pad = attr->i[FBL_POOL_PAD_H + d];
        int64_t down = 0;
        int64_t up;
        int at = wanted == NULL ? -1 : fbl_type_find(wanted, axis->name);
        FBL_TRY(windows(q, *axis, kernel, stride, pad, &down));
        up = (extent + 2 * pad - kernel + stride - 1) / stride + 1;
        if ((up - 1) * stride >= extent + pad) {
            up--;
        }
        axis->extent = at >= 0 && wanted->axes[at].extent == up ? up : down;
    }
    return FBL_OK;
}

FblStatus fbl_infer_window(const FblInfer *q, FblType *out) {
    FBL_TRY(check_pool_attr(q));
    FBL_TRY(fbl_infer_want(q, 0, FBL_F32));
    FblType forward;
    switch (q->op) {
    case FBL_OP_MAX_POOL:
    case FBL_OP_AVG_POOL:
    case FBL_OP_MAX_POOL_INDEX:
        FBL_TRY(pool_result(q, q->in[0], q->given, out));
        out->dtype = q->op == FBL_OP_MAX_POOL_INDEX ? FBL_I32 : FBL_F32;
        if (q->given != NULL && !fbl_type_same_axes(out, q->given)) {
            return fbl_error(q->ctx, "E0220", q->loc, "the result of the pool can't be %s; it is %s",
                             fbl_infer_text(q, q->given), fbl_infer_text(q, out));
        }
        return FBL_OK;
    default:
        break;
    }
    if (q->given == NULL || q->given->dtype != FBL_F32) {
        return fbl_infer_bad_attr(q, "the result type must be given, of f32");
    }
    if (q->op == FBL_OP_MAX_POOL_GRAD) {
        FBL_TRY(fbl_infer_want(q, 1, FBL_I32));
        if (!fbl_type_same_axes(q->in[0], q->in[1])) {
            return given_mismatch(q, q->in[1], q->in[0]);
        }
    }
    FBL_TRY(pool_result(q, q->given, q->in[0], &forward));
    if (!fbl_type_same_axes(&forward, q->in[0])) {
        return given_mismatch(q, &forward, q->in[0]);
    }
    *out = *q->given;
    return FBL_OK;
}

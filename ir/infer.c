#include "ir/graph.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ir/infer_internal.h"

// Above this many elements no tensor can be meant; it keeps every later size computation far from overflow.
#define MAX_ELEMENTS ((int64_t)1 << 44)

const char *fbl_infer_text(const FblInfer *q, const FblType *type) {
    return fbl_type_string(q->ctx, type);
}

FblDtype fbl_infer_promote(FblDtype a, FblDtype b) {
    return a == FBL_F32 || b == FBL_F32 ? FBL_F32 : FBL_I32;
}

FblStatus fbl_infer_bad_attr(const FblInfer *q, const char *what) {
    return fbl_error(q->ctx, "E0207", q->loc, "`%s`: %s", fbl_op_info(q->op)->text, what);
}

FblStatus fbl_infer_known(const FblInfer *q, FblAxis axis) {
    if (axis.extent >= 0) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(q->ctx, FBL_ERROR, "E0205", q->loc, "the extent of `%s` isn't known here", axis.name);
    fbl_diag_hint(q->ctx, diag, "give it with --set %s=N or a dataset", axis.name);
    return FBL_USER;
}

FblStatus fbl_infer_want(const FblInfer *q, int operand, FblDtype dtype) {
    const FblType *type = q->in[operand];
    if (type->dtype == dtype) {
        return FBL_OK;
    }
    return fbl_error(q->ctx, "E0206", q->loc, "`%s` needs %s%s, found %s", fbl_op_info(q->op)->text,
                     dtype == FBL_BOOL && q->op == FBL_OP_SELECT ? "a condition of type " : "", fbl_dtype_name(dtype),
                     fbl_infer_text(q, type));
}

FblStatus fbl_infer_append(const FblInfer *q, FblType *out, FblName name, int64_t extent) {
    if (fbl_type_find(out, name) >= 0) {
        return fbl_error(q->ctx, "E0209", q->loc, "the result would have the axis `%s` twice", name);
    }
    if (out->rank == FBL_MAX_RANK) {
        return fbl_error(q->ctx, "E0208", q->loc, "the result would have more than %d axes: %s and `%s`", FBL_MAX_RANK,
                         fbl_infer_text(q, out), name);
    }
    fbl_type_add_axis(out, name, extent);
    return FBL_OK;
}

static FblStatus extents_differ(const FblInfer *q, FblName axis, const FblType *a, const FblType *b) {
    int64_t x = a->axes[fbl_type_find(a, axis)].extent;
    int64_t y = b->axes[fbl_type_find(b, axis)].extent;
    const char *left = fbl_infer_text(q, a);
    const char *right = fbl_infer_text(q, b);
    if (x >= 0 && y >= 0) {
        return fbl_error(q->ctx, "E0201", q->loc,
                         "axis `%s` is %" PRId64 " long in one operand and %" PRId64 " in another: %s and %s", axis, x,
                         y, left, right);
    }
    FblDiag *diag = fbl_diag(q->ctx, FBL_ERROR, "E0201", q->loc, "axis `%s` may have two lengths here: %s and %s", axis,
                             left, right);
    fbl_diag_hint(q->ctx, diag, "its extent isn't known everywhere; give it with --set %s=N or a dataset", axis);
    return FBL_USER;
}

FblStatus fbl_infer_unite(const FblInfer *q, const FblType *first, FblType *out, const FblType *type) {
    for (int i = 0; i < type->rank; i++) {
        FblAxis axis = type->axes[i];
        int at = fbl_type_find(out, axis.name);
        if (at < 0) {
            FBL_TRY(fbl_infer_append(q, out, axis.name, axis.extent));
        } else if (out->axes[at].extent != axis.extent) {
            const FblType *owner = fbl_type_find(first, axis.name) >= 0 ? first : out;
            return extents_differ(q, axis.name, owner, type);
        }
    }
    return FBL_OK;
}

FblStatus fbl_infer_axis(const FblInfer *q, const FblType *type, FblName axis, int *out_index) {
    int index = fbl_type_find(type, axis);
    if (index >= 0) {
        *out_index = index;
        return FBL_OK;
    }
    const char *names[FBL_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        names[i] = type->axes[i].name;
    }
    FblDiag *diag = fbl_diag(q->ctx, FBL_ERROR, "E0204", q->loc, "no axis `%s` in %s", axis, fbl_infer_text(q, type));
    const char *near = fbl_nearest_name(axis, names, (size_t)type->rank);
    if (near != NULL) {
        fbl_diag_hint(q->ctx, diag, "did you mean `%s`?", near);
    }
    return FBL_USER;
}

FblStatus fbl_infer_axes_in(const FblInfer *q, const FblType *type, const FblName *names, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        int unused;
        FBL_TRY(fbl_infer_axis(q, type, names[i], &unused));
        for (int32_t j = 0; j < i; j++) {
            if (names[j] == names[i]) {
                return fbl_error(q->ctx, "E0209", q->loc, "the axis `%s` is named twice", names[i]);
            }
        }
    }
    return FBL_OK;
}

// The attribute's names must be there before any rule looks at them.
static FblStatus check_attr(const FblInfer *q) {
    const FblAttr *attr = q->attr;
    int needed = 0;
    switch (fbl_op_info(q->op)->attr) {
    case FBL_ATTR_NONE:
    case FBL_ATTR_VALUE:
    case FBL_ATTR_DTYPE:
    case FBL_ATTR_COUNT:
        return FBL_OK;
    case FBL_ATTR_STREAM:
        return attr->i[0] >= 0 && attr->i[0] <= UINT32_MAX ? FBL_OK
                                                           : fbl_infer_bad_attr(q, "the stream is out of range");
    case FBL_ATTR_SYMBOL:
    case FBL_ATTR_SLICE:
    case FBL_ATTR_PAD:
    case FBL_ATTR_SORT:
        needed = 1;
        break;
    case FBL_ATTR_POOL:
        needed = 2;
        break;
    case FBL_ATTR_CONV:
        needed = 4;
        break;
    case FBL_ATTR_AXES:
        needed = attr->name_count;
        if (needed < 0 || needed > FBL_MAX_RANK) {
            return fbl_infer_bad_attr(q, "too many axes are named");
        }
        break;
    case FBL_ATTR_RENAME:
        needed = attr->name_count;
        if (needed < 0 || needed > 2 * FBL_MAX_RANK || attr->split * 2 != needed) {
            return fbl_infer_bad_attr(q, "each old name needs one new name");
        }
        break;
    case FBL_ATTR_SPLIT:
        needed = attr->name_count;
        if (needed < 2 || needed > FBL_MAX_RANK + 1 || attr->split != 1) {
            return fbl_infer_bad_attr(q, "one axis becomes one to eight axes");
        }
        break;
    case FBL_ATTR_JOIN:
        needed = attr->name_count;
        if (needed < 2 || needed > FBL_MAX_RANK + 1 || attr->split != needed - 1) {
            return fbl_infer_bad_attr(q, "one to eight axes become one axis");
        }
        break;
    }
    for (int i = 0; i < needed; i++) {
        if (attr->names[i] == NULL) {
            return fbl_infer_bad_attr(q, "a name is missing");
        }
    }
    return FBL_OK;
}

// A type that comes from outside (leaves, given results): nothing in it has been checked yet.
static FblStatus check_given(const FblInfer *q) {
    const FblType *type = q->given;
    if (type == NULL) {
        return FBL_OK;
    }
    if (type->rank < 0 || type->rank > FBL_MAX_RANK || (int)type->dtype < 0 || type->dtype > FBL_BOOL) {
        return fbl_infer_bad_attr(q, "the result type is malformed");
    }
    if (type->index_axis != NULL && (type->dtype != FBL_I32 || type->index_extent == 0)) {
        return fbl_infer_bad_attr(q, "only an i32 indexes an axis, and that has elements");
    }
    for (int i = 0; i < type->rank; i++) {
        if (type->axes[i].name == NULL || fbl_type_find(type, type->axes[i].name) != i) {
            return fbl_infer_bad_attr(q, "the result type has an axis twice");
        }
        if (type->axes[i].extent == 0) {
            return fbl_error(q->ctx, "E0212", q->loc, "axis `%s` has no elements", type->axes[i].name);
        }
    }
    return FBL_OK;
}

static FblStatus infer_leaf(const FblInfer *q, FblType *out) {
    if (q->given == NULL) {
        return fbl_infer_bad_attr(q, "the type must be given");
    }
    *out = *q->given;
    switch (q->op) {
    case FBL_OP_CONST:
        if (out->rank != 0 || out->index_axis != NULL) {
            return fbl_infer_bad_attr(q, "a constant is a scalar");
        }
        if ((out->dtype == FBL_I32 && !(q->attr->value >= INT32_MIN && q->attr->value <= INT32_MAX &&
                                        q->attr->value == floor(q->attr->value))) ||
            (out->dtype == FBL_BOOL && q->attr->value != 0 && q->attr->value != 1)) {
            return fbl_error(q->ctx, "E0206", q->loc, "%g is no %s", q->attr->value, fbl_dtype_name(out->dtype));
        }
        return FBL_OK;
    case FBL_OP_IOTA:
        if (out->rank != 1 || out->dtype != FBL_I32) {
            return fbl_infer_bad_attr(q, "the type must be i32 over one axis");
        }
        out->index_axis = out->axes[0].name;
        out->index_extent = out->axes[0].extent;
        return FBL_OK;
    case FBL_OP_UNIFORM:
        return out->dtype == FBL_F32 ? FBL_OK : fbl_infer_bad_attr(q, "the type must be f32");
    default:
        return FBL_OK;
    }
}

static FblStatus infer_beta(const FblInfer *q, FblType *out) {
    for (int i = 0; i < 2; i++) {
        if (q->in[i]->rank != 0) {
            return fbl_error(q->ctx, "E0206", q->loc, "`beta` takes scalars, found %s", fbl_infer_text(q, q->in[i]));
        }
    }
    *out = fbl_type_scalar(FBL_F32);
    return FBL_OK;
}

static FblStatus infer_scan(const FblInfer *q, FblType *out) {
    int unused;
    if (q->op == FBL_OP_CUMSUM && q->attr->name_count != 1) {
        return fbl_infer_bad_attr(q, "takes one axis");
    }
    FBL_TRY(fbl_infer_axis(q, q->in[0], q->attr->names[0], &unused));
    *out = *q->in[0];
    if (q->op == FBL_OP_CUMSUM) {
        out->dtype = q->in[0]->dtype == FBL_I32 ? FBL_I32 : FBL_F32;
        out->index_axis = NULL;
        out->index_extent = 0;
        return FBL_OK;
    }
    out->dtype = FBL_I32;
    out->index_axis = q->attr->names[0];
    out->index_extent = out->axes[unused].extent;
    return FBL_OK;
}

// A sum has its operand's type. What is gathered, too, but that the given extent of the first axis may be a multiple of the operand's.
static FblStatus infer_collective(const FblInfer *q, FblType *out) {
    const FblType *x = q->in[0];
    *out = *x;
    if (q->op == FBL_OP_ALL_REDUCE) {
        out->index_axis = NULL;
        return x->dtype == FBL_BOOL ? fbl_infer_want(q, 0, FBL_F32) : FBL_OK;
    }
    int64_t all = q->given != NULL && q->given->rank > 0 ? q->given->axes[0].extent : 0, part = x->rank > 0 ? x->axes[0].extent : 0;
    out->axes[0].extent = all;
    if (part < 1 || all < part || all % part != 0 || !fbl_type_equal(out, q->given)) {
        return fbl_infer_bad_attr(q, "the type of the result must be the operand's with a multiple of the first axis's extent");
    }
    return FBL_OK;
}

static FblStatus infer_class(const FblInfer *q, FblType *out) {
    switch (fbl_op_info(q->op)->op_class) {
    case FBL_CLASS_LEAF:
        return infer_leaf(q, out);
    case FBL_CLASS_POINTWISE:
        return fbl_infer_pointwise(q, out);
    case FBL_CLASS_REDUCE:
        return fbl_infer_reduce(q, out);
    case FBL_CLASS_CONTRACT:
        return q->op == FBL_OP_CONTRACT ? fbl_infer_contract(q, out) : fbl_infer_conv(q, out);
    case FBL_CLASS_WINDOW:
        return fbl_infer_window(q, out);
    case FBL_CLASS_SHAPE:
        return fbl_infer_shape(q, out);
    case FBL_CLASS_INDEX:
        return q->op == FBL_OP_BETA ? infer_beta(q, out) : fbl_infer_gather(q, out);
    case FBL_CLASS_SCAN:
        return infer_scan(q, out);
    case FBL_CLASS_COLLECTIVE:
        return infer_collective(q, out);
    }
    return FBL_INTERNAL;
}

FblStatus fbl_infer(FblContext *ctx, FblOp op, const FblType *const *inputs, int32_t input_count, const FblAttr *attr,
                    const FblType *given, FblLoc loc, FblType *out_type) {
    static const FblAttr no_attr;
    FblInfer q = {ctx, op, inputs, input_count, attr == NULL ? &no_attr : attr, given, loc};
    int arity = fbl_op_info(op)->arity;
    if (arity < 0 ? input_count < 1 : input_count != arity) {
        return fbl_error(ctx, "E0207", loc, "`%s` takes %d operand%s, found %d", fbl_op_info(op)->text,
                         arity < 0 ? 1 : arity, arity < 0 ? " or more" : (arity == 1 ? "" : "s"), (int)input_count);
    }
    FBL_TRY(check_attr(&q));
    FBL_TRY(check_given(&q));
    FblType type = {0};
    FBL_TRY(infer_class(&q, &type));
    if (type.index_axis == NULL) {
        type.index_extent = 0;
    }
    int64_t elements = 1;
    for (int i = 0; i < type.rank; i++) {
        int64_t extent = type.axes[i].extent;
        if (extent > 0 && (!fbl_mul_i64(elements, extent, &elements) || elements > MAX_ELEMENTS)) {
            return fbl_error(ctx, "E0212", loc, "a tensor of type %s is too large", fbl_type_string(ctx, &type));
        }
    }
    *out_type = type;
    return FBL_OK;
}

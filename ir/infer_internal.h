// What the inference rules share: the question as one value, one rule per op class, and the common checks.
//
// Ownership: borrows everything. Threads: as the context. Private to ir/infer*.c.
#ifndef FBL_IR_INFER_INTERNAL_H
#define FBL_IR_INFER_INTERNAL_H

#include "ir/graph.h"

typedef struct FblInfer {
    FblContext *ctx;
    FblOp op;
    const FblType *const *in;
    int32_t count;
    const FblAttr *attr;
    const FblType *given; // NULL where there is none
    FblLoc loc;
} FblInfer;

FblStatus fbl_infer_pointwise(const FblInfer *q, FblType *out);
FblStatus fbl_infer_reduce(const FblInfer *q, FblType *out);
FblStatus fbl_infer_contract(const FblInfer *q, FblType *out);
FblStatus fbl_infer_conv(const FblInfer *q, FblType *out);
FblStatus fbl_infer_window(const FblInfer *q, FblType *out);
FblStatus fbl_infer_shape(const FblInfer *q, FblType *out);
FblStatus fbl_infer_gather(const FblInfer *q, FblType *out);

// f32 if either is, else i32: bools count as 0 and 1.
FblDtype fbl_infer_promote(FblDtype a, FblDtype b);
// Adds the axes of `type` that *out has not; an axis in both must have one extent (E0201). `all` are the operands so
// far.
FblStatus fbl_infer_unite(const FblInfer *q, const FblType *first, FblType *out, const FblType *type);
// Appends an axis unless it is there already (E0209) or the rank is full (E0208).
FblStatus fbl_infer_append(const FblInfer *q, FblType *out, FblName name, int64_t extent);
// The place of `axis` in `type`, or E0204 with the nearest name.
FblStatus fbl_infer_axis(const FblInfer *q, const FblType *type, FblName axis, int *out_index);
// E0205 when the extent is symbolic.
FblStatus fbl_infer_known(const FblInfer *q, FblAxis axis);
// E0206 unless the operand has this dtype.
FblStatus fbl_infer_want(const FblInfer *q, int operand, FblDtype dtype);
// E0207: an attribute is missing or senseless (a mistake of whoever built the node).
FblStatus fbl_infer_bad_attr(const FblInfer *q, const char *what);
// Distinct axes all present in `type`.
FblStatus fbl_infer_axes_in(const FblInfer *q, const FblType *type, const FblName *names, int32_t count);

const char *fbl_infer_text(const FblInfer *q, const FblType *type);

#endif

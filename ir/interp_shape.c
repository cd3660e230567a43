#include "ir/interp.h"

#include <string.h>

#include "base/beta.h"
#include "base/philox.h"
#include "ir/interp_internal.h"

// Leaves
// -----------------------------------------------------------------------------------------------------------------

FblStatus fbl_interp_CONST(FblEval *e) {
    e->out->data[0] = e->node->attr.value;
    return FBL_OK;
}

FblStatus fbl_interp_IOTA(FblEval *e) {
    for (int64_t i = 0; i < e->node->type.axes[0].extent; i++) {
        e->out->data[i] = (double)i;
    }
    return FBL_OK;
}

FblStatus fbl_interp_UNIFORM(FblEval *e) {
    int64_t elements = fbl_type_elements(&e->node->type);
    uint32_t stream = (uint32_t)e->node->attr.i[0];
    for (int64_t i = 0; i < elements; i++) {
        e->out->data[i] =
            (double)fbl_uniform_f32(fbl_random_u32(e->options->seed, stream, e->options->step, (uint64_t)i));
    }
    return FBL_OK;
}

FblStatus fbl_interp_BETA(FblEval *e) {
    e->out->data[0] = fbl_random_beta(e->options->seed, (uint32_t)e->node->attr.i[0], e->options->step,
                                      e->in[0]->data[0], e->in[1]->data[0]);
    return FBL_OK;
}

static FblStatus leaf(FblEval *e) {
    const FblNode *node = e->node;
    FblContext *ctx = e->graph->ctx;
    const FblTensor *given = fbl_bindings_find(e->leaves, node->attr.names[0]);
    if (given == NULL) {
        return fbl_error(ctx, "E0240", node->loc, "no value for %s `%s`", fbl_op_info(node->op)->text,
                         node->attr.names[0]);
    }
    if (!fbl_type_same_axes(&given->type, &node->type)) {
        return fbl_error(ctx, "E0241", node->loc, "the value for `%s` is %s, not %s", node->attr.names[0],
                         fbl_type_string(ctx, &given->type), fbl_type_string(ctx, &node->type));
    }
    FblWalk walk;
    fbl_walk_init(&walk, &node->type);
    fbl_walk_operand(&walk, 0, &node->type, &given->type);
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[k] = given->data[walk.offset[0]];
    }
    return FBL_OK;
}

FblStatus fbl_interp_INPUT(FblEval *e) {
    return leaf(e);
}
FblStatus fbl_interp_PARAM(FblEval *e) {
    return leaf(e);
}
FblStatus fbl_interp_STATE(FblEval *e) {
    return leaf(e);
}

// Shapes: each copies the elements of one side, walking it and stepping through the other
// ----------------------------------

FblStatus fbl_interp_SLICE(FblEval *e) {
    const FblTensor *x = e->in[0];
    const int64_t *i = e->node->attr.i;
    int at = fbl_type_find(&x->type, e->node->attr.names[0]);
    const double *from = x->data + i[FBL_SLICE_START] * fbl_type_stride(&x->type, at);
    FblWalk walk;
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &x->type);
    walk.stride[0][at] *= i[FBL_SLICE_STEP];
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[k] = from[walk.offset[0]];
    }
    return FBL_OK;
}

FblStatus fbl_interp_PAD(FblEval *e) {
    const FblTensor *x = e->in[0];
    const FblAttr *attr = &e->node->attr;
    int64_t elements = fbl_type_elements(&e->node->type);
    int at = fbl_type_find(&x->type, attr->names[0]);
    double *to = e->out->data + attr->i[FBL_PAD_LOW] * fbl_type_stride(&e->node->type, at);
    FblWalk walk;
    for (int64_t k = 0; k < elements; k++) {
        e->out->data[k] = attr->value;
    }
    fbl_walk_init(&walk, &x->type);
    fbl_walk_operand(&walk, 0, &x->type, &e->node->type);
    walk.stride[0][at] *= attr->i[FBL_PAD_INTERIOR] + 1;
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        to[walk.offset[0]] = x->data[k];
    }
    return FBL_OK;
}

FblStatus fbl_interp_CONCAT(FblEval *e) {
    int at = fbl_type_find(&e->node->type, e->node->attr.names[0]);
    double *to = e->out->data;
    for (int32_t i = 0; i < e->node->input_count; i++) {
        const FblTensor *x = e->in[i];
        FblWalk walk;
        fbl_walk_init(&walk, &x->type);
        fbl_walk_operand(&walk, 0, &x->type, &e->node->type);
        for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
            to[walk.offset[0]] = x->data[k];
        }
        to +=
            x->type.axes[fbl_type_find(&x->type, e->node->attr.names[0])].extent * fbl_type_stride(&e->node->type, at);
    }
    return FBL_OK;
}

static FblStatus copy(FblEval *e) {
    memcpy(e->out->data, e->in[0]->data, (size_t)fbl_type_elements(&e->node->type) * sizeof(double));
    return FBL_OK;
}

FblStatus fbl_interp_RENAME(FblEval *e) {
    return copy(e);
}
FblStatus fbl_interp_SPLIT(FblEval *e) {
    return copy(e);
} // the new axes stand in the old one's place

FblStatus fbl_interp_JOIN(FblEval *e) {
    const FblTensor *x = e->in[0];
    const FblAttr *attr = &e->node->attr;
    FblWalk walk;
    fbl_walk_init(&walk, &x->type);
    fbl_walk_operand(&walk, 0, &x->type, &e->node->type);
    int64_t stride = fbl_type_stride(&e->node->type, fbl_type_find(&e->node->type, attr->names[attr->split]));
    for (int32_t j = attr->split; j-- > 0;) {
        int at = fbl_type_find(&x->type, attr->names[j]);
        walk.stride[0][at] = stride;
        stride *= x->type.axes[at].extent;
    }
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[walk.offset[0]] = x->data[k];
    }
    return FBL_OK;
}

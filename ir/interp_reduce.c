#include "ir/interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/interp_internal.h"

// The axes that a node sums over, with their strides in one or two operands.
typedef struct Inner {
    int rank;
    int64_t extent[FBL_MAX_RANK], a[FBL_MAX_RANK], b[FBL_MAX_RANK];
} Inner;

static void inner_init(Inner *inner, const FblAttr *attr, const FblType *a, const FblType *b) {
    inner->rank = attr->name_count;
    for (int i = 0; i < inner->rank; i++) {
        int at = fbl_type_find(a, attr->names[i]);
        inner->extent[i] = a->axes[at].extent;
        inner->a[i] = fbl_type_stride(a, at);
        inner->b[i] = b == NULL ? 0 : fbl_type_stride(b, fbl_type_find(b, attr->names[i]));
    }
}

// Results of type i32 wrap around like the machine's sums.
static double finish(FblDtype dtype, double sum) {
    return dtype == FBL_I32 ? (double)(int32_t)(uint32_t)(uint64_t)(int64_t)sum : sum;
}

static double sum_over(const Inner *inner, int depth, const double *a) {
    double sum = 0;
    if (depth == inner->rank) {
        return *a;
    }
    for (int64_t i = 0; i < inner->extent[depth]; i++) {
        sum += sum_over(inner, depth + 1, a + i * inner->a[depth]);
    }
    return sum;
}

static double dot_over(const Inner *inner, int depth, const double *a, const double *b) {
    double sum = 0;
    if (depth == inner->rank) {
        return *a * *b;
    }
    for (int64_t i = 0; i < inner->extent[depth]; i++) {
        sum += dot_over(inner, depth + 1, a + i * inner->a[depth], b + i * inner->b[depth]);
    }
    return sum;
}

// The largest of sign * a; NaN wins.
static double extreme_over(const Inner *inner, int depth, const double *a, double sign) {
    double best = -INFINITY;
    if (depth == inner->rank) {
        return sign * *a;
    }
    for (int64_t i = 0; i < inner->extent[depth]; i++) {
        double value = extreme_over(inner, depth + 1, a + i * inner->a[depth], sign);
        if (isnan(value) || value > best) {
            best = value;
        }
        if (isnan(best)) {
            return best;
        }
    }
    return best;
}

FblStatus fbl_interp_SUM(FblEval *e) {
    const FblTensor *x = e->in[0];
    FblWalk walk;
    Inner inner;
    inner_init(&inner, &e->node->attr, &x->type, NULL);
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &x->type);
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[k] = finish(e->node->type.dtype, sum_over(&inner, 0, x->data + walk.offset[0]));
    }
    return FBL_OK;
}

static FblStatus extreme(FblEval *e, double sign) {
    const FblTensor *x = e->in[0];
    FblWalk walk;
    Inner inner;
    inner_init(&inner, &e->node->attr, &x->type, NULL);
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &x->type);
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[k] = sign * extreme_over(&inner, 0, x->data + walk.offset[0], sign);
    }
    return FBL_OK;
}

FblStatus fbl_interp_REDUCE_MAX(FblEval *e) {
    return extreme(e, 1);
}
FblStatus fbl_interp_REDUCE_MIN(FblEval *e) {
    return extreme(e, -1);
}

FblStatus fbl_interp_ARGMAX(FblEval *e) {
    const FblTensor *x = e->in[0];
    FblWalk walk;
    Inner inner;
    inner_init(&inner, &e->node->attr, &x->type, NULL);
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &x->type);
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        const double *row = x->data + walk.offset[0];
        int64_t best = 0;
        for (int64_t i = 1; i < inner.extent[0] && !isnan(row[best * inner.a[0]]); i++) {
            double value = row[i * inner.a[0]];
            if (isnan(value) || value > row[best * inner.a[0]]) {
                best = i;
            }
        }
        e->out->data[k] = (double)best;
    }
    return FBL_OK;
}

FblStatus fbl_interp_CONTRACT(FblEval *e) {
    const FblTensor *a = e->in[0];
    const FblTensor *b = e->in[1];
    FblWalk walk;
    Inner inner;
    inner_init(&inner, &e->node->attr, &a->type, &b->type);
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &a->type);
    fbl_walk_operand(&walk, 1, &e->node->type, &b->type);
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        e->out->data[k] =
            finish(e->node->type.dtype, dot_over(&inner, 0, a->data + walk.offset[0], b->data + walk.offset[1]));
    }
    return FBL_OK;
}

FblStatus fbl_interp_GATHER(FblEval *e) {
    const FblTensor *x = e->in[0];
    const FblTensor *index = e->in[1];
    FblName axis = e->node->attr.names[0];
    int at = fbl_type_find(&x->type, axis);
    int64_t stride = fbl_type_stride(&x->type, at);
    int64_t extent = x->type.axes[at].extent;
    FblWalk walk;
    fbl_walk_init(&walk, &e->node->type);
    fbl_walk_operand(&walk, 0, &e->node->type, &x->type);
    fbl_walk_operand(&walk, 1, &e->node->type, &index->type);
    int own = fbl_type_find(&e->node->type, axis); // the index may bring an axis of that name: it is not x's
    if (own >= 0) {
        walk.stride[0][own] = 0;
    }
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        double i = index->data[walk.offset[1]];
        if (!(i >= 0 && i < (double)extent)) {
            return fbl_error(e->graph->ctx, "E0243", e->node->loc, "the label %g is not in the axis `%s` of %lld", i,
                             axis, (long long)extent);
        }
        e->out->data[k] = x->data[walk.offset[0] + (int64_t)i * stride];
    }
    return FBL_OK;
}

FblStatus fbl_interp_ALL_REDUCE(FblEval *e) {
    int64_t elements = fbl_type_elements(&e->node->type);
    for (int64_t i = 0; i < elements; i++) {
        double sum = 0;
        for (int s = 0; s < e->shard_count; s++) {
            sum += e->shards[s].data[i];
        }
        e->out->data[i] = finish(e->node->type.dtype, sum);
    }
    return FBL_OK;
}

FblStatus fbl_interp_ALL_GATHER(FblEval *e) {
    const FblType *type = &e->node->type;
    int64_t part = fbl_type_elements(&e->shards[0].type);
    if (part * e->shard_count != fbl_type_elements(type)) {
        return fbl_error(e->graph->ctx, "E0244", e->node->loc, "%s is not what %d shards of %s make", fbl_type_string(e->graph->ctx, type), e->shard_count,
                         fbl_type_string(e->graph->ctx, &e->shards[0].type));
    }
    for (int s = 0; s < e->shard_count; s++) {
        memcpy(e->out->data + s * part, e->shards[s].data, (size_t)part * sizeof(double));
    }
    return FBL_OK;
}

// A walk over the rows of x along the named axis: the type without it.
static void rows_init(FblWalk *walk, const FblType *x, int at) {
    FblType rows = *x;
    rows.rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (i != at) {
            fbl_type_add_axis(&rows, x->axes[i].name, x->axes[i].extent);
        }
    }
    fbl_walk_init(walk, &rows);
    fbl_walk_operand(walk, 0, &rows, x);
}

FblStatus fbl_interp_CUMSUM(FblEval *e) {
    const FblTensor *x = e->in[0];
    int at = fbl_type_find(&x->type, e->node->attr.names[0]);
    int64_t stride = fbl_type_stride(&x->type, at);
    FblWalk walk;
    for (rows_init(&walk, &x->type, at); !walk.done; fbl_walk_next(&walk)) {
        double sum = 0;
        for (int64_t i = 0; i < x->type.axes[at].extent; i++) {
            sum += x->data[walk.offset[0] + i * stride];
            e->out->data[walk.offset[0] + i * stride] = finish(e->node->type.dtype, sum);
        }
    }
    return FBL_OK;
}

typedef struct Keyed {
    double key;
    int64_t index;
} Keyed;

// NaN after everything; equal keys in their old order.
static int compare_keyed(const void *left, const void *right) {
    const Keyed *a = left;
    const Keyed *b = right;
    if (isnan(a->key) != isnan(b->key)) {
        return isnan(a->key) ? 1 : -1;
    }
    if (a->key < b->key || a->key > b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->index < b->index ? -1 : 1;
}

FblStatus fbl_interp_ARGSORT(FblEval *e) {
    const FblTensor *x = e->in[0];
    int at = fbl_type_find(&x->type, e->node->attr.names[0]);
    int64_t stride = fbl_type_stride(&x->type, at);
    int64_t extent = x->type.axes[at].extent;
    double sign = e->node->attr.i[0] != 0 ? -1 : 1;
    Keyed *keys = calloc((size_t)extent + 1, sizeof *keys);
    FblWalk walk;
    if (keys == NULL) {
        return FBL_NOMEM;
    }
    for (rows_init(&walk, &x->type, at); !walk.done; fbl_walk_next(&walk)) {
        for (int64_t i = 0; i < extent; i++) {
            keys[i] = (Keyed){sign * x->data[walk.offset[0] + i * stride], i};
        }
        qsort(keys, (size_t)extent, sizeof *keys, compare_keyed);
        for (int64_t i = 0; i < extent; i++) {
            e->out->data[walk.offset[0] + i * stride] = (double)keys[i].index;
        }
    }
    free(keys);
    return FBL_OK;
}

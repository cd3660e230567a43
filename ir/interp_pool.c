#include "ir/interp.h"

#include <math.h>

#include "ir/interp_internal.h"

// A walk over the windows. Slot 0 follows the large side (x) without its spatial axes, slots 1 and 2 the small side.
typedef struct Pool {
    FblWalk walk;
    int at[2];                 // the spatial axes within the walk
    int64_t size[2], large[2]; // of x: extents and strides
    int64_t kernel[2], stride[2], pad[2];
    bool count_pad;
} Pool;

// One window clipped to the input: rows [low, high) and columns likewise, and where its first tap would be.
typedef struct Window {
    int64_t first[2], low[2], high[2];
} Window;

static void pool_init(Pool *p, const FblAttr *attr, const FblType *x, const FblType *y) {
    fbl_walk_init(&p->walk, y);
    fbl_walk_operand(&p->walk, 0, y, x);
    fbl_walk_operand(&p->walk, 1, y, y);
    for (int d = 0; d < 2; d++) {
        int at = fbl_type_find(x, attr->names[d]);
        p->at[d] = fbl_type_find(y, attr->names[d]);
        p->walk.stride[0][p->at[d]] = 0;
        p->size[d] = x->axes[at].extent;
        p->large[d] = fbl_type_stride(x, at);
        p->kernel[d] = attr->i[FBL_POOL_KERNEL_H + d];
        p->stride[d] = attr->i[FBL_POOL_STRIDE_H + d];
        p->pad[d] = attr->i[FBL_POOL_PAD_H + d];
    }
    p->count_pad = attr->i[FBL_POOL_COUNT_PAD] != 0;
}

static Window window_at(const Pool *p) {
    Window w;
    for (int d = 0; d < 2; d++) {
        w.first[d] = p->walk.index[p->at[d]] * p->stride[d] - p->pad[d];
        w.low[d] = w.first[d] < 0 ? 0 : w.first[d];
        w.high[d] = w.first[d] + p->kernel[d] < p->size[d] ? w.first[d] + p->kernel[d] : p->size[d];
    }
    return w;
}

// What an average divides by: the taps inside the input or, counting the padding, also those inside it; never what lies
// beyond the padding (PyTorch's rule for windows that round-up adds).
static double divisor(const Pool *p, const Window *w) {
    double taps = 1;
    for (int d = 0; d < 2; d++) {
        int64_t end = w->first[d] + p->kernel[d];
        int64_t limit = p->size[d] + p->pad[d];
        taps *= p->count_pad ? (double)((end < limit ? end : limit) - w->first[d]) : (double)(w->high[d] - w->low[d]);
    }
    return taps;
}

static FblStatus max_pool(FblEval *e, bool index) {
    const FblTensor *x = e->in[0];
    Pool p;
    pool_init(&p, &e->node->attr, &x->type, &e->node->type);
    for (int64_t k = 0; !p.walk.done; k++, fbl_walk_next(&p.walk)) {
        Window w = window_at(&p);
        double best = -INFINITY;
        int64_t tap = -1;
        for (int64_t h = w.low[0]; h < w.high[0]; h++) {
            for (int64_t v = w.low[1]; v < w.high[1]; v++) {
                double value = x->data[p.walk.offset[0] + h * p.large[0] + v * p.large[1]];
                if (tap < 0 || value > best || (isnan(value) && !isnan(best))) {
                    best = value;
                    tap = (h - w.first[0]) * p.kernel[1] + (v - w.first[1]);
                }
            }
        }
        e->out->data[k] = index ? (double)tap : best;
    }
    return FBL_OK;
}

FblStatus fbl_interp_MAX_POOL(FblEval *e) {
    return max_pool(e, false);
}
FblStatus fbl_interp_MAX_POOL_INDEX(FblEval *e) {
    return max_pool(e, true);
}

FblStatus fbl_interp_MAX_POOL_GRAD(FblEval *e) {
    const FblTensor *g = e->in[0];
    const FblTensor *index = e->in[1];
    Pool p;
    pool_init(&p, &e->node->attr, &e->node->type, &g->type);
    fbl_walk_operand(&p.walk, 2, &g->type, &index->type);
    for (; !p.walk.done; fbl_walk_next(&p.walk)) {
        Window w = window_at(&p);
        int64_t tap = (int64_t)index->data[p.walk.offset[2]];
        int64_t h = w.first[0] + tap / p.kernel[1];
        int64_t v = w.first[1] + tap % p.kernel[1];
        if (tap >= 0 && h >= w.low[0] && h < w.high[0] && v >= w.low[1] && v < w.high[1]) {
            e->out->data[p.walk.offset[0] + h * p.large[0] + v * p.large[1]] += g->data[p.walk.offset[1]];
        }
    }
    return FBL_OK;
}

FblStatus fbl_interp_AVG_POOL(FblEval *e) {
    const FblTensor *x = e->in[0];
    Pool p;
    pool_init(&p, &e->node->attr, &x->type, &e->node->type);
    for (int64_t k = 0; !p.walk.done; k++, fbl_walk_next(&p.walk)) {
        Window w = window_at(&p);
        double sum = 0;
        for (int64_t h = w.low[0]; h < w.high[0]; h++) {
            for (int64_t v = w.low[1]; v < w.high[1]; v++) {
                sum += x->data[p.walk.offset[0] + h * p.large[0] + v * p.large[1]];
            }
        }
        e->out->data[k] = sum / divisor(&p, &w);
    }
    return FBL_OK;
}

FblStatus fbl_interp_AVG_POOL_GRAD(FblEval *e) {
    const FblTensor *g = e->in[0];
    Pool p;
    pool_init(&p, &e->node->attr, &e->node->type, &g->type);
    for (; !p.walk.done; fbl_walk_next(&p.walk)) {
        Window w = window_at(&p);
        double share = g->data[p.walk.offset[1]] / divisor(&p, &w);
        for (int64_t h = w.low[0]; h < w.high[0]; h++) {
            for (int64_t v = w.low[1]; v < w.high[1]; v++) {
                e->out->data[p.walk.offset[0] + h * p.large[0] + v * p.large[1]] += share;
            }
        }
    }
    return FBL_OK;
}

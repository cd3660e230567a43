#include "ir/interp.h"

#include "ir/interp_internal.h"

// A convolution y = x * w by strides: x and y over (batch, channel, height, width), w over (out, in/groups, kh, kw).
typedef struct Conv {
    int64_t batch, in, out, kernel[2], size[2], result[2];
    int64_t stride[2], pad[2], dilation[2];
    int64_t in_group, out_group;
    int64_t x[4], y[4], w[4];
} Conv;

static void conv_init(Conv *c, const FblAttr *attr, const FblType *x, const FblType *y, const FblType *w) {
    const int64_t *i = attr->i;
    int64_t extent[4];
    for (int d = 0; d < 4; d++) {
        int at = fbl_type_find(x, attr->names[d]);
        extent[d] = x->axes[at].extent;
        c->x[d] = fbl_type_stride(x, at);
        c->y[d] = fbl_type_stride(y, fbl_type_find(y, attr->names[d]));
        c->w[d] = fbl_type_stride(w, d);
    }
    c->batch = extent[0];
    c->in = extent[1];
    c->out = w->axes[0].extent;
    c->in_group = w->axes[1].extent;
    c->out_group = c->out / i[FBL_CONV_GROUPS];
    for (int d = 0; d < 2; d++) {
        c->size[d] = extent[2 + d];
        c->kernel[d] = w->axes[2 + d].extent;
        c->result[d] = y->axes[fbl_type_find(y, attr->names[2 + d])].extent;
        c->stride[d] = i[FBL_CONV_STRIDE_H + d];
        c->pad[d] = i[FBL_CONV_PAD_H + d];
        c->dilation[d] = i[FBL_CONV_DILATION_H + d];
    }
}

// The result positions [*low, *high) along dimension d whose tap k lies inside the input.
static void valid_range(const Conv *c, int d, int64_t k, int64_t *low, int64_t *high) {
    int64_t shift = k * c->dilation[d] - c->pad[d]; // input position of result position 0
    *low = shift >= 0 ? 0 : (-shift + c->stride[d] - 1) / c->stride[d];
    *high = shift >= c->size[d] ? 0 : (c->size[d] - 1 - shift) / c->stride[d] + 1;
    *high = *high < c->result[d] ? *high : c->result[d];
}

// One row of products: `count` positions x[i * x_step], y[i * y_step] that share the weight *w.
typedef void (*Row)(double *x, int64_t x_step, double *y, int64_t y_step, double *w, int64_t count);

static void row_forward(double *x, int64_t x_step, double *y, int64_t y_step, double *w, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        y[i * y_step] += *w * x[i * x_step];
    }
}

static void row_data(double *x, int64_t x_step, double *y, int64_t y_step, double *w, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        x[i * x_step] += *w * y[i * y_step];
    }
}

static void row_weight(double *x, int64_t x_step, double *y, int64_t y_step, double *w, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i * x_step] * y[i * y_step];
    }
    *w += sum;
}

// All products of one tap, for one image and channel pair.
static void conv_tap(const Conv *c, Row row, double *x, double *y, double *w, int64_t kh, int64_t kw) {
    int64_t top, bottom, left, right;
    valid_range(c, 0, kh, &top, &bottom);
    valid_range(c, 1, kw, &left, &right);
    for (int64_t h = top; h < bottom && left < right; h++) {
        int64_t ih = h * c->stride[0] + kh * c->dilation[0] - c->pad[0];
        int64_t iw = left * c->stride[1] + kw * c->dilation[1] - c->pad[1];
        row(x + ih * c->x[2] + iw * c->x[3], c->stride[1] * c->x[3], y + h * c->y[2] + left * c->y[3], c->y[3], w,
            right - left);
    }
}

static void conv_run(const Conv *c, Row row, double *x, double *y, double *w) {
    for (int64_t n = 0; n < c->batch; n++) {
        for (int64_t o = 0; o < c->out; o++) {
            for (int64_t i = 0; i < c->in_group; i++) {
                int64_t channel = o / c->out_group * c->in_group + i;
                for (int64_t kh = 0; kh < c->kernel[0]; kh++) {
                    for (int64_t kw = 0; kw < c->kernel[1]; kw++) {
                        conv_tap(c, row, x + n * c->x[0] + channel * c->x[1], y + n * c->y[0] + o * c->y[1],
                                 w + o * c->w[0] + i * c->w[1] + kh * c->w[2] + kw * c->w[3], kh, kw);
                    }
                }
            }
        }
    }
}

FblStatus fbl_interp_CONV2D(FblEval *e) {
    Conv c;
    conv_init(&c, &e->node->attr, &e->in[0]->type, &e->node->type, &e->in[1]->type);
    conv_run(&c, row_forward, e->in[0]->data, e->out->data, e->in[1]->data);
    return FBL_OK;
}

FblStatus fbl_interp_CONV2D_DATA_GRAD(FblEval *e) {
    Conv c;
    conv_init(&c, &e->node->attr, &e->node->type, &e->in[0]->type, &e->in[1]->type);
    conv_run(&c, row_data, e->out->data, e->in[0]->data, e->in[1]->data);
    return FBL_OK;
}

FblStatus fbl_interp_CONV2D_WEIGHT_GRAD(FblEval *e) {
    Conv c;
    conv_init(&c, &e->node->attr, &e->in[0]->type, &e->in[1]->type, &e->node->type);
    conv_run(&c, row_weight, e->in[0]->data, e->in[1]->data, e->out->data);
    return FBL_OK;
}

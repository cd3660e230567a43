#include "ir/convolution.h"

#include <string.h>

#include "ir/affine.h"

// Whether a place runs through a buffer exactly as the array of a body would lie.
static bool lies_so(const FblKernel *kernel, const FblKBody *body, const FblAffine *at, const int64_t strides[4]) {
    FblAffine wanted = {0};
    for (int d = 0; d < 4; d++) {
        if (kernel->loops[body->loops[d]].extent > 1) {
            wanted.step[body->loops[d]] = strides[d];
        }
    }
    for (int32_t l = 0; l < FBL_KERNEL_MAX_LOOPS; l++) {
        bool single = l < kernel->loop_count && kernel->loops[l].extent == 1;
        if (!single && at->step[l] != wanted.step[l]) {
            return false;
        }
    }
    return at->base == 0;
}

// An operand: a buffer where that can be read as it lies, else its array.
static bool take_operand(const FblKernel *kernel, int t, FblDtype factors, FblConvolutionTensor *out) {
    const FblKBody *body = &kernel->operands[t];
    int64_t strides[4];
    int32_t buffer;
    FblAffine at;
    if (fbl_array_strides(kernel, t, strides) == 0) {
        return false;
    }
    bool plain = fbl_affine_load(kernel, body->value, &buffer, &at) && kernel->buffers[buffer].dtype == factors && lies_so(kernel, body, &at, strides);
    out->buffer = plain ? buffer : kernel->buffer_count + t;
    out->dtype = factors;
    return true;
}

// The result: where the epilogue stores the accumulated value and nothing else.
static bool take_result(const FblKernel *kernel, FblDtype factors, FblConvolutionTensor *out) {
    const FblKBody *body = &kernel->epilogue;
    const FblKStore *store = &body->stores[0];
    int64_t strides[4];
    FblAffine at;
    if (body->store_count < 1 || fbl_array_strides(kernel, FBL_ARRAY_RESULT, strides) == 0) {
        return false;
    }
    FblDtype dtype = kernel->buffers[store->buffer].dtype;
    bool plain = body->store_count == 1 && store->guard < 0 && kernel->instrs[store->value].kind == FBL_K_ACC && (dtype == FBL_F32 || dtype == factors) &&
                 fbl_affine_place(kernel, store->buffer, store->index, &at) && lies_so(kernel, body, &at, strides);
    out->buffer = plain ? store->buffer : kernel->buffer_count + FBL_ARRAY_RESULT;
    out->dtype = plain ? dtype : FBL_F32;
    return true;
}

bool fbl_kernel_convolution(const FblKernel *kernel, FblDtype factors, FblConvolution *out) {
    const FblContraction *c = &kernel->contraction;
    memset(out, 0, sizeof *out);
    if (kernel->kind != FBL_KERNEL_CONTRACTION || c->kind == FBL_MATMUL || c->algorithm != FBL_CONV_DIRECT || kernel->part_rows > 0) {
        return false;
    }
    out->shape = *c;
    out->factors = factors;
    out->sum = c->kind == FBL_CONV_FORWARD ? c->c / c->groups * c->kh * c->kw : c->kind == FBL_CONV_DATA_GRAD ? c->o / c->groups * c->kh * c->kw : c->n * c->oh * c->ow;
    FblConvolutionTensor *operands[2] = {c->kind == FBL_CONV_DATA_GRAD ? &out->y : &out->x, c->kind == FBL_CONV_WEIGHT_GRAD ? &out->y : &out->weight};
    FblConvolutionTensor *result = c->kind == FBL_CONV_FORWARD ? &out->y : c->kind == FBL_CONV_DATA_GRAD ? &out->x : &out->weight;
    out->x = (FblConvolutionTensor){.extents = {c->n, c->c, c->h, c->w}};
    out->weight = (FblConvolutionTensor){.extents = {c->o, c->c / c->groups, c->kh, c->kw}};
    out->y = (FblConvolutionTensor){.extents = {c->n, c->o, c->oh, c->ow}};
    return take_operand(kernel, 0, factors, operands[0]) && take_operand(kernel, 1, factors, operands[1]) && take_result(kernel, factors, result);
}

#include "codegen/cpu/contract.h"

#include "codegen/cpu/contract_internal.h"

// Shapes whose packed forms cannot be counted safely are left to the generic code.
static bool sane(const FblContraction *c) {
    const int64_t extents[] = {c->n, c->c, c->h, c->w, c->o, c->oh, c->ow, c->kh, c->kw, c->stride_h, c->stride_w, c->dilation_h, c->dilation_w, c->groups};
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        if (extents[i] < 1 || extents[i] > ((int64_t)1 << 24)) {
            return false;
        }
    }
    return c->pad_h >= 0 && c->pad_w >= 0 && c->pad_h < 4096 && c->pad_w < 4096 && c->kh * c->dilation_h < 65536 && c->kw * c->dilation_w < 65536;
}

bool fbl_emit_contraction(FblEmit *e) {
    const FblContraction *c = &e->kernel->contraction;
    for (int i = 0; i < 2; i++) {
        if (e->kernel->instrs[e->kernel->operands[i].value].dtype != FBL_F32) {
            return false;
        }
    }
    if (c->kind == FBL_MATMUL) {
        int64_t largest = c->m > c->n_ ? c->m : c->n_;
        largest = largest > c->k ? largest : c->k;
        if (c->n_batch < 1 || c->m < 1 || c->n_ < 1 || c->k < 1 || largest > ((int64_t)1 << 24) || c->n_batch > ((int64_t)1 << 24)) {
            return false;
        }
    } else if (!sane(c)) {
        return false;
    }
    FblKernelCode *code = e->code;
    FblKernelCode before = *code;
    if (c->algorithm != FBL_CONV_DIRECT && e->target->bf16 == FBL_BF16_OFF) {
        if (c->kind == FBL_CONV_WEIGHT_GRAD ? fbl_emit_winograd_weight_grad(e) : fbl_emit_winograd_conv(e)) {
            return true;
        }
        *code = before;
    }
    if (c->kind == FBL_CONV_WEIGHT_GRAD ? fbl_emit_weight_grad(e) : fbl_emit_conv(e)) {
        return true;
    }
    *code = before;
    return false;
}

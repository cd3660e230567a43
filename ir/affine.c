#include "ir/affine.h"

#include <string.h>

#define DEEPEST 8 // nested operations in an index

static bool add_scaled(FblAffine *to, const FblAffine *from, int64_t scale) {
    int64_t part;
    if (!fbl_mul_i64(from->base, scale, &part) || !fbl_add_i64(to->base, part, &to->base)) {
        return false;
    }
    for (int l = 0; l < FBL_KERNEL_MAX_LOOPS; l++) {
        if (!fbl_mul_i64(from->step[l], scale, &part) || !fbl_add_i64(to->step[l], part, &to->step[l])) {
            return false;
        }
    }
    return true;
}

// Negative numbers, differences, divisions and everything else are no plain way through memory: false.
static bool affine(const FblKernel *kernel, int32_t id, int depth, FblAffine *out) {
    const FblKInstr *instr = &kernel->instrs[id];
    memset(out, 0, sizeof *out);
    if (instr->kind == FBL_K_CONST && instr->dtype == FBL_I32 && instr->value >= 0) {
        out->base = (int64_t)instr->value;
        return true;
    }
    if (instr->kind == FBL_K_LOOP) {
        out->step[instr->a] = 1;
        return true;
    }
    if (instr->kind != FBL_K_OP || instr->dtype != FBL_I32 || (instr->op != FBL_OP_ADD && instr->op != FBL_OP_MUL) || depth == DEEPEST) {
        return false;
    }
    FblAffine a, b, none = {0};
    if (!affine(kernel, instr->args[0], depth + 1, &a) || !affine(kernel, instr->args[1], depth + 1, &b)) {
        return false;
    }
    if (instr->op == FBL_OP_ADD) {
        return add_scaled(out, &a, 1) && add_scaled(out, &b, 1);
    }
    bool a_constant = memcmp(a.step, none.step, sizeof a.step) == 0, b_constant = memcmp(b.step, none.step, sizeof b.step) == 0;
    return a_constant ? add_scaled(out, &b, a.base) : b_constant && add_scaled(out, &a, b.base);
}

bool fbl_affine_place(const FblKernel *kernel, int32_t number, const int32_t *index, FblAffine *out) {
    const FblKernelBuffer *buffer = &kernel->buffers[number];
    int64_t stride = 1;
    memset(out, 0, sizeof *out);
    if (buffer->dtype != FBL_F32 && !fbl_dtype_is_half(buffer->dtype)) {
        return false;
    }
    for (int32_t d = buffer->rank; d-- > 0;) {
        FblAffine one;
        if (!affine(kernel, index[d], 0, &one) || !add_scaled(out, &one, stride) || !fbl_mul_i64(stride, buffer->extents[d], &stride)) {
            return false;
        }
    }
    return true;
}

bool fbl_affine_load(const FblKernel *kernel, int32_t id, int32_t *out_buffer, FblAffine *out) {
    const FblKInstr *instr = &kernel->instrs[id];
    *out_buffer = instr->a;
    return instr->kind == FBL_K_LOAD && instr->dtype == FBL_F32 && instr->guard < 0 && fbl_affine_place(kernel, instr->a, instr->index, out);
}

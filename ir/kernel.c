#include "ir/kernel.h"

#include <string.h>

int32_t fbl_kernel_operands(const FblKernel *kernel, const FblKInstr *instr, int32_t out[FBL_KERNEL_MAX_DIMS + 5]) {
    int32_t count = 0;
    if (instr->kind == FBL_K_OP) {
        count = fbl_op_info(instr->op)->arity;
        memcpy(out, instr->args, (size_t)count * sizeof *out);
    } else if (instr->kind == FBL_K_UNIFORM) {
        out[count++] = instr->args[0];
    } else if (instr->kind == FBL_K_LOAD) {
        count = kernel->buffers[instr->a].rank;
        memcpy(out, instr->index, (size_t)count * sizeof *out);
        out[count++] = instr->guard;
        out[count++] = instr->otherwise;
    }
    return count;
}

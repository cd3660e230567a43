#include "ir/kernel.h"

int64_t fbl_kernel_images(const FblKernel *kernel) {
    int64_t images = 0;
    if (kernel->kind == FBL_KERNEL_LOOPS && kernel->outer_count > 0 && kernel->vector_loop != 0) {
        images = kernel->loops[0].extent;
    } else if (kernel->kind == FBL_KERNEL_CONTRACTION && kernel->contraction.kind != FBL_MATMUL && kernel->part_rows == 0) { // parts are not whole images
        images = kernel->contraction.n;
    }
    return images > 1 ? images : 0;
}

static bool is_loop(const FblKernel *kernel, int32_t id, int32_t loop) {
    return kernel->instrs[id].kind == FBL_K_LOOP && kernel->instrs[id].a == loop;
}

// Whether instructions [first, last) and the stores reach the buffer only at index `loop` of its first dimension.
static bool only_along(const FblKernel *kernel, int32_t buffer, int32_t loop, int32_t first, int32_t last, const FblKStore *stores, int32_t store_count) {
    for (int32_t id = first; id < last; id++) {
        const FblKInstr *instr = &kernel->instrs[id];
        if (instr->kind == FBL_K_LOAD && instr->a == buffer && !is_loop(kernel, instr->index[0], loop)) {
            return false;
        }
    }
    for (int32_t i = 0; i < store_count; i++) {
        if (stores[i].buffer == buffer && !is_loop(kernel, stores[i].index[0], loop)) {
            return false;
        }
    }
    return true;
}

bool fbl_kernel_by_image(const FblKernel *kernel, int32_t buffer) {
    int64_t images = fbl_kernel_images(kernel);
    if (images == 0 || kernel->buffers[buffer].rank == 0 || kernel->buffers[buffer].extents[0] != images) {
        return false;
    }
    bool all = true;
    if (kernel->kind == FBL_KERNEL_LOOPS) {
        for (int32_t k = 0; k < kernel->stage_count && all; k++) {
            const FblKStage *stage = &kernel->stages[k];
            all = only_along(kernel, buffer, 0, stage->first, stage->last, stage->stores, stage->store_count);
        }
        return all;
    }
    // Weights are indexed by output channel first: no loop of theirs is the image.
    bool weight_grad = kernel->contraction.kind == FBL_CONV_WEIGHT_GRAD;
    const FblKBody *bodies[3] = {&kernel->operands[0], &kernel->operands[1], &kernel->epilogue};
    for (int i = 0; i < 3; i++) {
        bool image = i == 0 || (i == 1) == weight_grad;
        all &= only_along(kernel, buffer, image ? bodies[i]->loops[0] : -1, bodies[i]->first, bodies[i]->last, bodies[i]->stores, bodies[i]->store_count);
    }
    return all;
}

#include "ir/kernel.h"

#include <string.h>

int32_t fbl_kernel_operands(const FblKernel *kernel, const FblKInstr *instr, int32_t out[FBL_KERNEL_MAX_DIMS + 5]) {
    int32_t count = 0;
    if (instr->kind == FBL_K_OP) {
        count = fbl_op_info(instr->op)->arity;
        memcpy(out, instr->args, (size_t)count * sizeof *out);
    } else if (instr->kind == FBL_K_UNIFORM || instr->kind == FBL_K_ROUND) {
        out[count++] = instr->args[0];
    } else if (instr->kind == FBL_K_LOAD) {
        count = kernel->buffers[instr->a].rank;
        memcpy(out, instr->index, (size_t)count * sizeof *out);
        out[count++] = instr->guard;
        out[count++] = instr->otherwise;
    }
    return count;
}

static void *copy_items(FblArena *arena, const void *items, int32_t count, size_t size) {
    void *copy = fbl_arena_array(arena, (size_t)count, size);
    if (count > 0) {
        memcpy(copy, items, (size_t)count * size);
    }
    return copy;
}

static const char *copy_text(FblArena *arena, const char *text) { return text ? fbl_arena_strndup(arena, text, strlen(text)) : NULL; }

static void copy_body(FblArena *arena, FblKBody *body) {
    body->stores = copy_items(arena, body->stores, body->store_count, sizeof *body->stores);
}

FblKernel *fbl_kernel_copy(FblArena *arena, const FblKernel *kernel) {
    FblKernel *copy = copy_items(arena, kernel, 1, sizeof *kernel);
    copy->name = copy_text(arena, kernel->name);
    copy->note = copy_text(arena, kernel->note);
    copy->buffers = copy_items(arena, kernel->buffers, kernel->buffer_count, sizeof *kernel->buffers);
    copy->instrs = copy_items(arena, kernel->instrs, kernel->instr_count, sizeof *kernel->instrs);
    for (int32_t i = 0; i < kernel->loop_count; i++) {
        copy->loops[i].label = copy_text(arena, kernel->loops[i].label);
    }
    copy->stages = copy_items(arena, kernel->stages, kernel->stage_count, sizeof *kernel->stages);
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        FblKStage *stage = &copy->stages[i];
        stage->loops = copy_items(arena, stage->loops, stage->loop_count, sizeof *stage->loops);
        stage->stores = copy_items(arena, stage->stores, stage->store_count, sizeof *stage->stores);
        stage->reduces = copy_items(arena, stage->reduces, stage->reduce_count, sizeof *stage->reduces);
    }
    copy_body(arena, &copy->operands[0]);
    copy_body(arena, &copy->operands[1]);
    copy_body(arena, &copy->epilogue);
    return copy;
}

bool fbl_kernel_is_collective(const FblKernel *kernel) {
    return kernel->kind == FBL_KERNEL_LIBRARY && fbl_op_info(kernel->library_op)->op_class == FBL_CLASS_COLLECTIVE;
}

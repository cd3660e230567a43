#include <string.h>

#include "ir/kernel_text.h"

const char *const fbl_kernel_kind_names[3] = {"loops", "contraction", "library"};
const char *const fbl_contraction_kind_names[4] = {"forward", "data_grad", "weight_grad", "matmul"};
const char *const fbl_conv_algorithm_names[3] = {"direct", "winograd2", "winograd4"};

const FblContractionField fbl_contraction_fields[FBL_CONTRACTION_FIELDS] = {
#define FIELD(name) {#name, offsetof(FblContraction, name)}
    FIELD(n),        FIELD(c),        FIELD(h),     FIELD(w),     FIELD(o),          FIELD(oh),         FIELD(ow),
    FIELD(kh),       FIELD(kw),       FIELD(stride_h), FIELD(stride_w), FIELD(pad_h), FIELD(pad_w),     FIELD(dilation_h),
    FIELD(dilation_w), FIELD(groups), FIELD(n_batch), FIELD(m),   FIELD(n_),         FIELD(k),          FIELD(chunks),
#undef FIELD
};

static void print_list(FblText *text, const char *mark, const int32_t *items, int32_t count) {
    fbl_text_printf(text, "[");
    for (int32_t i = 0; i < count; i++) {
        fbl_text_printf(text, "%s%s%d", i ? ", " : "", mark, items[i]);
    }
    fbl_text_printf(text, "]");
}

static void print_instr(FblText *text, const FblKernel *kernel, int32_t id) {
    const FblKInstr *instr = &kernel->instrs[id];
    fbl_text_printf(text, "  %%%d = ", id);
    const char *dtype = fbl_dtype_name(instr->dtype);
    switch (instr->kind) {
    case FBL_K_CONST:
        fbl_text_printf(text, "const %s ", dtype);
        fbl_text_double(text, instr->value);
        break;
    case FBL_K_LOOP: fbl_text_printf(text, "loop %d", instr->a); break;
    case FBL_K_LOAD:
        fbl_text_printf(text, "load %s %d ", dtype, instr->a);
        print_list(text, "%", instr->index, kernel->buffers[instr->a].rank);
        if (instr->guard >= 0) {
            fbl_text_printf(text, " if %%%d", instr->guard);
        }
        if (instr->otherwise >= 0) {
            fbl_text_printf(text, " else %%%d", instr->otherwise);
        }
        break;
    case FBL_K_OP:
        fbl_text_printf(text, "%s %s ", fbl_op_info(instr->op)->text, dtype);
        print_list(text, "%", instr->args, fbl_op_info(instr->op)->arity);
        break;
    case FBL_K_RESULT: fbl_text_printf(text, "result %s %d", dtype, instr->a); break;
    case FBL_K_ACC: fbl_text_printf(text, "acc"); break;
    case FBL_K_ROUND: fbl_text_printf(text, "round %s %%%d", fbl_dtype_name((FblDtype)instr->a), instr->args[0]); break;
    case FBL_K_UNIFORM: fbl_text_printf(text, "uniform %lld %%%d", (long long)(uint32_t)instr->a, instr->args[0]); break;
    }
    fbl_text_printf(text, "\n");
}

static void print_stores(FblText *text, const FblKernel *kernel, const FblKStore *stores, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        fbl_text_printf(text, "    store %d ", stores[i].buffer);
        print_list(text, "%", stores[i].index, kernel->buffers[stores[i].buffer].rank);
        fbl_text_printf(text, " %%%d", stores[i].value);
        if (stores[i].guard >= 0) {
            fbl_text_printf(text, " if %%%d", stores[i].guard);
        }
        fbl_text_printf(text, "\n");
    }
}

static void print_body(FblText *text, const FblKernel *kernel, const char *name, const FblKBody *body) {
    fbl_text_printf(text, "  %s ", name);
    print_list(text, "", body->loops, body->loop_count);
    fbl_text_printf(text, " from %d to %d", body->first, body->last);
    if (body->value >= 0) {
        fbl_text_printf(text, " value %%%d", body->value);
    }
    fbl_text_printf(text, " {\n");
    print_stores(text, kernel, body->stores, body->store_count);
    fbl_text_printf(text, "  }\n");
}

void fbl_kernel_print_to(FblText *text, const FblKernel *kernel, bool details) {
    fbl_text_printf(text, "kernel ");
    if (details) {
        fbl_text_quoted(text, kernel->name ? kernel->name : "");
        fbl_text_printf(text, " note ");
        fbl_text_quoted(text, kernel->note ? kernel->note : "");
        fbl_text_printf(text, " bytes %lld flops %lld ", (long long)kernel->bytes, (long long)kernel->flops);
    }
    fbl_text_printf(text, "%s {\n", fbl_kernel_kind_names[kernel->kind]);
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        const FblKernelBuffer *buffer = &kernel->buffers[i];
        fbl_text_printf(text, "  buffer %s [", fbl_dtype_name(buffer->dtype));
        for (int32_t d = 0; d < buffer->rank; d++) {
            fbl_text_printf(text, "%s%lld", d ? ", " : "", (long long)buffer->extents[d]);
        }
        fbl_text_printf(text, "] %s", buffer->is_output ? "out" : "in");
        if (buffer->alias >= 0) {
            fbl_text_printf(text, " over %d", buffer->alias);
        }
        fbl_text_printf(text, "\n");
    }
    for (int32_t i = 0; i < kernel->loop_count; i++) {
        fbl_text_printf(text, "  loop %lld", (long long)kernel->loops[i].extent);
        if (details) {
            fbl_text_printf(text, " ");
            fbl_text_quoted(text, kernel->loops[i].label ? kernel->loops[i].label : "");
        }
        fbl_text_printf(text, "\n");
    }
    fbl_text_printf(text, "  outer %d vector %d results %d\n", kernel->outer_count, kernel->vector_loop, kernel->result_count);
    for (int32_t id = 0; id < kernel->instr_count; id++) {
        print_instr(text, kernel, id);
    }
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        const FblKStage *stage = &kernel->stages[i];
        fbl_text_printf(text, "  stage ");
        print_list(text, "", stage->loops, stage->loop_count);
        fbl_text_printf(text, " from %d to %d {\n", stage->first, stage->last);
        print_stores(text, kernel, stage->stores, stage->store_count);
        for (int32_t k = 0; k < stage->reduce_count; k++) {
            const FblKReduce *reduce = &stage->reduces[k];
            fbl_text_printf(text, "    reduce %s %s %%%d to %d\n", fbl_op_info(reduce->op)->text, fbl_dtype_name(reduce->dtype), reduce->value, reduce->result);
        }
        fbl_text_printf(text, "  }\n");
    }
    if (kernel->part_rows > 0) {
        fbl_text_printf(text, "  parts %lld %d %d\n", (long long)kernel->part_rows, kernel->part_loop, kernel->row_loop);
    }
    if (kernel->kind == FBL_KERNEL_CONTRACTION) {
        fbl_text_printf(text, "  contraction %s %s", fbl_contraction_kind_names[kernel->contraction.kind], fbl_conv_algorithm_names[kernel->contraction.algorithm]);
        for (int i = 0; i < FBL_CONTRACTION_FIELDS; i++) {
            int64_t value;
            memcpy(&value, (const char *)&kernel->contraction + fbl_contraction_fields[i].offset, sizeof value);
            fbl_text_printf(text, " %lld", (long long)value);
        }
        fbl_text_printf(text, "\n");
        print_body(text, kernel, "operand", &kernel->operands[0]);
        print_body(text, kernel, "operand", &kernel->operands[1]);
        print_body(text, kernel, "epilogue", &kernel->epilogue);
    }
    if (kernel->kind == FBL_KERNEL_LIBRARY) {
        fbl_text_printf(text, "  library %s", fbl_op_info(kernel->library_op)->text);
        for (int i = 0; i < 8; i++) {
            fbl_text_printf(text, " %lld", (long long)kernel->ints[i]);
        }
        fbl_text_printf(text, "\n");
    }
    fbl_text_printf(text, "}\n");
}

const char *fbl_kernel_print(FblContext *ctx, const FblKernel *kernel, bool details) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(ctx));
    fbl_kernel_print_to(&text, kernel, details);
    return text.data;
}

int64_t fbl_kernel_items(const FblKernel *kernel) {
    if (kernel->kind == FBL_KERNEL_LIBRARY) {
        return kernel->library_op == FBL_OP_BETA ? 1 : kernel->ints[0];
    }
    if (kernel->kind == FBL_KERNEL_CONTRACTION) {
        const FblContraction *c = &kernel->contraction;
        return c->kind == FBL_MATMUL ? c->n_batch * c->m : c->kind == FBL_CONV_WEIGHT_GRAD ? (c->chunks > 0 ? c->chunks : 1) : c->n;
    }
    int64_t items = 1;
    for (int32_t i = 0; i < kernel->outer_count; i++) {
        items *= i == kernel->vector_loop ? 1 : kernel->loops[i].extent;
    }
    return items;
}

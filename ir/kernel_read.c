#include <string.h>

#include "ir/kernel_text.h"

#define MAX_EXTENT ((int64_t)1 << 40)

FblStatus fbl_reader_choice(FblReader *r, const char *const *names, int count, const char *what, int *out_choice) {
    for (int i = 0; i < count; i++) {
        if (fbl_reader_at_word(r, names[i])) {
            *out_choice = i;
            return fbl_reader_next(r);
        }
    }
    return fbl_reader_expected(r, what);
}

FblStatus fbl_reader_dtype(FblReader *r, FblDtype *out_dtype) {
    static const char *const names[3] = {"f32", "i32", "bool"};
    int choice;
    FBL_TRY(fbl_reader_choice(r, names, 3, "f32, i32 or bool", &choice));
    *out_dtype = (FblDtype)choice;
    return FBL_OK;
}

// What a buffer stores, or a value is rounded to.
static FblStatus storage(FblReader *r, bool half, FblDtype *out_dtype) {
    static const char *const names[2] = {"bf16", "f16"};
    if (!half && !fbl_reader_at_word(r, names[0]) && !fbl_reader_at_word(r, names[1])) {
        return fbl_reader_dtype(r, out_dtype);
    }
    int choice;
    FBL_TRY(fbl_reader_choice(r, names, 2, "bf16 or f16", &choice));
    *out_dtype = choice == 0 ? FBL_BF16 : FBL_F16;
    return FBL_OK;
}

static FblStatus bounded(FblReader *r, int64_t low, int64_t high, int64_t *out) {
    FblReader before = *r;
    FBL_TRY(fbl_reader_integer(r, out));
    return *out < low || *out > high ? fbl_reader_expected(&before, "a number in range") : FBL_OK;
}

static FblStatus small(FblReader *r, int32_t *out) {
    int64_t value;
    FBL_TRY(bounded(r, -1, INT32_MAX, &value));
    *out = (int32_t)value;
    return FBL_OK;
}

static FblStatus node(FblReader *r, int32_t *out) {
    if (r->token != FBL_TOKEN_NODE || r->integer < 0 || r->integer > INT32_MAX) {
        return fbl_reader_expected(r, "an instruction (%N)");
    }
    *out = (int32_t)r->integer;
    return fbl_reader_next(r);
}

// [%1, %2] or [1, 2]; at most `limit` of them.
static FblStatus list(FblReader *r, bool nodes, int32_t limit, int32_t *out, int32_t *out_count) {
    *out_count = 0;
    FBL_TRY(fbl_reader_punct(r, '['));
    while (!fbl_reader_at(r, ']')) {
        if (*out_count == limit) {
            return fbl_reader_expected(r, "fewer entries");
        }
        FBL_TRY(nodes ? node(r, &out[*out_count]) : small(r, &out[*out_count]));
        (*out_count)++;
        if (!fbl_reader_at(r, ',')) {
            break;
        }
        FBL_TRY(fbl_reader_next(r));
    }
    return fbl_reader_punct(r, ']');
}

// A list of exactly the rank of `buffer`.
static FblStatus place(FblReader *r, const FblKernel *kernel, int32_t buffer, int32_t *out) {
    int32_t count;
    if (buffer < 0 || buffer >= kernel->buffer_count) {
        return fbl_reader_expected(r, "a buffer of the kernel before this");
    }
    memset(out, 0xff, FBL_KERNEL_MAX_DIMS * sizeof *out);
    FBL_TRY(list(r, true, FBL_KERNEL_MAX_DIMS, out, &count));
    return count != kernel->buffers[buffer].rank ? fbl_reader_expected(r, "an index for each dimension before this") : FBL_OK;
}

static FblStatus optional_node(FblReader *r, const char *word, int32_t *out) {
    *out = -1;
    if (!fbl_reader_at_word(r, word)) {
        return FBL_OK;
    }
    FBL_TRY(fbl_reader_next(r));
    return node(r, out);
}

typedef struct KernelReader {
    FblReader *r;
    FblKernel *kernel;
    FblArena *arena;
    size_t buffers, instrs, stages; // capacities
    int operands;
} KernelReader;

static FblStatus read_buffer(KernelReader *k) {
    FblReader *r = k->r;
    FblKernelBuffer buffer = {.alias = -1};
    FBL_TRY(storage(r, false, &buffer.dtype));
    FBL_TRY(fbl_reader_punct(r, '['));
    int64_t elements = 1;
    while (!fbl_reader_at(r, ']')) {
        if (buffer.rank == FBL_KERNEL_MAX_DIMS) {
            return fbl_reader_expected(r, "fewer dimensions");
        }
        FBL_TRY(bounded(r, 1, MAX_EXTENT, &buffer.extents[buffer.rank]));
        if (!fbl_mul_i64(elements, buffer.extents[buffer.rank++], &elements) || elements > MAX_EXTENT) {
            return fbl_reader_expected(r, "a smaller buffer before this");
        }
        if (!fbl_reader_at(r, ',')) {
            break;
        }
        FBL_TRY(fbl_reader_next(r));
    }
    FBL_TRY(fbl_reader_punct(r, ']'));
    buffer.is_output = fbl_reader_at_word(r, "out");
    FBL_TRY(buffer.is_output ? fbl_reader_next(r) : fbl_reader_word(r, "in"));
    if (fbl_reader_at_word(r, "over")) {
        FBL_TRY(fbl_reader_next(r));
        FBL_TRY(small(r, &buffer.alias));
    }
    size_t count = (size_t)k->kernel->buffer_count;
    if (count >= 4096) {
        return fbl_reader_expected(r, "fewer buffers");
    }
    FBL_PUSH(k->arena, k->kernel->buffers, count, k->buffers, buffer);
    k->kernel->buffer_count = (int32_t)count;
    return FBL_OK;
}

static FblStatus read_loop(KernelReader *k) {
    FblKernel *kernel = k->kernel;
    if (kernel->loop_count == FBL_KERNEL_MAX_LOOPS) {
        return fbl_reader_expected(k->r, "fewer loops");
    }
    FblKLoop *loop = &kernel->loops[kernel->loop_count++];
    FBL_TRY(bounded(k->r, 1, INT32_MAX, &loop->extent));
    if (k->r->token == FBL_TOKEN_STRING) {
        FBL_TRY(fbl_reader_name(k->r, &loop->label));
    }
    return FBL_OK;
}

static FblStatus read_op(FblReader *r, FblKInstr *instr) {
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        const FblOpInfo *info = fbl_op_info((FblOp)op);
        if (info->op_class == FBL_CLASS_POINTWISE && fbl_reader_at_word(r, info->text)) {
            int32_t count;
            instr->kind = FBL_K_OP;
            instr->op = (FblOp)op;
            FBL_TRY(fbl_reader_next(r));
            FBL_TRY(fbl_reader_dtype(r, &instr->dtype));
            FBL_TRY(list(r, true, 3, instr->args, &count));
            return count != info->arity ? fbl_reader_expected(r, "as many operands as the op has before this") : FBL_OK;
        }
    }
    return fbl_reader_expected(r, "an instruction");
}

static FblStatus read_instr(KernelReader *k) {
    FblReader *r = k->r;
    FblKInstr instr;
    memset(&instr, 0, sizeof instr);
    memset(instr.index, 0xff, sizeof instr.index);
    instr.args[0] = instr.args[1] = instr.args[2] = instr.guard = instr.otherwise = -1;
    size_t count = (size_t)k->kernel->instr_count;
    if (r->integer != k->kernel->instr_count || count >= INT32_MAX / 2) {
        return fbl_reader_expected(r, "the next instruction number");
    }
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_punct(r, '='));
    static const char *const names[] = {"const", "loop", "load", "result", "acc", "uniform", "round"};
    int choice = -1;
    for (int i = 0; i < 7; i++) {
        choice = fbl_reader_at_word(r, names[i]) ? i : choice;
    }
    if (choice >= 0) {
        FBL_TRY(fbl_reader_next(r));
    }
    int64_t stream;
    switch (choice) {
    case 0:
        instr.kind = FBL_K_CONST;
        FBL_TRY(fbl_reader_dtype(r, &instr.dtype));
        FBL_TRY(fbl_reader_double(r, &instr.value));
        break;
    case 1:
        instr.kind = FBL_K_LOOP;
        instr.dtype = FBL_I32;
        FBL_TRY(small(r, &instr.a));
        break;
    case 2:
        instr.kind = FBL_K_LOAD;
        FBL_TRY(fbl_reader_dtype(r, &instr.dtype));
        FBL_TRY(small(r, &instr.a));
        FBL_TRY(place(r, k->kernel, instr.a, instr.index));
        FBL_TRY(optional_node(r, "if", &instr.guard));
        FBL_TRY(optional_node(r, "else", &instr.otherwise));
        break;
    case 3:
        instr.kind = FBL_K_RESULT;
        FBL_TRY(fbl_reader_dtype(r, &instr.dtype));
        FBL_TRY(small(r, &instr.a));
        break;
    case 4: instr.kind = FBL_K_ACC; break;
    case 5:
        instr.kind = FBL_K_UNIFORM;
        FBL_TRY(bounded(r, 0, UINT32_MAX, &stream));
        instr.a = (int32_t)(uint32_t)stream;
        FBL_TRY(node(r, &instr.args[0]));
        break;
    case 6: {
        FblDtype to;
        instr.kind = FBL_K_ROUND;
        FBL_TRY(storage(r, true, &to));
        instr.a = (int32_t)to;
        FBL_TRY(node(r, &instr.args[0]));
        break;
    }
    default: FBL_TRY(read_op(r, &instr)); break;
    }
    FBL_PUSH(k->arena, k->kernel->instrs, count, k->instrs, instr);
    k->kernel->instr_count = (int32_t)count;
    return FBL_OK;
}

static FblStatus read_range(FblReader *r, int32_t *first, int32_t *last) {
    FBL_TRY(fbl_reader_word(r, "from"));
    FBL_TRY(small(r, first));
    FBL_TRY(fbl_reader_word(r, "to"));
    return small(r, last);
}

static FblStatus read_store(KernelReader *k, FblKStore *store) {
    FblReader *r = k->r;
    FBL_TRY(small(r, &store->buffer));
    FBL_TRY(place(r, k->kernel, store->buffer, store->index));
    FBL_TRY(node(r, &store->value));
    return optional_node(r, "if", &store->guard);
}

static FblStatus read_reduce(FblReader *r, FblKReduce *reduce) {
    static const FblOp ops[] = {FBL_OP_SUM, FBL_OP_REDUCE_MAX, FBL_OP_REDUCE_MIN, FBL_OP_ARGMAX};
    static const char *const names[] = {"sum", "reduce_max", "reduce_min", "argmax"};
    int choice;
    FBL_TRY(fbl_reader_choice(r, names, 4, "a reduction", &choice));
    reduce->op = ops[choice];
    FBL_TRY(fbl_reader_dtype(r, &reduce->dtype));
    FBL_TRY(node(r, &reduce->value));
    FBL_TRY(fbl_reader_word(r, "to"));
    return small(r, &reduce->result);
}

// { store ... reduce ... }; `stage` NULL: stores only.
static FblStatus read_actions(KernelReader *k, FblKStage *stage, FblKStore **stores, int32_t *store_count) {
    size_t count = 0, capacity = 0, reduces = 0, reduce_capacity = 0;
    FBL_TRY(fbl_reader_punct(k->r, '{'));
    while (!fbl_reader_at(k->r, '}')) {
        if (fbl_reader_at_word(k->r, "store")) {
            FblKStore store;
            FBL_TRY(fbl_reader_next(k->r));
            FBL_TRY(read_store(k, &store));
            FBL_PUSH(k->arena, *stores, count, capacity, store);
        } else if (stage && fbl_reader_at_word(k->r, "reduce")) {
            FblKReduce reduce;
            FBL_TRY(fbl_reader_next(k->r));
            FBL_TRY(read_reduce(k->r, &reduce));
            FBL_PUSH(k->arena, stage->reduces, reduces, reduce_capacity, reduce);
        } else {
            return fbl_reader_expected(k->r, "`store`, `reduce` or `}`");
        }
    }
    *store_count = (int32_t)count;
    if (stage) {
        stage->reduce_count = (int32_t)reduces;
    }
    return fbl_reader_next(k->r);
}

static FblStatus read_stage(KernelReader *k) {
    FblKStage stage = {0};
    int32_t loops[FBL_KERNEL_MAX_LOOPS];
    FBL_TRY(list(k->r, false, FBL_KERNEL_MAX_LOOPS, loops, &stage.loop_count));
    stage.loops = FBL_NEW_ARRAY(k->arena, int32_t, stage.loop_count + 1);
    memcpy(stage.loops, loops, (size_t)stage.loop_count * sizeof *loops);
    FBL_TRY(read_range(k->r, &stage.first, &stage.last));
    FBL_TRY(read_actions(k, &stage, &stage.stores, &stage.store_count));
    size_t count = (size_t)k->kernel->stage_count;
    FBL_PUSH(k->arena, k->kernel->stages, count, k->stages, stage);
    k->kernel->stage_count = (int32_t)count;
    return FBL_OK;
}

static FblStatus read_body(KernelReader *k, FblKBody *body) {
    FBL_TRY(list(k->r, false, 4, body->loops, &body->loop_count));
    FBL_TRY(read_range(k->r, &body->first, &body->last));
    FBL_TRY(optional_node(k->r, "value", &body->value));
    return read_actions(k, NULL, &body->stores, &body->store_count);
}

static FblStatus read_contraction(KernelReader *k) {
    int choice;
    FBL_TRY(fbl_reader_choice(k->r, fbl_contraction_kind_names, 4, "a kind of contraction", &choice));
    k->kernel->contraction.kind = (FblContractionKind)choice;
    FBL_TRY(fbl_reader_choice(k->r, fbl_conv_algorithm_names, 3, "an algorithm", &choice));
    k->kernel->contraction.algorithm = (FblConvAlgorithm)choice;
    for (int i = 0; i < FBL_CONTRACTION_FIELDS; i++) {
        int64_t value;
        FBL_TRY(bounded(k->r, 0, INT32_MAX, &value));
        memcpy((char *)&k->kernel->contraction + fbl_contraction_fields[i].offset, &value, sizeof value);
    }
    return FBL_OK;
}

static FblStatus read_library(KernelReader *k) {
    static const FblOp ops[] = {FBL_OP_CUMSUM, FBL_OP_ARGSORT, FBL_OP_BETA, FBL_OP_ALL_REDUCE, FBL_OP_ALL_GATHER};
    static const char *const names[] = {"cumsum", "argsort", "beta", "all_reduce", "all_gather"};
    int choice;
    FBL_TRY(fbl_reader_choice(k->r, names, 5, "a library op", &choice));
    k->kernel->library_op = ops[choice];
    for (int i = 0; i < 8; i++) {
        FBL_TRY(bounded(k->r, 0, MAX_EXTENT, &k->kernel->ints[i]));
    }
    return FBL_OK;
}

static FblStatus read_line(KernelReader *k) {
    FblReader *r = k->r;
    static const char *const names[] = {"buffer", "loop", "outer", "stage", "contraction", "operand", "epilogue", "library", "parts"};
    int choice;
    if (r->token == FBL_TOKEN_NODE) {
        return read_instr(k);
    }
    FBL_TRY(fbl_reader_choice(r, names, 9, "a part of a kernel", &choice));
    switch (choice) {
    case 0: return read_buffer(k);
    case 1: return read_loop(k);
    case 2:
        FBL_TRY(small(r, &k->kernel->outer_count));
        FBL_TRY(fbl_reader_word(r, "vector"));
        FBL_TRY(small(r, &k->kernel->vector_loop));
        FBL_TRY(fbl_reader_word(r, "results"));
        return small(r, &k->kernel->result_count);
    case 3: return read_stage(k);
    case 4: return read_contraction(k);
    case 5: return k->operands == 2 ? fbl_reader_expected(r, "two operands") : read_body(k, &k->kernel->operands[k->operands++]);
    case 6: return read_body(k, &k->kernel->epilogue);
    case 7: return read_library(k);
    default:
        FBL_TRY(bounded(r, 1, INT32_MAX, &k->kernel->part_rows));
        FBL_TRY(small(r, &k->kernel->part_loop));
        return small(r, &k->kernel->row_loop);
    }
}

FblStatus fbl_reader_kernel(FblReader *r, FblKernel **out_kernel) {
    FblArena *arena = fbl_context_arena(r->ctx);
    FblKernel *kernel = FBL_NEW(arena, FblKernel);
    KernelReader k = {.r = r, .kernel = kernel, .arena = arena};
    FblLoc begin = r->loc;
    int choice;
    kernel->name = "kernel";
    kernel->vector_loop = -1;
    FBL_TRY(fbl_reader_word(r, "kernel"));
    if (r->token == FBL_TOKEN_STRING) {
        FBL_TRY(fbl_reader_name(r, &kernel->name));
        FBL_TRY(fbl_reader_word(r, "note"));
        FBL_TRY(fbl_reader_name(r, &kernel->note));
        FBL_TRY(fbl_reader_word(r, "bytes"));
        FBL_TRY(fbl_reader_integer(r, &kernel->bytes));
        FBL_TRY(fbl_reader_word(r, "flops"));
        FBL_TRY(fbl_reader_integer(r, &kernel->flops));
    }
    FBL_TRY(fbl_reader_choice(r, fbl_kernel_kind_names, 3, "a kind of kernel", &choice));
    kernel->kind = (FblKernelKind)choice;
    FBL_TRY(fbl_reader_punct(r, '{'));
    while (!fbl_reader_at(r, '}')) {
        FBL_TRY(read_line(&k));
    }
    FBL_TRY(fbl_reader_next(r));
    if (fbl_kernel_verify(r->ctx, kernel) != FBL_OK) {
        return fbl_error(r->ctx, "E0411", begin, "this kernel is not well formed");
    }
    *out_kernel = kernel;
    return FBL_OK;
}

FblStatus fbl_kernel_read(FblContext *ctx, uint32_t file, FblKernel **out_kernel) {
    FblReader reader;
    FBL_TRY(fbl_reader_init(&reader, ctx, file));
    FBL_TRY(fbl_reader_kernel(&reader, out_kernel));
    return reader.token == FBL_TOKEN_END ? FBL_OK : fbl_reader_expected(&reader, "the end of the text");
}

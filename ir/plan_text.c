#include <string.h>

#include "ir/kernel_text.h"

#define MAX_BYTES ((int64_t)1 << 46)

static const char *const region_names[FBL_REGION_COUNT] = {"arena", "params", "grads", "slots", "states", "inputs", "outputs"};

static void print_tensor(FblText *text, const char *indent, const char *what, const FblPlanTensor *tensor) {
    fbl_text_printf(text, "%s%s ", indent, what);
    fbl_text_quoted(text, tensor->name);
    fbl_text_printf(text, " ");
    fbl_text_type(text, &tensor->type, true);
    fbl_text_printf(text, " %s %lld%s\n", region_names[tensor->region], (long long)tensor->offset, tensor->divided ? " divided" : "");
}

static void print_function(FblText *text, const FblPlan *plan, const FblPlanFunction *function) {
    fbl_text_printf(text, "  function ");
    fbl_text_quoted(text, function->name);
    fbl_text_printf(text, " arena %lld bound %lld {\n", (long long)function->arena_bytes, (long long)function->lower_bound_bytes);
    for (size_t i = 0; i < function->input_count; i++) {
        print_tensor(text, "    ", "input", &function->inputs[i]);
    }
    for (size_t i = 0; i < function->output_count; i++) {
        print_tensor(text, "    ", "output", &function->outputs[i]);
    }
    for (size_t i = 0; i < function->launch_count; i++) {
        const FblLaunch *launch = &function->launches[i];
        fbl_text_printf(text, "    launch %d ", launch->kernel);
        if (launch->chain > 0) {
            fbl_text_printf(text, "chain %d ", launch->chain);
        }
        fbl_text_quoted(text, launch->note ? launch->note : "");
        for (int32_t k = 0; k < plan->kernels[launch->kernel]->buffer_count; k++) {
            fbl_text_printf(text, " %s %lld", region_names[launch->bindings[k].region], (long long)launch->bindings[k].offset);
        }
        fbl_text_printf(text, "\n");
    }
    fbl_text_printf(text, "  }\n");
}

const char *fbl_plan_print(FblContext *ctx, const FblPlan *plan) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(ctx));
    fbl_text_printf(&text, "plan vector %lld {\n", (long long)plan->vector_bytes);
    for (int i = 0; i < FBL_REGION_COUNT; i++) {
        fbl_text_printf(&text, "  region %s %lld\n", region_names[i], (long long)plan->region_bytes[i]);
    }
    for (size_t i = 0; i < plan->param_count; i++) {
        print_tensor(&text, "  ", "param", &plan->params[i]);
    }
    for (size_t i = 0; i < plan->state_count; i++) {
        print_tensor(&text, "  ", "state", &plan->states[i]);
    }
    for (size_t i = 0; i < plan->kernel_count; i++) {
        fbl_kernel_print_to(&text, plan->kernels[i], true);
    }
    for (size_t i = 0; i < plan->function_count; i++) {
        print_function(&text, plan, &plan->functions[i]);
    }
    fbl_text_printf(&text, "}\n");
    return text.data;
}

// Reading ------------------------------------------------------------------------------------------------------------

static FblStatus read_bytes(FblReader *r, int64_t *out) {
    FblReader before = *r;
    FBL_TRY(fbl_reader_integer(r, out));
    return *out < 0 || *out > MAX_BYTES ? fbl_reader_expected(&before, "a number of bytes") : FBL_OK;
}

static FblStatus read_place(FblReader *r, FblRegion *region, int64_t *offset) {
    int choice;
    FBL_TRY(fbl_reader_choice(r, region_names, FBL_REGION_COUNT, "a region", &choice));
    *region = (FblRegion)choice;
    return read_bytes(r, offset);
}

static FblStatus read_tensor(FblReader *r, FblPlanTensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    FBL_TRY(fbl_reader_name(r, &tensor->name));
    FBL_TRY(fbl_reader_type(r, &tensor->type));
    FBL_TRY(read_place(r, &tensor->region, &tensor->offset));
    tensor->divided = fbl_reader_at_word(r, "divided");
    return tensor->divided ? fbl_reader_next(r) : FBL_OK;
}

static FblStatus read_launch(FblReader *r, const FblPlan *plan, FblLaunch *launch) {
    int64_t kernel;
    memset(launch, 0, sizeof *launch);
    FblReader before = *r;
    FBL_TRY(fbl_reader_integer(r, &kernel));
    if (kernel < 0 || (size_t)kernel >= plan->kernel_count) {
        return fbl_reader_expected(&before, "the number of a kernel before this");
    }
    launch->kernel = (int32_t)kernel;
    if (fbl_reader_at_word(r, "chain")) {
        int64_t chain;
        FBL_TRY(fbl_reader_next(r));
        before = *r;
        FBL_TRY(fbl_reader_integer(r, &chain));
        if (chain < 1 || chain > INT32_MAX) {
            return fbl_reader_expected(&before, "the number of a chain");
        }
        launch->chain = (int32_t)chain;
    }
    FBL_TRY(fbl_reader_name(r, &launch->note));
    int32_t count = plan->kernels[kernel]->buffer_count;
    launch->bindings = FBL_NEW_ARRAY(fbl_context_arena(r->ctx), FblPlanBinding, count + 1);
    for (int32_t i = 0; i < count; i++) {
        FBL_TRY(read_place(r, &launch->bindings[i].region, &launch->bindings[i].offset));
    }
    return FBL_OK;
}

static FblStatus read_function(FblReader *r, const FblPlan *plan, FblPlanFunction *function) {
    FblArena *arena = fbl_context_arena(r->ctx);
    static const char *const parts[] = {"input", "output", "launch"};
    size_t inputs = 0, outputs = 0, launches = 0;
    memset(function, 0, sizeof *function);
    FBL_TRY(fbl_reader_name(r, &function->name));
    FBL_TRY(fbl_reader_word(r, "arena"));
    FBL_TRY(read_bytes(r, &function->arena_bytes));
    FBL_TRY(fbl_reader_word(r, "bound"));
    FBL_TRY(read_bytes(r, &function->lower_bound_bytes));
    FBL_TRY(fbl_reader_punct(r, '{'));
    while (!fbl_reader_at(r, '}')) {
        int choice;
        FBL_TRY(fbl_reader_choice(r, parts, 3, "an input, output or launch", &choice));
        if (choice == 2) {
            FblLaunch launch;
            FBL_TRY(read_launch(r, plan, &launch));
            FBL_PUSH(arena, function->launches, function->launch_count, launches, launch);
            continue;
        }
        FblPlanTensor tensor;
        FBL_TRY(read_tensor(r, &tensor));
        if (choice == 0) {
            FBL_PUSH(arena, function->inputs, function->input_count, inputs, tensor);
        } else {
            FBL_PUSH(arena, function->outputs, function->output_count, outputs, tensor);
        }
    }
    return fbl_reader_next(r);
}

static FblStatus read_plan(FblReader *r, FblPlan *plan) {
    FblArena *arena = fbl_context_arena(r->ctx);
    static const char *const parts[] = {"region", "param", "state", "function"};
    size_t params = 0, states = 0, kernels = 0, functions = 0;
    FBL_TRY(fbl_reader_word(r, "plan"));
    FBL_TRY(fbl_reader_word(r, "vector"));
    FBL_TRY(read_bytes(r, &plan->vector_bytes));
    FBL_TRY(fbl_reader_punct(r, '{'));
    while (!fbl_reader_at(r, '}')) {
        if (fbl_reader_at_word(r, "kernel")) {
            FblKernel *kernel;
            FBL_TRY(fbl_reader_kernel(r, &kernel));
            FBL_PUSH(arena, plan->kernels, plan->kernel_count, kernels, kernel);
            continue;
        }
        int choice;
        FBL_TRY(fbl_reader_choice(r, parts, 4, "a part of a plan", &choice));
        if (choice == 0) {
            FblRegion region;
            int64_t bytes;
            FBL_TRY(read_place(r, &region, &bytes));
            plan->region_bytes[region] = bytes;
        } else if (choice == 3) {
            FblPlanFunction function;
            FBL_TRY(read_function(r, plan, &function));
            FBL_PUSH(arena, plan->functions, plan->function_count, functions, function);
        } else {
            FblPlanTensor tensor;
            FBL_TRY(read_tensor(r, &tensor));
            if (choice == 1) {
                FBL_PUSH(arena, plan->params, plan->param_count, params, tensor);
            } else {
                FBL_PUSH(arena, plan->states, plan->state_count, states, tensor);
            }
        }
    }
    return fbl_reader_next(r);
}

FblStatus fbl_plan_read(FblContext *ctx, uint32_t file, FblPlan **out_plan) {
    FblReader reader;
    FblPlan *plan = FBL_NEW(fbl_context_arena(ctx), FblPlan);
    FBL_TRY(fbl_reader_init(&reader, ctx, file));
    FblLoc begin = reader.loc;
    FBL_TRY(read_plan(&reader, plan));
    if (reader.token != FBL_TOKEN_END) {
        return fbl_reader_expected(&reader, "the end of the text");
    }
    if (fbl_plan_verify(ctx, plan) != FBL_OK) {
        return fbl_error(ctx, "E0621", begin, "this plan is not well formed");
    }
    *out_plan = plan;
    return FBL_OK;
}

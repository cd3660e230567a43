// What fusion does to layers: statistics in one read, chains of kernels by image, normalisation in the next convolution's
// prologue, activations in half precision. Values against the interpreter in double precision; results the same bits for every number of threads.
#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "cli/driver.h"
#include "ir/interp.h"
#include "passes/grad.h"
#include "runtime/safetensors.h"
#include "tests/base/unit.h"
#include "tests/ops/op_cases.h"

typedef struct Run {
    FblContext *ctx;
    FblDriver driver;
    FblPlan *plan;
    FblBuilt built;
    FblStore *store;
    FblExec *exec;
} Run;

static FblDtype storage = FBL_F32; // of the runs that are opened

static FblGraph *read_graph(FblContext *ctx, const char *text) {
    FblGraph *graph = NULL;
    FblStatus status = fbl_graph_read(ctx, fbl_source_add(ctx, "test.graph", text, strlen(text)), &graph);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return graph;
}

// Compiles and runs `graph` on the given leaves; everything is in *run until close_run.
static void open_run(FblContext *ctx, const FblGraph *graph, FblBindings *leaves, int threads, Run *run) {
    FblPassOptions options = fbl_options_default();
    *run = (Run){.ctx = ctx};
    assert_int_equal(fbl_driver_init(&run->driver, ctx, &options, threads), FBL_OK);
    FblLowerOptions lower = fbl_driver_lower_options(&run->driver);
    lower.storage = storage;
    FblStatus status = fbl_lower_graph(graph, &lower, &run->plan);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    assert_int_equal(fbl_driver_compile_plan(&run->driver, run->plan, &run->built), FBL_OK);
    assert_int_equal(fbl_driver_load(&run->driver, &run->built), FBL_OK);
    assert_int_equal(fbl_store_create(ctx, run->plan, &run->store), FBL_OK);
    assert_int_equal(fbl_driver_exec(&run->driver, &run->built, run->store, &run->exec), FBL_OK);
    for (size_t i = 0; i < run->plan->functions[0].input_count; i++) {
        const FblPlanTensor *tensor = &run->plan->functions[0].inputs[i];
        fbl_exec_set_tensor(run->exec, tensor, fbl_bindings_find(leaves, tensor->name)->data);
    }
    fbl_exec_call(run->exec, 0, 1, 0, NULL);
}

static void close_run(Run *run) {
    fbl_exec_destroy(run->exec);
    fbl_store_destroy(run->store);
    fbl_built_deinit(&run->built);
    fbl_driver_deinit(&run->driver);
}

static void shift(FblContext *ctx, FblBindings *leaves, const char *name, double offset) {
    FblTensor *tensor = fbl_bindings_find(leaves, fbl_intern(ctx, name));
    for (int64_t i = 0; i < fbl_type_elements(&tensor->type); i++) {
        tensor->data[i] = (double)(float)(tensor->data[i] + offset);
    }
}

// All outputs within `bound` of the largest magnitude of each.
static void compare_all(const Run *run, FblBindings *want, double bound) {
    const FblPlanFunction *f = &run->plan->functions[0];
    for (size_t i = 0; i < f->output_count; i++) {
        const FblTensor *value = fbl_bindings_find(want, f->outputs[i].name);
        const float *got = fbl_exec_address(run->exec, &f->outputs[i]);
        assert_non_null(value);
        double size = 0;
        for (int64_t k = 0; k < fbl_type_elements(&value->type); k++) {
            size = fmax(size, fabs(value->data[k]));
        }
        for (int64_t k = 0; k < fbl_type_elements(&value->type); k++) {
            if (!(fabs(got[k] - value->data[k]) <= bound * size)) {
                fail_msg("`%s`, element %lld: %.9g instead of %.9g", f->outputs[i].name, (long long)k, got[k], value->data[k]);
            }
        }
    }
}

// Mean and sum of squares about `MEAN` of 8 x 16 x 16 x 20 numbers.
#define MOMENTS(mean)                                                                                \
    "graph train {\n"                                                                                \
    "  %0 = input() {symbol=\"x\"} : f32[batch=8, channel=16, height=16, width=20]\n"                \
    "  %1 = input() {symbol=\"w\"} : f32[out=8, channel=16, kh=1, kw=1]\n"                           \
    "  %2 = sum(%0) {axes=[batch, height, width]} : f32[channel=16]\n" mean                          \
    "  %5 = sub(%0, %4) : f32[batch=8, channel=16, height=16, width=20]\n"                           \
    "  %6 = mul(%5, %5) : f32[batch=8, channel=16, height=16, width=20]\n"                           \
    "  %7 = sum(%6) {axes=[batch, height, width]} : f32[channel=16]\n"                               \
    "  output mean = %4\n"                                                                           \
    "  output squares = %7\n"                                                                        \
    "}\n"
#define OWN_MEAN "  %3 = const() {value=2560} : f32\n  %4 = div(%2, %3) : f32[channel=16]\n"
#define MEAN_OF_FEWER "  %3 = const() {value=2559} : f32\n  %4 = div(%2, %3) : f32[channel=16]\n"
#define LARGEST "  %3 = const() {value=0} : f32\n  %4 = reduce_max(%0) {axes=[batch, height, width]} : f32[channel=16]\n"

// f32 numbers about 1000 with a deviation of about 1: their distance to their mean is exact to 3e-5, its square sums to
// 1e-5 of itself. Sums of squares minus the square of the mean would be wrong by 0.06 a number, 6e-2.
static void statistics_keep_their_digits(void **state) {
    (void)state;
    const char *programs[3] = {MOMENTS(OWN_MEAN), MOMENTS(MEAN_OF_FEWER), MOMENTS(LARGEST)};
    for (int k = 0; k < 3; k++) {
        FblContext *ctx = fbl_context_create();
        FblGraph *graph = read_graph(ctx, programs[k]);
        FblBindings leaves = {0}, want = {0};
        op_case_inputs(graph, 5, false, &leaves);
        shift(ctx, &leaves, "x", 1000);
        assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){.seed = 1}, &want), FBL_OK);
        Run run;
        open_run(ctx, graph, &leaves, 2, &run);
        // About a mean that is wrong by 1000 / 2559 the squares feel its rounding: 2 * 0.4 * 1e-4 a number of size 2.
        compare_all(&run, &want, k == 1 ? 1e-4 : 1e-5);
        // One kernel that reads x, one that combines the images: only where the mean is that of the same numbers.
        int reads = 0;
        for (size_t i = 0; i < run.plan->functions[0].launch_count; i++) {
            const FblLaunch *launch = &run.plan->functions[0].launches[i];
            reads += run.plan->kernels[launch->kernel]->bytes > 8 * 16 * 16 * 20 * 4;
        }
        assert_int_equal(reads, k == 0 ? 1 : 2);
        close_run(&run);
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&want);
        fbl_context_destroy(ctx);
    }
}

// Two convolutions with normalisation and ReLU between, and a sum over what comes out.
static const char layers[] =
    "graph train {\n"
    "  %0 = input() {symbol=\"x\"} : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %1 = input() {symbol=\"w\"} : f32[channel_out=16, channel=16, kernel_height=3, kernel_width=3]\n"
    "  %2 = input() {symbol=\"v\"} : f32[channel_out=32, channel=16, kernel_height=3, kernel_width=3]\n"
    "  %3 = input() {symbol=\"scale\"} : f32[channel=16]\n"
    "  %4 = conv2d(%0, %1) {axes=[batch, channel, height, width], stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, dilation_w=1, groups=1} : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %5 = sum(%4) {axes=[batch, height, width]} : f32[channel=16]\n"
    "  %6 = const() {value=3456} : f32\n"
    "  %7 = div(%5, %6) : f32[channel=16]\n"
    "  %8 = sub(%4, %7) : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %9 = mul(%8, %8) : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %10 = sum(%9) {axes=[batch, height, width]} : f32[channel=16]\n"
    "  %11 = div(%10, %6) : f32[channel=16]\n"
    "  %12 = sqrt(%11) : f32[channel=16]\n"
    "  %13 = div(%3, %12) : f32[channel=16]\n"
    "  %14 = mul(%8, %13) : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %15 = const() {value=0} : f32\n"
    "  %16 = le(%14, %15) : bool[batch=6, channel=16, height=24, width=24]\n"
    "  %17 = select(%16, %15, %14) : f32[batch=6, channel=16, height=24, width=24]\n"
    "  %18 = conv2d(%17, %2) {axes=[batch, channel, height, width], stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, dilation_w=1, groups=1} : f32[batch=6, channel=32, height=24, width=24]\n"
    "  %19 = tanh(%18) : f32[batch=6, channel=32, height=24, width=24]\n"
    "  %20 = sum(%19) {axes=[batch, channel, height, width]} : f32\n"
    "  output loss = %20\n"
    "}\n";

static FblModule *layers_module(FblContext *ctx) {
    FblModule *module = FBL_NEW(fbl_context_arena(ctx), FblModule);
    module->ctx = ctx;
    module->train = read_graph(ctx, layers);
    return module;
}

static void make_layers(FblContext *ctx, FblModule **out_module, FblBindings *leaves, FblBindings *want) {
    FblModule *plain = layers_module(ctx);
    // A seed for which no normalised value is so near 0 that rounding decides its mask, since one flipped mask is a gradient's whole
    // size: the nearest is 1e-5 away (7e-8 with seed 11).
    op_case_inputs(plain->train, 12, false, leaves);
    assert_int_equal(fbl_pass_grad(plain, &(FblGradOptions){.wrt_inputs = true}), FBL_OK);
    assert_int_equal(fbl_interp_run(plain->train, leaves, &(FblInterpOptions){.seed = 1}, want), FBL_OK);
    FblPassOptions options = fbl_options_default();
    options.wrt_inputs = true;
    *out_module = layers_module(ctx);
    assert_int_equal(fbl_passes_run(*out_module, &options), FBL_OK);
}

static void layers_agree(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0}, want = {0};
    FblModule *module;
    make_layers(ctx, &module, &leaves, &want);
    Run alone, shared;
    open_run(ctx, module->train, &leaves, 1, &alone);
    compare_all(&alone, &want, 1e-4); // sums of some thousand products, and gradients that pass three such layers
    const FblPlanFunction *f = &alone.plan->functions[0];
    for (int threads = 2; threads <= 3; threads++) {
        open_run(ctx, module->train, &leaves, threads, &shared);
        for (size_t i = 0; i < f->output_count; i++) {
            size_t bytes = (size_t)fbl_type_elements(&f->outputs[i].type) * 4;
            const FblPlanTensor *other = fbl_exec_output(shared.exec, 0, f->outputs[i].name);
            assert_memory_equal(fbl_exec_address(alone.exec, &f->outputs[i]), fbl_exec_address(shared.exec, other), bytes);
        }
        close_run(&shared);
    }
    // No kernel stores what only convolutions read: the normalised image is in their prologues.
    for (size_t k = 0; k < alone.plan->kernel_count; k++) {
        assert_null(strstr(alone.plan->kernels[k]->name, "select_"));
    }
    close_run(&alone);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&want);
    fbl_context_destroy(ctx);
}

static const FblKernel *kernel_at(const FblPlan *plan, size_t launch) { return plan->kernels[plan->functions[0].launches[launch].kernel]; }

static void chains_end_where_all_images_are_needed(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0}, want = {0};
    FblModule *module;
    make_layers(ctx, &module, &leaves, &want);
    Run run;
    open_run(ctx, module->train, &leaves, 1, &run);
    FblPlanFunction *f = &run.plan->functions[0];
    // The first convolution and its statistics are a chain, their combination over the images is not in it.
    assert_int_equal(kernel_at(run.plan, 0)->kind, FBL_KERNEL_CONTRACTION);
    assert_true(f->launches[0].chain > 0);
    assert_int_equal(f->launches[1].chain, f->launches[0].chain);
    assert_int_equal(f->launches[2].chain, 0);
    // A chain that would not wait for it is refused.
    f->launches[2].chain = f->launches[1].chain;
    assert_int_equal(fbl_plan_verify(ctx, run.plan), FBL_INTERNAL);
    f->launches[2].chain = 0;
    // So is one in which an image's result lies where another's input is.
    int32_t x = -1;
    for (int32_t i = 0; i < kernel_at(run.plan, 1)->buffer_count; i++) {
        x = kernel_at(run.plan, 1)->buffers[i].rank > 2 ? i : x;
    }
    assert_true(x >= 0);
    f->launches[1].bindings[x].offset += 64;
    assert_int_equal(fbl_plan_verify(ctx, run.plan), FBL_INTERNAL);
    f->launches[1].bindings[x].offset -= 64;
    assert_int_equal(fbl_plan_verify(ctx, run.plan), FBL_OK);
    // And its text says the same.
    const char *text = fbl_plan_print(ctx, run.plan);
    FblPlan *again;
    assert_int_equal(fbl_plan_read(ctx, fbl_source_add(ctx, "test.plan", text, strlen(text)), &again), FBL_OK);
    assert_string_equal(fbl_plan_print(ctx, again), text);
    assert_int_equal(again->functions[0].launches[1].chain, f->launches[1].chain);
    close_run(&run);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&want);
    fbl_context_destroy(ctx);
}

// The Euclidean distance of every output to what is wanted, relative to its norm.
static double largest_distance(const Run *run, FblBindings *want) {
    const FblPlanFunction *f = &run->plan->functions[0];
    double largest = 0;
    for (size_t i = 0; i < f->output_count; i++) {
        const FblTensor *value = fbl_bindings_find(want, f->outputs[i].name);
        const float *got = fbl_exec_address(run->exec, &f->outputs[i]);
        double difference = 0, norm = 0;
        for (int64_t k = 0; k < fbl_type_elements(&value->type); k++) {
            difference += (got[k] - value->data[k]) * (got[k] - value->data[k]);
            norm += value->data[k] * value->data[k];
        }
        largest = fmax(largest, sqrt(difference / norm));
    }
    return largest;
}

static int64_t half_buffers(const FblPlan *plan) {
    int64_t count = 0;
    for (size_t k = 0; k < plan->kernel_count; k++) {
        for (int32_t i = 0; i < plan->kernels[k]->buffer_count; i++) {
            count += fbl_dtype_is_half(plan->kernels[k]->buffers[i].dtype);
        }
    }
    return count;
}

// The layers above and their gradients with activations in half precision. An element is rounded by at most r = 2^-9 (bf16)
// or 2^-12 (f16) of itself where it is stored. That switches about the fraction r of the ReLUs, those next to 0, whole: in the
// norm of a gradient sqrt(r), 0.044 and 0.016. Twice that is allowed; the arena holds about half as much.
static void layers_in_half_precision(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0}, want = {0};
    FblModule *module;
    Run full, half, shared;
    make_layers(ctx, &module, &leaves, &want);
    open_run(ctx, module->train, &leaves, 1, &full);
    assert_int_equal(half_buffers(full.plan), 0);
    for (int way = 0; way < 2; way++) {
        storage = way ? FBL_F16 : FBL_BF16;
        open_run(ctx, module->train, &leaves, 1, &half);
        double distance = largest_distance(&half, &want);
        if (!(distance <= (way ? 0.032 : 0.088))) {
            fail_msg("%s: a result is off by %.3g of its norm", fbl_dtype_name(storage), distance);
        }
        assert_true(half_buffers(half.plan) > 0);
        assert_true(half.plan->functions[0].arena_bytes * 100 <= full.plan->functions[0].arena_bytes * 55);
        open_run(ctx, module->train, &leaves, 2, &shared);
        const FblPlanFunction *f = &half.plan->functions[0];
        for (size_t i = 0; i < f->output_count; i++) {
            size_t bytes = (size_t)fbl_type_elements(&f->outputs[i].type) * 4;
            assert_memory_equal(fbl_exec_address(half.exec, &f->outputs[i]), fbl_exec_address(shared.exec, fbl_exec_output(shared.exec, 0, f->outputs[i].name)), bytes);
        }
        const char *text = fbl_plan_print(ctx, half.plan);
        FblPlan *again;
        assert_int_equal(fbl_plan_read(ctx, fbl_source_add(ctx, "test.plan", text, strlen(text)), &again), FBL_OK);
        assert_string_equal(fbl_plan_print(ctx, again), text);
        close_run(&shared);
        close_run(&half);
    }
    storage = FBL_F32;
    close_run(&full);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&want);
    fbl_context_destroy(ctx);
}

// `a` is stored for the convolution, and compared in the kernel that computes it; `r` is `a` as bf16 has it.
static const char rounded_where_made[] =
    "graph train {\n"
    "  %0 = input() {symbol=\"x\"} : f32[batch=4, channel=8, height=6, width=6]\n"
    "  %1 = input() {symbol=\"w\"} : f32[channel_out=8, channel=8, kernel_height=3, kernel_width=3]\n"
    "  %2 = input() {symbol=\"r\"} : f32[batch=4, channel=8, height=6, width=6]\n"
    "  %3 = const() {value=0.5} : f32\n"
    "  %4 = mul(%0, %3) : f32[batch=4, channel=8, height=6, width=6]\n"
    "  %5 = add(%4, %3) : f32[batch=4, channel=8, height=6, width=6]\n"
    "  %6 = eq(%5, %2) : bool[batch=4, channel=8, height=6, width=6]\n"
    "  %7 = cast(%6) : f32[batch=4, channel=8, height=6, width=6]\n"
    "  %8 = conv2d(%5, %1) {axes=[batch, channel, height, width], stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, dilation_w=1, groups=1} : f32[batch=4, channel=8, height=6, width=6]\n"
    "  output same = %7\n"
    "  output y = %8\n"
    "}\n";

static void what_is_stored_is_what_is_used(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(ctx, rounded_where_made);
    FblBindings leaves = {0};
    op_case_inputs(graph, 7, false, &leaves);
    const FblTensor *x = fbl_bindings_find(&leaves, fbl_intern(ctx, "x"));
    FblTensor *r = fbl_bindings_find(&leaves, fbl_intern(ctx, "r"));
    int64_t changed = 0;
    for (int64_t i = 0; i < fbl_type_elements(&x->type); i++) {
        float a = (float)((float)x->data[i] * 0.5f) + 0.5f;
        r->data[i] = (double)fbl_bf16_to_f32(fbl_f32_to_bf16(a));
        changed += r->data[i] != (double)a;
    }
    assert_true(changed > 100);
    storage = FBL_BF16;
    Run run;
    open_run(ctx, graph, &leaves, 1, &run);
    storage = FBL_F32;
    assert_int_equal(half_buffers(run.plan), 2);
    const FblPlanTensor *same = fbl_exec_output(run.exec, 0, fbl_intern(ctx, "same"));
    for (int64_t i = 0; i < fbl_type_elements(&same->type); i++) {
        assert_true(((const float *)fbl_exec_address(run.exec, same))[i] == 1.0f);
    }
    close_run(&run);
    fbl_bindings_free(&leaves);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(statistics_keep_their_digits), cmocka_unit_test(layers_agree), cmocka_unit_test(chains_end_where_all_images_are_needed),
                                       cmocka_unit_test(layers_in_half_precision), cmocka_unit_test(what_is_stored_is_what_is_used)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// cse, dce and hoist on small graphs, and that a whole run keeps what the program computes.
#include "tests/passes/support.h"

#include <math.h>

#include "passes/grad.h"
#include "passes/hoist.h"
#include "passes/manager.h"
#include "passes/simplify.h"

static void cse_merges_equal_nodes(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph =
        read_graph(ctx, "graph g {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = input() {symbol=\"x\"} : f32[a=3]\n"
                        " %2 = exp(%0) : f32[a=3]\n %3 = exp(%1) : f32[a=3]\n %4 = mul(%2, %0) : f32[a=3]\n"
                        " %5 = mul(%1, %3) : f32[a=3]\n %6 = add(%4, %5) : f32[a=3]\n output y = %6\n}\n");
    FblGraph *result = NULL;
    must(ctx, fbl_graph_cse(graph, &result), "cse");
    assert_string_equal(fbl_graph_print(result, false),
                        "graph g {\n  %0 = input() {symbol=\"x\"} : f32[a=3]\n  %1 = exp(%0) : f32[a=3]\n"
                        "  %2 = mul(%1, %0) : f32[a=3]\n  %3 = add(%2, %2) : f32[a=3]\n  output y = %3\n}\n");
    fbl_context_destroy(ctx);
}

// Other attributes, another type, another order of operands or of axes: other values.
static void cse_keeps_different_nodes(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(
        ctx,
        "graph g {\n %0 = input() {symbol=\"x\"} : f32[a=3, b=3]\n %1 = input() {symbol=\"y\"} : f32[a=3]\n"
        " %2 = sub(%0, %1) : f32[a=3, b=3]\n %3 = sub(%1, %0) : f32[a=3, b=3]\n"
        " %4 = sum(%0) {axes=[a]} : f32[b=3]\n %5 = sum(%0) {axes=[b]} : f32[a=3]\n"
        " %6 = const() {value=0} : f32\n %7 = const() {value=-0} : f32\n %8 = const() {value=0} : i32\n"
        " %9 = uniform() {stream=1} : f32[a=3]\n %10 = uniform() {stream=2} : f32[a=3]\n"
        " %11 = broadcast(%0) : f32[b=3, a=3]\n %12 = slice(%0) {axis=a, start=0, step=1, count=2} : f32[a=2, b=3]\n"
        " %13 = slice(%0) {axis=a, start=1, step=1, count=2} : f32[a=2, b=3]\n %14 = max(%0, %1) : f32[a=3, b=3]\n"
        " %15 = min(%0, %1) : f32[a=3, b=3]\n"
        " output a = %2\n output b = %3\n output c = %4\n output d = %5\n output e = %6\n output f = %7\n output g = "
        "%8\n"
        " output h = %9\n output i = %10\n output j = %11\n output k = %12\n output l = %13\n output m = %14\n output "
        "n = %15\n}\n");
    FblGraph *result = NULL;
    must(ctx, fbl_graph_cse(graph, &result), "cse");
    assert_string_equal(fbl_graph_print(result, false), fbl_graph_print(graph, false));
    fbl_context_destroy(ctx);
}

static void dce_drops_only_what_nothing_needs(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph =
        read_graph(ctx, "graph g {\n %0 = input() {symbol=\"x\"} : f32\n %1 = input() {symbol=\"unused\"} : f32\n"
                        " %2 = exp(%0) : f32\n %3 = exp(%1) : f32\n %4 = state() {symbol=\"s\"} : f32\n"
                        " %5 = add(%4, %0) : f32\n output y = %2\n update s = %5\n}\n");
    FblGraph *result = NULL;
    must(ctx, fbl_graph_dce(graph, &result), "dce");
    assert_string_equal(
        fbl_graph_print(result, false),
        "graph g {\n  %0 = input() {symbol=\"x\"} : f32\n  %1 = exp(%0) : f32\n"
        "  %2 = state() {symbol=\"s\"} : f32\n  %3 = add(%2, %0) : f32\n  output y = %1\n  update s = %3\n}\n");
    fbl_context_destroy(ctx);
}

// lambda * log(class_count) moves, with the epoch's scalar; what touches a parameter, the batch, the step or chance
// stays.
#define HOISTABLE                                                                                                      \
    "graph train {\n %0 = input() {symbol=\"class_count\"} : f32[class=3]\n %1 = input() {symbol=\"epoch\"} : f32\n"   \
    " %2 = input() {symbol=\"lambda\"} : f32\n %3 = param() {symbol=\"w\"} : f32[batch=2, class=3]\n"                  \
    " %4 = log(%0) : f32[class=3]\n %5 = mul(%2, %4) : f32[class=3]\n %6 = const() {value=100} : f32\n"                \
    " %7 = div(%1, %6) : f32\n %8 = add(%3, %5) : f32[batch=2, class=3]\n %9 = mul(%8, %7) : f32[batch=2, class=3]\n"  \
    " %10 = input() {symbol=\"step\"} : f32\n %11 = mul(%10, %7) : f32\n %12 = broadcast(%11) : f32[batch=2]\n"        \
    " %13 = add(%9, %12) : f32[batch=2, class=3]\n %14 = mul(%13, %0) : f32[batch=2, class=3]\n"                       \
    " %15 = mul(%14, %6) : f32[batch=2, class=3]\n %16 = uniform() {stream=1} : f32[class=3]\n"                        \
    " %17 = mul(%16, %7) : f32[class=3]\n %18 = add(%15, %17) : f32[batch=2, class=3]\n"                               \
    " %19 = lt(%0, %6) : bool[class=3]\n %20 = select(%19, %18, %6) : f32[class=3, batch=2]\n"                         \
    " %21 = sum(%20) {axes=[batch, class]} : f32\n output loss = %21\n output scale = %7\n}\n"

static FblModule *hoistable(FblContext *ctx) {
    FblModule *module = module_of(ctx, read_graph(ctx, HOISTABLE));
    module->hypers = FBL_NEW_ARRAY(fbl_context_arena(ctx), FblHyper, 1);
    module->hypers[0] = (FblHyper){fbl_intern(ctx, "lambda"), 60};
    module->hyper_count = 1;
    return module;
}

static void hoist_moves_the_frontier(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblModule *module = hoistable(ctx);
    module->epoch = read_graph(
        ctx, "graph epoch {\n %0 = input() {symbol=\"epoch\"} : f32\n %1 = neg(%0) : f32\n output rate = %1\n}\n");
    must(ctx, fbl_pass_hoist(module), "hoist");
    assert_string_equal(
        fbl_graph_print(module->epoch, false),
        "graph epoch {\n  %0 = input() {symbol=\"epoch\"} : f32\n  %1 = neg(%0) : f32\n"
        "  %2 = input() {symbol=\"class_count\"} : f32[class=3]\n  %3 = input() {symbol=\"lambda\"} : f32\n"
        "  %4 = log(%2) : f32[class=3]\n  %5 = mul(%3, %4) : f32[class=3]\n  %6 = const() {value=100} : f32\n"
        "  %7 = div(%0, %6) : f32\n  %8 = lt(%2, %6) : bool[class=3]\n  output rate = %1\n"
        "  output hoist.0 = %5\n  output hoist.1 = %7\n  output hoist.2 = %8\n}\n");
    assert_int_equal(count_op(module->train, FBL_OP_LOG), 0);
    assert_int_equal(count_op(module->train, FBL_OP_LT), 0);
    const FblNode *scale = &module->train->nodes[find_root(module->train, FBL_ROOT_OUTPUT, "scale")->node];
    assert_int_equal(scale->op, FBL_OP_INPUT);
    assert_string_equal(scale->attr.names[0], "hoist.1");
    must(ctx, fbl_graph_verify(module->train), "train");
    must(ctx, fbl_graph_verify(module->epoch), "epoch");
    const char *once = fbl_graph_print(module->train, false);
    must(ctx, fbl_pass_hoist(module), "hoist again"); // nothing is left to move
    assert_string_equal(fbl_graph_print(module->train, false), once);
    fbl_context_destroy(ctx);
}

// Runs train on the leaves, with the epoch graph's outputs as further leaves, and returns the root.
static double run_loss(FblModule *module, FblBindings *leaves, const char *root) {
    FblContext *ctx = module->ctx;
    FblBindings epoch = {0};
    FblBindings results = {0};
    FblInterpOptions options = {.seed = 9, .step = 4};
    if (module->epoch != NULL) {
        must(ctx, fbl_interp_run(module->epoch, leaves, &options, &epoch), "epoch");
        for (size_t i = 0; i < epoch.count; i++) {
            FblTensor copy;
            must(ctx, fbl_tensor_create(&epoch.items[i].tensor.type, &copy), "copy");
            memcpy(copy.data, epoch.items[i].tensor.data, sizeof(double) * (size_t)fbl_type_elements(&copy.type));
            must(ctx, fbl_bindings_set(leaves, epoch.items[i].name, copy), "copy");
        }
    }
    must(ctx, fbl_interp_run(module->train, leaves, &options, &results), "train");
    double value = 0; // elements weighted by their place, so that none can change unseen
    const FblTensor *tensor = fbl_bindings_find(&results, fbl_intern(ctx, root));
    assert_non_null(tensor);
    for (int64_t i = 0; i < fbl_type_elements(&tensor->type); i++) {
        value += tensor->data[i] * (double)(i + 1);
    }
    fbl_bindings_free(&epoch);
    fbl_bindings_free(&results);
    return value;
}

static void a_whole_run_keeps_values(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblModule *plain = hoistable(ctx);
    FblModule *module = hoistable(ctx);
    FblBindings leaves = {0};
    must(ctx, fbl_gradcheck_fill(plain, plain->train, 3, &leaves), "fill");
    must(ctx, fbl_pass_grad(plain, &(FblGradOptions){0}), "grad");
    FblPassOptions options = fbl_options_default();
    options.verify_text = true;
    must(ctx, fbl_passes_run(module, &options), "passes");
    assert_non_null(module->epoch);
    const char *roots[] = {"loss", "grad.w", "scale"};
    for (int i = 0; i < 3; i++) {
        double before = run_loss(plain, &leaves, roots[i]);
        double after = run_loss(module, &leaves, roots[i]);
        assert_true(fabs(before - after) <= 1e-13 * fabs(before)); // sums of six terms, reassociated
        assert_true(before != 0);
    }
    fbl_bindings_free(&leaves);
    fbl_context_destroy(ctx);
}

// Differentiated and simplified, batch normalisation needs two sums over the images besides those of the forward pass:
// of g and of g times the deviation.
static void batch_norm_backward_is_two_sums(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(
        ctx, "graph train {\n %0 = input() {symbol=\"x\"} : f32[batch=2, channel=4, height=7, width=5]\n"
             " %1 = input() {symbol=\"weight\"} : f32[channel=4]\n %2 = input() {symbol=\"bias\"} : f32[channel=4]\n"
             " %3 = sum(%0) {axes=[batch, height, width]} : f32[channel=4]\n %4 = const() {value=70} : f32\n"
             " %5 = div(%3, %4) : f32[channel=4]\n %6 = sub(%0, %5) : f32[batch=2, channel=4, height=7, width=5]\n"
             " %7 = mul(%6, %6) : f32[batch=2, channel=4, height=7, width=5]\n"
             " %8 = sum(%7) {axes=[batch, height, width]} : f32[channel=4]\n %9 = div(%8, %4) : f32[channel=4]\n"
             " %10 = const() {value=0.00001} : f32\n %11 = add(%9, %10) : f32[channel=4]\n %12 = sqrt(%11) : "
             "f32[channel=4]\n"
             " %13 = div(%1, %12) : f32[channel=4]\n %14 = sub(%0, %5) : f32[batch=2, channel=4, height=7, width=5]\n"
             " %15 = mul(%14, %13) : f32[batch=2, channel=4, height=7, width=5]\n"
             " %16 = add(%15, %2) : f32[batch=2, channel=4, height=7, width=5]\n %17 = input() {symbol=\"g\"} : "
             "f32[batch=2, channel=4, height=7, width=5]\n"
             " %18 = mul(%16, %17) : f32[batch=2, channel=4, height=7, width=5]\n"
             " %19 = sum(%18) {axes=[batch, channel, height, width]} : f32\n output loss = %19\n}\n");
    FblModule *module = module_of(ctx, graph);
    FblPassOptions options = fbl_options_default();
    options.wrt_inputs = true;
    must(ctx, fbl_passes_run(module, &options), "passes");
    int sums = 0;
    for (size_t i = 0; i < module->train->count; i++) {
        const FblNode *node = &module->train->nodes[i];
        sums += node->op == FBL_OP_SUM && fbl_graph_type(module->train, node->inputs[0])->rank == 4;
    }
    assert_int_equal(sums, 5); // mean, variance, loss; g, g times the deviation
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cse_merges_equal_nodes),
        cmocka_unit_test(cse_keeps_different_nodes),
        cmocka_unit_test(dce_drops_only_what_nothing_needs),
        cmocka_unit_test(hoist_moves_the_frontier),
        cmocka_unit_test(a_whole_run_keeps_values),
        cmocka_unit_test(batch_norm_backward_is_two_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

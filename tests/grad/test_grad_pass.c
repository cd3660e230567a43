// The differentiation pass around the rules: which leaves get gradients, values at ties and corners, diagnostics.
#include "tests/passes/support.h"

#include <math.h>

#include "passes/grad.h"

static FblNodeId named_input(const FblGraph *graph, const char *name) {
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].op == FBL_OP_INPUT && strcmp(graph->nodes[i].attr.names[0], name) == 0) {
            return (FblNodeId)i;
        }
    }
    return FBL_NO_NODE;
}

static void bind(FblContext *ctx, FblBindings *leaves, const FblGraph *graph, const char *name, const double *values) {
    FblTensor tensor;
    const FblType *type = fbl_graph_type(graph, named_input(graph, name));
    must(ctx, fbl_tensor_create(type, &tensor), name);
    memcpy(tensor.data, values, sizeof(double) * (size_t)fbl_type_elements(type));
    must(ctx, fbl_bindings_set(leaves, fbl_intern(ctx, name), tensor), name);
}

// Checks the gradient of sum(y) with respect to x at the given place; y = the graph's root `loss`.
static void check_gradient(const char *text, const double *x, const double *expected, int count) {
    FblContext *ctx = fbl_context_create();
    FblModule *module = module_of(ctx, read_graph(ctx, text));
    FblBindings leaves = {0};
    FblBindings results = {0};
    bind(ctx, &leaves, module->train, "x", x);
    must(ctx, fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = true}), text);
    must(ctx, fbl_interp_run(module->train, &leaves, &(FblInterpOptions){0}, &results), text);
    const FblTensor *grad = fbl_bindings_find(&results, fbl_intern(ctx, "grad.x"));
    assert_non_null(grad);
    for (int i = 0; i < count; i++) {
        if (fabs(grad->data[i] - expected[i]) > 1e-12) {
            fail_msg("element %d is %g, expected %g:\n%s", i, grad->data[i], expected[i], text);
        }
    }
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
}

// Ties share, corners take the value written down in ir/ops.def, roots guarded by a select stay finite.
static void ties_and_corners(void **state) {
    (void)state;
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=4]\n"
                   " %1 = reduce_max(%0) {axes=[a]} : f32\n output loss = %1\n}\n",
                   (double[]){2, 5, 5, 1}, (double[]){0, 0.5, 0.5, 0}, 4);
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = const() {value=1} : f32\n"
                   " %2 = max(%0, %1) : f32[a=3]\n %3 = sum(%2) {axes=[a]} : f32\n output loss = %3\n}\n",
                   (double[]){0, 1, 2}, (double[]){0, 0.5, 1}, 3);
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = const() {value=1} : f32\n"
                   " %2 = min(%1, %0) : f32[a=3]\n %3 = sum(%2) {axes=[a]} : f32\n output loss = %3\n}\n",
                   (double[]){0, 1, 2}, (double[]){1, 0.5, 0}, 3);
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = abs(%0) : f32[a=3]\n"
                   " %2 = sum(%1) {axes=[a]} : f32\n output loss = %2\n}\n",
                   (double[]){-2, 0, 3}, (double[]){-1, 0, 1}, 3);
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = const() {value=3} : f32\n"
                   " %2 = pow(%0, %1) : f32[a=3]\n %3 = sum(%2) {axes=[a]} : f32\n output loss = %3\n}\n",
                   (double[]){-2, 0, 3}, (double[]){12, 0, 27}, 3);
    // The exponent is an input that is 0: the power is 1 everywhere, also at 0.
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = sub(%0, %0) : f32[a=3]\n"
                   " %2 = pow(%0, %1) : f32[a=3]\n %3 = sum(%2) {axes=[a]} : f32\n output loss = %3\n}\n",
                   (double[]){2, 0, 1}, (double[]){0, 0, 0}, 3);
    // The norm of a zero vector as the prelude writes it.
    check_gradient("graph train {\n %0 = input() {symbol=\"x\"} : f32[a=2]\n %1 = mul(%0, %0) : f32[a=2]\n"
                   " %2 = sum(%1) {axes=[a]} : f32\n %3 = const() {value=0} : f32\n %4 = lt(%3, %2) : bool\n"
                   " %5 = const() {value=1} : f32\n %6 = select(%4, %2, %5) : f32\n %7 = sqrt(%6) : f32\n"
                   " %8 = mul(%3, %2) : f32\n %9 = select(%4, %7, %8) : f32\n output loss = %9\n}\n",
                   (double[]){0, 0}, (double[]){0, 0}, 2);
}

#define PROGRAM                                                                                                        \
    "graph train {\n %0 = param() {symbol=\"w\"} : f32[b=2, a=3]\n %1 = param() {symbol=\"v\"} : f32[a=3]\n"           \
    " %2 = input() {symbol=\"x\"} : f32[a=3]\n %3 = input() {symbol=\"class_count\"} : f32[a=3]\n"                     \
    " %4 = input() {symbol=\"lambda\"} : f32\n %5 = mul(%2, %0) : f32[a=3, b=2]\n %6 = mul(%5, %4) : f32[a=3, b=2]\n"  \
    " %7 = mul(%6, %3) : f32[a=3, b=2]\n %8 = stop_gradient(%1) : f32[a=3]\n %9 = mul(%7, %8) : f32[a=3, b=2]\n"       \
    " %10 = sum(%9) {axes=[a, b]} : f32\n %11 = input() {symbol=\"unused\"} : f32[c=4]\n output loss = %10\n}\n"

static FblModule *program(FblContext *ctx, bool w_trainable) {
    FblModule *module = module_of(ctx, read_graph(ctx, PROGRAM));
    static FblHyper hyper;
    hyper = (FblHyper){fbl_intern(ctx, "lambda"), 60};
    module->hypers = &hyper;
    module->hyper_count = 1;
    FblParam *params = FBL_NEW_ARRAY(fbl_context_arena(ctx), FblParam, 2);
    params[0] =
        (FblParam){.path = fbl_intern(ctx, "w"), .type = module->train->nodes[0].type, .trainable = w_trainable};
    params[1] = (FblParam){.path = fbl_intern(ctx, "v"), .type = module->train->nodes[1].type, .trainable = true};
    module->params = (FblParamList){params, 2, 2};
    return module;
}

static void wanted_leaves(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblModule *module = program(ctx, true);
    size_t forward = module->train->count;
    must(ctx, fbl_pass_grad(module, &(FblGradOptions){0}), "parameters");
    assert_non_null(find_root(module->train, FBL_ROOT_GRAD, "w"));
    assert_null(find_root(module->train, FBL_ROOT_GRAD, "v")); // behind stop_gradient
    assert_null(find_root(module->train, FBL_ROOT_GRAD, "x"));
    for (size_t i = 0; i < forward; i++) { // ids of forward nodes are kept
        assert_int_equal(module->train->nodes[i].op, read_graph(ctx, PROGRAM)->nodes[i].op);
        assert_int_equal(module->train->nodes[i].origin, FBL_NO_NODE);
    }
    const FblType *type = fbl_graph_type(module->train, find_root(module->train, FBL_ROOT_GRAD, "w")->node);
    assert_true(fbl_type_equal(type, &module->train->nodes[0].type)); // the order of its axes too

    module = program(ctx, false); // frozen: no backward code for w
    must(ctx, fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = true}), "inputs");
    assert_null(find_root(module->train, FBL_ROOT_GRAD, "w"));
    assert_non_null(find_root(module->train, FBL_ROOT_GRAD, "x"));
    assert_null(find_root(module->train, FBL_ROOT_GRAD, "class_count"));
    assert_null(find_root(module->train, FBL_ROOT_GRAD, "lambda"));
    const FblRoot *unused = find_root(module->train, FBL_ROOT_GRAD, "unused"); // zeros, not nothing
    assert_non_null(unused);
    assert_int_equal(module->train->nodes[unused->node].op, FBL_OP_BROADCAST);
    fbl_context_destroy(ctx);
}

static void check_diagnostic(const char *text, bool wrt_inputs, const char *expected) {
    FblContext *ctx = fbl_context_create();
    FblModule *module = module_of(ctx, read_graph(ctx, text));
    assert_int_equal(fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = wrt_inputs}), FBL_USER);
    const char *found = diagnostics(ctx);
    if (strstr(found, expected) == NULL) {
        fail_msg("expected `%s` in:\n%s", expected, found);
    }
    fbl_context_destroy(ctx);
}

static void diagnostics_say_where(void **state) {
    (void)state;
    const char *argmax = "graph train {\n %0 = param() {symbol=\"w\"} : f32[class=3]\n"
                         " %1 = argmax(%0) {axes=[class]} : i32<class=3>\n %2 = cast(%1) : f32\n output loss = %2\n}\n";
    check_diagnostic(argmax, false, "E0301");
    check_diagnostic(argmax, false, "the loss has no derivative with respect to any trainable parameter");
    check_diagnostic(argmax, false, "a path ends here: the result of `argmax` is an integer");
    const char *stop = "graph train {\n %0 = input() {symbol=\"x\"} : f32\n %1 = stop_gradient(%0) : f32\n"
                       " %2 = mul(%1, %1) : f32\n output loss = %2\n}\n";
    check_diagnostic(stop, true, "with respect to any parameter or float input");
    check_diagnostic(stop, true, "a path ends here: the derivative of `stop_gradient` is 0");
    check_diagnostic(stop, false, "nothing is trainable: there are no parameters, or all of them are frozen");
    const char *floor_text =
        "graph train {\n %0 = input() {symbol=\"x\"} : f32\n %1 = floor(%0) : f32\n output loss = %1\n}\n";
    check_diagnostic(floor_text, true, "a path ends here: the derivative of `floor` is 0");
    const char *beta = "graph train {\n %0 = input() {symbol=\"x\"} : f32\n %1 = beta(%0, %0) {stream=3} : f32\n"
                       " output loss = %1\n}\n";
    check_diagnostic(beta, true, "a path ends here: the derivative of `beta` is 0");
    const char *unrelated = "graph train {\n %0 = param() {symbol=\"w\"} : f32\n %1 = const() {value=1} : f32\n"
                            " output loss = %1\n}\n";
    check_diagnostic(unrelated, false, "its value does not depend on any of them");
    const char *vector = "graph train {\n %0 = param() {symbol=\"w\"} : f32[a=3]\n output loss = %0\n}\n";
    check_diagnostic(vector, false, "E0303");
    check_diagnostic(vector, false, "the loss must be one number, but it is f32[a=3]");
    const char *none = "graph train {\n %0 = param() {symbol=\"w\"} : f32\n output score = %0\n}\n";
    check_diagnostic(none, false, "the program has no loss to differentiate");
    const char *symbolic = "graph train {\n %0 = param() {symbol=\"w\"} : f32[class=?1]\n"
                           " %1 = input() {symbol=\"label\"} : i32<class=?1>\n"
                           " %2 = gather(%0, %1) {axes=[class]} : f32\n output loss = %2\n}\n";
    check_diagnostic(symbolic, false, "E0302");
    check_diagnostic(symbolic, false, "the derivative of `gather` cannot be formed: an extent is not known");
}

// A wrong derivative must fail the check, a corner must not.
static void gradcheck_can_fail(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGradCheckOptions options = FBL_GRADCHECK_DEFAULT;
    FblGradCheckResult *results = NULL;
    size_t count = 0;
    // The gradient root is 2.001 x instead of 2 x.
    FblModule *module = module_of(
        ctx, read_graph(ctx, "graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = mul(%0, %0) : f32[a=3]\n"
                             " %2 = sum(%1) {axes=[a]} : f32\n %3 = const() {value=2.001} : f32\n"
                             " %4 = mul(%0, %3) : f32[a=3]\n output loss = %2\n grad x = %4\n}\n"));
    must(ctx, fbl_gradcheck(module, NULL, NULL, &options, &results, &count), "gradcheck");
    assert_int_equal(count, 1);
    assert_false(results[0].ok);
    assert_true(results[0].max_relative_error > 4e-4 && results[0].max_relative_error < 6e-4);
    assert_int_equal(results[0].checked, 3);

    module = module_of(
        ctx, read_graph(ctx, "graph train {\n %0 = input() {symbol=\"x\"} : f32[a=3]\n %1 = abs(%0) : f32[a=3]\n"
                             " %2 = sum(%1) {axes=[a]} : f32\n output loss = %2\n}\n"));
    FblBindings leaves = {0};
    bind(ctx, &leaves, module->train, "x", (double[]){0, -1, 2e-6});
    must(ctx, fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = true}), "grad");
    must(ctx, fbl_gradcheck(module, NULL, &leaves, &options, &results, &count), "gradcheck");
    assert_true(results[0].ok);
    assert_int_equal(results[0].checked, 1);
    assert_int_equal(results[0].kinks, 2);
    fbl_bindings_free(&leaves);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_and_corners),
        cmocka_unit_test(wanted_leaves),
        cmocka_unit_test(diagnostics_say_where),
        cmocka_unit_test(gradcheck_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

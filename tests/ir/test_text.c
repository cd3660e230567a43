// The text of graphs and modules: print, read, print again; and broken text.
#include "ir/module_text.h"

#include <math.h>

#include "base/io.h"
#include "tests/ir/unit.h"

static const char module_text[] =
    "module {\n"
    "  slots 2\n"
    "  param layer1.0.conv1.weight : f32[channel_out=4, channel=3, kernel_height=3, kernel_width=3] = normal(0, "
    "0.2721655269759087) trainable true group 1\n"
    "  param \"odd name\" : f32[\"\xCE\xBB\"=2] = uniform(-0.5, 0.5) trainable false group 0\n"
    "  state bn1.running_var : f32[channel=4] = constant(1, 0) trainable false group 0\n"
    "  hyper loss.lambda = 60\n"
    "  hyper optimizer.momentum = 0.9\n"
    "  recipe {\n"
    "    train = true\n"
    "    dataset = cifar10(\"data \\\"x\\\" \\\\\\n\\x01\", imbalance=exponential(0.01), seed=0)\n"
    "    augment = [random_crop(32, pad=4), random_flip(), none, true, -3, 2.0, 1e+300, nan, -inf]\n"
    "    normalize = normalize(mean=[0.4914, 0.1], std=[1.0])\n"
    "    sampler = none\n"
    "    mixup = 0.2\n"
    "    reinit = [\"fc.weight\", \"fc.bias\"]\n"
    "    batch = 64\n"
    "    epochs = 200\n"
    "    seed = 18446744073709551615\n"
    "    optimizer = adamw\n"
    "    nesterov = true\n"
    "    group none rate 1 decay 0.0002\n"
    "    group \"*.bias\" rate 2 decay 0\n"
    "    predict = \"score\"\n"
    "    loss = \"feature_balanced\"\n"
    "  }\n"
    "  train = graph train {\n"
    "    %0 = const() {value=0.1} : f32\n"
    "    %1 = neg(%0) : f32 from %0\n"
    "    output loss = %0\n"
    "    grad layer1.0.conv1.weight = %1\n"
    "    update bn1.running_var = %1\n"
    "  }\n"
    "  epoch = graph \"a b\" {\n"
    "  }\n"
    "}\n";

static FblModule *read_module(FblContext *ctx, const char *text) {
    FblModule *module = NULL;
    if (fbl_module_read(ctx, add_text(ctx, text), &module) != FBL_OK) {
        fbl_diag_flush(ctx, stderr, false);
        fail();
    }
    return module;
}

static void module_round_trip(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblModule *module = read_module(ctx, module_text);
    assert_string_equal(fbl_module_print(module), module_text);
    assert_int_equal(module->params.count, 2);
    assert_int_equal(module->params.items[0].group, 1);
    assert_true(module->params.items[0].trainable);
    assert_true(module->params.items[0].init.b == 0.2721655269759087);
    assert_ptr_equal(fbl_param_find(&module->params, fbl_intern(ctx, "odd name")), &module->params.items[1]);
    assert_null(fbl_param_find(&module->params, fbl_intern(ctx, "odd")));
    assert_true(module->recipe.seed == UINT64_MAX);
    assert_true(module->recipe.augment.items[5].kind == FBL_VALUE_REAL);
    assert_true(isnan(module->recipe.augment.items[7].real));
    assert_string_equal(module->recipe.dataset.items[0].string, "data \"x\" \\\n\x01");
    assert_string_equal(module->recipe.reinit.items[1].string, "fc.bias");
    assert_non_null(module->train);
    assert_null(module->eval);
    assert_int_equal(module->train->nodes[1].origin, 0);
    fbl_context_destroy(ctx);
}

static void values_by_key_and_place(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const FblValue *call = &read_module(ctx, module_text)->recipe.dataset;
    assert_ptr_equal(fbl_value_get(call, "seed", 0), &call->items[0]); // the positional item comes first
    assert_ptr_equal(fbl_value_get(call, "seed", -1), &call->items[2]);
    assert_ptr_equal(fbl_value_get(call, NULL, 0), &call->items[0]);
    assert_null(fbl_value_get(call, NULL, 1));
    assert_null(fbl_value_get(call, "directory", -1));
    assert_null(fbl_value_get(&call->items[0], "seed", 0));
    fbl_context_destroy(ctx);
}

// Every field of the recipe is in the text: who adds one must write and read it (and then change the size here).
static void recipe_is_complete(void **state) {
    (void)state;
    if (sizeof(void *) == 8) {
        assert_int_equal(sizeof(FblRecipe),
                         6 * sizeof(FblValue) + 3 * 8 + 8 + sizeof(FblOptimizerGroup *) + sizeof(size_t) + 2 * 8 + 16);
    }
}

static void doubles_survive(void **state) {
    (void)state;
    static const double values[] = {0.1,  -0.0,     1.0 / 3,   5e-324, 1.7976931348623157e308, 123456789012345678.0,
                                    1e22, INFINITY, -INFINITY, NAN,    0x1.fffffffffffffp-2,   -1e-7};
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = fbl_graph_create(ctx, "g");
    size_t count = sizeof values / sizeof *values;
    for (size_t i = 0; i < count; i++) {
        fbl_graph_const(graph, FBL_F32, values[i], FBL_NO_LOC);
    }
    FblGraph *again = read_graph(ctx, fbl_graph_print(graph, false));
    assert_int_equal(again->count, count);
    for (size_t i = 0; i < count; i++) {
        double value = again->nodes[i].attr.value;
        assert_true(isnan(values[i]) ? isnan(value) : memcmp(&value, &values[i], sizeof value) == 0);
    }
    fbl_context_destroy(ctx);
}

static void locations_are_comments(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(ctx, "graph g {\n%0 = const() {value=1} : f32\noutput y = %0\n}\n");
    graph->nodes[0].path = "net > conv1";
    const char *text = fbl_graph_print(graph, true);
    assert_string_equal(text, "graph g {\n  %0 = const() {value=1} : f32  # g:2 net > conv1\n  output y = %0\n}\n");
    assert_string_equal(fbl_graph_print(read_graph(ctx, text), false),
                        "graph g {\n  %0 = const() {value=1} : f32\n  output y = %0\n}\n");
    fbl_context_destroy(ctx);
}

static void words_of_broken_text(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "g:1:1: error[E0210]: expected `graph`, found the end of the text\n"},
        {"graph g {\n", "g:2:1: error[E0210]: expected a node, a root or `}`, found the end of the text\n"},
        {"graph g {} x", "g:1:12: error[E0210]: expected the end of the text, found `x`\n"},
        {"graph \"g", "g:1:7: error[E0210]: this string doesn't end\n"},
        {"graph \"\\q\" {}", "g:1:8: error[E0210]: unknown escape in a string\n"},
        {"graph g { @ }", "g:1:11: error[E0210]: unexpected byte\n"},
        {"graph g { %0 = const() {value=1x} : f32 }", "g:1:31: error[E0210]: this is no number\n"},
        {"graph g { %0 = const() {value=one} : f32 }", "g:1:31: error[E0210]: expected a number, found `one`\n"},
        {"graph g { %0 = const() {valu=1} : f32 }", "g:1:25: error[E0210]: expected `value=`, found `valu`\n"},
        {"graph g { %0 = const() : f32 }", "g:1:24: error[E0210]: expected `{`, found `:`\n"},
        {"graph g { %0 = adds() : f32 }",
         "g:1:16: error[E0211]: no operation is called `adds`\nhint: did you mean `add`?\n"},
        {"graph g { %0 = neg(%0) : f32 }", "g:1:20: error[E0214]: %0 isn't defined before its use\n"},
        {"graph g { %1 = const() {value=1} : f32 }",
         "g:1:11: error[E0214]: nodes are numbered in order: expected %0\n"},
        {"graph g { %0 = const() {value=1} : f32 from %1 }",
         "g:1:11: error[E0214]: %1, the origin of %0, isn't in the graph\n"},
        {"graph g { %0 = const() {value=1} : f32 %1 = neg(%0) : i32 }",
         "g:1:55: error[E0213]: the type of %1 is f32, not i32\n"},
        {"graph g { %0 = const() {value=1} : f64 }",
         "g:1:36: error[E0210]: expected a type (f32, i32, bool), found `f64`\n"},
        {"graph g { %0 = input() {symbol=\"x\"} : f32[a=0] }", "g:1:45: error[E0210]: expected an extent, found `0`\n"},
        {"graph g { %0 = input() {symbol=\"x\"} : f32[a=2, a=2] }",
         "g:1:11: error[E0207]: `input`: the result type has an axis twice\n"},
        {"graph g { output y = %0 }", "g:1:22: error[E0210]: expected a node of the graph, found `%0`\n"},
        {"graph g { %0 = const() {value=1} : f32 output y = %0 output y = %0 }",
         "g:1:68: error[E0215]: the root `y` stands twice\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblGraph *graph;
        assert_int_equal(fbl_graph_read(ctx, add_text(ctx, cases[i].text), &graph), FBL_USER);
        char *got = messages(ctx);
        assert_string_equal(got, cases[i].message);
        free(got);
        fbl_context_destroy(ctx);
    }
}

static void words_of_broken_modules(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"module { slots 99 }", "g:1:16: error[E0216]: a parameter has 0 to 16 optimizer slots\n"},
        {"module { slots 0 recipe { size = 3 } }", "g:1:27: error[E0216]: a recipe has no field `size`\n"},
        {"module { slots 0 train = graph t {} train = graph t {} }",
         "g:1:37: error[E0216]: the module has two `train` graphs\n"},
        {"module { slots 0 param w : f32 = constant(0, 0) trainable true group 1 }",
         "g:1:18: error[E0216]: no such optimizer group\n"},
        {"module { slots 0 param w : f32 = cauchy(0, 0) trainable true group 1 }",
         "g:1:34: error[E0210]: expected constant, normal or uniform, found `cauchy`\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblModule *module;
        assert_int_equal(fbl_module_read(ctx, add_text(ctx, cases[i].text), &module), FBL_USER);
        char *got = messages(ctx);
        assert_string_equal(got, cases[i].message);
        free(got);
        fbl_context_destroy(ctx);
    }
}

// Reads damaged text: either it is refused with a diagnostic, or what was read prints and reads again.
static void expect_safe(const char *text, size_t length) {
    FblContext *ctx = fbl_context_create();
    FblModule *module = NULL;
    FblStatus status = fbl_module_read(ctx, fbl_source_add(ctx, "g", text, length), &module);
    if (status == FBL_OK) {
        const char *printed = fbl_module_print(module);
        assert_string_equal(fbl_module_print(read_module(ctx, printed)), printed);
    } else {
        assert_int_equal(status, FBL_USER);
        assert_true(fbl_diag_error_count(ctx) > 0);
    }
    fbl_context_destroy(ctx);
}

static void damage_is_survived(void **state) {
    (void)state;
    static const char bytes[] = {'\0', '"', '\\', '9', '-', '{', ')', '%', '?', '#', '\xFF', '.', '\n'};
    char text[sizeof module_text];
    size_t length = sizeof module_text - 1;
    for (size_t i = 0; i < length; i++) {
        expect_safe(module_text, i);
        memcpy(text, module_text, sizeof text);
        text[i] = bytes[i % sizeof bytes];
        expect_safe(text, length);
        memmove(text + i, module_text + i + 1, length - i);
        expect_safe(text, length - 1);
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 64);
    assert_non_null(text);
    int length = sprintf(text, "module { slots 0 recipe { mixup = ");
    memset(text + length, '[', DEPTH);
    expect_safe(text, (size_t)length + DEPTH);
    free(text);
}

// The stream of a parameter depends on its path alone, the numbers on seed and element; moments within five errors.
static void initial_values(void **state) {
    (void)state;
    enum { N = 10000 };
    FblContext *ctx = fbl_context_create();
    FblParam param = {.path = fbl_intern(ctx, "w"), .type = fbl_type_scalar(FBL_F32)};
    double *a = calloc(N, sizeof *a);
    double *b = calloc(N, sizeof *b);
    double sum = 0;
    double squares = 0;
    fbl_type_add_axis(&param.type, fbl_intern(ctx, "k"), N);
    param.init = (FblInit){FBL_INIT_NORMAL, 3, 2};
    fbl_init_tensor(&param, 1, a);
    for (int i = 0; i < N; i++) {
        assert_true(a[i] == (double)(float)a[i]);
        sum += (a[i] - 3) / 2;
        squares += (a[i] - 3) / 2 * ((a[i] - 3) / 2);
    }
    assert_true(fabs(sum / N) < 5 / sqrt(N));
    assert_true(fabs(squares / N - 1) < 5 * sqrt(2.0 / N));
    param.type.axes[0].extent = N / 2; // a prefix stays the same
    fbl_init_tensor(&param, 1, b);
    assert_memory_equal(a, b, N / 2 * sizeof *a);
    fbl_init_tensor(&param, 2, b);
    assert_true(a[0] != b[0]);
    param.init = (FblInit){FBL_INIT_UNIFORM, -1, 3};
    param.type.axes[0].extent = N;
    fbl_init_tensor(&param, 1, a);
    sum = 0;
    for (int i = 0; i < N; i++) {
        assert_true(a[i] >= -1 && a[i] <= 3);
        sum += a[i];
    }
    assert_true(fabs(sum / N - 1) < 5 * (4 / sqrt(12.0)) / sqrt(N));
    param.init = (FblInit){FBL_INIT_CONSTANT, 0.1, 0};
    fbl_init_tensor(&param, 1, a);
    assert_true(a[N - 1] == (double)0.1f);
    free(a);
    free(b);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(module_round_trip),       cmocka_unit_test(values_by_key_and_place),
        cmocka_unit_test(recipe_is_complete),      cmocka_unit_test(doubles_survive),
        cmocka_unit_test(locations_are_comments),  cmocka_unit_test(words_of_broken_text),
        cmocka_unit_test(words_of_broken_modules), cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(deep_nesting_is_refused), cmocka_unit_test(initial_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The interpreter against the values that record_cases.py computed with numpy (data/cases.txt): every operation.
#include "ir/interp.h"

#include <math.h>

#include "base/beta.h"
#include "base/io.h"
#include "tests/ir/unit.h"

#define MAX_VALUES 4096

// A cursor over the lines of the case file.
typedef struct Lines {
    char *next;
} Lines;

static char *next_line(Lines *lines) {
    char *line = lines->next;
    if (*line == '\0') {
        return NULL;
    }
    char *end = strchr(line, '\n');
    assert_non_null(end);
    *end = '\0';
    lines->next = end + 1;
    return line;
}

static size_t parse_numbers(const char *text, double *values) {
    size_t count = 0;
    char *end;
    for (;;) {
        double value = strtod(text, &end);
        if (end == text) {
            return count;
        }
        assert_true(count < MAX_VALUES);
        values[count++] = value;
        text = end;
    }
}

static const FblType *input_type(const FblGraph *graph, FblName symbol) {
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].op == FBL_OP_INPUT && graph->nodes[i].attr.names[0] == symbol) {
            return &graph->nodes[i].type;
        }
    }
    fail();
    return NULL;
}

// Sums of at most 100 terms of size 1 to 10 in another order: 1e-13 is some 400 roundings of a double.
static bool close_enough(double a, double b) {
    return isnan(b) ? isnan(a) : fabs(a - b) <= 1e-13 * (1 + fabs(b));
}

static void bind(FblContext *ctx, const FblGraph *graph, FblBindings *leaves, char *line) {
    double values[MAX_VALUES];
    char *space = strchr(line, ' ');
    FblName name = fbl_intern_n(ctx, line, (size_t)(space - line));
    FblTensor tensor;
    size_t count = parse_numbers(space, values);
    assert_int_equal(fbl_tensor_create(input_type(graph, name), &tensor), FBL_OK);
    assert_int_equal(fbl_type_elements(&tensor.type), count);
    memcpy(tensor.data, values, count * sizeof *values);
    assert_int_equal(fbl_bindings_set(leaves, name, tensor), FBL_OK);
}

static void compare(FblContext *ctx, const char *name, FblBindings *results, const char *line) {
    double values[MAX_VALUES];
    size_t count = parse_numbers(line + 1, values); // the root is called y
    FblTensor *got = fbl_bindings_find(results, fbl_intern(ctx, "y"));
    assert_non_null(got);
    assert_int_equal(fbl_type_elements(&got->type), count);
    for (size_t i = 0; i < count; i++) {
        if (!close_enough(got->data[i], values[i])) {
            fail_msg("case %s, element %zu: %.17g, wanted %.17g", name, i, got->data[i], values[i]);
        }
    }
}

// Runs the case that begins at `line`; notes the operations that it holds.
static void run_case(Lines *lines, char *line, bool *seen) {
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0};
    FblBindings results = {0};
    FblInterpOptions options = {.seed = 0x123456789, .step = 5};
    const char *name = line + strlen("case ");
    char text[8192];
    size_t length = 0;
    do {
        line = next_line(lines);
        assert_non_null(line);
        size_t size = strlen(line);
        assert_true(length + size + 2 < sizeof text);
        memcpy(text + length, line, size);
        length += size;
        text[length++] = '\n';
    } while (line[0] != '}');
    text[length] = '\0';
    FblGraph *graph = read_graph(ctx, text);
    assert_int_equal(fbl_graph_verify(graph), FBL_OK);
    assert_string_equal(fbl_graph_print(graph, false), text);
    for (size_t i = 0; i < graph->count; i++) {
        seen[graph->nodes[i].op] = true;
    }
    for (line = next_line(lines); strncmp(line, "leaf ", 5) == 0; line = next_line(lines)) {
        bind(ctx, graph, &leaves, line + 5);
    }
    assert_int_equal(fbl_interp_run(graph, &leaves, &options, &results), FBL_OK);
    compare(ctx, name, &results, line + strlen("want "));
    assert_string_equal(next_line(lines), "end");
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
}

static void recorded_values(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char *data;
    size_t size;
    bool seen[FBL_OP_COUNT] = {0};
    assert_int_equal(fbl_read_file(ctx, "tests/ir/data/cases.txt", 1 << 22, &data, &size), FBL_OK);
    Lines lines = {data};
    for (char *line = next_line(&lines); line != NULL; line = next_line(&lines)) {
        assert_true(strncmp(line, "case ", 5) == 0);
        run_case(&lines, line, seen);
    }
    // PARAM and STATE are read as INPUT is; BETA and collectives have tests of their own below.
    seen[FBL_OP_PARAM] = seen[FBL_OP_STATE] = seen[FBL_OP_BETA] = seen[FBL_OP_ALL_REDUCE] = seen[FBL_OP_ALL_GATHER] = true;
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        if (!seen[op]) {
            fail_msg("no recorded case for `%s`", fbl_op_info((FblOp)op)->text);
        }
    }
    free(data);
    fbl_context_destroy(ctx);
}

static double one(FblContext *ctx, FblBindings *results, const char *name) {
    FblTensor *tensor = fbl_bindings_find(results, fbl_intern(ctx, name));
    assert_non_null(tensor);
    assert_int_equal(tensor->type.rank, 0);
    return tensor->data[0];
}

static void set_scalar(FblContext *ctx, FblBindings *leaves, const char *name, double value) {
    FblType type = fbl_type_scalar(FBL_F32);
    FblTensor tensor;
    assert_int_equal(fbl_tensor_create(&type, &tensor), FBL_OK);
    tensor.data[0] = value;
    assert_int_equal(fbl_bindings_set(leaves, fbl_intern(ctx, name), tensor), FBL_OK);
}

// All kinds of leaves and roots; a leaf in another axis order; a value that no root needs is not computed.
static void leaves_and_roots(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0};
    FblBindings results = {0};
    FblInterpOptions options = {0};
    FblGraph *graph = read_graph(ctx, "graph g {\n"
                                      "%0 = input() {symbol=\"x\"} : f32[a=2, b=3]\n"
                                      "%1 = param() {symbol=\"w\"} : f32\n"
                                      "%2 = state() {symbol=\"s\"} : f32\n"
                                      "%3 = input() {symbol=\"absent\"} : f32\n"
                                      "%4 = slice(%0) {axis=a, start=1, step=1, count=1} : f32[a=1, b=3]\n"
                                      "%5 = slice(%4) {axis=b, start=0, step=1, count=1} : f32[a=1, b=1]\n"
                                      "%6 = sum(%5) {axes=[a, b]} : f32\n"
                                      "%7 = add(%2, %1) : f32\n"
                                      "%8 = mul(%7, %1) : f32\n"
                                      "output y = %6\n update s = %7\n grad w = %8\n}\n");
    FblType type = fbl_type_scalar(FBL_F32);
    FblTensor x;
    fbl_type_add_axis(&type, fbl_intern(ctx, "b"), 3);
    fbl_type_add_axis(&type, fbl_intern(ctx, "a"), 2);
    assert_int_equal(fbl_tensor_create(&type, &x), FBL_OK);
    for (int i = 0; i < 6; i++) {
        x.data[i] = i;
    }
    assert_int_equal(fbl_bindings_set(&leaves, fbl_intern(ctx, "x"), x), FBL_OK);
    set_scalar(ctx, &leaves, "w", 3);
    set_scalar(ctx, &leaves, "s", 4);
    assert_int_equal(fbl_interp_run(graph, &leaves, &options, &results), FBL_OK);
    assert_true(one(ctx, &results, "y") == 1); // b = 0, a = 1
    assert_true(one(ctx, &results, "s") == 7);
    assert_true(one(ctx, &results, "grad.w") == 21);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
}

static void rounds_to_f32(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0};
    FblBindings results = {0};
    FblGraph *graph = read_graph(ctx, "graph g {\n%0 = const() {value=0.1} : f32\n output y = %0\n}\n");
    assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){0}, &results), FBL_OK);
    assert_true(one(ctx, &results, "y") == 0.1);
    assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){.round_f32 = true}, &results), FBL_OK);
    assert_true(one(ctx, &results, "y") == (double)0.1f);
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
}

// What goes wrong while running, word for word.
static void run_errors(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"graph g {\n%0 = input() {symbol=\"z\"} : f32\noutput y = %0\n}\n",
         "g:2:1: error[E0240]: no value for input `z`\n"},
        {"graph g {\n%0 = input() {symbol=\"x\"} : f32[a=2]\noutput y = %0\n}\n",
         "g:2:1: error[E0241]: the value for `x` is f32, not f32[a=2]\n"},
        {"graph g {\n%0 = input() {symbol=\"x\"} : f32[a=?1]\noutput y = %0\n}\n",
         "g:2:1: error[E0205]: f32[a] can't be computed while an extent is unknown\n"},
        {"graph g {\n%0 = iota() : i32<k=3>[k=3]\n%1 = input() {symbol=\"x\"} : i32<k=3>\n"
         "%2 = gather(%0, %1) {axes=[k]} : i32<k=3>\noutput y = %2\n}\n",
         "g:4:1: error[E0243]: the label -1 is not in the axis `k` of 3\n"},
        {"graph g {\n%0 = iota() : i32<k=3>[k=3]\n%1 = input() {symbol=\"x\"} : f32\n%2 = mul(%0, %0) : i32[k=3]\n"
         "%3 = log(%2) : f32[k=3] from %2\noutput y = %3\n}\n",
         "g:5:1: error[E0242]: backward: `log` (%3) gives -infinity at [k=0]\n"
         "g:4:1: note: in the gradient of `mul` (%2)\n"},
        {"graph g {\n%0 = input() {symbol=\"x\"} : f32\n%1 = sqrt(%0) : f32\noutput y = %1\n}\n",
         "g:3:1: error[E0242]: forward: `sqrt` (%1) gives NaN\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblBindings leaves = {0};
        FblBindings results = {0};
        FblGraph *graph = read_graph(ctx, cases[i].text);
        set_scalar(ctx, &leaves, "x", -1);
        assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){.check_finite = true}, &results), FBL_USER);
        char *text = messages(ctx);
        assert_string_equal(text, cases[i].message);
        free(text);
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&results);
        fbl_context_destroy(ctx);
    }
}

// Mean and variance of Beta(a, b) over 20,000 draws, each within five standard errors (the fourth moment of a number in
// [0, 1] is at most its variance, so the variance's error is bounded by sqrt(variance / n)).
static void beta_moments(void **state) {
    (void)state;
    static const double shapes[][2] = {{1, 1}, {0.2, 0.2}, {2, 5}, {0.01, 0.02}, {300, 100}};
    const int n = 20000;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        double a = shapes[s][0];
        double b = shapes[s][1];
        double mean = a / (a + b);
        double variance = a * b / ((a + b) * (a + b) * (a + b + 1));
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < n; i++) {
            double value = fbl_random_beta(1, 2, (uint64_t)i, a, b);
            assert_true(value >= 0 && value <= 1);
            sum += value;
            squares += (value - mean) * (value - mean);
        }
        assert_true(fabs(sum / n - mean) < 5 * sqrt(variance / n));
        assert_true(fabs(squares / n - variance) < 5 * sqrt(variance / n));
    }
    assert_true(fbl_random_beta(1, 2, 3, 0.5, 0.5) == fbl_random_beta(1, 2, 3, 0.5, 0.5));
    assert_true(fbl_random_beta(1, 2, 3, 0.5, 0.5) != fbl_random_beta(1, 3, 3, 0.5, 0.5));
    assert_true(isnan(fbl_random_beta(1, 2, 3, 0, 1)));
    assert_true(isnan(fbl_random_beta(1, 2, 3, 1, INFINITY)));
}

static void beta_op(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0};
    FblBindings results = {0};
    FblGraph *graph = read_graph(ctx, "graph g {\n%0 = const() {value=0.25} : f32\n%1 = const() {value=2} : i32\n"
                                      "%2 = beta(%0, %1) {stream=9} : f32\noutput y = %2\n}\n");
    assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){.seed = 3, .step = 4}, &results), FBL_OK);
    assert_true(one(ctx, &results, "y") == fbl_random_beta(3, 9, 4, 0.25, 2));
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
}

// Three shards see each other's values; as many as the types say, or E0244.
static void collectives(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(ctx, "graph g {\n"
                                      "  %0 = input() {symbol=\"x\"} : f32[a=2, b=2]\n"
                                      "  %1 = all_reduce(%0) : f32[a=2, b=2]\n"
                                      "  %2 = all_gather(%0) : f32[a=6, b=2]\n"
                                      "  output sum = %1\n"
                                      "  output all = %2\n"
                                      "}\n");
    assert_int_equal(fbl_graph_verify(graph), FBL_OK);
    FblInterpOptions options = {0};
    FblBindings leaves[3] = {{0}}, outputs[3] = {{0}};
    for (int s = 0; s < 3; s++) {
        FblTensor x;
        assert_int_equal(fbl_tensor_create(&graph->nodes[0].type, &x), FBL_OK);
        for (int i = 0; i < 4; i++) {
            x.data[i] = 10 * s + i;
        }
        assert_int_equal(fbl_bindings_set(&leaves[s], fbl_intern(ctx, "x"), x), FBL_OK);
    }
    assert_int_equal(fbl_interp_shards(graph, 3, leaves, &options, outputs), FBL_OK);
    for (int s = 0; s < 3; s++) {
        const FblTensor *sum = fbl_bindings_find(&outputs[s], fbl_intern(ctx, "sum")), *all = fbl_bindings_find(&outputs[s], fbl_intern(ctx, "all"));
        for (int i = 0; i < 4; i++) {
            assert_true(sum->data[i] == 30 + 3 * i);
        }
        for (int i = 0; i < 12; i++) {
            assert_true(all->data[i] == 10 * (i / 4) + i % 4);
        }
        fbl_bindings_free(&outputs[s]);
    }
    assert_int_equal(fbl_interp_shards(graph, 2, leaves, &options, outputs), FBL_USER);
    for (int s = 0; s < 3; s++) {
        fbl_bindings_free(&leaves[s]);
        fbl_bindings_free(&outputs[s]);
    }
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_values), cmocka_unit_test(leaves_and_roots), cmocka_unit_test(rounds_to_f32),
        cmocka_unit_test(run_errors),      cmocka_unit_test(beta_moments),     cmocka_unit_test(beta_op), cmocka_unit_test(collectives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

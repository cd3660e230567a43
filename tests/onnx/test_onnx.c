// ONNX models, decoded again with the schema's own reader: every input of every node is there before it, names are made once, shapes are those of the graph,
// and what cannot be written is refused with its name.
#include "tests/passes/support.h"

#include "codegen/onnx/onnx.h"
#include "onnx.pb-c.h"

static float weight_values[64];

static const float *weights(void *arg, FblName path) {
    (void)arg;
    return strcmp(path, "w") == 0 ? weight_values : NULL;
}

static Onnx__ModelProto *encode(FblContext *ctx, const char *body, const char *output) {
    FblGraph *graph = read_graph(ctx, fbl_arena_printf(fbl_context_arena(ctx), "graph eval {\n%s}\n", body));
    FblName name = fbl_intern(ctx, output);
    const uint8_t *bytes;
    size_t size;
    must(ctx, fbl_onnx_encode(graph, &(FblOnnxOptions){&name, 1, weights, NULL}, &bytes, &size), "encode");
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);
    assert_non_null(model);
    return model;
}

static bool known(const Onnx__GraphProto *graph, size_t before, const char *name) {
    bool found = false;
    for (size_t i = 0; i < graph->n_input; i++) {
        found |= strcmp(graph->input[i]->name, name) == 0;
    }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        found |= strcmp(graph->initializer[i]->name, name) == 0;
    }
    for (size_t i = 0; i < before; i++) {
        found |= strcmp(graph->node[i]->output[0], name) == 0;
    }
    return found;
}

static void check_order(const Onnx__GraphProto *graph) {
    for (size_t i = 0; i < graph->n_node; i++) {
        for (size_t k = 0; k < graph->node[i]->n_input; k++) {
            if (!known(graph, i, graph->node[i]->input[k])) {
                fail_msg("node %zu (%s) reads %s, which nothing before it makes", i, graph->node[i]->op_type, graph->node[i]->input[k]);
            }
        }
        assert_false(known(graph, i, graph->node[i]->output[0]));
    }
    for (size_t i = 0; i < graph->n_output; i++) {
        assert_true(known(graph, graph->n_node, graph->output[i]->name));
    }
}

static const Onnx__NodeProto *find(const Onnx__GraphProto *graph, const char *op) {
    for (size_t i = 0; i < graph->n_node; i++) {
        if (strcmp(graph->node[i]->op_type, op) == 0) {
            return graph->node[i];
        }
    }
    fail_msg("no %s", op);
    return NULL;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name) {
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (strcmp(node->attribute[i]->name, name) == 0) {
            return node->attribute[i];
        }
    }
    fail_msg("%s has no %s", node->op_type, name);
    return NULL;
}

static void axes_are_aligned(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    Onnx__ModelProto *model = encode(ctx,
                                     "%0 = input() {symbol=\"x\"} : f32[batch=4, a=3, b=5]\n%1 = param() {symbol=\"w\"} : f32[b=5, a=3]\n"
                                     "%2 = mul(%0, %1) : f32[batch=4, a=3, b=5]\n%3 = sum(%2) {axes=[b]} : f32[batch=4, a=3]\n"
                                     "%4 = sub(%2, %3) : f32[batch=4, a=3, b=5]\noutput y = %4\n",
                                     "y");
    check_order(model->graph);
    const Onnx__AttributeProto *perm = attribute(find(model->graph, "Transpose"), "perm");
    assert_int_equal(perm->n_ints, 2);
    assert_int_equal(perm->ints[0], 1); // w [b, a] read as [a, b]; its missing batch stands in front and needs no dimension
    assert_int_equal(perm->ints[1], 0);
    find(model->graph, "Unsqueeze"); // the sum [batch, a] beside [batch, a, b]
    assert_int_equal(model->graph->n_initializer, 1 + 2);
    assert_int_equal(model->graph->initializer[0]->raw_data.len, 15 * 4);
    assert_memory_equal(model->graph->initializer[0]->raw_data.data, weight_values, 15 * 4);
    const Onnx__TensorShapeProto *shape = model->graph->input[0]->type->tensor_type->shape;
    assert_string_equal(shape->dim[0]->dim_param, "batch");
    assert_int_equal(shape->dim[2]->dim_value, 5);
    onnx__model_proto__free_unpacked(model, NULL);
    fbl_context_destroy(ctx);
}

static void only_what_the_output_needs(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    Onnx__ModelProto *model = encode(ctx,
                                     "%0 = input() {symbol=\"x\"} : f32[batch=4, a=3]\n%1 = input() {symbol=\"label\"} : i32<a=3>[batch=4]\n"
                                     "%2 = gather(%0, %1) {axes=[a]} : f32[batch=4]\n%3 = exp(%0) : f32[batch=4, a=3]\noutput y = %3\noutput z = %2\n",
                                     "y");
    check_order(model->graph);
    assert_int_equal(model->graph->n_input, 1);
    assert_int_equal(model->graph->n_node, 2);
    onnx__model_proto__free_unpacked(model, NULL);
    fbl_context_destroy(ctx);
}

static void contractions_are_einsums(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    Onnx__ModelProto *model = encode(ctx,
                                     "%0 = input() {symbol=\"x\"} : f32[batch=4, a=3]\n%1 = param() {symbol=\"w\"} : f32[b=5, a=3]\n"
                                     "%2 = contract(%0, %1) {axes=[a]} : f32[batch=4, b=5]\noutput y = %2\n",
                                     "y");
    check_order(model->graph);
    const ProtobufCBinaryData equation = attribute(find(model->graph, "Einsum"), "equation")->s;
    assert_int_equal(equation.len, 9);
    assert_memory_equal(equation.data, "ab,cb->ac", 9);
    onnx__model_proto__free_unpacked(model, NULL);
    fbl_context_destroy(ctx);
}

static void refuses_by_name(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(ctx, "graph eval {\n%0 = uniform() {stream=1} : f32[a=3]\noutput y = %0\n}\n");
    FblName name = fbl_intern(ctx, "y"), other = fbl_intern(ctx, "score");
    const uint8_t *bytes;
    size_t size;
    assert_int_equal(fbl_onnx_encode(graph, &(FblOnnxOptions){&name, 1, weights, NULL}, &bytes, &size), FBL_UNSUPPORTED);
    assert_non_null(strstr(diagnostics(ctx), "error[E0708]: `uniform` cannot be written as ONNX: it draws random numbers"));
    assert_int_equal(fbl_onnx_encode(graph, &(FblOnnxOptions){&other, 1, weights, NULL}, &bytes, &size), FBL_USER);
    assert_non_null(strstr(diagnostics(ctx), "error[E0708]: the program has no output `score` to write"));
    fbl_context_destroy(ctx);
}

int main(void) {
    for (int i = 0; i < 64; i++) {
        weight_values[i] = (float)i;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(axes_are_aligned), cmocka_unit_test(only_what_the_output_needs), cmocka_unit_test(contractions_are_einsums),
                                       cmocka_unit_test(refuses_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

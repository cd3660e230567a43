// Shape inference: what each mistake is told, word for word. (What inference accepts is in data/cases.txt.)
#include "ir/graph.h"

#include "tests/ir/unit.h"

// Inputs x0, x1, ... of the given types, then the node as `text`, and the message wanted.
typedef struct Mistake {
    const char *inputs[4];
    const char *node;
    const char *message;
} Mistake;

static const Mistake mistakes[] = {
    {{"f32[batch=64, class=10]", "f32[class=100]"},
     "add(%0, %1) : f32",
     "error[E0201]: axis `class` is 10 long in one operand and 100 in another: f32[batch=64, class=10] and "
     "f32[class=100]\n"},
    {{"bool[a=2]", "f32[b=3]", "f32[b=4]"},
     "select(%0, %1, %2) : f32",
     "error[E0201]: axis `b` is 3 long in one operand and 4 in another: f32[b=3] and f32[b=4]\n"},
    {{"f32[class=?1]", "f32[class=10]"},
     "add(%0, %1) : f32",
     "error[E0201]: axis `class` may have two lengths here: f32[class] and f32[class=10]\n"
     "hint: its extent isn't known everywhere; give it with --set class=N or a dataset\n"},
    {{"f32[a=2, b=3]"}, "broadcast(%0) : f32[a=2]", "error[E0201]: f32[a=2, b=3] has axes that f32[a=2] has not\n"},
    {{"f32[a=2, b=3]", "f32[a=2]"},
     "concat(%0, %1) {axes=[a]} : f32",
     "error[E0201]: apart from `a` the axes must be the same: f32[a=2, b=3] and f32[a=2]\n"},
    {{"f32[k=2]", "f32[k=3]"},
     "contract(%0, %1) {axes=[k]} : f32",
     "error[E0201]: axis `k` is 2 long in one operand and 3 in another: f32[k=2] and f32[k=3]\n"},
    {{"i32<class=10>[batch=2]", "i32<group=3>[batch=2]"},
     "eq(%0, %1) : bool",
     "error[E0202]: labels of the axis `class` are compared with labels of the axis `group`: i32<class=10>[batch=2] "
     "and "
     "i32<group=3>[batch=2]\n"},
    {{"i32<class=10>", "i32<class=9>"},
     "ne(%0, %1) : bool",
     "error[E0202]: labels of the axis `class` are compared, but it has two lengths: i32<class=10> and i32<class=9>\n"},
    {{"f32[batch=2, dim=5]", "i32<class=10>[batch=2]"},
     "gather(%0, %1) {axes=[dim]} : f32",
     "error[E0203]: i32<class=10>[batch=2] indexes the axis `class` (10), but f32[batch=2, dim=5] is indexed along "
     "`dim`\n"},
    {{"f32[class=12]", "i32<class=10>[batch=2]"},
     "gather(%0, %1) {axes=[class]} : f32",
     "error[E0203]: i32<class=10>[batch=2] indexes the axis `class` (10), but `class` has another length in "
     "f32[class=12]\n"},
    {{"f32[class=12]", "i32[batch=2]"},
     "gather(%0, %1) {axes=[class]} : f32",
     "error[E0203]: i32[batch=2] doesn't index an axis, so it can't index `class` of f32[class=12]\n"
     "hint: labels (`class[batch]`), argmax and argsort index an axis; arithmetic on them doesn't\n"},
    {{"f32[batch=2, class=10]"},
     "sum(%0) {axes=[clas]} : f32",
     "error[E0204]: no axis `clas` in f32[batch=2, class=10]\nhint: did you mean `class`?\n"},
    {{"f32[batch=2]"}, "argmax(%0) {axes=[k]} : f32", "error[E0204]: no axis `k` in f32[batch=2]\n"},
    {{"f32[class=?1]"},
     "slice(%0) {axis=class, start=0, step=1, count=1} : f32",
     "error[E0205]: the extent of `class` isn't known here\nhint: give it with --set class=N or a dataset\n"},
    {{"f32[a=2]", "bool[a=2]"}, "and(%0, %1) : bool", "error[E0206]: `and` needs bool, found f32[a=2]\n"},
    {{"f32", "f32", "f32"},
     "select(%0, %1, %2) : f32",
     "error[E0206]: `select` needs a condition of type bool, found f32\n"},
    {{"f32[a=2]", "f32"}, "beta(%0, %1) {stream=0} : f32", "error[E0206]: `beta` takes scalars, found f32[a=2]\n"},
    {{"bool[a=2]"},
     "pad(%0) {axis=a, low=1, high=0, interior=0, value=2} : bool",
     "error[E0206]: bool[a=2] can't be padded with 2\n"},
    {{NULL}, "const() {value=0.5} : i32", "error[E0206]: 0.5 is no i32\n"},
    {{"f32"}, "add(%0) : f32", "error[E0207]: `add` takes 2 operands, found 1\n"},
    {{NULL}, "concat() {axes=[a]} : f32", "error[E0207]: `concat` takes 1 operand or more, found 0\n"},
    {{"f32[a=2, b=2]"}, "argmax(%0) {axes=[a, b]} : f32", "error[E0207]: `argmax`: takes one axis\n"},
    {{"f32[a=2]"}, "rename(%0) {from=[a], to=[]} : f32", "error[E0207]: `rename`: each old name needs one new name\n"},
    {{NULL}, "iota() : f32[a=2]", "error[E0207]: `iota`: the type must be i32 over one axis\n"},
    {{NULL}, "uniform() {stream=-1} : f32", "error[E0207]: `uniform`: the stream is out of range\n"},
    {{"f32[a=1, b=1, c=1, d=1, e=1]", "f32[f=1, g=1, h=1, i=1]"},
     "mul(%0, %1) : f32",
     "error[E0208]: the result would have more than 8 axes: f32[a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1] and `i`\n"},
    {{"f32[a=2, b=3]"},
     "rename(%0) {from=[a], to=[b]} : f32",
     "error[E0209]: the result would have the axis `b` twice\n"},
    {{"f32[a=2]"}, "sum(%0) {axes=[a, a]} : f32", "error[E0209]: the axis `a` is named twice\n"},
    {{"f32[a=4000000000]", "f32[b=4000000000]"},
     "add(%0, %1) : f32",
     "error[E0212]: a tensor of type f32[a=4000000000, b=4000000000] is too large\n"},
    {{"f32[b=1, c=3, h=8, w=8]", "f32[o=4, c=2, kh=3, kw=3]"},
     "conv2d(%0, %1) {axes=[b, c, h, w], stride_h=1, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, "
     "groups=1} : f32",
     "error[E0220]: the weight f32[o=4, c=2, kh=3, kw=3] takes 2 input channels a group, but f32[b=1, c=3, h=8, w=8] "
     "has "
     "3 in 1 group\n"},
    {{"f32[b=1, c=3, h=2, w=8]", "f32[o=4, c=3, kh=3, kw=3]"},
     "conv2d(%0, %1) {axes=[b, c, h, w], stride_h=1, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, "
     "groups=1} : f32",
     "error[E0220]: the window spans 3 along `h`, more than its 2 elements with padding\n"},
    {{"f32[b=1, c=3, h=2, w=8]", "f32[o=4, c=3, kh=3, kw=3]"},
     "conv2d(%0, %1) {axes=[b, c, h, w], stride_h=0, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, "
     "groups=1} : f32",
     "error[E0220]: the stride is 0; it must be at least 1\n"},
    {{"f32[b=1, c=3, h=4, w=4]", "f32[o=4, c=1, kh=3, kw=3]"},
     "conv2d(%0, %1) {axes=[b, c, h, w], stride_h=1, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, "
     "groups=2} : f32",
     "error[E0220]: 2 groups don't divide both 3 input and 4 output channels\n"},
    {{"f32[b=1, c=4, h=9, w=8]", "f32[o=4, c=3, kh=3, kw=3]"},
     "conv2d_data_grad(%0, %1) {axes=[b, c, h, w], stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, "
     "dilation_w=1, "
     "groups=1} : f32[b=1, c=3, h=8, w=8]",
     "error[E0220]: `conv2d_data_grad`: the gradient is f32[b=1, c=4, h=9, w=8] where the forward result is f32[b=1, "
     "c=4, "
     "h=8, w=8]\n"},
    {{"f32[h=5, w=5]"},
     "max_pool(%0) {axes=[h, w], kernel_h=2, kernel_w=2, stride_h=2, stride_w=2, pad_h=2, pad_w=0, count_pad=1} : f32",
     "error[E0220]: the padding 2 is more than half of the window 2\n"},
    {{"f32[h=5, w=5]"},
     "max_pool(%0) {axes=[h, w], kernel_h=2, kernel_w=2, stride_h=2, stride_w=2, pad_h=0, pad_w=0, count_pad=1} : "
     "f32[h=4, w=2]",
     "error[E0220]: the result of the pool can't be f32[h=4, w=2]; it is f32[h=2, w=2]\n"},
    {{"f32[a=5]"},
     "slice(%0) {axis=a, start=1, step=2, count=3} : f32",
     "error[E0221]: 3 elements from 1 in steps of 2 don't lie within the 5 of `a` in f32[a=5]\n"},
    {{"f32[a=5]"},
     "slice(%0) {axis=a, start=0, step=9223372036854775807, count=9223372036854775807} : f32",
     "error[E0221]: 9223372036854775807 elements from 0 in steps of 9223372036854775807 don't lie within the 5 of `a` "
     "in "
     "f32[a=5]\n"},
    {{"f32[a=5]"},
     "slice(%0) {axis=a, start=4, step=-9223372036854775808, count=2} : f32",
     "error[E0221]: 2 elements from 4 in steps of -9223372036854775808 don't lie within the 5 of `a` in f32[a=5]\n"},
    {{"f32[a=5]"},
     "slice(%0) {axis=a, start=0, step=0, count=2} : f32",
     "error[E0221]: the step of a slice can't be 0\n"},
    {{"f32[a=5]"},
     "pad(%0) {axis=a, low=-1, high=0, interior=0, value=0} : f32",
     "error[E0221]: padding of `a` can't be negative\n"},
    {{"f32[a=5]"},
     "pad(%0) {axis=a, low=0, high=0, interior=9223372036854775807, value=0} : f32",
     "error[E0212]: the padded axis `a` is too large\n"},
    {{"f32[a=6]"},
     "split(%0) {axis=a, to=[p, q]} : f32[p=4, q=2]",
     "error[E0221]: the axis `a` of 6 elements can't be split: f32[a=6] gives f32[p=4, q=2]\n"},
};

// The text of the graph whose last node is the mistake.
static void graph_text(const Mistake *mistake, char *text, size_t size) {
    size_t length = (size_t)snprintf(text, size, "graph g {\n");
    int count = 0;
    for (; count < 4 && mistake->inputs[count] != NULL; count++) {
        length += (size_t)snprintf(text + length, size - length, "%%%d = input() {symbol=\"x\"} : %s\n", count,
                                   mistake->inputs[count]);
    }
    snprintf(text + length, size - length, "%%%d = %s\n}\n", count, mistake->node);
}

static void words_of_mistakes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        FblContext *ctx = fbl_context_create();
        FblGraph *graph;
        char text[2048];
        graph_text(&mistakes[i], text, sizeof text);
        assert_int_equal(fbl_graph_read(ctx, add_text(ctx, text), &graph), FBL_USER);
        char *got = messages(ctx);
        const char *error = strstr(got, "error[");
        assert_non_null(error);
        assert_string_equal(error, mistakes[i].message);
        free(got);
        fbl_context_destroy(ctx);
    }
}

// Through the builder: a mistake gives no node, and what is built on it stays silent.
static void mistakes_do_not_cascade(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = fbl_graph_create(ctx, "g");
    FblType type = fbl_type_scalar(FBL_F32);
    fbl_type_add_axis(&type, fbl_intern(ctx, "a"), 4);
    FblNodeId x = fbl_graph_leaf(graph, FBL_OP_INPUT, "x", &type, FBL_NO_LOC);
    FblName b = fbl_intern(ctx, "b");
    FblNodeId wrong = fbl_graph_reduce(graph, FBL_OP_SUM, x, &b, 1, FBL_NO_LOC);
    assert_int_equal(wrong, FBL_NO_NODE);
    assert_int_equal(fbl_graph_binary(graph, FBL_OP_ADD, x, wrong, FBL_NO_LOC), FBL_NO_NODE);
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, b, wrong);
    assert_int_equal(graph->root_count, 0);
    assert_int_equal(fbl_diag_error_count(ctx), 1);
    fbl_context_destroy(ctx);
}

static void builder_conveniences(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = fbl_graph_create(ctx, "g");
    FblName a = fbl_intern(ctx, "a");
    FblType type = fbl_type_scalar(FBL_F32);
    fbl_type_add_axis(&type, a, -1);
    FblNodeId x = fbl_graph_leaf(graph, FBL_OP_INPUT, "x", &type, FBL_NO_LOC);
    FblNodeId zero = fbl_graph_const(graph, FBL_F32, 0, FBL_NO_LOC);
    FblNodeId below = fbl_graph_binary(graph, FBL_OP_LT, x, zero, FBL_NO_LOC);
    FblNodeId relu = fbl_graph_select(graph, below, zero, x, FBL_NO_LOC);
    FblNodeId sum =
        fbl_graph_reduce(graph, FBL_OP_SUM, fbl_graph_unary(graph, FBL_OP_NEG, relu, FBL_NO_LOC), &a, 1, FBL_NO_LOC);
    FblNodeId wide = fbl_graph_broadcast(graph, fbl_graph_cast(graph, sum, FBL_I32, FBL_NO_LOC), &type, FBL_NO_LOC);
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, a, wide);
    assert_int_equal(fbl_graph_verify(graph), FBL_OK);
    assert_string_equal(fbl_graph_print(graph, false), "graph g {\n"
                                                       "  %0 = input() {symbol=\"x\"} : f32[a=?1]\n"
                                                       "  %1 = const() {value=0} : f32\n"
                                                       "  %2 = lt(%0, %1) : bool[a=?1]\n"
                                                       "  %3 = select(%2, %1, %0) : f32[a=?1]\n"
                                                       "  %4 = neg(%3) : f32[a=?1]\n"
                                                       "  %5 = sum(%4) {axes=[a]} : f32\n"
                                                       "  %6 = cast(%5) : i32\n"
                                                       "  %7 = broadcast(%6) : i32[a=?1]\n"
                                                       "  output a = %7\n"
                                                       "}\n");
    fbl_context_destroy(ctx);
}

static void verifier_finds_damage(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph =
        read_graph(ctx, "graph g {\n%0 = const() {value=1} : f32\n%1 = neg(%0) : f32\noutput y = %1\n}\n");
    assert_int_equal(fbl_graph_verify(graph), FBL_OK);
    graph->nodes[1].type.dtype = FBL_I32;
    assert_int_equal(fbl_graph_verify(graph), FBL_INTERNAL);
    graph->nodes[1].type.dtype = FBL_F32;
    graph->nodes[1].inputs[0] = 1;
    assert_int_equal(fbl_graph_verify(graph), FBL_INTERNAL);
    graph->nodes[1].inputs[0] = 0;
    graph->nodes[1].origin = 2;
    assert_int_equal(fbl_graph_verify(graph), FBL_INTERNAL);
    graph->nodes[1].origin = FBL_NO_NODE;
    graph->roots[0].node = 2;
    assert_int_equal(fbl_graph_verify(graph), FBL_INTERNAL);
    graph->roots[0].node = 0;
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, graph->roots[0].name, 1);
    assert_int_equal(fbl_graph_verify(graph), FBL_INTERNAL);
    char *text = messages(ctx);
    assert_string_equal(
        text, "g:3:1: error[E0230]: graph `g`, %1 = neg: the type is i32 where f32 follows from the operands\n"
              "g:3:1: error[E0230]: graph `g`, %1 = neg: an operand doesn't come before the node\n"
              "g:3:1: error[E0230]: graph `g`, %1 = neg: the origin is no node of the graph\n"
              "g:3:1: error[E0230]: graph `g`: the root `y` stands twice\n"
              "error[E0230]: graph `g`: the root `y` is no node of the graph\n");
    free(text);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_mistakes),
        cmocka_unit_test(mistakes_do_not_cascade),
        cmocka_unit_test(builder_conveniences),
        cmocka_unit_test(verifier_finds_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

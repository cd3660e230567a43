// Every derivative rule against central differences, before and after simplification, and a check that none is left
// out.
#include "tests/passes/support.h"

#include <stdlib.h>

#include "cases.h"
#include "ir/module_text.h"
#include "passes/grad.h"
#include "passes/grad_rules.h"
#include "passes/simplify.h"

// loss = sum of w * y for an input w of the same shape: every element of y has a weight of its own.
static FblGraph *weighted(FblContext *ctx, const GradCase *c) {
    FblGraph *graph = read_graph(ctx, fbl_arena_printf(fbl_context_arena(ctx), "graph train {\n%s}\n", c->body));
    FblNodeId y = find_root(graph, FBL_ROOT_OUTPUT, "y")->node;
    FblType type = *fbl_graph_type(graph, y);
    FblNodeId w = fbl_graph_leaf(graph, FBL_OP_INPUT, "w_test", &type, FBL_NO_LOC);
    FblNodeId loss = fbl_graph_binary(graph, FBL_OP_MUL, y, w, FBL_NO_LOC);
    if (type.rank > 0) {
        FblName axes[FBL_MAX_RANK];
        for (int i = 0; i < type.rank; i++) {
            axes[i] = type.axes[i].name;
        }
        loss = fbl_graph_reduce(graph, FBL_OP_SUM, loss, axes, type.rank, FBL_NO_LOC);
    }
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "loss"), loss);
    return graph;
}

static void check(FblModule *module, const FblGraph *forward, const char *name, const char *stage) {
    FblGradCheckOptions options = FBL_GRADCHECK_DEFAULT;
    options.samples = 24;
    FblGradCheckResult *results = NULL;
    size_t count = 0;
    must(module->ctx, fbl_graph_verify(module->train), name);
    must(module->ctx, fbl_gradcheck(module, forward, NULL, &options, &results, &count), name);
    assert_true(count >= 2);
    for (size_t i = 0; i < count; i++) {
        const FblGradCheckResult *r = &results[i];
        if (!r->ok || r->checked < 1 || r->kinks > r->checked) {
            fail_msg("%s, %s: gradient of `%s`: %lld checked, %lld kinks, error %g at element %lld: %.12g, numerically "
                     "%.12g",
                     name, stage, r->name, (long long)r->checked, (long long)r->kinks, r->max_relative_error,
                     (long long)r->worst, r->analytic, r->numeric);
        }
    }
}

static void check_text(FblContext *ctx, const FblGraph *graph) {
    const char *text = fbl_graph_print(graph, false);
    assert_string_equal(text, fbl_graph_print(read_graph(ctx, text), false));
}

static void one_case(const GradCase *c, bool *covered) {
    FblContext *ctx = fbl_context_create();
    FblModule *module = module_of(ctx, weighted(ctx, c));
    for (size_t i = 0; i < module->train->count; i++) {
        covered[module->train->nodes[i].op] = true;
    }
    const FblGraph *before = module->train;
    size_t forward = module->train->count;
    must(ctx, fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = true}), c->name);
    for (size_t i = forward; i < module->train->count; i++) {
        assert_true(module->train->nodes[i].origin != FBL_NO_NODE);
        assert_true((size_t)module->train->nodes[i].origin < forward);
    }
    check(module, before, c->name, "as derived");
    check_text(ctx, module->train);
    must(ctx, fbl_graph_canon(module->train, true, false, NULL, &module->train), c->name);
    check(module, before, c->name, "simplified");
    check_text(ctx, module->train);
    fbl_context_destroy(ctx);
}

static void every_rule(void **state) {
    (void)state;
    bool covered[FBL_OP_COUNT] = {false};
    for (const GradCase *c = GRAD_CASES; c->name != NULL; c++) {
        one_case(c, covered);
    }
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        if (fbl_grad_passes((FblOp)op) && !covered[op]) {
            fail_msg("no case for the derivative of `%s`", fbl_op_info((FblOp)op)->text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

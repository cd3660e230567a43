// Random programs: differentiated, simplified, fused and compiled, against the interpreter on the program as it was written.
//
// test_random [FIRST COUNT]: the seeds; a failure prints the seed and the program. Values stay near 1 (every product is
// followed by tanh), so that f32 and double agree to 2e-4 of the size of a result (some tens of roundings through some tens
// of operations, amplified by sums over up to 40 elements), and 2e-4 absolutely where results cancel; a wrong program is off
// by far more.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/driver.h"
#include "op_cases.h"
#include "passes/grad.h"

#define NODES 24

static int first_seed = 1, seed_count = 60, compared;

typedef struct Random {
    uint64_t state;
    FblContext *ctx;
    FblGraph *graph;
    FblNodeId pool[NODES * 3];
    int count;
} Random;

static int draw(Random *r, int below) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)below);
}

static const int64_t EXTENTS[3][3] = {{3, 8, 5}, {16, 4, 1}, {7, 1, 24}};

static FblNodeId input(Random *r, const char *symbol, int set) {
    static const char *const shapes[] = {"abc", "ab", "c", "ca", "b", "bca"};
    FblType type = fbl_type_scalar(FBL_F32);
    const char *axes = shapes[draw(r, 6)];
    for (int i = 0; axes[i]; i++) {
        fbl_type_add_axis(&type, fbl_intern_n(r->ctx, axes + i, 1), EXTENTS[set][axes[i] - 'a']);
    }
    return fbl_graph_leaf(r->graph, FBL_OP_INPUT, symbol, &type, FBL_NO_LOC);
}

static FblNodeId any(Random *r) { return r->pool[draw(r, r->count)]; }

static FblNodeId constant(Random *r, double value) { return fbl_graph_const(r->graph, FBL_F32, value, FBL_NO_LOC); }

static FblNodeId reduce(Random *r, FblNodeId x) {
    const FblType *type = fbl_graph_type(r->graph, x);
    if (type->rank == 0) {
        return x;
    }
    FblName axes[FBL_MAX_RANK];
    int32_t count = 0;
    double elements = 1;
    for (int i = 0; i < type->rank; i++) {
        if (draw(r, 2) || (count == 0 && i == type->rank - 1)) {
            axes[count++] = type->axes[i].name;
            elements *= (double)type->axes[i].extent;
        }
    }
    if (draw(r, 4) == 0) {
        return fbl_graph_reduce(r->graph, draw(r, 2) ? FBL_OP_REDUCE_MAX : FBL_OP_REDUCE_MIN, x, axes, count, FBL_NO_LOC);
    }
    FblNodeId sum = fbl_graph_reduce(r->graph, FBL_OP_SUM, x, axes, count, FBL_NO_LOC);
    return fbl_graph_binary(r->graph, FBL_OP_MUL, sum, constant(r, 1 / elements), FBL_NO_LOC);
}

static FblNodeId shape(Random *r, FblNodeId x) {
    const FblType type = *fbl_graph_type(r->graph, x);
    if (type.rank == 0) {
        return x;
    }
    const FblAxis axis = type.axes[draw(r, type.rank)];
    FblAttr attr = {.name_count = 1, .names = {axis.name}};
    if (draw(r, 2)) { // flipped
        attr.i[FBL_SLICE_START] = axis.extent - 1;
        attr.i[FBL_SLICE_STEP] = -1;
        attr.i[FBL_SLICE_COUNT] = axis.extent;
        return fbl_graph_add(r->graph, FBL_OP_SLICE, &x, 1, &attr, NULL, FBL_NO_LOC);
    }
    if (axis.extent < 3) {
        return x;
    }
    // Without its first element, then as long as before with another number in front.
    attr.i[FBL_SLICE_START] = 1;
    attr.i[FBL_SLICE_STEP] = 1;
    attr.i[FBL_SLICE_COUNT] = axis.extent - 1;
    FblNodeId part = fbl_graph_add(r->graph, FBL_OP_SLICE, &x, 1, &attr, NULL, FBL_NO_LOC);
    FblAttr pad = {.name_count = 1, .names = {axis.name}, .i = {1, 0, 0}, .value = 0.5};
    return fbl_graph_add(r->graph, FBL_OP_PAD, &part, 1, &pad, NULL, FBL_NO_LOC);
}

static FblNodeId contract(Random *r) {
    FblNodeId inputs[2] = {any(r), any(r)};
    const FblType *a = fbl_graph_type(r->graph, inputs[0]), *b = fbl_graph_type(r->graph, inputs[1]);
    for (int i = 0; i < a->rank; i++) {
        if (fbl_type_find(b, a->axes[i].name) >= 0) {
            FblAttr attr = {.name_count = 1, .names = {a->axes[i].name}};
            FblNodeId sum = fbl_graph_add(r->graph, FBL_OP_CONTRACT, inputs, 2, &attr, NULL, FBL_NO_LOC);
            FblNodeId mean = fbl_graph_binary(r->graph, FBL_OP_MUL, sum, constant(r, 1.0 / (double)fbl_graph_type(r->graph, inputs[0])->axes[i].extent), FBL_NO_LOC);
            return mean;
        }
    }
    return inputs[0];
}

static FblNodeId step(Random *r) {
    switch (draw(r, 12)) {
    case 0: return fbl_graph_binary(r->graph, FBL_OP_ADD, any(r), any(r), FBL_NO_LOC);
    case 1: return fbl_graph_binary(r->graph, FBL_OP_SUB, any(r), any(r), FBL_NO_LOC);
    case 2: return fbl_graph_unary(r->graph, FBL_OP_TANH, fbl_graph_binary(r->graph, FBL_OP_MUL, any(r), any(r), FBL_NO_LOC), FBL_NO_LOC);
    case 3: return fbl_graph_unary(r->graph, FBL_OP_SIGMOID, any(r), FBL_NO_LOC);
    case 4: return fbl_graph_binary(r->graph, draw(r, 2) ? FBL_OP_MAX : FBL_OP_MIN, any(r), any(r), FBL_NO_LOC);
    case 5: return fbl_graph_unary(r->graph, FBL_OP_NEG, any(r), FBL_NO_LOC);
    case 6: {
        FblNodeId x = fbl_graph_unary(r->graph, FBL_OP_TANH, any(r), FBL_NO_LOC);
        return fbl_graph_unary(r->graph, FBL_OP_EXP, x, FBL_NO_LOC);
    }
    case 7: // a choice by values that both sides have exactly
        return fbl_graph_select(r->graph, fbl_graph_binary(r->graph, FBL_OP_LE, r->pool[draw(r, 3)], constant(r, 0.1), FBL_NO_LOC), any(r), any(r), FBL_NO_LOC);
    case 8: return shape(r, any(r));
    case 9: return contract(r);
    default: return reduce(r, any(r));
    }
}

static FblModule *random_module(FblContext *ctx, int seed, int *out_set) {
    Random r = {.state = (uint64_t)seed * 7919, .ctx = ctx};
    r.graph = fbl_graph_create(ctx, "train");
    *out_set = draw(&r, 3);
    for (int i = 0; i < 3; i++) {
        r.pool[r.count++] = input(&r, (const char *[]){"x", "y", "z"}[i], *out_set);
    }
    FblNodeId loss = constant(&r, 0);
    for (int i = 0; i < NODES; i++) {
        FblNodeId made = step(&r);
        if (made == FBL_NO_NODE) {
            fbl_diag_flush(ctx, stderr, false);
            fail_msg("seed %d makes a malformed program", seed);
        }
        r.pool[r.count++] = made;
        if (i % 5 == 4 || i == NODES - 1) { // several values count, so that some are used twice
            FblNodeId square = fbl_graph_unary(r.graph, FBL_OP_TANH, made, FBL_NO_LOC);
            const FblType *type = fbl_graph_type(r.graph, square);
            FblName axes[FBL_MAX_RANK];
            for (int a = 0; a < type->rank; a++) {
                axes[a] = type->axes[a].name;
            }
            FblNodeId total = type->rank ? fbl_graph_reduce(r.graph, FBL_OP_SUM, square, axes, type->rank, FBL_NO_LOC) : square;
            loss = fbl_graph_binary(r.graph, FBL_OP_ADD, loss, total, FBL_NO_LOC);
        }
    }
    fbl_graph_root(r.graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "loss"), loss);
    FblModule *module = FBL_NEW(fbl_context_arena(ctx), FblModule);
    module->ctx = ctx;
    module->train = r.graph;
    return module;
}

static void compare(int seed, const char *what, const char *name, const float *got, const FblTensor *want, const FblGraph *graph) {
    int64_t count = fbl_type_elements(&want->type);
    double size = 0;
    for (int64_t i = 0; i < count; i++) {
        size = fmax(size, fabs(want->data[i]));
    }
    for (int64_t i = 0; i < count; i++) {
        if (!(fabs(got[i] - want->data[i]) <= 2e-4 * size + 2e-4)) {
            fail_msg("%s: `%s`, element %lld: %.9g instead of %.9g; again with: test_random %d 1\n%s", what, name, (long long)i, got[i], want->data[i], seed,
                     fbl_graph_print(graph, false));
        }
    }
}

static void one_seed(int seed, FblDriver *driver, bool fuse) {
    FblContext *ctx = fbl_context_create();
    FblBindings leaves = {0}, want = {0};
    FblInterpOptions interp = {.seed = 1};
    // The truth: the program as written and its plain derivative.
    int set;
    FblModule *plain = random_module(ctx, seed, &set);
    FblGraph *written = plain->train;
    op_case_inputs(written, (uint64_t)seed, false, &leaves);
    FblStatus status = fbl_pass_grad(plain, &(FblGradOptions){.wrt_inputs = true});
    if (status == FBL_USER) { // the loss does not reach an input: nothing to compare
        fbl_bindings_free(&leaves);
        fbl_context_destroy(ctx);
        return;
    }
    assert_int_equal(status, FBL_OK);
    assert_int_equal(fbl_interp_run(plain->train, &leaves, &interp, &want), FBL_OK);

    FblPassOptions options = fbl_options_default();
    options.wrt_inputs = true;
    options.verify_text = true;
    FblModule *module = random_module(ctx, seed, &set);
    status = fbl_passes_run(module, &options);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    FblLowerOptions lower = fbl_driver_lower_options(driver);
    lower.fuse = fuse;
    FblPlan *plan;
    FblBuilt built;
    FblStore *store;
    FblExec *exec;
    status = fbl_lower_graph(module->train, &lower, &plan);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    assert_int_equal(fbl_driver_compile_plan(driver, plan, &built), FBL_OK);
    assert_int_equal(fbl_driver_load(driver, &built), FBL_OK);
    assert_int_equal(fbl_store_create(ctx, plan, &store), FBL_OK);
    assert_int_equal(fbl_driver_exec(driver, &built, store, &exec), FBL_OK);
    for (size_t i = 0; i < plan->functions[0].input_count; i++) {
        const FblPlanTensor *tensor = &plan->functions[0].inputs[i];
        fbl_exec_set_tensor(exec, tensor, fbl_bindings_find(&leaves, tensor->name)->data);
    }
    fbl_exec_call(exec, 0, 1, 0, NULL);
    for (size_t i = 0; i < plan->functions[0].output_count; i++) {
        const FblPlanTensor *tensor = &plan->functions[0].outputs[i];
        const FblTensor *value = fbl_bindings_find(&want, tensor->name);
        assert_non_null(value);
        compare(seed, fuse ? "fused" : "not fused", tensor->name, fbl_exec_address(exec, tensor), value, written);
    }
    compared++;
    fbl_exec_destroy(exec);
    fbl_store_destroy(store);
    fbl_built_deinit(&built);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&want);
    fbl_context_destroy(ctx);
}

static void every_seed(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDriver driver;
    FblPassOptions options = fbl_options_default();
    assert_int_equal(fbl_driver_init(&driver, ctx, &options, 0), FBL_OK);
    for (int seed = first_seed; seed < first_seed + seed_count; seed++) {
        one_seed(seed, &driver, true);
        if (seed % 4 == 0) {
            one_seed(seed, &driver, false);
        }
    }
    fbl_driver_deinit(&driver);
    fbl_context_destroy(ctx);
    assert_true(compared >= seed_count / 2); // most programs must be worth comparing
}

int main(int argc, char **argv) {
    if (argc == 3) {
        first_seed = atoi(argv[1]);
        seed_count = atoi(argv[2]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

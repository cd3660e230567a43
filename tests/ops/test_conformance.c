// Compiled code against the double-precision interpreter for every op of the table, over odd, unit and large extents, with
// every vector width that this machine runs, fused and not, and with the same bits on one thread and on three.
// test_conformance CLASS: the ops of one class (its number in FblOpClass), so that classes run side by side.
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

#define SEED 11
#define STEP 4

typedef struct Way {
    int vector_bytes;
    bool fuse, block_layouts;
} Way;

// One driver a width and thread count, shared by all cases.
static FblContext *shared;
static int op_class;
static FblDriver drivers[3][2];
static int widths[3], width_count;

static void open_drivers(void) {
    shared = fbl_context_create();
    for (int bytes = 16; bytes <= 64; bytes *= 2) {
        FblPassOptions options = fbl_options_default();
        options.vector_bytes = bytes;
        for (int t = 0; t < 2; t++) {
            assert_int_equal(fbl_driver_init(&drivers[width_count][t], shared, &options, t ? 3 : 1), FBL_OK);
        }
        if (fbl_cpu_target_vector_bytes(drivers[width_count][0].target) != bytes) { // wider than the machine
            for (int t = 0; t < 2; t++) {
                fbl_driver_deinit(&drivers[width_count][t]);
            }
            break;
        }
        widths[width_count++] = bytes;
    }
}

static void load_inputs(FblExec *exec, const FblPlan *plan, FblBindings *leaves) {
    for (size_t i = 0; i < plan->functions[0].input_count; i++) {
        const FblPlanTensor *input = &plan->functions[0].inputs[i];
        FblTensor *value = fbl_bindings_find(leaves, input->name);
        if (value == NULL) {
            fail_msg("the plan wants an input %s", input->name);
            return;
        }
        fbl_exec_set_tensor(exec, input, value->data);
    }
}

static double element(const void *data, FblDtype dtype, int64_t i) {
    return dtype == FBL_F32 ? ((const float *)data)[i] : dtype == FBL_I32 ? ((const int32_t *)data)[i] : ((const uint8_t *)data)[i];
}

static void compare(const OpCase *c, const Way *way, const void *data, const FblTensor *want, const FblTensor *size) {
    int64_t count = fbl_type_elements(&want->type);
    for (int64_t i = 0; i < count; i++) {
        double got = element(data, want->type.dtype, i), wanted = want->data[i], allowed = 0;
        if (c->bound == OP_ROUNDED) {
            allowed = 4e-6 * fabs(wanted) + 1e-6;
        } else if (c->bound == OP_SUMMED) {
            allowed = 1e-6 * size->data[i] + 1e-30;
        } else if (want->type.dtype == FBL_F32) {
            wanted = (float)wanted;
        }
        if (!(fabs(got - wanted) <= allowed) && !(isnan(got) && isnan(wanted)) && got != wanted) {
            fail_msg("%s, vectors of %d bytes%s%s: element %lld is %.9g instead of %.9g (allowed %.3g), inputs from seed %d", c->name, way->vector_bytes,
                     way->fuse ? ", fused" : "", way->block_layouts ? ", blocked" : "", (long long)i, got, wanted, allowed, SEED);
        }
    }
}

static void one_way(const OpCase *c, const Way *way, FblDriver *pair, FblBindings *leaves, const FblTensor *want, const FblTensor *size) {
    FblContext *ctx = c->graph->ctx;
    FblLowerOptions options = {.vector_bytes = way->vector_bytes, .fuse = way->fuse, .block_layouts = way->block_layouts};
    FblPlan *plan;
    FblBuilt built;
    FblStore *store;
    FblStatus status = fbl_lower_graph(c->graph, &options, &plan);
    status = status == FBL_OK ? fbl_plan_verify(ctx, plan) : status;
    fbl_diag_flush(ctx, stderr, false);
    if (status != FBL_OK) {
        fail_msg("%s: no plan", c->name);
    }
    assert_int_equal(fbl_driver_compile_plan(&pair[0], plan, &built), FBL_OK);
    assert_int_equal(fbl_driver_load(&pair[0], &built), FBL_OK);
    assert_int_equal(fbl_store_create(ctx, plan, &store), FBL_OK);
    void *first = NULL;
    for (int t = 0; t < 2; t++) {
        FblExec *exec;
        assert_int_equal(fbl_driver_exec(&pair[t], &built, store, &exec), FBL_OK);
        load_inputs(exec, plan, leaves);
        fbl_exec_call(exec, 0, SEED, STEP, NULL);
        const FblPlanTensor *output = fbl_exec_output(exec, 0, "y");
        assert_non_null(output);
        const void *data = fbl_exec_address(exec, output);
        size_t bytes = (size_t)fbl_type_elements(&output->type) * (output->type.dtype == FBL_BOOL ? 1 : 4);
        compare(c, way, data, want, size);
        if (t == 0) {
            first = malloc(bytes + 1);
            assert_non_null(first);
            memcpy(first, data, bytes);
        } else if (memcmp(first, data, bytes) != 0) {
            fail_msg("%s: one thread and three differ", c->name);
        }
        fbl_exec_destroy(exec);
    }
    free(first);
    fbl_store_destroy(store);
    fbl_built_deinit(&built);
}

static FblTensor *interpret(const OpCase *c, FblBindings *leaves, FblBindings *results) {
    FblInterpOptions options = {.seed = SEED, .step = STEP};
    FblStatus status = fbl_interp_run(c->graph, leaves, &options, results);
    fbl_diag_flush(c->graph->ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return fbl_bindings_find(results, fbl_intern(c->graph->ctx, "y"));
}

static void one_case(const OpCase *c) {
    FblBindings leaves = {0}, absolute = {0}, results = {0}, sizes = {0};
    op_case_inputs(c->graph, SEED, false, &leaves);
    op_case_inputs(c->graph, SEED, true, &absolute);
    const FblTensor *want = interpret(c, &leaves, &results);
    const FblTensor *size = c->bound == OP_SUMMED ? interpret(c, &absolute, &sizes) : NULL;
    for (int w = 0; w < width_count; w++) {
        for (int form = 0; form < 2; form++) {
            Way way = {widths[w], form == 1, form == 1};
            one_way(c, &way, drivers[w], &leaves, want, size);
        }
    }
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&absolute);
    fbl_bindings_free(&results);
    fbl_bindings_free(&sizes);
}

// An op without a case fails: a new row of the table must come with one.
static void every_op(void **state) {
    (void)state;
    open_drivers();
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        if ((int)fbl_op_info((FblOp)op)->op_class != op_class) {
            continue;
        }
        FblContext *ctx = fbl_context_create();
        OpCases cases = {0};
        op_cases_of(ctx, (FblOp)op, &cases);
        bool provided = op == FBL_OP_INPUT || op == FBL_OP_PARAM || op == FBL_OP_STATE;
        if (cases.count == 0 && !provided) {
            fail_msg("no case for `%s`", fbl_op_info((FblOp)op)->text);
        }
        for (size_t i = 0; i < cases.count; i++) {
            one_case(&cases.items[i]);
        }
        fbl_context_destroy(ctx);
    }
    for (int w = 0; w < width_count; w++) {
        fbl_driver_deinit(&drivers[w][0]);
        fbl_driver_deinit(&drivers[w][1]);
    }
    fbl_context_destroy(shared);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: test_conformance CLASS\n");
        return 2;
    }
    op_class = atoi(argv[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

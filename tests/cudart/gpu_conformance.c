// Every op of the table on a GPU against the double-precision interpreter: gpu_conformance CLASS... (numbers of FblOpClass;
// none: all). Fused and one kernel a node, NHWC and row-major. Needs no test library, so that it goes to GPU machines
// beside the program. Exit: 0 all right, 1 a wrong element, 3 no GPU.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/driver.h"
#include "tests/ops/op_cases.h"

enum { SEED = 11, STEP = 3 };

static FblTensor *interpret(const OpCase *c, bool absolute, FblBindings *leaves, FblBindings *results) {
    op_case_inputs(c->graph, SEED, absolute, leaves);
    FblInterpOptions options = {.seed = SEED, .step = STEP};
    if (fbl_interp_run(c->graph, leaves, &options, results) != FBL_OK) {
        return NULL;
    }
    return fbl_bindings_find(results, fbl_intern(c->graph->ctx, "y"));
}

static double element(const void *data, FblDtype dtype, int64_t i) {
    return dtype == FBL_F32 ? (double)((const float *)data)[i] : dtype == FBL_I32 ? (double)((const int32_t *)data)[i] : (double)((const uint8_t *)data)[i];
}

// The bounds of tests/ops/op_cases.h, which are those of the CPU's code.
static bool compare(const OpCase *c, bool fused, const void *data, const FblTensor *want, const FblTensor *size) {
    for (int64_t i = 0; i < fbl_type_elements(&want->type); i++) {
        double got = element(data, want->type.dtype, i), wanted = want->data[i], allowed = 0;
        if (c->bound == OP_ROUNDED) {
            allowed = 4e-6 * fabs(wanted) + 1e-6;
        } else if (c->bound == OP_SUMMED) {
            allowed = 1e-6 * size->data[i] + 1e-30;
        } else if (want->type.dtype == FBL_F32) {
            wanted = (double)(float)wanted;
        }
        if (!(fabs(got - wanted) <= allowed) && !(isnan(got) && isnan(wanted)) && got != wanted) {
            printf("FAILED %s%s: element %lld is %.9g instead of %.9g (allowed %.3g)\n", c->name, fused ? ", fused" : "", (long long)i, got, wanted, allowed);
            return false;
        }
    }
    return true;
}

static FblStatus run(FblDriver *driver, const OpCase *c, bool fused, FblBindings *leaves, const FblTensor *want, const FblTensor *size, bool *out_right) {
    FblLowerOptions options = {.vector_bytes = 16, .fuse = fused, .block_layouts = fused, .channels_last = true};
    FblPlan *plan;
    FblBuilt built;
    FblStore *store = NULL;
    FblExec *exec = NULL;
    FBL_TRY(fbl_lower_graph(c->graph, &options, &plan));
    FBL_TRY(fbl_driver_compile_plan(driver, plan, &built));
    FblStatus status = fbl_driver_store(driver, &built, &store);
    status = status == FBL_OK ? fbl_driver_exec(driver, &built, store, &exec) : status;
    for (int call = 0; call < 2 && status == FBL_OK; call++) { // the second as a graph
        for (size_t i = 0; i < plan->functions[0].input_count; i++) {
            const FblPlanTensor *input = &plan->functions[0].inputs[i];
            fbl_exec_set_tensor(exec, input, fbl_bindings_find(leaves, input->name)->data);
        }
        fbl_exec_call(exec, 0, SEED, STEP, NULL);
        status = fbl_exec_wait(driver->ctx, exec);
        if (status == FBL_OK) {
            *out_right = compare(c, fused, fbl_exec_address(exec, fbl_exec_output(exec, 0, "y")), want, size) && *out_right;
        }
    }
    fbl_exec_destroy(exec);
    fbl_store_destroy(store);
    fbl_built_deinit(&built);
    return status;
}

static FblStatus run_op(FblOp op, int *cases, int *wrong) {
    FblContext *ctx = fbl_context_create();
    FblPassOptions passes = fbl_options_default();
    passes.target = "cuda";
    FblDriver driver = {0};
    OpCases all = {0};
    FblStatus status = fbl_driver_init(&driver, ctx, &passes, 1);
    op_cases_of(ctx, op, &all);
    for (size_t i = 0; i < all.count && status == FBL_OK; i++) {
        const OpCase *c = &all.items[i];
        FblBindings leaves = {0}, absolute = {0}, results = {0}, sizes = {0};
        const FblTensor *want = interpret(c, false, &leaves, &results), *size = c->bound == OP_SUMMED ? interpret(c, true, &absolute, &sizes) : NULL;
        bool right = want != NULL;
        for (int fused = 0; fused < 2 && right && status == FBL_OK; fused++) {
            status = run(&driver, c, fused == 1, &leaves, want, size, &right);
        }
        ++*cases;
        *wrong += !right;
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&absolute);
        fbl_bindings_free(&results);
        fbl_bindings_free(&sizes);
    }
    fbl_diag_flush(ctx, stderr, false);
    if (driver.ctx) {
        fbl_driver_deinit(&driver);
    }
    fbl_context_destroy(ctx);
    return status;
}

int main(int argc, char **argv) {
    int cases = 0, wrong = 0;
    FblStatus status = FBL_OK;
    for (int op = 0; op < FBL_OP_COUNT && status == FBL_OK; op++) {
        bool chosen = argc == 1;
        for (int a = 1; a < argc; a++) {
            chosen |= atoi(argv[a]) == (int)fbl_op_info((FblOp)op)->op_class;
        }
        status = chosen ? run_op((FblOp)op, &cases, &wrong) : FBL_OK;
    }
    printf("%d cases, %d wrong\n", cases, wrong);
    return status != FBL_OK ? fbl_status_exit_code(status) : wrong > 0;
}

// The graph that keeps the scale of the loss, in the interpreter: what good and bad steps do to its four states, and that the
// optimizer holds still in bad ones.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "frontend/build.h"
#include "ir/interp.h"
#include "passes/loss_scale.h"
#include "passes/manager.h"
#include "tests/base/unit.h"

static void bind(FblContext *ctx, FblBindings *leaves, const char *name, const double *values, int64_t count, bool flat) {
    FblType type = fbl_type_scalar(FBL_F32);
    FblTensor tensor;
    if (flat) {
        fbl_type_add_axis(&type, fbl_intern(ctx, "param"), count);
    }
    assert_int_equal(fbl_tensor_create(&type, &tensor), FBL_OK);
    memcpy(tensor.data, values, (size_t)count * sizeof *values);
    assert_int_equal(fbl_bindings_set(leaves, fbl_intern(ctx, name), tensor), FBL_OK);
}

static double result(FblContext *ctx, FblBindings *results, const char *name, int64_t at) { return fbl_bindings_find(results, fbl_intern(ctx, name))->data[at]; }

static void states_after_a_step(void **state) {
    (void)state;
    static const struct {
        double gradient, scale, good, skipped; // one of the gradients; before
        double new_scale, new_good, new_skipped, applied;
    } cases[] = {
        {0.5, 65536, 0, 3, 65536, 1, 3, 1},
        {-3e38, 65536, 1998, 3, 65536, 1999, 3, 1},
        {0.5, 65536, 1999, 3, 131072, 0, 3, 1},
        {0.5, 16777216, 1999, 0, 16777216, 0, 0, 1},
        {INFINITY, 65536, 1999, 3, 32768, 0, 4, 0},
        {-INFINITY, 1, 5, 0, 0.5, 0, 1, 0},
        {NAN, 16777216, 7, 0, 8388608, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblBindings leaves = {0}, results = {0};
        FblGraph *graph = fbl_loss_scale_graph(ctx, 5);
        const double gradients[5] = {0, -1, cases[i].gradient, 2, 1e-45};
        bind(ctx, &leaves, "g", gradients, 5, true);
        bind(ctx, &leaves, FBL_LOSS_SCALE_STATE, &cases[i].scale, 1, false);
        bind(ctx, &leaves, FBL_GOOD_STEPS_STATE, &cases[i].good, 1, false);
        bind(ctx, &leaves, FBL_SKIPPED_STATE, &cases[i].skipped, 1, false);
        assert_int_equal(fbl_interp_run(graph, &leaves, &(FblInterpOptions){.seed = 1}, &results), FBL_OK);
        assert_true(result(ctx, &results, FBL_LOSS_SCALE_STATE, 0) == cases[i].new_scale);
        assert_true(result(ctx, &results, FBL_GOOD_STEPS_STATE, 0) == cases[i].new_good);
        assert_true(result(ctx, &results, FBL_SKIPPED_STATE, 0) == cases[i].new_skipped);
        assert_true(result(ctx, &results, FBL_APPLIED_STATE, 0) == cases[i].applied);
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&results);
        fbl_context_destroy(ctx);
    }
}

static FblModule *optimized(FblContext *ctx, const char *path, const char *precision) {
    FblProgram *program;
    FblModule *module;
    FblPassOptions options = fbl_options_default();
    options.target = "cuda:sm_90";
    options.precision = precision;
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = path}, &program);
    status = status == FBL_OK ? fbl_program_build(program, &(FblBuildOptions){.batch = 2, .class_extent = 10}, &module) : status;
    status = status == FBL_OK ? fbl_passes_run(module, &options) : status;
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return module;
}

// One step of AdamW from nothing: with bias correction it moves a parameter by the rate, whatever the gradient's size, so a
// count that skipped steps entered shows. `t` steps were asked for, `skipped` of those before were skipped.
static double adamw_moves(double t, double skipped, double applied, double *out_slot) {
    FblContext *ctx = fbl_context_create();
    const FblModule *module = optimized(ctx, "tests/oracle/adamw.fbl", "f16");
    FblBindings leaves = {0}, results = {0};
    for (size_t id = 0; id < module->optimizer->count; id++) { // of one parameter
        for (int a = 0; a < module->optimizer->nodes[id].type.rank; a++) {
            module->optimizer->nodes[id].type.axes[a].extent = 1;
        }
    }
    for (size_t id = 0; id < module->optimizer->count; id++) {
        const FblNode *node = &module->optimizer->nodes[id];
        static const struct {
            const char *name;
            double value;
        } known[] = {{"w", 1}, {"g", 3}, {"rate", 0.01}, {"weight_decay", 0}, {"optimizer.beta1", 0.9}, {"optimizer.beta2", 0.999}, {"optimizer.eps", 1e-8}};
        if ((node->op != FBL_OP_INPUT && node->op != FBL_OP_STATE) || fbl_bindings_find(&leaves, node->attr.names[0])) {
            continue;
        }
        FblTensor tensor;
        assert_int_equal(fbl_tensor_create(&node->type, &tensor), FBL_OK);
        double value = 0; // slots
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            value = strcmp(node->attr.names[0], known[k].name) == 0 ? known[k].value : value;
        }
        value = strcmp(node->attr.names[0], "t") == 0 ? t : value;
        value = strcmp(node->attr.names[0], FBL_SKIPPED_STATE) == 0 ? skipped : value;
        value = strcmp(node->attr.names[0], FBL_APPLIED_STATE) == 0 ? applied : value;
        for (int64_t i = 0; i < fbl_type_elements(&node->type); i++) {
            tensor.data[i] = value;
        }
        assert_int_equal(fbl_bindings_set(&leaves, node->attr.names[0], tensor), FBL_OK);
    }
    FblStatus status = fbl_interp_run(module->optimizer, &leaves, &(FblInterpOptions){.seed = 1}, &results);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    double w = result(ctx, &results, "w", 0);
    *out_slot = result(ctx, &results, "slot.0", 0);
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&results);
    fbl_context_destroy(ctx);
    return 1 - w;
}

static void optimizer_holds_still(void **state) {
    (void)state;
    double slot;
    assert_true(fabs(adamw_moves(1, 0, 1, &slot) - 0.01) < 1e-6 && fabs(slot - 0.3) < 1e-6);
    assert_true(fabs(adamw_moves(4, 3, 1, &slot) - 0.01) < 1e-6 && fabs(slot - 0.3) < 1e-6); // the first that counts
    assert_true(fabs(adamw_moves(4, 0, 1, &slot) - 0.01) > 1e-4);
    assert_true(adamw_moves(1, 0, 0, &slot) == 0 && slot == 0);
}

static void only_f16_on_gpus_scales(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    assert_null(fbl_param_find(&optimized(ctx, "tests/oracle/sgd_plain.fbl", "bf16")->states, fbl_intern(ctx, FBL_LOSS_SCALE_STATE)));
    FblModule *module = optimized(ctx, "tests/oracle/sgd_plain.fbl", "f16");
    assert_true(fbl_param_find(&module->states, fbl_intern(ctx, FBL_LOSS_SCALE_STATE))->init.a == 65536);
    // A second time the names are taken.
    assert_int_equal(fbl_loss_scale_add(module), FBL_USER);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    fbl_diag_flush(ctx, out, false);
    fclose(out);
    assert_non_null(strstr(text, "error[E0304]: the program has a tensor `optimizer.loss_scale`, a name that the loss scaling of f16 needs"));
    free(text);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(states_after_a_step), cmocka_unit_test(optimizer_holds_still), cmocka_unit_test(only_f16_on_gpus_scales)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Every loss of the library and of a file for tests, differentiated, simplified and hoisted as the compiler does it,
// against central differences with respect to each of its inputs.
#include "tests/passes/support.h"

#include "frontend/build.h"
#include "passes/manager.h"
#include "passes/simplify.h"

static void one_loss(const char *path, const char *loss) {
    FblContext *ctx = fbl_context_create();
    FblProgram *program = NULL;
    must(ctx, fbl_program_load(ctx, &(FblProgramOptions){.path = path, .library_dir = "models"}, &program), path);
    const FblSetting settings[] = {{"batch", "4"}, {"class", "5"}, {"dim", "6"}};
    FblModule *module = NULL;
    must(ctx,
         fbl_program_build_loss(program, loss, NULL, 0, &(FblBuildOptions){.settings = settings, .setting_count = 3},
                                &module),
         loss);
    FblPassOptions options = fbl_options_default();
    options.wrt_inputs = true;
    options.verify_text = true;
    FblGraph *forward = NULL; // a copy: the passes discard the graphs that they replace
    must(ctx, fbl_graph_dce(module->train, &forward), loss);
    must(ctx, fbl_passes_run(module, &options), loss);
    FblGradCheckOptions check = FBL_GRADCHECK_DEFAULT;
    FblGradCheckResult *results = NULL;
    size_t count = 0;
    must(ctx, fbl_gradcheck(module, forward, NULL, &check, &results, &count), loss);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        print_message("%s: %s: %lld entries, %lld kinks, error %.2g\n", loss, results[i].name,
                      (long long)results[i].checked, (long long)results[i].kinks, results[i].max_relative_error);
        if (!results[i].ok || results[i].checked == 0) {
            fail_msg("%s: gradient of `%s` is off at %lld: %.12g, numerically %.12g", loss, results[i].name,
                     (long long)results[i].worst, results[i].analytic, results[i].numeric);
        }
    }
    fbl_context_destroy(ctx);
}

static void every_loss(void **state) {
    (void)state;
    const char *path = "models/losses.fbl";
    FblContext *ctx = fbl_context_create();
    FblProgram *program = NULL;
    must(ctx, fbl_program_load(ctx, &(FblProgramOptions){.path = path, .library_dir = "models"}, &program), path);
    const FblName *names = NULL;
    size_t count = fbl_program_losses(program, &names);
    assert_true(count >= 10);
    for (size_t i = 0; i < count; i++) {
        one_loss(path, names[i]);
    }
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

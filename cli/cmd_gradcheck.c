// fblc gradcheck: every derivative of a program or a loss against central differences in double precision.
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "cli/options.h"
#include "passes/gradcheck.h"
#include "passes/manager.h"
#include "passes/simplify.h"

static FblStatus check_module(FblCli *cli, FblModule *module, const char *title, bool wrt_inputs, bool *out_ok) {
    FblGraph *forward = NULL; // a copy: the passes discard the graphs that they replace
    if (module->train != NULL) {
        FBL_TRY(fbl_graph_dce(module->train, &forward));
    }
    FblPassOptions passes = cli->passes;
    passes.wrt_inputs = wrt_inputs;
    FBL_TRY(fbl_passes_run(module, &passes));
    FblGradCheckOptions options = FBL_GRADCHECK_DEFAULT;
    if (cli->has_seed) {
        options.seed = cli->seed;
    }
    FblGradCheckResult *results;
    size_t count;
    FBL_TRY(fbl_gradcheck(module, forward, NULL, &options, &results, &count));
    if (!cli->json) {
        printf("%s\n", title);
    }
    for (size_t i = 0; i < count; i++) {
        const FblGradCheckResult *r = &results[i];
        if (cli->json) {
            printf("{\"of\":\"%s\",\"input\":\"%s\",\"max_relative_error\":%.3g,\"checked\":%lld,\"kinks\":%lld,\"ok\":%s}\n", title, r->name,
                   r->max_relative_error, (long long)r->checked, (long long)r->kinks, r->ok ? "true" : "false");
        } else {
            printf("  %-40s %s  relative error %.2e over %lld entries", r->name, r->ok ? "ok  " : "FAIL", r->max_relative_error, (long long)r->checked);
            printf(r->kinks ? " (%lld at corners passed over)\n" : "\n", (long long)r->kinks);
        }
        if (!r->ok) {
            *out_ok = false;
            fbl_diag(cli->ctx, FBL_ERROR, "E0305", FBL_NO_LOC, "the derivative of %s for `%s` is off at element %lld: %.9g, by differences %.9g", title, r->name,
                     (long long)r->worst, r->analytic, r->numeric);
        }
    }
    return FBL_OK;
}

// A loss by itself, on small made-up extents where nothing else gives them.
static FblStatus check_loss(FblCli *cli, FblProgram *program, const char *loss, bool *out_ok) {
    FblBuildOptions build = fbl_cli_build_options(cli);
    size_t count = build.setting_count;
    FblSetting *settings = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), FblSetting, count + 4);
    settings[0] = (FblSetting){"class", "7"};
    settings[1] = (FblSetting){"dim", "5"};
    if (count > 0) {
        memcpy(settings + 2, build.settings, count * sizeof *settings);
    }
    build.settings = settings;
    build.setting_count = count + 2;
    build.batch = build.batch ? build.batch : 6;
    FblModule *module;
    FBL_TRY(fbl_program_build_loss(program, loss, NULL, 0, &build, &module));
    return check_module(cli, module, loss, true, out_ok);
}

FblStatus fbl_cmd_gradcheck(FblCli *cli) {
    FblProgram *program;
    bool ok = true;
    FBL_TRY(fbl_cli_load(cli, cli->args[0], &program));
    if (cli->arg_count > 1) {
        FBL_TRY(check_loss(cli, program, cli->args[1], &ok));
        return ok ? FBL_OK : FBL_USER;
    }
    const FblName *losses;
    size_t count = fbl_program_losses(program, &losses);
    bool train = fbl_program_has_train(program);
    for (size_t i = 0; i < count && !train; i++) {
        FBL_TRY(check_loss(cli, program, losses[i], &ok));
    }
    if (train) {
        FblBuildOptions build = fbl_cli_build_options(cli);
        build.batch = build.batch ? build.batch : 4;
        FblModule *module;
        FBL_TRY(fbl_program_build(program, &build, &module));
        FBL_TRY(check_module(cli, module, "train", false, &ok));
    }
    return ok ? FBL_OK : FBL_USER;
}

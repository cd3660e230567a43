// fblc run: trains as the recipe says.
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "cli/training.h"

// A signal can only reach a global; the trainer is given its address.
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

// The first signal lets the step end and a checkpoint be written; a second one ends the process.
static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void print_result(const FblCli *cli, const FblTrainResult *result, const char *run_dir) {
    if (result->interrupted) {
        fprintf(stderr, "interrupted after %lld steps; --resume goes on\n", (long long)result->steps);
    } else if (!cli->quiet && result->best_epoch >= 0) {
        fprintf(stderr, "best top-1 %.2f %% in epoch %lld; %s\n", 100 * result->best_top1, (long long)result->best_epoch + 1, run_dir);
    }
}

static FblStatus run(FblCli *cli, FblTraining *training) {
    FBL_TRY(fbl_training_open(cli, cli->args[0], FBL_TRAINING_DATA | FBL_TRAINING_CODE | FBL_TRAINING_MEMORY, training));
    const char *run_dir = cli->out ? cli->out : fbl_arena_printf(fbl_context_arena(cli->ctx), "runs/%s", training->name);
    FBL_TRY(fbl_training_run_dir(training, run_dir, cli->resume));
    if (!cli->quiet) {
        size_t kernels, cached;
        double milliseconds;
        fbl_training_counts(training, &kernels, &cached, &milliseconds);
        fprintf(stderr, "%zu kernels (%zu cached) in %.0f ms, %d threads, %s\n", kernels, cached, milliseconds, training->driver.threads,
                fbl_cpu_target_identity(training->driver.target));
    }
    fbl_diag_flush(cli->ctx, stderr, strcmp(cli->diag, "json") == 0); // warnings, before hours of training
    FblTrainOptions options = {.programs = fbl_training_programs(training),
                               .train = &training->train,
                               .test = &training->test,
                               .transform = training->data.transform,
                               .sampler = training->data.sampler,
                               .mixup_alpha = training->data.mixup_alpha,
                               .run_dir = run_dir,
                               .recipe_hash = training->recipe_hash,
                               .init = cli->init,
                               .resume = cli->resume,
                               .max_steps = cli->max_steps,
                               .save_steps = cli->save_steps,
                               .workers = training->train.paths ? training->driver.threads : 1,
                               .json = cli->json,
                               .log_steps = cli->log_steps,
                               .quiet = cli->quiet,
                               .interrupted = &interrupted};
    FblTrainResult result;
    catch_signals();
    FblStatus status = fbl_train(cli->ctx, &options, &result);
    if (status == FBL_OK) {
        print_result(cli, &result, run_dir);
        cli->exit_code = result.interrupted ? 130 : 0;
    }
    return status;
}

FblStatus fbl_cmd_run(FblCli *cli) {
    FblTraining training = {0};
    FblStatus status = run(cli, &training);
    fbl_training_deinit(&training);
    return status;
}

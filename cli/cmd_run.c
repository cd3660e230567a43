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

// One run: its stages, and where they write.
typedef struct Run {
    FblCli *cli;
    FblTrainingStage *stages;
    size_t count;
    const char *run_dir;
    char recipe_hash[65];
} Run;

static void print_start(const FblCli *cli, const FblTraining *training, const FblTrainingStage *stage) {
    if (!cli->quiet) {
        size_t kernels, cached;
        double milliseconds;
        fbl_training_counts(training, &kernels, &cached, &milliseconds);
        if (stage->name) {
            fprintf(stderr, "stage %s: %lld epochs from epoch %lld on\n", stage->name, (long long)stage->epochs, (long long)stage->first_epoch);
        }
        fprintf(stderr, "%zu kernels (%zu cached) in %.0f ms, %d threads, %s\n", kernels, cached, milliseconds, training->driver.threads,
                fbl_driver_identity(&training->driver));
    }
    fbl_diag_flush(cli->ctx, stderr, strcmp(cli->diag, "json") == 0); // warnings, before hours of training
}

static FblStatus train_stage(const Run *run, FblTraining *training, size_t index, FblTrainResult *out_result) {
    FblCli *cli = run->cli;
    const FblTrainingStage *last = &run->stages[run->count - 1];
    print_start(cli, training, &run->stages[index]);
    FblTrainOptions options = {.programs = fbl_training_programs(training),
                               .train = &training->train,
                               .test = &training->test,
                               .transform = training->data.transform,
                               .sampler = training->data.sampler,
                               .mixup_alpha = training->data.mixup_alpha,
                               .run_dir = run->run_dir,
                               .recipe_hash = run->recipe_hash,
                               .init = cli->init,
                               .stage = (int64_t)index,
                               .stage_name = run->stages[index].name,
                               .total_epochs = last->first_epoch + last->epochs,
                               .resume = cli->resume,
                               .max_steps = cli->max_steps,
                               .save_steps = cli->save_steps,
                               .workers = training->train.paths ? training->driver.threads : 1,
                               .json = cli->json,
                               .log_steps = cli->log_steps,
                               .quiet = cli->quiet,
                               .check_finite = cli->passes.check_finite,
                               .interrupted = &interrupted};
    return fbl_train(cli->ctx, &options, out_result);
}

// The stage in which a resumed run goes on. What is wrong with its checkpoints is said when they are opened for good.
static size_t stage_to_resume(const Run *run) {
    if (!run->cli->resume || !fbl_checkpoint_exists(run->cli->ctx, run->run_dir)) {
        return 0;
    }
    FblContext *trial = fbl_context_create();
    FblCheckpointInfo info;
    FblTensorFile file;
    const char *path;
    size_t index = 0;
    if (fbl_checkpoint_open(trial, run->run_dir, FBL_CHECKPOINT_LAST, &info, &file, &path) == FBL_OK) {
        index = info.stage < (int64_t)run->count ? (size_t)info.stage : 0;
        bool ended = index + 1 < run->count && info.epoch >= run->stages[index].epochs;
        index += ended;
        fbl_tensor_file_deinit(&file);
    }
    fbl_context_destroy(trial);
    return index;
}

// Leaves the stage that trained last in *training.
static FblStatus run_stages(Run *run, FblTraining *training, FblTrainResult *out_result) {
    FblCli *cli = run->cli;
    const char *path = cli->args[0];
    int needs = FBL_TRAINING_DATA | FBL_TRAINING_CODE | FBL_TRAINING_MEMORY;
    FBL_TRY(fbl_training_open(cli, path, needs, training));
    run->run_dir = cli->out ? cli->out : fbl_arena_printf(fbl_context_arena(cli->ctx), "runs/%s", training->name);
    FBL_TRY(fbl_training_stages(training, path, &run->stages, &run->count));
    memcpy(run->recipe_hash, training->recipe_hash, sizeof run->recipe_hash);
    FBL_TRY(fbl_training_run_dir(training, run->run_dir, cli->resume));
    catch_signals();
    for (size_t index = stage_to_resume(run); index < run->count; index++) {
        if (index > 0) {
            const char *name = run->stages[index].name;
            fbl_training_deinit(training);
            FBL_TRY(fbl_training_open_stage(cli, path, name, needs, training));
            FBL_TRY(fbl_training_write(training, fbl_training_program_path(cli->ctx, run->run_dir, name)));
        }
        FBL_TRY(train_stage(run, training, index, out_result));
        if (!out_result->finished || out_result->interrupted) {
            return FBL_OK;
        }
    }
    return FBL_OK;
}

FblStatus fbl_cmd_run(FblCli *cli) {
    FblTraining training = {0};
    FblTrainResult result = {0};
    Run run = {.cli = cli};
    FblStatus status = run_stages(&run, &training, &result);
    if (status == FBL_OK) {
        print_result(cli, &result, run.run_dir);
        cli->exit_code = result.interrupted ? 130 : 0;
    }
    fbl_training_deinit(&training);
    return status;
}

// fblc eval: the test set, from a checkpoint of a run. fblc export: the weights of a run.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/training.h"

// Opens the program of a run and loads its best (or --last) checkpoint.
static FblStatus open_run(FblCli *cli, const char *run_dir, int needs, FblTraining *training) {
    const char *program = fbl_path_join(cli->ctx, run_dir, "program.fblx");
    if (!fbl_path_exists(program)) {
        FblDiag *diag = fbl_diag(cli->ctx, FBL_ERROR, "E0707", FBL_NO_LOC, "%s is not the folder of a run: it has no program.fblx", run_dir);
        fbl_diag_hint(cli->ctx, diag, "name the folder that `fblc run` was given with --out");
        return FBL_USER;
    }
    FBL_TRY(fbl_training_open(cli, program, needs | FBL_TRAINING_CODE | FBL_TRAINING_MEMORY | FBL_TRAINING_NO_TRAIN, training));
    FblCheckpointInfo info;
    FblTensorFile file;
    const char *path;
    FBL_TRY(fbl_checkpoint_open(cli->ctx, run_dir, cli->last ? FBL_CHECKPOINT_LAST : FBL_CHECKPOINT_BEST, &info, &file, &path));
    FblTrainPrograms programs = fbl_training_programs(training);
    FblStatus status = fbl_train_load_checkpoint(cli->ctx, &programs, &file, path);
    fbl_tensor_file_deinit(&file);
    if (status == FBL_OK && !cli->quiet) {
        fprintf(stderr, "%s: %s epoch %lld, step %lld\n", path, info.epoch_step ? "in" : "after", (long long)(info.epoch + (info.epoch_step ? 1 : 0)), (long long)info.step);
    }
    return status;
}

static void print_text(const FblMetrics *metrics, const FblTraining *training) {
    FblMetricsSummary s = fbl_metrics_summary(metrics);
    printf("%lld images  top-1 %.2f %%  top-5 %.2f %%  loss %.4f\n", (long long)metrics->count, 100 * s.top1, 100 * s.top5, s.loss);
    printf("many %.2f %%  medium %.2f %%  few %.2f %%  mean of classes %.2f %%\n", 100 * s.many, 100 * s.medium, 100 * s.few, 100 * s.class_mean);
    for (int32_t c = 0; c < metrics->classes; c++) {
        const char *name = training->train.class_names ? training->train.class_names[c] : "";
        printf("%6d %-20s %8lld images  %6.2f %%\n", c, name, (long long)training->train.class_counts[c], 100 * fbl_metrics_class_accuracy(metrics, c));
    }
}

static FblStatus evaluate(FblCli *cli, FblTraining *training) {
    FBL_TRY(open_run(cli, cli->args[0], FBL_TRAINING_DATA, training));
    FblMetrics metrics;
    FBL_TRY(fbl_metrics_init(&metrics, training->train.classes, training->train.class_counts));
    double *counts = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, training->train.classes + 1);
    for (int32_t c = 0; c < training->train.classes; c++) {
        counts[c] = (double)training->train.class_counts[c];
    }
    FblEvalOptions options = {.programs = fbl_training_programs(training),
                              .data = &training->test,
                              .transform = fbl_transform_for_test(&training->data.transform, &training->test),
                              .class_count = counts,
                              .classes = training->train.classes,
                              .epoch = training->main.module->recipe.epochs,
                              .workers = training->test.paths ? training->driver.threads : 1,
                              .feature_norm = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, training->train.classes + 1)};
    FblStatus status = fbl_train_evaluate(cli->ctx, &options, &metrics);
    if (status == FBL_OK && cli->json) {
        char *text = fbl_metrics_json(&metrics, training->train.class_names, options.feature_norm);
        if (text) {
            printf("%s\n", text);
        }
        status = text ? FBL_OK : FBL_NOMEM;
        free(text);
    } else if (status == FBL_OK) {
        print_text(&metrics, training);
    }
    fbl_metrics_deinit(&metrics);
    return status;
}

FblStatus fbl_cmd_eval(FblCli *cli) {
    FblTraining training = {0};
    FblStatus status = evaluate(cli, &training);
    fbl_training_deinit(&training);
    return status;
}

static FblStatus export_weights(FblCli *cli, FblTraining *training) {
    FBL_TRY(open_run(cli, cli->args[0], 0, training));
    FblFileTensor *tensors;
    size_t count;
    FblTrainPrograms programs = fbl_training_programs(training);
    FBL_TRY(fbl_train_tensors(cli->ctx, &programs, false, &tensors, &count));
    FblFileString about[] = {{"format", "pt"}, {"fblc", FBL_VERSION}, {"program", training->name}};
    FblStatus status = fbl_tensor_file_write(cli->ctx, cli->safetensors, tensors, count, about, sizeof about / sizeof about[0]);
    free(tensors);
    return status;
}

FblStatus fbl_cmd_export(FblCli *cli) {
    if (cli->onnx) {
        fbl_error(cli->ctx, "E0708", FBL_NO_LOC, "this build does not write ONNX");
        return FBL_UNSUPPORTED;
    }
    if (!cli->safetensors) {
        return fbl_cli_usage(cli, "`export` needs --safetensors W");
    }
    FblTraining training = {0};
    FblStatus status = export_weights(cli, &training);
    fbl_training_deinit(&training);
    return status;
}

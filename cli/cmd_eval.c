// fblc eval: the test set, from a checkpoint of a run.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/training.h"

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
    FBL_TRY(fbl_training_open_run(cli, cli->args[0], FBL_TRAINING_DATA, training));
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

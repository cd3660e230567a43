// fblc export: the weights of a run as safetensors, or its evaluation program with them as an ONNX model.
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/training.h"
#include "codegen/onnx/onnx.h"

static FblStatus export_weights(FblCli *cli, FblTraining *training) {
    FblFileTensor *tensors;
    size_t count;
    FblTrainPrograms programs = fbl_training_programs(training);
    FBL_TRY(fbl_train_tensors(cli->ctx, &programs, false, &tensors, &count));
    FblFileString about[] = {{"format", "pt"}, {"fblc", FBL_VERSION}, {"program", training->name}};
    FblStatus status = fbl_tensor_file_write(cli->ctx, cli->safetensors, tensors, count, about, sizeof about / sizeof about[0]);
    free(tensors);
    return status;
}

typedef struct Weights {
    const FblFileTensor *tensors;
    size_t count;
} Weights;

static const float *find_weights(void *arg, FblName path) {
    const Weights *weights = arg;
    for (size_t i = 0; i < weights->count; i++) {
        if (strcmp(weights->tensors[i].name, path) == 0) {
            return weights->tensors[i].data;
        }
    }
    return NULL;
}

static FblStatus export_onnx(FblCli *cli, FblTraining *training) {
    const FblModule *module = training->main.module;
    if (!module->eval) {
        return fbl_error(cli->ctx, "E0708", FBL_NO_LOC, "the run has no evaluation program to write");
    }
    FblFileTensor *tensors;
    size_t count;
    FblTrainPrograms programs = fbl_training_programs(training);
    FBL_TRY(fbl_train_tensors(cli->ctx, &programs, false, &tensors, &count));
    Weights weights = {tensors, count};
    FblOnnxOptions options = {.outputs = &module->recipe.predict, .output_count = 1, .weights = find_weights, .weights_arg = &weights};
    const uint8_t *bytes;
    size_t size;
    FblStatus status = fbl_onnx_encode(module->eval, &options, &bytes, &size);
    if (status == FBL_OK) {
        FblSpan span = {bytes, size};
        status = fbl_write_file_atomic(cli->ctx, cli->onnx, &span, 1);
    }
    free(tensors);
    return status;
}

FblStatus fbl_cmd_export(FblCli *cli) {
    if (!cli->safetensors && !cli->onnx) {
        return fbl_cli_usage(cli, "`export` needs --safetensors W or --onnx M.onnx");
    }
    FblTraining training = {0};
    FblStatus status = fbl_training_open_run(cli, cli->args[0], FBL_TRAINING_UNDIVIDED, &training);
    if (status == FBL_OK && cli->safetensors) {
        status = export_weights(cli, &training);
    }
    if (status == FBL_OK && cli->onnx) {
        status = export_onnx(cli, &training);
    }
    fbl_training_deinit(&training);
    return status;
}

// fblc step: N train steps on given tensors, for comparing with another framework.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/options.h"
#include "cli/simulate.h"
#include "runtime/torch_file.h"

typedef struct StepFiles {
    FblTensorFile batch, weights;
} StepFiles;

// Fills sim->batch with the train graph's inputs that the batch file holds, and the epoch's facts.
static FblStatus read_batch(FblCli *cli, FblSimulation *sim, const FblTensorFile *file) {
    FblModule *module = sim->module;
    const FblFileTensor *count = fbl_tensor_file_find(file, "class_count");
    if (count) {
        int64_t classes = fbl_file_tensor_elements(count);
        double *values = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, classes + 1);
        fbl_file_tensor_to_f64(count, values, classes);
        sim->epoch.class_count = values;
        sim->epoch.classes = classes;
    }
    const FblFileTensor *epoch = fbl_tensor_file_find(file, "epoch");
    double epoch_value = 0;
    if (epoch && (fbl_file_tensor_elements(epoch) != 1 || !fbl_file_tensor_to_f64(epoch, &epoch_value, 1) || !(epoch_value >= 0 && epoch_value < 1e15))) {
        return fbl_error(cli->ctx, "E0734", FBL_NO_LOC, "%s: `epoch` must be one number from 0", cli->batch_file);
    }
    sim->epoch.epoch = (int64_t)epoch_value;
    for (size_t id = 0; id < module->train->count; id++) {
        const FblNode *node = &module->train->nodes[id];
        if (node->op != FBL_OP_INPUT) {
            continue;
        }
        FblName name = node->attr.names[0];
        double scalar;
        if (strncmp(name, "hoist.", 6) == 0 || strcmp(name, "step") == 0 || strcmp(name, "class_count") == 0 ||
            (node->type.rank == 0 && fbl_epoch_scalar(module, &sim->epoch, name, &scalar))) {
            continue;
        }
        FblTensor tensor;
        bool found;
        FBL_TRY(fbl_tensor_from_file(cli->ctx, file, cli->batch_file, name, &node->type, &tensor, &found));
        if (!found) {
            FblDiag *diag = fbl_diag(cli->ctx, FBL_ERROR, "E0735", node->loc, "%s has no tensor `%s`, which the step needs", cli->batch_file, name);
            fbl_diag_hint(cli->ctx, diag, "it should be %s", fbl_type_string(cli->ctx, &node->type));
            return FBL_USER;
        }
        FBL_TRY(fbl_bindings_set(&sim->batch, name, tensor));
    }
    return FBL_OK;
}

static FblStatus run_steps(FblCli *cli, FblSimulation *sim) {
    FBL_TRY(fbl_simulation_begin(sim));
    int64_t steps = cli->steps;
    double *losses = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, steps + 1);
    FblDump dump;
    fbl_dump_init(&dump, cli->interp);
    FblStatus status = FBL_OK;
    for (int64_t s = 0; s < steps && status == FBL_OK; s++) {
        status = fbl_simulation_step(sim, s, &losses[s]);
        if (status == FBL_OK && s == steps - 1) {
            fbl_simulation_dump_results(sim, &dump);
        }
        if (status == FBL_OK) {
            status = fbl_simulation_update(sim, s);
        }
        if (status == FBL_OK) {
            printf(cli->json ? "{\"step\":%lld,\"loss\":%.9g}\n" : "step %lld  loss %.9g\n", (long long)s, losses[s]);
        }
    }
    if (status == FBL_OK && cli->dump) {
        fbl_simulation_dump_state(sim, &dump);
        FblType scalar = fbl_type_scalar(FBL_F32), list = scalar;
        fbl_type_add_axis(&list, fbl_intern(cli->ctx, "step"), steps);
        fbl_dump_add(&dump, "losses", &list, losses);
        fbl_dump_add(&dump, "loss", &scalar, &losses[steps - 1]);
        status = fbl_dump_write(cli->ctx, &dump, cli->dump);
    }
    fbl_dump_deinit(&dump);
    return status;
}

static FblStatus step_files(FblCli *cli, StepFiles *files) {
    FBL_TRY(fbl_tensor_file_read(cli->ctx, cli->batch_file, &files->batch));
    if (cli->weights) {
        FBL_TRY(fbl_weights_read(cli->ctx, cli->weights, &files->weights));
    }
    const FblFileTensor *image = fbl_tensor_file_find(&files->batch, "image");
    const FblFileTensor *count = fbl_tensor_file_find(&files->batch, "class_count");
    FblProgram *program;
    FblModule *module;
    FBL_TRY(fbl_cli_load(cli, cli->args[0], &program));
    FblBuildOptions build = fbl_cli_build_options(cli);
    if (image && image->rank > 0) {
        build.batch = image->shape[0];
    }
    if (count && count->rank == 1) {
        build.class_extent = count->shape[0];
    }
    FBL_TRY(fbl_program_build(program, &build, &module));
    FblDriver driver;
    FBL_TRY(fbl_driver_init(&driver, cli->ctx, &cli->passes, (int)cli->threads));
    FblSimulation sim = {0};
    FblStatus status = fbl_driver_optimize(&driver, module);
    if (status == FBL_OK) {
        status = fbl_simulation_init(&sim, cli->ctx, cli->interp ? NULL : &driver, module, module->recipe.seed);
    }
    if (status == FBL_OK && cli->weights) {
        status = fbl_simulation_weights(&sim, &files->weights, cli->weights, true);
    }
    if (status == FBL_OK) {
        status = read_batch(cli, &sim, &files->batch);
    }
    if (status == FBL_OK) {
        status = run_steps(cli, &sim);
    }
    fbl_simulation_deinit(&sim);
    fbl_driver_deinit(&driver);
    return status;
}

FblStatus fbl_cmd_step(FblCli *cli) {
    if (!cli->batch_file) {
        return fbl_cli_usage(cli, "step needs --batch-file B.safetensors (image, label, class_count)");
    }
    if (cli->steps < 1 || cli->steps > 1000000) {
        return fbl_cli_usage(cli, "--steps takes a number from 1 to 1000000");
    }
    StepFiles files = {0};
    FblStatus status = step_files(cli, &files);
    fbl_tensor_file_deinit(&files.batch);
    fbl_tensor_file_deinit(&files.weights);
    return status;
}

// fblc loss: one loss on given tensors, its value and its gradient for every float input.
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "cli/options.h"
#include "cli/simulate.h"

// The batch holds what the loss asks for; a scalar that only a trainer knows is taken from the file when it is there.
static FblStatus read_inputs(FblCli *cli, FblSimulation *sim, const FblTensorFile *file) {
    FblModule *module = sim->module;
    const FblFileTensor *count = fbl_tensor_file_find(file, "class_count");
    if (count) {
        int64_t classes = fbl_file_tensor_elements(count);
        double *values = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, classes + 1);
        fbl_file_tensor_to_f64(count, values, classes);
        sim->epoch.class_count = values;
        sim->epoch.classes = classes;
    }
    const struct {
        const char *name;
        int64_t *to;
    } scalars[] = {{"epoch", &sim->epoch.epoch}, {"epochs", &sim->epoch.epochs}, {"steps", &sim->epoch.steps}};
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        const FblFileTensor *tensor = fbl_tensor_file_find(file, scalars[i].name);
        double value;
        if (tensor && fbl_file_tensor_elements(tensor) == 1 && fbl_file_tensor_to_f64(tensor, &value, 1) && value >= 0 && value < 1e15) {
            *scalars[i].to = (int64_t)value;
        }
    }
    // A hyper-parameter may be given as a tensor of its own name ("lambda").
    for (size_t i = 0; i < module->hyper_count; i++) {
        const char *dot = strrchr(module->hypers[i].name, '.');
        const FblFileTensor *tensor = fbl_tensor_file_find(file, dot ? dot + 1 : module->hypers[i].name);
        double value;
        if (tensor && fbl_file_tensor_elements(tensor) == 1 && fbl_file_tensor_to_f64(tensor, &value, 1)) {
            module->hypers[i].value = value;
        }
    }
    for (size_t id = 0; id < module->train->count; id++) {
        const FblNode *node = &module->train->nodes[id];
        if (node->op != FBL_OP_INPUT) {
            continue;
        }
        FblName name = node->attr.names[0];
        FblTensor tensor;
        bool found;
        double scalar;
        if (strcmp(name, "class_count") == 0 || strncmp(name, "hoist.", 6) == 0 ||
            (node->type.rank == 0 && fbl_epoch_scalar(module, &sim->epoch, name, &scalar))) {
            continue;
        }
        FBL_TRY(fbl_tensor_from_file(cli->ctx, file, cli->inputs, name, &node->type, &tensor, &found));
        if (!found && strcmp(name, "step") != 0) {
            return fbl_error(cli->ctx, "E0735", node->loc, "%s has no tensor `%s`, which the loss needs", cli->inputs, name);
        }
        if (found) {
            FBL_TRY(fbl_bindings_set(&sim->batch, name, tensor));
        }
    }
    return fbl_simulation_weights(sim, file, cli->inputs, false);
}

static FblStatus run_loss(FblCli *cli, FblSimulation *sim, const FblTensorFile *file) {
    FBL_TRY(read_inputs(cli, sim, file));
    FBL_TRY(fbl_simulation_begin(sim));
    double loss;
    FBL_TRY(fbl_simulation_step(sim, 0, &loss));
    printf(cli->json ? "{\"loss\":%.9g}\n" : "loss %.9g\n", loss);
    if (!cli->dump) {
        return FBL_OK;
    }
    FblDump dump;
    fbl_dump_init(&dump, cli->interp);
    FblType scalar = fbl_type_scalar(FBL_F32);
    fbl_dump_add(&dump, "loss", &scalar, &loss);
    fbl_simulation_dump_results(sim, &dump);
    fbl_simulation_dump_state(sim, &dump);
    FblStatus status = fbl_dump_write(cli->ctx, &dump, cli->dump);
    fbl_dump_deinit(&dump);
    return status;
}

static FblStatus with_inputs(FblCli *cli, const FblTensorFile *file) {
    FblInputShape *shapes = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), FblInputShape, file->count + 1);
    for (size_t i = 0; i < file->count; i++) {
        shapes[i].name = file->tensors[i].name;
        shapes[i].rank = file->tensors[i].rank;
        memcpy(shapes[i].extents, file->tensors[i].shape, sizeof shapes[i].extents);
    }
    FblProgram *program;
    FblModule *module;
    FBL_TRY(fbl_cli_load(cli, cli->args[0], &program));
    FblBuildOptions build = fbl_cli_build_options(cli);
    const FblFileTensor *count = fbl_tensor_file_find(file, "class_count");
    if (count && count->rank == 1) {
        build.class_extent = count->shape[0];
    }
    FBL_TRY(fbl_program_build_loss(program, cli->args[1], shapes, file->count, &build, &module));
    FblDriver driver;
    cli->passes.wrt_inputs = true;
    FBL_TRY(fbl_driver_init(&driver, cli->ctx, &cli->passes, (int)cli->threads));
    FblSimulation sim = {0};
    FblStatus status = fbl_driver_optimize(&driver, module);
    if (status == FBL_OK) {
        status = fbl_simulation_init(&sim, cli->ctx, cli->interp ? NULL : &driver, module, module->recipe.seed);
    }
    if (status == FBL_OK) {
        status = run_loss(cli, &sim, file);
    }
    fbl_simulation_deinit(&sim);
    fbl_driver_deinit(&driver);
    return status;
}

FblStatus fbl_cmd_loss(FblCli *cli) {
    if (!cli->inputs) {
        return fbl_cli_usage(cli, "loss needs --inputs B.safetensors");
    }
    FblTensorFile file = {0};
    FBL_TRY(fbl_tensor_file_read(cli->ctx, cli->inputs, &file));
    FblStatus status = with_inputs(cli, &file);
    fbl_tensor_file_deinit(&file);
    return status;
}

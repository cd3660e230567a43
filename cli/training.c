#include "cli/training.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/io.h"
#include "cli/training_file.h"
#include "ir/module_text.h"

static const char *stem_of(FblContext *ctx, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return fbl_arena_strndup(fbl_context_arena(ctx), name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

// The pool binds the calling thread to one core; loader threads that it starts later must not inherit that.
static FblStatus init_driver(FblTraining *training) {
    cpu_set_t cores;
    bool known = pthread_getaffinity_np(pthread_self(), sizeof cores, &cores) == 0;
    FBL_TRY(fbl_driver_init(&training->driver, training->ctx, &training->cli->passes, (int)training->cli->threads));
    if (known) {
        pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
    }
    return FBL_OK;
}

static FblBuildOptions build_options(FblTraining *training, int64_t batch) {
    FblBuildOptions options = fbl_cli_build_options(training->cli);
    options.settings = training->settings;
    options.setting_count = training->setting_count;
    options.stage = training->stage;
    options.class_extent = training->class_extent;
    options.batch = batch > 0 ? batch : options.batch;
    return options;
}

static FblStatus load_data(FblTraining *training, const FblRecipe *recipe, const char *source_path, int needs) {
    FblContext *ctx = training->ctx;
    if (!(needs & (FBL_TRAINING_DATA | FBL_TRAINING_DATA_IF_ANY))) {
        return FBL_OK;
    }
    bool optional = !(needs & FBL_TRAINING_DATA);
    if (optional && recipe->dataset.kind != FBL_VALUE_CALL) {
        return FBL_OK;
    }
    FBL_TRY(fbl_data_from_recipe(ctx, recipe, training->cli->data, fbl_path_directory(ctx, source_path), &training->data));
    training->data.dataset.check = !optional;
    training->data.dataset.progress = training->cli->quiet ? NULL : stderr;
    const FblDatasetSpec *spec = &training->data.dataset;
    const char *place = spec->kind == FBL_DATASET_LIST ? spec->train_list : spec->directory;
    if (optional && (!place || !fbl_path_exists(place))) {
        return FBL_OK;
    }
    FBL_TRY(fbl_dataset_load(ctx, spec, FBL_SPLIT_TRAIN, &training->train));
    training->class_extent = training->train.classes;
    if (needs & FBL_TRAINING_DATA) {
        FBL_TRY(fbl_dataset_load(ctx, spec, FBL_SPLIT_TEST, &training->test));
        if (training->test.classes != training->train.classes) {
            return fbl_error(ctx, "E0705", recipe->dataset.loc, "the training images have %d classes, the test images %d", training->train.classes,
                             training->test.classes);
        }
        if (!training->cli->quiet) {
            fprintf(stderr, "train: %s\ntest:  %s\n", training->train.description, training->test.description);
        }
    }
    return FBL_OK;
}

// Size of an epoch's last batch when it is smaller than the others, else 0.
static int64_t tail_size(const FblTraining *training) {
    const FblRecipe *recipe = &training->main.module->recipe;
    return training->train.count ? fbl_sampler_length(&training->data.sampler, &training->train) % recipe->batch : 0;
}

static FblStatus compile_part(FblTraining *training, FblTrainingPart *part, bool is_tail, int needs) {
    FblLowerOptions options = fbl_driver_lower_options(&training->driver);
    options.with_eval = !is_tail && part->module->eval;
    options.with_train = part->module->train != NULL;
    options.with_optimizer = !is_tail && part->module->optimizer;
    return needs & FBL_TRAINING_CODE ? fbl_driver_compile(&training->driver, part->module, &options, &part->built)
                                     : fbl_manager_lower(training->driver.manager, part->module, &options, &part->built.plan);
}

static FblStatus build_tail(FblTraining *training, FblProgram *program, int64_t size, int needs) {
    FblBuildOptions options = build_options(training, size);
    FBL_TRY(fbl_program_build(program, &options, &training->tail.module));
    FBL_TRY(fbl_driver_optimize(&training->driver, training->tail.module));
    return needs & FBL_TRAINING_CODE ? compile_part(training, &training->tail, true, needs) : FBL_OK;
}

// --start-from: the program, and perhaps the plan, that --dump-dir wrote take the place of what the source says.
static FblStatus start_from_dump(FblTraining *training, int needs) {
    uint32_t file;
    const char *pass;
    FBL_TRY(fbl_manager_start_from(training->driver.manager, &file, &pass));
    if (!pass || strcmp(pass, "lower") != 0) {
        FBL_TRY(fbl_module_read(training->ctx, file, &training->main.module));
        FBL_TRY(fbl_driver_optimize(&training->driver, training->main.module));
        return needs & (FBL_TRAINING_CODE | FBL_TRAINING_PLAN) ? compile_part(training, &training->main, false, needs) : FBL_OK;
    }
    FblPlan *plan;
    FBL_TRY(fbl_plan_read(training->ctx, file, &plan));
    training->main.built.plan = plan;
    return needs & FBL_TRAINING_CODE ? fbl_driver_compile_plan(&training->driver, plan, &training->main.built) : FBL_OK;
}

static FblStatus open_program(FblTraining *training, FblProgram *program, const char *path, int needs) {
    FblModule *draft;
    training->sources = fbl_program_bundle(program);
    training->stage_count = fbl_program_stages(program, &training->stages);
    if (!fbl_program_has_train(program)) {
        FblDiag *diag = fbl_diag(training->ctx, FBL_ERROR, "E0700", FBL_NO_LOC, "%s has no train block", path);
        fbl_diag_hint(training->ctx, diag, "models/cifar10_lt.fbl shows one");
        return FBL_USER;
    }
    FblBuildOptions first = build_options(training, 0);
    first.symbolic = true;
    FBL_TRY(fbl_program_build(program, &first, &draft));
    FBL_TRY(load_data(training, &draft->recipe, path, needs));
    FblBuildOptions options = build_options(training, 0);
    FBL_TRY(fbl_program_build(program, &options, &training->main.module));
    FBL_TRY(fbl_driver_check_batch(&training->driver, training->main.module));
    if (*training->driver.passes.start_from) {
        return start_from_dump(training, needs);
    }
    FBL_TRY(fbl_driver_optimize(&training->driver, training->main.module));
    if (needs & (FBL_TRAINING_CODE | FBL_TRAINING_PLAN)) {
        FBL_TRY(compile_part(training, &training->main, false, needs));
    }
    int64_t tail = needs & FBL_TRAINING_NO_TRAIN ? 0 : tail_size(training);
    return tail ? build_tail(training, program, tail, needs) : FBL_OK;
}

static FblStatus open_source(FblTraining *training, const char *path, int needs) {
    FblProgram *program;
    FBL_TRY(fbl_cli_load(training->cli, path, &program));
    fbl_cli_build_options(training->cli); // settles --epochs into the settings
    training->settings = training->cli->settings;
    training->setting_count = training->cli->setting_count;
    return open_program(training, program, path, needs);
}

// Another stage than the one that the file holds code for, or for another number of GPUs: built from the sources in it, with its
// settings and those of the command line.
static FblStatus open_anew(FblTraining *training, const char *path, int needs) {
    FblProgram *program;
    FBL_TRY(fbl_program_load(training->ctx, &(FblProgramOptions){.bundle = &training->sources}, &program));
    fbl_cli_build_options(training->cli);
    size_t own = training->setting_count, more = training->cli->setting_count;
    FblSetting *settings = FBL_NEW_ARRAY(fbl_context_arena(training->ctx), FblSetting, own + more + 1);
    for (size_t i = 0; i < own + more; i++) {
        settings[i] = i < own ? training->settings[i] : training->cli->settings[i - own];
    }
    training->settings = settings;
    training->setting_count = own + more;
    training->main = training->tail = (FblTrainingPart){0};
    const char *source = training->sources.files[0].path;
    return open_program(training, program, fbl_path_exists(source) ? source : path, needs);
}

// A tail that the file does not hold: built from the sources in it.
static FblStatus tail_from_sources(FblTraining *training, int64_t size, int needs) {
    FblProgram *program;
    FBL_TRY(fbl_program_load(training->ctx, &(FblProgramOptions){.bundle = &training->sources}, &program));
    FBL_TRY(build_tail(training, program, size, needs));
    return fbl_training_apply_options(training);
}

static FblStatus open_compiled(FblTraining *training, const char *path, const char *stage, int needs) {
    FBL_TRY(fbl_training_read_file(training, path));
    if (stage && (!training->stage || strcmp(stage, training->stage) != 0)) {
        training->stage = stage;
        return open_anew(training, path, needs);
    }
    if (training->file_gpus != training->driver.passes.gpus) {
        return open_anew(training, path, needs);
    }
    const char *source = training->sources.files[0].path;
    FBL_TRY(load_data(training, &training->main.module->recipe, fbl_path_exists(source) ? source : path, needs));
    FBL_TRY(fbl_training_file_code(training, &training->main, 0, path));
    if (needs & FBL_TRAINING_NO_TRAIN) {
        training->tail = (FblTrainingPart){0};
        return FBL_OK;
    }
    int64_t size = training->train.count ? tail_size(training) : training->tail.module ? training->tail.module->recipe.batch : 0;
    if (training->tail.module && training->tail.module->recipe.batch == size) {
        return fbl_training_file_code(training, &training->tail, 1, path);
    }
    training->tail = (FblTrainingPart){0};
    return size ? tail_from_sources(training, size, needs) : FBL_OK;
}

static FblStatus create_memory(FblTraining *training) {
    FBL_TRY(fbl_driver_load(&training->driver, &training->main.built));
    FBL_TRY(fbl_driver_store(&training->driver, &training->main.built, &training->store));
    FBL_TRY(fbl_driver_exec(&training->driver, &training->main.built, training->store, &training->main.exec));
    if (training->tail.module) {
        FBL_TRY(fbl_driver_load(&training->driver, &training->tail.built));
        const FblPlan *a = training->main.built.plan, *b = training->tail.built.plan;
        bool same = a->param_count == b->param_count && a->state_count == b->state_count;
        for (size_t i = 0; same && i < a->param_count; i++) {
            same = a->params[i].offset == b->params[i].offset && strcmp(a->params[i].name, b->params[i].name) == 0;
        }
        for (size_t i = 0; same && i < a->state_count; i++) {
            same = a->states[i].offset == b->states[i].offset && strcmp(a->states[i].name, b->states[i].name) == 0;
        }
        if (!same) {
            fbl_error(training->ctx, "E0706", FBL_NO_LOC, "the programs for full and for smaller batches lay out their parameters differently");
            return FBL_INTERNAL;
        }
        FBL_TRY(fbl_driver_exec(&training->driver, &training->tail.built, training->store, &training->tail.exec));
    }
    return FBL_OK;
}

// `class_extent`: of the data, when they are not loaded; 0: as the recipe says.
static FblStatus open_at(FblCli *cli, const char *path, const char *stage, int64_t class_extent, int needs, FblTraining *out_training) {
    FblTraining *training = out_training;
    memset(training, 0, sizeof *training);
    training->cli = cli;
    training->ctx = cli->ctx;
    training->class_extent = class_extent;
    training->name = stem_of(cli->ctx, path);
    bool compiled = fblx_is(path) || (strlen(path) > 5 && strcmp(path + strlen(path) - 5, ".fblx") == 0);
    if (compiled) {
        FBL_TRY(fblx_read(training->ctx, path, &training->file));
        fbl_training_file_target(training);
        cli->passes.gpus = needs & FBL_TRAINING_UNDIVIDED ? 1 : cli->passes.gpus;
    }
    FBL_TRY(init_driver(training));
    FBL_TRY(compiled ? fbl_training_file_tiles(training, path) : FBL_OK);
    if (needs & FBL_TRAINING_MEMORY) {
        FBL_TRY(fbl_driver_device(&training->driver)); // said before minutes of compiling
    }
    training->stage = compiled ? NULL : stage;
    FBL_TRY(compiled ? open_compiled(training, path, stage, needs) : open_source(training, path, needs));
    const char *text = fbl_module_print(training->main.module);
    FblHash hash = fbl_hash(text, strlen(text));
    fbl_hash_hex(&hash, training->recipe_hash);
    training->recipe_text = fbl_training_recipe_text(training);
    if (needs & FBL_TRAINING_CODE && !training->session.object) {
        FBL_TRY(fbl_driver_session(&training->driver, &training->session));
    }
    return needs & FBL_TRAINING_MEMORY ? create_memory(training) : FBL_OK;
}

FblStatus fbl_training_open(FblCli *cli, const char *path, int needs, FblTraining *out_training) {
    return fbl_training_open_stage(cli, path, cli->stage, needs, out_training);
}

FblStatus fbl_training_open_stage(FblCli *cli, const char *path, const char *stage, int needs, FblTraining *out_training) {
    return open_at(cli, path, stage, 0, needs, out_training);
}

FblStatus fbl_training_stages(FblTraining *training, const char *path, FblTrainingStage **out_stages, size_t *out_count) {
    FblContext *ctx = training->ctx;
    FblArena *arena = fbl_context_arena(ctx);
    if (training->file.count > 0 && !training->stage) { // a compiled file: its sources say what follows
        FblProgram *program;
        FBL_TRY(fbl_program_load(ctx, &(FblProgramOptions){.bundle = &training->sources}, &program));
        training->stage_count = fbl_program_stages(program, &training->stages);
    }
    size_t later = training->stage ? 0 : training->stage_count;
    FblTrainingStage *stages = FBL_NEW_ARRAY(arena, FblTrainingStage, later + 1);
    stages[0] = (FblTrainingStage){training->stage, 0, training->main.module->recipe.epochs};
    const char *digests = training->recipe_hash;
    for (size_t i = 0; i < later; i++) {
        FblTraining other;
        FblTrainingStage *stage = &stages[i + 1];
        stage->name = training->stages[i];
        stage->first_epoch = stages[i].first_epoch + stages[i].epochs;
        FblStatus status = open_at(training->cli, path, stage->name, training->class_extent, 0, &other);
        if (status == FBL_OK) {
            stage->epochs = other.main.module->recipe.epochs;
            digests = fbl_arena_printf(arena, "%s %s", digests, other.recipe_hash);
            training->recipe_text = fbl_arena_printf(arena, "%s\n%s", training->recipe_text, other.recipe_text);
            fbl_diag_flush(ctx, stderr, strcmp(training->cli->diag, "json") == 0);
        }
        fbl_training_deinit(&other);
        FBL_TRY(status);
    }
    if (later) {
        FblHash hash = fbl_hash(digests, strlen(digests));
        fbl_hash_hex(&hash, training->recipe_hash);
        training->recipe_text = fbl_arena_printf(arena, "%s\nwhole %s\n", training->recipe_text, training->recipe_hash);
    }
    *out_stages = stages;
    *out_count = later + 1;
    return FBL_OK;
}

static void deinit_part(FblTrainingPart *part) {
    fbl_exec_destroy(part->exec);
    if (part->built.codes) {
        fbl_built_deinit(&part->built);
    }
}

void fbl_training_deinit(FblTraining *training) {
    deinit_part(&training->main);
    deinit_part(&training->tail);
    fbl_kernel_code_free(&training->session);
    fbl_store_destroy(training->store);
    fbl_dataset_deinit(&training->train);
    fbl_dataset_deinit(&training->test);
    fblx_deinit(&training->file);
    if (training->driver.ctx) {
        fbl_driver_deinit(&training->driver);
    }
    memset(training, 0, sizeof *training);
}

FblTrainPrograms fbl_training_programs(FblTraining *training) {
    return (FblTrainPrograms){training->main.module, training->main.exec, training->tail.module, training->tail.exec, training->store,
                              training->session.object ? &training->session : NULL};
}

void fbl_training_counts(const FblTraining *training, size_t *out_kernels, size_t *out_cached, double *out_milliseconds) {
    const FblTrainingPart *parts[2] = {&training->main, &training->tail};
    *out_kernels = *out_cached = 0;
    *out_milliseconds = 0;
    for (int i = 0; i < 2; i++) {
        *out_kernels += parts[i]->built.plan ? parts[i]->built.plan->kernel_count : 0;
        *out_cached += parts[i]->built.cached;
        *out_milliseconds += parts[i]->built.milliseconds;
    }
}

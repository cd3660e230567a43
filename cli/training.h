// A program ready to train or evaluate: from source or from a compiled file, with its data, code and memory.
//
// Shared by the verbs run, eval, compile, export, explain and profile.
// Ownership: a training owns its data, code and memory. Threads: as the context.
#ifndef FBL_CLI_TRAINING_H
#define FBL_CLI_TRAINING_H

#include "cli/driver.h"
#include "cli/options.h"
#include "runtime/fblx.h"
#include "runtime/recipe_data.h"
#include "runtime/trainer.h"

// One program: the module at one batch size, and its code.
typedef struct FblTrainingPart {
    FblModule *module; // after the passes
    FblBuilt built;
    FblExec *exec;
} FblTrainingPart;

typedef struct FblTraining {
    FblCli *cli;
    FblContext *ctx;
    FblDriver driver;
    FblTrainingPart main;
    FblTrainingPart tail; // at the size of an epoch's last, smaller batch; module NULL when there is none
    FblStore *store;
    FblKernelCode session; // on a GPU: the kernels around the train step
    FblRecipeData data;
    FblDataset train, test;
    FblSourceBundle sources;
    const char *name;        // of the file without folder and ending
    const char *recipe_text; // the settings and the resolved recipe, for people
    char recipe_hash[65];
    FblxFile file; // when it came from a compiled file
    int64_t file_gpus; // that its program is divided among
    FblSetting *settings; // that it was built with (from the command line or the compiled file)
    size_t setting_count;
    const char *stage;
    int64_t class_extent;
    size_t stage_count; // of its train block; names in the arena
    const FblName *stages;
} FblTraining;

// What fbl_training_open does besides reading and optimizing the program.
typedef enum FblTrainingNeeds {
    FBL_TRAINING_DATA = 1,       // load the data set (a missing one is an error)
    FBL_TRAINING_DATA_IF_ANY = 2, // load it when it is there, to know the size of the last batch
    FBL_TRAINING_CODE = 4,       // machine code
    FBL_TRAINING_MEMORY = 8,     // load the code, create store and executors
    FBL_TRAINING_PLAN = 32,      // lower to kernels; no machine code, so that no compiler of a target is needed
    FBL_TRAINING_NO_TRAIN = 16,  // only evaluation: the last batch's own program is not needed
    FBL_TRAINING_UNDIVIDED = 64  // the program of one device, however many GPUs the file is for
} FblTrainingNeeds;

// Opens `path` (.fbl or .fblx) at the stage that --stage names, or else at the train block itself. Deinit in any case.
FblStatus fbl_training_open(FblCli *cli, const char *path, int needs, FblTraining *out_training);

// The same at `stage` (NULL: the train block itself). A compiled file holds the code of one stage; the others are built
// from the sources in it.
FblStatus fbl_training_open_stage(FblCli *cli, const char *path, const char *stage, int needs, FblTraining *out_training);

// The parts of a run in their order. One for a train block without stages, or with --stage.
typedef struct FblTrainingStage {
    const char *name;    // NULL: the train block itself
    int64_t first_epoch; // epochs of those before
    int64_t epochs;
} FblTrainingStage;

// Builds the later stages of `training`, which holds the first one with its data, so that their mistakes show before the
// run begins; makes training->recipe_hash and recipe_text those of the whole. The array lives in the arena.
FblStatus fbl_training_stages(FblTraining *training, const char *path, FblTrainingStage **out_stages, size_t *out_count);
void fbl_training_deinit(FblTraining *training);

FblTrainPrograms fbl_training_programs(FblTraining *training);

// Writes everything into one file.
FblStatus fbl_training_write(FblTraining *training, const char *path);

// Makes the run directory: sources, recipe.txt, environment.txt, program.fblx. With `resume` an existing one is kept;
// otherwise a run that is already there is moved aside.
FblStatus fbl_training_run_dir(FblTraining *training, const char *run_dir, bool resume);

// Opens the program of the run in `run_dir` and loads its best (or, with --last, its last) checkpoint. E0707 when the
// folder is none of a run.
FblStatus fbl_training_open_run(FblCli *cli, const char *run_dir, int needs, FblTraining *out_training);

// The compiled program of a stage in a run directory: program.fblx, program.STAGE.fblx for later stages. In the arena.
const char *fbl_training_program_path(FblContext *ctx, const char *run_dir, const char *stage);

// Kernels of all parts: compiled anew, and taken from the cache or the file.
void fbl_training_counts(const FblTraining *training, size_t *out_kernels, size_t *out_cached, double *out_milliseconds);

#endif

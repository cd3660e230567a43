// What a training keeps in files: compiled programs, run directories, copies of sources. Private to cli/training*.c.
#ifndef FBL_CLI_TRAINING_FILE_H
#define FBL_CLI_TRAINING_FILE_H

#include "cli/training.h"

// A file that was compiled for a GPU runs on one, with its precision, and one for bf16 on a CPU in bf16 again, unless the
// command line chooses otherwise.
void fbl_training_file_target(FblTraining *training);

// The tuned tiles that the file's code was made with, for the same target, unless the command line names a table of its own.
FblStatus fbl_training_file_tiles(FblTraining *training, const char *path);

// Modules, settings and sources out of training->file; numeric --set of run-time scalars, --epochs and --seed are applied.
FblStatus fbl_training_read_file(FblTraining *training, const char *path);
// The plan and code of program `index`: as they are in the file when they were made for this machine, otherwise compiled
// from the module, with a message.
FblStatus fbl_training_file_code(FblTraining *training, FblTrainingPart *part, uint32_t index, const char *path);

// Applies --set of run-time scalars, --epochs and --seed to the modules that are there.
FblStatus fbl_training_apply_options(FblTraining *training);

// Settings and resolved recipe, for people. In the arena.
const char *fbl_training_recipe_text(FblTraining *training);

#endif

// From a .fbl file to the graphs of a module: imports, names, compile-time evaluation, the recipe.
//
//   FblProgram *program;
//   FblModule *module;
//   FBL_TRY(fbl_program_load(ctx, &(FblProgramOptions){.path = "models/cifar10_lt.fbl"}, &program));
//   FBL_TRY(fbl_program_build(program, &(FblBuildOptions){0}, &module));
//
// A program may be built any number of times, each time into a module of its own. Mistakes of the user are diagnostics
// E01xx (and E02xx from the graph's inference) with the place, and the functions then return FBL_USER.
// Ownership: everything lives in the context. Threads: as the context.
#ifndef FBL_FRONTEND_BUILD_H
#define FBL_FRONTEND_BUILD_H

#include "ir/module.h"

typedef struct FblProgram FblProgram;

// Everything that a program was read from, so that it can be built again without the files: file 0 is the program's own,
// and every import says which file it meant.
typedef struct FblSourceLink {
    uint32_t from, to; // files[from] imports files[to] ...
    const char *text;  // ... as import "text"
} FblSourceLink;

typedef struct FblSourceBundle {
    const FblSource *files;
    size_t count;
    const FblSourceLink *links;
    size_t link_count;
    uint32_t prelude; // index of the prelude
} FblSourceBundle;

typedef struct FblProgramOptions {
    const char *path;        // the .fbl file
    const char *text;        // its text when it isn't read from disk (path then only names it), else NULL
    const char *library_dir; // folder of prelude.fbl and the library; NULL: $FBL_LIBRARY, then the folder the program was
                             // built with, then the copy inside the program
    const FblSourceBundle *bundle; // when not NULL, nothing is read from disk and the members above do not matter
} FblProgramOptions;

// Parses the file, what it imports and the prelude; checks the declarations against each other.
FblStatus fbl_program_load(FblContext *ctx, const FblProgramOptions *options, FblProgram **out_program);

#define FBL_STAGE_NAME_MAX 63 // bytes of a stage's name

// What the file itself offers. Arrays live in the context, in the order of the text; imported losses come after.
size_t fbl_program_losses(const FblProgram *program, const FblName **out_names);
size_t fbl_program_models(const FblProgram *program, const FblName **out_names);
size_t fbl_program_stages(const FblProgram *program, const FblName **out_names);
bool fbl_program_has_train(const FblProgram *program);
// The files that were read: the file itself, imports, the prelude. In the context.
FblSourceBundle fbl_program_bundle(const FblProgram *program);

// One `--set KEY=VALUE`. KEY is a recipe key ("epochs", "train.epochs"), an argument of one of its calls ("loss.lambda",
// "model.blocks", "optimizer.momentum", "dataset.imbalance") or an axis ("class", "batch", "height"). VALUE is an
// expression of the language, or a bare name for "loss" and "model".
typedef struct FblSetting {
    const char *key, *value;
} FblSetting;

typedef struct FblBuildOptions {
    const FblSetting *settings; // later ones win
    size_t setting_count;
    const char *stage;    // of the train block; NULL: the block itself
    int64_t batch;        // extent of `batch`; 0: the recipe's
    int64_t class_extent; // extent of `class` as found in the data or the batch file; 0: from the recipe
    bool symbolic;        // extents that nothing gives stay symbolic instead of being errors
    bool has_seed;        // `seed` replaces the recipe's
    uint64_t seed;
} FblBuildOptions;

// Builds the program that the train block describes. Without a train block: what fbl_program_check says.
FblStatus fbl_program_build(FblProgram *program, const FblBuildOptions *options, FblModule **out_module);

// A tensor that the caller will feed to a loss: the extents are in the order in which the loss declares the axes.
typedef struct FblInputShape {
    const char *name;
    int32_t rank;
    int64_t extents[FBL_MAX_RANK];
} FblInputShape;

// One loss by itself: module->train has an INPUT for each input of the loss (label, epoch, ... included; hyper-parameters
// as "loss.NAME") and the OUTPUT "loss". `shapes` NULL: all extents not given by options are symbolic. With shapes, an
// input that is neither there, nor offered by a trainer (epoch, epochs, step, steps), nor has a default is an error.
FblStatus fbl_program_build_loss(FblProgram *program, const char *loss, const FblInputShape *shapes, size_t shape_count,
                                 const FblBuildOptions *options, FblModule **out_module);

// One model by itself, no loss: module->train and module->eval hold its outputs.
FblStatus fbl_program_build_model(FblProgram *program, const char *model, const FblBuildOptions *options,
                                  FblModule **out_module);

// Checks everything in the file: the train block's program when there is one, and every loss and model of the file by
// itself with symbolic extents where nothing gives them. *out_module is the train block's module, or else that of the
// last model, or NULL.
FblStatus fbl_program_check(FblProgram *program, const FblBuildOptions *options, FblModule **out_module);

#endif

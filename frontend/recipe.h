// The train block: which expression stands for each key once the stage and the settings have had their say, and the
// parts of it that are data for the runtime. Not for other folders.
//
// Ownership: the context's arena. Threads: as the context.
#ifndef FBL_FRONTEND_RECIPE_H
#define FBL_FRONTEND_RECIPE_H

#include "frontend/sema.h"

typedef enum FblRecipeKey {
    FBL_KEY_DATASET,
    FBL_KEY_AUGMENT,
    FBL_KEY_NORMALIZE,
    FBL_KEY_MODEL,
    FBL_KEY_LOSS,
    FBL_KEY_OPTIMIZER,
    FBL_KEY_RATE,
    FBL_KEY_BATCH,
    FBL_KEY_EPOCHS,
    FBL_KEY_SEED,
    FBL_KEY_SAMPLER,
    FBL_KEY_MIXUP,
    FBL_KEY_FREEZE,
    FBL_KEY_REINIT,
    FBL_KEY_PREDICT,
    FBL_KEY_GROUPS,
    FBL_KEY_COUNT
} FblRecipeKey;

typedef struct FblRecipeExprs {
    const FblExpr *items[FBL_KEY_COUNT]; // NULL where not given
    FblGivens dataset_args, optimizer_args; // of settings
} FblRecipeExprs;

// Reads the train block (if any), the stage and the settings. Fills b->axes, b->model_args and b->loss_args from the
// settings; false after diagnostics. A setting KEY holds in every stage; train.KEY changes the block itself (and so the
// stages that do not give the key); NAME.KEY changes the stage of that name alone.
bool fbl_recipe_read(FblBuild *b, FblRecipeExprs *out);

// Splits `model = name(a=1)` into the declaration and its arguments (added to *args before those of settings).
FblSymbol *fbl_recipe_callee(FblBuild *b, const FblExpr *expr, FblDeclKind kind, FblGivens *args);

// Resolves the patterns of `reinit` against the module's parameters and states into recipe.reinit: the matching paths.
bool fbl_recipe_reinit(FblBuild *b, const FblExpr *expr);

// Evaluates dataset, augment, normalize, sampler, mixup, batch, epochs, seed and freeze into b->module->recipe, and the
// extents that follow from them into b->axes. False after diagnostics.
bool fbl_recipe_data(FblBuild *b, const FblRecipeExprs *exprs);

// The graphs "epoch" and "optimizer", the groups and the optimizer's hyper-parameters.
bool fbl_build_epoch(FblBuild *b, const FblRecipeExprs *exprs);
bool fbl_build_optimizer(FblBuild *b, const FblRecipeExprs *exprs);

// Adds the hyper-parameter (or changes its value).
void fbl_build_hyper(FblBuild *b, FblName name, double value);

FblGiven *fbl_given_find(FblGivens *givens, FblName name);

#endif

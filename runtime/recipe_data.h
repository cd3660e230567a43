// From a recipe's values to what the data side runs on: the data set, the transform, the sampler.
//
// Ownership: strings point into the recipe, whose context must outlive them. Threads: as the context.
#ifndef FBL_RUNTIME_RECIPE_DATA_H
#define FBL_RUNTIME_RECIPE_DATA_H

#include "ir/module.h"
#include "runtime/data/loader.h"

typedef struct FblRecipeData {
    FblDatasetSpec dataset;
    FblTransform transform; // of the training split
    FblSampler sampler;
    double mixup_alpha; // 0: none
} FblRecipeData;

// `data_dir` (may be NULL) replaces the folder that the recipe names: the directory of CIFAR and folder sets, the root of
// list sets. A relative folder that isn't there is also looked for relative to `source_dir` (may be NULL) and above it, so
// that recipes run from any working folder. A recipe without a data set is an error E0701, one with more augmentations than are possible E0703.
FblStatus fbl_data_from_recipe(FblContext *ctx, const FblRecipe *recipe, const char *data_dir, const char *source_dir,
                          FblRecipeData *out_data);

#endif

#include "runtime/recipe_data.h"

#include <string.h>

#include "base/diag.h"
#include "base/io.h"

// The argument `key`, or the one at `position` among those written without a name.
static int64_t integer_of(const FblValue *call, const char *key, int position, int64_t otherwise) {
    const FblValue *value = fbl_value_get(call, key, position);
    return value && value->kind == FBL_VALUE_INT ? value->integer : otherwise;
}

static double real_of(const FblValue *call, const char *key, int position, double otherwise) {
    const FblValue *value = fbl_value_get(call, key, position);
    return value && (value->kind == FBL_VALUE_REAL || value->kind == FBL_VALUE_INT) ? value->real : otherwise;
}

static const char *string_of(const FblValue *call, const char *key, int position) {
    const FblValue *value = fbl_value_get(call, key, position);
    return value && value->kind == FBL_VALUE_STRING ? value->string : NULL;
}

// A relative path that isn't there is tried in the folder of the source and the folders above it.
static const char *locate(FblContext *ctx, const char *path, const char *source_dir) {
    if (!path || path[0] == '/' || fbl_path_exists(path) || !source_dir) {
        return path;
    }
    const char *folder = source_dir;
    for (int up = 0; up < 8; up++) {
        const char *candidate = fbl_path_join(ctx, folder, path);
        if (fbl_path_exists(candidate)) {
            return candidate;
        }
        folder = fbl_path_join(ctx, folder, "..");
    }
    return path;
}

static FblStatus read_imbalance(FblContext *ctx, const FblValue *dataset, FblImbalance *out) {
    const FblValue *imbalance = fbl_value_get(dataset, "imbalance", -1);
    out->seed = (uint32_t)integer_of(dataset, "seed", -1, 0);
    if (!imbalance) {
        return FBL_OK;
    }
    double factor = real_of(imbalance, "factor", 0, 1);
    if (!(factor > 0 && factor <= 1)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0702", imbalance->loc, "the imbalance factor must lie in (0, 1], found %g", factor);
        fbl_diag_hint(ctx, diag, "0.01 makes the smallest class a hundredth of the largest");
        return FBL_USER;
    }
    out->kind = strcmp(imbalance->string, "step") == 0 ? FBL_IMBALANCE_STEP : FBL_IMBALANCE_EXPONENTIAL;
    out->factor = factor;
    return FBL_OK;
}

// The frontend refuses names that are not in its table (E0173): this one is there and not here.
static FblStatus unknown(FblContext *ctx, const FblValue *call) {
    fbl_error(ctx, "E0704", call->loc, "`%s` is known to the language, but not to the data loader", call->string);
    return FBL_INTERNAL;
}

static FblStatus read_dataset(FblContext *ctx, const FblRecipe *recipe, const char *data_dir, const char *source_dir, FblDatasetSpec *out) {
    const FblValue *call = &recipe->dataset;
    if (call->kind != FBL_VALUE_CALL) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0701", recipe->loc, "the recipe names no data set");
        fbl_diag_hint(ctx, diag, "add a line such as dataset = cifar10(\"DIR\", imbalance=exponential(0.01))");
        return FBL_USER;
    }
    static const struct {
        const char *name;
        FblDatasetKind kind;
    } kinds[] = {{"cifar10", FBL_DATASET_CIFAR10}, {"cifar100", FBL_DATASET_CIFAR100}, {"image_folder", FBL_DATASET_FOLDER}, {"image_list", FBL_DATASET_LIST}};
    size_t number = 0;
    while (number < sizeof kinds / sizeof kinds[0] && strcmp(kinds[number].name, call->string) != 0) {
        number++;
    }
    if (number == sizeof kinds / sizeof kinds[0]) {
        return unknown(ctx, call);
    }
    out->kind = kinds[number].kind;
    const char *directory = string_of(call, "directory", 0), *root = string_of(call, "root", 2);
    out->directory = data_dir ? data_dir : locate(ctx, directory, source_dir);
    out->root = data_dir ? data_dir : locate(ctx, root, source_dir);
    out->train_list = locate(ctx, string_of(call, "train", 0), source_dir);
    out->test_list = locate(ctx, string_of(call, "test", 1), source_dir);
    out->classes = (int32_t)integer_of(call, "classes", -1, 0);
    out->resize = (int32_t)integer_of(call, "resize", -1, 0);
    out->pack = string_of(call, "pack", -1);
    out->pack_size = (int32_t)integer_of(call, "pack_size", -1, 0);
    const FblValue *bad = fbl_value_get(call, "bad_images", -1);
    out->skip_bad = bad && strcmp(bad->string, "skip") == 0;
    if (bad && !out->skip_bad && strcmp(bad->string, "fail") != 0) {
        return fbl_error(ctx, "E0722", bad->loc, "`bad_images` must be \"fail\" or \"skip\", found \"%s\"", bad->string);
    }
    const FblValue *renumber = fbl_value_get(call, "renumber", -1);
    out->renumber = out->kind == FBL_DATASET_LIST && (!renumber || renumber->integer != 0);
    return read_imbalance(ctx, call, &out->imbalance);
}

static FblAugment augment_of(FblAugmentKind kind, const FblValue *call) {
    FblAugment out = {.kind = kind, .size = (int32_t)integer_of(call, "size", 0, 0), .pad = (int32_t)integer_of(call, "pad", 1, 0)};
    switch (kind) {
    case FBL_AUGMENT_COLOR_JITTER:
        out = (FblAugment){.kind = kind, .amount = {real_of(call, "brightness", 0, 0), real_of(call, "contrast", 1, 0), real_of(call, "saturation", 2, 0), real_of(call, "hue", 3, 0)}};
        break;
    case FBL_AUGMENT_CUTOUT:
        out = (FblAugment){.kind = kind, .size = (int32_t)integer_of(call, "length", 0, 0), .count = (int32_t)integer_of(call, "count", 1, 1)};
        break;
    case FBL_AUGMENT_RAND_AUGMENT:
        out = (FblAugment){.kind = kind, .count = (int32_t)integer_of(call, "count", 0, 2), .size = (int32_t)integer_of(call, "magnitude", 1, 9)};
        break;
    default:
        break;
    }
    return out;
}

static FblStatus read_augment(FblContext *ctx, const FblRecipe *recipe, FblTransform *out) {
    static const struct {
        const char *name;
        FblAugmentKind kind;
    } kinds[] = {{"random_crop", FBL_AUGMENT_RANDOM_CROP}, {"random_flip", FBL_AUGMENT_RANDOM_FLIP},
                 {"random_resized_crop", FBL_AUGMENT_RANDOM_RESIZED_CROP}, {"resize", FBL_AUGMENT_RESIZE}, {"center_crop", FBL_AUGMENT_CENTER_CROP},
                 {"color_jitter", FBL_AUGMENT_COLOR_JITTER}, {"cutout", FBL_AUGMENT_CUTOUT}, {"auto_augment", FBL_AUGMENT_AUTO_AUGMENT},
                 {"rand_augment", FBL_AUGMENT_RAND_AUGMENT}};
    for (size_t i = 0; i < recipe->augment.count; i++) {
        const FblValue *call = &recipe->augment.items[i];
        const char *name = call->string;
        if (strcmp(name, "mixup") == 0) {
            continue; // of whole batches: its alpha is the recipe's `mixup`
        }
        if (strcmp(name, "cutmix") == 0) {
            out->cutmix_alpha = real_of(call, "alpha", 0, 0);
            continue;
        }
        if (out->count == FBL_AUGMENT_MAX) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0703", call->loc, "a recipe has at most %d augmentations", FBL_AUGMENT_MAX);
            fbl_diag_hint(ctx, diag, "mixup and cutmix do not count");
            return FBL_USER;
        }
        size_t k = 0;
        while (k < sizeof kinds / sizeof kinds[0] && strcmp(kinds[k].name, name) != 0) {
            k++;
        }
        if (k == sizeof kinds / sizeof kinds[0]) {
            return unknown(ctx, call);
        }
        out->ops[out->count++] = augment_of(kinds[k].kind, call);
    }
    return FBL_OK;
}

static void read_normalize(const FblRecipe *recipe, FblTransform *out) {
    const FblValue *mean = fbl_value_get(&recipe->normalize, "mean", -1), *deviation = fbl_value_get(&recipe->normalize, "std", -1);
    for (size_t c = 0; c < 3; c++) {
        out->mean[c] = mean && c < mean->count ? (float)mean->items[c].real : 0.0f;
        out->std[c] = deviation && c < deviation->count ? (float)deviation->items[c].real : 1.0f;
    }
}

FblStatus fbl_data_from_recipe(FblContext *ctx, const FblRecipe *recipe, const char *data_dir, const char *source_dir,
                          FblRecipeData *out_data) {
    *out_data = (FblRecipeData){.sampler = {.kind = FBL_SAMPLER_SHUFFLE, .epochs = recipe->epochs}};
    FBL_TRY(read_dataset(ctx, recipe, data_dir, source_dir, &out_data->dataset));
    FBL_TRY(read_augment(ctx, recipe, &out_data->transform));
    read_normalize(recipe, &out_data->transform);
    if (recipe->sampler.kind == FBL_VALUE_CALL) {
        if (!fbl_sampler_kind(recipe->sampler.string, &out_data->sampler.kind)) {
            return unknown(ctx, &recipe->sampler);
        }
        out_data->sampler.beta = real_of(&recipe->sampler, "beta", 0, 0);
    }
    out_data->mixup_alpha = recipe->mixup.kind == FBL_VALUE_REAL ? recipe->mixup.real : 0;
    return FBL_OK;
}

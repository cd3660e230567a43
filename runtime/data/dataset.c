#include "runtime/data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"

FblStatus fbl_data_no_memory(FblContext *ctx, const char *what) {
    fbl_error(ctx, "E0819", FBL_NO_LOC, "not enough memory for %s", what);
    return FBL_NOMEM;
}

bool fbl_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool fbl_is_regular(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static void free_names(char **names, int64_t count) {
    for (int64_t i = 0; names != NULL && i < count; i++) {
        free(names[i]);
    }
    free(names);
}

void fbl_dataset_deinit(FblDataset *data) {
    free(data->pixels);
    free_names(data->paths, data->count);
    free(data->origin.list);
    free(data->origin.lines);
    free(data->labels);
    free(data->class_counts);
    free_names(data->class_names, data->classes);
    free(data->description);
    fbl_pack_close(&data->pack);
    *data = (FblDataset){0};
}

FblStatus fbl_dataset_allocate(FblContext *ctx, int64_t count, int32_t height, int32_t width, FblDataset *out) {
    *out = (FblDataset){.count = count, .height = height, .width = width};
    int64_t bytes = 3;
    if (!fbl_mul_i64(bytes, count, &bytes) || !fbl_mul_i64(bytes, height, &bytes) ||
        !fbl_mul_i64(bytes, width, &bytes) || count > INT64_C(1) << 40) {
        return fbl_data_no_memory(ctx, "the images");
    }
    out->labels = malloc(((size_t)count + 1) * sizeof *out->labels);
    out->pixels = height > 0 ? malloc((size_t)bytes + 1) : NULL;
    out->paths = height > 0 ? NULL : calloc((size_t)count + 1, sizeof *out->paths);
    if (out->labels == NULL || (height > 0 ? (void *)out->pixels : (void *)out->paths) == NULL) {
        fbl_dataset_deinit(out);
        return fbl_data_no_memory(ctx, "the images");
    }
    return FBL_OK;
}

FblStatus fbl_dataset_count_classes(FblContext *ctx, FblDataset *data, int32_t classes) {
    int64_t *counts = calloc((size_t)classes + 1, sizeof *counts);
    if (counts == NULL) {
        return fbl_data_no_memory(ctx, "the class counts");
    }
    for (int64_t i = 0; i < data->count; i++) {
        counts[data->labels[i]]++;
    }
    free(data->class_counts);
    data->class_counts = counts;
    data->classes = classes;
    return FBL_OK;
}

FblStatus fbl_dataset_check_classes(FblContext *ctx, const FblDataset *data, const char *place) {
    FblStatus status = FBL_OK;
    for (int32_t c = 0; c < data->classes; c++) {
        if (data->class_counts[c] == 0) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0817", FBL_NO_LOC, "class %d%s%s%s has no training image in %s", c,
                                     data->class_names != NULL ? " (`" : "", data->class_names != NULL ? data->class_names[c] : "",
                                     data->class_names != NULL ? "`)" : "", place);
            fbl_diag_hint(ctx, diag, "losses and samplers divide by the number of images: leave the class out or give it one");
            status = FBL_USER;
        }
    }
    return status;
}

FblStatus fbl_dataset_append(FblContext *ctx, FblDataset *all, FblDataset *part) {
    if (all->count == 0) {
        fbl_dataset_deinit(all);
        *all = *part;
        *part = (FblDataset){0};
        return FBL_OK;
    }
    size_t image = (size_t)3 * (size_t)all->height * (size_t)all->width;
    size_t count = (size_t)all->count + (size_t)part->count;
    uint8_t *pixels = realloc(all->pixels, count * image);
    all->pixels = pixels != NULL ? pixels : all->pixels;
    int32_t *labels = realloc(all->labels, count * sizeof *labels);
    all->labels = labels != NULL ? labels : all->labels;
    if (pixels == NULL || labels == NULL) {
        return fbl_data_no_memory(ctx, "the images");
    }
    memcpy(pixels + (size_t)all->count * image, part->pixels, (size_t)part->count * image);
    memcpy(labels + all->count, part->labels, (size_t)part->count * sizeof *labels);
    all->count = (int64_t)count;
    int32_t classes = all->classes;
    fbl_dataset_deinit(part);
    return fbl_dataset_count_classes(ctx, all, classes);
}

FblStatus fbl_dataset_set_names(FblContext *ctx, FblDataset *data, const char *const *names, int32_t count) {
    if (count != data->classes) {
        return FBL_OK; // a list of names that does not fit is not worth failing for
    }
    char **copies = calloc((size_t)count + 1, sizeof *copies);
    bool ok = copies != NULL;
    for (int32_t i = 0; ok && i < count; i++) {
        copies[i] = strdup(names[i]);
        ok = copies[i] != NULL;
    }
    if (!ok) {
        free_names(copies, copies != NULL ? count : 0);
        return fbl_data_no_memory(ctx, "the class names");
    }
    free_names(data->class_names, data->classes);
    data->class_names = copies;
    return FBL_OK;
}

static FblStatus move_origin(FblContext *ctx, FblImageOrigin *from, const int64_t *indices, int64_t count, FblImageOrigin *to) {
    if (from->list == NULL) {
        return FBL_OK;
    }
    to->lines = malloc(((size_t)count + 1) * sizeof *to->lines);
    if (to->lines == NULL) {
        return fbl_data_no_memory(ctx, "the list of images");
    }
    for (int64_t i = 0; i < count; i++) {
        to->lines[i] = from->lines[indices[i]];
    }
    to->list = from->list;
    from->list = NULL;
    return FBL_OK;
}

FblStatus fbl_dataset_subset(FblContext *ctx, FblDataset *data, const int64_t *indices, int64_t count) {
    FblDataset subset;
    FBL_TRY(fbl_dataset_allocate(ctx, count, data->height, data->width, &subset));
    size_t image = (size_t)3 * (size_t)data->height * (size_t)data->width;
    for (int64_t i = 0; i < count; i++) {
        subset.labels[i] = data->labels[indices[i]];
        if (data->pixels != NULL) {
            memcpy(subset.pixels + (size_t)i * image, data->pixels + (size_t)indices[i] * image, image);
        } else if ((subset.paths[i] = strdup(data->paths[indices[i]])) == NULL) {
            fbl_dataset_deinit(&subset);
            return fbl_data_no_memory(ctx, "the list of images");
        }
    }
    FblStatus status = fbl_dataset_count_classes(ctx, &subset, data->classes);
    status = status == FBL_OK ? move_origin(ctx, &data->origin, indices, count, &subset.origin) : status;
    if (status != FBL_OK) {
        fbl_dataset_deinit(&subset);
        return status;
    }
    subset.class_names = data->class_names;
    subset.description = data->description;
    data->class_names = NULL;
    data->description = NULL;
    fbl_dataset_deinit(data);
    *data = subset;
    return FBL_OK;
}

static FblStatus apply_imbalance(FblContext *ctx, const FblImbalance *imbalance, FblDataset *data) {
    int64_t *indices;
    int64_t count;
    FblStatus status = fbl_imbalance_select(ctx, imbalance, data->labels, data->count, data->classes, &indices, &count);
    if (status == FBL_NOMEM) {
        return fbl_data_no_memory(ctx, "the long-tailed selection");
    }
    FBL_TRY(status);
    status = fbl_dataset_subset(ctx, data, indices, count);
    free(indices);
    return status;
}

// "FORMAT in PLACE: 12,406 training images, 10 classes of 5000 down to 50"
static FblStatus describe(FblContext *ctx, FblDataset *data, FblSplit split, const FblImbalance *imbalance) {
    int64_t most = 0;
    int64_t least = INT64_MAX;
    for (int32_t c = 0; c < data->classes; c++) {
        most = data->class_counts[c] > most ? data->class_counts[c] : most;
        least = data->class_counts[c] < least ? data->class_counts[c] : least;
    }
    char *text = NULL;
    char form[60] = "";
    if (split == FBL_SPLIT_TRAIN && imbalance->kind != FBL_IMBALANCE_NONE) {
        snprintf(form, sizeof form, ", made long-tailed (%s %g)",
                 imbalance->kind == FBL_IMBALANCE_STEP ? "step" : "exponential", imbalance->factor);
    }
    if (asprintf(&text, "%s%s: %" PRId64 " %s images, %d classes of %" PRId64 " down to %" PRId64,
                 data->description != NULL ? data->description : "images", form, data->count,
                 split == FBL_SPLIT_TRAIN ? "training" : "test", data->classes, most, least) < 0) {
        return fbl_data_no_memory(ctx, "the description");
    }
    free(data->description);
    data->description = text;
    return FBL_OK;
}

// Packed pictures are for trainings, which read them again and again.
static FblStatus attach_pack(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *data) {
    if (spec->pack == NULL || !spec->check || data->paths == NULL) {
        return FBL_OK;
    }
    FblPackOptions options = {.path = fbl_path_join(ctx, spec->pack, split == FBL_SPLIT_TRAIN ? "train.fblpack" : "test.fblpack"),
                              .images = data->paths,
                              .origin = data->origin,
                              .count = data->count,
                              .shorter = spec->pack_size != 0 ? spec->pack_size : 256,
                              .skip_bad = spec->skip_bad,
                              .progress = spec->progress};
    return fbl_pack_open(ctx, &options, &data->pack);
}

FblStatus fbl_dataset_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out) {
    *out = (FblDataset){0};
    FblStatus status = FBL_INTERNAL;
    switch (spec->kind) {
    case FBL_DATASET_CIFAR10:
        status = fbl_cifar_load(ctx, spec, 10, split, out);
        break;
    case FBL_DATASET_CIFAR100:
        status = fbl_cifar_load(ctx, spec, 100, split, out);
        break;
    case FBL_DATASET_FOLDER:
        status = fbl_folder_load(ctx, spec, split, out);
        break;
    case FBL_DATASET_LIST:
        status = fbl_list_load(ctx, spec, split, out);
        break;
    }
    if (status == FBL_OK && spec->classes != 0 && spec->classes != out->classes) {
        status = fbl_error(ctx, "E0812", FBL_NO_LOC, "%s has %d classes, but %d were asked for", out->description,
                           out->classes, spec->classes);
    }
    if (status == FBL_OK && split == FBL_SPLIT_TRAIN && spec->imbalance.kind != FBL_IMBALANCE_NONE) {
        status = apply_imbalance(ctx, &spec->imbalance, out);
    }
    if (status == FBL_OK && split == FBL_SPLIT_TRAIN && spec->check) {
        status = fbl_dataset_check_classes(ctx, out, out->description);
    }
    if (status == FBL_OK && spec->skip_bad) {
        out->bad_images = split == FBL_SPLIT_TRAIN ? FBL_BAD_REPLACE : FBL_BAD_DROP;
    }
    if (status == FBL_OK) {
        status = attach_pack(ctx, spec, split, out);
    }
    if (status == FBL_OK) {
        status = describe(ctx, out, split, &spec->imbalance);
    }
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

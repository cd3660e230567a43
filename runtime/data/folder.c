#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"
#include "runtime/data/image.h"

// Images up to this side are small enough to be kept decoded; larger ones are decoded when a batch needs them.
#define SMALL_SIDE 128

// Sorted names in the arena of the context.
typedef struct Names {
    const char **items;
    size_t count;
    size_t capacity;
} Names;

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_image_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL &&
           (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

// The sub-folders (folders = true) or the image files of a folder, sorted by bytes.
static FblStatus list_folder(FblContext *ctx, const char *path, bool folders, Names *out) {
    *out = (Names){0};
    DIR *stream = opendir(path);
    if (stream == NULL) {
        fbl_error(ctx, "E0801", FBL_NO_LOC, "cannot open the data folder `%s`: %s", path, strerrordesc_np(errno));
        return FBL_IO;
    }
    FblArena *arena = fbl_context_arena(ctx);
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        const char *name = entry->d_name;
        if (name[0] == '.' || (!folders && !is_image_name(name))) {
            continue;
        }
        if (folders && !fbl_is_folder(fbl_path_join(ctx, path, name))) {
            continue;
        }
        const char *copy = fbl_arena_strndup(arena, name, strlen(name));
        FBL_PUSH(arena, out->items, out->count, out->capacity, copy);
    }
    closedir(stream);
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof *out->items, by_name);
    }
    return FBL_OK;
}

// Every image of a split: its path and class.
typedef struct Listing {
    const char **paths;
    size_t count;
    size_t capacity;
    int32_t *labels;
    size_t label_count;
    size_t label_capacity;
    FblImageOrigin origin;
} Listing;

static FblStatus list_class(FblContext *ctx, const char *folder, int32_t label, Listing *out) {
    Names files;
    FBL_TRY(list_folder(ctx, folder, false, &files));
    FblArena *arena = fbl_context_arena(ctx);
    for (size_t i = 0; i < files.count; i++) {
        const char *path = fbl_path_join(ctx, folder, files.items[i]);
        FBL_PUSH(arena, out->paths, out->count, out->capacity, path);
        FBL_PUSH(arena, out->labels, out->label_count, out->label_capacity, label);
    }
    return FBL_OK;
}

// The classes are the folders of train/; a test folder of another name would be scored against nothing.
static FblStatus list_split(FblContext *ctx, const char *directory, FblSplit split, Names *out_classes, Listing *out) {
    const char *train = fbl_path_join(ctx, directory, "train");
    const char *path = train;
    if (split == FBL_SPLIT_TEST) {
        path = fbl_path_join(ctx, directory, "test");
        if (!fbl_is_folder(path) && fbl_is_folder(fbl_path_join(ctx, directory, "val"))) {
            path = fbl_path_join(ctx, directory, "val");
        }
    }
    if (!fbl_is_folder(train) || !fbl_is_folder(path)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0801", FBL_NO_LOC, "the data folder `%s` does not exist",
                                 fbl_is_folder(train) ? path : train);
        fbl_diag_hint(ctx, diag, "class folders are expected: %s/train/CLASS/*.png and %s/test/CLASS/*.png (or .jpg)",
                      directory, directory);
        return FBL_USER;
    }
    FBL_TRY(list_folder(ctx, train, true, out_classes));
    Names present;
    FBL_TRY(list_folder(ctx, path, true, &present));
    for (size_t i = 0; i < present.count; i++) {
        if (bsearch(&present.items[i], out_classes->items, out_classes->count, sizeof *out_classes->items, by_name) ==
            NULL) {
            return fbl_error(ctx, "E0812", FBL_NO_LOC, "`%s` has the class folder `%s`, which `%s` lacks", path,
                             present.items[i], train);
        }
    }
    *out = (Listing){0};
    for (size_t c = 0; c < out_classes->count; c++) {
        const char *folder = fbl_path_join(ctx, path, out_classes->items[c]);
        if (fbl_is_folder(folder)) {
            FBL_TRY(list_class(ctx, folder, (int32_t)c, out));
        }
    }
    if (out->count == 0) {
        return fbl_error(ctx, "E0801", FBL_NO_LOC, "`%s` holds no class folders with PNG or JPEG images", path);
    }
    return FBL_OK;
}

// The middle square of the picture, its shorter side brought to `side`.
static FblStatus fit_square(FblImage *image, int32_t side) {
    FblImage fitted;
    FBL_TRY(fbl_image_resize_shorter(image, side, &fitted));
    int32_t left = (fitted.width - side) / 2;
    int32_t top = (fitted.height - side) / 2;
    FblImage cut;
    FblStatus status = fbl_image_resize(&fitted, left, top, side, side, side, side, &cut);
    fbl_image_deinit(&fitted);
    FBL_TRY(status);
    fbl_image_deinit(image);
    *image = cut;
    return FBL_OK;
}

static void store_planar(const FblImage *image, uint8_t *out) {
    size_t plane = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < 3; c++) {
            out[c * plane + i] = image->pixels[3 * i + c];
        }
    }
}

// A damaged image is a warning when such are skipped.
static FblStatus bad_image(FblContext *ctx, FblStatus status, const Listing *list, size_t at, const FblImageError *error, bool skip, int64_t *bad) {
    const char *origin = fbl_image_origin(ctx, &list->origin, (int64_t)at), *path = list->paths[at];
    if (skip && status != FBL_NOMEM) {
        ++*bad;
        fbl_diag(ctx, FBL_WARNING, "E0815", FBL_NO_LOC, "%sleft out the image `%s`: %s (%lld so far)", origin, path, error->text, (long long)*bad);
        return FBL_OK;
    }
    fbl_error(ctx, "E0805", FBL_NO_LOC, "%scannot use the image `%s`: %s", origin, path, error->text);
    return status;
}

static FblStatus decode_all(FblContext *ctx, const Listing *list, int32_t resize, bool skip, FblDataset *out) {
    int64_t bad = 0;
    out->count = 0;
    for (size_t i = 0; i < list->count; i++) {
        FblImage image;
        FblImageError error;
        FblStatus status = fbl_image_read(list->paths[i], &image, &error);
        if (status != FBL_OK) {
            FBL_TRY(bad_image(ctx, status, list, i, &error, skip, &bad));
            continue;
        }
        if (resize > 0 && fit_square(&image, resize) != FBL_OK) {
            fbl_image_deinit(&image);
            return fbl_data_no_memory(ctx, list->paths[i]);
        }
        if (image.width != out->width || image.height != out->height) {
            FblDiag *diag =
                fbl_diag(ctx, FBL_ERROR, "E0806", FBL_NO_LOC,
                         "the images have different sizes: `%s` is %d x %d, but `%s` is %d x %d", list->paths[0],
                         out->width, out->height, list->paths[i], image.width, image.height);
            fbl_diag_hint(ctx, diag, "ask for one size, for example resize=32");
            fbl_image_deinit(&image);
            return FBL_USER;
        }
        store_planar(&image, out->pixels + (size_t)out->count * 3 * (size_t)out->width * (size_t)out->height);
        out->labels[out->count++] = list->labels[i];
        fbl_image_deinit(&image);
    }
    return FBL_OK;
}

// The size of the first picture that can be decoded.
static FblStatus first_size(FblContext *ctx, const Listing *list, bool skip, int32_t *out_width, int32_t *out_height) {
    FblImage first = {0};
    FblImageError error;
    int64_t bad = 0;
    size_t at = 0;
    FblStatus status = fbl_image_read(list->paths[0], &first, &error);
    while (status != FBL_OK && skip && at + 1 < list->count) {
        status = fbl_image_read(list->paths[++at], &first, &error);
    }
    *out_width = first.width;
    *out_height = first.height;
    fbl_image_deinit(&first);
    return status == FBL_OK ? FBL_OK : bad_image(ctx, status, list, at, &error, false, &bad);
}

static FblStatus take_images(FblContext *ctx, const Listing *list, int32_t resize, bool skip, FblDataset *out) {
    int32_t width = resize, height = resize;
    if (resize == 0) {
        FBL_TRY(first_size(ctx, list, skip, &width, &height));
    }
    if (resize > 0 || (width <= SMALL_SIDE && height <= SMALL_SIDE)) {
        FBL_TRY(fbl_dataset_allocate(ctx, (int64_t)list->count, height, width, out));
        return decode_all(ctx, list, resize, skip, out);
    }
    FBL_TRY(fbl_dataset_allocate(ctx, (int64_t)list->count, 0, 0, out));
    for (size_t i = 0; i < list->count; i++) {
        out->labels[i] = list->labels[i];
        if ((out->paths[i] = strdup(list->paths[i])) == NULL) {
            return fbl_data_no_memory(ctx, "the list of images");
        }
    }
    return FBL_OK;
}

// Whether all headers that can be read tell this size.
static bool all_have_size(const Listing *list, int32_t width, int32_t height) {
    for (size_t i = 0; i < list->count; i++) {
        uint8_t *bytes;
        size_t size;
        int32_t w, h;
        FblImageError error;
        if (fbl_image_load(list->paths[i], &bytes, &size, &error) == FBL_OK) {
            bool other = fbl_image_size(bytes, size, &w, &h, &error) == FBL_OK && (w != width || h != height);
            free(bytes);
            if (other) {
                return false;
            }
        }
    }
    return true;
}

FblStatus fbl_dataset_decode_small(FblContext *ctx, bool skip, FblDataset *data) {
    Listing list = {.paths = (const char **)data->paths, .labels = data->labels, .count = (size_t)data->count, .origin = data->origin};
    int32_t width, height;
    FBL_TRY(first_size(ctx, &list, skip, &width, &height));
    if (width > SMALL_SIDE || height > SMALL_SIDE || !all_have_size(&list, width, height)) {
        return FBL_OK;
    }
    FblDataset decoded;
    FBL_TRY(fbl_dataset_allocate(ctx, data->count, height, width, &decoded));
    FblStatus status = decode_all(ctx, &list, 0, skip, &decoded);
    if (status == FBL_OK) {
        FblDataset old = *data;
        status = fbl_dataset_count_classes(ctx, &decoded, data->classes);
        decoded.class_names = old.class_names;
        decoded.description = old.description;
        old.class_names = NULL;
        old.description = NULL;
        *data = decoded;
        decoded = old;
    }
    fbl_dataset_deinit(&decoded);
    return status;
}

FblStatus fbl_folder_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out) {
    *out = (FblDataset){0};
    Names classes;
    Listing list;
    const char *directory = spec->directory != NULL ? spec->directory : ".";
    FBL_TRY(list_split(ctx, directory, split, &classes, &list));
    FblStatus status = take_images(ctx, &list, spec->resize, spec->skip_bad, out);
    if (status == FBL_OK) {
        status = fbl_dataset_count_classes(ctx, out, (int32_t)classes.count);
    }
    if (status == FBL_OK) {
        status = fbl_dataset_set_names(ctx, out, classes.items, (int32_t)classes.count);
    }
    if (status == FBL_OK && asprintf(&out->description, "class folders in %s", directory) < 0) {
        out->description = NULL;
        status = fbl_data_no_memory(ctx, "the description");
    }
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

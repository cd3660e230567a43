#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"
#include "runtime/data/pickle.h"

#define SIDE 32
#define PIXELS ((size_t)3 * SIDE * SIDE)
#define FILE_LIMIT ((size_t)1 << 30)
#define MAX_PARTS 6 // batches of a split, and the class names

// The official names of one of the two sets.
typedef struct Official {
    int32_t classes;
    const char *binary_folder, *python_folder, *binary_archive, *python_archive, *image_folder;
    const char *binary_train[MAX_PARTS], *python_train[MAX_PARTS]; // NULL-terminated
    const char *binary_test, *python_test;
    const char *binary_names, *python_names, *names_key;
} Official;

static const Official sets[2] = {
    {10,
     "cifar-10-batches-bin",
     "cifar-10-batches-py",
     "cifar-10-binary.tar.gz",
     "cifar-10-python.tar.gz",
     "cifar10-images",
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
     {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
     "test_batch.bin",
     "test_batch",
     "batches.meta.txt",
     "batches.meta",
     "label_names"},
    {100,
     "cifar-100-binary",
     "cifar-100-python",
     "cifar-100-binary.tar.gz",
     "cifar-100-python.tar.gz",
     "cifar100-images",
     {"train.bin"},
     {"train"},
     "test.bin",
     "test",
     "fine_label_names.txt",
     "meta",
     "fine_label_names"},
};

// Where a set was found.
typedef struct Source {
    const char *path; // a folder or an archive
    bool archive;
    bool pickles;
} Source;

FblStatus fbl_cifar_parse_binary(FblContext *ctx, const char *name, const uint8_t *bytes, size_t size, int32_t classes,
                                 FblDataset *out) {
    *out = (FblDataset){0};
    size_t label_bytes = classes == 100 ? 2 : 1; // CIFAR-100 has the coarse label first
    size_t record = label_bytes + PIXELS;
    if (size == 0 || size % record != 0) {
        FblDiag *diag =
            fbl_diag(ctx, FBL_ERROR, "E0802", FBL_NO_LOC,
                     "`%s` has %zu bytes, which is no whole number of records of %zu bytes", name, size, record);
        fbl_diag_hint(ctx, diag, "the file is cut off, or not a binary batch of CIFAR-%d", classes);
        return FBL_USER;
    }
    size_t count = size / record;
    FBL_TRY(fbl_dataset_allocate(ctx, (int64_t)count, SIDE, SIDE, out));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + i * record;
        out->labels[i] = at[label_bytes - 1];
        if (out->labels[i] >= classes) {
            FblStatus status =
                fbl_error(ctx, "E0804", FBL_NO_LOC, "record %zu of `%s` has the label %d, but labels lie in 0..%d", i,
                          name, out->labels[i], classes - 1);
            fbl_dataset_deinit(out);
            return status;
        }
        memcpy(out->pixels + i * PIXELS, at + label_bytes, PIXELS);
    }
    FblStatus status = fbl_dataset_count_classes(ctx, out, classes);
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

static FblStatus bad_pickle(FblContext *ctx, const char *name, const char *reason) {
    return fbl_error(ctx, "E0803", FBL_NO_LOC, "cannot read the pickle `%s`: %s", name, reason);
}

static FblStatus take_pickle(FblContext *ctx, const char *name, const FblPickleValue *root, int32_t classes,
                             FblDataset *out) {
    const FblPickleValue *labels = fbl_pickle_get(root, classes == 100 ? "fine_labels" : "labels");
    int64_t shape[2];
    const uint8_t *pixels;
    if (!fbl_pickle_u8_array(fbl_pickle_get(root, "data"), 2, shape, &pixels) || shape[1] != (int64_t)PIXELS) {
        return bad_pickle(ctx, name, "it lacks the uint8 array `data` of 3072 columns");
    }
    if (labels == NULL || (labels->kind != FBL_PICKLE_LIST && labels->kind != FBL_PICKLE_TUPLE) ||
        (int64_t)labels->count != shape[0] || shape[0] == 0) {
        return bad_pickle(ctx, name,
                          classes == 100 ? "it lacks the list `fine_labels` of one label an image"
                                         : "it lacks the list `labels` of one label an image");
    }
    FBL_TRY(fbl_dataset_allocate(ctx, shape[0], SIDE, SIDE, out));
    for (size_t i = 0; i < labels->count; i++) {
        const FblPickleValue *label = labels->items[i];
        if (label->kind != FBL_PICKLE_INT || label->integer < 0 || label->integer >= classes) {
            return fbl_error(ctx, "E0804", FBL_NO_LOC, "image %zu of `%s` has the label %lld, but labels lie in 0..%d",
                             i, name, (long long)label->integer, classes - 1);
        }
        out->labels[i] = (int32_t)label->integer;
    }
    memcpy(out->pixels, pixels, labels->count * PIXELS);
    return fbl_dataset_count_classes(ctx, out, classes);
}

FblStatus fbl_cifar_parse_pickle(FblContext *ctx, const char *name, const uint8_t *bytes, size_t size, int32_t classes,
                                 FblDataset *out) {
    *out = (FblDataset){0};
    FblPickle pickle;
    FblStatus status = fbl_pickle_read(&pickle, bytes, size);
    if (status == FBL_OK) {
        status = take_pickle(ctx, name, pickle.root, classes, out);
    } else {
        status = bad_pickle(ctx, name, pickle.error);
    }
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    fbl_pickle_deinit(&pickle);
    return status;
}

// Class names from a text file (one a line) or a pickle; a file that cannot be read gives none.
static FblStatus take_names(FblContext *ctx, const Official *set, bool pickles, const uint8_t *bytes, size_t size,
                            FblDataset *data) {
    const char *names[100];
    int32_t count = 0;
    FblPickle pickle;
    FblStatus status = FBL_OK;
    if (pickles) {
        const FblPickleValue *list =
            fbl_pickle_read(&pickle, bytes, size) == FBL_OK ? fbl_pickle_get(pickle.root, set->names_key) : NULL;
        for (size_t i = 0; list != NULL && list->kind == FBL_PICKLE_LIST && i < list->count && count < 100; i++) {
            const FblPickleValue *item = list->items[i];
            names[count++] =
                item->kind == FBL_PICKLE_STRING ? fbl_arena_strndup(&pickle.arena, item->text, item->length) : "?";
        }
        status = fbl_dataset_set_names(ctx, data, names, count);
        fbl_pickle_deinit(&pickle);
        return status;
    }
    const char *text = (const char *)bytes;
    const char *end = text + size;
    while (text < end && count < 100) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline != NULL ? newline : end) - text);
        size_t visible = length > 0 && text[length - 1] == '\r' ? length - 1 : length;
        if (visible > 0) {
            names[count++] = fbl_arena_strndup(fbl_context_arena(ctx), text, visible);
        }
        text += length + 1;
    }
    return fbl_dataset_set_names(ctx, data, names, count);
}

static FblStatus take_part(FblContext *ctx, const Official *set, const Source *source, const char *name,
                           const FblArchiveFile *file, FblDataset *all) {
    FblDataset part;
    const char *shown = fbl_path_join(ctx, source->path, name);
    FBL_TRY((source->pickles ? fbl_cifar_parse_pickle : fbl_cifar_parse_binary)(ctx, shown, file->bytes, file->size,
                                                                                set->classes, &part));
    FblStatus status = fbl_dataset_append(ctx, all, &part);
    fbl_dataset_deinit(&part);
    return status;
}

static FblStatus fetch(FblContext *ctx, const Source *source, const char *name, FblArchiveFile *held,
                       FblArchiveFile *out) {
    if (source->archive) {
        *out = *held;
        *held = (FblArchiveFile){0};
        return FBL_OK;
    }
    *out = (FblArchiveFile){0};
    const char *path = fbl_path_join(ctx, source->path, name);
    if (!fbl_is_regular(path)) {
        return FBL_OK;
    }
    char *bytes;
    FBL_TRY(fbl_read_file(ctx, path, FILE_LIMIT, &bytes, &out->size));
    out->bytes = (uint8_t *)bytes;
    return FBL_OK;
}

// Reads the batches of a split in their order. Sets of fewer files than the official ones are taken as they are, as
// long as the first is there and none is skipped.
static FblStatus read_source(FblContext *ctx, const Official *set, const Source *source, FblSplit split,
                             FblDataset *out) {
    const char *names[MAX_PARTS];
    int parts = 0;
    if (split == FBL_SPLIT_TRAIN) {
        const char *const *train = source->pickles ? set->python_train : set->binary_train;
        while (train[parts] != NULL) {
            names[parts] = train[parts];
            parts++;
        }
    } else {
        names[parts++] = source->pickles ? set->python_test : set->binary_test;
    }
    names[parts] = source->pickles ? set->python_names : set->binary_names;
    FblArchiveFile held[MAX_PARTS] = {{0}};
    if (source->archive) {
        FBL_TRY(fbl_archive_read(ctx, source->path, names, parts + 1, held));
    }
    FblStatus status = FBL_OK;
    int missing = -1;
    for (int i = 0; i <= parts && status == FBL_OK; i++) {
        FblArchiveFile file;
        status = fetch(ctx, source, names[i], &held[i], &file);
        if (status != FBL_OK) {
            break;
        }
        if (i == parts) {
            status = file.bytes != NULL && out->count > 0
                         ? take_names(ctx, set, source->pickles, file.bytes, file.size, out)
                         : FBL_OK;
        } else if (file.bytes == NULL) {
            missing = missing < 0 ? i : missing;
        } else if (missing >= 0) {
            status = fbl_error(ctx, "E0801", FBL_NO_LOC, "`%s` holds `%s` but not `%s`", source->path, names[i],
                               names[missing]);
        } else {
            status = take_part(ctx, set, source, names[i], &file, out);
        }
        free(file.bytes);
    }
    for (int i = 0; i <= parts; i++) {
        free(held[i].bytes);
    }
    if (status == FBL_OK && out->count == 0) {
        status = fbl_error(ctx, "E0801", FBL_NO_LOC, "`%s` holds no `%s`", source->path, names[0]);
    }
    if (status == FBL_OK && asprintf(&out->description, "CIFAR-%d in %s", set->classes, source->path) < 0) {
        out->description = NULL;
        status = fbl_data_no_memory(ctx, "the description");
    }
    return status;
}

// Does the archive hold pickles? Told by which of the two test files is in it.
static FblStatus look_into_archive(FblContext *ctx, const Official *set, Source *source) {
    const char *names[2] = {set->binary_test, set->python_test};
    FblArchiveFile files[2];
    FBL_TRY(fbl_archive_read(ctx, source->path, names, 2, files));
    bool binary = files[0].bytes != NULL;
    bool python = files[1].bytes != NULL;
    free(files[0].bytes);
    free(files[1].bytes);
    source->pickles = !binary;
    if (!binary && !python) {
        return fbl_error(ctx, "E0801", FBL_NO_LOC, "the archive `%s` holds neither `%s` nor `%s`", source->path,
                         names[0], names[1]);
    }
    return FBL_OK;
}

static bool holds(FblContext *ctx, const char *folder, const char *file) {
    return fbl_is_regular(fbl_path_join(ctx, folder, file));
}

// Tries the places in a fixed order; *out_folder is set when class folders of images were found instead.
static bool find_source(FblContext *ctx, const Official *set, const char *directory, Source *out,
                        const char **out_folder) {
    *out_folder = NULL;
    const char *folders[4] = {fbl_path_join(ctx, directory, set->binary_folder), directory,
                              fbl_path_join(ctx, directory, set->python_folder), directory};
    for (int i = 0; i < 4; i++) {
        bool pickles = i >= 2;
        if (holds(ctx, folders[i], pickles ? set->python_train[0] : set->binary_train[0]) ||
            holds(ctx, folders[i], pickles ? set->python_test : set->binary_test)) {
            *out = (Source){folders[i], false, pickles};
            return true;
        }
    }
    const char *archives[2] = {set->binary_archive, set->python_archive};
    for (int i = 0; i < 2; i++) {
        if (holds(ctx, directory, archives[i])) {
            *out = (Source){fbl_path_join(ctx, directory, archives[i]), true, i == 1};
            return true;
        }
    }
    const char *images[2] = {fbl_path_join(ctx, directory, set->image_folder), directory};
    for (int i = 0; i < 2; i++) {
        if (fbl_is_folder(fbl_path_join(ctx, images[i], "train"))) {
            *out_folder = images[i];
            return true;
        }
    }
    return false;
}

static FblStatus not_found(FblContext *ctx, const Official *set, const char *directory) {
    FblDiag *diag;
    if (!fbl_path_exists(directory)) {
        diag = fbl_diag(ctx, FBL_ERROR, "E0801", FBL_NO_LOC, "the data folder `%s` does not exist", directory);
    } else {
        diag = fbl_diag(ctx, FBL_ERROR, "E0801", FBL_NO_LOC, "no CIFAR-%d data set was found in `%s`", set->classes,
                        directory);
    }
    fbl_diag_note(
        ctx, diag, FBL_NO_LOC,
        "looked there for %s/%s, %s/%s (or those files directly), %s, %s, and class folders train/CLASS/*.png",
        set->binary_folder, set->binary_train[0], set->python_folder, set->python_train[0], set->binary_archive,
        set->python_archive);
    fbl_diag_hint(ctx, diag,
                  "give the folder of the data set with --data DIR; the archives come from "
                  "https://www.cs.toronto.edu/~kriz/cifar.html");
    return FBL_USER;
}

FblStatus fbl_cifar_load(FblContext *ctx, const FblDatasetSpec *spec, int32_t classes, FblSplit split,
                         FblDataset *out) {
    const Official *set = &sets[classes == 100];
    const char *directory = spec->directory != NULL ? spec->directory : ".";
    Source source = {directory, true, false};
    const char *folder = NULL;
    if (fbl_is_regular(directory)) {
        FBL_TRY(look_into_archive(ctx, set, &source));
    } else if (!find_source(ctx, set, directory, &source, &folder)) {
        return not_found(ctx, set, directory);
    }
    if (folder == NULL) {
        return read_source(ctx, set, &source, split, out);
    }
    FblDatasetSpec inner = *spec;
    inner.directory = folder;
    FBL_TRY(fbl_folder_load(ctx, &inner, split, out));
    if (out->classes != classes) {
        return fbl_error(ctx, "E0812", FBL_NO_LOC, "`%s` holds %d class folders, but CIFAR-%d has %d classes", folder,
                         out->classes, classes, classes);
    }
    return FBL_OK;
}

// What the readers of data sets share. Private to runtime/data.
#ifndef FBL_RUNTIME_DATA_DATASET_INTERNAL_H
#define FBL_RUNTIME_DATA_DATASET_INTERNAL_H

#include "runtime/data/dataset.h"

// A diagnostic about memory, and FBL_NOMEM.
FblStatus fbl_data_no_memory(FblContext *ctx, const char *what);

// Arrays for `count` images of `height` x `width` (pixels left out when height is 0).
FblStatus fbl_dataset_allocate(FblContext *ctx, int64_t count, int32_t height, int32_t width, FblDataset *out);

// Counts the classes (labels must be in range) and allocates class_counts.
FblStatus fbl_dataset_count_classes(FblContext *ctx, FblDataset *data, int32_t classes);

// E0817 for each class without an image: losses divide by the class counts.
FblStatus fbl_dataset_check_classes(FblContext *ctx, const FblDataset *data, const char *place);

// Moves the images of `part` behind those of `all` (which may be zeroed); sizes must agree. `part` is emptied.
FblStatus fbl_dataset_append(FblContext *ctx, FblDataset *all, FblDataset *part);

// Decodes the files of `data` into memory when all of them are small and of one size; else leaves it as it is. `skip`: see
// FblDatasetSpec.skip_bad; a damaged image is then left out.
FblStatus fbl_dataset_decode_small(FblContext *ctx, bool skip, FblDataset *data);

// Copies of `count` class names.
FblStatus fbl_dataset_set_names(FblContext *ctx, FblDataset *data, const char *const *names, int32_t count);

bool fbl_is_folder(const char *path);
bool fbl_is_regular(const char *path);

// The readers behind fbl_dataset_load.
FblStatus fbl_cifar_load(FblContext *ctx, const FblDatasetSpec *spec, int32_t classes, FblSplit split, FblDataset *out);
FblStatus fbl_folder_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out);
FblStatus fbl_list_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out);

// Files taken out of an archive, in the order of `names`; a file that is not there stays NULL.
typedef struct FblArchiveFile {
    uint8_t *bytes; // malloc'ed
    size_t size;
} FblArchiveFile;

// Reads the entries whose base name is in `names` from any archive that libarchive knows. On failure all are freed.
FblStatus fbl_archive_read(FblContext *ctx, const char *path, const char *const *names, int count,
                           FblArchiveFile *out_files);

#endif

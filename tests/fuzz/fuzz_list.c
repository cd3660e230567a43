// Any bytes as a text list of images: images and labels in range, or a diagnostic.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/diag.h"
#include "runtime/data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int file = memfd_create("list", 0);
    if (file < 0 || write(file, data, size) != (ssize_t)size) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    for (int renumber = 0; renumber < 2; renumber++) {
        FblContext *ctx = fbl_context_create();
        FblDatasetSpec spec = {.kind = FBL_DATASET_LIST, .root = FBL_FUZZ_IMAGES, .check = renumber == 0, .train_list = path, .test_list = path, .classes = 3, .renumber = renumber};
        FblDataset set;
        FblStatus status = fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &set);
        for (int64_t i = 0; status == FBL_OK && i < set.count; i++) {
            if (set.labels[i] < 0 || set.labels[i] >= set.classes) {
                abort();
            }
        }
        if (status != FBL_OK && fbl_diag_error_count(ctx) == 0) {
            abort();
        }
        fbl_dataset_deinit(&set);
        fbl_context_destroy(ctx);
    }
    close(file);
    return 0;
}

// Any bytes as a binary batch of either CIFAR: labels in range, or a diagnostic.
#include <stdlib.h>

#include "runtime/data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int32_t classes = 10; classes <= 100; classes *= 10) {
        FblContext *ctx = fbl_context_create();
        FblDataset set;
        if (fbl_cifar_parse_binary(ctx, "input", data, size, classes, &set) == FBL_OK) {
            for (int64_t i = 0; i < set.count; i++) {
                if (set.labels[i] < 0 || set.labels[i] >= classes) {
                    abort();
                }
            }
        }
        fbl_dataset_deinit(&set);
        fbl_context_destroy(ctx);
    }
    return 0;
}

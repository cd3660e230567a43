// Any bytes as a pickled batch: a data set or a diagnostic.
#include "runtime/data/dataset.h"
#include "runtime/data/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblPickle pickle;
    if (fbl_pickle_read(&pickle, data, size) == FBL_OK) {
        (void)fbl_pickle_get(pickle.root, "data");
    }
    fbl_pickle_deinit(&pickle);
    FblContext *ctx = fbl_context_create();
    FblDataset set;
    (void)fbl_cifar_parse_pickle(ctx, "input", data, size, 10, &set);
    fbl_dataset_deinit(&set);
    fbl_context_destroy(ctx);
    return 0;
}

// Any bytes as a PyTorch file, and as the pickle of an honest one: parsed or diagnosed; what is parsed can be read to the last element.
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "runtime/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *bytes, size_t size) {
    FblContext *ctx = fbl_context_create();
    char *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    FblTensorFile file;
    if (fbl_torch_file_parse(ctx, "input", copy, size, &file) == FBL_OK) {
        for (size_t i = 0; i < file.count; i++) {
            int64_t count = fbl_file_tensor_elements(&file.tensors[i]);
            double *values = malloc(((size_t)count + 1) * sizeof *values);
            if (!fbl_file_tensor_to_f64(&file.tensors[i], values, count) || fbl_tensor_file_find(&file, file.tensors[i].name) != &file.tensors[i]) {
                abort();
            }
            free(values);
        }
        fbl_tensor_file_deinit(&file);
    }
    fbl_context_destroy(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // The older form needs no checksums: its magic number, the version 1001 and an empty dictionary come before the pickle.
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    parse((const char *)data, size);
    char *old = malloc(sizeof head - 1 + size);
    memcpy(old, head, sizeof head - 1);
    memcpy(old + sizeof head - 1, data, size);
    parse(old, sizeof head - 1 + size);
    free(old);
    return 0;
}

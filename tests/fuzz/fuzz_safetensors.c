// Any bytes as a safetensors file: parsed or diagnosed; what is parsed can be read to the last element.
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "runtime/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblContext *ctx = fbl_context_create();
    char *bytes = malloc(size + 1);
    memcpy(bytes, data, size);
    FblTensorFile file;
    if (fbl_tensor_file_parse(ctx, "input", bytes, size, &file) == FBL_OK) {
        for (size_t i = 0; i < file.count; i++) {
            int64_t count = fbl_file_tensor_elements(&file.tensors[i]);
            double *values = malloc(((size_t)count + 1) * sizeof *values);
            int32_t *whole = malloc(((size_t)count + 1) * sizeof *whole);
            if (!fbl_file_tensor_to_f64(&file.tensors[i], values, count) ||
                fbl_tensor_file_find(&file, file.tensors[i].name) != &file.tensors[i]) {
                abort();
            }
            (void)fbl_file_tensor_to_i32(&file.tensors[i], whole, count);
            free(values);
            free(whole);
        }
        fbl_tensor_file_deinit(&file);
    }
    fbl_context_destroy(ctx);
    return 0;
}

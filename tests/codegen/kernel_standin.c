// Printing and item counts of kernels, for builds without ir/kernel.c.
#include "ir/kernel.h"

const char *fbl_kernel_print(FblContext *ctx, const FblKernel *kernel, bool details) {
    (void)ctx;
    (void)details;
    return kernel->name;
}

int64_t fbl_kernel_items(const FblKernel *kernel) {
    int64_t items = 1;
    for (int32_t k = 0; k < kernel->outer_count; k++) {
        items *= k == kernel->vector_loop ? 1 : kernel->loops[k].extent;
    }
    return items;
}

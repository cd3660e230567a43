// Matrix products by cuBLASLt: which kernels of a plan the library does, and with what algorithm.
//
// Ownership and threads: as the driver.
#ifndef FBL_CLI_LIBRARY_H
#define FBL_CLI_LIBRARY_H

#include "cli/driver.h"

// Sets codes[k].library for every kernel of the plan that is a plain product (ir/product.h), where the GPU is at hand and
// --library-gemm is auto: the library's algorithm, kept when it gives what the kernel's own code gives but for rounding (else
// warning E0655). Nothing without the library. E0656 for other values of --library-gemm.
FblStatus fbl_driver_library(FblDriver *driver, const FblPlan *plan, FblKernelCode *codes);

// One line about it: how many products the library does, or why it does none; before compiling (codes NULL) how many there are.
// "" for the CPU. In the arena.
const char *fbl_driver_library_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes);

#endif

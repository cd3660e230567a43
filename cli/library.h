// Kernels done by NVIDIA's libraries: which of a plan, and with what algorithm.
//
// Ownership and threads: as the driver.
#ifndef FBL_CLI_LIBRARY_H
#define FBL_CLI_LIBRARY_H

#include "cli/driver.h"

// Which libraries may be used: asks for each that the options allow, where the GPU is open. Before compiling, as the phases around a library's call
// are part of a kernel's code. E0656 for other values of --library-gemm and --library-conv than auto and off.
FblStatus fbl_driver_library_open(FblDriver *driver);

// Sets codes[k].library for every kernel of the plan that is left to a library (fbl_driver_cuda_library): its algorithm, kept when it gives what
// the kernel's own code gives but for rounding (else warning E0655).
FblStatus fbl_driver_library(FblDriver *driver, const FblPlan *plan, FblKernelCode *codes);

// A line about each library: how many products or convolutions it does, or why it does none; before compiling (codes NULL) how many there are.
// "" for the CPU. In the arena.
const char *fbl_driver_library_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes);

// How far the library's result may be from the kernel's own, as FblCudaTrialOptions has it: two orders of summing, and factors that are rounded
// in another way.
double fbl_driver_library_tolerance(const FblLibraryWork *work, FblCudaPrecision precision);

#endif

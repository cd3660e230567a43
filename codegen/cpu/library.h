// Kernels done by C functions: scans, sorts, Beta numbers.
#ifndef FBL_CODEGEN_CPU_LIBRARY_H
#define FBL_CODEGEN_CPU_LIBRARY_H

#include "codegen/target.h"

// Runs items [begin, end) of the library kernel `kernel`. One item is one outer index (all of its inner ones); BETA has one.
void fbl_cpu_library_run(const FblKernel *kernel, const FblKernelArgs *args, int64_t begin, int64_t end);

#endif

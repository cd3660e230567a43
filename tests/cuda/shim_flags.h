// How the system's C++ compiler makes kernels with shim.h: the options that cuda_run.c and the software NVRTC share. An access that is
// not aligned to its size, which a GPU does not do, traps; shim.h says so. FBL_SHIM_FLAGS come behind.
#ifndef FBL_TESTS_CUDA_SHIM_FLAGS_H
#define FBL_TESTS_CUDA_SHIM_FLAGS_H

#define SHIM_FLAGS "-std=c++17 -O1 -w -Wno-psabi -fno-strict-aliasing -fwrapv -ffp-contract=off -fPIC -shared"
#define SHIM_TRAPS "-fsanitize=alignment -fsanitize-undefined-trap-on-error" // where FBL_SHIM_FLAGS ask for no sanitizer

#endif

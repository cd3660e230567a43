// NVRTC, the CUDA C compiler, by dlopen: one binary runs with and without it.
//
// The library is looked for once, on first use: the path in FBL_NVRTC when it is set, else libnvrtc.so and its versioned
// names in the linker's path, then in /usr/local/cuda/lib64. Ownership: stated per function. Threads: any number at once.
#ifndef FBL_CODEGEN_CUDA_NVRTC_H
#define FBL_CODEGEN_CUDA_NVRTC_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether NVRTC can be loaded; when not, `error` names every library that was tried. Version e.g. 13000 for 13.0.
bool fbl_nvrtc_available(int32_t *out_version, char *error, size_t error_size);

// Compiles CUDA C for compute capability `arch` (80, 90, ...; 90 and 100 with their "a" features when `specific`) to a
// cubin, or to PTX text (with its final zero) when `ptx`. *out_image is malloc'ed. FBL_UNSUPPORTED when NVRTC is
// missing or too old for `arch`; FBL_INTERNAL when the source does not compile: `error` then has the first lines of
// the log and, where a line of the log points into a kernel, that kernel's name and its .fbl lines from the header
// comment in `source`. *out_log (may be NULL) gets the whole log with registers and spills of each kernel of a cubin, malloc'ed,
// "" when there is none.
FblStatus fbl_nvrtc_compile(const char *source, int32_t arch, bool specific, bool ptx, void **out_image, size_t *out_size,
                            char **out_log, char *error, size_t error_size);

#endif

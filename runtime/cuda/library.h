// A library that does a kernel's work (ir/library_work.h) instead of the kernel's own phases: one way to ask for it, to prepare and to launch it,
// whichever library it is. A call is the phases that fill the library's arrays, the library itself, and the phases behind it.
// Ownership: stated per function. Threads: as the device.
#ifndef FBL_RUNTIME_CUDA_LIBRARY_H
#define FBL_RUNTIME_CUDA_LIBRARY_H

#include "ir/library_work.h"
#include "runtime/cuda/cuda_device.h"

typedef struct FblLibraryCall FblLibraryCall;

// Where a kernel's call works.
typedef struct FblLibraryPlace {
    FblCuHandle module;          // the code's image
    const FblDevicePtr *buffers; // the kernel's; copied
    FblDevicePtr workspace;      // of fbl_library_workspace bytes, 256-byte aligned
    FblDevicePtr scalars;        // {seed, step}
} FblLibraryPlace;

// "cuBLASLt", and "matrix products", which it does.
const char *fbl_library_name(FblLibraryKind kind);
const char *fbl_library_items(FblLibraryKind kind);

// Opens the library on the device; once, further calls are free. False when it is not there or does not start: fbl_library_why says
// why, in one line ("" when it is open, or was not looked for).
bool fbl_library_open(FblCudaDevice *device, FblLibraryKind kind);
const char *fbl_library_why(const FblCudaDevice *device, FblLibraryKind kind);

// The library's best algorithm for its work at a precision (FblCudaPrecision). False when it has none.
bool fbl_library_choose(FblCudaDevice *device, const FblLibraryWork *work, int32_t precision, FblGpuLibrary *out_library);

// What the kernel's recorded call works on; false when the code has none, or none that belongs to the kernel.
bool fbl_library_recorded(const FblKernel *kernel, const FblKernelCode *code, FblLibraryWork *out_work);

// Bytes of workspace that the kernel's recorded call takes: arrays, then the library's own; 0 when there is none.
int64_t fbl_library_workspace(const FblKernel *kernel, const FblKernelCode *code);

// The kernel's recorded call ready to be launched. False when the library is missing or refuses the algorithm (another version, another
// GPU). The caller destroys the call before the device; the code is borrowed until then.
bool fbl_library_prepare(FblCudaDevice *device, const FblKernel *kernel, const FblKernelCode *code, const FblLibraryPlace *place, FblLibraryCall **out_call);
void fbl_library_destroy(FblLibraryCall *call);

// Puts all of it onto the work stream (also while it is captured).
FblCuResult fbl_library_launch(FblLibraryCall *call);

#endif

// Matrix products by cuBLASLt, NVIDIA's library, found at run time: neither building nor starting the program needs it.
//
// libcublasLt.so.13, .12 or libcublasLt.so in the linker's path or /usr/local/cuda/lib64; FBL_CUBLASLT=PATH in the environment names
// another one. With FBL_CUDA_DRIVER (another driver, for tests) only FBL_CUBLASLT counts, as the real library needs the real driver.
// Used through runtime/cuda/library.h, which checks what a file has recorded. An algorithm is asked for once, when code is generated with the GPU
// at hand, and recorded (FblGpuLibrary). Only schemes
// that split a sum through a workspace are allowed, which are the same at each run; none that adds in place.
// Ownership: stated per function. Threads: as the device.
#ifndef FBL_RUNTIME_CUDA_CUBLASLT_H
#define FBL_RUNTIME_CUDA_CUBLASLT_H

#include "ir/product.h"
#include "runtime/cuda/cuda_device.h"

#define FBL_CUBLASLT_WORKSPACE ((int64_t)32 << 20) // bytes that an algorithm may have: what the library's guide advises for Hopper

typedef struct FblCublasLt FblCublasLt;
typedef struct FblLtCall FblLtCall;

// Opens the library on the device; once, further calls are free. False when it is not there or does not start: device->lt_why says
// why, in one line. Closed with the device.
bool fbl_cublaslt_open(FblCudaDevice *device);
void fbl_cublaslt_close(FblCublasLt *lt);

// The library's best algorithm for a product at a precision (FblCudaPrecision: f32 multiplies in f32; the others round factors that
// are stored in f32 as the library does). Factors in halves are multiplied as they are. Sums are f32. False when it has none.
bool fbl_cublaslt_choose(FblCudaDevice *device, const FblProduct *product, int32_t precision, FblGpuLibrary *out_library);

// A product ready to be launched with a recorded algorithm; buffers[] are the kernel's, then its arrays. False when the library refuses the
// algorithm (another version, another GPU). The caller destroys the call before the device.
bool fbl_cublaslt_prepare(FblCudaDevice *device, const FblProduct *product, const FblGpuLibrary *library, const FblDevicePtr *buffers, FblLtCall **out_call);
void fbl_cublaslt_destroy(FblLtCall *call);

// Puts the product onto the work stream (also while it is captured). The workspace has library->workspace_bytes, 256-byte aligned.
FblCuResult fbl_cublaslt_launch(FblLtCall *call, FblDevicePtr workspace);

#endif

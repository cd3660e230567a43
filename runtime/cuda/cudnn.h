// Convolutions by cuDNN, NVIDIA's library, found at run time: neither building nor starting the program needs it.
//
// libcudnn.so.9, .8 or libcudnn.so in the linker's path or /usr/local/cuda/lib64; FBL_CUDNN=PATH in the environment names another one. With
// FBL_CUDA_DRIVER (another driver, for tests) only FBL_CUDNN counts, as the real library needs the real driver.
// Used through runtime/cuda/library.h, which checks what a file has recorded. An algorithm is an engine of the library and its knobs: the first of
// those that the library's heuristics propose which is deterministic, sums in f32, computes the sums as they are (no FFT, no
// Winograd transform), multiplies f32 in f32 unless the precision is tf32, and needs no more than FBL_CUDNN_WORKSPACE.
// Ownership: stated per function. Threads: as the device.
#ifndef FBL_RUNTIME_CUDA_CUDNN_H
#define FBL_RUNTIME_CUDA_CUDNN_H

#include "ir/convolution.h"
#include "runtime/cuda/cuda_device.h"

#define FBL_CUDNN_WORKSPACE ((int64_t)256 << 20) // bytes that an engine may have

typedef struct FblCudnn FblCudnn;
typedef struct FblDnnCall FblDnnCall;

// Opens the library on the device; once, further calls are free. False when it is not there or does not start: device->dnn_why says
// why, in one line. Closed with the device.
bool fbl_cudnn_open(FblCudaDevice *device);
void fbl_cudnn_close(FblCudnn *dnn);

// The library's algorithm for a convolution at a precision (FblCudaPrecision). False when it has none.
bool fbl_cudnn_choose(FblCudaDevice *device, const FblConvolution *convolution, int32_t precision, FblGpuLibrary *out_library);

// A convolution ready to be launched with a recorded algorithm; buffers[] are the kernel's, then its arrays; the workspace has
// library->workspace_bytes, 256-byte aligned. False when the library refuses the algorithm (another version, another GPU). The caller
// destroys the call before the device.
bool fbl_cudnn_prepare(FblCudaDevice *device, const FblConvolution *convolution, const FblGpuLibrary *library, const FblDevicePtr *buffers, FblDevicePtr workspace,
                       FblDnnCall **out_call);
void fbl_cudnn_destroy(FblDnnCall *call);

// Puts the convolution onto the work stream (also while it is captured).
FblCuResult fbl_cudnn_launch(FblDnnCall *call);

#endif

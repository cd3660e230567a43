// Tensor maps of compiled kernels, encoded by the driver. Ownership and threads: none, as the driver's functions.
#ifndef FBL_RUNTIME_CUDA_CUDA_MAP_H
#define FBL_RUNTIME_CUDA_CUDA_MAP_H

#include "codegen/target.h"
#include "runtime/cuda/cuda_api.h"
#include "runtime/device.h"

// Encodes a map of `kernel` into `out`, FBL_TENSOR_MAP_BYTES aligned to FBL_TENSOR_MAP_ALIGN: of the buffer that it names (`buffers`: the addresses of
// the kernel's buffers) or of the workspace. The driver's verdict; FBL_CU_INVALID_VALUE for a map that is damaged or reaches outside
// its memory. Nothing on the device changes.
FblCuResult fbl_cuda_map_encode(const FblCudaApi *api, const FblTensorMap *map, const FblKernel *kernel, const FblDevicePtr *buffers, FblDevicePtr workspace,
                                int64_t workspace_bytes, void *out);

#endif

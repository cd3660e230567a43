// Entry points of kernels; and a kernel with its arguments, ready to be launched again and again: those around a train step and an evaluation.
//
// Ownership: plain values; `parameters` points into the call itself, which must not move after it was set. Threads: no state.
#ifndef FBL_RUNTIME_CUDA_CUDA_CALL_H
#define FBL_RUNTIME_CUDA_CUDA_CALL_H

#include "runtime/cuda/cuda_device.h"

#define FBL_CUDA_CALL_ARGUMENTS 12

typedef struct FblCudaCall {
    FblCuHandle function;
    uint32_t blocks, threads;
    FblDevicePtr values[FBL_CUDA_CALL_ARGUMENTS];
    void *parameters[FBL_CUDA_CALL_ARGUMENTS]; // [i] points at values[i]
} FblCudaCall;

// The entry point of a compiled phase, with permission for as much shared memory as it wants.
FblCuResult fbl_cuda_entry(const FblCudaApi *api, FblCuHandle module, const FblGpuPhase *phase, FblCuHandle *out_function);

// `count` arguments (at most FBL_CUDA_CALL_ARGUMENTS), each of 8 bytes.
void fbl_cuda_call_set(FblCudaCall *call, FblCuHandle function, uint32_t blocks, uint32_t threads, const FblDevicePtr *values, int count);
// Puts it onto the device's work stream.
FblCuResult fbl_cuda_call_launch(const FblCudaDevice *device, const FblCudaCall *call);

#endif

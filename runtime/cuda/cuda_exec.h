// Executors on a GPU: functions of a plan as CUDA graphs. The entries of FblDeviceOps that are about executors, and what
// cuda_session.c needs to put several functions into one graph.
//
// Ownership and threads: as runtime/device.h says.
#ifndef FBL_RUNTIME_CUDA_CUDA_EXEC_H
#define FBL_RUNTIME_CUDA_CUDA_EXEC_H

#include "runtime/cuda/cuda_device.h"

FblStatus fbl_cuda_exec_create(FblContext *ctx, FblDevice *device, const FblDeviceExecOptions *options, FblDeviceExec **out_exec);
void fbl_cuda_exec_destroy(FblDeviceExec *exec);
void fbl_cuda_exec_write(FblDeviceExec *exec, int64_t offset, const void *data, int64_t bytes);
void fbl_cuda_exec_call(FblDeviceExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds);
FblStatus fbl_cuda_exec_wait(FblContext *ctx, FblDeviceExec *exec);
FblDevicePtr fbl_cuda_exec_region(const FblDeviceExec *exec, int region);
int64_t fbl_cuda_exec_bytes(const FblDeviceExec *exec);

// The executor of device `shard` of a group (runtime/cuda/cuda_group.h): what is written to, flushed, enqueued, probed, called and waited for
// with the first one's executor, 0, is so on all of them. The other functions are about one.
FblDeviceExec *fbl_cuda_exec_peer(FblDeviceExec *exec, int shard);

// Where {uint64 seed, step} lie that the kernels of this executor read.
FblDevicePtr fbl_cuda_exec_scalars(const FblDeviceExec *exec);
// Puts what was written since the last call onto the work stream (before a graph that reads it).
FblCuResult fbl_cuda_exec_flush(FblDeviceExec *exec);
// Puts the launches of a function onto the work stream; into a graph when the stream is being captured.
FblCuResult fbl_cuda_exec_enqueue(FblDeviceExec *exec, int function);
// Runs a function once with a wait after every launch, so that a fault is blamed on its kernel.
FblCuResult fbl_cuda_exec_probe(FblDeviceExec *exec, int function);
// FBL_OK for FBL_CU_SUCCESS. Else FBL_DEVICE with E0645, which names the kernel and its .fbl lines where they are known,
// and the function otherwise.
FblStatus fbl_cuda_exec_blame(FblContext *ctx, FblDeviceExec *exec, int function, FblCuResult result);

#endif

// Several GPUs that share the batch of a step (passes/shard.h): memory that all of them hold, graphs on all of them, and the
// collectives between them, by NCCL, which is opened at run time.
//
// All run the same launches, each in its own memory, and are driven by one thread: whoever works on another device than the first one
// makes its context current (fbl_cuda_use) and the first one's again afterwards. So whoever does not know of groups works on the first.
// Ownership: a group is part of its first device, which opens and closes it. Threads: one caller at a time.
#ifndef FBL_RUNTIME_CUDA_CUDA_GROUP_H
#define FBL_RUNTIME_CUDA_CUDA_GROUP_H

#include "ir/kernel.h"
#include "runtime/cuda/cuda_device.h"

#define FBL_CUDA_MAX_GPUS 64

typedef struct FblCudaGroup FblCudaGroup;

// Opens GPUs 1 to count - 1 beside `first` and connects them. FBL_DEVICE with a diagnostic: E0660 there are fewer, E0661 they are of
// several architectures, E0662 no NCCL, E0663 NCCL cannot connect them. The group is first->group.
FblStatus fbl_cuda_group_open(FblContext *ctx, FblCudaDevice *first, int count);
void fbl_cuda_group_close(FblCudaGroup *group); // and all devices but the first

// Devices that work together with this first device, itself included: 1 without a group. Device `shard` of them.
int fbl_cuda_devices(const FblCudaDevice *device);
FblCudaDevice *fbl_cuda_peer(FblCudaDevice *device, int shard);

// Makes the device's context current; nothing without a group, where it always is.
FblCuResult fbl_cuda_use(const FblCudaDevice *device);

// Memory of the first device that the others have as well, as FblDeviceOps has it: what is uploaded to it goes to all. fbl_cuda_mirror
// is where an address in it lies on device `shard`.
FblStatus fbl_cuda_group_allocate(FblContext *ctx, FblCudaDevice *first, int64_t bytes, const char *what, FblDevicePtr *out_address);
void fbl_cuda_group_release(FblCudaDevice *first, FblDevicePtr address);
FblStatus fbl_cuda_group_upload(FblContext *ctx, FblCudaDevice *first, FblDevicePtr to, const void *from, int64_t bytes);
FblDevicePtr fbl_cuda_mirror(const FblCudaDevice *first, FblDevicePtr address, int shard);

// What `enqueue` puts onto the work streams of all devices, as graphs: out_graphs[device], to be destroyed with
// fbl_cuda_graphs_destroy. On failure there are none.
FblCuResult fbl_cuda_graphs_capture(FblCudaDevice *first, FblCuResult (*enqueue)(void *arg), void *arg, FblCuHandle *out_graphs);
FblCuResult fbl_cuda_graphs_launch(FblCudaDevice *first, const FblCuHandle *graphs);
void fbl_cuda_graphs_destroy(FblCudaDevice *first, FblCuHandle *graphs);

// One device's part of a collective kernel: its input and output.
typedef struct FblCudaCollective {
    const FblKernel *kernel;
    FblDevicePtr from, to;
} FblCudaCollective;

// Whether the collective may be under way together with others: whether it neither reads nor writes what they write, nor writes what they read.
bool fbl_cuda_collective_independent(const FblCudaCollective *collective, const FblCudaCollective *others, size_t count);
// Puts `count` independent collectives onto the work streams; collectives[shard][i]. FBL_CU_UNKNOWN when NCCL refuses; fbl_cuda_group_why then says why.
FblCuResult fbl_cuda_collectives(FblCudaDevice *first, const FblCudaCollective *const *collectives, size_t count);
const char *fbl_cuda_group_why(const FblCudaDevice *first);

#endif

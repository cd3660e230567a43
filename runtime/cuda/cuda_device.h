// An NVIDIA GPU as a device of the runtime: opening it, memory, and what the files of this folder share.
//
// Ownership: opened and closed by the caller. Threads: one caller at a time.
#ifndef FBL_RUNTIME_CUDA_CUDA_DEVICE_H
#define FBL_RUNTIME_CUDA_CUDA_DEVICE_H

#include "runtime/cuda/cuda_api.h"
#include "runtime/device.h"

#define FBL_CUDA_OLDEST_ARCH 75 // Turing: the oldest that the code generator writes for

typedef struct FblCudaDevice {
    FblDevice base;
    FblCudaApi api;
    FblCuDevice ordinal;
    FblCuHandle context;
    FblCuHandle stream;      // all work
    FblCuHandle copy_stream; // copies of coming batches, beside the work
    int arch;                // of the code that it runs: 90 for sm_90
    int native_arch;         // its own
    int multiprocessors;
    bool lost; // a fault has made the context unusable
    bool sync; // FBL_CUDA_SYNC=1: every launch is waited for, so that a fault is blamed on its kernel (a debugging aid)
    char identity[32], name[128];
    struct FblCudaGroup *group; // GPUs that share a step's batch (runtime/cuda/cuda_group.h); NULL: this one is alone
    struct FblCublasLt *lt; // runtime/cuda/cublaslt.h; NULL until it is asked for, or when it is not there
    char lt_why[256];       // why not
    struct FblCudnn *dnn;   // runtime/cuda/cudnn.h, likewise
    char dnn_why[256];
} FblCudaDevice;

// Opens the first GPU (CUDA_VISIBLE_DEVICES chooses), and with gpus > 1 those after it as its group. arch 0: whatever it has; else code
// for sm_<arch> must run on it. FBL_DEVICE with a diagnostic: E0640 no driver, E0641 driver too old, E0642 no GPU, E0643 an architecture
// that does not fit, and what fbl_cuda_group_open says.
FblStatus fbl_cuda_open(FblContext *ctx, int arch, int gpus, FblCudaDevice **out_device);
// A further GPU for the code of `first`, in its group, which sees to it that the GPU runs that code. Its context is left current.
FblStatus fbl_cuda_open_peer(FblContext *ctx, const FblCudaDevice *first, int ordinal, FblCudaDevice **out_device);
void fbl_cuda_close(FblCudaDevice *device);

// Memory of this one device, whose context must be current; as FblDeviceOps says, where a first device's memory is that of its whole group.
FblStatus fbl_cuda_allocate(FblContext *ctx, FblCudaDevice *device, int64_t bytes, const char *what, FblDevicePtr *out_address);
void fbl_cuda_release(FblCudaDevice *device, FblDevicePtr address);
FblStatus fbl_cuda_upload(FblContext *ctx, FblCudaDevice *device, FblDevicePtr to, const void *from, int64_t bytes);

// FBL_OK for FBL_CU_SUCCESS, else FBL_DEVICE with E0647, which says `doing` ("copying the inputs") and the driver's words.
FblStatus fbl_cuda_check(FblContext *ctx, FblCudaDevice *device, FblCuResult result, const char *doing);

extern const FblDeviceOps fbl_cuda_ops;

#endif

// A device that runs plans in memory of its own: what runtime/exec.c asks of it. The CPU is not one: there the host's
// memory is the memory that kernels work on.
//
// Ownership: the opener closes a device, after the stores and executors on it. Threads: one caller at a time.
#ifndef FBL_RUNTIME_DEVICE_H
#define FBL_RUNTIME_DEVICE_H

#include "codegen/target.h"
#include "ir/plan.h"

typedef uint64_t FblDevicePtr; // an address in the device's memory; 0: none

typedef struct FblDevice FblDevice;
typedef struct FblDeviceExec FblDeviceExec; // the device's part of an executor

// What a device's part of an executor is made of. All of it must outlive the executor.
typedef struct FblDeviceExecOptions {
    const FblPlan *plan;
    const FblKernelCode *codes;  // per plan kernel: images, phases, launch shapes, workspace sizes
    const FblDevicePtr *regions; // [FBL_REGION_COUNT]: PARAMS, GRADS, SLOTS and STATES of the store, others 0
} FblDeviceExecOptions;

typedef struct FblDeviceOps {
    // `bytes` zeroed bytes (0 gives address 0). Too little memory is FBL_NOMEM with a diagnostic that names `what`.
    FblStatus (*allocate)(FblContext *ctx, FblDevice *device, int64_t bytes, const char *what, FblDevicePtr *out_address);
    void (*release)(FblDevice *device, FblDevicePtr address);
    // Copies that are done when they return, after all work that was asked for before.
    FblStatus (*upload)(FblContext *ctx, FblDevice *device, FblDevicePtr to, const void *from, int64_t bytes);
    FblStatus (*download)(FblContext *ctx, FblDevice *device, void *to, FblDevicePtr from, int64_t bytes);

    FblStatus (*exec_create)(FblContext *ctx, FblDevice *device, const FblDeviceExecOptions *options, FblDeviceExec **out_exec);
    void (*exec_destroy)(FblDeviceExec *exec);
    // Bytes [offset, offset + bytes) of the INPUTS region for the next call. `data` is copied before it returns.
    void (*exec_write)(FblDeviceExec *exec, int64_t offset, const void *data, int64_t bytes);
    // Asks for a run of a function and returns; a failure is kept for exec_wait. `nanoseconds` not NULL: waits for each
    // launch and gives its time (launch_count values and a 0).
    void (*exec_call)(FblDeviceExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds);
    // Waits for all calls; FBL_DEVICE with a diagnostic when one failed (once; the device is of no use afterwards).
    FblStatus (*exec_wait)(FblContext *ctx, FblDeviceExec *exec);
    // Where one of the executor's own regions (ARENA, INPUTS, OUTPUTS) lies.
    FblDevicePtr (*exec_region)(const FblDeviceExec *exec, int region);
    int64_t (*exec_bytes)(const FblDeviceExec *exec);
} FblDeviceOps;

// The first member of every device's own structure.
struct FblDevice {
    const FblDeviceOps *ops;
    const char *identity; // "cuda sm_90": what code for it is keyed by
    const char *name;     // for people: "NVIDIA H100 80GB HBM3"
};

#endif

// Runs the functions of a plan: memory regions, launches on the pool or on a device, and the values that go in and out.
//
// On the CPU all memory is the host's. With a device the plan's regions lie in the device's memory and the host keeps copies of those that people
// read and write: what is written goes to the device with the next call, outputs come back in fbl_exec_wait, and the
// store's copies move when fbl_store_push and fbl_store_pull say so.
// Ownership: a store owns parameters, gradients, optimizer slots and states; an executor owns a plan's temporaries, inputs
// and outputs, and borrows the store, the pool and the loaded code. Threads: one caller at a time; the pool works inside.
#ifndef FBL_RUNTIME_EXEC_H
#define FBL_RUNTIME_EXEC_H

#include "base/pool.h"
#include "codegen/target.h"
#include "ir/plan.h"
#include "runtime/device.h"

// The memory that outlives a step, shared by the executors of one program (train at several batch sizes, eval).
typedef struct FblStore {
    uint8_t *regions[FBL_REGION_COUNT]; // PARAMS, GRADS, SLOTS, STATES; others NULL
    int64_t bytes[FBL_REGION_COUNT];
    FblDevice *device;                     // NULL: the CPU
    FblDevicePtr remote[FBL_REGION_COUNT]; // with a device: where the state lies; regions are the host's copies
} FblStore;

// Zeroed regions of the sizes that `plan` asks for. FBL_NOMEM with a diagnostic that names the size. `device` NULL: the CPU.
FblStatus fbl_store_create(FblContext *ctx, const FblPlan *plan, FblStore **out_store);
FblStatus fbl_store_create_on(FblContext *ctx, const FblPlan *plan, FblDevice *device, FblStore **out_store);
void fbl_store_destroy(FblStore *store);
// After writing into a region's host copy, and before reading it (-1: all regions). Nothing to do on the CPU.
FblStatus fbl_store_push(FblContext *ctx, FblStore *store, int region);
FblStatus fbl_store_pull(FblContext *ctx, FblStore *store, int region);

typedef struct FblExec FblExec;

typedef struct FblExecOptions {
    const FblPlan *plan;
    const FblKernelCode *codes; // per plan kernel: phases, items, scratch and workspace sizes (objects are not needed)
    const FblCpuModule *code;   // loaded, index = plan kernel
    FblStore *store;
    FblPool *pool;
} FblExecOptions;

// The plan, codes, code, store and pool must outlive the executor. It runs where the store lies; code is NULL on a device.
FblStatus fbl_exec_create(FblContext *ctx, const FblExecOptions *options, FblExec **out_exec);
void fbl_exec_destroy(FblExec *exec);

// Index of function `name`, or -1.
int fbl_exec_function(const FblExec *exec, const char *name);
const FblPlan *fbl_exec_plan(const FblExec *exec);

// Where tensor `tensor` of the plan lies on the host: row-major in the axis order of its type (bools are bytes). Inputs
// are written by the functions below only; outputs may be read after fbl_exec_wait.
void *fbl_exec_address(const FblExec *exec, const FblPlanTensor *tensor);
// Bytes [offset, offset + bytes) of a tensor.
void fbl_exec_write(const FblExec *exec, const FblPlanTensor *tensor, int64_t offset, const void *data, int64_t bytes);
// The input or output `name` of a function, or NULL.
const FblPlanTensor *fbl_exec_input(const FblExec *exec, int function, const char *name);
const FblPlanTensor *fbl_exec_output(const FblExec *exec, int function, const char *name);
// Writes one number into the scalar input `name` (converted to its dtype); nothing when the function has no such input.
void fbl_exec_set_scalar(const FblExec *exec, int function, const char *name, double value);
// Writes doubles into an input tensor, converted to its dtype.
void fbl_exec_set_tensor(const FblExec *exec, const FblPlanTensor *tensor, const double *values);

// Runs a function; on a device it may still be running on return. `seed` and `step` feed random numbers. When `nanoseconds`
// isn't NULL, it gets launch_count + 1 numbers: the processor time that the calling thread spent in each launch, and the
// rest of the wall time, in which it waited for the other threads or did not run. On a device: the device's time of each
// launch, and 0.
void fbl_exec_call(FblExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds);

// Waits for the calls so far and brings the outputs to the host. A fault of a device is FBL_DEVICE with a diagnostic.
FblStatus fbl_exec_wait(FblContext *ctx, FblExec *exec);

// The device's part, or NULL on the CPU.
FblDeviceExec *fbl_exec_remote(const FblExec *exec);

// Bytes that this executor holds itself.
int64_t fbl_exec_bytes(const FblExec *exec);

#endif

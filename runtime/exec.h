// Runs the functions of a plan: memory regions, launches on the pool, and the values that go in and out.
//
// Ownership: a store owns parameters, gradients, optimizer slots and states; an executor owns a plan's temporaries, inputs
// and outputs, and borrows the store, the pool and the loaded code. Threads: one caller at a time; the pool works inside.
#ifndef FBL_RUNTIME_EXEC_H
#define FBL_RUNTIME_EXEC_H

#include "base/pool.h"
#include "codegen/target.h"
#include "ir/plan.h"

// The memory that outlives a step, shared by the executors of one program (train at several batch sizes, eval).
typedef struct FblStore {
    uint8_t *regions[FBL_REGION_COUNT]; // PARAMS, GRADS, SLOTS, STATES; others NULL
    int64_t bytes[FBL_REGION_COUNT];
} FblStore;

// Zeroed regions of the sizes that `plan` asks for. FBL_NOMEM with a diagnostic that names the size.
FblStatus fbl_store_create(FblContext *ctx, const FblPlan *plan, FblStore **out_store);
void fbl_store_destroy(FblStore *store);

typedef struct FblExec FblExec;

typedef struct FblExecOptions {
    const FblPlan *plan;
    const FblKernelCode *codes; // per plan kernel: phases, items, scratch and workspace sizes (objects are not needed)
    const FblCpuModule *code;   // loaded, index = plan kernel
    FblStore *store;
    FblPool *pool;
} FblExecOptions;

// The plan, codes, code, store and pool must outlive the executor.
FblStatus fbl_exec_create(FblContext *ctx, const FblExecOptions *options, FblExec **out_exec);
void fbl_exec_destroy(FblExec *exec);

// Index of function `name`, or -1.
int fbl_exec_function(const FblExec *exec, const char *name);
const FblPlan *fbl_exec_plan(const FblExec *exec);

// Where tensor `tensor` of the plan lies: row-major in the axis order of its type (bools are bytes).
void *fbl_exec_address(const FblExec *exec, const FblPlanTensor *tensor);
// The input or output `name` of a function, or NULL.
const FblPlanTensor *fbl_exec_input(const FblExec *exec, int function, const char *name);
const FblPlanTensor *fbl_exec_output(const FblExec *exec, int function, const char *name);
// Writes one number into the scalar input `name` (converted to its dtype); nothing when the function has no such input.
void fbl_exec_set_scalar(const FblExec *exec, int function, const char *name, double value);
// Writes doubles into an input tensor, converted to its dtype.
void fbl_exec_set_tensor(const FblExec *exec, const FblPlanTensor *tensor, const double *values);

// Runs a function. `seed` and `step` feed random numbers. When `nanoseconds` isn't NULL, it gets launch_count + 1 numbers:
// the processor time that the calling thread spent in each launch, and the rest of the wall time, in which it waited for
// the other threads or did not run.
void fbl_exec_call(FblExec *exec, int function, uint64_t seed, uint64_t step, int64_t *nanoseconds);

// Bytes that this executor holds itself.
int64_t fbl_exec_bytes(const FblExec *exec);

#endif

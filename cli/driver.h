// The pipeline from a module to running code, shared by the verbs: passes, lowering, kernels from the cache or compiled on
// all threads, loading, executors.
//
// Ownership: stated per function. Threads: as the context.
#ifndef FBL_CLI_DRIVER_H
#define FBL_CLI_DRIVER_H

#include "cli/driver_cuda.h"
#include "frontend/build.h"
#include "passes/manager.h"
#include "passes/lower.h"
#include "runtime/cache.h"
#include "runtime/exec.h"

// What the verbs share: the target, the cache, the pool.
typedef struct FblDriver {
    FblContext *ctx;
    FblPassOptions passes;
    FblPassManager *manager;
    FblCpuTarget *target;
    FblDriverCuda *cuda; // NULL: the CPU is the target
    FblCache *cache;
    FblPool *pool;
    int threads;
    FblHash *compiled; // keys of the kernels that this driver has compiled: finding them again is no hit of the cache
    size_t compiled_count, compiled_capacity;
} FblDriver;

// On failure nothing is left to be freed. threads 0: all cores. More threads than cores warns. The target is created on first use only by functions that need it.
FblStatus fbl_driver_init(FblDriver *driver, FblContext *ctx, const FblPassOptions *passes, int threads);
void fbl_driver_deinit(FblDriver *driver);

// Machine code of one plan.
typedef struct FblBuilt {
    FblPlan *plan;        // in the context
    FblKernelCode *codes; // per kernel, owned
    FblCpuModule *code;   // loaded, owned; NULL until fbl_driver_load, and for a GPU
    size_t compiled, cached;
    double milliseconds; // passes excluded: lowering, code generation, loading
} FblBuilt;

// Graph-level passes, in place. `module` is fresh from the front end, or what --start-from names.
FblStatus fbl_driver_optimize(FblDriver *driver, FblModule *module);

// Whether the batch can be divided among the GPUs of --gpus; E0665 otherwise. (An epoch's smaller last batch need not be.)
FblStatus fbl_driver_check_batch(FblDriver *driver, const FblModule *module);

// Lowers an optimized module and gets every kernel's code, from the cache or by compiling on the pool.
FblStatus fbl_driver_compile(FblDriver *driver, FblModule *module, const FblLowerOptions *what, FblBuilt *out_built);
// The same for a plan that is there already (from an .fblx file).
FblStatus fbl_driver_compile_plan(FblDriver *driver, FblPlan *plan, FblBuilt *out_built);
// Loads built->codes into executable memory (a GPU's are loaded by its executor).
FblStatus fbl_driver_load(FblDriver *driver, FblBuilt *built);
void fbl_built_deinit(FblBuilt *built);

// What code is generated for: keys caches and compiled files.
const char *fbl_driver_identity(const FblDriver *driver);

// Opens the GPU when it is the target and not open yet.
FblStatus fbl_driver_device(FblDriver *driver);

// The kernels around a train step on a GPU, from the cache or compiled; nothing (object NULL) for the CPU.
FblStatus fbl_driver_session(FblDriver *driver, FblKernelCode *out_code);

// Memory for the state of a plan, where the target has it. Opens the GPU when it is the target.
FblStatus fbl_driver_store(FblDriver *driver, const FblBuilt *built, FblStore **out_store);

// An executor over `store` for a loaded plan.
FblStatus fbl_driver_exec(FblDriver *driver, const FblBuilt *built, FblStore *store, FblExec **out_exec);

// Default lowering options for this driver's target.
FblLowerOptions fbl_driver_lower_options(FblDriver *driver);

#endif

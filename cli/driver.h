// The pipeline from a module to running code, shared by the verbs: passes, lowering, kernels from the cache or compiled on
// all threads, loading, executors.
//
// Ownership: stated per function. Threads: as the context.
#ifndef FBL_CLI_DRIVER_H
#define FBL_CLI_DRIVER_H

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
    FblCache *cache;
    FblPool *pool;
    int threads;
    FblHash *compiled; // keys of the kernels that this driver has compiled: finding them again is no hit of the cache
    size_t compiled_count, compiled_capacity;
} FblDriver;

// threads 0: all cores. More threads than cores warns. The target is created on first use only by functions that need it.
FblStatus fbl_driver_init(FblDriver *driver, FblContext *ctx, const FblPassOptions *passes, int threads);
void fbl_driver_deinit(FblDriver *driver);

// Machine code of one plan.
typedef struct FblBuilt {
    FblPlan *plan;        // in the context
    FblKernelCode *codes; // per kernel, owned
    FblCpuModule *code;   // loaded, owned; NULL until fbl_driver_load
    size_t compiled, cached;
    double milliseconds; // passes excluded: lowering, code generation, loading
} FblBuilt;

// Graph-level passes, in place. `module` is fresh from the front end, or what --start-from names.
FblStatus fbl_driver_optimize(FblDriver *driver, FblModule *module);

// Lowers an optimized module and gets every kernel's code, from the cache or by compiling on the pool.
FblStatus fbl_driver_compile(FblDriver *driver, FblModule *module, const FblLowerOptions *what, FblBuilt *out_built);
// The same for a plan that is there already (from an .fblx file).
FblStatus fbl_driver_compile_plan(FblDriver *driver, FblPlan *plan, FblBuilt *out_built);
// Loads built->codes into executable memory.
FblStatus fbl_driver_load(FblDriver *driver, FblBuilt *built);
void fbl_built_deinit(FblBuilt *built);

// An executor over `store` for a loaded plan.
FblStatus fbl_driver_exec(FblDriver *driver, const FblBuilt *built, FblStore *store, FblExec **out_exec);

// Default lowering options for this driver's target.
FblLowerOptions fbl_driver_lower_options(FblDriver *driver);

#endif

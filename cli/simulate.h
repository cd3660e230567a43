// Train steps on given tensors, by compiled code or by the interpreter: the core of the verbs step, loss and bench.
//
// Ownership: a simulation owns its tensors. Threads: as the context.
#ifndef FBL_CLI_SIMULATE_H
#define FBL_CLI_SIMULATE_H

#include "cli/driver.h"
#include "cli/tensor_io.h"
#include "runtime/epoch.h"

typedef struct FblSimulation {
    FblContext *ctx;
    FblModule *module;     // optimized
    FblEpochInputs epoch;
    FblBindings batch;     // train inputs given by the caller: image, label, loss inputs
    uint64_t seed;
    // interpreter
    FblBindings state;     // parameters, states, "slot.K.PARAM"
    FblBindings results;   // of the last step: outputs, "grad.NAME"
    // compiled code (driver != NULL)
    FblDriver *driver;
    FblBuilt built;
    FblStore *store;
    FblExec *exec;
} FblSimulation;

// `driver` NULL: the interpreter. The module must be optimized. Initial values come from the seed until
// fbl_simulation_weights replaces them. The caller fills sim->batch and sim->epoch.class_count before stepping.
FblStatus fbl_simulation_init(FblSimulation *sim, FblContext *ctx, FblDriver *driver, FblModule *module, uint64_t seed);
void fbl_simulation_deinit(FblSimulation *sim);

// Sets parameters and states from a file; every one must be there when `strict`.
FblStatus fbl_simulation_weights(FblSimulation *sim, const FblTensorFile *file, const char *path, bool strict);

// Runs the epoch graph and fills the inputs for it; to be called once before stepping and when the epoch changes.
FblStatus fbl_simulation_begin(FblSimulation *sim);
// Forward and backward of step `step`; *out_loss. States are updated, parameters are not: fbl_simulation_update does that.
FblStatus fbl_simulation_step(FblSimulation *sim, int64_t step, double *out_loss);
// The optimizer with the gradients of the last step; nothing when the module has none.
FblStatus fbl_simulation_update(FblSimulation *sim, int64_t step);

// Adds the results of the last step: OUTPUT roots (but the loss), gradients as "grad.NAME".
void fbl_simulation_dump_results(FblSimulation *sim, FblDump *dump);
// Adds parameters and states.
void fbl_simulation_dump_state(FblSimulation *sim, FblDump *dump);

#endif

// The epoch graph: what is computed once an epoch, in double precision, by the interpreter.
//
// Ownership: the caller frees the bindings. Threads: as the context.
#ifndef FBL_RUNTIME_EPOCH_H
#define FBL_RUNTIME_EPOCH_H

#include "ir/interp.h"

typedef struct FblEpochInputs {
    int64_t epoch, epochs, steps; // epoch counts from 0; steps in an epoch
    const double *class_count;    // training images per class, or NULL when unknown
    int64_t classes;
} FblEpochInputs;

// Runs module->epoch: "rate" and "hoist.N" are added to *outputs (an empty epoch graph adds nothing). A class count that
// the program needs and nobody gave is a diagnostic E0720.
FblStatus fbl_epoch_values(const FblModule *module, const FblEpochInputs *inputs, FblBindings *outputs);

// A scalar that trainers and recipes offer to any graph: epoch, epochs, steps and the hyper-parameters. False when `name`
// is none of them.
bool fbl_epoch_scalar(const FblModule *module, const FblEpochInputs *inputs, FblName name, double *out_value);

#endif

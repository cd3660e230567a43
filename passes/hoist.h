// Moves what stays the same during an epoch out of the train graph.
//
// Ownership: graphs live in the context's arena. Threads: as the context.
#ifndef FBL_PASSES_HOIST_H
#define FBL_PASSES_HOIST_H

#include "ir/module.h"

// Every node of module->train that depends only on class counts, the epoch, hyper-parameters and constants is computed
// by module->epoch (created if need be), in double precision, once an epoch. The last such nodes before the rest of the
// step become OUTPUT "hoist.N" of epoch and INPUT "hoist.N" of train, numbered in the order of their ids. Constants,
// plain inputs and broadcasts stay in train: they cost nothing there. To be run after differentiation.
FblStatus fbl_pass_hoist(FblModule *module);

#endif

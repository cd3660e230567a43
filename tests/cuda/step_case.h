// Values for every leaf of a train step, from numbers that are the same each time: a step to be run several ways and compared.
// Ownership and threads: as those of what is passed; a failure ends the process.
#ifndef FBL_TESTS_CUDA_STEP_CASE_H
#define FBL_TESTS_CUDA_STEP_CASE_H

#include "ir/interp.h"
#include "ir/plan.h"

// A value for every leaf of the train graph, exact in f32; leaves that have one keep it.
void step_case_fill(FblModule *module, FblBindings *leaves);
// Copies a leaf to where the plan has it in `regions`; nothing when the graph has no such leaf.
void step_case_place(uint8_t *const regions[FBL_REGION_COUNT], const FblPlanTensor *tensor, FblBindings *leaves);

#endif

// Graphs of one op each, for every op of ir/ops.def over odd, unit and large extents: what a backend is tested with.
//
// Ownership: everything lives in the context; values are made by op_case_inputs. Threads: as the context.
#ifndef FBL_TESTS_OPS_OP_CASES_H
#define FBL_TESTS_OPS_OP_CASES_H

#include "ir/interp.h"

// How near compiled f32 must come to the interpreter's doubles.
typedef enum OpBound {
    OP_EXACT,   // integers, bools, moved elements, maxima: equal as f32
    OP_ROUNDED, // a few roundings of one element: 4e-6 of its size (the worst function has 4 ulps; ulps are tested one by
                // one in tests/codegen), plus 1e-6 where operands of size 1 may cancel
    OP_SUMMED   // a sum of n products in any order: 1e-6 of the sum of the absolute values, which is 8 units of f32, with
                // blocks of at most some hundreds summed in a row; the sum of the absolute values is the graph's own value
                // on absolute operands
} OpBound;

typedef struct OpCase {
    const char *name;
    FblGraph *graph; // all leaves INPUT, one root "y"
    OpBound bound;
} OpCase;

typedef struct OpCases {
    OpCase *items;
    size_t count, capacity;
} OpCases;

// All cases of `op`; none for leaves that a runtime provides (input, param, state), which every case has.
void op_cases_of(FblContext *ctx, FblOp op, OpCases *out_cases);

// A value for every leaf of `graph`: f32 exactly, integers within their axis, drawn from `seed`. `absolute`: without their
// signs, but for the leaf "signed", whose values decide which elements are summed.
void op_case_inputs(const FblGraph *graph, uint64_t seed, bool absolute, FblBindings *out_leaves);

#endif

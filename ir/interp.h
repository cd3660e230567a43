// The reference interpreter: every op in double precision, one node at a time, written for obviousness. The truth that
// every fast path is tested against; also runs the epoch graph.
//
// Ownership: an FblTensorMap owns its tensors (malloc). Threads: one per call.
#ifndef FBL_IR_INTERP_H
#define FBL_IR_INTERP_H

#include "ir/module.h"

// A dense tensor of doubles, row-major in the axis order of its type. Integers and bools are exact in a double.
typedef struct FblTensor {
    FblType type;
    double *data;
} FblTensor;

FblStatus fbl_tensor_create(const FblType *type, FblTensor *out_tensor); // zeros; FBL_NOMEM when too large
void fbl_tensor_free(FblTensor *tensor);

// Values for leaves (by symbol), and results of roots (by name).
typedef struct FblBinding {
    FblName name;
    FblTensor tensor;
} FblBinding;

typedef struct FblBindings {
    FblBinding *items; // malloc'ed; freed by fbl_bindings_free with the tensors
    size_t count, capacity;
} FblBindings;

FblTensor *fbl_bindings_find(FblBindings *bindings, FblName name);
// Adds (or replaces) `name`; takes over the tensor.
FblStatus fbl_bindings_set(FblBindings *bindings, FblName name, FblTensor tensor);
void fbl_bindings_free(FblBindings *bindings);

typedef struct FblInterpOptions {
    uint64_t seed; // for UNIFORM and BETA
    uint64_t step;
    bool round_f32;    // round every f32 result to float (to study rounding); default double throughout
    bool check_finite; // stop with a diagnostic at the first non-finite f32 value, at its node's place
} FblInterpOptions;

// Evaluates all roots of `graph`. `leaves` holds every INPUT, PARAM and STATE by symbol (a missing one is a diagnostic,
// axes are matched by name so a leaf tensor may have another axis order). Results are added to *outputs: OUTPUT and
// UPDATE roots by name, GRAD roots as "grad.NAME".
FblStatus fbl_interp_run(const FblGraph *graph, FblBindings *leaves, const FblInterpOptions *options,
                         FblBindings *outputs);

// The same for `count` shards of a batch side by side (passes/shard.h): leaves[s] and outputs[s] are those of shard s.
FblStatus fbl_interp_shards(const FblGraph *graph, int count, FblBindings *leaves, const FblInterpOptions *options, FblBindings *outputs);

// The scalar functions shared with constant folding: op over doubles (pointwise ops only; `dtype` is the result's).
double fbl_interp_scalar(FblOp op, FblDtype dtype, FblDtype input_dtype, const double *args);

#endif

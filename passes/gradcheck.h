// Derivatives against central differences, both in the double-precision interpreter.
//
// Ownership: results are in the context's arena. Threads: as the context.
#ifndef FBL_PASSES_GRADCHECK_H
#define FBL_PASSES_GRADCHECK_H

#include "ir/interp.h"

typedef struct FblGradCheckOptions {
    uint64_t seed;    // of values made up for leaves, of the choice of entries, and of the program's own random numbers
    int64_t samples;  // entries checked per leaf; all when it has no more than that
    double threshold; // largest relative error that passes
    double step;      // first step of the differences, times max(1, |x|)
} FblGradCheckOptions;

// 1e-6 with steps of 1e-3: the differences are extrapolated to fourth order, so their own error is about 1e-12.
#define FBL_GRADCHECK_DEFAULT ((FblGradCheckOptions){.seed = 1, .samples = 16, .threshold = 1e-6, .step = 1e-3})

typedef struct FblGradCheckResult {
    FblName name;              // of the parameter or input
    int64_t checked;           // entries compared
    int64_t kinks;             // entries passed over because the loss has a corner there
    double max_relative_error; // |analytic - numeric| / max(both, 1e-3 of the leaf's largest, 1e-4 of the loss)
    int64_t worst;             // row-major index of the worst entry, with
    double analytic, numeric;  // its two derivatives
    bool ok;
} FblGradCheckResult;

// Checks every GRAD root of module->train, which has been differentiated and perhaps simplified, against differences of
// the OUTPUT "loss" of `forward`: the train graph as it was before the passes, whose stop_gradient nodes say what the
// differences must hold fixed. NULL: module->train itself, right when nothing is behind a stop_gradient. Leaves that
// `leaves` (may be NULL) lacks get made-up values: see fbl_gradcheck_fill. FBL_OK whether or not the derivatives agree:
// look at the results.
FblStatus fbl_gradcheck(const FblModule *module, const FblGraph *forward, const FblBindings *leaves,
                        const FblGradCheckOptions *options, FblGradCheckResult **out_results, size_t *out_count);

// Values for every leaf of `graph` that *bindings lacks: labels at random; class counts falling from 5000 to 50; the
// trainer's scalars in mid-training; hyper-parameters their own; parameters and states their initial values (parameters
// that start constant are jittered, so that symmetric points don't hide mistakes); other floats normal.
FblStatus fbl_gradcheck_fill(const FblModule *module, const FblGraph *graph, uint64_t seed, FblBindings *bindings);

#endif

// The phases around a library's call: each array that the library reads is filled by a LOOPS kernel of its own, made from the
// contraction's body (ir/library_array.h), and so is what follows the result.
#include <string.h>

#include "codegen/cuda/emit.h"

// One phase, called NAME_SUFFIX.
static FblStatus emit_phase(FblCudaEmit *e, const FblKernel *kernel, const char *suffix, const char *what) {
    FblCudaSource *own = e->source, one;
    memset(&one, 0, sizeof one);
    FblCudaEmit inner = *e;
    inner.kernel = kernel;
    inner.source = &one;
    inner.name = fbl_arena_printf(e->arena, "%s_%s", e->name, suffix);
    fbl_cuda_line(&inner, 0, "// %s", what);
    FBL_TRY(fbl_cuda_emit_loops(&inner));
    e->text = inner.text;
    own->around[own->before + own->after] = one.phase[0];
    return FBL_OK;
}

FblStatus fbl_cuda_emit_around(FblCudaEmit *e) {
    FblLibraryWork work;
    if (e->options->library == FBL_LIBRARY_NONE || !fbl_library_work(e->kernel, e->options->library, fbl_cuda_factors(e->options->precision), &work)) {
        return FBL_OK;
    }
    for (int t = 0; t < 2; t++) {
        if (work.arrays[t].elements) {
            FblKernel *pack = fbl_array_pack(e->arena, e->kernel, t, work.arrays[t].dtype);
            FBL_TRY(emit_phase(e, pack, t ? "operand_1" : "operand_0", "an operand for the library"));
            e->source->before++;
        }
    }
    if (work.arrays[FBL_ARRAY_RESULT].elements) {
        FblKernel *finish = fbl_array_finish(e->arena, e->kernel, work.arrays[FBL_ARRAY_RESULT].dtype);
        FBL_TRY(emit_phase(e, finish, "result", "what follows the library's result"));
        e->source->after++;
    }
    return FBL_OK;
}

#include "ir/library_work.h"

#include <string.h>

// Arrays in the order of their numbers. Their elements are at most FBL_ARRAY_MAX_ELEMENTS, so that sums fit.
static bool place_array(const FblKernel *kernel, int array, FblDtype dtype, FblLibraryWork *work) {
    int64_t strides[4];
    FblLibraryArray *to = &work->arrays[array];
    *to = (FblLibraryArray){dtype, fbl_array_strides(kernel, array, strides), work->bytes};
    work->bytes += (to->elements * fbl_dtype_bytes(dtype) + 255) / 256 * 256;
    return to->elements > 0;
}

bool fbl_library_work(const FblKernel *kernel, FblLibraryKind kind, FblDtype factors, FblLibraryWork *out) {
    memset(out, 0, sizeof *out);
    out->kind = kind;
    const FblProduct *x = &out->product;
    if (kind != FBL_LIBRARY_CUBLASLT || !fbl_kernel_product(kernel, kernel->kind == FBL_KERNEL_CONTRACTION ? factors : FBL_F32, &out->product)) {
        return false;
    }
    for (int t = 0; t < 2; t++) {
        int32_t buffer = kernel->buffer_count + t;
        if (x->p.buffer != buffer && x->q.buffer != buffer) {
            continue;
        }
        bool weights = t == 1 && (kernel->contraction.kind == FBL_CONV_FORWARD || kernel->contraction.kind == FBL_CONV_DATA_GRAD);
        out->images_too = out->images_too || !weights;
        if (!place_array(kernel, t, factors, out)) {
            return false;
        }
    }
    return true;
}

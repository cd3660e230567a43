#include "ir/library_work.h"

#include <string.h>

// Elements of an array are at most FBL_ARRAY_MAX_ELEMENTS, so that sums fit.
static bool place_array(const FblKernel *kernel, int array, FblDtype dtype, FblLibraryWork *work) {
    int64_t strides[4];
    FblLibraryArray *to = &work->arrays[array];
    *to = (FblLibraryArray){dtype, fbl_array_strides(kernel, array, strides), work->bytes};
    work->bytes += (to->elements * fbl_dtype_bytes(dtype) + 255) / 256 * 256;
    return to->elements > 0;
}

// The arrays among the buffers of the library's matrices or tensors, in the order of their numbers.
static bool place_arrays(const FblKernel *kernel, const int32_t buffers[3], FblLibraryWork *work) {
    FblContractionKind kind = kernel->contraction.kind;
    bool weights[FBL_ARRAY_COUNT] = {false, kind == FBL_CONV_FORWARD || kind == FBL_CONV_DATA_GRAD, kind == FBL_CONV_WEIGHT_GRAD};
    for (int array = 0; array < FBL_ARRAY_COUNT; array++) {
        int32_t buffer = kernel->buffer_count + array;
        if (buffers[0] != buffer && buffers[1] != buffer && buffers[2] != buffer) {
            continue;
        }
        work->images_too = work->images_too || !weights[array];
        if (!place_array(kernel, array, array == FBL_ARRAY_RESULT ? FBL_F32 : work->factors, work)) {
            return false;
        }
    }
    return true;
}

bool fbl_library_work(const FblKernel *kernel, FblLibraryKind kind, FblDtype factors, FblLibraryWork *out) {
    memset(out, 0, sizeof *out);
    out->kind = kind;
    if (kind == FBL_LIBRARY_CUBLASLT) {
        const FblProduct *x = &out->product;
        if (!fbl_kernel_product(kernel, kernel->kind == FBL_KERNEL_CONTRACTION ? factors : FBL_F32, &out->product)) {
            return false;
        }
        out->factors = x->p.dtype;
        out->sum = x->k;
        return place_arrays(kernel, (int32_t[3]){x->p.buffer, x->q.buffer, -1}, out);
    }
    const FblConvolution *x = &out->convolution;
    if (kind != FBL_LIBRARY_CUDNN || !fbl_kernel_convolution(kernel, factors, &out->convolution)) {
        return false;
    }
    out->factors = factors;
    out->sum = x->sum;
    return place_arrays(kernel, (int32_t[3]){x->x.buffer, x->weight.buffer, x->y.buffer}, out);
}

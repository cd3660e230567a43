// What a library can do of a kernel: a matrix product (ir/product.h) by cuBLASLt, a convolution (ir/convolution.h) by cuDNN. With the arrays that are filled from the kernel's buffers
// before the call (ir/library_array.h), and where they lie in the call's workspace: the code generator, the runtime and the driver
// all ask here, so that they agree.
//
// Ownership: plain values. Threads: no state.
#ifndef FBL_IR_LIBRARY_WORK_H
#define FBL_IR_LIBRARY_WORK_H

#include "ir/convolution.h"
#include "ir/product.h"

typedef enum FblLibraryKind { FBL_LIBRARY_NONE, FBL_LIBRARY_CUBLASLT, FBL_LIBRARY_CUDNN, FBL_LIBRARY_COUNT } FblLibraryKind;

typedef struct FblLibraryArray {
    FblDtype dtype;
    int64_t elements; // 0: there is no such array
    int64_t at;       // bytes into the workspace, a multiple of 256
} FblLibraryArray;

typedef struct FblLibraryWork {
    FblLibraryKind kind;
    FblProduct product;         // what cuBLASLt does
    FblConvolution convolution; // what cuDNN does
    FblDtype factors;           // that the library multiplies
    int64_t sum;                // products that it adds for a result
    FblLibraryArray arrays[FBL_ARRAY_COUNT];
    int64_t bytes;   // of the workspace that the arrays take: the library's own begins there
    bool images_too; // an array is more than the weights: filling it costs a good part of the kernel's traffic
} FblLibraryWork;

// Whether library `kind` can do the kernel. `factors`: in what contractions multiply (F32, BF16, F16); a LOOPS kernel always multiplies in f32.
bool fbl_library_work(const FblKernel *kernel, FblLibraryKind kind, FblDtype factors, FblLibraryWork *out_work);

#endif

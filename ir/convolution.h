// A convolution, or one of its gradients, as a library does it: from plain tensors to a plain tensor. Every direct convolution kernel is one, with
// arrays (ir/library_array.h) for what is not plain:
//   - operands: loads of a dense buffer, images [n, h, w, c] and weights [o, kh, kw, c], are read as they lie; all else is an array;
//   - the result, where the epilogue does nothing but store it so, is the kernel's buffer; else an array in f32, from which the epilogue goes on.
// Ownership: plain values. Threads: no state.
#ifndef FBL_IR_CONVOLUTION_H
#define FBL_IR_CONVOLUTION_H

#include "ir/library_array.h"

typedef struct FblConvolutionTensor {
    int32_t buffer; // of the kernel; its buffer_count + a: array a
    FblDtype dtype;
    int64_t extents[4]; // n, c, h, w; of weights o, c of a group, kh, kw
} FblConvolutionTensor;

typedef struct FblConvolution {
    FblContraction shape; // kind, stride, padding, dilation, groups
    FblConvolutionTensor x, weight, y; // the contraction's, whichever of them is the result
    FblDtype factors;                  // of both operands; the result has it too, or is f32
    int64_t sum;                       // products a result
} FblConvolution;

// Whether the kernel is a direct convolution whose tensors fit arrays. `factors`: in what it multiplies (F32, BF16, F16).
bool fbl_kernel_convolution(const FblKernel *kernel, FblDtype factors, FblConvolution *out_convolution);

#endif

// Which kernels are plain matrix products, as a library of linear algebra does them:
//   D[b, j, i] = alpha * sum over k of P[b, k, i] * Q[b, j, k] + beta * C[b, j, i] + bias[i]
// Found by what a kernel computes, whatever its form: a matmul, a 1x1 convolution or one of its gradients (CONTRACTION), or
// a sum of products of two loads with what is added to it (LOOPS). Every index must be affine in the loops, and the loops of
// i, j and k must each run through memory with one stride. P and Q have one element type, f32 or a half; D has it too, or is f32.
// An operand of a contraction that is no such load (a prologue, a weight in f32 beside an image in halves) can be an array that is
// made before (ir/library_array.h).
// Ownership: plain values. Threads: no state.
#ifndef FBL_IR_PRODUCT_H
#define FBL_IR_PRODUCT_H

#include "ir/kernel.h"

// A matrix of the product in a buffer of the kernel. One of the two strides is 1, the other is `ld`. All in elements.
typedef struct FblProductMatrix {
    int32_t buffer; // -1: there is none (C, bias); the kernel's buffer_count + t: the array of operand t
    FblDtype dtype;
    int64_t offset;
    bool transposed;  // the stride 1 is along its second index (P: k instead of i; Q: j instead of k); C and D: never
    int64_t ld;       // the other stride, at least the extent along the stride 1
    int64_t batch_stride;
} FblProductMatrix;

typedef struct FblProduct {
    int64_t batch, i, j, k; // i, j, k: at least 2
    FblProductMatrix p, q, c, d;
    int32_t bias; // buffer, or -1: i numbers of stride 1
    int64_t bias_offset;
    double alpha, beta; // beta 1 where there is a C, else 0
} FblProduct;

// Whether the kernel is such a product and nothing else. `factors`: in what a contraction multiplies, the element type of arrays
// (F32, BF16 or F16). With as few arrays as possible, of weights before those of images.
bool fbl_kernel_product(const FblKernel *kernel, FblDtype factors, FblProduct *out_product);

#endif

// One convolution or matrix product compiled, run and compared with sums in double: support of the tests of contractions.
#ifndef FBL_TESTS_CODEGEN_CONV_CASE_H
#define FBL_TESTS_CODEGEN_CONV_CASE_H

#include "kernel_build.h"

typedef struct Case {
    FblContractionKind kind;
    int64_t n, c, h, w, o, kh, kw, sh, sw, ph, pw, dh, dw, groups;
    int block; // 0: plain
    bool fused;
    FblConvAlgorithm algorithm;
    bool bf16; // the target rounds the factors to bf16, and so does the reference
} Case;

// [batch, m, k] times [batch, k, n]; bit 0 of `order`: the first lies transposed, bit 1: the second; fused: plus a bias.
typedef struct Matmul {
    int64_t batch, m, n, k;
    int order;
    bool fused, bf16;
    bool inverse; // of the elements of the first: a body that makes infinities of zeros
} Matmul;

// A logical [n, c, h, w] tensor with its copy in a kernel's memory, followed by 16 sentinels.
typedef struct Tensor {
    int64_t n, c, h, w;
    int block;
    float *data;
} Tensor;

Tensor tensor(int block, int64_t n, int64_t c, int64_t h, int64_t w, uint64_t *seed);
void check_sentinel(const Tensor *t);

// Runs the case in one part and in three, which must agree bit by bit, and fails the test where an element is off by more
// than its tolerance. `phases`: how many the kernel must have, 0: any.
void run_case(const FblCpuTarget *target, const Case *k, int phases);
// The same with images stored as `images`: f32, or a half.
void run_case_stored(const FblCpuTarget *target, const Case *k, int phases, FblDtype images);

void run_matmul(const FblCpuTarget *target, const Matmul *matmul);

// Rounds to eight significant bits, to nearest even (no denormals, no overflow).
double round_bf16(double x);

// The target with vectors of `bytes` (0: the widest), and how wide the host's are.
FblCpuTarget *open_target(FblContext *ctx, int32_t bytes);
int32_t widest(FblContext *ctx);

#endif

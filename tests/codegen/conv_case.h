// One convolution compiled, run and compared with sums in double: support of the tests of contractions.
#ifndef FBL_TESTS_CODEGEN_CONV_CASE_H
#define FBL_TESTS_CODEGEN_CONV_CASE_H

#include "kernel_build.h"

typedef struct Case {
    FblContractionKind kind;
    int64_t n, c, h, w, o, kh, kw, sh, sw, ph, pw, dh, dw, groups;
    int block; // 0: plain
    bool fused;
    FblConvAlgorithm algorithm;
} Case;

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

// The target with vectors of `bytes` (0: the widest), and how wide the host's are.
FblCpuTarget *open_target(FblContext *ctx, int32_t bytes);
int32_t widest(FblContext *ctx);

#endif

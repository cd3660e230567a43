// Builds kernels by hand and runs them: support of the code generation tests and benchmarks.
#ifndef FBL_TESTS_CODEGEN_KERNEL_BUILD_H
#define FBL_TESTS_CODEGEN_KERNEL_BUILD_H

#include "base/context.h"
#include "codegen/target.h"

typedef struct Build {
    FblKernel kernel;
    FblKInstr instrs[512];
    FblKernelBuffer buffers[16];
    FblKStage stages[8];
    int32_t stage_loops[8][8];
    FblKStore stores[32];
    FblKReduce reduces[16];
    int store_count, reduce_count;
} Build;

void build_init(Build *b, FblKernelKind kind, const char *name);
int32_t build_buffer(Build *b, FblDtype dtype, bool output, int rank, const int64_t *extents);
int32_t build_loop(Build *b, int64_t extent);
int32_t build_index(Build *b, int32_t loop);
int32_t build_real(Build *b, double value);
int32_t build_int(Build *b, int64_t value);
int32_t build_load(Build *b, int32_t buffer, const int32_t *index);
int32_t build_round(Build *b, FblDtype half, int32_t value);
int32_t build_op(Build *b, FblOp op, FblDtype dtype, int32_t x, int32_t y, int32_t z);
// Stages: begin names the inner loops; stores and reductions go to the open stage.
void build_stage(Build *b, int loop_count, const int32_t *loops);
void build_store(Build *b, int32_t buffer, int32_t value, int32_t guard, const int32_t *index);
int32_t build_reduce(Build *b, FblOp op, FblDtype dtype, int32_t value);
int32_t build_result(Build *b, int32_t result, FblDtype dtype);
void build_stage_end(Build *b);

// A tensor [n, c, h, w], plain (block 0), with channels blocked: [n, c/block, h, w, block], or last (block -1): [n, h, w, c].
int32_t build_image(Build *b, FblDtype dtype, bool output, int block, int64_t n, int64_t c, int64_t h, int64_t w);
// Its physical index for four logical index instructions.
void build_image_index(Build *b, int block, const int32_t logical[4], int32_t out[FBL_KERNEL_MAX_DIMS]);

// A convolution with images plain or blocked and weights plain. Buffers: the operands, the result; when fused also
// scale[c] and shift[c] (the first operand becomes relu(x * scale + shift)) and a residual (the result becomes
// relu(sum + residual)). Images are stored as `images`, all else as f32.
void build_conv_stored(Build *b, const FblContraction *c, int block, bool fused, FblDtype images);
void build_conv(Build *b, const FblContraction *c, int block, bool fused);

// A compiled and loaded kernel.
typedef struct Loaded {
    FblContext *ctx;
    FblKernel *kernel;
    FblKernelCode code;
    FblCpuModule *module;
} Loaded;
// Exits with a message when compilation fails.
void loaded_open(Loaded *loaded, const FblCpuTarget *target, FblKernel *kernel);
void loaded_close(Loaded *loaded);
// Runs all phases over `buffers`, each phase in `parts` calls.
void loaded_run(Loaded *loaded, void *const *buffers, int parts);

uint64_t random_bits(uint64_t *state);
float random_real(uint64_t *state); // in [-1, 1)

// Half precision by its definition, in double: the number that `bits` stand for; the nearest such number to `x`, the even one
// of two that are equally near.
double half_value(FblDtype half, uint16_t bits);
uint16_t half_nearest(FblDtype half, double x);

#endif

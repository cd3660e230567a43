// Level 2, kernels: fused groups of graph nodes, in the one form that every backend lowers.
//
// A kernel reads and writes buffers (dense, row-major over its physical dimensions, see FblLayout) and has one of three forms:
//   LOOPS        parallel outer loops around a sequence of stages; a stage is a nest of inner loops around a scalar body
//                that stores, or reduces into a scalar that later stages can read. Softmax with its loss and gradient is
//                one kernel: outer batch; stages max, sum of exponentials, result.
//   CONTRACTION  a convolution (forward, data gradient, weight gradient) or matmul whose operands and result are scalar
//                bodies: an operand body gives the operand's value at its own indices (a plain load, or a fused
//                prologue), the epilogue body takes the accumulated value (FBL_K_ACC) and stores. Stages behind it may
//                reduce over parts of the result's rows.
//   LIBRARY      an op done by a runtime function (sort, scan, beta), or between devices by the runtime (collectives).
// All values are SSA instructions in one array; loops are numbered and a body may use those that enclose it.
// Ownership: in the context's arena. Threads: as the context.
#ifndef FBL_IR_KERNEL_H
#define FBL_IR_KERNEL_H

#include "ir/graph.h"

#define FBL_KERNEL_MAX_LOOPS 16
#define FBL_KERNEL_MAX_DIMS 9

// How a tensor lies in memory: physical dimensions, outermost first. A dimension is a whole axis (block 0), or the outer
// part of a blocked axis (block 0, the axis appears again), or its inner part of `block` elements. A blocked axis's extent
// is a multiple of its block.
typedef struct FblLayoutDim {
    FblName axis;
    int32_t block;
    int64_t extent; // of this physical dimension
} FblLayoutDim;

typedef struct FblLayout {
    int32_t rank;
    FblLayoutDim dims[FBL_KERNEL_MAX_DIMS];
} FblLayout;

typedef enum FblKernelKind { FBL_KERNEL_LOOPS, FBL_KERNEL_CONTRACTION, FBL_KERNEL_LIBRARY } FblKernelKind;

// A buffer argument: element type and physical extents; strides are row-major. Two buffer arguments of a kernel never
// overlap, except that an output may be exactly an input (in-place) where `alias` names that input's index.
typedef struct FblKernelBuffer {
    // BOOL is stored as one byte 0 or 1. BF16 and F16 hold f32 values: a load widens, a store rounds to the nearest, ties to
    // even; infinities and NaN stay what they are. No buffer of a LIBRARY kernel has them.
    FblDtype dtype;
    int32_t rank;
    int64_t extents[FBL_KERNEL_MAX_DIMS];
    bool is_output;
    int32_t alias; // -1, or the buffer index, of elements of the same size, that may share memory element for element
} FblKernelBuffer;

typedef enum FblKInstrKind {
    FBL_K_CONST,   // value
    FBL_K_LOOP,    // index of loop `a` (i32)
    FBL_K_LOAD,    // buffer `a` at index[0..rank) (i32 instructions); when `guard` >= 0 and false: `otherwise` instead, no access
    FBL_K_OP,      // graph pointwise op over args; dtype is the result's, operands convert as in the graph
    FBL_K_RESULT,  // the finished reduction number `a` of an earlier stage
    FBL_K_ACC,     // the accumulated value (contractions: epilogue, stages over rows)
    FBL_K_UNIFORM, // uniform (0,1) of stream `a` at element args[0] (i32)
    FBL_K_ROUND    // args[0] (f32) as it would be read back from a buffer of type `a` (BF16 or F16)
} FblKInstrKind;

typedef struct FblKInstr {
    FblKInstrKind kind;
    FblDtype dtype; // of the value: F32, I32 or BOOL
    FblOp op;      // FBL_K_OP. i32 ADD SUB MUL DIV (floor) MOD MIN MAX and comparisons serve as index arithmetic
    int32_t a;
    double value;  // FBL_K_CONST
    int32_t args[3];
    int32_t index[FBL_KERNEL_MAX_DIMS];
    int32_t guard, otherwise; // FBL_K_LOAD; -1 when absent
} FblKInstr;

typedef struct FblKLoop {
    int64_t extent;
    const char *label; // for printing: "batch", "channel.8"
} FblKLoop;

typedef struct FblKStore {
    int32_t buffer;
    int32_t value;
    int32_t guard; // -1, or a bool instruction
    int32_t index[FBL_KERNEL_MAX_DIMS];
} FblKStore;

// reduction `result` (numbered over the whole kernel) of `value` over the stage's inner loops. ARGMAX keeps the row-major
// index over the inner loops (i32). Order of summation is fixed by the shapes alone.
typedef struct FblKReduce {
    FblOp op; // SUM REDUCE_MAX REDUCE_MIN ARGMAX
    FblDtype dtype;
    int32_t value;
    int32_t result;
} FblKReduce;

// Instructions [first, last) are evaluated for every combination of outer and this stage's inner loops.
typedef struct FblKStage {
    int32_t *loops; // inner loop numbers, outermost first; may be none (scalar code between reductions)
    int32_t loop_count;
    int32_t first, last;
    FblKStore *stores;
    int32_t store_count;
    FblKReduce *reduces;
    int32_t reduce_count;
} FblKStage;

typedef enum FblContractionKind { FBL_CONV_FORWARD, FBL_CONV_DATA_GRAD, FBL_CONV_WEIGHT_GRAD, FBL_MATMUL } FblContractionKind;

// How a convolution is computed. The Winograd forms cut the result into 2x2 or 4x4 tiles (of the weight gradient: the
// gradient that comes in), transform tiles of the operands, multiply those element by element and transform back: fewer
// multiplications for more rounding. They exist for 3x3 kernels of stride 1 without dilation or groups.
typedef enum FblConvAlgorithm { FBL_CONV_DIRECT, FBL_CONV_WINOGRAD2, FBL_CONV_WINOGRAD4 } FblConvAlgorithm;

// Extents of a contraction. Convolutions: x [n, c, h, w], weight [o, c/groups, kh, kw], y [n, o, oh, ow].
//   FORWARD      operands x, weight       result y
//   DATA_GRAD    operands g = dy, weight  result dx (extents of x)
//   WEIGHT_GRAD  operands x, g = dy       result dw (extents of the weight)
// MATMUL: a [batch, m, k], b [batch, k, n], result [batch, m, n]; uses n_batch, m, n_, k.
typedef struct FblContraction {
    FblContractionKind kind;
    FblConvAlgorithm algorithm;
    int64_t n, c, h, w, o, oh, ow, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
    int64_t n_batch, m, n_, k;
    int64_t chunks; // WEIGHT_GRAD: the images are summed in this many fixed groups, then the groups in order
} FblContraction;

// Whether the Winograd forms exist for this contraction.
bool fbl_contraction_has_winograd(const FblContraction *contraction);

// A body of a contraction: its loops are the LOGICAL indices of the operand or result in order (x: n c h w; weight:
// o c/groups kh kw; matmul a: batch m k; ...), all given as loop numbers; the body turns them into physical indices. For
// an operand `value` is its element; for the epilogue FBL_K_ACC is the accumulated element and stores say where it goes.
typedef struct FblKBody {
    int32_t loops[4];
    int32_t loop_count;
    int32_t first, last;
    int32_t value; // operands: the result instruction; epilogue: -1
    FblKStore *stores;
    int32_t store_count;
} FblKBody;

typedef struct FblKernel {
    FblKernelKind kind;
    const char *name; // after its ops plus a short hash: "conv2d_relu_1f3a"; an identifier
    FblKernelBuffer *buffers;
    int32_t buffer_count;
    FblKLoop loops[FBL_KERNEL_MAX_LOOPS];
    int32_t loop_count;
    FblKInstr *instrs;
    int32_t instr_count;
    // LOOPS: loops [0, outer_count) are parallel; work items are their combinations in row-major order, except that
    // when vector_loop is an outer loop it is done whole (in vectors) within an item and is not part of the item number.
    int32_t outer_count;
    int32_t vector_loop; // the loop to vectorise (its body has unit or zero stride along it nearly everywhere), or -1
    FblKStage *stages;
    int32_t stage_count;
    int32_t result_count; // reductions in all stages
    // CONTRACTION
    FblContraction contraction;
    FblKBody operands[2];
    FblKBody epilogue;
    // FORWARD, and DATA_GRAD of stride 1, may reduce what they compute. The result's pixels in the order of n, h, w are its rows; part_rows of
    // them that follow one another are a part (0: nothing is reduced; else a power of two from 8 to 64 that divides the number of rows). `stages` run in order
    // for each part and channel, behind the epilogue: a stage over row_loop for each row of the part, where it may use n, h and
    // w, FBL_K_ACC and row_loop, and sums f32; a stage over no loop once, and it stores. All may use part_loop and c. n, c, h, w are
    // the epilogue's loops; row_loop has part_rows iterations, part_loop one a part.
    int64_t part_rows;
    int32_t part_loop, row_loop;
    // LIBRARY: CUMSUM, ARGSORT over [outer, n, inner] (ints 0..2; 3 = descending), BETA (ints 0 = stream), ALL_REDUCE, ALL_GATHER
    // (ints 0 = elements of the input, 1 = devices; no code is generated); buffers in order inputs, output
    FblOp library_op;
    int64_t ints[8];
    // Estimates for explain and the header comment of generated code; not part of the identity.
    int64_t bytes, flops;
    const char *note; // "losses.fbl:12 mul, resnet_cifar.fbl:7 add": source lines; not part of the identity
} FblKernel;

// Whether the runtime does the kernel together with the other devices of a step.
bool fbl_kernel_is_collective(const FblKernel *kernel);

// The instructions that `instr` of `kernel` reads, some of which may be -1; returns their number.
int32_t fbl_kernel_operands(const FblKernel *kernel, const FblKInstr *instr, int32_t out[FBL_KERNEL_MAX_DIMS + 5]);

// A copy that shares nothing with `kernel` but interned names.
FblKernel *fbl_kernel_copy(FblArena *arena, const FblKernel *kernel);

// Canonical text; without `details` (name, note, estimates), which makes it the kernel's identity for caching and sharing.
const char *fbl_kernel_print(FblContext *ctx, const FblKernel *kernel, bool details);
FblStatus fbl_kernel_read(FblContext *ctx, uint32_t file, FblKernel **out_kernel);
// Checks ids, loop scopes, dtypes, index ranks, and by interval arithmetic that every unguarded index is inside its buffer
// where that can be told. A failure is FBL_INTERNAL with a diagnostic.
FblStatus fbl_kernel_verify(FblContext *ctx, const FblKernel *kernel);

// Number of work items of one launch: LOOPS as above; contractions FORWARD and DATA_GRAD: n; WEIGHT_GRAD: chunks (phase 1) -
// the CPU backend may define its own, see FblKernelCode.items in codegen/target.h, which is what the runtime uses.
int64_t fbl_kernel_items(const FblKernel *kernel);

// Division by images: how many consecutive, independent shares of equal work the kernel's parallel part has along its
// outermost loop (LOOPS: loop 0; convolutions: the batch); 0: none, or only one. And whether `buffer` is read and written
// only at the image at work, as its first dimension. Launches that meet only in such buffers may run image by image
// without waiting for each other (FblLaunch.chain).
int64_t fbl_kernel_images(const FblKernel *kernel);
bool fbl_kernel_by_image(const FblKernel *kernel, int32_t buffer);

#endif

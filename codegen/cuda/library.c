// LIBRARY kernels as device code: a running sum by warps, a sort by a bitonic network, one Beta number.
#include "codegen/cuda/emit.h"

#define SORT_SHARED 8192 // positions that fit the static shared memory of a block
#define SCAN_THREADS 128

// A warp a line: 32 elements at a time, in double, so that the error does not grow with the position.
static void emit_cumsum(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    long long n = kernel->ints[1], inner = kernel->ints[2], lines = kernel->ints[0] * inner;
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(lines, SCAN_THREADS / 32), 1, 1};
    fbl_cuda_begin_entry(e, 0, false, SCAN_THREADS, grid);
    fbl_cuda_line(e, 1, "const int line = blockIdx.x * %d + threadIdx.x / 32, lane = threadIdx.x %% 32;", SCAN_THREADS / 32);
    fbl_cuda_line(e, 1, "if (line >= %lld) {", lines);
    fbl_cuda_line(e, 2, "return;");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "const int first = line / %lld * %lld + line %% %lld;", inner, n * inner, inner);
    fbl_cuda_line(e, 1, "double carry = 0.0;");
    fbl_cuda_line(e, 1, "for (int base = 0; base < %lld; base += 32) {", n);
    fbl_cuda_line(e, 2, "const int k = base + lane;");
    fbl_cuda_line(e, 2, "double sum = k < %lld ? b0[first + k * %lld] : 0.0;", n, inner);
    fbl_cuda_line(e, 2, "for (int step = 1; step < 32; step *= 2) {");
    fbl_cuda_line(e, 3, "const double before = fbl_shuffle_up_double(sum, step);");
    fbl_cuda_line(e, 3, "sum = lane >= step ? before + sum : sum;");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "sum += carry;");
    fbl_cuda_line(e, 2, "if (k < %lld) {", n);
    fbl_cuda_line(e, 3, "b1[first + k * %lld] = (float)sum;", inner);
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "carry = fbl_shuffle_from_double(sum, 31);");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 0, "}");
}

// A block a line. Positions are sorted by (key, position), which makes the order total and the sort stable; a power of two
// of them, those past the end last. In shared memory, or in the workspace for long lines.
static void emit_argsort(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    long long n = kernel->ints[1], inner = kernel->ints[2], lines = kernel->ints[0] * inner;
    long long padded = fbl_cuda_pow2(n);
    bool real = kernel->buffers[0].dtype == FBL_F32, descending = kernel->ints[3] != 0, in_workspace = padded > SORT_SHARED;
    uint32_t threads = (uint32_t)fbl_cuda_min(1024, fbl_cuda_max(32, padded / 2));
    const uint32_t grid[3] = {(uint32_t)lines, 1, 1};
    e->source->workspace_bytes = in_workspace ? lines * padded * 4 : 0;
    fbl_cuda_begin_entry(e, 0, in_workspace, threads, grid);
    fbl_cuda_line(e, 1, "const int line = blockIdx.x;");
    fbl_cuda_line(e, 1, "const %s *keys = b0 + (line / %lld * %lld + line %% %lld);", real ? "float" : "int", inner, n * inner, inner);
    if (in_workspace) {
        fbl_cuda_line(e, 1, "int *order = (int *)workspace + (long long)line * %lld;", padded);
    } else {
        fbl_cuda_line(e, 1, "__shared__ int order[%lld];", padded);
    }
    fbl_cuda_line(e, 1, "for (int k = threadIdx.x; k < %lld; k += %u) {", padded, threads);
    fbl_cuda_line(e, 2, "order[k] = k;");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "__syncthreads();");
    fbl_cuda_line(e, 1, "for (int size = 2; size <= %lld; size *= 2) {", padded);
    fbl_cuda_line(e, 2, "for (int gap = size / 2; gap >= 1; gap /= 2) {");
    fbl_cuda_line(e, 3, "for (int k = threadIdx.x; k < %lld; k += %u) {", padded / 2, threads);
    fbl_cuda_line(e, 4, "const int low = k / gap * (2 * gap) + k %% gap, high = low + gap;");
    fbl_cuda_line(e, 4, "const int a = order[low], b = order[high];");
    fbl_cuda_line(e, 4, "bool swap; // b sorts before a");
    fbl_cuda_line(e, 4, "if (a >= %lld || b >= %lld) {", n, n);
    fbl_cuda_line(e, 5, "swap = b < a;");
    fbl_cuda_line(e, 4, "} else {");
    fbl_cuda_line(e, 5, "const %s x = keys[a * %lld], y = keys[b * %lld];", real ? "float" : "int", inner, inner);
    if (real) {
        fbl_cuda_line(e, 5, "const bool nan_x = x != x, nan_y = y != y;");
        fbl_cuda_line(e, 5, "swap = nan_x || nan_y ? (nan_x != nan_y ? nan_x : b < a) : x != y ? y %s x : b < a;", descending ? ">" : "<");
    } else {
        fbl_cuda_line(e, 5, "swap = x != y ? y %s x : b < a;", descending ? ">" : "<");
    }
    fbl_cuda_line(e, 4, "}");
    fbl_cuda_line(e, 4, "if (swap == ((low & size) == 0)) {");
    fbl_cuda_line(e, 5, "order[low] = b;");
    fbl_cuda_line(e, 5, "order[high] = a;");
    fbl_cuda_line(e, 4, "}");
    fbl_cuda_line(e, 3, "}");
    fbl_cuda_line(e, 3, "__syncthreads();");
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "int *out = b1 + (line / %lld * %lld + line %% %lld);", inner, n * inner, inner);
    fbl_cuda_line(e, 1, "for (int k = threadIdx.x; k < %lld; k += %u) {", n, threads);
    fbl_cuda_line(e, 2, "out[k * %lld] = order[k];", inner);
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 0, "}");
}

static void emit_beta(FblCudaEmit *e) {
    const uint32_t grid[3] = {1, 1, 1};
    fbl_cuda_begin_entry(e, 0, false, 32, grid);
    fbl_cuda_line(e, 1, "if (threadIdx.x == 0) {");
    fbl_cuda_line(e, 2, "b2[0] = (float)fbl_beta(scalars, %lluu, b0[0], b1[0]);", (unsigned long long)e->kernel->ints[0]);
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 0, "}");
}

FblStatus fbl_cuda_emit_library(FblCudaEmit *e) {
    switch (e->kernel->library_op) {
    case FBL_OP_CUMSUM: emit_cumsum(e); break;
    case FBL_OP_ARGSORT: emit_argsort(e); break;
    case FBL_OP_ALL_REDUCE:
    case FBL_OP_ALL_GATHER: fbl_cuda_line(e, 0, "// between %lld GPUs, by NCCL", (long long)e->kernel->ints[1]); break;
    default: emit_beta(e); break; // kernel verification admits no other op
    }
    return FBL_OK;
}

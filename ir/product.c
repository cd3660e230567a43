#include "ir/product.h"

#include <string.h>

#include "ir/affine.h"
#include "ir/library_array.h"

#define MAX_DIMS 8
#define DEEPEST 8 // nested operations in a stored value

// A tensor of the product: its strides along the dimensions that all of them share.
typedef struct Tensor {
    int32_t buffer;
    FblDtype dtype;
    int64_t offset, stride[MAX_DIMS];
} Tensor;

typedef struct Dims {
    int count;
    int64_t extent[MAX_DIMS];
} Dims;

// Loop numbers that stand for each shared dimension in a tensor's own body; -1: it does not run along it.
static bool take(Tensor *tensor, const FblKernel *kernel, int32_t buffer, const FblAffine *at, const Dims *dims, const int32_t *loops, const int64_t *scale) {
    *tensor = (Tensor){.buffer = buffer, .dtype = kernel->buffers[buffer].dtype, .offset = at->base};
    for (int d = 0; d < dims->count; d++) {
        if (loops[d] >= 0 && !fbl_mul_i64(at->step[loops[d]], scale ? scale[d] : 1, &tensor->stride[d])) {
            return false;
        }
    }
    return true;
}

// What is known of the product while the kernel is taken apart.
typedef struct Match {
    const FblKernel *kernel;
    Dims dims;
    Tensor factors[2], result, added, bias; // buffer -1: not there
    int32_t result_loops[MAX_DIMS];         // of the shared dimensions in the epilogue
    FblKInstrKind sum_kind;                 // FBL_K_ACC or FBL_K_RESULT: what stands for the sum
    double alpha;
    bool scaled;
    FblDtype array_dtype; // of operands that are arrays, whose numbers are bits of `arrays`
    int arrays;
} Match;

static bool add_dim(Match *m, int64_t extent) {
    if (m->dims.count == MAX_DIMS) {
        return false;
    }
    m->dims.extent[m->dims.count++] = extent;
    return true;
}

// The stored value: the sum, times constants, plus loads.
static bool match_value(Match *m, int32_t id, int depth) {
    const FblKernel *kernel = m->kernel;
    const FblKInstr *instr = &kernel->instrs[id];
    if (instr->kind == m->sum_kind) {
        return instr->dtype == FBL_F32 && (instr->kind != FBL_K_RESULT || instr->a == 0);
    }
    if (instr->kind != FBL_K_OP || instr->dtype != FBL_F32 || (instr->op != FBL_OP_MUL && instr->op != FBL_OP_ADD) || depth == DEEPEST) {
        return false;
    }
    for (int side = 0; side < 2; side++) {
        const FblKInstr *other = &kernel->instrs[instr->args[1 - side]];
        if (instr->op == FBL_OP_MUL && other->kind == FBL_K_CONST) {
            m->alpha *= other->value;
            m->scaled = true; // of the sum alone: what is added further in would be scaled too
            return match_value(m, instr->args[side], depth + 1);
        }
        int32_t buffer;
        FblAffine at;
        Tensor tensor;
        if (instr->op == FBL_OP_ADD && !m->scaled && fbl_affine_load(kernel, instr->args[1 - side], &buffer, &at) && take(&tensor, kernel, buffer, &at, &m->dims, m->result_loops, NULL)) {
            bool whole = true;
            for (int d = 0; d < m->dims.count; d++) {
                whole = whole && (m->dims.extent[d] == 1 || tensor.stride[d] == m->result.stride[d]);
            }
            Tensor *slot = whole ? &m->added : &m->bias;
            if (slot->buffer >= 0) {
                return false;
            }
            *slot = tensor;
            return match_value(m, instr->args[side], depth + 1);
        }
    }
    return false;
}

// A factor that is the array of operand `t`; `at`: positions of the shared dimensions in the operand's body, -1: it does not run along one.
static bool take_array(Match *m, int t, const int8_t *at, const int64_t *scale) {
    int64_t strides[4];
    Tensor *tensor = &m->factors[t];
    *tensor = (Tensor){.buffer = m->kernel->buffer_count + t, .dtype = m->array_dtype};
    if (fbl_array_strides(m->kernel, t, strides) == 0) {
        return false;
    }
    for (int d = 0; d < m->dims.count; d++) {
        if (at[d] >= 0 && !fbl_mul_i64(strides[at[d]], scale ? scale[d] : 1, &tensor->stride[d])) {
            return false;
        }
    }
    return true;
}

// Convolutions of 1x1 kernels and matmuls. Shared dimensions: n, h, w, o, c of convolutions; batch, m, n, k.
static bool match_contraction(Match *m) {
    const FblKernel *kernel = m->kernel;
    const FblContraction *c = &kernel->contraction;
    // Loop positions of each shared dimension in the operands and the result.
    static const int8_t matmul_at[3][4] = {{0, 1, -1, 2}, {0, -1, 2, 1}, {0, 1, 2, -1}};
    static const int8_t image_c[5] = {0, 2, 3, -1, 1}, image_o[5] = {0, 2, 3, 1, -1}, weight[5] = {-1, -1, -1, 0, 1};
    bool matmul = c->kind == FBL_MATMUL;
    bool plain = c->kh == 1 && c->kw == 1 && c->pad_h == 0 && c->pad_w == 0 && c->groups == 1;
    if (!matmul && (!plain || (c->kind == FBL_CONV_DATA_GRAD && (c->stride_h != 1 || c->stride_w != 1)) || c->algorithm != FBL_CONV_DIRECT)) {
        return false;
    }
    const int64_t conv_extents[5] = {c->n, c->oh, c->ow, c->o, c->c}, matmul_extents[4] = {c->n_batch, c->m, c->n_, c->k};
    int count = matmul ? 4 : 5;
    for (int d = 0; d < count; d++) {
        add_dim(m, matmul ? matmul_extents[d] : conv_extents[d]);
    }
    const int8_t *at[3];
    for (int t = 0; t < 3; t++) {
        at[t] = matmul ? matmul_at[t]
                : c->kind == FBL_CONV_FORWARD   ? (const int8_t *[]){image_c, weight, image_o}[t]
                : c->kind == FBL_CONV_DATA_GRAD ? (const int8_t *[]){image_o, weight, image_c}[t]
                                                : (const int8_t *[]){image_c, image_o, weight}[t];
    }
    const int64_t strided[5] = {1, c->stride_h, c->stride_w, 1, 1}; // of x along y's pixels
    for (int t = 0; t < 2; t++) {
        const FblKBody *body = &kernel->operands[t];
        int32_t loops[MAX_DIMS], buffer;
        FblAffine place_at;
        for (int d = 0; d < count; d++) {
            loops[d] = at[t][d] < 0 ? -1 : body->loops[at[t][d]];
        }
        const int64_t *scale = !matmul && at[t] == image_c ? strided : NULL;
        bool taken = m->arrays & 1 << t ? take_array(m, t, at[t], scale)
                                        : fbl_affine_load(kernel, body->value, &buffer, &place_at) && take(&m->factors[t], kernel, buffer, &place_at, &m->dims, loops, scale);
        if (!taken) {
            return false;
        }
    }
    for (int d = 0; d < count; d++) {
        m->result_loops[d] = at[2][d] < 0 ? -1 : kernel->epilogue.loops[at[2][d]];
    }
    const FblKStore *store = &kernel->epilogue.stores[0];
    FblAffine result;
    m->sum_kind = FBL_K_ACC;
    return kernel->epilogue.store_count == 1 && store->guard < 0 && fbl_affine_place(kernel, store->buffer, store->index, &result) &&
           take(&m->result, kernel, store->buffer, &result, &m->dims, m->result_loops, NULL) && match_value(m, store->value, 0);
}

// A stage that sums a product of two loads over its loops, and a stage of scalar code that stores.
static bool match_loops(Match *m) {
    const FblKernel *kernel = m->kernel;
    if (kernel->stage_count != 2) {
        return false;
    }
    const FblKStage *sum = &kernel->stages[0], *rest = &kernel->stages[1];
    if (sum->reduce_count != 1 || sum->store_count != 0 || sum->reduces[0].op != FBL_OP_SUM || sum->reduces[0].dtype != FBL_F32 || sum->reduces[0].result != 0 ||
        sum->loop_count == 0 || rest->loop_count != 0 || rest->reduce_count != 0 || rest->store_count != 1 || rest->stores[0].guard >= 0) {
        return false;
    }
    int32_t loops[MAX_DIMS];
    for (int32_t i = 0; i < kernel->outer_count + sum->loop_count; i++) {
        int32_t loop = i < kernel->outer_count ? i : sum->loops[i - kernel->outer_count];
        if (!add_dim(m, kernel->loops[loop].extent)) {
            return false;
        }
        loops[i] = loop;
        m->result_loops[i] = i < kernel->outer_count ? loop : -1;
    }
    const FblKInstr *product = &kernel->instrs[sum->reduces[0].value];
    if (product->kind != FBL_K_OP || product->op != FBL_OP_MUL || product->dtype != FBL_F32) {
        return false;
    }
    for (int t = 0; t < 2; t++) {
        int32_t buffer;
        FblAffine at;
        if (!fbl_affine_load(kernel, product->args[t], &buffer, &at) || !take(&m->factors[t], kernel, buffer, &at, &m->dims, loops, NULL)) {
            return false;
        }
    }
    const FblKStore *store = &rest->stores[0];
    FblAffine result;
    m->sum_kind = FBL_K_RESULT;
    return fbl_affine_place(kernel, store->buffer, store->index, &result) && take(&m->result, kernel, store->buffer, &result, &m->dims, m->result_loops, NULL) && match_value(m, store->value, 0);
}

// The shared dimensions of one index of the product, outermost first by their stride in `order`.
typedef struct Index {
    int dims[MAX_DIMS], count;
    int64_t extent;
} Index;

static void put(Index *index, const Dims *dims, const Tensor *order, int d) {
    int at = index->count++;
    for (; at > 0 && order->stride[index->dims[at - 1]] < order->stride[d]; at--) {
        index->dims[at] = index->dims[at - 1];
    }
    index->dims[at] = d;
    index->extent *= dims->extent[d];
}

// The one stride with which a tensor runs along an index; 0: there is none.
static int64_t stride_of(const Tensor *tensor, const Index *index, const Dims *dims) {
    for (int n = 0; n + 1 < index->count; n++) {
        int outer = index->dims[n], inner = index->dims[n + 1];
        int64_t span;
        if (!fbl_mul_i64(tensor->stride[inner], dims->extent[inner], &span) || tensor->stride[outer] != span) {
            return 0;
        }
    }
    return tensor->stride[index->dims[index->count - 1]];
}

// `first` and `second`: the strides along the matrix's two indices; the first is the one that should be 1.
static bool lay_out(FblProductMatrix *out, const Tensor *tensor, int64_t first, int64_t second, int64_t first_extent, int64_t second_extent, int64_t batch_stride) {
    *out = (FblProductMatrix){tensor->buffer, tensor->dtype, tensor->offset, first != 1, first == 1 ? second : first, batch_stride};
    return (first == 1 || second == 1) && out->ld >= (out->transposed ? second_extent : first_extent);
}

static bool finish(Match *m, FblProduct *out) {
    Index row = {.extent = 1}, column = {.extent = 1}, sum = {.extent = 1}, batch = {.extent = 1};
    const Tensor *a = &m->factors[0], *b = &m->factors[1], *d = &m->result;
    for (int n = 0; n < m->dims.count; n++) {
        bool in_a = a->stride[n] != 0, in_b = b->stride[n] != 0, in_d = d->stride[n] != 0;
        if (m->dims.extent[n] == 1) {
            continue;
        }
        if (in_a && in_b) {
            put(in_d ? &batch : &sum, &m->dims, in_d ? d : a, n);
        } else if (in_d && in_a != in_b) {
            put(in_a ? &row : &column, &m->dims, d, n);
        } else {
            return false;
        }
    }
    if (row.count == 0 || column.count == 0 || sum.count == 0) {
        return false;
    }
    // i is the index along which the result's neighbours lie.
    if (stride_of(d, &column, &m->dims) != 1) {
        Index other = row;
        row = column;
        column = other;
        a = &m->factors[1];
        b = &m->factors[0];
    }
    int64_t a_batch = batch.count ? stride_of(a, &batch, &m->dims) : 0, b_batch = batch.count ? stride_of(b, &batch, &m->dims) : 0,
            d_batch = batch.count ? stride_of(d, &batch, &m->dims) : 0;
    if (batch.count && (a_batch == 0 || b_batch == 0 || d_batch == 0)) {
        return false;
    }
    *out = (FblProduct){.batch = batch.extent, .i = column.extent, .j = row.extent, .k = sum.extent, .c = {.buffer = -1}, .bias = -1, .alpha = m->alpha};
    bool right = lay_out(&out->p, b, stride_of(b, &column, &m->dims), stride_of(b, &sum, &m->dims), out->i, out->k, b_batch) &&
                 lay_out(&out->q, a, stride_of(a, &sum, &m->dims), stride_of(a, &row, &m->dims), out->k, out->j, a_batch) &&
                 lay_out(&out->d, d, stride_of(d, &column, &m->dims), stride_of(d, &row, &m->dims), out->i, out->j, d_batch) && !out->d.transposed;
    if (right && m->added.buffer >= 0) {
        out->c = out->d;
        out->c.buffer = m->added.buffer;
        out->c.offset = m->added.offset;
        out->beta = 1;
    }
    if (right && m->bias.buffer >= 0) {
        for (int n = 0; n < m->dims.count; n++) { // along i alone
            bool along = false;
            for (int k = 0; k < column.count; k++) {
                along = along || column.dims[k] == n;
            }
            right = right && (along || m->bias.stride[n] == 0 || m->dims.extent[n] == 1);
        }
        right = right && stride_of(&m->bias, &column, &m->dims) == 1;
        out->bias = m->bias.buffer;
        out->bias_offset = m->bias.offset;
    }
    return right && (float)out->alpha == out->alpha;
}

// What one library does in one call: factors of one type, a result of that type or f32, what is added of the result's.
static bool types_fit(const Match *m, const FblProduct *x) {
    bool halves = fbl_dtype_is_half(x->p.dtype);
    return x->p.dtype == x->q.dtype && (x->d.dtype == FBL_F32 || (halves && x->d.dtype == x->p.dtype)) && (x->c.buffer < 0 || m->added.dtype == x->d.dtype) &&
           (x->bias < 0 || (m->bias.dtype == FBL_F32 && x->d.dtype == FBL_F32));
}

static bool match(const FblKernel *kernel, FblDtype factors, int arrays, FblProduct *out) {
    Match m = {.kernel = kernel, .added = {.buffer = -1}, .bias = {.buffer = -1}, .alpha = 1, .array_dtype = factors, .arrays = arrays};
    bool found = kernel->kind == FBL_KERNEL_CONTRACTION ? match_contraction(&m) : kernel->kind == FBL_KERNEL_LOOPS && arrays == 0 && match_loops(&m);
    return found && finish(&m, out) && types_fit(&m, out);
}

bool fbl_kernel_product(const FblKernel *kernel, FblDtype factors, FblProduct *out_product) {
    if (kernel->part_rows > 0) { // no library reduces its result
        return false;
    }
    bool weights_first = kernel->contraction.kind != FBL_CONV_WEIGHT_GRAD; // operand 1 is one
    return match(kernel, factors, 0, out_product) || match(kernel, factors, weights_first ? 2 : 1, out_product) || match(kernel, factors, weights_first ? 1 : 2, out_product) ||
           match(kernel, factors, 3, out_product);
}

#include "kernel_truth.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "ir/interp.h"

typedef struct Truth {
    const FblKernel *kernel;
    void *const *buffers;
    uint64_t seed, step;
    int64_t loops[FBL_KERNEL_MAX_LOOPS];
    double *values, *results; // of instructions, of reductions
    double accumulated;
    double **out;
} Truth;

static double *numbers(int64_t count) {
    double *made = calloc((size_t)count + 1, sizeof *made);
    if (!made) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return made;
}

double kernel_truth_nearest(double x, int bits, int least, double largest, bool away) {
    int exponent;
    if (!isfinite(x) || x == 0) {
        return x;
    }
    frexp(x, &exponent);
    int unit = exponent - bits > least ? exponent - bits : least;
    double steps = ldexp(x, -unit), rounded = ldexp(away ? round(steps) : nearbyint(steps), unit);
    return fabs(rounded) > largest ? copysign(INFINITY, x) : rounded;
}

double kernel_truth_factor(FblCudaPrecision precision, double x) {
    switch (precision) {
    case FBL_CUDA_TF32: return kernel_truth_nearest(x, 11, -136, FLT_MAX, true);
    case FBL_CUDA_BF16: return kernel_truth_nearest(x, 8, -133, FLT_MAX, false);
    case FBL_CUDA_F16: return kernel_truth_nearest(x, 11, -24, 65504, false);
    default: return x;
    }
}

// As it is read back from a buffer of the type.
static double stored(FblDtype dtype, double x) {
    switch (dtype) {
    case FBL_F32: return (double)(float)x;
    case FBL_BF16: return kernel_truth_factor(FBL_CUDA_BF16, (double)(float)x);
    case FBL_F16: return kernel_truth_factor(FBL_CUDA_F16, (double)(float)x);
    default: return x;
    }
}

double kernel_truth_element(FblDtype dtype, const void *memory, int64_t i) {
    const uint8_t *at = (const uint8_t *)memory + i * fbl_dtype_bytes(dtype);
    float f;
    int32_t n;
    uint16_t half;
    switch (dtype) {
    case FBL_F32: memcpy(&f, at, sizeof f); return (double)f;
    case FBL_I32: memcpy(&n, at, sizeof n); return n;
    case FBL_BOOL: return *at;
    default: break;
    }
    memcpy(&half, at, sizeof half);
    int places = dtype == FBL_F16 ? 10 : 7, bias = dtype == FBL_F16 ? 15 : 127;
    int exponent = half >> places & (2 * bias + 1), fraction = half & ((1 << places) - 1);
    double size = exponent == 2 * bias + 1 ? (fraction ? (double)NAN : (double)INFINITY)
                  : exponent == 0          ? ldexp(fraction, 1 - bias - places)
                                           : ldexp(fraction + (1 << places), exponent - bias - places);
    return half & 0x8000 ? -size : size;
}

static int64_t elements(const FblKernelBuffer *buffer) {
    int64_t count = 1;
    for (int32_t d = 0; d < buffer->rank; d++) {
        count *= buffer->extents[d];
    }
    return count;
}

static int64_t place(const Truth *t, const FblKernelBuffer *buffer, const int32_t *index) {
    int64_t at = 0;
    for (int32_t d = 0; d < buffer->rank; d++) {
        int64_t i = (int64_t)t->values[index[d]];
        if (i < 0 || i >= buffer->extents[d]) {
            fprintf(stderr, "%s: index %lld of dimension %d is outside\n", t->kernel->name, (long long)i, d);
            exit(1);
        }
        at = at * buffer->extents[d] + i;
    }
    return at;
}

static double instruction(Truth *t, const FblKInstr *instr) {
    double args[3] = {0};
    for (int i = 0; i < 3 && instr->kind == FBL_K_OP; i++) {
        args[i] = instr->args[i] >= 0 ? t->values[instr->args[i]] : 0;
    }
    switch (instr->kind) {
    case FBL_K_CONST: return instr->value;
    case FBL_K_LOOP: return (double)t->loops[instr->a];
    case FBL_K_LOAD: {
        const FblKernelBuffer *buffer = &t->kernel->buffers[instr->a];
        bool taken = instr->guard < 0 || t->values[instr->guard] != 0;
        return taken ? kernel_truth_element(buffer->dtype, t->buffers[instr->a], place(t, buffer, instr->index)) : t->values[instr->otherwise];
    }
    case FBL_K_OP: return fbl_interp_scalar(instr->op, instr->dtype, t->kernel->instrs[instr->args[0]].dtype, args);
    case FBL_K_RESULT: return t->results[instr->a];
    case FBL_K_ACC: return t->accumulated;
    case FBL_K_UNIFORM: return (double)fbl_uniform_f32(fbl_random_u32(t->seed, (uint32_t)instr->a, t->step, (uint64_t)t->values[instr->args[0]]));
    case FBL_K_ROUND: return stored((FblDtype)instr->a, t->values[instr->args[0]]);
    }
    return (double)NAN;
}

static void evaluate(Truth *t, int32_t first, int32_t last) {
    for (int32_t i = first; i < last; i++) {
        double x = instruction(t, &t->kernel->instrs[i]);
        t->values[i] = t->kernel->instrs[i].dtype == FBL_F32 ? (double)(float)x : x;
    }
}

static void store(Truth *t, const FblKStore *stores, int32_t count) {
    for (int32_t s = 0; s < count; s++) {
        const FblKernelBuffer *buffer = &t->kernel->buffers[stores[s].buffer];
        if (stores[s].guard < 0 || t->values[stores[s].guard] != 0) {
            t->out[stores[s].buffer][place(t, buffer, stores[s].index)] = stored(buffer->dtype, t->values[stores[s].value]);
        }
    }
}

// On to the next combination of loops, the last one first; false after the last combination.
static bool advance(Truth *t, const int32_t *loops, int32_t count) {
    for (int32_t i = count - 1; i >= 0; i--) {
        if (++t->loops[loops[i]] < t->kernel->loops[loops[i]].extent) {
            return true;
        }
        t->loops[loops[i]] = 0;
    }
    return false;
}

// Of the first value that wins: NaN, else the largest (ARGMAX, REDUCE_MAX) or smallest.
static bool wins(FblOp op, double x, double best) { return !isnan(best) && (isnan(x) || (op == FBL_OP_REDUCE_MIN ? x < best : x > best)); }

static void run_stage(Truth *t, const FblKStage *stage) {
    double best[32], sum[32];
    int64_t at[32] = {0}, number = 0;
    if (stage->reduce_count > 32) {
        exit(1);
    }
    do {
        evaluate(t, stage->first, stage->last);
        store(t, stage->stores, stage->store_count);
        for (int32_t r = 0; r < stage->reduce_count; r++) {
            double x = t->values[stage->reduces[r].value];
            sum[r] = number == 0 ? x : sum[r] + x;
            if (number == 0 || wins(stage->reduces[r].op, x, best[r])) {
                best[r] = x;
                at[r] = number;
            }
        }
        number++;
    } while (advance(t, stage->loops, stage->loop_count));
    for (int32_t r = 0; r < stage->reduce_count; r++) {
        const FblKReduce *reduce = &stage->reduces[r];
        double x = reduce->op == FBL_OP_SUM ? sum[r] : reduce->op == FBL_OP_ARGMAX ? (double)at[r] : best[r];
        t->results[reduce->result] = reduce->dtype == FBL_F32 ? (double)(float)x : x;
    }
}

static void run_loops(Truth *t) {
    int32_t outer[FBL_KERNEL_MAX_LOOPS];
    for (int32_t i = 0; i < t->kernel->outer_count; i++) {
        outer[i] = i;
    }
    do {
        for (int32_t s = 0; s < t->kernel->stage_count; s++) {
            run_stage(t, &t->kernel->stages[s]);
        }
    } while (advance(t, outer, t->kernel->outer_count));
}

static int64_t body_elements(const Truth *t, const FblKBody *body) {
    int64_t count = 1;
    for (int32_t i = 0; i < body->loop_count; i++) {
        count *= t->kernel->loops[body->loops[i]].extent;
    }
    return count;
}

// The elements of an operand in the order of its logical indices, as factors.
static double *factors(Truth *t, const FblKBody *body, FblCudaPrecision precision) {
    double *made = numbers(body_elements(t, body)), *to = made;
    do {
        evaluate(t, body->first, body->last);
        *to++ = kernel_truth_factor(precision, t->values[body->value]);
    } while (advance(t, body->loops, body->loop_count));
    return made;
}

// The three arrays of a convolution by their part in y = x * w; one of them is the result.
static void convolve(const FblContraction *c, double *x, double *w, double *y) {
    int64_t cg = c->c / c->groups, og = c->o / c->groups;
    for (int64_t i = 0; i < c->n * c->o * cg * c->kh * c->kw; i++) {
        int64_t n = i / (c->o * cg * c->kh * c->kw), o = i / (cg * c->kh * c->kw) % c->o, g = i / (c->kh * c->kw) % cg, u = i / c->kw % c->kh, v = i % c->kw;
        double *weight = &w[i % (c->o * cg * c->kh * c->kw)], *image = x + (n * c->c + o / og * cg + g) * c->h * c->w, *result = y + (n * c->o + o) * c->oh * c->ow;
        for (int64_t p = 0; p < c->oh; p++) {
            int64_t h = p * c->stride_h - c->pad_h + u * c->dilation_h;
            for (int64_t q = 0; q < c->ow && h >= 0 && h < c->h; q++) {
                int64_t k = q * c->stride_w - c->pad_w + v * c->dilation_w;
                if (k < 0 || k >= c->w) {
                    continue;
                }
                if (c->kind == FBL_CONV_FORWARD) {
                    result[p * c->ow + q] += image[h * c->w + k] * *weight;
                } else if (c->kind == FBL_CONV_DATA_GRAD) {
                    image[h * c->w + k] += result[p * c->ow + q] * *weight;
                } else {
                    *weight += image[h * c->w + k] * result[p * c->ow + q];
                }
            }
        }
    }
}

static void multiply(const FblContraction *c, const double *a, const double *b, double *result) {
    for (int64_t i = 0; i < c->n_batch * c->m * c->n_; i++) {
        int64_t z = i / (c->m * c->n_), m = i / c->n_ % c->m, n = i % c->n_;
        for (int64_t k = 0; k < c->k; k++) {
            result[i] += a[(z * c->m + m) * c->k + k] * b[(z * c->k + k) * c->n_ + n];
        }
    }
}

// Stages over parts of the rows of `result`, which is in the order of the epilogue's loops.
static void run_parts(Truth *t, const double *result) {
    const FblKernel *kernel = t->kernel;
    const int32_t *loops = kernel->epilogue.loops;
    int64_t channels = kernel->loops[loops[1]].extent, height = kernel->loops[loops[2]].extent, width = kernel->loops[loops[3]].extent;
    for (int64_t i = 0; i < kernel->loops[kernel->part_loop].extent * channels; i++) {
        t->loops[kernel->part_loop] = i / channels;
        t->loops[loops[1]] = i % channels;
        for (int32_t s = 0; s < kernel->stage_count; s++) {
            const FblKStage *stage = &kernel->stages[s];
            double sums[8] = {0};
            for (int64_t row = 0; row < (stage->loop_count ? kernel->part_rows : 1); row++) {
                int64_t number = i / channels * kernel->part_rows + row, n = number / (height * width), h = number / width % height, w = number % width;
                t->loops[kernel->row_loop] = row;
                t->loops[loops[0]] = n;
                t->loops[loops[2]] = h;
                t->loops[loops[3]] = w;
                t->accumulated = result[((n * channels + i % channels) * height + h) * width + w];
                evaluate(t, stage->first, stage->last);
                store(t, stage->stores, stage->store_count);
                for (int32_t r = 0; r < stage->reduce_count && r < 8; r++) {
                    sums[r] += t->values[stage->reduces[r].value];
                }
            }
            for (int32_t r = 0; r < stage->reduce_count && r < 8; r++) {
                t->results[stage->reduces[r].result] = (double)(float)sums[r];
            }
        }
    }
    memset(t->loops, 0, sizeof t->loops);
}

static void run_contraction(Truth *t, FblCudaPrecision precision) {
    const FblContraction *c = &t->kernel->contraction;
    const FblKBody *epilogue = &t->kernel->epilogue;
    double *a = factors(t, &t->kernel->operands[0], precision), *b = factors(t, &t->kernel->operands[1], precision), *result = numbers(body_elements(t, epilogue)), *from = result;
    switch (c->kind) {
    case FBL_CONV_FORWARD: convolve(c, a, b, result); break;
    case FBL_CONV_DATA_GRAD: convolve(c, result, b, a); break;
    case FBL_CONV_WEIGHT_GRAD: convolve(c, a, result, b); break;
    case FBL_MATMUL: multiply(c, a, b, result); break;
    }
    do {
        t->accumulated = *from++;
        evaluate(t, epilogue->first, epilogue->last);
        store(t, epilogue->stores, epilogue->store_count);
    } while (advance(t, epilogue->loops, epilogue->loop_count));
    if (t->kernel->part_rows > 0) {
        run_parts(t, result);
    }
    free(a);
    free(b);
    free(result);
}

bool kernel_truth(const FblKernel *kernel, void *const *buffers, FblCudaPrecision precision, uint64_t seed, uint64_t step, double **out) {
    if (kernel->kind == FBL_KERNEL_LIBRARY) {
        return false;
    }
    Truth t = {.kernel = kernel, .buffers = buffers, .seed = seed, .step = step, .out = out};
    t.values = numbers(kernel->instr_count);
    t.results = numbers(kernel->result_count);
    for (int32_t b = 0; b < kernel->buffer_count; b++) {
        out[b] = NULL;
        if (kernel->buffers[b].is_output) {
            out[b] = numbers(elements(&kernel->buffers[b]));
            for (int64_t i = 0; i < elements(&kernel->buffers[b]); i++) {
                out[b][i] = kernel_truth_element(kernel->buffers[b].dtype, buffers[b], i);
            }
        }
    }
    if (kernel->kind == FBL_KERNEL_LOOPS) {
        run_loops(&t);
    } else {
        run_contraction(&t, precision);
    }
    free(t.values);
    free(t.results);
    return true;
}

// Sums over parts of rows that the kernel rounds to halves itself are off as those halves are, by no more of their norm.
static bool sums_halves(const FblKernel *kernel) {
    bool rounds = false;
    for (int32_t id = 0; id < kernel->instr_count && kernel->part_rows > 0; id++) {
        rounds |= kernel->instrs[id].kind == FBL_K_ROUND;
    }
    return rounds;
}

bool kernel_truth_check(const FblKernel *kernel, int32_t b, const void *got, const double *want, double allowed_f32, double allowed_half, double *worst) {
    const FblKernelBuffer *buffer = &kernel->buffers[b];
    double difference = 0, norm = 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < elements(buffer); i++) {
        double x = kernel_truth_element(buffer->dtype, got, i);
        if (isnan(want[i]) || isinf(want[i])) {
            wrong += isnan(want[i]) ? !isnan(x) : x != want[i];
            continue;
        }
        difference += (x - want[i]) * (x - want[i]);
        norm += want[i] * want[i];
    }
    bool exact = buffer->dtype == FBL_I32 || buffer->dtype == FBL_BOOL;
    double d = wrong ? (double)INFINITY : sqrt(difference) / (sqrt(norm) + 1e-12);
    *worst = d > *worst ? d : *worst;
    bool halves = fbl_dtype_is_half(buffer->dtype) || sums_halves(kernel);
    if (!(d <= (exact ? 0 : halves ? allowed_half : allowed_f32))) {
        fprintf(stderr, "kernel %s (%s) stores buffer %d wrongly: off by %.3g of its norm\n", kernel->name, kernel->note ? kernel->note : "", b, d);
        return false;
    }
    return true;
}

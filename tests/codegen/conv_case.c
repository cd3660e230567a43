#include "conv_case.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t place(const Tensor *t, int64_t n, int64_t c, int64_t h, int64_t w) {
    if (t->block == 0) {
        return (size_t)(((n * t->c + c) * t->h + h) * t->w + w);
    }
    return (size_t)((((n * (t->c / t->block) + c / t->block) * t->h + h) * t->w + w) * t->block + c % t->block);
}

Tensor tensor(int block, int64_t n, int64_t c, int64_t h, int64_t w, uint64_t *seed) {
    Tensor t = {n, c, h, w, block, NULL};
    size_t count = (size_t)(n * c * h * w);
    t.data = malloc((count + 16) * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        t.data[i] = random_real(seed);
    }
    for (size_t i = count; i < count + 16; i++) {
        t.data[i] = 12345.0f; // sentinel
    }
    return t;
}

void check_sentinel(const Tensor *t) {
    size_t count = (size_t)(t->n * t->c * t->h * t->w);
    for (size_t i = count; i < count + 16; i++) {
        assert_true(t->data[i] == 12345.0f);
    }
}

double round_bf16(double x) {
    int exponent;
    double fraction = frexp(x, &exponent); // in [1/2, 1); the machine rounds to nearest even
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static double factor(double x, bool bf16) { return bf16 ? round_bf16(x) : x; }

// Leaves `bits` binary places, so that what is computed from the numbers in f32 is exact and only the rounding to bf16 counts.
static void coarsen(Tensor *t, int bits) {
    for (int64_t i = 0; i < t->n * t->c * t->h * t->w; i++) {
        t->data[i] = (float)ldexp(nearbyint(ldexp(t->data[i], bits)), -bits);
    }
}

static double fused_value(const Tensor *t, const Tensor *scale, const Tensor *shift, bool fused, int64_t n, int64_t c, int64_t h, int64_t w) {
    float x = t->data[place(t, n, c, h, w)];
    if (!fused) {
        return x;
    }
    double y = (double)x * scale->data[c] + shift->data[c];
    return y > 0 ? y : 0;
}

// Adds x[n, c, ih, iw] * weight[o, ci, i, j] for all terms: calls `visit` with the three indices.
typedef struct Sums {
    double *sum, *size;
} Sums;

static void reference(const Case *k, int64_t oh, int64_t ow, const Tensor *a, const Tensor *b, const Tensor *scale, const Tensor *shift,
                      const Tensor *result, Sums *s) {
    int64_t cg = k->c / k->groups, og = k->o / k->groups;
    for (int64_t n = 0; n < k->n; n++) {
        for (int64_t o = 0; o < k->o; o++) {
            for (int64_t y = 0; y < oh; y++) {
                for (int64_t x = 0; x < ow; x++) {
                    for (int64_t ci = 0; ci < cg; ci++) {
                        for (int64_t i = 0; i < k->kh; i++) {
                            for (int64_t j = 0; j < k->kw; j++) {
                                int64_t ih = y * k->sh - k->ph + i * k->dh, iw = x * k->sw - k->pw + j * k->dw, c = o / og * cg + ci;
                                if (ih < 0 || ih >= k->h || iw < 0 || iw >= k->w) {
                                    continue;
                                }
                                double p;
                                size_t at;
                                if (k->kind == FBL_CONV_FORWARD) {
                                    p = factor(fused_value(a, scale, shift, k->fused, n, c, ih, iw), k->bf16) * factor(b->data[place(b, o, ci, i, j)], k->bf16);
                                    at = place(result, n, o, y, x);
                                } else if (k->kind == FBL_CONV_DATA_GRAD) {
                                    p = factor(fused_value(a, scale, shift, k->fused, n, o, y, x), k->bf16) * factor(b->data[place(b, o, ci, i, j)], k->bf16);
                                    at = place(result, n, c, ih, iw);
                                } else {
                                    p = factor(fused_value(a, scale, shift, k->fused, n, c, ih, iw), k->bf16) * factor(b->data[place(b, n, o, y, x)], k->bf16);
                                    at = place(result, o, ci, i, j);
                                }
                                s->sum[at] += p;
                                s->size[at] += fabs(p);
                            }
                        }
                    }
                }
            }
        }
    }
}

// The tensor's elements rounded to a half, and a copy of them as such, followed by as many sentinels.
static uint16_t *as_half(const Tensor *t, FblDtype half) {
    size_t count = (size_t)(t->n * t->c * t->h * t->w);
    uint16_t *copy = malloc((count + 16) * sizeof *copy);
    for (size_t i = 0; i < count + 16; i++) {
        copy[i] = half_nearest(half, t->data[i]);
        t->data[i] = i < count ? (float)half_value(half, copy[i]) : t->data[i];
    }
    return copy;
}

void run_case(const FblCpuTarget *target, const Case *k, int phases) { run_case_stored(target, k, phases, FBL_F32); }

void run_case_stored(const FblCpuTarget *target, const Case *k, int phases, FblDtype images) {
    int64_t oh = (k->h + 2 * k->ph - (k->kh - 1) * k->dh - 1) / k->sh + 1, ow = (k->w + 2 * k->pw - (k->kw - 1) * k->dw - 1) / k->sw + 1;
    int64_t cg = k->c / k->groups;
    uint64_t seed = (uint64_t)(k->kind * 1000 + k->c * 100 + k->o + k->h);
    bool forward = k->kind == FBL_CONV_FORWARD, data = k->kind == FBL_CONV_DATA_GRAD;
    Tensor x = tensor(k->block, k->n, k->c, k->h, k->w, &seed), y = tensor(k->block, k->n, k->o, oh, ow, &seed);
    Tensor weight = tensor(0, k->o, cg, k->kh, k->kw, &seed);
    Tensor *operands[2] = {data ? &y : &x, forward || data ? &weight : &y};
    Tensor *result = forward ? &y : data ? &x : &weight;
    Tensor scale = tensor(0, 1, operands[0]->c, 1, 1, &seed), shift = tensor(0, 1, operands[0]->c, 1, 1, &seed);
    Tensor residual = tensor(result->block, result->n, result->c, result->h, result->w, &seed);

    if (k->bf16) {
        coarsen(operands[0], 12);
        coarsen(&scale, 3);
        coarsen(&shift, 12);
    }

    static Build b;
    FblContraction contraction = {.kind = k->kind, .algorithm = k->algorithm, .n = k->n, .c = k->c, .h = k->h, .w = k->w, .o = k->o, .oh = oh, .ow = ow, .kh = k->kh, .kw = k->kw,
                                            .stride_h = k->sh, .stride_w = k->sw, .pad_h = k->ph, .pad_w = k->pw,
                                            .dilation_h = k->dh, .dilation_w = k->dw, .groups = k->groups};
    build_conv_stored(&b, &contraction, k->block, k->fused, images);
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    if (phases) {
        assert_int_equal(loaded.code.phases, phases);
    }
    size_t count = (size_t)(result->n * result->c * result->h * result->w);
    float *first = malloc((count + 1) * sizeof *first);
    void *pointers[6] = {operands[0]->data, operands[1]->data, result->data, scale.data, shift.data, residual.data};
    const Tensor *held[6] = {operands[0], operands[1], result, &scale, &shift, &residual};
    for (int32_t i = 0; i < b.kernel.buffer_count; i++) {
        if (fbl_dtype_is_half(b.buffers[i].dtype)) {
            pointers[i] = as_half(held[i], images);
        }
    }
    bool half_result = fbl_dtype_is_half(b.buffers[2].dtype);
    for (int parts = 1; parts <= 3; parts += 2) {
        for (size_t i = 0; i < count; i++) {
            result->data[i] = NAN;
        }
        if (half_result) {
            memset(pointers[2], 0xff, count * sizeof(uint16_t));
        }
        loaded_run(&loaded, pointers, parts);
        for (size_t i = 0; i < count + 16 && half_result; i++) {
            result->data[i] = i < count ? (float)half_value(images, ((uint16_t *)pointers[2])[i]) : result->data[i];
            assert_true(i < count || ((uint16_t *)pointers[2])[i] == half_nearest(images, 12345.0));
        }
        if (parts == 1) {
            memcpy(first, result->data, count * sizeof *first);
        } else {
            assert_memory_equal(first, result->data, count * sizeof *first);
        }
    }
    Sums sums = {calloc(count + 1, sizeof(double)), calloc(count + 1, sizeof(double))};
    reference(k, oh, ow, operands[0], operands[1], &scale, &shift, result, &sums);
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        largest = sums.size[i] > largest ? sums.size[i] : largest;
    }
    for (size_t i = 0; i < count; i++) {
        double want = sums.sum[i];
        if (k->fused) {
            want += residual.data[i];
            want = want > 0 ? want : 0;
        }
        // Each of the products is rounded once, and so are the partial sums, which are smaller than the sum of sizes. The
        // Winograd forms mix all of a tile before they cancel it again, so that their error goes with the largest sums
        // around, and their maps enlarge it: over all cases of the test by at most 1.1e-7 (tiles of 2) and 4.8e-7 (tiles of
        // 4) of the largest sum of sizes; the tolerances are three times that.
        double tolerance = k->algorithm == FBL_CONV_DIRECT ? 2e-6 * (sums.size[i] + 1) : (k->algorithm == FBL_CONV_WINOGRAD2 ? 3.3e-7 : 1.5e-6) * (largest + 1);
        // Half a unit in the last of 8 or 11 bits, or of f16's smallest number.
        double unit = !half_result ? 0 : images == FBL_BF16 ? 0x1p-8 : 0x1p-11;
        tolerance += unit * (fabs(want) + tolerance) + (half_result ? 0x1p-25 : 0);
        if (!(fabs(result->data[i] - want) <= tolerance)) {
            fprintf(stderr, "kind %d algorithm %d n %d c %d h %d w %d o %d k %dx%d s %d,%d p %d,%d d %d,%d groups %d block %d fused %d bf16 %d: element %zu is %.9g, not %.9g\n", k->kind, k->algorithm,
                    (int)k->n, (int)k->c, (int)k->h, (int)k->w, (int)k->o, (int)k->kh, (int)k->kw, (int)k->sh, (int)k->sw, (int)k->ph, (int)k->pw,
                    (int)k->dh, (int)k->dw, (int)k->groups, k->block, k->fused, k->bf16, i, (double)result->data[i], want);
            fail();
        }
    }
    check_sentinel(result);
    for (int32_t i = 0; i < b.kernel.buffer_count; i++) {
        if (fbl_dtype_is_half(b.buffers[i].dtype)) {
            free(pointers[i]);
        }
    }
    loaded_close(&loaded);
    free(first);
    free(sums.sum);
    free(sums.size);
    Tensor *all[] = {&x, &y, &weight, &scale, &shift, &residual};
    for (size_t i = 0; i < 6; i++) {
        free(all[i]->data);
    }
}

void run_matmul(const FblCpuTarget *target, const Matmul *matmul) {
    int64_t batch = matmul->batch, m = matmul->m, n = matmul->n, k = matmul->k;
    int order = matmul->order;
    bool fused = matmul->fused;
    static Build b;
    build_init(&b, FBL_KERNEL_CONTRACTION, "matmul");
    uint64_t seed = (uint64_t)(m * 31 + n * 7 + k);
    int64_t a_rows = order & 1 ? k : m, a_cols = order & 1 ? m : k, b_rows = order & 2 ? n : k, b_cols = order & 2 ? k : n;
    Tensor x = tensor(0, 1, batch, a_rows, a_cols, &seed), y = tensor(0, 1, batch, b_rows, b_cols, &seed), z = tensor(0, 1, batch, m, n, &seed);
    Tensor bias = tensor(0, 1, 1, 1, n, &seed);
    int32_t x_at = build_buffer(&b, FBL_F32, false, 3, (int64_t[]){batch, a_rows, a_cols});
    int32_t y_at = build_buffer(&b, FBL_F32, false, 3, (int64_t[]){batch, b_rows, b_cols});
    int32_t z_at = build_buffer(&b, FBL_F32, true, 3, (int64_t[]){batch, m, n});
    int32_t bias_at = build_buffer(&b, FBL_F32, false, 1, &n);
    int64_t extents[3][3] = {{batch, m, k}, {batch, k, n}, {batch, m, n}};
    for (int i = 0; i < 3; i++) {
        FblKBody body = {.loop_count = 3, .first = b.kernel.instr_count, .value = -1};
        int32_t index[3];
        for (int d = 0; d < 3; d++) {
            body.loops[d] = build_loop(&b, extents[i][d]);
            index[d] = build_index(&b, body.loops[d]);
        }
        if (i < 2) {
            bool swap = order & (1 << i);
            int32_t at[3] = {index[0], index[swap ? 2 : 1], index[swap ? 1 : 2]};
            body.value = build_load(&b, i ? y_at : x_at, at);
            if (i == 0 && matmul->inverse) {
                body.value = build_op(&b, FBL_OP_DIV, FBL_F32, build_real(&b, 1), body.value, -1);
            }
        } else {
            int32_t value = b.kernel.instr_count++;
            b.instrs[value] = (FblKInstr){.kind = FBL_K_ACC, .dtype = FBL_F32, .guard = -1, .otherwise = -1};
            if (fused) {
                value = build_op(&b, FBL_OP_ADD, FBL_F32, value, build_load(&b, bias_at, &index[2]), -1);
            }
            body.stores = &b.stores[0];
            body.store_count = 1;
            build_store(&b, z_at, value, -1, index);
        }
        body.last = b.kernel.instr_count;
        *(i < 2 ? &b.kernel.operands[i] : &b.kernel.epilogue) = body;
    }
    b.kernel.contraction = (FblContraction){.kind = FBL_MATMUL, .n_batch = batch, .m = m, .n_ = n, .k = k};
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    assert_int_equal(loaded.code.phases, 2);
    size_t count = (size_t)(batch * m * n);
    float *first = malloc(count * sizeof *first);
    void *pointers[4] = {x.data, y.data, z.data, bias.data};
    loaded_run(&loaded, pointers, 1);
    memcpy(first, z.data, count * sizeof *first);
    loaded_run(&loaded, pointers, 3);
    assert_memory_equal(first, z.data, count * sizeof *first);
    for (int64_t g = 0; g < batch; g++) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = fused ? bias.data[j] : 0, size = 1;
                for (int64_t p = 0; p < k; p++) {
                    float element = order & 1 ? x.data[(g * k + p) * m + i] : x.data[(g * m + i) * k + p];
                    double v = factor(matmul->inverse ? 1 / element : element, matmul->bf16);
                    double w = factor(order & 2 ? y.data[(g * n + j) * k + p] : y.data[(g * k + p) * n + j], matmul->bf16);
                    sum += v * w;
                    size += fabs(v * w);
                }
                assert_true(fabs(z.data[(g * m + i) * n + j] - sum) <= 2e-6 * size);
            }
        }
    }
    check_sentinel(&z);
    loaded_close(&loaded);
    free(first);
    free(x.data);
    free(y.data);
    free(z.data);
    free(bias.data);
}

FblCpuTarget *open_target(FblContext *ctx, int32_t bytes) {
    FblCpuOptions options = {.vector_bytes = bytes, .opt_level = 2};
    FblCpuTarget *target = NULL;
    assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
    return target;
}

int32_t widest(FblContext *ctx) {
    FblCpuTarget *target = open_target(ctx, 0);
    int32_t bytes = fbl_cpu_target_vector_bytes(target);
    fbl_cpu_target_destroy(target);
    return bytes;
}

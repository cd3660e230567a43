// Every pointwise op as generated code against the C library in double (reals) or exact arithmetic (integers), in vector
// and scalar form, over all exponents and special values.
#include "kernel_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/interp.h"

#define COUNT 3001 // odd: every width has a tail

typedef struct RealCase {
    FblOp op;
    int arity;
    double ulps; // allowed; a result below the normal range may also be off by one unit of the smallest number
    double limit; // operands within [-limit, limit]; 0: all floats
} RealCase;

static const float specials[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 2.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f, 1.1754943e-38f, 3.4028235e38f, -3.4028235e38f,
                                 88.72283f, 88.73f, -87.3f, -103.9f, -104.1f, 0.6f, -0.6f, 1e-8f, -1e-8f, 0.99999994f, 1.0000001f, -0.99999994f, 10.0f, 16777216.0f};

static float special_or_random(uint64_t *seed, int i, double limit) {
    int specials_count = (int)(sizeof specials / sizeof *specials);
    float x;
    if (i < specials_count) {
        x = specials[i];
    } else if (i % 2) {
        uint32_t bits = (uint32_t)random_bits(seed);
        memcpy(&x, &bits, 4);
    } else {
        x = random_real(seed) * (limit > 0 ? (float)limit : 20.0f);
    }
    if (limit > 0 && !(fabsf(x) <= (float)limit)) {
        x = random_real(seed) * (float)limit;
    }
    return x;
}

// out[i] = op(in...[i]) over one loop; the loop is an outer vector loop, an inner one, or scalar.
static void build_map(Build *b, FblOp op, int arity, FblDtype from, FblDtype to, int form) {
    build_init(b, FBL_KERNEL_LOOPS, fbl_op_info(op)->text);
    const int64_t extent = COUNT;
    int32_t in[3];
    for (int k = 0; k < arity; k++) {
        in[k] = build_buffer(b, op == FBL_OP_SELECT && k == 0 ? FBL_BOOL : from, false, 1, &extent);
    }
    int32_t out = build_buffer(b, to, true, 1, &extent);
    int32_t one = build_loop(b, 1), loop = build_loop(b, extent);
    b->kernel.outer_count = form == 1 ? 1 : 2;
    b->kernel.vector_loop = form == 2 ? -1 : loop;
    build_stage(b, form == 1 ? 1 : 0, &loop);
    int32_t index = build_index(b, loop), args[3] = {-1, -1, -1};
    for (int k = 0; k < arity; k++) {
        args[k] = build_load(b, in[k], &index);
    }
    build_store(b, out, build_op(b, op, to, args[0], args[1], args[2]), -1, &index);
    build_stage_end(b);
    (void)one;
}

static bool close_enough(double want, float got, double ulps) {
    if (isnan(want) || isnan(got)) {
        return isnan(want) && isnan(got);
    }
    float rounded = (float)want;
    if (rounded == got) {
        return true;
    }
    if (isinf(rounded) || isinf(got)) { // next to the overflow limit
        return fabs(want) > 3.4028e38 && fabsf(got) > 3.4028e38f && signbit(got) == signbit(rounded);
    }
    double unit = fmax(nextafterf(fabsf(rounded), INFINITY) - fabsf(rounded), 0x1p-149);
    return fabs(got - want) <= ulps * unit;
}

static void check_real(const FblCpuTarget *target, const RealCase *c, int form) {
    static Build b;
    static float in[3][COUNT], out[COUNT + 1];
    uint64_t seed = (uint64_t)c->op;
    for (int k = 0; k < c->arity; k++) {
        for (int i = 0; i < COUNT; i++) {
            in[k][i] = k == 0 ? special_or_random(&seed, i, c->limit) : special_or_random(&seed, (i * 7 + 3) % COUNT, c->limit);
        }
    }
    build_map(&b, c->op, c->arity, FBL_F32, FBL_F32, form);
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    out[COUNT] = 4321.0f;
    void *buffers[4] = {in[0], c->arity > 1 ? (void *)in[1] : (void *)out, out};
    loaded_run(&loaded, buffers, 3);
    assert_true(out[COUNT] == 4321.0f);
    for (int i = 0; i < COUNT; i++) {
        double args[3] = {in[0][i], in[1][i], 0};
        double want = fbl_interp_scalar(c->op, FBL_F32, FBL_F32, args);
        if (!close_enough(want, out[i], c->ulps)) {
            fprintf(stderr, "%s(%.9g, %.9g) is %.9g, not %.9g (vectors of %d bytes, form %d)\n", fbl_op_info(c->op)->text, args[0],
                    c->arity > 1 ? args[1] : 0.0, (double)out[i], want, fbl_cpu_target_vector_bytes(target), form);
            fail();
        }
    }
    loaded_close(&loaded);
}

static const RealCase reals[] = {
    {FBL_OP_NEG, 1, 0, 0},     {FBL_OP_ABS, 1, 0, 0},   {FBL_OP_EXP, 1, 2, 0},       {FBL_OP_EXPM1, 1, 4, 0},   {FBL_OP_LOG, 1, 2, 0},  {FBL_OP_LOG1P, 1, 4, 0},
    {FBL_OP_SQRT, 1, 0.5, 0},  {FBL_OP_SIN, 1, 2, 1e4}, {FBL_OP_COS, 1, 2, 1e4},     {FBL_OP_TANH, 1, 4, 0},    {FBL_OP_ERF, 1, 2, 0},  {FBL_OP_SIGMOID, 1, 4, 0},
    {FBL_OP_FLOOR, 1, 0, 0},   {FBL_OP_ADD, 2, 0.5, 0}, {FBL_OP_SUB, 2, 0.5, 0},     {FBL_OP_MUL, 2, 0.5, 0},   {FBL_OP_DIV, 2, 0.5, 0}, {FBL_OP_POW, 2, 2, 0},
    {FBL_OP_MIN, 2, 0, 0},     {FBL_OP_MAX, 2, 0, 0},   {FBL_OP_STOP_GRADIENT, 1, 0, 0},
};

typedef void (*PerTarget)(const FblCpuTarget *target, int form);

// Calls `test` for each vector width that the machine has and each of the three loop forms.
static void for_targets(PerTarget test) {
    FblContext *ctx = fbl_context_create();
    int32_t widest = 64;
    for (int32_t bytes = 16; bytes <= widest; bytes *= 2) {
        FblCpuOptions options = {.vector_bytes = bytes == 16 ? 0 : bytes, .opt_level = 2};
        FblCpuTarget *target = NULL;
        assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
        if (bytes == 16) { // what the machine has
            widest = fbl_cpu_target_vector_bytes(target);
            fbl_cpu_target_destroy(target);
            options.vector_bytes = 16;
            assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
        }
        for (int form = 0; form < 3; form++) {
            test(target, form);
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

static void all_reals(const FblCpuTarget *target, int form) {
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        check_real(target, &reals[i], form);
    }
}

static void test_reals(void **state) {
    (void)state;
    for_targets(all_reals);
}

// a - b floor(a / b) in f32: near whole quotients the rounding of a / b may move the result by b.
static void check_mod(const FblCpuTarget *target, int form) {
    static Build b;
    static float x[COUNT], y[COUNT], out[COUNT];
    uint64_t seed = 5;
    for (int i = 0; i < COUNT; i++) {
        x[i] = random_real(&seed) * 50;
        y[i] = random_real(&seed) * 10;
        y[i] = fabsf(y[i]) < 0.1f ? 3.0f : y[i];
    }
    build_map(&b, FBL_OP_MOD, 2, FBL_F32, FBL_F32, form);
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    loaded_run(&loaded, (void *[]){x, y, out}, 1);
    for (int i = 0; i < COUNT; i++) {
        double want = x[i] - y[i] * floor((double)x[i] / y[i]);
        double error = fabs(out[i] - want);
        assert_true(error <= 1e-5 || fabs(error - fabsf(y[i])) <= 1e-5);
    }
    loaded_close(&loaded);
}

static void test_mod(void **state) {
    (void)state;
    for_targets(check_mod);
}

// Integers, comparisons, logic, casts: exact.
typedef struct ExactCase {
    FblOp op;
    int arity;
    FblDtype from, to;
} ExactCase;

static const ExactCase exacts[] = {
    {FBL_OP_NEG, 1, FBL_I32, FBL_I32}, {FBL_OP_ABS, 1, FBL_I32, FBL_I32}, {FBL_OP_ADD, 2, FBL_I32, FBL_I32}, {FBL_OP_SUB, 2, FBL_I32, FBL_I32},
    {FBL_OP_MUL, 2, FBL_I32, FBL_I32}, {FBL_OP_DIV, 2, FBL_I32, FBL_I32}, {FBL_OP_MOD, 2, FBL_I32, FBL_I32}, {FBL_OP_MIN, 2, FBL_I32, FBL_I32},
    {FBL_OP_MAX, 2, FBL_I32, FBL_I32}, {FBL_OP_EQ, 2, FBL_I32, FBL_BOOL}, {FBL_OP_NE, 2, FBL_I32, FBL_BOOL}, {FBL_OP_LT, 2, FBL_I32, FBL_BOOL},
    {FBL_OP_LE, 2, FBL_I32, FBL_BOOL}, {FBL_OP_EQ, 2, FBL_F32, FBL_BOOL}, {FBL_OP_NE, 2, FBL_F32, FBL_BOOL}, {FBL_OP_LT, 2, FBL_F32, FBL_BOOL},
    {FBL_OP_LE, 2, FBL_F32, FBL_BOOL}, {FBL_OP_AND, 2, FBL_BOOL, FBL_BOOL}, {FBL_OP_OR, 2, FBL_BOOL, FBL_BOOL}, {FBL_OP_NOT, 1, FBL_BOOL, FBL_BOOL},
    {FBL_OP_CAST, 1, FBL_F32, FBL_I32}, {FBL_OP_CAST, 1, FBL_F32, FBL_BOOL}, {FBL_OP_CAST, 1, FBL_I32, FBL_F32}, {FBL_OP_CAST, 1, FBL_I32, FBL_BOOL},
    {FBL_OP_CAST, 1, FBL_BOOL, FBL_F32}, {FBL_OP_CAST, 1, FBL_BOOL, FBL_I32}, {FBL_OP_EQ, 2, FBL_BOOL, FBL_BOOL}, {FBL_OP_SELECT, 3, FBL_F32, FBL_F32},
    {FBL_OP_SELECT, 3, FBL_I32, FBL_I32}, {FBL_OP_SELECT, 3, FBL_BOOL, FBL_BOOL},
};

typedef union Column {
    float f32[COUNT];
    int32_t i32[COUNT];
    uint8_t byte[COUNT];
} Column;

static double element(const Column *c, FblDtype dtype, int i) { return dtype == FBL_F32 ? (double)c->f32[i] : dtype == FBL_I32 ? (double)c->i32[i] : (double)c->byte[i]; }

static void fill(Column *c, FblDtype dtype, uint64_t *seed, int salt) {
    static const int32_t edges[] = {0, 1, -1, 2, -2, 3, -3, 7, -8, 100, INT32_MAX, INT32_MIN, INT32_MIN + 1};
    int edge_count = (int)(sizeof edges / sizeof *edges);
    for (int i = 0; i < COUNT; i++) {
        if (dtype == FBL_F32) {
            c->f32[i] = i % 5 == 4 ? (float)((int)(random_bits(seed) % 7) - 3) : special_or_random(seed, salt ? i / 28 % 28 : i, 0);
        } else if (dtype == FBL_I32) {
            c->i32[i] = i < edge_count * edge_count ? edges[salt ? i / edge_count : i % edge_count] : i % 2 ? (int32_t)random_bits(seed) : (int32_t)(random_bits(seed) % 21) - 10;
        } else {
            c->byte[i] = (uint8_t)(random_bits(seed) & 1);
        }
    }
}

static void all_exact(const FblCpuTarget *target, int form) {
    static Build b;
    static Column in[3], out;
    for (size_t k = 0; k < sizeof exacts / sizeof *exacts; k++) {
        const ExactCase *c = &exacts[k];
        uint64_t seed = k;
        FblDtype types[3] = {c->op == FBL_OP_SELECT ? FBL_BOOL : c->from, c->from, c->from};
        for (int a = 0; a < c->arity; a++) {
            fill(&in[a], types[a], &seed, a);
        }
        build_map(&b, c->op, c->arity, c->from, c->to, form);
        Loaded loaded;
        loaded_open(&loaded, target, &b.kernel);
        void *buffers[4];
        for (int a = 0; a < c->arity; a++) {
            buffers[a] = &in[a];
        }
        buffers[c->arity] = &out;
        loaded_run(&loaded, buffers, 2);
        for (int i = 0; i < COUNT; i++) {
            double args[3] = {0};
            for (int a = 0; a < c->arity; a++) {
                args[a] = element(&in[a], types[a], i);
            }
            double want = fbl_interp_scalar(c->op, c->to, types[0], args), got = element(&out, c->to, i);
            want = c->to == FBL_F32 ? (float)want : want;
            if (!(want == got || (isnan(want) && isnan(got)))) {
                fprintf(stderr, "%s (case %zu) of %.9g, %.9g, %.9g is %.9g, not %.9g (vectors of %d bytes, form %d)\n", fbl_op_info(c->op)->text, k, args[0], args[1],
                        args[2], got, want, fbl_cpu_target_vector_bytes(target), form);
                fail();
            }
        }
        loaded_close(&loaded);
    }
}

static void test_exact(void **state) {
    (void)state;
    for_targets(all_exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reals), cmocka_unit_test(test_mod), cmocka_unit_test(test_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

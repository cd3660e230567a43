// Buffers in half precision: every bit pattern read, every rounding written, in vectors and one by one, with the processor's
// conversions and without; convolutions over such images; and the text of such kernels.
#include "conv_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERNS 65536
#define COUNT (5 * PATTERNS + 37) // odd: every width has a tail

// wide[i] = narrow[i], back[i] = real[i], rounded[i] = real[i] as a half; over one loop in one of the three forms of loops.
static void build_copies(Build *b, FblDtype half, int form) {
    build_init(b, FBL_KERNEL_LOOPS, "copies");
    const int64_t patterns = PATTERNS, count = COUNT;
    int32_t narrow = build_buffer(b, half, false, 1, &patterns), real = build_buffer(b, FBL_F32, false, 1, &count);
    int32_t wide = build_buffer(b, FBL_F32, true, 1, &count), back = build_buffer(b, half, true, 1, &count), rounded = build_buffer(b, FBL_F32, true, 1, &count);
    int32_t one = build_loop(b, 1), loop = build_loop(b, count);
    b->kernel.outer_count = form == 1 ? 1 : 2;
    b->kernel.vector_loop = form == 2 ? -1 : loop;
    build_stage(b, form == 1 ? 1 : 0, &loop);
    int32_t index = build_index(b, loop);
    int32_t inside = build_op(b, FBL_OP_LT, FBL_BOOL, index, build_int(b, PATTERNS), -1);
    int32_t value = build_load(b, narrow, &index);
    b->instrs[value].guard = inside;
    build_store(b, wide, value, -1, &index);
    int32_t given = build_load(b, real, &index);
    build_store(b, back, given, -1, &index);
    build_store(b, rounded, build_round(b, half, given), -1, &index);
    build_stage_end(b);
    (void)one;
}

// Every half, the middles between neighbours and the reals beside them, and random reals of all exponents.
static float real_at(FblDtype half, uint64_t *seed, int64_t i) {
    uint16_t pattern = (uint16_t)i;
    double x = half_value(half, pattern), next = half_value(half, (uint16_t)(pattern + 1));
    float middle = (float)((x + next) / 2), random;
    uint32_t bits = (uint32_t)random_bits(seed);
    memcpy(&random, &bits, sizeof random);
    switch (i / PATTERNS) {
    case 0: return (float)x;
    case 1: return middle;
    case 2: return nextafterf(middle, INFINITY);
    case 3: return nextafterf(middle, -INFINITY);
    default: return random;
    }
}

static bool same(double want, double got) { return isnan(want) ? isnan(got) : want == got && signbit(want) == signbit(got); }

static void check_copies(const FblCpuTarget *target, FblDtype half, int form) {
    static Build b;
    static uint16_t narrow[PATTERNS], back[COUNT + 1];
    static float real[COUNT], wide[COUNT + 1], rounded[COUNT + 1];
    uint64_t seed = 3;
    for (int64_t i = 0; i < COUNT; i++) {
        real[i] = real_at(half, &seed, i);
    }
    for (int32_t i = 0; i < PATTERNS; i++) {
        narrow[i] = (uint16_t)i;
    }
    build_copies(&b, half, form);
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    wide[COUNT] = rounded[COUNT] = 4321.0f;
    back[COUNT] = 4321;
    void *buffers[] = {narrow, real, wide, back, rounded};
    loaded_run(&loaded, buffers, 3);
    assert_true(wide[COUNT] == 4321.0f && rounded[COUNT] == 4321.0f && back[COUNT] == 4321);
    for (int64_t i = 0; i < COUNT; i++) {
        double want = i < PATTERNS ? half_value(half, (uint16_t)i) : 0, nearest = half_value(half, half_nearest(half, real[i]));
        if (!same(want, wide[i]) || !same(nearest, half_value(half, back[i])) || !same(nearest, rounded[i])) {
            fail_msg("%s, vectors of %d bytes, form %d: %lld reads as %.9g instead of %.9g; %.9g is stored as %.9g and rounded to %.9g instead of %.9g", fbl_dtype_name(half),
                     fbl_cpu_target_vector_bytes(target), form, (long long)i, (double)wide[i], want, (double)real[i], half_value(half, back[i]), (double)rounded[i], nearest);
        }
    }
    loaded_close(&loaded);
}

static void test_conversions(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    int32_t limit = widest(ctx);
    // What the machine has, at every width; a processor that has only 128-bit vectors; AVX2 without conversions.
    for (int way = 0; way < 5; way++) {
        static const FblCpuOptions ways[] = {{.vector_bytes = 16}, {.vector_bytes = 32}, {.vector_bytes = 64}, {.cpu = "x86-64", .features = ""}, {.features = "+avx2,+fma", .vector_bytes = 32}};
        FblCpuOptions options = ways[way];
        FblCpuTarget *target;
        options.opt_level = 2;
        if (options.vector_bytes > limit) {
            continue;
        }
        assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
        for (int form = 0; form < 3; form++) {
            check_copies(target, FBL_BF16, form);
            check_copies(target, FBL_F16, form);
        }
        fbl_cpu_target_destroy(target);
    }
    fbl_context_destroy(ctx);
}

static void test_convolutions(void **state) {
    (void)state;
    static const Case cases[] = {
        // n c h w o kh kw sh sw ph pw dh dw groups
        {0, 2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, false}, {0, 3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, false},
        {0, 2, 16, 8, 8, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1, 0, 0, 0, false}, {0, 2, 6, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3, 0, 0, 0, false},
    };
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *target = open_target(ctx, 0);
    int lanes = fbl_cpu_target_vector_bytes(target) / 4;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int way = 0; way < 24; way++) {
            Case k = cases[i];
            k.kind = (FblContractionKind)(way % 3);
            k.fused = way / 3 % 2;
            k.block = way / 6 % 2 ? lanes : 0;
            if (k.block == 0 || (k.c % lanes == 0 && k.o % lanes == 0)) {
                run_case_stored(target, &k, 0, way / 12 ? FBL_BF16 : FBL_F16);
            }
            if (i == 0 && k.c % lanes == 0 && !k.fused) {
                k.algorithm = FBL_CONV_WINOGRAD2;
                run_case_stored(target, &k, 0, way / 12 ? FBL_BF16 : FBL_F16);
            }
        }
    }
    fbl_cpu_target_destroy(target);
    fbl_context_destroy(ctx);
}

// Printing, reading and printing again gives the same text.
static void test_text(void **state) {
    (void)state;
    static Build b;
    FblContext *ctx = fbl_context_create();
    for (int half = FBL_BF16; half <= FBL_F16; half++) {
        FblKernel *kernel = NULL;
        build_copies(&b, (FblDtype)half, 0);
        const char *text = fbl_kernel_print(ctx, &b.kernel, false);
        assert_non_null(strstr(text, half == FBL_F16 ? "round f16 %" : "round bf16 %"));
        assert_int_equal(fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", text, strlen(text)), &kernel), FBL_OK);
        assert_string_equal(fbl_kernel_print(ctx, kernel, false), text);
    }
    fbl_context_destroy(ctx);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        // a value that is a half
        "kernel loops { buffer bf16 [4] in buffer bf16 [4] out loop 4 outer 1 vector -1 results 0 %0 = loop 0 %1 = load bf16 0 [%0] stage [] from 0 to 2 { store 1 [%0] %1 } }",
        // an index from a half
        "kernel loops { buffer f16 [4] in buffer f32 [4] out loop 4 outer 1 vector -1 results 0 %0 = loop 0 %1 = load i32 0 [%0] stage [] from 0 to 2 { store 1 [%1] %1 } }",
        // rounding to what is no half, and of an integer
        "kernel loops { buffer f32 [4] in buffer f32 [4] out loop 4 outer 1 vector -1 results 0 %0 = loop 0 %1 = load f32 0 [%0] %2 = round f32 %1 stage [] from 0 to 3 { store 1 [%0] %2 } }",
        "kernel loops { buffer f32 [4] out loop 4 outer 1 vector -1 results 0 %0 = loop 0 %1 = round f16 %0 stage [] from 0 to 2 { store 0 [%0] %1 } }",
        // in place over elements of another size
        "kernel loops { buffer f32 [4] in buffer f16 [4] out over 0 loop 4 outer 1 vector -1 results 0 %0 = loop 0 %1 = load f32 0 [%0] stage [] from 0 to 2 { store 1 [%0] %1 } }",
        // a running sum over halves
        "kernel library { buffer f16 [4] in buffer f16 [4] out outer 0 vector -1 results 0 library cumsum 1 4 1 0 0 0 0 0 }",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FblContext *ctx = fbl_context_create();
        FblKernel *kernel;
        if (fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", texts[i], strlen(texts[i])), &kernel) == FBL_OK) {
            fail_msg("text %zu is taken", i);
        }
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conversions), cmocka_unit_test(test_convolutions), cmocka_unit_test(test_text), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

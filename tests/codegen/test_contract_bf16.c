// Contractions with factors in bf16, emulated, against sums in double of the rounded factors: every kind, odd and unit
// extents, strides, groups, plain and channel-blocked memory, with and without fused bodies, every width of vectors. Where
// the host has the instruction it runs the same cases. Rounding, the order of the two products, and the code for
// processors that have the instruction.
#include "conv_case.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

// n c h w o kh kw sh sw ph pw dh dw groups
static const int64_t SHAPES[][14] = {
    {3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},   {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},    {1, 5, 7, 13, 3, 5, 3, 1, 1, 2, 1, 1, 1, 1},
    {5, 16, 9, 9, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1},   {2, 16, 8, 8, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1},   {2, 8, 12, 10, 24, 3, 3, 1, 1, 2, 2, 2, 2, 1},
    {2, 7, 14, 11, 5, 3, 3, 3, 2, 3, 0, 1, 2, 1},   {2, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2},   {2, 6, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3},
    {2, 96, 5, 5, 72, 3, 3, 1, 1, 1, 1, 1, 1, 1},   {2, 17, 7, 7, 33, 1, 1, 1, 1, 0, 0, 1, 1, 1},   {1, 4, 5, 5, 4, 2, 2, 1, 1, 3, 3, 1, 1, 1},
    {17, 8, 4, 4, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1},    {1, 3, 32, 24, 64, 7, 7, 2, 2, 3, 3, 1, 1, 1},  {1, 8, 3, 17, 8, 1, 9, 1, 4, 0, 4, 1, 1, 1},
    {1, 64, 3, 1, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1},
};

static FblCpuTarget *emulated(FblContext *ctx, int32_t bytes) {
    FblCpuTarget *target = NULL;
    assert_int_equal(fbl_cpu_target_create(ctx, &(FblCpuOptions){.vector_bytes = bytes, .opt_level = 2, .precision = "bf16", .emulate_bf16 = true}, &target), FBL_OK);
    return target;
}

// NULL where the host lacks the instruction.
static FblCpuTarget *host(FblContext *ctx, int32_t bytes) {
    FblCpuTarget *target = NULL;
    return fbl_cpu_target_create(ctx, &(FblCpuOptions){.vector_bytes = bytes, .opt_level = 2, .precision = "bf16"}, &target) == FBL_OK ? target : NULL;
}

// Each shape in one or two of the ways of memory and bodies, `turn` says which; all kinds.
static void run_shapes(const FblCpuTarget *target, int turn) {
    int lanes = fbl_cpu_target_vector_bytes(target) / 4;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        for (int way = 0; way < 12; way++) {
            const int64_t *s = SHAPES[i];
            Case k = {(FblContractionKind)(way % 3), s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], 0, false, FBL_CONV_DIRECT, true};
            k.fused = way / 3 & 1;
            k.block = way / 6 ? lanes : 0;
            bool blocks = k.c % lanes == 0 && k.o % lanes == 0;
            if ((k.block && !blocks) || (way / 3 + (int)i + turn) % (blocks ? 3 : 2) != 0) {
                continue;
            }
            bool grouped = k.groups > 1 && ((k.c / k.groups) % lanes != 0 || (k.o / k.groups) % lanes != 0);
            run_case(target, &k, grouped ? 1 : 2); // the generic form has one phase
        }
    }
    static const int64_t matrices[][4] = {{1, 1, 1, 1}, {1, 64, 10, 64}, {2, 5, 7, 3}, {1, 97, 33, 101}, {1, 300, 100, 1}, {1, 1, 257, 1030}};
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        for (int order = 0; order < 4; order++) {
            if (order % 2 == (int)i % 2) {
                run_matmul(target, &(Matmul){matrices[i][0], matrices[i][1], matrices[i][2], matrices[i][3], order, (order + turn) / 2 % 2, true, (order + turn) / 2 % 2});
            }
        }
    }
}

static void run_width(int32_t bytes, int turn) {
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *targets[2] = {emulated(ctx, bytes), host(ctx, bytes)};
    for (int i = 0; i < 2; i++) {
        if (targets[i]) {
            run_shapes(targets[i], turn);
            fbl_cpu_target_destroy(targets[i]);
        }
    }
    fbl_context_destroy(ctx);
}

static void test_narrow(void **state) {
    (void)state;
    run_width(16, 0);
}

static void test_avx2(void **state) {
    (void)state;
    run_width(32, 1);
}

// On AVX2 each vector is two.
static void test_avx512(void **state) {
    (void)state;
    run_width(64, 2);
}

// y = the 1x1 convolution of one pixel of x with one row of weights, `count` channels.
static float multiply(const FblCpuTarget *target, const float *x, const float *weight, int64_t count) {
    static Build b;
    FblContraction c = {.kind = FBL_CONV_FORWARD, .n = 1, .c = count, .h = 1, .w = 1, .o = 1, .oh = 1, .ow = 1, .kh = 1, .kw = 1,
                        .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .groups = 1};
    build_conv(&b, &c, 0, false);
    Loaded loaded;
    loaded_open(&loaded, target, &b.kernel);
    float copies[2][8], y = 0;
    memcpy(copies[0], x, (size_t)count * sizeof *x);
    memcpy(copies[1], weight, (size_t)count * sizeof *x);
    loaded_run(&loaded, (void *[]){copies[0], copies[1], &y}, 1);
    loaded_close(&loaded);
    return y;
}

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void test_rounding(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *target = emulated(ctx, 0);
    static const uint32_t rows[][2] = {
        {0x3f800000, 0x3f800000}, {0x3f808000, 0x3f800000}, // halfway, to even
        {0x3f818000, 0x3f820000}, {0x3f808001, 0x3f810000}, {0x3f807fff, 0x3f800000}, {0xbf818000, 0xbf820000},
        {0x7f7fffff, 0x7f800000}, // to infinity
        {0x7f7f7fff, 0x7f7f0000}, {0xff800000, 0xff800000}, {0x00800000, 0x00800000},
    };
    float one = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float x = from_bits(rows[i][0]), want = from_bits(rows[i][1]);
        assert_true(multiply(target, &x, &one, 1) == want);
        assert_true(multiply(target, &one, &x, 1) == want);
    }
    static const uint32_t nans[] = {0x7fffffff, 0x7f800001, 0xffffffff, 0x7fc00000, 0xff80ffff};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        float x = from_bits(nans[i]);
        assert_true(isnan(multiply(target, &x, &one, 1)));
        assert_true(isnan(multiply(target, &one, &x, 1)));
    }
    fbl_cpu_target_destroy(target);
    fbl_context_destroy(ctx);
}

// 2^24 + 1 - 2^24 in f32 is 0 or 1, depending on what comes first; of a pair it is the second product.
static void test_order(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *targets[2] = {emulated(ctx, 0), host(ctx, 0)};
    static const float weight[4] = {4096, 4096, 4096, 4096}, one_last[4] = {4096, 0, -4096, 1.0f / 4096}, one_first[4] = {4096, 0, 1.0f / 4096, -4096};
    for (int i = 0; i < 2 && targets[i]; i++) {
        assert_true(multiply(targets[i], one_last, weight, 4) == 0);
        assert_true(multiply(targets[i], one_first, weight, 4) == 1);
        fbl_cpu_target_destroy(targets[i]);
    }
    fbl_context_destroy(ctx);
}

// Lines of the text of a loop without inner loops that hold all of up to two words.
typedef struct Loop {
    const char *begin, *end;
} Loop;

static int count_lines(Loop loop, const char *word, const char *other) {
    int count = 0;
    for (const char *line = loop.begin; line < loop.end; line++) {
        const char *end = strchr(line, '\n'), *first = strstr(line, word), *second = strstr(line, other);
        end = end && end < loop.end ? end : loop.end;
        count += first && first < end && second && second < end;
        line = end;
    }
    return count;
}

// The loop with the most lines that hold `word`: from a label to the jump back to it, without another label in between.
static Loop busiest_loop(const char *text, const char *word) {
    Loop best = {text, text};
    const char *label = NULL;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, ".LBB", 4) == 0) {
            label = line;
            continue;
        }
        const char *target = strncmp(line, "\tj", 2) == 0 ? strstr(line, ".LBB") : NULL;
        size_t length = target ? strcspn(target, "\n \t") : 0;
        if (target && target < strchr(line, '\n') && label && strncmp(label, target, length) == 0 && label[length] == ':') {
            Loop loop = {label, line};
            best = count_lines(loop, word, "") > count_lines(best, word, "") ? loop : best;
        }
    }
    return best;
}

// On processors that have it the loops consist of the instruction on 512-bit registers, fed with fewer loads than products,
// and keep their sums in registers.
static void test_instruction(void **state) {
    (void)state;
    static const char *const cpus[] = {"sapphirerapids", "znver4"};
    for (int i = 0; i < 2; i++) {
        FblContext *ctx = fbl_context_create();
        FblCpuOptions options = {.cpu = cpus[i], .features = "+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512bf16,+avx2,+fma", .opt_level = 2, .precision = "bf16"};
        FblCpuTarget *target = NULL;
        assert_int_equal(fbl_cpu_target_create(ctx, &options, &target), FBL_OK);
        assert_int_equal(fbl_cpu_target_vector_bytes(target), 64);
        for (int kind = 0; kind < 3; kind++) {
            static Build b;
            FblContraction c = {.kind = (FblContractionKind)kind, .n = 4, .c = 64, .h = 28, .w = 28, .o = 64, .oh = 28, .ow = 28, .kh = 3, .kw = 3,
                                .stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1, .dilation_h = 1, .dilation_w = 1, .groups = 1};
            build_conv(&b, &c, 16, true);
            char *text = NULL, error[256];
            assert_int_equal(fbl_cpu_emit_text(target, &b.kernel, true, &text, error, sizeof error), FBL_OK);
            assert_null(strstr(text, "vfmadd231ps\t%zmm")); // no product of f32 is left
            assert_non_null(strstr(text, "vcvtne"));        // rounded by instructions, too
            Loop loop = busiest_loop(text, "vdpbf16ps");
            int products = count_lines(loop, "vdpbf16ps", "%zmm");
            assert_true(products >= 48); // a register tile, unrolled
            assert_true(count_lines(loop, "(%", "mm") < products);
            assert_int_equal(count_lines(loop, "rsp)", "mm"), 0); // no vector is spilled
            free(text);
        }
        fbl_cpu_target_destroy(target);
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_order), cmocka_unit_test(test_narrow), cmocka_unit_test(test_avx2),
                                       cmocka_unit_test(test_avx512), cmocka_unit_test(test_instruction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// What a processor can do, and what is said when it can't.
#include "tests/passes/support.h"

#include "codegen/target.h"

static FblStatus create(FblContext *ctx, FblCpuOptions options, FblCpuTarget **target) { return fbl_cpu_target_create(ctx, &options, target); }

static void widths(void **state) {
    (void)state;
    static const struct {
        const char *cpu, *features;
        int32_t bytes;
    } kinds[] = {{"x86-64", "", 16}, {"haswell", "+avx2,+fma", 32}, {"skylake-avx512", "+avx2,+fma,+avx512f", 64}, {"sandybridge", "+avx", 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        FblContext *ctx = fbl_context_create();
        FblCpuTarget *target;
        assert_int_equal(create(ctx, (FblCpuOptions){.cpu = kinds[i].cpu, .features = kinds[i].features}, &target), FBL_OK);
        assert_int_equal(fbl_cpu_target_vector_bytes(target), kinds[i].bytes);
        const char *said = diagnostics(ctx);
        assert_true((strstr(said, "note[E0507]") != NULL) == (kinds[i].bytes == 16));
        fbl_cpu_target_destroy(target);
        fbl_context_destroy(ctx);
    }
}

static void precisions(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblCpuTarget *target;
    assert_int_equal(create(ctx, (FblCpuOptions){.cpu = "haswell", .features = "+avx2,+fma", .precision = "bf16"}, &target), FBL_UNSUPPORTED);
    assert_non_null(strstr(diagnostics(ctx), "error[E0506]: contractions in bf16 need AVX512_BF16, which this processor (haswell) lacks\n"
                                             "hint: f32 works here; --emulate-bf16 computes the numbers of bf16, more slowly than f32"));
    assert_int_equal(create(ctx, (FblCpuOptions){.cpu = "haswell", .features = "+avx2,+fma", .precision = "tf32"}, &target), FBL_UNSUPPORTED);
    assert_non_null(strstr(diagnostics(ctx), "error[E0506]: contractions in tf32 are not available on this processor (haswell)\n"
                                             "hint: f32 is, and bf16 on processors with AVX512_BF16; tf32, bf16 and f16 are for --target cuda"));
    assert_int_equal(create(ctx, (FblCpuOptions){.precision = "f33"}, &target), FBL_USER);
    assert_non_null(strstr(diagnostics(ctx), "error[E0506]: there is no precision `f33`"));
    fbl_context_destroy(ctx);
}

// What multiplies is part of the identity, and so of the keys of caches and compiled files.
static void identities(void **state) {
    (void)state;
    static const char wide[] = "+avx2,+fma,+avx512f,+avx512vl,+avx512bf16";
    const struct {
        FblCpuOptions options;
        const char *end;
    } ways[] = {{{.cpu = "znver4", .features = wide}, ""},
                {{.cpu = "znver4", .features = wide, .emulate_bf16 = true}, ""}, // f32 stays f32
                {{.cpu = "znver4", .features = wide, .precision = "bf16"}, " bf16"},
                {{.cpu = "znver4", .features = wide, .precision = "bf16", .emulate_bf16 = true}, " bf16-emulated"},
                {{.cpu = "haswell", .features = "+avx2,+fma", .precision = "bf16", .emulate_bf16 = true}, " bf16-emulated"}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        FblContext *ctx = fbl_context_create();
        FblCpuTarget *target;
        assert_int_equal(create(ctx, ways[i].options, &target), FBL_OK);
        const char *identity = fbl_cpu_target_identity(target), *bf16 = strstr(identity, " bf16");
        assert_string_equal(bf16 ? bf16 : "", ways[i].end);
        fbl_cpu_target_destroy(target);
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(widths), cmocka_unit_test(precisions), cmocka_unit_test(identities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

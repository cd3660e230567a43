// Which kernels are plain matrix products, and what is read off them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "ir/library_work.h"

// y[batch, class] = 0.5 * sum over dim of x * w + residual + bias, with %s in the places that cases change.
static const char text[] = "kernel \"product\" note \"a:1 sum\" bytes 1 flops 1 loops {\n"
                           "  buffer f32 [6, 20] in\n"
                           "  buffer f32 [10, 20] in\n"
                           "  buffer f32 [6, 10] in\n"
                           "  buffer f32 [10] in\n"
                           "  buffer f32 [6, 10] out\n"
                           "  loop 6 \"batch\"\n"
                           "  loop 10 \"class\"\n"
                           "  loop 20 \"dim\"\n"
                           "  outer 2 vector 2 results 1\n"
                           "  %%0 = loop 0\n"
                           "  %%1 = loop 1\n"
                           "  %%2 = loop 2\n"
                           "  %%3 = load f32 0 [%%0, %%2]\n"
                           "  %%4 = load f32 1 [%%1, %%2]\n"
                           "  %%5 = %s f32 [%%3, %%4]\n"
                           "  %%6 = loop 0\n"
                           "  %%7 = loop 1\n"
                           "  %%8 = result f32 0\n"
                           "  %%9 = const f32 0.5\n"
                           "  %%10 = mul f32 [%%8, %%9]\n"
                           "  %%11 = load f32 2 [%%6, %%7]\n"
                           "  %%12 = add f32 [%%11, %%10]\n"
                           "  %%13 = load f32 3 [%%7]\n"
                           "  %%14 = %s f32 [%%12, %%13]\n"
                           "  %%15 = mul f32 [%%14, %%9]\n"
                           "  stage [2] from 0 to 6 {\n"
                           "    reduce %s f32 %%5 to 0\n"
                           "  }\n"
                           "  stage [] from 6 to 16 {\n"
                           "    store 4 [%%6, %%7] %s\n"
                           "  }\n"
                           "}\n";

static bool match(const char *multiply, const char *last, const char *reduce, const char *stored, FblProduct *out) {
    FblContext *ctx = fbl_context_create();
    const char *all = fbl_arena_printf(fbl_context_arena(ctx), text, multiply, last, reduce, stored);
    FblKernel *kernel;
    FblStatus status = fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", all, strlen(all)), &kernel);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    assert_int_equal(fbl_kernel_verify(ctx, kernel), FBL_OK);
    bool found = fbl_kernel_product(kernel, FBL_F32, out);
    fbl_context_destroy(ctx);
    return found;
}

static void test_everything_that_may_be_added(void **state) {
    (void)state;
    FblProduct x;
    assert_true(match("mul", "add", "sum", "%14", &x));
    assert_int_equal(x.batch, 1);
    assert_int_equal(x.i, 10); // the classes: neighbours in the result
    assert_int_equal(x.j, 6);
    assert_int_equal(x.k, 20);
    assert_int_equal(x.p.buffer, 1);
    assert_true(x.p.transposed); // memory runs along the sum
    assert_int_equal(x.p.ld, 20);
    assert_int_equal(x.q.buffer, 0);
    assert_false(x.q.transposed);
    assert_int_equal(x.q.ld, 20);
    assert_int_equal(x.c.buffer, 2);
    assert_int_equal(x.d.buffer, 4);
    assert_int_equal(x.d.ld, 10);
    assert_int_equal(x.bias, 3);
    assert_true(x.alpha == 0.5 && x.beta == 1);
    assert_true(match("mul", "add", "sum", "%12", &x)); // without the bias
    assert_int_equal(x.bias, -1);
    assert_true(x.beta == 1);
    assert_true(match("mul", "add", "sum", "%8", &x)); // nothing but the sum
    assert_int_equal(x.c.buffer, -1);
    assert_true(x.alpha == 1 && x.beta == 0);
}

static void test_other_sums_are_none(void **state) {
    (void)state;
    FblProduct x;
    assert_false(match("add", "add", "sum", "%14", &x));
    assert_false(match("mul", "add", "reduce_max", "%14", &x));
    assert_false(match("mul", "max", "sum", "%14", &x));
    assert_false(match("mul", "mul", "sum", "%14", &x)); // a vector of scales
    assert_false(match("mul", "add", "sum", "%15", &x)); // the additions scaled with the sum
    assert_false(match("mul", "add", "sum", "%13", &x)); // the sum is not stored
}

// A 1x1 convolution of an image of 4 x 5 pixels, 6 to 7 channels, whose operands and result have the types of a case. %s: the image's type, the weight's,
// the result's, the value that stands for the image.
static const char conv[] = "kernel \"conv\" note \"a:1 conv2d\" bytes 1 flops 1 contraction {\n"
                           "  buffer %s [2, 4, 5, 6] in\n"
                           "  buffer %s [7, 6] in\n"
                           "  buffer %s [2, 4, 5, 7] out\n"
                           "  loop 2 \"n\"\n  loop 6 \"c\"\n  loop 4 \"h\"\n  loop 5 \"w\"\n"
                           "  loop 7 \"n\"\n  loop 6 \"c\"\n  loop 1 \"h\"\n  loop 1 \"w\"\n"
                           "  loop 2 \"n\"\n  loop 7 \"c\"\n  loop 4 \"h\"\n  loop 5 \"w\"\n"
                           "  outer 0 vector -1 results 0\n"
                           "  %%0 = loop 0\n  %%1 = loop 1\n  %%2 = loop 2\n  %%3 = loop 3\n"
                           "  %%4 = load f32 0 [%%0, %%2, %%3, %%1]\n"
                           "  %%5 = neg f32 [%%4]\n"
                           "  %%6 = loop 4\n  %%7 = loop 5\n"
                           "  %%8 = load f32 1 [%%6, %%7]\n"
                           "  %%9 = acc\n"
                           "  %%10 = loop 8\n  %%11 = loop 9\n  %%12 = loop 10\n  %%13 = loop 11\n"
                           "  contraction forward direct 2 6 4 5 7 4 5 1 1 1 1 0 0 1 1 1 0 0 0 0 0\n"
                           "  operand [0, 1, 2, 3] from 0 to 6 value %s {\n  }\n"
                           "  operand [4, 5, 6, 7] from 6 to 9 value %%8 {\n  }\n"
                           "  epilogue [8, 9, 10, 11] from 9 to 14 {\n"
                           "    store 2 [%%10, %%12, %%13, %%11] %%9\n"
                           "  }\n"
                           "}\n";

static bool match_by(FblLibraryKind kind, const char *image, const char *weight, const char *result, const char *value, FblDtype factors, FblLibraryWork *out) {
    FblContext *ctx = fbl_context_create();
    const char *all = fbl_arena_printf(fbl_context_arena(ctx), conv, image, weight, result, value);
    FblKernel *kernel;
    FblStatus status = fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", all, strlen(all)), &kernel);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    assert_int_equal(fbl_kernel_verify(ctx, kernel), FBL_OK);
    bool found = fbl_library_work(kernel, kind, factors, out);
    for (int t = 0; t < 2 && found; t++) { // the kernels that fill arrays are kernels like others
        if (out->arrays[t].elements) {
            FblKernel *pack = fbl_array_pack(fbl_context_arena(ctx), kernel, t, out->arrays[t].dtype);
            assert_int_equal(fbl_kernel_verify(ctx, pack), FBL_OK);
        }
    }
    assert_int_equal(fbl_kernel_verify(ctx, fbl_array_finish(fbl_context_arena(ctx), kernel, FBL_F32)), FBL_OK);
    fbl_context_destroy(ctx);
    return found;
}

static bool match_conv(const char *image, const char *weight, const char *result, const char *value, FblDtype factors, FblLibraryWork *out) {
    return match_by(FBL_LIBRARY_CUBLASLT, image, weight, result, value, factors, out);
}

static void test_halves_and_arrays(void **state) {
    (void)state;
    FblLibraryWork x;
    // All of one type: as they lie.
    assert_true(match_conv("f32", "f32", "f32", "%4", FBL_F32, &x));
    assert_int_equal(x.bytes, 0);
    assert_true(match_conv("bf16", "bf16", "bf16", "%4", FBL_BF16, &x));
    assert_int_equal(x.bytes, 0);
    assert_int_equal(x.product.p.dtype, FBL_BF16);
    // Weights in f32 become an array of halves: 42 of them, in the order in which they lie.
    assert_true(match_conv("bf16", "f32", "bf16", "%4", FBL_BF16, &x));
    assert_false(x.images_too);
    assert_int_equal(x.arrays[1].elements, 42);
    assert_int_equal(x.arrays[1].dtype, FBL_BF16);
    assert_int_equal(x.arrays[0].elements, 0);
    assert_int_equal(x.bytes, 256);
    assert_int_equal(x.product.p.buffer, 4); // behind three buffers, operand 1
    assert_int_equal(x.product.p.ld, 6);
    assert_true(x.product.p.transposed);
    assert_int_equal(x.product.q.buffer, 0);
    assert_int_equal(x.product.d.dtype, FBL_BF16);
    // A result in f32 is one of the library's combinations; factors in f32 with a result in halves, factors of two kinds are not, without arrays.
    assert_true(match_conv("f16", "f16", "f32", "%4", FBL_F16, &x));
    assert_int_equal(x.bytes, 0);
    assert_false(match_conv("f32", "f32", "bf16", "%4", FBL_F32, &x));
    assert_true(match_conv("f32", "f32", "bf16", "%4", FBL_BF16, &x));
    assert_true(x.images_too);
    assert_int_equal(x.arrays[0].elements, 240);
    assert_int_equal(x.arrays[1].at, 512);
    assert_false(match_conv("f16", "f32", "f16", "%4", FBL_BF16, &x));
    // What is computed on the way becomes an array, in f32 where factors are.
    assert_true(match_conv("f32", "f32", "f32", "%5", FBL_F32, &x));
    assert_true(x.images_too);
    assert_int_equal(x.arrays[0].dtype, FBL_F32);
    assert_int_equal(x.arrays[1].elements, 0);
    assert_int_equal(x.product.q.buffer, 3);
    assert_int_equal(x.product.q.ld, 6);
}

static void test_convolutions(void **state) {
    (void)state;
    FblLibraryWork x;
    assert_true(match_by(FBL_LIBRARY_CUDNN, "f32", "f32", "f32", "%4", FBL_F32, &x));
    assert_int_equal(x.bytes, 0);
    assert_int_equal(x.sum, 6);
    assert_int_equal(x.convolution.x.buffer, 0);
    assert_int_equal(x.convolution.weight.buffer, 1);
    assert_int_equal(x.convolution.y.buffer, 2);
    assert_int_equal(x.convolution.y.extents[1], 7);
    // A prologue, and factors of another type than they are stored in, are arrays; a result in f32 is none.
    assert_true(match_by(FBL_LIBRARY_CUDNN, "bf16", "f32", "f32", "%5", FBL_BF16, &x));
    assert_int_equal(x.arrays[0].elements, 240);
    assert_int_equal(x.arrays[1].elements, 42);
    assert_int_equal(x.arrays[2].elements, 0);
    assert_int_equal(x.convolution.x.buffer, 3);
    assert_int_equal(x.convolution.y.dtype, FBL_F32);
    // A result in halves of another kind goes through f32, rounded by the epilogue.
    assert_true(match_by(FBL_LIBRARY_CUDNN, "f32", "f32", "bf16", "%4", FBL_F32, &x));
    assert_int_equal(x.arrays[2].elements, 280);
    assert_int_equal(x.arrays[2].dtype, FBL_F32);
    assert_int_equal(x.convolution.y.buffer, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_that_may_be_added), cmocka_unit_test(test_other_sums_are_none),
                                       cmocka_unit_test(test_halves_and_arrays), cmocka_unit_test(test_convolutions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Which kernels are plain matrix products, and what is read off them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "ir/product.h"

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
    bool found = fbl_kernel_product(kernel, out);
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_that_may_be_added), cmocka_unit_test(test_other_sums_are_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

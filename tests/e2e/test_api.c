// The C API: facts of a program, diagnostics by callback, compiled files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fblc.h"

static void keep(void *user, const char *json) {
    char *text = user;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s\n", json);
}

static void facts_of_a_program(void **state) {
    (void)state;
    fblc_context *context = fblc_create();
    fblc_facts facts;
    assert_int_equal(fblc_check(context, "tests/e2e/tiny.fbl", &facts), FBLC_OK);
    assert_true(facts.parameters == 1586); // 3*8*9 + 16 + 8*16*9 + 32 + 16*10 + 10
    assert_true(facts.flops_train_step > 48 * facts.flops_forward_per_image); // a step is more than the forward pass of its batch
    fblc_destroy(context);
}

static void mistakes_reach_the_callback(void **state) {
    (void)state;
    char text[4096] = "";
    fblc_context *context = fblc_create();
    fblc_on_diagnostic(context, keep, text);
    assert_int_equal(fblc_set(context, "loss.lamda", "3"), FBLC_OK);
    assert_int_equal(fblc_check(context, "tests/e2e/tiny.fbl", NULL), FBLC_PROGRAM);
    assert_non_null(strstr(text, "\"severity\":\"error\""));
    assert_non_null(strstr(text, "lambda"));
    fblc_destroy(context);
}

static void unknown_options_are_refused(void **state) {
    (void)state;
    fblc_context *context = fblc_create();
    assert_int_equal(fblc_option(context, "thraeds", "2"), FBLC_USAGE);
    assert_int_equal(fblc_option(context, "threads", "2"), FBLC_OK);
    fblc_destroy(context);
}

static void compiles(void **state) {
    (void)state;
    char path[] = "fblc_api_test_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    fblc_context *context = fblc_create();
    assert_int_equal(fblc_compile(context, "tests/e2e/tiny.fbl", path), FBLC_OK);
    FILE *written = fopen(path, "rb");
    char magic[8] = "";
    assert_non_null(written);
    assert_int_equal(fread(magic, 1, 8, written), 8);
    fclose(written);
    assert_memory_equal(magic, "FBLXFIL1", 8);
    unlink(path);
    fblc_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(facts_of_a_program), cmocka_unit_test(mistakes_reach_the_callback),
                                       cmocka_unit_test(unknown_options_are_refused), cmocka_unit_test(compiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

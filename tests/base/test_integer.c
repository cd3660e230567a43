#include "tests/base/unit.h"

#include "base/integer.h"

static void divisors(void **state) {
    (void)state;
    static const int64_t rows[][3] = {{12, 18, 6}, {18, 12, 6}, {-12, 18, 6}, {12, -18, 6}, {0, 7, 7}, {7, 0, 7}, {0, 0, 0}, {1, INT64_MAX, 1},
                                      {INT64_MAX, INT64_MAX, INT64_MAX}, {(int64_t)3 << 60, (int64_t)1 << 30, (int64_t)1 << 30}, {17, 5, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(fbl_gcd(rows[i][0], rows[i][1]) == rows[i][2]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(divisors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

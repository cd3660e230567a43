// Against cases counted by hand.
#include "tests/data/support.h"

#include <math.h>

#include "runtime/metrics.h"

#define NEAR 1e-12 // sums of a few fractions in double precision

static void counted_by_hand(void **state) {
    (void)state;
    const int64_t train[7] = {500, 101, 100, 20, 19, 1, 50};
    FblMetrics m;
    assert_int_equal(fbl_metrics_init(&m, 7, train), FBL_OK);
    const float scores[7][7] = {
        {9, 0, 0, 0, 0, 0, 0},  // class 0: right
        {0, 9, 0, 0, 0, 0, 0},  // class 0: says 1; rank of 0 is 2 (ties go to the lower number)
        {0, 5, 6, 7, 8, 9, 10}, // class 0: last: not in the top 5
        {0, 9, 0, 0, 0, 0, 0},  // class 1: right
        {1, 2, 3, 4, 5, 6, 7},  // class 2: says 6; rank 5: in the top 5
        {0, 0, 0, 9, 0, 0, 0},  // class 3: right
        {0, 0, 0, 0, 0, 9, 0},  // class 4: says 5
    };
    const int32_t labels[7] = {0, 0, 0, 1, 2, 3, 4};
    fbl_metrics_add(&m, scores[0], labels, 3);
    fbl_metrics_add(&m, scores[3], labels + 3, 4);
    fbl_metrics_add_loss(&m, 2.0, 3);
    fbl_metrics_add_loss(&m, 0.5, 1);
    FblMetricsSummary s = fbl_metrics_summary(&m);
    assert_true(fabs(s.top1 - 3.0 / 7) < NEAR);
    // Class 4's own score is one of six zeros: before it rank 5 and the zeros of 0, 1, 2, 3: rank 6, so it misses.
    assert_true(fabs(s.top5 - 5.0 / 7) < NEAR);
    assert_true(fabs(s.loss - 1.625) < NEAR);
    assert_true(fabs(s.many - (1.0 / 3 + 1) / 2) < NEAR); // classes 0 and 1
    assert_true(fabs(s.medium - (0.0 + 1) / 2) < NEAR);   // classes 2 and 3; 6 has no test images
    assert_true(fabs(s.few - 0) < NEAR);                  // class 4; 5 has no test images
    assert_true(fabs(s.class_mean - (1.0 / 3 + 1 + 0 + 1 + 0) / 5) < NEAR);
    assert_true(isnan(fbl_metrics_class_accuracy(&m, 5)));
    assert_int_equal(m.confusion[0 * 7 + 1], 1);
    assert_int_equal(m.confusion[0 * 7 + 6], 1);
    assert_int_equal(m.confusion[4 * 7 + 5], 1);
    assert_int_equal(m.top5_by_class[0], 2);
    fbl_metrics_reset(&m);
    s = fbl_metrics_summary(&m);
    assert_true(isnan(s.top1) && isnan(s.loss) && isnan(s.many));
    fbl_metrics_deinit(&m);
}

static void not_a_number_is_wrong(void **state) {
    (void)state;
    FblMetrics m;
    assert_int_equal(fbl_metrics_init(&m, 3, NULL), FBL_OK);
    const float scores[4][3] = {{NAN, NAN, NAN}, {NAN, 1, 0}, {1, NAN, 0}, {2, 1, 0}};
    const int32_t labels[4] = {0, 0, 0, 0};
    fbl_metrics_add(&m, scores[0], labels, 4);
    assert_int_equal(m.top1, 1);
    assert_int_equal(m.top5, 2); // the third row's class 0 is second
    assert_int_equal(m.confusion[0], 1);
    FblMetricsSummary s = fbl_metrics_summary(&m);
    assert_true(isnan(s.many)); // no training counts
    assert_true(s.top1 == 0.25);
    fbl_metrics_deinit(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counted_by_hand), cmocka_unit_test(not_a_number_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

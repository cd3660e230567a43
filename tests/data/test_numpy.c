// Against lists that numpy itself made (scripts/make_numpy_lists.py).
#include "tests/data/support.h"

#include "runtime/data/dataset.h"
#include "runtime/data/numpy.h"

#define GOLDEN "tests/data/golden/"

static void words_are_numpys(void **state) {
    (void)state;
    size_t size;
    char *text = slurp(GOLDEN "mt19937.txt", &size);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        char *at = line;
        FblNumpyRandom random;
        fbl_numpy_seed(&random, (uint32_t)strtoul(at, &at, 10));
        for (int i = 0; i < 700; i++) {
            uint32_t word = fbl_numpy_next(&random);
            if (i < 4 || i >= 696) {
                assert_int_equal(word, strtoul(at, &at, 10));
            }
        }
    }
    assert_int_equal(lines, 4);
    free(text);
}

static void counts_are_pythons(void **state) {
    (void)state;
    size_t size;
    char *text = slurp(GOLDEN "counts.txt", &size);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        char *at = strchr(line, ' ');
        int32_t classes = (int32_t)strtol(at, &at, 10);
        double images = strtod(at, &at);
        FblImbalance imbalance = {.kind = line[0] == 'e' ? FBL_IMBALANCE_EXPONENTIAL : FBL_IMBALANCE_STEP,
                                  .factor = strtod(at, &at)};
        int64_t counts[100];
        fbl_imbalance_counts(&imbalance, images / classes, classes, counts);
        for (int32_t c = 0; c < classes; c++) {
            assert_int_equal(counts[c], strtol(at, &at, 10));
        }
    }
    assert_int_equal(lines, 36);
    free(text);
}

static void published_counts(void **state) {
    (void)state;
    const int64_t expected[10] = {5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50};
    int64_t counts[10];
    FblImbalance imbalance = {.kind = FBL_IMBALANCE_EXPONENTIAL, .factor = 0.01};
    fbl_imbalance_counts(&imbalance, 5000, 10, counts);
    assert_memory_equal(counts, expected, sizeof counts);
}

static void check_selection(const char *path, int64_t count, const FblImbalance *imbalance) {
    size_t size;
    unsigned char *expected = (unsigned char *)slurp(path, &size);
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    for (int64_t i = 0; i < count; i++) {
        labels[i] = (int32_t)((i * 7 + i / 10) % 10);
    }
    FblContext *ctx = fbl_context_create();
    int64_t *indices;
    int64_t kept;
    assert_int_equal(fbl_imbalance_select(ctx, imbalance, labels, count, 10, &indices, &kept), FBL_OK);
    assert_int_equal(kept, size / 2);
    for (int64_t i = 0; i < kept; i++) {
        assert_int_equal(indices[i], expected[2 * i] | expected[2 * i + 1] << 8);
    }
    free(indices);
    free(labels);
    free(expected);
    fbl_context_destroy(ctx);
}

static void selection_is_the_published_one(void **state) {
    (void)state;
    FblImbalance exponential = {FBL_IMBALANCE_EXPONENTIAL, 0.01, 0};
    check_selection(GOLDEN "cifar10_exp_100.u16", 50000, &exponential);
    FblImbalance step = {FBL_IMBALANCE_STEP, 0.1, 3};
    check_selection(GOLDEN "small_step_10.u16", 600, &step);
}

static void argsort_has_numpys_ties(void **state) {
    (void)state;
    size_t size;
    unsigned char *expected = (unsigned char *)slurp(GOLDEN "argsort_8142.u16", &size);
    // Class c has the count int(1000 * 0.002^(i / 8141)) of place i = 4001 c mod 8142.
    enum { N = 8142 };
    int64_t *values = malloc(N * sizeof *values);
    int64_t *order = malloc(N * sizeof *order);
    int64_t *sorted = malloc(N * sizeof *sorted);
    FblImbalance imbalance = {.kind = FBL_IMBALANCE_EXPONENTIAL, .factor = 0.002};
    fbl_imbalance_counts(&imbalance, 1000, N, sorted);
    for (int64_t c = 0; c < N; c++) {
        values[c] = -sorted[c * 4001 % N];
    }
    fbl_numpy_argsort(values, N, order);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(order[i], expected[2 * i] | expected[2 * i + 1] << 8);
    }
    free(values);
    free(order);
    free(sorted);
    free(expected);
}

static void argsort_sorts_anything(void **state) {
    (void)state;
    // Patterns that drive quicksort to its depth limit, so that the heap sort runs as well.
    enum { N = 5000 };
    static int64_t values[N];
    static int64_t order[N];
    for (int pattern = 0; pattern < 4; pattern++) {
        for (int64_t i = 0; i < N; i++) {
            int64_t organ_pipe = i < N / 2 ? i : N - i;
            int64_t killer = i % 2 == 0 ? i / 2 : N / 2 + i; // of median-of-three
            values[i] = pattern == 0 ? i : pattern == 1 ? -i : pattern == 2 ? organ_pipe : killer;
        }
        fbl_numpy_argsort(values, N, order);
        bool seen[N] = {false};
        for (int64_t i = 0; i < N; i++) {
            assert_true(i == 0 || values[order[i - 1]] <= values[order[i]]);
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
        }
    }
}

static void impossible_selections_are_explained(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const int32_t labels[4] = {0, 0, 1, 1};
    int64_t *indices;
    int64_t kept;
    FblImbalance imbalance = {FBL_IMBALANCE_EXPONENTIAL, 0, 0};
    assert_int_equal(fbl_imbalance_select(ctx, &imbalance, labels, 4, 2, &indices, &kept), FBL_USER);
    expect_diagnosed(ctx, "E0809");
    imbalance.factor = 0.1;
    assert_int_equal(fbl_imbalance_select(ctx, &imbalance, labels, 4, 2, &indices, &kept), FBL_USER);
    expect_diagnosed(ctx, "would leave class 1 without images");
    imbalance.factor = 0.9;
    assert_int_equal(fbl_imbalance_select(ctx, &imbalance, labels, 4, 3, &indices, &kept), FBL_USER);
    expect_diagnosed(ctx, "class 2 has no images");
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_numpys),
        cmocka_unit_test(counts_are_pythons),
        cmocka_unit_test(published_counts),
        cmocka_unit_test(selection_is_the_published_one),
        cmocka_unit_test(argsort_has_numpys_ties),
        cmocka_unit_test(argsort_sorts_anything),
        cmocka_unit_test(impossible_selections_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/data/support.h"

#include <math.h>

#include "runtime/data/sampler.h"

enum { CLASSES = 4, COUNT = 1110 };

// 1000, 100, 0 and 10 images, interleaved.
static void make_set(FblDataset *data, int32_t *labels, int64_t *counts) {
    memset(counts, 0, CLASSES * sizeof *counts);
    for (int i = 0; i < COUNT; i++) {
        labels[i] = i % 111 == 5 ? 3 : i % 11 == 3 && i % 111 != 3 && i < 1110 ? 1 : 0;
    }
    for (int i = 0; i < COUNT; i++) {
        counts[labels[i]]++;
    }
    *data = (FblDataset){.count = COUNT, .labels = labels, .classes = CLASSES, .class_counts = counts};
}

static void shuffles_are_permutations(void **state) {
    (void)state;
    int32_t labels[COUNT];
    int64_t counts[CLASSES];
    FblDataset data;
    make_set(&data, labels, counts);
    FblSampler sampler = {.kind = FBL_SAMPLER_SHUFFLE};
    int64_t first[COUNT];
    int64_t again[COUNT];
    int64_t next[COUNT];
    assert_int_equal(fbl_sampler_order(&sampler, &data, 1, 0, first), FBL_OK);
    assert_int_equal(fbl_sampler_order(&sampler, &data, 1, 0, again), FBL_OK);
    assert_int_equal(fbl_sampler_order(&sampler, &data, 1, 1, next), FBL_OK);
    assert_memory_equal(first, again, sizeof first);
    int same = 0;
    bool seen[COUNT] = {false};
    for (int i = 0; i < COUNT; i++) {
        assert_false(seen[first[i]]);
        seen[first[i]] = true;
        same += first[i] == next[i];
    }
    assert_true(same < 10); // one in common on average
    sampler.kind = FBL_SAMPLER_SEQUENTIAL;
    assert_int_equal(fbl_sampler_order(&sampler, &data, 1, 0, first), FBL_OK);
    assert_int_equal(first[COUNT - 1], COUNT - 1);
}

// All 24 orders of four images are equally likely: 2,400 epochs, 100 each, chi-squared with 23 degrees of freedom.
static void shuffles_are_uniform(void **state) {
    (void)state;
    int32_t labels[4] = {0};
    int64_t counts[1] = {4};
    FblDataset data = {.count = 4, .labels = labels, .classes = 1, .class_counts = counts};
    FblSampler sampler = {.kind = FBL_SAMPLER_SHUFFLE};
    int seen[256] = {0};
    for (int64_t epoch = 0; epoch < 2400; epoch++) {
        int64_t order[4];
        assert_int_equal(fbl_sampler_order(&sampler, &data, 9, epoch, order), FBL_OK);
        seen[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    double chi = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++) {
        orders += seen[i] > 0;
        chi += seen[i] > 0 ? (seen[i] - 100.0) * (seen[i] - 100.0) / 100 : 0;
    }
    assert_int_equal(orders, 24);
    assert_true(chi < 60); // probability below 1e-4
}

static void class_frequencies(void **state) {
    (void)state;
    int32_t labels[COUNT];
    int64_t counts[CLASSES];
    FblDataset data;
    make_set(&data, labels, counts);
    double n0 = (double)counts[0];
    double n1 = (double)counts[1];
    double n3 = (double)counts[3];
    assert_int_equal(counts[2], 0);
    double e[4] = {1 - pow(0.999, n0), 1 - pow(0.999, n1), 0, 1 - pow(0.999, n3)};
    const struct {
        FblSampler sampler;
        int64_t epoch;
        double weight[4]; // of a draw being of the class, up to a factor
    } cases[] = {
        {{.kind = FBL_SAMPLER_BALANCED}, 0, {1, 1, 0, 1}},
        {{.kind = FBL_SAMPLER_SQRT}, 0, {sqrt(n0), sqrt(n1), 0, sqrt(n3)}},
        {{.kind = FBL_SAMPLER_REVERSE}, 0, {1 / n0, 1 / n1, 0, 1 / n3}},
        {{.kind = FBL_SAMPLER_EFFECTIVE, .beta = 0.999}, 0, {n0 / e[0], n1 / e[1], 0, n3 / e[3]}},
        {{.kind = FBL_SAMPLER_PROGRESSIVE, .epochs = 4}, 0, {n0, n1, 0, n3}},
        {{.kind = FBL_SAMPLER_PROGRESSIVE, .epochs = 4},
         3,
         {n0 / COUNT / 4 + 0.25, n1 / COUNT / 4 + 0.25, 0, n3 / COUNT / 4 + 0.25}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double sum = cases[k].weight[0] + cases[k].weight[1] + cases[k].weight[3];
        double weights[CLASSES];
        fbl_sampler_class_weights(&cases[k].sampler, &data, cases[k].epoch, weights);
        int64_t drawn[CLASSES] = {0};
        int64_t order[COUNT];
        for (uint64_t seed = 0; seed < 20; seed++) {
            assert_int_equal(fbl_sampler_order(&cases[k].sampler, &data, seed, cases[k].epoch, order), FBL_OK);
            for (int i = 0; i < COUNT; i++) {
                drawn[labels[order[i]]]++;
            }
        }
        for (int c = 0; c < CLASSES; c++) {
            double expected = cases[k].weight[c] / sum;
            assert_true(fabs(weights[c] - expected) < 1e-12);
            double deviation = sqrt(expected * (1 - expected) / (20.0 * COUNT));
            assert_true(fabs((double)drawn[c] / (20.0 * COUNT) - expected) <= 5 * deviation);
        }
    }
}

static void class_aware_cycles(void **state) {
    (void)state;
    int32_t labels[COUNT];
    int64_t counts[CLASSES];
    FblDataset data;
    make_set(&data, labels, counts);
    FblSampler sampler = {.kind = FBL_SAMPLER_CLASS_AWARE};
    int64_t length = fbl_sampler_length(&sampler, &data);
    assert_int_equal(length, 3 * counts[0]);
    int64_t *order = malloc((size_t)length * sizeof *order);
    assert_int_equal(fbl_sampler_order(&sampler, &data, 1, 0, order), FBL_OK);
    int uses[COUNT] = {0};
    for (int64_t i = 0; i + 12 <= length; i += 12) { // a cycle: each of the three classes once, four images each
        int seen[CLASSES] = {0};
        for (int64_t k = 0; k < 12; k++) {
            assert_int_equal(labels[order[i + k]], labels[order[i + k / 4 * 4]]);
            seen[labels[order[i + k]]]++;
        }
        assert_true(seen[0] == 4 && seen[1] == 4 && seen[3] == 4);
    }
    for (int64_t i = 0; i < length; i++) {
        uses[order[i]]++;
    }
    for (int i = 0; i < COUNT; i++) { // images of a class are used equally often, but for the last started round
        double mean = (double)counts[0] / (double)counts[labels[i]];
        assert_true(fabs(uses[i] - mean) <= 2 + 4.0 / (double)counts[labels[i]]);
    }
    free(order);
}

static void names(void **state) {
    (void)state;
    FblSamplerKind kind;
    assert_true(fbl_sampler_kind("class_aware", &kind));
    assert_int_equal(kind, FBL_SAMPLER_CLASS_AWARE);
    assert_false(fbl_sampler_kind("none", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_are_permutations),
        cmocka_unit_test(shuffles_are_uniform),
        cmocka_unit_test(class_frequencies),
        cmocka_unit_test(class_aware_cycles),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

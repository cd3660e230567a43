#include "base/philox.h"

#include "tests/base/unit.h"

static void expect_block(FblPhilox got, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    assert_int_equal(got.v[0], a);
    assert_int_equal(got.v[1], b);
    assert_int_equal(got.v[2], c);
    assert_int_equal(got.v[3], d);
}

// The known-answer vectors that its authors publish for philox4x32-10: zeros, ones, and digits of pi.
static void known_answers(void **state) {
    (void)state;
    expect_block(fbl_philox(0, 0, 0, 0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    expect_block(fbl_philox(~0u, ~0u, ~0u, ~0u, ~0u, ~0u), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    expect_block(fbl_philox(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0), 0xd16cfe09,
                 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

static void words_come_from_their_counter(void **state) {
    (void)state;
    // The third vector again, through seed, stream, step and index: word 2 of block 0x243f6a88.
    uint64_t seed = UINT64_C(0x299f31d0a4093822);
    uint64_t step = UINT64_C(0x0370734413198a2e);
    uint64_t index = UINT64_C(0x243f6a88) * 4;
    assert_int_equal(fbl_random_u32(seed, 0x85a308d3, step, index + 0), 0xd16cfe09);
    assert_int_equal(fbl_random_u32(seed, 0x85a308d3, step, index + 2), 0x5001e420);
    assert_int_equal(fbl_random_u32(seed, 0x85a308d3, step, index + 3), 0x24126ea1);
}

static void uniform_stays_inside(void **state) {
    (void)state;
    assert_true(fbl_uniform_f32(0) > 0.0f);
    assert_true(fbl_uniform_f32(~0u) < 1.0f);
    assert_true(fbl_uniform_f32(0x80000000u) > 0.5f);
    assert_true(fbl_uniform_f32(0x7FFFFFFFu) < 0.5f);
    // The mean of 2^16 words is within five standard deviations, 5 / sqrt(12 * 2^16) = 0.0057, of one half.
    double sum = 0;
    for (uint64_t i = 0; i < 65536; i++) {
        sum += (double)fbl_uniform_f32(fbl_random_u32(7, 1, 0, i));
    }
    assert_true(sum / 65536 > 0.4943 && sum / 65536 < 0.5057);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(words_come_from_their_counter),
        cmocka_unit_test(uniform_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

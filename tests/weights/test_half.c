#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weights/half.h"

#include <math.h>
#include <string.h>

#define ALL 65536

static uint16_t patterns[ALL], back[ALL];
static float values[ALL];

static int number_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL; i++)
        patterns[i] = (uint16_t)i;
    return 0;
}

/* The definition of IEEE binary16, in double. */
static double f16_value(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023) / 1024;
    double magnitude = exponent ? ldexp(1 + fraction, exponent - 15) : ldexp(fraction, -14);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void every_f16_pattern_has_its_value(void **state)
{
    (void)state;
    half_from_f16(values, patterns, ALL);
    for (unsigned i = 0; i < ALL; i++) {
        if ((i & 0x7c00) != 0x7c00) {
            assert_true((double)values[i] == f16_value(i));
            assert_int_equal(signbit(values[i]) != 0, i >> 15);
        } else if (i & 0x3ff) {
            assert_true(isnan(values[i]));
        } else {
            assert_true(isinf(values[i]) && (values[i] < 0) == (i >> 15));
        }
    }
}

static void every_f16_pattern_survives_the_way_to_float_and_back(void **state)
{
    (void)state;
    half_from_f16(values, patterns, ALL);
    half_to_f16(back, values, ALL);
    assert_memory_equal(back, patterns, sizeof back);
}

static void every_bf16_pattern_survives_the_way_to_float_and_back(void **state)
{
    (void)state;
    half_from_bf16(values, patterns, ALL);
    for (unsigned i = 0; i < ALL; i++) {
        uint32_t bits = i << 16;
        assert_memory_equal(&values[i], &bits, sizeof bits);
    }
    half_to_bf16(back, values, ALL);
    assert_memory_equal(back, patterns, sizeof back);
}

/* Between neighbours: a little below the middle goes down, a little above up, the middle to the even one. */
static void check_rounding(unsigned lower, float low, float high,
                           void (*round)(uint16_t *restrict, const float *restrict, size_t))
{
    float middle = low / 2 + high / 2; // exact: half precision has bits to spare
    float input[3] = {nextafterf(middle, low), middle, nextafterf(middle, high)};
    uint16_t rounded[3];
    round(rounded, input, 3);
    assert_int_equal(rounded[0], lower);
    assert_int_equal(rounded[1], lower & 1 ? lower + 1 : lower);
    assert_int_equal(rounded[2], lower + 1);
}

static void f16_rounds_to_nearest_even_between_any_two_neighbours(void **state)
{
    (void)state;
    half_from_f16(values, patterns, ALL);
    for (unsigned i = 0; i < 0x7bff; i++) {
        check_rounding(i, values[i], values[i + 1], half_to_f16);
        check_rounding(i | 0x8000, values[i | 0x8000], values[(i + 1) | 0x8000], half_to_f16);
    }
}

static void bf16_rounds_to_nearest_even_between_any_two_neighbours(void **state)
{
    (void)state;
    half_from_bf16(values, patterns, ALL);
    for (unsigned i = 0x100; i < 0x7f7f; i++) // beyond the denormals, whose halves are no floats of their own
        check_rounding(i, values[i], values[i + 1], half_to_bf16);
}

static void what_is_too_large_becomes_infinity(void **state)
{
    (void)state;
    const float input[] = {65519.996f, 65520.0f, 1e30f, INFINITY, -65520.0f, -INFINITY};
    const uint16_t expected[] = {0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0xfc00};
    half_to_f16(back, input, 6);
    assert_memory_equal(back, expected, sizeof expected);
    const float large[] = {3.4e38f, INFINITY, -3.4e38f};
    const uint16_t expected_bf16[] = {0x7f80, 0x7f80, 0xff80};
    half_to_bf16(back, large, 3);
    assert_memory_equal(back, expected_bf16, sizeof expected_bf16);
}

static void a_nan_stays_a_nan_even_if_its_payload_is_cut_off(void **state)
{
    (void)state;
    const uint32_t bits[] = {0x7f800001u, 0xffffffffu, 0x7fc00000u};
    float input[3], output[3];
    memcpy(input, bits, sizeof bits);
    half_to_f16(back, input, 3);
    half_from_f16(output, back, 3);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(output[i]));
    half_to_bf16(back, input, 3);
    half_from_bf16(output, back, 3);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(output[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_pattern_has_its_value),
        cmocka_unit_test(every_f16_pattern_survives_the_way_to_float_and_back),
        cmocka_unit_test(every_bf16_pattern_survives_the_way_to_float_and_back),
        cmocka_unit_test(f16_rounds_to_nearest_even_between_any_two_neighbours),
        cmocka_unit_test(bf16_rounds_to_nearest_even_between_any_two_neighbours),
        cmocka_unit_test(what_is_too_large_becomes_infinity),
        cmocka_unit_test(a_nan_stays_a_nan_even_if_its_payload_is_cut_off),
    };
    return cmocka_run_group_tests(tests, number_patterns, NULL);
}

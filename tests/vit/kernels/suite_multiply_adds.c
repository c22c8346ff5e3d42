/* What a processor's peak is measured by: every number is multiplied and added to as often as is said, so
 * that no compiler has left any of it out. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void every_number_has_all_its_rounds(void **state)
{
    const kernels *k = tested(state);
    for (size_t rounds = 0; rounds < 40; rounds += 1 + rounds / 8) {
        random_stream r = {rounds};
        float *y = array_random(&r, MULTIPLY_ADDS_MAX, 1), *before = array_copy(y, MULTIPLY_ADDS_MAX);
        size_t count = k->multiply_adds(y, 0.875f, 0.25f, rounds);
        assert_true(count > 0 && count <= MULTIPLY_ADDS_MAX);
        for (size_t i = 0; i < count; i++) {
            double expected = (double)before[i];
            for (size_t round = 0; round < rounds; round++)
                expected = expected * 0.875 + 0.25;
            assert_close((double)y[i], expected, 8 * (double)FLT_EPSILON * (1 + fabs(expected)));
        }
        assert_same_bits(y + count, before + count, MULTIPLY_ADDS_MAX - count);
        array_free(y);
        array_free(before);
    }
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(every_number_has_all_its_rounds)};

const suite multiply_adds_suite = {"multiply_adds", ENTRIES(multiply_adds, multiply_adds), TESTS(tests)};

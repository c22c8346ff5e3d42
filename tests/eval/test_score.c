/* What an image's logits are worth: its likeliest classes, whether they are right, and the loss. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eval/score.h"

#include <math.h>

static score scored(const float *logits, const score_rules *rules)
{
    score s;
    assert_int_equal(score_image(&s, logits, rules, NULL), MOHVIT_OK);
    return s;
}

static void a_score_ranks_and_weighs(void **state)
{
    (void)state;
    const float logits[7] = {1, 3, 2, 3, -1, 0, 0.5f};
    const uint32_t right[] = {2};
    score s = scored(logits, &(score_rules){7, NULL, right, 1});
    const uint32_t order[] = {1, 3, 2, 0, 6}; // a tie to the lower class
    assert_memory_equal(s.top, order, sizeof order);
    double sum = 0;
    for (size_t i = 0; i < 7; i++)
        sum += exp((double)logits[i]);
    assert_true(fabs((double)s.probability[2] - exp(2) / sum) < 1e-7);
    assert_true(fabs((double)s.loss / LOSS_UNITS + log(exp(2) / sum)) < 1e-9);
    assert_false(s.right1);
    assert_true(s.right5);
    const uint32_t last[] = {4};
    assert_false(scored(logits, &(score_rules){7, NULL, last, 1}).right5);
}

static void any_accepted_class_is_right(void **state)
{
    (void)state;
    const float logits[3] = {1, 3, 2};
    const uint32_t right[] = {0, 1};
    score s = scored(logits, &(score_rules){3, NULL, right, 2});
    assert_true(s.right1);
    double p = (exp(1) + exp(3)) / (exp(1) + exp(3) + exp(2));
    assert_true(fabs((double)s.loss / LOSS_UNITS + log(p)) < 1e-9);
    s = scored(logits, &(score_rules){3, NULL, NULL, 0});
    assert_false(s.right1 || s.right5);
    assert_int_equal(s.loss, 0);
}

static void only_classes_of_the_subset_compete(void **state)
{
    (void)state;
    const float logits[4] = {9, 1, 2, NAN};
    const bool competes[4] = {false, true, true, false};
    const uint32_t right[] = {2};
    score s = scored(logits, &(score_rules){4, competes, right, 1});
    assert_int_equal(s.top_count, 2);
    assert_int_equal(s.top[0], 2);
    assert_true(fabs((double)s.probability[0] - exp(2) / (exp(1) + exp(2))) < 1e-7);
    score out;
    assert_int_equal(score_image(&out, logits, &(score_rules){4, NULL, right, 1}, NULL),
                     MOHVIT_ERROR_NONFINITE);
}

static void huge_logits_have_a_finite_loss(void **state)
{
    (void)state;
    const float logits[2] = {3e38f, -3e38f};
    const uint32_t right[] = {1};
    score s = scored(logits, &(score_rules){2, NULL, right, 1});
    assert_int_equal(s.loss, (int64_t)(LOSS_MAX * LOSS_UNITS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_ranks_and_weighs),
        cmocka_unit_test(any_accepted_class_is_right),
        cmocka_unit_test(only_classes_of_the_subset_compete),
        cmocka_unit_test(huge_logits_have_a_finite_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Intervals of load and mean gate against numbers worked out by hand; coverage.py says how often they hold.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/headload/interval.h"
#include "vit/headload/probability.h"
#include "tests/vit/headload/head_load_testing.h"

static void assert_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-9))
        fail_msg("got %.15g, expected %.15g", got, expected);
}

/* As tables have it. */
static void quantiles_are_students(void **state)
{
    (void)state;
    assert_near(student_quantile(1), 12.706204736174698);
    assert_near(student_quantile(2), 4.302652729749462);
    assert_near(student_quantile(9), 2.262157162798205);
    assert_near(student_quantile(49), 2.009575237129235);
    assert_near(student_quantile(10000), 1.960201239888070);
    assert_near(student_quantile(10001), 1.960201216162086);
    assert_near(student_quantile(1e12), 1.959963984542427);
    assert_near(interval_t(10), student_quantile(9));
    assert_true(isnan(interval_t(1)) && isnan(interval_t(0)));
    assert_near(beta_share(2, 3, 0.4), 0.5248); // 1 - (1 - x)^4 - 4 x (1 - x)^3
    assert_near(beta_share(2, 3, 0), 0);
    assert_near(beta_share(2, 3, 1), 1);
}

/* One shared and three routed heads, of which each of its ten tokens picks one. */
static head_load *make(void)
{
    routing_layout layout = {.model = "test"};
    const routing_block b = {"1.0", 0, 1, 0, 4, 1, 1, 10}, all = {"1.1", 0, 1, 1, 3, 1, 2, 10};
    labels names;
    head_load *l;
    json_t *made_of = json_object();
    assert_int_equal(routing_layout_add(&layout, &b, NULL), MOHVIT_OK);
    assert_int_equal(routing_layout_add(&layout, &all, NULL), MOHVIT_OK);
    assert_int_equal(labels_numbered(&names, 3, NULL), MOHVIT_OK);
    assert_int_equal(head_load_create(&l, &layout, made_of, &names, NULL), MOHVIT_OK);
    json_decref(made_of);
    labels_free(&names);
    routing_layout_free(&layout);
    return l;
}

/* An image of class c, whose tokens pick the first routed head a times and else the second. */
static void add(head_load *l, size_t c, int32_t a)
{
    const int32_t tokens[] = {10, a, 10 - a, 0, 10, 10, 10, -1};
    const double gates[] = {10, 0.5 * a, 2 * (10 - a), 0, 10, 10, 10, 0};
    assert_int_equal(head_load_add(l, c, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
}

static void intervals_are_what_they_are_said_to_be(void **state)
{
    (void)state;
    head_load *l = make();
    for (int32_t i = 0; i < 20; i++)
        add(l, 0, i % 2 ? 7 : 3);
    double t = interval_t(20), half = t * 0.2 / sqrt(19);
    interval i = interval_of_load(l, 0, 0, 1, t);
    assert_near(i.low, 0.5 - half); // at a half, Student's is the wider
    assert_near(i.high, 0.5 + half);
    assert_true(i.reliable); // 100² / 580
    i = interval_of_load(l, 0, 0, 0, t);
    assert_true(i.low == 1 && i.high == 1 && i.reliable); // it is shared
    i = interval_of_load(l, 0, 1, 2, t);
    assert_true(i.low == 1 && i.high == 1 && i.reliable); // all candidates are routed
    i = interval_of_load(l, 0, 0, 3, t);
    assert_true(i.low == 0 && i.high == 0 && !i.reliable); // none of twenty says little of others
    // Mean gates 0.15 and 0.35, in units of 2^-16: the lower end is Student's; the mean is as far from the
    // upper end as the error that goes with that end says.
    i = interval_of_gate(l, 0, 0, 1, t);
    half = t * 0.1 / sqrt(19);
    assert_true(fabs(i.low - (0.25 - half)) < 1e-5);
    assert_true(fabs((i.high - 0.25) - half * sqrt(i.high / 0.25)) < 1e-5);
    assert_true(i.reliable);
    i = interval_of_gate(l, 0, 0, 0, t);
    assert_near(i.low, 1);
    assert_near(i.high, 1);
    i = interval_of_gate(l, 0, 0, 3, t);
    assert_true(i.low == 0 && i.high == 0 && !i.reliable);
    head_load_destroy(l);
}

static void few_images_are_not_relied_on(void **state)
{
    (void)state;
    head_load *l = make();
    add(l, 1, 5);
    assert_true(isnan(interval_of_load(l, 1, 0, 1, interval_t(1)).low)); // one image
    assert_true(isnan(interval_of_gate(l, 1, 0, 1, interval_t(1)).low));
    assert_true(isnan(interval_of_load(l, 2, 0, 0, interval_t(0)).high)); // none
    add(l, 1, 5);
    interval two = interval_of_load(l, 1, 0, 1, interval_t(2));
    assert_true(two.low == 0.5 && two.high == 0.5 && !two.reliable);
    // Of forty images, ten with the head: ten with all tokens, or with few. Then nine.
    for (size_t i = 0; i < 40; i++)
        add(l, 0, i < 10 ? 10 : 0);
    interval i = interval_of_load(l, 0, 0, 1, interval_t(40)),
             other = interval_of_load(l, 0, 0, 2, interval_t(40));
    assert_true(i.reliable && other.reliable);
    assert_near(i.low, 1 - other.high);
    double h = interval_t(40) * sqrt(0.25 * 0.75 / 39),
           truth = i.high; // the upper end is Wilson's, the lower Student's
    assert_near(i.low, 0.25 - h);
    assert_near(truth - 0.25, h * sqrt(truth * (1 - truth) / (0.25 * 0.75)));
    assert_true(interval_of_gate(l, 0, 0, 1, interval_t(40)).reliable);
    for (size_t k = 0; k < 40; k++)
        add(l, 2, k < 9 ? 10 : 0);
    assert_false(interval_of_load(l, 2, 0, 1, interval_t(40)).reliable);
    assert_false(interval_of_load(l, 2, 0, 2, interval_t(40)).reliable); // few images without it
    assert_false(interval_of_gate(l, 2, 0, 1, interval_t(40)).reliable);
    assert_true(interval_of_gate(l, 2, 0, 2, interval_t(40)).reliable);
    l->has_squares = false;
    assert_true(isnan(interval_of_load(l, 0, 0, 1, interval_t(40)).low));
    assert_true(isnan(interval_of_gate(l, 0, 0, 1, interval_t(40)).low));
    head_load_destroy(l);
}

static void measures_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"load", "gate", "gate-share"};
    head_load *l = make();
    add(l, 0, 4);
    for (size_t i = 0; i < 3; i++) {
        head_measure m;
        assert_true(measure_by_name(&m, names[i]));
        assert_int_equal(m, i);
    }
    assert_false(measure_by_name(&(head_measure){0}, "gates"));
    assert_near(measure_of(l, MEASURE_LOAD, 0, 0, 1), 0.4);
    assert_near(measure_of(l, MEASURE_GATE, 0, 0, 1), 0.2);
    assert_near(measure_of(l, MEASURE_GATE_SHARE, 0, 0, 1), 2. / 24); // 10 + 2 + 12 in all
    assert_near(head_load_gate_share_of_routed(l, 0, 0), 14. / 24);
    assert_true(isnan(head_load_gate_share_of_routed(l, 1, 0)));
    add(l, 0, 7);
    assert_true(measure_interval(l, MEASURE_GATE, 0, 0, 1, interval_t(2)).high > 0.3);
    assert_true(isnan(measure_interval(l, MEASURE_GATE_SHARE, 0, 0, 1, interval_t(2)).high));
    head_load_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_students),
        cmocka_unit_test(intervals_are_what_they_are_said_to_be),
        cmocka_unit_test(measures_have_names),
        cmocka_unit_test(few_images_are_not_relied_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Statistics of a head load against numbers worked out by hand, and classes ordered by how they route. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/headload/head_load_statistics.h"
#include "tests/vit/headload/head_load_testing.h"

#include <math.h>
#include <string.h>

static void assert_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-12))
        fail_msg("got %.15g, expected %.15g", got, expected);
}

/* One shared and four routed heads in the last block, of which each of its four tokens picks two. */
static head_load *make(size_t classes)
{
    static const char json[] =
        "{\"embed_dims\":[10,10,10,10],\"num_heads\":[1,1,1,5],\"depths\":[1,1,1,1],\"mlp_ratios\":[4,4,4,4],"
        "\"sr_ratios\":[8,4,2,1],\"shared_head\":[1,1,1,1],\"routed_head\":[0,0,0,2],\"num_classes\":1,"
        "\"img_size\":64}";
    config c;
    labels names;
    assert_int_equal(config_from_json(&c, json, strlen(json), "test", NULL), MOHVIT_OK);
    c.num_classes = classes;
    assert_int_equal(labels_numbered(&names, classes, NULL), MOHVIT_OK);
    head_load *l = empty_head_load(&c, &names);
    assert_non_null(l);
    labels_free(&names);
    return l;
}

/* An image of class c, a token of which is picked by a … d of 4 tokens. */
static void add(head_load *l, size_t c, int32_t a, int32_t b, int32_t d, int32_t e)
{
    int32_t tokens[20] = {256, -1, -1, -1, -1, 64, -1, -1, -1, -1, 16, -1, -1, -1, -1, 4, a, b, d, e};
    double gates[20] = {0};
    assert_int_equal(a + b + d + e, 8);
    assert_int_equal(head_load_add(l, c, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
}

static block_statistics compute(const head_load *l, size_t block)
{
    block_statistics s;
    class_tests tests;
    assert_int_equal(class_tests_run(&tests, l, NULL), MOHVIT_OK);
    assert_int_equal(block_statistics_compute(&s, l, block, &tests, NULL), MOHVIT_OK);
    class_tests_free(&tests);
    return s;
}

static void the_divergence_is_lins(void **state)
{
    (void)state;
    assert_near(jensen_shannon((double[]){1, 0}, (double[]){0, 1}, 2), 1);
    assert_near(jensen_shannon((double[]){0.3, 0.7}, (double[]){0.3, 0.7}, 2), 0);
    // H(5/8, 3/8) - (H(1/2) + H(3/4, 1/4)) / 2
    double mixed = -0.625 * log2(0.625) - 0.375 * log2(0.375),
           quarter = -0.75 * log2(0.75) - 0.25 * log2(0.25);
    assert_near(jensen_shannon((double[]){0.5, 0.5}, (double[]){0.75, 0.25}, 2), mixed - (1 + quarter) / 2);
}

static void classes_that_share_no_head_are_a_bit_apart(void **state)
{
    (void)state;
    head_load *l = make(3); // the last one without images
    add(l, 0, 4, 4, 0, 0);
    add(l, 1, 0, 0, 4, 4);
    add(l, 1, 0, 0, 4, 4); // more images of a class change nothing
    block_statistics s = compute(l, 3);
    assert_int_equal(s.classes, 2);
    assert_near(routing_balanced(s.block), 0.5);
    assert_near(s.entropy, 2);
    assert_near(s.entropy_classes, 1);
    assert_near(s.divergence, 1);
    assert_true(s.compared);
    assert_near(s.mean_divergence, 1);
    assert_near(s.nearest.divergence, 1);
    assert_int_equal(s.like[0], 1);
    assert_int_equal(s.like[1], 0);
    assert_true(isinf(s.like_divergence[2]));
    assert_int_equal(s.specific_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_near(s.specific[i].specificity, 1);
        assert_int_equal(s.specific[i].head, i + 1); // ties in order, shared heads before
        assert_int_equal(s.specific[i].class_index, i / 2);
        assert_near(s.specific[i].load, 1);
        assert_near(s.specific[i].mean, 0.5);
    }
    block_statistics_free(&s);
    head_load_destroy(l);
}

static void the_most_specific_head_stands_first(void **state)
{
    (void)state;
    head_load *l = make(2);
    add(l, 0, 4, 1, 3, 0);
    add(l, 1, 4, 2, 1, 1);
    block_statistics s = compute(l, 3);
    assert_int_equal(s.specific_count, 4);
    static const size_t heads[] = {4, 3, 2, 1}, of_class[] = {1, 0, 1, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s.specific[i].head, heads[i]);
        assert_int_equal(s.specific[i].class_index, of_class[i]);
    }
    assert_near(s.specific[0].specificity, 1);
    assert_near(s.specific[1].specificity, 1 + 0.75 * log2(0.75) + 0.25 * log2(0.25));
    assert_near(s.specific[3].specificity, 0);
    block_statistics_free(&s);
    head_load_destroy(l);
}

static void balance_is_of_the_mean_loads_of_classes(void **state)
{
    (void)state;
    head_load *l = make(2);
    add(l, 0, 4, 4, 0, 0);
    for (size_t i = 0; i < 9; i++) // which weigh as the one
        add(l, 1, 4, 0, 4, 0);
    block_statistics s = compute(l, 3);
    // loads 1, 0.5, 0.5, 0 around 0.5
    assert_near(s.min, 0);
    assert_near(s.max, 1);
    assert_near(s.cv, sqrt(0.5 / 4) / 0.5);
    assert_near(s.max_mean, 2);
    assert_near(s.entropy, 1.5);
    assert_near(s.divergence, 0.5);
    assert_int_equal(s.dead_count, 1);
    assert_int_equal(s.dead[0], 4);
    assert_int_equal(s.dead_for_count, 2); // and not the one that is dead for all
    assert_true(s.dead_for[0].head == 2 && s.dead_for[0].class_index == 1);
    assert_true(s.dead_for[1].head == 3 && s.dead_for[1].class_index == 0);
    assert_int_equal(s.specific_count, 3); // a dead head is nobody's
    assert_near(s.specific[2].specificity, 0);
    block_statistics_free(&s);
    head_load_destroy(l);
}

/* Two images of one class and one of another weigh as the classes do. */
static void gates_are_means_over_classes(void **state)
{
    (void)state;
    static const int32_t tokens[20] = {256, -1, -1, -1, -1, 64, -1, -1, -1, -1,
                                       16,  -1, -1, -1, -1, 4,  4,  4,  0,  0};
    head_load *l = make(3);
    for (size_t i = 0; i < 3; i++) {
        double gates[20] = {[15] = 6, [16] = i < 2 ? 2 : 1, [17] = i < 2 ? 0 : 3};
        assert_int_equal(head_load_add(l, i < 2 ? 0 : 2, &(head_image){tokens, gates, NULL}, NULL),
                         MOHVIT_OK);
    }
    block_statistics s = compute(l, 3);
    assert_near(s.routed_share, (2. / 8 + 4. / 10) / 2);
    assert_near(s.means[0].load, 1);
    assert_near(s.means[0].gate, 1.5);
    assert_near(s.means[1].gate, (0.5 + 0.25) / 2);
    assert_near(s.means[1].gate_share, (2. / 8 + 1. / 10) / 2);
    assert_near(s.means[2].gate_share, (0 + 3. / 10) / 2);
    assert_near(s.means[3].load, 0);
    assert_near(s.means[4].gate, 0);
    block_statistics_free(&s);
    head_load_destroy(l);
}

/* Of two classes, the analysis of variance is Student's test: t² = 1.5 with 4 degrees of freedom. */
static void heads_are_specific_where_classes_differ_by_more_than_images(void **state)
{
    (void)state;
    head_load *l = make(3);
    for (int32_t i = 0; i < 3; i++) {
        add(l, 0, 1 + i, 3 - i, 2, 2);
        add(l, 2, 2 + i, 2 - i, 2, 2);
    }
    block_statistics s = compute(l, 3);
    for (size_t i = 0; i < s.specific_count; i++) {
        const specific_head *h = &s.specific[i];
        assert_false(h->specific);
        if (h->head < 3)
            assert_near(h->p, 0.2878641347266906);
        else
            assert_true(isnan(h->p)); // all images the same
    }
    // Variances of 1 and means of 2.5 and 1.5, each over 6 images: 5.5 / 5 of both heads' counts; shares are
    // of 8.
    double spread = 1.1 * 0.5 * (1. / 3);
    assert_near(s.chance, (spread / 2.5 + spread / 1.5) / 8 / (2 * log(2)));
    assert_near(chance_specificity(l, 3, 1), spread / 2.5 / 2.5 / (2 * log(2)));
    block_statistics_free(&s);
    l->has_squares = false;
    s = compute(l, 3);
    assert_true(isnan(s.chance) && isnan(s.specific[0].chance) && isnan(s.specific[0].p) &&
                !s.specific[0].specific);
    block_statistics_free(&s);
    l->has_squares = true;
    for (size_t i = 0; i < 9; i++)
        add(l, 1, 4, 0, 4, 0);
    s = compute(l, 3);
    assert_int_equal(s.specific_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(s.specific[i].specific && s.specific[i].p < 0.01);
    block_statistics_free(&s);
    head_load_destroy(l);
}

/* The second smallest of three p is at most two thirds of 5 %, though it is not the least part of it. */
static void false_discoveries_are_held_over_all_heads(void **state)
{
    (void)state;
    static const int32_t ones[2][6] = {{2, 2, 2, 2, 2, 3}, {3, 3, 3, 3, 3, 2}};
    head_load *l = make(2);
    for (size_t c = 0; c < 2; c++)
        for (size_t i = 0; i < 6; i++)
            add(l, c, ones[c][i], 4 - ones[c][i], 2 + (int32_t)(i % 2), 2 - (int32_t)(i % 2));
    class_tests t;
    assert_int_equal(class_tests_run(&t, l, NULL), MOHVIT_OK);
    double p = class_tests_p(&t, 3, 1);
    assert_true(p > 0.05 / 4 && p < 2 * 0.05 / 4); // of four heads; two have it
    assert_near(class_tests_p(&t, 3, 2), p);
    assert_near(class_tests_p(&t, 3, 3), 1);
    assert_near(t.least, p);
    assert_true(isnan(class_tests_p(&t, 3, 0)) && isnan(class_tests_p(&t, 0, 0))); // shared
    class_tests_free(&t);
    head_load_destroy(l);
}

/* add, to a half of the test's choice. */
static void add_to(head_load *l, bool half, size_t c, const int32_t picks[4])
{
    const head_load_counts row = head_load_row(l, c);
    int64_t images = *row.half_images, active[20];
    memcpy(active, row.half_active, sizeof active);
    add(l, c, picks[0], picks[1], picks[2], picks[3]);
    *row.half_images = images + half;
    for (size_t i = 0; i < 4; i++)
        row.half_active[16 + i] = active[16 + i] + (half ? picks[i] : 0);
}

static void who_is_most_alike_is_said_where_both_halves_agree(void **state)
{
    (void)state;
    static const int32_t left[] = {4, 4, 0, 0}, middle[] = {4, 2, 2, 0}, right[] = {0, 0, 4, 4};
    head_load *l = make(4); // the last one without images
    for (int half = 0; half < 2; half++) {
        add_to(l, half, 0, left);
        add_to(l, half, 1, middle);
        add_to(l, half, 2, right);
    }
    block_statistics s = compute(l, 3);
    assert_true(s.nearest_agreed && s.like_agreed[0] && s.like_agreed[1] && s.like_agreed[2]);
    assert_false(s.like_agreed[3]);
    block_statistics_free(&s);
    add_to(l, true, 2, left); // in one half it is now like the first one, in all not
    s = compute(l, 3);
    assert_true(s.nearest.a == 0 && s.nearest.b == 1 && s.like[2] == 1);
    assert_true(s.nearest_agreed);
    add_to(l, true, 1, right);
    block_statistics_free(&s);
    s = compute(l, 3);
    assert_true(s.nearest.a == 1 && s.nearest.b == 2); // both in the middle; but the other half says 0 and 1
    assert_false(s.nearest_agreed || s.like_agreed[1]);
    assert_true(s.like_agreed[2]);
    block_statistics_free(&s);
    l->has_squares = false; // nor halves: what all images say
    s = compute(l, 3);
    assert_true(s.nearest_agreed && s.like_agreed[1]);
    block_statistics_free(&s);
    l->has_squares = true;
    add_to(l, true, 3, left); // none in the other half
    s = compute(l, 3);
    assert_true(s.classes == 4 && !s.nearest_agreed && !s.like_agreed[3]);
    block_statistics_free(&s);
    head_load_destroy(l);
}

static void there_is_nothing_to_say_of_no_images_or_no_router(void **state)
{
    (void)state;
    head_load *l = make(2);
    block_statistics s = compute(l, 3);
    assert_int_equal(s.classes, 0);
    assert_false(s.compared);
    block_statistics_free(&s);
    add(l, 1, 2, 2, 2, 2);
    s = compute(l, 3); // one class has no pair
    assert_int_equal(s.classes, 1);
    assert_false(s.compared);
    assert_near(s.specific[0].specificity, 0);
    block_statistics_free(&s);
    l->routing.blocks[3].routed = 4; // as if each token took all of them
    assert_false(routing_routes(&l->routing.blocks[3]));
    assert_null(routing_layout_last_routed(&l->routing));
    s = compute(l, 3);
    assert_int_equal(s.specific_count, 0);
    block_statistics_free(&s);
    s = compute(l, 1); // a shared head alone
    assert_int_equal(s.classes, 1);
    assert_int_equal(s.specific_count, 0);
    block_statistics_free(&s);
    head_load_destroy(l);
}

static void classes_that_route_alike_stand_together(void **state)
{
    (void)state;
    enum { CLASSES = 30 };
    head_load *l = make(CLASSES);
    // Three kinds of routing in turn, each a little different within; the last class has no images.
    for (size_t c = 0; c + 1 < CLASSES; c++)
        for (size_t i = 0; i < 40; i++) {
            bool odd = i < c / 3; // of so many images
            if (c % 3 == 0)
                add(l, c, 4, odd ? 3 : 4, odd ? 1 : 0, 0);
            else if (c % 3 == 1)
                add(l, c, 0, odd ? 1 : 0, 4, odd ? 3 : 4);
            else
                add(l, c, odd ? 3 : 4, odd, 0, 4);
        }
    size_t all[CLASSES], order[CLASSES], changes = 0;
    bool seen[CLASSES] = {false};
    for (size_t c = 0; c < CLASSES; c++)
        all[c] = c;
    assert_int_equal(head_load_order(order, l, 3, all, CLASSES, NULL), MOHVIT_OK);
    for (size_t i = 0; i < CLASSES; i++) {
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        changes += i && i + 1 < CLASSES && order[i] % 3 != order[i - 1] % 3;
    }
    assert_int_equal(changes, 2);
    assert_int_equal(order[CLASSES - 1], CLASSES - 1);
    // A block without a router leaves the order as it is.
    assert_int_equal(head_load_order(order, l, 0, all, CLASSES, NULL), MOHVIT_OK);
    assert_memory_equal(order, all, sizeof all);
    head_load_destroy(l);
}

/* The chain of nearest neighbours must make the tree that always merging the closest pair makes: of three on
 * a line, the outer two never touch. */
static void the_ends_of_an_order_are_the_least_alike(void **state)
{
    (void)state;
    head_load *l = make(3);
    add(l, 0, 4, 4, 0, 0);
    add(l, 2, 4, 2, 2, 0);
    add(l, 1, 4, 0, 4, 0);
    size_t order[3];
    assert_int_equal(head_load_order(order, l, 3, (size_t[]){0, 1, 2}, 3, NULL), MOHVIT_OK);
    assert_int_equal(order[1], 2);
    head_load_destroy(l);
}

/* Two pairs on a line, whose classes are numbered so that none, either or both have to be turned around. */
static void pairs_are_turned_to_where_they_are_closest(void **state)
{
    (void)state;
    enum { CLASSES = 4, IMAGES = 40 };
    static const size_t place[CLASSES] = {6, 12, 22, 28}; // of 40 images, how many take the second head
    for (int turn = 0; turn < 4; turn++) {
        head_load *l = make(CLASSES);
        const size_t line[CLASSES] = {turn & 1 ? 1 : 0, turn & 1 ? 0 : 1, turn & 2 ? 3 : 2, turn & 2 ? 2 : 3};
        for (size_t i = 0; i < CLASSES; i++)
            for (size_t image = 0; image < IMAGES; image++) {
                bool second = image < place[i];
                add(l, line[i], 4, second ? 0 : 4, second ? 4 : 0, 0);
            }
        size_t order[CLASSES];
        assert_int_equal(head_load_order(order, l, 3, (size_t[]){0, 1, 2, 3}, CLASSES, NULL), MOHVIT_OK);
        assert_memory_equal(order, line, sizeof order);
        head_load_destroy(l);
    }
}

/* Many classes as far from each other as others are, where means that are rounded decide who is nearest. */
static void an_order_has_every_class_once_where_distances_are_equal(void **state)
{
    (void)state;
    enum { CLASSES = 301 };
    head_load *l = make(CLASSES);
    static const int routing[6][4] = {{4, 4, 0, 0}, {4, 0, 4, 0}, {4, 0, 0, 4},
                                      {0, 4, 4, 0}, {0, 4, 0, 4}, {0, 0, 4, 4}};
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t i = 0; i < 1 + c % 7; i++) {
            const int *k = routing[(c + i * i) % 6];
            add(l, c, k[0], k[1], k[2], k[3]);
        }
    size_t all[CLASSES], order[CLASSES];
    bool seen[CLASSES] = {false};
    for (size_t c = 0; c < CLASSES; c++)
        all[c] = c;
    assert_int_equal(head_load_order(order, l, 3, all, CLASSES, NULL), MOHVIT_OK);
    for (size_t i = 0; i < CLASSES; i++) {
        assert_true(order[i] < CLASSES);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
    }
    head_load_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_divergence_is_lins),
        cmocka_unit_test(classes_that_share_no_head_are_a_bit_apart),
        cmocka_unit_test(the_most_specific_head_stands_first),
        cmocka_unit_test(balance_is_of_the_mean_loads_of_classes),
        cmocka_unit_test(gates_are_means_over_classes),
        cmocka_unit_test(heads_are_specific_where_classes_differ_by_more_than_images),
        cmocka_unit_test(false_discoveries_are_held_over_all_heads),
        cmocka_unit_test(who_is_most_alike_is_said_where_both_halves_agree),
        cmocka_unit_test(there_is_nothing_to_say_of_no_images_or_no_router),
        cmocka_unit_test(classes_that_route_alike_stand_together),
        cmocka_unit_test(the_ends_of_an_order_are_the_least_alike),
        cmocka_unit_test(pairs_are_turned_to_where_they_are_closest),
        cmocka_unit_test(an_order_has_every_class_once_where_distances_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

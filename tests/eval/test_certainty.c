/* How sure routers are, and what of their choices stays in a changed picture: against what their scores and
 * choices say, worked out here once more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eval/certainty.h"
#include "tests/eval/built_in_testing.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the model that is built in. */
#define BLOCKS 6
#define S      ((size_t)64)

/* What each block's router said of a picture. */
typedef struct {
    size_t blocks, rows[BLOCKS];
    float *scores[BLOCKS];
    uint8_t *pick[BLOCKS];
} seen;

static void keep(void *user, size_t s, size_t b, const router *r, const selection *chosen, size_t N)
{
    (void)s, (void)b;
    seen *to = user;
    size_t at = to->blocks++;
    to->rows[at] = r->rows;
    to->scores[at] = malloc(N * r->rows * sizeof(float) + 1);
    to->pick[at] = malloc(N * r->heads);
    memcpy(to->scores[at], chosen->scores, N * r->rows * sizeof(float));
    memcpy(to->pick[at], chosen->pick, N * r->heads);
}

static seen see(const float *picture)
{
    seen found = {0};
    mohvit_context *ctx = context_of(built_in);
    memcpy(mohvit_slot_input(ctx, 0), picture, S * S * 3 * sizeof *picture);
    mohvit_settings(ctx)->routes = keep;
    mohvit_settings(ctx)->routes_user = &found;
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    mohvit_context_destroy(ctx);
    assert_int_equal(found.blocks, BLOCKS);
    return found;
}

static void forget(seen *s)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        free(s->scores[i]);
        free(s->pick[i]);
    }
}

/* Scores of a token, sorted from the highest: how many are above its k-th and k+1-th decides nothing else. */
static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void expect_sums(const certainty_counts *found, const routing_block *b, const seen *s)
{
    double entropy = 0, margin = 0;
    int64_t squares = 0;
    size_t n = b->heads - b->shared;
    for (size_t t = 0; t < b->tokens; t++) {
        float sorted[CONFIG_MAX_HEADS];
        double all = 0;
        memcpy(sorted, s->scores[b->index] + t * s->rows[b->index], n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, falling);
        for (size_t i = 0; i < n; i++)
            all += exp((double)sorted[i]);
        for (size_t i = 0; i < n; i++)
            entropy -= exp((double)sorted[i]) / all * log2(exp((double)sorted[i]) / all);
        margin += (double)sorted[b->routed - 1] - (double)sorted[b->routed];
    }
    for (size_t h = b->shared; h < b->heads; h++) {
        int64_t active = 0;
        for (size_t t = 0; t < b->tokens; t++)
            active += s->pick[b->index][t * b->heads + h];
        squares += active * active;
    }
    assert_true(margin > 0 && entropy > 0 && entropy <= (double)b->tokens * log2((double)n));
    assert_in_range(found->entropy - llround(entropy * 1048576) + 1, 0, 2);
    assert_in_range(found->margin - llround(margin * 1048576) + 1, 0, 2);
    assert_int_equal(found->squares, squares);
}

/* Choices that both make, of tokens `moved` columns apart, or mirrored. */
static int64_t common(const routing_block *b, const seen *s, const seen *t, bool mirrored, size_t moved)
{
    int64_t both = 0;
    size_t side = (size_t)sqrt((double)b->tokens);
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x + moved < side; x++) {
            const uint8_t *here = s->pick[b->index] + (y * side + x) * b->heads;
            const uint8_t *there =
                t->pick[b->index] + (y * side + (mirrored ? side - 1 - x : x + moved)) * b->heads;
            for (size_t h = b->shared; h < b->heads; h++)
                both += here[h] && there[h];
        }
    }
    return both;
}

static void check_picture(size_t shift, uint64_t seed)
{
    static float picture[S * S * 3], mirrored[S * S * 3], moved[S * S * 3];
    const routing_layout *l = mohvit_routing(built_in);
    certainty c = {built_in, shift};
    prober p;
    mohvit_context *whole = context_of(built_in);
    mohvit_error err;
    assert_int_equal(prober_create(&p, &c, whole, &err), MOHVIT_OK);
    for (size_t turn = 0; turn < 2; turn++) {        // the second picture has nothing of the first
        synthetic_input(picture, 1, S, seed + turn); // planes, read here as pixels
        for (size_t i = 0; i < S * S; i++) {
            size_t x = i % S, row = i - x;
            memcpy(mirrored + i * 3, picture + (row + S - 1 - x) * 3, 3 * sizeof *picture);
            memcpy(moved + i * 3, picture + (row + (x < shift ? 0 : x - shift)) * 3, 3 * sizeof *picture);
        }
        memcpy(mohvit_slot_input(whole, 0), picture, sizeof picture);
        assert_int_equal(mohvit_run(whole, 1, NULL), MOHVIT_OK);
        assert_int_equal(prober_run(&p, &err), MOHVIT_OK);
        seen s = see(picture), flip = see(mirrored), far = see(moved);
        for (size_t b = 0; b < BLOCKS; b++) {
            const routing_block *one = &l->blocks[b];
            size_t side = (size_t)sqrt((double)one->tokens);
            size_t columns = (size_t)floor((double)(shift * side) / S + 0.5);
            assert_true(routing_routes(one));
            expect_sums(&p.counts[b], one, &s);
            assert_int_equal(p.counts[b].stayed[CERTAINTY_FLIP], common(one, &s, &flip, true, 0));
            assert_int_equal(p.counts[b].stayed[CERTAINTY_SHIFT], common(one, &s, &far, false, columns));
            assert_int_equal(certainty_selections(&c, one, CERTAINTY_FLIP), one->tokens * one->routed);
            assert_int_equal(certainty_selections(&c, one, CERTAINTY_SHIFT),
                             side * (side - columns) * one->routed);
            if (!shift)
                assert_int_equal(p.counts[b].stayed[CERTAINTY_SHIFT], one->tokens * one->routed);
        }
        forget(&s);
        forget(&flip);
        forget(&far);
    }
    prober_free(&p);
    mohvit_context_destroy(whole);
}

static void numbers_are_those_of_scores_and_choices(void **state)
{
    (void)state;
    check_picture(0, 1);
    check_picture(4, 2);
    check_picture(7, 3);
    check_picture(40, 4);
}

static void sums_that_overflow_are_refused_and_stay(void **state)
{
    (void)state;
    certainty_counts a = {.entropy = 1, .stayed = {2, INT64_MAX}}, b = {.entropy = 1, .stayed = {0, 1}};
    certainty_counts before = a;
    assert_false(certainty_add(&a, &b));
    assert_memory_equal(&a, &before, sizeof a);
    b.stayed[1] = 0;
    assert_true(certainty_add(&a, &b));
    assert_true(a.entropy == 2 && a.stayed[0] == 2 && a.stayed[1] == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_scores_and_choices),
        cmocka_unit_test(sums_that_overflow_are_refused_and_stay),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}

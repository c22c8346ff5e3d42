/* Products of the selected (token, head) pairs alone, by every instruction set that has them, against plain
 * loops in double precision. With --bench: how long they take beside the dense products that they stand for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/kernels/bench.h"
#include "tests/vit/kernels/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define D             PAIR_CHANNELS
#define EMPTY         77 // what nobody wrote

#define FOR_EACH_SET(k)                                                                                      \
    for (size_t set = 0; ((k) = kernels_available(set)); set++)                                              \
        if ((k)->pairs)

/* N tokens, heads of which each token selects some, one layer of heads · 24 inputs and outputs. */
typedef struct {
    const kernels *kernels;
    size_t N, heads, C;
    float *w, *bias, *packed;
    float *tokens; // (N, C)
    float *rows;   // (heads, N, 24)
    uint32_t *lists;
    size_t *counts;
} pairs_case;

static const struct {
    size_t N, heads;
    double share; // of the pairs that are selected
} shapes[] = {{1, 4, 1},  {9, 4, 0.5},   {49, 32, 0.4},  {97, 8, 0},
              {98, 4, 1}, {99, 4, 0.02}, {196, 16, 0.5}, {250, 8, 0.7}};

static pairs_case pairs_new(const kernels *k, size_t N, size_t heads, double share)
{
    const gemm_kernels *g = k->gemm[PRECISION_F32];
    random_stream r = {N * 100 + heads};
    pairs_case c = {.kernels = k, .N = N, .heads = heads, .C = heads * D};
    c.w = array_random(&r, c.C * c.C, 1);
    c.bias = array_random(&r, c.C, 1);
    c.tokens = array_random(&r, N * c.C, 1);
    c.rows = array_random(&r, N * c.C, 1);
    c.packed = array_new(g->packed(c.C, c.C) / sizeof(float));
    g->pack(c.packed, c.w, c.C, c.C);
    c.lists = malloc(heads * N * sizeof *c.lists);
    c.counts = calloc(heads, sizeof *c.counts);
    assert_true(c.lists && c.counts);
    for (size_t head = 0; head < heads; head++)
        for (size_t token = 0; token < N; token++)
            if ((double)random_below(&r, 1000) < 1000 * share)
                c.lists[head * N + c.counts[head]++] = (uint32_t)token;
    return c;
}

static void pairs_free(pairs_case *c)
{
    float *arrays[] = {c->w, c->bias, c->packed, c->tokens, c->rows};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
    free(c->lists);
    free(c->counts);
}

/* ---- Queries --------------------------------------------------------------------------------- */

static void run_queries(const pairs_case *c, float *rows)
{
    for (size_t turn = 0; turn < 2 * c->heads; turn += 2) { // in the order of attention_turn
        size_t head = turn < c->heads ? turn : (turn - c->heads) | 1;
        pair_queries job = {.rows = rows + head * c->N * D,
                            .tokens = c->lists + head * c->N,
                            .count = c->counts[head],
                            .y = c->tokens,
                            .in = c->C,
                            .first = head * D,
                            .packed = c->packed,
                            .bias = c->bias};
        c->kernels->pairs->queries(&job);
    }
}

static float *empty(size_t n)
{
    float *x = array_new(n);
    for (size_t i = 0; i < n; i++)
        x[i] = EMPTY;
    return x;
}

static void check_queries(const pairs_case *c)
{
    float *rows = empty(c->N * c->C);
    run_queries(c, rows);
    for (size_t head = 0; head < c->heads; head++)
        for (size_t i = 0; i < c->N * D; i++) {
            float found = rows[head * c->N * D + i];
            if (i / D >= c->counts[head]) {
                assert_true(found == EMPTY);
                continue;
            }
            const float *y = c->tokens + c->lists[head * c->N + i / D] * c->C;
            size_t output = head * D + i % D;
            double sum = (double)c->bias[output], size = fabs(sum);
            for (size_t j = 0; j < c->C; j++) {
                double product = (double)y[j] * (double)c->w[output * c->C + j];
                sum += product;
                size += fabs(product);
            }
            assert_close((double)found, sum, 1e-6 * size);
        }
    array_free(rows);
}

static void queries_of_selected_pairs_agree_and_no_others_are_written(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        pairs_case c = pairs_new(k, shapes[i].N, shapes[i].heads, shapes[i].share);
        check_queries(&c);
        pairs_free(&c);
    }
}

/* ---- Sums over heads ----------------------------------------------------------------------------- */

/* Tokens first … end−1. */
static void run_sums(const pairs_case *c, float *x, size_t first, size_t end)
{
    for (size_t from = first; from < end; from += PAIR_TOKENS)
        for (size_t col = 0; col < c->C; col += PAIR_OUTPUTS) {
            pair_sums job = {.x = x,
                             .rows = c->rows,
                             .lists = c->lists,
                             .counts = c->counts,
                             .heads = c->heads,
                             .N = c->N,
                             .first = from,
                             .end = from + PAIR_TOKENS < end ? from + PAIR_TOKENS : end,
                             .col = col,
                             .packed = c->packed,
                             .bias = c->bias};
            c->kernels->pairs->sums(&job);
        }
}

static void check_sums(const pairs_case *c)
{
    size_t n = c->N * c->C;
    double *expected = malloc(n * sizeof *expected), *size = malloc(n * sizeof *size);
    assert_true(expected && size);
    for (size_t i = 0; i < n; i++) {
        expected[i] = (double)c->tokens[i] + (double)c->bias[i % c->C];
        size[i] = fabs(expected[i]) + 1;
    }
    for (size_t head = 0; head < c->heads; head++)
        for (size_t i = 0; i < c->counts[head]; i++)
            for (size_t o = 0; o < c->C; o++)
                for (size_t j = 0; j < D; j++) {
                    double product =
                        (double)c->rows[(head * c->N + i) * D + j] * (double)c->w[o * c->C + head * D + j];
                    size_t at = c->lists[head * c->N + i] * c->C + o;
                    expected[at] += product;
                    size[at] += fabs(product);
                }
    float *x = array_copy(c->tokens, n);
    run_sums(c, x, 0, c->N);
    for (size_t i = 0; i < n; i++)
        assert_close((double)x[i], expected[i], 1e-6 * size[i]);
    free(expected);
    free(size);
    array_free(x);
}

static void sums_over_the_selected_heads_agree(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        pairs_case c = pairs_new(k, shapes[i].N, shapes[i].heads, shapes[i].share);
        check_sums(&c);
        pairs_free(&c);
    }
}

/* ---- Bits ------------------------------------------------------------------------------------ */

/* Every second token leaves every list; what remains has the same bits, wherever the tokens are cut. */
static void a_token_gets_the_same_bits_in_any_company(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        pairs_case c = pairs_new(k, shapes[i].N, shapes[i].heads, shapes[i].share);
        size_t n = c.N * c.C, *kept = malloc(n * sizeof *kept);
        float *queries = empty(n), *x = array_copy(c.tokens, n), *fewer = empty(n),
              *x_fewer = array_copy(c.tokens, n);
        assert_non_null(kept);
        run_queries(&c, queries);
        run_sums(&c, x, 0, c.N);
        for (size_t head = 0; head < c.heads; head++) {
            size_t count = 0;
            uint32_t *list = c.lists + head * c.N;
            float *rows = c.rows + head * c.N * D;
            for (size_t j = 0; j < c.counts[head]; j++)
                if (list[j] % 2) {
                    kept[head * c.N + count] = j;
                    list[count] = list[j];
                    memmove(rows + count++ * D, rows + j * D, D * sizeof *rows);
                }
            c.counts[head] = count;
        }
        run_queries(&c, fewer);
        for (size_t head = 0; head < c.heads; head++)
            for (size_t j = 0; j < c.counts[head]; j++)
                assert_same_bits(fewer + (head * c.N + j) * D,
                                 queries + (head * c.N + kept[head * c.N + j]) * D, D);
        for (size_t first = 0, step = 1; first < c.N; first += step++)
            run_sums(&c, x_fewer, first, first + step < c.N ? first + step : c.N);
        for (size_t token = 1; token < c.N; token += 2)
            assert_same_bits(x_fewer + token * c.C, x + token * c.C, c.C);
        free(kept);
        array_free(queries);
        array_free(fewer);
        array_free(x);
        array_free(x_fewer);
        pairs_free(&c);
    }
}

/* ---- Time ------------------------------------------------------------------------------------ */

typedef struct {
    pairs_case pairs;
    float *y;
} bench_case;

static void bench_queries(const kernels *k, void *arg)
{
    (void)k;
    bench_case *b = arg;
    run_queries(&b->pairs, b->y);
}

static void bench_sums(const kernels *k, void *arg)
{
    (void)k;
    bench_case *b = arg;
    run_sums(&b->pairs, b->y, 0, b->pairs.N);
}

static void bench_dense(const kernels *k, void *arg)
{
    bench_case *b = arg;
    const pairs_case *c = &b->pairs;
    gemm_tile tile = {.y = b->y,
                      .ldy = c->C,
                      .x = c->tokens,
                      .stride = c->C * sizeof(float),
                      .packed = c->packed,
                      .bias = c->bias,
                      .rows = c->N,
                      .in = c->C,
                      .out = c->C,
                      .cols = c->C,
                      .accumulate = true};
    k->gemm[PRECISION_F32]->multiply(&tile);
}

static int bench(void)
{
    const struct {
        size_t N, heads;
        double share;
    } stages[] = {{784, 8, 0.75},  {196, 16, 0.5}, {49, 32, 0.375},
                  {196, 12, 0.75}, {49, 24, 0.75}, {196, 16, 1}};
    const kernels *k;
    printf("q and proj for the selected pairs alone: moh_transnext_base_50, stages 2 to 4; "
           "moh_transnext_small_75, "
           "stages 3 and 4; all pairs.\n");
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(stages); i++) {
        char shape[40];
        bench_case b = {.pairs = pairs_new(k, stages[i].N, stages[i].heads, stages[i].share)};
        double pairs = stages[i].share * (double)(stages[i].N * stages[i].heads);
        b.y = empty(b.pairs.N * b.pairs.C);
        snprintf(shape, sizeof shape, "%zu x %zu, %.0f %%", b.pairs.N, b.pairs.C, 100 * stages[i].share);
        bench_entry dense = {"dense", shape, "pair", pairs, 4 * pairs * (double)b.pairs.C, bench_dense, &b};
        bench_entry queries = dense, sums = dense;
        queries.name = "queries";
        queries.run = bench_queries;
        sums.name = "sums over heads";
        sums.run = bench_sums;
        double whole = bench_seconds(&dense, k);
        bench_line(&queries, k->isa, bench_seconds(&queries, k), "dense", whole);
        bench_line(&sums, k->isa, bench_seconds(&sums, k), "dense", whole);
        array_free(b.y);
        pairs_free(&b.pairs);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--bench"))
        return bench();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_of_selected_pairs_agree_and_no_others_are_written),
        cmocka_unit_test(sums_over_the_selected_heads_agree),
        cmocka_unit_test(a_token_gets_the_same_bits_in_any_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

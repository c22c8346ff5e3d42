/* Products of the selected (token, head) pairs alone, against plain loops in double precision. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D     PAIR_CHANNELS
#define EMPTY 77 // what nobody wrote

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
    const gemm_kernels *g = &k->gemm[PRECISION_F32];
    random_stream r = {N * 100 + heads};
    pairs_case c = {.kernels = k, .N = N, .heads = heads, .C = heads * D};
    c.w = array_random(&r, c.C * c.C, 1);
    c.bias = array_random(&r, c.C, 1);
    c.tokens = array_random(&r, N * c.C, 1);
    c.rows = array_random(&r, N * c.C, 1);
    c.packed = array_new(g->packed_bytes(c.C, c.C) / sizeof(float));
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
    for (size_t turn = 0; turn < 2 * c->heads; turn += 2) { // in the order of head_of_task
        size_t head = turn < c->heads ? turn : (turn - c->heads) | 1;
        pair_queries job = {.rows = rows + head * c->N * D,
                            .tokens = c->lists + head * c->N,
                            .count = c->counts[head],
                            .y = c->tokens,
                            .in = c->C,
                            .first = head * D,
                            .packed = c->packed,
                            .bias = c->bias};
        c->kernels->pairs.queries(&job);
    }
}

static float *empty(size_t n)
{
    float *x = array_new(n);
    for (size_t i = 0; i < n; i++)
        x[i] = EMPTY;
    return x;
}

/* In double precision: queries (heads, N, 24), NaN where there is none, and the sum of magnitudes of each. */
static void plain_queries(const pairs_case *c, double *queries, double *size)
{
    for (size_t at = 0; at < c->N * c->C; at++) {
        size_t head = at / D / c->N, i = at / D % c->N, output = head * D + at % D;
        queries[at] = NAN;
        if (i >= c->counts[head])
            continue;
        const float *y = c->tokens + c->lists[head * c->N + i] * c->C;
        queries[at] = (double)c->bias[output];
        size[at] = fabs(queries[at]);
        for (size_t j = 0; j < c->C; j++) {
            double product = (double)y[j] * (double)c->w[output * c->C + j];
            queries[at] += product;
            size[at] += fabs(product);
        }
    }
}

static void check_queries(const pairs_case *c)
{
    size_t n = c->N * c->C;
    float *rows = empty(n);
    double *expected = malloc(n * sizeof *expected), *size = malloc(n * sizeof *size);
    assert_true(expected && size);
    plain_queries(c, expected, size);
    run_queries(c, rows);
    for (size_t i = 0; i < n; i++)
        if (isnan(expected[i]))
            assert_true(rows[i] == EMPTY);
        else
            assert_close((double)rows[i], expected[i], 1e-6 * size[i]);
    free(expected);
    free(size);
    array_free(rows);
}

static void queries_of_selected_pairs_agree_and_no_others_are_written(void **state)
{
    const kernels *k = tested(state);
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
            c->kernels->pairs.sums(&job);
        }
}

/* In double precision: tokens and what is added to them (N, C), and the sum of magnitudes of each. */
static void plain_sums(const pairs_case *c, double *expected, double *size)
{
    for (size_t i = 0; i < c->N * c->C; i++) {
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
}

static void check_sums(const pairs_case *c)
{
    size_t n = c->N * c->C;
    float *x = array_copy(c->tokens, n);
    double *expected = malloc(n * sizeof *expected), *size = malloc(n * sizeof *size);
    assert_true(expected && size);
    plain_sums(c, expected, size);
    run_sums(c, x, 0, c->N);
    for (size_t i = 0; i < n; i++)
        assert_close((double)x[i], expected[i], 1e-6 * size[i]);
    free(expected);
    free(size);
    array_free(x);
}

static void sums_over_the_selected_heads_agree(void **state)
{
    const kernels *k = tested(state);
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
    const kernels *k = tested(state);
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

/* A number that is none reaches its own token, or its weight's output; infinities and denormals agree. */
static void what_is_no_number_reaches_its_token_or_output_alone(void **state)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e-40f};
    for (size_t trial = 0; trial < 2 * LENGTH(odd); trial++) {
        float flaw = odd[trial / 2];
        pairs_case c = pairs_new(tested(state), 50, 4, 0.6);
        size_t n = c.N * c.C, output = 37, token = 17;
        float *clean = empty(n), *queries = empty(n), *x_clean = array_copy(c.tokens, n),
              *x = array_copy(c.tokens, n);
        run_queries(&c, clean);
        run_sums(&c, x_clean, 0, c.N);
        if (trial % 2) {
            c.w[output * c.C + 5] = flaw; // an input of head 0
            c.kernels->gemm[PRECISION_F32].pack(c.packed, c.w, c.C, c.C);
        } else {
            c.tokens[token * c.C + 70] = flaw;
            for (size_t head = 0; head < c.heads; head++)
                for (size_t i = 0; i < c.counts[head]; i++)
                    if (c.lists[head * c.N + i] == token)
                        c.rows[(head * c.N + i) * D + 3] = flaw;
        }
        run_queries(&c, queries);
        run_sums(&c, x, 0, c.N);
        for (size_t head = 0; head < c.heads; head++)
            for (size_t i = 0; i < c.counts[head] * D; i++) {
                size_t at = head * c.N * D + i;
                bool reached = trial % 2 ? head * D + i % D == output : c.lists[head * c.N + i / D] == token;
                assert_true(reached ? isfinite(queries[at]) == isfinite(flaw)
                                    : float_bits(queries[at]) == float_bits(clean[at]));
            }
        for (size_t i = 0; i < n; i++) {
            bool picked = false; // by head 0
            for (size_t j = 0; j < c.counts[0]; j++)
                picked |= c.lists[j] == i / c.C;
            bool reached = trial % 2 ? i % c.C == output && picked : i / c.C == token;
            if (reached)
                assert_true(isfinite(x[i]) == isfinite(flaw));
            else
                assert_int_equal(float_bits(x[i]), float_bits(x_clean[i]));
        }
        array_free(clean);
        array_free(queries);
        array_free(x_clean);
        array_free(x);
        pairs_free(&c);
    }
}

/* ---- Time ------------------------------------------------------------------------------------ */

typedef struct {
    pairs_case pairs;
    float *y;
    double *wide, *size;
} timed_pairs;

static void time_queries(const kernels *k, void *arg)
{
    (void)k;
    timed_pairs *t = arg;
    run_queries(&t->pairs, t->y);
}

static void time_plain_queries(void *arg)
{
    timed_pairs *t = arg;
    plain_queries(&t->pairs, t->wide, t->size);
}

static void time_sums(const kernels *k, void *arg)
{
    (void)k;
    timed_pairs *t = arg;
    run_sums(&t->pairs, t->y, 0, t->pairs.N);
}

static void time_plain_sums(void *arg)
{
    timed_pairs *t = arg;
    plain_sums(&t->pairs, t->wide, t->size);
}

static void time_dense(const kernels *k, void *arg)
{
    timed_pairs *t = arg;
    const pairs_case *c = &t->pairs;
    gemm_tile tile = {.y = t->y,
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
    k->gemm[PRECISION_F32].multiply(&tile);
}

static void bench_stage(const suite *s, size_t N, size_t heads, double share)
{
    const kernels *k;
    char shape[40];
    for (size_t i = 0; (k = kernels_layer(i)); i++) {
        if (!suite_applies(s, i))
            continue;
        timed_pairs t = {.pairs = pairs_new(k, N, heads, share)};
        size_t n = N * t.pairs.C;
        t.y = empty(n);
        t.wide = widened(t.y, n);
        t.size = widened(t.y, n);
        snprintf(shape, sizeof shape, "%zu x %zu, %.0f %%", N, t.pairs.C, 100 * share);
        double pairs = share * (double)(N * heads), macs = pairs * (double)(D * t.pairs.C);
        bench queries = {"queries", time_queries, time_plain_queries, &t, shape, "pair", pairs, macs, false};
        bench sums = {"sums over heads", time_sums, time_plain_sums, &t, shape, "pair", pairs, macs, false};
        bench dense = {"dense", time_dense, NULL, &t, shape, "pair", pairs, 0, false};
        double whole = bench_seconds(&dense, k);
        for (bench *b = &queries;; b = &sums) {
            double seconds = bench_seconds(b, k);
            bench_line(b, k->feature, seconds, "plain", bench_seconds(b, NULL));
            bench_line(b, k->feature, seconds, "dense", whole);
            if (b == &sums)
                break;
        }
        array_free(t.y);
        free(t.wide);
        free(t.size);
        pairs_free(&t.pairs);
    }
}

static void bench_pairs(const suite *s)
{
    bench_stage(s, 784, 8, 0.75); // moh_transnext_base_50, stages 2 to 4
    bench_stage(s, 196, 16, 0.5);
    bench_stage(s, 49, 32, 0.375);
    bench_stage(s, 196, 12, 0.75); // moh_transnext_small_75, stages 3 and 4
    bench_stage(s, 49, 24, 0.75);
    bench_stage(s, 196, 16, 1);
}

static const struct CMUnitTest pairs_tests[] = {
    cmocka_unit_test(queries_of_selected_pairs_agree_and_no_others_are_written),
    cmocka_unit_test(sums_over_the_selected_heads_agree),
    cmocka_unit_test(a_token_gets_the_same_bits_in_any_company),
    cmocka_unit_test(what_is_no_number_reaches_its_token_or_output_alone),
};

const suite pairs_suite = {"pairs", ENTRIES(pairs, pairs), TESTS(pairs_tests), .bench = bench_pairs};

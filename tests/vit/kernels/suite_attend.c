/* Attention of one head: any tokens, any widths, on real and on scattered tables of position bias. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"
#include "vit/network/position_bias.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPS         (double)FLT_EPSILON
#define TEMPERATURE 1.5 /* scores of some 4·ln(keys), as in trained models */

typedef struct {
    attend_job job;
    size_t N;
    float *q, *embedding, *scale, *gate, *out, *keys, *values, *bias, *kv, *local_bias, *tokens,
        *learnable_bias, *scratch;
    int32_t *offset;
    uint32_t *list;
} attend_case;

/* Offsets of position bias: any, which no window can be laid over, or those of the network. */
typedef enum { SCATTERED, GRID, OFFSETS } offsets;

static void attend_offsets(attend_case *c, random_stream *r, offsets kind)
{
    attend_job *job = &c->job;
    size_t count = job->side * job->key_side;
    position_grid grid;
    assert_int_equal(position_grid_create(&grid, job->side, job->key_side, job->side + 1, NULL), MOHVIT_OK);
    job->bias_side = kind == GRID ? grid.offsets : 2 * job->side + 1;
    job->bias_steady = kind == GRID && grid.steady;
    c->offset = malloc(count * sizeof *c->offset);
    assert_non_null(c->offset);
    for (size_t i = 0; i < count; i++)
        c->offset[i] = kind == GRID ? grid.offset[i] : (int32_t)random_below(r, job->bias_side);
    position_grid_free(&grid);
    c->bias = array_new(job->bias_side * job->bias_side + BIAS_MARGIN); // the margin stays NaN
    random_fill(r, c->bias, job->bias_side * job->bias_side, 1);
    job->bias = c->bias;
    job->bias_offset = c->offset;
}

/* key_side 0: global attention, whose keys are the tokens. */
static attend_case attend_new(const kernels *k, size_t side, size_t key_side, size_t d, offsets kind)
{
    bool local = key_side;
    key_side = local ? key_side : side;
    random_stream r = {side * 10000 + key_side * 100 + d};
    size_t N = side * side, K = key_side * key_side, h = 2, C = h * d;
    attend_case c = {.N = N};
    c.q = array_random(&r, N * C, 1);
    c.embedding = array_random(&r, d, 0.05f);
    c.scale = array_new(10);
    for (size_t i = 0; i < 10; i++)
        c.scale[i] = (float)(reference_softplus(TEMPERATURE) * log((double)(K + i)));
    c.gate = array_random(&r, N * h, 2);
    c.out = array_new(N * C);
    c.keys = array_random(&r, K * d, 1);
    kernels_available(0)->l2_normalise(c.keys, d, K, 1, d);
    c.values = array_random(&r, K * d, 1);
    c.kv = array_random(&r, (N + 1) * 2 * C, 1);
    kernels_available(0)->l2_normalise(c.kv, 2 * C, N, h, d);
    memset(c.kv + N * 2 * C, 0, 2 * C * sizeof *c.kv); // outside the image
    c.local_bias = array_random(&r, 9, 0.5f);
    c.tokens = array_random(&r, 9 * d, 0.1f);
    c.learnable_bias = array_random(&r, 9, 0.1f);
    c.scratch = array_new(k->attend_scratch(d, K));
    c.list = malloc((N + 1) * sizeof *c.list);
    assert_non_null(c.list);
    for (size_t i = 0; i < N; i++)
        c.list[i] = (uint32_t)i;
    c.job = (attend_job){.d = d,
                         .tokens = c.list,
                         .rows = c.list,
                         .count = N,
                         .q = c.q + d,
                         .ldq = C,
                         .query_embedding = c.embedding,
                         .scale = c.scale,
                         .gate = c.gate + 1,
                         .ldgate = h,
                         .out = c.out + d,
                         .ldout = C,
                         .K = K,
                         .keys = c.keys,
                         .values = c.values,
                         .side = side,
                         .key_side = key_side};
    attend_offsets(&c, &r, kind);
    if (local) {
        c.job.k = c.kv + d; // the second head of two: neither pointer is the start of its array
        c.job.v = c.kv + C + d;
        c.job.ldkv = 2 * C;
        c.job.local_bias = c.local_bias;
        c.job.learnable_tokens = c.tokens;
        c.job.learnable_bias = c.learnable_bias;
    }
    return c;
}

static void attend_free(attend_case *c)
{
    float *arrays[] = {c->q,      c->embedding,      c->scale,  c->gate, c->out,
                       c->keys,   c->values,         c->bias,   c->kv,   c->local_bias,
                       c->tokens, c->learnable_bias, c->scratch};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
    free(c->offset);
    free(c->list);
}

/* count tokens chosen at random, in ascending order as the router lists them. */
static void attend_select(attend_case *c, random_stream *r, size_t count)
{
    size_t chosen = 0;
    for (size_t token = 0; token < c->N; token++)
        if (random_below(r, c->N - token) < count - chosen)
            c->list[chosen++] = (uint32_t)token;
    c->job.count = count;
}

static void attend_run(const kernels *k, attend_case *c)
{
    for (size_t i = 0; i < c->N * c->job.ldout; i++)
        c->out[i] = 77;
    assert_int_equal(k->attend(&c->job, c->scratch), c->job.count);
}

static bool attend_selected(const attend_case *c, size_t token)
{
    for (size_t i = 0; i < c->job.count; i++)
        if (c->list[i] == token)
            return true;
    return false;
}

static double *gathered(const float *x, size_t rows, size_t ld, size_t d)
{
    double *wide = malloc(rows * d * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < rows * d; i++)
        wide[i] = (double)x[i / d * ld + i % d];
    return wide;
}

/* What reference.c makes of a case. */
typedef struct {
    reference_head head;
    double *owned[10];
} plain_head;

static plain_head plain_head_of(const attend_case *c)
{
    const attend_job *job = &c->job;
    size_t d = job->d, N = c->N, K = job->K, P = job->key_side;
    double *bias = malloc(N * K * sizeof *bias), *tokens = malloc(9 * d * sizeof *tokens);
    assert_true(bias && tokens);
    for (size_t token = 0; token < N; token++)
        for (size_t key = 0; key < K; key++) {
            size_t row = (size_t)c->offset[token / job->side * P + key / P],
                   col = (size_t)c->offset[token % job->side * P + key % P];
            bias[token * K + key] = (double)c->bias[row * job->bias_side + col];
        }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < 9; j++)
            tokens[i * 9 + j] = (double)c->tokens[j * d + i];
    plain_head p = {.owned = {gathered(job->q, N, job->ldq, d), widened(c->embedding, d),
                              widened(c->keys, K * d), widened(c->values, K * d), widened(c->local_bias, 9),
                              widened(c->learnable_bias, 9), gathered(c->kv + d, N, 4 * d, d),
                              gathered(c->kv + 3 * d, N, 4 * d, d), bias, tokens}};
    p.head = (reference_head){.side = job->side,
                              .d = d,
                              .q = p.owned[0],
                              .query_embedding = p.owned[1],
                              .softplus_temperature = reference_softplus(TEMPERATURE),
                              .K = K,
                              .keys = p.owned[2],
                              .values = p.owned[3],
                              .bias = bias,
                              .k = job->k ? p.owned[6] : NULL,
                              .v = job->k ? p.owned[7] : NULL,
                              .local_bias = p.owned[4],
                              .learnable_tokens = tokens,
                              .learnable_bias = p.owned[5]};
    return p;
}

static void plain_head_free(plain_head *p)
{
    for (size_t i = 0; i < LENGTH(p->owned); i++)
        free(p->owned[i]);
}

/* Everything that was written against the reference, and everything else against 77. */
static void attend_check(const attend_case *c)
{
    const attend_job *job = &c->job;
    size_t d = job->d;
    double *expected = malloc(d * sizeof *expected);
    plain_head plain = plain_head_of(c);
    assert_non_null(expected);
    for (size_t token = 0; token < c->N; token++) {
        const float *row = c->out + token * job->ldout;
        bool selected = attend_selected(c, token);
        double gate = (double)job->gate[token * job->ldgate];
        if (selected)
            reference_attend(expected, &plain.head, token);
        for (size_t i = 0; i < d; i++) {
            assert_true(row[i] == 77);
            if (selected) // an error in a score of up to 10 is an error in its weight, relative to it
                assert_close((double)row[d + i], gate * expected[i], 5e-6 * fabs(gate));
            else
                assert_true(row[d + i] == 77);
        }
    }
    plain_head_free(&plain);
    free(expected);
}

static const struct {
    size_t side, key_side, d;
} attend_shapes[] = {{1, 0, 1},  {1, 1, 3},  {2, 0, 8},   {2, 1, 24},  {3, 0, 12},  {3, 2, 40},  {4, 0, 32},
                     {5, 3, 1},  {5, 0, 3},  {6, 2, 8},   {7, 0, 24},  {7, 3, 12},  {8, 7, 24},  {9, 0, 40},
                     {9, 4, 32}, {11, 5, 7}, {13, 3, 24}, {14, 7, 24}, {16, 0, 16}, {17, 2, 17}, {17, 0, 5}};

typedef void attend_trial(const kernels *k, attend_case *c, random_stream *r);

/* Each shape with each kind of offsets. */
static void for_each_case(const kernels *k, attend_trial *trial)
{
    for (size_t i = 0; i < LENGTH(attend_shapes); i++)
        for (offsets kind = 0; kind < OFFSETS; kind++) {
            attend_case c =
                attend_new(k, attend_shapes[i].side, attend_shapes[i].key_side, attend_shapes[i].d, kind);
            random_stream r = {i + 1};
            trial(k, &c, &r);
            attend_free(&c);
        }
}

static void check_any_tokens(const kernels *k, attend_case *c, random_stream *r)
{
    const size_t counts[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, c->N / 2, c->N};
    for (size_t j = 0; j < LENGTH(counts); j++)
        if (counts[j] <= c->N && (counts[j] < 64 || counts[j] == c->N)) {
            attend_select(c, r, counts[j]);
            attend_run(k, c);
            attend_check(c);
        }
}

static void attend_agrees_with_the_reference_for_any_tokens(void **state)
{
    for_each_case(tested(state), check_any_tokens);
}

static void spoil_unselected_tokens(const kernels *k, attend_case *c, random_stream *r)
{
    size_t d = c->job.d, floats = c->N * c->job.ldout;
    for (size_t trial = 0; trial < 3; trial++) {
        attend_select(c, r, random_below(r, c->N + 1));
        attend_run(k, c);
        float *clean = array_copy(c->out, floats), *q = array_copy(c->q, c->N * 2 * d),
              *gate = array_copy(c->gate, c->N * 2);
        for (size_t token = 0; token < c->N; token++) {
            bool selected = attend_selected(c, token);
            c->gate[token * 2] = NAN; // the other head's
            for (size_t j = 0; j < d; j++)
                c->q[token * 2 * d + j] = NAN;
            if (selected)
                continue;
            c->gate[token * 2 + 1] = NAN;
            for (size_t j = 0; j < d; j++)
                c->q[token * 2 * d + d + j] = NAN;
        }
        attend_run(k, c);
        assert_same_bits(c->out, clean, floats);
        memcpy(c->q, q, c->N * 2 * d * sizeof *q);
        memcpy(c->gate, gate, c->N * 2 * sizeof *gate);
        array_free(clean);
        array_free(q);
        array_free(gate);
    }
}

static void attend_reads_nothing_of_unselected_tokens(void **state)
{
    for_each_case(tested(state), spoil_unselected_tokens);
}

static void compare_companies(const kernels *k, attend_case *c, random_stream *r)
{
    size_t d = c->job.d, ld = c->job.ldout;
    attend_run(k, c);
    float *all = array_copy(c->out, c->N * ld);
    for (size_t trial = 0; trial < 6; trial++) {
        if (trial < 3) {
            attend_select(c, r, 1 + random_below(r, c->N));
        } else { // some tokens in any order, the same one maybe twice
            c->job.count = 1 + random_below(r, c->N);
            for (size_t j = 0; j < c->job.count; j++)
                c->list[j] = (uint32_t)random_below(r, c->N);
        }
        attend_run(k, c);
        for (size_t j = 0; j < c->job.count; j++)
            assert_same_bits(c->out + c->list[j] * ld + d, all + c->list[j] * ld + d, d);
    }
    array_free(all);
}

static void attend_answers_a_token_the_same_in_any_company(void **state)
{
    for_each_case(tested(state), compare_companies);
}

/* ---- Position bias ----------------------------------------------------------------------------- */

/* Lists that lie in a vector in all the ways there are. Sides of 40 and more hold tokens of one image row
 * that are too far apart for a window. */
typedef enum { ALL, SPARSE, DENSE, FAR_APART, COLUMN, BACKWARDS, ANY_ORDER, LISTS } list_kind;

static void attend_list(attend_case *c, random_stream *r, list_kind kind)
{
    size_t side = c->job.side, N = c->N, step = side > 33 ? 33 : side - 1, count = 0;
    switch (kind) {
    case ALL: // as a shared head's
        attend_select(c, r, N);
        return;
    case SPARSE:
        attend_select(c, r, 1 + N / 20);
        return;
    case DENSE:
        attend_select(c, r, N - N / 5);
        return;
    case FAR_APART: // the two ends of each image row, and one between them
        for (size_t row = 0; row < side; row++)
            for (size_t x = row % 3; x < side; x += step)
                c->list[count++] = (uint32_t)(row * side + x);
        break;
    case COLUMN: // each token in an image row of its own
        for (size_t row = 0; row < side; row++)
            c->list[count++] = (uint32_t)(row * side + random_below(r, side));
        break;
    case BACKWARDS:
        for (size_t token = N; token--;)
            c->list[count++] = (uint32_t)token;
        break;
    case ANY_ORDER:
        for (; count < N / 2 + 1; count++)
            c->list[count] = (uint32_t)random_below(r, N);
        break;
    case LISTS:
        break;
    }
    c->job.count = count;
}

static const struct {
    size_t side, key_side; // 0: global attention
    bool steady;
} bias_shapes[] = {
    {7, 0, true},   {14, 0, true}, {14, 7, true}, {28, 7, true},  {56, 7, true},  {40, 5, true},
    {48, 0, true},  {64, 8, true}, // pools that do not divide:
    {24, 7, false}, {9, 4, true},  {16, 3, true}, {17, 5, false}, {40, 7, false}, {45, 4, true},
};

/* As where q and proj are computed for selected pairs alone. */
static void rows_of_q_and_out_may_lie_without_gaps(void **state)
{
    enum { SIDE = 14 };
    const size_t channels[] = {3, 20, 24}, counts[] = {1, 16, 17, 32, 40, 90};
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(channels) * LENGTH(counts); i++) {
        size_t d = channels[i % LENGTH(channels)], count = counts[i / LENGTH(channels)];
        random_stream r = {i};
        attend_case c = attend_new(k, SIDE, 7, d, GRID);
        attend_select(&c, &r, count);
        attend_run(k, &c);
        float *q = array_new(count * d), *out = array_new(count * d);
        uint32_t rows[SIDE * SIDE];
        for (size_t row = 0; row < count; row++) {
            memcpy(q + row * d, c.job.q + c.list[row] * c.job.ldq, d * sizeof *q);
            rows[row] = (uint32_t)row;
        }
        attend_job job = c.job;
        job.rows = rows;
        job.q = q;
        job.out = out;
        job.ldq = job.ldout = d;
        assert_int_equal(k->attend(&job, c.scratch), count);
        for (size_t row = 0; row < count; row++)
            assert_same_bits(out + row * d, c.job.out + c.list[row] * c.job.ldout, d);
        array_free(q);
        array_free(out);
        attend_free(&c);
    }
}

static void a_window_of_position_bias_gives_the_bits_of_a_lookup(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(bias_shapes); i++) {
        size_t side = bias_shapes[i].side, d = 3 + i % 2; // narrow heads: bias is what this is about
        attend_case c = attend_new(k, side, bias_shapes[i].key_side, d, GRID);
        assert_int_equal(c.job.bias_steady, bias_shapes[i].steady);
        random_stream r = {i + 1};
        for (list_kind kind = 0; kind < LISTS; kind++) {
            bool steady = c.job.bias_steady;
            size_t keys = c.job.K;
            if (keys > 800 && (kind == ALL || kind == BACKWARDS || kind == DENSE))
                continue; // millions of pairs
            attend_list(&c, &r, kind);
            attend_run(k, &c);
            float *found = array_copy(c.out, c.N * c.job.ldout);
            c.job.bias_steady = false;
            attend_run(k, &c);
            assert_same_bits(found, c.out, c.N * c.job.ldout);
            c.job.bias_steady = steady;
            array_free(found);
        }
        attend_free(&c);
    }
}

static void position_bias_is_that_of_the_query_and_the_key(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(bias_shapes); i++) {
        size_t side = bias_shapes[i].side;
        if (side > 28)
            continue;
        attend_case c = attend_new(k, side, bias_shapes[i].key_side, 5, GRID);
        random_stream r = {i + 1};
        for (list_kind kind = 0; kind < LISTS; kind++) {
            attend_list(&c, &r, kind);
            if (c.job.count > 300)
                c.job.count = 300; // the reference takes its time
            attend_run(k, &c);
            attend_check(&c);
        }
        attend_free(&c);
    }
}

/* With queries of 0 and values that are the unit vectors, a head's answer is softmax(bias). */
static void softmax_is_exact_to_a_few_units_in_the_last_place(void **state)
{
    const kernels *k = tested(state);
    for (size_t key_side = 2; key_side <= 6; key_side++)
        for (size_t trial = 0; trial < 40; trial++) {
            size_t K = key_side * key_side;
            attend_case c = attend_new(k, key_side, 0, K, SCATTERED);
            random_stream r = {trial + 1};
            double expected[36], sum = 0, depth = trial % 2 ? 86 : 5;
            memset(c.values, 0, K * K * sizeof *c.values);
            for (size_t i = 0; i < K; i++)
                c.values[i * K + i] = 1;
            memset(c.q, 0, c.N * 2 * K * sizeof *c.q);
            memset(c.embedding, 0, K * sizeof *c.embedding);
            for (size_t i = 0; i < key_side; i++) // token 0 has offsets of its own
                c.offset[i] = (int32_t)i;
            c.job.count = 1;
            for (size_t i = 0; i < K; i++) {
                float score = i == trial % K ? 0 : (random_float(&r) - 1) * (float)(depth / 2);
                c.bias[i / key_side * c.job.bias_side + i % key_side] = score + 0.0f;
                sum += expected[i] = exp((double)score);
            }
            c.gate[1] = 1;
            attend_run(k, &c);
            for (size_t i = 0; i < K; i++)
                assert_close((double)c.out[K + i], expected[i] / sum, 4 * EPS * expected[i] / sum);
            attend_free(&c);
        }
}

static void follow_a_nan(const kernels *k, attend_case *c, random_stream *r)
{
    size_t d = c->job.d, ld = c->job.ldout, token = c->N / 3, key = c->job.K / 2;
    attend_run(k, c);
    float *clean = array_copy(c->out, c->N * ld);
    // A query: its token. A value: its channel of all tokens; a neighbour's, of those around it. A key:
    // all, or those around it.
    enum { QUERY, GATE, VALUE, KEY, LOCAL_VALUE, LOCAL_KEY, PLACES };
    for (int place = 0; place < (c->job.k ? PLACES : LOCAL_VALUE); place++) {
        size_t channel = random_below(r, d);
        float *at[PLACES] = {c->q + token * ld + d + channel,
                             c->gate + token * 2 + 1,
                             c->values + key * d + channel,
                             c->keys + key * d + channel,
                             c->kv + token * 2 * ld + ld + d + channel,
                             c->kv + token * 2 * ld + d + channel};
        float kept = *at[place];
        *at[place] = NAN;
        attend_run(k, c);
        *at[place] = kept;
        for (size_t j = 0; j < c->N * d; j++) {
            size_t n = j / d;
            bool near = labs((long)(n / c->job.side) - (long)(token / c->job.side)) <= 1 &&
                        labs((long)(n % c->job.side) - (long)(token % c->job.side)) <= 1;
            bool same_channel = j % d == channel;
            bool reached = place == QUERY || place == GATE ? n == token
                           : place == VALUE                ? same_channel
                           : place == KEY                  ? true
                           : place == LOCAL_VALUE          ? near && same_channel
                                                           : near;
            const float *found = c->out + n * ld + d + j % d;
            assert_true(reached ? isnan(*found)
                                : float_bits(*found) == float_bits(clean[n * ld + d + j % d]));
        }
    }
    array_free(clean);
}

static void attend_passes_a_nan_to_what_depends_on_it(void **state)
{
    for_each_case(tested(state), follow_a_nan);
}

static void attend_survives_queries_of_any_size(void **state)
{
    const kernels *k = tested(state);
    const float sizes[] = {1e15f, 1e-3f, 1e-15f, 1e-25f, 0};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (size_t global = 0; global < 2; global++) {
            attend_case c = attend_new(k, 5, global ? 0 : 2, 24, SCATTERED);
            for (size_t j = 0; j < c.N * c.job.ldq; j++)
                c.q[j] *= sizes[i];
            attend_run(k, &c);
            attend_check(&c);
            attend_free(&c);
        }
}

/* ---- Time ------------------------------------------------------------------------------------ */

typedef struct {
    attend_case c;
    plain_head plain;
} timed_attend;

static void run_attend(const kernels *k, void *arg)
{
    timed_attend *t = arg;
    k->attend(&t->c.job, t->c.scratch);
}

static void plain_attend(void *arg)
{
    timed_attend *t = arg;
    double out[24];
    for (size_t i = 0; i < t->c.job.count; i++)
        reference_attend(out, &t->plain.head, t->c.list[i]);
}

static void bench_head(const suite *s, const stage *at, size_t part)
{
    const kernels *k;
    char shape[40];
    for (size_t i = 0; (k = kernels_layer(i)); i++) {
        if (!suite_applies(s, i))
            continue;
        random_stream r = {1};
        timed_attend t = {.c = attend_new(k, at->side, at->key_side, at->C / at->heads, GRID)};
        t.plain = plain_head_of(&t.c);
        attend_select(&t.c, &r, t.c.N / part);
        snprintf(shape, sizeof shape, "%zu tokens, %s%zu keys", t.c.job.count, at->key_side ? "9 + " : "",
                 t.c.job.K);
        bench b = {"attend", run_attend, plain_attend, &t, shape, "token", (double)t.c.job.count, 0, false};
        double seconds = bench_seconds(&b, k);
        bench_line(&b, k->feature, seconds, "plain", bench_seconds(&b, NULL));
        bool windows = t.c.job.bias_steady; // of position bias, where the set has them
        t.c.job.bias_steady = false;
        if (windows)
            bench_line(&b, k->feature, seconds, "lookups of bias", bench_seconds(&b, k));
        plain_head_free(&t.plain);
        attend_free(&t.c);
    }
}

static void bench_attend(const suite *s)
{
    for (size_t i = 0; i < STAGES; i++)
        for (size_t part = 1; part <= 2; part++) // all tokens, as of a shared head, and half of them
            bench_head(s, &bench_stages[i], part);
}

static const struct CMUnitTest attend_tests[] = {
    cmocka_unit_test(attend_agrees_with_the_reference_for_any_tokens),
    cmocka_unit_test(attend_reads_nothing_of_unselected_tokens),
    cmocka_unit_test(attend_answers_a_token_the_same_in_any_company),
    cmocka_unit_test(rows_of_q_and_out_may_lie_without_gaps),
    cmocka_unit_test(a_window_of_position_bias_gives_the_bits_of_a_lookup),
    cmocka_unit_test(position_bias_is_that_of_the_query_and_the_key),
    cmocka_unit_test(softmax_is_exact_to_a_few_units_in_the_last_place),
    cmocka_unit_test(attend_passes_a_nan_to_what_depends_on_it),
    cmocka_unit_test(attend_survives_queries_of_any_size),
};

const suite attend_suite = {"attend", ENTRIES(attend, attend_scratch), TESTS(attend_tests),
                            .bench = bench_attend};

/* The attention layers of small models, end to end, against the specification in double precision; and that
 * the heads which a token did not select are not computed for it. The kernel alone is suite_attend.c's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/choices.h"
#include "vit/api/internal.h"
#include "vit/network/pairs.h"
#include "tests/vit/kernels/reference.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define SEED          19
#define THREADS       3

static const struct {
    const char *name;
    config config;
} cases[] = {
    /* clang-format off */
    {"every kind of routing",
     {{8, 16, 24, 48}, {2, 2, 4, 6}, {1, 1, 1, 1}, {2, 2, 2, 2}, {8, 4, 2, 1}, {2, 0, 1, 2}, {0, 1, 2, 2},
      5, 64, 64, 0, "", false}},
    {"pools that do not divide",
     {{12, 24, 24, 40}, {4, 3, 2, 5}, {1, 1, 1, 1}, {2, 2, 2, 2}, {5, 5, 4, 1}, {1, 0, 0, 0}, {2, 2, 1, 3},
      5, 96, 96, 0, "", false}},
    {"fixed pool",
     {{24, 48, 24, 48}, {1, 2, 3, 2}, {1, 1, 1, 1}, {1, 1, 1, 1}, {8, 4, 2, 1}, {1, 1, 2, 1}, {0, 1, 1, 1},
      5, 96, 64, 5, "", false}},
    {"global everywhere, trained larger",
     {{6, 9, 40, 24}, {2, 3, 1, 1}, {1, 1, 1, 1}, {2, 2, 2, 2}, {1, 1, 1, 1}, {1, 3, 1, 0}, {1, 0, 0, 1},
      5, 64, 224, 0, "", false}},
    {"dense, heads of 1, 3, 20 and 32 channels",
     {{4, 9, 40, 64}, {4, 3, 2, 2}, {1, 1, 1, 1}, {2, 2, 2, 2}, {4, 3, 2, 1}, {4, 3, 2, 2}, {0, 0, 0, 0},
      5, 64, 64, 0, "", true}},
    {"heads of 24 channels, half of them or fewer at work",
     {{96, 96, 192, 96}, {4, 4, 8, 4}, {1, 1, 1, 1}, {1, 1, 1, 1}, {8, 4, 2, 1}, {1, 0, 2, 1}, {1, 2, 2, 1},
      5, 96, 96, 0, "", false}},
    /* clang-format on */
};

/* ---- A layer and its surroundings -------------------------------------------------------------- */

typedef struct {
    const config *config;
    size_t stage, side, N, C, h, d, P, K;
    const attention *attention;
    const norm *norm;
    scratch scratch;
    profile profile;
    pass pass;
    attention_state state; /* what the last step left in the scratch */
    const gemm *gemm;
    float *x, *y; /* (N, C) */
} layer_case;

/* The native backend in every precision with each instruction set, the other with the baseline. */
#define MAX_SETUPS 10 // 3 sets in 3 precisions, and OpenBLAS
static mohvit_model *models[LENGTH(cases)][MAX_SETUPS];
static size_t setups;

static int open_models(void **state)
{
    (void)state;
    const kernels *k;
    const gemm *g;
    for (size_t set = 0; (k = kernels_available(set)); set++)
        for (size_t backend = 0; (g = gemm_available(backend)); backend++) {
            mohvit_options options = {.size = sizeof options,
                                      .backend = backend_outside(g),
                                      .precision = precision_outside(g->precision)};
            if (set && strcmp(g->name, "native") != 0)
                continue;
            assert_true(setups < MAX_SETUPS);
            setenv("MOHVIT_ISA", k->isa, 1);
            for (size_t i = 0; i < LENGTH(cases); i++)
                if (mohvit_open_config(&models[i][setups], &cases[i].config, SEED, &options, NULL))
                    return 1;
            setups++;
        }
    unsetenv("MOHVIT_ISA");
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (size_t j = 0; j < setups; j++)
            mohvit_close(models[i][j]);
    return 0;
}

static void whole(layer_case *l);

static void layer_open(layer_case *l, const mohvit_model *of, size_t s)
{
    *l = (layer_case){.stage = s};
    const model *m = mohvit_network(of);
    const config *c = &m->config;
    const block *b = &m->stages[s].blocks[0];
    l->config = c;
    l->attention = &b->attention;
    l->norm = &b->norm1;
    l->side = config_side(c, s);
    l->N = l->side * l->side;
    l->C = c->embed_dims[s];
    l->h = c->num_heads[s];
    l->d = l->C / l->h;
    l->P = config_pool(c, s);
    l->K = l->P ? l->P * l->P : l->N;
    l->pass = (pass){.kernels = m->numerics.kernels, .scratch = &l->scratch, .profile = &l->profile};
    whole(l); // measures
    assert_int_equal(scratch_allocate(&l->scratch, THREADS, NULL), MOHVIT_OK);
    assert_int_equal(profile_create(&l->profile, THREADS, NULL), MOHVIT_OK);
    random_stream r = {s + 1};
    l->x = array_random(&r, l->N * l->C, 2);
    l->gemm = attention_reader(l->attention)->gemm;
}

static void layer_free(layer_case *l)
{
    array_free(l->x);
    scratch_free(&l->scratch);
    profile_free(&l->profile);
}

typedef void layer_step(layer_case *l);

typedef struct {
    layer_case *layer;
    layer_step *step;
} step_job;

static void step_body(void *arg, team *t)
{
    step_job *job = arg;
    job->layer->pass.team = t;
    job->step(job->layer);
    job->layer->pass.team = NULL;
}

static void run(layer_case *l, layer_step *step, size_t threads)
{
    step_job job = {l, step};
    l->gemm->run(threads, step_body, &job);
}

static void route(layer_case *l)
{
    scratch_release(&l->scratch, 0);
    l->y = scratch_floats(&l->scratch, l->N, l->C);
    l->state = attention_route(&l->pass, l->attention, l->norm, l->y, l->x);
}

static void prepare(layer_case *l)
{
    route(l);
    attention_prepare(&l->pass, l->attention, l->y, &l->state);
}

/* attention_forward by its steps, which leave behind what the tests look at. */
static void whole(layer_case *l)
{
    prepare(l);
    heads_forward(&l->pass, l->attention, &l->state);
    attention_project(&l->pass, l->attention, &l->state, l->x);
}

static void forward(layer_case *l)
{
    scratch_release(&l->scratch, 0);
    l->y = scratch_floats(&l->scratch, l->N, l->C);
    l->state.selection = attention_forward(&l->pass, l->attention, l->norm, l->y, l->x);
}

static void for_every_layer(void (*check)(layer_case *l))
{
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (size_t s = 0; s < STAGES; s++)
            for (size_t j = 0; j < setups; j++) {
                layer_case l;
                layer_open(&l, models[i][j], s);
                check(&l);
                layer_free(&l);
            }
}

/* ---- The specification, by its checkpoint's names ---------------------------------------------- */

/* A synthetic tensor of the layer, as a checkpoint holds it. */
static float *weight(const layer_case *l, const char *leaf)
{
    char name[TENSOR_NAME_MAX];
    tensor_list list;
    float *values = NULL;
    snprintf(name, sizeof name, "block%zu.0.%s", l->stage + 1, leaf);
    assert_int_equal(model_tensors(&list, l->config, NULL), MOHVIT_OK);
    for (size_t i = 0; i < list.count; i++)
        if (!strcmp(list.tensors[i].name, name)) {
            values = array_new(list.tensors[i].elements);
            synthetic_tensor(values, &list.tensors[i], SEED);
        }
    tensor_list_free(&list);
    return values; // NULL: the config has no such tensor
}

static double *doubles(size_t n)
{
    double *values = malloc((n + 1) * sizeof *values);
    assert_non_null(values);
    return values;
}

static double *weight_doubles(const layer_case *l, const char *leaf, size_t n)
{
    float *w = weight(l, leaf);
    double *wide = doubles(n);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)w[i];
    array_free(w);
    return wide;
}

static double *columns(const double *x, size_t rows, size_t ld, size_t from, size_t d)
{
    double *cut = doubles(rows * d);
    for (size_t i = 0; i < rows * d; i++)
        cut[i] = x[i / d * ld + from + i % d];
    return cut;
}

static double *linear_of(const layer_case *l, const char *name, const double *x, size_t N, size_t in,
                         size_t out)
{
    char leaf[TENSOR_NAME_MAX];
    double *y = doubles(N * out);
    snprintf(leaf, sizeof leaf, "%s.weight", name);
    float *w = weight(l, leaf);
    snprintf(leaf, sizeof leaf, "%s.bias", name);
    float *b = weight(l, leaf);
    reference_linear(y, x, N, in, out, w, b);
    array_free(w);
    array_free(b);
    return y;
}

static double *norm_of(const layer_case *l, const char *name, const double *x, size_t N, double eps)
{
    char leaf[TENSOR_NAME_MAX];
    double *y = doubles(N * l->C);
    snprintf(leaf, sizeof leaf, "%s.weight", name);
    float *w = weight(l, leaf);
    snprintf(leaf, sizeof leaf, "%s.bias", name);
    float *b = weight(l, leaf);
    reference_layer_norm(y, x, N, l->C, w, b, eps);
    array_free(w);
    array_free(b);
    return y;
}

/* (h, N, K); valid until the next call. The latest is kept: the same layer is checked on several instruction
 * sets. */
static const double *position_biases(const layer_case *l)
{
    static double *bias;
    static config of;
    static size_t of_stage;
    if (bias && of_stage == l->stage && !memcmp(&of, l->config, sizeof of))
        return bias;
    of = *l->config;
    of_stage = l->stage;
    free(bias);
    float *fc1 = weight(l, "attn.cpb_fc1.weight"), *fc1_bias = weight(l, "attn.cpb_fc1.bias"),
          *fc2 = weight(l, "attn.cpb_fc2.weight"), *fc2_bias = weight(l, "attn.cpb_fc2.bias");
    size_t key_side = l->P ? l->P : l->side, S = l->config->pretrain_size >> (l->stage + 2);
    bias = doubles(l->h * l->N * l->K);
    for (size_t i = 0; i < l->h * l->N * l->K; i++) {
        size_t head = i / l->K / l->N, query = i / l->K % l->N, key = i % l->K;
        bias[i] =
            reference_position_bias(l->side, key_side, S, query / l->side, query % l->side, key / key_side,
                                    key % key_side, fc1, fc1_bias, fc2 + head * 512, (double)fc2_bias[head]);
    }
    array_free(fc1);
    array_free(fc1_bias);
    array_free(fc2);
    array_free(fc2_bias);
    return bias;
}

/* q (N, C), kv (N, 2C) with k normalised, or NULL; shared (K, 2C) = [k | v] with k normalised */
typedef struct {
    double *q, *kv, *shared;
} projections;

static void normalise_keys(double *kv, size_t rows, const layer_case *l)
{
    for (size_t row = 0; row < rows; row++)
        reference_l2_normalise(kv + row * 2 * l->C, 1, l->h, l->d);
}

static projections project(const layer_case *l, const double *y)
{
    projections p = {0};
    size_t N = l->N, C = l->C;
    if (!l->P) {
        double *qkv = linear_of(l, "attn.qkv", y, N, C, 3 * C);
        p.q = columns(qkv, N, 3 * C, 0, C);
        p.shared = columns(qkv, N, 3 * C, C, 2 * C);
        free(qkv);
    } else {
        p.q = linear_of(l, "attn.q", y, N, C, C);
        p.kv = linear_of(l, "attn.kv", y, N, C, 2 * C);
        normalise_keys(p.kv, N, l);
        double *map = linear_of(l, "attn.sr", y, N, C, C), *pooled = doubles(l->K * C);
        for (size_t i = 0; i < N * C; i++)
            map[i] = reference_gelu(map[i]);
        reference_pool(pooled, map, l->side, l->P, C);
        double *normed = norm_of(l, "attn.norm", pooled, l->K, 1e-5);
        p.shared = linear_of(l, "attn.kv", normed, l->K, C, 2 * C);
        free(map);
        free(pooled);
        free(normed);
    }
    normalise_keys(p.shared, l->K, l);
    return p;
}

/* heads (N, C): the gated outputs of all heads */
static double *reference_heads(const layer_case *l, const double *y)
{
    size_t N = l->N, C = l->C, h = l->h, d = l->d;
    projections p = project(l, y);
    const double *bias = position_biases(l);
    double *out = doubles(N * C), *answer = doubles(d);
    double *temperature = weight_doubles(l, "attn.temperature", h),
           *embedding = weight_doubles(l, "attn.query_embedding", C);
    double *local_bias = l->P ? weight_doubles(l, "attn.relative_pos_bias_local", h * 9) : NULL,
           *tokens = l->P ? weight_doubles(l, "attn.learnable_tokens", C * 9) : NULL,
           *learnable_bias = l->P ? weight_doubles(l, "attn.learnable_bias", h * 9) : NULL;
    for (size_t head = 0; head < h; head++) {
        double *q = columns(p.q, N, C, head * d, d), *keys = columns(p.shared, l->K, 2 * C, head * d, d),
               *values = columns(p.shared, l->K, 2 * C, C + head * d, d),
               *k = l->P ? columns(p.kv, N, 2 * C, head * d, d) : NULL,
               *v = l->P ? columns(p.kv, N, 2 * C, C + head * d, d) : NULL;
        reference_head job = {.side = l->side,
                              .d = d,
                              .q = q,
                              .query_embedding = embedding + head * d,
                              .softplus_temperature = reference_softplus(temperature[head]),
                              .K = l->K,
                              .keys = keys,
                              .values = values,
                              .bias = bias + head * N * l->K,
                              .k = k,
                              .v = v};
        if (l->P) {
            job.local_bias = local_bias + head * 9;
            job.learnable_tokens = tokens + head * d * 9;
            job.learnable_bias = learnable_bias + head * 9;
        }
        for (size_t token = 0; token < N; token++) {
            bool selected = l->state.selection.pick[token * h + head];
            if (selected)
                reference_attend(answer, &job, token);
            for (size_t i = 0; i < d; i++)
                out[token * C + head * d + i] =
                    selected ? answer[i] * (double)l->state.selection.gate[token * h + head] : 0;
        }
        free(q);
        free(keys);
        free(values);
        free(k);
        free(v);
    }
    double *owned[] = {p.q,       p.kv,       p.shared, answer,        temperature,
                       embedding, local_bias, tokens,   learnable_bias};
    for (size_t i = 0; i < LENGTH(owned); i++)
        free(owned[i]);
    return out;
}

/* ---- What is checked --------------------------------------------------------------------------- */

/* The most that outputs may lie from the specification's: one of them in float32, and their root mean square
 * in a precision that rounds operands to 8 or 11 bits, or to 127 steps (less than twice of what was
 * measured). */
static void assert_near(const layer_case *l, const float *found, const double *expected)
{
    precision p = l->gemm->precision;
    double tolerance = l->d <= 4 ? 6e-5 : 1.5e-5; // a short query has an unsure direction
    double sum = 0, n = (double)(l->N * l->C);
    for (size_t i = 0; i < l->N * l->C; i++) {
        double off = (double)found[i] - expected[i];
        if (p == PRECISION_F32)
            assert_close((double)found[i], expected[i], tolerance);
        sum += off * off;
    }
    if (p != PRECISION_F32)
        assert_close(sqrt(sum / n), 0,
                     (p == PRECISION_INT8  ? 0.04
                      : p == PRECISION_F16 ? 0.004
                                           : 0.015) *
                         (l->d <= 4 ? 2 : 1));
}

/* s->heads as (N, C), 0 where a head was not selected. */
static float *all_heads(const layer_case *l)
{
    float *all = array_new(l->N * l->C);
    memset(all, 0, l->N * l->C * sizeof *all);
    for (size_t head = 0; head < l->h; head++) {
        for (size_t i = 0; i < l->state.selection.counts[head]; i++) {
            size_t token = l->state.selection.lists[head * l->N + i], at = token * l->C + head * l->d;
            bool alone = l->state.skips_products;
            memcpy(all + at, l->state.out + (alone ? (head * l->N + i) * l->d : at), l->d * sizeof *all);
        }
    }
    return all;
}

/* Every stage of the last case, whose embed_dims no other has, where the kernels can. */
static void check_pairs(layer_case *l)
{
    bool able = l->pass.kernels->pairs.sums && l->gemm == &gemm_native[PRECISION_F32];
    assert_int_equal(pairs_skip_products(&l->pass, l->attention), able && l->config->embed_dims[0] == 96);
    // and where proj alone is float32
    attention mixed = *l->attention;
    mixed.proj.gemm = &gemm_native[PRECISION_F32];
    assert_int_equal(pairs_skip_products(&l->pass, &mixed), able && l->config->embed_dims[0] == 96);
}

static void selected_pairs_are_alone_where_that_is_faster(void **state)
{
    (void)state;
    for_every_layer(check_pairs);
}

static void check_forward(layer_case *l)
{
    size_t N = l->N, C = l->C;
    double *x = widened(l->x, N * C);
    run(l, whole, 1);
    double *y = norm_of(l, "norm1", x, N, 1e-6), *heads = reference_heads(l, y),
           *proj = linear_of(l, "attn.proj", heads, N, C, C);
    for (size_t i = 0; i < N * C; i++) {
        if (!gemm_functions(l->gemm, l->pass.kernels)->encode) // else they go straight to their encoding
            assert_close((double)l->y[i], y[i], 2e-6);
        x[i] += proj[i];
    }
    float *found = all_heads(l);
    assert_near(l, found, heads);
    array_free(found);
    assert_near(l, l->x, x);
    free(x);
    free(y);
    free(heads);
    free(proj);
}

static void attention_agrees_with_the_specification(void **state)
{
    (void)state;
    for_every_layer(check_forward);
}

/* wg, wg_0 and wg_1 reach the router in that order. */
static void check_route(layer_case *l)
{
    size_t N = l->N, h = l->h, rows = 0;
    const router *r = &l->attention->router;
    const char *const names[] = {"attn.wg.weight", "attn.wg_0.weight", "attn.wg_1.weight"};
    const size_t counts[] = {h - r->shared, 2, r->shared};
    double *x = widened(l->x, N * l->C), *y = norm_of(l, "norm1", x, N, 1e-6);
    float *logits = array_new(N * (r->rows + 1)), *gate = array_new(N * h);
    uint8_t *pick = malloc(N * h);
    run(l, prepare, 1); // which lists the tokens, too
    for (size_t i = 0; i < 3; i++) {
        float *w = weight(l, names[i]);
        if (!w)
            continue;
        double *part = doubles(N * counts[i]);
        reference_linear(part, y, N, l->C, counts[i], w, NULL);
        for (size_t j = 0; j < N * counts[i]; j++)
            logits[j / counts[i] * r->rows + rows + j % counts[i]] = (float)part[j];
        rows += counts[i];
        free(part);
        array_free(w);
    }
    assert_int_equal(rows, r->rows);
    router_gates(r, l->pass.kernels, logits, N, gate, pick);
    for (size_t head = 0; head < h; head++) {
        size_t count = 0;
        for (size_t token = 0; token < N; token++) {
            assert_int_equal(l->state.selection.pick[token * h + head], pick[token * h + head]);
            assert_close((double)l->state.selection.gate[token * h + head], (double)gate[token * h + head],
                         1e-5);
            if (pick[token * h + head]) // ascending, each once
                assert_int_equal(l->state.selection.lists[head * N + count++], token);
        }
        assert_int_equal(l->state.selection.counts[head], count);
    }
    free(x);
    free(y);
    free(pick);
    array_free(logits);
    array_free(gate);
}

static void tokens_are_routed_by_their_normalised_values(void **state)
{
    (void)state;
    for_every_layer(check_route);
}

/* attention_heads alone, on queries that the test may spoil. */
static void attend(layer_case *l)
{
    heads_forward(&l->pass, l->attention, &l->state);
}

static void project_pairs(layer_case *l)
{
    pairs_project(&l->pass, l->attention, &l->state, l->x);
}

/* The queries and outputs of pairs that were not selected. */
static void spoil_unselected(layer_case *l)
{
    bool alone = l->state.skips_products;
    for (size_t i = 0; i < l->N * l->h; i++) {
        size_t token = i / l->h, head = i % l->h;
        if (!l->state.selection.pick[i])
            l->state.selection.gate[i] = NAN;
        for (size_t c = 0; c < l->d; c++)
            if (alone && token >= l->state.selection.counts[head]) {
                l->state.q[(head * l->N + token) * l->d + c] = NAN;
                l->state.out[(head * l->N + token) * l->d + c] = NAN;
            } else if (!alone && !l->state.selection.pick[i]) {
                assert_int_equal(float_bits(l->state.out[token * l->C + head * l->d + c]), 0);
                l->state.q[token * l->state.ldq + head * l->d + c] = NAN;
            }
    }
}

static void check_skipping(layer_case *l)
{
    size_t n = l->N * l->C, selected = 0, pairs = 0;
    float *x = array_copy(l->x, n);
    run(l, whole, 1);
    float *answer = array_copy(l->x, n);
    memcpy(l->x, x, n * sizeof *x);
    run(l, prepare, 1);
    run(l, attend, 1);
    float *clean = all_heads(l);
    for (size_t t = 0; t < THREADS; t++)
        pairs += l->profile.counts[t].pairs;
    for (size_t i = 0; i < l->N * l->h; i++)
        selected += l->state.selection.pick[i];
    assert_int_equal(pairs, 2 * selected); // the counter runs on
    const router *r = &l->attention->router;
    assert_int_equal(selected, l->N * (r->dense ? l->h : r->shared + r->routed));

    spoil_unselected(l);
    run(l, attend, 1);
    float *found = all_heads(l);
    assert_memory_equal(found, clean, n * sizeof *clean);
    if (l->state.skips_products) {
        run(l, project_pairs, 1);
        assert_memory_equal(l->x, answer, n * sizeof *answer);
    }
    array_free(found);
    array_free(clean);
    array_free(answer);
    array_free(x);
}

static void unselected_heads_are_neither_computed_nor_read(void **state)
{
    (void)state;
    for_every_layer(check_skipping);
}

static void check_threads(layer_case *l)
{
    size_t n = l->N * l->C;
    float *x = array_new(n), *first = array_new(n);
    memcpy(x, l->x, n * sizeof *x);
    run(l, whole, 1);
    memcpy(first, l->x, n * sizeof *x);
    for (size_t threads = 1; threads <= THREADS; threads++) {
        memcpy(l->x, x, n * sizeof *x);
        run(l, forward, threads);
        assert_memory_equal(l->x, first, n * sizeof *x);
    }
    array_free(x);
    array_free(first);
}

static void attention_gives_the_same_bits_for_any_team(void **state)
{
    (void)state;
    for_every_layer(check_threads);
}

static void computed_pairs_equal_the_reported_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        enum { BATCH = 3 };
        const config *c = &cases[i].config;
        size_t floats = 3 * c->img_size * c->img_size, heads = config_blocks(c) * config_max_heads(c),
               sum = 0;
        mohvit_context *ctx;
        assert_int_equal(mohvit_context_create(&ctx, models[i][0], BATCH, 2, NULL), MOHVIT_OK);
        mohvit_settings(ctx)->team_macs = 0; // a team even for small models
        float *input = array_new(BATCH * floats);
        synthetic_input(input, BATCH, c->img_size, SEED);
        for (size_t slot = 0; slot < BATCH; slot++)
            assert_int_equal(mohvit_load_tensor(ctx, slot, input + slot * floats, NULL), MOHVIT_OK);
        for (size_t n = 1; n <= BATCH; n++) {
            assert_int_equal(mohvit_run(ctx, n, NULL), MOHVIT_OK);
            for (size_t slot = 0; slot < n; slot++)
                for (size_t j = 0; j < heads; j++) {
                    int32_t tokens = mohvit_head_tokens(ctx, slot)[j];
                    size_t at = j / config_max_heads(c), head = j % config_max_heads(c);
                    assert_int_equal(tokens < 0, head >= c->num_heads[at]); // each stage has one block
                    sum += tokens > 0 ? (size_t)tokens : 0;
                }
            assert_int_equal(mohvit_computed_pairs(ctx), sum);
        }
        array_free(input);
        mohvit_context_destroy(ctx);
    }
}

/* Of one image: gates as they were in each block, and what the context reported of them afterwards. */
typedef struct {
    const config *config;
    double sums[STAGES][CONFIG_MAX_HEADS]; /* each stage has one block */
} seen_gates;

static void sum_gates(void *user, size_t s, size_t b, const router *r, const selection *chosen, size_t N)
{
    (void)b;
    const size_t h = r->heads;
    seen_gates *seen = user;
    assert_int_equal(h, seen->config->num_heads[s]);
    for (size_t head = 0; head < h; head++) {
        seen->sums[s][head] = 0;
        for (size_t token = 0; token < N; token++)
            if (chosen->pick[token * h + head])
                seen->sums[s][head] += (double)chosen->gate[token * h + head];
    }
}

/* To the last bit, and of each token: a gate that was left out would be half a thousandth of a sum. */
static void reported_gate_sums_are_those_of_every_selected_token(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const config *c = &cases[i].config;
        seen_gates seen = {.config = c};
        mohvit_context *ctx;
        assert_int_equal(mohvit_context_create(&ctx, models[i][0], 1, 2, NULL), MOHVIT_OK);
        float *input = array_new(3 * c->img_size * c->img_size);
        synthetic_input(input, 1, c->img_size, SEED);
        assert_int_equal(mohvit_load_tensor(ctx, 0, input, NULL), MOHVIT_OK);
        mohvit_settings(ctx)->routes = sum_gates;
        mohvit_settings(ctx)->routes_user = &seen;
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        const double *reported = mohvit_head_gate_sum(ctx, 0);
        for (size_t s = 0; s < STAGES; s++) {
            double sum = 0, N = (double)(config_side(c, s) * config_side(c, s));
            for (size_t head = 0; head < config_max_heads(c); head++, reported++) {
                assert_true(*reported == seen.sums[s][head]); // 0 where there is no such head
                if (head < c->num_heads[s])
                    sum += *reported /
                           (double)(head < c->shared_head[s] ? c->shared_head[s] : c->routed_head[s]);
            }
            // a token's gates are shared · a and routed · b together, and a + b = 2 where both exist
            assert_close(sum / N, c->shared_head[s] && c->routed_head[s] ? 2 : 1, 1e-5);
        }
        array_free(input);
        mohvit_context_destroy(ctx);
    }
}

/* However a pass computes, it takes no more than was measured. */
static void a_measured_scratch_is_large_enough_for_any_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (size_t j = 0; j < setups; j++)
            for (size_t how = 0; how < 4; how++) {
                const model *m = mohvit_network(models[i][j]);
                scratch measured, found = {0};
                profile times = {0};
                pass p = {.kernels = m->numerics.kernels,
                          .scratch = &found,
                          .profile = &times,
                          .all_heads = how & 1,
                          .products_only = how & 2};
                model_measure(m, &measured);
                model_forward(m, &p, NULL, &(forward_result){0});
                assert_int_equal(found.used, 0);
                assert_true(found.most && found.most <= measured.most);
                assert_true(found.encoded_bytes <= measured.encoded_bytes);
                assert_true(found.thread_floats <= measured.thread_floats);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selected_pairs_are_alone_where_that_is_faster),
        cmocka_unit_test(attention_agrees_with_the_specification),
        cmocka_unit_test(tokens_are_routed_by_their_normalised_values),
        cmocka_unit_test(unselected_heads_are_neither_computed_nor_read),
        cmocka_unit_test(attention_gives_the_same_bits_for_any_team),
        cmocka_unit_test(computed_pairs_equal_the_reported_tokens),
        cmocka_unit_test(a_measured_scratch_is_large_enough_for_any_pass),
        cmocka_unit_test(reported_gate_sums_are_those_of_every_selected_token),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}

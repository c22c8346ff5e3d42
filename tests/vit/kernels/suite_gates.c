/* Gates from a router's logits; test_router has the specification's paragraph, case by case. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY 0xAA /* what nobody wrote */

static const struct {
    size_t heads, shared, routed;
} routers[] = {{1, 0, 1},  {2, 1, 1},   {3, 2, 1},   {4, 0, 2},    {4, 1, 2},     {4, 4, 0},    {9, 3, 4},
               {12, 3, 6}, {12, 0, 12}, {24, 5, 13}, {33, 16, 16}, {256, 7, 100}, {256, 256, 0}};

/* N tokens; pick has a fence of its own. */
typedef struct {
    gates_job job;
    float *logits;
    uint8_t *pick;
} gates_case;

static gates_case gates_new(size_t i, size_t N, float scale)
{
    size_t heads = routers[i].heads, shared = routers[i].shared, routed = routers[i].routed;
    random_stream r = {i * 100 + N + 1};
    gates_case c = {.job = {.heads = heads, .shared = shared, .routed = routed, .N = N}};
    c.job.rows = (routed ? heads - shared : 0) + (routed && shared ? 2 : 0) + (shared > 1 ? shared : 0);
    c.logits = array_random(&r, N * c.job.rows, scale);
    c.pick = malloc(N * heads + 1);
    assert_non_null(c.pick);
    memset(c.pick, EMPTY, N * heads + 1);
    c.job.logits = c.logits;
    c.job.gate = array_new(N * heads);
    c.job.pick = c.pick;
    return c;
}

static void gates_free(gates_case *c)
{
    assert_int_equal(c->pick[c->job.N * c->job.heads], EMPTY);
    array_free(c->logits);
    array_free(c->job.gate);
    free(c->pick);
}

static void gates_check(const gates_case *c)
{
    const gates_job *job = &c->job;
    double gate[GATES_MAX_HEADS] = {0};
    uint8_t pick[GATES_MAX_HEADS];
    for (size_t n = 0; n < job->N; n++) {
        reference_gates(gate, pick, job->heads, job->shared, job->routed, c->logits + n * job->rows);
        assert_memory_equal(c->pick + n * job->heads, pick, job->heads);
        for (size_t h = 0; h < job->heads; h++) {
            float found = job->gate[n * job->heads + h];
            assert_close((double)found, gate[h], 1e-6 * (double)job->heads);
            if (!pick[h])
                assert_int_equal(float_bits(found), 0);
        }
    }
}

/* Any number of tokens, so that lanes are idle; logits from denormal to far apart. */
static void gates_agree_with_the_reference(void **state)
{
    const float scales[] = {3, 1e-3f, 1e-40f, 80, 1e30f};
    for (size_t i = 0; i < LENGTH(routers); i++)
        for (size_t N = 0; N <= 35; N += 1 + N / 9)
            for (size_t s = 0; s < LENGTH(scales); s++) {
                gates_case c = gates_new(i, N, scales[s]);
                tested(state)->gates(&c.job);
                gates_check(&c);
                gates_free(&c);
            }
}

/* What is no number in one token changes no bit of the others, and picks no more heads. */
static void odd_logits_stay_in_their_token(void **state)
{
    const float odd[] = {NAN, INFINITY, -INFINITY};
    enum { N = 19 };
    for (size_t i = 0; i < LENGTH(routers); i++)
        for (size_t flaw = 0; flaw < LENGTH(odd); flaw++) {
            gates_case clean = gates_new(i, N, 2), c = gates_new(i, N, 2);
            random_stream r = {i + 1};
            size_t token = random_below(&r, N), heads = c.job.heads, on = 0;
            if (c.job.rows)
                c.logits[token * c.job.rows + random_below(&r, c.job.rows)] = odd[flaw];
            tested(state)->gates(&clean.job);
            tested(state)->gates(&c.job);
            for (size_t at = 0; at < N * heads; at++)
                if (at / heads != token) {
                    assert_int_equal(float_bits(c.job.gate[at]), float_bits(clean.job.gate[at]));
                    assert_int_equal(c.pick[at], clean.pick[at]);
                } else
                    on += c.pick[at];
            assert_int_equal(on, c.job.shared + c.job.routed);
            gates_free(&clean);
            gates_free(&c);
        }
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* Half of the heads, none of them shared. */
static void run_gates(const kernels *k, void *arg)
{
    stage *s = arg;
    k->gates(&(gates_job){.heads = s->heads,
                          .routed = (s->heads + 1) / 2,
                          .rows = s->heads,
                          .logits = s->x,
                          .N = s->N,
                          .gate = s->y,
                          .pick = (uint8_t *)(s->y + s->N * s->heads)});
}

static void plain_gates(void *arg)
{
    stage *s = arg;
    for (size_t n = 0; n < s->N; n++)
        reference_gates(s->wide_y, (uint8_t *)s->y, s->heads, 0, (s->heads + 1) / 2, s->x + n * s->heads);
}

static const bench bench_gates[] = {
    {.name = "gates", .run = run_gates, .plain = plain_gates},
};

static const struct CMUnitTest gates_tests[] = {
    cmocka_unit_test(gates_agree_with_the_reference),
    cmocka_unit_test(odd_logits_stay_in_their_token),
};

const suite gates_suite = {"gates", ENTRIES(gates, gates), TESTS(gates_tests), BENCHES(bench_gates)};

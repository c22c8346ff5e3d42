#include "attention.h"
#include "parallel.h"

#include <string.h>

/* ---- Routing --------------------------------------------------------------------------------- */

#define ROUTE_ROWS 64

typedef struct {
    const pass *pass;
    const attention *attention;
    const norm *norm;
    const float *x;
    float *y;
} route_job;

static void route_rows(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const route_job *job = arg;
    const attention *a = job->attention;
    const router *r = &a->router;
    const pass *p = job->pass;
    size_t N = a->side * a->side, C = a->C, row = task * ROUTE_ROWS,
           rows = N - row < ROUTE_ROWS ? N - row : ROUTE_ROWS;
    float *y = job->y + row * C, *logits = p->s->logits + row * r->rows;
    p->kernels->layer_norm(y, job->x + row * C, rows, C, job->norm->weight, job->norm->bias, job->norm->eps);
    if (r->rows)
        linear_rows(&r->scores, y, logits, rows, p->gemm, p->kernels);
    router_gates(r, logits, rows, p->s->gate + row * r->heads, p->s->pick + row * r->heads);
    if (r->routed)
        memset(p->s->heads + row * C, 0, rows * C * sizeof(float));
}

static void list_tokens(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const route_job *job = arg;
    const scratch *s = job->pass->s;
    size_t h = job->attention->heads, N = job->attention->side * job->attention->side, count = 0;
    uint32_t *list = s->lists + head * N;
    for (size_t token = 0; token < N; token++) {
        list[count] = (uint32_t)token;
        count += s->pick[token * h + head];
    }
    s->counts[head] = count;
}

void attention_route(const pass *p, const attention *a, const norm *n, const float *x, float *y)
{
    route_job job = {p, a, n, x, y};
    parallel_for(p->team, divide_up(a->side * a->side, ROUTE_ROWS), route_rows, &job);
    parallel_for(p->team, a->heads, list_tokens, &job);
}

/* ---- Shared keys, head by head ----------------------------------------------------------------- */

typedef struct {
    const pass *pass;
    const attention *attention;
    const float *kv;
    size_t ld, value_offset, K;
} gather_job;

static void gather_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const gather_job *job = arg;
    size_t d = job->attention->d, K = job->K;
    float *keys = job->pass->s->keys + head * K * d, *values = job->pass->s->values + head * K * d;
    const float *k = job->kv + head * d, *v = k + job->value_offset;
    for (size_t i = 0; i < K; i++, k += job->ld, v += job->ld) {
        memcpy(keys + i * d, k, d * sizeof *keys);
        memcpy(values + i * d, v, d * sizeof *values);
    }
    job->pass->kernels->l2_normalise(keys, d, K, 1, d);
}

void attention_gather_keys(const pass *p, const attention *a, const float *kv, size_t ld, size_t value_offset,
                           size_t K)
{
    gather_job job = {p, a, kv, ld, value_offset, K};
    parallel_for(p->team, a->heads, gather_head, &job);
}

/* ---- Heads ----------------------------------------------------------------------------------- */

/* Tokens of one head that a task takes: some tens of microseconds' work. */
#define HEAD_TOKENS 256

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_source *source;
    size_t chunks; // per head, for as many tokens as there are
} heads_job;

static void head_chunk(void *arg, size_t task, size_t worker)
{
    const heads_job *job = arg;
    const attention *a = job->attention;
    const attention_source *from = job->source;
    const scratch *s = job->pass->s;
    size_t head = task / job->chunks, first = task % job->chunks * HEAD_TOKENS;
    size_t N = a->side * a->side, C = a->C, d = a->d, n = a->grid->offsets;
    if (first >= s->counts[head])
        return;
    size_t count = s->counts[head] - first;
    attend_job attend = {
        .d = d,
        .tokens = s->lists + head * N + first,
        .count = count < HEAD_TOKENS ? count : HEAD_TOKENS,
        .q = from->q + head * d,
        .ldq = from->ldq,
        .query_embedding = a->query_embedding + head * d,
        .scale = a->scale + head * (NEIGHBOURS + 1),
        .gate = s->gate + head,
        .ldgate = a->heads,
        .out = s->heads + head * d,
        .ldout = C,
        .K = from->K,
        .keys = s->keys + head * from->K * d,
        .values = s->values + head * from->K * d,
        .bias = a->position_bias + head * n * n,
        .bias_side = n,
        .bias_offset = a->grid->offset,
        .side = a->side,
        .key_side = from->key_side,
    };
    if (from->kv) {
        attend.k = from->kv + head * d;
        attend.v = attend.k + C;
        attend.ldkv = 2 * C;
        attend.local_bias = a->local_bias + head * NEIGHBOURS;
        attend.learnable_tokens = a->learnable_tokens + head * NEIGHBOURS * d;
        attend.learnable_bias = a->learnable_bias + head * NEIGHBOURS;
    }
    s->pairs[worker] += job->pass->kernels->attend(&attend, s->lanes + worker * s->lane_floats);
}

void attention_heads(const pass *p, const attention *a, const attention_source *source)
{
    heads_job job = {p, a, source, divide_up(a->side * a->side, HEAD_TOKENS)};
    parallel_for(p->team, a->heads * job.chunks, head_chunk, &job);
}

/* Queries and proj are computed for all heads. They are a few percent of the arithmetic, and no way to gather
 * them per head has yet been measured to win. */
void attention_forward(const pass *p, const attention *a, const float *y, float *x)
{
    attention_source source =
        a->pool ? aggregated_attention_prepare(p, a, y) : global_attention_prepare(p, a, y);
    attention_heads(p, a, &source);
    linear_call proj = {&a->proj, p->s->heads, a->C, x, a->C, a->side * a->side, true};
    linear_forward(&proj, 1, p->gemm, p->kernels, p->team);
}

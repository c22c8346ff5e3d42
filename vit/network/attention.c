#include "vit/network/attention.h"
#include "vit/network/pairs.h"
#include "base/parallel.h"
#include "base/memory.h"

#include <string.h>

/* ---- Routing --------------------------------------------------------------------------------- */

typedef struct {
    const pass *pass;
    const attention *attention;
    const norm *norm;
    const float *x;
} route_job;

const linear *attention_reader(const attention *a)
{
    return a->pool ? &a->q : &a->qkv;
}

static void route_rows(void *arg, size_t task, size_t worker)
{
    const route_job *job = arg;
    const attention *a = job->attention;
    const router *r = &a->router;
    const pass *p = job->pass;
    size_t N = a->side * a->side, C = a->C, row = task * CODED_ROWS,
           rows = N - row < CODED_ROWS ? N - row : CODED_ROWS;
    float *y = coded_rows(p, attention_reader(a), p->s->y, row, worker);
    float *logits = p->s->logits + row * r->rows;
    p->kernels->layer_norm(y, job->x + row * C, rows, C, job->norm->weight, job->norm->bias, job->norm->eps);
    if (r->rows) {
        linear_call scores = {&r->scores, {y, C * sizeof *y}, logits, r->rows, rows, false};
        linear_columns(&scores, 0, r->rows, p->kernels);
    }
    router_gates(r, p->kernels, logits, rows, p->s->gate + row * r->heads, p->s->pick + row * r->heads);
    if (r->routed && !pairs_alone(p, a))
        memset(p->s->heads + row * C, 0, rows * C * sizeof(float));
    coded_done(p, attention_reader(a), y, row, rows);
}

/* Where there are only products there is no router either: as many tokens as it would choose. */
static size_t list_any(const router *r, size_t head, size_t N, uint32_t *list)
{
    size_t count = head < r->shared ? N : N * r->routed / (r->heads - r->shared);
    for (size_t i = 0; i < count; i++)
        list[i] = (uint32_t)(i * N / count);
    return count;
}

static size_t list_selected(const uint8_t *pick, size_t heads, size_t N, uint32_t *list)
{
    size_t count = 0;
    for (size_t token = 0; token < N; token++) {
        list[count] = (uint32_t)token;
        count += pick[token * heads];
    }
    return count;
}

static void list_tokens(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const route_job *job = arg;
    const router *r = &job->attention->router;
    const scratch *s = job->pass->s;
    size_t N = job->attention->side * job->attention->side;
    uint32_t *list = s->lists + head * N;
    s->counts[head] = job->pass->products_only ? list_any(r, head, N, list)
                                               : list_selected(s->pick + head, r->heads, N, list);
}

void attention_route(const pass *p, const attention *a, const norm *n, const float *x)
{
    route_job job = {p, a, n, x};
    pass_loop(p, divide_up(a->side * a->side, CODED_ROWS), route_rows, &job);
    parallel_for(p->team, a->heads, list_tokens, &job);
    pass_lap(p, OP_ROUTER);
}

/* ---- Shared keys, head by head ----------------------------------------------------------------- */

void attention_gather_keys(const pass *p, const attention *a, size_t head, const float *kv, size_t ld,
                           size_t value_offset, size_t K)
{
    size_t d = a->d;
    float *keys = p->s->keys + head * K * d, *values = p->s->values + head * K * d;
    const float *k = kv + head * d, *v = k + value_offset;
    for (size_t i = 0; i < K; i++, k += ld, v += ld) {
        memcpy(keys + i * d, k, d * sizeof *keys);
        memcpy(values + i * d, v, d * sizeof *values);
    }
    p->kernels->l2_normalise(keys, d, K, 1, d);
}

size_t attention_turn(const attention *a, size_t task)
{
    size_t turn = 2 * task;
    return turn < a->heads ? turn : (turn - a->heads) | 1;
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
    size_t head = attention_turn(a, task % a->heads);
    size_t first = task / a->heads * HEAD_TOKENS;
    size_t N = a->side * a->side, C = a->C, d = a->d, n = a->grid->offsets;
    bool all = job->pass->all_heads, alone = pairs_alone(job->pass, a);
    const uint32_t *tokens = all ? s->tokens : s->lists + head * N;
    size_t selected = all ? N : s->counts[head];
    if (first >= selected)
        return;
    size_t count = selected - first;
    attend_job attend = {
        .d = d,
        .tokens = tokens + first,
        .rows = (alone ? s->tokens : tokens) + first,
        .count = count < HEAD_TOKENS ? count : HEAD_TOKENS,
        .q = from->q + head * (alone ? N * d : d),
        .ldq = from->ldq,
        .query_embedding = a->query_embedding + head * d,
        .scale = a->scale + head * (NEIGHBOURS + 1),
        .gate = s->gate + head,
        .ldgate = a->heads,
        .out = s->heads + head * (alone ? N * d : d),
        .ldout = alone ? d : C,
        .K = from->K,
        .keys = s->keys + head * from->K * d,
        .values = s->values + head * from->K * d,
        .bias = a->position_bias + head * n * n,
        .bias_side = n,
        .bias_steady = a->grid->steady,
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
    pass_loop(p, a->heads * job.chunks, head_chunk, &job);
}

void attention_forward(const pass *p, const attention *a, float *x)
{
    attention_source source = a->pool ? aggregated_attention_prepare(p, a) : global_attention_prepare(p, a);
    attention_heads(p, a, &source);
    if (pairs_alone(p, a)) {
        pass_lap(p, OP_ATTEND);
        pairs_project(p, a, x);
    } else {
        coded_all(p, &a->proj, p->s->heads, a->C, a->side * a->side);
        pass_lap(p, OP_ATTEND);
        linear_call proj = {
            &a->proj, coded_operand(p, &a->proj, p->s->heads, a->C), x, a->C, a->side * a->side, true};
        linear_forward(&proj, 1, p->kernels, p->team);
    }
    pass_lap(p, OP_PROJ);
}

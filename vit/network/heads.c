#include "vit/network/heads.h"
#include "base/memory.h"

#include <string.h>

const linear *attention_reader(const attention *a)
{
    return a->pool ? &a->q : &a->qkv;
}

size_t head_of_task(const attention *a, size_t task)
{
    size_t turn = 2 * task;
    return turn < a->heads ? turn : (turn - a->heads) | 1;
}

void heads_take_keys(const pass *p, const attention *a, attention_state *s, size_t K, size_t key_side)
{
    s->K = K;
    s->key_side = key_side;
    s->keys = scratch_floats(p->scratch, K, a->C);
    s->values = scratch_floats(p->scratch, K, a->C);
}

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_state *state;
    const float *rows; // (K, keys + 2C), ld apart
    size_t ld, keys;
} gather_job;

static void gather_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const gather_job *job = arg;
    size_t d = job->attention->d, K = job->state->K;
    float *keys = job->state->keys + head * K * d, *values = job->state->values + head * K * d;
    const float *k = job->rows + job->keys + head * d, *v = k + job->attention->C;
    for (size_t i = 0; i < K; i++, k += job->ld, v += job->ld) {
        memcpy(keys + i * d, k, d * sizeof *keys);
        memcpy(values + i * d, v, d * sizeof *values);
    }
    job->pass->kernels->l2_normalise(keys, d, K, 1, d);
}

void heads_gather_keys(const pass *p, const attention *a, const attention_state *s, const float *rows,
                       size_t ld, size_t keys)
{
    gather_job job = {p, a, s, rows, ld, keys};
    pass_loop(p, a->heads, gather_head, &job);
    profile_lap(p->profile, OP_POOL);
}

/* Tokens of one head that a task takes: some tens of microseconds' work. */
#define HEAD_TOKENS 256

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_state *state;
    const uint32_t *all; // 0, 1, 2 …: the list of a head that every token selects
} heads_job;

static void head_chunk(void *arg, size_t task, size_t worker)
{
    const heads_job *job = arg;
    const attention *a = job->attention;
    const attention_state *from = job->state;
    const pass *p = job->pass;
    size_t head = head_of_task(a, task % a->heads), first = task / a->heads * HEAD_TOKENS;
    size_t N = a->side * a->side, C = a->C, d = a->d, n = a->grid->offsets;
    bool alone = from->skips_products;
    const uint32_t *tokens = p->all_heads ? job->all : from->selection.lists + head * N;
    size_t selected = p->all_heads ? N : from->selection.counts[head];
    if (first >= selected)
        return;
    size_t count = selected - first;
    attend_job attend = {
        .d = d,
        .tokens = tokens + first,
        .rows = (alone ? job->all : tokens) + first,
        .count = count < HEAD_TOKENS ? count : HEAD_TOKENS,
        .q = from->q + head * (alone ? N * d : d),
        .ldq = from->ldq,
        .query_embedding = a->query_embedding + head * d,
        .scale = a->scale + head * (NEIGHBOURS + 1),
        .gate = from->selection.gate + head,
        .ldgate = a->heads,
        .out = from->out + head * (alone ? N * d : d),
        .ldout = alone ? d : C,
        .K = from->K,
        .keys = from->keys + head * from->K * d,
        .values = from->values + head * from->K * d,
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
    p->profile->counts[worker].pairs += p->kernels->attend(&attend, scratch_thread(p->scratch, worker));
}

void heads_forward(const pass *p, const attention *a, const attention_state *s)
{
    size_t N = a->side * a->side, mark = p->scratch->used;
    uint32_t *all = scratch_take(p->scratch, N, sizeof *all);
    heads_job job = {p, a, s, all};
    for (uint32_t token = 0; all && token < N; token++)
        all[token] = token;
    double local = a->pool ? 2 * NEIGHBOURS + NEIGHBOURS : 0; // scores and sums, and q̂ · learnable tokens
    double macs = (double)N * (double)a->d * (2 * (double)s->K + local);
    pass_count(p, macs * (double)a->heads, macs * (double)router_active(&a->router));
    scratch_need_thread(p->scratch, p->kernels->attend_scratch(a->d, s->K));
    pass_loop(p, a->heads * divide_up(N, HEAD_TOKENS), head_chunk, &job);
    scratch_release(p->scratch, mark);
}

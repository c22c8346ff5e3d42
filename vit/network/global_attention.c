#include "vit/network/global_attention.h"
#include "vit/network/encode.h"
#include "vit/network/pairs.h"

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_state *state;
    const float *product; // [q | k | v] of each token, or [k | v]
    size_t ld, keys;      // keys: where a token's begin
} gather_job;

static void gather_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const gather_job *job = arg;
    heads_gather_keys(job->pass, job->attention, job->state, head, job->product + job->keys, job->ld);
}

void global_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s)
{
    size_t N = a->side * a->side, C = a->C, skip = 0;
    if (s->skips_products) {
        s->q = scratch_floats(p->scratch, N * C);
        pairs_queries(p, a, s, &a->qkv, y);
        skip = C;
    }
    linear layer = linear_from(&a->qkv, skip, p->kernels);
    float *product = scratch_floats(p->scratch, N * layer.out);
    linear_call call = {&layer, encoded(p, &layer, y, C), product, layer.out, N, false};
    pass_linear(p, &call, 1);
    profile_lap(p->profile, OP_QKV);
    heads_take_keys(p, a, s, N, a->side);
    gather_job job = {p, a, s, product, layer.out, C - skip};
    pass_loop(p, a->heads, gather_head, &job);
    profile_lap(p->profile, OP_POOL);
    if (!skip)
        s->q = product;
    s->ldq = skip ? a->d : 3 * C;
}

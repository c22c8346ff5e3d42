/* Keys and values are every token of the map (spec 2, "Global attention"). */
#include "vit/network/attention.h"
#include "vit/network/pairs.h"
#include "base/parallel.h"

typedef struct {
    const pass *pass;
    const attention *attention;
    const float *kv; // keys of the first token, which C values follow, and so on
    size_t ld;
} global_job;

static void prepare_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const global_job *job = arg;
    const attention *a = job->attention;
    attention_gather_keys(job->pass, a, head, job->kv, job->ld, a->C, a->side * a->side);
}

attention_source global_attention_prepare(const pass *p, const attention *a)
{
    size_t N = a->side * a->side, C = a->C, skip = 0;
    if (pairs_alone(p, a)) {
        pairs_queries(p, a, &a->qkv);
        skip = C;
    }
    linear layer = linear_from(&a->qkv, skip, p->kernels);
    linear_call qkv = {&layer, coded_operand(p, &layer, p->s->y, C), p->s->q + N * skip, layer.out, N, false};
    linear_forward(&qkv, 1, p->kernels, p->team);
    pass_lap(p, OP_QKV);
    global_job job = {p, a, p->s->q + (skip ? N * C : C), layer.out};
    pass_loop(p, a->heads, prepare_head, &job);
    pass_lap(p, OP_POOL);
    return (attention_source){
        .q = p->s->q, .ldq = skip ? a->d : 3 * C, .kv = NULL, .K = N, .key_side = a->side};
}

/* Keys and values are every token of the map (spec 2, "Global attention"). */
#include "attention.h"
#include "parallel.h"

typedef struct {
    const pass *pass;
    const attention *attention;
} global_job;

static void prepare_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const global_job *job = arg;
    const attention *a = job->attention;
    attention_list_tokens(job->pass, a, head);
    attention_gather_keys(job->pass, a, head, job->pass->s->q + a->C, 3 * a->C, a->C, a->side * a->side);
}

attention_source global_attention_prepare(const pass *p, const attention *a)
{
    size_t N = a->side * a->side, C = a->C;
    linear_call qkv = {&a->qkv, coded_operand(p, &a->qkv, p->s->y, C), p->s->q, 3 * C, N, false};
    linear_forward(&qkv, 1, p->kernels, p->team);
    pass_lap(p, OP_QKV);
    global_job job = {p, a};
    pass_loop(p, a->heads, prepare_head, &job);
    pass_lap(p, OP_POOL);
    return (attention_source){.q = p->s->q, .ldq = 3 * C, .kv = NULL, .K = N, .key_side = a->side};
}

/* Keys and values are every token of the map (spec 2, "Global attention"). */
#include "attention.h"

attention_source global_attention_prepare(const pass *p, const attention *a, const float *y)
{
    size_t N = a->side * a->side, C = a->C;
    linear_call qkv = {&a->qkv, y, C, p->s->q, 3 * C, N, false};
    linear_forward(&qkv, 1, p->gemm, p->kernels, p->team);
    attention_gather_keys(p, a, p->s->q + C, 3 * C, C, N);
    return (attention_source){.q = p->s->q, .ldq = 3 * C, .kv = NULL, .K = N, .key_side = a->side};
}

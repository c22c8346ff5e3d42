/* Keys and values are every token of the map (spec 2, "Global attention"). */
#include "vit/network/encode.h"
#include "vit/network/heads.h"
#include "vit/network/pairs.h"

void global_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s)
{
    size_t N = a->side * a->side, C = a->C, skip = 0;
    if (s->skips_products) {
        s->q = scratch_floats(p->scratch, N, C);
        pairs_queries(p, a, s, &a->qkv, y);
        skip = C;
    }
    linear layer = linear_from(&a->qkv, skip, p->kernels);
    float *product = scratch_floats(p->scratch, N, layer.out);
    linear_call call = {&layer, encoded(p, &layer, y, C), product, layer.out, N, false};
    pass_linear(p, &call, 1);
    profile_lap(p->profile, OP_QKV);
    heads_take_keys(p, a, s, N, a->side);
    heads_gather_keys(p, a, s, product, layer.out, C - skip); // [q | k | v] of each token, or [k | v]
    if (!skip)
        s->q = product;
    s->ldq = skip ? a->d : 3 * C;
}

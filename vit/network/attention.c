#include "vit/network/attention.h"
#include "vit/network/encode.h"
#include "vit/network/pairs.h"

#include <math.h>

/* ---- Weights --------------------------------------------------------------------------------- */

static float softplus(float x)
{
    double y = x > 20 ? (double)x : log1p(exp((double)x)); // PyTorch's threshold
    return (float)(y < 1e-20 ? 1e-20 : y);
}

/* (heads, 10): softplus(temperature) · ln(keys), for each number of neighbours inside the image. Kernels
 * divide by it, so softplus is never 0: below 1e-20 scores are 0 to float either way. */
static const float *bind_scale(binder *b, const attention *a)
{
    const float *temperature = bind_staged(b, "temperature", "", SHAPE(a->heads, 1, 1));
    float *scale = bind_floats(b, a->heads * (NEIGHBOURS + 1));
    size_t shared_keys = a->pool ? a->pool * a->pool : a->side * a->side;
    for (size_t head = 0; bind_reads(b) && head < a->heads; head++)
        for (size_t inside = 0; inside <= NEIGHBOURS; inside++)
            scale[head * (NEIGHBOURS + 1) + inside] =
                softplus(temperature[head]) * logf((float)(shared_keys + inside));
    return scale;
}

static const float *bind_learnable_tokens(binder *b, const attention *a)
{
    const float *w = bind_staged(b, "learnable_tokens", "", SHAPE(a->heads, a->d, NEIGHBOURS));
    float *tokens = bind_floats(b, a->heads * NEIGHBOURS * a->d);
    for (size_t head = 0; bind_reads(b) && head < a->heads; head++)
        transpose(tokens + head * NEIGHBOURS * a->d, w + head * NEIGHBOURS * a->d, a->d, NEIGHBOURS);
    return tokens;
}

void attention_bind(binder *b, attention *a, const config *c, size_t s, const position_grid *grid)
{
    const gemm *g = bind_gemm(b, PART_ATTENTION, s);
    size_t C = c->embed_dims[s], h = c->num_heads[s], d = C / h;
    *a = (attention){
        .side = config_side(c, s), .C = C, .heads = h, .d = d, .pool = config_pool(c, s), .grid = grid};
    a->scale = bind_scale(b, a);
    a->query_embedding = bind_tensor(b, "query_embedding", "", SHAPE(h, 1, d));
    if (a->pool) {
        a->local_bias = bind_tensor(b, "relative_pos_bias_local", "", SHAPE(h, NEIGHBOURS));
        a->learnable_tokens = bind_learnable_tokens(b, a);
        a->learnable_bias = bind_tensor(b, "learnable_bias", "", SHAPE(h, 1, NEIGHBOURS));
        a->q = bind_linear(b, "q", g, SHAPE(C, C));
        a->kv = bind_linear(b, "kv", g, SHAPE(2 * C, C));
    } else {
        a->qkv = bind_linear(b, "qkv", g, SHAPE(3 * C, C));
    }
    a->proj = bind_linear(b, "proj", bind_gemm(b, PART_PROJ, s), SHAPE(C, C));
    if (a->pool) {
        a->sr = bind_linear(b, "sr", g, SHAPE(C, C, 1, 1));
        a->pool_norm = norm_bind(b, "norm", C, 1e-5f);
    }
    a->position_bias = position_bias_bind(b, grid, h);
    router_bind(b, &a->router, c, s);
}

/* ---- Forward --------------------------------------------------------------------------------- */

attention_state attention_route(const pass *p, const attention *a, const norm *n, float *y, const float *x)
{
    size_t N = a->side * a->side;
    attention_state s = {.selection = router_room(p, &a->router, N),
                         .skips_products = pairs_skip_products(p, a)};
    s.out = scratch_floats(p->scratch, N, a->C);
    router_forward(p, &a->router, n, attention_reader(a), y, x, N,
                   a->router.routed && !s.skips_products ? s.out : NULL, &s.selection);
    return s;
}

void attention_prepare(const pass *p, const attention *a, float *y, attention_state *s)
{
    if (a->pool)
        aggregated_attention_prepare(p, a, y, s);
    else
        global_attention_prepare(p, a, y, s);
}

void attention_project(const pass *p, const attention *a, const attention_state *s, float *x)
{
    size_t N = a->side * a->side, C = a->C;
    if (!s->skips_products)
        encode_rows(p, &a->proj, s->out, C, N);
    profile_lap(p->profile, OP_ATTEND);
    linear_call proj = {&a->proj, encoded(p, &a->proj, s->out, C), x, C, N, true};
    if (s->skips_products)
        pairs_project(p, a, s, x);
    else
        pass_linear(p, &proj, 1);
    profile_lap(p->profile, OP_PROJ);
}

selection attention_forward(const pass *p, const attention *a, const norm *n, float *y, float *x)
{
    attention_state s = attention_route(p, a, n, y, x);
    size_t mark = p->scratch->used;
    attention_prepare(p, a, y, &s);
    heads_forward(p, a, &s);
    attention_project(p, a, &s, x);
    scratch_release(p->scratch, mark);
    return s.selection;
}

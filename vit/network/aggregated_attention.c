/* Keys and values are a pooled map, shared by all tokens, and each token's 3×3 neighbourhood (spec 2,
 * "Aggregated attention"; TransNeXt, "pixel-focused attention"). */
#include "vit/network/attention.h"
#include "vit/network/pairs.h"
#include "base/parallel.h"

#include <string.h>

typedef struct {
    const pass *pass;
    const attention *attention;
} pool_job;

/* Tasks that follow the first products: each takes its share of the tokens and the cells, so that all take as
 * long and stay with the tokens that their worker has had before. */

/* Part `band` of n things: first … *end−1. */
static size_t part(size_t n, size_t band, size_t *end)
{
    *end = n * (band + 1) / POOL_BANDS;
    return n * band / POOL_BANDS;
}

/* k of the neighbourhoods, normalised per head. */
static void normalise_rows(const pool_job *job, size_t row, size_t end)
{
    const attention *a = job->attention;
    job->pass->kernels->l2_normalise(job->pass->s->kv + row * 2 * a->C, 2 * a->C, end - row, a->heads, a->d);
}

/* Cells of the pooled map: each the mean of GELU(sr(y)) over its tokens, then LayerNorm. */
static void pool_cells(const pool_job *job, size_t first, size_t end, size_t worker)
{
    const attention *a = job->attention;
    const pass *p = job->pass;
    size_t P = a->pool, C = a->C, side = a->side;
    float *cells = coded_rows(p, &a->kv, p->s->map, first, worker);
    for (size_t i = first; i < end; i++) {
        size_t top = i / P * side / P, bottom = ((i / P + 1) * side + P - 1) / P;
        size_t left = i % P * side / P, right = ((i % P + 1) * side + P - 1) / P;
        float *cell = cells + (i - first) * C;
        float share = 1.0f / (float)((bottom - top) * (right - left));
        memset(cell, 0, C * sizeof *cell);
        for (size_t y = top; y < bottom; y++)
            for (size_t x = left; x < right; x++)
                p->kernels->add_gelu(cell, p->s->pooled + (y * side + x) * C, C);
        for (size_t c = 0; c < C; c++)
            cell[c] *= share;
    }
    p->kernels->layer_norm(cells, cells, end - first, C, a->pool_norm.weight, a->pool_norm.bias,
                           a->pool_norm.eps);
    coded_done(p, &a->kv, cells, first, end - first);
}

static void follow(void *arg, size_t band, size_t worker)
{
    const pool_job *job = arg;
    const attention *a = job->attention;
    size_t end, first = part(a->side * a->side, band, &end);
    normalise_rows(job, first, end);
    first = part(a->pool * a->pool, band, &end);
    if (first < end)
        pool_cells(job, first, end, worker);
}

static void gather_head(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const pool_job *job = arg;
    const attention *a = job->attention;
    attention_gather_keys(job->pass, a, head, job->pass->s->map_kv, 2 * a->C, a->C, a->pool * a->pool);
}

attention_source aggregated_attention_prepare(const pass *p, const attention *a)
{
    size_t N = a->side * a->side, C = a->C, P = a->pool;
    operand y = coded_operand(p, &a->q, p->s->y, C);
    linear_call from_y[] = {
        {&a->kv, y, p->s->kv, 2 * C, N, false},
        {&a->sr, y, p->s->pooled, C, N, false},
        {&a->q, y, p->s->q, C, N, false},
    };
    bool alone = pairs_alone(p, a);
    if (alone)
        pairs_queries(p, a, &a->q);
    linear_forward(from_y, alone ? 2 : 3, p->kernels, p->team);
    pass_lap(p, OP_QKV);

    pool_job job = {p, a};
    memset(p->s->kv + N * 2 * C, 0, 2 * C * sizeof *p->s->kv);
    pass_loop(p, POOL_BANDS, follow, &job);
    linear_call kv = {&a->kv, coded_operand(p, &a->kv, p->s->map, C), p->s->map_kv, 2 * C, P * P, false};
    linear_forward(&kv, 1, p->kernels, p->team);
    pass_loop(p, a->heads, gather_head, &job);
    pass_lap(p, OP_POOL);
    return (attention_source){
        .q = p->s->q, .ldq = alone ? a->d : C, .kv = p->s->kv, .K = P * P, .key_side = P};
}

/* Keys and values are a pooled map, shared by all tokens, and each token's 3×3 neighbourhood (spec 2,
 * "Aggregated attention"; TransNeXt, "pixel-focused attention"). */
#include "base/memory.h"
#include "vit/network/encode.h"
#include "vit/network/heads.h"
#include "vit/network/pairs.h"

#include <string.h>

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_state *state;
    const float *to_pool; // (N, C): the pooled map is its mean, after GELU
    float *map;           // (P², C): the pooled map
    float *map_kv;        // (P², 2C)
} pool_job;

#define POOL_BANDS 28 // tasks that make the pooled map, and as many runs of its rows

/* Tasks that follow the first products: each takes its share of the tokens and the cells, so that all take as
 * long and stay with the tokens that their worker has had before. */

/* Part `band` of n things: first … *end−1. */
static size_t part(size_t n, size_t band, size_t *end)
{
    *end = n * (band + 1) / POOL_BANDS;
    return n * band / POOL_BANDS;
}

/* k of the neighbourhoods, normalised per head; behind the last, what lies outside the image. */
static void normalise_rows(const pool_job *job, size_t row, size_t end)
{
    const attention *a = job->attention;
    size_t C = a->C;
    float *kv = job->state->kv;
    job->pass->kernels->l2_normalise(kv + row * 2 * C, 2 * C, end - row, a->heads, a->d);
    if (end == a->side * a->side)
        memset(kv + end * 2 * C, 0, 2 * C * sizeof *kv);
}

/* Cells of the pooled map: each the mean of GELU(sr(y)) over its tokens, then LayerNorm. */
static void pool_cells(const pool_job *job, size_t first, size_t end, size_t worker)
{
    const attention *a = job->attention;
    const pass *p = job->pass;
    size_t P = a->pool, C = a->C, side = a->side;
    float *cells = encode_begin(p, &a->kv, job->map, first, worker);
    for (size_t i = first; i < end; i++) {
        size_t top = i / P * side / P, bottom = ((i / P + 1) * side + P - 1) / P;
        size_t left = i % P * side / P, right = ((i % P + 1) * side + P - 1) / P;
        float *cell = cells + (i - first) * C;
        float share = 1.0f / (float)((bottom - top) * (right - left));
        memset(cell, 0, C * sizeof *cell);
        for (size_t y = top; y < bottom; y++)
            for (size_t x = left; x < right; x++)
                p->kernels->add_gelu(cell, job->to_pool + (y * side + x) * C, C);
        for (size_t c = 0; c < C; c++)
            cell[c] *= share;
    }
    norm_rows(p, &a->pool_norm, cells, cells, end - first);
    encode_end(p, &a->kv, cells, first, end - first);
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

void aggregated_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s)
{
    size_t N = a->side * a->side, C = a->C, P = a->pool;
    scratch *memory = p->scratch;
    s->q = scratch_floats(memory, N, C);
    s->ldq = s->skips_products ? a->d : C;
    s->kv = scratch_floats(memory, N + 1, 2 * C);
    heads_take_keys(p, a, s, P * P, P);
    size_t mark = memory->used;
    float *to_pool = scratch_floats(memory, N, C);
    operand from = encoded(p, &a->q, y, C);
    linear_call of_y[] = {
        {&a->kv, from, s->kv, 2 * C, N, false},
        {&a->sr, from, to_pool, C, N, false},
        {&a->q, from, s->q, C, N, false},
    };
    if (s->skips_products)
        pairs_queries(p, a, s, &a->q, y);
    pass_linear(p, of_y, s->skips_products ? 2 : 3);
    profile_lap(p->profile, OP_QKV);

    pool_job job = {p, a, s, to_pool, scratch_floats(memory, P * P, C), scratch_floats(memory, P * P, 2 * C)};
    encode_reserve(p, &a->kv, P * P, divide_up(P * P, POOL_BANDS));
    pass_loop(p, POOL_BANDS, follow, &job);
    linear_call kv = {&a->kv, encoded(p, &a->kv, job.map, C), job.map_kv, 2 * C, P * P, false};
    pass_linear(p, &kv, 1);
    heads_gather_keys(p, a, s, job.map_kv, 2 * C, 0);
    scratch_release(memory, mark);
}

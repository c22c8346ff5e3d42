/* Keys and values are a pooled map, shared by all tokens, and each token's 3×3 neighbourhood (spec 2,
 * "Aggregated attention"; TransNeXt, "pixel-focused attention"). */
#include "attention.h"
#include "parallel.h"

#include <string.h>

typedef struct {
    const pass *pass;
    const attention *attention;
} pool_job;

#define NORMALISE_ROWS 64

/* k of the neighbourhoods, normalised per head. */
static void normalise_rows(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const pool_job *job = arg;
    const attention *a = job->attention;
    size_t N = a->side * a->side, row = task * NORMALISE_ROWS;
    size_t rows = N - row < NORMALISE_ROWS ? N - row : NORMALISE_ROWS;
    job->pass->kernels->l2_normalise(job->pass->s->kv + row * 2 * a->C, 2 * a->C, rows, a->heads, a->d);
}

/* One row of the pooled map: the mean of GELU(sr(y)) over each cell, then LayerNorm. Cells may overlap, so
 * GELU has been applied before. */
static void pool_row(void *arg, size_t py, size_t worker)
{
    (void)worker;
    const pool_job *job = arg;
    const attention *a = job->attention;
    size_t P = a->pool, C = a->C, side = a->side;
    size_t top = py * side / P, bottom = ((py + 1) * side + P - 1) / P;
    for (size_t px = 0; px < P; px++) {
        size_t left = px * side / P, right = ((px + 1) * side + P - 1) / P;
        float *cell = job->pass->s->map + (py * P + px) * C;
        float share = 1.0f / (float)((bottom - top) * (right - left));
        memset(cell, 0, C * sizeof *cell);
        for (size_t y = top; y < bottom; y++)
            for (size_t x = left; x < right; x++) {
                const float *token = job->pass->s->pooled + (y * side + x) * C;
                for (size_t c = 0; c < C; c++)
                    cell[c] += token[c];
            }
        for (size_t c = 0; c < C; c++)
            cell[c] *= share;
        job->pass->kernels->layer_norm(cell, cell, 1, C, a->pool_norm.weight, a->pool_norm.bias,
                                       a->pool_norm.eps);
    }
}

static void gelu_row(void *arg, size_t row, size_t worker)
{
    (void)worker;
    const pool_job *job = arg;
    size_t width = job->attention->side * job->attention->C;
    job->pass->kernels->gelu(job->pass->s->pooled + row * width, width);
}

attention_source aggregated_attention_prepare(const pass *p, const attention *a, const float *y)
{
    size_t N = a->side * a->side, C = a->C, P = a->pool;
    pool_job job = {p, a};
    linear_call from_y[] = {
        {&a->q, y, C, p->s->q, C, N, false},
        {&a->kv, y, C, p->s->kv, 2 * C, N, false},
        {&a->sr, y, C, p->s->pooled, C, N, false},
    };
    linear_forward(from_y, 3, p->gemm, p->kernels, p->team);
    parallel_for(p->team, divide_up(N, NORMALISE_ROWS), normalise_rows, &job);
    parallel_for(p->team, a->side, gelu_row, &job);
    parallel_for(p->team, P, pool_row, &job);

    linear_call kv = {&a->kv, p->s->map, C, p->s->map_kv, 2 * C, P * P, false};
    linear_forward(&kv, 1, p->gemm, p->kernels, p->team);
    attention_gather_keys(p, a, p->s->map_kv, 2 * C, C, P * P);
    return (attention_source){.q = p->s->q, .ldq = C, .kv = p->s->kv, .K = P * P, .key_side = P};
}

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
static void normalise_rows(const pool_job *job, size_t task)
{
    const attention *a = job->attention;
    size_t N = a->side * a->side, row = task * NORMALISE_ROWS;
    size_t rows = N - row < NORMALISE_ROWS ? N - row : NORMALISE_ROWS;
    job->pass->kernels->l2_normalise(job->pass->s->kv + row * 2 * a->C, 2 * a->C, rows, a->heads, a->d);
}

/* One row of the pooled map: the mean of GELU(sr(y)) over each cell, then LayerNorm. */
static void pool_row(const pool_job *job, size_t py, size_t worker)
{
    const attention *a = job->attention;
    const pass *p = job->pass;
    size_t P = a->pool, C = a->C, side = a->side;
    size_t top = py * side / P, bottom = ((py + 1) * side + P - 1) / P;
    float *cells = coded_rows(p, &a->kv, p->s->map, py * P, worker);
    for (size_t px = 0; px < P; px++) {
        size_t left = px * side / P, right = ((px + 1) * side + P - 1) / P;
        float *cell = cells + px * C;
        float share = 1.0f / (float)((bottom - top) * (right - left));
        memset(cell, 0, C * sizeof *cell);
        for (size_t y = top; y < bottom; y++)
            for (size_t x = left; x < right; x++)
                p->kernels->add_gelu(cell, p->s->pooled + (y * side + x) * C, C);
        for (size_t c = 0; c < C; c++)
            cell[c] *= share;
    }
    p->kernels->layer_norm(cells, cells, P, C, a->pool_norm.weight, a->pool_norm.bias, a->pool_norm.eps);
    coded_done(p, &a->kv, cells, py * P, P);
}

/* What follows the first products, in one loop: P rows of the map, the largest tasks, then the others. */
static void follow(void *arg, size_t task, size_t worker)
{
    const pool_job *job = arg;
    const attention *a = job->attention;
    if (task < a->pool)
        pool_row(job, task, worker);
    else if (task < a->pool + a->heads)
        attention_list_tokens(job->pass, a, task - a->pool);
    else
        normalise_rows(job, task - a->pool - a->heads);
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
        {&a->q, y, p->s->q, C, N, false},
        {&a->kv, y, p->s->kv, 2 * C, N, false},
        {&a->sr, y, p->s->pooled, C, N, false},
    };
    linear_forward(from_y, 3, p->kernels, p->team);
    pass_lap(p, OP_QKV);

    pool_job job = {p, a};
    memset(p->s->kv + N * 2 * C, 0, 2 * C * sizeof *p->s->kv);
    pass_loop(p, P + a->heads + divide_up(N, NORMALISE_ROWS), follow, &job);
    linear_call kv = {&a->kv, coded_operand(p, &a->kv, p->s->map, C), p->s->map_kv, 2 * C, P * P, false};
    linear_forward(&kv, 1, p->kernels, p->team);
    pass_loop(p, a->heads, gather_head, &job);
    pass_lap(p, OP_POOL);
    return (attention_source){.q = p->s->q, .ldq = C, .kv = p->s->kv, .K = P * P, .key_side = P};
}

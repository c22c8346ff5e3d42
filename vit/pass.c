#include "pass.h"

#include <stdlib.h>

/* Hands out pieces of one allocation; with base NULL it only adds up. */
typedef struct {
    char *base;
    size_t used;
} bump;

static void *bump_take(bump *b, size_t count, size_t size)
{
    void *piece = b->base ? b->base + b->used : NULL;
    b->used += (count * size + 63) / 64 * 64;
    return piece;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Largest extents over the stages. The maxima of config.h keep every product below far from overflow. */
typedef struct {
    size_t x, wide, gated, q, kv, pooled, map, heads_x_keys, gates, logits, heads, lane;
} extents;

static extents measure(const config *c, const kernels *k)
{
    extents e = {0};
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s), N = side * side, C = c->embed_dims[s], h = c->num_heads[s];
        size_t P = config_pool(c, s), hidden = config_hidden(c, s),
               window = s ? 9 * c->embed_dims[s - 1] : 7 * 7 * 3;
        size_t K = P ? P * P : N;
        e.x = max_size(e.x, N * C);
        e.wide = max_size(e.wide, N * max_size(2 * hidden, window));
        e.gated = max_size(e.gated, N * hidden);
        e.q = max_size(e.q, N * (P ? C : 3 * C));
        e.kv = max_size(e.kv, P ? N * 2 * C : 0);
        e.pooled = max_size(e.pooled, P ? N * C : 0);
        e.map = max_size(e.map, P * P * C);
        e.heads_x_keys = max_size(e.heads_x_keys, K * C);
        e.gates = max_size(e.gates, N * h);
        e.logits = max_size(e.logits, N * (h + 2));
        e.heads = max_size(e.heads, h);
        e.lane = max_size(e.lane, k->attend_scratch(C / h, K));
    }
    return e;
}

static void layout(scratch *s, bump *b, const extents *e, size_t threads)
{
    s->x = bump_take(b, e->x, sizeof *s->x);
    s->y = bump_take(b, e->x, sizeof *s->y);
    s->wide = bump_take(b, e->wide, sizeof *s->wide);
    s->gated = bump_take(b, e->gated, sizeof *s->gated);
    s->q = bump_take(b, e->q, sizeof *s->q);
    s->kv = bump_take(b, e->kv, sizeof *s->kv);
    s->pooled = bump_take(b, e->pooled, sizeof *s->pooled);
    s->map = bump_take(b, e->map, sizeof *s->map);
    s->map_kv = bump_take(b, 2 * e->map, sizeof *s->map_kv);
    s->keys = bump_take(b, e->heads_x_keys, sizeof *s->keys);
    s->values = bump_take(b, e->heads_x_keys, sizeof *s->values);
    s->heads = bump_take(b, e->x, sizeof *s->heads);
    s->logits = bump_take(b, e->logits, sizeof *s->logits);
    s->gate = bump_take(b, e->gates, sizeof *s->gate);
    s->pick = bump_take(b, e->gates, sizeof *s->pick);
    s->lists = bump_take(b, e->gates, sizeof *s->lists);
    s->counts = bump_take(b, e->heads, sizeof *s->counts);
    s->lane_floats = (e->lane + 15) / 16 * 16;
    s->lanes = bump_take(b, threads * s->lane_floats, sizeof *s->lanes);
    s->pairs = bump_take(b, threads, sizeof *s->pairs);
}

mohvit_status scratch_create(scratch *s, const config *c, const kernels *k, size_t threads, mohvit_error *err)
{
    extents e = measure(c, k);
    bump count = {NULL, 0}, fill;
    *s = (scratch){0};
    layout(s, &count, &e, threads);
    fill = (bump){memory_alloc(count.used, 1), 0};
    if (!fill.base)
        return error_set(err, MOHVIT_ERROR_MEMORY,
                         "no memory for the %zu MiB that a forward pass at %zu pixels needs",
                         count.used >> 20, c->img_size);
    layout(s, &fill, &e, threads);
    s->memory = fill.base;
    for (size_t t = 0; t < threads; t++)
        s->pairs[t] = 0;
    return MOHVIT_OK;
}

void scratch_free(scratch *s)
{
    free(s->memory);
    *s = (scratch){0};
}

#define NORM_ROWS 64

typedef struct {
    const kernels *kernels;
    const norm *norm;
    float *y;
    const float *x;
    size_t N;
} norm_job;

static void norm_rows(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const norm_job *job = arg;
    const norm *n = job->norm;
    size_t row = task * NORM_ROWS, rows = job->N - row < NORM_ROWS ? job->N - row : NORM_ROWS;
    job->kernels->layer_norm(job->y + row * n->C, job->x + row * n->C, rows, n->C, n->weight, n->bias,
                             n->eps);
}

void norm_forward(const pass *p, const norm *n, float *y, const float *x, size_t N)
{
    norm_job job = {p->kernels, n, y, x, N};
    parallel_for(p->team, divide_up(N, NORM_ROWS), norm_rows, &job);
}

#include "vit/network/pass.h"
#include "vit/network/conv_glu.h"
#include "base/clock.h"
#include "base/memory.h"

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
    size_t x, patches, gated, seam, q, kv, pooled, map, heads_x_keys, gates, logits, heads, tokens, coded,
        lane;
} extents;

/* A product that reads N rows of `in`: its encoded rows, and a thread's share of them as floats. */
static void measure_rows(extents *e, const gemm *const gemms[PRECISIONS], const kernels *k, size_t N,
                         size_t in, size_t at_once)
{
    for (size_t p = 0; p < PRECISIONS; p++) {
        if (!gemms[p] || !gemms[p]->encode)
            continue;
        e->coded = max_size(e->coded, N * gemms[p]->stride(k, in));
        e->lane = max_size(e->lane, at_once * in);
    }
}

static extents measure(const config *c, const gemm *const gemms[PRECISIONS], const kernels *k)
{
    extents e = {0};
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s), N = side * side, C = c->embed_dims[s], h = c->num_heads[s];
        size_t P = config_pool(c, s), hidden = config_hidden(c, s),
               window = s ? 9 * c->embed_dims[s - 1] : 7 * 7 * 3;
        size_t K = P ? P * P : N;
        e.x = max_size(e.x, N * C);
        e.patches = max_size(e.patches, N * window);
        e.gated = max_size(e.gated, N * conv_glu_ld(hidden));
        e.seam = max_size(e.seam, conv_glu_seam_floats(side, hidden));
        e.q = max_size(e.q, N * (P ? C : 3 * C));
        e.kv = max_size(e.kv, P ? (N + 1) * 2 * C : 0);
        e.pooled = max_size(e.pooled, P ? N * C : 0);
        e.map = max_size(e.map, P * P * C);
        e.heads_x_keys = max_size(e.heads_x_keys, K * C);
        e.gates = max_size(e.gates, N * h);
        e.logits = max_size(e.logits, N * (h + 2));
        e.heads = max_size(e.heads, h);
        e.tokens = max_size(e.tokens, N);
        e.lane = max_size(e.lane, k->attend_scratch(C / h, K));
        e.lane = max_size(e.lane, conv_glu_band_floats(side, hidden));
        measure_rows(&e, gemms, k, N, C, CODED_ROWS);
        measure_rows(&e, gemms, k, N, hidden, 0);
        measure_rows(&e, gemms, k, N, window, side);
        measure_rows(&e, gemms, k, P * P, C, divide_up(P * P, POOL_BANDS));
    }
    return e;
}

static void layout(scratch *s, bump *b, const extents *e, size_t threads)
{
    s->x = bump_take(b, e->x, sizeof *s->x);
    s->y = bump_take(b, e->x, sizeof *s->y);
    s->patches = bump_take(b, e->patches, sizeof *s->patches);
    s->gated = bump_take(b, e->gated, sizeof *s->gated);
    s->seam = bump_take(b, e->seam, sizeof *s->seam);
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
    s->coded = bump_take(b, e->coded, 1);
    s->lane_floats = (e->lane + 15) / 16 * 16;
    s->lanes = bump_take(b, threads * s->lane_floats, sizeof *s->lanes);
    s->tokens = bump_take(b, e->tokens, sizeof *s->tokens);
    s->pairs = bump_take(b, threads, sizeof *s->pairs);
    s->fc1_ns = bump_take(b, threads, sizeof *s->fc1_ns);
    s->glu_ns = bump_take(b, threads, sizeof *s->glu_ns);
    s->threads = threads;
}

mohvit_status scratch_create(scratch *s, const config *c, const gemm *const gemms[PRECISIONS],
                             const kernels *k, size_t threads, mohvit_error *err)
{
    extents e = measure(c, gemms, k);
    bump count = {NULL, 0}, fill;
    *s = (scratch){0};
    layout(s, &count, &e, threads);
    fill = (bump){memory_alloc_large(count.used), 0};
    if (!fill.base)
        return error_set(err, MOHVIT_ERROR_MEMORY,
                         "no memory for the %zu MiB that a forward pass at %zu pixels needs",
                         count.used >> 20, c->img_size);
    layout(s, &fill, &e, threads);
    s->memory = fill.base;
    for (size_t t = 0; t < threads; t++)
        s->pairs[t] = s->fc1_ns[t] = s->glu_ns[t] = 0;
    for (uint32_t token = 0; token < e.tokens; token++)
        s->tokens[token] = token;
    return MOHVIT_OK;
}

void scratch_free(scratch *s)
{
    free(s->memory);
    *s = (scratch){0};
}

/* ---- Time ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    bool product;
} operations[OPERATIONS] = {
    [OP_PATCHES] = {"patches", false},
    [OP_PATCH_EMBED] = {"patch embedding", true},
    [OP_NORM] = {"layer norm", false},
    [OP_ROUTER] = {"layer norm + router", false},
    [OP_QKV] = {"q, kv, sr / qkv", true},
    [OP_POOL] = {"pool, shared keys", false},
    [OP_ATTEND] = {"attention", false},
    [OP_PROJ] = {"proj", true},
    [OP_FC1] = {"fc1", true},
    [OP_GLU] = {"depthwise + GELU + gate", false},
    [OP_FC2] = {"fc2", true},
    [OP_COUNT] = {"head counts", false},
    [OP_HEAD] = {"head", true},
};

const char *operation_name(operation op)
{
    return operations[op].name;
}

bool operation_is_product(operation op)
{
    return operations[op].product;
}

void pass_begin(const pass *p)
{
    p->s->profile.last = clock_ns();
}

/* Time since the last lap. */
static uint64_t lap(const pass *p)
{
    profile *times = &p->s->profile;
    uint64_t now = clock_ns(), took = now - times->last;
    times->last = now;
    return took;
}

void pass_lap(const pass *p, operation op)
{
    p->s->profile.ns[op] += lap(p);
}

void pass_lap_glu(const pass *p)
{
    uint64_t took = lap(p), fc1 = 0, glu = 0;
    for (size_t t = 0; t < p->s->threads; t++) {
        fc1 += p->s->fc1_ns[t];
        glu += p->s->glu_ns[t];
        p->s->fc1_ns[t] = p->s->glu_ns[t] = 0;
    }
    uint64_t share = fc1 + glu ? (uint64_t)((double)took * (double)fc1 / (double)(fc1 + glu)) : 0;
    p->s->profile.ns[OP_FC1] += share;
    p->s->profile.ns[OP_GLU] += took - share;
}

void pass_loop(const pass *p, size_t tasks, parallel_task *run, void *arg)
{
    if (!p->products_only)
        parallel_for(p->team, tasks, run, arg);
}

/* ---- Rows on their way to a product -------------------------------------------------------------- */

float *coded_rows(const pass *p, const linear *reader, float *x, size_t row, size_t worker)
{
    return reader->gemm->encode ? p->s->lanes + worker * p->s->lane_floats : x + row * reader->in;
}

static void encode(const pass *p, const linear *reader, const float *from, size_t ldx, size_t row,
                   size_t rows)
{
    const gemm *g = reader->gemm;
    g->encode(p->kernels, p->s->coded + row * g->stride(p->kernels, reader->in), from, ldx, rows, reader->in);
}

void coded_done(const pass *p, const linear *reader, const float *from, size_t row, size_t rows)
{
    if (reader->gemm->encode)
        encode(p, reader, from, reader->in, row, rows);
}

operand coded_operand(const pass *p, const linear *reader, float *x, size_t ldx)
{
    const gemm *g = reader->gemm;
    if (g->encode)
        return (operand){p->s->coded, g->stride(p->kernels, reader->in)};
    return (operand){x, ldx * sizeof *x};
}

typedef struct {
    const pass *pass;
    const linear *reader;
    const float *x;
    size_t ldx, N;
} coded_job;

static size_t rows_of_task(size_t N, size_t row)
{
    return N - row < CODED_ROWS ? N - row : CODED_ROWS;
}

static void code_rows(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const coded_job *job = arg;
    size_t row = task * CODED_ROWS;
    encode(job->pass, job->reader, job->x + row * job->ldx, job->ldx, row, rows_of_task(job->N, row));
}

void coded_all(const pass *p, const linear *reader, const float *x, size_t ldx, size_t N)
{
    coded_job job = {p, reader, x, ldx, N};
    if (reader->gemm->encode)
        pass_loop(p, divide_up(N, CODED_ROWS), code_rows, &job);
}

typedef struct {
    const pass *pass;
    const norm *norm;
    const linear *reader;
    float *y;
    const float *x;
    size_t N;
} norm_job;

static void norm_rows(void *arg, size_t task, size_t worker)
{
    const norm_job *job = arg;
    const pass *p = job->pass;
    const norm *n = job->norm;
    size_t row = task * CODED_ROWS, rows = rows_of_task(job->N, row);
    float *y = job->reader ? coded_rows(p, job->reader, job->y, row, worker) : job->y + row * n->C;
    p->kernels->layer_norm(y, job->x + row * n->C, rows, n->C, n->weight, n->bias, n->eps);
    if (job->reader)
        coded_done(p, job->reader, y, row, rows);
}

void norm_forward(const pass *p, const norm *n, const linear *reader, float *y, const float *x, size_t N)
{
    norm_job job = {p, n, reader, y, x, N};
    pass_loop(p, divide_up(N, CODED_ROWS), norm_rows, &job);
}

/* The whole network on one page, in the order of the paper (spec 2). */
#include "base/clock.h"
#include "vit/network/encode.h"
#include "vit/network/model.h"

#include <string.h>

/* Writes down what the block's router chose. */
static void report_heads(const routing *r, size_t heads, size_t N, int32_t *tokens, double *gate_sum,
                         size_t max_heads)
{
    for (size_t head = 0; head < max_heads; head++) {
        double sum = 0;
        size_t count = head < heads ? r->counts[head] : 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)r->gate[r->lists[head * N + i] * heads + head];
        gate_sum[head] = sum;
        tokens[head] = head < heads ? (int32_t)count : -1;
    }
}

typedef struct {
    float *features; // (C) = mean of x (N, C) over the tokens
    const float *x;
    size_t N, C;
} mean_job;

static void mean_tokens(void *arg, size_t task, size_t worker)
{
    (void)task, (void)worker;
    const mean_job *job = arg;
    float *features = job->features;
    size_t C = job->C;
    memset(features, 0, C * sizeof *features);
    for (size_t n = 0; n < job->N; n++)
        for (size_t c = 0; c < C; c++)
            features[c] += job->x[n * C + c];
    for (size_t c = 0; c < C; c++)
        features[c] /= (float)job->N;
}

/* Floats of the widest stage's tokens. */
static size_t widest(const config *c)
{
    size_t most = 0;
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s), floats = side * side * c->embed_dims[s];
        most = floats > most ? floats : most;
    }
    return most;
}

void model_forward(const model *m, const pass *p, const float *input, const forward_result *result)
{
    size_t max_heads = config_max_heads(&m->config), at = 0, N = 0, C = 0, mark = p->scratch->used;
    float *x = scratch_floats(p->scratch, widest(&m->config), 1);

    p->profile->last = clock_ns();
    for (size_t s = 0; s < STAGES; s++) {
        const stage *now = &m->stages[s];
        N = now->embed.side * now->embed.side;
        C = now->norm.C;
        patch_embed_forward(p, &now->embed, s ? x : input, x);
        for (size_t b = 0; b < now->depth; b++, at += max_heads) {
            size_t before = p->scratch->used, heads = now->blocks[b].attention.heads;
            routing r = block_forward(p, &now->blocks[b], x);
            if (result->head_tokens)
                report_heads(&r, heads, N, result->head_tokens + at, result->gate_sum + at, max_heads);
            profile_lap(p->profile, OP_COUNT);
            if (result->routes)
                result->routes(result->user, s, b, r.gate, r.pick, N, heads);
            if (result->trace)
                result->trace(result->user, s, b, x, N, C);
            scratch_release(p->scratch, before);
            if (result->step && !result->step(result->step_user)) {
                scratch_release(p->scratch, mark);
                return;
            }
        }
        norm_forward(p, &now->norm, NULL, x, x, N);
        profile_lap(p->profile, OP_NORM);
    }

    mean_job mean = {scratch_floats(p->scratch, 1, C), x, N, C};
    pass_products(p, 1, mean_tokens, &mean);
    encode_rows(p, &m->head, mean.features, C, 1);
    linear_call head = {
        &m->head, encoded(p, &m->head, mean.features, C), result->logits, m->config.num_classes, 1, false};
    pass_linear(p, &head, 1);
    profile_lap(p->profile, OP_HEAD);
    scratch_release(p->scratch, mark);
}

cost model_measure(const model *m, scratch *s)
{
    cost sum = {0, 0};
    profile unused = {0};
    pass p = {.kernels = m->arithmetic.kernels, .scratch = s, .profile = &unused, .cost = &sum};
    *s = (scratch){0};
    model_forward(m, &p, NULL, &(forward_result){0});
    p.cost = NULL;
    p.all_heads = true; // lays some things out otherwise
    model_forward(m, &p, NULL, &(forward_result){0});
    return sum;
}

mohvit_status model_scratch(const model *m, scratch *s, size_t threads, mohvit_error *err)
{
    model_measure(m, s);
    return scratch_allocate(s, threads, err);
}

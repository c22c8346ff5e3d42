/* The whole network on one page, in the order of the paper (spec 2). */
#include "vit/network/model.h"

#include <string.h>

static void block_forward(const pass *p, const block *b, float *x) // x (N, C), updated in place
{
    float *y = p->s->y;
    size_t N = b->mlp.side * b->mlp.side;

    attention_route(p, &b->attention, &b->norm1, x); // y = LN(x), and who attends
    attention_forward(p, &b->attention, x);          // x += proj(gated heads)
    norm_forward(p, &b->norm2, &b->mlp.fc1, y, x, N);
    pass_lap(p, OP_NORM);
    conv_glu_forward(p, &b->mlp, y, x); // x += fc2(gelu(dw(u)) * v)
}

/* Writes down what the block's router chose, from the lists that it left in the scratch. */
static void report_heads(const pass *p, const attention *a, int32_t *tokens, double *gate_sum,
                         size_t max_heads)
{
    const scratch *s = p->s;
    size_t N = a->side * a->side;
    for (size_t head = 0; head < max_heads; head++) {
        double sum = 0;
        size_t count = head < a->heads ? s->counts[head] : 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)s->gate[s->lists[head * N + i] * a->heads + head];
        gate_sum[head] = sum;
        tokens[head] = head < a->heads ? (int32_t)count : -1;
    }
}

/* features (C) = mean of x (N, C) over the tokens. */
static void mean_tokens(float *features, const float *x, size_t N, size_t C)
{
    memset(features, 0, C * sizeof *features);
    for (size_t n = 0; n < N; n++)
        for (size_t c = 0; c < C; c++)
            features[c] += x[n * C + c];
    for (size_t c = 0; c < C; c++)
        features[c] /= (float)N;
}

void model_forward(const model *m, const pass *p, const float *input, const forward_result *result)
{
    size_t max_heads = config_max_heads(&m->config), at = 0, N = 0, C = 0;
    float *x = p->s->x;

    pass_begin(p);
    for (size_t s = 0; s < STAGES; s++) {
        const stage *now = &m->stages[s];
        N = now->embed.side * now->embed.side;
        C = now->norm.C;
        patch_embed_forward(p, &now->embed, s ? x : input, x);
        for (size_t b = 0; b < now->depth; b++, at += max_heads) {
            block_forward(p, &now->blocks[b], x);
            if (result->head_tokens)
                report_heads(p, &now->blocks[b].attention, result->head_tokens + at, result->gate_sum + at,
                             max_heads);
            pass_lap(p, OP_COUNT);
            if (result->routes)
                result->routes(result->user, s, b, p->s->gate, p->s->pick, N, now->blocks[b].attention.heads);
            if (result->trace)
                result->trace(result->user, s, b, x, N, C);
            if (result->step && !result->step(result->step_user))
                return;
        }
        norm_forward(p, &now->norm, NULL, x, x, N);
        pass_lap(p, OP_NORM);
    }

    mean_tokens(p->s->y, x, N, C);
    coded_all(p, &m->head, p->s->y, C, 1);
    linear_call head = {
        &m->head, coded_operand(p, &m->head, p->s->y, C), result->logits, m->config.num_classes, 1, false};
    linear_forward(&head, 1, p->kernels, p->team);
    pass_lap(p, OP_HEAD);
}

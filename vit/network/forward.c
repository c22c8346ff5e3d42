/* The whole network on one page, in the order of the paper (spec 2). */
#include "base/clock.h"
#include "vit/network/classifier.h"
#include "vit/network/model.h"

#include <string.h>

/* From the pixels on or, where tokens is not NULL, from block `skip`, which these enter. */
static void forward(const model *m, const pass *p, const float *input, size_t skip, const float *tokens,
                    const forward_result *result)
{
    size_t max_heads = config_max_heads(&m->config), at = skip * max_heads, N = 0, mark = p->scratch->used;
    float *x = scratch_floats(p->scratch, config_widest(&m->config), 1), *gates = result->gates,
          *inputs = result->inputs, *outputs = result->outputs;
    int32_t *together = result->together;

    p->profile->last = clock_ns();
    for (size_t s = 0; s < STAGES; s++) {
        const stage *now = &m->stages[s];
        if (skip >= now->depth) {
            skip -= now->depth;
            continue;
        }
        N = now->embed.side * now->embed.side;
        if (tokens)
            memcpy(x, tokens, N * now->norm.C * sizeof *x);
        else
            patch_embed_forward(p, &now->embed, s ? x : input, x);
        for (size_t b = skip; b < now->depth; b++, at += max_heads) {
            if (inputs) {
                memcpy(inputs, x, N * now->norm.C * sizeof *inputs);
                inputs += N * now->norm.C;
            }
            size_t before = p->scratch->used, heads = now->blocks[b].attention.heads;
            pass of_block = *p;
            if (p->drops.heads)
                of_block.drops.heads += at;
            selection r = block_forward(&of_block, &now->blocks[b], x);
            if (result->head_tokens)
                router_report(&now->blocks[b].attention.router, &r, N, max_heads, result->head_tokens + at,
                              result->gate_sum + at);
            if (together) {
                router_pairs(&now->blocks[b].attention.router, &r, N, together);
                together += heads * heads;
            }
            if (gates) {
                memcpy(gates, r.gate, N * heads * sizeof *gates);
                gates += N * heads;
            }
            if (outputs) {
                memcpy(outputs, x, N * now->norm.C * sizeof *outputs);
                outputs += N * now->norm.C;
            }
            profile_lap(p->profile, OP_COUNT);
            if (result->routes)
                result->routes(result->routes_user, s, b, &now->blocks[b].attention.router, &r, N);
            if (result->trace)
                result->trace(result->trace_user, s, b, x, N, now->norm.C);
            scratch_release(p->scratch, before);
            if (result->step && !result->step(result->step_user)) {
                scratch_release(p->scratch, mark);
                return;
            }
        }
        skip = 0;
        tokens = NULL;
        norm_forward(p, &now->norm, NULL, x, x, N);
        profile_lap(p->profile, OP_NORM);
    }

    classifier_forward(p, &m->head, x, N, result->features, result->logits);
    scratch_release(p->scratch, mark);
}

void model_forward(const model *m, const pass *p, const float *input, const forward_result *result)
{
    forward(m, p, input, 0, NULL, result);
}

void model_resume(const model *m, const pass *p, size_t first, const float *tokens,
                  const forward_result *result)
{
    forward(m, p, NULL, first, tokens, result);
}

size_t model_inputs(const model *m, size_t blocks)
{
    size_t floats = 0;
    for (size_t s = 0; s < STAGES; s++) {
        const stage *now = &m->stages[s];
        size_t here = blocks < now->depth ? blocks : now->depth;
        floats += here * now->embed.side * now->embed.side * now->norm.C;
        blocks -= here;
    }
    return floats;
}

cost model_measure(const model *m, scratch *s)
{
    cost sum = {0, 0};
    profile unused = {0};
    pass p = {.kernels = m->numerics.kernels, .scratch = s, .profile = &unused, .cost = &sum};
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

#include "vit/headload/head_relation.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

head_pair head_pair_of(const head_load *l, size_t block, size_t a, size_t b)
{
    const int64_t *together = head_load_together(l, block);
    size_t n = l->routing.blocks[block].heads;
    head_pair p = {.a = a,
                   .b = b,
                   .active_a = together[a * n + a],
                   .active_b = together[b * n + b],
                   .together = together[a * n + b]};
    for (size_t c = 0; c < l->names.count; c++)
        p.tokens += head_load_tokens(l, c, block);
    return p;
}

double head_pair_joint(const head_pair *p)
{
    return p->tokens ? (double)p->together / (double)p->tokens : NAN;
}

double head_pair_lift(const head_pair *p)
{
    if (!p->active_a || !p->active_b)
        return NAN;
    return (double)p->together / (double)p->active_a * ((double)p->tokens / (double)p->active_b);
}

double head_pair_jaccard(const head_pair *p)
{
    double any = (double)p->active_a + (double)(p->active_b - p->together);
    return any > 0 ? (double)p->together / any : NAN;
}

double head_pair_even_lift(const routing_block *b)
{
    double n = (double)routing_candidates(b), k = (double)b->routed;
    return n > 1 ? n * (k - 1) / (k * (n - 1)) : NAN;
}

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory to compare heads");
}

mohvit_status head_relation_compute(head_relation *r, const head_load *l, const routing_block *block,
                                    mohvit_error *err)
{
    size_t n = routing_candidates(block);
    *r = (head_relation){.block = block, .count = n};
    if (!l->together || !head_load_images(l, NULL))
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         l->together ? "no images were counted: there are no heads to compare"
                                     : "does not say which heads the same tokens selected; 0.1 did not count "
                                       "that");
    if (!routing_routes(block))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "block %s does not route: all its heads are always on",
                         block->name);
    r->difference = calloc(n * n, sizeof *r->difference);
    r->order = memory_alloc(n, sizeof *r->order);
    r->steps = memory_alloc(n, sizeof *r->steps);
    float *distance = calloc(n * n, sizeof *distance);
    mohvit_status status = r->difference && r->order && r->steps && distance ? MOHVIT_OK : no_memory(err);
    for (size_t i = 0; !status && i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            const head_pair p = head_pair_of(l, block->index, block->shared + i, block->shared + j);
            double jaccard = head_pair_jaccard(&p);
            double difference = isnan(jaccard) ? 1 : 1 - jaccard;
            r->difference[i * n + j] = r->difference[j * n + i] = difference;
            distance[i * n + j] = distance[j * n + i] = (float)difference;
        }
    }
    if (!status)
        status = cluster_by_average(r->order, r->steps, distance, n, err);
    free(distance);
    if (status)
        head_relation_free(r);
    return status;
}

void head_relation_free(head_relation *r)
{
    free(r->difference);
    free(r->order);
    free(r->steps);
    *r = (head_relation){0};
}

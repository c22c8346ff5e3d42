/* head_load_testing.h - head loads made up for tests: the same for the same arguments, and as valid as
 * counted ones. */
#ifndef MOHVIT_HEAD_LOAD_TESTING_H
#define MOHVIT_HEAD_LOAD_TESTING_H

#include "vit/mohvit.h"
#include "vit/headload/head_load.h"
#include "vit/network/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t made_random(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* Every routed head gets its balanced part of `tokens`; then tokens change heads, more of them away from the
 * head that is the class's least favourite. */
static inline void made_block(int64_t *active, const routing_block *b, int64_t tokens, size_t c,
                              uint64_t *state)
{
    for (size_t h = 0; h < b->heads; h++)
        active[h] = tokens;
    if (!b->routed)
        return;
    size_t candidates = routing_candidates(b);
    int64_t all = tokens * (int64_t)b->routed, each = all / (int64_t)candidates;
    int64_t *routed = active + b->shared;
    for (size_t h = 0; h < candidates; h++)
        routed[h] = each + ((int64_t)h < all - each * (int64_t)candidates);
    for (size_t i = 0; i < 6 * candidates; i++) {
        size_t from = (made_random(state, candidates) + c / 3) % candidates;
        size_t to = (made_random(state, 3) + c / 3 + i) % candidates;
        int64_t most = routed[from] / 3, room = tokens - routed[to];
        most = most < room ? most : room;
        int64_t n = most > 0 ? (int64_t)made_random(state, (uint64_t)most + 1) : 0;
        routed[from] -= n;
        routed[to] += n;
    }
}

/* Squares of n numbers that add up to sum, each at most `most`: a tenth of the way from those of equal ones.
 */
static inline int64_t made_squares(double n, double sum, double most)
{
    double least = n > 0 ? sum * sum / n : 0;
    return (int64_t)ceil(least + 0.1 * (most * sum - least));
}

/* Of a class in a block, whose active and gate are set. */
static inline void fill_squares(head_load *l, size_t class_index, size_t block_index)
{
    double n = (double)l->images[class_index], tokens = (double)l->routing.blocks[block_index].tokens;
    for (size_t h = 0; h < l->routing.blocks[block_index].heads; h++) {
        size_t at = head_load_at(l, class_index, block_index, h);
        double means = (double)l->gate[at] / tokens / (1 << (HEAD_LOAD_GATE_BITS - HEAD_LOAD_MEAN_BITS));
        l->active_squares[at] = made_squares(n, (double)l->active[at], tokens);
        l->gate_squares[at] = made_squares(n, means, n > 0 ? 1.5 * means / n : 0);
    }
}

/* The half of a class in a block, whose active is set: of every head about as many tokens. */
static inline void fill_half(head_load *l, size_t class_index, size_t block_index)
{
    const routing_block *b = &l->routing.blocks[block_index];
    int64_t n = l->images[class_index], half = n / 2, left = half * (int64_t)(b->tokens * b->routed);
    l->half_images[class_index] = half;
    for (size_t h = 0; h < b->heads; h++) {
        size_t at = head_load_at(l, class_index, block_index, h);
        l->half_active[at] = n ? l->active[at] * half / n : 0;
        left -= h < b->shared ? 0 : l->half_active[at];
    }
    for (size_t h = b->shared; h < b->heads && left > 0; h++) { // what rounding has left
        size_t at = head_load_at(l, class_index, block_index, h);
        int64_t more = l->active[at] * half % n > 0;
        l->half_active[at] += more;
        left -= more;
    }
}

/* What a context could report of image i: each token selects routed heads that follow each other. tokens,
 * gate_sum (blocks, max_heads); together of each block (heads, heads). */
static inline void made_image(const routing_layout *l, uint64_t i, int32_t *tokens, double *gate_sum,
                              int32_t *together)
{
    uint64_t state = 77 * i + 1;
    memset(together, 0, routing_head_pairs(l, l->count) * sizeof *together);
    for (size_t k = 0; k < l->count; k++) {
        const routing_block *b = &l->blocks[k];
        for (size_t t = 0; t < b->tokens; t++) {
            uint8_t picked[ROUTING_MAX_HEADS];
            size_t n = routing_candidates(b), first = n ? made_random(&state, 1 + made_random(&state, n)) : 0;
            for (size_t h = 0; h < b->heads; h++)
                picked[h] = h < b->shared || (h - b->shared + n - first) % n < b->routed;
            for (size_t h = 0; h < b->heads * b->heads; h++)
                together[h] += picked[h / b->heads] && picked[h % b->heads];
        }
        for (size_t h = 0; h < l->max_heads; h++) {
            bool there = h < b->heads;
            tokens[k * l->max_heads + h] = there ? together[h * (b->heads + 1)] : -1;
            gate_sum[k * l->max_heads + h] = there ? 0.5 * together[h * (b->heads + 1)] : 0;
        }
        together += b->heads * b->heads;
    }
}

/* Of a model of this config; NULL without memory. */
static inline head_load *empty_head_load(const config *c, const labels *names)
{
    head_load *l = NULL;
    routing_layout layout = {0};
    json_t *json = config_json(c);
    if (json && !config_routing(&layout, c, NULL))
        head_load_create(&l, &layout, json, names, NULL);
    routing_layout_free(&layout);
    json_decref(json);
    return l;
}

/* Class c gets 40 + c % 7 images, the last one none. */
static inline void fill_head_load(head_load *l, uint64_t seed)
{
    size_t classes = l->names.count;
    for (size_t k = 0; k < classes; k++) {
        l->images[k] = k + 1 < classes ? 40 + (int64_t)(k % 7) : 0;
        for (size_t i = 0; i < l->routing.count; i++) {
            const routing_block *b = &l->routing.blocks[i];
            uint64_t state = seed + 1000003 * (k / 3) + 17 * i; // three classes at a time are alike
            int64_t *active = l->active + head_load_at(l, k, i, 0);
            made_block(active, b, head_load_tokens(l, k, i), k, &state);
            for (size_t h = 0; h < b->heads; h++)
                l->gate[head_load_at(l, k, i, h)] =
                    active[h] * ((1 << HEAD_LOAD_GATE_BITS) - 12345 * (int64_t)h);
            fill_squares(l, k, i);
            fill_half(l, k, i);
        }
    }
    json_array_append_new(l->sources, json_pack("{s:s, s:I}", "source", "made up", "seed", (json_int_t)seed));
    json_object_set_new(l->provenance, "version", json_string(mohvit_version()));
    json_object_set_new(l->provenance, "weights_hash", json_sprintf("synthetic:%d", (int)seed));
}

/* Both in one; NULL without memory. */
static inline head_load *made_head_load(const config *c, const labels *names, uint64_t seed)
{
    head_load *l = empty_head_load(c, names);
    if (l)
        fill_head_load(l, seed);
    return l;
}

#endif

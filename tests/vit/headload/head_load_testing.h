/* head_load_testing.h - head loads made up for tests: the same for the same arguments, and as valid as
 * counted ones. */
#ifndef MOHVIT_HEAD_LOAD_TESTING_H
#define MOHVIT_HEAD_LOAD_TESTING_H

#include "vit/mohvit.h"
#include "vit/headload/head_load.h"

#include <stdio.h>
#include <stdlib.h>

static inline uint64_t made_random(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* Every routed head gets its balanced part of `tokens`; then tokens change heads, more of them away from the
 * head that is the class's least favourite. */
static inline void made_block(int64_t *active, const head_load_block *b, int64_t tokens, size_t c,
                              uint64_t *state)
{
    for (size_t h = 0; h < b->heads; h++)
        active[h] = tokens;
    if (!b->routed)
        return;
    int64_t all = tokens * (int64_t)b->routed, each = all / (int64_t)b->candidates;
    int64_t *routed = active + b->shared;
    for (size_t h = 0; h < b->candidates; h++)
        routed[h] = each + ((int64_t)h < all - each * (int64_t)b->candidates);
    for (size_t i = 0; i < 6 * b->candidates; i++) {
        size_t from = (made_random(state, b->candidates) + c / 3) % b->candidates;
        size_t to = (made_random(state, 3) + c / 3 + i) % b->candidates;
        int64_t most = routed[from] / 3, room = tokens - routed[to];
        most = most < room ? most : room;
        int64_t n = most > 0 ? (int64_t)made_random(state, (uint64_t)most + 1) : 0;
        routed[from] -= n;
        routed[to] += n;
    }
}

/* Class c has 40 + c % 7 images, the last one none; NULL without memory. */
static inline head_load *made_head_load(const config *c, const labels *names, uint64_t seed)
{
    head_load *l = NULL;
    if (head_load_create(&l, c, names, NULL))
        return NULL;
    for (size_t k = 0; k < c->num_classes; k++) {
        l->images[k] = k + 1 < c->num_classes ? 40 + (int64_t)(k % 7) : 0;
        for (size_t i = 0; i < l->blocks; i++) {
            head_load_block b = head_load_describe(l, i);
            uint64_t state = seed + 1000003 * (k / 3) + 17 * i; // three classes at a time are alike
            int64_t *active = l->active + head_load_at(l, k, i, 0);
            made_block(active, &b, head_load_tokens(l, k, i), k, &state);
            for (size_t h = 0; h < b.heads; h++)
                l->gate[head_load_at(l, k, i, h)] =
                    active[h] * ((1 << HEAD_LOAD_GATE_BITS) - 12345 * (int64_t)h);
        }
    }
    json_array_append_new(l->sources, json_pack("{s:s, s:I}", "source", "made up", "seed", (json_int_t)seed));
    json_object_set_new(l->provenance, "version", json_string(mohvit_version()));
    json_object_set_new(l->provenance, "weights_hash", json_sprintf("synthetic:%d", (int)seed));
    return l;
}

#endif

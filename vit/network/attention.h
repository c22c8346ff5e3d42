/* attention.h - gated attention of one block (spec 2, "Aggregated attention" and "Global attention").
 *
 * The two kinds differ in where keys come from: aggregated_attention.c pools a map of them and adds each
 * token's 3×3 neighbourhood, global_attention.c takes every token. What follows, the selected heads over
 * shared keys, is the same and lies in attention.c. */
#ifndef MOHVIT_ATTENTION_H
#define MOHVIT_ATTENTION_H

#include "vit/network/pass.h"
#include "vit/network/position_bias.h"
#include "vit/network/router.h"

typedef struct attention {
    size_t side, C, heads, d;
    size_t pool; /* P; 0: global */
    router router;
    linear q, kv;                 /* aggregated: C → C, C → 2C */
    linear qkv;                   /* global: C → 3C */
    linear proj;                  /* C → C */
    linear sr;                    /* aggregated: C → C, before pooling */
    norm pool_norm;               /* eps 1e-5 */
    const float *query_embedding; /* (heads, d) */
    const float *scale; /* (heads, 10): softplus(temperature) · ln(number of keys), by neighbours inside;
                           global: [0] */
    const float *local_bias;       /* (heads, 9) */
    const float *learnable_tokens; /* (heads, 9, d) */
    const float *learnable_bias;   /* (heads, 9) */
    const position_grid *grid;
    const float *position_bias; /* (heads, offsets, offsets) */
} attention;

/* s->y (N, C) = LayerNorm(x), for attention_reader to multiply, and with it each token's gates, and the
 * tokens that selected each head: fills s->gate, s->pick, s->lists and s->counts. */
void attention_route(const pass *p, const attention *a, const norm *n, const float *x);

/* x (N, C) += proj(gated heads of s->y), after attention_route. */
void attention_forward(const pass *p, const attention *a, float *x);

/* The first of the layers that read the block's normalised tokens; all encode them alike. */
const linear *attention_reader(const attention *a);

/* Where the shared keys of all heads are, and the queries and neighbourhoods, for attention_heads. */
typedef struct attention_source {
    const float *q; /* (N, C), rows ldq apart; or (heads, N, d) where pairs_alone */
    size_t ldq;
    const float *kv; /* (N + 1, 2C) = [k | v] with normalised k, row N 0; or NULL: no neighbourhoods */
    size_t K, key_side;
} attention_source;

/* Prepares queries, s->keys and s->values (heads, K, d) from s->y; one for each kind. */
attention_source aggregated_attention_prepare(const pass *p, const attention *a);
attention_source global_attention_prepare(const pass *p, const attention *a);

/* s->heads (N, C) = gated outputs of the selected (token, head) pairs, 0 elsewhere; or (heads, N, d), of each
 * head's list, where pairs_alone. */
void attention_heads(const pass *p, const attention *a, const attention_source *source);

/* The head that the task-th turn is for: even ones first, so that the shared heads, which have most tokens,
 * come to lie in both halves. */
size_t attention_turn(const attention *a, size_t task);

/* One head's part of s->keys and s->values, from kv (K rows, ld apart: keys at 0, values at value_offset);
 * keys normalised. */
void attention_gather_keys(const pass *p, const attention *a, size_t head, const float *kv, size_t ld,
                           size_t value_offset, size_t K);

#endif

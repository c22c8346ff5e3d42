/* heads.h - what gated attention is made of, and its middle: the selected heads over the keys that all tokens
 * share and, where there are any, those of their neighbourhood (spec 2, "… attention"). */
#ifndef MOHVIT_HEADS_H
#define MOHVIT_HEADS_H

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
    /* (heads, 10): softplus(temperature) · ln(number of keys), by neighbours inside; global: [0]. */
    const float *scale;
    const float *local_bias;       /* (heads, 9) */
    const float *learnable_tokens; /* (heads, 9, d) */
    const float *learnable_bias;   /* (heads, 9) */
    const position_grid *grid;
    const float *position_bias; /* (heads, offsets, offsets) */
} attention;

/* What a forward pass of it works on; in the scratch. */
typedef struct attention_state {
    selection selection;
    bool skips_products; /* q and out hold the selected pairs alone (pairs.h) */
    float *q;            /* (N, C), rows ldq apart; or (heads, N, d) */
    size_t ldq;
    float *kv; /* (N + 1, 2C) = [k | v] with normalised k, row N 0; or NULL: no neighbourhoods */
    size_t K, key_side;
    float *keys, *values; /* (heads, K, d): shared keys, normalised */
    float *out;           /* (N, C): gated outputs of the heads, 0 where not selected; or (heads, N, d) */
} attention_state;

/* Room for keys and values. */
void heads_take_keys(const pass *p, const attention *a, attention_state *s, size_t K, size_t key_side);

/* The heads' values and normalised keys, from K rows, ld apart: keys begin at `keys`, values C further. */
void heads_gather_keys(const pass *p, const attention *a, const attention_state *s, const float *rows,
                       size_t ld, size_t keys);

/* Queries, keys and values of y (N, C), with the selection that s holds. */
void aggregated_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s);
void global_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s);

/* s->out = gated outputs of the selected (token, head) pairs, of which the others are not touched. */
void heads_forward(const pass *p, const attention *a, const attention_state *s);

/* The head that the task-th task is for: even ones first, so that the shared heads, which have most tokens,
 * come to lie in both halves. */
size_t head_of_task(const attention *a, size_t task);

/* The first of the layers that read the block's normalised tokens; all encode them alike. */
const linear *attention_reader(const attention *a);

#endif

/* router.h - which heads each token uses, and how much (spec 2, "Router"; MoH, section 3). */
#ifndef MOHVIT_ROUTER_H
#define MOHVIT_ROUTER_H

#include "vit/network/config.h"
#include "vit/network/norm.h"

typedef struct router {
    size_t heads;
    size_t shared; /* heads 0 … shared−1 are always on */
    size_t routed; /* of the other heads − shared, how many each token picks */
    bool dense;    /* plain TransNeXt: every gate is 1 */
    /* Logits of a token: wg (heads − shared), wg_0 (2), wg_1 (shared), where they exist; 0: all gates 1. */
    size_t rows;
    linear scores; /* C → rows: these matrices as one, without bias */
} router;

/* What the router of a block chose for N tokens; in the scratch. */
typedef struct selection {
    float *gate;     /* (N, h): weight of each head, exactly 0 where not selected */
    uint8_t *pick;   /* (N, h): 1 where selected; shared heads always are */
    uint32_t *lists; /* (h, N): the tokens that selected each head, ascending, */
    size_t *counts;  /* (h): and how many those are */
    float *scores;   /* (N, rows): the logits that it chose by */
} selection;

/* The router of a block of stage s, from 0. */
void router_bind(binder *b, router *r, const config *c, size_t s);

/* Heads that are on for a token. */
size_t router_active(const router *r);

/* Room for the selection of N tokens, which router_forward fills. */
selection router_room(const pass *p, const router *r, size_t N);

/* y (N, C) = LayerNorm(x (N, C)), for `reader` to multiply (encode.h), and each token's heads. On the way the
 * rows of clear (N, C), unless NULL, become 0. */
void router_forward(const pass *p, const router *r, const norm *n, const linear *reader, float *y,
                    const float *x, size_t N, float *clear, const selection *to);

/* gate (N, heads) of the dropped heads becomes 0; who is picked stays. Renormalised, each other gate of a
 * token is multiplied by Σ gate / Σ gate of the others, both over all heads, in double precision; a token
 * whose others are all 0 is left without any. */
void router_drop(const router *r, const head_drops *drops, size_t N, float *gate);

/* What was chosen for N tokens, head by head (max_heads): the tokens that selected each, −1 where there is no
 * such head, and the sum of its gate over them. */
void router_report(const router *r, const selection *chosen, size_t N, size_t max_heads, int32_t *tokens,
                   double *gate_sum);

/* together (heads, heads) = the tokens that selected both heads. */
void router_pairs(const router *r, const selection *chosen, size_t N, int32_t *together);

/* gate and pick (N, heads) of the router's logits (N, rows), as gates_job says (kernels.h). */
void router_gates(const router *r, const kernels *k, const float *logits, size_t N, float *gate,
                  uint8_t *pick);

#endif

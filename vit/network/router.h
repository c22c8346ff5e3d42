/* router.h - which heads each token uses, and how much (spec 2, "Router"; MoH, section 3). */
#ifndef MOHVIT_ROUTER_H
#define MOHVIT_ROUTER_H

#include "vit/kernels/linear.h"

typedef struct router {
    size_t heads;
    size_t shared; /* heads 0 … shared−1 are always on */
    size_t routed; /* of the other heads − shared, how many each token picks */
    bool dense;    /* plain TransNeXt: every gate is 1 */
    size_t rows; /* logits of a token: wg (heads − shared), wg_0 (2), wg_1 (shared), where they exist; 0: all
                    gates 1 */
    linear scores; /* C → rows: these matrices as one, without bias */
} router;

/* Turns the router's logits into gates.
 *   logits (N, rows)   y · [wg | wg_0 | wg_1]
 *   gate   (N, heads)  out: weight of each head, exactly 0 where not selected
 *   pick   (N, heads)  out: 1 where selected; shared heads always are
 * Picks exactly `routed` of the candidates, ties to the lower index, NaN last. */
void router_gates(const router *r, const kernels *k, const float *logits, size_t N, float *gate,
                  uint8_t *pick);

#endif

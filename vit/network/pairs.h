/* pairs.h - q and proj for the selected (token, head) pairs alone.
 *
 * A layer over all heads is a dense product; over the selected ones it is a smaller but less even one, which
 * wins where a token leaves enough heads out. In between, queries and outputs lie head by head in the order
 * of the head's list, without gaps.
 *
 * Budget: on AMD Zen 5, one thread, all heads took 1.049 times as long as the selected ones; with dense
 * products 1.018 times (`mohvit bench --variant moh_transnext_base_50 --threads 1 --all-heads`). On AMD Zen 3
 * builds with and without it could not be told apart: quartiles of their ratio were 5 to 10 % wide. */
#ifndef MOHVIT_PAIRS_H
#define MOHVIT_PAIRS_H

#include "vit/network/heads.h"

/* Whether a block does so in this pass, which may want all heads: in float32, by the native backend, with
 * heads of PAIR_CHANNELS, where a token leaves out a quarter of them or more. */
bool pairs_skip_products(const pass *p, const attention *a);

/* s->q (heads, N, d) = the queries of each head's list, the first C outputs of the layer for y (N, C). */
void pairs_queries(const pass *p, const attention *a, const attention_state *s, const linear *layer,
                   const float *y);

/* x (N, C) += proj(s->out (heads, N, d)). */
void pairs_project(const pass *p, const attention *a, const attention_state *s, float *x);

#endif

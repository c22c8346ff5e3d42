/* attention.h - gated attention of one block (spec 2, "Aggregated attention" and "Global attention"). The two
 * kinds differ in where keys come from: aggregated_attention.c pools a map of them and adds each token's 3×3
 * neighbourhood, global_attention.c takes every token. The selected heads over these are heads.c's. */
#ifndef MOHVIT_ATTENTION_H
#define MOHVIT_ATTENTION_H

#include "vit/network/heads.h"

/* Of a block of stage s (from 0), whose positions grid describes. */
void attention_bind(binder *b, attention *a, const config *c, size_t s, const position_grid *grid);

/* x (N, C) += proj(gated heads of y), y (N, C) = LayerNorm(x). Gives what the router chose. */
selection attention_forward(const pass *p, const attention *a, const norm *n, float *y, float *x);

/* The same in steps: y, and who attends; queries, keys and values of y; after heads_forward, proj. */
attention_state attention_route(const pass *p, const attention *a, const norm *n, float *y, const float *x);
void attention_prepare(const pass *p, const attention *a, float *y, attention_state *s);
void attention_project(const pass *p, const attention *a, const attention_state *s, float *x);

#endif

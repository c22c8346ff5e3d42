/* pairs.h - q and proj for the selected (token, head) pairs alone.
 *
 * A layer over all heads is a dense product; over the selected ones it is a smaller but less even one, which
 * wins where a token leaves enough heads out. In between, queries and outputs lie head by head in the order
 * of the head's list, without gaps. */
#ifndef MOHVIT_PAIRS_H
#define MOHVIT_PAIRS_H

#include "vit/network/attention.h"

/* Whether a block of the model does so with these kernels: in float32, by the native backend, with heads of
 * PAIR_CHANNELS, where a token leaves out a quarter of them or more. */
bool pairs_possible(const attention *a, const kernels *k);

/* Whether it does so in this pass, which may want all heads. */
bool pairs_alone(const pass *p, const attention *a);

/* Multiply-adds of q and proj that it leaves out. */
double pairs_saved_macs(const attention *a, const kernels *k);

/* s->q (heads, N, d) = the queries of each head's list, the first C outputs of the layer; reads s->y,
 * s->lists and s->counts. */
void pairs_queries(const pass *p, const attention *a, const linear *layer);

/* x (N, C) += proj(s->heads (heads, N, d)). */
void pairs_project(const pass *p, const attention *a, float *x);

#endif

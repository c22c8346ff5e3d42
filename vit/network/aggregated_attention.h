/* aggregated_attention.h - keys and values are a pooled map, shared by all tokens, and each token's 3×3
 * neighbourhood (spec 2, "Aggregated attention"; TransNeXt, "pixel-focused attention"). */
#ifndef MOHVIT_AGGREGATED_ATTENTION_H
#define MOHVIT_AGGREGATED_ATTENTION_H

#include "vit/network/heads.h"

/* Queries, keys and values of y (N, C), with the routing that s holds. */
void aggregated_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s);

#endif

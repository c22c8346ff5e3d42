/* global_attention.h - keys and values are every token of the map (spec 2, "Global attention"). */
#ifndef MOHVIT_GLOBAL_ATTENTION_H
#define MOHVIT_GLOBAL_ATTENTION_H

#include "vit/network/heads.h"

/* Queries, keys and values of y (N, C), with the routing that s holds. */
void global_attention_prepare(const pass *p, const attention *a, float *y, attention_state *s);

#endif

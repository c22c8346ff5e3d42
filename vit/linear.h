/* linear.h - y = x·Wᵀ + b over weights laid out once. Every matrix product of the network goes through here,
 * so that a further backend or precision changes no layer. */
#ifndef MOHVIT_LINEAR_H
#define MOHVIT_LINEAR_H

#include "gemm.h"
#include "parallel.h"

typedef struct linear {
    size_t in, out;
    const float *weight; /* as the model's gemm packed it */
    const float *bias;   /* (out) */
} linear;

/* One product of a group: y (N, out; rows ldy apart) = layer(x (N, in; rows ldx apart)), or y += where
 * accumulate (the residual). */
typedef struct linear_call {
    const linear *layer;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
    size_t N;
    bool accumulate;
} linear_call;

#define LINEAR_GROUP_MAX 4

/* Runs count (≤ LINEAR_GROUP_MAX) independent calls as one set of tiles over the team. */
void linear_forward(const linear_call *calls, size_t count, const gemm *g, const kernels *k, team *t);

/* The same for a few rows on this thread, in one tile. */
void linear_rows(const linear *layer, const float *x, float *y, size_t N, const gemm *g, const kernels *k);

#endif

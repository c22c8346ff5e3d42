/* linear.h - y = x·Wᵀ + b over weights laid out once. Every matrix product of the network goes through here,
 * so that a further backend or precision changes no layer. */
#ifndef MOHVIT_LINEAR_H
#define MOHVIT_LINEAR_H

#include "base/parallel.h"
#include "vit/kernels/gemm.h"

typedef struct linear {
    size_t in, out;
    const gemm *gemm;
    const void *weight; /* as the gemm packed it */
    const float *bias;  /* (out) */
} linear;

/* Rows that a layer multiplies, as its gemm encodes them: floats, where it has no encode. */
typedef struct operand {
    void *rows;
    size_t stride; /* bytes from row to row */
} operand;

/* y (N, out; rows ldy apart) = layer(x (N, in)), or y += where accumulate (the residual). */
typedef struct linear_call {
    const linear *layer;
    operand x;
    float *y;
    size_t ldy;
    size_t N;
    bool accumulate;
} linear_call;

/* The same layer without the outputs before col, a multiple of 32, of a gemm by_panels. */
linear linear_from(const linear *layer, size_t col, const kernels *k);

#define LINEAR_GROUP_MAX 4

/* Runs count (≤ LINEAR_GROUP_MAX) independent calls as one set of tiles over the team. */
void linear_forward(const linear_call *calls, size_t count, const kernels *k, team *t);

/* Outputs col … col+cols−1 on this thread, in one tile that begins at y. col is a multiple of 32. */
void linear_columns(const linear_call *call, size_t col, size_t cols, const kernels *k);

#endif

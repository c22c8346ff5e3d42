/* pass.h - what the forward pass of one image works with: how to compute, and where. */
#ifndef MOHVIT_PASS_H
#define MOHVIT_PASS_H

#include "config.h"
#include "linear.h"
#include "parallel.h"

/* Memory for one image at a time, sized once for the largest stage. Letters as in kernels.h. */
typedef struct scratch {
    float *x;        // (N, C) tokens
    float *y;        // (N, C) normalised tokens
    float *wide;     // (N, 2·hidden) the MLP's two halves; also the patches of a convolution
    float *gated;    // (N, hidden) what leaves the MLP's gate
    float *q;        // (N, C), or (N, 3C) = [q | k | v] where attention is global
    float *kv;       // (N, 2C) = [k | v] of the 3×3 neighbourhoods
    float *pooled;   // (N, C) what the pooled map is the mean of
    float *map;      // (P², C) the pooled map
    float *map_kv;   // (P², 2C)
    float *keys;     // (h, K, d) shared keys, head by head
    float *values;   // (h, K, d)
    float *heads;    // (N, C) gated outputs of the heads, 0 where not selected
    float *logits;   // (N, router rows)
    float *gate;     // (N, h)
    uint8_t *pick;   // (N, h)
    uint32_t *lists; // (h, N) the tokens that selected each head
    size_t *counts;  // (h) how many those are
    float *lanes;    // (threads, lane_floats) scratch of the attention kernel
    size_t lane_floats;
    size_t *pairs; // (threads) (token, head) pairs computed
    void *memory;  // holds all of the above
} scratch;

typedef struct pass {
    const kernels *kernels;
    const gemm *gemm;
    team *team; // NULL: this thread alone
    scratch *s;
} pass;

/* For a model of this config and as many threads as its team may have. */
mohvit_status scratch_create(scratch *s, const config *c, const kernels *k, size_t threads,
                             mohvit_error *err);
void scratch_free(scratch *s);

typedef struct norm {
    const float *weight, *bias; // (C)
    size_t C;
    float eps;
} norm;

/* y (N, C) = LayerNorm(x (N, C)); y may be x. */
void norm_forward(const pass *p, const norm *n, float *y, const float *x, size_t N);

#endif

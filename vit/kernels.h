/* kernels.h - the loops that are not matrix products, once per instruction set.
 *
 * kernels.c is plain C over vectors as wide as the instruction set's; CMake compiles it for each of them into
 * a table of this type, and one is chosen when a model is opened. tests/reference.c has the plain version
 * that every entry is checked against.
 *
 * Letters: N tokens, C channels, h heads, d = C/h channels of a head, K keys that all tokens share.
 * Nothing here allocates; pointers must not overlap unless said. */
#ifndef MOHVIT_KERNELS_H
#define MOHVIT_KERNELS_H

#include "base.h"

#define NEIGHBOURS 9 /* of a token, itself included: the 3×3 window, row-major */

/* One head of one image: which tokens attend, and to what (spec 2, "Global" and "Aggregated attention").
 * Pointers named per token step by their ld from token to token. */
typedef struct attend_job {
    size_t d;
    const uint32_t *tokens; /* the tokens that selected this head; the others are never read nor written */
    size_t count;

    const float *q; /* (N, d) raw queries */
    size_t ldq;
    const float *query_embedding; /* (d) */
    const float *scale; /* softplus(temperature) · ln(keys), indexed by how many neighbours lie inside;
                           global attention: [0] alone */
    const float *gate;  /* (N) */
    size_t ldgate;
    float *out; /* (N, d): gate · attention, written for `tokens` alone */
    size_t ldout;

    /* Shared keys: the pooled map, or every token. */
    size_t K;
    const float *keys, *values; /* (K, d) without gaps, keys normalised */
    const float *bias;          /* (bias_side, bias_side): position bias by distinct row and column offset */
    size_t bias_side;
    const int32_t
        *bias_offset;      /* (side, key_side): index of the distinct offset of a query row and a key row */
    size_t side, key_side; /* tokens and keys are side² and key_side² */

    /* The 3×3 neighbourhood; k NULL: none (global attention). */
    const float *k, *v; /* (N, d), keys normalised */
    size_t ldkv;
    const float *local_bias;       /* (9) */
    const float *learnable_tokens; /* (9, d) */
    const float *learnable_bias;   /* (9) */
} attend_job;

typedef struct kernels {
    const char *isa; /* "baseline", "avx2", "avx512" */

    /* y (rows, C) = LayerNorm(x (rows, C)) · weight + bias; y may be x. */
    void (*layer_norm)(float *y, const float *x, size_t rows, size_t C, const float *weight,
                       const float *bias, float eps);

    /* y (rows, cols; rows ldy apart) = bias (cols), and += bias */
    void (*set_bias)(float *y, size_t ldy, size_t rows, size_t cols, const float *bias);
    void (*add_bias)(float *y, size_t ldy, size_t rows, size_t cols, const float *bias);

    /* x (n) = GELU(x), the exact (erf) form, to 5e-7 · |x|. */
    void (*gelu)(float *x, size_t n);

    /* Each of the h vectors of d in a row of x (rows, h·d; rows ldx apart) divided by max(its L2 norm,
     * 1e-12). */
    void (*l2_normalise)(float *x, size_t ldx, size_t rows, size_t h, size_t d);

    /* One image row of the gated MLP's middle: y (side, hidden) = GELU(depthwise3×3(u)) · v at image row
     * `row`. uv (side·side, 2·hidden) holds [u | v] of the whole image; weight (9, hidden), bias (hidden). */
    void (*depthwise_gelu_gate)(float *y, const float *uv, size_t side, size_t row, size_t hidden,
                                const float *weight, const float *bias);

    /* y (n) = max(0, a·wa + b·wb + bias), elementwise over wa, wb, bias (n): a layer of two inputs. */
    void (*affine2_relu)(float *y, float a, float b, const float *wa, const float *wb, const float *bias,
                         size_t n);

    /* The native backend of gemm.h, with its letters. */
    size_t (*gemm_packed)(size_t out, size_t in);
    void (*gemm_pack)(float *packed, const float *w, size_t out, size_t in);
    void (*gemm_multiply)(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                          const float *bias, size_t rows, size_t in, size_t col, size_t cols,
                          bool accumulate);

    /* Attention of one head for the tokens of the job. scratch: attend_scratch() floats. Returns the number
     * of (token, head) pairs that it computed. */
    size_t (*attend)(const attend_job *job, float *scratch);
    size_t (*attend_scratch)(size_t d, size_t K);
} kernels;

/* The widest set that this processor has, or the one that MOHVIT_ISA=baseline|avx2|avx512 names; an error
 * where the processor or the build lacks it. */
mohvit_status kernels_choose(const kernels **out, mohvit_error *err);

/* Every table of the build that this processor can run, narrowest first; NULL past the end. For tests. */
const kernels *kernels_available(size_t index);

#endif

/* kernels.h - the loops that take the time, as a table of functions that is filled feature by feature: first
 * the baseline's, which every processor of the architecture has, then what each further feature of this one
 * does better replaces the entries that it has a version of. The order is fixed, and so is the choice.
 *
 * On some processors a feature is slower than what they do without it: its row then says where it is better.
 * Versions of a product round differently, so each has a name, which results give. Whoever changes how a
 * version rounds changes its name, too (METHOD in gemm_native.c).
 *
 * To add an instruction set, or another way to compute a precision, one touches:
 * - vector.h: what vectors of the set are like, if it has its own;
 * - gemm_native.c: what a step of a product multiplies, if it is a product;
 * - CMakeLists.txt: the compiler's flags, and the files to compile for it; KERNELS is the feature's name;
 * - kernels.c: a row of `features`: its name, what MOHVIT_ISA calls its set, how to ask the processor for it,
 *   where it is the better one, and the function that adds it;
 * - gemm.c and the enum below: if the precision is new.
 *
 * To add an entry: its place below, a plain version in tests/vit/kernels/reference.c, and a suite in
 * tests/vit/kernels; test_kernels fails where an entry has none.
 *
 * Letters: N tokens, C channels, h heads, d = C/h channels of a head, K keys that all tokens share.
 * Nothing here allocates; pointers must not overlap unless said. */
#ifndef MOHVIT_KERNELS_H
#define MOHVIT_KERNELS_H

#include "base/error.h"

#define BIAS_MARGIN 16 /* what a window of the widest vectors reads past its first number */

#define MULTIPLY_ADDS_MAX 384 /* numbers that a round of multiply_adds takes at most */

#define NEIGHBOURS 9 /* of a token, itself included: the 3×3 window, row-major */

/* One head of one image: which tokens attend, and to what (spec 2, "Global" and "Aggregated attention").
 * Pointers named per token step by their ld from token to token. */
typedef struct attend_job {
    size_t d;
    const uint32_t *tokens; /* the tokens that selected this head; the others are never read nor written */
    const uint32_t *rows;   /* which rows of q and out are theirs: `tokens` again, or 0, 1, 2 … */
    size_t count;

    const float *q; /* raw queries, d of each token */
    size_t ldq;
    const float *query_embedding; /* (d) */
    /* softplus(temperature) · ln(keys), indexed by how many neighbours lie inside; global attention: [0]
     * alone. */
    const float *scale;
    const float *gate; /* (N) */
    size_t ldgate;
    float *out; /* gate · attention, d of each token */
    size_t ldout;

    /* Shared keys: the pooled map, or every token. */
    size_t K;
    const float *keys, *values; /* (K, d) without gaps, keys normalised */
    /* (bias_side, bias_side): position bias by distinct row and column offset. BIAS_MARGIN readable floats
     * follow. */
    const float *bias;
    size_t bias_side;
    bool bias_steady; /* bias_offset of (x, k) = that of (0, k) + x */
    const int32_t
        *bias_offset;      /* (side, key_side): index of the distinct offset of a query row and a key row */
    size_t side, key_side; /* tokens and keys are side² and key_side² */

    /* The 3×3 neighbourhood; k NULL: none (global attention). */
    const float *k, *v; /* (N + 1, d), keys normalised; row N is 0: what lies outside the image */
    size_t ldkv;
    const float *local_bias;       /* (9) */
    const float *learnable_tokens; /* (9, d) */
    const float *learnable_bias;   /* (9) */
} attend_job;

#define GATES_MAX_HEADS 256

/* The choice of N tokens among the heads (spec 2, "Router"; MoH, section 3): exactly `routed` of those from
 * `shared` on, by their logits, of equal ones the lower, NaN last. Where none is routed all are shared, as
 * config.c sees to: gates of others would not be written. */
typedef struct gates_job {
    size_t heads, shared, routed; /* heads: GATES_MAX_HEADS at most */
    size_t rows;                  /* logits of a token, as router.h counts them */
    const float *logits;          /* (N, rows) */
    size_t N;
    float *gate;   /* (N, heads) */
    uint8_t *pick; /* (N, heads) */
} gates_job;

/* What products multiply: floats; bfloat16; bytes with a scale for each output and each row of x; half
 * precision with such scales, powers of two. Sums are floats, of bytes exact integers, of half precision
 * short ones in half precision. */
typedef enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_INT8, PRECISION_F16, PRECISIONS } precision;

typedef struct kernels kernels;

/* Outputs col … col+cols−1 of y (rows, out) = x (rows, in) · Wᵀ + bias, or y += where accumulate. */
typedef struct gemm_tile {
    float *y; /* (rows, cols), rows ldy apart */
    size_t ldy;
    const void *x; /* rows as encode makes them, stride bytes apart */
    size_t stride;
    const void *packed; /* of the whole layer, like bias (out) */
    const float *bias;
    size_t rows, in, out, col, cols;
    bool accumulate;
    const kernels *kernels; /* for a backend that has none of its own to add the bias */
} gemm_tile;

/* One way to compute products (gemm.h): of the native backend, replaced as a whole; or of another one. */
typedef struct gemm_kernels {
    const char *name; /* such as "bf16_widen_avx2": precision, method, feature */
    /* Bytes of packed weights, and how w (out, in) becomes them, once. */
    size_t (*packed_bytes)(size_t out, size_t in);
    void (*pack)(void *packed, const float *w, size_t out, size_t in);
    /* Bytes of an encoded row, and how n rows of x, ldx apart, become rows without gaps. NULL: x's own floats
     * are multiplied, wherever they are. */
    size_t (*row_bytes)(size_t in);
    void (*encode)(void *rows, const float *x, size_t ldx, size_t n, size_t in);
    /* col is one of the tiling's, or a multiple of 32. */
    void (*multiply)(const gemm_tile *t);
} gemm_kernels;

/* The selected (token, head) pairs alone, in products over weights that gemm[PRECISION_F32] packed: a row of
 * PAIR_CHANNELS for each token that selected the head, in the order of the head's list, which ascends. */
#define PAIR_CHANNELS 24 /* of a head in every published variant */
#define PAIR_TOKENS                                                                                          \
    98 /* at once, at most: as the dense products cut them, so that a thread stays with its tokens */
#define PAIR_OUTPUTS 32 /* at once */

/* Queries of one head: rows (count, 24) = outputs first … first+23 of a layer of y (N, in). */
typedef struct pair_queries {
    float *rows;
    const uint32_t *tokens; /* (count) */
    size_t count;
    const float *y;
    size_t in, first; /* first a multiple of 8 */
    const float *packed, *bias;
} pair_queries;

/* Outputs of all heads, added up: x (N, C) += Σ rows · (their head's inputs of W)ᵀ + bias, for PAIR_OUTPUTS
 * outputs from col on of tokens first … end−1, PAIR_TOKENS at most. C = heads · 24, a multiple of 32. */
typedef struct pair_sums {
    float *x;
    const float *rows;     /* (heads, N, 24), of which each head's first counts[head] are there */
    const uint32_t *lists; /* (heads, N) */
    const size_t *counts;  /* (heads) */
    size_t heads, N, first, end, col;
    const float *packed, *bias;
} pair_sums;

typedef struct pair_kernels {
    void (*queries)(const pair_queries *job);
    void (*sums)(const pair_sums *job);
} pair_kernels;

struct kernels {
    const char *isa;     /* the instruction set, as MOHVIT_ISA names it: "baseline", "avx2", "avx512" */
    const char *feature; /* the last one added: of the set, or beyond it, such as "avx512_vnni" */

    /* y (rows, C) = LayerNorm(x (rows, C)) · weight + bias; y may be x. */
    void (*layer_norm)(float *y, const float *x, size_t rows, size_t C, const float *weight,
                       const float *bias, float eps);

    /* y (rows, cols; rows ldy apart) = bias (cols), and += bias */
    void (*set_bias)(float *y, size_t ldy, size_t rows, size_t cols, const float *bias);
    void (*add_bias)(float *y, size_t ldy, size_t rows, size_t cols, const float *bias);

    /* y (n) += GELU(x (n)), the exact (erf) form, to 5e-7 · |x|. */
    void (*add_gelu)(float *y, const float *x, size_t n);

    /* Each of the h vectors of d in a row of x (rows, h·d; ldx apart) divided by max(L2 norm, 1e-12). */
    void (*l2_normalise)(float *x, size_t ldx, size_t rows, size_t h, size_t d);

    /* One image row of the gated MLP's middle, `channels` of its channels: y (side, channels; rows ldy apart)
     * = GELU(depthwise3×3(u)) · v. uv: [u | v] (side, 2·channels) of the image row above it (NULL outside the
     * image), its own and the one below; weight (9, channels; rows ldw apart), bias (channels). */
    void (*depthwise_gelu_gate)(float *y, size_t ldy, const float *const uv[3], size_t side, size_t channels,
                                const float *weight, size_t ldw, const float *bias);

    /* y (n) = max(0, a·wa + b·wb + bias), elementwise over wa, wb, bias (n): a layer of two inputs. */
    void (*affine2_relu)(float *y, float a, float b, const float *wa, const float *wb, const float *bias,
                         size_t n);

    void (*gates)(const gates_job *job);

    gemm_kernels gemm[PRECISIONS];

    /* NULL where vectors are too short to win by it. They read what gemm[PRECISION_F32] packs: a feature
     * replaces both or neither. */
    pair_kernels pairs;

    /* Attention of one head for the tokens of the job. scratch: attend_scratch() floats. Returns the number
     * of (token, head) pairs that it computed. */
    size_t (*attend)(const attend_job *job, float *scratch);
    size_t (*attend_scratch)(size_t d, size_t K);

    /* y = y · factor + addend in the first numbers of y (MULTIPLY_ADDS_MAX), `rounds` times, in registers:
     * the peak of the set. Returns how many numbers. */
    size_t (*multiply_adds)(float *y, float factor, float addend, size_t rounds);
};

/* All that this processor does best, or no more than the set that MOHVIT_ISA=baseline|avx2|avx512 names; with
 * the version of products in bf16, int8 or f16 that MOHVIT_KERNELS names, for measuring. An error where
 * processor or build lack it. */
mohvit_status kernels_choose(const kernels **out, mohvit_error *err);

/* For each set that this processor has, narrowest first, what MOHVIT_ISA would choose; NULL past the end. */
const kernels *kernels_available(size_t index);

/* The table after each feature that this processor has, "baseline" first, so that every version of an entry
 * is in one of them; NULL past the end. */
const kernels *kernels_layer(size_t index);

#endif

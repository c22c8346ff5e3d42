/* reference.h - the slow truth: every hot loop of the network once more, in plain loops and double precision,
 * written from the specification (spec 2) rather than from the code that it checks. Beside it, what the
 * suites of the network share: random numbers, arrays that notice a write outside of them, comparisons. */
#ifndef MOHVIT_REFERENCE_H
#define MOHVIT_REFERENCE_H

#include "vit/kernels/kernels.h"

/* ---- Random numbers ---------------------------------------------------------------------------- */

typedef struct {
    uint64_t state;
} random_stream;

uint64_t random_bits(random_stream *r);
size_t random_below(random_stream *r, size_t n);
/* In [−1, 1). */
float random_float(random_stream *r);
void random_fill(random_stream *r, float *x, size_t n, float scale);

/* ---- Arrays that notice ------------------------------------------------------------------------ */

/* n floats, all NaN, aligned to 4 bytes alone. Under AddressSanitizer nothing lies around them; elsewhere,
 * other NaNs do. */
float *array_new(size_t n);
/* The same, filled with random numbers. */
float *array_random(random_stream *r, size_t n, float scale);
float *array_copy(const float *x, size_t n);
/* Fails the test if anything outside the array was written. NULL is allowed. */
void array_free(float *array);

/* n numbers in double precision, to be freed. */
double *widened(const float *x, size_t n);

/* ---- Comparisons ------------------------------------------------------------------------------- */

/* Fails unless |found − expected| ≤ tolerance, or both are NaN. */
#define assert_close(found, expected, tolerance)                                                             \
    reference_assert_close(__FILE__, __LINE__, found, expected, tolerance)
void reference_assert_close(const char *file, int line, double found, double expected, double tolerance);

/* Bits of a float, so that a NaN equals itself. */
uint32_t float_bits(float x);
void assert_same_bits(const float *a, const float *b, size_t n);

/* ---- Spec 2 ------------------------------------------------------------------------------------ */

/* y (rows, C) */
void reference_layer_norm(double *y, const double *x, size_t rows, size_t C, const float *weight,
                          const float *bias, double eps);

double reference_gelu(double x);
double reference_softplus(double x);

/* Each of the h vectors of d in a row of x (rows, h·d) divided by max(its L2 norm, 1e-12). */
void reference_l2_normalise(double *x, size_t rows, size_t h, size_t d);

/* y (side², hidden) = GELU(depthwise3×3(u) + bias) ⊙ v, uv (side², 2·hidden) = [u | v], weight (hidden, 9) as
 * in a checkpoint. */
void reference_depthwise_gelu_gate(double *y, const double *uv, size_t side, size_t hidden,
                                   const float *weight, const float *bias);

/* Gates of one token from its logits, which are numbers: gate (heads), pick (heads); heads at most
 * GATES_MAX_HEADS. */
void reference_gates(double *gate, uint8_t *pick, size_t heads, size_t shared, size_t routed,
                     const float *logits);

/* y (N, out) = x (N, in) · Wᵀ + b, w (out, in); bias may be NULL. */
void reference_linear(double *y, const double *x, size_t N, size_t in, size_t out, const float *w,
                      const float *bias);

/* x rounded to bfloat16, ties to even. */
double reference_bf16(float x);

/* What the numbers of a row count in half precision, whose largest magnitude is that: the power of two that
 * brings it to 2^least … 2^(most+1). */
double reference_half_step(double largest, int least, int most);

/* The power of two for an output's weights, by versions that encode x and by those that do not. */
double reference_half_step_of_weights(double largest, bool encodes);

/* x rounded to half precision, ties to even; its range is not looked at. */
double reference_half(double x);

/* The whole number of steps that x is nearest to, and whether it lies so close to the middle of two that
 * floats may take the other. */
long reference_steps(float x, float step, bool *doubtful);

/* reference_linear as a product in precision p is defined (kernels.h, gemm_native.c), of floats x (N, in;
 * rows ldx apart), which it multiplies as they are unless it encodes them; tolerance (N, out) is what
 * rounding of sums and scales may take it away by. Where x or w holds no finite number, y is none. */
void reference_product(double *y, double *tolerance, precision p, bool encodes, const float *x, size_t ldx,
                       size_t N, size_t in, size_t out, const float *w, const float *bias);

/* Adaptive average pool: y (P, P, C) of x (side, side, C). */
void reference_pool(double *y, const double *x, size_t side, size_t P, size_t C);

/* The continuous position bias of one head between query (qy, qx) of a map of `side` and key (ky, kx) of one
 * of key_side; S is the pretrained side of the stage. fc1 (512, 2), fc1_bias (512), fc2 (512), one fc2_bias.
 */
double reference_position_bias(size_t side, size_t key_side, size_t S, size_t qy, size_t qx, size_t ky,
                               size_t kx, const float *fc1, const float *fc1_bias, const float *fc2,
                               double fc2_bias);

/* One head of one image. */
typedef struct reference_head {
    size_t side, d;
    const double *q;               /* (N, d) as projected */
    const double *query_embedding; /* (d) */
    double softplus_temperature;
    size_t K;
    const double *keys, *values;    /* (K, d) shared by all tokens, keys normalised */
    const double *bias;             /* (N, K) */
    const double *k, *v;            /* (N, d) of every token, keys normalised; NULL: no neighbourhoods */
    const double *local_bias;       /* (9) */
    const double *learnable_tokens; /* (d, 9), as in a checkpoint */
    const double *learnable_bias;   /* (9) */
} reference_head;

/* out (d) = the head's answer to one token, before its gate. */
void reference_attend(double *out, const reference_head *head, size_t token);

#endif

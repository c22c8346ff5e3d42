/* y = x·Wᵀ + b over weights packed once: what the backend "native" is made of (gemm.h, kernels.h). CMake
 * compiles this file for each instruction set and precision, and for each feature that has an instruction of
 * its own for one:
 *
 *   f32   a step of the innermost loop takes one input, a float;
 *   bf16  likewise: weights are bfloat16, widened to floats in registers, once for all rows of a block; or,
 *         by AVX512-BF16 and ARM's BFDOT, two inputs, bfloat16 like their weights, that one instruction
 *         multiplies and adds;
 *   f16   one input: weights are half-precision numbers, widened like bfloat16; or, by AVX512-FP16 and
 *         ARMv8.2's FP16, inputs and short sums are, too. Rows and weights are multiplied by powers of two on
 *         their way, so that none leaves the range of half precision;
 *   int8  two inputs: 127ths of their row's largest magnitude, in 16 bits, times weights that are bytes and
 *         are widened likewise, 127ths of their output's; or, by AVX512-VNNI, AVX-VNNI and ARM's SDOT, four
 *         inputs, bytes, to which 128 is added for VNNI, which takes unsigned ones. Sums are exact, and the
 *         bits of a result the same by every version: CMakeLists.txt forbids the compiler to fuse multiplying
 *         with adding.
 *
 * All the rest is the same: what a step takes of x fills one word of 32 bits, or of 16 in half precision. W
 * lies in panels of PANEL outputs: for each step, the words of two vectors' outputs side by side; bf16 and
 * int8, where they are widened, in the lower and upper halves of one vector's. A block of up to ROWS tokens
 * by one panel is summed in registers over all inputs, so x is read where it lies and nothing is repacked.
 *
 * Every output is made of sums that depend on the number of inputs alone, whatever block it falls into: the
 * result does not depend on how rows and columns are cut. */
#include "vit/kernels/build.h"

#include <math.h>

#ifndef PRECISION
#define PRECISION f32
#endif
#define IS_f32       1
#define IS_bf16      2
#define IS_int8      3
#define IS_f16       4
#define PRECISION_IS CONCAT(IS, PRECISION)
#define F32          (PRECISION_IS == IS_f32)
#define BF16         (PRECISION_IS == IS_bf16)
#define INT8         (PRECISION_IS == IS_int8)
#define F16          (PRECISION_IS == IS_f16)

/* Arithmetic in half precision: the processor's, or EMULATE_HALVES the compiler's. */
#if F16 &&                                                                                                   \
    (defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC) || defined(EMULATE_HALVES))
#define HALVES 1
#else
#define HALVES 0
#endif

/* One instruction adds up the products of what a word holds. */
#if (BF16 && (defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC))) ||                  \
    (INT8 && (defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_DOTPROD)))
#define DOTS 1
#else
#define DOTS 0
#endif

/* Weights are stored in half of the bits that they are multiplied in. */
#if !F32 && !HALVES && !DOTS
#define WIDEN 1
#else
#define WIDEN 0
#endif

#define SCALED (F16 || INT8) // outputs, and rows that are encoded, have a step that their numbers count

_Static_assert(32 % PANEL == 0, "gemm.c cuts tiles at multiples of 32 outputs");
#if VECTOR_REGISTERS == 32 && VL == 16
#define HEIGHTS UP_TO_14
#define ROWS    14 /* 28 sums, 2 weights, a broadcast: 31 of 32 registers; divides 196, 784 and 3136 tokens */
#elif VECTOR_REGISTERS == 32 /* NEON's */
#define HEIGHTS UP_TO_12
#define ROWS    12 /* 24 sums, 2 weights, some inputs: of 14 rows' sums GCC 12 keeps 4 in memory */
#elif HALVES
#define HEIGHTS UP_TO_12
#define ROWS    12 /* 12 sums, the weights, a broadcast: 14 of 16 */
#elif VECTOR_REGISTERS == 16
#define HEIGHTS UP_TO_6
#define ROWS    6 /* 12 sums, 2 weights, a broadcast: 15 of 16 */
#else
#define HEIGHTS UP_TO_4
#define ROWS    4 /* 8 sums, 2 weights, an input, a product: 12. Six rows take V8 1.15 times as long */
#endif

/* ---- What a step multiplies -------------------------------------------------------------------- */

#if F32
typedef float word, number;
typedef vec words, sums;
#define ENTRY  PRECISION_F32
#define METHOD ""
#define INPUTS 1 // of a word

/* Inputs that are summed on their own, at most: a sum of n products rounds by about sqrt(n/2) units, one of
 * sums of 72 by little more than 6 whatever n is. The golden files need that (moh_transnext_base_75, RMS of a
 * logit's error: 2.0e-5; with chains of 256 2.9e-5, without chains 3.6e-5). */
#define CHAIN 72

INLINE sums multiply_add(sums sum, word x, words w)
{
    return sum + x * w;
}

#elif WIDEN && (BF16 || F16)
typedef float word;
typedef uint32_t number; // whose lower half is the weight
typedef vec words, sums;
#define ENTRY        (BF16 ? PRECISION_BF16 : PRECISION_F16)
#define METHOD       "_widen"
#define INPUTS       1
#define CHAIN        SIZE_MAX // rounding the weights to 8 or 11 bits outweighs what the sums round

/* What is multiplied are floats, and a sum must not leave their range where the product does not. So weights
 * stay as they are, unless the largest of an output lies below these powers of two, or above. */
#define LEAST_WEIGHT (-10)
#define MOST_WEIGHT  14

INLINE sums multiply_add(sums sum, word x, words w)
{
    return sum + x * w;
}

#elif BF16
typedef uint32_t word;
typedef uint16_t number;
typedef ivec words;
typedef vec sums;
#define ENTRY  PRECISION_BF16
#define METHOD "_dot"
#define INPUTS 2
#define CHAIN  SIZE_MAX // rounding the inputs to 8 bits outweighs what the sums round

INLINE sums multiply_add(sums sum, word x, words w)
{
#if VL == 16
    return (sums)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)w);
#else
    return (sums)vbfdotq_lane_f32((float32x4_t)sum, (bfloat16x8_t)w, (bfloat16x4_t)vcreate_u32(x), 0);
#endif
}

#elif F16
typedef _Float16 word;
typedef uint32_t number; // whose lower half is the weight
typedef _Float16 words __attribute__((vector_size(4 * VL)));
typedef words sums; // of a whole panel
#define ENTRY        PRECISION_F16
#define METHOD       "_half"
#define INPUTS       1

/* Summed in half precision at a time, floats from there on. The largest of a row of x is brought between 2^4
 * and 2^5, that of an output's weights between 2^3 and 2^4: such sums cannot leave the range, and what is
 * small enough to lose bits is 2^-18 of the largest. */
#define CHAIN        72
#define LARGEST      4
#define LEAST_WEIGHT 3
#define MOST_WEIGHT  3
_Static_assert(CHAIN << (LARGEST + 1 + MOST_WEIGHT + 1) < 65504, "the largest number in half precision");

INLINE sums multiply_add(sums sum, word x, words w)
{
    return sum + x * w;
}

#elif INT8
typedef uint32_t word;
typedef ivec words, sums;
#define ENTRY  PRECISION_INT8
#define METHOD ""
#define CHAIN  SIZE_MAX // sums are exact
#if WIDEN
typedef int16_t code;    // of an input
typedef uint16_t number; // whose lower half is the weight's byte
#define INPUTS 2
#define ADDED  0
#elif VL == 4
typedef int8_t code, number; // SDOT takes both with their signs, so i8mm's USDOT is not needed
#define INPUTS 4
#define ADDED  0
#else
typedef uint8_t code;
typedef int8_t number;
#define INPUTS 4
#define ADDED  128
#endif

INLINE sums multiply_add(sums sum, word x, words w)
{
#if WIDEN && defined(__aarch64__)
    int16x4_t pair = (int16x4_t)vcreate_u32(x);
    int32x4_t first = vmlal_lane_s16((int32x4_t)sum, vmovn_s32((int32x4_t)w), pair, 0);
    return (sums)vmlal_lane_s16(first, vshrn_n_s32((int32x4_t)w, 16), pair, 1);
#elif WIDEN
    return sum + ivec_pairs((ivec){0} + (int32_t)x, w);
#elif VL == 16
    return (sums)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32((int)x), (__m512i)w);
#elif VL == 8
    return (sums)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32((int)x), (__m256i)w);
#else
    return (sums)vdotq_lane_s32((int32x4_t)sum, (int8x16_t)w, vcreate_s8(x), 0);
#endif
}

#endif

#if SCALED
/* Behind the words of a panel: what its outputs are scaled by, and what is ADDED to x comes to. */
typedef struct {
    float scale[PANEL];
#if INT8
    int32_t offset[PANEL];
#endif
} panel_scales;
#endif

typedef uint32_t uvec __attribute__((vector_size(4 * VL)));
typedef int16_t svec __attribute__((vector_size(4 * VL), unused));
typedef uvec uvec_unaligned __attribute__((aligned(4), may_alias));
typedef words words_unaligned __attribute__((aligned(4), may_alias, unused));
typedef word word_unaligned __attribute__((aligned(1), may_alias));

/* Bytes of a step of a panel, and the weights there of one vector's outputs, or of two. */
#define STEP_BYTES ((WIDEN || HALVES ? VL : PANEL) * sizeof(uint32_t))

INLINE void load_weights(words w[2], const char *step, size_t width)
{
#if F16 && WIDEN
    (void)width;
    w[0] = vec_from_halves((const uint16_t *)step);
    w[1] = vec_from_halves((const uint16_t *)step + VL);
#elif WIDEN
    uvec both = *(const uvec_unaligned *)step;
    (void)width;
#if BF16
    w[0] = (words)(both << 16);
    w[1] = (words)(both & 0xffff0000u);
#else // 16 bits at a time, with their sign; what the first shift brings into them the second takes out
    w[0] = (words)((svec)(both << 8) >> 8);
    w[1] = (words)((svec)both >> 8);
#endif
#else
    const words_unaligned *at = (const words_unaligned *)step;
    w[0] = at[0];
    if (width > 1 && !HALVES)
        w[1] = at[1];
#endif
}

INLINE size_t steps_of(size_t in)
{
    return (in + INPUTS - 1) / INPUTS;
}

INLINE size_t panel_bytes(size_t in)
{
    size_t bytes = steps_of(in) * STEP_BYTES;
#if SCALED
    bytes += sizeof(panel_scales);
#endif
    return bytes;
}

/* ---- Packing weights ----------------------------------------------------------------------------- */

static size_t packed_bytes(size_t out, size_t in)
{
    return (out + PANEL - 1) / PANEL * panel_bytes(in);
}

#if BF16
/* To the nearest, ties to even; NaN stays NaN. */
INLINE uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#elif SCALED
/* The largest magnitude of x (n); NaN or infinite where an x is. */
INLINE float largest_of(const float *x, size_t n)
{
    uint32_t largest = 0; // as bits, which order magnitudes, NaN above all
#pragma omp simd reduction(max : largest)
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = ((const union {
                            float x;
                            uint32_t bits;
                        } *)x)[i]
                            .bits &
                        0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    float magnitude;
    memcpy(&magnitude, &largest, sizeof magnitude);
    return magnitude;
}

/* 1 / step; 0 if the row is all zero or not finite. */
INLINE float steps_per(float step)
{
    float inverse = 1 / step;
    return step > 0 && inverse < INFINITY ? inverse : 0;
}
#endif

#if F16
/* The power of two that brings a row whose largest magnitude is that to between 2^least and 2^(most+1), or
 * as near as its inverse is a float; NaN or infinite where that is. */
INLINE float step_of(float largest, int32_t least, int32_t most)
{
    int32_t bits, wanted;
    float step;
    memcpy(&bits, &largest, sizeof bits);
    int32_t exponent = (bits >> 23) - 127;
    if (exponent == 128)
        return largest;
    wanted = exponent < least ? least : exponent > most ? most : exponent;
    exponent -= wanted;
    bits = (exponent < -126 || bits >> 23 == 0) ? 1 << 22 : (exponent + 127) << 23; // 2^-127 is denormal
    memcpy(&step, &bits, sizeof step);
    return step;
}

/* To the nearest, ties to even, for magnitudes up to 65504. */
INLINE uint16_t to_half(float x)
{
    uint32_t bits, magnitude, small;
    memcpy(&bits, &x, sizeof bits);
    magnitude = bits & 0x7fffffffu;
    float with_unit = fabsf(x) + 0.5f; // whose last bit counts 2^-24, as that of denormal halves
    memcpy(&small, &with_unit, sizeof small);
    uint32_t normal = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    return (uint16_t)((bits >> 16 & 0x8000) | (magnitude < 113u << 23 ? small - 0x3f000000 : normal));
}
#elif INT8
/* The step that the largest magnitude is 127 of; NaN or infinite where that is. */
INLINE float step_of(float largest)
{
    return largest / 127;
}

/* A whole number in [−127, 127]. */
INLINE int32_t in_steps(float x, float inverse)
{
    const float magic = 12582912.0f; // 1.5 · 2^23: adding it rounds to an integer in the low bits
    float shifted = x * inverse + magic;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return inverse > 0 ? bits - 0x4b400000 : 0;
}
#endif

/* VL words of a row of weights, of which n numbers exist; the others are 0. Returns the sum of bytes. */
INLINE int32_t pack_words(vec *to, const float *w, size_t n, float inverse)
{
    number numbers[VL * INPUTS] = {0};
    int32_t sum = 0;
    if (n > VL * INPUTS)
        n = VL * INPUTS;
#if INT8
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        int32_t steps = in_steps(w[i], inverse);
        numbers[i] = (number)(uint8_t)steps;
        sum += steps;
    }
#else
    (void)inverse;
#pragma omp simd
    for (size_t i = 0; i < n; i++)
#if BF16
        numbers[i] = to_bf16(w[i]);
#elif F16
        numbers[i] = to_half(w[i] * inverse);
#else
        numbers[i] = w[i];
#endif
#endif
    memcpy(to, numbers, sizeof numbers);
    return sum;
}

/* The words of a step's outputs first … first+VL−1 of a panel to where they belong. */
INLINE void store_weights(char *step, size_t first, const vec *w)
{
#if F16
    uint16_t *to = (uint16_t *)step + first;
    for (size_t l = 0; l < VL; l++)
        to[l] = (uint16_t)((uvec)*w)[l];
#elif WIDEN
    uvec_unaligned *both = (uvec_unaligned *)step;
    if (first)
        *both |= (uvec)*w << (BF16 ? 16 : 8);
    else
        *both = (uvec)*w;
#else
    memcpy(step + first * sizeof(word), w, sizeof *w);
#endif
}

#if SCALED
/* What an output's weights w (in) count. */
INLINE float weights_step(const float *w, size_t in)
{
#if F16
    return step_of(largest_of(w, in), LEAST_WEIGHT, MOST_WEIGHT);
#else
    return step_of(largest_of(w, in));
#endif
}
#endif

static void pack(void *to, const float *w, size_t out, size_t in)
{
    size_t steps = steps_of(in);
    for (size_t first = 0; first < out; first += VL) { // half a panel
        char *panel = (char *)to + first / PANEL * panel_bytes(in);
        size_t outputs = out - first < VL ? out - first : VL;
        float inverse[VL] = {0};
        int32_t sum[VL] = {0};
#if SCALED
        panel_scales *scales = (panel_scales *)(panel + steps * STEP_BYTES);
        for (size_t o = 0; o < VL; o++) {
            float step = o < outputs ? weights_step(w + (first + o) * in, in) : 0;
            scales->scale[first % PANEL + o] = step;
            inverse[o] = steps_per(step);
        }
#endif
        for (size_t s = 0; s < steps; s += VL) {
            vec square[VL];
            for (size_t o = 0; o < VL; o++) {
                size_t at = s * INPUTS;
                square[o] = (vec){0};
                if (o < outputs)
                    sum[o] += pack_words(&square[o], w + (first + o) * in + at, in - at, inverse[o]);
            }
            vec_transpose(square);
            for (size_t i = 0; i < VL && s + i < steps; i++)
                store_weights(panel + (s + i) * STEP_BYTES, first % PANEL, &square[i]);
        }
#if INT8
        for (size_t o = 0; o < VL; o++)
            scales->offset[first % PANEL + o] = ADDED * sum[o];
#else
        (void)sum;
#endif
    }
    if ((out - 1) % PANEL < VL) { // the other half of the last panel
        char *panel = (char *)to + out / PANEL * panel_bytes(in);
        const vec none = {0};
        for (size_t s = 0; s < steps; s++)
            store_weights(panel + s * STEP_BYTES, VL, &none);
#if SCALED
        panel_scales *scales = (panel_scales *)(panel + steps * STEP_BYTES);
        memset(scales->scale + VL, 0, VL * sizeof *scales->scale);
#endif
#if INT8
        memset(scales->offset + VL, 0, VL * sizeof *scales->offset);
#endif
    }
}

/* ---- Encoding inputs ------------------------------------------------------------------------------ */

#define ENCODES !(F32 || (WIDEN && !INT8))

/* Bytes of a row's words, up to its step: whole words of 32 bits. */
INLINE size_t words_bytes(size_t steps)
{
    return (steps * sizeof(word) + 3) / 4 * 4;
}

#if ENCODES
/* Whole words, and the row's step if it is scaled; a cache line more where rows would be a multiple of 2 KiB
 * apart and share few sets of the L1 cache. */
static size_t row_bytes(size_t in)
{
    size_t bytes = words_bytes(steps_of(in)) + SCALED * sizeof(float);
    return bytes % 2048 ? bytes : bytes + 64;
}

static void encode(void *rows, const float *x, size_t ldx, size_t n, size_t in)
{
    for (size_t r = 0; r < n; r++, x += ldx) {
        char *row = (char *)rows + r * row_bytes(in);
        size_t bytes = words_bytes(steps_of(in));
        memset(row + bytes - 4, 0, 4);
#if BF16
        number *to = (number *)row;
#pragma omp simd
        for (size_t i = 0; i < in; i++)
            to[i] = to_bf16(x[i]);
#elif F16
        uint16_t *to = (uint16_t *)row;
        float step = step_of(largest_of(x, in), LARGEST, LARGEST), inverse = steps_per(step);
#pragma omp simd
        for (size_t i = 0; i < in; i++)
            to[i] = to_half(x[i] * inverse);
        memcpy(row + bytes, &step, sizeof step);
#else
        code *to = (code *)row;
        float step = step_of(largest_of(x, in)), inverse = steps_per(step);
#pragma omp simd
        for (size_t i = 0; i < in; i++)
            to[i] = (code)(in_steps(x[i], inverse) + ADDED);
        memcpy(row + bytes, &step, sizeof step);
#endif
    }
}
#endif

/* ---- Blocks ------------------------------------------------------------------------------------- */

#define LINE  64
#define AHEAD (STEP_BYTES < LINE ? STEP_BYTES : LINE)

/* A block of outputs, and what it is made of. */
typedef struct {
    float *y;
    size_t ldy;
    const word *x;
    size_t ldx;
    const char *panel;
    const float *bias;
    const char *ahead;  // AHEAD bytes of the next panel for each step are fetched from here on
    size_t steps, cols; // cols: outputs of the panel that exist
    bool accumulate;
} block_job;

/* The last panel of a layer, where the vectors have more lanes than there are outputs. */
static void __attribute__((noinline)) store_narrow(const block_job *job, const float *results, size_t rows)
{
    for (size_t c = 0; c < job->cols; c += VL) {
        size_t n = job->cols - c < VL ? job->cols - c : VL;
        vec bias = vec_load_part(job->bias + c, n);
        for (size_t r = 0; r < rows; r++) {
            float *y = job->y + r * job->ldy + c;
            vec result = vec_load(results + r * PANEL + c) + bias;
            vec_store_part(y, job->accumulate ? vec_load_part(y, n) + result : result, n);
        }
    }
}

INLINE void store(const block_job *job, vec result[ROWS][2], size_t rows, size_t width, bool accumulate)
{
    UNROLL(16)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(2)
        for (size_t v = 0; v < width; v++) {
            float *y = job->y + r * job->ldy + v * VL;
            vec with_bias = result[r][v] + vec_load(job->bias + v * VL);
            vec_store(y, accumulate ? vec_load(y) + with_bias : with_bias);
        }
    }
}

/* The product as floats, for vector v of row r. */
INLINE vec product(const block_job *job, const sums sum[2], size_t r, size_t v)
{
#if SCALED
    const panel_scales *scales = (const panel_scales *)(job->panel + job->steps * STEP_BYTES);
    vec scale = vec_load(scales->scale + v * VL);
#endif
#if SCALED && ENCODES
    float step;
    memcpy(&step, (const char *)(job->x + r * job->ldx) + words_bytes(job->steps), sizeof step);
    scale *= step;
#endif
#if INT8
    // The sum of what was made unsigned may pass 2^31 where the difference does not: both wrap.
    ivec exact = (ivec)((uvec)sum[v] - *(const uvec_unaligned *)(scales->offset + v * VL));
    return __builtin_convertvector(exact, vec) * scale;
#elif HALVES
    uint16_t halves[PANEL];
    memcpy(halves, sum, sizeof halves);
    return vec_from_halves(halves + v * VL) * scale;
#elif F16
    (void)r;
    return sum[v] * scale;
#else
    (void)job, (void)r;
    return sum[v];
#endif
}

INLINE void multiply_step(sums sum[ROWS][2], const block_job *job, size_t step, size_t rows, size_t width)
{
    const word_unaligned *x = job->x + step;
    words w[2];
    load_weights(w, job->panel + step * STEP_BYTES, width);
    UNROLL(16)
    for (size_t r = 0; r < rows; r++) {
        word value = x[r * job->ldx];
        sum[r][0] = multiply_add(sum[r][0], value, w[0]);
        if (width > 1 && !HALVES)
            sum[r][1] = multiply_add(sum[r][1], value, w[1]);
    }
}

/* rows × (width · VL) outputs; both are constants where this is inlined. */
INLINE void block(const block_job *of, size_t rows, size_t width)
{
    const block_job job = *of;                // a copy: no store to y can change it
    _Alignas(64) float results[ROWS * PANEL]; // of the chains so far
    vec result[ROWS][2];
    sums sum[ROWS][2];
    size_t chains = CHAIN < SIZE_MAX ? (job.steps - 1) / CHAIN + 1 : 1, chain = 1, step = 0;
    // Rows of y are pages apart, where no hardware prefetcher follows: without this, storing a block waits
    // for memory line after line (3136×72×768: 50 GFLOP/s, with it 110-140).
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < width; v++)
            __builtin_prefetch(job.y + r * job.ldy + v * VL, 1);
    for (;; chain++) {
        size_t end = chain < chains ? chain * job.steps / chains : job.steps;
        UNROLL(16)
        for (size_t r = 0; r < rows; r++)
            sum[r][0] = sum[r][1] = (sums){0};
        for (; step < end; step++) {
            __builtin_prefetch(job.ahead + step * AHEAD, 0, 2);
            multiply_step(sum, &job, step, rows, width);
        }
        UNROLL(16)
        for (size_t r = 0; r < rows; r++) {
            UNROLL(2)
            for (size_t v = 0; v < width; v++) {
                result[r][v] = product(&job, sum[r], r, v);
                if (chain > 1)
                    result[r][v] += vec_load(results + r * PANEL + v * VL);
            }
        }
        if (chain == chains && job.cols >= width * VL)
            break;
        UNROLL(16)
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < width; v++)
                vec_store(results + r * PANEL + v * VL, result[r][v]);
        if (chain == chains) {
            store_narrow(of, results, rows);
            return;
        }
    }
    if (job.accumulate)
        store(&job, result, rows, width, true);
    else
        store(&job, result, rows, width, false);
}

typedef void block_function(const block_job *job);

#define BLOCK(rows)                                                                                          \
    static void block_##rows##_1(const block_job *job)                                                       \
    {                                                                                                        \
        block(job, rows, 1);                                                                                 \
    }                                                                                                        \
    static void block_##rows##_2(const block_job *job)                                                       \
    {                                                                                                        \
        block(job, rows, 2);                                                                                 \
    }
#define BLOCKS(rows) {block_##rows##_1, block_##rows##_2},

HEIGHTS(BLOCK)
static block_function *const blocks[ROWS][2] = {HEIGHTS(BLOCKS)};

static void multiply(const gemm_tile *t)
{
    enum { LINES = (STEP_BYTES + LINE - 1) / LINE }; // of a step
    size_t blocks_of_rows = (t->rows + ROWS - 1) / ROWS, bytes = panel_bytes(t->in);
    block_job job = {.ldy = t->ldy,
                     .ldx = t->stride / sizeof(word),
                     .steps = steps_of(t->in),
                     .accumulate = t->accumulate};
    for (size_t c = 0; c < t->cols; c += PANEL) {
        job.panel = (const char *)t->packed + (t->col + c) / PANEL * bytes;
        job.bias = t->bias + t->col + c;
        job.cols = t->cols - c < PANEL ? t->cols - c : PANEL;
        for (size_t b = 0; b < blocks_of_rows; b++) { // of nearly the same height: none is a lone row
            size_t first = b * t->rows / blocks_of_rows, end = (b + 1) * t->rows / blocks_of_rows;
            job.x = (const word *)((const char *)t->x + first * t->stride);
            job.y = t->y + first * t->ldy + c;
            job.ahead = job.panel + bytes + (b < LINES ? b : 0) * job.steps * AHEAD;
            blocks[end - first - 1][job.cols > VL](&job);
        }
    }
}

void NAMED(CONCAT(add, PRECISION))(kernels *k)
{
    k->gemm[ENTRY] = (gemm_kernels)
    {
        .name = TEXT(PRECISION) METHOD "_" TEXT(KERNELS), .packed_bytes = packed_bytes, .pack = pack,
#if ENCODES
        .row_bytes = row_bytes, .encode = encode,
#endif
        .multiply = multiply,
    };
}

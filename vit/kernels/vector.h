/* vector.h - vectors of floats as wide as the instruction set that this file is compiled for, in GNU C.
 * Included by what is compiled once per instruction set alone. NaN passes through every function here. */
#ifndef MOHVIT_VECTOR_H
#define MOHVIT_VECTOR_H

#include "base/compiler.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What the instruction set has: floats of a vector, vectors in registers, and where it has one the
 * instruction for what is written out below otherwise. All else asks for these, never for the set. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VL                 16
#define VECTOR_REGISTERS   32
#define HAVE_MASKS         1                                              // loads and stores of chosen lanes
#define VEC_MAX(a, b)      ((vec)_mm512_max_ps((__m512)(a), (__m512)(b))) // b where either is NaN
#define VEC_MIN(a, b)      ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define VEC_ESTIMATE(x)    ((vec)_mm512_rcp14_ps((__m512)(x)))               // of 1 / x
#define VEC_SCALE(x, n)    ((vec)_mm512_scalef_ps((__m512)(x), (__m512)(n))) // x · 2^n
#define VEC_PAIRS(a, b)    ((ivec)_mm512_madd_epi16((__m512i)(a), (__m512i)(b)))
#define VEC_FROM_HALVES(p) ((vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
/* Where mask holds (all bits set), the lanes `at` of x; else no. */
#define VEC_PERMUTE(mask, x, at, no)                                                                         \
    ((vec)_mm512_mask_permutexvar_ps((__m512)(no), _mm512_movepi32_mask((__m512i)(mask)), (__m512i)(at),     \
                                     (__m512)(x)))
#elif defined(__AVX2__)
#include <immintrin.h>
#define VL                        8
#define VECTOR_REGISTERS          16
#define VEC_MAX(a, b)             ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define VEC_MIN(a, b)             ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define VEC_ESTIMATE(x)           ((vec)_mm256_rcp_ps((__m256)(x)))
#define VEC_PAIRS(a, b)           ((ivec)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#define VEC_FROM_HALVES(p)        ((vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define VEC_SELECT(mask, yes, no) ((vec)_mm256_blendv_ps((__m256)(no), (__m256)(yes), (__m256)(mask)))
#define VEC_PERMUTE(mask, x, at, no)                                                                         \
    VEC_SELECT(mask, _mm256_permutevar8x32_ps((__m256)(x), (__m256i)(at)), no)
#else
#define VL 4
#if defined(__aarch64__)
#include <arm_neon.h>
#define VECTOR_REGISTERS   32
#define VEC_FROM_HALVES(p) ((vec)vcvt_f32_f16((float16x4_t)vld1_u16(p)))
#elif defined(__SSE2__)
#include <emmintrin.h>
#define VEC_PAIRS(a, b) ((ivec)_mm_madd_epi16((__m128i)(a), (__m128i)(b)))
#elif defined(__has_builtin)
#if __has_builtin(__builtin_wasm_dot_s_i32x4_i16x8) // SIMD128
#define VECTOR_REGISTERS 12                         // to count on: engines keep some for themselves
#define VEC_PAIRS(a, b)  ((ivec)__builtin_wasm_dot_s_i32x4_i16x8((vec_of_halves)(a), (vec_of_halves)(b)))
#endif
#endif
#ifndef VECTOR_REGISTERS
#define VECTOR_REGISTERS 16 // SSE2's
#endif
#endif

typedef float vec __attribute__((vector_size(4 * VL)));
typedef int32_t ivec __attribute__((vector_size(4 * VL)));
typedef int16_t vec_of_halves __attribute__((vector_size(4 * VL)));
typedef float vec_unaligned __attribute__((vector_size(4 * VL), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vec vec_load(const float *p)
{
    return *(const vec_unaligned *)p;
}

INLINE void vec_store(float *p, vec x)
{
    *(vec_unaligned *)p = x;
}

INLINE vec vec_set(float x)
{
    return x - (vec){0};
}

/* The first n lanes of a vector, 0 < n < VL; loading leaves the others at 0, storing leaves memory alone. */
INLINE vec vec_load_part(const float *p, size_t n)
{
#ifdef HAVE_MASKS
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vec x = {0};
    memcpy(&x, p, n * sizeof *p);
    return x;
#endif
}

INLINE void vec_store_part(float *p, vec x, size_t n)
{
#ifdef HAVE_MASKS
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#else
    memcpy(p, &x, n * sizeof *p);
#endif
}

/* In each lane the products of the lower and of the upper 16 bits, with their signs, added up. */
INLINE ivec ivec_pairs(ivec a, ivec b)
{
#ifdef VEC_PAIRS
    return VEC_PAIRS(a, b);
#else
    return (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

/* VL numbers in half precision, finite ones. */
INLINE vec vec_from_halves(const uint16_t *p)
{
#ifdef VEC_FROM_HALVES
    return VEC_FROM_HALVES(p);
#else
    typedef uint16_t halves __attribute__((vector_size(2 * VL)));
    halves loaded;
    memcpy(&loaded, p, sizeof loaded);
    ivec bits = __builtin_convertvector(loaded, ivec);
    vec magnitude = (vec)((bits & 0x7fff) << 13) * 0x1p112f; // the exponents begin at 2^-15, not 2^-127
    return (vec)((ivec)magnitude | (bits << 16 & INT32_MIN));
#endif
}

/* Where the comparison `mask` held (all bits set), yes; else no. */
INLINE vec vec_select(ivec mask, vec yes, vec no)
{
#ifdef VEC_SELECT
    return VEC_SELECT(mask, yes, no);
#else
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
#endif
}

/* 0, 1, 2 … */
INLINE ivec vec_lanes(void)
{
    static const int32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ivec lane;
    memcpy(&lane, lanes, sizeof lane);
    return lane;
}

/* The first n lanes of x, and those from n on; 0 in the others. */
INLINE vec vec_first(vec x, size_t n)
{
    return (vec)((ivec)x & (vec_lanes() < (int32_t)n));
}

INLINE vec vec_from(vec x, size_t n)
{
    return (vec)((ivec)x & (vec_lanes() >= (int32_t)n));
}

INLINE vec vec_sqrt(vec x)
{
    for (size_t l = 0; l < VL; l++) // one instruction
        x[l] = sqrtf(x[l]);
    return x;
}

/* The larger, and the smaller; `a` where either is NaN. */
INLINE vec vec_max(vec a, vec b)
{
#ifdef VEC_MAX
    return VEC_MAX(b, a);
#else
    return vec_select(a < b, b, a);
#endif
}

INLINE vec vec_min(vec a, vec b)
{
#ifdef VEC_MIN
    return VEC_MIN(b, a);
#else
    return vec_select(a > b, b, a);
#endif
}

/* FOLD_g adds the halves of each group of g lanes; the groups of a come before b's. */
/* clang-format off */
#if VL == 16
#define FOLD_16(a, b) (__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define FOLD_8(a, b) (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define FOLD_4(a, b) (__builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) + __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
#define FOLD_2(a, b) (__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) + __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#elif VL == 8
#define FOLD_8(a, b) (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#define FOLD_4(a, b) (__builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13) + __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15))
#define FOLD_2(a, b) (__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15))
#else
#define FOLD_4(a, b) (__builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7))
#define FOLD_2(a, b) (__builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7))
#endif
/* clang-format on */

/* Lane l of the result = the sum of x[l]'s lanes: VL sums for the shuffles of one or two. Overwrites x. */
INLINE vec vec_sums(vec x[VL])
{
#ifdef FOLD_16
    for (int i = 0; i < 8; i++)
        x[i] = FOLD_16(x[2 * i], x[2 * i + 1]);
#endif
#ifdef FOLD_8
    for (int i = 0; i < 4; i++)
        x[i] = FOLD_8(x[2 * i], x[2 * i + 1]);
#endif
    for (int i = 0; i < 2; i++)
        x[i] = FOLD_4(x[2 * i], x[2 * i + 1]);
    return FOLD_2(x[0], x[1]);
}

/* Sum of all lanes, halving each step: a third of the latency of one by one. */
INLINE float vec_sum(vec x)
{
#ifdef FOLD_16
    x = FOLD_16(x, x);
#endif
#ifdef FOLD_8
    x = FOLD_8(x, x);
#endif
    x = FOLD_4(x, x);
    return FOLD_2(x, x)[0];
}

/* INTERLEAVED_LOW takes the first lanes of a and b in turn, INTERLEAVED_HIGH the last. */
/* clang-format off */
#if VL == 16
#define INTERLEAVED_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVED_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VL == 8
#define INTERLEAVED_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVED_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define INTERLEAVED_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define INTERLEAVED_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif
/* clang-format on */

/* Lane j of x[i] and lane i of x[j] change places. */
INLINE void vec_transpose(vec x[VL])
{
    vec y[VL];
    UNROLL(4)
    for (int half = 1; half < VL; half *= 2) {
        UNROLL(16)
        for (int i = 0; i < VL; i++)
            y[i] = x[i];
        UNROLL(8)
        for (int i = 0; i < VL / 2; i++) {
            x[2 * i] = INTERLEAVED_LOW(y[i], y[i + VL / 2]);
            x[2 * i + 1] = INTERLEAVED_HIGH(y[i], y[i + VL / 2]);
        }
    }
}

/* 1 / x to 2 units in the last place: an estimate and a Newton step, in a quarter of the time of dividing. */
INLINE vec vec_reciprocal(vec x)
{
#ifdef VEC_ESTIMATE
    vec r = VEC_ESTIMATE(x);
    return r + r * (1.0f - x * r);
#else
    return 1.0f / x;
#endif
}

/* e^x for x ≤ 88, to 2 units in the last place; where a vector has no instruction to scale by powers of
 * two, 1e-38 below −87, which a softmax cannot tell from 0. */
INLINE vec vec_exp(vec x)
{
#ifdef VEC_SCALE
    const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer in the low bits
    x = vec_max(x, vec_set(-200.0f)); // −∞ has no remainder
#else
    const float magic = 12582912.0f + 127; // and leaves there what 2^n has as its exponent
    x = vec_max(x, vec_set(-87.0f));
#endif
    vec shifted = x * 1.44269504f + magic;
    vec n = shifted - magic;
    vec r = x - n * 0.693359375f; // ln 2 in two parts, the first exact in 10 bits
    r = r + n * 2.12194440e-4f;
    vec p = vec_set(1.0f / 720);
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
#ifdef VEC_SCALE
    return VEC_SCALE(p, n);
#else
    return p * (vec)((ivec)shifted << 23);
#endif
}

/* GELU(x) = x · Φ(x), the exact form, where Φ(x) = 1/2 + 1/2 · erf(x/√2) = 1/2 + x · P(x²)/Q(x²) to 2e-7, a
 * least-maximum fit over |x| ≤ 5.54, where float rounds erf to 1. */
INLINE vec vec_gelu(vec x)
{
    vec z = vec_min(vec_max(x, vec_set(-5.54371718f)), vec_set(5.54371718f));
    vec t = z * z;
    vec p = vec_set(1.10038455e-10f);
    p = p * t - 2.20308827e-08f;
    p = p * t + 3.29146075e-06f;
    p = p * t + 0.000175535087f;
    p = p * t + 0.0045426729f;
    p = p * t + 0.0364325639f;
    p = p * t + 0.398942144f;
    vec q = vec_set(6.39909325e-05f);
    q = q * t + 0.00186091969f;
    q = q * t + 0.0293889948f;
    q = q * t + 0.257987284f;
    q = q * t + 1.0f;
    return x * (0.5f + z * p * vec_reciprocal(q)); // q lies between 1 and 148
}

#endif

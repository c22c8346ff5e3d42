#include "weights/half.h"

#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* All three cases are computed and one is picked, without a branch. A denormal m·2^−24 is made as
 * 2^−14·(1 + m/1024) − 2^−14, which is exact and, unlike a product with a denormal, right also where the
 * processor flushes denormals to zero. */
static uint32_t f16_to_f32_bits(uint16_t half)
{
    uint32_t magnitude = half & 0x7fffu, shifted = magnitude << 13;
    uint32_t denormal = bits_of(float_of(shifted + 0x38800000u) - 0x1p-14f);
    uint32_t normal = shifted + 0x38000000u;   // exponent bias 15 to 127
    uint32_t infinite = shifted | 0x7f800000u; // infinity, or a NaN with its payload
    uint32_t bits = magnitude < 0x0400u ? denormal : normal;
    bits = magnitude >= 0x7c00u ? infinite : bits;
    return bits | (uint32_t)(half & 0x8000u) << 16;
}

void half_from_f16(float *restrict dst, const uint16_t *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = f16_to_f32_bits(src[i]);
        memcpy(dst + i, &bits, sizeof bits);
    }
}

void half_from_bf16(float *restrict dst, const uint16_t *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)src[i] << 16;
        memcpy(dst + i, &bits, sizeof bits);
    }
}

/* The denormals' sum with 0.5 leaves the value in units of 2^−24, rounded to nearest even by the addition
 * itself. */
static uint16_t f32_bits_to_f16(uint32_t bits)
{
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t denormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    uint32_t payload = magnitude >> 13 & 0x3ffu;
    uint32_t nan = 0x7c00u | (payload ? payload : 0x200u); // a payload cut to nothing would be an infinity
    uint32_t half = magnitude < 0x38800000u ? denormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half; // 65520, half way past the largest, and beyond
    half = magnitude > 0x7f800000u ? nan : half;
    return (uint16_t)(half | (bits >> 16 & 0x8000u));
}

void half_to_f16(uint16_t *restrict dst, const float *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_bits_to_f16(bits_of(src[i]));
}

static uint16_t f32_bits_to_bf16(uint32_t bits)
{
    uint32_t upper = bits >> 16;
    uint32_t rounded = (bits + 0x7fffu + (upper & 1u)) >> 16;
    uint32_t nan = upper & 0x7fu ? upper : upper | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

void half_to_bf16(uint16_t *restrict dst, const float *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_bits_to_bf16(bits_of(src[i]));
}

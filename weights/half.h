/* half.h - half precision to float32, exactly, and back, to nearest even. Plain loops that compilers
 * vectorise. */
#ifndef MOHVIT_HALF_H
#define MOHVIT_HALF_H

#include <stddef.h>
#include <stdint.h>

/* Every value, denormals, infinities and the payload of a NaN included. */
void half_from_f16(float *restrict dst, const uint16_t *restrict src, size_t n);
void half_from_bf16(float *restrict dst, const uint16_t *restrict src, size_t n);

/* What is too large becomes infinity; a NaN stays a NaN, with the upper bits of its payload. */
void half_to_f16(uint16_t *restrict dst, const float *restrict src, size_t n);
void half_to_bf16(uint16_t *restrict dst, const float *restrict src, size_t n);

#endif

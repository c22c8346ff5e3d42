/* As many multiply-adds as the set can do (kernels.h), and nothing else: no load, no store, and more sums
 * than it takes to keep every unit busy while each waits for its own. */
#include "vit/kernels/build.h"

#if VECTOR_REGISTERS == 32 || defined(__aarch64__)
#define SUMS 24
#else
#define SUMS 12
#endif
_Static_assert(SUMS *VL <= MULTIPLY_ADDS_MAX, "a caller has as many numbers");

static size_t multiply_adds(float *y, float factor, float addend, size_t rounds)
{
    vec sum[SUMS], times = vec_set(factor), plus = vec_set(addend);
    UNROLL(24)
    for (size_t i = 0; i < SUMS; i++)
        sum[i] = vec_load(y + i * VL);
    for (size_t round = 0; round < rounds; round++) {
        UNROLL(24)
        for (size_t i = 0; i < SUMS; i++)
            sum[i] = sum[i] * times + plus;
    }
    UNROLL(24)
    for (size_t i = 0; i < SUMS; i++)
        vec_store(y + i * VL, sum[i]);
    return SUMS * VL;
}

void NAMED(add_multiply_adds)(kernels *k)
{
    k->multiply_adds = multiply_adds;
}

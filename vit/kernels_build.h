/* kernels_build.h - what the files that are compiled once per instruction set share: KERNELS, which CMake
 * sets, names the set, and with it everything that leaves a file. Included by kernels*.c alone. */
#ifndef MOHVIT_KERNELS_BUILD_H
#define MOHVIT_KERNELS_BUILD_H

#include "kernels.h"
#include "vector.h"

#define CONCAT_(a, b) a##_##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define NAMED(name)   CONCAT(name, KERNELS) /* attend → attend_avx2 */

extern const kernels NAMED(kernels);

/* kernels_gemm.c */
size_t NAMED(gemm_packed)(size_t out, size_t in);
void NAMED(gemm_pack)(float *packed, const float *w, size_t out, size_t in);
void NAMED(gemm_multiply)(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                          const float *bias, size_t rows, size_t in, size_t col, size_t cols,
                          bool accumulate);

/* kernels_attend.c */
size_t NAMED(attend)(const attend_job *job, float *scratch);
size_t NAMED(attend_scratch)(size_t d, size_t K);

#endif

/* kernels_build.h - what the files that are compiled once per instruction set share: KERNELS, which CMake
 * sets, names the set, and with it everything that leaves a file. Included by kernels*.c alone. */
#ifndef MOHVIT_KERNELS_BUILD_H
#define MOHVIT_KERNELS_BUILD_H

#include "vit/kernels/kernels.h"
#include "vit/kernels/vector.h"

#define CONCAT_(a, b) a##_##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define NAMED(name)   CONCAT(name, KERNELS) /* attend → attend_avx2 */

#define PANEL (2 * VL) /* outputs whose weights a product packs together, and pairs read */

extern const kernels NAMED(kernels);

/* kernels_gemm.c */
extern const gemm_kernels NAMED(gemm_f32), NAMED(gemm_bf16), NAMED(gemm_int8);

/* kernels_pairs.c */
extern const pair_kernels NAMED(pairs);

/* kernels_router.c */
void NAMED(gates)(const gates_job *job);

/* kernels_attend.c */
size_t NAMED(attend)(const attend_job *job, float *scratch);
size_t NAMED(attend_scratch)(size_t d, size_t K);

#endif

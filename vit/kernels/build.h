/* build.h - what the files that are compiled once per instruction set share. CMake sets KERNELS to the name
 * of their feature: what leaves a file ends in it, and fills in the file's entries. */
#ifndef MOHVIT_KERNELS_BUILD_H
#define MOHVIT_KERNELS_BUILD_H

#include "vit/kernels/kernels.h"
#include "vit/kernels/vector.h"

#define CONCAT_(a, b) a##_##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define NAMED(name)   CONCAT(name, KERNELS) /* add_norms → add_norms_avx2 */
#define TEXT_(a)      #a
#define TEXT(a)       TEXT_(a)

/* m(1) m(2) …: a block of each size */
#define UP_TO_4(m)  m(1) m(2) m(3) m(4)
#define UP_TO_6(m)  UP_TO_4(m) m(5) m(6)
#define UP_TO_12(m) UP_TO_6(m) m(7) m(8) m(9) m(10) m(11) m(12)
#define UP_TO_14(m) UP_TO_12(m) m(13) m(14)

#define PANEL (2 * VL) /* outputs whose weights a product packs together, and pairs read */

void NAMED(add_norms)(kernels *k);
void NAMED(add_elementwise)(kernels *k);
void NAMED(add_depthwise)(kernels *k);
void NAMED(add_gates)(kernels *k);
void NAMED(add_attend)(kernels *k);
void NAMED(add_pairs)(kernels *k);
void NAMED(add_multiply_adds)(kernels *k);
void NAMED(add_f32)(kernels *k), NAMED(add_bf16)(kernels *k), NAMED(add_int8)(kernels *k);
void NAMED(add_f16)(kernels *k);

#endif

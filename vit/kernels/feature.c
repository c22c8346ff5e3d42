/* All that a feature of the processor brings (kernels.c). Compiled once per instruction set. */
#include "vit/kernels/build.h"

void NAMED(add_set)(kernels *k);

void NAMED(add_set)(kernels *k)
{
    NAMED(add_norms)(k);
    NAMED(add_elementwise)(k);
    NAMED(add_depthwise)(k);
    NAMED(add_gates)(k);
    NAMED(add_attend)(k);
    NAMED(add_pairs)(k);
    NAMED(add_multiply_adds)(k);
    NAMED(add_f32)(k);
    NAMED(add_bf16)(k);
    NAMED(add_int8)(k);
    NAMED(add_f16)(k);
}

/* numerics.h - what multiplies: the kernels, the backend, and the precision of each part of the network. */
#ifndef MOHVIT_NUMERICS_H
#define MOHVIT_NUMERICS_H

#include "vit/kernels/gemm.h"

typedef struct numerics {
    const kernels *kernels;
    precision precision;
    /* One backend's, for the precisions that layers take; [PRECISION_F32] is always there. */
    const gemm *gemms[PRECISIONS];
    char products[96]; /* names of the versions of these (kernels.h), finest last: "bf16_widen_avx2, f32_avx2"
                        */
} numerics;

/* backend as gemm_choose takes it. */
mohvit_status numerics_choose(numerics *a, const char *backend, precision wanted, mohvit_error *err);

typedef enum layer_part { PART_EMBED, PART_ATTENTION, PART_PROJ, PART_FC1, PART_FC2, PART_EXACT } layer_part;

/* How the layers of a part of stage s (from 0) are computed. */
const gemm *numerics_of(const numerics *a, layer_part part, size_t s);

#define INT8_INPUTS_MAX 65536 /* 255 · 127 · 65536 < 2^31 */

#endif

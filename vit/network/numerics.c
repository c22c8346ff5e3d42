#include "vit/network/numerics.h"

#include <stdio.h>
#include <string.h>

/* What takes the place of each where that is too coarse. */
static const precision finer_than[PRECISIONS] = {[PRECISION_INT8] = PRECISION_BF16};

static void name_products(numerics *a)
{
    for (precision p = a->precision;; p = finer_than[p]) {
        const char *name = gemm_functions(a->gemms[p], a->kernels)->name;
        size_t used = strlen(a->products);
        snprintf(a->products + used, sizeof a->products - used, "%s%s", used ? ", " : "", name);
        if (p == PRECISION_F32)
            return;
    }
}

mohvit_status numerics_choose(numerics *a, const char *backend, precision wanted, mohvit_error *err)
{
    const gemm *g;
    *a = (numerics){0};
    mohvit_status status = kernels_choose(&a->kernels, err);
    if (!status)
        status = gemm_choose(&g, backend, wanted, a->kernels, err);
    if (status)
        return status;
    a->precision = g->precision;
    status = gemm_choose(&a->gemms[PRECISION_F32], g->name, PRECISION_F32, a->kernels, err);
    for (precision p = a->precision; !status && p != PRECISION_F32; p = finer_than[p])
        status = gemm_choose(&a->gemms[p], g->name, p, a->kernels, err);
    if (!status)
        name_products(a);
    return status;
}

/* Rounding hurts most where it happens first and where there is no way round it: in the narrow first stages,
 * whose sums average over few channels, and in the patch embeddings, which no residual connection bypasses.
 * These take little of the arithmetic and keep a finer precision: bf16 in place of int8, which loses to
 * float32 by none of its kernels, and float32 in place of bf16. So do two where the others are int8: proj,
 * whose rounding nothing evens out before the next norm, and fc2 of the second stage, which is 4 % of the
 * arithmetic. RMS error of the logits of moh_transnext_base_75 in parts of their standard deviation: bf16
 * everywhere 0.15, as here 0.08; int8 everywhere but in router, first convolution and head 0.28, with int8 in
 * proj and that fc2 0.20 (by AVX512-BF16 and VNNI). With widened weights, int8 in that fc2 0.196, as here
 * 0.162; of the parts left, the third stage's attention alone wins as much, 0.168 without fc2, for 9 %. */
const gemm *numerics_of(const numerics *a, layer_part part, size_t s)
{
    bool attends = part == PART_ATTENTION || part == PART_PROJ,
         finer = part == PART_EMBED || (attends && s == 0);
    if (a->precision == PRECISION_INT8)
        finer = finer || s == 0 || (s == 1 && part != PART_FC1) || part == PART_PROJ;
    if (part == PART_EXACT || (part == PART_EMBED && s == 0) || a->precision == PRECISION_F32)
        return a->gemms[PRECISION_F32];
    return a->gemms[finer ? finer_than[a->precision] : a->precision];
}

/* conv_glu.h - the MLP: a gated linear unit whose gate sees its 3×3 neighbourhood (spec 2, "MLP"; TransNeXt,
 * "Convolutional GLU"). */
#ifndef MOHVIT_CONV_GLU_H
#define MOHVIT_CONV_GLU_H

#include "pass.h"

typedef struct conv_glu {
    size_t side, hidden;
    linear fc1;             /* C → 2·hidden: [u | v] */
    const float *dw_weight; /* (9, hidden) */
    const float *dw_bias;   /* (hidden) */
    linear fc2;             /* hidden → C */
} conv_glu;

/* x (N, C) += fc2(GELU(depthwise(u)) ⊙ v), [u | v] = fc1(y (N, C)). */
void conv_glu_forward(const pass *p, const conv_glu *m, const float *y, float *x);

#endif

/* conv_glu.h - the MLP: a gated linear unit whose gate sees its 3×3 neighbourhood (spec 2, "MLP"; TransNeXt,
 * "Convolutional GLU"). */
#ifndef MOHVIT_CONV_GLU_H
#define MOHVIT_CONV_GLU_H

#include "vit/network/bind.h"
#include "vit/network/config.h"
#include "vit/network/pass.h"

typedef struct conv_glu {
    size_t side, hidden;
    linear fc1;             /* C → 2·hidden, in the order of conv_glu_order */
    const float *dw_weight; /* (9, hidden) */
    const float *dw_bias;   /* (hidden) */
    linear fc2;             /* hidden → C */
} conv_glu;

/* Of a block of stage s, from 0. */
void conv_glu_bind(binder *b, conv_glu *m, const config *c, size_t s);

/* x (N, C) += fc2(GELU(depthwise(u)) ⊙ v), [u | v] = fc1(y (N, C)). y: for fc1 to multiply (encode.h). */
void conv_glu_forward(const pass *p, const conv_glu *m, float *y, float *x);

/* The MLP takes its hidden channels in blocks, whose u and v it computes together: which of the checkpoint's
 * [u | v] outputs (2·hidden) stands at place i of fc1. */
size_t conv_glu_order(size_t hidden, size_t i);

#endif

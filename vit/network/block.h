/* block.h - a block: x ← x + Attn(LN(x)); x ← x + MLP(LN(x)) (spec 2, "Block"). */
#ifndef MOHVIT_BLOCK_H
#define MOHVIT_BLOCK_H

#include "vit/network/attention.h"
#include "vit/network/conv_glu.h"

typedef struct block {
    norm norm1, norm2;
    attention attention;
    conv_glu mlp;
} block;

/* Block `index` of stage s, both from 0, whose positions grid describes. */
void block_bind(binder *b, block *to, const config *c, size_t s, size_t index, const position_grid *grid);

/* x (N, C), updated in place. Gives what the block's router chose. */
selection block_forward(const pass *p, const block *b, float *x);

#endif

/* patch_embed.h - a stage's entrance: overlapping convolution, then LayerNorm (spec 2, "Patch embedding"). */
#ifndef MOHVIT_PATCH_EMBED_H
#define MOHVIT_PATCH_EMBED_H

#include "vit/network/config.h"
#include "vit/network/norm.h"

typedef struct patch_embed {
    size_t window, stride, padding; /* 7, 4, 3 from RGB; 3, 2, 1 between stages */
    size_t in_side, in_channels;    /* of the map that it reads */
    size_t side;                    /* of the map that it makes */
    linear proj;                    /* in = window² · in_channels, in the order (row, column, channel) */
    norm norm;                      /* eps 1e-5 */
} patch_embed;

/* Of stage s, from 0: tensors patch_embed{s+1}.… */
void patch_embed_bind(binder *b, patch_embed *e, const config *c, size_t s);

/* x (side², C) = LayerNorm(conv(map (in_side, in_side, in_channels))). map may be x: it is read first. */
void patch_embed_forward(const pass *p, const patch_embed *e, const float *map, float *x);

#endif

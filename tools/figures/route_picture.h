/* route_picture.h - what one head sees of a picture. */
#ifndef MOHVIT_ROUTE_PICTURE_H
#define MOHVIT_ROUTE_PICTURE_H

#include "tools/figures/drawing.h"
#include "vit/headload/routing_layout.h"

/* What a block's router chose for one image. */
typedef struct routes {
    const routing_block *block;
    size_t side;   /* of the square of its tokens */
    float *gate;   /* (side², heads) */
    uint8_t *pick; /* (side², heads) */
    float strong;  /* gate that has the strongest tint, as all above it do */
} routes;

/* out (S, S, 3) = crop (S, S, 3) as head sees it: in gray and dimmed where a token did not select the head,
 * tinted by the gate where it did. */
void route_picture(uint8_t *out, const uint8_t *crop, size_t S, const routes *r, size_t head);

/* Share of the tokens that selected the head. */
double route_load(const routes *r, size_t head);

/* "s1", or "r1: 50 %" with the load of a routed head. */
void route_head_title(char out[64], const routes *r, size_t head);

/* Small multiples of all heads, `width` points wide. */
double route_figure_height(const routes *r, double width);
void route_figure(drawing *d, const routes *r, const uint8_t *crop, size_t S, double width);

#endif

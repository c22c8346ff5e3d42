/* route_picture.h - what the heads of a block see of pictures. */
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
} routes;

/* Share of the tokens that selected the head. */
double route_load(const routes *r, size_t head);

/* "s1", or "r1: 50 %" with the load of a routed head. */
void route_head_title(char out[64], const routes *r, size_t head);

// ---- Tints -----------------------------------------------------------------------------------------

/* Gates from low, which has the weakest tint, to high, which has the strongest. */
typedef struct tint_scale {
    double low, high;
    bool logarithmic;
} tint_scale;

typedef enum route_tint {
    TINT_LINEAR, /* from 0, one scale for all heads */
    TINT_LOG,    /* the same for each factor */
    TINT_KIND    /* from 0, a scale for shared heads and one for routed ones */
} route_tint;

typedef struct route_look {
    const theme *theme;
    route_tint tint;
    tint_scale shared, routed; /* the same but for TINT_KIND */
    bool overlay;              /* the tint on the picture itself, in its colours */
} route_look;

/* Sets the scales of a look by the selected gates of one block in `count` images: a fiftieth of them is above
 * `high`, since a few may be ten times the others, and, where low is not 0, one below it. False without
 * memory. */
bool route_look_fit(route_look *look, const routes *r, size_t count);

/* out (S, S, 3) = crop (S, S, 3) as head sees it: tinted by the gate where a token selected the head; where
 * it did not, in gray and dimmed, or in an overlay as it is. */
void route_picture(uint8_t *out, const uint8_t *crop, size_t S, const routes *r, size_t head,
                   const route_look *look);

// ---- All heads -------------------------------------------------------------------------------------

typedef struct route_figure {
    const routes *routes;        /* (count) of one block */
    const uint8_t *const *crops; /* (count) of (S, S, 3) */
    const char *const *titles;   /* (count) what each picture is */
    size_t count, S;
    double width;
    route_look look;
} route_figure;

/* Small multiples of all heads, picture by picture. */
double route_figure_height(const route_figure *f);
void route_figure_draw(drawing *d, const route_figure *f);

#endif

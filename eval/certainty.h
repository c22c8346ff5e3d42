/* certainty.h - how sure routers are of what they choose, and whether that stays where a picture hardly
 * changes: mirrored, and moved by a few pixels, each token beside the one that then sees the same place. */
#ifndef MOHVIT_CERTAINTY_H
#define MOHVIT_CERTAINTY_H

#include "vit/api/internal.h"

#define CERTAINTY_BITS 20
#define CERTAINTY_UNIT ((double)(1 << CERTAINTY_BITS))

typedef enum certainty_change { CERTAINTY_FLIP, CERTAINTY_SHIFT, CERTAINTY_CHANGES } certainty_change;

/* Of one block, in an image or over several. Whole numbers: the same in any order. */
typedef struct certainty_counts {
    int64_t entropy; /* Σ over tokens of the router's, in bits · 2^CERTAINTY_BITS */
    int64_t margin;  /* Σ over tokens of the last chosen score − the first that was not */
    int64_t squares; /* Σ over images and routed heads of (tokens that selected it)² */
    int64_t stayed[CERTAINTY_CHANGES]; /* selections of routed heads that are made again */
} certainty_counts;

#define CERTAINTY_NUMBERS (sizeof(certainty_counts) / sizeof(int64_t))

typedef struct certainty {
    const mohvit_model *model;
    size_t shift; /* pixels to the right, below the image's side */
} certainty;

/* Adds; false where that overflows. */
bool certainty_add(certainty_counts *to, const certainty_counts *more);

/* Selections of routed heads in a block by tokens that a changed picture has, too, of one image. */
size_t certainty_selections(const certainty *c, const routing_block *b, certainty_change change);

/* ---- Running --------------------------------------------------------------------------------- */

/* What runs changed pictures, on one thread. */
typedef struct prober {
    const certainty *certainty;
    mohvit_context *whole, *changed;
    uint8_t *pick;            /* (routing_pairs) of the picture as it is, block by block */
    certainty_counts *counts; /* (blocks) of the last picture; 0 where a block does not route */
    certainty_change change;  /* that is being run */
    bool finite;
} prober;

/* For images that `whole`, a context of certainty.model for one image, runs. Free with prober_free, before
 * that context and also on failure. */
mohvit_status prober_create(prober *to, const certainty *c, mohvit_context *whole, mohvit_error *err);
void prober_free(prober *p);

/* Fills p->counts for the image that `whole` has just run. */
mohvit_status prober_run(prober *p, mohvit_error *err);

#endif

/* figure.h - pictures of a head load: bars as in figure 3 of the MoH paper, and classes x heads.
 *
 * Sizes are in points. Text is 7 points and nothing is told by hue alone, so that a figure holds up at the
 * width of a column (88 mm) and in gray. */
#ifndef MOHVIT_FIGURE_H
#define MOHVIT_FIGURE_H

#include "eval/importance_file.h"
#include "tools/figures/drawing.h"
#include "vit/headload/interval.h"

/* Bars: for each class a panel with a bar for every routed head, as high as its measure, and a line from end
 * to end of its interval, gray where that is not reliable; one scale for all; a line where the load is
 * balanced, or the gate is shared evenly. Heatmap: a row for each class, a column for each head. */
typedef enum figure_layout {
    FIGURE_GRID,    /* panels beside and below each other */
    FIGURE_STACKED, /* each panel as wide as the figure, as in the paper */
    FIGURE_HEATMAP
} figure_layout;

typedef struct figure {
    const head_load *load;
    const routing_block *block;
    const size_t *classes; /* (count) in the order of the panels or rows */
    size_t count;
    bool with_shared; /* the shared heads too */
    double width;
    head_measure measure;
    figure_layout layout;
    const char *without; /* the heads that the load was counted without, in words; NULL: none */
    const double *means; /* (heads) which a heatmap subtracts; NULL: it shows what was measured */
    const importance_table *importance; /* a bar of each head's below all else; NULL: none */
} figure;

/* Of each head, over all classes of the head load that have images; they weigh the same. */
void figure_means(double *means, const figure *f);

double figure_height(const figure *f);
void figure_draw(drawing *d, const figure *f);

/* A round step, so that `span` has at most `most` of them. */
double figure_step(double span, size_t most);

#endif

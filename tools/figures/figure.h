/* figure.h - pictures of a head load: bars as in figure 3 of the MoH paper, and classes x heads.
 *
 * Sizes are in points. Text is 7 points and nothing is told by hue alone, so that a figure holds up at the
 * width of a column (88 mm) and in gray. */
#ifndef MOHVIT_FIGURE_H
#define MOHVIT_FIGURE_H

#include "tools/figures/drawing.h"
#include "vit/headload/interval.h"

typedef struct figure {
    const head_load *load;
    const routing_block *block;
    const size_t *classes; /* (count) in the order of the panels or rows */
    size_t count;
    bool with_shared; /* the shared heads too */
    double width;
    head_measure measure;
} figure;

/* For each class a panel with a bar for every routed head, as high as its measure, and a line from end to end
 * of its interval, gray where that is not reliable; one scale for all; a line where the load is balanced, or
 * the gate is shared evenly. */
double figure_bars_height(const figure *f);
void figure_bars(drawing *d, const figure *f);

/* A row for each class, a column for each head. */
double figure_heatmap_height(const figure *f);
void figure_heatmap(drawing *d, const figure *f);

/* The lowest and highest measure of a head that is shaded, a routed one, among the classes; false where no
 * class has images. */
bool figure_range(const figure *f, double *low, double *high);

/* A round step, so that `span` has at most `most` of them. */
double figure_step(double span, size_t most);

#endif

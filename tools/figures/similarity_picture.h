/* similarity_picture.h - how alike classes or heads are, as a matrix in the order of a dendrogram beside it.
 */
#ifndef MOHVIT_SIMILARITY_PICTURE_H
#define MOHVIT_SIMILARITY_PICTURE_H

#include "tools/figures/drawing.h"
#include "vit/headload/clustering.h"

typedef struct similarity_matrix {
    const char *title, *description;
    const char *without;       /* the heads that the load was counted without, in words; NULL: none */
    size_t count;              /* of classes or heads */
    const double *difference;  /* (count, count) 1 - similarity */
    const size_t *order;       /* (count) the leaves of the tree */
    const cluster_step *steps; /* (count - 1) */
    char *const *names;        /* (count) */
} similarity_matrix;

static inline double similarity_of(const similarity_matrix *s, size_t i, size_t j)
{
    return 1 - s->difference[i * s->count + j];
}

double similarity_figure_height(const similarity_matrix *s, double width);
void similarity_figure(drawing *d, const similarity_matrix *s, double width);

#endif

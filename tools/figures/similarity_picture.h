/* similarity_picture.h - how alike classes route, as a matrix in the order of a dendrogram beside it. */
#ifndef MOHVIT_SIMILARITY_PICTURE_H
#define MOHVIT_SIMILARITY_PICTURE_H

#include "tools/figures/drawing.h"
#include "vit/headload/head_load_statistics.h"

double similarity_figure_height(const class_similarity *s, double width);
void similarity_figure(drawing *d, const class_similarity *s, const head_load *l, double width);

#endif

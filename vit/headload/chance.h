/* chance.h - what labels without any meaning would make of a head load. Classes of few images differ by
 * chance, and with them their divergence, and what heads know of classes. All of it needs the sums of squares
 * over images. */
#ifndef MOHVIT_CHANCE_H
#define MOHVIT_CHANCE_H

#include "vit/headload/head_load.h"

/* The divergence of a block (head_load_statistics.h) that is to be expected where labels are shuffled, in
 * bits: the second-order term of its expansion about equal distributions, Σ over heads of Var(mean p) / p̄,
 * divided by 2 ln 2. NaN of fewer than two classes with images, or without squares. */
double chance_divergence(const head_load *l, size_t block);

/* The same of a routed head's specificity; NaN also of a dead head. */
double chance_specificity(const head_load *l, size_t block, size_t head);

/* Whether the images' counts of a head differ between classes by more than within: one-way analysis of
 * variance (Fisher 1925), for all routed heads of a file together, with false discoveries held at 5 %
 * (Benjamini and Hochberg 1995). */
typedef struct class_tests {
    double *p;    /* (blocks, max_heads) NaN where nothing can be tested */
    double least; /* class-specific are those with p up to this; below 0: none */
    size_t heads; /* of routing_layout.max_heads */
} class_tests;

mohvit_status class_tests_run(class_tests *out, const head_load *l, mohvit_error *err);
void class_tests_free(class_tests *t);

static inline double class_tests_p(const class_tests *t, size_t block_index, size_t head)
{
    return t->p[block_index * t->heads + head];
}

#endif

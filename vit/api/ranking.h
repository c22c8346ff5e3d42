/* ranking.h - from logits to the likeliest classes and their probabilities. */
#ifndef MOHVIT_RANKING_H
#define MOHVIT_RANKING_H

#include "vit/mohvit.h"

#include <stdbool.h>

typedef struct class_logits {
    const float *logit; /* (classes) */
    size_t classes;
    const bool *competes; /* (classes) others are as if they were not there; NULL: all do */
} class_logits;

typedef struct ranking {
    size_t count; /* of those in top: fewer than k where fewer compete */
    double max;   /* the largest logit; 0 where none competes */
    double sum;   /* Σ exp(logit − max) */
} ranking;

/* Fills class_index and probability of top (k), the likeliest first, a tie to the lower class.
 * MOHVIT_ERROR_NONFINITE if a logit that competes is NaN or infinite. */
mohvit_status ranking_top(ranking *r, mohvit_prediction *top, size_t k, const class_logits *l,
                          mohvit_error *err);

#endif

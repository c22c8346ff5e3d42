/* score.h - one image's logits against its class: rank, probabilities, loss. */
#ifndef MOHVIT_SCORE_H
#define MOHVIT_SCORE_H

#include "base/error.h"

#define SCORE_TOP 5

/* Loss is kept as a whole number of 2^-32, so that sums, which take 128 bits, are exact in any order. */
#define LOSS_UNITS 4294967296.0
#define LOSS_MAX   1048576.0 /* of one image: far above what finite float logits of any sane network give */

/* Which classes compete, and which of them are right. */
typedef struct score_rules {
    size_t classes;
    const bool *competes; /* (classes); NULL: all do */
    const uint32_t
        *accepted; /* (accepted_count); one class, or the several of ReaL; none: nothing is right */
    size_t accepted_count;
} score_rules;

typedef struct score {
    uint32_t top[SCORE_TOP]; /* (top_count) classes, the likeliest first, a tie to the lower class */
    float probability[SCORE_TOP];
    uint32_t top_count;
    bool right1, right5; /* an accepted class is the first, or among the first five */
    int64_t loss;        /* −ln(Σ probability of the accepted classes), times LOSS_UNITS; 0 without any */
} score;

/* logits (classes). MOHVIT_ERROR_NONFINITE if any of those that compete is NaN or infinite. */
mohvit_status score_image(score *out, const float *logits, const score_rules *rules, mohvit_error *err);

#endif

/* importance.h - what the absence of heads costs, and how sure that is. Each image is seen with and without
 * the head: changes are paired, and the image is the unit. */
#ifndef MOHVIT_IMPORTANCE_H
#define MOHVIT_IMPORTANCE_H

#include "base/error.h"

struct ablation_sums; /* ablation_record.h */

/* A mean change over the images. */
typedef struct mean_change {
    double mean;
    double low, high; /* 95 % interval; NaN of fewer than two images */
    double p;         /* that there is no change; NaN likewise */
    double p_holm;    /* the same, adjusted for all passes (Holm 1979) */
} mean_change;

/* A number as four decimals show it: without the sign of -0.0000. */
static inline double change_shown(double value)
{
    return value < 0 && value > -0.5e-4 ? 0 : value;
}

typedef struct importance {
    mean_change loss; /* Student's t of the images' changes */
    /* In percent. The p is McNemar's, exact; the interval Agresti and Min's (2005), which is that of Wald
     * after half an image is added to each of the four kinds. */
    mean_change top1;
} importance;

/* Of each pass: out (count) from sums (count) over so many images. */
mohvit_status importance_compute(importance *out, const struct ablation_sums *sums, uint64_t images,
                                 size_t count, mohvit_error *err);

#endif

/* interval.h - how sure a head load is of a class's load and mean gate: 95 % intervals over its images.
 *
 * The tokens of an image are alike, so that the images are what varies: each is one draw of a cluster, all of
 * the same size, and load and mean gate are means over the images (Cochran 1977, Sampling Techniques, chapter
 * 9). Each end is the further one of two intervals: Student's, and the score interval (Wilson 1927), which
 * takes the spread to change with the mean as it does for a share p, by p (1 - p), or for a gate, by the
 * gate, and which is given Student's t and the clusters' spread instead of the normal distribution and the
 * binomial's. Alone, each falls short where few images vary, on a side of its own;
 * tests/vit/headload/coverage.py counts how often they hold what they should. */
#ifndef MOHVIT_INTERVAL_H
#define MOHVIT_INTERVAL_H

#include "vit/headload/head_load.h"

typedef struct interval {
    double low, high; /* NaN of fewer than two images, or where there are no squares */
    bool reliable;    /* not where few images decide: where (Σ x)² / Σ x² is below 10 of the images' x */
} interval;

/* Student's t for so many images, to be given to the functions below; NaN of fewer than two. */
double interval_t(int64_t images);

/* Of head_load_of. Reliable of both the tokens that selected the head and those that did not; of a head that
 * is always on, [1, 1]. */
interval interval_of_load(const head_load *l, size_t class_index, size_t block, size_t head, double t);

/* Of head_load_gate_mean. */
interval interval_of_gate(const head_load *l, size_t class_index, size_t block, size_t head, double t);

/* What a figure shows of a head. */
typedef enum head_measure { MEASURE_LOAD, MEASURE_GATE, MEASURE_GATE_SHARE } head_measure;

/* "load", "gate" or "gate-share"; false of another name. */
bool measure_by_name(head_measure *out, const char *name);

/* head_load_of, _gate_mean or _gate_share, and its interval; a share of the gate has none, since what is
 * known of the images does not tell how the heads' gates vary together. */
double measure_of(const head_load *l, head_measure m, size_t class_index, size_t block, size_t head);
interval measure_interval(const head_load *l, head_measure m, size_t class_index, size_t block, size_t head,
                          double t);

#endif

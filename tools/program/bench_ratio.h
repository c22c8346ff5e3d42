/* bench_ratio.h - what a series of paired measurements says. */
#ifndef MOHVIT_BENCH_RATIO_H
#define MOHVIT_BENCH_RATIO_H

#include <jansson.h>
#include <stddef.h>

/* The median of ratios, and the interval that holds the true median with at least 95 %. */
typedef struct ratio {
    double median, low, high;
} ratio;

/* Fewer than so many have no such interval; more than RATIOS_MAX are not expected. */
enum { RATIOS_MIN = 6, RATIOS_MAX = 1000 };

/* The middle of n numbers, which are then sorted. */
double median(double *values, size_t n);

/* Of n ratios, RATIOS_MIN to RATIOS_MAX, which are then sorted. */
ratio ratio_of(double *ratios, size_t n);

/* {"median", "low", "high"}; NULL without memory. */
json_t *ratio_json(const ratio *r);

#endif

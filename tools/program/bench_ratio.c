#include "tools/program/bench_ratio.h"

#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* How many of n sorted values to leave out at either end. The true median is smaller than all but k of them
 * with the probability that n fair coins show at most k heads, however the values are distributed: at
 * most 2.5 %. */
static size_t outside(size_t n)
{
    double exactly = ldexp(1, -(int)n), at_most = exactly;
    for (size_t k = 0;; k++) {
        exactly *= (double)(n - k) / (double)(k + 1);
        at_most += exactly;
        if (at_most > 0.025)
            return k;
    }
}

ratio ratio_of(double *ratios, size_t n)
{
    double middle = median(ratios, n);
    size_t k = outside(n);
    return (ratio){middle, ratios[k], ratios[n - 1 - k]};
}

json_t *ratio_json(const ratio *r)
{
    return json_pack("{s:f, s:f, s:f}", "median", r->median, "low", r->low, "high", r->high);
}

/* clustering.h - average-linkage clustering (UPGMA; Sokal and Michener 1958), and its leaves in an order in
 * which what is alike stands together. */
#ifndef MOHVIT_CLUSTERING_H
#define MOHVIT_CLUSTERING_H

#include "base/error.h"

#define CLUSTERING_MAX ((size_t)1 << 16)

/* Two clusters that become one: 0 to count − 1 are the leaves, count + i is what step i made. */
typedef struct cluster_step {
    size_t a, b;     /* a < b */
    double distance; /* the mean over all pairs of a leaf of a and one of b */
    size_t size;     /* leaves of the new one */
} cluster_step;

/* distance (count, count), symmetric, of the leaves. order (count) = the leaves; each cluster is turned so
 * that closer leaves meet. steps (count − 1), or NULL: the tree, by rising distance. count is from 1 to
 * CLUSTERING_MAX. */
mohvit_status cluster_by_average(size_t *order, cluster_step *steps, const float *distance, size_t count,
                                 mohvit_error *err);

#endif

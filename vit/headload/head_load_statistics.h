/* head_load_statistics.h - what a head load tells of a block: is the work balanced, do classes route alike,
 * which heads are dead, which belong to a class?
 *
 * How a class routes is the distribution p of its selections over the routed heads, p_i = active_i / Σ
 * active. Classes weigh the same, however many images each has; those without images are left out. */
#ifndef MOHVIT_HEAD_LOAD_STATISTICS_H
#define MOHVIT_HEAD_LOAD_STATISTICS_H

#include "vit/headload/chance.h"
#include "vit/headload/clustering.h"

/* Pairs of more classes than this are not compared: time and memory go with their square. */
#define STATISTICS_MAX_CLASSES 4096

/* A head whose classes differ most from one another. */
typedef struct specific_head {
    size_t head, class_index; /* the class that loads it most */
    double load, mean;        /* of that class, and over the classes */
    /* 1 − H(class | head) / log2(classes): 0 where all load it the same, 1 where one does. */
    double specificity;
    double chance; /* what shuffled labels would make of it; NaN where that is not known */
    double p;      /* of the analysis of variance; NaN where there is none */
    bool specific; /* classes differ by more than chance explains (chance.h) */
} specific_head;

/* Means over the classes. */
typedef struct head_means {
    double load, gate, gate_share;
} head_means;

typedef struct class_head {
    size_t class_index, head;
} class_head;

typedef struct class_pair {
    size_t a, b;
    double divergence;
} class_pair;

typedef struct block_statistics {
    const routing_block *block;
    size_t classes; /* with images */

    head_means *means;   /* (heads) */
    double routed_share; /* the routed heads' part of all gates; mean over the classes */

    /* Of the routed heads' loads, each its mean over the classes. */
    double min, max;
    double cv;       /* standard deviation / mean of the loads */
    double max_mean; /* max / mean */
    /* Of p in bits: of the mean over the classes; mean of the classes' own. */
    double entropy, entropy_classes;
    size_t *dead; /* (dead_count) heads that no token of any class selected */
    size_t dead_count;
    class_head *dead_for; /* (dead_for_count) others that no token of a class with images selected */
    size_t dead_for_count, dead_for_room;

    /* Jensen-Shannon divergence, in bits: 0 where classes route alike. */
    double divergence;      /* of all classes together; at most log2(classes) */
    double chance;          /* what shuffled labels would make of it; NaN where that is not known */
    bool compared;          /* pairs were: at least 2 and at most STATISTICS_MAX_CLASSES classes */
    double mean_divergence; /* of a pair; at most 1, as the following are */
    class_pair nearest, farthest;
    size_t *like; /* (num_classes) the class that routes most like each; itself where none was compared */
    double *like_divergence; /* (num_classes) and how far it is */
    /* Whether both halves of the images say so, too; true where there are no halves. */
    bool nearest_agreed;
    bool *like_agreed; /* (num_classes) */

    specific_head *specific; /* (specific_count) routed heads, the most class-specific first */
    size_t specific_count;
} block_statistics;

/* Of a block that routes (routing_routes); of another all but the first two members are zero. The tests are
 * of the same head load. Free with block_statistics_free. */
mohvit_status block_statistics_compute(block_statistics *out, const head_load *l, size_t block,
                                       const class_tests *tests, mohvit_error *err);
void block_statistics_free(block_statistics *s);

/* All of it, as `headload stats --format json` and the report have it; NULL without memory. */
json_t *block_statistics_to_json(const block_statistics *s, const labels *names);

/* How alike classes route: 1 − the mean over blocks of the Jensen-Shannon divergence of their routed heads'
 * shares (Lin 1991), which is from 0, no head in common, to 1, the same shares. Blocks weigh the same, since
 * the divergence of a block, in bits, is at most 1 whatever its heads and tokens. */
typedef struct class_similarity {
    const routing_block *only; /* NULL: the mean over all blocks that route, */
    size_t blocks;             /* so many */
    size_t count;
    size_t *classes;     /* (count) those with images */
    double *divergence;  /* (count, count) mean of the blocks'; similarity is 1 − this */
    size_t *order;       /* (count) of classes, the leaves of the tree */
    cluster_step *steps; /* (count − 1) average linkage of the roots of the divergences */
} class_similarity;

/* Of chosen (count) classes, 1 to STATISTICS_MAX_CLASSES with images; a model that does not route is an
 * error. Free with class_similarity_free. */
mohvit_status class_similarity_compute(class_similarity *out, const head_load *l, const routing_block *only,
                                       const size_t *chosen, size_t count, mohvit_error *err);
void class_similarity_free(class_similarity *s);

static inline double class_similarity_of(const class_similarity *s, size_t i, size_t j)
{
    return 1 - s->divergence[i * s->count + j];
}

/* order (count) = those of chosen (count) sorted so that classes that route alike in this block stand
 * together: the leaves of average-linkage clustering by the Jensen-Shannon distance. Classes without images
 * come last; of more than STATISTICS_MAX_CLASSES, or where the block does not route, the order stays. */
mohvit_status head_load_order(size_t *order, const head_load *l, size_t block, const size_t *chosen,
                              size_t count, mohvit_error *err);

/* Jensen-Shannon divergence in bits of p and q (n), each of which adds up to 1. */
double jensen_shannon(const double *p, const double *q, size_t n);

#endif

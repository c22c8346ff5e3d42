/* head_relation.h - which routed heads of a block work for the same tokens (head_load_together). Of two
 * heads, with A and B the tokens that selected each, of N: joint    |A ∩ B| / N         their joint load lift
 * N |A ∩ B| / |A||B|  1 for heads that know nothing of each other jaccard  |A ∩ B| / |A ∪ B|   0 where they
 * never meet, 1 where they always do A token that selects one of n heads has k − 1 selections left for the
 * other n − 1, so that a router without preferences has a lift of n (k − 1) / k (n − 1) throughout, which is
 * below 1. */
#ifndef MOHVIT_HEAD_RELATION_H
#define MOHVIT_HEAD_RELATION_H

#include "vit/headload/clustering.h"
#include "vit/headload/head_load.h"

typedef struct head_pair {
    size_t a, b;
    int64_t active_a, active_b, together, tokens;
} head_pair;

/* Of a head load that has pairs. */
head_pair head_pair_of(const head_load *l, size_t block, size_t a, size_t b);

/* NaN where there are no such tokens. */
double head_pair_joint(const head_pair *p);
double head_pair_lift(const head_pair *p);
double head_pair_jaccard(const head_pair *p);

/* The lift of a router without preferences. */
double head_pair_even_lift(const routing_block *b);

typedef struct head_relation {
    const routing_block *block;
    size_t count;        /* routed heads: head i is shared + i of the block */
    double *difference;  /* (count, count) 1 − jaccard, a metric; 1 beside the diagonal for dead heads */
    size_t *order;       /* (count) the leaves of the tree */
    cluster_step *steps; /* (count − 1) average linkage of the differences */
} head_relation;

/* Of a block that routes; a head load without pairs, or without images, is an error. Free with
 * head_relation_free. */
mohvit_status head_relation_compute(head_relation *out, const head_load *l, const routing_block *block,
                                    mohvit_error *err);
void head_relation_free(head_relation *r);

#endif

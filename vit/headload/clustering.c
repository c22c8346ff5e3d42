#include "vit/headload/clustering.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A cluster goes by the lowest of its leaves. */
typedef struct {
    size_t count;
    const float *apart;  /* (count, count) of the leaves */
    float *distance;     /* (count, count), of clusters that are left */
    size_t *size;        /* (count) leaves of a cluster; 0: merged into another */
    uint16_t *leaves;    /* (count, count) row i: those of cluster i in their order */
    size_t *chain;       /* (count) */
    cluster_step *steps; /* (made) in the order of the chain, by lowest leaves; NULL: nobody asks */
    size_t made;
} clustering;

static float *cell(const clustering *k, size_t i, size_t j)
{
    return &k->distance[i * k->count + j];
}

/* Lets b follow a, each turned around where closer leaves then meet (Gruvaeus and Wainer 1972). */
static void join_leaves(const clustering *k, size_t a, size_t b)
{
    size_t m = k->size[a], n = k->size[b];
    uint16_t *x = k->leaves + a * k->count, *y = k->leaves + b * k->count;
    const size_t ends[4][2] = {{x[m - 1], y[0]}, {x[m - 1], y[n - 1]}, {x[0], y[0]}, {x[0], y[n - 1]}};
    size_t best = 0;
    float least = INFINITY;
    for (size_t i = 0; i < 4; i++) {
        float d = k->apart[ends[i][0] * k->count + ends[i][1]];
        if (d < least) {
            least = d;
            best = i;
        }
    }
    for (size_t i = 0; best >= 2 && i < m / 2; i++) {
        uint16_t t = x[i];
        x[i] = x[m - 1 - i];
        x[m - 1 - i] = t;
    }
    for (size_t i = 0; i < n; i++)
        x[m + i] = best % 2 ? y[n - 1 - i] : y[i];
}

/* The distance of a merged cluster is the mean of its parts', by their sizes. */
static void merge_clusters(clustering *k, size_t a, size_t b)
{
    float m = (float)k->size[a], n = (float)k->size[b];
    join_leaves(k, a, b);
    if (k->steps)
        k->steps[k->made++] = (cluster_step){a, b, (double)*cell(k, a, b), k->size[a] + k->size[b]};
    for (size_t i = 0; i < k->count; i++) {
        if (!k->size[i] || i == a || i == b)
            continue;
        float x = *cell(k, a, i), y = *cell(k, b, i), d = (m * x + n * y) / (m + n);
        d = fmaxf(d, fminf(x, y)); // rounded below both, it could lead a chain back into itself
        *cell(k, a, i) = *cell(k, i, a) = d;
    }
    k->size[a] += k->size[b];
    k->size[b] = 0;
}

/* The cluster next to a; previous where that is as near, so that a chain ends. */
static size_t nearest_cluster(const clustering *k, size_t a, size_t previous)
{
    size_t best = previous;
    for (size_t i = 0; i < k->count; i++)
        if (k->size[i] && i != a && (best == SIZE_MAX || *cell(k, a, i) < *cell(k, a, best)))
            best = i;
    return best;
}

/* Nearest-neighbour chain (Murtagh 1983): follows nearest clusters until two are each other's, and merges
 * those. Of average linkage it makes the same tree as always merging the closest pair, in n² steps. */
static void cluster(clustering *k)
{
    size_t length = 0;
    for (size_t left = k->count; left > 1;) {
        if (!length)
            k->chain[length++] = 0; // what 0 is in stays cluster 0
        size_t top = k->chain[length - 1], previous = length > 1 ? k->chain[length - 2] : SIZE_MAX;
        size_t next = nearest_cluster(k, top, previous);
        if (next != previous) {
            k->chain[length++] = next;
            continue;
        }
        length -= 2;
        merge_clusters(k, previous < top ? previous : top, previous < top ? top : previous);
        left--;
    }
}

/* Equal ones as the chain made them: a part never comes behind the whole. */
static int by_distance(const void *a, const void *b)
{
    const cluster_step *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return (x->a > y->a) - (x->a < y->a);
}

/* From the lowest leaves of two clusters to what they are called; now (count) is room. */
static void name_steps(const clustering *k, size_t *now)
{
    qsort(k->steps, k->made, sizeof *k->steps, by_distance);
    for (size_t i = 0; i < k->count; i++)
        now[i] = i;
    for (size_t i = 0; i < k->made; i++) {
        cluster_step *s = &k->steps[i];
        size_t lowest = s->a, a = now[s->a], b = now[s->b];
        s->a = a < b ? a : b;
        s->b = a < b ? b : a;
        now[lowest] = k->count + i;
    }
}

mohvit_status cluster_by_average(size_t *order, cluster_step *steps, const float *distance, size_t count,
                                 mohvit_error *err)
{
    size_t n = count;
    clustering k = {.count = n, .apart = distance, .steps = steps};
    k.distance = memory_alloc(n * n, sizeof *k.distance);
    k.size = memory_alloc(n, sizeof *k.size);
    k.leaves = memory_alloc(n * n, sizeof *k.leaves);
    k.chain = memory_alloc(n + 1, sizeof *k.chain);
    bool enough = k.distance && k.size && k.leaves && k.chain;
    if (enough) {
        memcpy(k.distance, distance, n * n * sizeof *distance);
        for (size_t i = 0; i < n; i++) {
            k.size[i] = 1;
            k.leaves[i * n] = (uint16_t)i;
        }
        cluster(&k);
        for (size_t i = 0; i < n; i++)
            order[i] = k.leaves[i]; // cluster 0 is left, since of two the lower one stays
        if (steps)
            name_steps(&k, k.size);
    }
    free(k.distance);
    free(k.size);
    free(k.leaves);
    free(k.chain);
    return enough ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "no memory to cluster %zu classes", n);
}

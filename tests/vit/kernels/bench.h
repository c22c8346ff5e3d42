/* bench.h - how long kernels take: what the kernel suites share under --bench. Every line ends in a ratio to
 * something that was measured in the same run. */
#ifndef MOHVIT_BENCH_H
#define MOHVIT_BENCH_H

#include "vit/kernels/kernels.h"

#include <stdio.h>
#include <time.h>

/* Stages of moh_transnext_small_75; key_side 0: global attention. */
static const struct {
    size_t side, C, heads, hidden, key_side;
} bench_stages[] = {{56, 72, 3, 384, 7}, {28, 144, 6, 768, 7}, {14, 288, 12, 768, 7}, {7, 576, 24, 1536, 0}};

#define BENCH_STAGES (sizeof bench_stages / sizeof *bench_stages)

typedef struct bench_entry {
    const char *name, *shape, *unit;
    double units, bytes; /* units of work; bytes read and written at least once */
    void (*run)(const kernels *k, void *arg);
    void *arg;
} bench_entry;

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Shortest of some runs that fill 30 ms. */
static inline double bench_seconds(const bench_entry *e, const kernels *k)
{
    double best = 1e9, start = bench_now();
    for (int runs = 0; runs < 5 || bench_now() - start < 0.03; runs++) {
        double before = bench_now();
        e->run(k, e->arg);
        double took = bench_now() - before;
        best = took < best ? took : best;
    }
    return best;
}

/* One line: `other` is what it is so many times as fast as, `other_seconds` how long that took. */
static inline void bench_line(const bench_entry *e, const char *variant, double seconds, const char *other,
                              double other_seconds)
{
    printf("%-20s %-24s %-12s %9.1f us %8.3f ns/%-8s %7.1f GB/s %6.2fx %s\n", e->name, e->shape, variant,
           seconds * 1e6, seconds * 1e9 / e->units, e->unit, e->bytes / seconds * 1e-9,
           other_seconds / seconds, other);
}

/* Every instruction set, against the plain loops of the baseline. */
static inline void bench_sets(const bench_entry *e)
{
    const kernels *k;
    double baseline = 0;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        double seconds = bench_seconds(e, k);
        baseline = set ? baseline : seconds;
        bench_line(e, k->isa, seconds, "baseline", baseline);
    }
}

#endif

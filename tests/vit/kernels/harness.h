/* harness.h - how test_kernels checks and times the kernel table. A suite belongs to some entries of the
 * table (vit/kernels/kernels.h) and is run on each version of them that this processor can run. */
#ifndef MOHVIT_HARNESS_H
#define MOHVIT_HARNESS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/kernels/kernels.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Something to be timed. */
typedef struct bench {
    const char *name;
    void (*run)(const kernels *k, void *arg);
    void (*plain)(void *arg); /* the same by reference.c */
    void *arg;
    const char *shape, *unit;
    double units, macs; /* of a run: units of work; multiply-adds, if it is a product */
    bool hidden;        /* it is about (N, hidden), not (N, C): of benches alone */
} bench;

typedef struct suite {
    const char *name;
    size_t first, end; /* offsets in kernels: of its first entry, and past its last */
    const struct CMUnitTest *tests;
    size_t count;
    const bench *benches; /* each to be run on every stage */
    size_t bench_count;
    void (*bench)(const struct suite *s); /* instead of them */
    precision precision;                  /* of a product */
} suite;

#define ENTRIES(from, to) offsetof(kernels, from), offsetof(kernels, to) + sizeof(((kernels *)0)->to)
#define TESTS(array)      .tests = array, .count = LENGTH(array)
#define BENCHES(array)    .benches = array, .bench_count = LENGTH(array)

extern const suite layer_norm_suite, l2_normalise_suite, bias_suite, gelu_suite, affine2_relu_suite,
    depthwise_suite, gates_suite, product_suites[PRECISIONS], pairs_suite, attend_suite, multiply_adds_suite;

/* The state of every test. */
typedef struct subject {
    const kernels *kernels;
    precision precision;
} subject;

static inline const kernels *tested(void **state)
{
    return ((const subject *)*state)->kernels;
}

static inline precision tested_precision(void **state)
{
    return ((const subject *)*state)->precision;
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* A stage of moh_transnext_small_75; key_side 0: global attention. Of twice as many numbers as the MLP has in
 * the middle: x and y, also in double precision; w (9, hidden), bias (2·hidden). */
typedef struct stage {
    size_t side, C, heads, hidden, key_side;
    size_t N;
    float *x, *y, *w, *bias;
    double *wide_x, *wide_y;
} stage;

/* Whether layer `index` of the table has versions of the suite's entries that the one before has not. */
bool suite_applies(const suite *s, size_t index);

/* Shortest of some runs that fill 30 ms; k NULL: of `plain`. */
double bench_seconds(const bench *b, const kernels *k);

/* One line: `other` took other_seconds for the same. */
void bench_line(const bench *b, const char *version, double seconds, const char *other, double other_seconds);

/* Every version of the suite's entries, against `plain`. */
void bench_versions(const suite *s, const bench *b);

enum { STAGES = 4 };
extern const stage bench_stages[STAGES];

#endif

/* golden.h - a file of expected outputs (spec 7), and how far a run is from them. */
#ifndef MOHVIT_GOLDEN_H
#define MOHVIT_GOLDEN_H

#include "vit/network/config.h"
#include "weights/checkpoint.h"

/* One tensor of expected values, and the largest difference seen so far. */
typedef struct comparison {
    char name[32];
    size_t rank, shape[3];
    size_t elements;
    bool counts; /* of tokens: another tolerance */
    float *expected;
    double worst;    /* infinite where a value is not a number */
    size_t worst_at; /* element */
    float worst_got;
} comparison;

typedef struct golden {
    checkpoint *cp;
    bool has_config, has_seed;
    config config;
    uint64_t seed;
    size_t batch;
    const tensor_info *input; /* (batch, 3, S, S), or NULL */
    float *pixels;            /* (batch, 3, S, S), once loaded */
    comparison *comparisons;
    size_t count;
} golden;

/* Reads metadata and expected values. config (may be NULL) stands in place of the file's own. Tensors that
 * are nothing to compare are warned about; a file with nothing else is an error. */
mohvit_status golden_open(golden *g, const char *path, const config *c, const warning_sink *warn,
                          mohvit_error *err);

/* Checks that the expected values have the shapes that the config gives; needs g->config. */
mohvit_status golden_check_shapes(const golden *g, mohvit_error *err);

/* Reads the input: the file's, else the synthetic one of its seed. */
mohvit_status golden_load_input(golden *g, mohvit_error *err);

/* Image `index` of it, (3, S, S). */
const float *golden_input(const golden *g, size_t index);

/* The comparison of this name, or NULL. */
comparison *golden_find(const golden *g, const char *name);

/* Compares n values from element `at` on. */
void comparison_take(comparison *c, size_t at, const float *got, size_t n);

/* worst_at as indices. */
void comparison_where(const comparison *c, size_t where[3]);

/* Also after a failed golden_open. */
void golden_close(golden *g);

#endif

/* norm.h - layer normalisation (spec 2: eps 1e-6 in blocks and after stages, 1e-5 in patch embedding and in
 * the pooled branch). */
#ifndef MOHVIT_NORM_H
#define MOHVIT_NORM_H

#include "vit/network/bind.h"
#include "vit/network/pass.h"

typedef struct norm {
    const float *weight, *bias; // (C)
    size_t C;
    float eps;
} norm;

norm norm_bind(binder *b, const char *name, size_t C, float eps);

/* y (N, C) = LayerNorm(x (N, C)), for `reader` to multiply (encode.h), or NULL: as floats. y may be x. */
void norm_forward(const pass *p, const norm *n, const linear *reader, float *y, const float *x, size_t N);

/* The same for `rows` rows, y and x those of the first, on this thread. */
void norm_rows(const pass *p, const norm *n, float *y, const float *x, size_t rows);

#endif

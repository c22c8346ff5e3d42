/* Layer norm, and the L2 norm of queries and keys (kernels.h). Compiled once per instruction set. */
#include "vit/kernels/build.h"

#include <math.h>

static void layer_norm(float *y, const float *x, size_t rows, size_t C, const float *weight,
                       const float *bias, float eps)
{
    float count = (float)C;
    size_t whole = C / VL * VL, part = C - whole;
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        vec sum = {0}, squares = {0}, tail = {0};
        for (size_t c = 0; c < whole; c += VL)
            sum += vec_load(x + c);
        if (part)
            sum += tail = vec_load_part(x + whole, part);
        float mean = vec_sum(sum) / count;
        for (size_t c = 0; c < whole; c += VL) {
            vec deviation = vec_load(x + c) - mean;
            squares += deviation * deviation;
        }
        if (part) {
            vec deviation = vec_first(tail - mean, part);
            squares += deviation * deviation;
        }
        float scale = 1.0f / sqrtf(vec_sum(squares) / count + eps);
        for (size_t c = 0; c < whole; c += VL)
            vec_store(y + c, (vec_load(x + c) - mean) * scale * vec_load(weight + c) + vec_load(bias + c));
        if (part)
            vec_store_part(y + whole,
                           (tail - mean) * scale * vec_load_part(weight + whole, part) +
                               vec_load_part(bias + whole, part),
                           part);
    }
}

// Heads have 24 channels; wider vectors than 8 would leave a tail slower than the rest.
static void l2_normalise(float *x, size_t ldx, size_t rows, size_t h, size_t d)
{
    for (size_t r = 0; r < rows; r++, x += ldx)
        for (size_t head = 0; head < h; head++) {
            float *p = x + head * d, squares = 0;
#pragma omp simd simdlen(8) reduction(+ : squares)
            for (size_t i = 0; i < d; i++)
                squares += p[i] * p[i];
            float norm = sqrtf(squares), scale = 1.0f / (norm < 1e-12f ? 1e-12f : norm);
#pragma omp simd simdlen(8)
            for (size_t i = 0; i < d; i++)
                p[i] *= scale;
        }
}

void NAMED(add_norms)(kernels *k)
{
    k->layer_norm = layer_norm;
    k->l2_normalise = l2_normalise;
}

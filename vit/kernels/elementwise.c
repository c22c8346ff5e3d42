/* Biases, GELU and the position bias's first layer (kernels.h). Compiled once per instruction set. */
#include "vit/kernels/build.h"

static void add_bias(float *y, size_t ldy, size_t rows, size_t cols, const float *bias)
{
    for (size_t r = 0; r < rows; r++, y += ldy)
#pragma omp simd
        for (size_t c = 0; c < cols; c++)
            y[c] += bias[c];
}

static void set_bias(float *y, size_t ldy, size_t rows, size_t cols, const float *bias)
{
    for (size_t r = 0; r < rows; r++, y += ldy)
        memcpy(y, bias, cols * sizeof *y);
}

static void add_gelu(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vec_store(y + i, vec_load(y + i) + vec_gelu(vec_load(x + i)));
    if (i < n)
        vec_store_part(y + i, vec_load_part(y + i, n - i) + vec_gelu(vec_load_part(x + i, n - i)), n - i);
}

static void affine2_relu(float *y, float a, float b, const float *wa, const float *wb, const float *bias,
                         size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float value = a * wa[i] + b * wb[i] + bias[i];
        y[i] = value < 0 ? 0 : value;
    }
}

void NAMED(add_elementwise)(kernels *k)
{
    k->set_bias = set_bias;
    k->add_bias = add_bias;
    k->add_gelu = add_gelu;
    k->affine2_relu = affine2_relu;
}

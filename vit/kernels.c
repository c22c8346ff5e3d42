/* Compiled once per instruction set, with KERNELS naming the table (kernels.h). */
#include "kernels_build.h"

#include <math.h>

#define TEXT_(a) #a
#define TEXT(a)  TEXT_(a)

static void layer_norm(float *y, const float *x, size_t rows, size_t C, const float *weight,
                       const float *bias, float eps)
{
    float count = (float)C;
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t c = 0; c < C; c++)
            sum += x[c];
        float mean = sum / count;
#pragma omp simd reduction(+ : squares)
        for (size_t c = 0; c < C; c++)
            squares += (x[c] - mean) * (x[c] - mean);
        float scale = 1.0f / sqrtf(squares / count + eps);
#pragma omp simd
        for (size_t c = 0; c < C; c++)
            y[c] = (x[c] - mean) * scale * weight[c] + bias[c];
    }
}

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

static void gelu(float *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vec_store(x + i, vec_gelu(vec_load(x + i)));
    if (i < n) {
        float tail[VL] = {0};
        memcpy(tail, x + i, (n - i) * sizeof *x);
        vec_store(tail, vec_gelu(vec_load(tail)));
        memcpy(x + i, tail, (n - i) * sizeof *x);
    }
}

// Vectors of 8 at most: heads have 24 channels, of which wider ones leave a tail that takes longer than the
// rest.
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

/* The depthwise convolution takes its channels in blocks that leave the windows and weights of a block in L1,
 * and two neighbouring tokens at a time, which share two thirds of their windows. */
#define CHANNELS 128

/* What lies outside the image. */
static const float outside[CHANNELS];

/* VL channels of `tokens` (1 or 2) tokens, side by side: y and v at channel 0 of the first; u[row][column].
 */
INLINE void depthwise_vector(float *y, const float *v, size_t hidden, const float *u[3][4], size_t c,
                             const float *weight, vec bias, size_t tokens)
{
    vec sum[2] = {bias, bias};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++) {
        vec column[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < tokens + 2; i++)
            column[i] = vec_load(u[row][i] + c);
#pragma GCC unroll 3
        for (size_t i = 0; i < 3; i++) {
            vec w = vec_load(weight + (3 * row + i) * hidden + c);
            for (size_t t = 0; t < tokens; t++)
                sum[t] += column[i + t] * w;
        }
    }
    for (size_t t = 0; t < tokens; t++)
        vec_store(y + t * hidden + c, vec_gelu(sum[t]) * vec_load(v + t * 2 * hidden + c));
}

/* `channels` channels from the first of y, v and weight. The last vector may reach back over the one before
 * it. */
INLINE void depthwise_tokens(float *y, const float *v, size_t hidden, const float *u[3][4], size_t channels,
                             const float *weight, const float *bias, size_t tokens)
{
    size_t c = 0;
    for (; c + VL <= channels; c += VL)
        depthwise_vector(y, v, hidden, u, c, weight, vec_load(bias + c), tokens);
    if (c < channels)
        depthwise_vector(y, v, hidden, u, channels - VL, weight, vec_load(bias + channels - VL), tokens);
}

/* The same for fewer channels than a vector has. */
static void depthwise_narrow(float *y, const float *v, size_t hidden, const float *u[3][4], size_t channels,
                             const float *weight, const float *bias)
{
    float sum[VL] = {0};
    for (size_t c = 0; c < channels; c++) {
        sum[c] = bias[c];
        for (size_t i = 0; i < NEIGHBOURS; i++)
            sum[c] += u[i / 3][i % 3][c] * weight[i * hidden + c];
    }
    vec_store(sum, vec_gelu(vec_load(sum)));
    for (size_t c = 0; c < channels; c++)
        y[c] = sum[c] * v[c];
}

static void depthwise_gelu_gate(float *y, const float *uv, size_t side, size_t row, size_t hidden,
                                const float *weight, const float *bias)
{
    size_t width = 2 * hidden;
    for (size_t first = 0; first < hidden;) {
        size_t left = hidden - first,
               channels = left < CHANNELS + VL ? left : CHANNELS; // no narrow last block
        if (channels > CHANNELS)
            channels = CHANNELS - VL;
        size_t step = channels < VL ? 1 : 2;
        for (size_t x = 0; x < side; x += step) {
            const float *u[3][4];
            for (size_t i = 0; i < 12; i++) { // neighbours below 0 wrap, and are then ≥ side
                size_t ny = row + i / 4 - 1, nx = x + i % 4 - 1;
                u[i / 4][i % 4] = ny < side && nx < side ? uv + (ny * side + nx) * width + first : outside;
            }
            float *out = y + x * hidden + first;
            const float *v = uv + (row * side + x) * width + hidden + first;
            if (channels < VL)
                depthwise_narrow(out, v, hidden, u, channels, weight + first, bias + first);
            else if (x + 1 < side)
                depthwise_tokens(out, v, hidden, u, channels, weight + first, bias + first, 2);
            else
                depthwise_tokens(out, v, hidden, u, channels, weight + first, bias + first, 1);
        }
        first += channels;
    }
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

const kernels NAMED(kernels) = {
    .isa = TEXT(KERNELS),
    .layer_norm = layer_norm,
    .set_bias = set_bias,
    .add_bias = add_bias,
    .gelu = gelu,
    .l2_normalise = l2_normalise,
    .depthwise_gelu_gate = depthwise_gelu_gate,
    .affine2_relu = affine2_relu,
    .gemm_packed = NAMED(gemm_packed),
    .gemm_pack = NAMED(gemm_pack),
    .gemm_multiply = NAMED(gemm_multiply),
    .attend = NAMED(attend),
    .attend_scratch = NAMED(attend_scratch),
};

/* Compiled once per instruction set, with KERNELS naming the table (kernels.h). */
#include "kernels_build.h"

#include <math.h>

#define TEXT_(a) #a
#define TEXT(a)  TEXT_(a)

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

/* The depthwise convolution takes two neighbouring tokens at a time, which share two thirds of their windows.
 */

/* VL channels of `tokens` (1 or 2) tokens, side by side: y and v at channel 0 of the first; u[row][column],
 * NULL outside the image. */
INLINE void depthwise_vector(float *y, size_t ldy, const float *v, size_t ldv, const float *u[3][4], size_t c,
                             const float *weight, size_t ldw, vec bias, size_t tokens, bool inside)
{
    vec sum[2] = {bias, bias};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++) {
        vec column[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < tokens + 2; i++)
            column[i] = inside || u[row][i] ? vec_load(u[row][i] + c) : (vec){0};
#pragma GCC unroll 3
        for (size_t i = 0; i < 3; i++) {
            vec w = vec_load(weight + (3 * row + i) * ldw + c);
            for (size_t t = 0; t < tokens; t++)
                sum[t] += column[i + t] * w;
        }
    }
    for (size_t t = 0; t < tokens; t++)
        vec_store(y + t * ldy + c, vec_gelu(sum[t]) * vec_load(v + t * ldv + c));
}

/* The last vector may reach back over the one before it. */
INLINE void depthwise_tokens(float *y, size_t ldy, const float *v, size_t ldv, const float *u[3][4],
                             size_t channels, const float *weight, size_t ldw, const float *bias,
                             size_t tokens, bool inside)
{
    size_t c = 0;
    for (; c + VL <= channels; c += VL)
        depthwise_vector(y, ldy, v, ldv, u, c, weight, ldw, vec_load(bias + c), tokens, inside);
    if (c < channels)
        depthwise_vector(y, ldy, v, ldv, u, channels - VL, weight, ldw, vec_load(bias + channels - VL),
                         tokens, inside);
}

/* The same for one token and fewer channels than a vector has. */
static void depthwise_narrow(float *y, const float *v, const float *u[3][4], size_t channels,
                             const float *weight, size_t ldw, const float *bias)
{
    float sum[VL] = {0};
    for (size_t c = 0; c < channels; c++) {
        sum[c] = bias[c];
        for (size_t i = 0; i < NEIGHBOURS; i++)
            if (u[i / 3][i % 3])
                sum[c] += u[i / 3][i % 3][c] * weight[i * ldw + c];
    }
    vec_store(sum, vec_gelu(vec_load(sum)));
    for (size_t c = 0; c < channels; c++)
        y[c] = sum[c] * v[c];
}

static void depthwise_gelu_gate(float *y, size_t ldy, const float *const uv[3], size_t side, size_t channels,
                                const float *weight, size_t ldw, const float *bias)
{
    size_t ld = 2 * channels, step = channels < VL ? 1 : 2;
    for (size_t x = 0; x < side; x += step) {
        const float *u[3][4];
        bool inside = true;
        for (size_t i = 0; i < 12; i++) { // a column left of the image wraps, and is then ≥ side
            size_t at = x + i % 4 - 1;
            bool in = uv[i / 4] && at < side;
            u[i / 4][i % 4] = in ? uv[i / 4] + at * ld : NULL;
            inside = inside && in;
        }
        float *out = y + x * ldy;
        const float *v = uv[1] + x * ld + channels;
        if (channels < VL)
            depthwise_narrow(out, v, u, channels, weight, ldw, bias);
        else if (inside)
            depthwise_tokens(out, ldy, v, ld, u, channels, weight, ldw, bias, 2, true);
        else if (x + 1 < side)
            depthwise_tokens(out, ldy, v, ld, u, channels, weight, ldw, bias, 2, false);
        else
            depthwise_tokens(out, ldy, v, ld, u, channels, weight, ldw, bias, 1, false);
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
    .add_gelu = add_gelu,
    .l2_normalise = l2_normalise,
    .depthwise_gelu_gate = depthwise_gelu_gate,
    .affine2_relu = affine2_relu,
    .gates = NAMED(gates),
#if VL == 16
    .gemm = {&NAMED(gemm_f32), &NAMED(gemm_bf16), &NAMED(gemm_int8)},
#else
    .gemm = {&NAMED(gemm_f32)},
#endif
#if VL >= 8
    .pairs = &NAMED(pairs),
#endif
    .attend = NAMED(attend),
    .attend_scratch = NAMED(attend_scratch),
};

/* Compiled once per instruction set, with KERNELS naming the table (kernels.h). */
#include "vit/kernels/kernels_build.h"

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

#define GATE_TOKENS 4

/* The gated middle of `tokens` (a constant) neighbouring tokens from x on: their windows begin at column
 * x−1+left and end before column x−1+right, rows `top` to bottom−1 of the three. Neighbours share most of
 * what their windows see. The last vector may reach back over the one before it. */
INLINE void gate_tokens(float *y, size_t ldy, const float *const uv[3], size_t x, size_t channels,
                        const float *weight, size_t ldw, const float *bias, size_t tokens, size_t top,
                        size_t bottom, size_t left, size_t right)
{
    size_t ld = 2 * channels;
    for (size_t block = 0; block < channels; block += VL) {
        size_t c = block + VL <= channels ? block : channels - VL;
        vec sum[GATE_TOKENS];
        UNROLL(8)
        for (size_t t = 0; t < tokens; t++)
            sum[t] = vec_load(bias + c);
        for (size_t row = top; row < bottom; row++) {
            const float *u = uv[row] + c, *w = weight + 3 * row * ldw + c;
            vec column[3] = {vec_load(w), vec_load(w + ldw), vec_load(w + 2 * ldw)};
            UNROLL(8)
            for (size_t i = left; i < right; i++) {
                vec seen = vec_load(u + (x + i - 1) * ld);
                UNROLL(8)
                for (size_t t = 0; t < tokens; t++)
                    if (i >= t && i < t + 3)
                        sum[t] += seen * column[i - t];
            }
        }
        const float *v = uv[1] + x * ld + channels + c;
        UNROLL(8)
        for (size_t t = 0; t < tokens; t++)
            vec_store(y + (x + t) * ldy + c, vec_gelu(sum[t]) * vec_load(v + t * ld));
    }
}

/* The same for one token and fewer channels than a vector has. */
static void gate_narrow(float *y, const float *const uv[3], size_t x, size_t channels, const float *weight,
                        size_t ldw, const float *bias, size_t top, size_t bottom, size_t left, size_t right)
{
    float sum[VL] = {0};
    size_t ld = 2 * channels;
    for (size_t c = 0; c < channels; c++) {
        sum[c] = bias[c];
        for (size_t row = top; row < bottom; row++)
            for (size_t i = left; i < right; i++)
                sum[c] += uv[row][(x + i - 1) * ld + c] * weight[(3 * row + i) * ldw + c];
    }
    vec_store(sum, vec_gelu(vec_load(sum)));
    for (size_t c = 0; c < channels; c++)
        y[c] = sum[c] * uv[1][x * ld + channels + c];
}

static void depthwise_gelu_gate(float *y, size_t ldy, const float *const uv[3], size_t side, size_t channels,
                                const float *weight, size_t ldw, const float *bias)
{
    size_t top = uv[0] ? 0 : 1, bottom = uv[2] ? 3 : 2;
    for (size_t x = 0; x < side;) {
        bool at_left = x == 0, at_right = x + 1 == side;
        size_t tokens = 1;
        if (channels < VL)
            gate_narrow(y + x * ldy, uv, x, channels, weight, ldw, bias, top, bottom, at_left ? 1 : 0,
                        at_right ? 2 : 3);
        else if (!at_left && x + GATE_TOKENS < side)
            gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, tokens = GATE_TOKENS, top, bottom, 0,
                        GATE_TOKENS + 2);
        else if (at_left && at_right)
            gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, 1, top, bottom, 1, 2);
        else if (at_left)
            gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, 1, top, bottom, 1, 3);
        else if (at_right)
            gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, 1, top, bottom, 0, 2);
        else
            gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, 1, top, bottom, 0, 3);
        x += tokens;
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

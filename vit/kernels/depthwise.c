/* The middle of the gated MLP (kernels.h). Compiled once per instruction set. */
#include "vit/kernels/build.h"

/* Neighbouring tokens at a time: six sums, three weights and an input are 10 registers. With six in place of
 * four the middle takes 0.83 to 0.9 of its time on AMD Zen 3 with AVX2 by GCC 12, and 1.03 times by Clang 14,
 * whose four were as fast (`mohvit bench --variant moh_transnext_small_75 --threads 1 --profile` on builds
 * with each, in turns). Neither was measured with AVX-512 or on ARM. In WebAssembly six gain nothing, and
 * take 7 KB more. */
#if VECTOR_REGISTERS >= 16
#define COUNTS      UP_TO_6
#define GATE_TOKENS 6
#else
#define COUNTS      UP_TO_4
#define GATE_TOKENS 4
#endif

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
    size_t top = uv[0] ? 0 : 1, bottom = uv[2] ? 3 : 2, last = side - 1;
    if (channels < VL) {
        for (size_t x = 0; x < side; x++)
            gate_narrow(y + x * ldy, uv, x, channels, weight, ldw, bias, top, bottom, x == 0,
                        x < last ? 3 : 2);
        return;
    }
#define GATE(x, tokens, left, right)                                                                         \
    gate_tokens(y, ldy, uv, x, channels, weight, ldw, bias, tokens, top, bottom, left, right)
#define GATE_INNER(tokens)                                                                                   \
    case tokens:                                                                                             \
        GATE(first, tokens, 0, (tokens) + 2);                                                                \
        break;
    if (last == 0) {
        GATE(0, 1, 1, 2);
        return;
    }
    size_t inner = side - 2, pieces = (inner + GATE_TOKENS - 1) / GATE_TOKENS; // of nearly the same length
    GATE(0, 1, 1, 3);
    for (size_t p = 0; p < pieces; p++) {
        size_t first = 1 + p * inner / pieces, end = 1 + (p + 1) * inner / pieces;
        switch (end - first) {
            COUNTS(GATE_INNER)
        }
    }
    GATE(last, 1, 0, 2);
}

void NAMED(add_depthwise)(kernels *k)
{
    k->depthwise_gelu_gate = depthwise_gelu_gate;
}

/* The middle of the gated MLP (kernels.h). Compiled once per instruction set. */
#include "vit/kernels/build.h"

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

void NAMED(add_depthwise)(kernels *k)
{
    k->depthwise_gelu_gate = depthwise_gelu_gate;
}

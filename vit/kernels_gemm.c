/* y = x·Wᵀ + b over weights packed once: what the backend "native" is made of (gemm.h, kernels.h).
 *
 * W lies in panels of PANEL outputs: for each input, the weights of two vectors' outputs side by side. A
 * block of up to ROWS tokens by one panel is summed in registers over all inputs, so x is read where it lies
 * and nothing is repacked.
 *
 * Every output is a sum of chains of CHAIN multiply-adds in the order of the inputs, whatever block it falls
 * into: the result does not depend on how rows and columns are cut. */
#include "kernels_build.h"

/* Inputs that are summed before the sum is added to y. Shorter chains round less, and a panel of 256 inputs
 * stays in L1. */
#define CHAIN 64

#define PANEL (2 * VL)
_Static_assert(32 % PANEL == 0, "gemm.c cuts tiles at multiples of 32 outputs");
#if VL == 16
#define ROWS 14 /* 28 sums, 2 weights, a broadcast: 31 of 32 registers; divides 196, 784 and 3136 tokens */
#else
#define ROWS 6 /* 12 sums, 2 weights, a broadcast: 15 of 16 */
#endif

size_t NAMED(gemm_packed)(size_t out, size_t in)
{
    return (out + PANEL - 1) / PANEL * PANEL * in;
}

void NAMED(gemm_pack)(float *packed, const float *w, size_t out, size_t in)
{
    for (size_t first = 0; first < out; first += PANEL, packed += PANEL * in) {
        size_t outputs = out - first < PANEL ? out - first : PANEL;
        for (size_t i = 0; i < in; i += VL) { // whole cache lines of w
            size_t inputs = in - i < VL ? in - i : VL;
            for (size_t o = 0; o < PANEL; o++)
                for (size_t k = 0; k < inputs; k++)
                    packed[(i + k) * PANEL + o] = o < outputs ? w[(first + o) * in + i + k] : 0;
        }
    }
}

/* How a finished block reaches y. */
typedef struct {
    float *y;
    size_t ldy;
    const float *bias; // NULL: y already holds a part of the sum
    size_t cols;       // of the panel that exist
    bool accumulate;
} target;

/* The last panel of a layer, where the vectors have more lanes than there are outputs. */
static void __attribute__((noinline)) store_narrow(const target *to, const float *sums, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < to->cols; c++) {
            float *y = to->y + r * to->ldy + c, sum = sums[r * PANEL + c] + (to->bias ? to->bias[c] : 0);
            *y = to->accumulate ? *y + sum : sum;
        }
}

/* rows × (width · VL) outputs; both are constants where this is inlined. */
INLINE void block(const target *to, const float *x, size_t ldx, const float *panel, size_t in, size_t rows,
                  size_t width)
{
    vec sum[ROWS][2];
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
        sum[r][0] = sum[r][1] = (vec){0};
        // Rows of y are pages apart, where no hardware prefetcher follows: without this, storing a block
        // waits for memory line after line (3136×72×768: 50 GFLOP/s, with it 110-140).
        for (size_t v = 0; v < width; v++)
            __builtin_prefetch(to->y + r * to->ldy + v * VL, 1);
    }
    for (size_t k = 0; k < in; k++) {
        vec w0 = vec_load(panel + k * PANEL), w1 = width > 1 ? vec_load(panel + k * PANEL + VL) : (vec){0};
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
            float value = x[r * ldx + k];
            sum[r][0] += value * w0;
            if (width > 1)
                sum[r][1] += value * w1;
        }
    }
    if (to->cols < width * VL) {
        float sums[ROWS * PANEL];
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < width; v++)
                vec_store(sums + r * PANEL + v * VL, sum[r][v]);
        store_narrow(to, sums, rows);
        return;
    }
    for (size_t v = 0; v < width; v++) {
        vec bias = to->bias ? vec_load(to->bias + v * VL) : (vec){0};
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
            float *y = to->y + r * to->ldy + v * VL;
            sum[r][v] += bias;
            vec_store(y, to->accumulate ? vec_load(y) + sum[r][v] : sum[r][v]);
        }
    }
}

typedef void block_function(const target *to, const float *x, size_t ldx, const float *panel, size_t in);

#define BLOCK(rows)                                                                                          \
    static void block_##rows##_1(const target *to, const float *x, size_t ldx, const float *panel,           \
                                 size_t in)                                                                  \
    {                                                                                                        \
        block(to, x, ldx, panel, in, rows, 1);                                                               \
    }                                                                                                        \
    static void block_##rows##_2(const target *to, const float *x, size_t ldx, const float *panel,           \
                                 size_t in)                                                                  \
    {                                                                                                        \
        block(to, x, ldx, panel, in, rows, 2);                                                               \
    }
#define BLOCKS(rows)                                                                                         \
    {                                                                                                        \
        block_##rows##_1, block_##rows##_2                                                                   \
    }

/* clang-format off */
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)
#if ROWS == 14
BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)
#endif

static block_function *const blocks[ROWS][2] = {
    BLOCKS(1), BLOCKS(2), BLOCKS(3), BLOCKS(4), BLOCKS(5), BLOCKS(6),
#if ROWS == 14
    BLOCKS(7), BLOCKS(8), BLOCKS(9), BLOCKS(10), BLOCKS(11), BLOCKS(12), BLOCKS(13), BLOCKS(14),
#endif
};
/* clang-format on */

void NAMED(gemm_multiply)(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                          const float *bias, size_t rows, size_t in, size_t col, size_t cols, bool accumulate)
{
    size_t blocks_of_rows = (rows + ROWS - 1) / ROWS;
    for (size_t c = 0; c < cols; c += PANEL)
        for (size_t k = 0; k < in; k += CHAIN) {
            const float *panel = packed + (col + c) * in + k * PANEL;
            size_t inputs = in - k < CHAIN ? in - k : CHAIN;
            target to = {.ldy = ldy, .bias = k ? NULL : bias + col + c, .accumulate = accumulate || k};
            to.cols = cols - c < PANEL ? cols - c : PANEL;
            for (size_t b = 0; b < blocks_of_rows; b++) { // of nearly the same height: none is a lone row
                size_t first = b * rows / blocks_of_rows, end = (b + 1) * rows / blocks_of_rows;
                to.y = y + first * ldy + c;
                blocks[end - first - 1][to.cols > VL](&to, x + first * ldx + k, ldx, panel, inputs);
            }
        }
}

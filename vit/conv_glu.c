#include "conv_glu.h"
#include "parallel.h"

#include <string.h>

/* The middle of the MLP is much wider than its ends: written out for all tokens it would not fit a cache. But
 * the convolution is depthwise, so a block of channels can go from fc1 to the gate on its own; and it sees
 * but one image row above and below, so this can go down the image in bands that stay in L2. */
#define BLOCK       64
#define BAND_TOKENS 784

static size_t band_rows(size_t side)
{
    size_t rows = BAND_TOKENS / side;
    return rows < 1 ? 1 : rows > side ? side : rows;
}

size_t conv_glu_band_floats(size_t side, size_t hidden)
{
    return (band_rows(side) + 2) * side * 2 * (hidden < BLOCK ? hidden : BLOCK);
}

size_t conv_glu_order(size_t hidden, size_t i)
{
    size_t first = i / (2 * BLOCK) * BLOCK, channels = hidden - first < BLOCK ? hidden - first : BLOCK;
    size_t at = i - 2 * first;
    return at < channels ? first + at : hidden + first + at - channels;
}

size_t conv_glu_ld(size_t hidden)
{
    return hidden % 512 ? hidden : hidden + 16;
}

typedef struct {
    const conv_glu *mlp;
    const pass *pass;
    operand y;
} glu_job;

/* One block of channels, all tokens. The band's memory begins with the two image rows above it: the lower one
 * could not be gated before its lower neighbour was there. */
static void glu_block(void *arg, size_t block, size_t worker)
{
    const glu_job *job = arg;
    const conv_glu *m = job->mlp;
    const scratch *s = job->pass->s;
    const kernels *k = job->pass->kernels;
    size_t first = block * BLOCK, channels = m->hidden - first < BLOCK ? m->hidden - first : BLOCK;
    size_t side = m->side, row_floats = side * 2 * channels, rows = band_rows(side);
    size_t ld = conv_glu_ld(m->hidden);
    float *band = s->lanes + worker * s->lane_floats;
    for (size_t top = 0; top < side; top += rows) {
        size_t bottom = top + rows < side ? top + rows : side, end = bottom < side ? bottom - 1 : side;
        if (top)
            memmove(band, band + rows * row_floats, 2 * row_floats * sizeof *band);
        linear_call fc1 = {&m->fc1,
                           {(char *)job->y.rows + top * side * job->y.stride, job->y.stride},
                           band + 2 * row_floats,
                           2 * channels,
                           (bottom - top) * side,
                           false};
        uint64_t start = clock_ns();
        linear_columns(&fc1, 2 * first, 2 * channels, k);
        uint64_t between = clock_ns();
        s->fc1_ns[worker] += between - start;
        if (job->pass->products_only)
            continue;
        for (size_t row = top ? top - 1 : 0; row < end; row++) {
            const float *at = band + (row + 2 - top) * row_floats;
            const float *uv[3] = {row ? at - row_floats : NULL, at, row + 1 < side ? at + row_floats : NULL};
            k->depthwise_gelu_gate(s->gated + row * side * ld + first, ld, uv, side, channels,
                                   m->dw_weight + first, m->hidden, m->dw_bias + first);
        }
        s->glu_ns[worker] += clock_ns() - between;
    }
}

void conv_glu_forward(const pass *p, const conv_glu *m, float *y, float *x)
{
    size_t N = m->side * m->side, C = m->fc2.out, ld = conv_glu_ld(m->hidden);
    glu_job job = {m, p, coded_operand(p, &m->fc1, y, C)};
    parallel_for(p->team, divide_up(m->hidden, BLOCK), glu_block, &job);
    coded_all(p, &m->fc2, p->s->gated, ld, N);
    pass_lap_glu(p);
    linear_call fc2 = {&m->fc2, coded_operand(p, &m->fc2, p->s->gated, ld), x, C, N, true};
    linear_forward(&fc2, 1, p->kernels, p->team);
    pass_lap(p, OP_FC2);
}

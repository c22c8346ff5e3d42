#include "vit/network/conv_glu.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/memory.h"

#include <string.h>

/* The middle of the MLP is much wider than its ends: written out for all tokens it would not fit a cache. But
 * the convolution is depthwise, so a block of channels can go from fc1 to the gate on its own; and it sees
 * but one image row above and below, so this can go down the image in bands that stay in L2. */
#define BLOCK       64
#define BAND_TOKENS 784

static size_t band_rows(size_t side)
{
    if (side * side <= BAND_TOKENS)
        return side;
    return side > BAND_TOKENS ? 1 : BAND_TOKENS / side;
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

#define SEAM_ROWS 4
#define SEAM_SIDE 14 // of an image, at least

/* A team cuts the image into an upper and a lower half, so that two threads each keep to tokens of their own
 * from the layer norm to fc2. Between the halves lies a seam: two image rows on either side, since the gates
 * next to it see both. A thread on its own has no use for that, and a small image too few rows. */
static size_t parts_of(size_t side, const team *t)
{
    return side < SEAM_SIDE || parallel_size(t) == 1 ? 1 : 2;
}

/* Bands, which the products are cut by, end at the middle whoever computes them. */
static size_t band_end(size_t side, size_t top)
{
    size_t end = side < SEAM_SIDE || top >= side / 2 ? side : side / 2, bottom = top + band_rows(side);
    return bottom < end ? bottom : end;
}

size_t conv_glu_seam_floats(size_t side, size_t hidden)
{
    return side < SEAM_SIDE ? 0 : SEAM_ROWS * side * 2 * hidden;
}

typedef struct {
    const conv_glu *mlp;
    const pass *pass;
    operand y;
    size_t parts, blocks;
} glu_job;

/* A block of channels of a part of the image. */
typedef struct {
    size_t first, channels;
    size_t top, end;   // image rows of the part
    size_t row_floats; // [u | v] of an image row
    float *seam;       // (SEAM_ROWS, side, 2·channels); NULL: the part is the image
} glu_piece;

static glu_piece piece_of(const glu_job *job, size_t part, size_t block)
{
    const conv_glu *m = job->mlp;
    size_t first = block * BLOCK, channels = m->hidden - first < BLOCK ? m->hidden - first : BLOCK;
    return (glu_piece){
        .first = first,
        .channels = channels,
        .top = part * m->side / job->parts,
        .end = (part + 1) * m->side / job->parts,
        .row_floats = m->side * 2 * channels,
        .seam = job->parts == 1 ? NULL : job->pass->s->seam + SEAM_ROWS * m->side * 2 * first,
    };
}

static void gate_row(const glu_job *job, const glu_piece *piece, size_t row, const float *const uv[3])
{
    const conv_glu *m = job->mlp;
    size_t ld = conv_glu_ld(m->hidden);
    job->pass->kernels->depthwise_gelu_gate(job->pass->s->gated + row * m->side * ld + piece->first, ld, uv,
                                            m->side, piece->channels, m->dw_weight + piece->first, m->hidden,
                                            m->dw_bias + piece->first);
}

/* Keeps those of rows top … bottom−1, which lie at `rows`, that the gates at the seam will see. */
static void keep_seam(const glu_job *job, const glu_piece *piece, size_t top, size_t bottom,
                      const float *rows)
{
    size_t middle = job->mlp->side / 2;
    for (size_t i = 0; piece->seam && i < SEAM_ROWS; i++) {
        size_t row = middle - SEAM_ROWS / 2 + i;
        if (row >= top && row < bottom)
            memcpy(piece->seam + i * piece->row_floats, rows + (row - top) * piece->row_floats,
                   piece->row_floats * sizeof *rows);
    }
}

/* One block of channels, all tokens of a part. The band's memory begins with the two image rows above it: the
 * lower one could not be gated before its lower neighbour was there. */
static void glu_block(void *arg, size_t task, size_t worker)
{
    const glu_job *job = arg;
    const conv_glu *m = job->mlp;
    const scratch *s = job->pass->s;
    glu_piece piece = piece_of(job, task / job->blocks, task % job->blocks);
    size_t side = m->side, row_floats = piece.row_floats;
    size_t row = piece.top ? piece.top + 1 : 0,
           last = piece.end < side ? piece.end - 1 : side; // not at the seam
    float *band = s->lanes + worker * s->lane_floats, *now = band + 2 * row_floats;
    for (size_t top = piece.top, bottom; top < piece.end; top = bottom) {
        bottom = band_end(side, top);
        linear_call fc1 = {&m->fc1,
                           {(char *)job->y.rows + top * side * job->y.stride, job->y.stride},
                           now,
                           2 * piece.channels,
                           (bottom - top) * side,
                           false};
        uint64_t start = clock_ns();
        linear_columns(&fc1, 2 * piece.first, 2 * piece.channels, job->pass->kernels);
        uint64_t between = clock_ns();
        s->fc1_ns[worker] += between - start;
        if (job->pass->products_only)
            continue;
        keep_seam(job, &piece, top, bottom, now);
        for (; row < last && (row + 1 < bottom || bottom == side); row++) {
            const float *at = band + (row + 2 - top) * row_floats;
            const float *uv[3] = {row ? at - row_floats : NULL, at, row + 1 < side ? at + row_floats : NULL};
            gate_row(job, &piece, row, uv);
        }
        if (bottom < piece.end)
            memmove(band, band + (bottom - top) * row_floats, 2 * row_floats * sizeof *band);
        s->glu_ns[worker] += clock_ns() - between;
    }
}

/* The row of a part that lies at the seam. */
static void glu_seam(void *arg, size_t task, size_t worker)
{
    const glu_job *job = arg;
    size_t part = task / job->blocks;
    glu_piece piece = piece_of(job, part, task % job->blocks);
    uint64_t start = clock_ns();
    const float *above = piece.seam + part * piece.row_floats;
    const float *uv[3] = {above, above + piece.row_floats, above + 2 * piece.row_floats};
    gate_row(job, &piece, part ? piece.top : piece.end - 1, uv);
    job->pass->s->glu_ns[worker] += clock_ns() - start;
}

void conv_glu_forward(const pass *p, const conv_glu *m, float *y, float *x)
{
    size_t N = m->side * m->side, C = m->fc2.out, ld = conv_glu_ld(m->hidden);
    glu_job job = {m, p, coded_operand(p, &m->fc1, y, C), parts_of(m->side, p->team),
                   divide_up(m->hidden, BLOCK)};
    parallel_for(p->team, job.parts * job.blocks, glu_block, &job);
    if (job.parts > 1)
        pass_loop(p, job.parts * job.blocks, glu_seam, &job);
    coded_all(p, &m->fc2, p->s->gated, ld, N);
    pass_lap_glu(p);
    linear_call fc2 = {&m->fc2, coded_operand(p, &m->fc2, p->s->gated, ld), x, C, N, true};
    linear_forward(&fc2, 1, p->kernels, p->team);
    pass_lap(p, OP_FC2);
}

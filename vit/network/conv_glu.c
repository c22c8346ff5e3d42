#include "vit/network/conv_glu.h"
#include "base/clock.h"
#include "base/memory.h"
#include "vit/network/encode.h"

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

/* That a thread needs for its band, and the two image rows above it. */
static size_t band_floats(size_t side, size_t hidden)
{
    return (band_rows(side) + 2) * side * 2 * (hidden < BLOCK ? hidden : BLOCK);
}

size_t conv_glu_order(size_t hidden, size_t i)
{
    size_t first = i / (2 * BLOCK) * BLOCK, channels = hidden - first < BLOCK ? hidden - first : BLOCK;
    size_t at = i - 2 * first;
    return at < channels ? first + at : hidden + first + at - channels;
}

/* Floats from row to row of the gated channels. Rows that are a multiple of 2 KiB apart would share few sets
 * of the L1 cache: fc2 of 784×1024×1536 ran at 118 in place of 200 GFLOP/s. */
static size_t gated_ld(size_t hidden)
{
    return hidden % 512 ? hidden : hidden + 16;
}

#define SEAM_ROWS 4
#define SEAM_SIDE 14 // of an image, at least

/* A team cuts the image into an upper and a lower half, so that two threads each keep to tokens of their own
 * from the layer norm to fc2. Between the halves lies a seam: two image rows on either side, since the gates
 * next to it see both. A thread on its own has no use for that, and a small image too few rows.
 * Budget: on AMD Zen 5 with cores far apart 60.4 -> 59.2 ms, moh_transnext_base_50 97.2 -> 94.9; no
 * difference where they are near, nor one to be told on Zen 3 (`mohvit bench --variant moh_transnext_small_75
 * --threads 2` on builds with and without it in turn). */
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

void conv_glu_bind(binder *b, conv_glu *m, const config *c, size_t s)
{
    const gemm *g = bind_gemm(b, PART_FC1, s);
    size_t C = c->embed_dims[s], hidden = config_hidden(c, s), out = 2 * hidden;
    *m = (conv_glu){.side = config_side(c, s), .hidden = hidden};
    const float *w = bind_staged(b, "fc1", ".weight", SHAPE(out, C));
    float *bias = bind_floats(b, out);
    m->fc1 = bind_packed(b, g, w, out, C, conv_glu_order, hidden, bias);
    w = bind_staged(b, "fc1", ".bias", SHAPE(out));
    for (size_t i = 0; bind_reads(b) && i < out; i++)
        bias[i] = w[conv_glu_order(hidden, i)];
    w = bind_staged(b, "dwconv.dwconv", ".weight", SHAPE(hidden, 1, 3, 3));
    float *depthwise = bind_floats(b, NEIGHBOURS * hidden);
    if (bind_reads(b))
        transpose(depthwise, w, hidden, NEIGHBOURS);
    m->dw_weight = depthwise;
    m->dw_bias = bind_tensor(b, "dwconv.dwconv", ".bias", SHAPE(hidden));
    m->fc2 = bind_linear(b, "fc2", bind_gemm(b, PART_FC2, s), SHAPE(C, hidden));
}

typedef struct {
    const conv_glu *mlp;
    const pass *pass;
    operand y;
    size_t parts, blocks;
    float *gated; // (N, hidden; rows gated_ld apart): what leaves the gate
    float *seam;  // (SEAM_ROWS, side, 2·hidden), block by block: image rows at which the parts meet
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
        .seam = job->parts == 1 ? NULL : job->seam + SEAM_ROWS * m->side * 2 * first,
    };
}

static void gate_row(const glu_job *job, const glu_piece *piece, size_t row, const float *const uv[3])
{
    const conv_glu *m = job->mlp;
    size_t ld = gated_ld(m->hidden);
    job->pass->kernels->depthwise_gelu_gate(job->gated + row * m->side * ld + piece->first, ld, uv, m->side,
                                            piece->channels, m->dw_weight + piece->first, m->hidden,
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

/* One channel block of a part; its band starts two rows above, as the lower needs this part's first row. */
static void glu_block(void *arg, size_t task, size_t worker)
{
    const glu_job *job = arg;
    const conv_glu *m = job->mlp;
    thread_counts *counts = &job->pass->profile->counts[worker];
    glu_piece piece = piece_of(job, task / job->blocks, task % job->blocks);
    size_t side = m->side, row_floats = piece.row_floats;
    size_t row = piece.top ? piece.top + 1 : 0,
           last = piece.end < side ? piece.end - 1 : side; // not at the seam
    float *band = scratch_thread(job->pass->scratch, worker), *now = band + 2 * row_floats;
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
        counts->fc1_ns += between - start;
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
        counts->glu_ns += clock_ns() - between;
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
    job->pass->profile->counts[worker].glu_ns += clock_ns() - start;
}

void conv_glu_forward(const pass *p, const conv_glu *m, float *y, float *x)
{
    scratch *s = p->scratch;
    size_t side = m->side, N = side * side, C = m->fc2.out, hidden = m->hidden, ld = gated_ld(hidden),
           mark = s->used;
    glu_job job = {
        .mlp = m,
        .pass = p,
        .y = encoded(p, &m->fc1, y, C),
        .parts = parts_of(side, p->team),
        .blocks = divide_up(hidden, BLOCK),
        .gated = scratch_floats(s, N, ld),
        .seam = side < SEAM_SIDE ? NULL : scratch_floats(s, SEAM_ROWS * side, 2 * hidden),
    };
    double fc1 = (double)N * (double)C * 2 * (double)hidden, depthwise = (double)N * (double)hidden * 9;
    pass_count(p, fc1 + depthwise, fc1 + depthwise);
    scratch_need_thread(s, band_floats(side, hidden));
    pass_products(p, job.parts * job.blocks, glu_block, &job);
    if (job.parts > 1)
        pass_loop(p, job.parts * job.blocks, glu_seam, &job);
    encode_rows(p, &m->fc2, job.gated, ld, N);
    profile_lap_glu(p->profile);
    linear_call fc2 = {&m->fc2, encoded(p, &m->fc2, job.gated, ld), x, C, N, true};
    pass_linear(p, &fc2, 1);
    profile_lap(p->profile, OP_FC2);
    scratch_release(s, mark);
}

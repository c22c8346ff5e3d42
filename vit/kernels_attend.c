/* Attention of one head (kernels.h, attend_job), for as many tokens at a time as two vectors have lanes: one
 * lane, one token. Scores, softmax and weighted sums over the shared keys then run straight down the lanes,
 * with no reduction across them, whatever d and K are. Only the 3×3 neighbourhood, which differs from token
 * to token, is read by rows.
 *
 * Every lane's arithmetic is the same whatever the other lanes hold, so a token's result does not depend on
 * which tokens share its tile. */
#include "kernels_build.h"

#include <math.h>

#define LANES (2 * VL)
#if VL == 16
#define BLOCK 8 // keys or channels whose accumulators, two vectors each, stay in registers
#else
#define BLOCK 4
#endif

/* Scratch of a tile. "Lanes" are rows of LANES floats, one row for each channel, key or neighbour; "rows" are
 * one row of d channels for each token, padded to whole vectors. */
typedef struct {
    size_t padded;     // d rounded up to whole vectors
    float *zero;       // (padded) what lies outside the image
    float *embedding;  // (padded) the head's query embedding
    float *rows;       // rows: q̃ = (q̂ + embedding) · scale; later the shared keys' part of the output
    float *query;      // (d) lanes: q̃
    float *sum;        // (d) lanes: weighted sum of the shared values
    float *score;      // (9 + K) lanes: scores, then softmax numerators; neighbours first
    float *learned;    // (9) lanes: q̂ · learnable_tokens + learnable_bias
    int32_t *bias_row; // (key_side) lanes: where the position bias of each key row starts
    int32_t *bias_col; // (key_side) lanes: index of each key column within it
    float learned_shift[NEIGHBOURS]; // learnable_bias − embedding · learnable_tokens
    uint32_t y[LANES], x[LANES];     // image row and column of each token
    float scale[LANES], gate[LANES];
    float inside[NEIGHBOURS][LANES]; // 1 where the neighbour lies inside the image, else 0
    const float *k[NEIGHBOURS][LANES], *v[NEIGHBOURS][LANES]; // each token's neighbours
} tile;

/* Vectors that cover a row of d channels. Where VL does not divide d, the last one reaches back over the one
 * before it, so that nothing beyond the row is touched; where d < VL, loops over channels take the place of
 * vectors. */
INLINE size_t vectors(size_t d)
{
    return (d + VL - 1) / VL;
}

INLINE size_t vector_at(size_t i, size_t d)
{
    return (i + 1) * VL <= d ? i * VL : d - VL;
}

size_t NAMED(attend_scratch)(size_t d, size_t K)
{
    size_t key_side = 1, padded = vectors(d) * VL;
    while (key_side * key_side < K)
        key_side++;
    return 2 * padded + LANES * (padded + 2 * d + 2 * NEIGHBOURS + K + 2 * key_side);
}

/* A row of d channels as dot_rows wants its first operand: the channels that the last vector repeats are 0.
 */
INLINE void pad_row(float *padded, const float *row, size_t d)
{
    size_t last = (vectors(d) - 1) * VL;
    memcpy(padded, row, last * sizeof *row);
    memset(padded + last, 0, VL * sizeof *row);
    size_t at = d < VL ? 0 : last + VL - d;
    memcpy(padded + last + at, row + last, (d - last) * sizeof *row);
}

/* sums (LANES) = a_l · b_l; a: padded rows, b: a pointer to d channels for each lane. */
INLINE void dot_rows(float *sums, const float *a, const float *const *b, size_t d)
{
    size_t count = vectors(d);
    if (d < VL) {
        for (size_t l = 0; l < LANES; l++) {
            sums[l] = 0;
            for (size_t i = 0; i < d; i++)
                sums[l] += a[l * VL + i] * b[l][i];
        }
        return;
    }
    for (size_t l = 0; l < LANES; l += VL) {
        vec products[VL];
#pragma GCC unroll 16
        for (size_t r = 0; r < VL; r++) {
            const float *row = a + (l + r) * count * VL;
            products[r] = vec_load(row) * vec_load(b[l + r]);
            for (size_t i = 1; i < count; i++)
                products[r] += vec_load(row + i * VL) * vec_load(b[l + r] + vector_at(i, d));
        }
        vec_store(sums + l, vec_sums(products));
    }
}

/* Lanes (d) from padded rows, and rows without padding within them (stride padded) from lanes. */
INLINE void rows_to_lanes(float *lanes, const float *rows, size_t d)
{
    size_t padded = vectors(d) * VL, last = padded - VL, at = d < VL ? 0 : padded - d;
    for (size_t i = 0; i < d; i++) {
        const float *channel = rows + (i < last ? i : i + at);
#pragma omp simd
        for (size_t l = 0; l < LANES; l++)
            lanes[i * LANES + l] = channel[l * padded];
    }
}

INLINE void lanes_to_rows(float *rows, const float *lanes, size_t d)
{
    size_t padded = vectors(d) * VL;
    for (size_t l = 0; l < LANES; l++)
#pragma omp simd
        for (size_t i = 0; i < d; i++)
            rows[l * padded + i] = lanes[i * LANES + l];
}

/* y (n) lanes += Σ_k a[row · lda + k · step] · x (count) lanes: a small matrix product down the lanes. */
INLINE void accumulate(float *y, size_t n, const float *a, size_t lda, size_t step, const float *x,
                       size_t count)
{
    size_t r = 0;
    for (; r + BLOCK <= n; r += BLOCK) {
        vec low[BLOCK], high[BLOCK];
#pragma GCC unroll 8
        for (size_t b = 0; b < BLOCK; b++) {
            low[b] = vec_load(y + (r + b) * LANES);
            high[b] = vec_load(y + (r + b) * LANES + VL);
        }
        for (size_t k = 0; k < count; k++) {
            vec x0 = vec_load(x + k * LANES), x1 = vec_load(x + k * LANES + VL);
#pragma GCC unroll 8
            for (size_t b = 0; b < BLOCK; b++) {
                float factor = a[(r + b) * lda + k * step];
                low[b] += factor * x0;
                high[b] += factor * x1;
            }
        }
#pragma GCC unroll 8
        for (size_t b = 0; b < BLOCK; b++) {
            vec_store(y + (r + b) * LANES, low[b]);
            vec_store(y + (r + b) * LANES + VL, high[b]);
        }
    }
    for (; r < n; r++) {
        vec low = vec_load(y + r * LANES), high = vec_load(y + r * LANES + VL);
        for (size_t k = 0; k < count; k++) {
            float factor = a[r * lda + k * step];
            low += factor * vec_load(x + k * LANES);
            high += factor * vec_load(x + k * LANES + VL);
        }
        vec_store(y + r * LANES, low);
        vec_store(y + r * LANES + VL, high);
    }
}

/* ---- The steps of a tile --------------------------------------------------------------------- */

static void tile_start(tile *t, const attend_job *job, float *scratch)
{
    size_t d = job->d;
    t->padded = vectors(d) * VL;
    t->zero = scratch;
    t->embedding = t->zero + t->padded;
    t->rows = t->embedding + t->padded;
    t->query = t->rows + t->padded * LANES;
    t->sum = t->query + d * LANES;
    t->score = t->sum + d * LANES;
    t->learned = t->score + (NEIGHBOURS + job->K) * LANES;
    t->bias_row = (int32_t *)(t->learned + NEIGHBOURS * LANES);
    t->bias_col = t->bias_row + job->key_side * LANES;
    memset(t->zero, 0, t->padded * sizeof *t->zero);
    pad_row(t->embedding, job->query_embedding, d);
    for (size_t j = 0; job->k && j < NEIGHBOURS; j++) {
        t->learned_shift[j] = job->learnable_bias[j];
        for (size_t i = 0; i < d; i++)
            t->learned_shift[j] -= job->query_embedding[i] * job->learnable_tokens[j * d + i];
    }
}

/* Where each token lies, and who its neighbours are. Idle lanes repeat the last token. */
INLINE void locate(tile *t, const attend_job *job, const uint32_t *tokens, size_t n)
{
    for (size_t l = 0; l < LANES; l++) {
        size_t token = tokens[l < n ? l : n - 1], side = job->side, y = token / side, x = token % side,
               count = 0;
        t->y[l] = (uint32_t)y;
        t->x[l] = (uint32_t)x;
        for (size_t j = 0; job->k && j < NEIGHBOURS; j++) {
            size_t ny = y + j / 3 - 1, nx = x + j % 3 - 1; // wraps below 0, which is then ≥ side
            bool in = ny < side && nx < side;
            size_t at = in ? (ny * side + nx) * job->ldkv : 0;
            t->k[j][l] = in ? job->k + at : t->zero;
            t->v[j][l] = in ? job->v + at : t->zero;
            t->inside[j][l] = in;
            count += in;
        }
        t->scale[l] = job->scale[count];
        t->gate[l] = job->gate[token * job->ldgate];
    }
}

/* q̃ in rows and in lanes. */
INLINE void load_queries(tile *t, const attend_job *job, const uint32_t *tokens, size_t n, size_t d)
{
    size_t padded = vectors(d) * VL;
    const float *q[LANES];
    float squares[LANES];
    for (size_t l = 0; l < LANES; l++) {
        q[l] = job->q + tokens[l < n ? l : n - 1] * job->ldq;
        pad_row(t->rows + l * padded, q[l], d);
    }
    dot_rows(squares, t->rows, q, d);
    for (size_t l = 0; l < LANES; l++) {
        float norm = sqrtf(squares[l]), inverse = 1.0f / (norm < 1e-12f ? 1e-12f : norm), scale = t->scale[l];
        for (size_t i = 0; i < padded; i += VL) {
            float *row = t->rows + l * padded + i;
            vec_store(row, (vec_load(row) * inverse + vec_load(t->embedding + i)) * scale);
        }
    }
    rows_to_lanes(t->query, t->rows, d);
}

/* Scores of the 3×3 neighbourhood, −∞ outside the image, and the learnable part, which sees q̂ = q̃/scale −
 * embedding. */
INLINE void local_scores(tile *t, const attend_job *job, size_t d)
{
    memset(t->learned, 0, NEIGHBOURS * LANES * sizeof *t->learned);
    accumulate(t->learned, NEIGHBOURS, job->learnable_tokens, d, 1, t->query, d);
    for (size_t j = 0; j < NEIGHBOURS; j++) {
        float *score = t->score + j * LANES, *learned = t->learned + j * LANES;
        dot_rows(score, t->rows, t->k[j], d);
        for (size_t l = 0; l < LANES; l += VL) {
            ivec inside = vec_load(t->inside[j] + l) > vec_set(0);
            vec_store(score + l,
                      vec_select(inside, vec_load(score + l) + job->local_bias[j], vec_set(-INFINITY)));
            vec_store(learned + l, vec_load(learned + l) / vec_load(t->scale + l) + t->learned_shift[j]);
        }
    }
}

/* Scores of the shared keys, which start from their position bias. */
INLINE void shared_scores(tile *t, const attend_job *job, float *score, size_t d)
{
    size_t P = job->key_side;
    for (size_t p = 0; p < P; p++)
        for (size_t l = 0; l < LANES; l++) {
            t->bias_row[p * LANES + l] = job->bias_offset[t->y[l] * P + p] * (int32_t)job->bias_side;
            t->bias_col[p * LANES + l] = job->bias_offset[t->x[l] * P + p];
        }
    const int32_t *row = t->bias_row;
    float *bias = score;
    for (size_t ky = 0; ky < P; ky++, row += LANES) {
        const int32_t *col = t->bias_col;
        for (size_t kx = 0; kx < P; kx++, col += LANES, bias += LANES)
#pragma omp simd
            for (size_t l = 0; l < LANES; l++)
                bias[l] = job->bias[row[l] + col[l]];
    }
    accumulate(score, job->K, job->keys, d, 1, t->query, d);
}

/* score (count) lanes → e^(score − max); the reciprocal of each lane's sum goes to inverse (LANES). */
INLINE void softmax_numerators(float *score, size_t count, float *inverse)
{
    for (size_t l = 0; l < LANES; l += VL) {
        vec max = vec_load(score + l), sum = {0};
        for (size_t k = 1; k < count; k++)
            max = vec_max(vec_load(score + k * LANES + l), max);
        for (size_t k = 0; k < count; k++) {
            vec e = vec_exp(vec_load(score + k * LANES + l) - max);
            vec_store(score + k * LANES + l, e);
            sum += e;
        }
        vec_store(inverse + l, 1.0f / sum);
    }
}

/* out = gate · (Σ over the shared keys + Σ over the neighbours). */
INLINE void store_outputs(tile *t, const attend_job *job, const uint32_t *tokens, size_t n, size_t d,
                          const float *inverse)
{
    size_t locals = job->k ? NEIGHBOURS : 0, count = vectors(d);
    for (size_t l = 0; l < LANES; l += VL) {
        vec gate = vec_load(t->gate + l), factor = vec_load(inverse + l) * gate;
        for (size_t i = 0; i < d; i++)
            vec_store(t->sum + i * LANES + l, vec_load(t->sum + i * LANES + l) * factor);
        for (size_t j = 0; j < locals; j++)
            vec_store(t->score + j * LANES + l, vec_load(t->score + j * LANES + l) * factor +
                                                    vec_load(t->learned + j * LANES + l) * gate);
    }
    lanes_to_rows(t->rows, t->sum, d);
    for (size_t l = 0; l < n; l++) {
        const float *row = t->rows + l * count * VL;
        float *out = job->out + tokens[l] * job->ldout;
        if (d < VL) {
            for (size_t i = 0; i < d; i++) {
                float sum = row[i];
                for (size_t j = 0; j < locals; j++)
                    sum += t->score[j * LANES + l] * t->v[j][l][i];
                out[i] = sum;
            }
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            size_t at = vector_at(i, d);
            vec sum = vec_load(row + at);
            for (size_t j = 0; j < locals; j++)
                sum += t->score[j * LANES + l] * vec_load(t->v[j][l] + at);
            vec_store(out + at, sum);
        }
    }
}

INLINE void attend_tile(tile *t, const attend_job *job, const uint32_t *tokens, size_t n, size_t d)
{
    size_t locals = job->k ? NEIGHBOURS : 0;
    float *shared = t->score + locals * LANES, inverse[LANES];
    locate(t, job, tokens, n);
    load_queries(t, job, tokens, n, d);
    if (locals)
        local_scores(t, job, d);
    shared_scores(t, job, shared, d);
    softmax_numerators(t->score, locals + job->K, inverse);
    memset(t->sum, 0, d * LANES * sizeof *t->sum);
    accumulate(t->sum, d, job->values, 1, d, shared, job->K);
    store_outputs(t, job, tokens, n, d, inverse);
}

size_t NAMED(attend)(const attend_job *job, float *scratch)
{
    tile t;
    tile_start(&t, job, scratch);
    for (size_t first = 0; first < job->count; first += LANES) {
        size_t n = job->count - first < LANES ? job->count - first : LANES;
        if (job->d == 24) // every published variant: loops of a known length
            attend_tile(&t, job, job->tokens + first, n, 24);
        else
            attend_tile(&t, job, job->tokens + first, n, job->d);
    }
    return job->count;
}

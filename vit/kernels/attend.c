/* Attention of one head (kernels.h, attend_job), for as many tokens at a time as two vectors have lanes: one
 * lane, one token. Scores, softmax and weighted sums over the shared keys then run straight down the lanes,
 * with no reduction across them, whatever d and K are. Only the 3×3 neighbourhood, which differs from token
 * to token, is read by rows.
 *
 * Every lane's arithmetic is the same whatever the other lanes hold, so a token's result does not depend on
 * which tokens share its tile.
 *
 * Budget, of moh_transnext_small_75's 93 ms on one thread of AMD Zen 5 (`mohvit bench --variant
 * moh_transnext_small_75 --threads 1 --profile` on builds with and without): a tail of half a tile 0.29 ms,
 * the window of position bias 0.35 ms. Neither was measured on Intel with AVX-512. On AMD Zen 3 with
 * AVX2 attention takes 1.03 to 1.07 times as long without the window; a tail of half a tile made no
 * difference to be told. Tried there, and left out: blocks of five or six keys take 1.02 to 1.05 times as
 * long. Several chains in the search for the largest score, and more than one key in a turn of the innermost
 * loop, make no difference. Scores known to be small would need no such search: attention takes 0.99 of its
 * time without it, which is 0.1 % of the whole. */
#include "vit/kernels/build.h"

#include <math.h>

#define LANES     (2 * VL)
#define BLOCK_MAX 9 // keys or channels whose accumulators, two vectors each, stay in registers

/* Scratch of a tile. "Lanes" are rows of LANES floats, one row for each channel, key or neighbour; "rows" are
 * one row of d channels for each token, padded to whole vectors. */
typedef struct {
    size_t padded;     // d rounded up to whole vectors
    float *embedding;  // (padded) the head's query embedding
    float *rows;       // rows: q̃ = (q̂ + embedding) · scale; later the shared keys' part of the output
    float *query;      // (d) lanes: q̃
    float *sum;        // (d) lanes: weighted sum of the shared values
    float *score;      // (9 + K) lanes: scores, then softmax numerators; neighbours first
    float *learned;    // (9) lanes: q̂ · learnable_tokens + learnable_bias
    int32_t *bias_row; // (key_side) lanes: where the position bias of each key row starts
    int32_t *bias_col; // (key_side) lanes: index of each key column within it
    float learned_shift[NEIGHBOURS];      // learnable_bias − embedding · learnable_tokens
    int32_t y[LANES], x[LANES];           // image row and column of each token
    int32_t neighbour[NEIGHBOURS][LANES]; // tokens of its window; side² for what lies outside the image
    float scale[LANES], gate[LANES];
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

static size_t attend_scratch(size_t d, size_t K)
{
    size_t key_side = 1, padded = vectors(d) * VL;
    while (key_side * key_side < K)
        key_side++;
    return padded + LANES * (padded + 2 * d + 2 * NEIGHBOURS + K + 2 * key_side);
}

/* Vector i of a row of d channels, with those that it has in common with the one before it as 0. */
INLINE vec row_vector(const float *row, size_t i, size_t d)
{
    if (d < VL)
        return vec_load_part(row, d);
    size_t at = vector_at(i, d);
    return vec_from(vec_load(row + at), i * VL - at);
}

/* sums (LANES) = a_l · b_l; a: padded rows; b_l: d channels at row at[l] of b. */
INLINE void dot_rows(float *sums, const float *a, const float *b, size_t ldb, const int32_t *at, size_t d,
                     size_t width)
{
    size_t count = vectors(d);
    if (d < VL) {
        for (size_t l = 0; l < width; l++) {
            sums[l] = 0;
            for (size_t i = 0; i < d; i++)
                sums[l] += a[l * VL + i] * b[(size_t)at[l] * ldb + i];
        }
        return;
    }
    for (size_t l = 0; l < width; l += VL) {
        vec products[VL];
        UNROLL(16)
        for (size_t r = 0; r < VL; r++) {
            const float *row = a + (l + r) * count * VL, *other = b + (size_t)at[l + r] * ldb;
            products[r] = vec_load(row) * vec_load(other);
            for (size_t i = 1; i < count; i++)
                products[r] += vec_load(row + i * VL) * vec_load(other + vector_at(i, d));
        }
        vec_store(sums + l, vec_sums(products));
    }
}

/* Lanes (d) from padded rows, and padded rows from lanes. */
INLINE void rows_to_lanes(float *lanes, const float *rows, size_t d, size_t width)
{
    size_t count = vectors(d);
    for (size_t l = 0; l < width; l += VL)
        for (size_t i = 0; i < count; i++) {
            size_t first = d < VL ? 0 : vector_at(i, d), repeated = i * VL - first;
            vec x[VL];
            UNROLL(16)
            for (size_t r = 0; r < VL; r++)
                x[r] = vec_load(rows + (l + r) * count * VL + i * VL);
            vec_transpose(x);
            UNROLL(16)
            for (size_t c = 0; c < VL; c++)
                if (c >= repeated && first + c < d)
                    vec_store(lanes + (first + c) * LANES + l, x[c]);
        }
}

INLINE void lanes_to_rows(float *rows, const float *lanes, size_t d, size_t width)
{
    size_t count = vectors(d);
    for (size_t l = 0; l < width; l += VL)
        for (size_t i = 0; i < count; i++) {
            size_t first = d < VL ? 0 : vector_at(i, d);
            vec x[VL];
            UNROLL(16)
            for (size_t c = 0; c < VL; c++)
                x[c] = first + c < d ? vec_load(lanes + (first + c) * LANES + l) : (vec){0};
            vec_transpose(x);
            UNROLL(16)
            for (size_t r = 0; r < VL; r++)
                vec_store(rows + (l + r) * count * VL + i * VL, x[r]);
        }
}

/* `block` rows of accumulate. */
INLINE void accumulate_block(float *y, size_t block, const float *a, size_t lda, size_t step, const float *x,
                             size_t count, size_t width)
{
    vec low[BLOCK_MAX], high[BLOCK_MAX];
    UNROLL(9)
    for (size_t b = 0; b < block; b++) {
        low[b] = vec_load(y + b * LANES);
        high[b] = width > VL ? vec_load(y + b * LANES + VL) : (vec){0};
    }
    for (size_t k = 0; k < count; k++) {
        vec x0 = vec_load(x + k * LANES), x1 = width > VL ? vec_load(x + k * LANES + VL) : x0;
        UNROLL(9)
        for (size_t b = 0; b < block; b++) {
            float factor = a[b * lda + k * step];
            low[b] += factor * x0;
            if (width > VL)
                high[b] += factor * x1;
        }
    }
    UNROLL(9)
    for (size_t b = 0; b < block; b++) {
        vec_store(y + b * LANES, low[b]);
        if (width > VL)
            vec_store(y + b * LANES + VL, high[b]);
    }
}

/* y (n) lanes += Σ_k a[row · lda + k · step] · x (count) lanes: a small matrix product down the lanes. */
INLINE void accumulate(float *y, size_t n, const float *a, size_t lda, size_t step, const float *x,
                       size_t count, size_t width)
{
    size_t r = 0;
#if VECTOR_REGISTERS == 32
    for (; n == 9 && r < n; r += 9)
        accumulate_block(y + r * LANES, 9, a + r * lda, lda, step, x, count, width);
    for (; n % 8 && n % 7 == 0 && r < n; r += 7) // 49 keys
        accumulate_block(y + r * LANES, 7, a + r * lda, lda, step, x, count, width);
    for (; r + 8 <= n; r += 8)
        accumulate_block(y + r * LANES, 8, a + r * lda, lda, step, x, count, width);
#endif
    for (; r + 4 <= n; r += 4)
        accumulate_block(y + r * LANES, 4, a + r * lda, lda, step, x, count, width);
    for (; r < n; r++)
        accumulate_block(y + r * LANES, 1, a + r * lda, lda, step, x, count, width);
}

/* ---- The steps of a tile --------------------------------------------------------------------- */

static void tile_start(tile *t, const attend_job *job, float *scratch)
{
    size_t d = job->d;
    t->padded = vectors(d) * VL;
    t->embedding = scratch;
    t->rows = t->embedding + t->padded;
    t->query = t->rows + t->padded * LANES;
    t->sum = t->query + d * LANES;
    t->score = t->sum + d * LANES;
    t->learned = t->score + (NEIGHBOURS + job->K) * LANES;
    t->bias_row = (int32_t *)(t->learned + NEIGHBOURS * LANES);
    t->bias_col = t->bias_row + job->key_side * LANES;
    for (size_t i = 0; i < vectors(d); i++)
        vec_store(t->embedding + i * VL, row_vector(job->query_embedding, i, d));
    for (size_t j = 0; job->k && j < NEIGHBOURS; j++) {
        t->learned_shift[j] = job->learnable_bias[j];
        for (size_t i = 0; i < d; i++)
            t->learned_shift[j] -= job->query_embedding[i] * job->learnable_tokens[j * d + i];
    }
}

/* Where each token lies, and who its neighbours are. Idle lanes repeat the last token. */
INLINE void locate(tile *t, const attend_job *job, const uint32_t *tokens, size_t n, size_t width)
{
    int32_t side = (int32_t)job->side, outside = side * side, token[LANES], inside[LANES];
    float per_side = 1.0f / (float)side;
    for (size_t l = 0; l < width; l++) {
        token[l] = (int32_t)tokens[l < n ? l : n - 1];
        inside[l] = 0;
        t->gate[l] = job->gate[(size_t)token[l] * job->ldgate];
    }
#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        t->y[l] = (int32_t)(((float)token[l] + 0.5f) * per_side); // exact: never near a whole number
        t->x[l] = token[l] - t->y[l] * side;
    }
    for (int32_t j = 0; job->k && j < NEIGHBOURS; j++) {
        int32_t down = j / 3 - 1, right = j % 3 - 1;
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            uint32_t y = (uint32_t)(t->y[l] + down), x = (uint32_t)(t->x[l] + right); // −1 is a large number
            int32_t in = (y < (uint32_t)side) & (x < (uint32_t)side);
            t->neighbour[j][l] = in ? token[l] + down * side + right : outside;
            inside[l] += in;
        }
    }
    for (size_t l = 0; l < width; l++)
        t->scale[l] = job->scale[inside[l]];
}

/* q̃ in rows and in lanes. */
INLINE void load_queries(tile *t, const attend_job *job, const uint32_t *rows, size_t n, size_t d,
                         size_t width)
{
    size_t count = vectors(d), padded = count * VL;
    float factor[LANES];
    const float *query[LANES];
    for (size_t l = 0; l < width; l++)
        query[l] = job->q + (size_t)rows[l < n ? l : n - 1] * job->ldq;
    for (size_t l = 0; l < width; l += VL) {
        vec squares[VL];
        UNROLL(16)
        for (size_t r = 0; r < VL; r++) {
            squares[r] = (vec){0};
            for (size_t i = 0; i < count; i++) {
                vec x = row_vector(query[l + r], i, d);
                squares[r] += x * x;
            }
        }
        vec norm = vec_sqrt(vec_sums(squares));
        vec_store(factor + l, 1.0f / vec_max(norm, vec_set(1e-12f)));
    }
    for (size_t l = 0; l < width; l++)
        for (size_t i = 0; i < count; i++) {
            vec x = row_vector(query[l], i, d) * factor[l] + vec_load(t->embedding + i * VL);
            vec_store(t->rows + l * padded + i * VL, x * t->scale[l]);
        }
    rows_to_lanes(t->query, t->rows, d, width);
}

/* Scores of the 3×3 neighbourhood, −∞ outside the image, and the learnable part, which sees q̂ = q̃/scale −
 * embedding. */
INLINE void local_scores(tile *t, const attend_job *job, size_t d, size_t width)
{
    memset(t->learned, 0, NEIGHBOURS * LANES * sizeof *t->learned);
    accumulate(t->learned, NEIGHBOURS, job->learnable_tokens, d, 1, t->query, d, width);
    for (size_t j = 0; j < NEIGHBOURS; j++) {
        float *score = t->score + j * LANES, *learned = t->learned + j * LANES;
        dot_rows(score, t->rows, job->k, job->ldkv, t->neighbour[j], d, width);
        for (size_t l = 0; l < width; l += VL) {
            ivec inside;
            memcpy(&inside, t->neighbour[j] + l, sizeof inside);
            inside = inside < (int32_t)(job->side * job->side);
            vec_store(score + l,
                      vec_select(inside, vec_load(score + l) + job->local_bias[j], vec_set(-INFINITY)));
            vec_store(learned + l, vec_load(learned + l) / vec_load(t->scale + l) + t->learned_shift[j]);
        }
    }
}

/* Position bias of every shared key, looked up lane by lane. */
INLINE void look_up_bias(tile *t, const attend_job *job, float *bias, size_t width)
{
    size_t P = job->key_side;
    for (size_t p = 0; p < P; p++)
        for (size_t l = 0; l < width; l++) {
            t->bias_row[p * LANES + l] = job->bias_offset[(size_t)t->y[l] * P + p] * (int32_t)job->bias_side;
            t->bias_col[p * LANES + l] = job->bias_offset[(size_t)t->x[l] * P + p];
        }
    const int32_t *row = t->bias_row;
    for (size_t ky = 0; ky < P; ky++, row += LANES) {
        const int32_t *col = t->bias_col;
        for (size_t kx = 0; kx < P; kx++, col += LANES, bias += LANES)
#pragma omp simd
            for (size_t l = 0; l < width; l++)
                bias[l] = job->bias[row[l] + col[l]];
    }
}

#ifdef VEC_PERMUTE
/* The same where a step along the image row is a step along the table's row (bias_steady). Lanes of one
 * segment of an image row, less than VL tokens, read one window of VL numbers: a load and a permutation, ten
 * times as fast as a gather. */
#define SEGMENTS 6 // more are rare: half of an image's tokens fill a vector from four rows of 14

typedef struct {
    size_t count;
    ivec lanes[SEGMENTS];             // of its tokens and all that come later
    int32_t y[SEGMENTS], x[SEGMENTS]; // of its first token
    ivec at;                          // where each token's number lies in its window
} segments;

/* Of tokens `first` … first+VL−1 of the tile; false where they are too scattered. */
INLINE bool find_segments(segments *found, const tile *t, size_t first)
{
    size_t s = 0;
    for (size_t l = 0; l < VL; l++) {
        int32_t y = t->y[first + l], x = t->x[first + l];
        if (!s || y != found->y[s - 1] || (uint32_t)(x - found->x[s - 1]) >= VL) { // left of it is far, too
            if (s == SEGMENTS)
                return false;
            found->lanes[s] = vec_lanes() >= (int32_t)l;
            found->y[s] = y;
            found->x[s++] = x;
        }
        found->at[l] = x - found->x[s - 1];
    }
    found->count = s;
    return true;
}

/* count is a constant where this is inlined. */
INLINE void look_through(const segments *in, size_t count, const attend_job *job, float *bias)
{
    size_t P = job->key_side;
    for (size_t ky = 0; ky < P; ky++) {
        const float *row[SEGMENTS];
        for (size_t s = 0; s < count; s++)
            row[s] = job->bias + job->bias_offset[(size_t)in->y[s] * P + ky] * (ptrdiff_t)job->bias_side +
                     in->x[s];
        for (size_t kx = 0; kx < P; kx++, bias += LANES) {
            ptrdiff_t col = job->bias_offset[kx];
            vec value = {0};
            UNROLL(6)
            for (size_t s = 0; s < count; s++)
                value = VEC_PERMUTE(in->lanes[s], vec_load(row[s] + col), in->at, value);
            vec_store(bias, value);
        }
    }
}

INLINE bool window_bias(const tile *t, const attend_job *job, float *bias, size_t width)
{
    segments found[2];
    for (size_t half = 0; half * VL < width; half++)
        if (!find_segments(&found[half], t, half * VL))
            return false;
    for (size_t half = 0; half * VL < width; half++) {
        const segments *in = &found[half];
        float *to = bias + half * VL;
        /* clang-format off */
        switch (in->count) {
        case 1: look_through(in, 1, job, to); break;
        case 2: look_through(in, 2, job, to); break;
        case 3: look_through(in, 3, job, to); break;
        case 4: look_through(in, 4, job, to); break;
        case 5: look_through(in, 5, job, to); break;
        case 6: look_through(in, 6, job, to); break;
        }
        /* clang-format on */
    }
    return true;
}
#endif

/* Scores of the shared keys, which start from their position bias. */
INLINE void shared_scores(tile *t, const attend_job *job, float *score, size_t d, size_t width)
{
#ifdef VEC_PERMUTE
    if (!job->bias_steady || !window_bias(t, job, score, width))
#endif
        look_up_bias(t, job, score, width);
    accumulate(score, job->K, job->keys, d, 1, t->query, d, width);
}

/* score (count) lanes → e^(score − max); the reciprocal of each lane's sum goes to inverse (LANES). */
INLINE void softmax_numerators(float *score, size_t count, float *inverse, size_t width)
{
    for (size_t l = 0; l < width; l += VL) {
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
INLINE void store_outputs(tile *t, const attend_job *job, const uint32_t *rows, size_t n, size_t d,
                          const float *inverse, size_t width)
{
    size_t locals = job->k ? NEIGHBOURS : 0, count = vectors(d);
    for (size_t l = 0; l < width; l += VL) {
        vec gate = vec_load(t->gate + l), factor = vec_load(inverse + l) * gate;
        for (size_t i = 0; i < d; i++)
            vec_store(t->sum + i * LANES + l, vec_load(t->sum + i * LANES + l) * factor);
        for (size_t j = 0; j < locals; j++)
            vec_store(t->score + j * LANES + l, vec_load(t->score + j * LANES + l) * factor +
                                                    vec_load(t->learned + j * LANES + l) * gate);
    }
    lanes_to_rows(t->rows, t->sum, d, width);
    for (size_t l = 0; l < n; l++) {
        const float *row = t->rows + l * count * VL;
        float *out = job->out + rows[l] * job->ldout;
        if (d < VL) {
            for (size_t i = 0; i < d; i++) {
                float sum = row[i];
                for (size_t j = 0; j < locals; j++)
                    sum += t->score[j * LANES + l] * job->v[(size_t)t->neighbour[j][l] * job->ldkv + i];
                out[i] = sum;
            }
            continue;
        }
        for (size_t i = 0; i < count; i += 2) {
            size_t both = i + 1 < count, at[2] = {vector_at(i, d), vector_at(i + both, d)};
            vec sum[2] = {vec_load(row + i * VL), vec_load(row + (i + both) * VL)};
            if (locals) {
                UNROLL(9)
                for (size_t j = 0; j < NEIGHBOURS; j++) {
                    float weight = t->score[j * LANES + l];
                    const float *v = job->v + (size_t)t->neighbour[j][l] * job->ldkv;
                    sum[0] += weight * vec_load(v + at[0]);
                    sum[1] += weight * vec_load(v + at[1]);
                }
            }
            vec_store(out + at[0], sum[0]);
            vec_store(out + at[1], sum[1]);
        }
    }
}

INLINE void attend_tile(tile *t, const attend_job *job, size_t first, size_t n, size_t d, size_t width)
{
    const uint32_t *tokens = job->tokens + first, *rows = job->rows + first;
    size_t locals = job->k ? NEIGHBOURS : 0;
    float *shared = t->score + locals * LANES, inverse[LANES];
    locate(t, job, tokens, n, width);
    load_queries(t, job, rows, n, d, width);
    if (locals)
        local_scores(t, job, d, width);
    shared_scores(t, job, shared, d, width);
    softmax_numerators(t->score, locals + job->K, inverse, width);
    memset(t->sum, 0, d * LANES * sizeof *t->sum);
    accumulate(t->sum, d, job->values, 1, d, shared, job->K, width);
    store_outputs(t, job, rows, n, d, inverse, width);
}

static size_t attend(const attend_job *job, float *scratch)
{
    tile t;
    tile_start(&t, job, scratch);
    for (size_t first = 0; first < job->count; first += LANES) {
        size_t n = job->count - first < LANES ? job->count - first : LANES;
        if (job->d != 24)
            attend_tile(&t, job, first, n, job->d, LANES);
        else if (n > VL) // every published variant: loops of a known length
            attend_tile(&t, job, first, n, 24, LANES);
        else
            attend_tile(&t, job, first, n, 24, VL);
    }
    return job->count;
}

void NAMED(add_attend)(kernels *k)
{
    k->attend = attend;
    k->attend_scratch = attend_scratch;
}

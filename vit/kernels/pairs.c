/* Products of the selected (token, head) pairs alone (kernels.h, pair_queries and pair_sums), over weights as
 * gemm_native.c packs them for PRECISION_F32. Compiled once per instruction set.
 *
 * Prefetching the next head's weights: q with kv of moh_transnext_base_50 takes 31.9 ms instead of 33.0, proj
 * 6.3 instead of 7.6.
 *
 * As there, an output is a sum whose order depends on nothing but the layer and, here, on which heads its own
 * token selected: what other tokens do changes no bit. */
#include "vit/kernels/build.h"

#if VL >= 8

#define D       PAIR_CHANNELS
#define VECTORS ((D + VL - 1) / VL) /* that hold the channels of a head, wherever it begins */

#if VECTOR_REGISTERS == 32
#define HEIGHTS UP_TO_14
#define ROWS    14 /* 28 sums */
#else
#define HEIGHTS UP_TO_4
#define ROWS    4 /* 12 sums */
#endif

/* As in gemm_native.c, for the same reason. */
#define CHAIN 72

/* ---- Queries ----------------------------------------------------------------------------------- */

/* w: the head's vectors at input 0, PANEL from input to input, and those of the head that comes next, to be
 * fetched meanwhile; x: the rows of y. */
INLINE void query_block(float *sums, const float *const *x, const float *const *w, size_t in, size_t rows)
{
    size_t chains = (in - 1) / CHAIN + 1, i = 0;
    for (size_t chain = 1; chain <= chains; chain++) {
        vec sum[ROWS][VECTORS];
        UNROLL(16)
        for (size_t r = 0; r < rows; r++) {
            UNROLL(4)
            for (size_t v = 0; v < VECTORS; v++)
                sum[r][v] = (vec){0};
        }
        for (size_t end = chain * in / chains; i < end; i++) {
            vec weight[VECTORS];
            UNROLL(4)
            for (size_t v = 0; v < VECTORS; v++)
                weight[v] = vec_load(w[v] + i * PANEL);
            UNROLL(4)
            for (size_t v = 0; v < VECTORS; v++)
                __builtin_prefetch(w[v + VECTORS] + i * PANEL, 0, 2);
            UNROLL(16)
            for (size_t r = 0; r < rows; r++) {
                UNROLL(4)
                for (size_t v = 0; v < VECTORS; v++)
                    sum[r][v] += x[r][i] * weight[v];
            }
        }
        UNROLL(16)
        for (size_t r = 0; r < rows; r++) {
            UNROLL(4)
            for (size_t v = 0; v < VECTORS; v++) {
                float *so_far = sums + (r * VECTORS + v) * VL;
                vec_store(so_far, chain > 1 ? vec_load(so_far) + sum[r][v] : sum[r][v]);
            }
        }
    }
}

/* ---- Sums over heads ----------------------------------------------------------------------------- */

/* Rows `to` of sums (…, PANEL) += x (rows, D) · the head's inputs of a panel. */
INLINE void sum_block(float *sums, const uint32_t *to, const float *x, const float *panel, size_t rows)
{
    vec sum[ROWS][2];
    UNROLL(16)
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = (vec){0};
    for (size_t i = 0; i < D; i++) {
        vec w0 = vec_load(panel + i * PANEL), w1 = vec_load(panel + i * PANEL + VL);
        __builtin_prefetch(panel + (D + i) * PANEL, 0, 2);
        __builtin_prefetch(panel + (D + i) * PANEL + VL, 0, 2);
        UNROLL(16)
        for (size_t r = 0; r < rows; r++) {
            sum[r][0] += x[r * D + i] * w0;
            sum[r][1] += x[r * D + i] * w1;
        }
    }
    UNROLL(16)
    for (size_t r = 0; r < rows; r++) {
        float *so_far = sums + to[r] * PANEL;
        vec_store(so_far, vec_load(so_far) + sum[r][0]);
        vec_store(so_far + VL, vec_load(so_far + VL) + sum[r][1]);
    }
}

/* ---- Blocks of every height ------------------------------------------------------------------------ */

typedef void query_function(float *sums, const float *const *x, const float *const *w, size_t in);
typedef void sum_function(float *sums, const uint32_t *to, const float *x, const float *panel);

#define BLOCK(rows)                                                                                          \
    static void query_block_##rows(float *sums, const float *const *x, const float *const *w, size_t in)     \
    {                                                                                                        \
        query_block(sums, x, w, in, rows);                                                                   \
    }                                                                                                        \
    static void sum_block_##rows(float *sums, const uint32_t *to, const float *x, const float *panel)        \
    {                                                                                                        \
        sum_block(sums, to, x, panel, rows);                                                                 \
    }

#define QUERY_BLOCK(rows) query_block_##rows,
#define SUM_BLOCK(rows)   sum_block_##rows,

HEIGHTS(BLOCK)
static query_function *const query_blocks[ROWS] = {HEIGHTS(QUERY_BLOCK)};
static sum_function *const sum_blocks[ROWS] = {HEIGHTS(SUM_BLOCK)};

static void pair_queries_run(const pair_queries *job)
{
    _Alignas(64) float sums[ROWS * VECTORS * VL];
    const float *w[2 * VECTORS], *x[ROWS];
    size_t shift = job->first % VL, blocks = (job->count + ROWS - 1) / ROWS;
    for (size_t v = 0; v < 2 * VECTORS; v++) { // next is the head after the next: head_of_task
        size_t at = job->first / VL + (v < VECTORS ? v : v - VECTORS + 2 * D / VL);
        w[v] = job->packed + at / 2 * PANEL * job->in + at % 2 * VL;
    }
    for (size_t b = 0; b < blocks; b++) { // of nearly the same height
        size_t begin = b * job->count / blocks, rows = (b + 1) * job->count / blocks - begin;
        for (size_t r = 0; r < rows; r++)
            x[r] = job->y + job->tokens[begin + r] * job->in;
        query_blocks[rows - 1](sums, x, w, job->in);
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < D; i++)
                job->rows[(begin + r) * D + i] =
                    sums[r * VECTORS * VL + shift + i] + job->bias[job->first + i];
    }
}

/* The first place in an ascending list (n) of a number that is not below `value`. */
static size_t lower_bound(const uint32_t *list, size_t n, size_t value)
{
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (list[middle] < value)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

static void pair_sums_run(const pair_sums *job)
{
    _Alignas(64) float sums[PAIR_TOKENS * PANEL];
    uint32_t to[PAIR_TOKENS];
    size_t tokens = job->end - job->first, in = job->heads * D;
    for (size_t col = job->col; col < job->col + PAIR_OUTPUTS; col += PANEL) {
        for (size_t r = 0; r < tokens; r++)
            memcpy(sums + r * PANEL, job->bias + col, PANEL * sizeof *sums);
        for (size_t head = 0; head < job->heads; head++) {
            const uint32_t *list = job->lists + head * job->N;
            size_t begin = lower_bound(list, job->counts[head], job->first), n = 0;
            for (; begin + n < job->counts[head] && list[begin + n] < job->end; n++)
                to[n] = list[begin + n] - (uint32_t)job->first;
            const float *x = job->rows + (head * job->N + begin) * D;
            const float *panel = job->packed + col * in + head * D * PANEL;
            size_t blocks = (n + ROWS - 1) / ROWS;
            for (size_t b = 0; b < blocks; b++) {
                size_t from = b * n / blocks, rows = (b + 1) * n / blocks - from;
                sum_blocks[rows - 1](sums, to + from, x + from * D, panel);
            }
        }
        for (size_t r = 0; r < tokens; r++)
            for (size_t v = 0; v < 2; v++) {
                float *x = job->x + (job->first + r) * in + col + v * VL;
                vec_store(x, vec_load(x) + vec_load(sums + r * PANEL + v * VL));
            }
    }
}

#endif

void NAMED(add_pairs)(kernels *k)
{
#if VL >= 8
    k->pairs = (pair_kernels){pair_queries_run, pair_sums_run};
#else
    (void)k;
#endif
}

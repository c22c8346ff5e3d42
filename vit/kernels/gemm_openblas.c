#include "base/memory.h"
#include "vit/kernels/gemm.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>

/* OpenBLAS must not start threads of its own: our tiles already fill the cores, and a call that it splits
 * rounds differently. Its two flavours need different words for that. The pthread flavour has one count for
 * the process. The openmp flavour goes by the caller's OpenMP count, which openblas_set_num_threads sets as
 * well; inside an active region it stays alone anyway. So each caller sets 1 and gets its OpenMP count back,
 * and the process-wide count comes back when the last of the overlapping callers leaves. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t callers;
static int process_threads;

static void openblas_run(size_t threads, void (*body)(void *arg, team *t), void *arg)
{
    int omp_threads = omp_get_max_threads();
    pthread_mutex_lock(&lock);
    if (callers++ == 0)
        process_threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    pthread_mutex_unlock(&lock);
    parallel_run(threads, body, arg);
    pthread_mutex_lock(&lock);
    if (--callers == 0)
        openblas_set_num_threads(process_threads);
    pthread_mutex_unlock(&lock);
    omp_set_num_threads(omp_threads);
}

/* OpenBLAS repacks its share of the weights at each call, so rows are split little: about 196 of them keep
 * the packing below a third of the work, and a tile of some 75,000 outputs stays in L2. Fewer than four tiles
 * would leave threads idle. Its rounding differs with the shape of a call, so these tiles are what makes an
 * image's result its own. */
#define TILE_ROWS    196
#define TILE_OUTPUTS 75264
#define MIN_TILES    4

static gemm_tiles openblas_tiling(size_t N, size_t out)
{
    gemm_tiles t;
    size_t row_tiles = (N + TILE_ROWS / 2) / TILE_ROWS;
    t.rows = divide_up(N, row_tiles ? row_tiles : 1);
    row_tiles = divide_up(N, t.rows);
    size_t col_tiles = divide_up(t.rows * out, TILE_OUTPUTS);
    if (row_tiles * col_tiles < MIN_TILES)
        col_tiles = divide_up(MIN_TILES, row_tiles);
    t.cols = divide_up(divide_up(out, col_tiles), 16) * 16; // whole vectors
    if (t.cols > out)
        t.cols = out;
    return t;
}

static size_t openblas_packed_bytes(size_t out, size_t in)
{
    return out * in * sizeof(float);
}

/* (in, out): OpenBLAS copies it faster than the checkpoint's (out, in). */
static void openblas_pack(void *packed, const float *w, size_t out, size_t in)
{
    transpose(packed, w, out, in);
}

/* Inputs that OpenBLAS sums at once, at most; left alone it takes some 300. moh_transnext_base_75's largest
 * error of a logit is 0.8e-4 by every instruction set with these, 0.9e-4 to 1.1e-4 without, and the time is
 * the same. */
#define CHAIN 96

static void openblas_multiply(const gemm_tile *t)
{
    const kernels *k = t->kernels;
    // The product is added to the bias, which is cheaper than a bias added to the product: y need not be
    // cleared.
    (t->accumulate ? k->add_bias : k->set_bias)(t->y, t->ldy, t->rows, t->cols, t->bias + t->col);
    size_t chains = divide_up(t->in, CHAIN);
    for (size_t c = 0, first = 0, end; c < chains; c++, first = end) {
        end = t->in * (c + 1) / chains;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)t->rows, (blasint)t->cols,
                    (blasint)(end - first), 1.0f, (const float *)t->x + first,
                    (blasint)(t->stride / sizeof(float)), (const float *)t->packed + first * t->out + t->col,
                    (blasint)t->out, 1.0f, t->y, (blasint)t->ldy);
    }
}

static const gemm_kernels functions = {openblas_packed_bytes, openblas_pack, NULL, NULL, openblas_multiply};

const gemm gemm_openblas = {"openblas", PRECISION_F32, openblas_run, openblas_tiling, false, &functions};

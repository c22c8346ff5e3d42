#include "base/library.h"
#include "base/memory.h"
#include "vit/kernels/gemm.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Loading ----------------------------------------------------------------------------------- */

/* OpenBLAS is loaded when it is first used: it starts threads, and takes address space for each, whether or
 * not anybody multiplies. It stays, since threads of its own cannot be unloaded. */
static struct {
    __typeof__(cblas_sgemm) *sgemm;
    __typeof__(openblas_get_num_threads) *get_threads;
    __typeof__(openblas_set_num_threads) *set_threads;
    __typeof__(openblas_get_config) *get_config;
    __typeof__(openblas_get_corename) *get_corename;
} blas;

bool (*gemm_openblas_rename_core)(const char *core);

/* Of its products, whose rounding depends on the core. */
static char core_name[64] = "openblas_";

static void *load_as_it_is(char *why, size_t size)
{
    static const library_function functions[] = {
        {&blas.sgemm, "cblas_sgemm"},
        {&blas.get_threads, "openblas_get_num_threads"},
        {&blas.set_threads, "openblas_set_num_threads"},
        {&blas.get_config, "openblas_get_config"},
        {&blas.get_corename, "openblas_get_corename"},
    };
    return library_load(OPENBLAS_LIBRARY, functions, sizeof functions / sizeof *functions, why, size);
}

/* OpenBLAS looks for the name of a core but once: to have another, it is loaded again. */
static bool load(char *why, size_t size)
{
    void *library = load_as_it_is(why, size);
    if (library && gemm_openblas_rename_core && gemm_openblas_rename_core(blas.get_corename())) {
        library_unload(library);
        library = load_as_it_is(why, size);
    }
    if (library)
        snprintf(core_name, sizeof core_name, "openblas_%s", blas.get_corename());
    return library;
}

/* ---- Room -------------------------------------------------------------------------------------- */

/* What a thread that multiplies takes of the address space, on processors where it takes most. OpenBLAS keeps
 * it for the next one that comes, and where it is not there it asks for it for ever. So a thread waits for
 * another to leave, unless there is room for one more: and as much again, since others may ask for memory
 * between the look and the call. */
#define ROOM_BYTES ((size_t)128 << 20)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t left;
    size_t inside; // threads that multiply
    size_t most;   // that have had room to; gemm_openblas_load sees to the first one's
} room = {.lock = PTHREAD_MUTEX_INITIALIZER, .left = PTHREAD_COND_INITIALIZER, .most = 1};

static void enter(void)
{
    pthread_mutex_lock(&room.lock);
    if (room.inside == room.most && memory_has_room(2 * ROOM_BYTES))
        room.most++;
    while (room.inside == room.most)
        pthread_cond_wait(&room.left, &room.lock);
    room.inside++;
    pthread_mutex_unlock(&room.lock);
}

static void leave(void)
{
    pthread_mutex_lock(&room.lock);
    room.inside--;
    pthread_cond_signal(&room.left);
    pthread_mutex_unlock(&room.lock);
}

/* ---- Running ----------------------------------------------------------------------------------- */

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
        process_threads = blas.get_threads();
    blas.set_threads(1);
    pthread_mutex_unlock(&lock);
    parallel_run(threads, body, arg);
    pthread_mutex_lock(&lock);
    if (--callers == 0)
        blas.set_threads(process_threads);
    pthread_mutex_unlock(&lock);
    omp_set_num_threads(omp_threads);
}

/* ---- Ready ------------------------------------------------------------------------------------- */

#define FEW 128 // rows and columns, but enough that OpenBLAS takes its room

static void multiply_zeros(void *zeros, team *t)
{
    (void)t;
    const float *from = zeros;
    blas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, FEW, FEW, FEW, 1.0f, from, FEW, from, FEW, 1.0f,
               (float *)zeros + FEW * FEW, FEW);
}

/* For the first thread, and for good: OpenBLAS keeps it. */
static bool take_room(void)
{
    float *zeros = calloc((size_t)2 * FEW * FEW, sizeof *zeros);
    bool fits = zeros && memory_has_room(ROOM_BYTES);
    if (fits)
        openblas_run(1, multiply_zeros, zeros);
    free(zeros);
    return fits;
}

mohvit_status gemm_openblas_load(mohvit_error *err)
{
    static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded, ready;
    char why[256];
    mohvit_status status = MOHVIT_OK;
    pthread_mutex_lock(&loading);
    if (!loaded && !(loaded = load(why, sizeof why)))
        status = error_set(err, MOHVIT_ERROR_IO,
                           "OpenBLAS cannot be loaded: %s; install the package libopenblas0, or choose the "
                           "backend \"native\" (--backend native), which is slow where the processor has no "
                           "AVX2",
                           why);
    else if (!ready && !(ready = take_room()))
        status = error_set(err, MOHVIT_ERROR_MEMORY,
                           "OpenBLAS needs %zu MiB of address space for each thread, more than is left",
                           ROOM_BYTES >> 20);
    pthread_mutex_unlock(&loading);
    return status;
}

const char *gemm_openblas_version(void)
{
    return gemm_openblas_load(NULL) ? NULL : blas.get_config();
}

/* ---- Products ---------------------------------------------------------------------------------- */

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
    t.cols = divide_up(divide_up(out, col_tiles), 16) * 16; // whole vectors; the last tile has what is left
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
    enter();
    for (size_t c = 0, first = 0, end; c < chains; c++, first = end) {
        end = t->in * (c + 1) / chains;
        blas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)t->rows, (blasint)t->cols,
                   (blasint)(end - first), 1.0f, (const float *)t->x + first,
                   (blasint)(t->stride / sizeof(float)), (const float *)t->packed + first * t->out + t->col,
                   (blasint)t->out, 1.0f, t->y, (blasint)t->ldy);
    }
    leave();
}

static const gemm_kernels functions = {core_name, openblas_packed_bytes, openblas_pack, NULL,
                                       NULL,      openblas_multiply};

const gemm gemm_openblas = {"openblas", PRECISION_F32, openblas_run, openblas_tiling, false, &functions};

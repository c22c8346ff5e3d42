#include "gemm.h"
#include "linear.h"
#include "parallel.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const gemm *const backends[] = {&gemm_native, &gemm_openblas};

#define BACKENDS (sizeof backends / sizeof *backends)

const gemm *gemm_available(size_t index)
{
    return index < BACKENDS ? backends[index] : NULL;
}

mohvit_status gemm_choose(const gemm **out, const char *name, const kernels *k, mohvit_error *err)
{
    if (!name || !strcmp(name, "auto"))
        name = strcmp(k->isa, "baseline") ? "native" : "openblas";
    for (size_t i = 0; i < BACKENDS; i++)
        if (!strcmp(backends[i]->name, name)) {
            *out = backends[i];
            return MOHVIT_OK;
        }
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "backend \"%s\"; expected auto, native or openblas", name);
}

/* ---- The native backend ------------------------------------------------------------------------ */

static void native_enter(gemm_saved *saved)
{
    *saved = (gemm_saved){0};
}

static void native_leave(const gemm_saved *saved)
{
    (void)saved;
}

/* Any cut gives the same bits here. Tall tiles read the weights once for many rows; narrow ones make enough
 * of them to share evenly, down to one panel. */
static gemm_tiles native_tiling(size_t N, size_t out)
{
    enum { ROWS = 196, PANEL = 32, TILES = 16, MAX_PANELS = 6 };
    size_t row_tiles = divide_up(N, ROWS), panels = divide_up(out, PANEL);
    size_t wide = panels * row_tiles / TILES;
    wide = wide < 1 ? 1 : wide > MAX_PANELS ? MAX_PANELS : wide;
    return (gemm_tiles){.rows = divide_up(N, row_tiles), .cols = wide * PANEL};
}

static size_t native_packed(const kernels *k, size_t out, size_t in)
{
    return k->gemm_packed(out, in);
}

static void native_pack(const kernels *k, float *packed, const float *w, size_t out, size_t in)
{
    k->gemm_pack(packed, w, out, in);
}

static void native_multiply(const kernels *k, float *y, size_t ldy, const float *x, size_t ldx,
                            const float *packed, const float *bias, size_t rows, size_t in, size_t out,
                            size_t col, size_t cols, bool accumulate)
{
    (void)out;
    k->gemm_multiply(y, ldy, x, ldx, packed, bias, rows, in, col, cols, accumulate);
}

const gemm gemm_native = {"native",      native_enter, native_leave,   native_tiling,
                          native_packed, native_pack,  native_multiply};

/* ---- What the processor can do ------------------------------------------------------------------- */

typedef struct {
    const gemm *gemm;
    const kernels *kernels;
    size_t N;
    linear layer;
    float *x, *y;
    double best; // seconds
} peak_job;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void peak_run(void *arg, team *t)
{
    peak_job *job = arg;
    linear_call call = {&job->layer, job->x, job->layer.in, job->y, job->layer.out, job->N, false};
    double start = seconds_now();
    for (int i = 0; i < 100 && (i < 3 || seconds_now() - start < 0.1); i++) {
        double before = seconds_now();
        linear_forward(&call, 1, job->gemm, job->kernels, t);
        double took = seconds_now() - before;
        job->best = took < job->best ? took : job->best;
    }
}

/* GFLOP/s of N × in × out; 0 without memory. */
static double peak_of(const gemm *g, const kernels *k, size_t threads, size_t N, size_t in, size_t out)
{
    peak_job job = {.gemm = g, .kernels = k, .N = N, .best = 1e9};
    float *packed = memory_alloc(g->packed(k, out, in), sizeof *packed);
    float *weight = calloc(out * in, sizeof *weight), *bias = calloc(out, sizeof *bias);
    job.x = calloc(N * in, sizeof *job.x);
    job.y = calloc(N * out, sizeof *job.y);
    bool ready = packed && weight && bias && job.x && job.y;
    if (ready) {
        gemm_saved saved;
        g->pack(k, packed, weight, out, in);
        job.layer = (linear){in, out, packed, bias};
        g->enter(&saved);
        parallel_run(threads, peak_run, &job);
        g->leave(&saved);
    }
    free(packed);
    free(weight);
    free(bias);
    free(job.x);
    free(job.y);
    return ready ? 2e-9 * (double)N * (double)in * (double)out / job.best : 0;
}

double gemm_peak_gflops(size_t threads)
{
    const size_t shapes[][3] = {{784, 512, 1536}, {1568, 1024, 1536}, {1536, 1536, 1536}};
    const kernels *k = NULL;
    double best = 0;
    if (kernels_choose(&k, NULL))
        return 0;
    for (size_t b = 0; b < BACKENDS; b++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            double rate = peak_of(backends[b], k, threads, shapes[s][0], shapes[s][1], shapes[s][2]);
            best = rate > best ? rate : best;
        }
    return best;
}

#include "base/clock.h"
#include "base/memory.h"
#include "vit/kernels/linear.h"

#include <stdlib.h>

/* ---- Large products ------------------------------------------------------------------------------ */

#define PEAK_GAP 16 // floats between rows, which would else share few sets of the L1 cache

typedef struct {
    const kernels *kernels;
    size_t N;
    linear layer;
    float *x, *y;
    double best; // seconds
} peak_job;

static void peak_run(void *arg, team *t)
{
    peak_job *job = arg;
    operand x = {job->x, (job->layer.in + PEAK_GAP) * sizeof *job->x};
    linear_call call = {&job->layer, x, job->y, job->layer.out, job->N, false};
    double start = clock_seconds();
    for (int i = 0; i < 100 && (i < 3 || clock_seconds() - start < 0.1); i++) {
        double before = clock_seconds();
        linear_forward(&call, 1, job->kernels, t);
        double took = clock_seconds() - before;
        job->best = took < job->best ? took : job->best;
    }
}

double gemm_rate(const gemm *g, const kernels *k, size_t threads, size_t N, size_t in, size_t out)
{
    peak_job job = {.kernels = k, .N = N, .best = 1e9};
    const gemm_kernels *functions = gemm_functions(g, k);
    void *packed = memory_alloc(functions->packed_bytes(out, in), 1);
    float *weight = calloc(out * in, sizeof *weight), *bias = calloc(out, sizeof *bias);
    job.x = calloc(N * (in + PEAK_GAP), sizeof *job.x);
    job.y = calloc(N * out, sizeof *job.y);
    bool ready = packed && weight && bias && job.x && job.y;
    if (ready) {
        functions->pack(packed, weight, out, in);
        job.layer = (linear){in, out, g, packed, bias};
        g->run(threads, peak_run, &job);
    }
    free(packed);
    free(weight);
    free(bias);
    free(job.x);
    free(job.y);
    return ready ? 2e-9 * (double)N * (double)in * (double)out / job.best : 0;
}

/* The speed under AddressSanitizer is of no interest, and whole shapes take 13 s of processor time there. */
#ifdef __SANITIZE_ADDRESS__
#define FEWER_ROWS 16
#else
#define FEWER_ROWS 1
#endif

double gemm_peak_gflops(size_t threads)
{
    const size_t shapes[][3] = {{784, 512, 1536}, {1568, 1024, 1536}, {1536, 1536, 1536}};
    const kernels *k = NULL;
    double best = 0;
    if (kernels_choose(&k, NULL))
        return 0;
    const gemm *g;
    for (size_t b = 0; (g = gemm_available(b)); b++)
        for (size_t s = 0; g->precision == PRECISION_F32 && s < sizeof shapes / sizeof *shapes; s++) {
            size_t rows = shapes[s][0] / FEWER_ROWS;
            double rate = gemm_rate(g, k, threads, rows, shapes[s][1], shapes[s][2]);
            best = rate > best ? rate : best;
        }
    return best;
}

/* ---- Multiply-adds alone ------------------------------------------------------------------------- */

#define ROUNDS 200000 // about a millisecond: threads need microseconds to begin

typedef struct {
    const kernels *kernels;
    double best; // multiply-adds a second
} fma_job;

static void fma_task(void *arg, size_t task, size_t worker)
{
    const fma_job *job = arg;
    float y[MULTIPLY_ADDS_MAX] = {0};
    (void)task, (void)worker;
    job->kernels->multiply_adds(y, 0.5f, 1, ROUNDS);
}

static void fma_run(void *arg, team *t)
{
    fma_job *job = arg;
    float y[MULTIPLY_ADDS_MAX] = {0};
    double numbers = (double)job->kernels->multiply_adds(y, 0.5f, 1, 1), tasks = (double)parallel_size(t);
    double start = clock_seconds();
    for (int i = 0; i < 3 || clock_seconds() - start < 0.1; i++) {
        double before = clock_seconds();
        parallel_for(t, parallel_size(t), fma_task, job);
        double rate = tasks * numbers * ROUNDS / (clock_seconds() - before);
        job->best = rate > job->best ? rate : job->best;
    }
}

double fma_peak_gflops(size_t threads)
{
    fma_job job = {NULL, 0};
    if (kernels_choose(&job.kernels, NULL))
        return 0;
    parallel_run(threads, fma_run, &job);
    return 2e-9 * job.best;
}

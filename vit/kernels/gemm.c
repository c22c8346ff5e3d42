#include "vit/kernels/gemm.h"
#include "vit/kernels/linear.h"
#include "base/parallel.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const gemm *const backends[] = {&gemm_native_f32, &gemm_native_bf16, &gemm_native_int8,
                                       &gemm_openblas};

#define BACKENDS (sizeof backends / sizeof *backends)

const gemm *gemm_available(size_t index)
{
    return index < BACKENDS ? backends[index] : NULL;
}

static const char *const precisions[PRECISIONS] = {"f32", "bf16", "int8"};

const char *precision_name(precision p)
{
    return precisions[p];
}

const char *gemm_lacks(const gemm *g, const kernels *k)
{
    const char *const instructions[PRECISIONS] = {"", "AVX512-BF16", "AVX512-VNNI"};
    if (g->precision == PRECISION_F32)
        return NULL;
    bool has = k->gemm[g->precision];
#if defined(__x86_64__)
    has = has && (g->precision == PRECISION_BF16 ? __builtin_cpu_supports("avx512bf16")
                                                 : __builtin_cpu_supports("avx512vnni"));
#endif
    return has ? NULL : instructions[g->precision];
}

static bool automatic(const char *name)
{
    return !name || !strcmp(name, "auto");
}

mohvit_status gemm_choose(const gemm **out, const char *name, const char *wanted, const kernels *k,
                          mohvit_error *err)
{
    bool name_known = false, precision_known = false;
    if (automatic(wanted))
        wanted = precisions[PRECISION_F32];
    if (automatic(name)) // native alone has other precisions
        name = strcmp(k->isa, "baseline") == 0 && strcmp(wanted, precisions[PRECISION_F32]) == 0 ? "openblas"
                                                                                                 : "native";
    for (size_t i = 0; i < BACKENDS; i++) {
        const gemm *g = backends[i];
        bool same_name = !strcmp(g->name, name), same_precision = !strcmp(precisions[g->precision], wanted);
        name_known |= same_name;
        precision_known |= same_precision;
        if (!same_name || !same_precision)
            continue;
        const char *lacks = gemm_lacks(g, k);
        if (lacks)
            return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                             "precision %s needs %s, which this processor or its instruction set in use (%s) "
                             "lacks",
                             wanted, lacks, k->isa);
        *out = g;
        return MOHVIT_OK;
    }
    if (!name_known)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "backend \"%s\"; expected auto, native or openblas",
                         name);
    if (!precision_known)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "precision \"%s\"; expected auto, f32, bf16 or int8",
                         wanted);
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "backend %s does not compute in %s", name, wanted);
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
    enum { ROWS = 98, PANEL = 32, TILES = 16, MAX_PANELS = 6 };
    size_t row_tiles = divide_up(N, ROWS), panels = divide_up(out, PANEL);
    size_t wide = panels * row_tiles / TILES;
    wide = wide < 1 ? 1 : wide > MAX_PANELS ? MAX_PANELS : wide;
    return (gemm_tiles){.rows = divide_up(N, row_tiles), .cols = wide * PANEL};
}

/* The entries of a precision, which go on to the kernels'. */
#define NATIVE(name, of)                                                                                     \
    static size_t name##_packed(const kernels *k, size_t out, size_t in)                                     \
    {                                                                                                        \
        return k->gemm[of]->packed(out, in);                                                                 \
    }                                                                                                        \
    static void name##_pack(const kernels *k, void *packed, const float *w, size_t out, size_t in)           \
    {                                                                                                        \
        k->gemm[of]->pack(packed, w, out, in);                                                               \
    }                                                                                                        \
    static UNUSED size_t name##_stride(const kernels *k, size_t in)                                          \
    {                                                                                                        \
        return k->gemm[of]->stride(in);                                                                      \
    }                                                                                                        \
    static UNUSED void name##_encode(const kernels *k, void *rows, const float *x, size_t ldx, size_t n,     \
                                     size_t in)                                                              \
    {                                                                                                        \
        k->gemm[of]->encode(rows, x, ldx, n, in);                                                            \
    }                                                                                                        \
    static void name##_multiply(const kernels *k, const gemm_tile *tile)                                     \
    {                                                                                                        \
        k->gemm[of]->multiply(tile);                                                                         \
    }

NATIVE(f32, PRECISION_F32)
NATIVE(bf16, PRECISION_BF16)
NATIVE(int8, PRECISION_INT8)

const gemm gemm_native_f32 = {"native",   PRECISION_F32, native_enter, native_leave, native_tiling, true,
                              f32_packed, f32_pack,      NULL,         NULL,         f32_multiply};
const gemm gemm_native_bf16 = {"native",    PRECISION_BF16, native_enter, native_leave, native_tiling, true,
                               bf16_packed, bf16_pack,      bf16_stride,  bf16_encode,  bf16_multiply};
const gemm gemm_native_int8 = {"native",    PRECISION_INT8, native_enter, native_leave, native_tiling, true,
                               int8_packed, int8_pack,      int8_stride,  int8_encode,  int8_multiply};

/* ---- What the processor can do ------------------------------------------------------------------- */

#define PEAK_GAP 16 // floats between rows, which would else share few sets of the L1 cache

typedef struct {
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
    operand x = {job->x, (job->layer.in + PEAK_GAP) * sizeof *job->x};
    linear_call call = {&job->layer, x, job->y, job->layer.out, job->N, false};
    double start = seconds_now();
    for (int i = 0; i < 100 && (i < 3 || seconds_now() - start < 0.1); i++) {
        double before = seconds_now();
        linear_forward(&call, 1, job->kernels, t);
        double took = seconds_now() - before;
        job->best = took < job->best ? took : job->best;
    }
}

/* GFLOP/s of N × in × out; 0 without memory. */
static double peak_of(const gemm *g, const kernels *k, size_t threads, size_t N, size_t in, size_t out)
{
    peak_job job = {.kernels = k, .N = N, .best = 1e9};
    void *packed = memory_alloc(g->packed(k, out, in), 1);
    float *weight = calloc(out * in, sizeof *weight), *bias = calloc(out, sizeof *bias);
    job.x = calloc(N * (in + PEAK_GAP), sizeof *job.x);
    job.y = calloc(N * out, sizeof *job.y);
    bool ready = packed && weight && bias && job.x && job.y;
    if (ready) {
        gemm_saved saved;
        g->pack(k, packed, weight, out, in);
        job.layer = (linear){in, out, g, packed, bias};
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
        for (size_t s = 0; backends[b]->precision == PRECISION_F32 && s < sizeof shapes / sizeof *shapes;
             s++) {
            double rate = peak_of(backends[b], k, threads, shapes[s][0], shapes[s][1], shapes[s][2]);
            best = rate > best ? rate : best;
        }
    return best;
}

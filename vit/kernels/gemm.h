/* gemm.h - matrix products behind linear.h: one table for each way to do them.
 *
 * y (N, out) = x (N, in) · Wᵀ + b, or += where accumulate, in tiles that a single thread computes. */
#ifndef MOHVIT_GEMM_H
#define MOHVIT_GEMM_H

#include "base/parallel.h"
#include "vit/kernels/kernels.h"

/* How a product is cut: fixed by shape alone, never by threads or batch. */
typedef struct gemm_tiles {
    size_t rows, cols; /* of a tile; the last ones may be smaller */
} gemm_tiles;

typedef struct gemm {
    const char *name;
    precision precision;

    /* parallel_run, while every multiply is single-threaded, whoever calls it; afterwards all settings are as
     * before. May be called by several threads at a time. */
    void (*run)(size_t threads, void (*body)(void *arg, team *t), void *arg);

    gemm_tiles (*tiling)(size_t N, size_t out);

    bool by_panels; /* outputs from 32·i on lie at packed_bytes(32·i, in): parts are packed on their own */

    const gemm_kernels *functions; /* NULL: those of the kernels */
} gemm;

static inline const gemm_kernels *gemm_functions(const gemm *g, const kernels *k)
{
    return g->functions ? g->functions : &k->gemm[g->precision];
}

/* "native": this project's own kernels (gemm_native.c). "openblas": cblas_sgemm; without `run` where it was
 * left out (no_openblas.c). */
extern const gemm gemm_native[PRECISIONS], gemm_openblas;

/* Loads OpenBLAS, which takes place once; an error says what is missing, and in which package it is. Needed
 * before gemm_openblas runs or multiplies, and done by gemm_available and gemm_choose. */
mohvit_status gemm_openblas_load(mohvit_error *err);

/* NULL, or asked while OpenBLAS is loaded, about the core that it takes the processor for: true where it is
 * to be loaded again, because the environment names another one now. The library changes no environment; this
 * is for the program, to set before. */
extern bool (*gemm_openblas_rename_core)(const char *core);

/* What OpenBLAS says of itself; NULL where it cannot be loaded. */
const char *gemm_openblas_version(void);

/* By the name of the backend; NULL or "auto": native where its kernels are vectorised for the processor, or
 * OpenBLAS was left out, else openblas, whose own are. An error says what is lacking. */
mohvit_status gemm_choose(const gemm **out, const char *name, precision p, const kernels *k,
                          mohvit_error *err);

/* "f32", "bf16", "int8", "f16". */
const char *precision_name(precision p);

/* Every backend that can be loaded in each of its precisions; NULL past the end. */
const gemm *gemm_available(size_t index);

/* Best GFLOP/s of `threads` threads in float32 (peak.c): over a few large products and all backends, in about
 * a second; 0 without memory. And of the instruction set's multiply-adds alone, in a tenth of a second: what
 * efficiency is measured against, since no product of ours can pass it. */
double gemm_peak_gflops(size_t threads);
double fma_peak_gflops(size_t threads);

/* Best GFLOP/s of products N × in × out in a tenth of a second, rows already encoded; 0 without memory. */
double gemm_rate(const gemm *g, const kernels *k, size_t threads, size_t N, size_t in, size_t out);

/* to (columns, rows) = transpose of from (rows, columns). */
void transpose(float *to, const float *from, size_t rows, size_t columns);

#endif

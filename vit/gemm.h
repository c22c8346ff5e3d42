/* gemm.h - matrix products behind linear.h: one table for each way to do them.
 *
 * y (N, out) = x (N, in) · Wᵀ + b, or += where accumulate, in tiles that a single thread computes. */
#ifndef MOHVIT_GEMM_H
#define MOHVIT_GEMM_H

#include "kernels.h"

/* Settings of the process and the calling thread that enter replaced. */
typedef struct gemm_saved {
    int omp_threads;
} gemm_saved;

/* How a product is cut: fixed by shape alone, never by threads or batch. */
typedef struct gemm_tiles {
    size_t rows, cols; /* of a tile; the last ones may be smaller */
} gemm_tiles;

typedef struct gemm {
    const char *name;

    /* Between enter and leave every multiply is single-threaded, whoever calls it; afterwards all settings
     * are as before. Pairs may overlap among threads. */
    void (*enter)(gemm_saved *saved);
    void (*leave)(const gemm_saved *saved);

    gemm_tiles (*tiling)(size_t N, size_t out);

    /* Lays weights w (out, in) out once, into packed(out, in) floats. */
    size_t (*packed)(const kernels *k, size_t out, size_t in);
    void (*pack)(const kernels *k, float *packed, const float *w, size_t out, size_t in);

    /* One tile: y (rows, cols; ldy), x (rows, in; ldx), outputs col … col+cols−1 of the layer, where col is a
     * multiple of the tiling's; bias (out) of the whole layer. */
    void (*multiply)(const kernels *k, float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                     const float *bias, size_t rows, size_t in, size_t out, size_t col, size_t cols,
                     bool accumulate);
} gemm;

/* "native": this project's own kernels (kernels_gemm.c). "openblas": cblas_sgemm. */
extern const gemm gemm_native, gemm_openblas;

/* By name; NULL or "auto": native where its kernels are vectorised for the processor, else openblas, whose
 * own are. */
mohvit_status gemm_choose(const gemm **out, const char *name, const kernels *k, mohvit_error *err);

/* Every backend of the build; NULL past the end. */
const gemm *gemm_available(size_t index);

/* Best GFLOP/s of `threads` threads over a few large products and all backends: what efficiency is measured
 * against. Takes about a second; 0 without memory. */
double gemm_peak_gflops(size_t threads);

#endif

/* gemm.h - matrix products behind linear.h: one table for each way to do them.
 *
 * y (N, out) = x (N, in) · Wᵀ + b, or += where accumulate, in tiles that a single thread computes. */
#ifndef MOHVIT_GEMM_H
#define MOHVIT_GEMM_H

#include "vit/kernels/kernels.h"

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
    precision precision;

    /* Between enter and leave every multiply is single-threaded, whoever calls it; afterwards all settings
     * are as before. Pairs may overlap among threads. */
    void (*enter)(gemm_saved *saved);
    void (*leave)(const gemm_saved *saved);

    gemm_tiles (*tiling)(size_t N, size_t out);

    /* Lays weights w (out, in) out once, into packed(out, in) bytes. by_panels: those of the outputs from
     * 32·i on begin at packed(32·i, in), so that parts can be laid out on their own. */
    bool by_panels;
    size_t (*packed)(const kernels *k, size_t out, size_t in);
    void (*pack)(const kernels *k, void *packed, const float *w, size_t out, size_t in);

    /* Lays n rows of x (n, in), ldx apart, out as multiply reads them: stride(in) bytes each, without gaps.
     * Both NULL: multiply reads floats, wherever they are. */
    size_t (*stride)(const kernels *k, size_t in);
    void (*encode)(const kernels *k, void *rows, const float *x, size_t ldx, size_t n, size_t in);

    /* One tile, whose col is one of the tiling's, or a multiple of 32. */
    void (*multiply)(const kernels *k, const gemm_tile *tile);
} gemm;

/* "native": this project's own kernels (kernels_gemm.c). "openblas": cblas_sgemm. */
extern const gemm gemm_native_f32, gemm_native_bf16, gemm_native_int8, gemm_openblas;

/* Why these kernels or this processor cannot run g, such as "AVX512-BF16"; NULL where they can. */
const char *gemm_lacks(const gemm *g, const kernels *k);

/* By the names of backend and precision; NULL or "auto": native where its kernels are vectorised for the
 * processor, else openblas, whose own are; and float32. An error says what is lacking. */
mohvit_status gemm_choose(const gemm **out, const char *name, const char *precision, const kernels *k,
                          mohvit_error *err);

/* "f32", "bf16", "int8". */
const char *precision_name(precision p);

/* Every backend of the build in each of its precisions; NULL past the end. */
const gemm *gemm_available(size_t index);

/* Best GFLOP/s of `threads` threads over a few large products and all backends, in float32: what efficiency
 * is measured against. Takes about a second; 0 without memory. */
double gemm_peak_gflops(size_t threads);

#endif

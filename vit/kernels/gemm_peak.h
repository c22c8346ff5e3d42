#ifndef MOHVIT_GEMM_PEAK_H
#define MOHVIT_GEMM_PEAK_H

#include <stddef.h>

/* Best GFLOP/s of `threads` threads over a few large products and all backends, in float32: what efficiency
 * is measured against. Takes about a second; 0 without memory. */
double gemm_peak_gflops(size_t threads);

#endif

/* bench_kernels.h - how fast this processor multiplies by each version of the matrix products. */
#ifndef MOHVIT_BENCH_KERNELS_H
#define MOHVIT_BENCH_KERNELS_H

#include "tools/program/command.h"

#include <stddef.h>

/* Measures and prints them, on `threads` threads; the command's exit status. */
int bench_kernels(size_t threads, output_format format);

#endif

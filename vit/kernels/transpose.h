#ifndef MOHVIT_TRANSPOSE_H
#define MOHVIT_TRANSPOSE_H

#include <stddef.h>

/* to (columns, rows) = transpose of from (rows, columns). */
void transpose(float *to, const float *from, size_t rows, size_t columns);

#endif

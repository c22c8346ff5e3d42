#include "vit/kernels/transpose.h"

void transpose(float *to, const float *from, size_t rows, size_t columns)
{
    enum { BLOCK = 16 }; // a cache line each way
    for (size_t r = 0; r < rows; r += BLOCK)
        for (size_t c = 0; c < columns; c += BLOCK)
            for (size_t i = r; i < r + BLOCK && i < rows; i++)
                for (size_t j = c; j < c + BLOCK && j < columns; j++)
                    to[j * rows + i] = from[i * columns + j];
}

/* encode.h - rows on their way to the layer that multiplies them, its reader. x (N, in) holds them where the
 * reader multiplies floats; else they are encoded from a thread's own memory, and x is not touched. */
#ifndef MOHVIT_ENCODE_H
#define MOHVIT_ENCODE_H

#include "vit/network/pass.h"

#define ENCODE_ROWS 14 /* at once: divides 196, 784 and 3136 tokens, and is one block of the products */

/* Before a loop that encodes N rows for the reader, in tasks of at most `at_once`. */
void encode_reserve(const pass *p, const linear *reader, size_t N, size_t at_once);

/* Where the task of `worker` writes row `row` and, without gaps, those that follow. */
float *encode_begin(const pass *p, const linear *reader, float *x, size_t row, size_t worker);

/* Encodes rows row … row+rows−1, which lie at `from`. */
void encode_end(const pass *p, const linear *reader, const float *from, size_t row, size_t rows);

/* The same for all N rows of x, ldx apart, over the team. */
void encode_rows(const pass *p, const linear *reader, const float *x, size_t ldx, size_t N);

/* What the layer then multiplies: those, or x's own rows, ldx apart. */
operand encoded(const pass *p, const linear *reader, float *x, size_t ldx);

#endif

#include "base/edit_distance.h"

#include <string.h>

#define COMPARED ((size_t)96)

static const char *end_of(const char *name, size_t *length)
{
    size_t all = strlen(name);
    *length = all < COMPARED ? all : COMPARED;
    return name + all - *length;
}

size_t edit_distance(const char *a, const char *b)
{
    size_t rows, columns, row[COMPARED + 1];
    a = end_of(a, &rows);
    b = end_of(b, &columns);
    for (size_t k = 0; k <= columns; k++)
        row[k] = k;
    for (size_t i = 0; i < rows; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < columns; k++) {
            size_t above = row[k + 1], best = diagonal + (a[i] != b[k]);
            best = above + 1 < best ? above + 1 : best;
            best = row[k] + 1 < best ? row[k] + 1 : best;
            diagonal = above;
            row[k + 1] = best;
        }
    }
    return row[columns];
}

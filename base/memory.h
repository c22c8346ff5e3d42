/* memory.h - memory that cannot overflow. */
#ifndef MOHVIT_MEMORY_H
#define MOHVIT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *product = a · b; false, and nothing stored, where that overflows. */
bool size_mul(size_t a, size_t b, size_t *product);

/* a · b; where a size cannot count that, SIZE_MAX, which is past any limit. */
static inline size_t size_product(size_t a, size_t b)
{
    size_t product;
    return size_mul(a, b, &product) ? product : SIZE_MAX;
}

/* a / b, rounded up. */
static inline size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* count · size bytes for free(), aligned to 64, not cleared; NULL if that overflows or without memory. */
void *memory_alloc(size_t count, size_t size) __attribute__((malloc));

/* An array of `count` elements with room for one more, where *capacity says how many it has room for: the
 * same one, or a larger one that replaces it. NULL without memory, when the array is as it was. */
void *memory_grow(void *array, size_t count, size_t *capacity, size_t size);

/* memory_alloc for a lot of memory that is used throughout: on 2 MiB pages where the system has them, which
 * one page fault in place of 512 fetches. */
void *memory_alloc_large(size_t bytes) __attribute__((malloc));

/* Whether the address space has so many bytes left in one piece: for those who cannot bear to be refused. */
bool memory_has_room(size_t bytes);

#endif

/* search.h - where something is, or would be, in a sorted array. */
#ifndef MOHVIT_SEARCH_H
#define MOHVIT_SEARCH_H

#include <stddef.h>

/* The index of the first of `count` elements, of `size` bytes each, that is not below the key; count where
 * all are. compare(element, key) is below 0 for elements that are. */
size_t search_first(const void *key, const void *array, size_t count, size_t size,
                    int (*compare)(const void *element, const void *key));

#endif

/* sized.h - structs of the interface that carry their size; mohvit.h has the rule.
 *
 * `size` is their first member. A new member goes to the end and may not lie in padding, which older programs
 * leave undefined: no version of such a struct ends in padding (tests/vit/api/test_growth.c). */
#ifndef MOHVIT_SIZED_H
#define MOHVIT_SIZED_H

#include "base/error.h"

/* Above this, size was never set. */
#define SIZED_MAX 4096

/* *own = what the caller gave, or NULL; zero where that ends early or fails. own->size becomes own_size. */
mohvit_status sized_take(void *own, size_t own_size, const void *given, const char *name, mohvit_error *err);

/* Fills the caller's struct up to its size: with *own, then with zeros. Its size stays. */
mohvit_status sized_give(void *given, const void *own, size_t own_size, const char *name, mohvit_error *err);

#endif

/* edit_distance.h - how alike two names are. */
#ifndef MOHVIT_EDIT_DISTANCE_H
#define MOHVIT_EDIT_DISTANCE_H

#include <stddef.h>

/* Letters to put in, leave out or replace to make b of a (Levenshtein). Of names longer than 96 letters the
 * ends are compared. */
size_t edit_distance(const char *a, const char *b);

#endif

/* arena.h - many small strings that live and die together. */
#ifndef MOHVIT_ARENA_H
#define MOHVIT_ARENA_H

#include "base/error.h"

typedef struct arena {
    struct arena_block *last;
    size_t used, size; /* of the last block */
} arena;

/* A copy of length bytes with a NUL behind them; NULL without memory. */
char *arena_copy(arena *a, const char *text, size_t length);

/* Frees every string. */
void arena_free(arena *a);

#endif

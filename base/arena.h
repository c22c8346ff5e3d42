/* arena.h - memory for many pieces that live and die together: strings, and values of any type. */
#ifndef MOHVIT_ARENA_H
#define MOHVIT_ARENA_H

#include <stddef.h>

typedef struct arena {
    struct arena_block *last;
    size_t used, size;   /* of the last block */
    size_t total, limit; /* of all blocks; limit 0: none */
} arena;

/* Both give NULL without memory, and past the limit, when errno is EOVERFLOW. */

/* size bytes, aligned to 16, not cleared. */
void *arena_alloc(arena *a, size_t size);

/* A copy of length bytes with a NUL behind them. */
char *arena_copy(arena *a, const char *text, size_t length);

/* Frees every piece. */
void arena_free(arena *a);

#endif

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)

struct arena_block {
    struct arena_block *before;
    char bytes[];
};

char *arena_copy(arena *a, const char *text, size_t length)
{
    if (length >= SIZE_MAX - BLOCK_BYTES)
        return NULL;
    if (!a->last || length + 1 > a->size - a->used) {
        size_t size = length + 1 > BLOCK_BYTES ? length + 1 : BLOCK_BYTES;
        struct arena_block *block = malloc(sizeof *block + size);
        if (!block)
            return NULL;
        block->before = a->last;
        a->last = block;
        a->used = 0;
        a->size = size;
    }
    char *copy = a->last->bytes + a->used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    a->used += length + 1;
    return copy;
}

void arena_free(arena *a)
{
    while (a->last) {
        struct arena_block *before = a->last->before;
        free(a->last);
        a->last = before;
    }
    *a = (arena){0};
}

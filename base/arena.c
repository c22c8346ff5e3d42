#include "base/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)
#define ALIGNMENT   16

struct arena_block {
    struct arena_block *before;
    _Alignas(ALIGNMENT) char bytes[];
};

static bool add_block(arena *a, size_t size)
{
    size = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    if (size > (a->limit ? a->limit : SIZE_MAX - BLOCK_BYTES) - a->total) {
        errno = EOVERFLOW;
        return false;
    }
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return false;
    block->before = a->last;
    a->last = block;
    a->used = 0;
    a->size = size;
    a->total += size;
    return true;
}

static char *take(arena *a, size_t size)
{
    if ((!a->last || size > a->size - a->used) && !add_block(a, size))
        return NULL;
    char *piece = a->last->bytes + a->used;
    a->used += size;
    return piece;
}

void *arena_alloc(arena *a, size_t size)
{
    size_t gap = -a->used % ALIGNMENT;
    a->used += gap < a->size - a->used ? gap : a->size - a->used;
    return take(a, size);
}

char *arena_copy(arena *a, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? take(a, length + 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void arena_free(arena *a)
{
    while (a->last) {
        struct arena_block *before = a->last->before;
        free(a->last);
        a->last = before;
    }
    *a = (arena){.limit = a->limit};
}

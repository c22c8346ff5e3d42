#include "base/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

bool size_mul(size_t a, size_t b, size_t *product)
{
    size_t p;
    if (__builtin_mul_overflow(a, b, &p))
        return false;
    *product = p;
    return true;
}

void *memory_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

void *memory_grow(void *array, size_t count, size_t *capacity, size_t size)
{
    size_t more, bytes;
    if (count < *capacity)
        return array;
    if (__builtin_add_overflow(*capacity, *capacity + 64, &more) || !size_mul(more, size, &bytes))
        return NULL;
    void *grown = realloc(array, bytes);
    if (grown)
        *capacity = more;
    return grown;
}

void *memory_alloc_large(size_t bytes)
{
    const size_t page = (size_t)2 << 20;
    if (bytes > SIZE_MAX - page)
        return NULL;
    bytes = (bytes + page - 1) / page * page;
    void *p = aligned_alloc(page, bytes);
    if (p)
        madvise(p, bytes, MADV_HUGEPAGE); // advice: no harm where it is not taken
    return p;
}

bool memory_has_room(size_t bytes)
{
    void *there = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return there != MAP_FAILED && !munmap(there, bytes);
}

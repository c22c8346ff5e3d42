#include "vit/network/scratch.h"
#include "base/memory.h"

#include <stdlib.h>

static size_t aligned(size_t bytes)
{
    return bytes > SIZE_MAX - 63 ? SIZE_MAX : (bytes + 63) / 64 * 64;
}

void *scratch_take(scratch *s, size_t count, size_t size)
{
    void *piece = s->stack ? s->stack + s->used : NULL;
    if (__builtin_add_overflow(s->used, aligned(size_product(count, size)), &s->used))
        s->used = SIZE_MAX;
    s->most = s->used > s->most ? s->used : s->most;
    return piece;
}

float *scratch_floats(scratch *s, size_t rows, size_t channels)
{
    return scratch_take(s, size_product(rows, channels), sizeof(float));
}

void scratch_need_thread(scratch *s, size_t floats)
{
    floats = (floats + 15) / 16 * 16;
    s->thread_floats = floats > s->thread_floats ? floats : s->thread_floats;
}

mohvit_status scratch_allocate(scratch *s, size_t threads, mohvit_error *err)
{
    size_t encoded = aligned(s->encoded_bytes), bytes = 0;
    char *memory = NULL;
    if (size_mul(threads, s->thread_floats * sizeof(float), &bytes) &&
        !__builtin_add_overflow(bytes, s->most + encoded, &bytes))
        memory = memory_alloc_large(bytes + !bytes);
    if (!memory)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the %zu KiB that a forward pass needs",
                         bytes >> 10);
    s->memory = s->stack = memory;
    s->encoded = memory + s->most;
    s->thread = (float *)(s->encoded + encoded);
    s->threads = threads;
    return MOHVIT_OK;
}

void scratch_free(scratch *s)
{
    free(s->memory);
    *s = (scratch){0};
}

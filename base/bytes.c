#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* ---- Writing --------------------------------------------------------------------------------- */

/* NULL without memory. */
static uint8_t *extend(bytes *b, size_t size)
{
    size_t wanted;
    if (b->failed || __builtin_add_overflow(b->size, size, &wanted)) {
        b->failed = true;
        return NULL;
    }
    if (wanted > b->capacity) {
        size_t capacity = wanted > SIZE_MAX / 2 ? wanted : 2 * wanted;
        uint8_t *data = realloc(b->data, capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    uint8_t *at = b->data + b->size;
    b->size = wanted;
    return at;
}

void bytes_put(bytes *b, const void *data, size_t size)
{
    uint8_t *at = size ? extend(b, size) : NULL;
    if (at)
        memcpy(at, data, size);
}

/* Numbers lie in memory as they are written: compiler.h sees to that. */
void bytes_put_u8(bytes *b, uint8_t value)
{
    bytes_put(b, &value, sizeof value);
}

void bytes_put_u32(bytes *b, uint32_t value)
{
    bytes_put(b, &value, sizeof value);
}

void bytes_put_u64(bytes *b, uint64_t value)
{
    bytes_put(b, &value, sizeof value);
}

void bytes_put_f32(bytes *b, float value)
{
    bytes_put(b, &value, sizeof value);
}

void bytes_put_text(bytes *b, const char *text)
{
    size_t length = strlen(text);
    if (length > UINT32_MAX) {
        b->failed = true;
        return;
    }
    bytes_put_u32(b, (uint32_t)length);
    bytes_put(b, text, length);
}

void bytes_set_u32(bytes *b, size_t at, uint32_t value)
{
    if (!b->failed)
        memcpy(b->data + at, &value, sizeof value);
}

void bytes_free(bytes *b)
{
    free(b->data);
    *b = (bytes){0};
}

/* ---- Reading --------------------------------------------------------------------------------- */

byte_reader bytes_get_part(byte_reader *r, size_t size)
{
    if (r->failed || size > r->size) {
        *r = (byte_reader){.failed = true};
        return *r;
    }
    byte_reader part = {r->data, size, false};
    r->data += size;
    r->size -= size;
    return part;
}

/* A number's bytes, over its 0. */
static void get(byte_reader *r, void *number, size_t size)
{
    byte_reader part = bytes_get_part(r, size);
    if (part.size)
        memcpy(number, part.data, size);
}

uint8_t bytes_get_u8(byte_reader *r)
{
    uint8_t value = 0;
    get(r, &value, sizeof value);
    return value;
}

uint32_t bytes_get_u32(byte_reader *r)
{
    uint32_t value = 0;
    get(r, &value, sizeof value);
    return value;
}

uint64_t bytes_get_u64(byte_reader *r)
{
    uint64_t value = 0;
    get(r, &value, sizeof value);
    return value;
}

float bytes_get_f32(byte_reader *r)
{
    float value = 0;
    get(r, &value, sizeof value);
    return value;
}

const char *bytes_get_text(byte_reader *r, size_t *length)
{
    byte_reader part = bytes_get_part(r, bytes_get_u32(r));
    *length = part.size;
    return (const char *)part.data;
}

#include "weights/pickle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct block {
    struct block *next;
} block;

#define BLOCK_BYTES ((size_t)64 << 10)

struct pickle {
    block *blocks;
    unsigned char *free; /* rest of the newest block */
    size_t free_bytes, total;
    const pickle_value *root;
};

pickle *pickle_create(void)
{
    return calloc(1, sizeof(pickle));
}

void *pickle_alloc(pickle *p, size_t bytes)
{
    bytes = (bytes + 15) / 16 * 16;
    if (bytes > p->free_bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        if (size > PICKLE_MAX_MEMORY - p->total) {
            errno = EOVERFLOW;
            return NULL;
        }
        block *b = malloc(16 + size);
        if (!b)
            return NULL;
        b->next = p->blocks;
        p->blocks = b;
        p->free = (unsigned char *)b + 16;
        p->free_bytes = size;
        p->total += size;
    }
    void *taken = p->free;
    p->free += bytes;
    p->free_bytes -= bytes;
    return taken;
}

void pickle_free(pickle *p)
{
    if (!p)
        return;
    for (block *b = p->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(p);
}

const pickle_value *pickle_root(const pickle *p)
{
    return p->root;
}

void pickle_set_root(pickle *p, const pickle_value *root)
{
    p->root = root;
}

bool pickle_text_is(pickle_text text, const char *expected)
{
    return text.length == strlen(expected) && memcmp(text.bytes, expected, text.length) == 0;
}

bool pickle_is_global(const pickle_value *v, const char *module, const char *name)
{
    return v->kind == PICKLE_GLOBAL && pickle_text_is(v->global.module, module) &&
           pickle_text_is(v->global.name, name);
}

const pickle_value *pickle_dict_get(const pickle_value *dict, const char *key)
{
    if (dict->kind != PICKLE_DICT)
        return NULL;
    for (size_t i = dict->items.count; i >= 2; i -= 2) {
        const pickle_value *k = dict->items.at[i - 2];
        if (k->kind == PICKLE_STRING && pickle_text_is(k->text, key))
            return dict->items.at[i - 1];
    }
    return NULL;
}

#include "weights/pickle.h"

#include <stdlib.h>
#include <string.h>

void pickle_free(pickle *p)
{
    if (!p)
        return;
    arena_free(&p->values);
    free(p);
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

#include "eval/picture.h"

#define XXH_STATIC_LINKING_ONLY // for a state on the stack: no allocation that could fail
#include <xxhash.h>

static void add_class(XXH3_state_t *state, uint64_t class_index)
{
    XXH3_128bits_update(state, &class_index, sizeof class_index); // little-endian, as compiler.h asserts
}

static picture_hash hash_picture(const sample *s, const dataset_item *item)
{
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    if (s)
        XXH3_128bits_update(&state, s->bytes, s->size);
    for (size_t i = 0; i < item->accepted_count; i++)
        add_class(&state, item->accepted[i]);
    if (!item->accepted)
        add_class(&state, item->class_index == CLASS_NONE ? UINT64_MAX : item->class_index);
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (picture_hash){hash.low64, hash.high64};
}

mohvit_status picture_read(sample *out, picture_seen *seen, const dataset *d, size_t index, mohvit_error *err)
{
    mohvit_status status = dataset_read(d, index, out, err);
    seen->turned = false;
    seen->unread = status && status != MOHVIT_ERROR_LIMIT;
    seen->hash = hash_picture(status ? NULL : out, dataset_item_at(d, index));
    seen->xxh64 = status ? 0 : picture_xxh64(out);
    return status;
}

uint64_t picture_xxh64(const sample *s)
{
    return XXH64(s->bytes, s->size, 0);
}

bool picture_same(picture_hash a, picture_hash b)
{
    return a.low == b.low && a.high == b.high;
}

unsigned __int128 picture_term(picture_hash hash, bool failed)
{
    if (failed) {
        XXH128_hash_t again = XXH3_128bits(&hash, sizeof hash);
        hash = (picture_hash){again.low64, again.high64};
    }
    return (unsigned __int128)hash.high << 64 | hash.low;
}

#include "eval/header.h"

#include "base/json_bounded.h"
#include "eval/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY // for a state on the stack: no allocation that could fail
#include <xxhash.h>

/* ---- Comparing ------------------------------------------------------------------------------- */

typedef struct difference {
    char text[700];
    size_t count;
} difference;

/* A value in at most 80 bytes. */
static void value_text(char *out, size_t size, const json_t *value)
{
    char *text = value ? json_shortest(value, JSON_SORT_KEYS) : NULL;
    snprintf(out, size, "%.80s%s", text ? text : "absent", text && strlen(text) > 80 ? "..." : "");
    free(text);
}

static void add_difference(difference *d, const char *key, const json_t *expected, const json_t *found)
{
    char a[96], b[96];
    size_t used = strlen(d->text);
    value_text(a, sizeof a, expected);
    value_text(b, sizeof b, found);
    d->count++;
    snprintf(d->text + used, sizeof d->text - used, "%s%s is %s, expected %s", used ? "; " : "", key, b, a);
}

/* Objects member by member, so that the message names what differs and not all that is around it. */
// NOLINTNEXTLINE(misc-no-recursion): no deeper than jansson reads
static void compare_values(difference *d, const char *path, const json_t *expected, const json_t *found)
{
    const char *key;
    json_t *value;
    char inner[128];
    if (json_equal(expected, found))
        return;
    if (!json_is_object(expected) || !json_is_object(found)) {
        add_difference(d, path, expected, found);
        return;
    }
    json_object_foreach((json_t *)expected, key, value)
    {
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        compare_values(d, inner, value, json_object_get(found, key));
    }
    json_object_foreach((json_t *)found, key, value)
    {
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        if (!json_object_get(expected, key))
            add_difference(d, inner, NULL, value);
    }
}

mohvit_status header_compare(const json_t *expected, const json_t *found, bool run, bool allow_mixed,
                             const char *name, const warning_sink *warn, mohvit_error *err)
{
    difference same = {0}, hardware = {0};
    compare_values(&same, "", json_object_get(expected, "match"), json_object_get(found, "match"));
    if (run)
        compare_values(&same, "", json_object_get(expected, "run"), json_object_get(found, "run"));
    compare_values(&hardware, "", json_object_get(expected, "hardware"), json_object_get(found, "hardware"));
    if (same.count)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: belongs to another evaluation: %s", name,
                         same.text);
    if (hardware.count && !allow_mixed)
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s: was computed in another way, which may change the last digits: %s; --allow-mixed "
            "takes it all the same",
            name, hardware.text);
    if (hardware.count)
        warning_send(warn, "%s: was computed in another way: %s", name, hardware.text);
    return MOHVIT_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static json_int_t format_of(const json_t *header)
{
    return json_integer_value(json_object_get(header, "format"));
}

bool header_is_old(const json_t *header)
{
    return format_of(header) == HEADER_FORMAT_OLD;
}

size_t header_images(const json_t *header)
{
    json_int_t images = json_integer_value(json_object_get(header, "images"));
    return images > 0 ? (size_t)images : 0;
}

bool header_has_section(const json_t *header, const char *section)
{
    const json_t *sections = json_object_get(header, "sections");
    for (size_t i = 0; i < json_array_size(sections); i++) {
        const char *name = json_string_value(json_array_get(sections, i));
        if (name && !strcmp(name, section))
            return true;
    }
    return false;
}

size_t header_top_ks(const json_t *header)
{
    size_t top_ks = json_array_size(json_object_get(json_object_get(header, "match"), "routed_heads"));
    return top_ks ? top_ks : 1;
}

/* What is printed of a header is what it is taken for. */
static bool prints(const json_t *header)
{
    const json_t *list = json_object_get(json_object_get(header, "match"), "routed_heads");
    bool texts = !list || json_is_null(list) || json_is_array(list);
    for (size_t i = 0; i < json_array_size(list); i++)
        texts = texts && json_is_string(json_array_get(list, i));
    return texts && json_is_object(json_object_get(header, "provenance"));
}

mohvit_status header_check(const json_t *header, const char *name, mohvit_error *err)
{
    size_t images = header_images(header);
    if (format_of(header) != HEADER_FORMAT && !header_is_old(header))
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: a state of format %" JSON_INTEGER_FORMAT "; expected %d", name,
                         format_of(header), HEADER_FORMAT);
    if (!json_is_object(json_object_get(header, "match")) ||
        !json_is_object(json_object_get(header, "hardware")) || !images || !prints(header) ||
        images > (size_t)UINT32_MAX * CHUNK_IMAGES || header_top_ks(header) > RECORD_MAX_TOP_KS)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: its header lacks what every state has", name);
    return MOHVIT_OK;
}

/* ---- The data -------------------------------------------------------------------------------- */

static void hash_number(XXH3_state_t *state, uint64_t value)
{
    XXH3_128bits_update(state, &value, sizeof value); // little-endian, as compiler.h asserts
}

/* Over the first `count` items that item_at gives. */
static void hash_items(const dataset *d, const dataset_item *item_at(const dataset *d, size_t index),
                       size_t count, bool sizes, char out[FINGERPRINT_SIZE])
{
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (size_t i = 0; i < count; i++) {
        const dataset_item *item = item_at(d, i);
        XXH3_128bits_update(&state, item->name, strlen(item->name) + 1);
        hash_number(&state, item->source);
        if (sizes)
            hash_number(&state, item->size);
        hash_number(&state, item->check);
        hash_number(&state, item->class_index);
        hash_number(&state, item->accepted_count);
        for (size_t k = 0; k < item->accepted_count; k++)
            hash_number(&state, item->accepted[k]);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    snprintf(out, FINGERPRINT_SIZE, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
}

void dataset_fingerprint(const dataset *d, bool sizes, char out[FINGERPRINT_SIZE])
{
    hash_items(d, dataset_item_at, dataset_count(d), sizes, out);
}

void dataset_fingerprint_candidates(const dataset *d, bool sizes, char out[FINGERPRINT_SIZE])
{
    hash_items(d, dataset_candidate_at, dataset_candidates(d), sizes, out);
}

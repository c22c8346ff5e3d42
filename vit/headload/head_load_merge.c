#include "vit/headload/head_load.h"

#include "base/json_bounded.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- The model -------------------------------------------------------------------------------------

/* Two head loads, and what messages call them. */
typedef struct {
    const head_load *a, *b;
    const char *a_name, *b_name;
    mohvit_error *err;
} comparison;

static char *member_text(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    return member ? json_shortest(member, 0) : NULL;
}

/* Of a member of a's and b's JSON. */
static mohvit_status report_difference(const comparison *k, const char *how, const char *what,
                                       const json_t *a, const json_t *b)
{
    char *expected = member_text(a, what), *found = member_text(b, what);
    error_set(k->err, MOHVIT_ERROR_MISMATCH, "%s: %s than %s: %s is %s, expected %s", k->b_name, how,
              k->a_name, what, found ? found : "absent", expected ? expected : "absent");
    free(expected);
    free(found);
    return MOHVIT_ERROR_MISMATCH;
}

static bool equal_members(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    return (!x && !y) || json_equal(x, y);
}

/* All members of both configs but the name, which says nothing of the model; then the layouts, which follow
 * from the configs where one network has made both. */
static mohvit_status compare_models(const comparison *k)
{
    json_t *const configs[] = {k->a->config, k->b->config};
    for (size_t i = 0; i < 2; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(configs[i], key, value)
        {
            if (strcmp(key, "name") != 0 && !json_equal(value, json_object_get(configs[!i], key)))
                return report_difference(k, "is of another model", key, configs[0], configs[1]);
        }
    }
    if (routing_layout_equal(&k->a->routing, &k->b->routing))
        return MOHVIT_OK;
    return error_set(k->err, MOHVIT_ERROR_MISMATCH,
                     "%s: is of another model than %s: it has other heads or tokens", k->b_name, k->a_name);
}

mohvit_status head_load_check_names(const head_load *l, const labels *names, const char *l_name,
                                    const char *name, mohvit_error *err)
{
    const labels *a = &l->names, *b = names;
    if (a->count != b->count)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: has %zu class%s, %s has %zu", name, b->count,
                         b->count == 1 ? "" : "es", l_name, a->count);
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->name[i], b->name[i]) != 0)
            return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: class %zu is \"%s\", in %s it is \"%s\"", name,
                             i, b->name[i], l_name, a->name[i]);
    return MOHVIT_OK;
}

static mohvit_status compare_counting(const comparison *k, const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"preprocess", "exif_orientation", "dropped_heads", "renormalise"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!equal_members(a, b, keys[i]))
            return report_difference(k, "was counted otherwise", keys[i], a, b);
    return MOHVIT_OK;
}

mohvit_status head_load_check_counting(const head_load *l, const json_t *provenance, const char *l_name,
                                       const char *name, mohvit_error *err)
{
    const comparison k = {.a = l, .a_name = l_name, .b_name = name, .err = err};
    return compare_counting(&k, l->provenance, provenance);
}

mohvit_status head_load_check_model(const head_load *l, const json_t *provenance, const char *l_name,
                                    const char *name, mohvit_error *err)
{
    static const char *const keys[] = {"weights_hash", "variant", "config"};
    const comparison k = {.a = l, .a_name = l_name, .b_name = name, .err = err};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *a = json_object_get(l->provenance, keys[i]), *b = json_object_get(provenance, keys[i]);
        if (a && b && !json_is_null(a) && !json_is_null(b) && !json_equal(a, b))
            return report_difference(&k, "is of another model", keys[i], l->provenance, provenance);
    }
    return MOHVIT_OK;
}

/* The program knows whether it counts by label or by prediction; the library leaves that to its caller. */
static bool counted_alike(const json_t *a, const json_t *b)
{
    return !json_object_get(a, "counted_by") || !json_object_get(b, "counted_by") ||
           equal_members(a, b, "counted_by");
}

/* Members of the provenance that all parts of a count have in common; the last ones may be mixed. */
static mohvit_status compare_provenance(const comparison *k, unsigned allowed)
{
    static const char *const keys[] = {"weights_hash", "precision",       "subset",
                                       "backend",      "instruction_set", "kernels"};
    enum { MIXED = 3 };
    const json_t *a = k->a->provenance, *b = k->b->provenance;
    for (size_t i = 0; i < sizeof keys / sizeof *keys - (allowed & HEAD_LOAD_MIXED ? MIXED : 0); i++)
        if (!equal_members(a, b, keys[i]))
            return report_difference(k, "was counted otherwise", keys[i], a, b);
    if (!counted_alike(a, b))
        return report_difference(k, "was counted otherwise", "counted_by", a, b);
    return compare_counting(k, a, b);
}

// ---- The data --------------------------------------------------------------------------------------

bool stretch_of(stretch *s, const json_t *source)
{
    const json_t *shard = json_object_get(source, "shard");
    char tail;
    *s = (stretch){0, 1, 1};
    if (!shard)
        return true;
    if (!json_is_string(shard) || // nine digits: products of two fit
        sscanf(json_string_value(shard), "%9" SCNu64 "/%9" SCNu64 "%c", &s->end, &s->of, &tail) != 2)
        return false;
    s->first = s->end - 1;
    return s->end >= 1 && s->end <= s->of;
}

/* Where the data lie, and what called for them, does not matter. */
static bool same_data(const json_t *a, const json_t *b)
{
    return json_object_get(a, "fingerprint") && equal_members(a, b, "fingerprint") &&
           equal_members(a, b, "images");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "absent";
}

/* All pictures of the data, where a source is some that were chosen from them. */
static const json_t *candidates(const json_t *source)
{
    const json_t *from = json_object_get(source, "chosen_from");
    return from ? from : source;
}

/* Sources that say nothing may be equal without being the same. Two choices from the same data, or one and
 * the whole, are taken to have pictures in common: the first N have them always. */
static bool overlap(const json_t *a, const json_t *b)
{
    stretch s, t;
    if (!same_data(a, b))
        return same_data(candidates(a), candidates(b)) || (json_object_size(a) && json_equal(a, b));
    return !stretch_of(&s, a) || !stretch_of(&t, b) ||
           (s.first * t.of < t.end * s.of && t.first * s.of < s.end * t.of);
}

static mohvit_status compare_sources(const comparison *k)
{
    size_t i, j;
    const json_t *p, *q;
    json_array_foreach(k->a->sources, i, p)
    {
        json_array_foreach(k->b->sources, j, q)
        {
            if (!overlap(p, q))
                continue;
            char *text = json_shortest(q, 0);
            error_set(k->err, MOHVIT_ERROR_ARGUMENT,
                      same_data(p, q) || !json_object_get(q, "fingerprint")
                          ? "%s: has counted what %s has: %s"
                          : "%s: has counted pictures of the same data as %s, chosen in another way: %s",
                      k->b_name, k->a_name, text ? text : "");
            free(text);
            return MOHVIT_ERROR_ARGUMENT;
        }
    }
    return MOHVIT_OK;
}

static void name_missing(char *text, size_t size, uint64_t first, uint64_t first_of, uint64_t end,
                         uint64_t end_of)
{
    if (!first)
        first_of = end_of;
    if (end == end_of)
        end = end_of = first_of;
    if (first_of != end_of)
        snprintf(text, size,
                 "from %" PRIu64 "/%" PRIu64 " to %" PRIu64 "/%" PRIu64 " of the pictures are missing", first,
                 first_of, end, end_of);
    else if (first + 1 == end)
        snprintf(text, size, "shard %" PRIu64 "/%" PRIu64 " is missing", end, end_of);
    else
        snprintf(text, size, "shards %" PRIu64 "/%" PRIu64 " to %" PRIu64 "/%" PRIu64 " are missing",
                 first + 1, end_of, end, end_of);
}

bool head_load_missing(const head_load *l, size_t source, bool behind, char *text, size_t size)
{
    const json_t *mine = json_array_get(l->sources, source), *other;
    stretch s, t, before = {0, 0, 1};
    size_t i;
    if (!stretch_of(&s, mine))
        return false;
    json_array_foreach(l->sources, i, other)
    {
        if (!same_data(mine, other) || !stretch_of(&t, other))
            continue;
        if (behind && t.first * s.of >= s.end * t.of)
            return false; // names what is missing before itself
        if (t.end * s.of <= s.first * t.of && t.end * before.of > before.end * t.of)
            before = t;
    }
    if (behind && s.end < s.of)
        name_missing(text, size, s.end, s.of, 1, 1);
    else if (!behind && before.end * s.of < s.first * before.of)
        name_missing(text, size, before.end, before.of, s.first, s.of);
    else
        return false;
    return true;
}

mohvit_status head_load_check_data(const head_load *l, const json_t *data, const char *l_name,
                                   const char *name, mohvit_error *err)
{
    const json_t *source, *expected = NULL, *from = candidates(data);
    size_t i;
    json_array_foreach(l->sources, i, source)
    {
        const json_t *of = candidates(source);
        if (same_data(of, from) || !json_object_get(of, "fingerprint"))
            return MOHVIT_OK;
        expected = expected ? expected : of;
    }
    if (!expected)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MISMATCH,
                     "%s: is of other data than %s: of %lld pictures, fingerprint %s; expected the %lld of "
                     "fingerprint %s, or some of them",
                     name, l_name, (long long)json_integer_value(json_object_get(from, "images")),
                     text_of(from, "fingerprint"),
                     (long long)json_integer_value(json_object_get(expected, "images")),
                     text_of(expected, "fingerprint"));
}

// ---- Adding up -------------------------------------------------------------------------------------

/* The sum has squares if both have; a load without images has nothing to say in it. */
static mohvit_status agree_on_squares(head_load *to, const comparison *k, unsigned allowed)
{
    const head_load *from = k->b;
    if (to->has_squares == from->has_squares || !head_load_images(from, NULL))
        return MOHVIT_OK;
    if (!head_load_images(to, NULL)) {
        to->has_squares = from->has_squares;
        return MOHVIT_OK;
    }
    if (!(allowed & HEAD_LOAD_DROP_SQUARES))
        return error_set(
            k->err, MOHVIT_ERROR_MISMATCH,
            "%s: %s the sums of squares that intervals are made of, unlike %s; intervals would be "
            "lost",
            k->b_name, from->has_squares ? "has" : "lacks", k->a_name);
    to->has_squares = false;
    return MOHVIT_OK;
}

/* Likewise of pairs of heads, whose loss is no error: pictures that a caller adds have none. */
static mohvit_status add_together(head_load *to, const head_load *from, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    if (!head_load_images(from, NULL))
        return MOHVIT_OK;
    if (!from->together) {
        free(to->together);
        to->together = NULL;
        return MOHVIT_OK;
    }
    if (!to->together && !head_load_images(to, NULL))
        status = head_load_begin_together(to, err);
    return status || !to->together ? status : head_load_add_together(to, from->together, err);
}

mohvit_status head_load_merge(head_load *to, const head_load *from, const char *to_name,
                              const char *from_name, unsigned allowed, mohvit_error *err)
{
    const comparison k = {to, from, to_name, from_name, err};
    mohvit_status status = compare_models(&k);
    if (!status)
        status = compare_provenance(&k, allowed);
    if (!status)
        status = head_load_check_names(to, &from->names, to_name, from_name, err);
    if (!status)
        status = compare_sources(&k);
    if (!status)
        status = agree_on_squares(to, &k, allowed);
    if (!status)
        status = add_together(to, from, err);
    for (size_t c = 0; !status && c < to->names.count; c++) {
        const head_load_counts row = head_load_row(from, c);
        status = head_load_add_counts(to, c, &row, err);
    }
    if (!status && json_array_extend(to->sources, from->sources))
        status = head_load_no_memory(err);
    if (!status && !json_object_get(from->provenance, "counted_by"))
        json_object_del(to->provenance, "counted_by"); // no longer known of all
    return status;
}

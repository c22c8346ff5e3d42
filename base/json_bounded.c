#include "base/json_bounded.h"

#include <errno.h>
#include <stdio.h>

/* Counts what the parser will build. Of text that is not JSON, as the parser will say, they mean nothing. */
static void count_values(const char *text, size_t length, size_t *containers, size_t *values)
{
    bool in_string = false;
    *containers = 0;
    *values = 1;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            (*containers)++, (*values)++;
        else if (!in_string && c == ',')
            (*values)++;
    }
}

json_t *json_load_bounded(const char *text, size_t length, size_t max_containers, size_t max_values,
                          json_error_t *why)
{
    size_t containers, values;
    errno = 0;
    count_values(text, length, &containers, &values);
    if (containers > max_containers || values > max_values) {
        why->line = 1;
        snprintf(why->text, sizeof why->text,
                 "%zu objects and arrays, %zu values; at most %zu and %zu are read", containers, values,
                 max_containers, max_values);
        return NULL;
    }
    return json_loadb(text, length, JSON_REJECT_DUPLICATES, why);
}

char *json_shortest(const json_t *value, size_t flags)
{
    enum { ALWAYS = 17 }; // digits, for a double
    char *text = NULL;
    bool same = false;
    for (size_t digits = 1; !same && digits <= ALWAYS; digits++) {
        free(text);
        text = json_dumps(value, flags | JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *back = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
        same = !text || json_equal(back, value);
        json_decref(back);
    }
    return text;
}

const char *json_kind(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction", [JSON_TRUE] = "a boolean",
        [JSON_FALSE] = "a boolean",    [JSON_NULL] = "null"};
    return kinds[json_typeof(value)];
}

mohvit_status json_load_object(json_t **out, const char *text, size_t length, size_t max_bytes,
                               const char *name, const char *what, mohvit_error *err)
{
    json_error_t why;
    if (length > max_bytes)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %s is %zu bytes; expected at most %zu", name, what,
                         length, max_bytes);
    errno = 0;
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    if (!object)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: %s is not JSON: line %d, column %d",
                             name, what, why.line, why.column);
    if (json_is_object(object)) {
        *out = object;
        return MOHVIT_OK;
    }
    error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s is %s; expected an object", name, what, json_kind(object));
    json_decref(object);
    return MOHVIT_ERROR_FORMAT;
}

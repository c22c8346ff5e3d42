#include "tools/program/json_build.h"

#include "base/utf8.h"
#include "tools/program/complain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *escaped(const char *text, unsigned how)
{
    if (!text)
        return json_null();
    char *valid = escape(text, how, NULL);
    json_t *value = or_die(json_string(valid));
    free(valid);
    return value;
}

json_t *json_text(const char *text)
{
    return escaped(text, ESCAPE_BACKSLASHES);
}

json_t *json_message(const char *text)
{
    return escaped(text, 0);
}

char *json_printed(json_t *value)
{
    // Nine digits bring every float back.
    char *text = or_die(json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)));
    size_t size = strlen(text), length;
    json_decref(value);
    char *out = or_die(malloc(6 * size + 1)), *end = out; // DEL is one byte
    for (const char *p = text; *p; p += length) {
        length = utf8_length(p, (size_t)(text + size - p));
        if (utf8_steers(p, length)) {
            end += sprintf(end, "\\u%04x", (unsigned)utf8_code(p, length));
        } else {
            memcpy(end, p, length);
            end += length;
        }
    }
    *end = '\0';
    free(text);
    return out;
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, or_die(value)))
        or_die(NULL);
}

json_t *json_rounded(double value)
{
    return json_real(round(value * 1000) / 1000);
}

json_t *json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_parsed(char *text)
{
    json_t *value = or_die(json_loads(or_die(text), 0, NULL));
    free(text);
    return value;
}

void json_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, or_die(value)))
        or_die(NULL);
}

json_t *json_indices(const size_t *values, size_t count)
{
    json_t *array = or_die(json_array());
    for (size_t i = 0; i < count; i++)
        json_add(array, json_integer((json_int_t)values[i]));
    return array;
}

json_t *json_prediction(const mohvit_prediction *p)
{
    return or_die(json_pack("{s:I, s:o, s:o, s:f}", "class", (json_int_t)p->class_index, "id",
                            json_text(p->id), "label", json_text(p->label), "prob", (double)p->probability));
}

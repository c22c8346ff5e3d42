#include "tools/program/json_build.h"

#include "tools/program/complain.h"

#include <math.h>
#include <stdlib.h>

json_t *json_text(const char *text)
{
    if (!text)
        return json_null();
    char *valid = escape(text, false, NULL);
    json_t *value = or_die(json_string(valid));
    free(valid);
    return value;
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

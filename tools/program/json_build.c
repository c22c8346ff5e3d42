#include "tools/program/json_build.h"

#include "tools/program/escape.h"
#include "tools/program/or_die.h"

#include <math.h>
#include <stdlib.h>

json_t *json_text(const char *text)
{
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

json_t *json_prediction(const mohvit_prediction *p)
{
    json_t *object = or_die(json_object());
    json_put(object, "class", json_integer((json_int_t)p->class_index));
    json_put(object, "id", p->id ? json_text(p->id) : json_null());
    json_put(object, "label", json_text(p->label));
    json_put(object, "prob", json_real((double)p->probability));
    return object;
}

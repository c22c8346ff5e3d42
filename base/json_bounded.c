#include "base/json_bounded.h"

#include <errno.h>
#include <stdio.h>

/* Counts what the parser will build. On text that is not JSON the counts mean nothing, and the parser will
 * say so. */
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

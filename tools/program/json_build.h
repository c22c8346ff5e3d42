/* json_build.h - JSON that is printed. */
#ifndef MOHVIT_JSON_BUILD_H
#define MOHVIT_JSON_BUILD_H

#include "vit/mohvit.h"

#include <jansson.h>

/* A JSON string of a name, escaped as in text but for what steers a terminal; or of a message. Of NULL: null.
 */
json_t *json_text(const char *text);
json_t *json_message(const char *text);

/* malloc'd: the value as results print it, in one line, without a character that steers a terminal or turns
 * the direction of text: these are \uNNNN. Frees the value. */
char *json_printed(json_t *value);

/* What a library wrote, read again; frees text. */
json_t *json_parsed(char *text);

/* object[key] = value, or one more element; the value is taken over. */
void json_put(json_t *object, const char *key, json_t *value);
void json_add(json_t *array, json_t *value);

/* A number with three decimals: milliseconds, GFLOP. */
json_t *json_rounded(double value);

/* A number; null where it is NaN or infinite, which JSON does not have. */
json_t *json_finite(double value);

/* An array of numbers (count). */
json_t *json_indices(const size_t *values, size_t count);

/* {"class", "id", "label", "prob"} */
json_t *json_prediction(const mohvit_prediction *p);

#endif

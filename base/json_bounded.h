/* json_bounded.h - JSON from a file that nobody vouches for. */
#ifndef MOHVIT_JSON_BOUNDED_H
#define MOHVIT_JSON_BOUNDED_H

#include "base/error.h"

#include <jansson.h>

/* Parses length bytes; duplicate keys and \u0000 are errors. NULL on failure, with the reason in why.
 * jansson spends 235 bytes on each "{}" (measured), 1.3 GB on 16 MiB of them: a text of more than
 * max_containers objects and arrays, or max_values values, is refused before it is parsed. On failure errno
 * is ENOMEM where memory ran out, as error_library wants to know. */
json_t *json_load_bounded(const char *text, size_t length, size_t max_containers, size_t max_values,
                          json_error_t *why);

/* The same of an object of at most max_bytes that a person may have written. Messages: "NAME: WHAT is …". */
mohvit_status json_load_object(json_t **out, const char *text, size_t length, size_t max_bytes,
                               const char *name, const char *what, mohvit_error *err);

/* One line with numbers in the fewest digits that read back the same; malloc'd, NULL without memory. flags:
 * jansson's, for dumping. */
char *json_shortest(const json_t *value, size_t flags);

/* "an object", "null" ..., for messages. */
const char *json_kind(const json_t *value);

#endif

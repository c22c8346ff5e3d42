/* head_load_collect.h - from the records of an evaluation to a head load in a file: for eval, merge and
 * headload count alike. */
#ifndef MOHVIT_HEAD_LOAD_COLLECT_H
#define MOHVIT_HEAD_LOAD_COLLECT_H

#include "eval/totals.h"

/* Adds up the records, and writes. shard ("1/4", or NULL) is noted in the file. images and classes that were
 * counted may be NULL. */
mohvit_status head_load_collect_to_file(const char *path, const record_set *s, const char *shard,
                                        int64_t *images, size_t *classes, mohvit_error *err);

/* Whether this is a head load, as far as its first bytes tell: a safetensors file and no state. */
bool head_load_is_in(const char *path);

#endif

/* safetensors_index.h - which files make up a sharded checkpoint. (Reading it is checkpoint.h's.) */
#ifndef MOHVIT_SAFETENSORS_INDEX_H
#define MOHVIT_SAFETENSORS_INDEX_H

#include "base/error.h"

/* Whether a file that begins with these bytes is JSON, as an index is. */
bool safetensors_index_begins(const unsigned char *head, size_t length);

/* The paths of the shards that the file at `path` is the index of, in the bytewise order of their names:
 * *paths and each of them is malloc'd. *count is 0 where the file is no JSON. */
mohvit_status safetensors_index_shards(char ***paths, size_t *count, const char *path, mohvit_error *err);

#endif

/* weights_hash.h - a name for the bytes that weights were read from. */
#ifndef MOHVIT_WEIGHTS_HASH_H
#define MOHVIT_WEIGHTS_HASH_H

#include "base/error.h"

#define WEIGHTS_HASH_SIZE 33

/* XXH3-128 of a checkpoint as xxh128sum prints it; of the index of a sharded one, that of "cat INDEX SHARD
 * ...", the shards sorted by name. Takes as long as reading the file. */
mohvit_status weights_hash_file(char out[WEIGHTS_HASH_SIZE], const char *path, mohvit_error *err);

/* The same of a checkpoint in memory. */
void weights_hash_bytes(char out[WEIGHTS_HASH_SIZE], const void *data, size_t size);

#endif

#include "weights/weights_hash.h"

#include "weights/byte_source.h"
#include "weights/safetensors_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_STATIC_LINKING_ONLY // for a state on the stack: no allocation that could fail
#include <xxhash.h>

#define PART_BYTES ((size_t)1 << 20)

static void put_text(char out[WEIGHTS_HASH_SIZE], XXH128_hash_t hash)
{
    snprintf(out, WEIGHTS_HASH_SIZE, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
}

/* part (PART_BYTES): where what is read goes. */
static mohvit_status add_file(XXH3_state_t *state, const char *path, void *part, mohvit_error *err)
{
    byte_source src;
    mohvit_status status = byte_source_open(&src, path, err);
    if (status)
        return status;
    for (size_t at = 0, n; !status && at < src.size; at += n) {
        n = src.size - at < PART_BYTES ? src.size - at : PART_BYTES;
        status = byte_source_read(&src, at, part, n, err);
        if (!status)
            XXH3_128bits_update(state, part, n);
    }
    byte_source_close(&src);
    return status;
}

mohvit_status weights_hash_file(char out[WEIGHTS_HASH_SIZE], const char *path, mohvit_error *err)
{
    XXH3_state_t state;
    char **shards = NULL;
    size_t count = 0;
    void *part = malloc(PART_BYTES);
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    mohvit_status status = part ? safetensors_index_shards(&shards, &count, path, err)
                                : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for its hash", path);
    if (!status)
        status = add_file(&state, path, part, err);
    for (size_t i = 0; shards && i < count; i++) {
        if (!status)
            status = add_file(&state, shards[i], part, err);
        free(shards[i]);
    }
    free(shards);
    free(part);
    if (!status)
        put_text(out, XXH3_128bits_digest(&state));
    return status;
}

void weights_hash_bytes(char out[WEIGHTS_HASH_SIZE], const void *data, size_t size)
{
    put_text(out, XXH3_128bits(data, size));
}

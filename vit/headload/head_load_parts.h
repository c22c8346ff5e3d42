/* head_load_parts.h - what head_load.c, head_load_merge.c and head_load_safetensors.c share. */
#ifndef MOHVIT_HEAD_LOAD_PARTS_H
#define MOHVIT_HEAD_LOAD_PARTS_H

#include "vit/headload/head_load.h"

#define GATE_UNIT ((double)(1 << HEAD_LOAD_GATE_BITS))

/* Of a class; its tokens are then below 2^63 at any size of the input. */
#define HEAD_LOAD_MAX_IMAGES (INT64_MAX / (CONFIG_MAX_SIZE * CONFIG_MAX_SIZE))

mohvit_status head_load_no_memory(mohvit_error *err);

/* Which stretch of its data a source is: from `first` to `end` of `of` equal parts. */
typedef struct stretch {
    uint64_t first, end, of;
} stretch;

/* Of "shard": "I/N"; all of the data where there is none. False where it is malformed. */
bool stretch_of(stretch *s, const json_t *source);

#endif

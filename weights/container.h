/* container.h - what checkpoint.c asks of a file format. A format embeds `container` as its first member. */
#ifndef MOHVIT_CONTAINER_H
#define MOHVIT_CONTAINER_H

#include "weights/byte_source.h"
#include "weights/tensor.h"

#include <jansson.h>

#define CONTAINER_MAX_TENSORS ((size_t)65536)

typedef struct container container;

typedef struct container_ops {
    const char *format; /* "safetensors", "pth" */
    /* Goes to the first element of a tensor. */
    mohvit_status (*seek)(container *c, size_t index, mohvit_error *err);
    /* The next `bytes` of that tensor in row-major order, whole elements, never past its end. */
    mohvit_status (*next)(container *c, void *dst, size_t bytes, mohvit_error *err);
    void (*close)(container *c);
} container_ops;

/* Filled when a format opens; the names and all else belong to the format and live until close. */
struct container {
    const container_ops *ops;
    const byte_source *src;
    tensor_info *tensors; /* (count); name as the file has it */
    size_t count;
    const json_t *metadata; /* object of strings; NULL: none */
    const char **sets; /* (set_count) weight sets to choose among; none where the file has no such level */
    size_t set_count, chosen;
    const char *rest; /* what of the key names no set; NULL: nothing. Borrowed while the file is opened */
};

/* "FILE: there is no weight set …", or, without a key, that one must be named. */
mohvit_status container_no_such_set(const container *c, const char *key, mohvit_error *err);

/* Each takes a source that outlives the container. Only the file's directory is read. */
mohvit_status safetensors_open(container **out, const byte_source *src, mohvit_error *err);
/* The index of a sharded checkpoint; its shards lie beside it. */
mohvit_status safetensors_index_open(container **out, const byte_source *src, mohvit_error *err);
mohvit_status pth_open(container **out, const byte_source *src, const char *key, const warning_sink *warn,
                       mohvit_error *err);

#endif

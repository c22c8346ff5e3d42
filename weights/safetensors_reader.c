/* safetensors_reader.c - reads safetensors (spec 3): 8 bytes of header length, a JSON header, data without
 * gaps. */
#include "weights/safetensors_writer.h"

#include "base/json_bounded.h"
#include "base/memory.h"
#include "weights/container.h"

#include <stdlib.h>
#include <string.h>

typedef struct extent {
    size_t begin, end; /* in the data region, bytes */
} extent;

typedef struct safetensors {
    container base;
    json_t *header;  /* owns names and metadata */
    extent *extents; /* (count) */
    size_t data;     /* where the data region begins in the file */
    size_t position; /* where next() goes on, in the file */
} safetensors;

// ---- One tensor of the header ----------------------------------------------------------------------

/* Integers ≥ 0 into out; *count becomes their number, at most max. */
static bool parse_sizes(size_t *out, size_t *count, size_t max, const json_t *array)
{
    *count = json_array_size(array);
    if (!json_is_array(array) || *count > max)
        return false;
    for (size_t i = 0; i < *count; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        out[i] = (size_t)json_integer_value(value);
    }
    return true;
}

static mohvit_status parse_tensor(tensor_info *t, extent *e, const json_t *entry, const char *file,
                                  mohvit_error *err)
{
    size_t item_size = 0, offsets[2], pair;
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: expected an object of dtype, shape and data_offsets", file, t->name);
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype || !tensor_dtype_of(&t->dtype, &item_size, dtype))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: %s%s", file, t->name,
                         dtype ? "unknown dtype " : "has no dtype", dtype ? dtype : "");
    if (!parse_sizes(t->shape, &t->rank, TENSOR_MAX_RANK, json_object_get(entry, "shape")))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: shape is not an array of at most %d integers of at least 0", file, t->name,
                         TENSOR_MAX_RANK);
    if (!parse_sizes(offsets, &pair, 2, json_object_get(entry, "data_offsets")) || pair != 2)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: data_offsets is not [begin, end]", file, t->name);
    *e = (extent){offsets[0], offsets[1]};
    mohvit_status status = tensor_count_elements(t, item_size, file, err);
    if (status)
        return status;
    if (e->begin > e->end || e->end - e->begin != t->elements * item_size) {
        char shape[256];
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: data_offsets [%zu, %zu] do not hold shape %s, which takes %zu bytes", file,
                         t->name, e->begin, e->end, tensor_shape_text(shape, sizeof shape, t->rank, t->shape),
                         t->elements * item_size);
    }
    return MOHVIT_OK;
}

static mohvit_status take_metadata(container *c, const json_t *metadata, mohvit_error *err)
{
    const char *key, *file = c->src->name;
    json_t *value;
    if (json_is_null(metadata)) // as one writer puts "none"
        return MOHVIT_OK;
    c->metadata = metadata;
    if (!json_is_object(metadata))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: __metadata__ is not an object", file);
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: __metadata__: the value of %s is not a string",
                             file, key);
    }
    return MOHVIT_OK;
}

// ---- The whole header ------------------------------------------------------------------------------

static mohvit_status parse_entries(safetensors *st, mohvit_error *err)
{
    container *c = &st->base;
    size_t entries = json_object_size(st->header);
    c->tensors = calloc(entries + 1, sizeof *c->tensors); // + 1: an empty file is no failed allocation
    st->extents = calloc(entries + 1, sizeof *st->extents);
    if (!c->tensors || !st->extents)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu tensors", c->src->name, entries);
    const char *key;
    json_t *value;
    mohvit_status status = MOHVIT_OK;
    json_object_foreach(st->header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            status = take_metadata(c, value, err);
        } else {
            c->tensors[c->count].name = key;
            status = parse_tensor(&c->tensors[c->count], &st->extents[c->count], value, c->src->name, err);
            c->count++;
        }
        if (status)
            return status;
    }
    return MOHVIT_OK;
}

/* By place; an empty tensor before the one that begins where it lies. */
static int compare_extents(const void *a, const void *b)
{
    const extent *x = *(const extent *const *)a, *y = *(const extent *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static mohvit_status check_order(const safetensors *st, const extent *const *order, size_t data_size,
                                 mohvit_error *err)
{
    const container *c = &st->base;
    const char *file = c->src->name, *previous = "the header";
    size_t end = 0;
    for (size_t i = 0; i < c->count; i++) {
        const extent *e = order[i];
        const char *name = c->tensors[e - st->extents].name;
        if (e->end > data_size)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: %s: data_offsets [%zu, %zu] end past the data, which has %zu bytes (cut short?)", file,
                name, e->begin, e->end, data_size);
        if (e->begin < end)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: data_offsets [%zu, %zu] overlap those of %s",
                             file, name, e->begin, e->end, previous);
        if (e->begin > end)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: %s: a hole of %zu byte%s lies between %s and this tensor", file, name,
                             e->begin - end, plural(e->begin - end), previous);
        end = e->end;
        previous = name;
    }
    if (end != data_size)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %zu byte%s of data after the last tensor", file,
                         data_size - end, plural(data_size - end));
    return MOHVIT_OK;
}

/* The tensors must cover the data region exactly: nothing can hide in it, and a truncated file is found at
 * once. */
static mohvit_status check_coverage(const safetensors *st, size_t data_size, mohvit_error *err)
{
    size_t count = st->base.count;
    const extent **order = memory_alloc(count, sizeof *order);
    if (!order)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu tensors", st->base.src->name,
                         count);
    for (size_t i = 0; i < count; i++)
        order[i] = &st->extents[i];
    qsort(order, count, sizeof *order, compare_extents);
    mohvit_status status = check_order(st, order, data_size, err);
    free(order);
    return status;
}

/* A tensor's entry is three objects and arrays; a rank of 8 and its fields make 14 values. */
#define MAX_CONTAINERS (3 * CONTAINER_MAX_TENSORS + 2)
#define MAX_VALUES     (14 * CONTAINER_MAX_TENSORS)

static mohvit_status parse_header(safetensors *st, const char *text, size_t length, mohvit_error *err)
{
    json_error_t why;
    st->header = json_load_bounded(text, length, MAX_CONTAINERS, MAX_VALUES, &why);
    if (!st->header)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: header", st->base.src->name);
    if (!json_is_object(st->header))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: header: is not a JSON object", st->base.src->name);
    return parse_entries(st, err);
}

static mohvit_status read_header(safetensors *st, mohvit_error *err)
{
    const byte_source *src = st->base.src;
    uint64_t length;
    mohvit_status status = byte_source_read(src, 0, &length, sizeof length, err);
    if (status)
        return status;
    if (length > SAFETENSORS_MAX_HEADER)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: header of %llu bytes; at most %zu are read", src->name,
                         (unsigned long long)length, SAFETENSORS_MAX_HEADER);
    if (length > src->size - sizeof length)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: header of %llu bytes ends past the file, which has %zu", src->name,
                         (unsigned long long)length, src->size);
    char *text = memory_alloc((size_t)length, 1);
    if (!text)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for a header of %llu bytes", src->name,
                         (unsigned long long)length);
    status = byte_source_read(src, sizeof length, text, (size_t)length, err);
    if (!status)
        status = parse_header(st, text, (size_t)length, err);
    free(text);
    st->data = sizeof length + (size_t)length;
    return status ? status : check_coverage(st, src->size - st->data, err);
}

// ---- The container ---------------------------------------------------------------------------------

static mohvit_status safetensors_seek(container *c, size_t index, UNUSED mohvit_error *err)
{
    safetensors *st = (safetensors *)c;
    st->position = st->data + st->extents[index].begin;
    return MOHVIT_OK;
}

static mohvit_status safetensors_next(container *c, void *dst, size_t bytes, mohvit_error *err)
{
    safetensors *st = (safetensors *)c;
    mohvit_status status = byte_source_read(c->src, st->position, dst, bytes, err);
    st->position += bytes;
    return status;
}

static void safetensors_close(container *c)
{
    safetensors *st = (safetensors *)c;
    json_decref(st->header);
    free(st->extents);
    free(c->tensors);
    free(st);
}

static const container_ops safetensors_ops = {
    .format = "safetensors",
    .seek = safetensors_seek,
    .next = safetensors_next,
    .close = safetensors_close,
};

mohvit_status safetensors_open(container **out, const byte_source *src, mohvit_error *err)
{
    safetensors *st = calloc(1, sizeof *st);
    if (!st)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", src->name);
    st->base.ops = &safetensors_ops;
    st->base.src = src;
    mohvit_status status = read_header(st, err);
    if (status)
        safetensors_close(&st->base);
    else
        *out = &st->base;
    return status;
}

#include "weights/safetensors_writer.h"

#include "base/memory.h"
#include "base/replace_file.h"
#include "weights/half.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

typedef struct writer_entry {
    char *name;
    tensor_dtype dtype;
    size_t elements, written; /* written: bytes */
    uint64_t offset;          /* in the file, once the header is written */
} writer_entry;

struct safetensors_writer {
    char *path;
    replace_file file;
    writer_entry *entries; /* (count), in the order of the data */
    size_t count, added;   /* added: as wholes */
    bool failed;           /* a tensor was not written whole: finish must not give the file its name */
};

/* Data begin at a multiple of this, so that a reader that maps the file finds aligned tensors. */
#define ALIGNMENT ((size_t)64)

#define CHUNK_ELEMENTS ((size_t)1 << 16)

// ---- The header ------------------------------------------------------------------------------------

/* Adds a tensor's entry at *offset and advances it. */
static mohvit_status header_add(json_t *header, const tensor_info *t, size_t *offset, const char *path,
                                mohvit_error *err)
{
    size_t item_size = tensor_dtype_size(t->dtype), bytes = 1, end;
    bool fits = t->rank <= TENSOR_MAX_RANK;
    for (size_t i = 0; fits && i < t->rank; i++)
        fits = size_mul(bytes, t->shape[i], &bytes);
    fits = fits && bytes == t->elements && size_mul(bytes, item_size, &bytes) &&
           !__builtin_add_overflow(*offset, bytes, &end) && end <= PTRDIFF_MAX;
    if (!fits || !item_size)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: %s", path, t->name,
                         fits ? "is of a type that cannot be written"
                              : "rank, shape and number of elements do not belong together");
    if (strcmp(t->name, "__metadata__") == 0 || json_object_get(header, t->name))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: the name is taken", path, t->name);
    json_t *entry = json_pack("{s:s, s:[], s:[I, I]}", "dtype", tensor_dtype_name(t->dtype), "shape",
                              "data_offsets", (json_int_t)*offset, (json_int_t)end);
    json_t *shape = json_object_get(entry, "shape");
    for (size_t i = 0; i < t->rank; i++)
        fits = fits && !json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    if (!entry || !fits) {
        json_decref(entry);
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the header", path);
    }
    if (json_object_set_new(header, t->name, entry))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: is not UTF-8", path, t->name);
    *offset = end;
    return MOHVIT_OK;
}

static mohvit_status header_add_metadata(json_t *header, const metadata_entry *metadata, size_t count,
                                         const char *path, mohvit_error *err)
{
    json_t *object = json_object();
    if (!object || json_object_set_new(header, "__metadata__", object))
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the header", path);
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(object, metadata[i].key, json_string(metadata[i].value)))
            return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: metadata \"%s\": is not UTF-8", path,
                             metadata[i].key);
    }
    return MOHVIT_OK;
}

/* The JSON of a header. *header is set on success alone. */
static mohvit_status header_create(json_t **header, const tensor_info *tensors, size_t count,
                                   const metadata_entry *metadata, size_t metadata_count, const char *path,
                                   mohvit_error *err)
{
    json_t *own = json_object();
    size_t offset = 0;
    mohvit_status status = MOHVIT_OK;
    if (!own)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    else if (metadata_count)
        status = header_add_metadata(own, metadata, metadata_count, path, err);
    for (size_t i = 0; !status && i < count; i++)
        status = header_add(own, &tensors[i], &offset, path, err);
    if (status)
        json_decref(own);
    else
        *header = own;
    return status;
}

/* Its bytes as they are stored, malloc'd. */
static mohvit_status header_encode(unsigned char **out, size_t *size, const json_t *header, const char *path,
                                   mohvit_error *err)
{
    char *text = json_dumps(header, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0;
    size_t padded = (sizeof(uint64_t) + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *block = text ? malloc(padded) : NULL;
    mohvit_status status = MOHVIT_OK;
    if (!block) {
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the header", path);
    } else if (padded - sizeof(uint64_t) > SAFETENSORS_MAX_HEADER) {
        status = error_set(err, MOHVIT_ERROR_LIMIT, "%s: header of %zu bytes; at most %zu may be written",
                           path, length, SAFETENSORS_MAX_HEADER);
        free(block);
    } else {
        uint64_t stored = padded - sizeof stored;
        memcpy(block, &stored, sizeof stored);
        memcpy(block + sizeof stored, text, length);
        memset(block + sizeof stored + length, ' ', padded - sizeof stored - length);
        *out = block;
        *size = padded;
    }
    free(text);
    return status;
}

mohvit_status safetensors_header(unsigned char **out, size_t *size, const tensor_info *tensors, size_t count,
                                 const metadata_entry *metadata, size_t metadata_count, mohvit_error *err)
{
    static const char name[] = "file in memory";
    json_t *header;
    mohvit_status status = header_create(&header, tensors, count, metadata, metadata_count, name, err);
    if (status)
        return status;
    status = header_encode(out, size, header, name, err);
    json_decref(header);
    return status;
}

// ---- The file --------------------------------------------------------------------------------------

static mohvit_status write_all(safetensors_writer *w, const void *bytes, size_t size, mohvit_error *err)
{
    mohvit_status status = replace_write(&w->file, bytes, size, err);
    w->failed = w->failed || status;
    return status;
}

static size_t entry_bytes(const writer_entry *e)
{
    return e->elements * tensor_dtype_size(e->dtype);
}

static void place_tensors(safetensors_writer *w, uint64_t offset)
{
    for (size_t i = 0; i < w->count; i++) {
        w->entries[i].offset = offset;
        offset += entry_bytes(&w->entries[i]);
    }
}

static mohvit_status write_header(safetensors_writer *w, const json_t *header, mohvit_error *err)
{
    unsigned char *block;
    size_t size;
    mohvit_status status = header_encode(&block, &size, header, w->path, err);
    if (status)
        return status;
    status = write_all(w, block, size, err);
    place_tensors(w, size);
    free(block);
    return status;
}

// ---- The interface ---------------------------------------------------------------------------------

static mohvit_status writer_start(safetensors_writer *w, const char *path, const tensor_info *tensors,
                                  size_t count, const json_t *header, mohvit_error *err)
{
    w->path = strdup(path);
    w->entries = calloc(count + 1, sizeof *w->entries);
    if (!w->path || !w->entries)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    for (w->count = 0; w->count < count; w->count++) {
        const tensor_info *t = &tensors[w->count];
        w->entries[w->count] =
            (writer_entry){.name = strdup(t->name), .dtype = t->dtype, .elements = t->elements};
        if (!w->entries[w->count].name)
            return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    }
    mohvit_status status = replace_begin(&w->file, w->path, err);
    if (!status)
        status = replace_create(&w->file, err);
    return status ? status : write_header(w, header, err);
}

static void destroy(safetensors_writer *w)
{
    if (!w)
        return;
    replace_cancel(&w->file);
    for (size_t i = 0; w->entries && i < w->count; i++)
        free(w->entries[i].name);
    free(w->entries);
    free(w->path);
    free(w);
}

mohvit_status safetensors_writer_create(safetensors_writer **out, const char *path,
                                        const tensor_info *tensors, size_t count,
                                        const metadata_entry *metadata, size_t metadata_count,
                                        mohvit_error *err)
{
    json_t *header = NULL;
    mohvit_status status = header_create(&header, tensors, count, metadata, metadata_count, path, err);
    if (status)
        return status;
    safetensors_writer *w = calloc(1, sizeof *w);
    if (w) {
        w->file.fd = -1;
        status = writer_start(w, path, tensors, count, header, err);
    } else {
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    }
    json_decref(header);
    if (status)
        destroy(w);
    else
        *out = w;
    return status;
}

/* The entry of the tensor that is added now, or NULL and an error where all have been. */
static const writer_entry *writer_next(safetensors_writer *w, mohvit_error *err)
{
    if (w->added < w->count) {
        writer_entry *e = &w->entries[w->added++];
        e->written = entry_bytes(e);
        return e;
    }
    error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: all %zu tensors have been added already", w->path, w->count);
    return NULL;
}

mohvit_status safetensors_writer_add_raw(safetensors_writer *w, const void *bytes, mohvit_error *err)
{
    const writer_entry *e = writer_next(w, err);
    return e ? write_all(w, bytes, entry_bytes(e), err) : MOHVIT_ERROR_ARGUMENT;
}

mohvit_status safetensors_writer_put(safetensors_writer *w, size_t tensor, const void *bytes, size_t size,
                                     mohvit_error *err)
{
    writer_entry *e = &w->entries[tensor];
    if (size > entry_bytes(e) - e->written) {
        w->failed = true;
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: has %zu bytes, to which %zu are added", w->path,
                         e->name, e->written, size);
    }
    mohvit_status status = replace_write_at(&w->file, e->offset + e->written, bytes, size, err);
    e->written += size;
    w->failed = w->failed || status;
    return status;
}

static mohvit_status write_half(safetensors_writer *w, const writer_entry *e, const float *values,
                                mohvit_error *err)
{
    size_t chunk = e->elements < CHUNK_ELEMENTS ? e->elements : CHUNK_ELEMENTS;
    uint16_t *half = memory_alloc(chunk, sizeof *half);
    if (!half) {
        w->failed = true;
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", w->path);
    }
    mohvit_status status = MOHVIT_OK;
    for (size_t done = 0; !status && done < e->elements;) {
        size_t n = e->elements - done < chunk ? e->elements - done : chunk;
        (e->dtype == DTYPE_F16 ? half_to_f16 : half_to_bf16)(half, values + done, n);
        status = write_all(w, half, n * sizeof *half, err);
        done += n;
    }
    free(half);
    return status;
}

mohvit_status safetensors_writer_add_f32(safetensors_writer *w, const float *values, mohvit_error *err)
{
    const writer_entry *e = writer_next(w, err);
    if (!e)
        return MOHVIT_ERROR_ARGUMENT;
    switch (e->dtype) {
    case DTYPE_F32:
        return write_all(w, values, e->elements * sizeof *values, err);
    case DTYPE_F16:
    case DTYPE_BF16:
        return write_half(w, e, values, err);
    default:
        w->failed = true;
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: float32 values cannot be stored as %s", w->path,
                         e->name, tensor_dtype_name(e->dtype));
    }
}

/* The first tensor that is not there; NULL where all are. */
static const writer_entry *first_lacking(const safetensors_writer *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->entries[i].written < entry_bytes(&w->entries[i]))
            return &w->entries[i];
    return NULL;
}

mohvit_status safetensors_writer_finish(safetensors_writer *w, mohvit_status before, mohvit_error *err)
{
    mohvit_status status = before;
    const writer_entry *lacking = before ? NULL : first_lacking(w);
    if (lacking)
        status = error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: %s: was never added%s", w->path, lacking->name,
                           lacking->written ? " whole" : "");
    else if (!before && w->failed)
        status = error_set(err, MOHVIT_ERROR_IO, "%s: a tensor could not be written", w->path);
    else if (!before)
        status = replace_commit(&w->file, err);
    destroy(w);
    return status;
}

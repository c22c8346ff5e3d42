/* checkpoint.c - opens a file by its content, finds tensors by name, converts half precision. */
#include "weights/checkpoint.h"

#include "base/json_bounded.h"
#include "base/memory.h"
#include "weights/container.h"
#include "weights/half.h"
#include "weights/safetensors_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint {
    byte_source src;
    char *path;
    container *file;
    tensor_info **taken;   /* (count) tensors of the file, in its order: all, or those that the key names */
    tensor_info **by_name; /* (count) sorted: names chosen by an enemy cost no more than others */
    size_t count;
    uint16_t *chunk; /* CHUNK_ELEMENTS halves on their way to float32; made when first needed */
};

/* Small enough to stay in the second-level cache between the read and the conversion. */
#define CHUNK_ELEMENTS ((size_t)1 << 16)

// ---- Names -----------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(tensor_info *const *)a)->name, (*(tensor_info *const *)b)->name);
}

/* Sorts by name; NULL, or a name that two tensors have. */
static const char *sort_names(checkpoint *cp)
{
    memcpy(cp->by_name, cp->taken, cp->count * sizeof(tensor_info *));
    qsort(cp->by_name, cp->count, sizeof *cp->by_name, compare_names);
    for (size_t i = 1; i < cp->count; i++)
        if (strcmp(cp->by_name[i - 1]->name, cp->by_name[i]->name) == 0)
            return cp->by_name[i]->name;
    return NULL;
}

/* Takes the tensors whose names begin with the key and a dot, which are left out from then on. */
static void take_under(checkpoint *cp, const char *key)
{
    size_t length = strlen(key), count = 0;
    for (size_t i = 0; i < cp->count; i++) {
        tensor_info *t = cp->taken[i];
        if (strncmp(t->name, key, length) != 0 || t->name[length] != '.')
            continue;
        t->name += length + 1;
        cp->taken[count++] = t;
    }
    cp->count = count;
}

static mohvit_status index_names(checkpoint *cp, mohvit_error *err)
{
    container *file = cp->file;
    cp->taken = memory_alloc(file->count, sizeof *cp->taken);
    cp->by_name = memory_alloc(file->count, sizeof *cp->by_name);
    if (!cp->taken || !cp->by_name)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu tensor names", cp->path,
                         file->count);
    for (size_t i = 0; i < file->count; i++)
        cp->taken[i] = &file->tensors[i];
    cp->count = file->count;
    if (file->rest && *file->rest) {
        take_under(cp, file->rest);
        if (!cp->count)
            return container_no_such_set(file, file->rest, err);
    }
    const char *twice = sort_names(cp);
    return twice ? error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: there are two tensors of this name", cp->path,
                             twice)
                 : MOHVIT_OK;
}

mohvit_status checkpoint_take_off(checkpoint *cp, const char *prefix, size_t length, mohvit_error *err)
{
    for (size_t i = 0; i < cp->count; i++)
        if (strncmp(cp->taken[i]->name, prefix, length) == 0)
            cp->taken[i]->name += length;
    const char *twice = sort_names(cp);
    return twice ? error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: %s: there are two tensors of this name, with \"%.*s\" "
                             "before it and without; --key %.*s takes the former",
                             cp->path, twice, (int)length, prefix, (int)length - 1, prefix)
                 : MOHVIT_OK;
}

/* A name in two parts. */
typedef struct parts {
    const char *prefix, *name;
    size_t length; /* of the prefix */
} parts;

static int compare_parts(const void *a, const void *b)
{
    const parts *key = a;
    const char *name = (*(tensor_info *const *)b)->name;
    int order = strncmp(key->prefix, name, key->length);
    return order ? order : strcmp(key->name, name + key->length);
}

const tensor_info *checkpoint_find_under(const checkpoint *cp, const char *prefix, size_t length,
                                         const char *name)
{
    const parts key = {prefix, name, length};
    tensor_info *const *found = bsearch(&key, cp->by_name, cp->count, sizeof *cp->by_name, compare_parts);
    return found ? *found : NULL;
}

const tensor_info *checkpoint_find(const checkpoint *cp, const char *name)
{
    return checkpoint_find_under(cp, "", 0, name);
}

// ---- Opening ---------------------------------------------------------------------------------------

#define SAVE_AGAIN                                                                                           \
    "load it in PyTorch and save it again: torch.save(torch.load(path, map_location='cpu'), new_path)"
#define BARE_PICKLE "is a bare pickle, the format of PyTorch before 1.6; " SAVE_AGAIN

/* Files that people take for checkpoints, by what they begin with, and what to say of each. */
static const struct {
    size_t offset, length;
    const char *magic, *message;
} foreign[] = {
    {0, 2, "\x80\x02", BARE_PICKLE},
    {0, 2, "\x80\x03", BARE_PICKLE},
    {0, 2, "\x80\x04", BARE_PICKLE},
    {0, 2, "\x80\x05", BARE_PICKLE},
    {257, 5, "ustar", "is a tar archive, perhaps a checkpoint of PyTorch 0.1; " SAVE_AGAIN},
    {0, 23, "version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"},
    {0, 2, "\x1f\x8b", "is compressed by gzip; unpack it first"},
};

static mohvit_status refuse(const char *name, const unsigned char *head, size_t length, mohvit_error *err)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        size_t end = foreign[i].offset + foreign[i].length;
        if (length >= end && memcmp(head + foreign[i].offset, foreign[i].magic, foreign[i].length) == 0)
            return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s", name, foreign[i].message);
    }
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is neither a safetensors file nor a torch.save zip",
                     name);
}

static mohvit_status open_container(checkpoint *cp, const char *key, const warning_sink *warn,
                                    mohvit_error *err)
{
    unsigned char head[512];
    size_t length = cp->src.size < sizeof head ? cp->src.size : sizeof head;
    mohvit_status status = byte_source_read(&cp->src, 0, head, length, err);
    if (status)
        return status;
    if (length == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is empty", cp->path);
    if (length >= 4 && memcmp(head, "PK\3\4", 4) == 0)
        return pth_open(&cp->file, &cp->src, key, warn, err);
    if (length >= 9 && head[8] == '{') // what a safetensors header begins with, after its length
        status = safetensors_open(&cp->file, &cp->src, err);
    else if (safetensors_index_begins(head, length))
        status = safetensors_index_open(&cp->file, &cp->src, err);
    else
        return refuse(cp->path, head, length, err);
    if (!status)
        cp->file->rest = key; // it has no sets
    return status;
}

/* Takes over *src, also on failure. */
static mohvit_status open_source(checkpoint **out, byte_source *src, const char *name, const char *key,
                                 const warning_sink *warn, mohvit_error *err)
{
    checkpoint *cp = calloc(1, sizeof *cp);
    if (!cp) {
        byte_source_close(src);
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", name);
    }
    cp->src = *src;
    cp->path = strdup(name);
    cp->src.name = cp->path;
    mohvit_status status = cp->path ? open_container(cp, key, warn, err)
                                    : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", name);
    if (!status)
        status = index_names(cp, err);
    if (status)
        checkpoint_close(cp);
    else
        *out = cp;
    return status;
}

mohvit_status checkpoint_open(checkpoint **out, const char *path, const char *key, const warning_sink *warn,
                              mohvit_error *err)
{
    byte_source src;
    mohvit_status status = byte_source_open(&src, path, err);
    return status ? status : open_source(out, &src, path, key, warn, err);
}

mohvit_status checkpoint_open_memory(checkpoint **out, const void *data, size_t size, const char *name,
                                     const char *key, const warning_sink *warn, mohvit_error *err)
{
    byte_source src = {.name = name, .fd = -1, .data = data, .size = size};
    return open_source(out, &src, name, key, warn, err);
}

void checkpoint_close(checkpoint *cp)
{
    if (!cp)
        return;
    if (cp->file)
        cp->file->ops->close(cp->file);
    byte_source_close(&cp->src);
    free(cp->taken);
    free(cp->by_name);
    free(cp->chunk);
    free(cp->path);
    free(cp);
}

const char *checkpoint_format(const checkpoint *cp)
{
    return cp->file->ops->format;
}

const char *checkpoint_path(const checkpoint *cp)
{
    return cp->path;
}

mohvit_status container_no_such_set(const container *c, const char *key, mohvit_error *err)
{
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < c->set_count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", c->sets[i]);
    if (!key)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: holds several weight sets, one of which must be named: %s", c->src->name, list);
    if (!c->set_count)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: there is no weight set \"%s\", and no tensor whose name begins with \"%s.\"",
                         c->src->name, key, key);
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: there is no weight set \"%s\"; found: %s", c->src->name,
                     key, list);
}

size_t checkpoint_sets(const checkpoint *cp, const char *const **names, size_t *chosen)
{
    if (names)
        *names = cp->file->sets;
    if (chosen)
        *chosen = cp->file->chosen;
    return cp->file->set_count;
}

size_t checkpoint_count(const checkpoint *cp)
{
    return cp->count;
}

const tensor_info *checkpoint_tensor(const checkpoint *cp, size_t index)
{
    return index < cp->count ? cp->taken[index] : NULL;
}

const char *checkpoint_metadata(const checkpoint *cp, const char *key)
{
    return json_string_value(json_object_get(cp->file->metadata, key));
}

mohvit_status checkpoint_metadata_json(json_t **out, const checkpoint *cp, const char *key, json_type type,
                                       mohvit_error *err)
{
    enum { MAX_CONTAINERS = 100000, MAX_VALUES = 1000000 }; // a part of a head load's data takes three or so
    json_error_t why;
    const char *path = checkpoint_path(cp), *text = checkpoint_metadata(cp, key);
    json_t *value = text ? json_load_bounded(text, strlen(text), MAX_CONTAINERS, MAX_VALUES, &why) : NULL;
    if (text && !value)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: metadata \"%s\" is not JSON", path,
                             key);
    if (!value || json_typeof(value) != type) {
        json_decref(value);
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: metadata \"%s\": %s", path, key,
                         text ? "is not of the expected type" : "is missing");
    }
    json_decref(*out);
    *out = value;
    return MOHVIT_OK;
}

// ---- Reading ---------------------------------------------------------------------------------------

mohvit_status checkpoint_read_raw(checkpoint *cp, const tensor_info *tensor, void *dst, mohvit_error *err)
{
    container *file = cp->file;
    if (tensor->dtype == DTYPE_OTHER)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s: is of a type that cannot be read here",
                         cp->path, tensor->name);
    mohvit_status status = file->ops->seek(file, (size_t)(tensor - file->tensors), err);
    return status ? status
                  : file->ops->next(file, dst, tensor->elements * tensor_dtype_size(tensor->dtype), err);
}

static mohvit_status read_half(checkpoint *cp, const tensor_info *tensor, float *dst, mohvit_error *err)
{
    container *file = cp->file;
    if (!cp->chunk && !(cp->chunk = memory_alloc(CHUNK_ELEMENTS, sizeof *cp->chunk)))
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", cp->path);
    mohvit_status status = file->ops->seek(file, (size_t)(tensor - file->tensors), err);
    for (size_t done = 0; !status && done < tensor->elements;) {
        size_t n = tensor->elements - done < CHUNK_ELEMENTS ? tensor->elements - done : CHUNK_ELEMENTS;
        status = file->ops->next(file, cp->chunk, n * sizeof *cp->chunk, err);
        if (!status)
            (tensor->dtype == DTYPE_F16 ? half_from_f16 : half_from_bf16)(dst + done, cp->chunk, n);
        done += n;
    }
    return status;
}

mohvit_status checkpoint_read_f32(checkpoint *cp, const tensor_info *tensor, float *dst, mohvit_error *err)
{
    switch (tensor->dtype) {
    case DTYPE_F32:
        return checkpoint_read_raw(cp, tensor, dst, err);
    case DTYPE_F16:
    case DTYPE_BF16:
        return read_half(cp, tensor, dst, err);
    default:
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s: dtype %s; expected F32, F16 or BF16",
                         cp->path, tensor->name, tensor_dtype_name(tensor->dtype));
    }
}

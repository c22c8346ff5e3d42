/* checkpoint.c - opens a file by its content, finds tensors by name, converts half precision. */
#include "weights/checkpoint.h"

#include "base/memory.h"
#include "weights/container.h"
#include "weights/half.h"

#include <stdlib.h>
#include <string.h>

struct checkpoint {
    byte_source src;
    char *path;
    container *file;
    const tensor_info **by_name; /* (count) sorted: names chosen by an enemy cost no more than others */
    uint16_t *chunk;             /* CHUNK_ELEMENTS halves on their way to float32; made when first needed */
};

/* Small enough to stay in the second-level cache between the read and the conversion. */
#define CHUNK_ELEMENTS ((size_t)1 << 16)

static const char module_prefix[] = "module."; /* DataParallel's and AveragedModel's */

// ---- Names -----------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const tensor_info *const *)a)->name, (*(const tensor_info *const *)b)->name);
}

static mohvit_status index_names(checkpoint *cp, mohvit_error *err)
{
    container *file = cp->file;
    cp->by_name = memory_alloc(file->count, sizeof *cp->by_name);
    if (!cp->by_name)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu tensor names", cp->path,
                         file->count);
    for (size_t i = 0; i < file->count; i++) {
        tensor_info *t = &file->tensors[i];
        if (strncmp(t->name, module_prefix, sizeof module_prefix - 1) == 0)
            t->name += sizeof module_prefix - 1;
        cp->by_name[i] = t;
    }
    qsort(cp->by_name, file->count, sizeof *cp->by_name, compare_names);
    for (size_t i = 1; i < file->count; i++) {
        if (strcmp(cp->by_name[i - 1]->name, cp->by_name[i]->name) == 0)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: there are two tensors of this name", cp->path,
                             cp->by_name[i]->name);
    }
    return MOHVIT_OK;
}

const tensor_info *checkpoint_find(const checkpoint *cp, const char *name)
{
    const tensor_info *key = &(tensor_info){.name = name};
    const tensor_info **found =
        bsearch(&key, cp->by_name, cp->file->count, sizeof *cp->by_name, compare_names);
    return found ? *found : NULL;
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
    if (length < 9 || head[8] != '{') // what a safetensors header begins with, after its length
        return refuse(cp->path, head, length, err);
    if (key)
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "%s: is a safetensors file, which holds one weight set; there is no \"%s\" to choose", cp->path,
            key);
    return safetensors_open(&cp->file, &cp->src, err);
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
    return cp->file->count;
}

const tensor_info *checkpoint_tensor(const checkpoint *cp, size_t index)
{
    return index < cp->file->count ? &cp->file->tensors[index] : NULL;
}

const char *checkpoint_metadata(const checkpoint *cp, const char *key)
{
    return json_string_value(json_object_get(cp->file->metadata, key));
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

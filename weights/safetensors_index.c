/* safetensors_index.c - reads the index of a sharded checkpoint: JSON whose weight_map says for each tensor
 * in which safetensors file beside the index it lies. Each of these, the shards, is opened with the index,
 * and must hold the tensors that the index says, each once, and no others. */
#include "weights/safetensors_index.h"

#include "weights/container.h"
#include "base/json_bounded.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define MAX_INDEX ((size_t)16 << 20)

/* The largest published models have some 200. Each is an open file. */
#define MAX_SHARDS ((size_t)512)

typedef struct shard {
    const char *name; /* borrowed from the index */
    char *path;
    byte_source src;
    container *file;
    size_t first; /* of its tensors among all */
} shard;

typedef struct sharded {
    container base;
    json_t *index, *metadata; /* metadata: of all shards */
    shard *shards;            /* (count) in the order of their names */
    size_t count;
    const shard *current; /* that seek chose */
} sharded;

static mohvit_status no_memory(const char *file, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", file);
}

// ---- The index -------------------------------------------------------------------------------------

/* An index is three objects and a string for each tensor; people add to its metadata. */
#define MAX_CONTAINERS ((size_t)64)
#define MAX_VALUES     (CONTAINER_MAX_TENSORS + 1024)

static mohvit_status parse_index(json_t **out, const byte_source *src, mohvit_error *err)
{
    json_error_t why;
    *out = NULL;
    if (src->size > MAX_INDEX)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: JSON of %zu bytes; at most %zu are read", src->name,
                         src->size, MAX_INDEX);
    char *text = memory_alloc(src->size, 1);
    if (!text)
        return no_memory(src->name, err);
    mohvit_status status = byte_source_read(src, 0, text, src->size, err);
    if (!status && !(*out = json_load_bounded(text, src->size, MAX_CONTAINERS, MAX_VALUES, &why)))
        status = error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: JSON", src->name);
    free(text);
    return status;
}

/* The object that names the shards; NULL where the JSON is something else. */
static json_t *weight_map(const json_t *index)
{
    json_t *map = json_object_get(index, "weight_map");
    return json_is_object(map) ? map : NULL;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A shard lies beside the index: a name that leads elsewhere is none. */
static mohvit_status check_name(const json_t *shard_name, const char *tensor, const char *file,
                                mohvit_error *err)
{
    const char *name = json_string_value(shard_name);
    if (name && *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_FORMAT,
                     "%s: weight_map: %s: expected the name of a file beside the index; found %s%s", file,
                     tensor, name ? "" : json_kind(shard_name),
                     name && *name ? name
                     : name        ? "none"
                                   : "");
}

/* The shards' names, sorted, each once: *names is malloc'd and borrows from the index. */
static mohvit_status list_names(const char ***names, size_t *count, const json_t *index, const char *file,
                                mohvit_error *err)
{
    json_t *map = weight_map(index), *value;
    const char *tensor;
    if (!map || !json_object_size(map))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: is JSON, but not the index of a checkpoint: it has no weight_map", file);
    if (json_object_size(map) > CONTAINER_MAX_TENSORS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: names %zu tensors; at most %zu are read", file,
                         json_object_size(map), CONTAINER_MAX_TENSORS);
    const char **all = memory_alloc(json_object_size(map), sizeof *all);
    if (!all)
        return no_memory(file, err);
    size_t n = 0;
    mohvit_status status = MOHVIT_OK;
    json_object_foreach(map, tensor, value)
    {
        if ((status = check_name(value, tensor, file, err)))
            break;
        all[n++] = json_string_value(value);
    }
    qsort(all, n, sizeof *all, compare_texts);
    size_t shards = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(all[i], all[shards - 1]) != 0)
            all[shards++] = all[i];
    if (!status && shards > MAX_SHARDS)
        status = error_set(err, MOHVIT_ERROR_LIMIT, "%s: names %zu shards; at most %zu are read", file,
                           shards, MAX_SHARDS);
    if (status) {
        free(all);
        return status;
    }
    *names = all;
    *count = shards;
    return MOHVIT_OK;
}

static char *path_beside(const char *index, const char *name)
{
    const char *slash = strrchr(index, '/');
    size_t folder = slash ? (size_t)(slash + 1 - index) : 0, length = strlen(name);
    char *path = malloc(folder + length + 1);
    if (path) {
        memcpy(path, index, folder);
        memcpy(path + folder, name, length + 1);
    }
    return path;
}

bool safetensors_index_begins(const unsigned char *head, size_t length)
{
    size_t i = 0;
    while (i < length && (head[i] == ' ' || head[i] == '\t' || head[i] == '\r' || head[i] == '\n'))
        i++;
    return i < length && head[i] == '{';
}

/* Paths of the named files, beside the index. */
static mohvit_status make_paths(char ***paths, const char *const *names, size_t count, const char *index,
                                mohvit_error *err)
{
    char **all = calloc(count, sizeof *all);
    bool made = all != NULL;
    for (size_t i = 0; made && i < count; i++)
        made = (all[i] = path_beside(index, names[i])) != NULL;
    if (made) {
        *paths = all;
        return MOHVIT_OK;
    }
    for (size_t i = 0; all && i < count; i++)
        free(all[i]);
    free(all);
    return no_memory(index, err);
}

mohvit_status safetensors_index_shards(char ***paths, size_t *count, const char *path, mohvit_error *err)
{
    byte_source src;
    unsigned char head[512];
    json_t *index = NULL;
    const char **names = NULL;
    *count = 0;
    mohvit_status status = byte_source_open(&src, path, err);
    if (status)
        return status;
    size_t length = src.size < sizeof head ? src.size : sizeof head;
    status = byte_source_read(&src, 0, head, length, err);
    if (!status && safetensors_index_begins(head, length)) {
        status = parse_index(&index, &src, err);
        if (!status)
            status = list_names(&names, count, index, path, err);
        if (!status)
            status = make_paths(paths, names, *count, path, err);
        free(names);
    }
    json_decref(index);
    byte_source_close(&src);
    return status;
}

// ---- Shards ----------------------------------------------------------------------------------------

/* Each tensor of the shard is one that the index puts there. */
static mohvit_status check_tensors(const sharded *s, const shard *part, mohvit_error *err)
{
    const json_t *map = weight_map(s->index);
    for (size_t i = 0; i < part->file->count; i++) {
        const char *name = part->file->tensors[i].name;
        const char *place = json_string_value(json_object_get(map, name));
        if (!place || strcmp(place, part->name) != 0)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: holds tensor %s, which the index %s%s",
                             part->path, name, place ? "puts in " : "does not have", place ? place : "");
    }
    return MOHVIT_OK;
}

#define TO_JOIN                                                                                              \
    "join them in PyTorch: torch.save({k: t for f in shards for k, t in torch.load(f, "                      \
    "map_location='cpu').items()}, 'joined.pth')"

/* err: why it cannot be opened. */
static mohvit_status lost_shard(const sharded *s, const shard *part, mohvit_status status, mohvit_error *err)
{
    mohvit_error cause = {0};
    size_t length = strlen(part->name);
    bool saved = length > 4 && !strcmp(part->name + length - 4, ".bin");
    if (err)
        cause = *err;
    if (saved)
        error_set(err, status,
                  "%s; shards called .bin are what torch.save wrote, and are not read: once all are "
                  "there, " TO_JOIN,
                  cause.message);
    else
        error_set(err, status, "%s; expected its %zu shard%s beside it", cause.message, s->count,
                  plural(s->count));
    if (err)
        err->number = cause.number;
    return status;
}

/* An index of pytorch_model-00001-of-00002.bin looks the same, and each of these is a zip or a bare pickle.
 */
static mohvit_status refuse_shard(const shard *part, const unsigned char *head, size_t length,
                                  mohvit_error *err)
{
    bool saved = length >= 4 && (!memcmp(head, "PK\3\4", 4) || head[0] == 0x80);
    if (!saved)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is not a safetensors file", part->path);
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "%s: is a shard that torch.save wrote, and only those of safetensors are read; " TO_JOIN,
                     part->path);
}

static mohvit_status open_shard(sharded *s, shard *part, mohvit_error *err)
{
    part->path = path_beside(s->base.src->name, part->name);
    part->src.fd = -1;
    if (!part->path)
        return no_memory(s->base.src->name, err);
    unsigned char head[9]; // the length of the header, and its first byte
    mohvit_status status = byte_source_open(&part->src, part->path, err);
    if (status)
        return lost_shard(s, part, status, err);
    size_t length = part->src.size < sizeof head ? part->src.size : sizeof head;
    status = byte_source_read(&part->src, 0, head, length, err);
    if (!status && (length < sizeof head || head[8] != '{'))
        status = refuse_shard(part, head, length, err);
    if (!status)
        status = safetensors_open(&part->file, &part->src, err);
    if (!status)
        status = check_tensors(s, part, err);
    if (!status && part->file->metadata &&
        json_object_update_missing(s->metadata, (json_t *)part->file->metadata))
        status = no_memory(s->base.src->name, err);
    return status;
}

/* Says of whom the shard is. */
static mohvit_status blame(const sharded *s, mohvit_status status, mohvit_error *err)
{
    if (status && err) {
        mohvit_error cause = *err;
        error_set(err, status, "%s: index of a sharded checkpoint: %s", s->base.src->name, cause.message);
        err->number = cause.number;
    }
    return status;
}

/* The shards' tensors, one shard after the other. All are in the index, each once; none of it may be missing.
 */
static mohvit_status join_tensors(sharded *s, mohvit_error *err)
{
    container *c = &s->base;
    json_t *map = weight_map(s->index);
    size_t wanted = json_object_size(map);
    for (size_t i = 0; i < s->count; i++)
        c->count += s->shards[i].file->count;
    c->tensors = memory_alloc(c->count, sizeof *c->tensors);
    if (!c->tensors)
        return no_memory(c->src->name, err);
    size_t n = 0;
    for (size_t i = 0; i < s->count; n += s->shards[i++].file->count) {
        s->shards[i].first = n;
        memcpy(c->tensors + n, s->shards[i].file->tensors, s->shards[i].file->count * sizeof *c->tensors);
    }
    if (n == wanted)
        return MOHVIT_OK;
    for (size_t i = 0; i < n; i++)
        json_object_del(map, c->tensors[i].name);
    void *missing = json_object_iter(map);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: weight_map: %s: is not in %s", c->src->name,
                     json_object_iter_key(missing), json_string_value(json_object_iter_value(missing)));
}

static mohvit_status open_shards(sharded *s, mohvit_error *err)
{
    const char **names, *file = s->base.src->name;
    mohvit_status status = list_names(&names, &s->count, s->index, file, err);
    if (status)
        return status;
    s->metadata = json_object();
    s->shards = memory_alloc(s->count, sizeof *s->shards);
    if (!s->metadata || !s->shards) {
        s->count = 0;
        status = no_memory(file, err);
    }
    for (size_t i = 0; i < s->count; i++)
        s->shards[i] = (shard){.name = names[i], .src.fd = -1};
    free(names);
    for (size_t i = 0; !status && i < s->count; i++)
        status = blame(s, open_shard(s, &s->shards[i], err), err);
    s->base.metadata = s->metadata;
    return status ? status : join_tensors(s, err);
}

// ---- The container ---------------------------------------------------------------------------------

static mohvit_status sharded_seek(container *c, size_t index, mohvit_error *err)
{
    sharded *s = (sharded *)c;
    size_t i = s->count - 1;
    while (s->shards[i].first > index)
        i--;
    s->current = &s->shards[i];
    return s->current->file->ops->seek(s->current->file, index - s->current->first, err);
}

static mohvit_status sharded_next(container *c, void *dst, size_t bytes, mohvit_error *err)
{
    const shard *current = ((sharded *)c)->current;
    return current->file->ops->next(current->file, dst, bytes, err);
}

static void sharded_close(container *c)
{
    sharded *s = (sharded *)c;
    for (size_t i = 0; i < s->count; i++) {
        if (s->shards[i].file)
            s->shards[i].file->ops->close(s->shards[i].file);
        byte_source_close(&s->shards[i].src);
        free(s->shards[i].path);
    }
    free(s->shards);
    json_decref(s->metadata);
    json_decref(s->index);
    free(c->tensors);
    free(s);
}

static const container_ops sharded_ops = {
    .format = "safetensors index",
    .seek = sharded_seek,
    .next = sharded_next,
    .close = sharded_close,
};

mohvit_status safetensors_index_open(container **out, const byte_source *src, mohvit_error *err)
{
    if (src->fd < 0)
        return error_set(
            err, MOHVIT_ERROR_UNSUPPORTED,
            "%s: is JSON; the index of a sharded checkpoint is read from a file alone, beside which "
            "its shards lie",
            src->name);
    sharded *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(src->name, err);
    s->base.ops = &sharded_ops;
    s->base.src = src;
    mohvit_status status = parse_index(&s->index, src, err);
    if (!status)
        status = open_shards(s, err);
    if (status)
        sharded_close(&s->base);
    else
        *out = &s->base;
    return status;
}

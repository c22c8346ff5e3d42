#include "vit/headload/per_image.h"

#include "base/memory.h"
#include "weights/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1"

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the heads of so many pictures");
}

// ---- Reading ---------------------------------------------------------------------------------------

typedef struct {
    checkpoint *cp;
    const char *path;
    mohvit_error *err;
} reader;

static mohvit_status read_metadata(per_image *p, const reader *r)
{
    json_t *layout = NULL;
    const char *version = checkpoint_metadata(r->cp, "per-image"),
               *classes = checkpoint_metadata(r->cp, "class_names");
    if (!version || strcmp(version, VERSION) != 0)
        return error_set(r->err, version ? MOHVIT_ERROR_UNSUPPORTED : MOHVIT_ERROR_FORMAT,
                         "%s: expected version " VERSION
                         " of a file that \"headload count --per-image\" writes, found %s",
                         r->path, version ? version : "none");
    if (!classes)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: metadata \"class_names\": is missing", r->path);
    mohvit_status status = checkpoint_metadata_json(&p->provenance, r->cp, "provenance", JSON_OBJECT, r->err);
    if (!status)
        status = checkpoint_metadata_json(&layout, r->cp, "routing", JSON_OBJECT, r->err);
    if (!status)
        status = routing_layout_read(&p->routing, layout, NULL, NULL, r->path, r->err);
    if (!status)
        status = labels_from_json(&p->names, classes, r->path, r->err);
    json_decref(layout);
    return status;
}

/* A tensor of this type and shape in memory of its own; *first SIZE_MAX takes any, and becomes what there is.
 */
static mohvit_status read_tensor(void *out, const reader *r, const char *name, tensor_dtype dtype,
                                 size_t *first, size_t rank, const size_t *rest)
{
    const tensor_info *t = checkpoint_find(r->cp, name);
    bool fits = t && t->dtype == dtype && t->rank == rank && (*first == SIZE_MAX || *first == t->shape[0]);
    for (size_t i = 1; fits && i < rank; i++)
        fits = t->shape[i] == rest[i - 1];
    char shape[128], found[160] = "nothing";
    if (t)
        snprintf(found, sizeof found, "%s %s", tensor_dtype_name(t->dtype),
                 tensor_shape_text(shape, sizeof shape, t->rank, t->shape));
    if (!fits)
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: found %s; expected %s, and as many rows and heads as the others", r->path,
                         name, found, tensor_dtype_name(dtype));
    *first = t->shape[0];
    void *memory = memory_alloc(t->elements + 1, tensor_dtype_size(dtype));
    if (!memory)
        return no_memory(r->err);
    memcpy(out, &memory, sizeof memory);
    return checkpoint_read_raw(r->cp, t, memory, r->err);
}

static mohvit_status check_picture(const per_image *p, const reader *r, size_t i, size_t name_bytes)
{
    if (p->class_of[i] < -1 || p->class_of[i] >= (int64_t)p->names.count)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: class: row %zu is %lld of %zu classes", r->path, i,
                         (long long)p->class_of[i], p->names.count);
    if (p->name_start[i] > p->name_start[i + 1] || p->name_start[i + 1] > (int64_t)name_bytes)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: name_offsets: row %zu ends at %lld of %zu bytes",
                         r->path, i, (long long)p->name_start[i + 1], name_bytes);
    for (size_t b = 0; b < p->routing.count; b++) {
        const routing_block *block = &p->routing.blocks[b];
        for (size_t h = 0; h < p->routing.max_heads; h++) {
            int32_t active = per_image_active(p, i, b, h);
            if (h < block->heads ? active < 0 || (size_t)active > block->tokens : active != -1)
                return error_set(r->err, MOHVIT_ERROR_FORMAT,
                                 "%s: active: row %zu, block %s, head %zu: %d of %zu tokens", r->path, i,
                                 block->name, h, active, h < block->heads ? block->tokens : 0);
        }
    }
    return MOHVIT_OK;
}

static mohvit_status read_all(per_image *p, const reader *r)
{
    size_t bytes = SIZE_MAX, offsets = SIZE_MAX;
    mohvit_status status = read_metadata(p, r);
    p->count = SIZE_MAX;
    if (!status)
        status = read_tensor(&p->index, r, "index", DTYPE_I64, &p->count, 1, NULL);
    if (!status)
        status = read_tensor(&p->class_of, r, "class", DTYPE_I64, &p->count, 1, NULL);
    if (!status) {
        offsets = p->count + 1;
        status = read_tensor(&p->name_start, r, "name_offsets", DTYPE_I64, &offsets, 1, NULL);
    }
    if (!status)
        status = read_tensor(&p->picture_names, r, "names", DTYPE_U8, &bytes, 1, NULL);
    if (!status)
        status = read_tensor(&p->active, r, "active", DTYPE_I32, &p->count, 3,
                             (const size_t[]){p->routing.count, p->routing.max_heads});
    if (!status && p->name_start[0])
        status = error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: name_offsets: begin at %lld, expected 0",
                           r->path, (long long)p->name_start[0]);
    for (size_t i = 0; !status && i < p->count; i++)
        status = check_picture(p, r, i, bytes);
    return status;
}

mohvit_status per_image_open(per_image **out, const char *path, mohvit_error *err)
{
    reader r = {.path = path, .err = err};
    mohvit_status status = checkpoint_open(&r.cp, path, NULL, NULL, err);
    if (status)
        return status;
    per_image *p = calloc(1, sizeof *p);
    status = p ? read_all(p, &r) : no_memory(err);
    checkpoint_close(r.cp);
    if (status)
        per_image_free(p);
    else
        *out = p;
    return status;
}

void per_image_free(per_image *p)
{
    if (!p)
        return;
    routing_layout_free(&p->routing);
    labels_free(&p->names);
    json_decref(p->provenance);
    free(p->index);
    free(p->class_of);
    free(p->active);
    free(p->name_start);
    free(p->picture_names);
    free(p);
}

char *per_image_name(const per_image *p, size_t picture)
{
    const int64_t *start = p->name_start + picture;
    return strndup(p->picture_names + start[0], (size_t)(start[1] - start[0]));
}

// ---- The pictures that use a head most -------------------------------------------------------------

/* Rows are in the order of the data, but of a file that others made. */
static bool uses_more(const per_image *p, size_t a, size_t b, size_t block, size_t head)
{
    int32_t x = per_image_active(p, a, block, head), y = per_image_active(p, b, block, head);
    return x != y ? x > y : p->index[a] < p->index[b];
}

size_t per_image_top(size_t *top, size_t n, const per_image *p, size_t block, size_t head)
{
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (!per_image_active(p, i, block, head) || (count == n && !uses_more(p, i, top[n - 1], block, head)))
            continue;
        size_t at = count < n ? count++ : n - 1;
        for (; at && uses_more(p, i, top[at - 1], block, head); at--)
            top[at] = top[at - 1];
        top[at] = i;
    }
    return count;
}

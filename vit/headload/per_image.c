#include "vit/headload/per_image.h"

#include "base/memory.h"
#include "weights/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1"

// ---- Reading ---------------------------------------------------------------------------------------

typedef struct {
    checkpoint *cp;
    const char *path;
    mohvit_error *err;
} reader;

static mohvit_status no_memory(const reader *r)
{
    return error_set(r->err, MOHVIT_ERROR_MEMORY, "%s: no memory for the heads of its pictures", r->path);
}

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
        return no_memory(r);
    memcpy(out, &memory, sizeof memory);
    return checkpoint_read_raw(r->cp, t, memory, r->err);
}

/* A shared head has every token, and each token as many routed ones as the router chooses. */
static mohvit_status check_active(const per_image *p, const reader *r, size_t i, const routing_block *b)
{
    size_t routed = 0;
    for (size_t h = 0; h < p->routing.max_heads; h++) {
        int32_t active = per_image_active(p, i, b->index, h);
        size_t least = h < b->shared ? b->tokens : 0;
        bool fits = active >= 0 && (size_t)active >= least && (size_t)active <= b->tokens;
        if (h < b->heads ? !fits : active != -1)
            return error_set(r->err, MOHVIT_ERROR_FORMAT,
                             "%s: active: row %zu, block %s, head %zu: %d of %zu tokens", r->path, i, b->name,
                             h, active, h < b->heads ? b->tokens : 0);
        routed += h >= b->shared && h < b->heads ? (size_t)active : 0;
    }
    if (routed == b->routed * b->tokens)
        return MOHVIT_OK;
    return error_set(
        r->err, MOHVIT_ERROR_FORMAT,
        "%s: active: row %zu, block %s: %zu selections of routed heads, expected %zu for each of "
        "%zu tokens",
        r->path, i, b->name, routed, b->routed, b->tokens);
}

static mohvit_status check_name(const per_image *p, const reader *r, size_t i, size_t name_bytes)
{
    int64_t from = p->name_start[i], to = p->name_start[i + 1];
    bool last = i + 1 == p->count;
    if (to <= from || to > (int64_t)name_bytes || (last && to != (int64_t)name_bytes))
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: name_offsets: row %zu ends at %lld of %zu bytes",
                         r->path, i, (long long)to, name_bytes);
    if (memchr(p->picture_names + from, '\0', (size_t)(to - from)))
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: names: row %zu has a zero byte", r->path, i);
    return MOHVIT_OK;
}

static mohvit_status check_picture(const per_image *p, const reader *r, size_t i, size_t name_bytes)
{
    if (p->index[i] <= (i ? p->index[i - 1] : -1))
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: index: row %zu is %lld; expected rising ones from 0", r->path, i,
                         (long long)p->index[i]);
    if (p->class_of[i] < -1 || p->class_of[i] >= (int64_t)p->names.count)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: class: row %zu is %lld of %zu classes", r->path, i,
                         (long long)p->class_of[i], p->names.count);
    mohvit_status status = check_name(p, r, i, name_bytes);
    for (size_t b = 0; !status && b < p->routing.count; b++)
        status = check_active(p, r, i, &p->routing.blocks[b]);
    return status;
}

/* That the file's tokens are those of its routing. */
static mohvit_status check_tokens(const per_image *p, const reader *r)
{
    size_t blocks = p->routing.count;
    int64_t *tokens = NULL;
    mohvit_status status = read_tensor(&tokens, r, "tokens", DTYPE_I64, &blocks, 1, NULL);
    for (size_t b = 0; !status && b < blocks; b++)
        if (tokens[b] != (int64_t)p->routing.blocks[b].tokens)
            status =
                error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: tokens: block %s has %lld, expected %zu", r->path,
                          p->routing.blocks[b].name, (long long)tokens[b], p->routing.blocks[b].tokens);
    free(tokens);
    return status;
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
    if (!status && checkpoint_find(r->cp, "xxh64"))
        status = read_tensor(&p->xxh64, r, "xxh64", DTYPE_I64, &p->count, 1, NULL);
    if (!status)
        status = check_tokens(p, r);
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
    status = p ? read_all(p, &r) : no_memory(&r);
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
    free(p->xxh64);
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

// ---- And a head load -------------------------------------------------------------------------------

typedef struct sums {
    int64_t *images; /* (classes) */
    int64_t *active; /* (classes, blocks, max_heads), 0 where a block has fewer */
} sums;

static void add_up(const sums *to, const per_image *p)
{
    size_t cells = p->routing.count * p->routing.max_heads;
    for (size_t i = 0; i < p->count; i++) {
        if (p->class_of[i] < 0)
            continue;
        size_t c = (size_t)p->class_of[i];
        to->images[c]++;
        for (size_t k = 0; k < cells; k++)
            to->active[c * cells + k] += p->active[i * cells + k] > 0 ? p->active[i * cells + k] : 0;
    }
}

static mohvit_status compare(const sums *found, const per_image *p, const head_load *l, const char *name,
                             const char *l_name, mohvit_error *err)
{
    for (size_t c = 0; c < l->names.count; c++)
        if (found->images[c] != l->images[c])
            return error_set(err, MOHVIT_ERROR_MISMATCH,
                             "%s: is of other data than %s: %lld pictures of class %zu (%s), expected %lld",
                             name, l_name, (long long)found->images[c], c, l->names.name[c],
                             (long long)l->images[c]);
    for (size_t c = 0; c < l->names.count; c++) {
        for (size_t b = 0; b < p->routing.count; b++) {
            const routing_block *block = &p->routing.blocks[b];
            for (size_t h = 0; h < block->heads; h++) {
                size_t at = head_load_at(l, c, b, h);
                char head[ROUTING_HEAD_NAME];
                routing_head_name(head, block, h);
                if (found->active[at] != l->active[at])
                    return error_set(err, MOHVIT_ERROR_MISMATCH,
                                     "%s: is of other data than %s: %lld tokens of class %zu (%s) select "
                                     "%s:%s, expected %lld",
                                     name, l_name, (long long)found->active[at], c, l->names.name[c],
                                     block->name, head, (long long)l->active[at]);
            }
        }
    }
    return MOHVIT_OK;
}

mohvit_status per_image_check_load(const per_image *p, const head_load *l, const char *name,
                                   const char *l_name, mohvit_error *err)
{
    mohvit_status status = head_load_check_model(l, p->provenance, l_name, name, err);
    if (!status && !routing_layout_equal(&p->routing, &l->routing))
        status = error_set(err, MOHVIT_ERROR_MISMATCH,
                           "%s: is of another model than %s: it has other heads or tokens", name, l_name);
    if (!status)
        status = head_load_check_names(l, &p->names, l_name, name, err);
    if (!status)
        status = head_load_check_counting(l, p->provenance, l_name, name, err);
    if (status)
        return status;
    size_t cells = p->routing.count * p->routing.max_heads;
    const sums found = {calloc(p->names.count + 1, sizeof(int64_t)),
                        calloc(p->names.count * cells + 1, sizeof(int64_t))};
    if (found.images && found.active) {
        add_up(&found, p);
        status = compare(&found, p, l, name, l_name, err);
    } else {
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the sums of its heads", name);
    }
    free(found.images);
    free(found.active);
    return status;
}

// ---- The pictures that use a head most -------------------------------------------------------------

/* Of equal ones a picture may be in the data twice. */
static bool uses_more(const per_image *p, size_t a, size_t b, size_t block, size_t head)
{
    int32_t x = per_image_active(p, a, block, head), y = per_image_active(p, b, block, head);
    if (x != y)
        return x > y;
    if (p->xxh64 && p->xxh64[a] != p->xxh64[b])
        return (uint64_t)p->xxh64[a] < (uint64_t)p->xxh64[b];
    return a < b;
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

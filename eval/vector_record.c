#include "eval/vector_record.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t tag;
} kinds[VECTOR_KINDS] = {
    [VECTOR_FEATURES] = {"features", RECORD_TAG('F', 'E', 'A', 'T')},
    [VECTOR_LOGITS] = {"logits", RECORD_TAG('L', 'O', 'G', 'T')},
};

const char *vector_kind_name(vector_kind kind)
{
    return kinds[kind].name;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Of one chunk, whose images come in any order. */
typedef struct vector_chunk {
    bool scored[CHUNK_IMAGES];
    uint64_t index[CHUNK_IMAGES];
    float *rows; /* (CHUNK_IMAGES, width) */
} vector_chunk;

static void end_chunk(UNUSED void *user, void *chunk)
{
    vector_chunk *c = chunk;
    free(c->rows);
    free(c);
}

static void *begin_chunk(void *user)
{
    const vector_record *v = user;
    vector_chunk *c = calloc(1, sizeof *c);
    if (c && (c->rows = memory_alloc(size_product(CHUNK_IMAGES, v->width), sizeof *c->rows)))
        return c;
    free(c);
    return NULL;
}

static void add_image(void *user, void *chunk, const image_answer *a)
{
    const vector_record *v = user;
    vector_chunk *c = chunk;
    if (a->top_k)
        return;
    memcpy(c->rows + a->image * v->width, v->kind == VECTOR_FEATURES ? a->features : a->logits,
           v->width * sizeof *c->rows);
    c->index[a->image] = a->item->index;
    c->scored[a->image] = true;
}

static void encode_chunk(void *user, const void *chunk, bytes *out)
{
    const vector_record *v = user;
    const vector_chunk *c = chunk;
    bytes_put_u32(out, (uint32_t)v->width);
    for (size_t i = 0; i < CHUNK_IMAGES; i++) {
        if (!c->scored[i])
            continue;
        bytes_put_u64(out, c->index[i]);
        bytes_put(out, c->rows + i * v->width, v->width * sizeof *c->rows); // little-endian, says compiler.h
    }
}

chunk_section vector_record_section(vector_record *v)
{
    return (chunk_section){
        .tag = kinds[v->kind].tag,
        .user = v,
        .begin = begin_chunk,
        .add = add_image,
        .encode = encode_chunk,
        .end = end_chunk,
    };
}

/* ---- Reading --------------------------------------------------------------------------------- */

static size_t row_size(size_t width)
{
    return sizeof(uint64_t) + width * sizeof(float);
}

mohvit_status vector_record_read(byte_reader *rows, const vector_record *v, const chunk_record *r,
                                 const journal *source, mohvit_error *err)
{
    const byte_reader *section = record_section(r, kinds[v->kind].tag);
    byte_reader in = section ? *section : (byte_reader){0};
    size_t width = bytes_get_u32(&in);
    if (!section)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: chunk %zu: has no %s", journal_name(source), r->chunk,
                         kinds[v->kind].name);
    if (in.failed || width != v->width || in.size % row_size(width) ||
        in.size / row_size(width) != r->images - r->failures)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: chunk %zu: its %s are not %zu of %zu numbers each, but %zu bytes of %zu",
                         journal_name(source), r->chunk, kinds[v->kind].name, r->images - r->failures,
                         v->width, in.size, width);
    *rows = in;
    return MOHVIT_OK;
}

const void *vector_record_next(byte_reader *rows, const vector_record *v, uint64_t *index)
{
    *index = bytes_get_u64(rows);
    const void *vector = rows->data;
    rows->data += v->width * sizeof(float);
    rows->size -= v->width * sizeof(float);
    return vector;
}

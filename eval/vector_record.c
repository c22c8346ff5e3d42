#include "eval/vector_record.h"

#include "base/memory.h"
#include "vit/headload/head_load.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t tag;
} kinds[VECTOR_KINDS] = {
    [VECTOR_FEATURES] = {"features", RECORD_TAG('F', 'E', 'A', 'T')},
    [VECTOR_LOGITS] = {"logits", RECORD_TAG('L', 'O', 'G', 'T')},
    [VECTOR_HEADS] = {"per-image", RECORD_TAG('H', 'E', 'A', 'D')},
};

const char *vector_kind_name(vector_kind kind)
{
    return kinds[kind].name;
}

size_t vector_row_size(const vector_record *v)
{
    return v->kind == VECTOR_HEADS ? VECTOR_HEADS_START + v->width * (sizeof(int64_t) + sizeof(int32_t))
                                   : v->width * sizeof(float);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Of one chunk, whose images come in any order. */
typedef struct vector_chunk {
    bool scored[CHUNK_IMAGES];
    uint64_t index[CHUNK_IMAGES];
    uint8_t *rows; /* (CHUNK_IMAGES) of vector_row_size */
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
    if (c && (c->rows = memory_alloc(CHUNK_IMAGES, vector_row_size(v))))
        return c;
    free(c);
    return NULL;
}

/* In place of gates that cannot be counted. */
#define NOT_FINITE INT64_MIN

static void put_heads(uint8_t *row, const vector_record *v, const image_answer *a)
{
    uint8_t *gates = row + VECTOR_HEADS_START;
    memcpy(row, &a->xxh64, sizeof a->xxh64); // little-endian, says compiler.h
    for (size_t i = 0; i < v->width; i++) {
        int64_t gate;
        if (!head_load_gate_units(&gate, a->gate_sum[i],
                                  v->routing->blocks[i / v->routing->max_heads].tokens))
            gate = NOT_FINITE;
        memcpy(gates + i * sizeof gate, &gate, sizeof gate);
    }
    memcpy(gates + v->width * sizeof(int64_t), a->head_tokens, v->width * sizeof *a->head_tokens);
}

static void add_image(void *user, void *chunk, const image_answer *a)
{
    const vector_record *v = user;
    vector_chunk *c = chunk;
    if (a->top_k)
        return;
    uint8_t *row = c->rows + a->image * vector_row_size(v);
    if (v->kind == VECTOR_HEADS)
        put_heads(row, v, a);
    else
        memcpy(row, v->kind == VECTOR_FEATURES ? a->features : a->logits, vector_row_size(v));
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
        bytes_put(out, c->rows + i * vector_row_size(v), vector_row_size(v));
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

static bool all_finite(const vector_record *v, byte_reader rows)
{
    while (rows.size) {
        uint64_t index;
        const uint8_t *row = vector_record_next(&rows, v, &index);
        for (size_t i = 0; i < v->width; i++) {
            int64_t gate;
            memcpy(&gate, row + VECTOR_HEADS_START + i * sizeof gate, sizeof gate);
            if (gate == NOT_FINITE)
                return false;
        }
    }
    return true;
}

mohvit_status vector_record_read(byte_reader *rows, const vector_record *v, const chunk_record *r,
                                 const journal *source, mohvit_error *err)
{
    const byte_reader *section = record_section(r, kinds[v->kind].tag);
    byte_reader in = section ? *section : (byte_reader){0};
    size_t width = bytes_get_u32(&in), size = sizeof(uint64_t) + vector_row_size(v);
    if (!section)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: chunk %zu: has no %s", journal_name(source), r->chunk,
                         kinds[v->kind].name);
    if (in.failed || width != v->width || in.size % size || in.size / size != r->images - r->failures)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: chunk %zu: its %s are not %zu of %zu numbers each, but %zu bytes of %zu",
                         journal_name(source), r->chunk, kinds[v->kind].name, r->images - r->failures,
                         v->width, in.size, width);
    if (v->kind == VECTOR_HEADS && !all_finite(v, in))
        return error_set(err, MOHVIT_ERROR_NONFINITE, "%s: chunk %zu: has gates that are not finite",
                         journal_name(source), r->chunk);
    *rows = in;
    return MOHVIT_OK;
}

const void *vector_record_next(byte_reader *rows, const vector_record *v, uint64_t *index)
{
    *index = bytes_get_u64(rows);
    const void *vector = rows->data;
    rows->data += vector_row_size(v);
    rows->size -= vector_row_size(v);
    return vector;
}

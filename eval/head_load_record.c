/* head_load_record.c - the section of a record, as numbers of 7 bits a byte: for each class of its images the
 * class, images, and for every block and head active (of routed heads alone: shared ones have all tokens) and
 * gate. A byte before all is 1 where every gate was finite. An image takes 3 KB with a B model, most of it
 * the low bits of the gate sums; images of one class in a chunk share that. */
#include "eval/head_load_record.h"

#include "base/memory.h"
#include "eval/header.h"

#include <stdlib.h>

typedef struct class_counts {
    size_t class_index;
    int64_t images;
    int64_t *active, *gate; /* (blocks, max_heads), one allocation */
} class_counts;

/* Of one chunk. */
typedef struct load_chunk {
    size_t cells, count;
    bool no_memory, not_finite;
    class_counts classes[CHUNK_IMAGES];
} load_chunk;

// ---- Counting --------------------------------------------------------------------------------------

static void *begin_chunk(void *user)
{
    const head_load_record *s = user;
    load_chunk *c = calloc(1, sizeof *c);
    if (c)
        c->cells = s->routing->count * s->routing->max_heads;
    return c;
}

static void end_chunk(void *user, void *chunk)
{
    (void)user;
    load_chunk *c = chunk;
    for (size_t i = 0; i < c->count; i++)
        free(c->classes[i].active);
    free(c);
}

/* NULL without memory. */
static class_counts *counts_of(load_chunk *c, size_t class_index)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->classes[i].class_index == class_index)
            return &c->classes[i];
    class_counts *k = &c->classes[c->count];
    *k = (class_counts){.class_index = class_index, .active = calloc(2 * c->cells, sizeof *k->active)};
    if (!k->active)
        return NULL;
    k->gate = k->active + c->cells;
    c->count++;
    return k;
}

static void add_image(void *user, void *chunk, const image_answer *a)
{
    const head_load_record *s = user;
    load_chunk *c = chunk;
    size_t class_index = a->item->class_index;
    if (class_index == CLASS_NONE && s->by_prediction)
        class_index = a->predicted;
    if (a->top_k || class_index == CLASS_NONE)
        return;
    class_counts *k = counts_of(c, class_index);
    if (!k) {
        c->no_memory = true;
        return;
    }
    k->images++;
    for (size_t i = 0; i < c->cells; i++) {
        int64_t units;
        if (!head_load_units(&units, a->gate_sum[i])) {
            c->not_finite = true;
            return;
        }
        k->active[i] += a->head_tokens[i];
        k->gate[i] += units;
    }
}

// ---- Encoding --------------------------------------------------------------------------------------

static void put_number(bytes *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bytes_put_u8(b, (uint8_t)(value | 0x80));
    bytes_put_u8(b, (uint8_t)value);
}

static uint64_t get_number(byte_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = bytes_get_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->failed = true;
    return 0;
}

static void encode_class(const routing_layout *l, const class_counts *k, bytes *out)
{
    put_number(out, k->class_index);
    put_number(out, (uint64_t)k->images);
    for (size_t i = 0, at = 0; i < l->count; i++, at += l->max_heads) {
        for (size_t h = 0; h < l->blocks[i].heads; h++) {
            if (h >= l->blocks[i].shared)
                put_number(out, (uint64_t)k->active[at + h]);
            put_number(out, (uint64_t)k->gate[at + h]);
        }
    }
}

static void encode_chunk(void *user, const void *chunk, bytes *out)
{
    const head_load_record *s = user;
    const load_chunk *c = chunk;
    bytes_put_u8(out, !c->not_finite);
    put_number(out, c->count);
    for (size_t i = 0; i < c->count; i++)
        encode_class(s->routing, &c->classes[i], out);
    out->failed = out->failed || c->no_memory;
}

chunk_section head_load_record_section(head_load_record *s)
{
    return (chunk_section){
        .tag = SECTION_HEAD_LOAD,
        .user = s,
        .begin = begin_chunk,
        .add = add_image,
        .encode = encode_chunk,
        .end = end_chunk,
    };
}

// ---- Collecting ------------------------------------------------------------------------------------

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a head load");
}

typedef struct collector {
    head_load *load;
    int64_t *active, *gate; /* (blocks, max_heads) */
} collector;

static mohvit_status damaged(const journal *from, size_t chunk, const char *what, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: chunk %zu: its head load %s", journal_name(from), chunk,
                     what);
}

/* Fills the collector's counts; false where a count is too large for so many images. */
static bool decode_class(collector *c, int64_t images, byte_reader *in)
{
    const routing_layout *l = &c->load->routing;
    for (size_t i = 0, at = 0; i < l->count; i++, at += l->max_heads) {
        const routing_block *b = &l->blocks[i];
        int64_t tokens = images * (int64_t)b->tokens;
        for (size_t h = 0; h < l->max_heads; h++) {
            bool there = h < b->heads, routed = there && h >= b->shared;
            uint64_t active = routed ? get_number(in) : (uint64_t)tokens, gate = there ? get_number(in) : 0;
            if (active > (uint64_t)tokens || gate >> 62)
                return false;
            c->active[at + h] = there ? (int64_t)active : -1;
            c->gate[at + h] = (int64_t)gate;
        }
    }
    return !in->failed;
}

static mohvit_status collect_record(void *user, const chunk_record *r, const journal *source,
                                    mohvit_error *err)
{
    collector *c = user;
    const byte_reader *section = record_section(r, SECTION_HEAD_LOAD);
    if (!section)
        return damaged(source, r->chunk, "is not there", err);
    byte_reader in = *section;
    if (bytes_get_u8(&in) != 1)
        return damaged(source, r->chunk, "has gates that are not finite", err);
    mohvit_status status = MOHVIT_OK;
    size_t count = get_number(&in), images = 0;
    for (size_t i = 0; !status && i < count; i++) {
        size_t class_index = get_number(&in), n = get_number(&in);
        images += n;
        if (in.failed || class_index >= c->load->names.count || n > CHUNK_IMAGES || images > r->images ||
            !decode_class(c, (int64_t)n, &in))
            return damaged(source, r->chunk, "is damaged", err);
        status = head_load_add_counts(c->load, class_index, (int64_t)n, c->active, c->gate, err);
    }
    return status || !(in.failed || in.size) ? status : damaged(source, r->chunk, "is damaged", err);
}

static mohvit_status create_load(head_load **out, const json_t *header, layout_of_config *of_config,
                                 const char *name, mohvit_error *err)
{
    routing_layout layout = {0};
    labels classes = {0};
    json_t *model_config = json_object_get(json_object_get(header, "match"), "config");
    const json_t *list = json_object_get(header, "classes");
    if (!json_is_object(model_config) || !list)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: its header has no %s", name,
                         json_is_object(model_config) ? "classes" : "config");
    char *names = json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
    mohvit_status status = names ? labels_from_json(&classes, names, name, err) : no_memory(err);
    if (!status)
        status = routing_layout_read(&layout, json_object_get(header, "routing"), model_config, of_config,
                                     name, err);
    if (!status)
        status = head_load_create(out, &layout, model_config, &classes, err);
    routing_layout_free(&layout);
    labels_free(&classes);
    free(names);
    return status;
}

static bool copy_members(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys; keys++) {
        json_t *member = json_object_get(from, *keys);
        if (member && !json_is_null(member) && json_object_set(to, *keys, member))
            return false;
    }
    return true;
}

/* What was counted, of which data. */
static mohvit_status describe_load(head_load *l, const json_t *header, const char *shard, mohvit_error *err)
{
    static const char *const match[] = {"preprocess", "precision", "routed_heads", "subset", NULL};
    static const char *const hardware[] = {"backend", "instruction_set", NULL};
    static const char *const data[] = {"images", "fingerprint", "chosen_from", NULL};
    const json_t *of = header_is_old(header) ? json_object_get(header, "match") : header;
    json_t *part = json_object();
    bool predicted = header_has_section(header, HEAD_LOAD_SECTION_PREDICTED);
    bool fine = part && !json_object_update(l->provenance, json_object_get(header, "provenance")) &&
                copy_members(l->provenance, json_object_get(header, "match"), match) &&
                copy_members(l->provenance, json_object_get(header, "hardware"), hardware) &&
                !json_object_set_new(l->provenance, "counted_by",
                                     json_string(predicted ? "label, else prediction" : "label")) &&
                copy_members(part, header, (const char *const[]){"prefixes", NULL}) &&
                copy_members(part, json_object_get(of, "data"), data) &&
                (!shard || !json_object_set_new(part, "shard", json_string(shard))) &&
                !json_array_append(l->sources, part);
    json_decref(part);
    return fine ? MOHVIT_OK : no_memory(err);
}

mohvit_status head_load_collect(head_load **out, const record_set *s, const char *shard,
                                layout_of_config *of_config, mohvit_error *err)
{
    const json_t *header = journal_header(s->journals[0]);
    collector c = {0};
    mohvit_status status = create_load(&c.load, header, of_config, journal_name(s->journals[0]), err);
    if (status)
        return status;
    size_t cells = c.load->routing.count * c.load->routing.max_heads;
    c.active = memory_alloc(cells, sizeof *c.active);
    c.gate = memory_alloc(cells, sizeof *c.gate);
    if (!c.active || !c.gate)
        status = no_memory(err);
    if (!status)
        status = describe_load(c.load, header, shard, err);
    if (!status)
        status = record_set_walk(s, collect_record, &c, err);
    for (size_t k = 0; !status && k < c.load->names.count; k++)
        for (size_t b = 0; !status && b < c.load->routing.count; b++)
            status = head_load_check(c.load, k, b, journal_name(s->journals[0]), err);
    free(c.active);
    free(c.gate);
    if (status)
        head_load_destroy(c.load);
    else
        *out = c.load;
    return status;
}

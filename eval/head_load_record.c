/* head_load_record.c - the section of a record: a byte that says what it holds, and numbers of 7 bits a byte:
 * for each class of its images the class, images, and for every block and head active (of routed heads alone:
 * shared ones have all tokens), gate and, of several images, which they follow from otherwise, their squares
 * and the active of a half; then, where there are classes, for every block and pair of routed heads the
 * tokens of all these images that selected both. An image takes 3 KB with a B model, most of it the low bits
 * of the gate sums; images of one class in a chunk share that. Pairs take 6.5 KB a chunk. */
#include "eval/head_load_record.h"

#include "eval/header.h"

#include <stdlib.h>

/* The first byte of a section. 0.1 wrote neither squares nor pairs. */
enum { NOT_FINITE, OF_VERSION_0_1, WHOLE };

typedef struct class_counts {
    size_t class_index;
    int64_t *memory; /* of the counts */
    head_load_counts counts;
} class_counts;

/* Of one chunk. */
typedef struct load_chunk {
    size_t count;
    bool no_memory, not_finite;
    int64_t *together; /* as of a head load; NULL: nothing counted yet */
    class_counts classes[CHUNK_IMAGES];
} load_chunk;

// ---- Counting --------------------------------------------------------------------------------------

static void *begin_chunk(void *user)
{
    (void)user;
    return calloc(1, sizeof(load_chunk));
}

static void end_chunk(void *user, void *chunk)
{
    (void)user;
    load_chunk *c = chunk;
    for (size_t i = 0; i < c->count; i++)
        free(c->classes[i].memory);
    free(c->together);
    free(c);
}

/* NULL without memory. */
static class_counts *counts_of(load_chunk *c, const routing_layout *routing, size_t class_index)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->classes[i].class_index == class_index)
            return &c->classes[i];
    class_counts *k = &c->classes[c->count];
    *k = (class_counts){class_index, calloc(head_load_counts_size(routing), sizeof *k->memory), {0}};
    if (!k->memory)
        return NULL;
    k->counts = head_load_counts_in(k->memory, routing);
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
    class_counts *k = counts_of(c, s->routing, class_index);
    size_t pairs = routing_head_pairs(s->routing, s->routing->count);
    if (!c->together)
        c->together = calloc(pairs, sizeof *c->together);
    if (!k || !c->together) {
        c->no_memory = true;
        return;
    }
    if (head_load_count_image(&k->counts, s->routing, a->head_tokens, a->gate_sum, NULL))
        c->not_finite = true;
    for (size_t i = 0; i < pairs; i++)
        c->together[i] += a->together[i];
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
    const head_load_counts *n = &k->counts;
    put_number(out, k->class_index);
    put_number(out, (uint64_t)*n->images);
    put_number(out, (uint64_t)*n->half_images);
    for (size_t i = 0, at = 0; i < l->count; i++, at += l->max_heads) {
        for (size_t j = at; j < at + l->blocks[i].heads; j++) {
            bool routed = j >= at + l->blocks[i].shared, several = *n->images > 1;
            if (routed)
                put_number(out, (uint64_t)n->active[j]);
            put_number(out, (uint64_t)n->gate[j]);
            if (routed && several) {
                put_number(out, (uint64_t)n->active_squares[j]);
                put_number(out, (uint64_t)n->half_active[j]);
            }
            if (several)
                put_number(out, (uint64_t)n->gate_squares[j]);
        }
    }
}

static void encode_pairs(const routing_layout *l, const int64_t *together, bytes *out)
{
    for (size_t b = 0; b < l->count; together += l->blocks[b].heads * l->blocks[b].heads, b++)
        for (size_t i = l->blocks[b].shared; i < l->blocks[b].heads; i++)
            for (size_t j = i + 1; j < l->blocks[b].heads; j++)
                put_number(out, (uint64_t)together[i * l->blocks[b].heads + j]);
}

static void encode_chunk(void *user, const void *chunk, bytes *out)
{
    const head_load_record *s = user;
    const load_chunk *c = chunk;
    bytes_put_u8(out, c->not_finite ? NOT_FINITE : WHOLE);
    put_number(out, c->count);
    for (size_t i = 0; i < c->count; i++)
        encode_class(s->routing, &c->classes[i], out);
    if (c->together)
        encode_pairs(s->routing, c->together, out);
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
    size_t records;
    int64_t *memory;         /* of the counts */
    head_load_counts counts; /* of a class in a record */
    int64_t *together;       /* of a record */
} collector;

static mohvit_status damaged(const journal *from, size_t chunk, const char *what, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: chunk %zu: its head load %s", journal_name(from), chunk,
                     what);
}

/* Cell i of the counts, a routed head's or a shared one's; false where a number is too large. */
static bool decode_head(const head_load_counts *k, size_t i, bool routed, const routing_block *b,
                        bool squares, byte_reader *in)
{
    uint64_t images = (uint64_t)*k->images, tokens = images * b->tokens, most = (uint64_t)HEAD_LOAD_MAX_MEAN;
    uint64_t active = routed ? get_number(in) : tokens, gate = get_number(in);
    if (active > tokens || gate > tokens * most << HEAD_LOAD_GATE_BITS)
        return false;
    uint64_t half = (uint64_t)*k->half_images, active_square = active / images * active, gate_square = 0;
    uint64_t half_active = routed ? half * active : half * b->tokens; // of one image; of shared heads
    if (squares && images > 1) {
        active_square = routed ? get_number(in) : active_square;
        half_active = routed ? get_number(in) : half_active;
        gate_square = get_number(in);
    } else if (squares) {
        gate_square = (uint64_t)head_load_gate_square((int64_t)gate, b->tokens);
    }
    k->active[i] = (int64_t)active;
    k->gate[i] = (int64_t)gate;
    k->active_squares[i] = (int64_t)active_square;
    k->gate_squares[i] = (int64_t)gate_square;
    k->half_active[i] = (int64_t)half_active;
    return active_square <= INT64_MAX && gate_square <= INT64_MAX && (!squares || half_active <= active);
}

/* None yet in a record. */
static mohvit_status begin_pairs(collector *c, mohvit_error *err)
{
    size_t pairs = routing_head_pairs(&c->load->routing, c->load->routing.count);
    free(c->together);
    c->together = calloc(pairs, sizeof *c->together);
    if (!c->together)
        return no_memory(err);
    return c->load->together ? MOHVIT_OK : head_load_begin_together(c->load, err);
}

/* Adds the collector's counts to the diagonals of what the record's classes have together. */
static void add_diagonals(const collector *c)
{
    const routing_layout *l = &c->load->routing;
    int64_t *together = c->together;
    for (size_t b = 0; b < l->count; b++) {
        size_t heads = l->blocks[b].heads;
        for (size_t h = 0; h < heads; h++)
            together[h * (heads + 1)] += c->counts.active[b * l->max_heads + h];
        together += heads * heads;
    }
}

/* Pairs beside the diagonals; false where a number is too large. */
static bool decode_pairs(const collector *c, byte_reader *in)
{
    const routing_layout *l = &c->load->routing;
    int64_t *together = c->together;
    for (size_t b = 0; b < l->count; b++) {
        size_t heads = l->blocks[b].heads;
        for (size_t i = l->blocks[b].shared; i < heads; i++) {
            for (size_t j = i + 1; j < heads; j++) {
                uint64_t both = get_number(in);
                if (both > (uint64_t)together[i * (heads + 1)])
                    return false;
                together[i * heads + j] = (int64_t)both;
            }
        }
        head_load_complete_together(together, &l->blocks[b]);
        together += heads * heads;
    }
    return !in->failed;
}

/* Fills the collector's counts; false where they cannot be of so many images. */
static bool decode_class(const collector *c, uint64_t images, bool squares, byte_reader *in)
{
    const routing_layout *l = &c->load->routing;
    const head_load_counts *k = &c->counts;
    uint64_t half = squares ? get_number(in) : 0;
    if (half > images)
        return false;
    *k->images = (int64_t)images;
    *k->half_images = (int64_t)half;
    for (size_t i = 0, at = 0; i < l->count; i++, at += l->max_heads) {
        const routing_block *b = &l->blocks[i];
        for (size_t h = 0; h < l->max_heads; h++) {
            if (h >= b->heads)
                k->active[at + h] = -1;
            else if (!decode_head(k, at + h, h >= b->shared, b, squares, in))
                return false;
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
    uint8_t kind = bytes_get_u8(&in);
    bool whole = kind == WHOLE;
    if (kind != OF_VERSION_0_1 && !whole)
        return damaged(source, r->chunk, "has gates that are not finite", err);
    if (c->records++ && whole != c->load->has_squares)
        return damaged(source, r->chunk,
                       whole ? "has squares, unlike others'" : "lacks squares, unlike others'", err);
    c->load->has_squares = whole;
    size_t count = get_number(&in), images = 0;
    mohvit_status status = whole ? begin_pairs(c, err) : MOHVIT_OK;
    for (size_t i = 0; !status && i < count; i++) {
        size_t class_index = get_number(&in), n = get_number(&in);
        images += n;
        if (in.failed || class_index >= c->load->names.count || !n || n > CHUNK_IMAGES ||
            images > r->images || !decode_class(c, n, whole, &in))
            return damaged(source, r->chunk, "is damaged", err);
        status = head_load_add_counts(c->load, class_index, &c->counts, err);
        if (whole)
            add_diagonals(c);
    }
    if (!status && whole && count) {
        if (!decode_pairs(c, &in))
            return damaged(source, r->chunk, "is damaged", err);
        status = head_load_add_together(c->load, c->together, err);
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
    static const char *const hardware[] = {"backend", "instruction_set", "kernels", NULL};
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
    c.memory = calloc(head_load_counts_size(&c.load->routing), sizeof *c.memory);
    if (c.memory)
        c.counts = head_load_counts_in(c.memory, &c.load->routing);
    else
        status = no_memory(err);
    if (!status)
        status = describe_load(c.load, header, shard, err);
    if (!status)
        status = record_set_walk(s, collect_record, &c, err);
    for (size_t k = 0; !status && k < c.load->names.count; k++)
        for (size_t b = 0; !status && b < c.load->routing.count; b++)
            status = head_load_check(c.load, k, b, journal_name(s->journals[0]), err);
    for (size_t b = 0; !status && c.load->together && b < c.load->routing.count; b++)
        status = head_load_check_together(c.load, b, journal_name(s->journals[0]), err);
    free(c.memory);
    free(c.together);
    if (status)
        head_load_destroy(c.load);
    else
        *out = c.load;
    return status;
}

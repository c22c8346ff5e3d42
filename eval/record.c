#include "eval/record.h"

#include <string.h>

/* Record: chunk, number of sections, sections. Section: tag, size, content. */
#define COUNT_AT 4

/* ---- Writing --------------------------------------------------------------------------------- */

/* Where the section's size goes once it is known. */
static size_t begin_section(bytes *b, uint32_t tag)
{
    bytes_put_u32(b, tag);
    bytes_put_u32(b, 0);
    return b->size;
}

static void end_section(bytes *b, size_t start)
{
    if (b->failed || b->size - start > UINT32_MAX) {
        b->failed = true;
        return;
    }
    bytes_set_u32(b, start - 4, (uint32_t)(b->size - start));
    byte_reader count = {b->data + COUNT_AT, 4, false};
    bytes_set_u32(b, COUNT_AT, bytes_get_u32(&count) + 1);
}

static void put_results(bytes *b, const chunk_result *c)
{
    size_t start = begin_section(b, SECTION_RESULTS);
    bytes_put_u32(b, (uint32_t)c->images);
    bytes_put_u32(b, (uint32_t)c->variants);
    bytes_put_u64(b, c->decode_ns);
    for (size_t v = 0; v < c->variants; v++)
        bytes_put_u64(b, c->network_ns[v]);
    for (size_t i = 0; i < c->images; i++) {
        const image_result *r = &c->results[i];
        size_t class_index = r->item->class_index;
        bytes_put_u32(b, class_index == CLASS_NONE ? CLASS_UNKNOWN : (uint32_t)class_index);
        bytes_put_u8(b, r->error != NULL);
        for (size_t v = 0; !r->error && v < c->variants; v++) {
            const score *s = &r->scores[v];
            bytes_put_u32(b, s->top_count ? s->top[0] : CLASS_UNKNOWN);
            bytes_put_u8(b, (uint8_t)(s->right1 | s->right5 << 1));
            bytes_put_u64(b, (uint64_t)s->loss);
        }
    }
    end_section(b, start);
}

static void put_failures(bytes *b, const chunk_result *c)
{
    size_t start = begin_section(b, SECTION_FAILURES);
    for (size_t i = 0; i < c->images; i++) {
        const image_result *r = &c->results[i];
        if (!r->error)
            continue;
        bytes_put_u32(b, (uint32_t)i);
        bytes_put_u32(b, (uint32_t)r->item->source);
        bytes_put_text(b, r->item->name);
        bytes_put_text(b, r->error);
    }
    end_section(b, start);
}

static void put_predictions(bytes *b, const chunk_result *c)
{
    size_t start = begin_section(b, SECTION_PREDICTIONS);
    for (size_t i = 0; i < c->images; i++) {
        const image_result *r = &c->results[i];
        bytes_put_u32(b, (uint32_t)r->item->source);
        bytes_put_text(b, r->item->name);
        for (size_t v = 0; v < c->variants; v++) {
            const score *s = &r->scores[v];
            uint32_t count = r->error ? 0 : s->top_count;
            bytes_put_u8(b, (uint8_t)count);
            for (size_t k = 0; k < count; k++) {
                bytes_put_u32(b, s->top[k]);
                bytes_put_f32(b, s->probability[k]);
            }
        }
    }
    end_section(b, start);
}

void record_begin(bytes *b, const chunk_result *c, bool predictions)
{
    bytes_put_u32(b, (uint32_t)c->chunk);
    bytes_put_u32(b, 0);
    put_results(b, c);
    put_failures(b, c);
    if (predictions)
        put_predictions(b, c);
}

void record_add_section(bytes *b, uint32_t tag, const void *data, size_t size)
{
    size_t start = begin_section(b, tag);
    bytes_put(b, data, size);
    end_section(b, start);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static mohvit_status damaged(mohvit_error *err, size_t chunk, const char *what)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "the record of chunk %zu is damaged: %s", chunk, what);
}

static mohvit_status parse_sections(chunk_record *r, byte_reader *in, mohvit_error *err)
{
    size_t count = bytes_get_u32(in);
    if (count > RECORD_MAX_SECTIONS)
        return damaged(err, r->chunk, "too many sections");
    for (size_t i = 0; i < count; i++) {
        r->sections[i].tag = bytes_get_u32(in);
        r->sections[i].body = bytes_get_part(in, bytes_get_u32(in));
    }
    r->section_count = count;
    return in->failed || in->size ? damaged(err, r->chunk, "its sections have other sizes than they say")
                                  : MOHVIT_OK;
}

/* A dry run over every image, so that later ones need not look for errors. */
static mohvit_status parse_results(chunk_record *r, mohvit_error *err)
{
    const byte_reader *section = record_section(r, SECTION_RESULTS);
    if (!section || !record_section(r, SECTION_FAILURES))
        return damaged(err, r->chunk, "it lacks results or failures");
    byte_reader in = *section;
    r->images = bytes_get_u32(&in);
    r->variants = bytes_get_u32(&in);
    if (!r->images || r->images > CHUNK_IMAGES || !r->variants || r->variants > RECORD_MAX_VARIANTS)
        return damaged(err, r->chunk, "its number of images or of models is out of range");
    r->decode_ns = bytes_get_u64(&in);
    for (size_t v = 0; v < r->variants; v++)
        r->network_ns[v] = bytes_get_u64(&in);
    r->results = in;
    for (size_t i = 0; i < r->images; i++) {
        image_record ignored;
        record_next_result(&ignored, &in, r->variants);
    }
    return in.failed || in.size ? damaged(err, r->chunk, "its results have another size than they say")
                                : MOHVIT_OK;
}

mohvit_status record_parse(chunk_record *r, const void *data, size_t size, mohvit_error *err)
{
    byte_reader in = {data, size, false};
    memset(r, 0, sizeof *r);
    r->chunk = bytes_get_u32(&in);
    mohvit_status status = parse_sections(r, &in, err);
    return status ? status : parse_results(r, err);
}

const byte_reader *record_section(const chunk_record *r, uint32_t tag)
{
    for (size_t i = 0; i < r->section_count; i++)
        if (r->sections[i].tag == tag)
            return &r->sections[i].body;
    return NULL;
}

void record_next_result(image_record *out, byte_reader *results, size_t variants)
{
    out->class_index = bytes_get_u32(results);
    out->failed = bytes_get_u8(results) != 0;
    for (size_t v = 0; !out->failed && v < variants; v++) {
        out->scores[v].predicted = bytes_get_u32(results);
        uint8_t right = bytes_get_u8(results);
        out->scores[v].right1 = right & 1;
        out->scores[v].right5 = right & 2;
        out->scores[v].loss = (int64_t)bytes_get_u64(results);
    }
}

bool record_next_failure(failure_record *out, byte_reader *at)
{
    if (at->failed || !at->size)
        return false;
    out->image = bytes_get_u32(at);
    out->source = bytes_get_u32(at);
    out->name = bytes_get_text(at, &out->name_length);
    out->message = bytes_get_text(at, &out->message_length);
    return !at->failed;
}

bool record_next_prediction(prediction_record *out, byte_reader *at, size_t variants)
{
    if (at->failed || !at->size)
        return false;
    out->source = bytes_get_u32(at);
    out->name = bytes_get_text(at, &out->name_length);
    for (size_t v = 0; v < variants; v++) {
        uint32_t count = bytes_get_u8(at);
        if (count > SCORE_TOP)
            at->failed = true;
        out->tops[v].top_count = at->failed ? 0 : count;
        for (size_t k = 0; k < out->tops[v].top_count; k++) {
            out->tops[v].top[k] = bytes_get_u32(at);
            out->tops[v].probability[k] = bytes_get_f32(at);
        }
    }
    return !at->failed;
}

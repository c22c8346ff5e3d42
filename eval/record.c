#include "eval/record.h"

#include <string.h>

#define COUNT_AT 4 /* of the number of sections */

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
    bytes_put_u32(b, (uint32_t)c->top_ks);
    bytes_put_u64(b, c->decode_ns);
    for (size_t v = 0; v < c->top_ks; v++)
        bytes_put_u64(b, c->network_ns[v]);
    for (size_t i = 0; i < c->images; i++) {
        const image_result *r = &c->results[i];
        size_t class_index = r->item->class_index;
        bytes_put_u32(b, class_index == CLASS_NONE ? CLASS_UNKNOWN : (uint32_t)class_index);
        bytes_put_u8(b, r->error != NULL);
        for (size_t v = 0; !r->error && v < c->top_ks; v++) {
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

static void put_pictures(bytes *b, const chunk_result *c)
{
    size_t start = begin_section(b, SECTION_PICTURES);
    for (size_t i = 0; i < c->images; i++) {
        const image_result *r = &c->results[i];
        bytes_put_u8(b, (uint8_t)(r->seen.unread | r->seen.turned << 1));
        bytes_put_u64(b, r->item->size);
        bytes_put_u64(b, r->item->mtime);
        bytes_put_u64(b, r->seen.hash.low);
        bytes_put_u64(b, r->seen.hash.high);
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
        for (size_t v = 0; v < c->top_ks; v++) {
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
    put_pictures(b, c);
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

static mohvit_status no_memory(mohvit_error *err, size_t chunk)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the record of chunk %zu", chunk);
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

/* The next image of the results; its scores go to scores (top_ks). */
static void read_image(image_record *image, byte_reader *in, score *scores, size_t top_ks)
{
    image->class_index = bytes_get_u32(in);
    image->failed = bytes_get_u8(in) != 0;
    image->scores = scores;
    for (size_t v = 0; !image->failed && v < top_ks; v++) {
        scores[v].top[0] = bytes_get_u32(in);
        scores[v].top_count = scores[v].top[0] != CLASS_UNKNOWN;
        uint8_t right = bytes_get_u8(in);
        scores[v].right1 = right & 1;
        scores[v].right5 = right & 2;
        scores[v].loss = (int64_t)bytes_get_u64(in);
    }
}

static mohvit_status read_results(chunk_record *r, score **scores, mohvit_error *err)
{
    const byte_reader *section = record_section(r, SECTION_RESULTS);
    if (!section || !record_section(r, SECTION_FAILURES))
        return damaged(err, r->chunk, "it lacks results or failures");
    byte_reader in = *section;
    r->images = bytes_get_u32(&in);
    r->top_ks = bytes_get_u32(&in);
    if (!r->images || r->images > CHUNK_IMAGES || !r->top_ks || r->top_ks > RECORD_MAX_TOP_KS)
        return damaged(err, r->chunk, "its number of images or of models is out of range");
    r->decode_ns = bytes_get_u64(&in);
    for (size_t v = 0; v < r->top_ks; v++)
        r->network_ns[v] = bytes_get_u64(&in);
    size_t room = r->images * r->top_ks * sizeof **scores;
    r->image = arena_alloc(&r->memory, r->images * sizeof *r->image);
    *scores = arena_alloc(&r->memory, room);
    if (!r->image || !*scores)
        return no_memory(err, r->chunk);
    memset(r->image, 0, r->images * sizeof *r->image);
    memset(*scores, 0, room);
    for (size_t i = 0; i < r->images; i++)
        read_image(&r->image[i], &in, *scores + i * r->top_ks, r->top_ks);
    return in.failed || in.size ? damaged(err, r->chunk, "its results have another size than they say")
                                : MOHVIT_OK;
}

static mohvit_status read_failures(chunk_record *r, mohvit_error *err)
{
    byte_reader in = *record_section(r, SECTION_FAILURES);
    r->failure = arena_alloc(&r->memory, r->images * sizeof *r->failure);
    if (!r->failure)
        return no_memory(err, r->chunk);
    for (; in.size && r->failures < r->images; r->failures++) {
        failure_record *f = &r->failure[r->failures];
        f->image = bytes_get_u32(&in);
        f->source = bytes_get_u32(&in);
        f->name = bytes_get_text(&in, &f->name_length);
        f->message = bytes_get_text(&in, &f->message_length);
        if (f->image >= r->images || !r->image[f->image].failed || (r->failures && f->image <= f[-1].image))
            return damaged(err, r->chunk, "its failures are of other images than its results");
    }
    size_t failed = 0;
    for (size_t i = 0; i < r->images; i++)
        failed += r->image[i].failed;
    if (failed != r->failures)
        return damaged(err, r->chunk, "its failures are of other images than its results");
    return in.failed || in.size ? damaged(err, r->chunk, "its failures have another size than they say")
                                : MOHVIT_OK;
}

static mohvit_status read_pictures(chunk_record *r, mohvit_error *err)
{
    const byte_reader *section = record_section(r, SECTION_PICTURES);
    r->pictures = section != NULL;
    byte_reader in = section ? *section : (byte_reader){0};
    for (size_t i = 0; section && i < r->images; i++) {
        image_record *image = &r->image[i];
        uint8_t flags = bytes_get_u8(&in);
        image->seen.unread = flags & 1;
        image->seen.turned = flags & 2;
        image->size = bytes_get_u64(&in);
        image->mtime = bytes_get_u64(&in);
        image->seen.hash.low = bytes_get_u64(&in);
        image->seen.hash.high = bytes_get_u64(&in);
        if (image->seen.unread && !image->failed)
            return damaged(err, r->chunk, "a picture that could not be read was scored");
    }
    return in.failed || in.size ? damaged(err, r->chunk, "its pictures have another size than they say")
                                : MOHVIT_OK;
}

static mohvit_status read_predictions(chunk_record *r, score *scores, mohvit_error *err)
{
    const byte_reader *section = record_section(r, SECTION_PREDICTIONS);
    r->predictions = section != NULL;
    byte_reader in = section ? *section : (byte_reader){0};
    for (size_t i = 0; section && i < r->images; i++) {
        r->image[i].source = bytes_get_u32(&in);
        r->image[i].name = bytes_get_text(&in, &r->image[i].name_length);
        for (size_t v = 0; v < r->top_ks; v++, scores++) {
            scores->top_count = bytes_get_u8(&in);
            if (scores->top_count > SCORE_TOP)
                return damaged(err, r->chunk, "its predictions have too many classes");
            for (size_t k = 0; k < scores->top_count; k++) {
                scores->top[k] = bytes_get_u32(&in);
                scores->probability[k] = bytes_get_f32(&in);
            }
        }
    }
    return in.failed || in.size ? damaged(err, r->chunk, "its predictions have another size than they say")
                                : MOHVIT_OK;
}

mohvit_status record_parse(chunk_record *r, const void *data, size_t size, mohvit_error *err)
{
    byte_reader in = {data, size, false};
    score *scores = NULL;
    *r = (chunk_record){.data = data, .size = size, .chunk = bytes_get_u32(&in)};
    mohvit_status status = parse_sections(r, &in, err);
    if (!status)
        status = read_results(r, &scores, err);
    if (!status)
        status = read_failures(r, err);
    if (!status)
        status = read_pictures(r, err);
    return status ? status : read_predictions(r, scores, err);
}

void record_free(chunk_record *r)
{
    arena_free(&r->memory);
}

const byte_reader *record_section(const chunk_record *r, uint32_t tag)
{
    for (size_t i = 0; i < r->section_count; i++)
        if (r->sections[i].tag == tag)
            return &r->sections[i].body;
    return NULL;
}

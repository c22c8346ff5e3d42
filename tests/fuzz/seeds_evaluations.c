#include "seeds.h"

#include "head_load_testing.h"
#include "header.h"
#include "journal.h"
#include "load_section.h"

enum { IMAGES = 67 }; /* two chunks */

/* head_load_testing.h notes it; the façade is not part of what is fuzzed. */
const char *mohvit_version(void)
{
    return "0";
}

static void put_number(bytes *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bytes_put_u8(b, (uint8_t)(value | 0x80));
    bytes_put_u8(b, (uint8_t)value);
}

/* As load_section.h's encoder writes a class with so many images: each routed head has half of the tokens. */
static void add_head_load(bytes *record, const config *c, size_t images)
{
    bytes b = {0};
    bytes_put_u8(&b, 1);
    put_number(&b, 1); // one class: number 0
    put_number(&b, 0);
    put_number(&b, images);
    for (size_t s = 0; s < STAGES; s++) {
        for (size_t h = 0; h < c->num_heads[s]; h++) {
            uint64_t tokens = images * config_side(c, s) * config_side(c, s);
            if (c->routed_head[s] && h >= c->shared_head[s])
                put_number(&b, tokens * c->routed_head[s] / config_candidates(c, s));
            put_number(&b, tokens << 19);
        }
    }
    record_add_section(record, SECTION_HEAD_LOAD, b.data, b.size);
    bytes_free(&b);
}

static void add_record(journal *j, const config *c, size_t chunk, size_t images)
{
    static char reason[] = "broken";
    image_result results[CHUNK_IMAGES];
    const dataset_item item = {.name = "x.jpg"};
    score s = {.top = {1, 0}, .probability = {0.75f, 0.25f}, .top_count = 2, .right5 = true, .loss = 1 << 20};
    mohvit_error err;
    bytes b = {0};
    for (size_t i = 0; i < images; i++)
        results[i] = (image_result){&item, i % 9 == 8 ? reason : NULL, &s};
    record_begin(&b, &(chunk_result){.chunk = chunk, .images = images, .variants = 1, .results = results},
                 true);
    add_head_load(&b, c, images);
    expect_ok(journal_append(j, b.data, b.size, &err), &err);
    bytes_free(&b);
}

/* Its path. */
static const char *seed_journal(const config *c, size_t chunks)
{
    mohvit_error err;
    journal *j;
    json_t *header =
        json_pack("{s:i, s:{s:o, s:{s:i, s:s}}, s:{s:s}, s:{s:n}, s:i, s:[s,s], s:[s,s], s:[s], s:{s:s}}",
                  "format", HEADER_FORMAT, "match", "config", json_loads(seed_config, 0, NULL), "data",
                  "images", IMAGES, "fingerprint", "f", "hardware", "backend", "native", "run", "shard",
                  "images", IMAGES, "sections", "predictions", LOAD_SECTION_NAME, "classes",
                  "n01440764\ttench", "dress", "prefixes", "val/", "provenance", "version", "0");
    assert_non_null(header);
    const char *path = seed_path("journal");
    const journal_options options = {.path = path, .header = header};
    expect_ok(journal_open(&j, &options, &err), &err);
    for (size_t i = 0; i < chunks; i++)
        add_record(j, c, i, i ? IMAGES - CHUNK_IMAGES : CHUNK_IMAGES);
    journal_close(j);
    json_decref(header);
    return path;
}

/* Torn in its second record, damaged in its first, torn in its header; and nothing yet. */
static void seed_damaged_journals(const config *c)
{
    blob whole = blob_read(seed_journal(c, 2));
    blob damaged = {0};
    blob_add(&damaged, whole.data, whole.size);
    damaged.data[whole.size / 2] ^= 1;
    seed("journal", damaged);
    blob_write(seed_path("journal"), whole.data, whole.size - 9);
    blob_write(seed_path("journal"), whole.data, 40);
    blob_write(seed_path("journal"), whole.data, 0);
    free(whole.data);
}

void seed_evaluations(void)
{
    config c;
    labels names;
    mohvit_error err;
    expect_ok(config_from_json(&c, seed_config, strlen(seed_config), "seed", &err), &err);
    for (size_t chunks = 0; chunks <= 2; chunks++)
        seed_journal(&c, chunks);
    seed_damaged_journals(&c);
    expect_ok(labels_numbered(&names, c.num_classes, &err), &err);
    head_load *load = made_head_load(&c, &names, 7);
    expect_ok(head_load_save(load, seed_path("head_load"), &err), &err);
    head_load_destroy(load);
    labels_free(&names);
}

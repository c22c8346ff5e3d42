#include "tests/fuzz/seeds.h"

#include "tests/vit/headload/head_load_testing.h"
#include "eval/header.h"
#include "eval/journal.h"
#include "eval/head_load_record.h"
#include "eval/vector_record.h"
#include "weights/safetensors_writer.h"

#include <math.h>

#define NO_HEAD SIZE_MAX

enum { IMAGES = 67 /* two chunks */, MAX_CELLS = STAGES * 2 /* of seed_config's model */ };

/* head_load_testing.h notes it; the façade is not part of what is fuzzed. */
const char *mohvit_version(void)
{
    return "0";
}

/* What a network would say of an image: the same of each. */
typedef struct answer {
    int32_t tokens[MAX_CELLS];
    double gate_sum[MAX_CELLS];
    int32_t together[2 * MAX_CELLS]; /* heads² of blocks of two */
} answer;

static routing_layout seed_routing;

static answer an_answer(void)
{
    answer a;
    made_image(&seed_routing, 0, a.tokens, a.gate_sum, a.together);
    return a;
}

static void add_head_load(bytes *record, const chunk_result *r, double first_gate)
{
    head_load_record load = {.routing = &seed_routing, .by_prediction = true};
    chunk_section section = head_load_record_section(&load);
    answer a = an_answer();
    void *chunk = section.begin(section.user);
    bytes b = {0};
    assert_non_null(chunk);
    a.gate_sum[0] = first_gate;
    for (size_t i = 0; i < r->images; i++)
        if (!r->results[i].error)
            section.add(section.user, chunk,
                        &(image_answer){.image = i,
                                        .item = r->results[i].item,
                                        .predicted = i % 2, /* classes */
                                        .head_tokens = a.tokens,
                                        .gate_sum = a.gate_sum,
                                        .together = a.together});
    section.encode(section.user, chunk, &b);
    section.end(section.user, chunk);
    record_add_section(record, section.tag, b.data, b.size);
    bytes_free(&b);
}

/* Three numbers of each. */
static void add_features(bytes *record, const chunk_result *r)
{
    const float features[] = {1, -2, 0.5f};
    vector_record v = {VECTOR_FEATURES, sizeof features / sizeof *features, NULL};
    chunk_section section = vector_record_section(&v);
    void *chunk = section.begin(section.user);
    bytes b = {0};
    assert_non_null(chunk);
    for (size_t i = 0; i < r->images; i++)
        if (!r->results[i].error)
            section.add(section.user, chunk,
                        &(image_answer){.image = i, .item = r->results[i].item, .features = features});
    section.encode(section.user, chunk, &b);
    section.end(section.user, chunk);
    record_add_section(record, section.tag, b.data, b.size);
    bytes_free(&b);
}

/* Of the pictures every third has no class, and every ninth is broken. */
static void add_record(journal *j, size_t chunk, size_t images, double first_gate)
{
    static char reason[] = "broken";
    image_result results[CHUNK_IMAGES];
    dataset_item items[CHUNK_IMAGES];
    score s = {.top = {1, 0}, .probability = {0.75f, 0.25f}, .top_count = 2, .right5 = true, .loss = 1 << 20};
    mohvit_error err;
    bytes b = {0};
    for (size_t i = 0; i < images; i++) {
        items[i] = (dataset_item){.name = "x.jpg", .class_index = i % 3 ? i % 2 : CLASS_NONE};
        const picture_seen seen = {.unread = i % 18 == 17, .turned = i % 5 == 4, .hash = {i, ~i}};
        results[i] = (image_result){&items[i], i % 9 == 8 ? reason : NULL, &s, seen};
    }
    const chunk_result r = {.chunk = chunk, .images = images, .top_ks = 1, .results = results};
    record_begin(&b, &r, true);
    add_features(&b, &r);
    add_head_load(&b, &r, first_gate);
    chunk_record parsed;
    expect_ok(record_parse(&parsed, b.data, b.size, &err), &err);
    expect_ok(journal_append(j, &parsed, &err), &err);
    record_free(&parsed);
    bytes_free(&b);
}

/* Its path. first_gate: of the first head, in the last chunk. */
static const char *seed_journal(size_t chunks, double first_gate)
{
    mohvit_error err;
    journal *j;
    json_t *header =
        json_pack("{s:i, s:{s:o, s:{s:i, s:s}}, s:{s:s}, s:{s:n}, s:i, s:[s,s], s:[s,s], s:[s], s:{s:s}}",
                  "format", HEADER_FORMAT, "match", "config", json_loads(seed_config, 0, NULL), "data",
                  "images", IMAGES, "fingerprint", "f", "hardware", "backend", "native", "run", "shard",
                  "images", IMAGES, "sections", "predictions", HEAD_LOAD_SECTION, "classes",
                  "n01440764\ttench", "dress", "prefixes", "val/", "provenance", "version", "0");
    assert_non_null(header);
    if (chunks == 2) // the others are as 0.1 wrote them
        json_object_set_new(header, "routing", routing_layout_to_json(&seed_routing));
    const char *path = seed_path("journal");
    const journal_options options = {.path = path, .header = header};
    expect_ok(journal_open(&j, &options, &err), &err);
    for (size_t i = 0; i < chunks; i++)
        add_record(j, i, i ? IMAGES - CHUNK_IMAGES : CHUNK_IMAGES, i ? first_gate : 0);
    journal_close(j);
    json_decref(header);
    return path;
}

/* Torn in its second record, damaged in its first, torn in its header; and nothing yet. */
static void seed_damaged_journals(void)
{
    blob whole = blob_read(seed_journal(2, 0));
    blob damaged = {0};
    blob_add(&damaged, whole.data, whole.size);
    damaged.data[whole.size / 2] ^= 1;
    seed("journal", damaged);
    blob_write(seed_path("journal"), whole.data, whole.size - 9);
    blob_write(seed_path("journal"), whole.data, 40);
    blob_write(seed_path("journal"), whole.data, 0);
    free(whole.data);
}

/* Takes the load. */
static void seed_head_load(head_load *load)
{
    mohvit_error err;
    expect_ok(head_load_save(load, seed_path("head_load"), &err), &err);
    head_load_destroy(load);
}

/* As 0.1 wrote it, without squares: what it has under this key, nothing reads. */
static void seed_old_head_load(head_load *load)
{
    load->has_squares = false;
    static const char key[] = "\"routing\"";
    const char *path = seed_path("head_load");
    mohvit_error err;
    expect_ok(head_load_save(load, path, &err), &err);
    blob b = blob_read(path);
    char *at = memmem(b.data, b.size, key, strlen(key));
    assert_non_null(at);
    at[2] = 'u';
    blob_write(path, b.data, b.size);
    free(b.data);
    head_load_destroy(load);
}

static void add_source(head_load *load, const char *shard)
{
    json_t *source =
        json_pack("{s:s, s:i, s:s, s:{s:s, s:i}, s:[s]}", "fingerprint", "f", "images", 100, "shard", shard,
                  "chosen_from", "fingerprint", "g", "images", 1000, "prefixes", "val/");
    assert_int_equal(json_array_append_new(load->sources, source), 0);
}

/* As a test makes it, and as 0.1 did; of a model with a narrow stage; with a token too few; of nothing and of
 * one picture, which have no sources in common with themselves; of parts between which others are missing;
 * and with sums at their limit. */
static void seed_head_loads(const config *c, const labels *names)
{
    mohvit_error err;
    answer a = an_answer();
    head_load *load;
    config narrow = *c;
    narrow.num_heads[0] = narrow.shared_head[0] = 1;
    narrow.routed_head[0] = 0;
    seed_head_load(made_head_load(c, names, 7));
    seed_old_head_load(made_head_load(c, names, 7));
    seed_head_load(made_head_load(&narrow, names, 7));
    load = made_head_load(c, names, 7);
    load->active[0]--;
    seed_head_load(load);
    for (size_t images = 0; images < 2; images++) {
        load = empty_head_load(c, names);
        assert_non_null(load);
        expect_ok(head_load_begin_together(load, &err), &err);
        if (images)
            expect_ok(head_load_add(load, 1, &(head_image){a.tokens, a.gate_sum, a.together}, &err), &err);
        seed_head_load(load);
    }
    load = made_head_load(c, names, 8);
    json_array_clear(load->sources);
    add_source(load, "2/9");
    add_source(load, "2/3");
    seed_head_load(load);
    load = made_head_load(c, names, 9);
    json_array_clear(load->sources);
    const size_t cells = load->routing.count * load->routing.max_heads;
    for (size_t i = 0; i < cells; i++)
        load->gate[i] = load->active[i] < 0 ? 0 : INT64_MAX / 2 + 1;
    load->has_squares = false; // of so large gates they would not fit
    seed_head_load(load);
}

/* Of three pictures, the first of no class; without names for one of them; and of no picture. */
static void seed_per_image(size_t count, size_t name_bytes, bool hashed)
{
    enum { MOST = 3, NAME = 5 };
    static const char texts[] = "a.jpgb.jpgc.jpg";
    size_t blocks = seed_routing.count, heads = seed_routing.max_heads, cells = blocks * heads;
    const tensor_info tensors[] = {
        {.name = "index", .dtype = DTYPE_I64, .rank = 1, .shape = {count}, .elements = count},
        {.name = "class", .dtype = DTYPE_I64, .rank = 1, .shape = {count}, .elements = count},
        {.name = hashed ? "xxh64" : "no", .dtype = DTYPE_I64, .rank = 1, .shape = {count}, .elements = count},
        {.name = "tokens", .dtype = DTYPE_I64, .rank = 1, .shape = {blocks}, .elements = blocks},
        {.name = "name_offsets", .dtype = DTYPE_I64, .rank = 1, .shape = {count + 1}, .elements = count + 1},
        {.name = "names", .dtype = DTYPE_U8, .rank = 1, .shape = {name_bytes}, .elements = name_bytes},
        {.name = "active",
         .dtype = DTYPE_I32,
         .rank = 3,
         .shape = {count, blocks, heads},
         .elements = count * cells},
    };
    const int64_t index[MOST] = {0, 2, 3}, class_of[MOST] = {-1, 0, 1}, hashes[MOST] = {5, -5, 5},
                  ends[] = {0, NAME, 2 * NAME, 3 * NAME};
    int64_t tokens[MAX_CELLS];
    int32_t active[MOST * MAX_CELLS];
    double gates[MAX_CELLS];
    int32_t together[2 * MAX_CELLS];
    for (size_t i = 0; i < MOST; i++)
        made_image(&seed_routing, i, active + i * cells, gates, together);
    for (size_t b = 0; b < blocks; b++)
        tokens[b] = (int64_t)seed_routing.blocks[b].tokens;
    const void *data[] = {index, class_of, hashes, tokens, ends, texts, active};
    json_t *layout = routing_layout_to_json(&seed_routing);
    char *routing = json_dumps(layout, JSON_COMPACT);
    const metadata_entry metadata[] = {{"per-image", "1"},
                                       {"provenance", "{}"},
                                       {"routing", routing},
                                       {"class_names", "[\"n01440764\\ttench\",\"dress\"]"}};
    safetensors_writer *w;
    mohvit_error err;
    expect_ok(safetensors_writer_create(&w, seed_path("per_image"), tensors, sizeof tensors / sizeof *tensors,
                                        metadata, sizeof metadata / sizeof *metadata, &err),
              &err);
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        expect_ok(safetensors_writer_add_raw(w, data[i], &err), &err);
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
    json_decref(layout);
    free(routing);
}

static json_t *seed_change(json_t *row, const char *what, double change, bool sure)
{
    static const char *const rest[] = {"low", "high", "p", "p_holm"};
    const double value[] = {change - 0.5, change + 0.25, 0.001, 0.04};
    char key[32];
    snprintf(key, sizeof key, "%s_change", what);
    json_object_set_new(row, key, json_real(change));
    for (size_t i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "%s_%s", what, rest[i]);
        json_object_set_new(row, key, sure ? json_real(value[i]) : json_null());
    }
    return row;
}

/* Of a head; NO_HEAD: of the whole block. sure: with intervals, which one image does not give. */
static json_t *seed_pass(const routing_block *b, size_t head, bool sure)
{
    char name[ROUTING_HEAD_NAME];
    json_t *row;
    if (head == NO_HEAD) {
        row = json_pack("{s:s, s:i, s:i, s:n, s:n}", "heads", b->name, "stage", (int)b->stage, "block",
                        (int)b->block, "head", "kind");
    } else {
        routing_head_name(name, b, head);
        row = json_pack("{s:o, s:i, s:i, s:i, s:s}", "heads", json_sprintf("%s:%s", b->name, name), "stage",
                        (int)b->stage, "block", (int)b->block, "head", (int)head, "kind",
                        head < b->shared ? "shared" : "routed");
    }
    assert_non_null(row);
    return seed_change(seed_change(row, "loss", 0.125, sure), "top1", -1, sure);
}

/* As `headload ablate --format json` prints it of the model and the data of tests/fuzz/importance.c: of some
 * heads, of the data themselves or of some that were chosen; of blocks; of a run that was stopped; a head
 * twice; and of other weights. Takes rows. */
static void seed_importance(json_t *rows, bool chosen, bool complete, const char *weights)
{
    json_t *data = json_pack("{s:s, s:i}", "fingerprint", chosen ? "g" : "f", "images", chosen ? 10 : 100);
    if (chosen)
        json_object_set_new(data, "chosen_from", json_pack("{s:s, s:i}", "fingerprint", "f", "images", 100));
    json_t *object = json_pack("{s:i, s:i, s:b, s:b, s:o, s:o, s:{s:s, s:s}}", "images", 98, "failed", 2,
                               "complete", complete, "renormalise", chosen, "ablated", rows, "data", data,
                               "provenance", "version", "0", "weights_hash", weights);
    assert_non_null(object);
    char *text = json_dumps(object, JSON_COMPACT);
    seed_text("importance", text);
    free(text);
    json_decref(object);
}

static void seed_importances(void)
{
    config c;
    routing_layout layout;
    mohvit_error err;
    assert_true(config_variant(&c, "moh_transnext_small_75"));
    expect_ok(config_routing(&layout, &c, &err), &err);
    const routing_block *b = routing_layout_last_routed(&layout);
    const size_t first = b->shared, last = b->heads - 1;
    for (int chosen = 0; chosen < 2; chosen++)
        seed_importance(json_pack("[o, o, o]", seed_pass(b, 0, true), seed_pass(b, first, true),
                                  seed_pass(b, last, true)),
                        chosen, true, "w");
    seed_importance(json_pack("[o, o]", seed_pass(b, NO_HEAD, true), seed_pass(layout.blocks, NO_HEAD, true)),
                    false, true, "w");
    seed_importance(json_pack("[o]", seed_pass(b, first, false)), false, true, "w");
    seed_importance(json_pack("[o, o]", seed_pass(b, last, true), seed_pass(b, last, true)), false, true,
                    "w");
    seed_importance(json_pack("[o]", seed_pass(b, first, true)), false, false, "w");
    seed_importance(json_pack("[o]", seed_pass(b, first, true)), false, true, "v");
    routing_layout_free(&layout);
}

void seed_evaluations(void)
{
    config c;
    labels names;
    mohvit_error err;
    expect_ok(config_from_json(&c, seed_config, strlen(seed_config), "seed", &err), &err);
    expect_ok(config_routing(&seed_routing, &c, &err), &err);
    for (size_t chunks = 0; chunks <= 2; chunks++)
        seed_journal(chunks, 0);
    seed_journal(2, NAN);
    seed_damaged_journals();
    expect_ok(labels_numbered(&names, c.num_classes, &err), &err);
    seed_head_loads(&c, &names);
    seed_per_image(3, 15, true);
    seed_per_image(3, 15, false);
    seed_per_image(3, 14, true);
    seed_per_image(0, 0, true);
    seed_importances();
    labels_free(&names);
    routing_layout_free(&seed_routing);
}

/* States of evaluations: read as `merge` reads them, then gone on with as `eval --state` does. */
#include "eval/journal.h"

#include "tests/fuzz/fuzz.h"
#include "eval/header.h"
#include "eval/head_load_record.h"
#include "vit/network/config.h"
#include "eval/recheck.h"
#include "tests/fuzz/mend.h"
#include "eval/totals.h"
#include "eval/vector_record.h"

FUZZ_MEND(mend_journal)

static const warning_sink warn = {fuzz_warn, NULL};

#define SEED_WIDTH 3 /* of features in seeds_evaluations.c */

static void look_at(const chunk_record *r)
{
    for (size_t i = 0; i < r->failures; i++)
        fuzz_require(r->failure[i].name_length + r->failure[i].message_length <=
                         record_section(r, SECTION_FAILURES)->size,
                     "texts longer than all");
    for (size_t i = 0; r->predictions && i < r->images; i++) {
        fuzz_require(r->image[i].name_length <= record_section(r, SECTION_PREDICTIONS)->size,
                     "a name longer than its section");
        for (size_t v = 0; !r->image[i].failed && v < r->top_ks; v++)
            fuzz_require(r->image[i].scores[v].top_count <= SCORE_TOP, "too many classes");
    }
}

/* As eval's output does, whatever widths the header may have. */
static void look_at_vectors(const chunk_record *r, const journal *j)
{
    byte_reader rows;
    uint64_t index;
    mohvit_error err;
    bytes copy = {0};
    for (vector_kind k = 0; k < VECTOR_KINDS; k++) {
        const vector_record v = {k, SEED_WIDTH, NULL};
        if (fuzz_checked(vector_record_read(&rows, &v, r, j, &err), &err, journal_name(j)))
            continue;
        for (size_t i = r->failures; i < r->images; i++)
            bytes_put(&copy, vector_record_next(&rows, &v, &index), v.width * sizeof(float));
    }
    bytes_free(&copy);
}

static void read_records(journal *j)
{
    bytes b = {0};
    mohvit_error err;
    for (size_t i = 0; i < journal_done(j); i++) {
        chunk_record r = {0};
        size_t chunk = journal_chunk(j, i);
        if (!fuzz_checked(journal_read(j, chunk, &b, &err), &err, journal_name(j)) &&
            !fuzz_checked(record_parse(&r, b.data, b.size, &err), &err, NULL)) {
            fuzz_require(r.chunk == chunk, "another chunk's record");
            look_at(&r);
            look_at_vectors(&r, j);
            fuzz_checked(recheck_unread(j, &r, &err), &err, NULL);
        }
        record_free(&r);
    }
    bytes_free(&b);
}

static void add_up(journal *j)
{
    const record_set set = {&j, 1};
    totals t = {0};
    head_load *load;
    mohvit_error err;
    fuzz_checked(totals_count(&t, &set, 4, &err), &err, NULL);
    totals_free(&t);
    if (!fuzz_checked(head_load_collect(&load, &set, "1/2", config_routing_from_json, &err), &err, NULL))
        head_load_destroy(load);
}

/* A newer record takes the place of one that is there. */
static void replace_first(journal *j)
{
    bytes b = {0};
    chunk_record r = {0};
    mohvit_error err;
    size_t done = journal_done(j), chunk = journal_chunk(j, 0);
    if (!fuzz_checked(journal_read(j, chunk, &b, &err), &err, journal_name(j)) &&
        !fuzz_checked(journal_parse(j, &r, &b, &err), &err, journal_name(j)))
        fuzz_checked(journal_append(j, &r, &err), &err, journal_name(j));
    fuzz_require(journal_done(j) == done && journal_has(j, chunk), "a chunk is there twice");
    journal_forget(j, chunk);
    fuzz_require(journal_done(j) == done - 1 && !journal_has(j, chunk), "a chunk is not forgotten");
    record_free(&r);
    bytes_free(&b);
}

/* With the same header the same records must be there, and one more be written. */
static void go_on(const char *path, json_t *header, size_t done)
{
    journal *j;
    mohvit_error err;
    const journal_options options = {.path = path, .header = header, .warn = warn};
    if (fuzz_checked(journal_open(&j, &options, &err), &err, path))
        return;
    fuzz_require(journal_done(j) == done, "other records when opened again");
    if (done)
        replace_first(j);
    journal_close(j);
    json_object_set_new(json_object_get(header, "match"), "data", json_string("other"));
    json_object_set_new(json_object_get(header, "hardware"), "backend", json_string("other"));
    fuzz_require(fuzz_checked(journal_open(&j, &options, &err), &err, path),
                 "another evaluation's state is taken");
}

/* What is no state may be the torn beginning of one, and is then begun anew. */
static void begin_anew(const char *path)
{
    journal *j;
    mohvit_error err;
    json_t *header =
        json_pack("{s:i, s:{}, s:{}, s:i}", "format", HEADER_FORMAT, "match", "hardware", "images", 1);
    const journal_options options = {.path = path, .header = header, .allow_mixed = true, .warn = warn};
    if (!fuzz_checked(journal_open(&j, &options, &err), &err, path ? path : "temporary"))
        journal_close(j);
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    journal *j;
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    if (fuzz_checked(journal_open_finished(&j, path, &warn, &err), &err, path)) {
        begin_anew(size ? path : NULL); // NULL: a file without a name
        return 0;
    }
    read_records(j);
    add_up(j);
    size_t done = journal_done(j);
    json_t *header = json_deep_copy(journal_header(j));
    journal_close(j);
    if (header)
        go_on(path, header, done);
    json_decref(header);
    return 0;
}

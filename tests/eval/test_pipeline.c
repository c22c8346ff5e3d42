/* A data set through the network, by any number of threads and in any order, with head load and predictions:
 * each record, and what they add up to, is the same to the last bit. Also a suite for ThreadSanitizer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eval/ablation_record.h"
#include "eval/head_load_record.h"
#include "eval/header.h"
#include "eval/recheck.h"
#include "eval/vector_record.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CLASSES     10 /* of the model that is built in */
#define MAX_THREADS 4
#define IMAGES      200

static mohvit_model *shared;
static dataset *data;

static int setup(void **state)
{
    (void)state;
    static char images[] = "idx:/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz,"
                           "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz";
    char *arguments[] = {images};
    class_table *classes;
    if (mohvit_open(&shared, NULL, NULL, NULL))
        return -1;
    const labels *l = &mohvit_describe(shared)->labels;
    const class_names names = {l->count, l->name, l->id};
    if (class_table_create(&classes, &names, NULL))
        return -1;
    const dataset_options options = {.classes = classes, .limit = IMAGES};
    mohvit_status status = dataset_open(&data, arguments, 1, &options, NULL);
    class_table_destroy(classes);
    return status ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    dataset_close(data);
    mohvit_close(shared);
    return 0;
}

/* ---- One evaluation ---------------------------------------------------------------------------- */

/* What comes of one. Nothing of it is locked: the pipeline's calls come one at a time. */
typedef struct outcome {
    size_t next, images, stop_after;
    const mohvit_model *also; /* scored in the same pass; NULL: none */
    journal *records;
} outcome;

static mohvit_status next_chunk(void *user, size_t *chunk, mohvit_error *err)
{
    (void)err;
    outcome *o = user;
    *chunk = o->next < journal_chunks(o->records) ? o->next++ : CHUNK_NONE;
    return MOHVIT_OK;
}

static mohvit_status append(journal *j, const bytes *record, mohvit_error *err)
{
    chunk_record r;
    mohvit_status status = record_parse(&r, record->data, record->size, err);
    if (!status)
        status = journal_append(j, &r, err);
    record_free(&r);
    return status;
}

static mohvit_status keep_record(void *user, const bytes *record, mohvit_error *err)
{
    return append(((outcome *)user)->records, record, err);
}

static bool count_image(void *user, bool failed)
{
    outcome *o = user;
    assert_false(failed);
    return ++o->images == o->stop_after;
}

static json_t *make_header(size_t top_ks)
{
    const description *d = mohvit_describe(shared);
    char *names = labels_to_json(&d->labels);
    json_t *header =
        json_pack("{s:i, s:{s:o}, s:o, s:{}, s:i, s:[s,s], s:o, s:{}}", "format", HEADER_FORMAT, "match",
                  "config", config_json(&d->config), "routing",
                  routing_layout_to_json(mohvit_routing(shared)), "hardware", "images", IMAGES, "sections",
                  "predictions", HEAD_LOAD_SECTION, "classes", json_loads(names, 0, NULL), "provenance");
    free(names);
    if (top_ks > 1)
        json_object_set_new(json_object_get(header, "match"), "routed_heads",
                            json_pack("[s,s]", "as trained", "1"));
    return header;
}

/* In a file without a name. */
static journal *open_journal(size_t top_ks)
{
    journal *j = NULL;
    json_t *header = make_header(top_ks);
    assert_int_equal(journal_open(&j, &(journal_options){.header = header}, NULL), MOHVIT_OK);
    json_decref(header);
    return j;
}

static vector_record features_of(void)
{
    return (vector_record){VECTOR_FEATURES, mohvit_describe(shared)->config.embed_dims[STAGES - 1], NULL};
}

static vector_record logits_of(void)
{
    return (vector_record){VECTOR_LOGITS, mohvit_describe(shared)->config.num_classes, NULL};
}

static vector_record heads_of(void)
{
    const routing_layout *l = mohvit_routing(shared);
    return (vector_record){VECTOR_HEADS, l->count * l->max_heads, l};
}

/* With a queue of three pictures, so that readers and workers wait for each other. */
static void evaluate(outcome *o, size_t threads, size_t batch)
{
    const mohvit_model *models[] = {shared, o->also};
    const description *d = mohvit_describe(shared);
    head_load_record load = {.routing = mohvit_routing(shared)};
    vector_record features = features_of(), logits = logits_of(), heads = heads_of();
    const chunk_section sections[] = {
        vector_record_section(&features),
        vector_record_section(&logits),
        vector_record_section(&heads),
        head_load_record_section(&load),
    };
    const pipeline p = {
        .data = data,
        .models = models,
        .top_ks = o->also ? 2 : 1,
        .preprocess = &d->preprocess,
        .threads = threads,
        .batch = batch,
        .predictions = true,
        .sections = sections,
        .section_count = sizeof sections / sizeof *sections,
        .queue_bytes = 3 * 28 * 28,
        .user = o,
        .next = next_chunk,
        .done = keep_record,
        .image = count_image,
    };
    mohvit_error err;
    o->records = open_journal(p.top_ks);
    if (pipeline_run(&p, &err))
        fail_msg("%s", err.message);
}

/* Everything but the time that it took, and the order in which a chunk met its classes. */
static void assert_same_record(const outcome *a, const outcome *b, size_t chunk)
{
    bytes p = {0}, q = {0};
    chunk_record x, y;
    assert_int_equal(journal_read(a->records, chunk, &p, NULL), MOHVIT_OK);
    assert_int_equal(journal_read(b->records, chunk, &q, NULL), MOHVIT_OK);
    assert_int_equal(record_parse(&x, p.data, p.size, NULL), MOHVIT_OK);
    assert_int_equal(record_parse(&y, q.data, q.size, NULL), MOHVIT_OK);
    const byte_reader *tops = record_section(&x, SECTION_PREDICTIONS);
    assert_int_equal(x.images, y.images);
    assert_memory_equal(x.image[0].scores, y.image[0].scores, x.images * sizeof(score));
    for (size_t i = 0; i < x.images; i++)
        assert_true(x.image[i].class_index == y.image[i].class_index &&
                    picture_same(x.image[i].seen.hash, y.image[i].seen.hash));
    assert_int_equal(tops->size, record_section(&y, SECTION_PREDICTIONS)->size);
    assert_memory_equal(tops->data, record_section(&y, SECTION_PREDICTIONS)->data, tops->size);
    record_free(&x);
    record_free(&y);
    bytes_free(&p);
    bytes_free(&q);
}

static head_load *load_of(const outcome *o)
{
    head_load *load = NULL;
    journal *journals[] = {o->records};
    assert_int_equal(head_load_collect(&load, &(record_set){journals, 1}, NULL, NULL, NULL), MOHVIT_OK);
    return load;
}

static void assert_same_counts(const head_load *x, const head_load *y)
{
    size_t cells = CLASSES * x->routing.count * x->routing.max_heads;
    assert_memory_equal(x->images, y->images, CLASSES * sizeof *x->images);
    assert_memory_equal(x->active, y->active, cells * sizeof *x->active);
    assert_memory_equal(x->gate, y->gate, cells * sizeof *x->gate);
    assert_true(x->has_squares && y->has_squares);
    assert_memory_equal(x->active_squares, y->active_squares, cells * sizeof *x->active_squares);
    assert_memory_equal(x->gate_squares, y->gate_squares, cells * sizeof *x->gate_squares);
    assert_memory_equal(x->half_images, y->half_images, CLASSES * sizeof *x->half_images);
    assert_memory_equal(x->half_active, y->half_active, cells * sizeof *x->half_active);
    assert_true(x->together && y->together);
    assert_memory_equal(x->together, y->together,
                        routing_head_pairs(&x->routing, x->routing.count) * sizeof *x->together);
}

static void assert_same_load(const outcome *a, const outcome *b)
{
    head_load *x = load_of(a), *y = load_of(b);
    assert_same_counts(x, y);
    head_load_destroy(x);
    head_load_destroy(y);
}

/* ---- What is checked --------------------------------------------------------------------------- */

static void an_evaluation_comes_to_the_same_on_any_threads(void **state)
{
    (void)state;
    outcome alone = {0};
    evaluate(&alone, 1, 1);
    for (size_t threads = 2; threads <= MAX_THREADS; threads++) {
        outcome o = {0};
        evaluate(&o, threads, threads * (threads - 1));
        assert_int_equal(o.images, IMAGES);
        for (size_t i = 0; i < journal_chunks(o.records); i++)
            assert_same_record(&o, &alone, i);
        assert_same_load(&o, &alone);
        journal_close(o.records);
    }
    journal_close(alone.records);
}

static void an_evaluation_stops_when_it_is_told_to(void **state)
{
    (void)state;
    for (size_t stop_after = 1; stop_after < IMAGES; stop_after += 66) {
        outcome o = {.stop_after = stop_after};
        evaluate(&o, MAX_THREADS, 8);
        assert_in_range(o.images, stop_after, IMAGES);
        journal_close(o.records);
    }
}

static bool ask_twice(void *user)
{
    return ++*(atomic_size_t *)user > 2;
}

static bool never_reached(void *user, bool failed)
{
    (void)user, (void)failed;
    fail_msg("an image was taken for done");
    return false;
}

static mohvit_status next_of_all(void *user, size_t *chunk, mohvit_error *err)
{
    (void)user, (void)err;
    *chunk = 0;
    return MOHVIT_OK;
}

/* Of 46 passes of a picture, one for each head, the first one or two are begun; with several threads, one of
 * each. */
static void an_ablation_ends_within_a_picture(void **state)
{
    (void)state;
    const mohvit_model *models[] = {shared};
    ablation all;
    mohvit_error err;
    assert_int_equal(ablation_create(&all, shared, NULL, "", false, false, &err), MOHVIT_OK);
    const chunk_section section = ablation_record_section(&all);
    for (size_t threads = 1; threads <= MAX_THREADS; threads++) {
        atomic_size_t asked = 0;
        const pipeline p = {
            .data = data,
            .models = models,
            .top_ks = 1,
            .preprocess = &mohvit_describe(shared)->preprocess,
            .threads = threads,
            .batch = 1,
            .ablation = &all,
            .sections = &section,
            .section_count = 1,
            .user = &asked,
            .next = next_of_all,
            .done = keep_record,
            .image = never_reached,
            .interrupted = ask_twice,
        };
        assert_int_equal(pipeline_run(&p, &err), MOHVIT_OK);
        assert_in_range(asked, 3, 2 + threads);
    }
    ablation_free(&all);
}

/* One by one, as a caller of the public interface would count them. */
static void heads_are_counted_as_the_library_counts_them(void **state)
{
    (void)state;
    mohvit_head_load *expected;
    mohvit_context *ctx;
    mohvit_error err;
    outcome o = {0};
    evaluate(&o, 2, 3);
    head_load *counted = load_of(&o);
    assert_int_equal(mohvit_head_load_create(&expected, shared, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&ctx, shared, 1, 1, NULL), MOHVIT_OK);
    for (size_t i = 0; i < IMAGES; i++) {
        sample s;
        assert_int_equal(dataset_read(data, i, &s, &err), MOHVIT_OK);
        assert_int_equal(mohvit_load_rgb(ctx, 0, s.bytes, s.width, s.height, 3 * s.width, &err), MOHVIT_OK);
        assert_int_equal(mohvit_run(ctx, 1, &err), MOHVIT_OK);
        assert_int_equal(mohvit_head_load_add(expected, ctx, 0, dataset_item_at(data, i)->class_index, &err),
                         MOHVIT_OK);
        sample_free(&s);
    }
    assert_same_counts(counted, expected);
    mohvit_context_destroy(ctx);
    mohvit_head_load_destroy(expected);
    head_load_destroy(counted);
    journal_close(o.records);
}

/* The same; on two threads, which finish the pictures of a chunk in any order. */
static void features_logits_and_heads_are_those_of_the_library(void **state)
{
    (void)state;
    mohvit_context *ctx;
    outcome o = {0};
    bytes record = {0};
    chunk_record r = {0};
    vector_record features = features_of(), logits = logits_of(), heads = heads_of();
    vector_record wider = {VECTOR_LOGITS, logits.width + 1, NULL};
    byte_reader f = {0}, l = {0}, h = {0};
    uint64_t f_index, l_index, h_index;
    mohvit_error err;
    evaluate(&o, 2, 3);
    assert_int_equal(mohvit_context_create(&ctx, shared, 1, 1, NULL), MOHVIT_OK);
    for (size_t i = 0; i < IMAGES; i++) {
        sample s;
        if (i % CHUNK_IMAGES == 0) {
            record_free(&r);
            assert_int_equal(journal_read(o.records, i / CHUNK_IMAGES, &record, NULL), MOHVIT_OK);
            assert_int_equal(record_parse(&r, record.data, record.size, NULL), MOHVIT_OK);
            assert_int_equal(vector_record_read(&f, &features, &r, o.records, NULL), MOHVIT_OK);
            assert_int_equal(vector_record_read(&l, &logits, &r, o.records, NULL), MOHVIT_OK);
            assert_int_equal(vector_record_read(&h, &heads, &r, o.records, NULL), MOHVIT_OK);
        }
        assert_int_equal(dataset_read(data, i, &s, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_load_rgb(ctx, 0, s.bytes, s.width, s.height, 3 * s.width, NULL), MOHVIT_OK);
        uint64_t pixels_hash = XXH64(s.bytes, s.size, 0);
        sample_free(&s);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_memory_equal(vector_record_next(&f, &features, &f_index), mohvit_features(ctx, 0),
                            features.width * sizeof(float));
        assert_memory_equal(vector_record_next(&l, &logits, &l_index), mohvit_logits(ctx, 0),
                            logits.width * sizeof(float));
        assert_int_equal(f_index, dataset_item_at(data, i)->index);
        assert_int_equal(l_index, f_index);
        const uint8_t *row = vector_record_next(&h, &heads, &h_index);
        uint64_t hash;
        memcpy(&hash, row, sizeof hash);
        assert_true(hash == pixels_hash);
        row += VECTOR_HEADS_START;
        assert_int_equal(h_index, f_index);
        assert_memory_equal(row + heads.width * sizeof(int64_t), mohvit_head_tokens(ctx, 0),
                            heads.width * sizeof(int32_t));
        for (size_t k = 0; k < heads.width; k++) {
            int64_t gate;
            memcpy(&gate, row + k * sizeof gate, sizeof gate);
            assert_int_equal(gate, llrint(mohvit_head_gate_sum(ctx, 0)[k] * HEAD_LOAD_GATE_UNIT));
        }
    }
    const byte_reader *body = record_section(&r, RECORD_TAG('H', 'E', 'A', 'D'));
    const int64_t not_finite = INT64_MIN;
    memcpy(record.data + (body->data - record.data) + sizeof(uint32_t) + sizeof(uint64_t) +
               VECTOR_HEADS_START,
           &not_finite, 8);
    assert_int_equal(vector_record_read(&h, &heads, &r, o.records, &err), MOHVIT_ERROR_NONFINITE);
    assert_non_null(strstr(err.message, "has gates that are not finite"));
    assert_int_equal(vector_record_read(&l, &wider, &r, o.records, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "its logits are not"));
    r.images--; // as if the section had a row too many
    assert_int_equal(vector_record_read(&l, &logits, &r, o.records, &err), MOHVIT_ERROR_FORMAT);
    r.images++;
    for (size_t i = 0; i < r.section_count; i++)
        r.sections[i].tag = 0;
    assert_int_equal(vector_record_read(&l, &logits, &r, o.records, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "has no logits"));
    record_free(&r);
    bytes_free(&record);
    mohvit_context_destroy(ctx);
    journal_close(o.records);
}

static void of_several_models_the_heads_of_the_first_are_counted(void **state)
{
    (void)state;
    mohvit_model *other;
    assert_int_equal(mohvit_reroute(&other, shared, "1", NULL), MOHVIT_OK);
    outcome alone = {0}, both = {.also = other};
    evaluate(&alone, 2, 4);
    evaluate(&both, 2, 4);
    assert_same_load(&both, &alone);
    journal_close(alone.records);
    journal_close(both.records);
    mohvit_close(other);
}

/* Of its rows as RGB and its class, in one go. */
static void a_record_has_the_hash_of_each_picture(void **state)
{
    (void)state;
    outcome o = {0};
    evaluate(&o, 2, 3);
    for (size_t i = 0; i < IMAGES; i++) {
        sample s;
        bytes b = {0}, record = {0};
        chunk_record r;
        assert_int_equal(dataset_read(data, i, &s, NULL), MOHVIT_OK);
        bytes_put(&b, s.bytes, s.size);
        bytes_put_u64(&b, dataset_item_at(data, i)->class_index);
        XXH128_hash_t expected = XXH3_128bits(b.data, b.size);
        assert_int_equal(journal_read(o.records, i / CHUNK_IMAGES, &record, NULL), MOHVIT_OK);
        assert_int_equal(record_parse(&r, record.data, record.size, NULL), MOHVIT_OK);
        const image_record *one = &r.image[i % CHUNK_IMAGES];
        assert_true(one->seen.hash.low == expected.low64 && one->seen.hash.high == expected.high64);
        assert_false(one->seen.unread);
        assert_int_equal(one->size, dataset_item_at(data, i)->size);
        record_free(&r);
        bytes_free(&record);
        bytes_free(&b);
        sample_free(&s);
    }
    journal_close(o.records);
}

/* A record's last section is its head load. */
static void expect_damage(const bytes *record, const chunk_record *r, size_t at, const char *content,
                          int more, const char *cause)
{
    mohvit_error err = {0};
    head_load *load = NULL;
    bytes b = {0};
    size_t start = (size_t)(record_section(r, SECTION_HEAD_LOAD)->data - record->data);
    bytes_put(&b, record->data, record->size);
    memcpy(b.data + start + at, content, strlen(content));
    if (more > 0)
        bytes_put_u8(&b, 0);
    b.size -= more < 0;
    bytes_set_u32(&b, start - 4, (uint32_t)(b.size - start));
    journal *j = open_journal(1);
    assert_int_equal(append(j, &b, NULL), MOHVIT_OK);
    mohvit_status status = head_load_collect(&load, &(record_set){&j, 1}, NULL, NULL, &err);
    assert_int_equal(status, cause ? MOHVIT_ERROR_FORMAT : MOHVIT_OK);
    if (cause && !strstr(err.message, cause))
        fail_msg("%s", err.message);
    head_load_destroy(load);
    journal_close(j);
    bytes_free(&b);
}

static void a_head_load_that_is_damaged_is_an_error(void **state)
{
    (void)state;
    outcome o = {0};
    bytes record = {0};
    chunk_record r;
    evaluate(&o, 1, 1);
    assert_int_equal(journal_read(o.records, 3, &record, NULL), MOHVIT_OK);
    assert_int_equal(record_parse(&r, record.data, record.size, NULL), MOHVIT_OK);
    expect_damage(&record, &r, 0, "", 0, NULL);
    expect_damage(&record, &r, 0, "", 1, "chunk 3: its head load is damaged");
    expect_damage(&record, &r, 0, "", -1, "chunk 3: its head load is damaged");
    expect_damage(&record, &r, 0, "\3", 0, "gates that are not finite");
    expect_damage(&record, &r, 2, "\12", 0, "is damaged"); // a class too many,
    expect_damage(&record, &r, 3, "\11", 0, "is damaged"); // more images than the chunk has,
    expect_damage(&record, &r, 1, "\1", 0, "is damaged");  // or fewer classes than follow
    record_free(&r);
    bytes_free(&record);
    journal_close(o.records);
}

/* Intervals of some of the images would pass for those of all. */
static void records_with_and_without_squares_are_not_added_up(void **state)
{
    (void)state;
    outcome o = {0};
    bytes record = {0};
    chunk_record r;
    head_load *load = NULL;
    mohvit_error err;
    evaluate(&o, 1, 1);
    journal *j = open_journal(1);
    for (size_t chunk = 2; chunk < 4; chunk++) {
        bytes_free(&record);
        assert_int_equal(journal_read(o.records, chunk, &record, NULL), MOHVIT_OK);
        assert_int_equal(record_parse(&r, record.data, record.size, NULL), MOHVIT_OK);
        if (chunk == 3) // as in records of 0.1
            record.data[record_section(&r, SECTION_HEAD_LOAD)->data - record.data] = 1;
        assert_int_equal(append(j, &record, NULL), MOHVIT_OK);
        record_free(&r);
    }
    assert_int_equal(head_load_collect(&load, &(record_set){&j, 1}, NULL, NULL, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "chunk 3: its head load lacks squares, unlike others'"));
    journal_close(j);
    bytes_free(&record);
    journal_close(o.records);
}

/* Nothing else calls this where leaks are looked for: OpenMPI leaves memory behind. */
static void a_picture_that_another_rank_reads_otherwise_is_named(void **state)
{
    (void)state;
    mohvit_error err;
    char *text;
    assert_int_equal(recheck_tell(&text, data, &err), MOHVIT_OK);
    assert_int_equal(recheck_told(data, text, &err), MOHVIT_OK);
    char *last = strrchr(text, '\n') - 1;
    *last ^= 1; // of a hash
    assert_int_equal(recheck_told(data, text, &err), MOHVIT_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, ": is another picture than rank 0 reads"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evaluation_comes_to_the_same_on_any_threads),
        cmocka_unit_test(an_evaluation_stops_when_it_is_told_to),
        cmocka_unit_test(an_ablation_ends_within_a_picture),
        cmocka_unit_test(heads_are_counted_as_the_library_counts_them),
        cmocka_unit_test(features_logits_and_heads_are_those_of_the_library),
        cmocka_unit_test(of_several_models_the_heads_of_the_first_are_counted),
        cmocka_unit_test(a_record_has_the_hash_of_each_picture),
        cmocka_unit_test(a_head_load_that_is_damaged_is_an_error),
        cmocka_unit_test(a_picture_that_another_rank_reads_otherwise_is_named),
        cmocka_unit_test(records_with_and_without_squares_are_not_added_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* What many threads do at once with one model, in any order and with nothing of each other's: the suite for
 * ThreadSanitizer (preset "thread"), which sees races that no answer shows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eval/header.h"
#include "eval/head_load_record.h"
#include "vit/network/synthetic.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS     5
#define CLASSES     10 /* of the model that is built in */
#define MAX_THREADS 4
#define IMAGES      200

static mohvit_model *shared;
static float *input; /* (CALLERS, 3, size, size) */
static dataset *data;

static int setup(void **state)
{
    (void)state;
    static char images[] = "idx:/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz,"
                           "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz";
    char *arguments[] = {images};
    class_table *classes;
    if (mohvit_open(&shared, NULL, &(mohvit_options){.threads = 2}, NULL))
        return -1;
    const description *d = mohvit_describe(shared);
    const class_names names = {d->labels.count, d->labels.name, d->labels.id};
    if (class_table_create(&classes, &names, NULL))
        return -1;
    const dataset_options options = {.classes = classes, .limit = IMAGES};
    mohvit_status status = dataset_open(&data, arguments, 1, &options, NULL);
    class_table_destroy(classes);
    size_t side = d->config.img_size;
    input = malloc(CALLERS * 3 * side * side * sizeof *input);
    if (status || !input)
        return -1;
    synthetic_input(input, CALLERS, side, 5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(input);
    dataset_close(data);
    mohvit_close(shared);
    return 0;
}

/* ---- Contexts ---------------------------------------------------------------------------------- */

typedef struct caller {
    size_t number;
    int threads;
    float logits[CLASSES];
    mohvit_status status;
} caller;

/* All that a caller may do with a model that others use. */
static void *classify(void *arg)
{
    caller *c = arg;
    size_t side = mohvit_describe(shared)->config.img_size;
    mohvit_model *rerouted = NULL;
    mohvit_context *ctx = NULL, *other = NULL;
    mohvit_head_load *load = NULL;
    mohvit_prediction top[3];
    c->status = mohvit_reroute(&rerouted, shared, "1", NULL);
    if (!c->status)
        c->status = mohvit_context_create(&ctx, shared, 2, c->threads, NULL);
    if (!c->status)
        c->status = mohvit_context_create(&other, rerouted, 1, c->threads, NULL);
    if (!c->status)
        c->status = mohvit_head_load_create(&load, shared, NULL);
    for (size_t i = 0; !c->status && i < 3; i++) {
        for (size_t slot = 0; slot < 2; slot++)
            mohvit_load_tensor(ctx, slot, input + c->number * 3 * side * side, NULL);
        mohvit_load_tensor(other, 0, input, NULL);
        if ((c->status = mohvit_run(ctx, 2, NULL)) || (c->status = mohvit_run(other, 1, NULL)) ||
            (c->status = mohvit_top(ctx, 1, top, 3, NULL)))
            break;
        c->status = mohvit_head_load_add(load, ctx, 1, i, NULL);
    }
    if (!c->status)
        memcpy(c->logits, mohvit_logits(ctx, 1), sizeof c->logits);
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(other);
    mohvit_context_destroy(ctx);
    mohvit_close(rerouted);
    return NULL;
}

/* Opening is nobody else's business either. */
static void *open_another(void *arg)
{
    caller *c = arg;
    for (size_t i = 0; !c->status && i < 3; i++) {
        mohvit_model *another = NULL;
        c->status = mohvit_open(&another, NULL, &(mohvit_options){.threads = 2}, NULL);
        mohvit_close(another);
    }
    return NULL;
}

static void callers_of_one_model_do_not_meet(void **state)
{
    (void)state;
    caller alone[CALLERS], callers[CALLERS], opener = {0};
    pthread_t threads[CALLERS + 1];
    for (size_t i = 0; i < CALLERS; i++) {
        alone[i] = (caller){.number = i, .threads = 1};
        callers[i] = (caller){.number = i, .threads = 1 + (int)i % 3};
        classify(&alone[i]);
        assert_int_equal(alone[i].status, MOHVIT_OK);
    }
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, classify, &callers[i]), 0);
    assert_int_equal(pthread_create(&threads[CALLERS], NULL, open_another, &opener), 0);
    for (size_t i = 0; i <= CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(opener.status, MOHVIT_OK);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, MOHVIT_OK);
        assert_memory_equal(callers[i].logits, alone[i].logits, sizeof alone[i].logits);
    }
}

/* ---- Progress ---------------------------------------------------------------------------------- */

/* Set by another thread than those that wait, read without any order, so that it hides no race. */
static atomic_bool enough;
static sem_t waiting; /* posted by each that waits for it */

/* Nothing of it is locked: a progress is called by one thread at a time. */
typedef struct listener {
    caller c;
    size_t calls, cancel_at; /* the call that cancels, from 1; 0: none */
    bool begun;              /* a call that `enough` will end */
} listener;

static int tell(void *user, size_t done, size_t total)
{
    (void)done;
    (void)total;
    listener *l = user;
    l->calls++;
    if (l->cancel_at)
        return l->calls == l->cancel_at;
    if (!l->begun)
        sem_post(&waiting);
    l->begun = true;
    return atomic_load_explicit(&enough, memory_order_relaxed);
}

/* Cancelled at every one of its calls, then by another thread, a run comes to what it does undisturbed. */
static void *cancel_runs(void *arg)
{
    listener *l = arg;
    size_t side = mohvit_describe(shared)->config.img_size;
    mohvit_context *ctx = NULL;
    l->c.status = mohvit_context_create(&ctx, shared, 2, l->c.threads, NULL);
    if (l->c.status)
        return NULL;
    for (size_t slot = 0; slot < 2; slot++)
        mohvit_load_tensor(ctx, slot, input + l->c.number * 3 * side * side, NULL);
    mohvit_set_progress(ctx, tell, l);
    do {
        l->calls = 0;
        l->cancel_at++;
    } while ((l->c.status = mohvit_run(ctx, 2, NULL)) == MOHVIT_ERROR_CANCELLED);
    for (l->cancel_at = 0; !l->c.status;)
        l->c.status = mohvit_run(ctx, 2, NULL);
    mohvit_set_progress(ctx, NULL, NULL);
    if (l->c.status == MOHVIT_ERROR_CANCELLED && !(l->c.status = mohvit_run(ctx, 2, NULL)))
        memcpy(l->c.logits, mohvit_logits(ctx, 1), sizeof l->c.logits);
    mohvit_context_destroy(ctx);
    return NULL;
}

static mohvit_status load(listener *l)
{
    mohvit_model *opened = NULL;
    l->calls = 0;
    mohvit_status status = mohvit_open(
        &opened, NULL, &(mohvit_options){.threads = l->c.threads, .progress = tell, .user = l}, NULL);
    mohvit_close(opened);
    return status;
}

/* Likewise what the threads that load a model tell of, and what is cancelled while they do. */
static void *cancel_loading(void *arg)
{
    listener *l = arg;
    for (l->cancel_at = 1; l->cancel_at < 30 && load(l) == MOHVIT_ERROR_CANCELLED;)
        l->cancel_at += 9;
    for (l->cancel_at = 0; !(l->c.status = load(l));)
        ;
    return NULL;
}

static void any_thread_may_cancel_what_another_waits_for(void **state)
{
    (void)state;
    caller alone[CALLERS];
    listener runs[CALLERS], loading = {.c.threads = 3};
    pthread_t threads[CALLERS + 1];
    assert_int_equal(sem_init(&waiting, 0, 0), 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < CALLERS; i++) {
        alone[i] = (caller){.number = i, .threads = 1};
        runs[i] = (listener){.c = {.number = i, .threads = 1 + (int)i % 3}};
        classify(&alone[i]);
    }
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cancel_runs, &runs[i]), 0);
    assert_int_equal(pthread_create(&threads[CALLERS], NULL, cancel_loading, &loading), 0);
    for (size_t i = 0; i <= CALLERS; i++)
        while (sem_wait(&waiting)) // a signal
            ;
    atomic_store_explicit(&enough, true, memory_order_relaxed);
    for (size_t i = 0; i <= CALLERS; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&waiting);
    assert_int_equal(loading.c.status, MOHVIT_ERROR_CANCELLED);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(runs[i].c.status, MOHVIT_OK);
        assert_memory_equal(runs[i].c.logits, alone[i].logits, sizeof alone[i].logits);
    }
}

/* ---- An evaluation ----------------------------------------------------------------------------- */

/* What comes of one. Nothing of it is locked: the pipeline's calls come one at a time. */
typedef struct outcome {
    size_t next, images, stop_after;
    journal *records;
} outcome;

static mohvit_status next_chunk(void *user, size_t *chunk, mohvit_error *err)
{
    (void)err;
    outcome *o = user;
    *chunk = o->next < journal_chunks(o->records) ? o->next++ : CHUNK_NONE;
    return MOHVIT_OK;
}

static mohvit_status keep_record(void *user, const bytes *record, mohvit_error *err)
{
    return journal_append(((outcome *)user)->records, record->data, record->size, err);
}

static bool count_image(void *user, bool failed)
{
    outcome *o = user;
    assert_false(failed);
    return ++o->images == o->stop_after;
}

static json_t *header_of(const description *d)
{
    char *names = labels_to_json(&d->labels);
    json_t *header =
        json_pack("{s:i, s:{s:o}, s:o, s:{}, s:i, s:[s,s], s:o, s:{}}", "format", HEADER_FORMAT, "match",
                  "config", config_json(&d->config), "routing",
                  routing_layout_to_json(mohvit_routing(shared)), "hardware", "images", IMAGES, "sections",
                  "predictions", HEAD_LOAD_SECTION, "classes", json_loads(names, 0, NULL), "provenance");
    free(names);
    return header;
}

/* With a queue of three pictures, so that readers and workers wait for each other. */
static void evaluate(outcome *o, size_t threads, size_t batch)
{
    const mohvit_model *models[] = {shared};
    const description *d = mohvit_describe(shared);
    head_load_record load = {.routing = mohvit_routing(shared)};
    const chunk_section section = head_load_record_section(&load);
    const pipeline p = {
        .data = data,
        .models = models,
        .variants = 1,
        .preprocess = &d->preprocess,
        .threads = threads,
        .batch = batch,
        .predictions = true,
        .section = &section,
        .queue_bytes = 3 * 28 * 28,
        .user = o,
        .next = next_chunk,
        .done = keep_record,
        .image = count_image,
    };
    mohvit_error err;
    json_t *header = header_of(d);
    const journal_options options = {.header = header}; // in a file without a name
    mohvit_status status = journal_open(&o->records, &options, &err);
    json_decref(header);
    if (!status)
        status = pipeline_run(&p, &err);
    if (status)
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
    assert_int_equal(x.results.size, y.results.size);
    assert_memory_equal(x.results.data, y.results.data, x.results.size);
    assert_int_equal(tops->size, record_section(&y, SECTION_PREDICTIONS)->size);
    assert_memory_equal(tops->data, record_section(&y, SECTION_PREDICTIONS)->data, tops->size);
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

static void assert_same_load(const outcome *a, const outcome *b)
{
    head_load *x = load_of(a), *y = load_of(b);
    size_t cells = CLASSES * x->routing.count * x->routing.max_heads;
    assert_memory_equal(x->images, y->images, CLASSES * sizeof *x->images);
    assert_memory_equal(x->active, y->active, cells * sizeof *x->active);
    assert_memory_equal(x->gate, y->gate, cells * sizeof *x->gate);
    head_load_destroy(x);
    head_load_destroy(y);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_of_one_model_do_not_meet),
        cmocka_unit_test(any_thread_may_cancel_what_another_waits_for),
        cmocka_unit_test(an_evaluation_comes_to_the_same_on_any_threads),
        cmocka_unit_test(an_evaluation_stops_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

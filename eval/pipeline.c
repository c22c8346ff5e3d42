#include "eval/pipeline.h"

#include "base/clock.h"
#include "base/memory.h"
#include "imgio/formats.h"
#include "imgio/image.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_BYTES   ((size_t)64 << 20)
#define QUEUE_IMAGES  1024
#define AHEAD_ANYWAY  16 /* images to read ahead, and for each thread: enough to hide a disk's hesitation; */
#define AHEAD_SHARE   8  /* more would only take memory */
#define READERS_FEW   2  /* for a local disk; */
#define READERS_SHARE 8  /* one more for so many threads, */
#define READERS_MANY  16

/* A chunk between its first image and its record. */
typedef struct chunk {
    chunk_result result;
    size_t first;     /* item of its first image */
    size_t remaining; /* images without a result */
    void *sections[PIPELINE_MAX_SECTIONS];
    score *scores; /* (images, top_ks) */
    image_result results[CHUNK_IMAGES];
    struct chunk *next; /* of the few that are under way */
} chunk;

/* An image whose bytes have been read. */
typedef struct loaded {
    chunk *chunk;
    size_t image; /* of the chunk */
    sample sample;
    picture_seen seen;
    uint64_t charge; /* bytes that it counts for in the queue */
    size_t slot;     /* of the batch; SLOT_NONE: it has none */
    char *error;     /* malloc'd: why it has no score */
    bool lost;       /* interrupted, or there was no memory to say why; the run is over */
} loaded;

#define SLOT_NONE SIZE_MAX

typedef struct run {
    const pipeline *p;
    struct worker *workers; /* (threads) */
    size_t readers;
    size_t queue_bytes;
    size_t ahead;      /* images that wait in the queue at most */
    size_t live_limit; /* chunks under way before a reader asks for one: the others' share is left to them */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t ready; /* workers wait for images; `idle` of them do */
    pthread_cond_t room;  /* readers wait for room, until half of the queue is free: few and long naps */
    size_t idle;
    chunk *live; /* those under way, in the order of the data */
    size_t live_count;
    chunk *current; /* from which images are being claimed */
    size_t claimed; /* of it */
    bool fetching;  /* a thread is asking for the next chunk */
    bool exhausted; /* there are no more */
    bool stopped;   /* nothing more is to be done */
    bool serving;   /* serve is at work */
    size_t reading; /* images claimed and not yet in the queue */
    size_t running; /* images out of the queue, not yet scored */
    loaded queue[QUEUE_IMAGES];
    size_t head, count;
    uint64_t queued; /* bytes, those being read included */
    mohvit_error err;

    pthread_mutex_t results; /* of chunks' results; taken without `lock` */
    pthread_mutex_t output;  /* of calls to done */
} run;

/* What a thread needs to run images. */
typedef struct worker {
    run *r;
    mohvit_context **contexts; /* (top_ks) */
    ablator ablator;           /* where the pipeline has an ablation; */
    score *ablated;            /* (passes) and what it says of an image */
    prober prober;             /* where it has a certainty */
    size_t batch;
    loaded *images; /* (batch) */
} worker;

/* With the lock held: everything may be different now. */
static void wake_all(run *r)
{
    pthread_cond_broadcast(&r->ready);
    pthread_cond_broadcast(&r->room);
}

/* With the lock held. */
static void wait_ready(run *r)
{
    r->idle++;
    pthread_cond_wait(&r->ready, &r->lock);
    r->idle--;
}

/* With the lock held: there is nothing to run, nor will there be. */
static bool is_over(const run *r)
{
    bool empty = !r->count && !r->reading && !r->running && !r->serving;
    return r->stopped || (empty && r->exhausted && !r->current);
}

/* ---- Ending ---------------------------------------------------------------------------------- */

/* Ends the run, with an error unless status is MOHVIT_OK; the first one stays. */
static void stop(run *r, mohvit_status status, const mohvit_error *err)
{
    pthread_mutex_lock(&r->lock);
    if (status && !r->err.status)
        r->err = *err;
    r->stopped = true;
    wake_all(r);
    pthread_mutex_unlock(&r->lock);
}

static void stop_without_memory(run *r)
{
    mohvit_error err;
    stop(r, error_set(&err, MOHVIT_ERROR_MEMORY, "no memory for a chunk of %zu images", CHUNK_IMAGES), &err);
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static void chunk_free(const pipeline *p, chunk *c)
{
    for (size_t i = 0; i < CHUNK_IMAGES; i++)
        free(c->results[i].error);
    for (size_t i = 0; i < p->section_count; i++)
        if (c->sections[i])
            p->sections[i].end(p->sections[i].user, c->sections[i]);
    free(c->scores);
    free(c);
}

/* NULL without memory. */
static chunk *chunk_create(const pipeline *p, size_t number)
{
    chunk *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    size_t total = dataset_count(p->data);
    c->first = number * CHUNK_IMAGES;
    c->remaining = total - c->first < CHUNK_IMAGES ? total - c->first : CHUNK_IMAGES;
    c->result = (chunk_result){.chunk = number, .images = c->remaining, .top_ks = p->top_ks};
    c->result.results = c->results;
    c->scores = calloc(c->remaining * p->top_ks, sizeof *c->scores);
    bool begun = c->scores != NULL;
    for (size_t i = 0; begun && i < p->section_count; i++)
        begun = (c->sections[i] = p->sections[i].begin(p->sections[i].user)) != NULL;
    for (size_t i = 0; begun && i < c->remaining; i++) {
        c->results[i].item = dataset_item_at(p->data, c->first + i);
        c->results[i].scores = c->scores + i * p->top_ks;
    }
    if (!begun) {
        chunk_free(p, c);
        return NULL;
    }
    return c;
}

static void chunk_remove(run *r, chunk *c)
{
    pthread_mutex_lock(&r->lock);
    chunk **link = &r->live;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    r->live_count--;
    pthread_cond_broadcast(&r->room); // for another one
    pthread_mutex_unlock(&r->lock);
}

/* Encodes a chunk whose images all have results, hands the record on, and frees it. */
static void chunk_finish(run *r, chunk *c)
{
    const pipeline *p = r->p;
    chunk_remove(r, c);
    bytes record = {0};
    mohvit_error err;
    record_begin(&record, &c->result, p->predictions);
    for (size_t i = 0; i < p->section_count; i++) {
        bytes content = {0};
        p->sections[i].encode(p->sections[i].user, c->sections[i], &content);
        record.failed = record.failed || content.failed;
        record_add_section(&record, p->sections[i].tag, content.data, content.size);
        bytes_free(&content);
    }
    if (record.failed) {
        stop_without_memory(r);
    } else {
        pthread_mutex_lock(&r->output);
        mohvit_status status = p->done(p->user, &record, &err);
        pthread_mutex_unlock(&r->output);
        if (status)
            stop(r, status, &err);
    }
    bytes_free(&record);
    chunk_free(p, c);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* With the lock held: makes sure that there is an image to claim, or that there are no more. Gives the lock
 * away while it asks for a chunk; false where another thread is asking. */
static bool fetch_chunk(run *r)
{
    if (r->fetching)
        return false;
    r->fetching = true;
    pthread_mutex_unlock(&r->lock);
    mohvit_error err;
    size_t number = CHUNK_NONE;
    mohvit_status status = r->p->next(r->p->user, &number, &err);
    chunk *c = !status && number != CHUNK_NONE ? chunk_create(r->p, number) : NULL;
    if (status)
        stop(r, status, &err);
    else if (number != CHUNK_NONE && !c)
        stop_without_memory(r);
    pthread_mutex_lock(&r->lock);
    r->fetching = false;
    r->current = c;
    if (c) {
        chunk **end = &r->live;
        while (*end)
            end = &(*end)->next;
        *end = c;
        r->live_count++;
    }
    r->claimed = 0;
    r->exhausted = !c;
    wake_all(r);
    return true;
}

/* With the lock held: takes the next image to read, if there is one and room for it. `eager` readers are
 * those with nothing better to do: they need no room. */
static bool claim(run *r, loaded *l, bool eager)
{
    if (r->stopped || !r->current || r->claimed == r->current->result.images)
        return false;
    const dataset_item *item = r->current->results[r->claimed].item;
    bool room = r->queued + item->size <= r->queue_bytes && r->count + r->reading < r->ahead;
    if (!room && !eager)
        return false;
    *l = (loaded){.chunk = r->current, .image = r->claimed++, .charge = item->size, .slot = SLOT_NONE};
    r->queued += l->charge;
    r->reading++;
    if (r->claimed == r->current->result.images)
        r->current = NULL;
    return true;
}

/* Gives an image a reason in place of a score. Want of memory, or of anything else that the next image needs
 * as well, is none. */
static void fail(run *r, loaded *l, const mohvit_error *err)
{
    bool may_pass = error_may_pass(err->status);
    l->error = may_pass ? NULL : strdup(err->message);
    l->lost = !l->error;
    if (may_pass)
        stop(r, err->status, err);
    else if (l->lost)
        stop_without_memory(r);
}

static void read_bytes(run *r, loaded *l)
{
    mohvit_error cause, err;
    mohvit_status status = picture_read(&l->sample, &l->seen, r->p->data, l->chunk->first + l->image, &cause);
    if (!status)
        return;
    error_set(&err, status, "%s%s", cause.message, r->p->reader ? r->p->reader : "");
    fail(r, l, &err);
}

/* Reads ahead until nothing is left to read. */
static void read_loop(run *r)
{
    loaded l;
    pthread_mutex_lock(&r->lock);
    while (!r->stopped && !(r->exhausted && !r->current)) {
        if (!r->current && r->live_count < r->live_limit && fetch_chunk(r))
            continue;
        if (!claim(r, &l, false)) {
            pthread_cond_wait(&r->room, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        read_bytes(r, &l);
        pthread_mutex_lock(&r->lock);
        r->queue[(r->head + r->count++) % QUEUE_IMAGES] = l;
        r->reading--;
        if (r->idle)
            pthread_cond_signal(&r->ready);
    }
    pthread_mutex_unlock(&r->lock);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* image_decode, which goes by content. Pillow, which published scores come from, cannot read the HEIC that
 * some telephones call "x.jpg"; one that is called by its name was asked for. */
static mohvit_status decode(image *out, const sample *s, const char *name, bool exif_orientation,
                            mohvit_error *err)
{
    const picture_format *is = picture_format_find(s->bytes, s->size), *named = picture_format_named(name);
    if (is && is->decode && !is->scored && named && named->scored)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: is called a %s, but is %s, which published scores do not count", name,
                         named->name, is->name);
    return image_decode(out, s->bytes, s->size, name, NULL, exif_orientation, err);
}

/* From bytes to the network's input. */
static mohvit_status prepare(worker *w, loaded *l, size_t slot, mohvit_error *err)
{
    const pipeline *p = w->r->p;
    const dataset_item *item = l->chunk->results[l->image].item;
    const char *prefix = dataset_prefix(p->data, item->source);
    const sample *s = &l->sample;
    image img = {.width = s->width, .height = s->height, .rgb = s->bytes};
    mohvit_error cause;
    mohvit_status status = MOHVIT_OK;
    if (!s->width)
        status = decode(&img, s, item->name, p->exif_orientation, &cause);
    if (status) // its message begins with the name alone
        return error_set(err, status, "%s%s", prefix, cause.message);
    l->seen.turned = img.turned;
    status = mohvit_load_rgb(w->contexts[0], slot, img.rgb, img.width, img.height, img.width * 3, &cause);
    if (status)
        error_set(err, status, "%s%s: %s", prefix, item->name, cause.message);
    if (!s->width)
        image_free(&img);
    return status;
}

/* Decodes a batch; images without an error get slots. Returns how many those are. */
static size_t prepare_batch(worker *w, size_t count)
{
    size_t slots = 0;
    for (size_t i = 0; i < count; i++) {
        loaded *l = &w->images[i];
        mohvit_error err;
        uint64_t start = clock_thread_ns();
        if (!l->error && !l->lost) {
            if (prepare(w, l, slots, &err))
                fail(w->r, l, &err);
            else
                l->slot = slots++;
        }
        sample_free(&l->sample);
        uint64_t spent = clock_thread_ns() - start;
        pthread_mutex_lock(&w->r->results);
        l->chunk->result.decode_ns += spent;
        pthread_mutex_unlock(&w->r->results);
    }
    return slots;
}

/* Ranks what the model of a top-k says of an image. */
static void take_answer(worker *w, loaded *l, size_t top_k, uint64_t spent)
{
    const pipeline *p = w->r->p;
    const mohvit_context *ctx = w->contexts[top_k];
    image_result *result = &l->chunk->results[l->image];
    const dataset_item *item = result->item;
    uint32_t own = (uint32_t)item->class_index;
    score_rules rules = {
        .classes = mohvit_describe(p->models[0])->config.num_classes,
        .competes = p->competes,
        .accepted = item->accepted ? item->accepted : &own,
        .accepted_count = item->accepted ? item->accepted_count : item->class_index != CLASS_NONE,
    };
    mohvit_error cause, err;
    score *s = &result->scores[top_k];
    mohvit_status status = score_image(s, mohvit_logits(ctx, l->slot), &rules, &cause);
    const image_answer a = {
        .image = l->image,
        .top_k = top_k,
        .item = item,
        .predicted = s->top[0],
        .xxh64 = l->seen.xxh64,
        .head_tokens = mohvit_head_tokens(ctx, l->slot),
        .gate_sum = mohvit_head_gate_sum(ctx, l->slot),
        .together = mohvit_together(ctx, l->slot),
        .features = mohvit_features(ctx, l->slot),
        .logits = mohvit_logits(ctx, l->slot),
        .ablated = w->ablated,
        .certainty = w->prober.counts,
    };
    if (!status && w->ablated)
        status = ablator_run(&w->ablator, w->ablated, &rules, &cause);
    if (!status && p->certainty)
        status = prober_run(&w->prober, &cause);
    pthread_mutex_lock(&w->r->results);
    l->chunk->result.network_ns[top_k] += spent;
    for (size_t i = 0; !status && !l->error && i < p->section_count; i++)
        p->sections[i].add(p->sections[i].user, l->chunk->sections[i], &a);
    pthread_mutex_unlock(&w->r->results);
    if (status == MOHVIT_ERROR_CANCELLED) {
        l->lost = true;
        stop(w->r, MOHVIT_OK, NULL);
    } else if (status && !l->error) {
        error_set(&err, status, "%s%s: %s", dataset_prefix(p->data, item->source), item->name, cause.message);
        fail(w->r, l, &err);
    }
}

static mohvit_status run_top_k(worker *w, size_t count, size_t slots, size_t top_k, mohvit_error *err)
{
    mohvit_context *ctx = w->contexts[top_k];
    size_t side = mohvit_describe(w->r->p->models[0])->config.img_size;
    if (top_k)
        memcpy(mohvit_slot_input(ctx, 0), mohvit_slot_input(w->contexts[0], 0),
               slots * side * side * 3 * sizeof(float));
    uint64_t start = clock_thread_ns();
    mohvit_status status = mohvit_run(ctx, slots, err);
    uint64_t spent = (clock_thread_ns() - start) / slots;
    for (size_t i = 0; !status && i < count; i++)
        if (w->images[i].slot != SLOT_NONE)
            take_answer(w, &w->images[i], top_k, spent);
    return status;
}

/* Files the results of a batch, and finishes chunks that are complete by them. */
static void hand_in(worker *w, size_t count)
{
    run *r = w->r;
    for (size_t i = 0; i < count; i++) {
        loaded *l = &w->images[i];
        chunk *c = l->chunk;
        bool failed = l->error != NULL, stopping = false;
        pthread_mutex_lock(&r->results);
        c->results[l->image].error = l->error;
        c->results[l->image].seen = l->seen;
        c->remaining -= !l->lost;
        bool complete = !c->remaining;
        pthread_mutex_unlock(&r->results);
        if (complete)
            chunk_finish(r, c);
        if (r->p->image && !l->lost) {
            pthread_mutex_lock(&r->output);
            stopping = r->p->image(r->p->user, failed);
            pthread_mutex_unlock(&r->output);
        }
        if (stopping)
            stop(r, MOHVIT_OK, NULL);
    }
}

/* Takes up to a batch of images to run; reads one itself where none is there. 0: the run is over. */
static size_t take_images(worker *w)
{
    run *r = w->r;
    size_t count = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->stopped && !count) {
        while (count < w->batch && r->count) {
            loaded *l = &r->queue[r->head];
            r->head = (r->head + 1) % QUEUE_IMAGES;
            r->count--;
            r->queued -= l->charge;
            w->images[count++] = *l;
        }
        if (count)
            break;
        if (claim(r, &w->images[0], true)) {
            pthread_mutex_unlock(&r->lock);
            read_bytes(r, &w->images[0]);
            pthread_mutex_lock(&r->lock);
            r->reading--;
            r->queued -= w->images[0].charge;
            count = 1;
        } else if (!r->current && !r->exhausted) {
            if (!fetch_chunk(r))
                wait_ready(r);
        } else if (!is_over(r)) {
            wait_ready(r);
        } else {
            break;
        }
    }
    r->running += count;
    if (2 * (r->count + r->reading) <= r->ahead)
        pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    return count;
}

static void work_loop(worker *w)
{
    run *r = w->r;
    size_t count;
    while ((count = take_images(w))) {
        mohvit_error err;
        mohvit_status status = MOHVIT_OK;
        size_t slots = prepare_batch(w, count);
        for (size_t v = 0; !status && slots && v < r->p->top_ks; v++)
            status = run_top_k(w, count, slots, v, &err);
        if (status) {
            for (size_t i = 0; i < count; i++)
                free(w->images[i].error);
            stop(r, status, &err);
        } else {
            hand_in(w, count);
        }
        pthread_mutex_lock(&r->lock);
        r->running -= count;
        if (is_over(r))
            wake_all(r);
        pthread_mutex_unlock(&r->lock);
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void serve_loop(run *r)
{
    mohvit_error err;
    pthread_mutex_lock(&r->lock);
    bool stopped = r->stopped;
    r->serving = !stopped;
    pthread_mutex_unlock(&r->lock);
    mohvit_status status = stopped ? MOHVIT_OK : r->p->serve(r->p->user, &err);
    if (status)
        stop(r, status, &err);
    pthread_mutex_lock(&r->lock);
    r->serving = false;
    wake_all(r);
    pthread_mutex_unlock(&r->lock);
}

static void loop_task(void *arg, size_t task, size_t thread)
{
    (void)thread;
    run *r = arg;
    if (task < r->p->threads)
        work_loop(&r->workers[task]);
    else if (task < r->p->threads + r->readers)
        read_loop(r);
    else
        serve_loop(r);
}

static void run_crew(void *arg, team *t)
{
    run *r = arg;
    parallel_for(t, r->p->threads + r->readers + (r->p->serve != NULL), loop_task, r);
}

static void worker_free(worker *w, size_t top_ks)
{
    ablator_free(&w->ablator);
    prober_free(&w->prober);
    free(w->ablated);
    for (size_t v = 0; w->contexts && v < top_ks; v++)
        mohvit_context_destroy(w->contexts[v]);
    free(w->contexts);
    free(w->images);
}

static int cancel_pass(void *user, size_t done, size_t total)
{
    (void)done, (void)total;
    const pipeline *p = user;
    return p->interrupted(p->user);
}

static mohvit_status worker_create(worker *w, run *r, mohvit_error *err)
{
    const pipeline *p = r->p;
    mohvit_status status = MOHVIT_OK;
    // What enters each block takes 12 MB of a small variant.
    size_t batch = p->ablation || p->certainty ? 1 : p->batch;
    *w = (worker){.r = r, .batch = divide_up(batch, p->threads)};
    w->contexts = calloc(p->top_ks, sizeof *w->contexts);
    w->images = calloc(w->batch, sizeof *w->images);
    if (!w->contexts || !w->images)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a thread's images");
    for (size_t v = 0; !status && v < p->top_ks; v++)
        status = mohvit_context_create(&w->contexts[v], p->models[v], w->batch, 1, err);
    if (!status)
        mohvit_settings(w->contexts[0])->preprocess = *p->preprocess;
    if (!status && p->ablation) {
        w->ablated = calloc(p->ablation->count, sizeof *w->ablated);
        status = w->ablated ? ablator_create(&w->ablator, p->ablation, w->contexts[0], err)
                            : error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a thread's images");
    }
    if (!status && p->ablation && p->interrupted)
        mohvit_set_progress(w->ablator.rest, cancel_pass, (void *)p);
    if (!status && p->certainty)
        status = prober_create(&w->prober, p->certainty, w->contexts[0], err);
    return status;
}

/* What a run that was stopped leaves behind. */
static void drop_rest(run *r)
{
    for (; r->count; r->count--, r->head = (r->head + 1) % QUEUE_IMAGES) {
        sample_free(&r->queue[r->head].sample);
        free(r->queue[r->head].error);
    }
    while (r->live) {
        chunk *c = r->live;
        r->live = c->next;
        for (size_t i = 0; !r->err.status && r->p->dropped && i < c->result.images; i++)
            if (c->results[i].error)
                r->p->dropped(r->p->user, c->results[i].error);
        chunk_free(r->p, c);
    }
}

mohvit_status pipeline_run(const pipeline *p, mohvit_error *err)
{
    run *r = calloc(1, sizeof *r);
    if (r)
        r->workers = calloc(p->threads, sizeof *r->workers);
    mohvit_status status = MOHVIT_OK;
    if (!r || !r->workers) {
        free(r);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a run on %zu threads", p->threads);
    }
    r->p = p;
    r->readers = READERS_FEW + p->threads / READERS_SHARE;
    r->readers = r->readers < READERS_MANY ? r->readers : READERS_MANY;
    r->ahead = AHEAD_ANYWAY + AHEAD_SHARE * p->threads;
    r->ahead = r->ahead < QUEUE_IMAGES ? r->ahead : QUEUE_IMAGES;
    r->live_limit = 2 + divide_up(p->threads > p->batch ? p->threads : p->batch, CHUNK_IMAGES);
    r->queue_bytes = p->queue_bytes ? p->queue_bytes : QUEUE_BYTES;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->results, NULL);
    pthread_mutex_init(&r->output, NULL);
    pthread_cond_init(&r->ready, NULL);
    pthread_cond_init(&r->room, NULL);
    for (size_t i = 0; !status && i < p->threads; i++)
        status = worker_create(&r->workers[i], r, err);
    if (!status) {
        parallel_run(p->threads + r->readers + (p->serve != NULL), run_crew, r);
        status = r->err.status;
        if (status && err)
            *err = r->err;
    }
    drop_rest(r);
    for (size_t i = 0; i < p->threads; i++)
        worker_free(&r->workers[i], p->top_ks);
    pthread_cond_destroy(&r->room);
    pthread_cond_destroy(&r->ready);
    pthread_mutex_destroy(&r->output);
    pthread_mutex_destroy(&r->results);
    pthread_mutex_destroy(&r->lock);
    free(r->workers);
    free(r);
    return status;
}

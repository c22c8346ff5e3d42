#include "tools/program/answers.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "imgio/image.h"
#include "tools/program/complain.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_ANYWAY 16 /* answers that wait for their turn behind a picture that takes long; */
#define AHEAD_SHARE  8  /* so many more for each thread */

typedef struct run {
    const answering *a;
    mohvit_context *wide;   /* of all threads, for one picture; NULL until it is needed */
    struct worker *workers; /* (threads); they have contexts once they are needed */
    size_t enough;          /* pictures that are worth the crew */
    answer *ring;           /* (capacity), by number */
    size_t capacity;

    pthread_mutex_t input; /* of the paths and the next four; taken before `output` */
    size_t claimed;        /* paths taken */
    size_t started;        /* of which somebody sees to */
    bool over;             /* the crew is to come back */
    bool ended;            /* there are no more paths */

    pthread_mutex_t output; /* of the rest, of calls to take, and of `done` in the ring */
    pthread_cond_t room;
    size_t given; /* answers handed out */
    bool stopped;
} run;

/* One thread of the crew. */
typedef struct worker {
    run *r;
    mohvit_context *ctx;
    size_t batch;
    answer **answers; /* (batch) */
} worker;

// ---- Paths -----------------------------------------------------------------------------------------

/* Whether one more answer can wait for its turn. */
static bool has_room(run *r, bool may_wait)
{
    pthread_mutex_lock(&r->output);
    while (may_wait && !r->stopped && r->claimed - r->given == r->capacity)
        pthread_cond_wait(&r->room, &r->output);
    bool room = !r->stopped && r->claimed - r->given < r->capacity;
    pthread_mutex_unlock(&r->output);
    return room;
}

/* Takes the next path, and waits for it. false: there is none. */
static bool claim(run *r)
{
    mohvit_error err;
    char *path = paths_next(r->a->inputs, &err);
    r->ended = !path;
    if (!path)
        return false;
    answer *a = &r->ring[r->claimed % r->capacity];
    size_t left = paths_left(r->a->inputs);
    pthread_mutex_lock(&r->output);
    *a = (answer){.path = path, .err = err, .left = left, .top = a->top, .features = a->features};
    pthread_mutex_unlock(&r->output);
    r->claimed++;
    return true;
}

static answer *start_next(run *r)
{
    return &r->ring[r->started++ % r->capacity];
}

/* Up to a batch of pictures; 0: the crew is to come back. */
static size_t take_pictures(worker *w)
{
    run *r = w->r;
    size_t count = 0;
    pthread_mutex_lock(&r->input);
    while (count < w->batch && !r->over) {
        bool there = r->started < r->claimed ||
                     (!r->ended && paths_ready(r->a->inputs) && has_room(r, !count) && claim(r));
        if (!there)
            break;
        w->answers[count++] = start_next(r);
    }
    r->over = r->over || !count;
    pthread_mutex_unlock(&r->input);
    return count;
}

// ---- Answers ---------------------------------------------------------------------------------------

static mohvit_status load(const run *r, answer *a, mohvit_context *ctx, mohvit_error *err)
{
    image img;
    mohvit_status status = image_read(&img, a->path, NULL, r->a->exif_orientation, err);
    if (status)
        return status;
    a->width = img.width;
    a->height = img.height;
    a->turned = img.turned;
    status = mohvit_load_rgb(ctx, a->slot, img.rgb, img.width, img.height, img.width * 3, err);
    if (status) { // knows no path
        mohvit_error cause = *err;
        error_set(err, status, "%s: %s", a->path, cause.message);
    }
    image_free(&img);
    return status;
}

/* Hands out what has its turn. */
static void finish(run *r, answer *a)
{
    pthread_mutex_lock(&r->output);
    a->done = true;
    for (answer *next; (next = &r->ring[r->given % r->capacity])->done; r->given++) {
        r->stopped = r->stopped || !r->a->take(r->a->user, next);
        free(next->path);
        next->path = NULL;
        next->done = false;
    }
    pthread_cond_signal(&r->room);
    pthread_mutex_unlock(&r->output);
}

static void answer_pictures(run *r, mohvit_context *ctx, answer *const *answers, size_t count)
{
    mohvit_error err = {0};
    size_t slots = 0;
    for (size_t i = 0; i < count; i++) {
        answer *a = answers[i];
        double start = clock_ms();
        a->slot = slots;
        slots += !a->err.status && !load(r, a, ctx, &a->err);
        a->ms = clock_ms() - start;
    }
    double start = clock_ms();
    mohvit_status status = slots ? mohvit_run(ctx, slots, &err) : MOHVIT_OK;
    double share = slots ? (clock_ms() - start) / (double)slots : 0;
    for (size_t i = 0; i < count; i++) {
        answer *a = answers[i];
        mohvit_error cause;
        a->ms += share;
        if (!a->err.status && status)
            a->err = err;
        if (!a->err.status && mohvit_top(ctx, a->slot, a->top, r->a->top_count, &cause))
            error_set(&a->err, cause.status, "%s: %s", a->path, cause.message);
        if (!a->err.status && a->features)
            memcpy(a->features, mohvit_features(ctx, a->slot), r->a->features * sizeof *a->features);
        finish(r, a);
    }
}

// ---- The crew --------------------------------------------------------------------------------------

static void work(void *arg, size_t task, size_t thread)
{
    (void)thread;
    run *r = arg;
    worker *w = &r->workers[task];
    for (size_t count; (count = take_pictures(w));)
        answer_pictures(r, w->ctx, w->answers, count);
}

static void run_crew(void *arg, team *t)
{
    run *r = arg;
    parallel_for(t, r->a->threads, work, r);
}

static mohvit_status make_crew(run *r, mohvit_error *err)
{
    const answering *a = r->a;
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < a->threads; i++) {
        worker *w = &r->workers[i];
        w->r = r;
        w->batch = a->batch > a->threads ? divide_up(a->batch, a->threads) : 1;
        w->answers = or_die(calloc(w->batch, sizeof(answer *)));
        status = mohvit_context_create(&w->ctx, a->model, w->batch, 1, err);
    }
    return status;
}

static mohvit_status answer_side_by_side(run *r, mohvit_error *err)
{
    mohvit_status status = r->workers[0].r ? MOHVIT_OK : make_crew(r, err);
    r->over = false;
    if (!status)
        parallel_run(r->a->threads, run_crew, r);
    return status;
}

static mohvit_status answer_alone(run *r, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    if (!r->wide)
        status = mohvit_context_create(&r->wide, r->a->model, 1, (int)r->a->threads, err);
    while (!status && !r->stopped && r->started < r->claimed) {
        answer *a = start_next(r);
        answer_pictures(r, r->wide, &a, 1);
    }
    return status;
}

/* Waits for a path, and takes up to `enough` that are there. */
static void gather(run *r)
{
    while (r->started == r->claimed && !r->ended)
        claim(r);
    while (r->claimed - r->started < r->enough && !r->ended && paths_ready(r->a->inputs))
        claim(r);
}

static mohvit_status answer_all(run *r, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    while (!status && !r->stopped) {
        gather(r);
        if (r->started == r->claimed)
            break;
        if (r->claimed - r->started == r->enough)
            status = answer_side_by_side(r, err);
        else
            status = answer_alone(r, err);
    }
    return status;
}

static void run_free(run *r)
{
    for (size_t i = 0; i < r->capacity; i++)
        free(r->ring[i].path);
    for (size_t i = 0; i < r->a->threads; i++) {
        mohvit_context_destroy(r->workers[i].ctx);
        free(r->workers[i].answers);
    }
    mohvit_context_destroy(r->wide);
    pthread_cond_destroy(&r->room);
    pthread_mutex_destroy(&r->output);
    pthread_mutex_destroy(&r->input);
    free(r->ring[0].top);
    free(r->ring[0].features);
    free(r->ring);
    free(r->workers);
}

mohvit_status answers_run(const answering *a, mohvit_error *err)
{
    run r = {.a = a, .capacity = AHEAD_ANYWAY + AHEAD_SHARE * a->threads};
    /* A picture that has all threads is done in little more than its share of the time, but its decoding has
     * one: with half as many pictures as threads both ways take about as long. */
    r.enough = a->threads > 2 ? divide_up(a->threads, 2) : 2;
    r.workers = or_die(calloc(a->threads, sizeof *r.workers));
    r.ring = or_die(calloc(r.capacity, sizeof *r.ring));
    mohvit_prediction *top = or_die(calloc(r.capacity * a->top_count, sizeof *top));
    float *features = a->features ? or_die(calloc(r.capacity * a->features, sizeof *features)) : NULL;
    for (size_t i = 0; i < r.capacity; i++) {
        r.ring[i].top = top + i * a->top_count;
        r.ring[i].features = features ? features + i * a->features : NULL;
    }
    pthread_mutex_init(&r.input, NULL);
    pthread_mutex_init(&r.output, NULL);
    pthread_cond_init(&r.room, NULL);
    mohvit_status status = answer_all(&r, err);
    run_free(&r);
    return status;
}

/* What many threads do at once with one model, in any order and with nothing of each other's: the suite for
 * ThreadSanitizer (preset "thread"), which sees races that no answer shows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "vit/network/synthetic.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS 5
#define CLASSES 10 /* of the model that is built in */

static mohvit_model *shared;
static float *input; /* (CALLERS, 3, size, size) */

static int setup(void **state)
{
    (void)state;
    if (mohvit_open(&shared, NULL, &(mohvit_options){.size = sizeof(mohvit_options), .threads = 2}, NULL))
        return -1;
    size_t side = mohvit_describe(shared)->config.img_size;
    input = malloc(CALLERS * 3 * side * side * sizeof *input);
    if (!input)
        return -1;
    synthetic_input(input, CALLERS, side, 5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(input);
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
    if (!c->status) // a team even for these
        mohvit_settings(ctx)->team_macs = mohvit_settings(other)->team_macs = 0;
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
        c->status = mohvit_open(&another, NULL,
                                &(mohvit_options){.size = sizeof(mohvit_options), .threads = 2}, NULL);
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
    mohvit_settings(ctx)->team_macs = 0;
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
    mohvit_status status =
        mohvit_open(&opened, NULL,
                    &(mohvit_options){
                        .size = sizeof(mohvit_options), .threads = l->c.threads, .progress = tell, .user = l},
                    NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_of_one_model_do_not_meet),
        cmocka_unit_test(any_thread_may_cancel_what_another_waits_for),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

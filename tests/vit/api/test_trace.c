/* A trace sees what each block made of each image: on the caller's thread, in their order, the same however
 * many threads and images there are, and it may end the run. (That these are the numbers of the reference,
 * "mohvit verify" shows, which compares a golden file's blocks by this very function.) */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "tests/vit/api/small_model.h"
#include "vit/network/synthetic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 5

static mohvit_model *m;

static int setup(void **state)
{
    (void)state;
    return mohvit_open_config(&m, &small, 5, NULL, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    mohvit_close(m);
    return 0;
}

static mohvit_context *filled_context(size_t batch, int threads)
{
    static float input[BATCH * PIXELS];
    mohvit_context *ctx;
    synthetic_input(input, BATCH, 64, 3);
    assert_int_equal(mohvit_context_create(&ctx, m, batch, threads, NULL), MOHVIT_OK);
    mohvit_settings(ctx)->team_macs = 0; // a team even for a small model
    for (size_t i = 0; i < batch; i++)
        assert_int_equal(mohvit_load_tensor(ctx, i, input + i * PIXELS, NULL), MOHVIT_OK);
    return ctx;
}

/* What a trace was told. */
typedef struct {
    float *x[BATCH * BLOCKS];
    size_t calls, cancel_at; /* the call that cancels, from 1; 0: none */
    pthread_t caller;
} seen;

static int keep(void *user, size_t slot, size_t at, const float *x, size_t tokens, size_t channels)
{
    seen *s = user;
    mohvit_block b = {.size = sizeof b};
    assert_true(pthread_equal(pthread_self(), s->caller));
    assert_true(s->calls < BATCH * BLOCKS);
    assert_int_equal(slot, s->calls / BLOCKS);
    assert_int_equal(at, s->calls % BLOCKS);
    assert_int_equal(mohvit_get_block(m, at, &b, NULL), MOHVIT_OK);
    assert_int_equal(tokens, b.tokens);
    assert_int_equal(channels, small.embed_dims[b.stage - 1]);
    s->x[s->calls] = malloc(tokens * channels * sizeof *x);
    memcpy(s->x[s->calls++], x, tokens * channels * sizeof *x);
    return s->calls == s->cancel_at ? 77 : 0;
}

static void forget(seen *s)
{
    for (size_t i = 0; i < s->calls; i++)
        free(s->x[i]);
}

static void expect_same(const seen *first, const seen *s)
{
    for (size_t i = 0; i < s->calls; i++) {
        mohvit_block b = {.size = sizeof b};
        assert_int_equal(mohvit_get_block(m, i % BLOCKS, &b, NULL), MOHVIT_OK);
        assert_memory_equal(first->x[i], s->x[i], b.tokens * small.embed_dims[b.stage - 1] * sizeof *s->x[i]);
    }
}

static void each_block_of_each_image_is_seen_by_the_caller_and_no_answer_changes(void **state)
{
    (void)state;
    seen first = {.caller = pthread_self()};
    mohvit_context *plain = filled_context(BATCH, 1);
    assert_int_equal(mohvit_run(plain, BATCH, NULL), MOHVIT_OK);
    for (int threads = 1; threads <= 4; threads++)
        for (size_t left_out = 0; left_out < BATCH; left_out += 2) {
            size_t n = BATCH - left_out;
            seen s = {.caller = pthread_self()};
            mohvit_context *ctx = filled_context(BATCH, threads);
            mohvit_set_trace(ctx, keep, &s);
            assert_int_equal(mohvit_run(ctx, n, NULL), MOHVIT_OK);
            assert_int_equal(s.calls, n * BLOCKS);
            assert_memory_equal(mohvit_logits(ctx, 0), mohvit_logits(plain, 0), n * CLASSES * sizeof(float));
            assert_memory_equal(mohvit_features(ctx, 0), mohvit_features(plain, 0), n * 192 * sizeof(float));
            mohvit_set_trace(ctx, NULL, NULL);
            assert_int_equal(mohvit_run(ctx, n, NULL), MOHVIT_OK);
            assert_int_equal(s.calls, n * BLOCKS);
            mohvit_context_destroy(ctx);
            if (first.calls) {
                expect_same(&first, &s);
                forget(&s);
            } else {
                first = s;
            }
        }
    forget(&first);
    mohvit_context_destroy(plain);
}

/* In slots side by side and in what is left, on any number of threads. */
static void recorded_outputs_are_what_a_trace_sees(void **state)
{
    (void)state;
    seen s = {.caller = pthread_self()};
    mohvit_context *traced = filled_context(BATCH, 1);
    mohvit_set_trace(traced, keep, &s);
    assert_int_equal(mohvit_run(traced, BATCH, NULL), MOHVIT_OK);
    for (int threads = 1; threads <= 3; threads++) {
        mohvit_context *ctx = filled_context(BATCH, threads);
        size_t channels = 7;
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_record_outputs(ctx, 1, NULL), MOHVIT_OK);
        assert_null(mohvit_outputs(ctx, 0, 0, &channels)); // the last run did not
        assert_int_equal(channels, 7);
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_memory_equal(mohvit_logits(ctx, 0), mohvit_logits(traced, 0), BATCH * CLASSES * sizeof(float));
        const float *next = mohvit_outputs(ctx, 0, 0, NULL);
        for (size_t i = 0; i < BATCH * BLOCKS; i++) {
            mohvit_block b = {.size = sizeof b};
            assert_int_equal(mohvit_get_block(m, i % BLOCKS, &b, NULL), MOHVIT_OK);
            const float *x = mohvit_outputs(ctx, i / BLOCKS, i % BLOCKS, &channels);
            assert_ptr_equal(x, next);
            assert_int_equal(channels, small.embed_dims[b.stage - 1]);
            assert_memory_equal(x, s.x[i], b.tokens * channels * sizeof *x);
            next += b.tokens * channels;
        }
        assert_null(mohvit_outputs(ctx, 0, BLOCKS, NULL));
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_null(mohvit_outputs(ctx, 1, 0, NULL));
        assert_int_equal(mohvit_record_outputs(ctx, 0, NULL), MOHVIT_OK);
        assert_null(mohvit_outputs(ctx, 0, 0, NULL));
        mohvit_context_destroy(ctx);
    }
    forget(&s);
    mohvit_context_destroy(traced);
}

static int count(void *user, size_t done, size_t total)
{
    (void)done, (void)total;
    ++*(size_t *)user;
    return 0;
}

static void a_trace_may_end_the_run_at_any_block(void **state)
{
    (void)state;
    enum { IMAGES = 3 };
    for (int threads = 1; threads <= 3; threads++)
        for (size_t at = 1; at <= IMAGES * BLOCKS; at++) {
            seen s = {.cancel_at = at, .caller = pthread_self()};
            char expected[64];
            mohvit_error err;
            size_t told = 0;
            mohvit_context *ctx = filled_context(IMAGES, threads);
            mohvit_set_trace(ctx, keep, &s);
            if (at % 2)
                mohvit_set_progress(ctx, count, &told);
            assert_int_equal(mohvit_run(ctx, IMAGES, &err), MOHVIT_ERROR_CANCELLED);
            snprintf(expected, sizeof expected, "cancelled after %zu of %d blocks", at, IMAGES * BLOCKS);
            assert_string_equal(err.message, expected);
            assert_int_equal(s.calls, at);
            assert_int_equal(told, at % 2 ? at : 0); // at the beginning and after those before
            assert_null(mohvit_logits(ctx, 0));
            mohvit_set_trace(ctx, NULL, NULL);
            assert_int_equal(mohvit_run(ctx, IMAGES, NULL), MOHVIT_OK);
            assert_non_null(mohvit_logits(ctx, IMAGES - 1));
            forget(&s);
            mohvit_context_destroy(ctx);
        }
}

/* A callback that calls the context it is called by. */
typedef struct {
    mohvit_context *ctx;
    size_t calls, traced;
    pthread_t caller;
} meddler;

static int count_traced(void *user, size_t slot, size_t at, const float *x, size_t tokens, size_t channels)
{
    (void)slot, (void)at, (void)x, (void)tokens, (void)channels;
    meddler *own = user;
    assert_true(pthread_equal(pthread_self(), own->caller));
    own->traced++;
    return 0;
}

static void expect_refused(mohvit_status status, const mohvit_error *err)
{
    assert_int_equal(status, MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err->message, "the context is running"));
}

static int meddle(void *user, size_t done, size_t total)
{
    (void)done, (void)total;
    static const float tensor[PIXELS];
    static const uint8_t rgb[3];
    meddler *own = user;
    mohvit_error err = {0};
    mohvit_prediction top[1];
    expect_refused(mohvit_run(own->ctx, 1, &err), &err);
    expect_refused(mohvit_load_tensor(own->ctx, 0, tensor, &err), &err);
    expect_refused(mohvit_load_rgb(own->ctx, 0, rgb, 1, 1, 3, &err), &err);
    expect_refused(mohvit_classify_memory(own->ctx, rgb, 3, top, 1, &err), &err);
    expect_refused(mohvit_record_gates(own->ctx, 0, &err), &err);
    expect_refused(mohvit_record_outputs(own->ctx, 0, &err), &err);
    expect_refused(mohvit_set_routed_heads(own->ctx, "1", &err), &err);
    assert_null(mohvit_logits(own->ctx, 0));
    mohvit_set_trace(own->ctx, count_traced, own);
    mohvit_set_progress(own->ctx, NULL, NULL);
    own->calls++;
    return 0;
}

static int meddle_in_trace(void *user, size_t slot, size_t at, const float *x, size_t tokens, size_t channels)
{
    (void)slot, (void)at, (void)x, (void)tokens, (void)channels;
    meddler *own = user;
    meddle(own, 0, 0);
    mohvit_set_trace(own->ctx, NULL, NULL);
    return 0;
}

static void what_a_callback_calls_in_its_own_context_is_refused_or_holds_later(void **state)
{
    (void)state;
    mohvit_context *plain = filled_context(BATCH, 1);
    assert_int_equal(mohvit_run(plain, BATCH, NULL), MOHVIT_OK);
    for (int threads = 1; threads <= 3; threads++) {
        mohvit_context *ctx = filled_context(BATCH, threads);
        meddler own = {.ctx = ctx, .caller = pthread_self()};
        assert_int_equal(mohvit_record_gates(ctx, 1, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_record_outputs(ctx, 1, NULL), MOHVIT_OK);
        mohvit_set_progress(ctx, meddle, &own);
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_true(own.calls > 1);      // the progress stays that of the run,
        assert_int_equal(own.traced, 0); // which has no trace
        assert_memory_equal(mohvit_logits(ctx, 0), mohvit_logits(plain, 0), BATCH * CLASSES * sizeof(float));
        assert_non_null(mohvit_gates(ctx, BATCH - 1, BLOCKS - 1));
        assert_non_null(mohvit_outputs(ctx, BATCH - 1, BLOCKS - 1, NULL));
        own.calls = 0;
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_int_equal(own.calls, 0);
        assert_int_equal(own.traced, BATCH * BLOCKS);

        mohvit_set_trace(ctx, meddle_in_trace, &own);
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_int_equal(own.calls, BATCH * BLOCKS);
        assert_memory_equal(mohvit_logits(ctx, 0), mohvit_logits(plain, 0), BATCH * CLASSES * sizeof(float));
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        assert_int_equal(own.calls, BATCH * BLOCKS);
        mohvit_context_destroy(ctx);
    }
    mohvit_context_destroy(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_of_each_image_is_seen_by_the_caller_and_no_answer_changes),
        cmocka_unit_test(recorded_outputs_are_what_a_trace_sees),
        cmocka_unit_test(a_trace_may_end_the_run_at_any_block),
        cmocka_unit_test(what_a_callback_calls_in_its_own_context_is_refused_or_holds_later),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

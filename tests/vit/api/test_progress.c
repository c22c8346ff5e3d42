/* Whoever waits for a model or a run is told how far it is, and may end it: soon, without a leak, and with a
 * context that is none the worse for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "tests/vit/api/small_model.h"
#include "vit/network/synthetic.h"
#include "tests/weights/weights_testing.h"

#include <pthread.h>
#include <string.h>

#define BATCH 6

/* What a progress was told. */
typedef struct {
    size_t calls, first, before, last, total; /* before: what the last call but one said */
    bool falling, still;                      /* done fell; it stood */
    bool late;                                /* it was called after it had cancelled */
    bool elsewhere;                           /* on another thread than the caller's */
    pthread_t caller;
    size_t cancel_at; /* the call that cancels, from 1; 0: none */
} told;

static int tell(void *user, size_t done, size_t total)
{
    told *t = user;
    t->falling = t->falling || (t->calls && done < t->last);
    t->still = t->still || (t->calls && done == t->last);
    t->late = t->late || (t->cancel_at && t->calls >= t->cancel_at);
    t->elsewhere = t->elsewhere || !pthread_equal(pthread_self(), t->caller);
    t->first = t->calls ? t->first : done;
    t->calls++;
    t->before = t->last;
    t->last = done;
    t->total = total;
    return t->calls == t->cancel_at ? -1 : 0;
}

static told listening(size_t cancel_at)
{
    return (told){.caller = pthread_self(), .cancel_at = cancel_at};
}

static mohvit_context *filled_context(const mohvit_model *m, size_t batch, int threads)
{
    static float input[BATCH * PIXELS];
    mohvit_context *ctx;
    mohvit_error err;
    synthetic_input(input, BATCH, 64, 3);
    expect_ok(mohvit_context_create(&ctx, m, batch, threads, &err), &err);
    mohvit_settings(ctx)->team_macs = 0; // a team even for a small model
    for (size_t i = 0; i < batch; i++)
        expect_ok(mohvit_load_tensor(ctx, i, input + i * PIXELS, &err), &err);
    return ctx;
}

static mohvit_model *small_model(void)
{
    mohvit_model *m;
    mohvit_error err;
    expect_ok(mohvit_open_config(&m, &small, 5, NULL, &err), &err);
    return m;
}

/* ---- Runs -------------------------------------------------------------------------------------- */

static void an_image_tells_of_each_of_its_blocks(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    for (int threads = 1; threads <= 3; threads++) {
        mohvit_context *ctx = filled_context(m, 1, threads);
        told t = listening(0);
        mohvit_set_progress(ctx, tell, &t);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_int_equal(t.calls, 1 + BLOCKS);
        assert_int_equal(t.first, 0);
        assert_int_equal(t.last, BLOCKS);
        assert_int_equal(t.total, BLOCKS);
        assert_false(t.falling || t.elsewhere);
        mohvit_set_progress(ctx, NULL, NULL);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_int_equal(t.calls, 1 + BLOCKS);
        mohvit_context_destroy(ctx);
    }
    mohvit_close(m);
}

static void a_batch_over_threads_is_told_of_by_the_caller_from_none_to_all(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    for (size_t n = 1; n <= BATCH; n++)
        for (int threads = 1; threads <= 4; threads++) {
            mohvit_context *ctx = filled_context(m, BATCH, threads);
            told t = listening(0);
            mohvit_set_progress(ctx, tell, &t);
            assert_int_equal(mohvit_run(ctx, n, NULL), MOHVIT_OK);
            assert_int_equal(t.first, 0);
            assert_int_equal(t.last, n * BLOCKS);
            assert_int_equal(t.total, n * BLOCKS);
            assert_true(t.calls >= 2 && t.calls <= 2 + n * BLOCKS);
            assert_false(t.falling || t.elsewhere);
            mohvit_context_destroy(ctx);
        }
    mohvit_close(m);
}

/* Whoever did the last block: now the caller itself, now another thread, when one call more says so, be it
 * for a single block. Runs until all were seen some times, which takes luck on a machine that is busy. */
static void the_last_call_tells_of_all_and_only_once(void **state)
{
    (void)state;
    enum { RUNS = 600, ENOUGH = 20 };
    mohvit_model *m = small_model();
    mohvit_context *ctx = filled_context(m, 2, 2);
    size_t runs = 0, by_others = 0, single = 0;
    while (runs < RUNS && (by_others < ENOUGH || runs - by_others < ENOUGH || single < ENOUGH)) {
        told t = listening(0);
        mohvit_set_progress(ctx, tell, &t);
        assert_int_equal(mohvit_run(ctx, 2, NULL), MOHVIT_OK);
        assert_int_equal(t.last, 2 * BLOCKS);
        assert_false(t.still);
        by_others += t.calls > 1 + BLOCKS;
        single += t.calls > 1 + BLOCKS && t.before == 2 * BLOCKS - 1;
        runs++;
    }
    print_message("another thread did the last block in %zu of %zu runs, and it alone in %zu\n", by_others,
                  runs, single);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void expect_no_result(const mohvit_context *ctx, size_t slot)
{
    mohvit_prediction top[1];
    mohvit_error err;
    assert_null(mohvit_logits(ctx, slot));
    assert_null(mohvit_head_tokens(ctx, slot));
    assert_null(mohvit_head_gate_sum(ctx, slot));
    expect_error(mohvit_top(ctx, slot, top, 1, &err), &err, MOHVIT_ERROR_ARGUMENT, "slot", "no result");
}

/* At whatever call it is cancelled, and however the images are spread. */
static void a_cancelled_run_has_no_results_and_the_next_one_has_all(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    float expected[BATCH][CLASSES];
    mohvit_context *plain = filled_context(m, BATCH, 1);
    assert_int_equal(mohvit_run(plain, BATCH, NULL), MOHVIT_OK);
    for (size_t i = 0; i < BATCH; i++)
        memcpy(expected[i], mohvit_logits(plain, i), sizeof expected[i]);
    mohvit_context_destroy(plain);

    for (size_t n = 1; n <= BATCH; n += 5)
        for (int threads = 1; threads <= 3; threads++) {
            mohvit_context *ctx = filled_context(m, n, threads);
            mohvit_error err;
            for (size_t at = 1;; at++) {
                told t = listening(at);
                mohvit_set_progress(ctx, tell, &t);
                mohvit_status status = mohvit_run(ctx, n, &err);
                if (!status) { // it was called fewer times than that
                    assert_true(at > 2 && t.calls < at);
                    break;
                }
                expect_error(status, &err, MOHVIT_ERROR_CANCELLED, "cancelled", "blocks");
                assert_int_equal(t.calls, at);
                assert_false(t.late || t.elsewhere);
                expect_no_result(ctx, 0);
                mohvit_set_progress(ctx, NULL, NULL);
                expect_ok(mohvit_run(ctx, n, &err), &err);
                for (size_t i = 0; i < n; i++)
                    assert_memory_equal(mohvit_logits(ctx, i), expected[i], sizeof expected[i]);
            }
            mohvit_context_destroy(ctx);
        }
    mohvit_close(m);
}

static void a_slot_that_was_not_in_the_last_run_has_no_result(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    mohvit_context *ctx = filled_context(m, 2, 1);
    mohvit_head_load *load;
    mohvit_error err;
    expect_ok(mohvit_head_load_create(&load, m, &err), &err);
    expect_no_result(ctx, 0);
    expect_ok(mohvit_run(ctx, 1, &err), &err);
    assert_non_null(mohvit_logits(ctx, 0));
    expect_no_result(ctx, 1);
    expect_ok(mohvit_head_load_add(load, ctx, 0, 0, &err), &err);
    expect_error(mohvit_head_load_add(load, ctx, 1, 0, &err), &err, MOHVIT_ERROR_ARGUMENT, "slot 1",
                 "no result");
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void a_picture_that_is_classified_may_be_cancelled(void **state)
{
    (void)state;
    mohvit_model *m;
    mohvit_context *ctx;
    mohvit_error err;
    mohvit_prediction top[1];
    told t = listening(2);
    expect_ok(mohvit_open(&m, NULL, NULL, &err), &err);
    expect_ok(mohvit_context_create(&ctx, m, 1, 2, &err), &err);
    mohvit_set_progress(ctx, tell, &t);
    expect_error(mohvit_classify_file(ctx, GOLDEN_DIR "/images/coffee.png", top, 1, &err), &err,
                 MOHVIT_ERROR_CANCELLED, "1 of", "blocks");
    expect_ok(mohvit_classify_file(ctx, GOLDEN_DIR "/images/coffee.png", top, 1, &err), &err);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* ---- Loading ----------------------------------------------------------------------------------- */

typedef mohvit_status opener(mohvit_model **m, const mohvit_options *options, mohvit_error *err);

static mohvit_status open_built_in(mohvit_model **m, const mohvit_options *options, mohvit_error *err)
{
    return mohvit_open(m, NULL, options, err);
}

static mohvit_status open_pth(mohvit_model **m, const mohvit_options *options, mohvit_error *err)
{
    mohvit_options described = *options;
    described.config = GOLDEN_DIR "/pth/config.json";
    return mohvit_open(m, GOLDEN_DIR "/pth/plain.pth", &described, err);
}

static mohvit_status open_synthetic(mohvit_model **m, const mohvit_options *options, mohvit_error *err)
{
    return mohvit_open_config(m, &small, 5, options, err);
}

static opener *const openers[] = {open_built_in, open_pth, open_synthetic};

static void loading_tells_of_every_parameter_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++)
        for (int threads = 1; threads <= 3; threads++) {
            mohvit_model *m;
            mohvit_error err;
            mohvit_info info = {.size = sizeof info};
            told t = listening(0);
            mohvit_options options = {
                .size = sizeof options, .threads = threads, .progress = tell, .user = &t};
            expect_ok(openers[i](&m, &options, &err), &err);
            mohvit_get_info(m, &info, NULL);
            assert_int_equal(t.last, info.parameters);
            assert_int_equal(t.total, info.parameters);
            assert_true(t.calls > 10 && !t.falling);
            mohvit_close(m);
        }
}

static void loading_may_be_cancelled_at_any_tensor(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++)
        for (int threads = 1; threads <= 3; threads += 2)
            for (size_t at = 1;; at += 7) {
                mohvit_model *m = NULL;
                mohvit_error err;
                told t = listening(at);
                mohvit_options options = {
                    .size = sizeof options, .threads = threads, .progress = tell, .user = &t};
                mohvit_status status = openers[i](&m, &options, &err);
                if (!status) {
                    assert_true(at > 10);
                    mohvit_close(m);
                    break;
                }
                expect_error(status, &err, MOHVIT_ERROR_CANCELLED, "cancelled", "loading");
                assert_null(m);
                assert_int_equal(t.calls, at);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_tells_of_each_of_its_blocks),
        cmocka_unit_test(a_batch_over_threads_is_told_of_by_the_caller_from_none_to_all),
        cmocka_unit_test(the_last_call_tells_of_all_and_only_once),
        cmocka_unit_test(a_cancelled_run_has_no_results_and_the_next_one_has_all),
        cmocka_unit_test(a_slot_that_was_not_in_the_last_run_has_no_result),
        cmocka_unit_test(a_picture_that_is_classified_may_be_cancelled),
        cmocka_unit_test(loading_tells_of_every_parameter_once),
        cmocka_unit_test(loading_may_be_cancelled_at_any_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

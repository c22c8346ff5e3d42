/* Images without each head in turn: to the bit what a model without it says, and changes, intervals and p
 * values against numbers worked out by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "eval/ablation_record.h"
#include "eval/importance_file.h"
#include "tests/eval/built_in_testing.h"
#include "tests/vit/headload/head_load_testing.h"
#include "tests/weights/weights_testing.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES 2
#define PIXELS ((size_t)3 * 64 * 64)

static score score_of(mohvit_context *ctx, const float *pixels, const score_rules *rules)
{
    score s;
    assert_int_equal(mohvit_load_tensor(ctx, 0, pixels, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    assert_int_equal(score_image(&s, mohvit_logits(ctx, 0), rules, NULL), MOHVIT_OK);
    return s;
}

/* ---- Passes ---------------------------------------------------------------------------------- */

/* base drops `own` throughout. */
static void check_passes(const char *own, const char *heads, bool together, bool renormalise, size_t count)
{
    static float pixels[IMAGES * PIXELS];
    const uint32_t accepted = 3;
    const score_rules rules = {.classes = 10, .accepted = &accepted, .accepted_count = 1};
    ablation a;
    ablator runner;
    mohvit_model *base;
    synthetic_input(pixels, IMAGES, 64, 7);
    assert_int_equal(mohvit_drop_heads(&base, built_in, own, renormalise, NULL), MOHVIT_OK);
    assert_int_equal(ablation_create(&a, base, heads, "test", together, renormalise, NULL), MOHVIT_OK);
    assert_int_equal(a.count, count);
    mohvit_context *whole = context_of(base);
    assert_int_equal(ablator_create(&runner, &a, whole, NULL), MOHVIT_OK);
    score *found = calloc(a.count, sizeof *found);
    for (size_t n = 0; n < IMAGES; n++) {
        score plain = score_of(whole, pixels + n * PIXELS, &rules);
        assert_int_equal(ablator_run(&runner, found, &rules, NULL), MOHVIT_OK);
        size_t changed = 0;
        for (size_t i = 0; i < a.count; i++) {
            mohvit_model *m;
            char *list = ablation_pass_text(&a, i), *all = NULL;
            assert_true(asprintf(&all, "%s %s", own ? own : "", list) > 0);
            assert_int_equal(mohvit_drop_heads(&m, built_in, all, renormalise, NULL), MOHVIT_OK);
            mohvit_context *ctx = context_of(m);
            score expected = score_of(ctx, pixels + n * PIXELS, &rules);
            assert_memory_equal(&found[i], &expected, sizeof expected);
            changed += expected.loss != plain.loss;
            mohvit_context_destroy(ctx);
            mohvit_close(m);
            free(list);
            free(all);
        }
        assert_true(changed > 0);
    }
    free(found);
    ablator_free(&runner);
    mohvit_context_destroy(whole);
    ablation_free(&a);
    mohvit_close(base);
}

static void each_pass_scores_as_a_model_without_its_heads(void **state)
{
    (void)state;
    check_passes(NULL, NULL, false, false, 4 + 4 + 3 * 8 + 16);
    check_passes(NULL, "routed 4.0:s1", false, true, 3 + 3 + 3 * 6 + 15);
    check_passes(NULL, "3.1 4.0:routed 2.0:s1", true, false, 3);
    check_passes("3.0 4.0:r2", "1.0:s1 3.2:r1 4.0:r2,r8", false, true, 4);
}

static void a_wrong_list_is_refused(void **state)
{
    (void)state;
    ablation a;
    mohvit_error err;
    assert_int_equal(ablation_create(&a, built_in, "4.0:r15", "--heads", false, false, &err),
                     MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message,
                        "--heads: \"4.0:r15\": there is no r15; block 4.0 has s1 to s2 and r1 to r14");
    ablation_free(&a);
}

static void the_time_of_passes_is_that_of_the_blocks_they_run(void **state)
{
    (void)state;
    ablation a;
    double own, passes;
    assert_int_equal(ablation_create(&a, built_in, "1.0:s1 4.0", "test", true, false, NULL), MOHVIT_OK);
    assert_int_equal(ablation_time(&a, &own, &passes, NULL), MOHVIT_OK);
    assert_true(own > 0 && passes > own && passes < 2 * own); // all of it, and the last block
    ablation_free(&a);
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static void assert_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-9 * (1 + fabs(expected))))
        fail_msg("got %.15g, expected %.15g", got, expected);
}

static void assert_change(mean_change c, double mean, double low, double high, double p)
{
    assert_near(c.mean, mean);
    assert_near(c.low, low);
    assert_near(c.high, high);
    assert_near(c.p, p);
}

/* Changes of 1, 2, 4, 1 and 0; t = 2.359 with four degrees of freedom. */
static void changes_of_the_loss_are_students(void **state)
{
    (void)state;
    const __int128 unit = (__int128)LOSS_UNITS;
    const ablation_sums sums[] = {
        {.loss = 8 * unit, .loss_squares = (unsigned __int128)(22 * unit * unit)},
        {.loss = -8 * unit, .loss_squares = (unsigned __int128)(22 * unit * unit)},
        {.loss = 0, .loss_squares = 0},
        {.loss = 5 * unit, .loss_squares = (unsigned __int128)(5 * unit * unit)}, // the same of each
    };
    importance i[4];
    assert_int_equal(importance_compute(i, sums, 5, 4, NULL), MOHVIT_OK);
    assert_change(i[0].loss, 1.6, -0.2830766883484419, 3.483076688348442, 0.07774164094789937);
    assert_change(i[1].loss, -1.6, -3.483076688348442, 0.2830766883484419, 0.07774164094789937);
    assert_change(i[2].loss, 0, 0, 0, 1);
    assert_change(i[3].loss, 1, 1, 1, 0);
    assert_near(i[3].loss.p_holm, 0); // of four p: 0, 0.078 twice, 1
    assert_near(i[0].loss.p_holm, 3 * 0.07774164094789937);
    assert_near(i[1].loss.p_holm, 3 * 0.07774164094789937);
    assert_near(i[2].loss.p_holm, 1);
}

static void changes_of_top_1_are_of_the_images_that_changed(void **state)
{
    (void)state;
    const ablation_sums sums[] = {{.lost = 8}, {.lost = 3, .gained = 1}, {.gained = 6}, {.lost = 0}};
    importance i[4];
    assert_int_equal(importance_compute(i, sums, 10, 4, NULL), MOHVIT_OK);
    assert_change(i[0].top1, -80, -97.94204415041287, -35.39128918292046, 0.0078125); // 2 / 2^8
    assert_change(i[1].top1, -20, -51.95005100561767, 18.61671767228434, 0.625);      // 2 (1 + 4) / 2^4
    assert_near(i[2].top1.p, 0.03125);
    assert_change(i[3].top1, 0, -16.33303320450045, 16.33303320450045, 1);
    assert_near(i[0].top1.p_holm, 4 * 0.0078125);
    assert_near(i[2].top1.p_holm, 3 * 0.03125);
    assert_near(i[1].top1.p_holm, 1);
    assert_near(i[3].top1.p_holm, 1);
}

static void one_image_has_no_interval(void **state)
{
    (void)state;
    const ablation_sums sums = {.loss = 1, .loss_squares = 1, .lost = 1};
    importance i;
    assert_int_equal(importance_compute(&i, &sums, 1, 1, NULL), MOHVIT_OK);
    assert_near(i.top1.mean, -100);
    assert_true(isnan(i.loss.low) && isnan(i.loss.p) && isnan(i.loss.p_holm) && isnan(i.top1.high));
    assert_int_equal(importance_compute(&i, &sums, 0, 1, NULL), MOHVIT_OK);
    assert_true(isnan(i.loss.mean) && isnan(i.top1.mean));
}

/* ---- Read again ------------------------------------------------------------------------------ */

#define HEAD(heads, stage, block, head, kind)                                                                \
    "{\"heads\":\"" heads "\",\"stage\":" stage ",\"block\":" block ",\"head\":" head ",\"kind\":\"" kind    \
    "\","                                                                                                    \
    "\"loss_change\":0.5,\"loss_low\":0.25,\"loss_high\":0.75,\"loss_p\":0.01,\"loss_p_holm\":0.02,"
#define TOP1 "\"top1_change\":-1,\"top1_low\":null,\"top1_high\":null,\"top1_p\":null,\"top1_p_holm\":null}"
#define FILE_OF(rows)                                                                                        \
    "{\"images\":7,\"failed\":2," WHOLE "\"renormalise\":true,\"ablated\":[" rows "]," OF_A "}"
#define WHOLE "\"complete\":true,\"data\":{},"
#define OF_A  "\"provenance\":{\"weights_hash\":\"a\"}"

static mohvit_status read_importance(importance_table *t, head_load *l, const char *text, mohvit_error *err)
{
    char dir[64], path[80];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/ablated.json", dir);
    blob_write(path, text, strlen(text));
    mohvit_status status = importance_read(t, path, l, "load", err);
    unlink(path);
    leave_scratch(dir);
    return status;
}

static void what_was_printed_is_read_for_the_heads_of_its_model(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        mohvit_status status;
    } wrong[] = {
        {"loss 0.27", "line 1: expected what \"headload ablate --format json\" prints", MOHVIT_ERROR_FORMAT},
        {"{\"images\":7}", "has no \"ablated\"", MOHVIT_ERROR_FORMAT},
        {FILE_OF(HEAD("5.0:s1", "5", "0", "0", "shared") TOP1),
         "row 1 of \"ablated\" is shared head 0 of block 5.0", MOHVIT_ERROR_MISMATCH},
        {FILE_OF(HEAD("4.0:r15", "4", "0", "16", "routed") TOP1),
         "is routed head 16 of block 4.0; expected a head of load", MOHVIT_ERROR_MISMATCH},
        {FILE_OF(HEAD("4.0:r0", "4", "0", "1", "routed") TOP1), "is routed head 1 of block 4.0",
         MOHVIT_ERROR_MISMATCH},
        {FILE_OF(HEAD("4.0:r1", "4", "0", "2", "routed") "\"top1_change\":-101}"),
         "row 1 of \"ablated\": expected changes", MOHVIT_ERROR_FORMAT},
        {FILE_OF("7"), "row 1 of \"ablated\": expected heads, stage, block, head and kind",
         MOHVIT_ERROR_FORMAT},
        {FILE_OF(HEAD("4.0:r2", "4", "0", "3", "routed") TOP1 "," HEAD("4.0:r2", "4", "0", "3", "routed")
                     TOP1),
         "row 2 of \"ablated\" is head 3 of block 4.0 again; expected each head once", MOHVIT_ERROR_FORMAT},
        {FILE_OF(HEAD("4.0:r3", "4", "0", "3", "routed") TOP1),
         "row 1 of \"ablated\": heads is \"4.0:r3\", expected \"4.0:r2\", which is head 3 of block 4.0",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"failed\":0," WHOLE OF_A "}", "has no \"images\"", MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":\"7\",\"failed\":0," WHOLE OF_A "}", "has no \"images\"",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":-1," WHOLE OF_A "}", "has no \"failed\"",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":0,\"data\":{}," OF_A "}", "has no \"complete\"",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":0,\"complete\":false,\"data\":{}," OF_A "}",
         "is of a run that was stopped, of 7 images; expected a whole one", MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":0,\"complete\":true," OF_A "}", "has no \"data\"",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":0,\"complete\":true,\"data\":{}}", "has no \"provenance\"",
         MOHVIT_ERROR_FORMAT},
        {"{\"ablated\":[],\"images\":7,\"failed\":0," WHOLE "\"provenance\":{\"weights_hash\":\"b\"}}",
         "is of another model than load: weights_hash is \"b\", expected \"a\"", MOHVIT_ERROR_MISMATCH},
    };
    const description *d = mohvit_describe(built_in);
    head_load *l = made_head_load(&d->config, &d->labels, 3);
    const routing_block *last = routing_layout_find(&l->routing, "4.0");
    importance_table t;
    mohvit_error err;
    assert_int_equal(json_object_set_new(l->provenance, "weights_hash", json_string("a")), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_error(read_importance(&t, l, wrong[i].text, &err), &err, wrong[i].status, "ablated.json",
                     wrong[i].message);

    // A row of several heads together is none of one head.
    expect_ok(read_importance(&t, l, FILE_OF(HEAD("4.0:r2", "4", "0", "3", "routed") TOP1 ",{\"head\":null}"),
                              &err),
              &err);
    const importance *i = importance_of(&t, last, 3);
    assert_true(i && importance_of_any(&t, last) && !importance_of(&t, last, 2) &&
                !importance_of(NULL, last, 3));
    assert_false(importance_of_any(&t, &l->routing.blocks[0]));
    assert_true(t.images == 7 && t.failed == 2 && t.renormalise);
    assert_change(i->loss, 0.5, 0.25, 0.75, 0.01);
    assert_near(i->loss.p_holm, 0.02);
    assert_near(i->top1.mean, -1);
    assert_true(isnan(i->top1.low) && isnan(i->top1.p));
    importance_table_free(&t);
    head_load_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pass_scores_as_a_model_without_its_heads),
        cmocka_unit_test(a_wrong_list_is_refused),
        cmocka_unit_test(the_time_of_passes_is_that_of_the_blocks_they_run),
        cmocka_unit_test(changes_of_the_loss_are_students),
        cmocka_unit_test(changes_of_top_1_are_of_the_images_that_changed),
        cmocka_unit_test(one_image_has_no_interval),
        cmocka_unit_test(what_was_printed_is_read_for_the_heads_of_its_model),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}

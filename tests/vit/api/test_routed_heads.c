/* Models whose tokens pick another number of heads than they were trained with; and computing every head
 * where skipping would do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "tests/vit/kernels/reference.h"
#include "tests/vit/api/small_model.h"
#include "vit/network/synthetic.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    float logits[CLASSES];
    int32_t tokens[5 * 8]; /* (blocks, max_heads) */
} answer;

static mohvit_model *open_trained(const char *routed_heads)
{
    mohvit_model *m;
    mohvit_options options = {.size = sizeof options, .routed_heads = routed_heads, .threads = 1};
    assert_int_equal(mohvit_open_config(&m, &small, 5, &options, NULL), MOHVIT_OK);
    return m;
}

/* With a picture in it. */
static mohvit_context *context_of(const mohvit_model *m)
{
    static float input[PIXELS];
    mohvit_context *ctx;
    synthetic_input(input, 1, 64, 5);
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 2, NULL), MOHVIT_OK);
    mohvit_load_tensor(ctx, 0, input, NULL);
    mohvit_settings(ctx)->team_macs = 0; // a team even for a small model
    return ctx;
}

static answer run(mohvit_context *ctx)
{
    answer a;
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    memcpy(a.logits, mohvit_logits(ctx, 0), sizeof a.logits);
    memcpy(a.tokens, mohvit_head_tokens(ctx, 0), sizeof a.tokens);
    return a;
}

static answer answer_of(const mohvit_model *m, bool all_heads)
{
    mohvit_context *ctx = context_of(m);
    mohvit_settings(ctx)->all_heads = all_heads;
    answer a = run(ctx);
    mohvit_context_destroy(ctx);
    return a;
}

static void a_number_or_a_share_of_the_candidates_is_taken(void **state)
{
    (void)state;
    const struct {
        const char *routed_heads;
        size_t expected[STAGES]; /* of 0, 4, 4 and 5 candidates */
    } cases[] = {
        {"1", {0, 1, 1, 1}},   {"3", {0, 3, 3, 3}},  {"5", {0, 4, 4, 5}},   {"100%", {0, 4, 4, 5}},
        {"50%", {0, 2, 2, 3}}, {"1%", {0, 1, 1, 1}}, {"30%", {0, 1, 1, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config c = small;
        assert_int_equal(config_set_routed(&c, cases[i].routed_heads, NULL), MOHVIT_OK);
        assert_memory_equal(c.routed_head, cases[i].expected, sizeof c.routed_head);
        assert_int_equal(config_validate(&c, "test", NULL), MOHVIT_OK);
    }
}

static void what_is_no_number_of_heads_is_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {"",    "0",    "0%",  "-1", "+1", " 1",  "1 ",
                                 "1.5", "101%", "1%%", "%",  "x",  "1e3", "99999999999999999999999"};
    mohvit_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config c = small;
        assert_int_equal(config_set_routed(&c, wrong[i], &err), MOHVIT_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, wrong[i]));
    }
    config most = small;
    assert_int_equal(config_set_routed(&most, "6", &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "\"6\": no block of this model routes more than 5 heads; percent"));
    config dense;
    config_variant(&dense, "transnext_micro");
    assert_int_equal(config_set_routed(&dense, "1", &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "dense"));
}

static void each_token_picks_as_many_heads_as_asked_for(void **state)
{
    (void)state;
    mohvit_model *m = open_trained("3");
    answer a = answer_of(m, false);
    const size_t active[5] = {1, 3, 3, 2 + 3, 3 + 3};
    for (size_t b = 0; b < 5; b++) {
        size_t sum = 0;
        for (size_t head = 0; head < 8; head++)
            sum += a.tokens[b * 8 + head] > 0 ? (size_t)a.tokens[b * 8 + head] : 0;
        assert_int_equal(sum, mohvit_routing(m)->blocks[b].tokens * active[b]);
    }
    mohvit_close(m);
}

static void a_rerouted_model_answers_as_one_opened_so_and_outlives_its_base(void **state)
{
    (void)state;
    mohvit_model *base = open_trained(NULL), *half, *again, *opened = open_trained("50%");
    assert_int_equal(mohvit_reroute(&half, base, "50%", NULL), MOHVIT_OK);
    assert_int_equal(mohvit_reroute(&again, half, "2", NULL), MOHVIT_OK); // of one that was itself rerouted
    answer expected = answer_of(opened, false), trained_answer = answer_of(base, false);
    mohvit_close(base);
    answer a = answer_of(half, false);
    assert_memory_equal(&a, &expected, sizeof a);
    assert_memory_not_equal(&a, &trained_answer, sizeof a);
    mohvit_close(half);
    assert_string_equal(mohvit_label(again, 0), "class 0");
    a = answer_of(again, false);
    assert_memory_not_equal(&a, &expected, sizeof a);
    mohvit_close(again);
    mohvit_close(opened);
}

static void rerouting_refuses_what_opening_refuses(void **state)
{
    (void)state;
    mohvit_model *base = open_trained(NULL), *m = NULL;
    mohvit_error err;
    assert_int_equal(mohvit_reroute(&m, base, "none", &err), MOHVIT_ERROR_ARGUMENT);
    assert_null(m);
    assert_int_equal(mohvit_reroute(&m, base, NULL, &err), MOHVIT_OK); // as base
    answer expected = answer_of(base, false), a = answer_of(m, false);
    assert_memory_equal(&a, &expected, sizeof a);
    mohvit_close(m);
    mohvit_close(base);
}

static void a_context_is_set_to_another_number_of_heads_and_back(void **state)
{
    (void)state;
    mohvit_model *m = open_trained(NULL);
    mohvit_context *ctx = context_of(m);
    mohvit_info info = {.size = sizeof info}, trained = {.size = sizeof trained};
    mohvit_prediction top;
    mohvit_error err;
    const answer expected = answer_of(m, false);
    mohvit_get_info(m, &trained, NULL);
    assert_int_equal(mohvit_record_gates(ctx, 1, NULL), MOHVIT_OK);
    answer a = run(ctx);
    assert_memory_equal(&a, &expected, sizeof a);
    assert_int_equal(mohvit_top(ctx, 0, &top, 1, NULL), MOHVIT_OK);
    for (size_t i = 0; i < 3; i++) { // "100%" takes the most scratch: products of all heads
        const char *const heads[] = {"100%", "1", "50%"};
        mohvit_model *opened = open_trained(heads[i]);
        const answer other = answer_of(opened, false);
        assert_memory_not_equal(&other, &expected, sizeof other);
        assert_int_equal(mohvit_set_routed_heads(ctx, heads[i], NULL), MOHVIT_OK);
        assert_null(mohvit_logits(ctx, 0)); // of before
        assert_null(mohvit_gates(ctx, 0, 0));
        a = run(ctx);
        assert_memory_equal(&a, &other, sizeof a);
        mohvit_get_info(mohvit_context_model(ctx), &info, NULL);
        assert_true(i == 0 ? info.active_heads_percent > trained.active_heads_percent
                           : info.active_heads_percent != trained.active_heads_percent);
        assert_int_equal(mohvit_set_routed_heads(ctx, "none", &err), MOHVIT_ERROR_ARGUMENT);
        assert_non_null(mohvit_logits(ctx, 0)); // nothing has changed
        a = run(ctx);
        assert_memory_equal(&a, &other, sizeof a);
        mohvit_close(opened);
    }
    assert_string_equal(top.label, mohvit_label(m, top.class_index)); // it lives as long as the model
    assert_int_equal(mohvit_set_routed_heads(ctx, NULL, NULL), MOHVIT_OK);
    assert_ptr_equal(mohvit_context_model(ctx), m);
    a = run(ctx);
    assert_memory_equal(&a, &expected, sizeof a);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* A head load goes by what the context routes. */
static void a_head_load_counts_what_a_context_was_set_to(void **state)
{
    (void)state;
    mohvit_model *m = open_trained(NULL);
    mohvit_context *ctx = context_of(m);
    mohvit_head_load *trained, *one;
    assert_int_equal(mohvit_head_load_create_of_context(&trained, ctx, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_set_routed_heads(ctx, "1", NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_create_of_context(&one, ctx, NULL), MOHVIT_OK);
    run(ctx);
    assert_int_equal(mohvit_head_load_add(trained, ctx, 0, 0, NULL), MOHVIT_ERROR_MISMATCH);
    assert_int_equal(mohvit_head_load_add(one, ctx, 0, 0, NULL), MOHVIT_OK);
    mohvit_head_load_destroy(trained);
    mohvit_head_load_destroy(one);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* Of stage 4: 3 + 1 of 8 heads of 24 channels, 2 × 2 tokens. */
static void a_model_says_what_it_performs(void **state)
{
    (void)state;
    const double q_and_proj = 2 * 4.0 * 192 * 192 / 1e9;
    const struct {
        mohvit_backend backend;
        const char *routed_heads;
        double left_out;
    } cases[] = {{MOHVIT_BACKEND_NATIVE, NULL, 4.0 / 8},
                 {MOHVIT_BACKEND_NATIVE, "3", 2.0 / 8},
                 {MOHVIT_BACKEND_NATIVE, "4", 0},
                 {MOHVIT_BACKEND_OPENBLAS, NULL, 0}};
    const kernels *k;
    assert_int_equal(kernels_choose(&k, NULL), MOHVIT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mohvit_model *m;
        mohvit_info info = {.size = sizeof info};
        config c = small;
        mohvit_options options = {
            .size = sizeof options, .backend = cases[i].backend, .routed_heads = cases[i].routed_heads};
        assert_int_equal(mohvit_open_config(&m, &small, 5, &options, NULL), MOHVIT_OK);
        if (cases[i].routed_heads)
            assert_int_equal(config_set_routed(&c, cases[i].routed_heads, NULL), MOHVIT_OK);
        mohvit_get_info(m, &info, NULL);
        cost dense;
        assert_int_equal(model_cost(&dense, &c, "openblas", PRECISION_F32, NULL), MOHVIT_OK);
        double saved = k->pairs.sums ? cases[i].left_out * q_and_proj : 0;
        assert_close(info.gmacs_routed, dense.routed / 1e9 - saved, 1e-9);
        mohvit_close(m);
    }
}

static void computing_all_heads_changes_no_answer(void **state)
{
    (void)state;
    mohvit_model *m = open_trained(NULL);
    answer skipped = answer_of(m, false), all = answer_of(m, true);
    assert_memory_equal(skipped.tokens, all.tokens, sizeof all.tokens);
    for (size_t i = 0; i < CLASSES; i++) // stage 4 adds up proj in another order
        assert_close((double)skipped.logits[i], (double)all.logits[i], 2e-5);
    mohvit_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_or_a_share_of_the_candidates_is_taken),
        cmocka_unit_test(what_is_no_number_of_heads_is_refused),
        cmocka_unit_test(each_token_picks_as_many_heads_as_asked_for),
        cmocka_unit_test(a_rerouted_model_answers_as_one_opened_so_and_outlives_its_base),
        cmocka_unit_test(rerouting_refuses_what_opening_refuses),
        cmocka_unit_test(a_context_is_set_to_another_number_of_heads_and_back),
        cmocka_unit_test(a_head_load_counts_what_a_context_was_set_to),
        cmocka_unit_test(a_model_says_what_it_performs),
        cmocka_unit_test(computing_all_heads_changes_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Heads whose gates are 0: what is left is what a network says whose proj has no columns for them, the
 * router's choice stays, and gates that are left grow where that is asked for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "vit/api/internal.h"
#include "vit/headload/head_list.h"
#include "vit/network/synthetic.h"
#include "tests/vit/api/small_model.h"
#include "tests/vit/kernels/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADS 8
#define CELLS     (BLOCKS * MAX_HEADS)
#define SEED      5
#define IMAGES    5

/* small routes in some stages and has a stage of one head; nothing of dense routes. */
static config dense_config(void)
{
    config c = small;
    c.dense = true;
    for (size_t s = 0; s < STAGES; s++) {
        c.shared_head[s] = c.num_heads[s];
        c.routed_head[s] = 0;
    }
    return c;
}

static float *input_of(size_t images)
{
    float *input = array_new(images * PIXELS);
    synthetic_input(input, images, 64, SEED);
    return input;
}

typedef struct {
    float logits[CLASSES];
    int32_t tokens[CELLS];
    double gate_sum[CELLS];
    float *gates; /* of every block */
} answer;

static const config *configs[2];
static mohvit_model *plain_models[2]; /* small, dense */

static int open_models(void **state)
{
    (void)state;
    static config dense;
    dense = dense_config();
    configs[0] = &small;
    configs[1] = &dense;
    for (size_t i = 0; i < 2; i++)
        if (mohvit_open_config(&plain_models[i], configs[i], SEED, NULL, NULL))
            return 1;
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        mohvit_close(plain_models[i]);
    return 0;
}

static mohvit_model *without(const mohvit_model *base, const char *heads, int renormalise)
{
    mohvit_model *m = NULL;
    mohvit_error err;
    if (mohvit_drop_heads(&m, base, heads, renormalise, &err))
        fail_msg("%s", err.message);
    return m;
}

static answer answer_of(const mohvit_model *m)
{
    answer a;
    mohvit_context *ctx;
    size_t pairs = routing_pairs(mohvit_routing(m), BLOCKS);
    float *input = input_of(1);
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 1, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_record_gates(ctx, 1, NULL), MOHVIT_OK);
    mohvit_load_tensor(ctx, 0, input, NULL);
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    memcpy(a.logits, mohvit_logits(ctx, 0), sizeof a.logits);
    memcpy(a.tokens, mohvit_head_tokens(ctx, 0), sizeof a.tokens);
    memcpy(a.gate_sum, mohvit_head_gate_sum(ctx, 0), sizeof a.gate_sum);
    a.gates = array_copy(mohvit_gates(ctx, 0, 0), pairs);
    mohvit_context_destroy(ctx);
    array_free(input);
    return a;
}

/* ---- Against a network of other weights ------------------------------------------------------ */

typedef struct {
    const config *config;
    const uint8_t *dropped; /* (BLOCKS, MAX_HEADS) */
} columnless;

/* The weights of SEED, but for proj's columns of the dropped heads, which are 0. */
static mohvit_status read_tensor(void *state, const tensor_spec *spec, float *dst, mohvit_error *err)
{
    (void)err;
    const columnless *c = state;
    unsigned number, index;
    int end = 0;
    synthetic_tensor(dst, spec, SEED);
    if (sscanf(spec->name, "block%u.%u.attn.proj.weight%n", &number, &index, &end) != 2 || !end)
        return MOHVIT_OK;
    size_t at = index;
    for (size_t s = 0; s + 1 < number; s++)
        at += c->config->depths[s];
    size_t C = c->config->embed_dims[number - 1], d = C / c->config->num_heads[number - 1];
    for (size_t i = 0; i < C * C; i++)
        if (c->dropped[at * MAX_HEADS + i % C / d])
            dst[i] = 0;
    return MOHVIT_OK;
}

static void logits_without_columns(float *logits, const config *c, const uint8_t *dropped)
{
    model *m;
    columnless reading = {c, dropped};
    const weight_source source = {.state = &reading, .read = read_tensor};
    scratch s;
    profile f;
    float *input = input_of(1), *pixels = array_new(PIXELS), features[192];
    for (size_t i = 0; i < PIXELS; i++)
        pixels[i] = input[i % 3 * (PIXELS / 3) + i / 3];
    assert_int_equal(model_create(&m, c, &source, "native", PRECISION_F32, 1, NULL), MOHVIT_OK);
    assert_int_equal(model_scratch(m, &s, 1, NULL), MOHVIT_OK);
    assert_int_equal(profile_create(&f, 1, NULL), MOHVIT_OK);
    const pass p = {.kernels = m->numerics.kernels, .scratch = &s, .profile = &f};
    model_forward(m, &p, pixels, &(forward_result){.features = features, .logits = logits});
    scratch_free(&s);
    profile_free(&f);
    model_destroy(m);
    array_free(input);
    array_free(pixels);
}

static void without_a_head_nothing_of_its_output_is_left(void **state)
{
    (void)state;
    const char *const lists[] = {"4.0:r3", "4.0:s1", "2.1:r1,r4 3.0:s2", "routed", "1.0", "shared", "2 3.0"};
    size_t changed = 0; // lists with a head that some token selected
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
            uint8_t dropped[CELLS] = {0};
            float expected[CLASSES];
            if (head_list_read(dropped, mohvit_routing(plain_models[i]), lists[k], "test", NULL))
                continue; // dense has no routed heads
            logits_without_columns(expected, configs[i], dropped);
            mohvit_model *m = without(plain_models[i], lists[k], 0);
            answer a = answer_of(m), plain = answer_of(plain_models[i]);
            for (size_t c = 0; c < CLASSES; c++)
                assert_close((double)a.logits[c], (double)expected[c], 1e-6);
            for (size_t h = 0; h < CELLS; h++)
                if (dropped[h] && plain.tokens[h] > 0) {
                    changed++;
                    assert_memory_not_equal(a.logits, plain.logits, sizeof a.logits);
                    break;
                }
            array_free(a.gates);
            array_free(plain.gates);
            mohvit_close(m);
        }
    assert_true(changed >= 8);
}

/* ---- Gates ----------------------------------------------------------------------------------- */

/* Of the first block that loses heads, whose router sees what it saw before. */
static void check_gates(const answer *plain, const answer *a, const routing_block *b, const uint8_t *dropped,
                        size_t at, bool renormalise)
{
    for (size_t n = 0; n < b->tokens; n++) {
        const float *before = plain->gates + at + n * b->heads, *after = a->gates + at + n * b->heads;
        double all = 0, left = 0;
        for (size_t h = 0; h < b->heads; h++) {
            all += (double)before[h];
            left += dropped[h] ? 0 : (double)before[h];
        }
        for (size_t h = 0; h < b->heads; h++) {
            double expected = dropped[h] ? 0 : (double)before[h];
            if (renormalise && left > 0)
                expected *= all / left;
            assert_close((double)after[h], expected, 1e-6 * expected);
            if (!renormalise && !dropped[h])
                assert_int_equal(float_bits(after[h]), float_bits(before[h]));
        }
    }
}

static void gates_that_are_left_stay_or_grow_to_the_same_sum(void **state)
{
    (void)state;
    const struct {
        const char *heads;
        size_t block;
    } cases[] = {{"2.0:r2", 1},       {"3.0:s1", 3}, {"3.0:routed", 3},
                 {"4.0:s2,r1,r5", 4}, {"4.0", 4},    {"4.0:shared", 4}};
    const routing_layout *l = mohvit_routing(plain_models[0]);
    answer plain = answer_of(plain_models[0]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int renormalise = 0; renormalise < 2; renormalise++) {
            const routing_block *b = &l->blocks[cases[i].block];
            uint8_t dropped[CELLS] = {0};
            mohvit_model *m = without(plain_models[0], cases[i].heads, renormalise);
            answer a = answer_of(m);
            assert_int_equal(head_list_read(dropped, l, cases[i].heads, "test", NULL), MOHVIT_OK);
            check_gates(&plain, &a, b, dropped + b->index * MAX_HEADS, routing_pairs(l, b->index),
                        renormalise);
            // What a head load counts: the router's choice as before, and the gates that were used.
            for (size_t h = 0; h < b->heads; h++) {
                size_t cell = b->index * MAX_HEADS + h;
                double sum = 0;
                assert_int_equal(a.tokens[cell], plain.tokens[cell]);
                for (size_t n = 0; n < b->tokens; n++)
                    sum += (double)a.gates[routing_pairs(l, b->index) + n * b->heads + h];
                assert_close(a.gate_sum[cell], sum, 1e-9);
            }
            array_free(a.gates);
            mohvit_close(m);
        }
    array_free(plain.gates);
}

/* Where what is left is next to nothing, its share of the sum is still finite. */
static void gates_grow_from_next_to_nothing(void **state)
{
    (void)state;
    const router r = {.heads = 3};
    float gate[] = {2, 1e-42f, 3e-42f, 1, 0, 0};
    router_drop(&r, &(head_drops){(const uint8_t[]){1, 0, 0}, true}, 2, gate);
    assert_true(gate[0] == 0);
    assert_close((double)gate[1], 0.5, 1e-3);
    assert_close((double)gate[2], 1.5, 1e-3);
    assert_true(gate[3] == 0 && gate[4] == 0 && gate[5] == 0);
}

/* ---- The same bits ------------------------------------------------------------------------------ */

static void without_any_dropped_head_the_bits_are_the_plain_ones(void **state)
{
    (void)state;
    static const uint8_t none[CELLS];
    for (size_t i = 0; i < 2; i++)
        for (int renormalise = 0; renormalise < 2; renormalise++) {
            mohvit_model *dropped = without(plain_models[i], "4.0:s1", renormalise),
                         *back = without(dropped, NULL, 1);
            answer plain = answer_of(plain_models[i]), a = answer_of(back);
            assert_memory_equal(a.logits, plain.logits, sizeof a.logits);
            assert_null(strstr(mohvit_provenance_json(back), "dropped"));
            mohvit_context *ctx;
            float *input = input_of(1);
            assert_int_equal(mohvit_context_create(&ctx, plain_models[i], 1, 1, NULL), MOHVIT_OK);
            mohvit_settings(ctx)->drops = (head_drops){none, renormalise};
            mohvit_load_tensor(ctx, 0, input, NULL);
            assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
            assert_memory_equal(mohvit_logits(ctx, 0), plain.logits, sizeof a.logits);
            mohvit_context_destroy(ctx);
            array_free(input);
            array_free(plain.gates);
            array_free(a.gates);
            mohvit_close(dropped);
            mohvit_close(back);
        }
}

static void any_batch_and_threads_give_the_same_bits(void **state)
{
    (void)state;
    const struct {
        size_t batch;
        int threads;
    } ways[] = {{1, 1}, {1, 3}, {2, 2}, {5, 1}, {5, 3}};
    float *input = input_of(IMAGES), expected[IMAGES][CLASSES];
    mohvit_model *m = without(plain_models[0], "4.0:r3,s1 2.0:r1", 1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        mohvit_context *ctx;
        assert_int_equal(mohvit_context_create(&ctx, m, ways[i].batch, ways[i].threads, NULL), MOHVIT_OK);
        mohvit_settings(ctx)->team_macs = 0; // a team even for a small model
        for (size_t first = 0; first < IMAGES; first += ways[i].batch) {
            size_t n = IMAGES - first < ways[i].batch ? IMAGES - first : ways[i].batch;
            for (size_t slot = 0; slot < n; slot++)
                mohvit_load_tensor(ctx, slot, input + (first + slot) * PIXELS, NULL);
            assert_int_equal(mohvit_run(ctx, n, NULL), MOHVIT_OK);
            for (size_t slot = 0; slot < n; slot++)
                if (!i)
                    memcpy(expected[first + slot], mohvit_logits(ctx, slot), sizeof *expected);
                else
                    assert_memory_equal(expected[first + slot], mohvit_logits(ctx, slot), sizeof *expected);
        }
        mohvit_context_destroy(ctx);
    }
    mohvit_close(m);
    array_free(input);
}

/* Whatever a block loses: from there on, with what entered it before. */
static void a_run_that_is_taken_up_at_a_block_ends_with_the_bits_of_a_whole_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const mohvit_model *m = plain_models[i];
        const routing_layout *l = mohvit_routing(m);
        mohvit_context *whole, *rest;
        float *input = input_of(IMAGES), *inputs = array_new(IMAGES * mohvit_inputs(m));
        assert_int_equal(mohvit_context_create(&whole, m, IMAGES, 2, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_context_create(&rest, m, IMAGES, 3, NULL), MOHVIT_OK);
        mohvit_settings(whole)->inputs = inputs;
        mohvit_settings(rest)->from = inputs;
        for (size_t slot = 0; slot < IMAGES; slot++)
            mohvit_load_tensor(whole, slot, input + slot * PIXELS, NULL);
        assert_int_equal(mohvit_run(whole, IMAGES, NULL), MOHVIT_OK);
        mohvit_settings(whole)->inputs = NULL;
        float *plain = array_copy(mohvit_logits(whole, 0), IMAGES * CLASSES);
        for (size_t b = 0; b < BLOCKS; b++)
            for (size_t head = 0; head <= l->blocks[b].heads; head++) { // the last one: none
                uint8_t dropped[CELLS] = {0};
                if (head < l->blocks[b].heads)
                    dropped[b * MAX_HEADS + head] = 1;
                mohvit_settings(rest)->first = b;
                mohvit_settings(rest)->drops = mohvit_settings(whole)->drops =
                    (head_drops){dropped, head % 2};
                assert_int_equal(mohvit_run(rest, IMAGES, NULL), MOHVIT_OK);
                assert_int_equal(mohvit_run(whole, IMAGES, NULL), MOHVIT_OK);
                assert_memory_equal(mohvit_logits(rest, 0), mohvit_logits(whole, 0),
                                    sizeof(float[IMAGES][CLASSES]));
                if (head == l->blocks[b].heads)
                    assert_memory_equal(mohvit_logits(rest, 0), plain, sizeof(float[IMAGES][CLASSES]));
            }
        array_free(plain);
        array_free(inputs);
        array_free(input);
        mohvit_context_destroy(whole);
        mohvit_context_destroy(rest);
    }
}

/* ---- Models ------------------------------------------------------------------------------------ */

static void a_model_tells_what_it_drops_and_outlives_its_base(void **state)
{
    (void)state;
    mohvit_model *base, *m, *routed, *again;
    mohvit_options options = {.size = sizeof options, .threads = 1};
    assert_int_equal(mohvit_open_config(&base, &small, SEED, &options, NULL), MOHVIT_OK);
    m = without(base, "4.0:r2 4.0:s1,r2,r1", 1);
    mohvit_close(base);
    assert_non_null(
        strstr(mohvit_provenance_json(m), "\"dropped_heads\":\"4.0:s1,r1,r2\",\"renormalise\":true"));
    assert_int_equal(mohvit_reroute(&routed, m, "2", NULL), MOHVIT_OK); // which drops the same
    assert_non_null(strstr(mohvit_provenance_json(routed), "\"dropped_heads\":\"4.0:s1,r1,r2\""));
    again = without(routed, "3.0:s1", 0); // and this in place of it
    assert_non_null(
        strstr(mohvit_provenance_json(again), "\"dropped_heads\":\"3.0:s1\",\"renormalise\":false"));
    answer a = answer_of(routed), b = answer_of(again);
    assert_true(a.gate_sum[4 * MAX_HEADS] == 0 && b.gate_sum[4 * MAX_HEADS] > 0);
    assert_true(b.gate_sum[3 * MAX_HEADS] == 0 && a.gate_sum[3 * MAX_HEADS] > 0);
    array_free(a.gates);
    array_free(b.gates);
    mohvit_close(m);
    mohvit_close(routed);
    mohvit_close(again);
}

static void a_wrong_list_is_refused_by_its_item(void **state)
{
    (void)state;
    mohvit_model *m = NULL;
    mohvit_error err;
    assert_int_equal(mohvit_drop_heads(&m, plain_models[0], "4.0:r1 4.0:r9", 0, &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message,
                        "heads to drop: \"4.0:r9\": there is no r9; block 4.0 has s1 to s3 and r1 to r5");
    assert_int_equal(mohvit_drop_heads(&m, plain_models[1], "routed", 0, &err), MOHVIT_ERROR_ARGUMENT);
    assert_int_equal(mohvit_drop_heads(&m, plain_models[0], "", 0, &err), MOHVIT_ERROR_ARGUMENT);
    assert_null(m);
}

static void head_loads_of_other_dropped_heads_are_not_added_up(void **state)
{
    (void)state;
    mohvit_model *m = without(plain_models[0], "4.0:r2", 0), *grown = without(plain_models[0], "4.0:r2", 1);
    const mohvit_model *const others[] = {plain_models[0], grown};
    mohvit_head_load *load;
    mohvit_error err;
    assert_int_equal(mohvit_head_load_create(&load, m, NULL), MOHVIT_OK);
    float *input = input_of(1);
    for (size_t i = 0; i < 2; i++) {
        mohvit_head_load *other;
        mohvit_context *ctx;
        assert_int_equal(mohvit_head_load_create(&other, others[i], NULL), MOHVIT_OK);
        assert_int_equal(mohvit_head_load_merge(load, other, 1, &err), MOHVIT_ERROR_MISMATCH);
        assert_non_null(strstr(err.message, i ? "renormalise" : "dropped_heads"));
        mohvit_head_load_destroy(other);
        assert_int_equal(mohvit_context_create(&ctx, others[i], 1, 1, NULL), MOHVIT_OK);
        mohvit_load_tensor(ctx, 0, input, NULL);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_head_load_add(load, ctx, 0, 0, &err), MOHVIT_ERROR_MISMATCH);
        mohvit_context_destroy(ctx);
    }
    array_free(input);
    mohvit_head_load_destroy(load);
    mohvit_close(m);
    mohvit_close(grown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_head_nothing_of_its_output_is_left),
        cmocka_unit_test(gates_that_are_left_stay_or_grow_to_the_same_sum),
        cmocka_unit_test(gates_grow_from_next_to_nothing),
        cmocka_unit_test(without_any_dropped_head_the_bits_are_the_plain_ones),
        cmocka_unit_test(any_batch_and_threads_give_the_same_bits),
        cmocka_unit_test(a_run_that_is_taken_up_at_a_block_ends_with_the_bits_of_a_whole_one),
        cmocka_unit_test(a_model_tells_what_it_drops_and_outlives_its_base),
        cmocka_unit_test(a_wrong_list_is_refused_by_its_item),
        cmocka_unit_test(head_loads_of_other_dropped_heads_are_not_added_up),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}

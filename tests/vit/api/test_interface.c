/* What the public API tells of itself and of a model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/choices.h"
#include "vit/api/internal.h"
#include "vit/api/sized.h"
#include "vit/api/texts.h"
#include "tests/vit/api/small_model.h"
#include "tests/vit/kernels/reference.h"
#include "vit/network/synthetic.h"
#include "base/file_io.h"
#include "base/replace_file.h"
#include "weights/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Structs that grow ------------------------------------------------------------------------- */

typedef struct {
    size_t size, first, second;
} older;

typedef struct {
    size_t size, first, second, third;
} newer;

static void what_an_older_program_does_not_know_is_zero(void **state)
{
    (void)state;
    const newer given = {.size = sizeof(older), .first = 1, .second = 2, .third = 3}; // behind its end
    newer own;
    assert_int_equal(sized_take(&own, sizeof own, &given, "newer", NULL), MOHVIT_OK);
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.first, 1);
    assert_int_equal(own.second, 2);
    assert_int_equal(own.third, 0);
    assert_int_equal(sized_take(&own, sizeof own, NULL, "newer", NULL), MOHVIT_OK);
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.first, 0);
}

static void no_byte_behind_the_size_is_written(void **state)
{
    (void)state;
    const newer own = {.first = 1, .second = 2, .third = 3};
    newer given = {.size = sizeof(older), .third = 7};
    assert_int_equal(sized_give(&given, &own, sizeof own, "newer", NULL), MOHVIT_OK);
    assert_int_equal(given.size, sizeof(older));
    assert_int_equal(given.second, 2);
    assert_int_equal(given.third, 7);
}

/* ---- Names ------------------------------------------------------------------------------------- */

static void backends_and_precisions_are_known_by_their_names(void **state)
{
    (void)state;
    const char *const backends[] = {"auto", "native", "openblas", NULL}, *const precisions[] = {
                                                                             "auto", "f32", "bf16",
                                                                             "int8", "f16", NULL};
    mohvit_error err;
    mohvit_backend b = MOHVIT_BACKEND_AUTO;
    mohvit_precision p = MOHVIT_PRECISION_AUTO;
    for (unsigned i = 0; backends[i]; i++) {
        assert_string_equal(mohvit_backend_name((mohvit_backend)i), backends[i]);
        assert_int_equal(mohvit_backend_by_name(&b, backends[i], &err), MOHVIT_OK);
        assert_int_equal(b, i);
    }
    for (unsigned i = 0; precisions[i]; i++) {
        assert_string_equal(mohvit_precision_name((mohvit_precision)i), precisions[i]);
        assert_int_equal(mohvit_precision_by_name(&p, precisions[i], &err), MOHVIT_OK);
        assert_int_equal(p, i);
    }
    assert_null(mohvit_backend_name(MOHVIT_BACKEND_OPENBLAS + 1));
    assert_null(mohvit_precision_name(MOHVIT_PRECISION_F16 + 1));
    assert_int_equal(mohvit_backend_by_name(&b, "abacus", &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "backend \"abacus\"; expected auto, native or openblas");
    assert_int_equal(mohvit_precision_by_name(&p, "fp8", &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "precision \"fp8\"; expected auto, f32, bf16, int8 or f16");
    assert_int_equal(b, MOHVIT_BACKEND_OPENBLAS); // set on success alone
    assert_int_equal(p, MOHVIT_PRECISION_F16);
}

static void a_model_says_how_it_computes(void **state)
{
    (void)state;
    const mohvit_backend backends[] = {MOHVIT_BACKEND_NATIVE, MOHVIT_BACKEND_OPENBLAS};
    for (size_t i = 0; i < 2; i++) {
        mohvit_model *m;
        const mohvit_options o = {.size = sizeof o, .backend = backends[i], .threads = 1};
        mohvit_info info = {.size = sizeof info};
        assert_int_equal(mohvit_open(&m, NULL, &o, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_get_info(m, &info, NULL), MOHVIT_OK);
        assert_int_equal(info.backend, backends[i]);
        assert_int_equal(info.precision, MOHVIT_PRECISION_F32);
        mohvit_close(m);
    }
    for (precision p = 0; p < PRECISIONS; p++) {
        precision back;
        assert_int_equal(precision_inside(&back, precision_outside(p), NULL), MOHVIT_OK);
        assert_int_equal(back, p);
    }
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

static void a_model_tells_its_heads_block_by_block(void **state)
{
    (void)state;
    const mohvit_block expected[] = {
        {.name = "1.0", .stage = 1, .block = 0, .tokens = 256, .heads = 1, .shared = 1, .routed = 0},
        {.name = "2.0", .stage = 2, .block = 0, .tokens = 64, .heads = 4, .shared = 0, .routed = 2},
        {.name = "2.1", .stage = 2, .block = 1, .tokens = 64, .heads = 4, .shared = 0, .routed = 2},
        {.name = "3.0", .stage = 3, .block = 0, .tokens = 16, .heads = 6, .shared = 2, .routed = 3},
        {.name = "4.0", .stage = 4, .block = 0, .tokens = 4, .heads = 8, .shared = 3, .routed = 1},
    };
    mohvit_model *m;
    mohvit_error err;
    mohvit_block b = {.size = sizeof b};
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(mohvit_get_block(m, i, &b, NULL), MOHVIT_OK);
        assert_string_equal(b.name, expected[i].name);
        assert_int_equal(b.stage, expected[i].stage);
        assert_int_equal(b.block, expected[i].block);
        assert_int_equal(b.tokens, expected[i].tokens);
        assert_int_equal(b.heads, expected[i].heads);
        assert_int_equal(b.shared, expected[i].shared);
        assert_int_equal(b.routed, expected[i].routed);
    }
    assert_int_equal(mohvit_get_block(m, BLOCKS, &b, &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "block 5 of a model that has 5");
    mohvit_close(m);
}

/* ---- Texts ------------------------------------------------------------------------------------- */

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    return value;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void the_texts_of_a_model_read_back(void **state)
{
    (void)state;
    mohvit_model *m, *half;
    config c;
    preprocess p;
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_reroute(&half, m, "1", NULL), MOHVIT_OK);
    const char *text = mohvit_config_json(m);
    assert_int_equal(config_from_json(&c, text, strlen(text), "text", NULL), MOHVIT_OK);
    assert_memory_equal(c.routed_head, small.routed_head, sizeof c.routed_head);
    assert_int_equal(c.num_classes, CLASSES);
    text = mohvit_config_json(half);
    assert_int_equal(config_from_json(&c, text, strlen(text), "text", NULL), MOHVIT_OK);
    assert_int_equal(c.routed_head[1], 1);
    text = mohvit_preprocess_json(m);
    assert_int_equal(preprocess_from_json(&p, text, strlen(text), "text", NULL), MOHVIT_OK);
    assert_memory_equal(p.mean, preprocess_default.mean, sizeof p.mean);
    mohvit_close(half);
    mohvit_close(m);
}

static void provenance_says_what_results_depend_on(void **state)
{
    (void)state;
    mohvit_model *m;
    mohvit_info info = {.size = sizeof info};
    config c;
    assert_true(config_variant(&c, "moh_transnext_small_75"));
    mohvit_options o = {.size = sizeof o, .img_size = 64, .threads = 1};
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_get_info(m, &info, NULL), MOHVIT_OK);
    json_t *found = parsed(mohvit_provenance_json(m)), *own = parsed(mohvit_config_json(m));
    assert_string_equal(text_of(found, "version"), mohvit_version());
    assert_string_equal(text_of(found, "backend"), mohvit_backend_name(info.backend));
    assert_string_equal(text_of(found, "precision"), "f32");
    assert_string_equal(text_of(found, "instruction_set"), info.instruction_set);
    assert_string_equal(text_of(found, "kernels"), info.kernels);
    assert_string_equal(text_of(found, "synthetic_seed"), "5");
    assert_null(json_object_get(found, "variant"));
    assert_true(json_equal(json_object_get(found, "config"), own));
    assert_close(json_real_value(json_object_get(found, "active_heads_percent")), info.active_heads_percent,
                 1e-9);
    json_t *pictures = parsed(mohvit_preprocess_json(m));
    assert_true(json_equal(json_object_get(found, "preprocess"), pictures));
    json_decref(pictures);
    json_decref(found);
    json_decref(own);
    mohvit_close(m);

    assert_int_equal(mohvit_open(&m, NULL, &o, NULL), MOHVIT_OK); // built in
    found = parsed(mohvit_provenance_json(m));
    assert_null(json_object_get(found, "synthetic_seed"));
    json_decref(found);
    mohvit_close(m);

    found = provenance_of_config(&c);
    assert_string_equal(text_of(found, "variant"), "moh_transnext_small_75");
    assert_null(json_object_get(found, "config"));
    json_decref(found);
    c.num_classes = 10; // the name does not say that
    found = provenance_of_config(&c);
    assert_string_equal(text_of(found, "variant"), "moh_transnext_small_75");
    assert_non_null(json_object_get(found, "config"));
    json_decref(found);
}

/* Closes m. */
static void expect_weights_hash(mohvit_model *m, const char *expected)
{
    json_t *provenance = parsed(mohvit_provenance_json(m));
    assert_string_equal(text_of(provenance, "weights_hash"), expected);
    json_decref(provenance);
    mohvit_close(m);
}

static void weights_are_known_by_their_hash_wherever_they_lie(void **state)
{
    (void)state;
    static const char path[] = GOLDEN_DIR "/pth/plain.pth", hash[] = "0f0c18eb53506456887949e6840acab9",
                      copy[] = "interface_weights.safetensors";
    mohvit_model *m, *half;
    mohvit_error err;
    const mohvit_options o = {.size = sizeof o, .config = GOLDEN_DIR "/pth/config.json", .threads = 1};
    char *data;
    size_t size;
    assert_int_equal(mohvit_open(&m, path, &o, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_reroute(&half, m, "1", NULL), MOHVIT_OK);
    expect_weights_hash(m, hash); // as xxh128sum prints it
    expect_weights_hash(half, hash);
    assert_int_equal(file_load_path(&data, &size, path, SIZE_MAX, &err), MOHVIT_OK);
    assert_int_equal(mohvit_open_memory(&m, data, size, &o, NULL), MOHVIT_OK);
    free(data);
    expect_weights_hash(m, hash);

    assert_int_equal(mohvit_open(&m, NULL, NULL, NULL), MOHVIT_OK);
    json_t *built_in = parsed(mohvit_provenance_json(m));
    mohvit_close(m);
    assert_int_equal(replace_with_bytes(copy, embedded_model, embedded_model_size(), &err), MOHVIT_OK);
    assert_int_equal(mohvit_open(&m, copy, NULL, NULL), MOHVIT_OK);
    expect_weights_hash(m, text_of(built_in, "weights_hash"));
    json_decref(built_in);
    remove(copy);

    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    expect_weights_hash(m, "synthetic:5");
}

static void a_caller_may_replace_the_preprocessing(void **state)
{
    (void)state;
    mohvit_model *m;
    mohvit_context *ctx;
    mohvit_error err;
    uint8_t rgb[64 * 64 * 3];
    memset(rgb, 255, sizeof rgb);
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 1, NULL), MOHVIT_OK);
    const char *const plain = "{\"mean\": [0, 0.5, 1], \"std\": [1, 0.25, 1]}";
    const double as_the_model[] = {(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225},
                 replaced[] = {1, 2, 0};
    for (int step = 0; step < 4; step++) {
        const double *expected = step == 1 || step == 2 ? replaced : as_the_model;
        if (step == 1)
            assert_int_equal(mohvit_set_preprocess(ctx, plain, NULL), MOHVIT_OK);
        if (step == 2) {
            assert_int_equal(mohvit_set_preprocess(ctx, "{\"std\": [0, 1, 1]}", &err), MOHVIT_ERROR_FORMAT);
            assert_non_null(strstr(err.message, "preprocess in memory"));
        }
        if (step == 3)
            assert_int_equal(mohvit_set_preprocess(ctx, NULL, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_load_rgb(ctx, 0, rgb, 64, 64, sizeof rgb / 64, NULL), MOHVIT_OK);
        for (size_t i = 0; i < 3; i++)
            assert_close((double)mohvit_slot_input(ctx, 0)[i], expected[i], 1e-5);
    }
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* ---- Features ---------------------------------------------------------------------------------- */

static const tensor_spec *find(const tensor_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->tensors[i].name, name))
            return &list->tensors[i];
    return NULL;
}

static float *weights_of(const tensor_list *list, const char *name, uint64_t seed)
{
    const tensor_spec *spec = find(list, name);
    float *values = malloc(spec->elements * sizeof *values);
    synthetic_tensor(values, spec, seed);
    return values;
}

/* There are more classes than features, so the authors' logits leave these no choice. */
static void features_are_what_the_golden_logits_are_scored_from(void **state)
{
    (void)state;
    static const char path[] = GOLDEN_DIR "/moh_transnext_small_75.safetensors";
    checkpoint *cp;
    config c;
    mohvit_model *m;
    mohvit_context *ctx;
    tensor_list list;
    assert_int_equal(checkpoint_open(&cp, path, NULL, &(warning_sink){0}, NULL), MOHVIT_OK);
    const char *text = checkpoint_metadata(cp, "config");
    uint64_t seed = strtoull(checkpoint_metadata(cp, "seed"), NULL, 10);
    assert_int_equal(config_from_json(&c, text, strlen(text), path, NULL), MOHVIT_OK);
    float *golden = malloc(c.num_classes * sizeof *golden);
    float *input = malloc(3 * c.img_size * c.img_size * sizeof *input);
    assert_int_equal(checkpoint_read_f32(cp, checkpoint_find(cp, "logits"), golden, NULL), MOHVIT_OK);
    checkpoint_close(cp);

    mohvit_info info = {.size = sizeof info};
    assert_int_equal(mohvit_open_config(&m, &c, seed, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_get_info(m, &info, NULL), MOHVIT_OK);
    assert_int_equal(info.features, c.embed_dims[STAGES - 1]);
    assert_true(info.num_classes > info.features);
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 0, NULL), MOHVIT_OK);
    synthetic_input(input, 1, c.img_size, seed);
    mohvit_load_tensor(ctx, 0, input, NULL);
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);

    assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
    float *w = weights_of(&list, "head.weight", seed), *bias = weights_of(&list, "head.bias", seed);
    double *features = malloc(info.features * sizeof *features);
    double *logits = malloc(info.num_classes * sizeof *logits);
    for (size_t i = 0; i < info.features; i++)
        features[i] = (double)mohvit_features(ctx, 0)[i];
    reference_linear(logits, features, 1, info.features, info.num_classes, w, bias);
    for (size_t i = 0; i < info.num_classes; i++)
        assert_close(logits[i], (double)golden[i], 1e-4);
    free(features);
    free(logits);
    free(w);
    free(bias);
    free(golden);
    free(input);
    tensor_list_free(&list);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* ---- Results ----------------------------------------------------------------------------------- */

#define SLOTS 3

static void results_of_slots_lie_one_behind_the_other(void **state)
{
    (void)state;
    static float input[SLOTS * PIXELS];
    mohvit_model *m;
    mohvit_context *ctx;
    mohvit_info info = {.size = sizeof info};
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_get_info(m, &info, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&ctx, m, SLOTS, 1, NULL), MOHVIT_OK);
    synthetic_input(input, SLOTS, 64, 5);
    for (size_t slot = 0; slot < SLOTS; slot++)
        mohvit_load_tensor(ctx, slot, input + slot * PIXELS, NULL);
    assert_null(mohvit_features(ctx, 0));
    assert_int_equal(mohvit_run(ctx, SLOTS - 1, NULL), MOHVIT_OK);
    size_t heads = info.blocks * info.max_heads;
    assert_ptr_equal(mohvit_logits(ctx, 1), mohvit_logits(ctx, 0) + info.num_classes);
    assert_ptr_equal(mohvit_features(ctx, 1), mohvit_features(ctx, 0) + info.features);
    assert_ptr_equal(mohvit_head_tokens(ctx, 1), mohvit_head_tokens(ctx, 0) + heads);
    assert_ptr_equal(mohvit_head_gate_sum(ctx, 1), mohvit_head_gate_sum(ctx, 0) + heads);
    assert_null(mohvit_features(ctx, SLOTS - 1));
    float both[2 * 192];
    assert_int_equal(info.features, 192);
    memcpy(both, mohvit_features(ctx, 0), sizeof both);
    for (size_t slot = 0; slot < SLOTS - 1; slot++) { // each is its own picture's
        mohvit_load_tensor(ctx, 0, input + slot * PIXELS, NULL);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        assert_memory_equal(mohvit_features(ctx, 0), both + slot * info.features, sizeof both / 2);
    }
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* ---- Gates ------------------------------------------------------------------------------------- */

/* Of one image: what each block's router chose, as the network traces it. */
typedef struct traced {
    float *gate[BLOCKS];
    uint8_t *pick[BLOCKS];
    size_t blocks;
} traced;

static void *copied(const void *from, size_t bytes)
{
    void *to = malloc(bytes);
    return memcpy(to, from, bytes);
}

static void keep_routes(void *user, size_t stage_at, size_t block_at, const router *r,
                        const selection *chosen, size_t N)
{
    (void)stage_at, (void)block_at;
    traced *t = user;
    t->gate[t->blocks] = copied(chosen->gate, N * r->heads * sizeof *chosen->gate);
    t->pick[t->blocks++] = copied(chosen->pick, N * r->heads);
}

static int cancel(void *user, size_t done, size_t total)
{
    (void)user, (void)done, (void)total;
    return 1;
}

static void expect_gates(const mohvit_context *ctx, size_t slot, const traced *t, const mohvit_model *m)
{
    const float *next = mohvit_gates(ctx, slot, 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        mohvit_block b = {.size = sizeof b};
        assert_int_equal(mohvit_get_block(m, i, &b, NULL), MOHVIT_OK);
        const float *gate = mohvit_gates(ctx, slot, i);
        assert_ptr_equal(gate, next);
        assert_memory_equal(gate, t->gate[i], b.tokens * b.heads * sizeof *gate);
        for (size_t at = 0; at < b.tokens * b.heads; at++)
            assert_true((gate[at] > 0) == t->pick[i][at]);
        next += b.tokens * b.heads;
    }
    assert_null(mohvit_gates(ctx, slot, BLOCKS));
}

/* Side by side on two threads, and what is left on both. */
static void recorded_gates_are_those_of_the_routers_and_change_no_answer(void **state)
{
    (void)state;
    static float input[SLOTS * PIXELS];
    static traced traces[SLOTS];
    float logits[SLOTS * CLASSES];
    mohvit_model *m;
    mohvit_context *ctx, *alone;
    assert_int_equal(mohvit_open_config(&m, &small, 5, NULL, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&ctx, m, SLOTS, 2, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_context_create(&alone, m, 1, 1, NULL), MOHVIT_OK);
    mohvit_settings(ctx)->team_macs = 0;
    synthetic_input(input, SLOTS, 64, 5);
    for (size_t slot = 0; slot < SLOTS; slot++) {
        mohvit_load_tensor(ctx, slot, input + slot * PIXELS, NULL);
        mohvit_load_tensor(alone, 0, input + slot * PIXELS, NULL);
        mohvit_settings(alone)->routes = keep_routes;
        mohvit_settings(alone)->routes_user = &traces[slot];
        assert_int_equal(mohvit_run(alone, 1, NULL), MOHVIT_OK);
    }
    assert_int_equal(mohvit_run(ctx, SLOTS, NULL), MOHVIT_OK);
    memcpy(logits, mohvit_logits(ctx, 0), sizeof logits);
    assert_int_equal(mohvit_record_gates(ctx, 1, NULL), MOHVIT_OK);
    assert_null(mohvit_gates(ctx, 0, 0)); // the last run did not
    assert_int_equal(mohvit_run(ctx, SLOTS, NULL), MOHVIT_OK);
    assert_memory_equal(mohvit_logits(ctx, 0), logits, sizeof logits);
    for (size_t slot = 0; slot < SLOTS; slot++)
        expect_gates(ctx, slot, &traces[slot], m);
    mohvit_set_progress(ctx, cancel, NULL);
    assert_int_equal(mohvit_run(ctx, SLOTS, NULL), MOHVIT_ERROR_CANCELLED);
    assert_null(mohvit_gates(ctx, 0, 0));
    mohvit_set_progress(ctx, NULL, NULL);
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    assert_non_null(mohvit_gates(ctx, 0, 0));
    assert_null(mohvit_gates(ctx, 1, 0));
    assert_int_equal(mohvit_record_gates(ctx, 0, NULL), MOHVIT_OK);
    assert_null(mohvit_gates(ctx, 0, 0));
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
    assert_null(mohvit_gates(ctx, 0, 0));
    for (size_t slot = 0; slot < SLOTS; slot++)
        for (size_t i = 0; i < BLOCKS; i++) {
            free(traces[slot].gate[i]);
            free(traces[slot].pick[i]);
        }
    mohvit_context_destroy(alone);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

/* ---- Head load --------------------------------------------------------------------------------- */

#define HEADS 8 /* of the widest block */

/* What was counted of a class. */
typedef struct counts {
    int64_t images, tokens[BLOCKS], active[BLOCKS * HEADS];
    double gate_sum[BLOCKS * HEADS];
} counts;

static counts counts_of(const mohvit_head_load *load, size_t class_index)
{
    counts c;
    assert_int_equal(
        mohvit_head_load_of_class(load, class_index, &c.images, c.tokens, c.active, c.gate_sum, NULL),
        MOHVIT_OK);
    return c;
}

static mohvit_model *small_with(mohvit_backend backend)
{
    mohvit_model *m;
    const mohvit_options o = {.size = sizeof o, .backend = backend, .threads = 1};
    assert_int_equal(mohvit_open_config(&m, &small, 5, &o, NULL), MOHVIT_OK);
    return m;
}

static void answer(mohvit_context *ctx)
{
    static float input[PIXELS];
    synthetic_input(input, 1, 64, 5);
    assert_int_equal(mohvit_load_tensor(ctx, 0, input, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
}

static mohvit_context *answered(const mohvit_model *m)
{
    mohvit_context *ctx;
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 1, NULL), MOHVIT_OK);
    answer(ctx);
    return ctx;
}

static mohvit_head_load *nothing_counted(const mohvit_model *m)
{
    mohvit_head_load *load;
    assert_int_equal(mohvit_head_load_create(&load, m, NULL), MOHVIT_OK);
    return load;
}

static void head_load_counts_by_slot_and_by_numbers_alike(void **state)
{
    (void)state;
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE);
    mohvit_context *ctx = answered(m);
    mohvit_head_load *load = nothing_counted(m);
    const int32_t *tokens = mohvit_head_tokens(ctx, 0);
    const double *gate_sum = mohvit_head_gate_sum(ctx, 0);
    assert_int_equal(mohvit_head_load_add(load, ctx, 0, 3, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_add_image(load, tokens, gate_sum, 4, NULL), MOHVIT_OK);
    counts by_slot = counts_of(load, 3), by_numbers = counts_of(load, 4), none = counts_of(load, 5);
    assert_memory_equal(&by_numbers, &by_slot, sizeof by_slot);
    assert_int_equal(by_slot.images, 1);
    assert_int_equal(none.images, 0);
    for (size_t i = 0; i < BLOCKS * HEADS; i++) {
        mohvit_block b = {.size = sizeof b};
        assert_int_equal(mohvit_head_load_get_block(load, i / HEADS, &b, NULL), MOHVIT_OK);
        assert_int_equal(by_slot.tokens[i / HEADS], b.tokens);
        assert_int_equal(by_slot.active[i], tokens[i]);
        assert_close(by_slot.gate_sum[i], gate_sum[i], 1e-6);
        assert_int_equal(none.active[i], i % HEADS < b.heads ? 0 : -1);
    }
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void numbers_that_are_no_images_are_refused(void **state)
{
    (void)state;
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE);
    mohvit_context *ctx = answered(m);
    mohvit_head_load *load = nothing_counted(m);
    mohvit_error err;
    int32_t tokens[BLOCKS * HEADS];
    double gate_sum[BLOCKS * HEADS];
    memcpy(gate_sum, mohvit_head_gate_sum(ctx, 0), sizeof gate_sum);
    const counts before = counts_of(load, 0);
    const size_t wrong[] = {0, 1, HEADS, 3 * HEADS + 1,
                            4 * HEADS + 7}; // shared, absent, routed, shared, routed
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(tokens, mohvit_head_tokens(ctx, 0), sizeof tokens);
        tokens[wrong[i]]++;
        assert_int_equal(mohvit_head_load_add_image(load, tokens, gate_sum, 0, &err), MOHVIT_ERROR_FORMAT);
    }
    memcpy(tokens, mohvit_head_tokens(ctx, 0), sizeof tokens);
    size_t selected = 0, unselected = 0;
    for (size_t i = 0; i < BLOCKS * HEADS; i++) {
        const double impossible = tokens[i] > 0 ? -0.5 : 0.5;
        selected += tokens[i] > 0;
        unselected += tokens[i] <= 0;
        gate_sum[i] = impossible;
        assert_int_equal(mohvit_head_load_add_image(load, tokens, gate_sum, 0, &err), MOHVIT_ERROR_FORMAT);
        assert_non_null(strstr(err.message, tokens[i] > 0 ? "-0.5; expected at least 0" : "0.5; expected 0"));
        gate_sum[i] = mohvit_head_gate_sum(ctx, 0)[i];
    }
    assert_true(selected && unselected);
    assert_int_equal(mohvit_head_load_add_image(load, tokens, gate_sum, CLASSES, &err),
                     MOHVIT_ERROR_ARGUMENT);
    assert_int_equal(mohvit_head_load_of_class(load, CLASSES, NULL, NULL, NULL, NULL, &err),
                     MOHVIT_ERROR_ARGUMENT);
    const counts after = counts_of(load, 0);
    assert_memory_equal(&after, &before, sizeof after);
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void memory_holds_the_bytes_of_the_file(const mohvit_head_load *load, const char *path)
{
    void *saved = NULL, *again = NULL;
    size_t size = 0, size_again = 0;
    mohvit_head_load *back;
    mohvit_error err;
    assert_int_equal(mohvit_head_load_save_memory(load, &saved, &size, NULL), MOHVIT_OK);
    char *file;
    size_t file_size;
    assert_int_equal(file_load_path(&file, &file_size, path, SIZE_MAX, NULL), MOHVIT_OK);
    assert_int_equal(size, file_size);
    assert_memory_equal(saved, file, size);
    free(file);
    assert_int_equal(mohvit_head_load_open_memory(&back, saved, size, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_save_memory(back, &again, &size_again, NULL), MOHVIT_OK);
    assert_int_equal(size_again, size);
    assert_memory_equal(again, saved, size);
    mohvit_head_load_destroy(back);
    assert_int_equal(mohvit_head_load_open_memory(&back, saved, size - 1, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "head load in memory"));
    free(again);
    free(saved);
}

static void head_loads_are_merged_saved_and_opened(void **state)
{
    (void)state;
    static const char path[] = "interface_head_load.safetensors";
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE);
    mohvit_context *ctx = answered(m);
    mohvit_head_load *a = nothing_counted(m), *b = nothing_counted(m), *back;
    mohvit_head_load_info info = {.size = sizeof info};
    assert_int_equal(mohvit_head_load_add(a, ctx, 0, 3, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_add(b, ctx, 0, 3, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_add(b, ctx, 0, 7, NULL), MOHVIT_OK);
    const counts one = counts_of(a, 3);
    mohvit_context_destroy(ctx);
    mohvit_close(m); // a head load does not need it
    assert_int_equal(mohvit_head_load_merge(a, b, 0, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_save(a, path, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_open(&back, path, NULL), MOHVIT_OK);
    memory_holds_the_bytes_of_the_file(a, path);
    remove(path);
    assert_int_equal(mohvit_head_load_get_info(back, &info, NULL), MOHVIT_OK);
    assert_int_equal(info.classes, CLASSES);
    assert_int_equal(info.blocks, BLOCKS);
    assert_int_equal(info.max_heads, HEADS);
    assert_int_equal(info.images, 3);
    const counts both = counts_of(a, 3), read = counts_of(back, 3), other = counts_of(back, 7);
    assert_memory_equal(&read, &both, sizeof both);
    assert_memory_equal(&other, &one, sizeof one);
    assert_int_equal(both.images, 2);
    for (size_t i = 0; i < BLOCKS * HEADS; i++) {
        assert_int_equal(both.active[i], one.active[i] < 0 ? -1 : 2 * one.active[i]);
        assert_close(both.gate_sum[i], 2 * one.gate_sum[i], 1e-9);
    }
    assert_string_equal(mohvit_head_load_label(back, 7), "class 7");
    assert_string_equal(mohvit_head_load_label(back, CLASSES), "");
    assert_null(mohvit_head_load_label_id(back, 7));
    mohvit_head_load_destroy(back);
    mohvit_head_load_destroy(a);
    mohvit_head_load_destroy(b);
    assert_int_equal(mohvit_head_load_open(&back, path, NULL), MOHVIT_ERROR_IO);
}

static void head_loads_that_differ_are_not_merged(void **state)
{
    (void)state;
    mohvit_error err;
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE), *blas = small_with(MOHVIT_BACKEND_OPENBLAS), *half,
                 *other;
    assert_int_equal(mohvit_reroute(&half, m, "1", NULL), MOHVIT_OK);
    assert_int_equal(mohvit_open_config(&other, &small, 6, NULL, NULL), MOHVIT_OK);
    mohvit_head_load *a = nothing_counted(m), *b = nothing_counted(blas), *c = nothing_counted(half),
                     *d = nothing_counted(other);
    assert_int_equal(mohvit_head_load_merge(a, d, 1, &err), MOHVIT_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "weights_hash is \"synthetic:6\", expected \"synthetic:5\""));
    assert_int_equal(mohvit_head_load_merge(a, a, 0, &err), MOHVIT_ERROR_ARGUMENT);
    assert_int_equal(mohvit_head_load_merge(a, c, 1, &err), MOHVIT_ERROR_MISMATCH);
    assert_int_equal(mohvit_head_load_merge(a, b, 0, &err), MOHVIT_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "backend is \"openblas\", expected \"native\""));
    assert_int_equal(mohvit_head_load_merge(a, b, 1, &err), MOHVIT_OK);
    mohvit_head_load_destroy(a);
    mohvit_head_load_destroy(b);
    mohvit_head_load_destroy(c);
    mohvit_head_load_destroy(d);
    mohvit_close(other);
    mohvit_close(half);
    mohvit_close(blas);
    mohvit_close(m);
}

static void treat(mohvit_context *ctx, const char *json, size_t exif_orientation)
{
    const mohvit_image_options turned = {.size = sizeof turned, .exif_orientation = exif_orientation};
    assert_int_equal(mohvit_set_preprocess(ctx, json, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_set_image_options(ctx, &turned, NULL), MOHVIT_OK);
}

/* A run of a context that treats pictures as told. */
static mohvit_context *answered_with(const mohvit_model *m, const char *json, size_t exif_orientation)
{
    mohvit_context *ctx;
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 1, NULL), MOHVIT_OK);
    treat(ctx, json, exif_orientation);
    answer(ctx);
    return ctx;
}

/* Each of these contexts and head loads goes with itself alone. */
static void head_loads_know_what_pictures_went_through(void **state)
{
    (void)state;
    static const char *const named[] = {NULL, "preprocess is", "exif_orientation is"};
    static const char plain[] = "{\"mean\": [0, 0, 0], \"std\": [1, 1, 1]}";
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE);
    mohvit_context *ctx[] = {answered(m), answered_with(m, plain, 0), answered_with(m, NULL, 1)};
    mohvit_error err;
    for (size_t i = 0; i < 3; i++) {
        mohvit_head_load *to, *from;
        assert_int_equal(mohvit_head_load_create_of_context(&to, ctx[i], NULL), MOHVIT_OK);
        for (size_t j = 0; j < 3; j++) {
            mohvit_status expected = i == j ? MOHVIT_OK : MOHVIT_ERROR_MISMATCH;
            const char *difference = named[i > j ? i : j];
            assert_int_equal(mohvit_head_load_create_of_context(&from, ctx[j], NULL), MOHVIT_OK);
            assert_int_equal(mohvit_head_load_add(from, ctx[j], 0, 1, NULL), MOHVIT_OK);
            assert_int_equal(mohvit_head_load_add(to, ctx[j], 0, 1, &err), expected);
            assert_true(!expected || (i && j) || strstr(err.message, difference));
            assert_int_equal(mohvit_head_load_merge(to, from, 1, &err), expected);
            assert_true(!expected || (i && j) || strstr(err.message, difference));
            mohvit_head_load_destroy(from);
        }
        assert_int_equal(counts_of(to, 1).images, 2);
        from = nothing_counted(m); // as a new context treats pictures
        assert_int_equal(mohvit_head_load_merge(to, from, 0, NULL), i ? MOHVIT_ERROR_MISMATCH : MOHVIT_OK);
        mohvit_head_load_destroy(from);
        mohvit_head_load_destroy(to);
    }
    for (size_t i = 0; i < 3; i++)
        mohvit_context_destroy(ctx[i]);
    mohvit_close(m);
}

static void expect_added_to(mohvit_head_load *fits, mohvit_head_load *other, const mohvit_context *ctx,
                            const char *difference)
{
    mohvit_error err;
    assert_int_equal(mohvit_head_load_add(fits, ctx, 0, 1, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_head_load_add(other, ctx, 0, 1, &err), MOHVIT_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, difference));
}

/* A result is of its picture as that was loaded, whatever is set, and even loaded, afterwards. */
static void what_is_set_after_a_load_does_not_count(void **state)
{
    (void)state;
    static const char *const named[] = {"preprocess is", "exif_orientation is"};
    static const char plain[] = "{\"mean\": [0, 0, 0], \"std\": [1, 1, 1]}";
    static const uint8_t rgb[64 * 64 * 3];
    mohvit_model *m = small_with(MOHVIT_BACKEND_NATIVE);
    for (size_t i = 0; i < 2; i++) {
        mohvit_context *ctx = answered(m);
        mohvit_head_load *before, *after;
        assert_int_equal(mohvit_head_load_create_of_context(&before, ctx, NULL), MOHVIT_OK);
        treat(ctx, i ? NULL : plain, i);
        assert_int_equal(mohvit_head_load_create_of_context(&after, ctx, NULL), MOHVIT_OK);
        expect_added_to(before, after, ctx, named[i]);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        expect_added_to(before, after, ctx, named[i]);
        assert_int_equal(mohvit_load_rgb(ctx, 0, rgb, 64, 64, sizeof rgb / 64, NULL), MOHVIT_OK);
        expect_added_to(before, after, ctx, named[i]);
        assert_int_equal(mohvit_run(ctx, 1, NULL), MOHVIT_OK);
        expect_added_to(after, before, ctx, named[i]);
        mohvit_head_load_destroy(before);
        mohvit_head_load_destroy(after);
        mohvit_context_destroy(ctx);
    }
    mohvit_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_older_program_does_not_know_is_zero),
        cmocka_unit_test(no_byte_behind_the_size_is_written),
        cmocka_unit_test(backends_and_precisions_are_known_by_their_names),
        cmocka_unit_test(a_model_says_how_it_computes),
        cmocka_unit_test(a_model_tells_its_heads_block_by_block),
        cmocka_unit_test(the_texts_of_a_model_read_back),
        cmocka_unit_test(provenance_says_what_results_depend_on),
        cmocka_unit_test(weights_are_known_by_their_hash_wherever_they_lie),
        cmocka_unit_test(a_caller_may_replace_the_preprocessing),
        cmocka_unit_test(features_are_what_the_golden_logits_are_scored_from),
        cmocka_unit_test(results_of_slots_lie_one_behind_the_other),
        cmocka_unit_test(recorded_gates_are_those_of_the_routers_and_change_no_answer),
        cmocka_unit_test(head_load_counts_by_slot_and_by_numbers_alike),
        cmocka_unit_test(numbers_that_are_no_images_are_refused),
        cmocka_unit_test(head_loads_are_merged_saved_and_opened),
        cmocka_unit_test(head_loads_that_differ_are_not_merged),
        cmocka_unit_test(head_loads_know_what_pictures_went_through),
        cmocka_unit_test(what_is_set_after_a_load_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

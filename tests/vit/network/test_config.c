/* Configurations: the published ones, their JSON, what is refused, and the tensors that follow from them
 * (spec 1 and 3). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/network/model.h"
#include "tests/vit/kernels/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- The published variants -------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t parameters, tensors;
    double millions, active, gflop;
} published[] = {
    {"moh_transnext_small_80", 49910548, 1145, 49.9, 80, 20.013},
    {"moh_transnext_small_75", 49910548, 1145, 49.9, 75, 20.013},
    {"moh_transnext_base_75", 90020632, 1177, 90.0, 75, 35.912},
    {"moh_transnext_base_50", 90023512, 1197, 90.0, 50, 35.921},
    {"transnext_micro", 12809304, 617, 12.8, 100, 5.065},
    {"transnext_tiny", 28258960, 617, 28.3, 100, 11.113},
    {"transnext_small", 49741564, 1054, 49.7, 100, 19.958},
    {"transnext_base", 89721496, 1083, 89.7, 100, 35.813},
    {"transnext_micro_aaaa", 13114008, 635, 13.1, 100, 6.383},
};

/* Multiply-adds, as one backend that skips no products computes them. */
static cost cost_of(const config *c)
{
    cost each;
    assert_int_equal(model_cost(&each, c, "openblas", PRECISION_F32, NULL), MOHVIT_OK);
    return each;
}

static void the_variants_are_the_published_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(published); i++) {
        config c;
        tensor_list list;
        assert_string_equal(config_variant_name(i), published[i].name);
        assert_true(config_variant(&c, published[i].name));
        assert_int_equal(config_validate(&c, "variant", NULL), MOHVIT_OK);
        assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
        assert_int_equal(list.parameters, published[i].parameters);
        assert_int_equal(list.count, published[i].tensors);
        assert_close((double)list.parameters / 1e6, published[i].millions, 0.05);
        assert_close(config_active_percent(&c), published[i].active, 0.5);
        assert_close(2 * cost_of(&c).all_heads / 1e9, published[i].gflop, 1e-3);
        tensor_list_free(&list);
    }
    config c;
    assert_null(config_variant_name(LENGTH(published)));
    assert_false(config_variant(&c, "moh_transnext"));
    assert_false(config_variant(&c, ""));
}

static void skipped_heads_save_their_scores_and_sums(void **state)
{
    (void)state;
    config c;
    config_variant(&c, "transnext_small");
    assert_true(cost_of(&c).all_heads <= cost_of(&c).routed && cost_of(&c).routed <= cost_of(&c).all_heads);
    config_variant(&c, "moh_transnext_small_75");
    // Stage 3, 22 blocks: 3 of 12 heads, each 196 tokens × 24 channels × (2·(9 + 49) + 9); stage 4, 5 blocks:
    // 8 of 24 heads, each 2 × 49 × 49 × 24.
    double saved = 22 * 3 * 196.0 * 24 * (2 * 58 + 9) + 5 * 8 * 2.0 * 49 * 49 * 24;
    assert_close(cost_of(&c).all_heads - cost_of(&c).routed, saved, 1);
}

static void a_variant_keeps_its_name_at_other_sizes_and_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(published); i++) {
        config c;
        config_variant(&c, published[i].name);
        c.img_size = 384;
        c.num_classes = 10;
        c.fixed_pool_size = 3;
        assert_string_equal(config_name(&c), published[i].name);
        c.depths[2]--;
        assert_string_equal(config_name(&c), "custom");
        snprintf(c.name, sizeof c.name, "mine");
        assert_string_equal(config_name(&c), "mine");
        c.depths[2]++;
        assert_string_equal(config_name(&c), published[i].name);
    }
}

static void sides_and_widths_follow_from_a_config(void **state)
{
    (void)state;
    config c;
    config_variant(&c, "moh_transnext_small_75");
    const size_t sides[] = {56, 28, 14, 7}, hidden[] = {384, 768, 768, 1536}, pools[] = {7, 7, 7, 0},
                 candidates[] = {0, 0, 9, 20}, active[] = {3, 6, 9, 16};
    for (size_t s = 0; s < STAGES; s++) {
        assert_int_equal(config_side(&c, s), sides[s]);
        assert_int_equal(config_hidden(&c, s), hidden[s]);
        assert_int_equal(config_pool(&c, s), pools[s]);
        assert_int_equal(config_candidates(&c, s), candidates[s]);
        assert_int_equal(config_active_heads(&c, s), active[s]);
        assert_int_equal(config_global(&c, s), s == 3);
    }
    assert_int_equal(config_blocks(&c), 37);
    assert_int_equal(config_max_heads(&c), 24);
    c.fixed_pool_size = 5;
    assert_int_equal(config_pool(&c, 0), 5);
    assert_int_equal(config_pool(&c, 3), 0);
    // ⌊2·⌊C·ratio⌋/3⌋: the inner floor comes first
    const struct {
        size_t C, hidden;
        double ratio;
    } widths[] = {{10, 23, 3.5}, {11, 25, 3.5}, {7, 6, 1.5}, {3, 2, 1}, {72, 158, 3.3}};
    for (size_t i = 0; i < LENGTH(widths); i++) {
        c.embed_dims[0] = widths[i].C;
        c.mlp_ratios[0] = widths[i].ratio;
        assert_int_equal(config_hidden(&c, 0), widths[i].hidden);
    }
}

/* ---- Tensors ----------------------------------------------------------------------------------- */

static const tensor_spec *find(const tensor_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->tensors[i].name, name))
            return &list->tensors[i];
    return NULL;
}

static void expect_tensor(const tensor_list *list, const char *name, size_t rank, size_t s0, size_t s1,
                          size_t s2, size_t s3)
{
    const tensor_spec *spec = find(list, name);
    const size_t shape[4] = {s0, s1, s2, s3};
    if (!spec)
        fail_msg("there is no tensor %s", name);
    assert_int_equal(spec->rank, rank);
    size_t elements = 1;
    for (size_t i = 0; i < rank; i++) {
        assert_int_equal(spec->shape[i], shape[i]);
        elements *= shape[i];
    }
    assert_int_equal(spec->elements, elements);
}

static void tensors_have_the_shapes_of_the_state_dict(void **state)
{
    (void)state;
    config c;
    tensor_list list;
    config_variant(&c, "moh_transnext_small_75");
    assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
    expect_tensor(&list, "patch_embed1.proj.weight", 4, 72, 3, 7, 7);
    expect_tensor(&list, "patch_embed2.proj.weight", 4, 144, 72, 3, 3);
    expect_tensor(&list, "block1.0.attn.temperature", 3, 3, 1, 1, 0);
    expect_tensor(&list, "block1.0.attn.query_embedding", 3, 3, 1, 24, 0);
    expect_tensor(&list, "block1.0.attn.relative_pos_bias_local", 2, 3, 9, 0, 0);
    expect_tensor(&list, "block2.4.attn.learnable_tokens", 3, 6, 24, 9, 0);
    expect_tensor(&list, "block2.4.attn.learnable_bias", 3, 6, 1, 9, 0);
    expect_tensor(&list, "block1.0.attn.q.weight", 2, 72, 72, 0, 0);
    expect_tensor(&list, "block1.0.attn.kv.weight", 2, 144, 72, 0, 0);
    expect_tensor(&list, "block1.0.attn.sr.weight", 4, 72, 72, 1, 1);
    expect_tensor(&list, "block1.0.attn.norm.weight", 1, 72, 0, 0, 0);
    expect_tensor(&list, "block4.0.attn.qkv.weight", 2, 1728, 576, 0, 0);
    expect_tensor(&list, "block4.0.attn.cpb_fc1.weight", 2, 512, 2, 0, 0);
    expect_tensor(&list, "block4.0.attn.cpb_fc2.weight", 2, 24, 512, 0, 0);
    expect_tensor(&list, "block3.21.attn.wg.weight", 2, 9, 288, 0, 0);
    expect_tensor(&list, "block3.21.attn.wg_0.weight", 2, 2, 288, 0, 0);
    expect_tensor(&list, "block3.21.attn.wg_1.weight", 2, 3, 288, 0, 0);
    expect_tensor(&list, "block1.0.attn.wg_1.weight", 2, 3, 72, 0, 0);
    expect_tensor(&list, "block1.0.mlp.fc1.weight", 2, 768, 72, 0, 0);
    expect_tensor(&list, "block1.0.mlp.dwconv.dwconv.weight", 4, 384, 1, 3, 3);
    expect_tensor(&list, "block1.0.mlp.fc2.weight", 2, 72, 384, 0, 0);
    expect_tensor(&list, "norm4.bias", 1, 576, 0, 0, 0);
    expect_tensor(&list, "head.weight", 2, 1000, 576, 0, 0);
    expect_tensor(&list, "head.bias", 1, 1000, 0, 0, 0);
    assert_null(find(&list, "block1.0.attn.wg.weight")); // nothing is routed there
    assert_null(find(&list, "block1.0.attn.wg_0.weight"));
    assert_null(find(&list, "block4.0.attn.sr.weight"));
    assert_null(find(&list, "block4.0.attn.learnable_tokens"));
    assert_null(find(&list, "block1.5.norm1.weight"));
    tensor_list_free(&list);
}

static const config tiny = {.embed_dims = {8, 16, 24, 48},
                            .num_heads = {2, 2, 4, 6},
                            .depths = {1, 1, 1, 1},
                            .mlp_ratios = {2, 2, 2, 2},
                            .sr_ratios = {8, 4, 2, 1},
                            .shared_head = {2, 0, 1, 2},
                            .routed_head = {0, 1, 2, 2},
                            .num_classes = 5,
                            .img_size = 64,
                            .pretrain_size = 64};

static void tensors_come_in_the_order_of_the_state_dict(void **state)
{
    (void)state;
    static const char *const stage3[] = {"patch_embed3.proj.weight",
                                         "patch_embed3.proj.bias",
                                         "patch_embed3.norm.weight",
                                         "patch_embed3.norm.bias",
                                         "block3.0.norm1.weight",
                                         "block3.0.norm1.bias",
                                         "block3.0.attn.temperature",
                                         "block3.0.attn.query_embedding",
                                         "block3.0.attn.relative_pos_bias_local",
                                         "block3.0.attn.learnable_tokens",
                                         "block3.0.attn.learnable_bias",
                                         "block3.0.attn.q.weight",
                                         "block3.0.attn.q.bias",
                                         "block3.0.attn.kv.weight",
                                         "block3.0.attn.kv.bias",
                                         "block3.0.attn.proj.weight",
                                         "block3.0.attn.proj.bias",
                                         "block3.0.attn.sr.weight",
                                         "block3.0.attn.sr.bias",
                                         "block3.0.attn.norm.weight",
                                         "block3.0.attn.norm.bias",
                                         "block3.0.attn.cpb_fc1.weight",
                                         "block3.0.attn.cpb_fc1.bias",
                                         "block3.0.attn.cpb_fc2.weight",
                                         "block3.0.attn.cpb_fc2.bias",
                                         "block3.0.attn.wg.weight",
                                         "block3.0.attn.wg_0.weight", // one shared head: no wg_1
                                         "block3.0.norm2.weight",
                                         "block3.0.norm2.bias",
                                         "block3.0.mlp.fc1.weight",
                                         "block3.0.mlp.fc1.bias",
                                         "block3.0.mlp.dwconv.dwconv.weight",
                                         "block3.0.mlp.dwconv.dwconv.bias",
                                         "block3.0.mlp.fc2.weight",
                                         "block3.0.mlp.fc2.bias",
                                         "norm3.weight",
                                         "norm3.bias"};
    static const char *const stage4[] = {"patch_embed4.proj.weight",
                                         "patch_embed4.proj.bias",
                                         "patch_embed4.norm.weight",
                                         "patch_embed4.norm.bias",
                                         "block4.0.norm1.weight",
                                         "block4.0.norm1.bias",
                                         "block4.0.attn.temperature",
                                         "block4.0.attn.query_embedding",
                                         "block4.0.attn.qkv.weight",
                                         "block4.0.attn.qkv.bias",
                                         "block4.0.attn.proj.weight",
                                         "block4.0.attn.proj.bias",
                                         "block4.0.attn.cpb_fc1.weight",
                                         "block4.0.attn.cpb_fc1.bias",
                                         "block4.0.attn.cpb_fc2.weight",
                                         "block4.0.attn.cpb_fc2.bias",
                                         "block4.0.attn.wg.weight",
                                         "block4.0.attn.wg_0.weight",
                                         "block4.0.attn.wg_1.weight",
                                         "block4.0.norm2.weight",
                                         "block4.0.norm2.bias",
                                         "block4.0.mlp.fc1.weight",
                                         "block4.0.mlp.fc1.bias",
                                         "block4.0.mlp.dwconv.dwconv.weight",
                                         "block4.0.mlp.dwconv.dwconv.bias",
                                         "block4.0.mlp.fc2.weight",
                                         "block4.0.mlp.fc2.bias",
                                         "norm4.weight",
                                         "norm4.bias",
                                         "head.weight",
                                         "head.bias"};
    tensor_list list;
    assert_int_equal(model_tensors(&list, &tiny, NULL), MOHVIT_OK);
    size_t from = list.count - LENGTH(stage3) - LENGTH(stage4);
    for (size_t i = 0; i < LENGTH(stage3); i++)
        assert_string_equal(list.tensors[from + i].name, stage3[i]);
    for (size_t i = 0; i < LENGTH(stage4); i++)
        assert_string_equal(list.tensors[from + LENGTH(stage3) + i].name, stage4[i]);
    assert_string_equal(list.tensors[from - 1].name, "norm2.bias");
    assert_string_equal(list.tensors[0].name, "patch_embed1.proj.weight");
    assert_null(find(&list, "block2.0.attn.wg_0.weight")); // no shared head there
    tensor_list_free(&list);
}

static void a_dense_config_has_no_router(void **state)
{
    (void)state;
    config c;
    tensor_list list;
    config_variant(&c, "transnext_micro");
    assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
    for (size_t i = 0; i < list.count; i++)
        assert_null(strstr(list.tensors[i].name, ".wg"));
    tensor_list_free(&list);
}

static void more_parameters_than_the_limit_are_refused(void **state)
{
    (void)state;
    mohvit_error err;
    tensor_list list;
    config c = tiny;
    c.embed_dims[3] = 8192;
    c.num_heads[3] = 256;
    c.shared_head[3] = 128;
    c.routed_head[3] = 3;
    c.depths[3] = 512;
    assert_int_equal(config_validate(&c, "big", &err), MOHVIT_OK);
    assert_int_equal(model_tensors(&list, &c, &err), MOHVIT_ERROR_LIMIT);
    assert_non_null(strstr(err.message, "parameters"));
}

/* ---- JSON -------------------------------------------------------------------------------------- */

/* A valid config as keys and values; a test replaces, drops or adds one. */
static const struct {
    const char *key, *value;
} parts[] = {
    {"embed_dims", "[8, 16, 24, 48]"}, {"num_heads", "[2, 2, 4, 6]"}, {"mlp_ratios", "[2, 2, 2, 2]"},
    {"depths", "[1, 1, 1, 1]"},        {"sr_ratios", "[8, 4, 2, 1]"}, {"shared_head", "[2, 0, 1, 2]"},
    {"routed_head", "[0, 1, 2, 2]"},   {"num_classes", "5"},          {"img_size", "64"}};

/* key NULL: nothing is replaced; value NULL: the key is dropped. A key that the config lacks is added. */
static const char *json_with(const char *key, const char *value)
{
    static char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text, "{");
    bool known = false;
    for (size_t i = 0; i < LENGTH(parts); i++) {
        bool this_one = key && !strcmp(key, parts[i].key);
        known = known || this_one;
        if (!this_one || value)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s\"%s\": %s", used > 1 ? ", " : "",
                                     parts[i].key, this_one ? value : parts[i].value);
    }
    if (key && !known)
        used += (size_t)snprintf(text + used, sizeof text - used, ", \"%s\": %s", key, value);
    snprintf(text + used, sizeof text - used, "}");
    return text;
}

static mohvit_status parse(config *c, const char *json, mohvit_error *err)
{
    size_t length = strlen(json);
    char *exact = malloc(length ? length : 1); // without a NUL behind
    memcpy(exact, json, length);
    mohvit_status status = config_from_json(c, exact, length, "model.json", err);
    free(exact);
    return status;
}

static void assert_same_config(const config *a, const config *b)
{
    for (size_t s = 0; s < STAGES; s++) {
        assert_int_equal(a->embed_dims[s], b->embed_dims[s]);
        assert_int_equal(a->num_heads[s], b->num_heads[s]);
        assert_int_equal(a->depths[s], b->depths[s]);
        assert_close(a->mlp_ratios[s], b->mlp_ratios[s], 0);
        assert_int_equal(a->sr_ratios[s], b->sr_ratios[s]);
        assert_int_equal(a->shared_head[s], b->shared_head[s]);
        assert_int_equal(a->routed_head[s], b->routed_head[s]);
    }
    assert_int_equal(a->num_classes, b->num_classes);
    assert_int_equal(a->img_size, b->img_size);
    assert_int_equal(a->pretrain_size, b->pretrain_size);
    assert_int_equal(a->fixed_pool_size, b->fixed_pool_size);
    assert_int_equal(a->dense, b->dense);
}

static void json_reads_as_it_is_written(void **state)
{
    (void)state;
    config c;
    mohvit_error err;
    assert_int_equal(parse(&c, json_with(NULL, NULL), &err), MOHVIT_OK);
    assert_same_config(&c, &tiny);
    assert_int_equal(parse(&c, json_with("pretrain_size", "null"), &err), MOHVIT_OK);
    assert_same_config(&c, &tiny);
    assert_int_equal(parse(&c, json_with("fixed_pool_size", "null"), &err), MOHVIT_OK);
    assert_same_config(&c, &tiny);
    assert_int_equal(parse(&c, json_with("pretrain_size", "224"), &err), MOHVIT_OK);
    assert_int_equal(c.pretrain_size, 224);
    assert_int_equal(parse(&c, json_with("mlp_ratios", "[2.5, 2, 3.25, 1e0]"), &err), MOHVIT_OK);
    assert_close(c.mlp_ratios[0], 2.5, 0);
    assert_close(c.mlp_ratios[2], 3.25, 0);
    assert_close(c.mlp_ratios[3], 1, 0);
}

static void configs_survive_a_round_trip_through_json(void **state)
{
    (void)state;
    config list[LENGTH(published) + 4];
    size_t count = 0;
    for (; count < LENGTH(published); count++)
        config_variant(&list[count], published[count].name);
    list[count] = tiny;
    list[count].mlp_ratios[1] = 10.0 / 3;
    list[count++].pretrain_size = 96;
    list[count] = list[0];
    list[count].img_size = 384;
    list[count++].fixed_pool_size = 7;
    list[count] = tiny;
    list[count++].sr_ratios[0] = 1;
    list[count] = tiny;
    snprintf(list[count].name, sizeof list[count].name, "tiny-1.0_b");
    count++;
    for (size_t i = 0; i < count; i++) {
        config back;
        mohvit_error err;
        char *json = config_to_json(&list[i]);
        assert_non_null(json);
        assert_int_equal(parse(&back, json, &err), MOHVIT_OK);
        assert_same_config(&back, &list[i]);
        free(json);
    }
}

static void a_dense_json_needs_no_heads_to_route(void **state)
{
    (void)state;
    config c;
    mohvit_error err;
    const char *dense =
        "{\"embed_dims\": [8, 16, 24, 48], \"num_heads\": [2, 2, 4, 6], \"mlp_ratios\": [2, 2, 2, 2], "
        "\"depths\": [1, 1, 1, 1], \"sr_ratios\": [8, 4, 2, 1], \"num_classes\": 5, "
        "\"img_size\": 64, \"dense\": true}";
    assert_int_equal(parse(&c, dense, &err), MOHVIT_OK);
    assert_true(c.dense);
    assert_close(config_active_percent(&c), 100, 1e-9);
    assert_int_equal(parse(&c, json_with("dense", "true"), &err), MOHVIT_OK); // given, they are ignored
    for (size_t s = 0; s < STAGES; s++) {
        assert_int_equal(config_candidates(&c, s), 0);
        assert_int_equal(config_active_heads(&c, s), c.num_heads[s]);
    }
    assert_int_equal(parse(&c, json_with("dense", "false"), &err), MOHVIT_OK);
    assert_same_config(&c, &tiny);
}

/* The message names the file, the key, and what is wrong. */
static void expect_refusal(const char *json, const char *key, const char *cause)
{
    mohvit_error err = {.message = ""};
    config c, untouched;
    memset(&c, 0x5A, sizeof c);
    untouched = c;
    mohvit_status status = parse(&c, json, &err);
    if (!status || strncmp(err.message, "model.json: ", 12) || !strstr(err.message, key) ||
        !strstr(err.message, cause))
        fail_msg("%.200s\ngave status %d and \"%s\"; expected it to name \"%s\" and \"%s\"", json,
                 (int)status, err.message, key, cause);
    assert_int_equal(err.status, status);
    assert_memory_equal(&c, &untouched, sizeof c);
}

static void impossible_values_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *cause;
    } refused[] = {
        // shared and routed heads
        {"shared_head", "[2, 0, 3, 2]", "3 shared and 2 routed"},
        {"shared_head", "[3, 0, 1, 2]", "3 shared"},
        {"routed_head", "[0, 3, 2, 2]", "3 routed"},
        {"routed_head", "[0, 0, 2, 2]", "must be shared"},
        {"routed_head", "[0, 1, 0, 2]", "must be shared"},
        {"shared_head", "[2, -1, 1, 2]", "-1"},
        {"routed_head", "[0, 1, -2, 2]", "-2"},
        {"routed_head", "[0, 1, 2147483647, 2]", "2147483647"},
        // dimensions
        {"embed_dims", "[8, 16, 25, 48]", "25"},
        {"embed_dims", "[0, 16, 24, 48]", "1 to"},
        {"embed_dims", "[8, 16, 24, 8193]", "8193"},
        {"num_heads", "[0, 2, 4, 6]", "1 to"},
        {"num_heads", "[2, 2, 4, 257]", "257"},
        {"depths", "[1, 0, 1, 1]", "1 to"},
        {"depths", "[1, 1, 1, 513]", "513"},
        {"depths", "[1, 1, 1, 4294967297]", "4294967297"},
        {"mlp_ratios", "[2, 0.5, 2, 2]", "0.5"},
        {"mlp_ratios", "[2, 2, 2, -1]", "-1"},
        {"mlp_ratios", "[2, 2, 2, 65]", "65"},
        {"mlp_ratios", "[2, 2, 2, 1e300]", "1e+300"},
        {"sr_ratios", "[0, 4, 2, 1]", "1 to"},
        {"sr_ratios", "[65, 4, 2, 1]", "65"},
        {"num_classes", "0", "1 to"},
        {"num_classes", "1000001", "1000001"},
        {"num_classes", "-5", "-5"},
        // sizes
        {"img_size", "65", "multiple of 32"},
        {"img_size", "80", "multiple of 32"},
        {"img_size", "32", "64"},
        {"img_size", "0", "64"},
        {"img_size", "2080", "2080"},
        {"pretrain_size", "63", "63"},
        {"pretrain_size", "4096", "4096"},
        {"fixed_pool_size", "0", "at least 1"},
        {"fixed_pool_size", "4", "4"}, // stage 3, the smallest with pooling, has a side of 4
        {"fixed_pool_size", "-1", "-1"},
        // types
        {"embed_dims", "[8, 16, 24]", "array"},
        {"embed_dims", "[8, 16, 24, 48, 96]", "array"},
        {"embed_dims", "8", "array"},
        {"embed_dims", "[8, 16, 24, \"48\"]", "string"},
        {"embed_dims", "[8, 16, 24, 48.5]", "fraction"},
        {"embed_dims", "[8, 16, 24, null]", "null"},
        {"mlp_ratios", "[2, 2, 2, \"2\"]", "string"},
        {"mlp_ratios", "[2, 2, 2, [2]]", "array"},
        {"num_classes", "5.0", "fraction"},
        {"num_classes", "\"5\"", "string"},
        {"num_classes", "true", "boolean"},
        {"num_classes", "null", "null"},
        {"img_size", "{}", "object"},
        {"dense", "1", "true or false"},
        {"dense", "null", "true or false"},
        {"name", "\"\"", "1 to 63 bytes"},
        {"name", "7", "1 to 63 bytes"},
        {"name", "null", "1 to 63 bytes"},
        {"name", "\"0123456789012345678901234567890123456789012345678901234567890123\"", "1 to 63 bytes"},
        {"name", "\"a b\"", "byte 1; expected letters"},
        {"name", "\"\\u001b[2J\"", "byte 0; expected letters"},
        // keys
        {"embed_dim", "[8, 16, 24, 48]", "unknown key \"embed_dim\"; known are embed_dims, num_heads, "},
        {"Dense", "true", "unknown"},
        {"qk_scale", "1", "unknown"},
    };
    for (size_t i = 0; i < LENGTH(refused); i++) {
        const char *key = refused[i].key;
        bool heads =
            !strcmp(key, "shared_head") || !strcmp(key, "routed_head"); // a rule of both: it names the stage
        expect_refusal(json_with(key, refused[i].value), heads ? "config" : key, refused[i].cause);
    }
    expect_refusal(json_with("sr_ratios", "[32, 4, 2, 1]"), "stage 1", "leaves nothing"); // a side of 16
}

static void every_key_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(parts); i++)
        expect_refusal(json_with(parts[i].key, NULL), parts[i].key, "lacks");
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 "{",
                                 "[]",
                                 "null",
                                 "5",
                                 "\"config\"",
                                 "{\"img_size\": 64",
                                 "{}",
                                 "\xFF",
                                 "{\"img_size\": 64,}",
                                 "{\"img_size\": NaN}"};
    for (size_t i = 0; i < LENGTH(texts); i++)
        expect_refusal(texts[i], "config", "");
    expect_refusal("{\"img_size\": 64, \"img_size\": 96}", "config", "img_size");
    char text[4096];
    snprintf(text, sizeof text, "%s trailing", json_with(NULL, NULL));
    expect_refusal(text, "config", "");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH + 1);
    for (int object = 0; object < 2; object++) {
        if (object)
            for (size_t i = 0; i + 5 <= DEPTH; i += 5)
                memcpy(text + i, "{\"a\":", 5);
        else
            memset(text, '[', DEPTH);
        text[DEPTH] = '\0';
        mohvit_error err;
        config c;
        assert_int_not_equal(parse(&c, text, &err), MOHVIT_OK);
        assert_non_null(strstr(err.message, "model.json"));
    }
    free(text);
}

static void a_config_cut_anywhere_is_refused(void **state)
{
    (void)state;
    char text[4096];
    snprintf(text, sizeof text, "%s", json_with("pretrain_size", "96"));
    for (size_t length = 0; length + 1 < strlen(text); length++) {
        char *exact = malloc(length + 1);
        config c;
        mohvit_error err;
        memcpy(exact, text, length);
        assert_int_not_equal(config_from_json(&c, exact, length, "model.json", &err), MOHVIT_OK);
        free(exact);
    }
}

static void control_bytes_in_a_key_are_escaped_in_the_message(void **state)
{
    (void)state;
    expect_refusal(json_with("\\u001b[31mred\\n", "1"), "\\x1b[31mred\\x0a", "unknown");
}

static void what_the_specification_allows_is_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } accepted[] = {{"img_size", "2048"},           {"img_size", "96"},
                    {"fixed_pool_size", "3"},       {"fixed_pool_size", "1"},
                    {"sr_ratios", "[1, 4, 1, 1]"},  {"sr_ratios", "[8, 4, 2, 2]"},
                    {"sr_ratios", "[3, 3, 3, 1]"},  {"num_classes", "1"},
                    {"pretrain_size", "100"},       {"mlp_ratios", "[1, 64, 1.5, 2]"},
                    {"routed_head", "[0, 2, 3, 4]"}};
    for (size_t i = 0; i < LENGTH(accepted); i++) {
        config c;
        mohvit_error err = {.message = ""};
        if (parse(&c, json_with(accepted[i].key, accepted[i].value), &err))
            fail_msg("%s", err.message);
    }
    config one = tiny; // a single head, shared, with no gate to learn
    one.num_heads[0] = one.shared_head[0] = 1;
    tensor_list list;
    assert_int_equal(config_validate(&one, "one", NULL), MOHVIT_OK);
    assert_int_equal(model_tensors(&list, &one, NULL), MOHVIT_OK);
    assert_null(find(&list, "block1.0.attn.wg_1.weight"));
    tensor_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variants_are_the_published_ones),
        cmocka_unit_test(skipped_heads_save_their_scores_and_sums),
        cmocka_unit_test(a_variant_keeps_its_name_at_other_sizes_and_classes),
        cmocka_unit_test(sides_and_widths_follow_from_a_config),
        cmocka_unit_test(tensors_have_the_shapes_of_the_state_dict),
        cmocka_unit_test(tensors_come_in_the_order_of_the_state_dict),
        cmocka_unit_test(a_dense_config_has_no_router),
        cmocka_unit_test(more_parameters_than_the_limit_are_refused),
        cmocka_unit_test(json_reads_as_it_is_written),
        cmocka_unit_test(configs_survive_a_round_trip_through_json),
        cmocka_unit_test(a_dense_json_needs_no_heads_to_route),
        cmocka_unit_test(impossible_values_are_refused_by_name),
        cmocka_unit_test(every_key_is_needed),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_config_cut_anywhere_is_refused),
        cmocka_unit_test(control_bytes_in_a_key_are_escaped_in_the_message),
        cmocka_unit_test(what_the_specification_allows_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

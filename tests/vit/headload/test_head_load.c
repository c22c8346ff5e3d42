/* Head load: counts are the golden files', exact in any order and split, and a file of them is believed only
 * where its numbers belong together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "tests/vit/headload/head_load_testing.h"
#include "weights/safetensors_writer.h"
#include "vit/network/synthetic.h"
#include "tests/weights/weights_testing.h"
#include "base/memory.h"

#include <math.h>

#ifndef ALL_GOLDEN /* the sanitizers see two files alone */
#define ALL_GOLDEN 1
#endif

static char scratch_dir[64];

static char *in_scratch(const char *name)
{
    static char path[2][128];
    static size_t turn;
    snprintf(path[turn ^= 1], sizeof path[0], "%s/%s", scratch_dir, name);
    return path[turn];
}

static int setup(void **state)
{
    (void)state;
    enter_scratch(scratch_dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    leave_scratch(scratch_dir);
    return 0;
}

/* Blocks of one stage, of several, shared heads alone, no shared heads. */
static config small_config(void)
{
    config c;
    static const char json[] =
        "{\"embed_dims\":[24,48,96,192],\"num_heads\":[2,4,8,16],\"depths\":[1,2,1,2],\"mlp_ratios\":[4,4,4,"
        "4],"
        "\"sr_ratios\":[8,4,2,1],\"shared_head\":[2,0,2,5],\"routed_head\":[0,2,3,6],\"num_classes\":5,"
        "\"img_size\":64}";
    mohvit_error err;
    expect_ok(config_from_json(&c, json, strlen(json), "small", &err), &err);
    return c;
}

static head_load *make(const config *c, uint64_t seed)
{
    labels names;
    assert_int_equal(labels_numbered(&names, c->num_classes, NULL), MOHVIT_OK);
    head_load *l = made_head_load(c, &names, seed);
    assert_non_null(l);
    labels_free(&names);
    return l;
}

static void assert_same_counts(const head_load *a, const head_load *b)
{
    size_t classes = a->names.count, cells = classes * a->routing.count * a->routing.max_heads;
    assert_int_equal(classes, b->names.count);
    assert_true(routing_layout_equal(&a->routing, &b->routing));
    assert_memory_equal(a->images, b->images, classes * sizeof *a->images);
    assert_memory_equal(a->active, b->active, cells * sizeof *a->active);
    assert_memory_equal(a->gate, b->gate, cells * sizeof *a->gate);
    assert_int_equal(a->has_squares, b->has_squares);
    if (!a->has_squares)
        return;
    assert_memory_equal(a->active_squares, b->active_squares, cells * sizeof *a->active_squares);
    assert_memory_equal(a->gate_squares, b->gate_squares, cells * sizeof *a->gate_squares);
    assert_memory_equal(a->half_images, b->half_images, classes * sizeof *a->half_images);
    assert_memory_equal(a->half_active, b->half_active, cells * sizeof *a->half_active);
}

// ---- Counting --------------------------------------------------------------------------------------

typedef struct {
    int32_t *tokens; /* (batch, blocks, max_heads) */
    float *gate_mean;
    size_t batch;
    config config;
    uint64_t seed;
} golden_file;

static golden_file open_golden(const char *path)
{
    golden_file g = {0};
    checkpoint *cp;
    mohvit_error err;
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    const char *json = checkpoint_metadata(cp, "config");
    expect_ok(config_from_json(&g.config, json, strlen(json), path, &err), &err);
    g.seed = strtoull(checkpoint_metadata(cp, "seed"), NULL, 10);
    g.batch = strtoull(checkpoint_metadata(cp, "batch"), NULL, 10);
    const tensor_info *t = checkpoint_find(cp, "head_tokens");
    assert_int_equal(t->dtype, DTYPE_I32);
    g.tokens = memory_alloc(t->elements, sizeof *g.tokens);
    expect_ok(checkpoint_read_raw(cp, t, g.tokens, &err), &err);
    g.gate_mean = read_tensor(cp, "head_gate_mean");
    checkpoint_close(cp);
    return g;
}

/* Image i of the file's input is of class i. */
static void count_golden(const char *name)
{
    char path[1024];
    mohvit_model *m;
    mohvit_context *ctx;
    mohvit_error err;
    head_load *l;
    snprintf(path, sizeof path, "%s/%s.safetensors", GOLDEN_DIR, name);
    golden_file g = open_golden(path);
    expect_ok(mohvit_open_config(&m, &g.config, g.seed, NULL, &err), &err);
    assert_int_equal(mohvit_context_create(&ctx, m, g.batch, 0, NULL), MOHVIT_OK);
    size_t S = g.config.img_size, pixels = 3 * S * S;
    float *input = memory_alloc(g.batch * pixels, sizeof *input);
    synthetic_input(input, g.batch, S, g.seed);
    for (size_t i = 0; i < g.batch; i++)
        assert_int_equal(mohvit_load_tensor(ctx, i, input + i * pixels, NULL), MOHVIT_OK);
    assert_int_equal(mohvit_run(ctx, g.batch, NULL), MOHVIT_OK);
    l = empty_head_load(&g.config, &mohvit_describe(m)->labels);
    assert_non_null(l);
    size_t cells = l->routing.count * l->routing.max_heads;
    expect_ok(head_load_begin_together(l, &err), &err);
    for (size_t i = 0; i < g.batch; i++) {
        const head_image one = {mohvit_head_tokens(ctx, i), mohvit_head_gate_sum(ctx, i),
                                mohvit_together(ctx, i)};
        expect_ok(head_load_add(l, i, &one, &err), &err);
        for (size_t k = 0; k < cells; k++) {
            size_t b = k / l->routing.max_heads, h = k % l->routing.max_heads;
            assert_int_equal(l->active[i * cells + k], g.tokens[i * cells + k]);
            double mean = head_load_gate_sum(l, i, b, h) / (double)head_load_tokens(l, i, b);
            assert_true(fabs(mean - (double)g.gate_mean[i * cells + k]) <= 1e-4);
        }
    }
    for (size_t b = 0; b < l->routing.count; b++)
        expect_ok(head_load_check_together(l, b, name, &err), &err);
    print_message("%s: %zu images, %zu counts equal\n", name, g.batch, g.batch * cells);
    head_load_destroy(l);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
    free(input);
    free(g.tokens);
    free(g.gate_mean);
}

static void counts_are_those_of_the_golden_files(void **state)
{
    (void)state;
    count_golden("tiny_trace");
    count_golden("moh_transnext_small_75");
    if (!ALL_GOLDEN)
        return;
    count_golden("moh_transnext_small_80");
    count_golden("moh_transnext_base_50");
    count_golden("moh_transnext_base_75");
    count_golden("small_75_at_256_pretrain_224");
    count_golden("small_80_at_384_fixed_pool_7");
}

/* What a context could have reported of image i. */
static void make_image(const head_load *l, int32_t *tokens, double *gate_sum, uint64_t i)
{
    uint64_t state = i * 77;
    for (size_t k = 0; k < l->routing.count; k++) {
        const routing_block *b = &l->routing.blocks[k];
        int64_t active[ROUTING_MAX_HEADS];
        made_block(active, b, (int64_t)b->tokens, i, &state);
        for (size_t h = 0; h < l->routing.max_heads; h++) {
            tokens[k * l->routing.max_heads + h] = h < b->heads ? (int32_t)active[h] : -1;
            gate_sum[k * l->routing.max_heads + h] =
                h < b->heads ? (double)active[h] * (double)made_random(&state, 1000003) / 1e6 / 3 : 0;
        }
    }
}

static void any_order_and_split_of_the_images_gives_the_same_bits(void **state)
{
    (void)state;
    enum { IMAGES = 500, PARTS = 7 };
    config c = small_config();
    head_load *whole = make(&c, 1), *parts[PARTS];
    size_t cells = whole->routing.count * whole->routing.max_heads;
    int32_t *tokens = malloc(cells * sizeof *tokens);
    double *gates = malloc(cells * sizeof *gates);
    for (size_t i = 0; i < PARTS; i++) {
        assert_non_null(parts[i] = empty_head_load(&c, &whole->names));
        json_object_update(parts[i]->provenance, whole->provenance);
    }
    for (uint64_t i = 0; i < IMAGES; i++) {
        make_image(whole, tokens, gates, i);
        assert_int_equal(head_load_add(whole, i % 5, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
    }
    for (uint64_t k = 0; k < IMAGES; k++) {
        uint64_t i = k * 263 % IMAGES; // every image, in another order
        make_image(whole, tokens, gates, i);
        assert_int_equal(head_load_add(parts[k % PARTS], i % 5, &(head_image){tokens, gates, NULL}, NULL),
                         MOHVIT_OK);
    }
    head_load *merged = make(&c, 1); // as whole began
    for (size_t i = PARTS; i--;) {
        mohvit_error err;
        expect_ok(head_load_merge(merged, parts[i], "merged", "part", false, &err), &err);
        head_load_destroy(parts[i]);
    }
    assert_same_counts(whole, merged);
    head_load_destroy(whole);
    head_load_destroy(merged);
    free(tokens);
    free(gates);
}

/* Worked out once more from what was added: block 4.1 has 4 tokens, 5 shared heads, and 11 routed ones. */
static void squares_are_sums_over_images(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 1);
    const head_load_counts row = head_load_row(l, 4); // of no images
    size_t cells = l->routing.count * l->routing.max_heads, first = 5 * l->routing.max_heads;
    int32_t *tokens = malloc(cells * sizeof *tokens);
    double *gates = malloc(cells * sizeof *gates);
    int64_t active[16] = {0}, gate[16] = {0};
    for (uint64_t i = 0; i < 9; i++) {
        make_image(l, tokens, gates, i);
        assert_int_equal(head_load_add(l, 4, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
        for (size_t h = 0; h < 16; h++) {
            double mean = round(gates[first + h] / 4 * 65536);
            active[h] += tokens[first + h] * tokens[first + h];
            gate[h] += (int64_t)(mean * mean);
        }
    }
    assert_memory_equal(row.active_squares + first, active, sizeof active);
    for (size_t h = 0; h < 16; h++)
        assert_true(gate[h] == row.gate_squares[first + h] && gate[h] > 0);
    assert_int_equal(row.active_squares[4], 0); // block 1.0 has no such head
    head_load_destroy(l);
    free(tokens);
    free(gates);
}

static void an_image_is_in_a_half_by_its_counts(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 1);
    const head_load_counts row = head_load_row(l, 4); // of no images
    size_t cells = l->routing.count * l->routing.max_heads, halves = 0, at = 5 * l->routing.max_heads + 7;
    int32_t *tokens = malloc(cells * sizeof *tokens);
    double *gates = malloc(cells * sizeof *gates);
    int64_t active = 0;
    for (uint64_t i = 0; i < 400; i++) {
        int64_t before = *row.half_images;
        make_image(l, tokens, gates, i);
        for (size_t twice = 0; twice < 2; twice++)
            assert_int_equal(head_load_add(l, 4, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
        bool half = *row.half_images > before;
        assert_int_equal(*row.half_images, before + 2 * half);
        active += half ? 2 * tokens[at] : 0;
        halves += half;
    }
    assert_int_equal(row.half_active[at], active);
    assert_in_range(halves, 160, 240);        // four standard deviations
    assert_int_equal(row.half_active[5], -1); // block 1.0 has no such head
    head_load_destroy(l);
    free(tokens);
    free(gates);
}

static void what_cannot_be_counted_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 1), *before = make(&c, 1);
    mohvit_error err;
    size_t cells = l->routing.count * l->routing.max_heads;
    int32_t *tokens = malloc(cells * sizeof *tokens);
    double *gates = malloc(cells * sizeof *gates);
    make_image(l, tokens, gates, 3);
    expect_error(head_load_add(l, 5, &(head_image){tokens, gates, NULL}, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "class 5", "5");
    gates[20] = NAN;
    expect_error(head_load_add(l, 1, &(head_image){tokens, gates, NULL}, &err), &err, MOHVIT_ERROR_NONFINITE,
                 "block 1", "nan");
    gates[20] = INFINITY;
    expect_error(head_load_add(l, 1, &(head_image){tokens, gates, NULL}, &err), &err, MOHVIT_ERROR_NONFINITE,
                 "block 1", "inf");
    assert_same_counts(l, before);
    gates[20] = 1.0 * HEAD_LOAD_MAX_MEAN * 64 * 1.0001; // of the 64 tokens of block 2.0
    expect_error(head_load_add(l, 1, &(head_image){tokens, gates, NULL}, &err), &err, MOHVIT_ERROR_NONFINITE,
                 "block 1", "");
    gates[20] = 0;
    size_t last =
        head_load_at(l, 1, 5, 15); // by the time that it overflows, all others might have been added
    int64_t *const sums[] = {&l->active[last], &l->gate[last], &l->active_squares[last],
                             &l->gate_squares[last], &l->images[1]};
    for (size_t i = 0; i < 5; i++) {
        int64_t kept = *sums[i];
        *sums[i] = i < 4 ? INT64_MAX : HEAD_LOAD_MAX_IMAGES;
        expect_error(head_load_add(l, 1, &(head_image){tokens, gates, NULL}, &err), &err, MOHVIT_ERROR_LIMIT,
                     "class 1", "64 bits");
        *sums[i] = kept;
        assert_same_counts(l, before);
    }
    head_load_destroy(l);
    head_load_destroy(before);
    free(tokens);
    free(gates);
}

static void the_public_interface_counts_and_writes(void **state)
{
    (void)state;
    mohvit_model *m, *other;
    mohvit_context *ctx, *alien;
    mohvit_head_load *l;
    head_load *back;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    config c = small_config(), d = c;
    d.routed_head[3] = 5;
    expect_ok(mohvit_open_config(&m, &c, 1, NULL, &err), &err);
    expect_ok(mohvit_open_config(&other, &d, 1, NULL, &err), &err);
    expect_ok(mohvit_context_create(&ctx, m, 2, 1, &err), &err);
    expect_ok(mohvit_context_create(&alien, other, 1, 1, &err), &err);
    expect_ok(mohvit_run(ctx, 2, &err), &err);
    expect_ok(mohvit_head_load_create(&l, m, &err), &err);
    expect_ok(mohvit_head_load_add(l, ctx, 0, 3, &err), &err);
    expect_ok(mohvit_head_load_add(l, ctx, 1, 3, &err), &err);
    expect_error(mohvit_head_load_add(l, ctx, 2, 3, &err), &err, MOHVIT_ERROR_ARGUMENT, "slot 2",
                 "answered 2");
    expect_error(mohvit_head_load_add(l, ctx, 0, 5, &err), &err, MOHVIT_ERROR_ARGUMENT, "class 5", "5");
    expect_error(mohvit_head_load_add(l, alien, 0, 3, &err), &err, MOHVIT_ERROR_MISMATCH, "head load",
                 "another model");
    expect_ok(mohvit_head_load_save(l, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_int_equal(back->images[3], 2);
    const int32_t *tokens = mohvit_head_tokens(ctx, 0);
    for (size_t i = 0; i < back->routing.count * back->routing.max_heads;
         i++) // two images without a difference: all black
        assert_int_equal(back->active[3 * back->routing.count * back->routing.max_heads + i],
                         tokens[i] < 0 ? -1 : 2 * tokens[i]);
    head_load_destroy(back);
    mohvit_head_load_destroy(l);
    mohvit_head_load_destroy(NULL);
    mohvit_context_destroy(ctx);
    mohvit_context_destroy(alien);
    mohvit_close(m);
    mohvit_close(other);
    unlink(path);
}

// ---- Merging ---------------------------------------------------------------------------------------

static void only_counts_of_one_model_are_merged(void **state)
{
    (void)state;
    config c = small_config(), other = c;
    mohvit_error err;
    head_load *a = make(&c, 1), *b = make(&c, 2);
    expect_error(head_load_merge(a, b, "a.safetensors", "b.safetensors", false, &err), &err,
                 MOHVIT_ERROR_MISMATCH, "b.safetensors: was counted otherwise than a.safetensors",
                 "weights_hash is \"synthetic:2\"");
    head_load_destroy(b);
    b = make(&c, 1); // what one has and the other lacks
    json_object_set_new(b->provenance, "subset", json_string("first 10"));
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH, "b",
                 "subset is \"first 10\", expected absent");
    expect_error(head_load_merge(b, a, "b", "a", false, &err), &err, MOHVIT_ERROR_MISMATCH, "a",
                 "subset is absent, expected \"first 10\"");
    head_load_destroy(b);
    other.routed_head[3] = 5;
    b = make(&other, 1);
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH, "b",
                 "routed_head is [0,2,3,5], expected [0,2,3,6]");
    head_load_destroy(b);
    b = make(&c, 1);
    json_object_set_new(b->provenance, "kernels", json_string("bf16_widen_avx2"));
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH, "b",
                 "kernels is \"bf16_widen_avx2\", expected absent");
    expect_error(head_load_merge(a, b, "a", "b", HEAD_LOAD_MIXED, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "b: has counted what a has", "made up"); // once that is allowed
    head_load_destroy(b);
    b = make(&c, 1);
    b->routing.blocks[5].tokens++; // as of another network with such a config
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH,
                 "b: is of another model than a", "other heads or tokens");
    head_load_destroy(b);
    b = make(&c, 1);
    json_object_set_new(b->config, "name", json_string("other"));
    json_array_clear(b->sources);
    expect_ok(head_load_merge(a, b, "a", "b", false, &err), &err); // whatever it is called
    b->names.count--;
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH,
                 "b: has 4 classes, a has 5", "");
    b->names.count++;
    head_load_destroy(b);
    b = make(&c, 1);
    b->names.name[3][0] = 'X';
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH, "b",
                 "class 3 is \"Xlass 3\", in a it is \"class 3\"");
    head_load_destroy(b);
    b = make(&c, 1);
    expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "b: has counted what a has", "made up");
    head_load_destroy(b);
    head_load_destroy(a);
}

/* A part of 0.1 and one of now are put together only where the loss of intervals is meant; a part without
 * images loses nothing. */
static void intervals_are_lost_only_on_request(void **state)
{
    (void)state;
    config c = small_config();
    mohvit_error err;
    for (int old = 0; old < 2; old++) {
        head_load *to = make(&c, 1), *from = make(&c, 1), *empty = empty_head_load(&c, &to->names);
        json_array_clear(from->sources);
        json_object_update(empty->provenance, to->provenance);
        to->has_squares = !old;
        from->has_squares = old;
        expect_error(head_load_merge(to, from, "a", "b", HEAD_LOAD_MIXED, &err), &err, MOHVIT_ERROR_MISMATCH,
                     old ? "b: has the sums of squares" : "b: lacks the sums of squares", "unlike a");
        expect_ok(head_load_merge(to, empty, "a", "b", false, &err), &err);
        assert_int_equal(to->has_squares, !old);
        expect_ok(head_load_merge(empty, from, "a", "b", false, &err), &err);
        assert_same_counts(empty, from);
        expect_ok(head_load_merge(to, from, "a", "b", HEAD_LOAD_DROP_SQUARES, &err), &err);
        assert_false(to->has_squares);
        assert_int_equal(to->images[0], 2 * from->images[0]);
        head_load_destroy(to);
        head_load_destroy(from);
        head_load_destroy(empty);
    }
}

/* One source of the data "f", or of others. */
static void set_source(head_load *l, const char *prefix, const char *fingerprint, const char *shard)
{
    json_array_clear(l->sources);
    json_t *source =
        json_pack("{s:[s], s:s, s:i}", "prefixes", prefix, "fingerprint", fingerprint, "images", 9);
    if (shard)
        json_object_set_new(source, "shard", json_string(shard));
    json_array_append_new(l->sources, source);
}

/* The first ones of the data `whole`. */
static void set_chosen(head_load *l, const char *fingerprint, const char *whole, const char *shard)
{
    set_source(l, "val/", fingerprint, shard);
    json_object_set_new(json_array_get(l->sources, 0), "chosen_from",
                        json_pack("{s:i, s:s}", "images", 9, "fingerprint", whole));
}

static void some_of_the_pictures_and_others_of_them_do_not_add_up(void **state)
{
    (void)state;
    config c = small_config();
    mohvit_error err;
    head_load *whole = make(&c, 1), *some = make(&c, 1), *others = make(&c, 1);
    set_source(whole, "val/", "f", NULL);
    set_chosen(some, "g", "f", NULL);
    set_chosen(others, "h", "f", NULL);
    expect_error(head_load_merge(whole, some, "a", "b", false, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "b: has counted pictures of the same data as a, chosen in another way", "chosen_from");
    expect_error(head_load_merge(some, whole, "a", "b", false, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "b: has counted pictures of the same data as a", "val/");
    expect_error(head_load_merge(some, others, "a", "b", false, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "b: has counted pictures of the same data as a", "val/");
    set_source(whole, "val/", "other", NULL);
    expect_ok(head_load_merge(whole, some, "a", "b", false, &err), &err);
    set_chosen(some, "g", "f", "1/2");
    set_chosen(others, "g", "f", "2/2");
    expect_ok(head_load_merge(some, others, "a", "b", false, &err), &err);
    head_load_destroy(whole);
    head_load_destroy(some);
    head_load_destroy(others);
}

static void the_same_pictures_are_not_counted_twice(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b; // shards
        bool overlap;
    } cases[] = {
        {NULL, NULL, true},
        {NULL, "1/2", true},
        {"2/2", NULL, true},
        {"1/2", "1/2", true},
        {"1/2", "2/4", true},
        {"2/3", "1/2", true},
        {"2/3", "2/2", true},
        {"1/2", "2/2", false},
        {"1/2", "3/4", false},
        {"2/6", "1/6", false},
        {"2/6", "2/3", false},
        {"1/3", "3/3", false},
        {"999999999/999999999", "999999998/999999999", false},
        {"999999999/999999999", "999999998/999999998", true},
    };
    config c = small_config();
    mohvit_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        head_load *a = make(&c, 1), *b = make(&c, 1);
        set_source(a, "val/", "f", cases[i].a);
        set_source(b, "./val/", "f", cases[i].b);
        if (cases[i].overlap)
            expect_error(head_load_merge(a, b, "a", "b", false, &err), &err, MOHVIT_ERROR_ARGUMENT,
                         "b: has counted what a has", "./val/");
        else
            expect_ok(head_load_merge(a, b, "a", "b", false, &err), &err);
        head_load_destroy(a);
        head_load_destroy(b);
    }
    head_load *a = make(&c, 1), *b = make(&c, 1);
    set_source(a, "val/", "f", NULL);
    set_source(b, "val/", "g", NULL);
    expect_ok(head_load_merge(a, b, "a", "b", false, &err), &err);
    head_load_destroy(a);
    head_load_destroy(b);
}

/* What is missing of the data of which these parts have been counted: texts with "; " between them. */
static void expect_missing(const char *const *shards, const char *expected)
{
    config c = small_config();
    head_load *l = make(&c, 1), *part = make(&c, 1);
    char text[128], all[512] = "";
    json_array_clear(l->sources);
    for (; *shards; shards++) {
        set_source(part, "val/", "f", *shards);
        json_array_extend(l->sources, part->sources);
    }
    set_source(part, "val/", "g", NULL);
    json_array_extend(l->sources, part->sources);
    for (size_t i = 0; i < json_array_size(l->sources); i++)
        for (int behind = 0; behind < 2; behind++)
            if (head_load_missing(l, i, behind, text, sizeof text))
                snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", *all ? "; " : "", text);
    assert_string_equal(all, expected);
    head_load_destroy(l);
    head_load_destroy(part);
}

static void parts_that_are_missing_are_named(void **state)
{
    (void)state;
    expect_missing((const char *const[]){"2/2", "1/2", NULL}, "");
    expect_missing((const char *const[]){"4/4", "1/2", "3/4", NULL}, "");
    expect_missing((const char *const[]){"3/3", "1/3", NULL}, "shard 2/3 is missing");
    expect_missing((const char *const[]){"1/4", NULL}, "shards 2/4 to 4/4 are missing");
    expect_missing((const char *const[]){"2/5", "4/5", NULL},
                   "shard 1/5 is missing; shard 3/5 is missing; shard 5/5 is missing");
    expect_missing((const char *const[]){"1/2", "4/4", NULL}, "from 1/2 to 3/4 of the pictures are missing");
}

// ---- Files -----------------------------------------------------------------------------------------

static void a_file_brings_back_every_bit(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9), *back;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    l->gate[head_load_at(l, 1, 3, 2)] = ((int64_t)1 << 40) - 1;
    fill_squares(l, 1, 3);
    expect_ok(head_load_save(l, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_true(back->has_squares);
    assert_same_counts(l, back);
    assert_true(json_equal(l->sources, back->sources));
    assert_true(json_equal(l->provenance, back->provenance));
    assert_string_equal(back->names.name[4], "class 4");
    assert_true(json_equal(l->config, back->config));
    assert_string_equal(back->routing.model, "custom");
    assert_string_equal(back->routing.blocks[4].name, "4.0");
    head_load_destroy(l);
    head_load_destroy(back);
    unlink(path);
}

static void a_gate_sum_beyond_53_bits_is_rounded_and_read_back(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9), *back;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    size_t at = head_load_at(l, 1, 3, 2);
    l->has_squares = false; // so few images cannot have such gates
    for (int64_t beyond = -1; beyond < 2; beyond += 2) {
        l->gate[at] = ((int64_t)1 << 53) + beyond;
        expect_ok(head_load_save(l, path, &err), &err);
        expect_ok(head_load_open(&back, path, NULL, &err), &err);
        assert_int_equal(back->gate[at], ((int64_t)1 << 53) + (beyond < 0 ? beyond : 0));
        l->gate[at] = back->gate[at];
        assert_same_counts(l, back);
        head_load_destroy(back);
    }
    head_load_destroy(l);
    unlink(path);
}

static void a_gate_sum_is_counted_to_the_nearest_unit(void **state)
{
    (void)state;
    static const double part[] = {0.25, 0.5, 0.75, 1.5, -0.75}; // ties go to the even one
    static const int64_t nearest[] = {0, 0, 1, 2, -1};
    config c = small_config();
    head_load *l = make(&c, 1);
    size_t cells = l->routing.count * l->routing.max_heads;
    int32_t *tokens = malloc(cells * sizeof *tokens);
    double *gates = malloc(cells * sizeof *gates);
    make_image(l, tokens, gates, 3);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        int64_t before = l->gate[head_load_at(l, 1, 4, 7)];
        gates[4 * l->routing.max_heads + 7] = part[i] / HEAD_LOAD_GATE_UNIT;
        assert_int_equal(head_load_add(l, 1, &(head_image){tokens, gates, NULL}, NULL), MOHVIT_OK);
        assert_int_equal(l->gate[head_load_at(l, 1, 4, 7)] - before, nearest[i]);
    }
    head_load_destroy(l);
    free(tokens);
    free(gates);
}

static void the_file_is_laid_out_as_documented(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9);
    mohvit_error err;
    checkpoint *cp;
    char *path = in_scratch("a.safetensors");
    expect_ok(head_load_save(l, path, &err), &err);
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    assert_int_equal(checkpoint_find(cp, "images")->dtype, DTYPE_I64);
    assert_int_equal(checkpoint_find(cp, "tokens")->dtype, DTYPE_I64);
    const tensor_info *active = checkpoint_find(cp, "active"), *gate = checkpoint_find(cp, "gate_sum");
    assert_int_equal(active->dtype, DTYPE_I64);
    assert_int_equal(gate->dtype, DTYPE_F64);
    for (size_t i = 0; i < 2; i++) {
        const tensor_info *squares = checkpoint_find(cp, i ? "active_squares" : "gate_squares");
        assert_int_equal(squares->dtype, DTYPE_I64);
        assert_int_equal(squares->elements, active->elements);
    }
    assert_int_equal(active->rank, 3);
    assert_int_equal(active->shape[0], 5);
    assert_int_equal(active->shape[1], 6);
    assert_int_equal(active->shape[2], 16);
    double *sums = memory_alloc(gate->elements, sizeof *sums);
    expect_ok(checkpoint_read_raw(cp, gate, sums, &err), &err);
    for (size_t i = 0; i < gate->elements; i++)
        assert_true(sums[i] == (double)l->gate[i] / 1048576);
    assert_string_equal(checkpoint_metadata(cp, "block_names"),
                        "[\"1.0\",\"2.0\",\"2.1\",\"3.0\",\"4.0\",\"4.1\"]");
    assert_string_equal(checkpoint_metadata(cp, "class_names"),
                        "[\"class 0\",\"class 1\",\"class 2\",\"class 3\",\"class 4\"]");
    assert_non_null(checkpoint_metadata(cp, "config"));
    assert_non_null(checkpoint_metadata(cp, "provenance"));
    assert_non_null(checkpoint_metadata(cp, "data"));
    assert_non_null(checkpoint_metadata(cp, "active_heads_percent"));
    checkpoint_close(cp);
    free(sums);
    head_load_destroy(l);
    unlink(path);
}

static void a_file_cut_short_is_refused(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9), *back = NULL;
    mohvit_error err;
    char *path = in_scratch("a.safetensors"), *cut = in_scratch("cut.safetensors");
    expect_ok(head_load_save(l, path, &err), &err);
    blob b = blob_read(path);
    for (size_t size = 0; size < b.size; size += size + 397 < b.size ? 397
                                                 : b.size - 1 - size ? b.size - 1 - size
                                                                     : 1) {
        blob_write(cut, b.data, size);
        mohvit_status status = head_load_open(&back, cut, NULL, &err);
        if (!status || !strstr(err.message, "cut.safetensors"))
            fail_msg("%zu of %zu bytes: status %d, %s", size, b.size, (int)status, err.message);
    }
    free(b.data);
    head_load_destroy(l);
    unlink(path);
    unlink(cut);
}

/* Saves l as it is, and expects that it cannot be read for this reason. */
static void expect_refused(head_load *l, mohvit_status expected, const char *cause)
{
    head_load *back;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    expect_ok(head_load_save(l, path, &err), &err);
    expect_error(head_load_open(&back, path, NULL, &err), &err, expected, "a.safetensors", cause);
    unlink(path);
    head_load_destroy(l);
}

static void numbers_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9);
    l->active[head_load_at(l, 2, 4, 7)]++;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "active: class 2, block 4.0: routed heads add up to");
    l = make(&c, 9);
    l->active[head_load_at(l, 2, 4, 7)]--;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "active: class 2, block 4.0: routed heads add up to");
    l = make(&c, 9);
    l->active[head_load_at(l, 2, 4, 1)]--;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "active: class 2, block 4.0, head 1");
    l = make(&c, 9);
    l->active[head_load_at(l, 2, 0, 5)] = 0;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "expected -1, since there is no such head");
    l = make(&c, 9);
    l->images[4] = -1;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "images: class 4 has -1");
    l = make(&c, 9);
    l->gate[head_load_at(l, 1, 1, 1)] = -1;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "gate_sum");
    l = make(&c, 9);
    l->routing.blocks[5].tokens = 9;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "active");
}

static void squares_that_no_images_can_have_are_refused(void **state)
{
    (void)state;
    enum { HALF = -2 };
    static const struct {
        size_t class_index, block, head;
        int64_t value;
    } cases[] = {
        {1, 4, 7, HALF},                    // more images would be needed
        {1, 4, 7, INT64_MAX},               // fewer
        {1, 4, 7, -1},        {4, 4, 7, 1}, // no images
        {1, 0, 7, 1},                       // no such head
    };
    config c = small_config();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int of_gates = 0; of_gates < 2; of_gates++) {
            head_load *l = make(&c, 9);
            int64_t *squares = (of_gates ? l->gate_squares : l->active_squares) +
                               head_load_at(l, cases[i].class_index, cases[i].block, cases[i].head);
            *squares = cases[i].value == HALF ? *squares / 2 : cases[i].value;
            char cause[64];
            snprintf(cause, sizeof cause, "%s: class %d, block %s, head 7",
                     of_gates ? "gate_squares" : "active_squares", (int)cases[i].class_index,
                     l->routing.blocks[cases[i].block].name);
            expect_refused(l, MOHVIT_ERROR_FORMAT, cause);
        }
}

static void halves_that_are_none_are_refused(void **state)
{
    (void)state;
    config c = small_config();
    head_load *l = make(&c, 9);
    l->half_images[1] = -1;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "half_images: class 1 has -1 of 41 images");
    l = make(&c, 9);
    l->half_images[1] = 42;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "half_images: class 1 has 42 of 41 images");
    l = make(&c, 9);
    l->half_active[head_load_at(l, 2, 4, 7)]++;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "half_active: class 2, block 4.0: routed heads add up to");
    l = make(&c, 9);
    l->half_active[head_load_at(l, 2, 4, 7)] = INT64_MIN;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "half_active: class 2, block 4.0, head 7: -9223372036854775808");
    l = make(&c, 9); // more in the half than there are: the rest is below 0
    int64_t *half = l->half_active + head_load_at(l, 2, 4, 5), *all = l->active + head_load_at(l, 2, 4, 5);
    size_t few = all[0] < all[1] ? 0 : 1;
    int64_t more = all[few] + 1 - half[few];
    half[few] += more;
    half[!few] -= more;
    expect_refused(l, MOHVIT_ERROR_FORMAT, "half_active: class 2, block 4.0, head");
}

static void descriptions_of_the_data_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[null]", "element 0: is not an object"},
        {"[{}, []]", "element 1: is not an object"},
        {"[{\"prefixes\":[1]}]", "element 0: one of its prefixes is not text"},
        {"[{\"prefixes\":[\"a\",null]}]", "element 0: one of its prefixes is not text"},
        {"[{\"prefixes\":\"a\"}]", "element 0: its prefixes are not an array"},
        {"[{\"source\":{}}]", "element 0: its source is not text"},
        {"[{\"fingerprint\":7}]", "element 0: its fingerprint is not text"},
        {"[{\"shard\":3}]", "element 0: its shard is none"},
        {"[{\"shard\":\"0/3\"}]", "element 0: its shard is none"},
        {"[{\"shard\":\"4/3\"}]", "element 0: its shard is none"},
        {"[{\"shard\":\"-1/3\"}]", "element 0: its shard is none"},
        {"[{\"shard\":\"1/3x\"}]", "element 0: its shard is none"},
    };
    config c = small_config();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        head_load *l = make(&c, 9);
        json_decref(l->sources);
        l->sources = json_loads(cases[i][0], 0, NULL);
        assert_non_null(l->sources);
        expect_refused(l, MOHVIT_ERROR_FORMAT, cases[i][1]);
    }
}

/* Saves a head load, overwrites a text of its metadata, and expects that it cannot be read for this reason.
 */
static void expect_edit_refused(const char *from, const char *to, mohvit_status expected, const char *where,
                                const char *cause)
{
    config c = small_config();
    head_load *l = make(&c, 9), *back;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    expect_ok(head_load_save(l, path, &err), &err);
    blob b = blob_read(path);
    char *at = memmem(b.data, b.size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    blob_write(path, b.data, b.size);
    expect_error(head_load_open(&back, path, NULL, &err), &err, expected, where, cause);
    free(b.data);
    head_load_destroy(l);
    unlink(path);
}

static void a_text_that_is_not_json_is_refused_with_the_reason(void **state)
{
    (void)state;
    expect_edit_refused("\"provenance\":\"{", "\"provenance\":\"[", MOHVIT_ERROR_FORMAT,
                        "a.safetensors: metadata \"provenance\" is not JSON", "expected near");
}

static void counts_under_another_layout_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\\\"stage\\\":4,\\\"block\\\":1", "\\\"stage\\\":0,\\\"block\\\":1"},
        {"\\\"heads\\\":16", "\\\"heads\\\":10"}, // shared and routed are 11
        {"\\\"heads\\\":16", "\\\"heads\\\":-9"},
        {"\\\"routed\\\":6", "\\\"routed\\\":0"}, // and nothing selects the others
        {"\\\"routed\\\":6", "\\\"routes\\\":6"},
        {"\\\"tokens\\\":4}", "\\\"tokens\\\":0}"},
        {"\\\"name\\\":\\\"4.0\\\"", "\\\"name\\\":\\\"4 0\\\""},
        {"\\\"name\\\":\\\"4.0\\\"", "\\\"name\\\":   [1] "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_edit_refused(cases[i][0], cases[i][1], MOHVIT_ERROR_FORMAT, "a.safetensors: routing: block ",
                            "expected name, stage");
    expect_edit_refused("\\\"heads\\\":16", "\\\"heads\\\":99", MOHVIT_ERROR_MISMATCH,
                        "a.safetensors: active",
                        "shape (5, 6, 16) does not fit its classes, blocks and heads: (5, 6, 99)");
    expect_edit_refused("\\\"model\\\"", "\\\"mobel\\\"", MOHVIT_ERROR_FORMAT, "a.safetensors: routing",
                        "expected the model's name");
    expect_edit_refused("\\\"blocks\\\"", "\\\"blacks\\\"", MOHVIT_ERROR_FORMAT, "a.safetensors: routing",
                        "1 to 4096 blocks");
    expect_edit_refused("\"routing\"", "\"rooting\"", MOHVIT_ERROR_FORMAT, "a.safetensors",
                        "routing is missing");
    expect_edit_refused("\"gate_squares\"", "\"gate_spuares\"", MOHVIT_ERROR_FORMAT, "a.safetensors",
                        "gate_squares: is missing");
}

/* Of three classes, counted by 0.1.0: "mohvit eval --state 0.1.0.state --head-load 0.1.0.safetensors" over
 * five pictures, with a synthetic model. */
#define OLD_FILE GOLDEN_DIR "/headload/0.1.0.safetensors"

static void a_head_load_without_a_layout_is_read_by_its_config(void **state)
{
    (void)state;
    static const int64_t images[] = {3, 1, 1}, last_block[] = {12, 12, 3, 5, 7, 12, 2, 7};
    head_load *l, *back;
    mohvit_error err;
    char *path = in_scratch("new.safetensors");
    expect_error(head_load_open(&l, OLD_FILE, NULL, &err), &err, MOHVIT_ERROR_FORMAT, "0.1.0.safetensors",
                 "routing is missing");
    expect_ok(head_load_open(&l, OLD_FILE, config_routing_from_json, &err), &err);
    assert_string_equal(l->routing.model, "custom");
    assert_int_equal(l->names.count, 3);
    assert_int_equal(l->routing.count, 5);
    assert_false(l->has_squares);
    assert_memory_equal(l->images, images, sizeof images);
    assert_memory_equal(l->active + head_load_at(l, 0, 4, 0), last_block, sizeof last_block);
    expect_ok(head_load_save(l, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_same_counts(l, back);
    json_array_clear(back->sources);
    expect_ok(head_load_merge(l, back, "old", "new", false, &err), &err);
    assert_int_equal(l->images[0], 6);
    head_load_destroy(l);
    head_load_destroy(back);
    unlink(path);
}

static void an_old_head_load_has_to_fit_its_config(void **state)
{
    (void)state;
    static const char heads[] = "[2,2,4,8]";
    head_load *l;
    mohvit_error err;
    char *path = in_scratch("a.safetensors");
    blob b = blob_read(OLD_FILE);
    char *at = memmem(b.data, b.size, heads, strlen(heads));
    assert_non_null(at);
    memcpy(at, "[2,2,4,6]", strlen(heads));
    blob_write(path, b.data, b.size);
    expect_error(head_load_open(&l, path, config_routing_from_json, &err), &err, MOHVIT_ERROR_MISMATCH,
                 "a.safetensors: active",
                 "shape (3, 5, 8) does not fit its classes, blocks and heads: (3, 5, 6)");
    memcpy(at, "[2,2,4,9]", strlen(heads)); // no config at all
    blob_write(path, b.data, b.size);
    expect_error(head_load_open(&l, path, config_routing_from_json, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "a.safetensors", "divisible by its 9 heads");
    free(b.data);
    unlink(path);
}

// ---- Layouts ---------------------------------------------------------------------------------------

static void the_layout_is_the_configs(void **state)
{
    (void)state;
    config c;
    routing_layout l;
    mohvit_error err;
    for (size_t i = 0; config_variant_name(i); i++) {
        assert_true(config_variant(&c, config_variant_name(i)));
        expect_ok(config_routing(&l, &c, &err), &err);
        assert_string_equal(l.model, config_variant_name(i));
        assert_int_equal(l.count, config_blocks(&c));
        assert_int_equal(l.max_heads, config_max_heads(&c));
        assert_true(routing_layout_active_percent(&l) == config_active_percent(&c));
        routing_layout_free(&l);
    }
    assert_true(config_variant(&c, "moh_transnext_small_75"));
    expect_ok(config_routing(&l, &c, &err), &err);
    const routing_block *b = routing_layout_find(&l, "3.21");
    assert_ptr_equal(b, &l.blocks[5 + 5 + 21]);
    assert_true(b->index == 31 && b->stage == 3 && b->block == 21);
    assert_true(b->heads == 12 && b->shared == 3 && b->routed == 6 && b->tokens == 14 * 14);
    assert_true(routing_candidates(b) == 9 && fabs(routing_balanced(b) - 6. / 9) < 1e-12);
    assert_null(routing_layout_find(&l, "3.22"));
    assert_ptr_equal(routing_layout_last_routed(&l), routing_layout_find(&l, "4.4"));
    assert_true(routing_balanced(routing_layout_find(&l, "1.0")) == 0);
    routing_layout_free(&l);
}

/* Three blocks of one stage, as of a network without any of ours. */
static routing_layout other_layout(void)
{
    routing_layout l = {.model = "other"};
    for (size_t i = 0; i < 3; i++) {
        routing_block b = {.stage = 1, .block = i, .heads = 4 + i, .shared = 1, .routed = 2, .tokens = 49};
        snprintf(b.name, sizeof b.name, "%d", (int)i);
        assert_int_equal(routing_layout_add(&l, &b, NULL), MOHVIT_OK);
    }
    return l;
}

static void a_layout_is_all_that_is_known_of_a_network(void **state)
{
    (void)state;
    routing_layout layout = other_layout();
    labels names;
    head_load *l, *back;
    mohvit_error err;
    char *path = in_scratch("other.safetensors");
    json_t *made_of = json_pack("{s:i}", "patches", 7);
    expect_ok(labels_numbered(&names, 4, &err), &err);
    expect_ok(head_load_create(&l, &layout, made_of, &names, &err), &err);
    fill_head_load(l, 5);
    expect_ok(head_load_save(l, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_same_counts(l, back);
    assert_string_equal(back->routing.model, "other");
    assert_string_equal(back->routing.blocks[2].name, "2");
    assert_true(json_equal(back->config, made_of));
    json_object_set_new(back->config, "patches", json_integer(8));
    expect_error(head_load_merge(l, back, "a", "b", false, &err), &err, MOHVIT_ERROR_MISMATCH,
                 "b: is of another model than a", "patches is 8, expected 7");
    json_object_set_new(back->config, "patches", json_integer(7));
    json_array_clear(back->sources);
    expect_ok(head_load_merge(l, back, "a", "b", false, &err), &err);
    assert_int_equal(l->images[1], 2 * back->images[1]);
    head_load_destroy(l);
    head_load_destroy(back);
    labels_free(&names);
    json_decref(made_of);
    routing_layout_free(&layout);
    unlink(path);
}

static void other_files_are_refused_by_what_they_are(void **state)
{
    (void)state;
    head_load *l;
    mohvit_error err;
    expect_error(head_load_open(&l, in_scratch("none.safetensors"), NULL, &err), &err, MOHVIT_ERROR_IO,
                 "none.safetensors", "No such file");
    expect_error(head_load_open(&l, GOLDEN_DIR "/pth/golden.safetensors", NULL, &err), &err,
                 MOHVIT_ERROR_FORMAT, "golden.safetensors", "is not a head load");
    expect_error(head_load_open(&l, GOLDEN_DIR "/images/cat_420.jpg", NULL, &err), &err, MOHVIT_ERROR_FORMAT,
                 "cat_420.jpg", "neither");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_golden_files),
        cmocka_unit_test(any_order_and_split_of_the_images_gives_the_same_bits),
        cmocka_unit_test(squares_are_sums_over_images),
        cmocka_unit_test(an_image_is_in_a_half_by_its_counts),
        cmocka_unit_test(what_cannot_be_counted_is_refused_and_changes_nothing),
        cmocka_unit_test(the_public_interface_counts_and_writes),
        cmocka_unit_test(only_counts_of_one_model_are_merged),
        cmocka_unit_test(intervals_are_lost_only_on_request),
        cmocka_unit_test(the_same_pictures_are_not_counted_twice),
        cmocka_unit_test(some_of_the_pictures_and_others_of_them_do_not_add_up),
        cmocka_unit_test(parts_that_are_missing_are_named),
        cmocka_unit_test(a_file_brings_back_every_bit),
        cmocka_unit_test(a_gate_sum_beyond_53_bits_is_rounded_and_read_back),
        cmocka_unit_test(a_gate_sum_is_counted_to_the_nearest_unit),
        cmocka_unit_test(the_file_is_laid_out_as_documented),
        cmocka_unit_test(a_file_cut_short_is_refused),
        cmocka_unit_test(numbers_that_do_not_belong_together_are_refused),
        cmocka_unit_test(squares_that_no_images_can_have_are_refused),
        cmocka_unit_test(halves_that_are_none_are_refused),
        cmocka_unit_test(descriptions_of_the_data_that_are_none_are_refused),
        cmocka_unit_test(a_text_that_is_not_json_is_refused_with_the_reason),
        cmocka_unit_test(counts_under_another_layout_are_refused),
        cmocka_unit_test(a_head_load_without_a_layout_is_read_by_its_config),
        cmocka_unit_test(an_old_head_load_has_to_fit_its_config),
        cmocka_unit_test(the_layout_is_the_configs),
        cmocka_unit_test(a_layout_is_all_that_is_known_of_a_network),
        cmocka_unit_test(other_files_are_refused_by_what_they_are),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

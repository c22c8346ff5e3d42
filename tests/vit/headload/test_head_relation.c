/* Which heads the same tokens selected: counted exactly, read and merged with care, and what is said of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/headload/head_load_testing.h"
#include "tests/weights/weights_testing.h"
#include "vit/headload/head_relation.h"

#include <math.h>

static char scratch_dir[64], path[128];

static int setup(void **state)
{
    (void)state;
    enter_scratch(scratch_dir);
    snprintf(path, sizeof path, "%s/a.safetensors", scratch_dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    leave_scratch(scratch_dir);
    return 0;
}

/* Of five classes. Blocks with shared heads alone, with none, with both; 256 tokens to 4. */
static head_load *empty(void)
{
    static const char json[] =
        "{\"embed_dims\":[24,48,96,192],\"num_heads\":[2,4,8,16],\"depths\":[1,2,1,2],\"mlp_ratios\":[4,4,4,"
        "4],\"sr_ratios\":[8,4,2,1],\"shared_head\":[2,0,2,5],\"routed_head\":[0,2,3,6],\"num_classes\":5,"
        "\"img_size\":64}";
    config c;
    labels names;
    mohvit_error err;
    expect_ok(config_from_json(&c, json, strlen(json), "small", &err), &err);
    expect_ok(labels_numbered(&names, c.num_classes, &err), &err);
    head_load *l = empty_head_load(&c, &names);
    assert_non_null(l);
    labels_free(&names);
    expect_ok(head_load_begin_together(l, &err), &err);
    return l;
}

/* Room for an image. */
typedef struct {
    int32_t tokens[6 * 16], together[4 + 2 * 16 + 64 + 2 * 256];
    double gates[6 * 16];
} room;

static void add(head_load *l, uint64_t i)
{
    room r;
    mohvit_error err;
    assert_int_equal(routing_head_pairs(&l->routing, 6), sizeof r.together / sizeof *r.together);
    made_image(&l->routing, i, r.tokens, r.gates, r.together);
    expect_ok(head_load_add(l, i % 5, &(head_image){r.tokens, r.gates, r.together}, &err), &err);
}

static head_load *counted(uint64_t images)
{
    head_load *l = empty();
    for (uint64_t i = 0; i < images; i++)
        add(l, i);
    return l;
}

static void assert_same(const head_load *a, const head_load *b)
{
    assert_memory_equal(a->together, b->together, routing_head_pairs(&a->routing, 6) * sizeof *a->together);
}

static void check_all(const head_load *l)
{
    mohvit_error err;
    for (size_t b = 0; b < l->routing.count; b++)
        expect_ok(head_load_check_together(l, b, "l", &err), &err);
}

// ---- Counting --------------------------------------------------------------------------------------

static void any_order_and_split_and_a_file_give_the_same_bits(void **state)
{
    (void)state;
    enum { IMAGES = 60, PARTS = 4 };
    mohvit_error err;
    head_load *whole = counted(IMAGES), *parts[PARTS], *merged = empty(), *back;
    for (size_t i = 0; i < PARTS; i++)
        parts[i] = empty();
    for (uint64_t k = 0; k < IMAGES; k++)
        add(parts[k % PARTS], k * 23 % IMAGES);
    for (size_t i = PARTS; i--;) {
        expect_ok(head_load_merge(merged, parts[i], "merged", "part", 0, &err), &err);
        head_load_destroy(parts[i]);
    }
    assert_same(whole, merged);
    check_all(whole);
    expect_ok(head_load_save(merged, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_same(whole, back);
    head_load_destroy(whole);
    head_load_destroy(merged);
    head_load_destroy(back);
}

static void a_file_has_pairs_by_block_and_head(void **state)
{
    (void)state;
    mohvit_error err;
    checkpoint *cp;
    int64_t pairs[6][16][16];
    head_load *l = counted(9);
    expect_ok(head_load_save(l, path, &err), &err);
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    const tensor_info *t = checkpoint_find(cp, "together");
    assert_non_null(t);
    assert_int_equal(t->dtype, DTYPE_I64);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->elements, sizeof pairs / sizeof ***pairs);
    expect_ok(checkpoint_read_raw(cp, t, pairs, &err), &err);
    checkpoint_close(cp);
    for (size_t b = 0; b < 6; b++)
        for (size_t i = 0; i < 256; i++) {
            size_t heads = l->routing.blocks[b].heads, x = i / 16, y = i % 16;
            bool there = x < heads && y < heads;
            assert_int_equal(pairs[b][x][y], there ? head_load_together(l, b)[x * heads + y] : -1);
        }
    head_load_destroy(l);
}

static void an_overflow_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    mohvit_error err;
    static room r;
    head_load *l = counted(5), *before = counted(5);
    int64_t *last = &head_load_together(l, 5)[255], kept = *last;
    made_image(&l->routing, 3, r.tokens, r.gates, r.together);
    assert_true(r.together[sizeof r.together / sizeof *r.together - 1] > 0);
    *last = INT64_MAX;
    expect_error(head_load_add(l, 3, &(head_image){r.tokens, r.gates, r.together}, &err), &err,
                 MOHVIT_ERROR_LIMIT, "class 3", "64 bits");
    expect_error(head_load_merge(l, before, "a", "b", 0, &err), &err, MOHVIT_ERROR_LIMIT, "all classes",
                 "64 bits");
    *last = kept;
    assert_same(l, before);
    assert_int_equal(l->images[3], before->images[3]);
    head_load_destroy(l);
    head_load_destroy(before);
}

static void what_one_part_does_not_know_the_sum_does_not(void **state)
{
    (void)state;
    mohvit_error err;
    room r;
    head_load *a = counted(5), *b = counted(7), *none = empty(), *back;
    made_image(&a->routing, 3, r.tokens, r.gates, r.together);
    expect_ok(head_load_merge(none, a, "none", "a", 0, &err), &err); // nothing is what it is added to
    assert_same(none, a);
    free(b->together);
    b->together = NULL;
    head_load *without = empty();
    free(without->together);
    without->together = NULL;
    expect_ok(head_load_merge(a, without, "a", "nothing", 0, &err), &err);
    assert_same(none, a);
    expect_ok(head_load_merge(without, a, "nothing", "a", 0, &err), &err);
    assert_same(without, a);
    expect_ok(head_load_merge(a, b, "a", "b", 0, &err), &err);
    assert_null(a->together);
    expect_ok(head_load_merge(b, none, "b", "c", 0, &err), &err);
    assert_null(b->together);
    expect_ok(head_load_add(none, 3, &(head_image){r.tokens, r.gates, NULL}, &err), &err);
    assert_null(none->together);
    expect_ok(head_load_save(none, path, &err), &err);
    expect_ok(head_load_open(&back, path, NULL, &err), &err);
    assert_null(back->together);
    assert_true(back->has_squares);
    head_relation relation;
    expect_error(head_relation_compute(&relation, back, &back->routing.blocks[5], &err), &err,
                 MOHVIT_ERROR_ARGUMENT, "does not say", "0.1");
    head_load_destroy(a);
    head_load_destroy(b);
    head_load_destroy(none);
    head_load_destroy(without);
    head_load_destroy(back);
}

// ---- Reading ---------------------------------------------------------------------------------------

/* Takes l. */
static void expect_refused(head_load *l, const char *cause)
{
    mohvit_error err;
    head_load *back;
    expect_ok(head_load_save(l, path, &err), &err);
    expect_error(head_load_open(&back, path, NULL, &err), &err, MOHVIT_ERROR_FORMAT, "a.safetensors", cause);
    head_load_destroy(l);
}

/* A head load, of whose block 4.0, with 5 shared and 11 routed heads, one number is another. */
static head_load *with_change(size_t a, size_t b, int64_t by)
{
    head_load *l = counted(20);
    head_load_together(l, 4)[a * 16 + b] += by;
    return l;
}

static void pairs_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    expect_refused(with_change(7, 7, 1), "together: block 4.0, heads 7 and 7");
    expect_refused(with_change(7, 7, -1), "are not its active tokens of all classes");
    expect_refused(with_change(1, 1, -1), "are not its active tokens of all classes");
    expect_refused(with_change(7, 9, 1), "together: block 4.0, heads 7 and 9"); // of one side alone
    expect_refused(with_change(0, 9, -1), "cannot be of heads with so many tokens");
    head_load *l = with_change(7, 9, 1); // of both: more meetings than selections
    head_load_together(l, 4)[9 * 16 + 7]++;
    expect_refused(l, "do not add up with those of the other routed heads");
    l = with_change(7, 9, INT64_MIN);
    head_load_together(l, 4)[9 * 16 + 7] += INT64_MIN;
    expect_refused(l, "cannot be of heads with so many tokens");
    l = counted(20); // fewer than two heads that are nearly always on have to share
    int64_t *t = head_load_together(l, 0);
    t[1]--, t[2]--;
    expect_refused(l, "together: block 1.0, heads 0 and 1");

    mohvit_error err; // a head that there is not
    blob b;
    l = counted(3);
    expect_ok(head_load_save(l, path, &err), &err);
    b = blob_read(path);
    const size_t from_end = (5 * 256 + 256 - 3) * 8 - 8; // block 1.0, heads 0 and 2, at the file's end
    memset(b.data + b.size - from_end - 8, 0, 8);
    blob_write(path, b.data, b.size);
    free(b.data);
    head_load *back;
    expect_error(head_load_open(&back, path, NULL, &err), &err, MOHVIT_ERROR_FORMAT,
                 "together: block 1.0, heads 0 and ", "there are no such heads");
    head_load_destroy(l);
}

// ---- Asking ----------------------------------------------------------------------------------------

/* Four tokens of which s and two of four heads are on: r1 and r2 of 2, r1 and r3 of 1, r2 and r3 of 1, r4 is
 * dead. */
static void measures_are_what_they_are_said_to_be(void **state)
{
    (void)state;
    const routing_block block = {
        .name = "1.0", .stage = 1, .heads = 5, .shared = 1, .routed = 2, .tokens = 4};
    routing_layout layout = {.model = "made up"};
    labels names;
    mohvit_error err;
    head_load *l;
    head_relation r;
    json_t *made_of = json_pack("{s:s}", "made", "up");
    expect_ok(routing_layout_add(&layout, &block, &err), &err);
    expect_ok(labels_numbered(&names, 2, &err), &err);
    expect_ok(head_load_create(&l, &layout, made_of, &names, &err), &err);
    expect_ok(head_load_begin_together(l, &err), &err);
    expect_error(head_relation_compute(&r, l, &l->routing.blocks[0], &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "no images", "");
    const int32_t tokens[] = {4, 3, 3, 2, 0};
    const int32_t together[] = {4, 3, 3, 2, 0, 3, 3, 2, 1, 0, 3, 2, 3, 1, 0, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0};
    const double gates[5] = {0};
    for (size_t c = 0; c < 2; c++)
        expect_ok(head_load_add(l, c, &(head_image){tokens, gates, together}, &err), &err);
    check_all(l);
    head_pair p = head_pair_of(l, 0, 1, 2);
    assert_true(p.tokens == 8 && p.active_a == 6 && p.active_b == 6 && p.together == 4);
    assert_true(head_pair_joint(&p) == 0.5 && head_pair_jaccard(&p) == 0.5);
    assert_true(fabs(head_pair_lift(&p) - 8.0 / 9) < 1e-15);
    p = head_pair_of(l, 0, 1, 3);
    assert_true(fabs(head_pair_lift(&p) - 2.0 / 3) < 1e-15 && head_pair_jaccard(&p) == 0.25);
    p = head_pair_of(l, 0, 1, 4);
    assert_true(isnan(head_pair_lift(&p)) && head_pair_jaccard(&p) == 0 && head_pair_joint(&p) == 0);
    p = head_pair_of(l, 0, 4, 4);
    assert_true(isnan(head_pair_jaccard(&p)));
    assert_true(fabs(head_pair_even_lift(&block) - 2.0 / 3) < 1e-15);
    expect_ok(head_relation_compute(&r, l, &l->routing.blocks[0], &err), &err);
    assert_int_equal(r.count, 4);
    assert_true(r.difference[1] == 0.5 && r.difference[0] == 0 && r.difference[2] == 0.75 &&
                r.difference[3] == 1);
    assert_true(r.steps[0].a == 0 && r.steps[0].b == 1 && r.steps[0].distance == 0.5);
    head_relation_free(&r);
    head_load_destroy(l);
    json_decref(made_of);
    labels_free(&names);
    routing_layout_free(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_split_and_a_file_give_the_same_bits),
        cmocka_unit_test(a_file_has_pairs_by_block_and_head),
        cmocka_unit_test(an_overflow_is_an_error_and_changes_nothing),
        cmocka_unit_test(what_one_part_does_not_know_the_sum_does_not),
        cmocka_unit_test(pairs_that_do_not_belong_together_are_refused),
        cmocka_unit_test(measures_are_what_they_are_said_to_be),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Lists of heads: what each way of writing names, and that a mistake is told by its item and by what the
 * block has. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/headload/head_list.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HEADS 5

/* Block 1.0 routes nothing, 1.1 has no shared head, 2.0 has both kinds, 12.0 one of each. */
static const routing_block made[] = {
    {.name = "1.0", .stage = 1, .block = 0, .heads = 2, .shared = 2, .tokens = 4},
    {.name = "1.1", .stage = 1, .block = 1, .heads = 3, .routed = 2, .tokens = 4},
    {.name = "2.0", .stage = 2, .block = 0, .heads = 5, .shared = 2, .routed = 1, .tokens = 4},
    {.name = "12.0", .stage = 12, .block = 0, .heads = 2, .shared = 1, .routed = 1, .tokens = 4},
};
#define BLOCKS (sizeof made / sizeof *made)

static int make(void **state)
{
    static routing_layout layout;
    for (size_t i = 0; i < BLOCKS; i++)
        if (routing_layout_add(&layout, &made[i], NULL))
            return 1;
    *state = &layout;
    return 0;
}

static int unmake(void **state)
{
    routing_layout_free(*state);
    return 0;
}

/* expected: a digit for each head, a block behind the other. */
static void check(const routing_layout *l, const char *text, const char *expected)
{
    uint8_t named[BLOCKS * MAX_HEADS] = {0};
    mohvit_error err;
    if (head_list_read(named, l, text, "test", &err))
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(head_list_read(NULL, NULL, text, "test", NULL), MOHVIT_OK);
    for (size_t i = 0, at = 0; i < BLOCKS; i++, at++)
        for (size_t h = 0; h < MAX_HEADS; h++)
            if (named[i * MAX_HEADS + h] != (h < made[i].heads && expected[at++] == '1'))
                fail_msg("%s: head %zu of block %s", text, h, made[i].name);
}

static void each_way_of_writing_names_its_heads(void **state)
{
    check(*state, "2.0:r3,r1", "00 000 00101 00");
    check(*state, "2.0:s1", "00 000 10000 00");
    check(*state, "2.0:s2,r2", "00 000 01010 00");
    check(*state, "2.0:routed", "00 000 00111 00");
    check(*state, "2.0:shared,r1", "00 000 11100 00");
    check(*state, "2.0", "00 000 11111 00");
    check(*state, "1", "11 111 00000 00");
    check(*state, "1:routed", "00 111 00000 00");
    check(*state, "12:s1", "00 000 00000 10");
    check(*state, "1.0:s2", "01 000 00000 00");
    check(*state, "routed", "00 111 00111 01");
    check(*state, "shared", "11 000 11000 10");
    check(*state, "  2.0:r1\t2.0:r1,r2 \n12.0 ", "00 000 00110 11");
}

/* Written with a model at hand and, where no model is needed to see it, without. */
static void refused(const routing_layout *l, const char *text, bool by_itself, const char *item,
                    const char *reason)
{
    uint8_t named[BLOCKS * MAX_HEADS] = {0};
    mohvit_error err = {0};
    for (int with = 0; with < 2; with++) {
        mohvit_status status = head_list_read(named, with ? l : NULL, text, "--heads", &err);
        if (!with && !by_itself) {
            assert_int_equal(status, MOHVIT_OK);
            continue;
        }
        assert_int_equal(status, MOHVIT_ERROR_ARGUMENT);
        assert_int_equal(strncmp(err.message, "--heads: \"", 10), 0);
        if (!strstr(err.message, item) || (with && !strstr(err.message, reason)))
            fail_msg("%s: %s; expected %s and %s", text, err.message, item, reason);
    }
}

static void a_mistake_is_told_by_its_item_and_what_is_there(void **state)
{
    refused(*state, "12.0 2.0:3", true, "\"2.0:3\": \"3\" is no head; heads are written s1",
            "block 2.0 has s1 to s2 and r1 to r3");
    refused(*state, "2.0:r4 12.0", false, "\"2.0:r4\": there is no r4",
            "block 2.0 has s1 to s2 and r1 to r3");
    refused(*state, "2.0:s3", false, "there is no s3", "block 2.0 has s1 to s2 and r1 to r3");
    refused(*state, "1.0:r1", false, "there is no r1", "block 1.0 has s1 to s2");
    refused(*state, "1.0:routed", false, "there is no routed head", "block 1.0 has s1 to s2");
    refused(*state, "1:s1", false, "there is no s1", "block 1.1 has r1 to r3");
    refused(*state, "12.0:r2", false, "there is no r2", "block 12.0 has s1 and r1");
    refused(*state, "2.1", false, "there is no block 2.1", "blocks 1.0 to 12.0");
    refused(*state, "3:r1", false, "there is no stage 3", "blocks 1.0 to 12.0");
    refused(*state, "2.00", false, "there is no block 2.00", "");
    const char *const heads[] = {"2.0:",   "2.0:r",   "2.0:r0",  "2.0:r01", "2.0:r1,",   "2.0:,r1",
                                 "2.0:R1", "2.0:r1x", "2.0:r-1", "2.0:all", "2.0:r1:r2", "2.0:r1;r2"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        refused(*state, heads[i], true, heads[i], "is no head");
    const char *const items[] = {"",   " ",     "r1",  "s1,s2", ":r1",    "2.",
                                 ".0", "2.0.0", "2.x", "-2",    "ROUTED", "a:r1"};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        refused(*state, items[i], true, items[i], "expected heads, such as 4.0:r3,r5");
    refused(*state, "2.0:r99999999999999999999", false, "there is no r99999999999999999999", "block 2.0");
    refused(*state, "2.0:r4294967297", false, "there is no r4294967297", "block 2.0");
}

static void a_written_list_is_the_shortest_and_names_the_same(void **state)
{
    const char *const texts[][2] = {
        {"12.0:r1 2.0:r3,s1", "2.0:s1,r3 12.0:routed"},
        {"routed", "1.1 2.0:routed 12.0:routed"},
        {"1 2.0:shared", "1.0 1.1 2.0:shared"},
        {"2.0:s1,s2,r2", "2.0:shared,r2"},
        {"1.0:s1", "1.0:s1"},
        {"2.0:shared,routed", "2.0"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t named[BLOCKS * MAX_HEADS] = {0}, again[BLOCKS * MAX_HEADS] = {0};
        assert_int_equal(head_list_read(named, *state, texts[i][0], "test", NULL), MOHVIT_OK);
        char *written = head_list_text(*state, named);
        assert_string_equal(written, texts[i][1]);
        assert_int_equal(head_list_read(again, *state, written, "test", NULL), MOHVIT_OK);
        assert_memory_equal(named, again, sizeof named);
        free(written);
    }
    char *none = head_list_text(*state, (const uint8_t[BLOCKS * MAX_HEADS]){0});
    assert_string_equal(none, "");
    free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_of_writing_names_its_heads),
        cmocka_unit_test(a_mistake_is_told_by_its_item_and_what_is_there),
        cmocka_unit_test(a_written_list_is_the_shortest_and_names_the_same),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}

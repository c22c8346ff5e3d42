#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/weights/pickle_writing.h"
#include "weights/pickle.h"

#define PICKLE(literal) literal, sizeof(literal) - 1

static pickle *parse(const void *bytes, size_t size)
{
    pickle *p = NULL;
    mohvit_error err;
    expect_ok(unpickle(&p, bytes, size, "m.pth", &err), &err);
    return p;
}

/* Parses a copy of exactly these bytes. */
static void expect_fault(const void *bytes, size_t size, mohvit_status status, const char *cause)
{
    pickle *p;
    mohvit_error err;
    void *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    expect_error(unpickle(&p, copy, size, "m.pth", &err), &err, status, "m.pth", cause);
    free(copy);
}

static void plain_values_come_out(void **state)
{
    (void)state;
    pickle *p = parse(
        PICKLE("\x80\x02(K\x07M\x00\x01J\xff\xff\xff\xff\x8a\x02\x00\xff\x8a\x00NX\x02\0\0\0hiU\x01x\x88\x89"
               "G\x3f\xf0\0\0\0\0\0\0t."));
    const pickle_value *root = p->root;
    assert_int_equal(root->kind, PICKLE_TUPLE);
    assert_int_equal(root->items.count, 11);
    const int64_t integers[] = {7, 256, -1, -256, 0};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(root->items.at[i]->kind, PICKLE_INT);
        assert_int_equal(root->items.at[i]->integer, integers[i]);
    }
    assert_int_equal(root->items.at[5]->kind, PICKLE_NONE);
    assert_true(pickle_text_is(root->items.at[6]->text, "hi"));
    assert_true(pickle_text_is(root->items.at[7]->text, "x"));
    assert_int_equal(root->items.at[8]->integer, 1);
    assert_int_equal(root->items.at[9]->integer, 0);
    assert_int_equal(root->items.at[10]->kind, PICKLE_OPAQUE);
    pickle_free(p);
}

static void containers_fill_one_by_one_and_in_batches(void **state)
{
    (void)state;
    pickle *p = parse(PICKLE("\x80\x04\x95\x00\0\0\0\0\0\0\0}(\x8c\x01"
                             "a]\x94(K\x01K\x02"
                             "eK\x03"
                             "a\x8c\x01"
                             "bh\x00u\x8c\x01"
                             "c\x8f(K\x01\x90s."));
    const pickle_value *root = p->root, *a = pickle_dict_get(root, "a");
    assert_int_equal(a->items.count, 3);
    assert_int_equal(a->items.at[2]->integer, 3);
    assert_ptr_equal(pickle_dict_get(root, "b"), a); // shared through the memo
    assert_int_equal(pickle_dict_get(root, "c")->kind, PICKLE_OPAQUE);
    assert_null(pickle_dict_get(root, "d"));
    pickle_free(p);
}

/* MEMOIZE takes as its index how many are stored, and storing anew where something is adds none. */
static void memoize_counts_what_is_stored(void **state)
{
    (void)state;
    pickle *p = parse(PICKLE("\x80\x04(K\x05q\x00K\x06q\x00K\x07\x94h\x00h\x01t."));
    const pickle_value *root = p->root;
    const int64_t expected[] = {5, 6, 7, 6, 7};
    assert_int_equal(root->items.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(root->items.at[i]->integer, expected[i]);
    pickle_free(p);
    expect_fault(PICKLE("\x80\x04K\x05q\x00K\x06q\x00K\x07\x94h\x02."), MOHVIT_ERROR_FORMAT,
                 "nothing was stored under this memo index");
}

static void calls_are_noted_and_never_made(void **state)
{
    (void)state;
    pickle *p = parse(PICKLE("cos\nsystem\n(X\x10\0\0\0touch /tmp/ownedtR."));
    const pickle_value *root = p->root;
    assert_int_equal(root->kind, PICKLE_CALL);
    assert_true(pickle_is_global(root->call.callable, "os", "system"));
    pickle_free(p);
    p = parse(PICKLE("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R}b."));
    assert_int_equal(p->root->kind, PICKLE_CALL);
    pickle_free(p);
}

static void a_value_may_contain_itself(void **state)
{
    (void)state;
    pickle *p = parse(PICKLE("\x80\x02]q\x00h\x00"
                             "a."));
    assert_ptr_equal(p->root->items.at[0], p->root);
    pickle_free(p);
}

static void unknown_opcodes_are_named_with_their_place(void **state)
{
    (void)state;
    expect_fault(PICKLE("\x80\x02\xff."), MOHVIT_ERROR_UNSUPPORTED, "byte 2, opcode 0xff: unknown opcode");
    expect_fault(PICKLE("\x80\x02K\x01\x82\x01."), MOHVIT_ERROR_UNSUPPORTED,
                 "byte 4, opcode 0x82: unknown opcode");
    expect_fault(PICKLE("(ios\nsystem\n."), MOHVIT_ERROR_UNSUPPORTED, "opcode 0x69: unknown opcode");
    expect_fault(PICKLE("\x80\x06."), MOHVIT_ERROR_UNSUPPORTED, "protocol");
}

static void stacks_that_run_dry_are_errors(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
    } dry[] = {{PICKLE(".")},
               {PICKLE("0.")},
               {PICKLE("1.")},
               {PICKLE("2.")},
               {PICKLE("t.")},
               {PICKLE("u.")},
               {PICKLE("a.")},
               {PICKLE("}s.")},
               {PICKLE("\x87.")},
               {PICKLE("K\x01R.")},
               {PICKLE("K\x01"
                       "b.")},
               {PICKLE("Q.")},
               {PICKLE("q\x01.")},
               {PICKLE("\x94.")},
               {PICKLE("h\x01.")},
               {PICKLE("(.")},
               {PICKLE("K\x01(R.")},
               {PICKLE("(e.")},
               {PICKLE("g7\n.")},
               {PICKLE("\x93.")},
               {PICKLE("}(K\x01u.")},
               {PICKLE("(K\x01"
                       "d.")},
               {PICKLE("N(K\x01"
                       "e.")},
               {PICKLE("]K\x01K\x01s.")},
               {PICKLE("NN\x93.")}};
    for (size_t i = 0; i < sizeof dry / sizeof *dry; i++)
        expect_fault(dry[i].bytes, dry[i].size, MOHVIT_ERROR_FORMAT, "byte ");
}

static void arguments_that_run_past_the_end_are_errors(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
    } cut[] = {{"", 0},
               {PICKLE("\x80")},
               {PICKLE("K")},
               {PICKLE("J\0\0")},
               {PICKLE("X\xff\xff\xff\xff"
                       "ab")},
               {PICKLE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                       "ab")},
               {PICKLE("\x8a\x09"
                       "1234")},
               {PICKLE("\x8b\xff\xff\xff\xff")},
               {PICKLE("cos")},
               {PICKLE("cos\nsystem")},
               {PICKLE("p1")},
               {PICKLE("G\0")}};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        expect_fault(cut[i].bytes, cut[i].size, MOHVIT_ERROR_FORMAT, "the pickle ends");
}

static void a_huge_memo_index_costs_no_memory(void **state)
{
    (void)state;
    expect_fault(PICKLE("Nr\xff\xff\xff\xff."), MOHVIT_ERROR_LIMIT, "memo index");
    expect_fault(PICKLE("Np4294967295\n."), MOHVIT_ERROR_LIMIT, "memo index");
    expect_fault(PICKLE("Np99999999999999999999999\n."), MOHVIT_ERROR_FORMAT, "memo index");
    expect_fault(PICKLE("Nj\xff\xff\xff\xff."), MOHVIT_ERROR_FORMAT, "memo index");
    pickle_free(parse(PICKLE("Nr\x00\x00\x01\x00"
                             "0j\x00\x00\x01\x00.")));
}

/* n times one opcode, then the tail. */
static blob repeat(char opcode, size_t n, const char *tail)
{
    blob b = {.data = malloc(n + 1), .size = n};
    memset(b.data, opcode, n);
    blob_add(&b, tail, strlen(tail));
    return b;
}

static void nesting_is_no_recursion_and_stacks_have_a_limit(void **state)
{
    (void)state;
    blob b = repeat(']', 500000, "");
    blob appends = repeat('a', 499999, ".");
    blob_add(&b, appends.data, appends.size);
    pickle_free(parse(b.data, b.size));
    free(b.data);
    free(appends.data);
    b = repeat('(', (1 << 20) + 1, ".");
    expect_fault(b.data, b.size, MOHVIT_ERROR_LIMIT, "wait on the stack");
    free(b.data);
    b = repeat('N', (1 << 20) + 1, ".");
    expect_fault(b.data, b.size, MOHVIT_ERROR_LIMIT, "wait on the stack");
    free(b.data);
}

static void values_have_a_limit_of_memory(void **state)
{
    (void)state;
    blob b = {.data = malloc(2 * 6000001), .size = 2 * 6000000};
    for (size_t i = 0; i < 6000000; i++)
        memcpy(b.data + 2 * i, "]0", 2); // made and dropped: an arena keeps them
    blob_add(&b, "N.", 2);
    expect_fault(b.data, b.size, MOHVIT_ERROR_LIMIT, "256 MiB");
    free(b.data);
}

/* Bytes of a golden pickle changed at random: whatever comes of it, it is a tree or an error. */
static void damaged_pickles_never_crash(void **state)
{
    (void)state;
    int code;
    zip_t *zip = zip_open(GOLDEN_DIR "/pth/training.pth", ZIP_RDONLY, &code);
    zip_stat_t st;
    assert_non_null(zip);
    assert_int_equal(zip_stat(zip, "training/data.pkl", 0, &st), 0);
    unsigned char *bytes = malloc((size_t)st.size), *damaged = malloc((size_t)st.size);
    zip_file_t *entry = zip_fopen(zip, "training/data.pkl", 0);
    assert_int_equal(zip_fread(entry, bytes, st.size), st.size);
    zip_fclose(entry);
    zip_discard(zip);
    uint64_t random = 1;
    for (int round = 0; round < 2000; round++) {
        pickle *p = NULL;
        mohvit_error err;
        memcpy(damaged, bytes, (size_t)st.size);
        for (int change = 0; change < 3; change++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            damaged[(random >> 33) % st.size] = (unsigned char)(random >> 24);
        }
        if (unpickle(&p, damaged, (size_t)st.size, "m.pth", &err) == MOHVIT_OK)
            assert_non_null(p->root);
        pickle_free(p);
    }
    free(bytes);
    free(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values_come_out),
        cmocka_unit_test(containers_fill_one_by_one_and_in_batches),
        cmocka_unit_test(memoize_counts_what_is_stored),
        cmocka_unit_test(calls_are_noted_and_never_made),
        cmocka_unit_test(a_value_may_contain_itself),
        cmocka_unit_test(unknown_opcodes_are_named_with_their_place),
        cmocka_unit_test(stacks_that_run_dry_are_errors),
        cmocka_unit_test(arguments_that_run_past_the_end_are_errors),
        cmocka_unit_test(a_huge_memo_index_costs_no_memory),
        cmocka_unit_test(nesting_is_no_recursion_and_stacks_have_a_limit),
        cmocka_unit_test(values_have_a_limit_of_memory),
        cmocka_unit_test(damaged_pickles_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

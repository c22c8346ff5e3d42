#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weights/half.h"
#include "tests/weights/pickle_writing.h"

// ---- Views of storages -----------------------------------------------------------------------------

static void expect_values(const pickled_tensor *t, size_t n, const float *expected)
{
    blob b = make_pth(pickle_of_tensor(t), twelve, sizeof twelve);
    checkpoint *cp = open_pth(&b);
    assert_int_equal(checkpoint_find(cp, "w")->elements, n);
    float *values = read_tensor(cp, "w");
    assert_memory_equal(values, expected, n * sizeof *values);
    free(values);
    checkpoint_close(cp);
    free(b.data);
}

static void views_gather_the_right_elements(void **state)
{
    (void)state;
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 0, 2, {3, 4}, {4, 1}}, 12, twelve);
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 5, 1, {3}, {1}}, 3, twelve + 5);
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 7, 0, {0}, {0}}, 1, twelve + 7);
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 2, 3, {1, 4, 1}, {99, 1, 7}}, 4, twelve + 2);
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 0, 2, {4, 3}, {1, 4}}, 12,
                  (float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}); // transposed
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 1, 2, {2, 3}, {6, 2}}, 6,
                  (float[]){1, 3, 5, 7, 9, 11});
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 3, 2, {2, 2}, {0, 1}}, 4,
                  (float[]){3, 4, 3, 4}); // expanded
    expect_values(&(pickled_tensor){"FloatStorage", "0", 12, 0, 3, {2, 0, 3}, {0, 3, 1}}, 0, twelve);
}

static void halves_are_gathered_and_converted_over_many_chunks(void **state)
{
    (void)state;
    enum { ROWS = 300, COLUMNS = 500 }; // more than two chunks of 65536
    uint16_t *stored = malloc(ROWS * COLUMNS * sizeof *stored);
    float *expected = malloc(ROWS * COLUMNS * sizeof *expected);
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        stored[i] = (uint16_t)(i * 2654435761u >> 17);
    blob b = make_pth(pickle_of_tensor(&(pickled_tensor){
                          "BFloat16Storage", "0", ROWS * COLUMNS, 0, 2, {COLUMNS, ROWS}, {1, COLUMNS}}),
                      stored, ROWS * COLUMNS * sizeof *stored);
    checkpoint *cp = open_pth(&b);
    float *values = read_tensor(cp, "w");
    half_from_bf16(expected, stored, ROWS * COLUMNS);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        assert_memory_equal(&values[i], &expected[i % ROWS * COLUMNS + i / ROWS], sizeof *values);
    checkpoint_close(cp);
    free(values);
    free(b.data);
    free(stored);
    free(expected);
}

static void views_that_leave_their_storage_are_errors(void **state)
{
    (void)state;
    const struct {
        pickled_tensor t;
        mohvit_status status;
        const char *cause;
    } bad[] = {
        {{"FloatStorage", "0", 12, 1, 1, {12}, {1}},
         MOHVIT_ERROR_FORMAT,
         "w: reaches past the end of its storage of 12"},
        {{"FloatStorage", "0", 12, 0, 2, {2, 2}, {12, 1}}, MOHVIT_ERROR_FORMAT, "w: reaches past"},
        {{"FloatStorage", "0", 12, INT64_MAX, 1, {2}, {INT64_MAX}}, MOHVIT_ERROR_FORMAT, "w: reaches past"},
        {{"FloatStorage", "0", 12, 0, 1, {3}, {INT64_MAX}}, MOHVIT_ERROR_FORMAT, "w: reaches past"},
        {{"FloatStorage", "0", 13, 0, 1, {13}, {1}},
         MOHVIT_ERROR_FORMAT,
         "w: its storage of 13 elements of 4 bytes has 48"},
        {{"FloatStorage", "0", INT64_MAX, 0, 1, {1}, {1}}, MOHVIT_ERROR_FORMAT, "w: its storage of"},
        {{"DoubleStorage", "0", 12, 0, 1, {12}, {1}},
         MOHVIT_ERROR_FORMAT,
         "w: its storage of 12 elements of 8 bytes"},
        {{"FloatStorage", "1", 12, 0, 1, {12}, {1}}, MOHVIT_ERROR_FORMAT, "there is no entry m/data/1"},
        {{"FloatStorage", "../data.pkl", 12, 0, 1, {12}, {1}}, MOHVIT_ERROR_FORMAT, "there is no entry"},
        {{"FloatStorage", "0", 12, -1, 1, {12}, {1}}, MOHVIT_ERROR_FORMAT, "w: its storage offset"},
        {{"FloatStorage", "0", 12, 11, 1, {12}, {-1}}, MOHVIT_ERROR_FORMAT, "w: its strides"},
        {{"FloatStorage", "0", 12, 0, 1, {-12}, {1}}, MOHVIT_ERROR_FORMAT, "w: its shape"},
        {{"FloatStorage", "0", 12, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1}},
         MOHVIT_ERROR_FORMAT,
         "w: its shape"},
        {{"FloatStorage", "0", 12, 0, 2, {INT64_MAX, 3}, {0, 0}},
         MOHVIT_ERROR_FORMAT,
         "more elements than can be counted"},
        {{"FloatStorage", "0", 12, 0, 2, {1 << 20, 1 << 20}, {0, 0}}, MOHVIT_ERROR_LIMIT, "w: expands to"},
        {{"QInt8Storage", "0", 12, 0, 1, {12}, {1}},
         MOHVIT_ERROR_UNSUPPORTED,
         "unknown type: torch.QInt8Storage"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_pth_fault(make_pth(pickle_of_tensor(&bad[i].t), twelve, sizeof twelve), NULL, bad[i].status,
                         bad[i].cause);
}

static void deflated_entries_read_the_same(void **state)
{
    (void)state;
    const pickled_tensor later = {"FloatStorage", "0", 12, 5, 1, {3}, {1}};
    blob p = pickle_of_tensor(&later);
    const zip_entry entries[] = {{"m/data.pkl", p.data, p.size, true},
                                 {"m/data/0", twelve, sizeof twelve, true}};
    blob b = make_zip(entries, 2);
    checkpoint *cp = open_pth(&b);
    float *values = read_tensor(cp, "w");
    assert_memory_equal(values, twelve + 5, 3 * sizeof *values);
    free(values);
    checkpoint_close(cp);
    free(b.data);
    free(p.data);
}

// ---- What else is in a pickle ----------------------------------------------------------------------

/* {"w": tensor, key: …}: the caller adds a value and ends the dict with "s." */
static blob start_dict(const char *key)
{
    blob b = {0};
    PUT(&b, "\x80\x02}");
    put_string(&b, "w");
    put_tensor(&b, &whole);
    PUT(&b, "s");
    put_string(&b, key);
    return b;
}

static void os_system_is_passed_over_and_not_run(void **state)
{
    (void)state;
    char dir[64], command[128];
    enter_scratch(dir);
    snprintf(command, sizeof command, "touch %s/owned", dir);
    blob p = start_dict("evil");
    put_global(&p, "os", "system");
    PUT(&p, "(");
    put_string(&p, command);
    PUT(&p, "tRs.");
    blob b = make_pth(p, twelve, sizeof twelve);
    checkpoint *cp = open_pth(&b);
    assert_int_equal(checkpoint_count(cp), 1);
    checkpoint_close(cp);
    free(b.data);
    leave_scratch(dir); // which fails if the file is there
}

static void unknown_opcodes_and_endless_pickles_are_errors(void **state)
{
    (void)state;
    blob p = start_dict("x");
    PUT(&p, "\x82\x01s.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_UNSUPPORTED, "data.pkl: byte");
    p = start_dict("x");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT, "without STOP");
}

static void a_dict_that_contains_itself_opens(void **state)
{
    (void)state;
    blob p = {0};
    PUT(&p, "\x80\x02}q\x00");
    put_string(&p, "state_dict");
    PUT(&p, "h\x00s");
    put_string(&p, "w");
    put_tensor(&p, &whole);
    PUT(&p, "s.");
    blob b = make_pth(p, twelve, sizeof twelve);
    checkpoint *cp = open_pth(&b);
    assert_int_equal(checkpoint_count(cp), 1);
    checkpoint_close(cp);
    free(b.data);
}

static void names_that_become_equal_are_an_error(void **state)
{
    (void)state;
    mohvit_error err;
    blob p = start_dict("module.w");
    put_tensor(&p, &whole);
    PUT(&p, "s.");
    blob b = make_pth(p, twelve, sizeof twelve);
    checkpoint *cp = open_pth(&b);
    expect_error(checkpoint_take_off(cp, "module.", 7, &err), &err, MOHVIT_ERROR_FORMAT, "m.pth",
                 "w: there are two tensors of this name");
    checkpoint_close(cp);
    free(b.data);
    p = start_dict("w");
    put_tensor(&p, &whole);
    PUT(&p, "s.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT,
                     "w: there are two tensors of this name");
}

static void remember_warning(void *user, const char *message)
{
    snprintf(user, 256, "%s", message);
}

static void tensors_of_other_kinds_are_passed_over_with_a_warning(void **state)
{
    (void)state;
    char warning[256] = "";
    const warning_sink sink = {remember_warning, warning};
    checkpoint *cp;
    mohvit_error err;
    blob p = start_dict("q");
    put_global(&p, "torch._utils", "_rebuild_qtensor");
    PUT(&p, ")Rs.");
    blob b = make_pth(p, twelve, sizeof twelve);
    expect_ok(checkpoint_open_memory(&cp, b.data, b.size, "m.pth", NULL, &sink, &err), &err);
    assert_int_equal(checkpoint_count(cp), 1);
    assert_non_null(strstr(warning, "m.pth: q: "));
    assert_non_null(strstr(warning, "_rebuild_qtensor"));
    checkpoint_close(cp);
    free(b.data);
}

/* What numpy makes arrays by; the rest of one does not matter. */
static void put_array(blob *b)
{
    put_global(b, "numpy.core.multiarray", "_reconstruct");
    PUT(b, ")R");
}

static void arrays_of_numpy_are_named(void **state)
{
    (void)state;
    char warning[256] = "";
    const warning_sink sink = {remember_warning, warning};
    checkpoint *cp;
    mohvit_error err;
    blob p = start_dict("q");
    put_array(&p);
    PUT(&p, "s.");
    blob b = make_pth(p, twelve, sizeof twelve);
    expect_ok(checkpoint_open_memory(&cp, b.data, b.size, "m.pth", NULL, &sink, &err), &err);
    assert_non_null(strstr(warning, "m.pth: q: is an object made by numpy.core.multiarray._reconstruct"));
    checkpoint_close(cp);
    free(b.data);

    p = (blob){0}; // {"w": array}
    PUT(&p, "\x80\x02}");
    put_string(&p, "w");
    put_array(&p);
    PUT(&p, "s.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT, "torch.from_numpy");
    p = (blob){0}; // {"model": {"w": array}}
    PUT(&p, "\x80\x02}");
    put_string(&p, "model");
    PUT(&p, "}");
    put_string(&p, "w");
    put_array(&p);
    PUT(&p, "ss.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT, "torch.from_numpy");
    p = (blob){0}; // a number is no array
    PUT(&p, "\x80\x02}");
    put_string(&p, "loss");
    put_global(&p, "numpy.core.multiarray", "scalar");
    PUT(&p, ")Rs.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT, "a dict without tensors");
}

static void files_without_weights_say_what_they_hold(void **state)
{
    (void)state;
    blob p = {0};
    PUT(&p, "\x80\x02}.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT,
                     "holds a dict, not a dict of tensors");
    p = (blob){0};
    PUT(&p, "\x80\x02");
    put_global(&p, "timm.models", "MoHViT");
    PUT(&p, ")\x81.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT,
                     "holds an object made by timm.models.MoHViT, a whole module");
    p = (blob){0};
    PUT(&p, "\x80\x02}(");
    put_string(&p, "args");
    put_global(&p, "argparse", "Namespace");
    PUT(&p, ")\x81");
    put_string(&p, "model");
    put_global(&p, "timm.models", "MoHViT");
    PUT(&p, ")\x81u.");
    expect_pth_fault(make_pth(p, twelve, sizeof twelve), NULL, MOHVIT_ERROR_FORMAT,
                     "\"model\" is an object made by timm.models.MoHViT");
}

/* {first: {"w": tensor}, second: {"w": tensor}} */
static blob two_sets(const char *first, const char *second)
{
    blob p = {0};
    const char *const names[] = {first, second};
    PUT(&p, "\x80\x02}");
    for (int i = 0; i < 2 && names[i]; i++) {
        put_string(&p, names[i]);
        PUT(&p, "}");
        put_string(&p, "w");
        put_tensor(&p, &whole);
        PUT(&p, "ss");
    }
    PUT(&p, ".");
    return make_pth(p, twelve, sizeof twelve);
}

static void a_set_of_another_name_is_taken_when_alone_or_named(void **state)
{
    (void)state;
    mohvit_error err;
    expect_pth_fault(two_sets("teacher", "student"), NULL, MOHVIT_ERROR_ARGUMENT,
                     "several weight sets, one of which must be named: teacher, student");
    blob b = two_sets("teacher", "student");
    expect_ok(open_and_read(b.data, b.size, "m.pth", "student", &err), &err);
    free(b.data);
    expect_pth_fault(two_sets("teacher", "student"), "pupil", MOHVIT_ERROR_ARGUMENT,
                     "there is no weight set \"pupil\"; found: teacher, student");
    expect_pth_fault(two_sets("model", "student"), "student.w", MOHVIT_ERROR_ARGUMENT,
                     "there is no weight set \"w\"");
    b = two_sets("teacher", NULL);
    expect_ok(open_and_read(b.data, b.size, "m.pth", NULL, &err), &err);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_gather_the_right_elements),
        cmocka_unit_test(halves_are_gathered_and_converted_over_many_chunks),
        cmocka_unit_test(views_that_leave_their_storage_are_errors),
        cmocka_unit_test(deflated_entries_read_the_same),
        cmocka_unit_test(os_system_is_passed_over_and_not_run),
        cmocka_unit_test(unknown_opcodes_and_endless_pickles_are_errors),
        cmocka_unit_test(a_dict_that_contains_itself_opens),
        cmocka_unit_test(names_that_become_equal_are_an_error),
        cmocka_unit_test(tensors_of_other_kinds_are_passed_over_with_a_warning),
        cmocka_unit_test(arrays_of_numpy_are_named),
        cmocka_unit_test(files_without_weights_say_what_they_hold),
        cmocka_unit_test(a_set_of_another_name_is_taken_when_alone_or_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

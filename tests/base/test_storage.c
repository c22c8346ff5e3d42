/* What all stand on to keep and find things: memory, arenas, bytes, sorted arrays, text by lines, UTF-8,
 * JSON with bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/json_bounded.h"
#include "base/lines.h"
#include "base/memory.h"
#include "base/search.h"
#include "base/edit_distance.h"
#include "base/utf8.h"
#include "tests/imgio/folder_testing.h"

#include <unistd.h>

/* ---- Memory ---------------------------------------------------------------------------------- */

static void sizes_do_not_overflow(void **state)
{
    (void)state;
    size_t product = 5;
    assert_true(size_mul(SIZE_MAX / 3, 3, &product));
    assert_true(product == SIZE_MAX / 3 * 3);
    assert_false(size_mul(SIZE_MAX / 3 + 1, 3, &product));
    assert_true(product == SIZE_MAX / 3 * 3); // as it was
    assert_null(memory_alloc(SIZE_MAX / 2, 3));
    assert_null(memory_alloc(SIZE_MAX, 1));
    assert_null(memory_alloc_large(SIZE_MAX));
    assert_int_equal(divide_up(10, 5), 2);
    assert_int_equal(divide_up(11, 5), 3);
}

static void memory_is_aligned_and_of_its_size(void **state)
{
    (void)state;
    for (size_t size = 0; size < 300; size += 7) {
        char *p = memory_alloc(size, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 1, size);
        free(p);
    }
    char *large = memory_alloc_large((2 << 20) + 1);
    assert_int_equal((uintptr_t)large % (2 << 20), 0);
    memset(large, 1, (2 << 20) + 1);
    free(large);
}

static void an_array_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    uint32_t *array = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < 1000; i++) {
        size_t before = capacity;
        array = memory_grow(array, i, &capacity, sizeof *array);
        assert_non_null(array);
        assert_true(capacity > i && capacity >= before);
        if (before > i)
            assert_int_equal(capacity, before);
        array[i] = (uint32_t)i;
    }
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    size_t full = SIZE_MAX / 4;
    assert_null(memory_grow(array, SIZE_MAX / 4, &full, sizeof *array));
    free(array);
}

/* ---- Arenas ---------------------------------------------------------------------------------- */

static void pieces_of_an_arena_do_not_touch(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 65535 - 3, 65535, 65536, 100000, 10, 65535 - 12, 1, 0};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    arena a = {0};
    char *copies[COUNT], text[100000];
    for (size_t i = 0; i < COUNT; i++) {
        memset(text, 'a' + (int)i, sizeof text);
        copies[i] = arena_copy(&a, text, lengths[i]);
        assert_non_null(copies[i]);
        assert_true(a.used <= a.size); // with its NUL inside of the block
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(strlen(copies[i]), lengths[i]);
        assert_int_equal(strspn(copies[i], (char[]){(char)('a' + (int)i), '\0'}), lengths[i]);
    }
    for (size_t i = 0; i < 100; i++) {
        arena_copy(&a, "xyz", i % 4);
        double *p = arena_alloc(&a, 3 * sizeof *p);
        assert_int_equal((uintptr_t)p % 16, 0);
        p[0] = p[2] = 1;
    }
    arena_free(&a);
    assert_null(a.last);
}

static void an_arena_keeps_to_its_limit(void **state)
{
    (void)state;
    arena a = {.limit = 200000};
    assert_non_null(arena_alloc(&a, 100000));
    assert_non_null(arena_alloc(&a, 100000));
    errno = 0;
    assert_null(arena_alloc(&a, 1));
    assert_int_equal(errno, EOVERFLOW);
    arena_free(&a);
    assert_int_equal(a.limit, 200000);
    assert_non_null(arena_alloc(&a, 200000)); // all of it again
    arena_free(&a);
    assert_null(arena_copy(&a, "", SIZE_MAX));
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void numbers_are_little_endian_and_come_back(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0xfe, 4,    3, 2,    1,    8,    7, 6, 5, 4,   3,  2,
                                       1,    0x00, 0, 0xc0, 0x3f, 0x02, 0, 0, 0, 'h', 'i'};
    bytes b = {0};
    bytes_put_u8(&b, 0xfe);
    bytes_put_u32(&b, 0x01020304);
    bytes_put_u64(&b, 0x0102030405060708);
    bytes_put_f32(&b, 1.5f);
    bytes_put_text(&b, "hi");
    assert_int_equal(b.size, sizeof expected);
    assert_memory_equal(b.data, expected, sizeof expected);
    byte_reader in = {b.data, b.size, false};
    size_t length;
    assert_int_equal(bytes_get_u8(&in), 0xfe);
    assert_int_equal(bytes_get_u32(&in), 0x01020304);
    assert_true(bytes_get_u64(&in) == 0x0102030405060708);
    assert_true(bytes_get_f32(&in) == 1.5f);
    assert_memory_equal(bytes_get_text(&in, &length), "hi", 2);
    assert_int_equal(length, 2);
    assert_int_equal(in.size, 0);
    assert_false(in.failed);
    bytes_set_u32(&b, 1, 0xa0b0c0d0);
    assert_memory_equal(b.data, "\xfe\xd0\xc0\xb0\xa0\x08", 6);
    bytes_free(&b);
    assert_true(!b.data && !b.size && !b.capacity);
}

static void what_is_missing_reads_as_zero_from_then_on(void **state)
{
    (void)state;
    static const uint8_t five[] = {1, 2, 3, 4, 5};
    byte_reader in = {five, sizeof five, false};
    assert_int_equal(bytes_get_part(&in, 5).size, 5); // all of it is there
    assert_false(in.failed);
    in = (byte_reader){five, sizeof five, false};
    byte_reader part = bytes_get_part(&in, 6);
    assert_true(part.failed && in.failed && !part.size);
    assert_int_equal(bytes_get_u8(&in), 0);
    in = (byte_reader){five, sizeof five, false};
    assert_int_equal(bytes_get_u32(&in), 0x04030201);
    assert_int_equal(bytes_get_u32(&in), 0);
    assert_true(in.failed);
    size_t length = 9;
    in = (byte_reader){five, sizeof five, false}; // a text of 67305985 bytes
    bytes_get_text(&in, &length);
    assert_int_equal(length, 0);
    assert_true(in.failed);
}

static void bytes_grow_and_tell_in_the_end_if_they_could_not(void **state)
{
    (void)state;
    bytes b = {0};
    bytes_put(&b, NULL, 0);
    assert_int_equal(b.size, 0);
    for (size_t i = 0; i < 10000; i++)
        bytes_put_u32(&b, (uint32_t)i);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(b.data[4 * i] | b.data[4 * i + 1] << 8, i);
    bytes_put(&b, "", SIZE_MAX - 100);
    assert_true(b.failed);
    bytes_put_u8(&b, 1);
    assert_int_equal(b.size, 40000);
    bytes_free(&b);
}

/* ---- Searching ------------------------------------------------------------------------------- */

static int compare_ints(const void *element, const void *key)
{
    int a = *(const int *)element, b = *(const int *)key;
    return (a > b) - (a < b);
}

static void the_first_that_is_not_below_is_found(void **state)
{
    (void)state;
    const int sorted[] = {1, 3, 3, 3, 7, 9, 9};
    for (size_t count = 0; count <= 7; count++)
        for (int key = 0; key <= 10; key++) {
            size_t expected = 0;
            while (expected < count && sorted[expected] < key)
                expected++;
            assert_int_equal(search_first(&key, sorted, count, sizeof *sorted, compare_ints), expected);
        }
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Expects "NUMBER:LINE" of each line, in order. */
static void expect_lines(line_end end, const char *data, size_t size, const char *const *expected)
{
    mohvit_error err;
    line_reader r;
    bool more;
    char got[128];
    write_file("f", data, size);
    assert_int_equal(lines_open(&r, "f", end, &err), MOHVIT_OK);
    for (; *expected; expected++) {
        if (lines_next(&r, &more, &err))
            fail_msg("%s", err.message);
        assert_true(more);
        snprintf(got, sizeof got, "%zu:%s", r.number, r.line);
        assert_string_equal(got, *expected);
    }
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_false(more);
    lines_close(&r);
}

#define LINES(end, data, ...)                                                                                \
    expect_lines(end, data, sizeof data - 1, (const char *const[]){__VA_ARGS__, NULL})

static void lines_come_without_their_ends_and_with_their_numbers(void **state)
{
    (void)state;
    mohvit_error err;
    line_reader r;
    bool more;
    char where[64];
    LINES(LINES_NEWLINE, "one \n\n  \ntwo words\nlast", "1:one ", "3:  ", "4:two words", "5:last");
    LINES(LINES_NEWLINE, "one\r\n\r\nthree\r\n", "1:one", "3:three");
    assert_int_equal(lines_open(&r, "f", LINES_NEWLINE, &err), MOHVIT_OK);
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    lines_where(&r, where, sizeof where);
    assert_string_equal(where, "f: line 1");
    lines_close(&r);
    assert_int_equal(lines_open(&r, "missing", LINES_NEWLINE, &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "missing: No such file"));
    lines_close(&r);
}

static void a_byte_order_mark_belongs_to_no_line(void **state)
{
    (void)state;
    LINES(LINES_NEWLINE, "\xef\xbb\xbfone\n\xef\xbb\xbftwo", "1:one", "2:\xef\xbb\xbftwo");
    LINES(LINES_EITHER, "\xef\xbb\xbfone", "1:one");
    LINES(LINES_ZERO, "\xef\xbb\xbfone\0", "1:\xef\xbb\xbfone"); // a path, of whatever bytes
}

static void zero_bytes_end_lines_if_they_are_to(void **state)
{
    (void)state;
    LINES(LINES_ZERO, "a\nb\r\0\0c\0last", "1:a\nb\r", "3:c", "4:last");
    LINES(LINES_EITHER, "a 1\0b\n2\0", "1:a 1", "2:b\n2");
    LINES(LINES_EITHER, "a 1\r\nb 2\n", "1:a 1", "2:b 2");
}

/* Writes text to who writes the list. */
static void write_list(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void a_list_that_is_being_written_tells_whether_a_line_is_there(void **state)
{
    (void)state;
    mohvit_error err;
    line_reader r;
    bool more;
    int ends[2];
    char path[32];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    assert_int_equal(lines_open(&r, path, LINES_NEWLINE, &err), MOHVIT_OK);
    assert_false(lines_ready(&r));
    write_list(ends[1], "one\ntwo\nth");
    assert_true(lines_ready(&r));
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_true(lines_ready(&r)); // read along with the first
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_string_equal(r.line, "two");
    assert_false(lines_ready(&r));
    write_list(ends[1], "ree");
    assert_false(lines_ready(&r));
    close(ends[1]);
    assert_true(lines_ready(&r));
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_string_equal(r.line, "three");
    assert_true(lines_ready(&r)); // to say that there are no more
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_false(more);
    lines_close(&r);
    close(ends[0]);
}

static void blanks_are_trimmed_where_they_do_not_count(void **state)
{
    (void)state;
    line_reader r;
    bool more;
    mohvit_error err;
    assert_int_equal(lines_open_text(&r, "a b \t\n \t\nc", 9, "text", &err), MOHVIT_OK);
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_true(lines_trim(&r));
    assert_string_equal(r.line, "a b");
    assert_int_equal(lines_next(&r, &more, &err), MOHVIT_OK);
    assert_false(lines_trim(&r));
    lines_close(&r);
}

static mohvit_status second_line_of(line_end end, const char *data, size_t size, mohvit_error *err)
{
    line_reader r;
    bool more;
    write_file("f", data, size);
    assert_int_equal(lines_open(&r, "f", end, err), MOHVIT_OK);
    mohvit_status status = lines_next(&r, &more, err);
    if (!status)
        status = lines_next(&r, &more, err);
    lines_close(&r);
    return status;
}

static void a_line_has_its_length_and_no_zero_byte(void **state)
{
    (void)state;
    mohvit_error err;
    static char data[2 + 65537 + 1] = "x\n";
    memset(data + 2, 'y', 65537);
    assert_int_equal(second_line_of(LINES_NEWLINE, data, 2 + 65536, &err), MOHVIT_OK);
    assert_int_equal(second_line_of(LINES_NEWLINE, data, 2 + 65537, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f: line 2"));
    assert_int_equal(second_line_of(LINES_NEWLINE, "x\ny\0z\n", 6, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f: line 2: a zero byte"));
    assert_non_null(strstr(err.message, "-0 (--null)"));
    assert_int_equal(second_line_of(LINES_EITHER, "x\ny\0z\n", 6, &err), MOHVIT_ERROR_FORMAT);
    static const char *const others[] = {"x\n\0\0", "x\ny\0\0", "x\n\xff\xe0\0y",
                                         "x\ny\x03\0z"}; // of no list
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(second_line_of(LINES_NEWLINE, others[i], i == 2 ? 6 : i + 4, &err),
                         MOHVIT_ERROR_FORMAT);
        assert_null(strstr(err.message, "(--null)"));
    }
    assert_int_equal(second_line_of(LINES_NEWLINE, "\xff\xfex\0\n\0", 6, &err), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f: is UTF-16; expected UTF-8"));
}

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

static void letters_between_two_names_are_counted(void **state)
{
    (void)state;
    assert_int_equal(edit_distance("", ""), 0);
    assert_int_equal(edit_distance("eval", ""), 4);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    assert_int_equal(edit_distance("norm1.weight", "norm.weight"), 1);
    char one[200], other[200]; // of long names, the ends
    memset(one, 'a', sizeof one);
    memset(other, 'b', 100);
    memset(other + 100, 'a', 100);
    one[199] = other[199] = '\0';
    assert_int_equal(edit_distance(one, other), 0);
    assert_int_equal(edit_distance(one, "a"), 95);
}

static void characters_are_told_from_other_bytes(void **state)
{
    (void)state;
    const char *const whole[] = {"a",      "\u00e9",     "\u2026",    "\xed\x9f\xbf",
                                 "\uffff", "\U0001d11e", "\U0010ffff"};
    const char *const none[] = {"\x80",
                                "\xc1\xbf",
                                "\xc3(",
                                "\xe0\x9f\xbf",
                                "\xed\xa0\x80",
                                "\xe2\x80(",
                                "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "\xff"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        size_t length = strlen(whole[i]);
        assert_int_equal(utf8_length(whole[i], length), length);
        assert_int_equal(utf8_length(whole[i], length - 1), 0); // cut off
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(utf8_length(none[i], strlen(none[i])), 0);
        assert_false(utf8_valid(none[i], strlen(none[i])));
    }
    static const char *const steering[] = {"\x1b",         "\x7f",         "\xc2\x80",     "\xc2\x9f",
                                           "\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa",
                                           "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9"};
    static const char *const harmless[] = {" ",
                                           "~",
                                           "\xc2\xa0",
                                           "\xd8\x9b",
                                           "\xe2\x80\x8d",
                                           "\xe2\x80\x90",
                                           "\xe2\x80\xa9",
                                           "\xe2\x80\xaf",
                                           "\xe2\x81\xa5",
                                           "\xe2\x81\xaa",
                                           "\xf0\x9f\x90\x88"};
    for (size_t i = 0; i < sizeof steering / sizeof *steering; i++) {
        assert_true(utf8_steers(steering[i], strlen(steering[i])));
        assert_false(utf8_steers(harmless[i], strlen(harmless[i])));
    }
    assert_int_equal(utf8_code("\xf0\x9f\x90\x88", 4), 0x1f408);
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("a\u00e9\u2026", 6));
    assert_false(utf8_valid("a\u00e9\u2026", 5));
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool loads(const char *text, size_t containers, size_t values)
{
    json_error_t why = {0};
    json_t *value = json_load_bounded(text, strlen(text), containers, values, &why);
    if (!value)
        assert_true(*why.text);
    json_decref(value);
    return value != NULL;
}

static void json_is_counted_before_it_is_parsed(void **state)
{
    (void)state;
    const char *nested = "[[1, 2], {\"a\": [3]}]"; // 4 containers; 1 value, 4 for those, and a comma each
    assert_true(loads(nested, 4, 7));
    assert_false(loads(nested, 3, 7));
    assert_false(loads(nested, 4, 6));
    assert_true(loads("[\"[[[{{{,,,\", \"\\\"[[,\", \"\\\\\"]", 1, 4)); // none within a string
    assert_false(loads("[\"\\\\\", [], []]", 2, 9));                    // whose end is found
    assert_false(loads("{\"a\": 1, \"a\": 2}", 9, 9));
    assert_false(loads("[\"\\u0000\"]", 9, 9));
    assert_false(loads("[1", 9, 9));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_do_not_overflow),
        cmocka_unit_test(memory_is_aligned_and_of_its_size),
        cmocka_unit_test(an_array_grows_and_keeps_what_it_has),
        cmocka_unit_test(pieces_of_an_arena_do_not_touch),
        cmocka_unit_test(an_arena_keeps_to_its_limit),
        cmocka_unit_test(numbers_are_little_endian_and_come_back),
        cmocka_unit_test(what_is_missing_reads_as_zero_from_then_on),
        cmocka_unit_test(bytes_grow_and_tell_in_the_end_if_they_could_not),
        cmocka_unit_test(the_first_that_is_not_below_is_found),
        TEST(lines_come_without_their_ends_and_with_their_numbers),
        TEST(a_byte_order_mark_belongs_to_no_line),
        TEST(zero_bytes_end_lines_if_they_are_to),
        TEST(a_list_that_is_being_written_tells_whether_a_line_is_there),
        TEST(blanks_are_trimmed_where_they_do_not_count),
        TEST(a_line_has_its_length_and_no_zero_byte),
        cmocka_unit_test(characters_are_told_from_other_bytes),
        cmocka_unit_test(letters_between_two_names_are_counted),
        cmocka_unit_test(json_is_counted_before_it_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Errors and warnings: a message of one printable line with its place and its cause, and a status that says
 * whose fault it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (sizeof((mohvit_error *)0)->message)

static void a_message_is_what_was_formatted(void **state)
{
    (void)state;
    mohvit_error err;
    assert_int_equal(error_set(&err, MOHVIT_ERROR_FORMAT, "%s: line %d", "x.pth", 7), MOHVIT_ERROR_FORMAT);
    assert_int_equal(err.status, MOHVIT_ERROR_FORMAT);
    assert_string_equal(err.message, "x.pth: line 7");
    assert_int_equal(error_set(NULL, MOHVIT_ERROR_LIMIT, "nobody listens"), MOHVIT_ERROR_LIMIT);
}

static void control_bytes_are_escaped_and_nothing_else(void **state)
{
    (void)state;
    mohvit_error err;
    error_set(&err, MOHVIT_ERROR_IO, "%s", "a\x1f\x7f b\n~\xc3\xa9");
    assert_string_equal(err.message, "a\\x1f\\x7f b\\x0a~\xc3\xa9");
    char many[ROOM]; // an escape that does not fit is left out whole
    memset(many, '\n', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    error_set(&err, MOHVIT_ERROR_IO, "%s", many);
    assert_int_equal(strlen(err.message), (ROOM - 1) / 4 * 4);
}

static void a_long_message_loses_its_middle(void **state)
{
    (void)state;
    mohvit_error err;
    char text[3 * ROOM];
    memset(text, 'x', sizeof text);
    text[ROOM - 1] = '\0';
    error_set(&err, MOHVIT_ERROR_IO, "%s", text);
    assert_string_equal(err.message, text); // it just fits
    text[ROOM - 1] = 'x';
    text[sizeof text - 1] = '\0';
    error_set(&err, MOHVIT_ERROR_IO, "begins%sends", text);
    assert_true(strlen(err.message) < ROOM);
    assert_memory_equal(err.message, "begins", 6);
    assert_string_equal(err.message + strlen(err.message) - 4, "ends");
    assert_non_null(strstr(err.message, " ... "));
}

static void characters_are_not_cut_in_two(void **state)
{
    (void)state;
    mohvit_error err;
    char text[2 * ROOM] = "";
    while (strlen(text) + 4 < sizeof text)
        strcat(text, "\xe2\x82\xac"); // three bytes
    for (size_t shift = 0; shift < 3; shift++) {
        error_set(&err, MOHVIT_ERROR_IO, "%.*s%s", (int)shift, "ab", text);
        json_t *string = json_string(err.message); // which takes nothing but UTF-8
        assert_non_null(string);
        json_decref(string);
    }
}

static void the_system_tells_whose_fault_it_is(void **state)
{
    (void)state;
    static const struct {
        int number;
        mohvit_status status;
        bool may_pass;
    } cases[] = {{ENOENT, MOHVIT_ERROR_IO, false},    {EACCES, MOHVIT_ERROR_IO, false},
                 {EISDIR, MOHVIT_ERROR_IO, false},    {EOVERFLOW, MOHVIT_ERROR_IO, false},
                 {ENOMEM, MOHVIT_ERROR_MEMORY, true}, {EIO, MOHVIT_ERROR_SYSTEM, true},
                 {ENOSPC, MOHVIT_ERROR_SYSTEM, true}, {EMFILE, MOHVIT_ERROR_SYSTEM, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mohvit_error err;
        char expected[256];
        snprintf(expected, sizeof expected, "f: %s", strerror(cases[i].number));
        errno = cases[i].number;
        assert_int_equal(errno_may_pass(), cases[i].may_pass);
        assert_int_equal(error_errno(&err, "f"), cases[i].status);
        assert_string_equal(err.message, expected);
        assert_int_equal(err.number, cases[i].number);
        assert_int_equal(error_may_pass(cases[i].status), cases[i].may_pass);
        error_set(&err, MOHVIT_ERROR_IO, "f: ends early");
        assert_int_equal(err.number, 0);
    }
}

static void a_library_that_lacked_memory_is_not_believed(void **state)
{
    (void)state;
    mohvit_error err;
    errno = 0;
    assert_int_equal(error_library(&err, MOHVIT_ERROR_FORMAT, "bad magic", "f"), MOHVIT_ERROR_FORMAT);
    assert_string_equal(err.message, "f: bad magic");
    errno = ENOMEM;
    assert_int_equal(error_library(&err, MOHVIT_ERROR_FORMAT, "bad magic", "f"), MOHVIT_ERROR_MEMORY);
    assert_int_equal(err.status, MOHVIT_ERROR_MEMORY);
    assert_string_equal(err.message, "f: no memory");
}

static void a_line_end_behind_a_librarys_reason_is_dropped(void **state)
{
    (void)state;
    mohvit_error err;
    errno = 0;
    error_library(&err, MOHVIT_ERROR_FORMAT, "bad\nmagic\n\n", "f");
    assert_string_equal(err.message, "f: bad\\x0amagic");
}

static char heard[64];

static void hear(void *user, const char *message)
{
    snprintf(heard, sizeof heard, "%s%s", (const char *)user, message);
}

static void a_warning_needs_no_listener(void **state)
{
    (void)state;
    static char mine[] = "mine: ";
    warning_send(NULL, "%d", 1);
    warning_send(&(warning_sink){NULL, mine}, "%d", 1);
    assert_string_equal(heard, "");
    warning_send(&(warning_sink){hear, mine}, "%d files\n", 3);
    assert_string_equal(heard, "mine: 3 files\\x0a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_what_was_formatted),
        cmocka_unit_test(control_bytes_are_escaped_and_nothing_else),
        cmocka_unit_test(a_long_message_loses_its_middle),
        cmocka_unit_test(characters_are_not_cut_in_two),
        cmocka_unit_test(the_system_tells_whose_fault_it_is),
        cmocka_unit_test(a_library_that_lacked_memory_is_not_believed),
        cmocka_unit_test(a_line_end_behind_a_librarys_reason_is_dropped),
        cmocka_unit_test(a_warning_needs_no_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

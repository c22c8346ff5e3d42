/* Files that are read and written to their ends whatever the system does, and made whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file_io.h"
#include "base/text_file.h"
#include "tests/imgio/folder_testing.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>

/* ---- Calls that are cut short ------------------------------------------------------------------- */

static bool hinder;       /* every other call is interrupted, and the rest do three bytes at most */
static int refused_after; /* so many calls work, then they fail; 0: none does */
static size_t calls;

static ssize_t hindered(ssize_t (*call)(int, void *, size_t, off_t), int fd, void *data, size_t size,
                        off_t at)
{
    if (!hinder)
        return call(fd, data, size, at);
    calls++;
    if (refused_after && calls > (size_t)refused_after) {
        errno = EIO;
        return -1;
    }
    if (calls % 2) {
        errno = EINTR;
        return -1;
    }
    return call(fd, data, size < 3 ? size : 3, at);
}

/* In place of the C library's. */
#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, name)

static ssize_t real_read(int fd, void *to, size_t size, off_t at)
{
    REAL(ssize_t, "read", int, void *, size_t);
    (void)at;
    return real(fd, to, size);
}

static ssize_t real_write(int fd, void *from, size_t size, off_t at)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    (void)at;
    return real(fd, from, size);
}

static ssize_t real_pread(int fd, void *to, size_t size, off_t at)
{
    REAL(ssize_t, "pread", int, void *, size_t, off_t);
    return real(fd, to, size, at);
}

static ssize_t real_pwrite(int fd, void *from, size_t size, off_t at)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return real(fd, from, size, at);
}

ssize_t read(int fd, void *to, size_t size)
{
    return hindered(real_read, fd, to, size, 0);
}

ssize_t write(int fd, const void *from, size_t size)
{
    return hindered(real_write, fd, (void *)(uintptr_t)from, size, 0);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    return hindered(real_pread, fd, to, size, at);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    return hindered(real_pwrite, fd, (void *)(uintptr_t)from, size, at);
}

static int sync_fails; /* the reason; 0: it does not */

int fsync(int fd)
{
    REAL(int, "fsync", int);
    errno = sync_fails;
    return sync_fails ? -1 : real(fd);
}

static void interrupted_and_half_done_calls_go_on(void **state)
{
    (void)state;
    char got[32] = "";
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    hinder = true;
    assert_true(file_write(fd, "0123456789", 10));
    assert_true(file_write_at(fd, 4, "abcdefg", 7));
    assert_int_equal(file_read_at(fd, 1, got, 10), 10);
    assert_string_equal(got, "123abcdefg");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(file_read(fd, got, sizeof got), 11); // fewer at the end alone
    assert_memory_equal(got, "0123abcdefg", 11);
    assert_int_equal(file_read_at(fd, 11, got, 5), 0);
    hinder = false;
    close(fd);
}

static void a_call_that_fails_half_way_is_a_failure(void **state)
{
    (void)state;
    char got[32];
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    assert_true(file_write(fd, "0123456789", 10));
    hinder = true;
    refused_after = 4;
    calls = 0;
    assert_int_equal(file_read_at(fd, 0, got, 10), -1);
    calls = 0;
    assert_false(file_write_at(fd, 0, "0123456789", 10));
    assert_int_equal(errno, EIO);
    hinder = false;
    refused_after = 0;
    close(fd);
}

/* ---- Whole or not at all -------------------------------------------------------------------------- */

static void file_is(const char *path, const char *expected)
{
    char got[256] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(got, expected);
}

static void no_temporary_is_left(void)
{
    glob_t found;
    assert_int_equal(glob(".*.tmp", 0, NULL, &found), GLOB_NOMATCH);
    globfree(&found);
}

static void a_file_is_replaced_once_it_is_complete(void **state)
{
    (void)state;
    mohvit_error err;
    replace_file f;
    write_text("out", "before");
    assert_int_equal(replace_begin(&f, "out", &err), MOHVIT_OK);
    assert_int_equal(replace_create(&f, &err), MOHVIT_OK);
    assert_int_equal(replace_write(&f, "after", 5, &err), MOHVIT_OK);
    file_is("out", "before");
    assert_int_equal(replace_commit(&f, &err), MOHVIT_OK);
    file_is("out", "after");
    no_temporary_is_left();
    assert_int_equal(replace_with_bytes("new", "bytes", 5, &err), MOHVIT_OK);
    file_is("new", "bytes");
}

static void what_is_given_up_leaves_the_old_file(void **state)
{
    (void)state;
    mohvit_error err;
    replace_file f, other;
    write_text("out", "before");
    assert_int_equal(replace_begin(&f, "out", &err), MOHVIT_OK);
    assert_int_equal(replace_create(&f, &err), MOHVIT_OK);
    assert_int_equal(replace_write(&f, "after", 5, &err), MOHVIT_OK);
    replace_cancel(&f);
    file_is("out", "before");
    no_temporary_is_left();
    assert_int_equal(replace_begin(&f, "out", &err), MOHVIT_OK);
    assert_int_equal(replace_create(&f, &err), MOHVIT_OK);
    assert_int_equal(replace_begin(&other, "other", &err), MOHVIT_OK);
    assert_int_equal(replace_create(&other, &err), MOHVIT_OK);
    replace_cancel_all();
    no_temporary_is_left();
    replace_cancel(&f);
    replace_cancel(&other);
}

static void places_where_no_file_can_be_are_refused(void **state)
{
    (void)state;
    mohvit_error err;
    shell("mkdir folder && mkfifo pipe");
    assert_int_equal(replace_possible(NULL, &err), MOHVIT_OK);
    assert_int_equal(replace_possible("folder/x", &err), MOHVIT_OK);
    assert_int_equal(replace_possible("folder", &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "folder: is a directory"));
    assert_int_equal(replace_possible("pipe", &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "pipe: is not a regular file"));
    assert_int_equal(replace_possible("", &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "\"\": is empty"));
    char longest[NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[NAME_MAX + 1] = '\0';
    assert_int_equal(replace_possible(longest, &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, ": File name too long"));
    assert_int_equal(replace_possible(longest + 1, &err), MOHVIT_OK);
    assert_int_equal(replace_possible("missing/x", &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "missing/x: "));
    assert_int_equal(replace_with_bytes("missing/x", "", 0, &err), MOHVIT_ERROR_IO);
    no_temporary_is_left();
}

static void messages_are_about_the_file_that_people_know(void **state)
{
    (void)state;
    mohvit_error err;
    replace_file f;
    assert_int_equal(replace_begin(&f, "out", &err), MOHVIT_OK);
    error_set(&err, MOHVIT_ERROR_IO, "%s: is full", f.temporary);
    replace_blame(&f, &err);
    assert_string_equal(err.message, "out: is full");
    assert_int_equal(err.status, MOHVIT_ERROR_IO);
    error_set(&err, MOHVIT_ERROR_IO, "in: is empty");
    replace_blame(&f, &err);
    assert_string_equal(err.message, "in: is empty");
    replace_cancel(&f);
}

static void a_directory_is_synced_where_its_file_system_can(void **state)
{
    (void)state;
    static const int cannot[] = {EINVAL, ENOTSUP};
    mohvit_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        sync_fails = cannot[i];
        assert_int_equal(replace_sync_directory("x", &err), MOHVIT_OK);
    }
    sync_fails = EIO;
    mohvit_status of_directory = replace_sync_directory("x", &err);
    mohvit_status of_file = replace_with_bytes("x", "after", 5, &err);
    sync_fails = 0;
    assert_int_equal(of_directory, MOHVIT_ERROR_SYSTEM);
    assert_int_equal(of_file, MOHVIT_ERROR_SYSTEM);
    assert_non_null(strstr(err.message, "x: syncing"));
    assert_int_equal(access("x", F_OK), -1);
    no_temporary_is_left();
    assert_int_equal(replace_sync_directory("missing/x", &err), MOHVIT_ERROR_IO);
}

/* ---- Text ----------------------------------------------------------------------------------------- */

static void a_long_text_is_written_in_its_order(void **state)
{
    (void)state;
    mohvit_error err;
    text_file f;
    static char line[70001], expected[400000];
    size_t sizes[] = {10, 60000, 5536, 65526, 1, 65536, 3, 70000, 65530, 6, 7}, used = 0;
    assert_int_equal(text_open(&f, "out", &err), MOHVIT_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(line, 'a' + (int)i, sizes[i]);
        line[sizes[i]] = '\0';
        memcpy(expected + used, line, sizes[i]);
        used += sizes[i];
        text_printf(&f, "%s", line);
    }
    assert_int_equal(text_close(&f, MOHVIT_OK, &err), MOHVIT_OK);
    FILE *out = fopen("out", "rb");
    static char got[sizeof expected + 1];
    assert_int_equal(fread(got, 1, sizeof got, out), used);
    fclose(out);
    assert_memory_equal(got, expected, used);
}

static void a_text_that_failed_leaves_nothing(void **state)
{
    (void)state;
    mohvit_error err = {0};
    text_file f;
    write_text("out", "before");
    assert_int_equal(text_open(&f, "out", &err), MOHVIT_OK);
    text_printf(&f, "%d", 1);
    assert_int_equal(text_close(&f, MOHVIT_ERROR_FORMAT, &err), MOHVIT_ERROR_FORMAT);
    file_is("out", "before");
    assert_int_equal(text_open(&f, "out", &err), MOHVIT_OK);
    text_printf(&f, "%d", 1);
    hinder = true;
    refused_after = 1;
    calls = 1;
    mohvit_status status = text_close(&f, MOHVIT_OK, &err);
    hinder = false;
    refused_after = 0;
    assert_int_equal(status, MOHVIT_ERROR_SYSTEM);
    assert_non_null(strstr(err.message, "out: "));
    file_is("out", "before");
    no_temporary_is_left();
    assert_int_equal(text_open(&f, "missing/out", &err), MOHVIT_ERROR_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(interrupted_and_half_done_calls_go_on),
        TEST(a_call_that_fails_half_way_is_a_failure),
        TEST(a_file_is_replaced_once_it_is_complete),
        TEST(what_is_given_up_leaves_the_old_file),
        TEST(places_where_no_file_can_be_are_refused),
        TEST(messages_are_about_the_file_that_people_know),
        TEST(a_directory_is_synced_where_its_file_system_can),
        TEST(a_long_text_is_written_in_its_order),
        TEST(a_text_that_failed_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

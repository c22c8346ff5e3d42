/* folder_testing.h - a folder of a test's own, and files in it. Needs cmocka and stdio. */
#ifndef MOHVIT_FOLDER_TESTING_H
#define MOHVIT_FOLDER_TESTING_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Goes to a new folder in /tmp; leave_folder takes it away. */
static char test_folder[] = "/tmp/mohvit-test-XXXXXX";

static inline int enter_folder(void **state)
{
    (void)state;
    strcpy(test_folder + strlen(test_folder) - 6, "XXXXXX");
    return mkdtemp(test_folder) && !chdir(test_folder) ? 0 : -1;
}

static inline int leave_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", test_folder);
    return chdir("/") || system(command);
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

/* Runs a shell command, which must succeed. */
static inline void shell(const char *command)
{
    assert_int_equal(system(command), 0);
}

#endif

#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* offset NULL: where the descriptor stands. */
static ssize_t read_fully(int fd, const uint64_t *offset, char *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n =
            offset ? pread(fd, to + got, size - got, (off_t)(*offset + got)) : read(fd, to + got, size - got);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0)
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)got;
}

static bool write_fully(int fd, const uint64_t *offset, const char *from, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = offset ? pwrite(fd, from + done, size - done, (off_t)(*offset + done))
                           : write(fd, from + done, size - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

ssize_t file_read(int fd, void *to, size_t size)
{
    return read_fully(fd, NULL, to, size);
}

ssize_t file_read_at(int fd, uint64_t offset, void *to, size_t size)
{
    return read_fully(fd, &offset, to, size);
}

bool file_write(int fd, const void *from, size_t size)
{
    return write_fully(fd, NULL, from, size);
}

bool file_write_at(int fd, uint64_t offset, const void *from, size_t size)
{
    return write_fully(fd, &offset, from, size);
}

uint64_t file_mtime(const struct stat *st)
{
    return (uint64_t)(int64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

static mohvit_status too_large(const char *name, size_t max, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "%s: larger than the limit of %zu bytes", name, max);
}

/* The size that fstat gave is a hint alone: a pipe has none, and a file may grow. */
static mohvit_status load(char **out, size_t *size, int fd, size_t hint, size_t max, const char *name,
                          mohvit_error *err)
{
    *size = 0;
    /* One byte more than a file of the expected size or of the limit tells its end from a longer file. */
    for (size_t room = hint + 1;; room = room > max / 2 ? max + 1 : room * 2) {
        char *larger = realloc(*out, room);
        if (!larger)
            return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu bytes", name, room);
        *out = larger;
        ssize_t n = file_read(fd, larger + *size, room - *size);
        if (n < 0)
            return error_errno(err, "%s: cannot be read", name);
        *size += (size_t)n;
        if (*size > max)
            return too_large(name, max, err);
        if (*size < room) {
            larger[*size] = '\0';
            return MOHVIT_OK;
        }
    }
}

mohvit_status file_load(char **out, size_t *size, int fd, size_t max, const char *name, mohvit_error *err)
{
    struct stat st;
    char *data = NULL;
    if (fstat(fd, &st))
        return error_errno(err, "%s: cannot be read", name);
    if (S_ISDIR(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is a directory; expected a file", name);
    size_t told = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
    if (told > max)
        return too_large(name, max, err);
    mohvit_status status = load(&data, size, fd, told ? told : 65536, max, name, err);
    if (status)
        free(data);
    else
        *out = data;
    return status;
}

mohvit_status file_load_path(char **out, size_t *size, const char *path, size_t max, mohvit_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s", path);
    mohvit_status status = file_load(out, size, fd, max, path, err);
    close(fd);
    return status;
}

const char *file_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

int file_open_unnamed(void)
{
    const char *directory = file_temporary_folder();
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char *path; // a file system without O_TMPFILE
    if (asprintf(&path, "%s/mohvit-XXXXXX", directory) < 0)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

#include "weights/byte_source.h"

#include "base/file_io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

mohvit_status byte_source_open(byte_source *s, const char *path, mohvit_error *err)
{
    // O_NONBLOCK: a FIFO must be refused below, not waited for here. It means nothing to regular files.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, "%s", path);
    struct stat st;
    mohvit_status status = MOHVIT_OK;
    if (fstat(fd, &st))
        status = error_errno(err, "%s", path);
    else if (S_ISDIR(st.st_mode))
        status = error_set(err, MOHVIT_ERROR_IO, "%s: is a directory; expected a file", path);
    else if (!S_ISREG(st.st_mode))
        status = error_set(err, MOHVIT_ERROR_IO, "%s: is not a regular file", path);
    if (status) {
        close(fd);
        return status;
    }
    *s = (byte_source){.name = path, .fd = fd, .size = (size_t)st.st_size};
    return MOHVIT_OK;
}

/* file_read_at of bytes in memory. */
static ssize_t read_memory(const byte_source *s, size_t offset, void *dst, size_t bytes)
{
    size_t left = offset < s->size ? s->size - offset : 0, n = bytes < left ? bytes : left;
    if (n)
        memcpy(dst, s->data + offset, n);
    return (ssize_t)n;
}

mohvit_status byte_source_read(const byte_source *s, size_t offset, void *dst, size_t bytes,
                               mohvit_error *err)
{
    ssize_t got = s->fd < 0 ? read_memory(s, offset, dst, bytes) : file_read_at(s->fd, offset, dst, bytes);
    if (got < 0)
        return error_errno(err, "%s: reading %zu bytes at %zu", s->name, bytes, offset);
    if ((size_t)got == bytes)
        return MOHVIT_OK;
    return error_set(
        err, MOHVIT_ERROR_IO,
        "%s: ends at byte %zu, %zu byte%s short (it had %zu when it was opened; did it change since?)",
        s->name, offset + (size_t)got, bytes - (size_t)got, plural(bytes - (size_t)got), s->size);
}

void byte_source_close(byte_source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

#include "base/file_io.h"

#include <errno.h>
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

#include "imgio/dataset/sample.h"

#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* error_errno, but for a disk that breaks, or a server that is gone: the next file may be on another. */
static mohvit_status file_error(mohvit_error *err, const char *what)
{
    char reason[128];
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        return error_errno(err, "%s", what);
    return error_set(err, MOHVIT_ERROR_IO, "%s: %s", what, strerror_r(errno, reason, sizeof reason));
}

mohvit_status sample_read_bytes(int fd, uint64_t offset, void *dst, size_t size, mohvit_error *err)
{
    ssize_t n = file_read_at(fd, offset, dst, size);
    if (n < 0)
        return file_error(err, "cannot be read");
    if ((size_t)n < size)
        return error_set(err, MOHVIT_ERROR_IO, "the file ends %zu byte%s too early", size - (size_t)n,
                         plural(size - (size_t)n));
    return MOHVIT_OK;
}

mohvit_status sample_read_at(int fd, uint64_t offset, uint64_t size, sample *out, mohvit_error *err)
{
    if (size > SAMPLE_MAX_BYTES)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%llu bytes exceed the limit of %llu",
                         (unsigned long long)size, (unsigned long long)SAMPLE_MAX_BYTES);
    uint8_t *bytes = malloc((size_t)size + 1); // never of no size
    if (!bytes)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %llu bytes", (unsigned long long)size);
    mohvit_status status = sample_read_bytes(fd, offset, bytes, (size_t)size, err);
    if (status)
        free(bytes);
    else
        *out = (sample){.bytes = bytes, .size = (size_t)size};
    return status;
}

mohvit_status sample_read_path(const char *path, sample *out, mohvit_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold the run up
    if (fd < 0)
        return file_error(err, "cannot be opened");
    mohvit_status status = MOHVIT_OK;
    if (fstat(fd, &st))
        status = file_error(err, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        status = error_set(err, MOHVIT_ERROR_IO, "is not a regular file");
    else
        status = sample_read_at(fd, 0, (uint64_t)st.st_size, out, err);
    close(fd);
    return status;
}

void sample_free(sample *s)
{
    free(s->bytes);
    *s = (sample){0};
}

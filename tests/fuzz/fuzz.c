#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

mohvit_status fuzz_checked(mohvit_status status, const mohvit_error *err, const char *name)
{
    if (!status)
        return status;
    fuzz_require(err->status == status, "a failure whose message is of another status");
    fuzz_require(status > MOHVIT_OK && status <= MOHVIT_ERROR_NONFINITE, "an unknown status");
    fuzz_require(memchr(err->message, 0, sizeof err->message) && *err->message,
                 "a failure without a message");
    for (const char *p = err->message; *p; p++)
        fuzz_require((unsigned char)*p >= 0x20 && *p != 0x7f, "a control byte in a message");
    if (name && !strstr(err->message, name)) {
        fprintf(stderr, "fuzz: \"%s\" does not name %s\n", err->message, name);
        abort();
    }
    return status;
}

const char *fuzz_file(size_t slot, const uint8_t *data, size_t size)
{
    static struct {
        int fd;
        char path[32];
    } files[2];
    if (!*files[slot].path) {
        files[slot].fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(files[slot].path, sizeof files[slot].path, "/proc/self/fd/%d", files[slot].fd);
    }
    int fd = files[slot].fd;
    fuzz_require(fd >= 0 && !ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size,
                 "no memory for a file");
    return files[slot].path;
}

void *fuzz_copy(const uint8_t *data, size_t size)
{
    void *copy = malloc(size);
    fuzz_require(copy || !size, "no memory for a copy");
    if (size)
        memcpy(copy, data, size);
    return copy;
}

void fuzz_warn(void *user, const char *message)
{
    (void)user;
    fuzz_require(strlen(message) < sizeof(mohvit_error), "an endless warning");
}

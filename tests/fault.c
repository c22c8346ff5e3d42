/* fault.c - a library to be preloaded into the program: lets it die, or lets a call fail, at a chosen one of
 * the calls that change files. FAULT is
 *
 *     count:0          only counts them; how many they were goes to the file that FAULT_COUNT names
 *     before:N         ends the program, as kill -9 would, before call N (from 1)
 *     within:N         the same once half of what it would have written is written
 *     after:N          the same after it
 *     full:N           call N and all after it fail, as on a full disk */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int calls;
static char mode[16];
static int at;

__attribute__((constructor)) static void read_fault(void)
{
    const char *fault = getenv("FAULT");
    if (!fault || sscanf(fault, "%15[a-z]:%d", mode, &at) != 2)
        *mode = '\0';
}

__attribute__((destructor)) static void tell_count(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%d\n", atomic_load(&calls));
        fclose(f);
    }
}

static void die(void)
{
    raise(SIGKILL);
}

/* Whether this call is the one, at this point of it. */
static int is_it(int number, const char *point)
{
    return number == at && !strcmp(mode, point);
}

static int is_full(int number)
{
    if (strcmp(mode, "full") || number < at)
        return 0;
    errno = ENOSPC;
    return 1;
}

/* Of real files alone: what is printed does not count. */
static int is_file(int fd)
{
    struct stat st;
    int before = errno, regular = fd > 2 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    errno = before;
    return regular;
}

#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!is_file(fd))
        return real(fd, data, size);
    int number = atomic_fetch_add(&calls, 1) + 1;
    if (is_it(number, "before"))
        die();
    if (is_full(number))
        return -1;
    ssize_t n = real(fd, data, is_it(number, "within") ? size / 2 : size);
    if (is_it(number, "within") || is_it(number, "after"))
        die();
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    int number = atomic_fetch_add(&calls, 1) + 1;
    if (is_it(number, "before"))
        die();
    if (is_full(number)) { // half of it still fits
        ssize_t half = number == at && size > 1 ? real(fd, data, size / 2, offset) : -1;
        errno = ENOSPC;
        return half;
    }
    ssize_t n = real(fd, data, is_it(number, "within") ? size / 2 : size, offset);
    if (is_it(number, "within") || is_it(number, "after"))
        die();
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

#define WRAP(name, parameters, arguments, ...)                                                               \
    int name parameters                                                                                      \
    {                                                                                                        \
        REAL(int, #name, __VA_ARGS__);                                                                       \
        int number = atomic_fetch_add(&calls, 1) + 1;                                                        \
        if (is_it(number, "before"))                                                                         \
            die();                                                                                           \
        int result = is_full(number) ? -1 : real arguments;                                                  \
        if (is_it(number, "within") || is_it(number, "after"))                                               \
            die();                                                                                           \
        return result;                                                                                       \
    }

WRAP(rename, (const char *from, const char *to), (from, to), const char *, const char *)
WRAP(fsync, (int fd), (fd), int)
WRAP(fdatasync, (int fd), (fd), int)
WRAP(ftruncate, (int fd, off_t size), (fd, size), int, off_t)

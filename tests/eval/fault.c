/* fault.c - a library to be preloaded into the program: lets it die, or lets a call fail, at a chosen one of
 * the calls that change files, or that read them. FAULT is
 *
 *     count:0          only counts those that change files
 *     before:N         ends the program, as kill -9 would, before call N (from 1)
 *     within:N         the same once half of what it would have written is written
 *     after:N          the same after it
 *     asked:N          before call N the program is sent SIGTERM
 *     full:N           call N and all after it fail, as on a full disk
 *     worn:N           the same, as on a disk that is broken
 *
 *     reads:0          only counts calls that read files below the current folder
 *     short:N          each reads N bytes at most
 *     broken:N         call N and all after it fail, as from a disk that is broken
 *     moment:N         call N and the two after it fail, as while a server is away
 *     shrunk:N         before call N its file is cut off where it would read
 *
 * How many calls there were goes to the file that FAULT_COUNT names; what those that change files are called,
 * a line each, to that of FAULT_ORDER. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
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

/* Numbers the calls of the kind that the fault is about; 0: it is of the other one. */
static int next_call(bool reads)
{
    static const char *const about_reads[] = {"reads", "short", "broken", "moment", "shrunk"};
    bool wanted = false;
    for (size_t i = 0; i < sizeof about_reads / sizeof *about_reads; i++)
        wanted |= !strcmp(mode, about_reads[i]);
    return wanted == reads ? atomic_fetch_add(&calls, 1) + 1 : 0;
}

/* The same of one that changes files. */
static int next_change(const char *name)
{
    const char *path = getenv("FAULT_ORDER");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0) {
        dprintf(fd, "%s\n", name);
        close(fd);
    }
    return next_call(false);
}

static void die(void)
{
    raise(SIGKILL);
}

static void die_before(int number)
{
    if (number != at)
        return;
    if (!strcmp(mode, "before"))
        die();
    if (!strcmp(mode, "asked"))
        raise(SIGTERM);
}

/* Whether this call is the one, at this point of it. */
static int is_it(int number, const char *point)
{
    return number == at && !strcmp(mode, point);
}

static int is_full(int number)
{
    int full = !strcmp(mode, "full"), worn = !strcmp(mode, "worn");
    if (number < at || !(full || worn))
        return 0;
    errno = full ? ENOSPC : EIO;
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

/* ---- Changing files ---------------------------------------------------------------------------- */

#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!is_file(fd))
        return real(fd, data, size);
    int number = next_change("write");
    die_before(number);
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
    int number = next_change("pwrite");
    die_before(number);
    if (is_full(number)) { // half of it still fits
        int reason = errno;
        ssize_t half = number == at && size > 1 ? real(fd, data, size / 2, offset) : -1;
        errno = reason;
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
        int number = next_change(#name);                                                                     \
        die_before(number);                                                                                  \
        int result = is_full(number) ? -1 : real arguments;                                                  \
        if (is_it(number, "within") || is_it(number, "after"))                                               \
            die();                                                                                           \
        return result;                                                                                       \
    }

WRAP(rename, (const char *from, const char *to), (from, to), const char *, const char *)
WRAP(fsync, (int fd), (fd), int)
WRAP(fdatasync, (int fd), (fd), int)
WRAP(ftruncate, (int fd, off_t size), (fd, size), int, off_t)

/* ---- Reading files ------------------------------------------------------------------------------ */

/* Of the files that are meant, which are those below the current folder. */
static bool is_meant(int fd)
{
    char path[32], target[PATH_MAX], folder[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target);
    return getcwd(folder, sizeof folder) && length > (ssize_t)strlen(folder) &&
           !memcmp(target, folder, strlen(folder));
}

/* How many of `size` bytes at `offset` a call may read; −1: it fails. */
static ssize_t readable(int fd, off_t offset, size_t size)
{
    char path[32];
    if (!is_meant(fd))
        return (ssize_t)size;
    int number = next_call(true);
    if (number && !strcmp(mode, "short") && size > (size_t)at)
        return at;
    if (number >= at && !strcmp(mode, "broken")) {
        errno = EIO;
        return -1;
    }
    if (number >= at && number < at + 3 && !strcmp(mode, "moment")) {
        errno = ESTALE;
        return -1;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (is_it(number, "shrunk") && truncate(path, offset))
        die();
    return (ssize_t)size;
}

ssize_t read(int fd, void *to, size_t size)
{
    REAL(ssize_t, "read", int, void *, size_t);
    ssize_t n = readable(fd, lseek(fd, 0, SEEK_CUR), size);
    return n < 0 ? n : real(fd, to, (size_t)n);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    REAL(ssize_t, "pread", int, void *, size_t, off_t);
    ssize_t n = readable(fd, offset, size);
    return n < 0 ? n : real(fd, to, (size_t)n, offset);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t offset)
{
    return pread(fd, to, size, offset);
}

/* The C library's streams read by calls that nobody else sees. Those that a name opens are made to read by
 * ours; */
static ssize_t stream_read(void *fd, char *to, size_t size)
{
    return read((int)(intptr_t)fd, to, size);
}

static int stream_close(void *fd)
{
    return close((int)(intptr_t)fd);
}

FILE *fopen(const char *path, const char *how)
{
    REAL(FILE *, "fopen", const char *, const char *);
    if (*how != 'r')
        return real(path, how);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const cookie_io_functions_t functions = {.read = stream_read, .close = stream_close};
    return fd < 0 ? NULL : fopencookie((void *)(intptr_t)fd, "r", functions);
}

FILE *fopen64(const char *path, const char *how)
{
    return fopen(path, how);
}

/* of others each fread is a call, of which none is short. */
size_t fread(void *to, size_t size, size_t count, FILE *f)
{
    REAL(size_t, "fread", void *, size_t, size_t, FILE *);
    int fd = fileno(f);
    if (fd < 0 || readable(fd, ftello(f), size * count) >= 0)
        return real(to, size, count, f);
    f->_flags |= _IO_ERR_SEEN;
    return 0;
}

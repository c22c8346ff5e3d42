#include "base/replace_file.h"

#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Length of the directory part of path, with its slash; 0 for the current directory. */
static int directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) + 1 : 0;
}

/* Cuts off a path that is too long for any call of the system, which will say so. */
static const char *directory_name(char out[PATH_MAX], const char *path)
{
    int length = directory_length(path);
    snprintf(out, PATH_MAX, "%.*s", length ? length : 1, length ? path : ".");
    return out;
}

// ---- What is under way -----------------------------------------------------------------------------

static replace_file *under_way;
static atomic_flag in_use = ATOMIC_FLAG_INIT;

/* Of what is under way. Not a mutex, which no handler of a signal may take; and no handler runs on a thread
 * that has the list, or it would wait for itself. */
static void take_list(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
    while (atomic_flag_test_and_set(&in_use))
        sched_yield();
}

static void give_list(const sigset_t *before)
{
    atomic_flag_clear(&in_use);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void enlist(replace_file *f)
{
    sigset_t before;
    take_list(&before);
    f->next = under_way;
    under_way = f;
    give_list(&before);
}

static void remove_from_list(const replace_file *f)
{
    sigset_t before;
    take_list(&before);
    replace_file **at = &under_way;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    give_list(&before);
}

void replace_cancel_all(void)
{
    sigset_t before;
    take_list(&before);
    for (const replace_file *f = under_way; f; f = f->next)
        unlink(f->temporary);
    give_list(&before);
}

// ---- In steps --------------------------------------------------------------------------------------

mohvit_status replace_begin(replace_file *f, const char *path, mohvit_error *err)
{
    struct stat st;
    unsigned long long random;
    char directory[PATH_MAX];
    *f = (replace_file){.path = path, .fd = -1};
    if (!*path)
        return error_set(err, MOHVIT_ERROR_IO, "\"\": is empty; expected the name of a file");
    bool there = !stat(path, &st);
    if (!there && errno == ENAMETOOLONG) // of the temporary file's name it would not be true
        return error_errno(err, "%s", path);
    if (there && !S_ISREG(st.st_mode)) // such as /dev/stdout
        return error_set(err, MOHVIT_ERROR_IO,
                         S_ISDIR(st.st_mode) ? "%s: is a directory; expected the name of a file"
                                             : "%s: is not a regular file, and would be replaced by one",
                         path);
    if (access(directory_name(directory, path), W_OK | X_OK))
        return error_errno(err, "%s: creating a file there", path);
    if (getrandom(&random, sizeof random, 0) < 0)
        return error_errno(err, "%s: getrandom", path);
    if (asprintf(&f->temporary, "%.*s.mohvit-%016llx.tmp", directory_length(path), path, random) < 0) {
        f->temporary = NULL;
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    }
    enlist(f);
    return MOHVIT_OK;
}

/* Not mkstemp, whose 0600 would have to be undone: open applies the umask, and any ACL of the directory. */
mohvit_status replace_create(replace_file *f, mohvit_error *err)
{
    f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return f->fd < 0 ? error_errno(err, "%s: creating a file there", f->path) : MOHVIT_OK;
}

mohvit_status replace_write(const replace_file *f, const void *data, size_t size, mohvit_error *err)
{
    return file_write(f->fd, data, size) ? MOHVIT_OK : error_errno(err, "%s: writing", f->path);
}

mohvit_status replace_write_at(const replace_file *f, uint64_t offset, const void *data, size_t size,
                               mohvit_error *err)
{
    return file_write_at(f->fd, offset, data, size) ? MOHVIT_OK : error_errno(err, "%s: writing", f->path);
}

mohvit_status replace_sync_directory(const char *path, mohvit_error *err)
{
    char directory[PATH_MAX];
    int fd = open(directory_name(directory, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mohvit_status status = MOHVIT_OK;
    if (fd < 0)
        return errno == EACCES ? MOHVIT_OK : error_errno(err, "%s: opening its directory", path);
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
        status = error_errno(err, "%s: syncing its directory", path);
    close(fd);
    return status;
}

mohvit_status replace_commit(replace_file *f, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    int fd = f->fd;
    f->fd = -1;
    if (fd >= 0 && fsync(fd))
        status = error_errno(err, "%s: syncing", f->path);
    if (fd >= 0 && close(fd) && !status)
        status = error_errno(err, "%s: closing", f->path);
    if (!status && rename(f->temporary, f->path))
        status = error_errno(err, "%s: renaming %s", f->path, f->temporary);
    if (!status)
        status = replace_sync_directory(f->path, err);
    replace_cancel(f);
    return status;
}

void replace_cancel(replace_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    if (!f->temporary)
        return;
    unlink(f->temporary); // after a rename there is nothing of that name
    remove_from_list(f);
    free(f->temporary);
    f->temporary = NULL;
}

void replace_blame(const replace_file *f, mohvit_error *err)
{
    size_t length = strlen(f->temporary);
    if (strncmp(err->message, f->temporary, length) != 0)
        return;
    mohvit_error old = *err;
    error_set(err, old.status, "%s%s", f->path, old.message + length);
    err->number = old.number;
}

// ---- At once, and questions ------------------------------------------------------------------------

mohvit_status replace_with_bytes(const char *path, const void *data, size_t size, mohvit_error *err)
{
    replace_file f;
    mohvit_status status = replace_begin(&f, path, err);
    if (!status)
        status = replace_create(&f, err);
    if (!status)
        status = replace_write(&f, data, size, err);
    if (!status)
        return replace_commit(&f, err);
    replace_cancel(&f);
    return status;
}

mohvit_status replace_possible(const char *path, mohvit_error *err)
{
    replace_file f;
    if (!path)
        return MOHVIT_OK;
    mohvit_status status = replace_begin(&f, path, err);
    replace_cancel(&f);
    return status; // NOLINT: replace_cancel has taken f off the list
}

#include "tools/program/replace_file.h"

#include "tools/program/output.h"

#include <errno.h>
#include <fcntl.h>
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

/* malloc'd. */
static char *directory_name(const char *path)
{
    int length = directory_length(path);
    return need(length ? strndup(path, (size_t)length) : strdup("."));
}

/* Those that are neither finished nor cancelled. */
static replace_file *under_way;

/* Where memory runs out, need() ends the program, whatever is under way. */
static void remove_temporaries(void)
{
    for (const replace_file *f = under_way; f; f = f->next)
        unlink(f->temporary);
}

static void enlist(replace_file *f)
{
    static bool watching;
    if (!watching)
        watching = !atexit(remove_temporaries);
    f->next = under_way;
    under_way = f;
}

static void remove_from_list(const replace_file *f)
{
    for (replace_file **at = &under_way; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            break;
        }
    }
}

mohvit_status replace_begin(replace_file *f, const char *path, mohvit_error *err)
{
    struct stat st;
    unsigned long long random;
    *f = (replace_file){.path = path};
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is not a regular file, and would be replaced by one",
                         path);
    char *directory = directory_name(path);
    int denied = access(directory, W_OK | X_OK);
    free(directory);
    if (denied)
        return error_errno(err, "%s: creating a file there", path);
    if (getrandom(&random, sizeof random, 0) < 0)
        return error_errno(err, "%s: getrandom", path);
    if (asprintf(&f->temporary, "%.*s.mohvit-%016llx.tmp", directory_length(path), path, random) < 0)
        f->temporary = need(NULL);
    enlist(f);
    return MOHVIT_OK;
}

mohvit_status replace_create(const replace_file *f, int *fd, mohvit_error *err)
{
    *fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return *fd < 0 ? error_errno(err, "%s: creating a file there", f->path) : MOHVIT_OK;
}

mohvit_status replace_append(const replace_file *f, int fd, const void *data, size_t size, mohvit_error *err)
{
    const unsigned char *from = data;
    while (size) {
        ssize_t n = write(fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, "%s: writing", f->path);
        from += n;
        size -= (size_t)n;
    }
    return MOHVIT_OK;
}

mohvit_status replace_finish(const replace_file *f, int fd, mohvit_status before, mohvit_error *err)
{
    mohvit_status status = before;
    if (!status && fsync(fd))
        status = error_errno(err, "%s: syncing", f->path);
    if (close(fd) && !status)
        status = error_errno(err, "%s: closing", f->path);
    return status;
}

mohvit_status replace_write(const replace_file *f, const void *data, size_t size, mohvit_error *err)
{
    int fd;
    mohvit_status status = replace_create(f, &fd, err);
    return status ? status : replace_finish(f, fd, replace_append(f, fd, data, size, err), err);
}

void replace_blame(const replace_file *f, mohvit_error *err)
{
    size_t length = strlen(f->temporary);
    if (strncmp(err->message, f->temporary, length) != 0)
        return;
    mohvit_error old = *err;
    error_set(err, old.status, "%s%s", f->path, old.message + length);
}

/* The new name is on disk only when its directory is; some file systems cannot sync one. */
static mohvit_status sync_directory(const char *path, mohvit_error *err)
{
    char *directory = directory_name(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mohvit_status status = MOHVIT_OK;
    free(directory);
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
    if (rename(f->temporary, f->path))
        status = error_errno(err, "%s: renaming %s", f->path, f->temporary);
    else
        status = sync_directory(f->path, err);
    replace_cancel(f);
    return status;
}

void replace_cancel(replace_file *f)
{
    if (f->temporary)
        unlink(f->temporary); // after a rename there is nothing of that name
    remove_from_list(f);
    free(f->temporary);
    f->temporary = NULL;
}

bool replace_possible(const char *path)
{
    replace_file file;
    mohvit_error err;
    if (!path)
        return true;
    mohvit_status status = replace_begin(&file, path, &err);
    if (status)
        complain("%s", err.message);
    replace_cancel(&file);
    return !status;
}

static bool same_inode(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool replace_same(const char *a, const char *b)
{
    if (!strcmp(a, b) || same_inode(a, b))
        return true;
    if (strcmp(a + directory_length(a), b + directory_length(b)) != 0)
        return false;
    char *x = directory_name(a), *y = directory_name(b); // of files that are still to be made
    bool same = same_inode(x, y);
    free(x);
    free(y);
    return same;
}

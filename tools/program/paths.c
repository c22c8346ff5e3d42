#include "tools/program/paths.h"

#include "base/memory.h"
#include "imgio/formats.h"
#include "tools/program/complain.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NO_PICTURES (-1)
#define LOOP        (-2)

/* A picture, or a directory that gives none and why. */
typedef struct found {
    char *path;
    int error; /* an errno, NO_PICTURES or LOOP */
} found;

struct paths {
    char **arguments;
    size_t count, at;
    size_t directories; /* of the arguments from `at` on */
    line_reader list;   /* not open where there is none, or no longer */
    found *found;       /* (found_count), of the directory being given out */
    size_t found_count, found_capacity, found_at;
};

static bool is_directory(const char *path)
{
    struct stat st;
    return strcmp(path, "-") != 0 && !stat(path, &st) && S_ISDIR(st.st_mode);
}

paths *paths_open_or_complain(char **arguments, size_t count, const char *list, line_end end)
{
    paths *p = or_die(calloc(1, sizeof *p));
    p->arguments = arguments;
    p->count = count;
    for (size_t i = 0; i < count; i++)
        p->directories += is_directory(arguments[i]);
    mohvit_error err;
    if (!list || !lines_open(&p->list, list, end, &err))
        return p;
    complain("%s", err.message);
    paths_close(p);
    return NULL;
}

// ---- Directories -----------------------------------------------------------------------------------

static void add_found(paths *p, const char *path, int error)
{
    p->found = or_die(memory_grow(p->found, p->found_count, &p->found_capacity, sizeof *p->found));
    p->found[p->found_count++] = (found){or_die(strdup(path)), error};
}

/* What a walk skips. */
typedef struct skipped_files {
    size_t files;    /* that are not pictures */
    size_t specials; /* FIFOs, sockets and devices */
    char *first, *first_special;
} skipped_files;

static void skip(size_t *count, char **first, const char *path)
{
    if (!(*count)++)
        *first = or_die(strdup(path));
}

/* Takes one entry of the walk. */
static void visit(paths *p, skipped_files *skipped, FTS *walk, FTSENT *entry)
{
    bool hidden = entry->fts_level > 0 && name_is_hidden(entry->fts_name, entry->fts_namelen), begins;
    if (hidden) {
        fts_set(walk, entry, FTS_SKIP);
        return;
    }
    switch (entry->fts_info) {
    case FTS_DC:
        add_found(p, entry->fts_path, LOOP);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        add_found(p, entry->fts_path, entry->fts_errno);
        break;
    case FTS_F:
    case FTS_SLNONE:
        // One that cannot be read is taken: it fails, and says so, when its turn comes.
        if (!picture_named(entry->fts_name) && !picture_begins_file(&begins, entry->fts_accpath, NULL) &&
            !begins)
            skip(&skipped->files, &skipped->first, entry->fts_path);
        else
            add_found(p, entry->fts_path, 0);
        break;
    case FTS_DEFAULT:
        skip(&skipped->specials, &skipped->first_special, entry->fts_path);
        break;
    default:
        break;
    }
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const found *)a)->path, ((const found *)b)->path);
}

static void walk_directory(paths *p, const char *path)
{
    char *start = or_die(strdup(path));
    size_t length = strlen(start);
    skipped_files skipped = {0};
    while (length > 1 && start[length - 1] == '/')
        start[--length] = '\0';
    char *roots[] = {start, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (walk) {
        for (FTSENT *entry; (entry = fts_read(walk));)
            visit(p, &skipped, walk, entry);
        fts_close(walk);
    } else {
        add_found(p, path, errno);
    }
    if (p->found_count)
        qsort(p->found, p->found_count, sizeof *p->found, compare_found);
    if (skipped.specials)
        complain("%s: skipped %zu %s: %s%s", path, skipped.specials,
                 skipped.specials == 1 ? "FIFO, socket or device" : "FIFOs, sockets or devices",
                 skipped.first_special, skipped.specials == 1 ? "" : " ...");
    if (skipped.files)
        complain("%s: skipped %zu %s: %s%s", path, skipped.files,
                 skipped.files == 1 ? "file that is not a picture" : "files that are not pictures",
                 skipped.first, skipped.files == 1 ? "" : " ...");
    if (!p->found_count)
        add_found(p, path, NO_PICTURES);
    free(skipped.first);
    free(skipped.first_special);
    free(start);
}

/* NULL once all of the directory has been given out. */
static char *next_found(paths *p, mohvit_error *err)
{
    if (p->found_at == p->found_count) {
        p->found_at = p->found_count = 0;
        return NULL;
    }
    found *f = &p->found[p->found_at++];
    if (f->error == NO_PICTURES) {
        error_set(err, MOHVIT_ERROR_FORMAT, "%s: no pictures in this directory", f->path);
    } else if (f->error == LOOP) {
        error_set(err, MOHVIT_ERROR_IO, "%s: is a link to a folder that holds it", f->path);
    } else if (f->error) {
        errno = f->error;
        error_errno(err, "%s", f->path);
    }
    return f->path;
}

// ---- Arguments and lists ---------------------------------------------------------------------------

static void close_list(paths *p)
{
    lines_close(&p->list);
    p->list = (line_reader){0};
}

/* "-" in a list is a file of that name, since standard input may be the list itself. */
static char *next_line(paths *p, mohvit_error *err)
{
    bool more = false;
    const char *path = p->list.path;
    if (!p->list.line)
        return NULL;
    mohvit_status status = lines_next(&p->list, &more, err);
    if (!status && !more)
        return NULL;
    size_t length = status ? 0 : strlen(p->list.line);
    if (!status)
        status = lines_name(&p->list, p->list.line, &length, err);
    if (!status) {
        p->list.line[length] = '\0';
        return or_die(strdup(strcmp(p->list.line, "-") ? p->list.line : "./-"));
    }
    close_list(p); // or the next call would fail again, without an end
    return or_die(strdup(path));
}

char *paths_next(paths *p, mohvit_error *err)
{
    for (;;) {
        *err = (mohvit_error){0};
        char *path = next_found(p, err);
        if (path)
            return path;
        path = p->at < p->count ? or_die(strdup(p->arguments[p->at++])) : next_line(p, err);
        if (!path || err->status || !is_directory(path))
            return path;
        p->directories -= p->directories > 0; // those of a list, which come last, count for nothing
        walk_directory(p, path);
        free(path);
    }
}

bool paths_ready(paths *p)
{
    return p->found_at < p->found_count || p->at < p->count || !p->list.line || lines_ready(&p->list);
}

size_t paths_left(const paths *p)
{
    if (p->list.line || p->directories)
        return PATHS_UNKNOWN;
    return p->count - p->at + p->found_count - p->found_at;
}

void paths_close(paths *p)
{
    if (!p)
        return;
    for (size_t i = p->found_at; i < p->found_count; i++)
        free(p->found[i].path);
    free(p->found);
    close_list(p);
    free(p);
}

/* dataset_folder.c - ImageFolder (val/<class>/<image>), or a flat folder. */
#include "base/file_io.h"
#include "imgio/dataset/dataset_source.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mohvit_status add_picture(dataset_source *s, const FTSENT *entry, const char *name, mohvit_error *err)
{
    const char *slash = strchr(name, '/');
    const struct stat *st = entry->fts_statp;
    found_item item = {.class_index = CLASS_NONE, .size = (uint64_t)st->st_size, .mtime = file_mtime(st)};
    item.name = arena_copy(s->strings, name, strlen(name));
    if (slash)
        item.folder = arena_copy(s->strings, name, (size_t)(slash - name));
    if (!item.name || (slash && !item.folder))
        return source_no_memory(s, err);
    return source_add(s, &item, err);
}

/* A file that is there: a picture that is scored, one that is not, or none. */
static mohvit_status visit_file(dataset_source *s, const FTSENT *entry, const char *name, mohvit_error *err)
{
    const picture_format *format = picture_format_named(entry->fts_name);
    mohvit_status status = format ? MOHVIT_OK : picture_format_of_file(&format, entry->fts_accpath, err);
    bool scores = false;
    if (status)
        return status;
    if (!format)
        return source_skip(s, name, NULL, err);
    status = source_scores(&scores, s, format, name, err);
    if (scores && !picture_named(entry->fts_name))
        status = source_note(&s->skipped->unnamed, s, name, err);
    return scores && !status ? add_picture(s, entry, name, err) : status;
}

static mohvit_status visit(dataset_source *s, FTS *walk, FTSENT *entry, size_t root, mohvit_error *err)
{
    const char *name = entry->fts_path + (entry->fts_level > 0 ? root : 0);
    bool hidden = entry->fts_level > 0 && name_is_hidden(entry->fts_name, entry->fts_namelen);
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden)
            fts_set(walk, entry, FTS_SKIP);
        return hidden || entry->fts_level != 1 ? MOHVIT_OK : source_add_folder(s, name, err);
    case FTS_DC:
        return error_set(err, MOHVIT_ERROR_IO, "%s: is a link to a folder that holds it", entry->fts_path);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS: // to pass over it would leave pictures out of the score without a word
        errno = entry->fts_errno;
        return hidden ? MOHVIT_OK : error_errno(err, "%s", entry->fts_path);
    case FTS_F:
    case FTS_SLNONE: // a link to nothing: a picture that cannot be read, not one that is not there
        return hidden ? MOHVIT_OK : visit_file(s, entry, name, err);
    case FTS_DEFAULT:
        return hidden ? MOHVIT_OK : source_note(&s->skipped->specials, s, name, err);
    default:
        return MOHVIT_OK;
    }
}

static mohvit_status scan_folder(dataset_source *s, mohvit_error *err)
{
    char *path = strdup(s->argument);
    if (!path)
        return source_no_memory(s, err);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    s->argument = arena_copy(s->strings, path, length);
    mohvit_status status =
        s->argument ? source_set_prefix(s, strcmp(path, "/") ? "/" : "", err) : source_no_memory(s, err);
    char *roots[] = {path, NULL};
    FTS *walk = status ? NULL : fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!status && !walk)
        status = error_errno(err, "%s", path);
    while (!status) {
        errno = 0;
        FTSENT *entry = fts_read(walk);
        if (!entry) {
            status = errno ? error_errno(err, "%s", path) : MOHVIT_OK;
            break;
        }
        status = visit(s, walk, entry, strlen(s->prefix), err);
    }
    if (walk)
        fts_close(walk);
    if (s->count)
        qsort(s->items, s->count, sizeof *s->items, source_compare_items);
    free(path);
    return status;
}

const source_kind source_folder = {
    "put a PNG in the place of each (ImageMagick: convert \"FILE[0]\" FILE.png && rm FILE)", scan_folder,
    source_read_item, NULL};

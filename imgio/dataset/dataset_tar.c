/* dataset_tar.c - pictures in a tar, read where they lie. One pass over the headers finds out where each
 * member's bytes are; since a tar keeps them as they are, any of them can then be read at once, in any order
 * and by any thread. */
#include "base/file_io.h"
#include "base/memory.h"
#include "imgio/dataset/dataset_source.h"
#include "imgio/formats.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512
#define MAX_LABEL 256 /* bytes of a .cls */

/* A tar being scanned. */
typedef struct tar_scan {
    dataset_source *s;
    struct archive *archive;
    uint64_t size;      /* of the file */
    uint64_t mtime;     /* likewise: those of members stay when they are replaced */
    found_item *labels; /* (label_count) x.cls: name without ".cls", label */
    size_t label_count, label_capacity;
    const char *inner; /* a member that is a tar, or NULL */
    size_t others;     /* members that are neither pictures nor labels */
} tar_scan;

/* EILSEQ, EINVAL and −1 are what libarchive has to say; other numbers are from the system. */
static mohvit_status archive_error(const tar_scan *t, mohvit_error *err)
{
    const char *cause = archive_error_string(t->archive);
    errno = archive_errno(t->archive);
    if (errno > 0 && errno != EILSEQ && errno != EINVAL)
        return error_errno(err, "%s", t->s->argument);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: not a whole tar: %s", t->s->argument,
                     cause ? cause : "no reason given");
}

/* The name of x.cls without its ending, or 0. */
static size_t label_stem(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".cls") == 0 ? length - 4 : 0;
}

static mohvit_status read_member(const tar_scan *t, const char *name, uint64_t place, void *dst, size_t size,
                                 mohvit_error *err)
{
    mohvit_error cause;
    mohvit_status status = sample_read_bytes(t->s->fd, place, dst, size, &cause);
    return status ? error_set(err, status, "%s/%s: %s", t->s->argument, name, cause.message) : MOHVIT_OK;
}

static mohvit_status add_label(tar_scan *t, const char *name, size_t stem, uint64_t place, uint64_t size,
                               mohvit_error *err)
{
    char text[MAX_LABEL + 1];
    if (size > MAX_LABEL)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s/%s: %llu bytes; expected a class of at most %d",
                         t->s->argument, name, (unsigned long long)size, MAX_LABEL);
    mohvit_status status = read_member(t, name, place, text, (size_t)size, err);
    if (status)
        return status;
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r' || text[size - 1] == ' '))
        size--;
    text[size] = '\0';
    found_item *labels = memory_grow(t->labels, t->label_count, &t->label_capacity, sizeof *labels);
    if (!labels)
        return source_no_memory(t->s, err);
    t->labels = labels;
    found_item *l = &t->labels[t->label_count++];
    *l = (found_item){.name = arena_copy(t->s->strings, name, stem),
                      .label = arena_copy(t->s->strings, text, strlen(text))};
    return l->name && l->label ? MOHVIT_OK : source_no_memory(t->s, err);
}

/* A picture is named like one or begins like one. */
static mohvit_status look_at_member(bool *picture, const tar_scan *t, const char *name, uint64_t place,
                                    uint64_t size, mohvit_error *err)
{
    uint8_t head[PICTURE_HEAD];
    size_t bytes = size < sizeof head ? (size_t)size : sizeof head;
    *picture = picture_named(name);
    if (*picture)
        return MOHVIT_OK;
    mohvit_status status = read_member(t, name, place, head, bytes, err);
    *picture = !status && picture_begins(head, bytes);
    return status;
}

static mohvit_status add_member(tar_scan *t, const char *name, uint64_t place, uint64_t size,
                                mohvit_error *err)
{
    size_t stem = label_stem(name);
    if (stem)
        return add_label(t, name, stem, place, size, err);
    bool picture;
    mohvit_status status = look_at_member(&picture, t, name, place, size, err);
    if (status)
        return status;
    if (!picture) {
        size_t length = strlen(name);
        if (length > 4 && strcmp(name + length - 4, ".tar") == 0 && !t->inner)
            t->inner = arena_copy(t->s->strings, name, length);
        t->others++;
        return MOHVIT_OK;
    }
    found_item item = {.class_index = CLASS_NONE, .size = size, .mtime = t->mtime, .place = place};
    item.name = arena_copy(t->s->strings, name, strlen(name));
    status = item.name ? source_parent(t->s, name, &item.folder, err) : source_no_memory(t->s, err);
    return status ? status : source_add(t->s, &item, err);
}

/* The bytes of a link are those of another member, or of a file outside. */
static mohvit_status visit_link(tar_scan *t, const char *name, mohvit_error *err)
{
    if (picture_named(name) || label_stem(name))
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: \"%s\" is a link to another file; make the tar with --dereference "
                         "--hard-dereference",
                         t->s->argument, name);
    t->others++;
    return MOHVIT_OK;
}

static mohvit_status visit(tar_scan *t, struct archive_entry *entry, mohvit_error *err)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: a member without a name", t->s->argument);
    while (!strncmp(name, "./", 2))
        name += 2;
    const char *slash = strrchr(name, '/');
    if ((slash ? slash[1] : name[0]) == '.')
        return MOHVIT_OK;
    if (archive_entry_filetype(entry) == AE_IFLNK || archive_entry_hardlink(entry))
        return visit_link(t, name, err);
    if (archive_entry_filetype(entry) != AE_IFREG)
        return MOHVIT_OK;
    int64_t size = archive_entry_size(entry), place = archive_filter_bytes(t->archive, 0);
    if (size < 0 || place < 0 || (uint64_t)place > t->size || (uint64_t)size > t->size - (uint64_t)place)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: is cut short: \"%s\" needs %lld bytes from byte %lld on, and the file has %llu",
                         t->s->argument, name, (long long)size, (long long)place,
                         (unsigned long long)t->size);
    if (archive_entry_sparse_count(entry))
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: \"%s\" is stored sparse; make the tar without -S", t->s->argument, name);
    return add_member(t, name, (uint64_t)place, (uint64_t)size, err);
}

/* A tar ends with blocks of zeros; without any it ended too early, perhaps between two members. */
static mohvit_status check_end(const tar_scan *t, mohvit_error *err)
{
    int64_t end = archive_read_header_position(t->archive);
    if (end >= 0 && (uint64_t)end + TAR_BLOCK <= t->size)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is cut short: the zeros that end a tar are missing",
                     t->s->argument);
}

static mohvit_status scan_members(tar_scan *t, mohvit_error *err)
{
    struct archive_entry *entry;
    for (;;) {
        int result = archive_read_next_header(t->archive, &entry);
        if (result == ARCHIVE_EOF)
            return check_end(t, err);
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) // a warning is about names' character sets
            return archive_error(t, err);
        mohvit_status status = visit(t, entry, err);
        if (status)
            return status;
    }
}

/* WebDataset: all that belongs to one sample shares its name up to the first dot of the last part. */
static mohvit_status label_items(tar_scan *t, mohvit_error *err)
{
    dataset_source *s = t->s;
    if (!t->label_count)
        return MOHVIT_OK;
    qsort(t->labels, t->label_count, sizeof *t->labels, source_compare_items);
    for (size_t i = 0; i < s->count; i++) {
        const char *name = s->items[i].name, *slash = strrchr(name, '/');
        const char *dot = strchr(slash ? slash : name, '.');
        found_item key = {.name = arena_copy(s->strings, name, dot ? (size_t)(dot - name) : strlen(name))};
        if (!key.name)
            return source_no_memory(s, err);
        const found_item *l = bsearch(&key, t->labels, t->label_count, sizeof key, source_compare_items);
        if (l)
            s->items[i].label = l->label;
        s->items[i].folder = NULL; // the folders of such a tar mean nothing
    }
    return MOHVIT_OK;
}

static mohvit_status open_file(tar_scan *t, mohvit_error *err)
{
    struct stat st;
    dataset_source *s = t->s;
    s->fd = open(s->argument, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st))
        return error_errno(err, "%s", s->argument);
    t->size = (uint64_t)st.st_size;
    t->mtime = file_mtime(&st);
    return source_set_prefix(s, "/", err);
}

static mohvit_status scan_tar(dataset_source *s, mohvit_error *err)
{
    enum { READ_AHEAD = 16 << 10 }; // little: most of what lies between two headers is skipped
    tar_scan t = {.s = s, .archive = archive_read_new()};
    mohvit_status status = t.archive ? open_file(&t, err) : source_no_memory(s, err);
    if (!status && (archive_read_support_format_tar(t.archive) != ARCHIVE_OK ||
                    archive_read_open_fd(t.archive, s->fd, READ_AHEAD) != ARCHIVE_OK))
        status = archive_error(&t, err);
    if (!status)
        status = scan_members(&t, err);
    if (!status)
        status = label_items(&t, err);
    if (!status && !s->count && t.inner)
        status = error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                           "%s: holds no pictures but further tars (\"%s\"); unpack it once and name those",
                           s->argument, t.inner);
    if (!status)
        source_warn_others(s, t.others);
    archive_read_free(t.archive);
    free(t.labels);
    return status;
}

static mohvit_status read_tar(const dataset_source *s, const dataset_item *item, sample *out,
                              mohvit_error *err)
{
    return sample_read_at(s->fd, item->place, item->size, out, err);
}

const source_kind source_tar = {scan_tar, read_tar, NULL};

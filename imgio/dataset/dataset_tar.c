/* dataset_tar.c - pictures in a tar, read where they lie. One pass over the headers finds out where each
 * member's bytes are; since a tar keeps them as they are, any of them can then be read at once, in any order
 * and by any thread. */
#include "base/file_io.h"
#include "base/memory.h"
#include "imgio/dataset/webdataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512

/* A tar being scanned. */
typedef struct tar_scan {
    dataset_source *s;
    struct archive *archive;
    uint64_t size;       /* of the file */
    tar_member *members; /* (count), in the order of the tar */
    size_t count, capacity;
    const char *inner; /* a member that is a tar, or NULL */
    const char *link;  /* one whose name does not tell what it leads to, such as a folder; or NULL */
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

/* ---- Members --------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), n = strlen(ending);
    return length > n && !strcasecmp(name + length - n, ending);
}

/* The name as unpacking would have it: without "./", "//" and a slash at either end. */
static char *plain_name(arena *strings, const char *name)
{
    char *plain = arena_copy(strings, name, strlen(name)), *to = plain;
    for (const char *at = name; plain && *at;) {
        size_t n = strcspn(at, "/");
        if (n && !(n == 1 && *at == '.')) {
            if (to > plain)
                *to++ = '/';
            memmove(to, plain + (at - name), n);
            to += n;
        }
        at += n + (at[n] == '/');
    }
    if (plain)
        *to = '\0';
    return plain;
}

/* Whether any part of the path is. */
static bool is_hidden(const char *path)
{
    for (const char *at = path; *at;) {
        size_t n = strcspn(at, "/");
        if (name_is_hidden(at, n))
            return true;
        at += n + (at[n] == '/');
    }
    return false;
}

static mohvit_status add_member(tar_scan *t, const tar_member *m, mohvit_error *err)
{
    tar_member *members = memory_grow(t->members, t->count, &t->capacity, sizeof *members);
    if (!members)
        return source_no_memory(t->s, err);
    t->members = members;
    t->members[t->count++] = *m;
    if (!m->folder && !t->inner && ends_with(m->name, ".tar"))
        t->inner = m->name;
    return MOHVIT_OK;
}

static mohvit_status visit_file(tar_scan *t, struct archive_entry *entry, const char *name, mohvit_error *err)
{
    int64_t size = archive_entry_size(entry), place = archive_filter_bytes(t->archive, 0);
    if (size < 0 || place < 0 || (uint64_t)place > t->size || (uint64_t)size > t->size - (uint64_t)place)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: is cut short: \"%s\" needs %lld bytes from byte %lld on, and the file has %llu",
                         t->s->argument, name, (long long)size, (long long)place,
                         (unsigned long long)t->size);
    if (archive_entry_sparse_count(entry))
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: \"%s\" is stored sparse; make the tar without -S", t->s->argument, name);
    return add_member(t, &(tar_member){name, (uint64_t)place, (uint64_t)size, false}, err);
}

static mohvit_status refuse_link(const tar_scan *t, const char *name, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "%s: \"%s\" is a link; make the tar with --dereference "
                     "--hard-dereference",
                     t->s->argument, name);
}

/* The bytes of a link are those of another member, or of a file outside. */
static mohvit_status visit_link(tar_scan *t, const char *name, mohvit_error *err)
{
    const char *slash = strrchr(name, '/');
    if (picture_named(name) || ends_with(name, ".cls"))
        return refuse_link(t, name, err);
    if (!strchr(slash ? slash : name, '.'))
        t->link = name;
    return source_skip(t->s, name, NULL, err);
}

static mohvit_status visit(tar_scan *t, struct archive_entry *entry, mohvit_error *err)
{
    const char *path = archive_entry_pathname(entry);
    if (!path)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: a member without a name", t->s->argument);
    const char *name = plain_name(t->s->strings, path);
    if (!name)
        return source_no_memory(t->s, err);
    if (is_hidden(name))
        return MOHVIT_OK;
    if (archive_entry_filetype(entry) == AE_IFLNK || archive_entry_hardlink(entry))
        return visit_link(t, name, err);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return *name ? add_member(t, &(tar_member){.name = name, .folder = true}, err) : MOHVIT_OK;
    return archive_entry_filetype(entry) == AE_IFREG ? visit_file(t, entry, name, err) : MOHVIT_OK;
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

/* ---- Pictures -------------------------------------------------------------------------------- */

static int compare_members(const void *a, const void *b)
{
    const tar_member *x = *(tar_member *const *)a, *y = *(tar_member *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

/* Of members with one name the last counts, as unpacking has it; the others lose theirs. */
static mohvit_status drop_replaced(tar_scan *t, mohvit_error *err)
{
    const char *first = NULL;
    size_t dropped = 0;
    tar_member **sorted = calloc(t->count + 1, sizeof *sorted);
    if (!sorted)
        return source_no_memory(t->s, err);
    for (size_t i = 0; i < t->count; i++)
        sorted[i] = &t->members[i];
    qsort(sorted, t->count, sizeof *sorted, compare_members);
    for (size_t i = 1; i < t->count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        if ((!sorted[i - 1]->folder || !sorted[i]->folder) && !dropped++)
            first = sorted[i]->name;
        sorted[i - 1]->name = NULL;
    }
    free(sorted);
    if (dropped)
        warning_send(t->s->warn, "%s: %zu %s replaced by a later one of the same name, such as \"%s\"",
                     t->s->argument, dropped, dropped == 1 ? "member is" : "members are", first);
    return MOHVIT_OK;
}

/* A picture is named like one or begins like one; else *format is NULL. */
static mohvit_status look_at_member(const picture_format **format, const tar_scan *t, const tar_member *m,
                                    mohvit_error *err)
{
    uint8_t head[PICTURE_HEAD];
    mohvit_error cause;
    size_t bytes = m->size < sizeof head ? (size_t)m->size : sizeof head;
    *format = picture_format_named(m->name);
    if (*format)
        return MOHVIT_OK;
    mohvit_status status = sample_read_bytes(t->s->fd, m->place, head, bytes, &cause);
    *format = status ? NULL : picture_format_begun(head, bytes);
    return status ? error_set(err, status, "%s/%s: %s", t->s->argument, m->name, cause.message) : MOHVIT_OK;
}

static mohvit_status add_pictures(tar_scan *t, mohvit_error *err)
{
    mohvit_status status = drop_replaced(t, err);
    for (size_t i = 0; !status && i < t->count; i++) {
        const tar_member *m = &t->members[i];
        const picture_format *format;
        bool scores = false;
        if (!m->name || m->folder)
            continue;
        status = look_at_member(&format, t, m, err);
        if (!status && !format)
            status = source_skip(t->s, m->name, NULL, err);
        else if (!status)
            status = source_scores(&scores, t->s, format, m->name, err);
        if (scores && !picture_named(m->name))
            status = source_note(&t->s->skipped->unnamed, t->s, m->name, err);
        if (scores && !status)
            status = source_add(
                t->s,
                &(found_item){.name = m->name, .class_index = CLASS_NONE, .size = m->size, .place = m->place},
                err);
    }
    return status;
}

/* How much of the path stands before the folder around the picture, with the slash; 0 where there is none. */
static size_t above_folder(const char *name)
{
    const char *slash = strrchr(name, '/');
    while (slash && slash > name && slash[-1] != '/')
        slash--;
    return slash ? (size_t)(slash - name) : 0;
}

/* The folders of classes stand side by side in one folder: the deepest that has each picture in a folder of
 * its own. Returns how much of every path it is, with its slash. */
static size_t find_root(const dataset_source *s)
{
    size_t root = s->count ? above_folder(s->items[0].name) : 0;
    for (size_t i = 1; i < s->count && root; i++) {
        const char *name = s->items[i].name;
        size_t above = above_folder(name), same = 0;
        while (same < above && same < root && name[same] == s->items[0].name[same])
            same++;
        while (same && name[same - 1] != '/')
            same--;
        root = same;
    }
    return root;
}

static mohvit_status find_folders(tar_scan *t, mohvit_error *err)
{
    dataset_source *s = t->s;
    size_t root = find_root(s);
    for (size_t i = 0; i < s->count; i++) {
        const char *in = s->items[i].name + root, *slash = strchr(in, '/');
        if (slash && !(s->items[i].folder = arena_copy(s->strings, in, (size_t)(slash - in))))
            return source_no_memory(s, err);
    }
    for (size_t i = 0; s->count && i < t->count; i++) {
        const char *name = t->members[i].name;
        bool below = name && t->members[i].folder && !strncmp(name, s->items[0].name, root) && name[root];
        mohvit_status status =
            below && !strchr(name + root, '/') ? source_add_folder(s, name + root, err) : MOHVIT_OK;
        if (status)
            return status;
    }
    return MOHVIT_OK;
}

static mohvit_status take_members(tar_scan *t, mohvit_error *err)
{
    bool samples = false;
    mohvit_status status = MOHVIT_OK;
    if (t->s->find_samples)
        status = webdataset_find(&samples, t->s, t->members, t->count, err);
    if (!status && samples)
        return webdataset_add(t->s, t->members, t->count, err);
    if (!status && t->link) // a folder's would be a class, or hold more pictures, once the tar is unpacked
        return refuse_link(t, t->link, err);
    if (!status)
        status = add_pictures(t, err);
    return status ? status : find_folders(t, err);
}

static mohvit_status open_file(tar_scan *t, mohvit_error *err)
{
    struct stat st;
    dataset_source *s = t->s;
    s->fd = open(s->argument, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st))
        return error_errno(err, "%s", s->argument);
    t->size = (uint64_t)st.st_size;
    s->mtime = file_mtime(&st); // those of members stay when they are replaced
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
        status = take_members(&t, err);
    if (!status && !s->count && t.inner)
        status = error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                           "%s: holds no pictures but further tars (\"%s\"); unpack it once and name those",
                           s->argument, t.inner);
    archive_read_free(t.archive);
    free(t.members);
    return status;
}

static mohvit_status read_tar(const dataset_source *s, const dataset_item *item, sample *out,
                              mohvit_error *err)
{
    return sample_read_at(s->fd, item->place, item->size, out, err);
}

const source_kind source_tar = {
    "make the tar of PNGs in their place (ImageMagick: convert \"FILE[0]\" FILE.png)", scan_tar, read_tar,
    NULL};

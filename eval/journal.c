#include "eval/journal.h"

#include "base/clock.h"
#include "base/file_io.h"
#include "base/json_bounded.h"
#include "base/memory.h"
#include "base/replace_file.h"
#include "base/search.h"
#include "eval/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const char magic[8] = {'m', 'o', 'h', 'v', 'i', 't', 'J', '1'};

enum { FRAME_HEADER = 'H', FRAME_RECORD = 'R' };
#define FRAME_SIZE 12 /* of kind, size and CRC */

/* Bytes of frames that are checked for records behind a damaged one, besides four times the file. */
#define MAX_SEARCH ((uint64_t)64 << 20)

/* Of a record that is there. */
typedef struct place {
    size_t chunk;
    uint64_t offset; /* of the record in the file */
    uint32_t size;
} place;

struct journal {
    char *name;
    int fd;
    bool writable, named;
    json_t *header;
    size_t chunks; /* of the data set, of which a part of a thousand may be here */
    place *places; /* (done), by rising chunk */
    size_t done, capacity;
    uint64_t end; /* of what is whole */
    bool unsynced;
    uint64_t synced; /* when, by clock_ns */
};

/* ---- Bytes of the file ----------------------------------------------------------------------- */

/* Up to `size` bytes; *got fewer at the end of the file. */
static mohvit_status read_at(const journal *j, uint64_t offset, void *dst, size_t size, size_t *got,
                             mohvit_error *err)
{
    ssize_t n = file_read_at(j->fd, offset, dst, size);
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0 ? error_errno(err, "%s: cannot be read", j->name) : MOHVIT_OK;
}

static uint32_t frame_crc(const uint8_t *frame, const void *content, size_t size)
{
    uLong crc = crc32_z(0, frame, 8); // kind and size count too
    return (uint32_t)crc32_z(crc, content, size);
}

/* Writes prefix (a magic, or nothing) and a frame in one go behind what is whole. What a failure leaves
 * behind is taken away again. */
static mohvit_status append_frame(journal *j, uint32_t kind, const void *content, size_t size,
                                  const char *prefix, size_t prefix_size, mohvit_error *err)
{
    bytes b = {0};
    bytes_put(&b, prefix, prefix_size);
    bytes_put_u32(&b, kind);
    bytes_put_u32(&b, (uint32_t)size);
    bytes_put_u32(&b, 0);
    bytes_put(&b, content, size);
    mohvit_status status = MOHVIT_OK;
    if (b.failed || size > UINT32_MAX) {
        status =
            error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for a record of %zu bytes", j->name, size);
    } else {
        bytes_set_u32(&b, prefix_size + 8, frame_crc(b.data + prefix_size, content, size));
        if (!file_write_at(j->fd, j->end, b.data, b.size))
            status = error_errno(err, "%s: cannot be written", j->name);
    }
    if (!status) {
        j->end += b.size;
        j->unsynced = true;
    } else {
        // Should this fail as well, the torn end will be dropped when the file is opened again.
        int ignored UNUSED = ftruncate(j->fd, (off_t)j->end);
    }
    bytes_free(&b);
    return status;
}

/* Damaged: of its full size, with another CRC. Torn: the file ends before it does. */
typedef enum frame_state { FRAME_WHOLE, FRAME_DAMAGED, FRAME_TORN, FRAME_NONE } frame_state;

/* The frame at offset, its content in b where it is whole. */
static mohvit_status read_frame(const journal *j, uint64_t offset, uint64_t file_size, uint32_t *kind,
                                bytes *b, frame_state *state, mohvit_error *err)
{
    uint8_t head[FRAME_SIZE];
    size_t got;
    *state = offset == file_size ? FRAME_NONE : FRAME_TORN;
    mohvit_status status = read_at(j, offset, head, sizeof head, &got, err);
    if (status || got < sizeof head)
        return status;
    byte_reader in = {head, sizeof head, false};
    *kind = bytes_get_u32(&in);
    size_t size = bytes_get_u32(&in);
    uint32_t crc = bytes_get_u32(&in);
    if (size > file_size - offset - FRAME_SIZE)
        return MOHVIT_OK;
    bytes_free(b);
    b->data = malloc(size + 1);
    if (!b->data)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for a record of %zu bytes", j->name, size);
    b->size = size;
    b->capacity = size + 1;
    status = read_at(j, offset + FRAME_SIZE, b->data, size, &got, err);
    if (!status && got == size)
        *state = frame_crc(head, b->data, size) == crc ? FRAME_WHOLE : FRAME_DAMAGED;
    return status;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static mohvit_status not_a_state(const journal *j, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is not the state of an evaluation, and is left as it is",
                     j->name);
}

static mohvit_status no_memory_for_header(const journal *j, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for its header", j->name);
}

/* A file that seems to end inside its header may have another size there by damage, and records behind. A
 * header that was torn while it was written is text up to its end; records have zeros soon. */
static mohvit_status check_torn_header(const journal *j, frame_state *state, mohvit_error *err)
{
    uint8_t part[4096];
    size_t got;
    uint64_t offset = sizeof magic + FRAME_SIZE;
    mohvit_status status;
    while (!(status = read_at(j, offset, part, sizeof part, &got, err)) && got) {
        if (memchr(part, 0, got)) {
            *state = FRAME_DAMAGED;
            break;
        }
        offset += got;
    }
    return status;
}

/* *fresh: it holds nothing yet, or the beginning of what journal_open writes first. */
static mohvit_status load_header(journal *j, uint64_t file_size, bool *fresh, mohvit_error *err)
{
    char start[sizeof magic];
    size_t got;
    uint32_t kind = 0;
    bytes b = {0};
    frame_state state = FRAME_TORN;
    mohvit_status status = read_at(j, 0, start, sizeof start, &got, err);
    if (!status && memcmp(start, magic, got) != 0)
        status = not_a_state(j, err);
    if (!status && got == sizeof start)
        status = read_frame(j, sizeof magic, file_size, &kind, &b, &state, err);
    if (!status && got == sizeof start && state == FRAME_TORN)
        status = check_torn_header(j, &state, err);
    if (!status && state == FRAME_DAMAGED)
        status =
            error_set(err, MOHVIT_ERROR_FORMAT, "%s: its header is damaged; it is left as it is", j->name);
    *fresh = state != FRAME_WHOLE;
    if (!status && !*fresh) {
        json_error_t why;
        errno = 0;
        if (kind == FRAME_HEADER && b.size <= HEADER_MAX_BYTES)
            j->header = json_load_bounded((const char *)b.data, b.size, HEADER_MAX_CONTAINERS,
                                          HEADER_MAX_VALUES, &why);
        status = j->header         ? header_check(j->header, j->name, err)
                 : errno == ENOMEM ? no_memory_for_header(j, err)
                                   : not_a_state(j, err);
        j->end = sizeof magic + FRAME_SIZE + b.size;
    }
    bytes_free(&b);
    return status;
}

static int compare_chunks(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

/* Where the chunk is, or would be, among the places. */
static size_t find_place(const journal *j, size_t chunk)
{
    return search_first(&(place){.chunk = chunk}, j->places, j->done, sizeof *j->places, compare_chunks);
}

/* Where the record of a chunk is, instead of one that may be there. Chunks come nearly in their order, so
 * that little has to move. */
static mohvit_status put_place(journal *j, const place *p, mohvit_error *err)
{
    size_t at = find_place(j, p->chunk);
    if (journal_has(j, p->chunk)) {
        j->places[at] = *p;
        return MOHVIT_OK;
    }
    place *places = memory_grow(j->places, j->done, &j->capacity, sizeof *places);
    if (!places)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu records", j->name, j->done + 1);
    j->places = places;
    memmove(j->places + at + 1, j->places + at, (j->done - at) * sizeof *j->places);
    j->places[at] = *p;
    j->done++;
    return MOHVIT_OK;
}

static mohvit_status check_fits(const journal *j, const chunk_record *r, mohvit_error *err)
{
    size_t images = header_images(j->header);
    size_t expected = r->chunk < j->chunks - 1 ? CHUNK_IMAGES : images - (j->chunks - 1) * CHUNK_IMAGES;
    if (r->chunk >= j->chunks || r->images != expected || r->top_ks != header_top_ks(j->header) ||
        r->pictures == header_is_old(j->header))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: the record of chunk %zu does not fit its header",
                         j->name, r->chunk);
    return MOHVIT_OK;
}

/* Notes that a record is in the frame at `offset`. */
static mohvit_status take_record(journal *j, const chunk_record *r, uint64_t offset, mohvit_error *err)
{
    mohvit_status status = check_fits(j, r, err);
    return status ? status : put_place(j, &(place){r->chunk, offset + FRAME_SIZE, (uint32_t)r->size}, err);
}

mohvit_status journal_parse(const journal *j, chunk_record *r, const bytes *b, mohvit_error *err)
{
    mohvit_error cause;
    mohvit_status status = record_parse(r, b->data, b->size, &cause);
    return status ? error_set(err, status, "%s: %s", j->name, cause.message) : MOHVIT_OK;
}

static mohvit_status load_record(journal *j, const bytes *b, mohvit_error *err)
{
    chunk_record r;
    mohvit_status status = journal_parse(j, &r, b, err);
    if (!status)
        status = take_record(j, &r, j->end, err);
    record_free(&r);
    return status;
}

static mohvit_status is_record(const bytes *b, bool *is, mohvit_error *err)
{
    chunk_record r;
    mohvit_status status = record_parse(&r, b->data, b->size, err);
    record_free(&r);
    *is = !status;
    return status == MOHVIT_ERROR_MEMORY ? status : MOHVIT_OK;
}

/* *found: a whole record begins somewhere behind the end of what is whole, so that what lies between is
 * damage and no torn end. The size of a damaged frame tells nothing, so every byte may be a beginning; but
 * bytes that claim to begin more than the file could hold a few times over are damage, too. */
static mohvit_status find_record_behind(const journal *j, uint64_t file_size, bool *found, mohvit_error *err)
{
    static const uint8_t kind_of_record[4] = {FRAME_RECORD};
    uint8_t part[4096];
    size_t got;
    bytes b = {0};
    uint64_t offset = j->end + 1, looked_at = 0;
    mohvit_status status = MOHVIT_OK;
    *found = false;
    while (!status && !*found && file_size > FRAME_SIZE && offset < file_size - FRAME_SIZE) {
        status = read_at(j, offset, part, sizeof part, &got, err);
        if (status || got < FRAME_SIZE)
            break;
        for (size_t i = 0; !status && !*found && i + sizeof kind_of_record <= got; i++) {
            uint32_t kind;
            frame_state state;
            if (memcmp(part + i, kind_of_record, sizeof kind_of_record) != 0)
                continue;
            status = read_frame(j, offset + i, file_size, &kind, &b, &state, err);
            if (!status && state == FRAME_WHOLE)
                status = is_record(&b, found, err);
            looked_at += state == FRAME_DAMAGED ? b.size : 0;
            *found = *found || looked_at > MAX_SEARCH + 4 * file_size;
        }
        offset += got - sizeof kind_of_record + 1;
    }
    bytes_free(&b);
    return status;
}

static mohvit_status load_records(journal *j, uint64_t file_size, const warning_sink *warn, mohvit_error *err)
{
    bytes b = {0};
    frame_state state = FRAME_NONE;
    mohvit_status status = MOHVIT_OK;
    while (!status) {
        uint32_t kind = 0;
        status = read_frame(j, j->end, file_size, &kind, &b, &state, err);
        if (status || state != FRAME_WHOLE)
            break;
        if (kind == FRAME_RECORD)
            status = load_record(j, &b, err);
        else
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: an unknown kind of entry at byte %llu", j->name,
                               (unsigned long long)j->end);
        j->end += FRAME_SIZE + b.size;
    }
    bytes_free(&b);
    if (status || state == FRAME_NONE)
        return status;
    bool damaged;
    status = find_record_behind(j, file_size, &damaged, err);
    if (!status && damaged)
        status =
            error_set(err, MOHVIT_ERROR_FORMAT,
                      "%s: is damaged at byte %llu, with what may be records behind; it is left as it is",
                      j->name, (unsigned long long)j->end);
    else if (!status)
        warning_send(warn, "%s: its last %llu byte%s %s not a whole record and %s dropped", j->name,
                     (unsigned long long)(file_size - j->end), plural(file_size - j->end),
                     file_size - j->end == 1 ? "is" : "are", file_size - j->end == 1 ? "is" : "are");
    return status;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static mohvit_status open_file(journal *j, const char *path, uint64_t *size, mohvit_error *err)
{
    struct stat st;
    if (!path)
        j->fd = file_open_unnamed();
    else if (j->writable)
        j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    else
        j->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (j->fd < 0 && !path)
        return error_errno(err, "%s in %s (TMPDIR)", j->name, file_temporary_folder());
    if (j->fd < 0)
        return error_errno(err, "%s", j->name);
    if (path && flock(j->fd, (j->writable ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return error_set(err, MOHVIT_ERROR_IO, "%s: is in use by another process", j->name);
        return error_errno(err, "%s: cannot be locked", j->name);
    }
    if (fstat(j->fd, &st))
        return error_errno(err, "%s: cannot be read", j->name);
    if (!S_ISREG(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is not a regular file", j->name);
    *size = (uint64_t)st.st_size;
    return MOHVIT_OK;
}

static mohvit_status create(journal *j, const json_t *header, mohvit_error *err)
{
    if (ftruncate(j->fd, 0))
        return error_errno(err, "%s: cannot be written", j->name);
    j->header = json_deep_copy(header);
    char *text = j->header ? json_dumps(j->header, JSON_COMPACT) : NULL;
    mohvit_status status = text ? append_frame(j, FRAME_HEADER, text, strlen(text), magic, sizeof magic, err)
                                : no_memory_for_header(j, err);
    free(text);
    if (!status)
        status = journal_sync(j, err);
    if (!status && j->named)
        status = replace_sync_directory(j->name, err);
    j->chunks = j->header ? divide_up(header_images(j->header), CHUNK_IMAGES) : 0;
    return status;
}

static mohvit_status load(journal *j, const journal_options *o, uint64_t file_size, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    if (o->header)
        status = header_compare(o->header, j->header, true, o->allow_mixed, j->name, &o->warn, err);
    if (!status && o->header && header_is_old(j->header))
        status = error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                           "%s: a state of format %d does not tell of its pictures; begin another", j->name,
                           HEADER_FORMAT_OLD);
    j->chunks = divide_up(header_images(j->header), CHUNK_IMAGES);
    if (!status)
        status = load_records(j, file_size, &o->warn, err);
    if (!status && j->writable && j->end < file_size && ftruncate(j->fd, (off_t)j->end))
        status = error_errno(err, "%s: cannot be written", j->name);
    return status;
}

mohvit_status journal_open(journal **out, const journal_options *o, mohvit_error *err)
{
    journal *j = calloc(1, sizeof *j);
    if (j)
        j->name = strdup(o->path ? o->path : "temporary file");
    if (!j || !j->name) {
        free(j);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a state");
    }
    uint64_t file_size = 0;
    bool fresh = true;
    j->writable = o->header != NULL;
    j->named = o->path != NULL;
    mohvit_status status = open_file(j, o->path, &file_size, err);
    if (!status)
        status = load_header(j, file_size, &fresh, err);
    if (!status && fresh)
        status = j->writable ? create(j, o->header, err) : not_a_state(j, err);
    else if (!status)
        status = load(j, o, file_size, err);
    if (status)
        journal_close(j);
    else
        *out = j;
    return status;
}

mohvit_status journal_open_finished(journal **out, const char *path, const warning_sink *warn,
                                    mohvit_error *err)
{
    const journal_options o = {.path = path, .warn = *warn};
    return journal_open(out, &o, err);
}

void journal_close(journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    json_decref(j->header);
    free(j->places);
    free(j->name);
    free(j);
}

const char *journal_name(const journal *j)
{
    return j->name;
}

const json_t *journal_header(const journal *j)
{
    return j->header;
}

size_t journal_chunks(const journal *j)
{
    return j->chunks;
}

bool journal_has(const journal *j, size_t chunk)
{
    size_t at = find_place(j, chunk);
    return at < j->done && j->places[at].chunk == chunk;
}

size_t journal_done(const journal *j)
{
    return j->done;
}

size_t journal_chunk(const journal *j, size_t index)
{
    return j->places[index].chunk;
}

void journal_forget_classes(journal *j)
{
    json_object_del(j->header, "classes");
}

/* ---- Records --------------------------------------------------------------------------------- */

mohvit_status journal_sync(journal *j, mohvit_error *err)
{
    if (j->named && j->unsynced && fdatasync(j->fd))
        return error_errno(err, "%s: cannot be written", j->name);
    j->unsynced = false;
    j->synced = clock_ns();
    return MOHVIT_OK;
}

void journal_forget(journal *j, size_t chunk)
{
    size_t at = find_place(j, chunk);
    if (!journal_has(j, chunk))
        return;
    j->done--;
    memmove(j->places + at, j->places + at + 1, (j->done - at) * sizeof *j->places);
}

mohvit_status journal_append(journal *j, const chunk_record *r, mohvit_error *err)
{
    uint64_t offset = j->end;
    mohvit_status status = check_fits(j, r, err);
    if (!status)
        status = append_frame(j, FRAME_RECORD, r->data, r->size, "", 0, err);
    if (!status)
        status = take_record(j, r, offset, err);
    if (!status && clock_ns() - j->synced >= 1000000000u)
        status = journal_sync(j, err);
    return status;
}

mohvit_status journal_read(const journal *j, size_t chunk, bytes *b, mohvit_error *err)
{
    const place *p = &j->places[find_place(j, chunk)];
    uint32_t kind;
    frame_state state;
    mohvit_status status = read_frame(j, p->offset - FRAME_SIZE, p->offset + p->size, &kind, b, &state, err);
    byte_reader in = {b->data, b->size, false};
    if (!status && (state != FRAME_WHOLE || bytes_get_u32(&in) != chunk))
        status = error_set(err, MOHVIT_ERROR_IO, "%s: the record of chunk %zu changed since it was written",
                           j->name, chunk);
    return status;
}

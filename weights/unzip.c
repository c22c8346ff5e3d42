#include "weights/unzip.h"
#include "base/memory.h"
#include "base/search.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORED = 0,
    DEFLATED = 8,
    ENCRYPTED = 1, // a flag
};

/* Little-endian, n ≤ 8 bytes. */
static uint64_t number_at(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    memcpy(&value, bytes, n);
    return value;
}

static mohvit_status no_memory(const unzip *z, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", z->src->name);
}

static mohvit_status no_zip(const unzip *z, const char *reason, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: cannot be read as a zip (cut short?): %s", z->src->name,
                     reason);
}

// ---- Where the directory is ------------------------------------------------------------------------

/* The record that ends an archive says where its directory is. */
typedef struct ending {
    uint64_t entries, size, start;
} ending;

enum { END_SIZE = 22, LOCATOR_SIZE = 20, END64_SIZE = 56 };

/* Reads the record at `tail`, `place` of the file, or its extension to 64 bits, which a locator right before
 * it finds; false where it is no such record, but other bytes that happen to look like one. `before` bytes
 * lie before it in memory. */
static bool read_ending(ending *e, const byte_source *src, const unsigned char *tail, uint64_t place,
                        size_t before)
{
    const unsigned char *locator = tail - LOCATOR_SIZE;
    if (memcmp(tail, "PK\5\6", 4) != 0 || place + END_SIZE + number_at(tail + 20, 2) > src->size)
        return false;
    *e = (ending){number_at(tail + 10, 2), number_at(tail + 12, 4), number_at(tail + 16, 4)};
    if (before >= LOCATOR_SIZE && memcmp(locator, "PK\6\7", 4) == 0) {
        unsigned char end64[END64_SIZE];
        uint64_t at = number_at(locator + 8, 8);
        if (at > src->size || byte_source_read(src, (size_t)at, end64, sizeof end64, NULL) ||
            memcmp(end64, "PK\6\6", 4) != 0)
            return false;
        *e = (ending){number_at(end64 + 32, 8), number_at(end64 + 40, 8), number_at(end64 + 48, 8)};
    }
    return e->start <= place && e->size <= place - e->start;
}

/* The last such record of the file: a comment may follow it. */
static mohvit_status find_ending(ending *e, const unzip *z, mohvit_error *err)
{
    enum { TAIL_MAX = LOCATOR_SIZE + END_SIZE + 65535 };
    size_t size = z->src->size < TAIL_MAX ? z->src->size : TAIL_MAX, start = z->src->size - size;
    unsigned char *tail = memory_alloc(size, 1);
    if (!tail)
        return no_memory(z, err);
    mohvit_status status = byte_source_read(z->src, start, tail, size, err);
    bool found = false;
    for (size_t at = size < END_SIZE ? 0 : size - END_SIZE + 1; !status && !found && at-- > 0;)
        found = read_ending(e, z->src, tail + at, start + at, at);
    free(tail);
    return status || found ? status : no_zip(z, "it has no directory", err);
}

// ---- The directory ---------------------------------------------------------------------------------

/* Sizes and places that do not fit in 32 bits stand in an extra field, in this order. */
static bool read_extra64(unzip_entry *e, const unsigned char *extra, size_t size)
{
    uint64_t *wide[] = {&e->size, &e->packed, &e->header};
    while (size >= 4) {
        size_t n = (size_t)number_at(extra + 2, 2);
        if (n > size - 4)
            return false;
        if (number_at(extra, 2) == 1) {
            const unsigned char *from = extra + 4;
            for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
                if (*wide[i] != UINT32_MAX)
                    continue;
                if (n < 8)
                    return false;
                *wide[i] = number_at(from, 8);
                from += 8;
                n -= 8;
            }
            return true;
        }
        extra += 4 + n;
        size -= 4 + n;
    }
    return e->size != UINT32_MAX && e->packed != UINT32_MAX && e->header != UINT32_MAX;
}

/* Reads the header at `at`, of `left` bytes at most, and ends the name by a NUL, for which the header makes
 * room. The size of it all; 0 where it is none. */
static size_t read_entry(unzip_entry *e, unsigned char *at, size_t left)
{
    enum { HEADER_SIZE = 46 };
    if (left < HEADER_SIZE || memcmp(at, "PK\1\2", 4) != 0)
        return 0;
    size_t name = (size_t)number_at(at + 28, 2), extra = (size_t)number_at(at + 30, 2);
    size_t all = HEADER_SIZE + name + extra + (size_t)number_at(at + 32, 2);
    *e = (unzip_entry){
        .name = (const char *)at,
        .flags = (uint16_t)number_at(at + 8, 2),
        .method = (uint16_t)number_at(at + 10, 2),
        .crc = (uint32_t)number_at(at + 16, 4),
        .packed = number_at(at + 20, 4),
        .size = number_at(at + 24, 4),
        .header = number_at(at + 42, 4),
    };
    if (all > left || !read_extra64(e, at + HEADER_SIZE + name, extra) ||
        memchr(at + HEADER_SIZE, '\0', name))
        return 0;
    memmove(at, at + HEADER_SIZE, name);
    at[name] = '\0';
    return all;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const unzip_entry *)a)->name, ((const unzip_entry *)b)->name);
}

static mohvit_status read_directory(unzip *z, const ending *e, mohvit_error *err)
{
    mohvit_status status = byte_source_read(z->src, (size_t)e->start, z->directory, (size_t)e->size, err);
    size_t at = 0;
    while (!status && z->count < e->entries) {
        size_t size = read_entry(&z->entries[z->count], z->directory + at, (size_t)e->size - at);
        if (!size)
            return no_zip(z, "its directory is damaged", err);
        at += size;
        z->count++;
    }
    qsort(z->entries, z->count, sizeof *z->entries, compare_names);
    for (size_t i = 1; !status && i < z->count; i++)
        if (compare_names(&z->entries[i - 1], &z->entries[i]) == 0)
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: there are two entries %s", z->src->name,
                               z->entries[i].name);
    return status;
}

mohvit_status unzip_open(unzip *z, const byte_source *src, mohvit_error *err)
{
    ending e = {0};
    *z = (unzip){.src = src};
    mohvit_status status = find_ending(&e, z, err);
    if (status)
        return status;
    if (e.entries > UNZIP_MAX_ENTRIES)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: a zip of %llu entries; at most %llu are read",
                         src->name, (unsigned long long)e.entries, (unsigned long long)UNZIP_MAX_ENTRIES);
    if (e.size > UNZIP_MAX_DIRECTORY)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: a zip with a directory of %llu bytes; at most %llu are read", src->name,
                         (unsigned long long)e.size, (unsigned long long)UNZIP_MAX_DIRECTORY);
    z->directory = memory_alloc((size_t)e.size, 1);
    z->entries = calloc((size_t)e.entries + 1, sizeof *z->entries); // + 1: none at all is no lack of memory
    if (!z->directory || !z->entries)
        return no_memory(z, err);
    return read_directory(z, &e, err);
}

static int compare_with_name(const void *element, const void *key)
{
    return strcmp(((const unzip_entry *)element)->name, key);
}

const unzip_entry *unzip_find(const unzip *z, const char *name)
{
    size_t at = search_first(name, z->entries, z->count, sizeof *z->entries, compare_with_name);
    return at < z->count && strcmp(z->entries[at].name, name) == 0 ? &z->entries[at] : NULL;
}

// ---- An entry --------------------------------------------------------------------------------------

static void leave_entry(unzip *z)
{
    if (z->deflated)
        inflateEnd(&z->stream);
    z->deflated = false;
    z->entry = NULL;
}

void unzip_close(unzip *z)
{
    leave_entry(z);
    free(z->entries);
    free(z->directory);
    *z = (unzip){0};
}

static mohvit_status damaged(const unzip *z, const char *place, const char *reason, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT,
                     "%s: %s: is the file damaged, or did it change while being read?: %s", z->src->name,
                     place, reason);
}

/* Where the bytes of an entry begin: behind its own header, whose names and fields need not be the
 * directory's. */
static mohvit_status find_bytes(unzip *z, const char *place, mohvit_error *err)
{
    enum { HEADER_SIZE = 30 };
    unsigned char header[HEADER_SIZE];
    const unzip_entry *e = z->entry;
    if (e->header > z->src->size)
        return damaged(z, place, "it lies past the end of the file", err);
    mohvit_status status = byte_source_read(z->src, (size_t)e->header, header, sizeof header, err);
    if (status)
        return status;
    if (memcmp(header, "PK\3\4", 4) != 0)
        return damaged(z, place, "there is no such entry where the directory says", err);
    z->at = e->header + HEADER_SIZE + number_at(header + 26, 2) + number_at(header + 28, 2);
    if (z->at > z->src->size || e->packed > z->src->size - z->at)
        return damaged(z, place, "the data end early", err);
    return MOHVIT_OK;
}

mohvit_status unzip_seek(unzip *z, const unzip_entry *entry, const char *place, mohvit_error *err)
{
    leave_entry(z);
    if (entry->flags & ENCRYPTED || (entry->method != STORED && entry->method != DEFLATED))
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s: is %s; expected a stored or deflated entry",
                         z->src->name, place,
                         entry->flags & ENCRYPTED ? "encrypted" : "compressed otherwise");
    z->entry = entry;
    z->packed_left = entry->packed;
    z->left = entry->size;
    z->crc = 0;
    z->skipped = false;
    mohvit_status status = find_bytes(z, place, err);
    if (status || entry->method == STORED)
        return status;
    z->stream = (z_stream){0};
    if (inflateInit2(&z->stream, -MAX_WBITS) != Z_OK)
        return no_memory(z, err);
    z->deflated = true;
    return MOHVIT_OK;
}

bool unzip_skip(unzip *z, uint64_t bytes)
{
    if (z->deflated || bytes > z->packed_left)
        return false;
    z->at += bytes;
    z->packed_left -= bytes;
    z->left -= bytes;
    z->skipped = z->skipped || bytes;
    return true;
}

static mohvit_status read_packed(unzip *z, void *dst, size_t bytes, mohvit_error *err)
{
    mohvit_status status = byte_source_read(z->src, (size_t)z->at, dst, bytes, err);
    z->at += bytes;
    z->packed_left -= bytes;
    return status;
}

/* Fills what the stream has room for; *ended: it came to its end. */
static mohvit_status inflate_some(unzip *z, bool *ended, const char *place, mohvit_error *err)
{
    *ended = false;
    while (z->stream.avail_out && !*ended) {
        if (!z->stream.avail_in && z->packed_left) {
            size_t n = z->packed_left < sizeof z->input ? (size_t)z->packed_left : sizeof z->input;
            mohvit_status status = read_packed(z, z->input, n, err);
            if (status)
                return status;
            z->stream.next_in = z->input;
            z->stream.avail_in = (uInt)n;
        }
        int code = inflate(&z->stream, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            return no_memory(z, err);
        if (code != Z_OK && code != Z_STREAM_END)
            return damaged(z, place, z->stream.msg ? z->stream.msg : "the data end early", err);
        *ended = code == Z_STREAM_END;
    }
    return MOHVIT_OK;
}

static mohvit_status read_deflated(unzip *z, unsigned char *dst, size_t bytes, const char *place,
                                   mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t n; !status && bytes; dst += n, bytes -= n) {
        bool ended;
        n = bytes < UINT_MAX ? bytes : UINT_MAX;
        z->stream.next_out = dst;
        z->stream.avail_out = (uInt)n;
        status = inflate_some(z, &ended, place, err);
        if (!status && z->stream.avail_out)
            status = damaged(z, place, "the data end early", err);
    }
    return status;
}

/* All bytes were given: no more may come, and they must be the right ones. */
static mohvit_status check_end(unzip *z, const char *place, mohvit_error *err)
{
    unsigned char beyond;
    bool ended = true;
    mohvit_status status = MOHVIT_OK;
    z->stream.next_out = &beyond;
    z->stream.avail_out = 1;
    if (z->deflated)
        status = inflate_some(z, &ended, place, err);
    if (!status && (!ended || (z->deflated && !z->stream.avail_out)))
        status = damaged(z, place, "there are more data than the directory says", err);
    if (!status && !z->skipped && z->crc != z->entry->crc)
        status = damaged(z, place, "CRC error", err);
    return status;
}

mohvit_status unzip_read(unzip *z, void *dst, size_t bytes, const char *place, mohvit_error *err)
{
    if (bytes > z->left || (!z->deflated && bytes > z->packed_left))
        return damaged(z, place, "the data end early", err);
    mohvit_status status =
        z->deflated ? read_deflated(z, dst, bytes, place, err) : read_packed(z, dst, bytes, err);
    if (status)
        return status;
    z->left -= bytes;
    z->crc = (uint32_t)crc32_z(z->crc, dst, bytes);
    return z->left ? MOHVIT_OK : check_end(z, place, err);
}

#include "weights/pth_zip.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deflate cannot do better than 1032 to 1: an entry that claims more lies about its size. */
#define MAX_INFLATION 1032u

/* Bytes of entries that all reading of a file may take, those that are inflated counted four times, as they
 * take longer: what the largest model takes and an eighth more, as torch.save stores it. A small file could
 * ask for far more, by deflated entries, where the way to a tensor leads through all that lies before it, and
 * by tensors that are spread over one storage. */
#define MAX_READ       ((uint64_t)9 << 30)
#define INFLATED_COUNT 4u

/* libzip finds names by a hash that anybody can make collide: 60000 entries then took it 17 s. A storage is
 * one. */
#define MAX_ENTRIES ((uint64_t)1 << 15)

#define MAX_ENTRY_NAME 512

// ---- Opening ---------------------------------------------------------------------------------------

/* libzip reads the very file that was looked at: by a copy of its descriptor, not by its name. */
static zip_t *open_archive(const byte_source *src, zip_error_t *why)
{
    zip_t *zip = NULL;
    errno = 0;
    if (src->fd >= 0) {
        int code, fd = dup(src->fd);
        zip = fd >= 0 ? zip_fdopen(fd, 0, &code) : NULL;
        if (!zip && fd >= 0) {
            close(fd);
            zip_error_init_with_code(why, code);
        }
        return zip;
    }
    zip_source_t *bytes = zip_source_buffer_create(src->data, src->size, 0, why);
    if (bytes && !(zip = zip_open_from_source(bytes, ZIP_RDONLY, why)))
        zip_source_free(bytes);
    return zip;
}

/* Little-endian, n ≤ 8 bytes. */
static uint64_t number_at(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    memcpy(&value, bytes, n);
    return value;
}

/* How many entries the record at `tail` says that there are, which ends the archive, or its extension to 64
 * bits; 0 where it is no such record. */
static uint64_t entries_at(const byte_source *src, const unsigned char *tail, size_t place, size_t before)
{
    enum { LOCATOR_SIZE = 20, END64_SIZE = 56 };
    unsigned char end64[END64_SIZE];
    uint64_t entries = number_at(tail + 10, 2), size = number_at(tail + 12, 4),
             start = number_at(tail + 16, 4);
    const unsigned char *locator = tail - LOCATOR_SIZE;
    if (before >= LOCATOR_SIZE && memcmp(locator, "PK\6\7", 4) == 0 &&
        !byte_source_read(src, (size_t)number_at(locator + 8, 8), end64, sizeof end64, NULL) &&
        memcmp(end64, "PK\6\6", 4) == 0)
        return number_at(end64 + 32, 8);
    return start + size <= place ? entries : 0; // else these are other bytes, which happen to look like one
}

/* libzip reads the whole directory when it opens an archive, so what that says of itself is looked at first.
 * Which of several ends libzip would take does not matter: none may claim too much. */
static mohvit_status check_entries(const byte_source *src, mohvit_error *err)
{
    enum { END_SIZE = 22, TAIL_MAX = END_SIZE + 20 + 65535 };
    size_t size = src->size < TAIL_MAX ? src->size : TAIL_MAX, start = src->size - size;
    unsigned char *tail = memory_alloc(size, 1);
    if (!tail)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", src->name);
    uint64_t most = 0;
    mohvit_status status = byte_source_read(src, start, tail, size, err);
    for (size_t at = 0; !status && size >= END_SIZE && at <= size - END_SIZE; at++) {
        if (memcmp(tail + at, "PK\5\6", 4) == 0) {
            uint64_t entries = entries_at(src, tail + at, start + at, at);
            most = entries > most ? entries : most;
        }
    }
    free(tail);
    if (!status && most > MAX_ENTRIES)
        status = error_set(err, MOHVIT_ERROR_LIMIT, "%s: a zip of %llu entries; at most %llu are read",
                           src->name, (unsigned long long)most, (unsigned long long)MAX_ENTRIES);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Sets root from the one entry `root/data.pkl`. */
static mohvit_status take_root(pth_zip *z, const char *name, mohvit_error *err)
{
    if (z->root)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: there are two pickles, %sdata.pkl and %s",
                         z->src->name, z->root, name);
    z->root = strndup(name, strlen(name) - strlen("data.pkl"));
    return z->root ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", z->src->name);
}

static mohvit_status look_at_names(pth_zip *z, mohvit_error *err)
{
    const char *file = z->src->name;
    mohvit_status status = MOHVIT_OK;
    bool script = false;
    zip_int64_t count = zip_get_num_entries(z->zip, 0);
    for (zip_int64_t i = 0; !status && i < count; i++) {
        const char *name = zip_get_name(z->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (!name)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: entry %lld has no name", file, (long long)i);
        if (zip_name_locate(z->zip, name, ZIP_FL_ENC_RAW) != i)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: there are two entries %s", file, name);
        if (ends_with(name, "/data.pkl") && strchr(name, '/') == strrchr(name, '/'))
            status = take_root(z, name, err);
        script = script || ends_with(name, "/constants.pkl");
    }
    if (!status && script)
        return error_set(
            err, MOHVIT_ERROR_UNSUPPORTED,
            "%s: is a TorchScript program; save the weights alone: torch.save(model.state_dict(), path)",
            file);
    if (!status && !z->root)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is a zip without data.pkl, not a file of torch.save",
                         file);
    return status;
}

static mohvit_status check_byteorder(pth_zip *z, mohvit_error *err)
{
    zip_uint64_t index;
    size_t size;
    char order[16] = "";
    if (pth_zip_find(z, "", "byteorder", 9, &index, &size, NULL))
        return MOHVIT_OK; // PyTorch before 2.1 did not write it, and knew little-endian machines alone
    mohvit_status status = pth_zip_seek(z, index, size, 0, "byteorder", err);
    if (!status)
        status = pth_zip_read(z, order, size < sizeof order ? size : sizeof order - 1, "byteorder", err);
    if (!status && strcmp(order, "little") != 0)
        status = error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: byteorder \"%s\"; expected \"little\"",
                           z->src->name, order);
    return status;
}

mohvit_status pth_zip_open(pth_zip *z, const byte_source *src, mohvit_error *err)
{
    *z = (pth_zip){.src = src};
    mohvit_status status = check_entries(src, err);
    if (status)
        return status;
    zip_error_t why;
    zip_error_init(&why);
    z->zip = open_archive(src, &why);
    if (!z->zip)
        status = error_library(err, MOHVIT_ERROR_FORMAT, zip_error_strerror(&why),
                               "%s: cannot be read as a zip (cut short?)", src->name);
    zip_error_fini(&why);
    if (!status)
        status = look_at_names(z, err);
    return status ? status : check_byteorder(z, err);
}

void pth_zip_close(pth_zip *z)
{
    if (z->entry)
        zip_fclose(z->entry);
    if (z->zip)
        zip_discard(z->zip);
    free(z->root);
    *z = (pth_zip){0};
}

// ---- Entries ---------------------------------------------------------------------------------------

mohvit_status pth_zip_find(const pth_zip *z, const char *folder, const char *name, size_t length,
                           zip_uint64_t *index, size_t *size, mohvit_error *err)
{
    char full[MAX_ENTRY_NAME];
    const char *file = z->src->name;
    if (strlen(z->root) + strlen(folder) + length >= sizeof full)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: an entry's name is longer than %d bytes", file,
                         MAX_ENTRY_NAME);
    snprintf(full, sizeof full, "%s%s%.*s", z->root, folder, (int)length, name);
    zip_int64_t found = zip_name_locate(z->zip, full, ZIP_FL_ENC_RAW);
    if (found < 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: there is no entry %s", file, full);
    zip_stat_t st;
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(z->zip, (zip_uint64_t)found, 0, &st) || (st.valid & wanted) != wanted)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: %s", file, full, zip_strerror(z->zip));
    bool lies = st.comp_size > z->src->size || (st.comp_method == ZIP_CM_STORE && st.size > st.comp_size) ||
                st.size / MAX_INFLATION > st.comp_size;
    if (lies)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: claims %llu bytes, more than it can hold", file,
                         full, (unsigned long long)st.size);
    *index = (zip_uint64_t)found;
    *size = (size_t)st.size;
    return MOHVIT_OK;
}

static mohvit_status read_failed(const pth_zip *z, zip_error_t *why, const char *place, mohvit_error *err)
{
    const char *reason = zip_error_code_zip(why) ? zip_error_strerror(why) : "the data end early";
    return error_library(err, MOHVIT_ERROR_IO, reason,
                         "%s: %s: is the file damaged, or did it change while being read?", z->src->name,
                         place);
}

mohvit_status pth_zip_read(pth_zip *z, void *dst, size_t bytes, const char *place, mohvit_error *err)
{
    unsigned char *to = dst, beyond;
    zip_int64_t n = 1;
    errno = 0;
    for (size_t left = bytes; left; left -= (size_t)n, to += n, z->entry_left -= (size_t)n) {
        n = zip_fread(z->entry, to, left);
        if (n <= 0)
            break;
        z->read += (uint64_t)n * (z->deflated ? INFLATED_COUNT : 1);
    }
    if (z->read > MAX_READ)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %s: its tensors take more than %llu GiB to read; save it again, without "
                         "compression and views",
                         z->src->name, place,
                         (unsigned long long)((z->deflated ? MAX_READ / INFLATED_COUNT : MAX_READ) >> 30));
    if (n > 0 && z->entry_left == 0) // libzip compares the checksum when it is asked for more than there is
        n = zip_fread(z->entry, &beyond, 1) == 0 ? 1 : -1;
    if (n > 0)
        return MOHVIT_OK;
    return read_failed(z, zip_file_get_error(z->entry), place, err);
}

/* libzip can seek in stored entries; through deflated ones, which torch.save does not write, the way is
 * reading. */
static mohvit_status skip(pth_zip *z, size_t bytes, const char *place, mohvit_error *err)
{
    unsigned char scrap[16384];
    mohvit_status status = MOHVIT_OK;
    if (zip_fseek(z->entry, (zip_int64_t)bytes, SEEK_SET) == 0) {
        z->entry_left -= bytes;
        return MOHVIT_OK;
    }
    zip_file_error_clear(z->entry);
    for (size_t left = bytes; !status && left;) {
        size_t n = left < sizeof scrap ? left : sizeof scrap;
        status = pth_zip_read(z, scrap, n, place, err);
        left -= n;
    }
    return status;
}

mohvit_status pth_zip_seek(pth_zip *z, zip_uint64_t index, size_t size, size_t offset, const char *place,
                           mohvit_error *err)
{
    if (z->entry)
        zip_fclose(z->entry);
    zip_stat_t st;
    z->deflated = zip_stat_index(z->zip, index, 0, &st) || st.comp_method != ZIP_CM_STORE;
    errno = 0;
    z->entry = zip_fopen_index(z->zip, index, 0);
    z->entry_left = size;
    if (!z->entry)
        return read_failed(z, zip_get_error(z->zip), place, err);
    return offset ? skip(z, offset, place, err) : MOHVIT_OK;
}

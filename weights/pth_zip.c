#include "weights/pth_zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deflate cannot do better than 1032 to 1: an entry that claims more lies about its size. */
#define MAX_INFLATION 1032u

/* Bytes of entries that all reading of a file may take, those that are inflated counted four times, as they
 * take longer: what the largest model takes and an eighth more, as torch.save stores it. A small file could
 * ask for far more, by deflated entries, where the way to a tensor leads through all that lies before it, and
 * by tensors that are spread over one storage. */
#define MAX_READ       ((uint64_t)9 << 30)
#define INFLATED_COUNT 4u

#define MAX_ENTRY_NAME 512

// ---- Opening ---------------------------------------------------------------------------------------

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
    for (size_t i = 0; !status && i < z->zip.count; i++) {
        const char *name = z->zip.entries[i].name;
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
    const unzip_entry *entry;
    char order[16] = "";
    if (pth_zip_find(z, "", "byteorder", 9, &entry, NULL))
        return MOHVIT_OK; // PyTorch before 2.1 did not write it, and knew little-endian machines alone
    mohvit_status status = pth_zip_seek(z, entry, 0, "byteorder", err);
    if (!status)
        status = pth_zip_read(z, order, entry->size < sizeof order ? (size_t)entry->size : sizeof order - 1,
                              "byteorder", err);
    if (!status && strcmp(order, "little") != 0)
        status = error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: byteorder \"%s\"; expected \"little\"",
                           z->src->name, order);
    return status;
}

mohvit_status pth_zip_open(pth_zip *z, const byte_source *src, mohvit_error *err)
{
    *z = (pth_zip){.src = src};
    mohvit_status status = unzip_open(&z->zip, src, err);
    if (!status)
        status = look_at_names(z, err);
    return status ? status : check_byteorder(z, err);
}

void pth_zip_close(pth_zip *z)
{
    unzip_close(&z->zip);
    free(z->root);
    *z = (pth_zip){0};
}

// ---- Entries ---------------------------------------------------------------------------------------

mohvit_status pth_zip_find(const pth_zip *z, const char *folder, const char *name, size_t length,
                           const unzip_entry **entry, mohvit_error *err)
{
    char full[MAX_ENTRY_NAME];
    const char *file = z->src->name;
    if (strlen(z->root) + strlen(folder) + length >= sizeof full)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: an entry's name is longer than %d bytes", file,
                         MAX_ENTRY_NAME);
    snprintf(full, sizeof full, "%s%s%.*s", z->root, folder, (int)length, name);
    const unzip_entry *e = unzip_find(&z->zip, full);
    if (!e)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: there is no entry %s", file, full);
    bool lies = e->packed > z->src->size || (e->method == 0 && e->size > e->packed) ||
                e->size / MAX_INFLATION > e->packed;
    if (lies)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: claims %llu bytes, more than it can hold", file,
                         full, (unsigned long long)e->size);
    *entry = e;
    return MOHVIT_OK;
}

mohvit_status pth_zip_read(pth_zip *z, void *dst, size_t bytes, const char *place, mohvit_error *err)
{
    z->read += (uint64_t)bytes * (z->zip.deflated ? INFLATED_COUNT : 1);
    if (z->read > MAX_READ)
        return error_set(
            err, MOHVIT_ERROR_LIMIT,
            "%s: %s: its tensors take more than %llu GiB to read; save it again, without "
            "compression and views",
            z->src->name, place,
            (unsigned long long)((z->zip.deflated ? MAX_READ / INFLATED_COUNT : MAX_READ) >> 30));
    return unzip_read(&z->zip, dst, bytes, place, err);
}

/* Through deflated entries, which torch.save does not write, the way is reading. */
static mohvit_status skip(pth_zip *z, size_t bytes, const char *place, mohvit_error *err)
{
    unsigned char scrap[16384];
    mohvit_status status = MOHVIT_OK;
    if (unzip_skip(&z->zip, bytes))
        return MOHVIT_OK;
    for (size_t left = bytes; !status && left;) {
        size_t n = left < sizeof scrap ? left : sizeof scrap;
        status = pth_zip_read(z, scrap, n, place, err);
        left -= n;
    }
    return status;
}

mohvit_status pth_zip_seek(pth_zip *z, const unzip_entry *entry, size_t offset, const char *place,
                           mohvit_error *err)
{
    mohvit_status status = unzip_seek(&z->zip, entry, place, err);
    return status || !offset ? status : skip(z, offset, place, err);
}

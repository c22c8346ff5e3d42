/* pth_zip.h - the zip archive of torch.save: which entries there are, and their bytes in order. */
#ifndef MOHVIT_PTH_ZIP_H
#define MOHVIT_PTH_ZIP_H

#include "weights/byte_source.h"

#include <zip.h>

typedef struct pth_zip {
    const byte_source *src;
    zip_t *zip;
    char *root;        /* what the names of all entries begin with: "archive/" */
    zip_file_t *entry; /* being read; NULL: none */
    size_t entry_left; /* bytes of it that were not read yet */
    bool deflated;     /* it is */
    uint64_t read;     /* bytes of all entries so far, those of deflated ones four times */
} pth_zip;

/* Opens the archive and finds data.pkl. TorchScript, other byte orders and names that occur twice are errors.
 * pth_zip_close is due also on failure. */
mohvit_status pth_zip_open(pth_zip *z, const byte_source *src, mohvit_error *err);

/* Finds the entry `name` (of `length` bytes, below root + folder) and its size, which the file can really
 * hold. */
mohvit_status pth_zip_find(const pth_zip *z, const char *folder, const char *name, size_t length,
                           zip_uint64_t *index, size_t *size, mohvit_error *err);

/* Goes to byte `offset` of an entry of `size` bytes. place is what messages call it. */
mohvit_status pth_zip_seek(pth_zip *z, zip_uint64_t index, size_t size, size_t offset, const char *place,
                           mohvit_error *err);

/* The next `bytes` of it. An entry that was read from its first byte to its last has had its checksum
 * compared. */
mohvit_status pth_zip_read(pth_zip *z, void *dst, size_t bytes, const char *place, mohvit_error *err);

void pth_zip_close(pth_zip *z);

#endif

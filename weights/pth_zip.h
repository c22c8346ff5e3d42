/* pth_zip.h - the zip archive of torch.save: which entries there are, and their bytes in order. */
#ifndef MOHVIT_PTH_ZIP_H
#define MOHVIT_PTH_ZIP_H

#include "weights/unzip.h"

typedef struct pth_zip {
    const byte_source *src;
    unzip zip;
    char *root;    /* what the names of all entries begin with: "archive/" */
    uint64_t read; /* bytes of all entries so far, those of deflated ones four times */
} pth_zip;

/* Opens the archive and finds data.pkl. TorchScript, other byte orders and names that occur twice are errors.
 * pth_zip_close is due also on failure. */
mohvit_status pth_zip_open(pth_zip *z, const byte_source *src, mohvit_error *err);

/* Finds the entry `name` (of `length` bytes, below root + folder), whose size the file can really hold. */
mohvit_status pth_zip_find(const pth_zip *z, const char *folder, const char *name, size_t length,
                           const unzip_entry **entry, mohvit_error *err);

/* Goes to byte `offset` of an entry. place is what messages call it. */
mohvit_status pth_zip_seek(pth_zip *z, const unzip_entry *entry, size_t offset, const char *place,
                           mohvit_error *err);

/* The next `bytes` of it. An entry that was read from its first byte to its last has had its checksum
 * compared. */
mohvit_status pth_zip_read(pth_zip *z, void *dst, size_t bytes, const char *place, mohvit_error *err);

void pth_zip_close(pth_zip *z);

#endif

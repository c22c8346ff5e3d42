/* unzip.h - a zip in a file or in memory: which entries there are, and the bytes of one in order. Stored and
 * deflated entries, also with sizes of 64 bits; neither encrypted ones nor archives of several parts. */
#ifndef MOHVIT_UNZIP_H
#define MOHVIT_UNZIP_H

#include "weights/byte_source.h"

#include <zlib.h>

typedef struct unzip_entry {
    const char *name;
    uint64_t size;   /* of its bytes, as the directory has it */
    uint64_t packed; /* of what stands for them in the file, which is no longer than that */
    uint64_t header; /* where its own header lies */
    uint32_t crc;
    uint16_t flags, method;
} unzip_entry;

typedef struct unzip {
    const byte_source *src;
    unsigned char *directory; /* the names lie in it */
    unzip_entry *entries;     /* (count), sorted by name */
    size_t count;
    /* The entry that seek chose: */
    const unzip_entry *entry; /* NULL: none */
    uint64_t at, packed_left; /* what was not read yet of it: where it lies in the file, and its size */
    uint64_t left;            /* and of its bytes */
    uint32_t crc;             /* of those that were */
    bool skipped;             /* not all were, so that there is nothing to compare */
    bool deflated;
    z_stream stream;
    unsigned char input[16384];
} unzip;

/* Reads the directory. Names that occur twice, more than UNZIP_MAX_ENTRIES entries and a directory of more
 * than UNZIP_MAX_DIRECTORY bytes are errors. unzip_close is due also on failure. */
mohvit_status unzip_open(unzip *z, const byte_source *src, mohvit_error *err);

#define UNZIP_MAX_ENTRIES   ((uint64_t)1 << 15)
#define UNZIP_MAX_DIRECTORY ((uint64_t)64 << 20)

/* The entry of that name; NULL: there is none. */
const unzip_entry *unzip_find(const unzip *z, const char *name);

/* Goes to the first byte of an entry. place is what messages call it. */
mohvit_status unzip_seek(unzip *z, const unzip_entry *entry, const char *place, mohvit_error *err);

/* Leaves out the next `bytes`; false where that has to be done by reading, as of deflated entries. */
bool unzip_skip(unzip *z, uint64_t bytes);

/* The next `bytes` of it. The checksum of an entry that was read from its first byte to its last has been
 * compared then. */
mohvit_status unzip_read(unzip *z, void *dst, size_t bytes, const char *place, mohvit_error *err);

void unzip_close(unzip *z);

#endif

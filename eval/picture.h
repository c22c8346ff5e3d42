/* picture.h - a picture as it was read, and hashes that know it again wherever it lies. */
#ifndef MOHVIT_PICTURE_H
#define MOHVIT_PICTURE_H

#include "imgio/dataset/dataset.h"

/* XXH3-128. */
typedef struct picture_hash {
    uint64_t low, high;
} picture_hash;

typedef struct picture_seen {
    bool unread; /* it could not be opened or read, which says nothing of what it is */
    bool turned; /* its EXIF says that it is to be turned; known once it is decoded */
    /* Of its bytes (of idx: its rows as RGB) and then, as 64 bits each, the classes that count as right, all
     * ones for none. Of a picture that is unread, or too large to be read, as if it had no bytes. */
    picture_hash hash;
    uint64_t xxh64; /* picture_xxh64; 0 where it is as if it had no bytes */
} picture_seen;

/* dataset_read; *seen is set also where that fails. */
mohvit_status picture_read(sample *out, picture_seen *seen, const dataset *d, size_t index,
                           mohvit_error *err);

/* Of a picture's bytes, as xxh64sum prints it of its file; of idx, of its rows as RGB. */
uint64_t picture_xxh64(const sample *s);

bool picture_same(picture_hash a, picture_hash b);

/* What a picture adds to the hash of all data, which is the sum of these modulo 2^128: its hash, or, if it
 * failed, the XXH3-128 of its hash (16 bytes, the low half first). */
unsigned __int128 picture_term(picture_hash hash, bool failed);

#endif

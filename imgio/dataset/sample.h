/* sample.h - one picture of a data set: what is known of it, and its bytes. */
#ifndef MOHVIT_SAMPLE_H
#define MOHVIT_SAMPLE_H

#include "base/error.h"

typedef struct dataset_item {
    const char *name; /* inside its argument, such as "n01440764/ILSVRC2012_val_00000293.JPEG" */
    size_t source;    /* index of its argument */
    uint64_t index;   /* place in all of the data, whatever was chosen of them */
    uint64_t size;    /* bytes */
    uint64_t mtime;   /* of the file that they are in, by file_mtime; 0: unknown, as of idx */
    uint64_t place;   /* where its source finds it */
    uint32_t check;   /* CRC-32 of its bytes, where name and size tell nothing of them (idx); else 0 */
    /* CLASS_NONE: none. With several labels (ReaL), its own class, else the first of these. */
    size_t class_index;
    const uint32_t *accepted; /* (accepted_count) classes that count as right; NULL: class_index alone */
    size_t accepted_count;
} dataset_item;

/* An item's bytes: the file of a picture, or pixels. */
typedef struct sample {
    uint8_t *bytes;       /* owned: sample_free */
    size_t size;          /* of the file */
    size_t width, height; /* of pixels (height, width, 3); 0: a file, yet to be decoded */
} sample;

/* Larger files are no pictures. */
#define SAMPLE_MAX_BYTES ((uint64_t)256 << 20)

/* size bytes of fd from offset on into dst; a file that ends before is an error. Here and below
 * MOHVIT_ERROR_IO is about this file, whatever the reason; MOHVIT_ERROR_SYSTEM and MOHVIT_ERROR_MEMORY would
 * come with any other, too: too many files are open, or there is no memory. */
mohvit_status sample_read_bytes(int fd, uint64_t offset, void *dst, size_t size, mohvit_error *err);

/* The same into a new sample. */
mohvit_status sample_read_at(int fd, uint64_t offset, uint64_t size, sample *out, mohvit_error *err);

/* The same from a file of its own, as large as it is now. */
mohvit_status sample_read_path(const char *path, sample *out, mohvit_error *err);

void sample_free(sample *s);

#endif

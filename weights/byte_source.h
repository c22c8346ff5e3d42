/* byte_source.h - the bytes of a checkpoint, in a file or in memory, read at a place. Nothing is mapped, so
 * that a file that shrinks while it is read is an error and not a signal. */
#ifndef MOHVIT_BYTE_SOURCE_H
#define MOHVIT_BYTE_SOURCE_H

#include "base/error.h"

typedef struct byte_source {
    const char *name;          /* for messages; borrowed */
    int fd;                    /* -1: memory */
    const unsigned char *data; /* borrowed; NULL: file */
    size_t size;               /* as it was when opened */
} byte_source;

/* Opens a regular file; anything else at that path is an error that says what it is. */
mohvit_status byte_source_open(byte_source *s, const char *path, mohvit_error *err);

/* Exactly `bytes` at offset into dst, or an error. */
mohvit_status byte_source_read(const byte_source *s, size_t offset, void *dst, size_t bytes,
                               mohvit_error *err);

void byte_source_close(byte_source *s);

#endif

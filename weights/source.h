/* source.h - the bytes of a checkpoint, in a file or in memory, read at a place. Nothing is mapped, so that a
 * file that shrinks while it is read is an error and not a signal. */
#ifndef MOHVIT_SOURCE_H
#define MOHVIT_SOURCE_H

#include "base.h"

typedef struct source {
    const char *name;          /* for messages; borrowed */
    int fd;                    /* -1: memory */
    const unsigned char *data; /* borrowed; NULL: file */
    size_t size;               /* as it was when opened */
} source;

/* Opens a regular file; anything else at that path is an error that says what it is. */
mohvit_status source_open(source *s, const char *path, mohvit_error *err);

/* Exactly `bytes` at offset into dst, or an error. */
mohvit_status source_read(const source *s, size_t offset, void *dst, size_t bytes, mohvit_error *err);

void source_close(source *s);

#endif

/* bytes.h - little-endian numbers and strings, written to a growing buffer and read from one with checks. */
#ifndef MOHVIT_BYTES_H
#define MOHVIT_BYTES_H

#include "base/error.h"

/* Grows as needed. Without memory it takes no more, and `failed` says so at the end. */
typedef struct bytes {
    uint8_t *data; /* owned: bytes_free */
    size_t size, capacity;
    bool failed;
} bytes;

void bytes_put(bytes *b, const void *data, size_t size);
void bytes_put_u8(bytes *b, uint8_t value);
void bytes_put_u32(bytes *b, uint32_t value);
void bytes_put_u64(bytes *b, uint64_t value);
void bytes_put_f32(bytes *b, float value);
void bytes_put_text(bytes *b, const char *text); /* its length (u32), then its bytes */
/* Overwrites what was put at `at`. */
void bytes_set_u32(bytes *b, size_t at, uint32_t value);
void bytes_free(bytes *b);

/* Reads on until something is missing; from then on every number is 0 and `failed` says so. */
typedef struct byte_reader {
    const uint8_t *data;
    size_t size;
    bool failed;
} byte_reader;

uint8_t bytes_get_u8(byte_reader *r);
uint32_t bytes_get_u32(byte_reader *r);
uint64_t bytes_get_u64(byte_reader *r);
float bytes_get_f32(byte_reader *r);
/* Points into the data, not ended by a NUL. */
const char *bytes_get_text(byte_reader *r, size_t *length);
/* The next `size` bytes as a reader of their own. */
byte_reader bytes_get_part(byte_reader *r, size_t size);

#endif

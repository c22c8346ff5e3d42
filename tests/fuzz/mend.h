/* mend.h - puts right, in a mutated file, the checksums and lengths that would keep a reader from seeing the
 * rest of it. Each changes data in place and returns the size, which it keeps. */
#ifndef MOHVIT_MEND_H
#define MOHVIT_MEND_H

#include <stddef.h>
#include <stdint.h>

size_t mend_png(uint8_t *data, size_t size);         /* CRC of every chunk; other pictures stay */
size_t mend_zip(uint8_t *data, size_t size);         /* CRC of every entry that the central directory finds */
size_t mend_tar(uint8_t *data, size_t size);         /* checksum of every header */
size_t mend_journal(uint8_t *data, size_t size);     /* CRC of every frame */
size_t mend_safetensors(uint8_t *data, size_t size); /* length of the header: up to its last brace */

#endif

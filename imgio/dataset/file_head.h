/* file_head.h - what a file is, by how it begins, where a tar or a list of paths is expected. */
#ifndef MOHVIT_FILE_HEAD_H
#define MOHVIT_FILE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_HEAD 512 /* bytes, as many as a tar's header has */

/* How every tar, however old, is told. */
bool file_head_is_tar(const uint8_t *head, size_t size);

/* The name of a packer whose output it is, or NULL. */
const char *file_head_packer(const uint8_t *head, size_t size);

/* The name of another format that is no list of paths either, as that of a picture; NULL: it may be a list.
 */
const char *file_head_format(const uint8_t *head, size_t size);

#endif

/* file_io.h - reading and writing of open files that a signal or a half-done call does not cut short. What
 * fails leaves its reason in errno, for the caller to say of which file. */
#ifndef MOHVIT_FILE_IO_H
#define MOHVIT_FILE_IO_H

#include "base/error.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Bytes read: fewer than `size` at the end of the file alone; -1 on failure. */
ssize_t file_read(int fd, void *to, size_t size);
ssize_t file_read_at(int fd, uint64_t offset, void *to, size_t size);

/* false on failure, when some of the bytes may be written. */
bool file_write(int fd, const void *from, size_t size);
bool file_write_at(int fd, uint64_t offset, const void *from, size_t size);

/* TMPDIR, or else /tmp. */
const char *file_temporary_folder(void);

/* A new file that lies there, has no name and goes with the process; -1 on failure. */
int file_open_unnamed(void);

/* When it was written last, in nanoseconds since 1970. */
uint64_t file_mtime(const struct stat *st);

/* All of an open file, which may be a pipe: malloc'd, with a NUL behind it that *size does not count. More
 * than `max` bytes are MOHVIT_ERROR_LIMIT, before they are read where the file tells its size. name begins
 * messages. *out is set on success alone. */
mohvit_status file_load(char **out, size_t *size, int fd, size_t max, const char *name, mohvit_error *err);
/* The same of the file at path. */
mohvit_status file_load_path(char **out, size_t *size, const char *path, size_t max, mohvit_error *err);

#endif

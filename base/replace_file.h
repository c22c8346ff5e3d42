/* replace_file.h - makes a file whole or not at all: it is written under a temporary name beside its own, and
 * gets its own once all of it is on disk. What stood there before is replaced in that moment. */
#ifndef MOHVIT_REPLACE_FILE_H
#define MOHVIT_REPLACE_FILE_H

#include "base/error.h"

/* Makes a file of these bytes. */
mohvit_status replace_with_bytes(const char *path, const void *data, size_t size, mohvit_error *err);

/* The same in steps: replace_begin, replace_create, replace_write as often as needed, replace_commit. Must
 * stay where it is from one to the other. */
typedef struct replace_file {
    const char *path; /* borrowed */
    char *temporary;  /* the name until then; a writer that is given it may stand in for create and write */
    int fd;           /* of the temporary file, while it is open; else -1 */
    struct replace_file *next;
} replace_file;

/* Chooses the temporary name. Refuses a path where something other than a regular file is, or where no file
 * can be made. replace_commit or replace_cancel must follow, also on failure. */
mohvit_status replace_begin(replace_file *f, const char *path, mohvit_error *err);

/* Creates the temporary file, with the rights that the umask leaves. */
mohvit_status replace_create(replace_file *f, mohvit_error *err);

/* Appends to it. */
mohvit_status replace_write(const replace_file *f, const void *data, size_t size, mohvit_error *err);
/* Writes at a place, and leaves alone where replace_write goes on. */
mohvit_status replace_write_at(const replace_file *f, uint64_t offset, const void *data, size_t size,
                               mohvit_error *err);

/* Syncs and closes the temporary file and gives it its name. Frees, also on failure: then nothing is left
 * behind, unless it was the syncing of the directory that failed, after the renaming. */
mohvit_status replace_commit(replace_file *f, mohvit_error *err);

/* Removes the temporary file and frees. */
void replace_cancel(replace_file *f);

/* Removes the temporary files of all that are under way: for a program that is about to end, also from the
 * handler of a signal. */
void replace_cancel_all(void);

/* Makes a message about the temporary file one about the file that people know. */
void replace_blame(const replace_file *f, mohvit_error *err);

/* An error if no file of that name can be made: to be asked before hours of work. NULL, no name, is fine. */
mohvit_status replace_possible(const char *path, mohvit_error *err);

/* Syncs the directory of a file: only then is the name of a new file on disk. One that may not be listed, or
 * whose file system syncs no directories, counts as synced. */
mohvit_status replace_sync_directory(const char *path, mohvit_error *err);

#endif

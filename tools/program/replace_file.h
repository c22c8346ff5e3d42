/* replace_file.h - a file that appears under its name only when all of it is on disk and has been checked. */
#ifndef MOHVIT_REPLACE_FILE_H
#define MOHVIT_REPLACE_FILE_H

#include "base/error.h"

typedef struct replace_file {
    const char *path; /* borrowed */
    char *temporary;  /* beside it; to be made by replace_write or by a writer that is given the name */
    struct replace_file *next;
} replace_file;

/* Refuses a path where something other than a regular file is. replace_cancel or replace_commit must follow,
 * with *f where it is; where the program ends before, the temporary file goes with it. */
mohvit_status replace_begin(replace_file *f, const char *path, mohvit_error *err);

/* Writes and syncs all of the temporary file. */
mohvit_status replace_write(const replace_file *f, const void *data, size_t size, mohvit_error *err);

/* The same in steps: creates the temporary file, and gives its descriptor ... */
mohvit_status replace_create(const replace_file *f, int *fd, mohvit_error *err);

/* ... to which more is written ... */
mohvit_status replace_append(const replace_file *f, int fd, const void *data, size_t size, mohvit_error *err);

/* ... and which is synced and closed, whatever else happened; *err stays that of a status before. */
mohvit_status replace_finish(const replace_file *f, int fd, mohvit_status before, mohvit_error *err);

/* A message about the temporary file becomes one about the file that people know. */
void replace_blame(const replace_file *f, mohvit_error *err);

/* Gives the temporary file its name. Frees, also on failure, when nothing is left behind. */
mohvit_status replace_commit(replace_file *f, mohvit_error *err);

/* Removes the temporary file and frees. */
void replace_cancel(replace_file *f);

/* Whether a file of that name could be written: to be asked before hours of work. False and a message where
 * not; NULL is no file, and fine. */
bool replace_possible(const char *path);

/* Whether both name one file, or would once it is there. */
bool replace_same(const char *a, const char *b);

#endif

/* paths.h - the pictures that a command line asks for, one after the other. */
#ifndef MOHVIT_PATHS_H
#define MOHVIT_PATHS_H

#include "base/lines.h"

typedef struct paths paths;

/* arguments (count) stay the caller's; list names a file of paths, one a line, which ends so; "-" is standard
 * input, NULL none. A list that cannot be opened gives NULL and a message. */
paths *paths_open_or_complain(char **arguments, size_t count, const char *list, line_end end);

/* The next path, malloc'd, or NULL behind the last. A directory without pictures, and a directory or list
 * that could not be read, gives its own path and fills *err; else err->status is MOHVIT_OK.
 *
 * A directory gives the pictures below it in the order of their bytes, as `find | LC_ALL=C sort` would: what
 * begins like a picture, and what is named like one, so that a broken photo.jpg does not go unnoticed. Hidden
 * files and directories are skipped. Links to directories are followed; one that leads to a directory
 * above it gives its path and an error. */
char *paths_next(paths *p, mohvit_error *err);

/* Whether paths_next would answer at once, and not wait for who writes the list. */
bool paths_ready(paths *p);

/* How many paths follow; PATHS_UNKNOWN before the last list or directory has been read. */
#define PATHS_UNKNOWN SIZE_MAX
size_t paths_left(const paths *p);

void paths_close(paths *p);

#endif
